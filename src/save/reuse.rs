//! Counts the units of a job that came from the cache.

use std::collections::BTreeMap;

use crate::cargo::units::{Units, is_fingerprint};
use crate::model::manifest::{EntryKind, Manifest};
use crate::model::rel_path::RelPath;
use crate::model::reuse::Reuse;
use crate::model::timestamp::Timestamp;
use crate::model::unit_use::{Sight, UnitDir};

/// Compares the units `seen` after the build with those of the restored generation, if there is
/// one.
pub(super) fn reuse(restored: Option<&Manifest>, seen: &BTreeMap<UnitDir, Sight>) -> Option<Reuse> {
    let built = restored.map(|manifest| {
        let files = manifest.entries.iter().filter_map(|entry| match &entry.kind {
            EntryKind::File(facts) => Some((&entry.path, facts.mtime)),
            _ => None,
        });
        built_by_unit(files)
    });
    Reuse::of(&built.unwrap_or_default(), seen)
}

/// Returns the time at which each unit was built: the mtime of the newest file of its fingerprint.
/// Cargo writes all of these files when it builds the unit.
fn built_by_unit<'a>(
    files: impl Iterator<Item = (&'a RelPath, Timestamp)> + Clone,
) -> BTreeMap<UnitDir, Timestamp> {
    let units = Units::among(files.clone().map(|(path, _)| path));
    let mut built: BTreeMap<UnitDir, Timestamp> = BTreeMap::new();
    for (path, mtime) in files.filter(|(path, _)| is_fingerprint(path)) {
        if let Some(unit) = units.of(path) {
            let known = built.entry(unit.clone()).or_insert(mtime);
            *known = mtime.max(*known);
        }
    }
    built
}
