//! Walking large trees with all threads.

use std::path::Path;

use rayon::prelude::*;

use super::Result;
use crate::fs::cursor::AT_A_TIME;
use crate::fs::space::is_mount_point;
use crate::fs::stat::Kind;
use crate::fs::walk::{Found, list, stat_each};
use crate::model::rel_path::RelPath;

/// Returns what [`crate::fs::walk::walk`] returns.
pub(super) fn walk(dir: &Path, wants: impl Fn(&RelPath, Kind) -> bool) -> Result<Vec<Found>> {
    let paths = list(dir, wants)?;
    let chunks = paths.into_par_iter().chunks(AT_A_TIME);
    let found = chunks.map(|paths| Ok(stat_each(dir, paths)?));
    Ok(found.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// Returns every path below `dir`, sorted as a tree: all but what belongs to a filesystem itself.
///
/// `lost+found` of a mounted ext4 is root's, and no part of what lies on it.
pub(super) fn walk_tree(dir: &Path) -> Result<Vec<Found>> {
    let is_mount_point = is_mount_point(dir)?;
    walk(dir, |path, _| !(is_mount_point && path.as_bytes() == b"lost+found"))
}
