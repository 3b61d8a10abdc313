//! Compares the inputs of a generation with the checkout to build.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::flags::differences;
use crate::cargo::meaning::of_profiles;
use crate::cargo::seen::Manifests;
use crate::job::{AreaPlace, Job};
use crate::model::digest::Digest;
use crate::model::manifest::{Header, Manifest};
use crate::model::mark::Mark;
use crate::model::raw_path::RawPath;
use crate::model::score::{Fate, Standing, fates};
use crate::model::sketch::{Contents, Extent, Sketch, Spot};
use crate::model::unit_graph::{Asks, GraphPackage, ProfileMarks, other_features};

/// The checkout of one target. Many generations are compared with it, so each answer is kept.
pub(super) struct Checkout<'a> {
    job: &'a Job,
    place: &'a AreaPlace,
    contents: &'a Contents,
    profiles: ProfileMarks,
    lock: Lock<'a>,
    marks: HashMap<Spot, Option<Mark>>,
    manifests: Manifests,
}

/// How the checkout wants a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    /// As it was.
    Same,
    /// In another version, or with another meaning of its manifest.
    Other,
    /// Not at all.
    Gone,
}

impl<'a> Checkout<'a> {
    /// Prepares the comparison for the target at `place` of a job whose roots have these
    /// `contents`.
    pub(super) fn new(job: &'a Job, place: &'a AreaPlace, contents: &'a Contents) -> Self {
        Self {
            job,
            place,
            contents,
            profiles: of_profiles(&place.workspace_root),
            lock: Lock::parse(place.components.get("lock").map_or("", String::as_str)),
            marks: HashMap::new(),
            manifests: Manifests::default(),
        }
    }

    /// Returns how the inputs of a generation differ from the checkout.
    pub(super) fn standing(&mut self, header: &Header, sketch: &Sketch) -> Standing {
        let (everything, path_packages) = differences(header, self.place);
        let roots = self.job.raw_roots();
        let is_moved = header.roots.iter().any(|(root, old)| roots.get(root) != Some(old));
        let mut standing = Standing {
            compiler_differs: header.toolchain != self.place.toolchain,
            everything_differs: everything.is_some(),
            other_profiles: self.other_profiles(sketch),
            path_packages_differ: path_packages.is_some(),
            is_moved,
            home_is_moved: header.cargo_home.is_some()
                && header.cargo_home != self.job.home_of(self.place),
            ..Standing::default()
        };
        let used = sketch.units.iter().filter(|unit| unit.is_used);
        let used: HashSet<_> = used.map(|unit| unit.package).collect();
        let mut asks = BTreeMap::new();
        for (index, package) in (0..).zip(&sketch.packages) {
            let (want, asked) = self.want(package, header);
            asks.extend(asked.filter(|_| used.contains(&index)).map(|asked| (index, asked)));
            match want {
                Want::Same => {}
                Want::Other => drop(standing.other_packages.insert(index)),
                Want::Gone => drop(standing.gone_packages.insert(index)),
            }
        }
        standing.other_packages.extend(other_features(&sketch.packages, &asks).into_keys());
        for (index, path) in (0..).zip(&sketch.paths) {
            let contents = self.contents;
            let now = self.marks.entry(path.spot.clone());
            let now = *now.or_insert_with_key(|spot| contents.mark(spot));
            if now.is_none() || now != path.content {
                standing.other_paths.insert(index);
            }
        }
        for (index, variable) in (0..).zip(&sketch.variables) {
            let value = self.job.environment.get(&variable.name);
            if value.map(|value| Digest::of(value.as_bytes())) != variable.value {
                standing.other_variables.insert(index);
            }
        }
        standing
    }

    fn other_profiles(&self, sketch: &Sketch) -> HashSet<String> {
        let before = sketch.profiles.clone().unwrap_or_default();
        let dirs = self.profiles.keys().chain(before.keys());
        dirs.filter(|dir| before.get(*dir) != self.profiles.get(*dir)).cloned().collect()
    }

    /// Returns how the checkout wants a package, and the features that the package asks for.
    fn want(&mut self, package: &GraphPackage, header: &Header) -> (Want, Option<Asks>) {
        let Some(dir) = &package.dir else { return (self.lock.want(package, header), None) };
        let dir = self.dir_now(dir, header);
        let Some(target) = &package.target else {
            // An older version saved it, so it is unknown which part of its manifest counts.
            let is_there = self.manifests.has_package(&dir);
            return (if is_there { Want::Same } else { Want::Gone }, None);
        };
        match self.manifests.seen(&dir, target, package.features.as_ref()) {
            None => (Want::Gone, None),
            Some(seen) if Some(seen.mark) == package.manifest => (Want::Same, Some(seen.asks)),
            Some(seen) => (Want::Other, Some(seen.asks)),
        }
    }

    /// Returns the current path of a directory of a root.
    fn dir_now(&self, dir: &RawPath, header: &Header) -> PathBuf {
        let dir = Path::new(OsStr::from_bytes(dir.as_bytes()));
        let below = header.roots.iter().filter_map(|(root, top)| {
            let top = Path::new(OsStr::from_bytes(top.as_bytes()));
            let rest = dir.strip_prefix(top).ok()?;
            Some((top.as_os_str().len(), self.job.roots.get(root)?.join(rest)))
        });
        below.max_by_key(|(len, _)| *len).map_or_else(|| dir.to_owned(), |(_, dir)| dir)
    }
}

/// Returns the fate of each unit of a generation in a checkout with these `contents`. Returns
/// `None` if the generation says too little of its units.
pub(super) fn fates_in(
    job: &Job,
    place: &AreaPlace,
    manifest: &Manifest,
    contents: &Contents,
) -> Option<Vec<Fate>> {
    let sketch = Sketch::of(manifest)?;
    let mut standing = Checkout::new(job, place, contents).standing(&manifest.header, &sketch);
    // For a whole package, cargo compares only the newest file and its mtime, and the unit names
    // that file as a path of its own. So the package differs only if one of its files does, or is
    // new: missing files do not count.
    let recorded = Contents::of(manifest);
    standing.other_paths.retain(|index| {
        let path = sketch.paths.get(*index as usize);
        let package = path.filter(|path| path.spot.extent == Extent::Package);
        package.is_none_or(|path| !contents.is_part_of(&recorded, &path.spot))
    });
    Some(fates(&sketch, &standing))
}

/// The packages of a lock file, by name, with the rest of their lines in `key --explain`.
struct Lock<'a>(BTreeMap<&'a str, HashSet<&'a str>>);

impl<'a> Lock<'a> {
    fn parse(lines: &'a str) -> Self {
        let mut packages: BTreeMap<&str, HashSet<&str>> = BTreeMap::new();
        for (name, rest) in lines.lines().filter_map(|line| line.split_once(' ')) {
            packages.entry(name).or_default().insert(rest);
        }
        Self(packages)
    }

    /// Returns how the lock file wants a package in `CARGO_HOME`. Without a lock file this is
    /// unknown, and the package counts as the same.
    fn want(&self, package: &GraphPackage, header: &Header) -> Want {
        if self.0.is_empty() {
            return Want::Same;
        }
        let Some(versions) = self.0.get(package.name.as_str()) else { return Want::Gone };
        let is_same = if let Some(version) = &package.version {
            versions.iter().any(|rest| names(rest, version))
        } else {
            let before = header.components.get("lock").map_or("", String::as_str);
            Lock::parse(before).0.get(package.name.as_str()) == Some(versions)
        };
        if is_same { Want::Same } else { Want::Other }
    }
}

/// Tells whether a line of a lock file, without the name, names a version or abbreviated commit.
fn names(rest: &str, version: &str) -> bool {
    let (number, source) = rest.split_once(' ').unwrap_or((rest, ""));
    match source.split_once('#') {
        Some((_, commit)) => commit.starts_with(version) || version.starts_with(commit),
        None => number == version,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::manifest_of;

    #[test]
    fn a_package_is_wanted_as_it_was_only_if_the_lock_file_names_its_version() {
        let lock = "app 0.1.0 path\nsyn 1.0.9\nsyn 2.0.1\ngitdep 0.1.0 git+https://x/g#1234abcd\nodd 1.0.0 registry+https://y";
        #[rustfmt::skip]
        let cases = [
            ("one of two versions",   lock, "syn",    Some("1.0.9"),    Want::Same),
            ("the other",             lock, "syn",    Some("2.0.1"),    Want::Same),
            ("bumped",                lock, "syn",    Some("2.0.0"),    Want::Other),
            ("a commit",              lock, "gitdep", Some("1234abc"),  Want::Same),
            ("a longer one",          lock, "gitdep", Some("1234abcde"), Want::Same),
            ("another commit",        lock, "gitdep", Some("1234abd"),  Want::Other),
            ("another registry",      lock, "odd",    Some("1.0.0"),    Want::Same),
            ("gone",                  lock, "log",    Some("0.4.0"),    Want::Gone),
            ("a version not known",   lock, "syn",    None,             Want::Other),
            ("no lock file",          "",   "log",    Some("0.4.0"),    Want::Same),
        ];
        for (why, lock, name, version, want) in cases {
            let version = version.map(str::to_owned);
            let package =
                GraphPackage { name: name.to_owned(), version, ..GraphPackage::default() };
            let header = header_with("syn 1.0.9");
            assert_eq!(Lock::parse(lock).want(&package, &header), want, "{why}");
        }
    }

    fn header_with(lock: &str) -> Header {
        let components = [("lock".to_owned(), lock.to_owned())].into();
        Header { components, ..manifest_of("/w/app").header }
    }
}
