//! The state of directories that earlier jobs left.

use std::path::Path;

use super::walk::walk_tree;
use crate::fs::stat::Stat;
use crate::fs::walk::Found;
use crate::job::Job;
use crate::job::Result;
use crate::job::checkout_files::CheckoutFiles;
use crate::job::dirs::real;
use crate::model::leftovers::{DirOwner, LeftAs};

/// Returns the state in which a save leaves `dir`, in which it `found` these paths.
pub(crate) fn left_as(dir: &Path, found: &[Found]) -> Option<LeftAs> {
    let root = Stat::of(&real(dir)).ok()?.inode;
    let newest = found.iter().map(|found| found.stat.inode.ctime).max()?;
    Some(LeftAs { dev: root.dev, ino: root.ino, newest })
}

/// Tells whether `dir` is unchanged since the last save of its owner.
pub(crate) fn is_as_left(
    job: &Job,
    dir: &Path,
    owner: &DirOwner,
    own: &CheckoutFiles,
) -> Result<bool> {
    let found = own.leave_out(walk_tree(dir, &job.scratch)?.found);
    Ok(left_as(dir, &found).is_none_or(|now| owner.left_it_like(now)))
}
