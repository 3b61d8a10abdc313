//! Packages that every job builds again, even if cargo finds them fresh.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::manifest::Manifest;
use super::names::ParseNameError;
use super::root::Root;
use super::unit_use::UnitDir;

/// A package, or all packages of the repository, to be built again in every job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlwaysBuild {
    /// All packages of the repository that holds the repo.
    Workspace,
    /// The packages of this name, from any source.
    Package(String),
}

/// The word for all packages of the repository.
const WORKSPACE: &str = "workspace";

impl AlwaysBuild {
    /// Returns the units of a generation that `all` names. For [`Self::Workspace`] these are all
    /// units if the generation has no unit graph, which tells the packages of the repository.
    pub fn units(all: &[Self], manifest: &Manifest) -> BTreeSet<UnitDir> {
        let mut named = BTreeSet::new();
        if all.is_empty() {
            return named;
        }
        let is_given = |name: &str| {
            all.iter().any(|it| matches!(it, Self::Package(package) if package == name))
        };
        let dirs = || manifest.units.iter().map(|unit| &unit.dir);
        named.extend(dirs().filter(|dir| is_given(&dir.crate_name())).cloned());
        if all.contains(&Self::Workspace) {
            let graph = &manifest.graph;
            let top = manifest.header.roots.get(&Root::Repo);
            let is_ours = |package: u32| {
                let dir = graph.packages.get(package as usize).and_then(|it| it.dir.as_ref());
                dir.zip(top).is_some_and(|(dir, top)| dir.is_within(top))
            };
            let ours = graph.units.iter().filter(|unit| is_ours(unit.package));
            named.extend(ours.filter_map(|unit| unit.dir.clone()));
            named.extend(dirs().filter(|_| graph.units.is_empty()).cloned());
        }
        named
    }
}

impl FromStr for AlwaysBuild {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if text == WORKSPACE {
            Ok(Self::Workspace)
        } else if !text.is_empty() && text.bytes().all(fits) {
            Ok(Self::Package(text.to_owned()))
        } else {
            let expected = "the name of a package, or `workspace`";
            Err(ParseNameError { text: text.to_owned(), expected })
        }
    }
}

impl fmt::Display for AlwaysBuild {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Workspace => WORKSPACE,
            Self::Package(name) => name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::manifest::Unit;
    use super::super::rel_path::RelPath;
    use super::super::testing::manifest_of;
    use super::super::timestamp::Timestamp;
    use super::super::unit_graph::{GraphPackage, GraphUnit};
    use super::super::unit_use::UnitUse;
    use super::*;
    use crate::model::raw_path::RawPath;

    fn dir(name: &str) -> UnitDir {
        let path = format!("debug/.fingerprint/{name}-0123456789abcdef");
        UnitDir::new(RelPath::parse(path.as_bytes()).expect("a path"))
    }

    /// A manifest with a package of the repo, one of a repository beside it whose name begins
    /// alike, and one from elsewhere.
    fn manifest() -> Manifest {
        let mut manifest = manifest_of("/w/app");
        let packages = [("app", Some("/w/app")), ("next", Some("/w/app-next")), ("serde", None)];
        for (index, (name, at)) in (0..).zip(packages) {
            manifest.graph.packages.push(GraphPackage {
                name: name.to_owned(),
                dir: at.map(|at| RawPath::of(at.as_bytes())),
                ..GraphPackage::default()
            });
            let unit = GraphUnit { dir: Some(dir(name)), package: index, ..GraphUnit::default() };
            manifest.graph.units.push(unit);
            let used = UnitUse { last_used: Timestamp::default(), unused_saves: 0 };
            manifest.units.push(Unit { dir: dir(name), used, is_bound: false });
        }
        manifest
    }

    #[test]
    fn always_build_covers_the_named_packages_and_no_others() {
        #[rustfmt::skip]
        let cases = [
            ("nothing",      &[][..],               ""),
            ("a package",    &["app"],              "app"),
            ("a crate",      &["serde"],            "serde"),
            ("two",          &["next", "serde"],    "next serde"),
            ("all of ours",  &["workspace"],        "app"),
            ("one unknown",  &["ap"],               ""),
        ];
        for (why, given, want) in cases {
            let given: Vec<AlwaysBuild> =
                given.iter().map(|it| it.parse().expect("a name")).collect();
            let units = AlwaysBuild::units(&given, &manifest());
            let names: Vec<_> = units.iter().map(|dir| dir.crate_name().into_owned()).collect();
            assert_eq!(names.join(" "), want, "{why}");
        }
        let mut older = manifest();
        older.graph.units.clear();
        assert_eq!(AlwaysBuild::units(&[AlwaysBuild::Workspace], &older).len(), 3);
        for text in ["", "a b", "../x", "a/b"] {
            assert!(text.parse::<AlwaysBuild>().is_err(), "{text}");
        }
    }
}
