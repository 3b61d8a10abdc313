//! The kept files that a restore answers for.

use std::collections::BTreeSet;

use super::Restored;
use crate::model::manifest::Manifest;
use crate::model::rel_path::RelPath;
use crate::model::root::Root;

/// The kept files that were put back, by root and path.
pub(super) type PutBack = BTreeSet<(Root, RelPath)>;

/// Returns the kept files of a generation.
pub(super) fn kept_of(manifest: &Manifest) -> PutBack {
    manifest.kept.iter().map(|kept| (kept.root.clone(), kept.path.clone())).collect()
}

/// Returns the kept files of generations that could not be put in place, but for those of others.
pub(super) fn lost(areas: &[Restored<'_>]) -> PutBack {
    let placed = areas.iter().filter_map(|area| Some(kept_of(&area.placed.as_ref()?.manifest)));
    let placed: PutBack = placed.flatten().collect();
    areas.iter().flat_map(|area| area.lost.difference(&placed).cloned()).collect()
}
