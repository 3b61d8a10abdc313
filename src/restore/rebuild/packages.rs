//! Looks up the current state of the packages of a generation.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{Looking, Spot, shown_in, within};
use crate::cargo::seen::{Manifests, kind_of};
use crate::model::manifest::SourceKind;
use crate::model::rebuild::PackageNow;
use crate::model::rel_path::RelPath;
use crate::model::root::Root;
use crate::model::source::is_of_git;
use crate::model::unit_graph::{GraphPackage, other_features};

impl<'a> Looking<'a> {
    /// Returns the current state of each package.
    pub(super) fn packages(&self) -> Vec<PackageNow> {
        let graph = &self.manifest.graph;
        let whole = graph.units.iter().filter(|unit| unit.whole_package);
        let whole: BTreeSet<_> = whole.map(|unit| unit.package).collect();
        let used = graph.units.iter().filter(|unit| !unit.is_unused);
        let used: BTreeSet<_> = used.map(|unit| unit.package).collect();
        let mut manifests = Manifests::default();
        let mut asks = BTreeMap::new();
        let mut packages = Vec::new();
        for (index, package) in (0..).zip(&graph.packages) {
            let mut now = self.package(package, whole.contains(&index));
            if let (Some(dir), Some(target)) = (dir_of(package), &package.target) {
                let seen =
                    manifests.seen(&self.spot_of(dir).full, target, package.features.as_ref());
                now.is_gone = seen.is_none();
                let mark = seen.as_ref().map(|seen| seen.mark);
                now.manifest = (mark != package.manifest).then(|| self.changed_manifest(dir));
                let asked = seen.filter(|_| used.contains(&index)).map(|seen| seen.asks);
                asks.extend(asked.map(|asked| (index, asked)));
            }
            packages.push(now);
        }
        for (package, asking) in other_features(&graph.packages, &asks) {
            let manifest = dir_of(&graph.packages[asking as usize]);
            let manifest = manifest.map(|dir| self.changed_manifest(dir));
            let now: &mut PackageNow = &mut packages[package as usize];
            now.manifest = now.manifest.take().or(manifest);
        }
        for (index, path) in self.new_targets(&mut manifests, &used) {
            let manifest = &mut packages[index as usize].manifest;
            *manifest = manifest.take().or(Some(path));
        }
        packages
    }

    /// Returns, for each package of which the job used units, the path of a new target of the same
    /// kind, if there is one. Cargo builds it together with those units.
    fn new_targets(
        &self,
        manifests: &mut Manifests,
        used: &BTreeSet<u32>,
    ) -> BTreeMap<u32, String> {
        let packages = &self.manifest.graph.packages;
        let target = |package: &'a GraphPackage| {
            Some((dir_of(package)?, package.target.as_ref()?.unit.as_str()))
        };
        let known: HashSet<_> = packages.iter().filter_map(target).collect();
        let of_index = |index: &u32| Some((target(packages.get(*index as usize)?)?, *index));
        let kinds = used.iter().filter_map(of_index);
        let kinds: HashMap<_, _> =
            kinds.map(|((dir, unit), index)| ((dir, kind_of(unit)), (unit, index))).collect();
        let mut found = BTreeMap::new();
        for ((dir, _), (unit, index)) in kinds {
            let Spot { full, inside: Some((root, _, below)), .. } = self.spot_of(dir) else {
                continue;
            };
            for (unit, path) in manifests.like(&full, unit) {
                let path = match &below {
                    Some(below) => below.join(path.as_bytes()),
                    None => RelPath::parse(path.as_bytes()),
                };
                let Ok(path) = path else { continue };
                let is_recorded = self.recorded.contains_key(&(root, Some(&path)));
                if !is_recorded && !known.contains(&(dir, unit.as_str())) {
                    found.insert(index, shown_in(root, Some(&path)));
                }
            }
        }
        found
    }

    /// Returns the manifest that changed: the manifest of the package that was in `dir`, or one
    /// that it inherits from. If none changed, returns the package's own.
    fn changed_manifest(&self, dir: &Path) -> String {
        let mut manifests = dir.ancestors().map(|dir| self.spot_of(&dir.join("Cargo.toml")));
        let is_changed = |spot: &Spot<'_>| {
            let inside = spot.inside.as_ref();
            inside.is_some_and(|(root, dir, path)| self.is_changed(root, dir, path.as_ref()))
        };
        let changed = manifests.find(is_changed);
        changed.unwrap_or_else(|| self.spot_of(&dir.join("Cargo.toml"))).shown()
    }

    /// Tells whether a path of a root differs from the record.
    fn is_changed(&self, root: &Root, dir: &Path, path: Option<&RelPath>) -> bool {
        let found = self.final_sources.get(&(dir, path));
        let recorded = self.recorded.get(&(root, path));
        found.map(|(found, _)| found.content()) != recorded.map(|content| Some(*content))
    }

    fn package(&self, package: &GraphPackage, is_whole: bool) -> PackageNow {
        let mut now = PackageNow::default();
        let Some(dir) = &package.dir else { return now };
        let spot = self.spot_of(Path::new(OsStr::from_bytes(dir.as_bytes())));
        now.moved.clone_from(&spot.moved);
        let Some((root, dir, path)) = spot.inside else { return now };
        let manifest = path.as_ref().map_or_else(
            || RelPath::parse(b"Cargo.toml").ok(),
            |path| path.join(b"Cargo.toml").ok(),
        );
        now.manifest = manifest
            .filter(|manifest| self.is_changed(root, dir, Some(manifest)))
            .map(|manifest| shown_in(root, Some(&manifest)));
        if !is_whole {
            return now;
        }
        let own = || within(self.final_sources, dir, path.as_ref());
        let other_packages: Vec<RelPath> = own()
            .filter_map(|((_, found), _)| {
                let found = found.filter(|found| found.file_name() == b"Cargo.toml")?;
                found.parent().filter(|parent| Some(parent) != path.as_ref())
            })
            .collect();
        for ((_, found), (observed, mtime)) in own() {
            let is_file = |path: &&RelPath| observed.kind != SourceKind::Dir && !is_of_git(path);
            let Some(found) = found.filter(is_file) else { continue };
            if !other_packages.iter().any(|dir| found.is_within(dir)) {
                now.newest = now.newest.max(*mtime);
                now.changed.extend(
                    self.is_changed(root, dir, Some(found)).then(|| shown_in(root, Some(found))),
                );
            }
        }
        now
    }
}

/// Returns the directory in which a path package was.
fn dir_of(package: &GraphPackage) -> Option<&Path> {
    Some(Path::new(OsStr::from_bytes(package.dir.as_ref()?.as_bytes())))
}
