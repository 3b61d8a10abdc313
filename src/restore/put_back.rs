//! Sets of kept files.

use std::collections::BTreeSet;

use super::Restored;
use crate::model::manifest::Manifest;
use crate::model::rel_path::RelPath;
use crate::model::root::Root;

/// A set of kept files, by root and path.
pub(super) type PutBack = BTreeSet<(Root, RelPath)>;

/// Returns the kept files of a generation.
pub(super) fn kept_of(manifest: &Manifest) -> PutBack {
    manifest.kept.iter().map(|kept| (kept.root.clone(), kept.path.clone())).collect()
}

/// Returns the kept files of generations that could not be put in place, except those that a
/// restored generation has too.
pub(super) fn lost(areas: &[Restored<'_>]) -> PutBack {
    let placed = areas.iter().filter_map(|area| Some(kept_of(&area.placed.as_ref()?.manifest)));
    let placed: PutBack = placed.flatten().collect();
    areas.iter().flat_map(|area| area.lost.difference(&placed).cloned()).collect()
}
