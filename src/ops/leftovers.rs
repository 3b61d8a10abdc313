//! Directories that earlier jobs left, and how they are now.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::checkout_files::CheckoutFiles;
use super::job::Job;
use super::place::holds_anything;
use super::report::chain;
use super::walk::walk_tree;
use super::{Error, Result};
use crate::cargo::tracked::tracked_files;
use crate::fs::stat::Stat;
use crate::fs::walk::Found;
use crate::model::leftovers::{DirOwner, Foreign, LeftAs};
use crate::model::manifest::Root;
use crate::model::rel_path::RelPath;

/// How many symlinks lead to one place at most: `path_resolution(7)`.
const MAX_LINKS: u32 = 40;

/// Returns where `dir` is once no symlink is followed any more, also if it does not exist yet.
pub(super) fn real(dir: &Path) -> PathBuf {
    follow(dir, MAX_LINKS)
}

fn follow(dir: &Path, links: u32) -> PathBuf {
    let found = dir.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    let Some((above, real)) = found else { return dir.to_owned() };
    let Ok(rest) = dir.strip_prefix(above) else { return real };
    let mut missing = rest.components();
    let Some(first) = missing.next() else { return real };
    let first = real.join(first);
    match std::fs::read_link(&first) {
        // It leads nowhere yet.
        Ok(target) if links > 0 => follow(&real.join(target).join(missing), links - 1),
        _ => real.join(rest),
    }
}

/// Tells whether there is anything at `dir` that cargo could take for built, or that is in its way. What cannot be
/// read may be.
pub(super) fn is_there(dir: &Path) -> bool {
    let is_lost = || dir.is_symlink() && !dir.exists();
    dir.symlink_metadata().is_ok() && (holds_anything(dir).unwrap_or(true) || is_lost())
}

/// Returns how a save leaves `dir`, which it `found` so.
pub(super) fn left_as(dir: &Path, found: &[Found]) -> Option<LeftAs> {
    let root = Stat::of(&real(dir)).ok()?.inode;
    let newest = found.iter().map(|found| found.stat.inode.ctime).max()?;
    Some(LeftAs { dev: root.dev, ino: root.ino, newest })
}

/// Returns the files that git tracks, by root: they are asked for only where something is set aside.
pub(super) fn tracked(job: &Job) -> BTreeMap<Root, Vec<RelPath>> {
    let of_root =
        |(root, dir): (&Root, &PathBuf)| (root.clone(), tracked_files(dir, &job.environment));
    job.roots.iter().map(of_root).collect()
}

/// Tells whether `dir` is as the last save of its owner left it.
pub(super) fn is_as_left(
    job: &Job,
    dir: &Path,
    owner: &DirOwner,
    own: &CheckoutFiles,
) -> Result<bool> {
    let found = own.leave_out(walk_tree(dir, &job.scratch)?.found);
    Ok(left_as(dir, &found).is_none_or(|now| owner.left_it_like(now)))
}

/// Says that something could not be set aside.
pub(super) fn not_set_aside(dir: &Path, why: &Foreign, error: &Error) -> String {
    let dir = dir.display();
    format!(
        "`{dir}` cannot be set aside and is not saved unless a restore replaces it: {why}: {}",
        chain(error)
    )
}
