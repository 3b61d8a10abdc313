//! The unit graph: the facts about a generation's units that tell a restore which crates cargo will
//! build again.
//!
//! Its format on disk is described in `docs/FORMAT.md`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::mark::Mark;
use super::raw_path::RawPath;
use super::timestamp::Timestamp;
use super::unit_use::UnitDir;

/// The units of a tree, and the inputs that make them stale.
///
/// Units refer to packages, variables and each other by index. They refer to a path by one number:
/// the index of a source of the manifest, or, from the number of sources on, of one of
/// [`Self::others`]. A number out of range is ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UnitGraph {
    /// The packages of the units.
    pub packages: Vec<GraphPackage>,
    /// The variables that units were built with.
    pub variables: Vec<GraphVariable>,
    /// Absolute paths that are not sources of the manifest.
    pub others: Vec<RawPath>,
    /// The units.
    pub units: Vec<GraphUnit>,
    /// The workspace's settings for the units of each profile. `None` if an older version saved it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profiles: Option<ProfileMarks>,
}

/// Marks of a workspace's settings for the units in each profile directory (`debug`, `release`):
/// the profiles whose units lie there, and cargo's configuration in the checkout.
pub type ProfileMarks = BTreeMap<String, Mark>;

/// The requested features, by the name of the package.
pub type Asks = BTreeMap<String, BTreeSet<String>>;

/// A package, as one of its targets and sets of features is built from it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GraphPackage {
    /// Its name.
    pub name: String,
    /// Its absolute directory, unless it lies in cargo's home.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub dir: Option<RawPath>,
    /// Whether the directory lies outside the workspace's root: then cargo identifies the package
    /// by its path.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub is_outside: bool,
    /// The version of a package of a registry or of a directory source (`cargo vendor`), or the
    /// abbreviated commit of a package of a git repository. A path package has none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<String>,
    /// The target of a path package. `None` if an older version saved it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub target: Option<GraphTarget>,
    /// The enabled features; `None` if unknown, as for a run of a build script.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub features: Option<Features>,
    /// The mark of the part of a path package's manifest that affects these units.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub manifest: Option<Mark>,
    /// The features that a path package requests of its dependencies.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub asks: Asks,
}

impl GraphPackage {
    /// Tells whether cargo treats it as a path package. A package that `cargo vendor` wrote is
    /// none, wherever it lies: cargo never builds it incrementally.
    pub fn is_path(&self) -> bool {
        self.dir.is_some() && self.version.is_none()
    }
}

/// A target of a package: its library, a program, a test.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GraphTarget {
    /// Cargo's name for its units: `lib-app`, `test-bin-app`.
    pub unit: String,
    /// The variables that its code reads and its manifest sets: `CARGO_PKG_DESCRIPTION`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    pub reads: BTreeSet<String>,
}

/// The enabled features of a package.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Features {
    /// The features that only a request enabled.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub asked: BTreeSet<String>,
    /// The features that other features enabled.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub implied: BTreeSet<String>,
}

/// A variable that units were built with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GraphVariable {
    /// Its name.
    pub name: String,
    /// The digest of its value; `None` if it was not set.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub value: Option<Digest>,
}

/// A unit, and the inputs that make it stale.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and a field on disk")]
pub struct GraphUnit {
    /// The directory that stands for it; `None` if an older version saved it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub dir: Option<UnitDir>,
    /// Its role, which does not depend on the version of its package. A build wants only one of two
    /// units with the same role.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub role: Option<Mark>,
    /// Whether the job that saved it did not use it.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub is_unused: bool,
    /// The index of its package.
    pub package: u32,
    /// The time that cargo compares with: when the build of the unit began.
    pub built: Timestamp,
    /// The numbers of paths in its package. If the package moves, cargo looks for them at its new
    /// place.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub files: Vec<u32>,
    /// The numbers of paths elsewhere. Cargo looks for them at their old place.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub fixed: Vec<u32>,
    /// Whether every file of the package counts, because its build script names none.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub whole_package: bool,
    /// The mtime that cargo recorded for the newest file of that package, if it is later than
    /// `built`. Cargo does not compare the two, so a file from the future stays as fresh as it was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub newest: Option<Timestamp>,
    /// Whether cargo compares the contents of the paths, not their mtimes (`build.fingerprint`).
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub by_content: bool,
    /// The indices of the variables that it was built with.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub variables: Vec<u32>,
    /// The indices of the units that it depends on.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub deps: Vec<u32>,
    /// Whether it works only at the same roots.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub is_bound: bool,
    /// Whether its build did not finish, or one of its dependencies was built again since.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub is_unfinished: bool,
}

impl GraphUnit {
    /// Returns the latest mtime that a path of the unit may have for cargo to find it fresh, if
    /// cargo compares mtimes.
    pub fn fresh_until(&self) -> Timestamp {
        self.newest.unwrap_or(self.built).max(self.built)
    }
}

impl Features {
    /// Returns the requested features after adding `gained` and removing `lost`; `None` if the
    /// enabled features stay the same.
    fn changed(
        &self,
        gained: &BTreeSet<&String>,
        lost: &BTreeSet<&String>,
    ) -> Option<BTreeSet<String>> {
        let mut asked = self.asked.clone();
        asked.retain(|name| !lost.contains(name));
        let is_less = asked.len() < self.asked.len();
        let new = gained.iter().filter(|name| !self.are_on(name));
        asked.extend(new.map(|name| (*name).clone()));
        (is_less || asked.len() > self.asked.len()).then_some(asked)
    }

    fn are_on(&self, name: &str) -> bool {
        self.asked.contains(name) || self.implied.contains(name)
    }
}

/// Returns the packages that are built again because a path package requests other features than
/// before, each with that path package. `now` holds the current requests of each package whose
/// units the job uses.
///
/// A package that no path package requests any more is not included: others may still use it as it
/// is. If the tree also has a package with the features that are requested now, only the requesting
/// package is built.
pub fn other_features(packages: &[GraphPackage], now: &BTreeMap<u32, Asks>) -> BTreeMap<u32, u32> {
    let nothing = BTreeSet::new();
    let mut all: BTreeMap<&str, [BTreeSet<&String>; 2]> = BTreeMap::new();
    let mut changed: BTreeMap<&str, u32> = BTreeMap::new();
    for (index, asks) in now {
        let Some(package) = packages.get(*index as usize) else { continue };
        for name in package.asks.keys().chain(asks.keys()) {
            let [old, new] = [&package.asks, asks].map(|asks| asks.get(name).unwrap_or(&nothing));
            let [all_old, all_new] = all.entry(name).or_default();
            all_old.extend(old);
            all_new.extend(new);
            if old != new {
                changed.entry(name).or_insert(*index);
            }
        }
    }
    let other = |(index, package): (u32, &GraphPackage)| {
        let name = package.name.as_str();
        let [old, new] = all.get(name).filter(|[_, new]| !new.is_empty())?;
        let gained: BTreeSet<_> = new.difference(old).copied().collect();
        let lost: BTreeSet<_> = old.difference(new).copied().collect();
        let asked = package.features.as_ref()?.changed(&gained, &lost)?;
        let is_held = |other: &GraphPackage| {
            let features = other.features.as_ref();
            let with = |features: &Features| {
                asked.iter().all(|name| features.are_on(name)) && features.asked.is_subset(&asked)
            };
            is_same_target(other, package) && features.is_some_and(with)
        };
        let asking = *changed.get(name)?;
        Some((if packages.iter().any(is_held) { asking } else { index }, asking))
    };
    (0..).zip(packages).filter_map(other).collect()
}

fn is_same_target(a: &GraphPackage, b: &GraphPackage) -> bool {
    (&a.name, &a.dir, &a.version, &a.target) == (&b.name, &b.dir, &b.version, &b.target)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> BTreeSet<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn asks(of_low: Option<&str>) -> Asks {
        of_low.map(|features| ("low".to_owned(), names(features))).into_iter().collect()
    }

    #[test]
    fn a_package_has_other_features_if_the_requested_ones_are_not_the_enabled_ones() {
        type Ask<'a> = [Option<&'a str>; 2];
        type Case<'a> = (&'a str, Ask<'a>, Ask<'a>, &'a [(u32, u32)]);
        #[rustfmt::skip]
        let cases: [Case<'_>; 10] = [
            //  why                       one asks, before and now      two asks, before and now      what is built, for whom
            ("nothing",                   [Some("default"); 2],                [Some("x"); 2],               &[]),
            ("one more",                  [Some("default"), Some("default y")], [Some("x"); 2],              &[(2, 0)]),
            ("one that is on",            [Some("default"), Some("default z")], [Some("x"); 2],              &[]),
            ("one that another asks for", [Some("default"), Some("default x")], [Some("x"); 2],              &[]),
            ("one less",                  [Some("default"); 2],                [Some("x"), Some("")],        &[(2, 1)]),
            ("one less, which another asks for", [Some("default x"); 2],       [Some("x"), Some("")],        &[]),
            ("one less, which follows",   [Some("default z"), Some("default")], [Some("x"); 2],              &[]),
            ("asked for by a new one",    [Some("default x"); 2],              [None, Some("y")],            &[(2, 1)]),
            ("not asked for any more",    [Some("default"), None],             [Some("x"), None],            &[]),
            ("what another unit has",     [Some("default"), Some("default held")], [Some("x"); 2],           &[(0, 0)]),
        ];
        for (why, one, two, want) in cases {
            let asking = |name: &str, asked: Option<&str>| GraphPackage {
                name: name.to_owned(),
                asks: asks(asked),
                ..GraphPackage::default()
            };
            let with = |asked: &str| GraphPackage {
                name: "low".to_owned(),
                features: Some(Features { asked: names(asked), implied: names("z") }),
                ..GraphPackage::default()
            };
            let unknown = GraphPackage { name: "low".to_owned(), ..GraphPackage::default() };
            let other = GraphPackage { name: "mid".to_owned(), ..with("") };
            let mut packages = vec![
                asking("one", one[0]),
                asking("two", two[0]),
                with("default x"),
                unknown,
                other,
            ];
            if why == "what another unit has" {
                packages.push(with("default held x"));
            }
            let now = [(0, asks(one[1])), (1, asks(two[1])), (9, Asks::new())].into();
            let got = other_features(&packages, &now);
            assert_eq!(got.into_iter().collect::<Vec<_>>(), want, "{why}");
        }
    }
}
