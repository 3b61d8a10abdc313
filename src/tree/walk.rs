//! Walks large trees with all threads.

use std::cell::RefCell;
use std::path::Path;

use rayon::prelude::*;

use crate::cargo::scratch::Scratch;
use crate::fs::cursor::AT_A_TIME;
use crate::fs::space::is_mount_point;
use crate::fs::stat::Kind;
use crate::fs::walk::{Walked, list, stat_each};
use crate::job::Result;
use crate::model::rel_path::RelPath;
use crate::store::MARK;

/// Returns every path below `dir` that `wants` admits, and the paths that could not be read. It is an error if `dir`
/// itself cannot be read.
pub(crate) fn walk(dir: &Path, wants: impl Fn(&RelPath, Kind) -> bool) -> Result<Walked> {
    let listed = list(dir, wants)?;
    let chunks = listed.paths.into_par_iter().chunks(AT_A_TIME);
    let chunks: Vec<Walked> =
        chunks.map(|paths| stat_each(dir, paths)).collect::<crate::fs::Result<_>>()?;
    let mut walked = Walked { found: Vec::new(), missed: listed.missed };
    for chunk in chunks {
        walked.extend(chunk);
    }
    Ok(walked.without_orphans())
}

/// Returns every path below `dir`, except scratch and `lost+found` of the filesystem.
pub(crate) fn walk_tree(dir: &Path, scratch: &Scratch) -> Result<Walked> {
    Ok(walk_beside(dir, scratch)?.0)
}

/// Returns the same, and the paths of scratch, without the paths below them.
///
/// `lost+found` of a mounted ext4 belongs to root and is not part of the tree.
pub(super) fn walk_beside(dir: &Path, scratch: &Scratch) -> Result<(Walked, Vec<RelPath>)> {
    let is_mount_point = is_mount_point(dir)?;
    let beside = RefCell::new(Vec::new());
    let walked = walk(dir, |path, kind| {
        // If a restore was killed just after it moved its tree into place, the mark is still in it.
        let is_strange = path.as_bytes() == MARK.as_bytes();
        if is_strange || is_mount_point && path.as_bytes() == b"lost+found" {
            return false;
        }
        let is_scratch = scratch.names(path, kind);
        if is_scratch {
            beside.borrow_mut().push(path.clone());
        }
        !is_scratch
    })?;
    Ok((walked, beside.into_inner()))
}
