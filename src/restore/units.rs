//! The units of a restored tree: those that are left out, and those that cargo must build again.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

use rayon::prelude::*;

use crate::cargo::incremental::{Session, incremental_of};
use crate::cargo::units::{Units, is_fingerprint};
use crate::fs::At;
use crate::fs::beneath::Beneath;
use crate::fs::cursor::{AT_A_TIME, Cursor};
use crate::job::Result;
use crate::model::manifest::{Entry, EntryKind, Manifest};
use crate::model::raw_path::RawPath;
use crate::model::rel_path::RelPath;
use crate::model::root::Root;
use crate::model::unit_use::UnitDir;

/// Removes the units from a manifest that work only at other roots, and returns the names of their
/// crates. Cargo would find such units fresh, because it would look at another checkout. Units
/// whose binding is unknown count as bound.
pub(super) fn leave_bound(
    manifest: &mut Manifest,
    roots: &BTreeMap<Root, RawPath>,
) -> BTreeSet<String> {
    let is_moved = |(root, old): (&Root, &RawPath)| roots.get(root).is_some_and(|now| now != old);
    if !manifest.header.roots.iter().any(is_moved) {
        return BTreeSet::new();
    }
    let units = Units::among(manifest.entries.iter().map(|entry| &entry.path));
    let free: BTreeSet<&UnitDir> = match manifest.header.binding {
        Some(_) => manifest.units.iter().filter(|it| !it.is_bound).map(|it| &it.dir).collect(),
        None => BTreeSet::new(),
    };
    let bound: BTreeSet<UnitDir> =
        units.iter().filter(|unit| !free.contains(unit)).cloned().collect();
    let is_bound = |path: &RelPath| units.of(path).is_some_and(|unit| bound.contains(unit));
    manifest.entries.retain(|Entry { path, kind }| match kind {
        // Cargo puts its results where users look for them, as hard links to the files of units.
        EntryKind::HardLink { of } => !is_bound(path) && !is_bound(of),
        _ => !is_bound(path),
    });
    manifest.units.retain(|unit| !bound.contains(&unit.dir));
    bound.iter().map(|unit| unit.crate_name().into_owned()).collect()
}

/// Takes these sessions of incremental compilation out of a manifest, with their locks, and tells whether any was there.
pub(super) fn leave_distrusted(manifest: &mut Manifest, sessions: &BTreeSet<&RelPath>) -> bool {
    let session = |path: &RelPath| {
        let (dir, _) = incremental_of(path)?;
        let (session, _) = Session::of(path, &dir)?;
        Some((dir, session))
    };
    let distrusted: HashSet<_> = sessions.iter().filter_map(|path| session(path)).collect();
    if distrusted.is_empty() {
        return false;
    }
    let is_one = |path: &RelPath| session(path).is_some_and(|it| distrusted.contains(&it));
    let before = manifest.entries.len();
    manifest.entries.retain(|Entry { path, kind }| match kind {
        EntryKind::HardLink { of } => !is_one(path) && !is_one(of),
        _ => !is_one(path),
    });
    manifest.entries.len() < before
}

/// Makes every fingerprint of a restored tree look unread, so that the save can tell which ones
/// cargo read meanwhile. Returns the fingerprints that did not look unread. Ignores fingerprints
/// that are gone.
pub(super) fn forget_reads<'a>(dir: &Path, entries: &'a [Entry]) -> Result<Vec<&'a RelPath>> {
    let tree = Beneath::open(dir)?;
    let is_one = |Entry { path, kind }: &&Entry| {
        matches!(kind, EntryKind::File(_) | EntryKind::HardLink { .. }) && is_fingerprint(path)
    };
    let files: Vec<_> = entries.iter().filter(is_one).map(|entry| &entry.path).collect();
    let forgotten = files.par_chunks(AT_A_TIME).map(|files| {
        let mut cursor = Cursor::new(&tree);
        let mut forgotten = Vec::new();
        for path in files {
            if let Some((dir, name, stat)) = cursor.find(path)?
                && stat.was_read()
            {
                dir.forget_reads(&name)?;
                forgotten.push(*path);
            }
        }
        Ok(forgotten)
    });
    Ok(forgotten.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// The units of a restored tree whose fingerprints are removed, so that cargo builds them again.
pub(super) struct Forgotten {
    /// Of these units, only the runs of build scripts; if none of them is known as a run, all.
    pub(super) runs: BTreeSet<UnitDir>,
    /// All of these units.
    pub(super) units: BTreeSet<UnitDir>,
}

impl Forgotten {
    /// Removes the fingerprints from the tree in `dir`, which has these entries.
    pub(super) fn forget(&self, dir: &Path, entries: &[Entry]) -> Result<()> {
        if self.runs.is_empty() && self.units.is_empty() {
            return Ok(());
        }
        let units = Units::among(entries.iter().map(|entry| &entry.path));
        let of = |which: &BTreeSet<UnitDir>| -> BTreeSet<&RelPath> {
            let is_one = |Entry { path, kind }: &&Entry| {
                let is_forgotten = units.of(path).is_some_and(|unit| which.contains(unit));
                is_forgotten && is_fingerprint(path) && !matches!(kind, EntryKind::Dir { .. })
            };
            entries.iter().filter(is_one).map(|entry| &entry.path).collect()
        };
        let scripts = of(&self.runs);
        let is_run = |path: &&&RelPath| path.file_name().starts_with(b"run-build-script-");
        let runs: BTreeSet<_> = scripts.iter().filter(is_run).copied().collect();
        for path in of(&self.units).union(if runs.is_empty() { &scripts } else { &runs }) {
            let full = dir.join(path.as_path());
            std::fs::remove_file(&full).at("remove", &full)?;
        }
        Ok(())
    }
}
