//! Directories that earlier jobs left: how they are now, and setting them aside.
//!
//! What is set aside is renamed, beside where it was, and removed while the job goes on. No symlink is followed but
//! one that the target directory itself is, and what that leads to only if cargo built there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::checkout_files::CheckoutFiles;
use super::job::Job;
use super::locks::keep_builds_out;
use super::place::holds_anything;
use super::progress::Progress;
use super::report::chain;
use super::staged::{Staged, rename_dir};
use super::walk::walk_tree;
use super::{Error, Result};
use crate::cargo::sources::is_target;
use crate::cargo::tracked::tracked_files;
use crate::fs::At;
use crate::fs::remove::open_dir;
use crate::fs::space::is_mount_point;
use crate::fs::stat::Stat;
use crate::fs::walk::Found;
use crate::model::leftovers::{DirOwner, Foreign, LeftAs};
use crate::model::manifest::Root;
use crate::model::rel_path::RelPath;
use crate::store::{Lease, Store};

/// How long a build may go on in a directory that is to be set aside.
const PATIENCE: Duration = Duration::from_secs(2);

/// Returns where `dir` is once no symlink is followed any more, also if it does not exist yet.
pub(super) fn real(dir: &Path) -> PathBuf {
    let found = dir.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    let Some((above, real)) = found else { return dir.to_owned() };
    match dir.strip_prefix(above) {
        Ok(rest) if !rest.as_os_str().is_empty() => real.join(rest),
        _ => real,
    }
}

/// Tells whether there is anything at `dir` that cargo could take for built. What cannot be read may be.
pub(super) fn is_there(dir: &Path) -> bool {
    dir.symlink_metadata().is_ok() && holds_anything(dir).unwrap_or(true)
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

/// Setting directories aside.
pub(super) struct Aside<'a> {
    pub(super) store: &'a Store,
    pub(super) lease: &'a Lease,
    pub(super) job: &'a Job,
    pub(super) progress: &'a Progress,
}

impl Aside<'_> {
    /// Sets aside what is in `dir`, but for the files of the checkout, `own`. What was there is removed when what
    /// this returns is dropped. After an error everything is where it was.
    pub(super) fn set(&self, dir: &Path, own: &CheckoutFiles) -> Result<Option<Staged>> {
        let is_link = dir.is_symlink();
        let at = real(dir);
        if let Err(error) = self.check(&at, is_link) {
            if !is_link {
                return Err(error);
            }
            // Wherever it leads, cargo has nothing to find there.
            std::fs::remove_file(dir).at("remove", dir)?;
            return Ok(None);
        }
        if self.progress.is_stopped() {
            return Err(Error::Stopped);
        }
        let _locks = match keep_builds_out(&at, PATIENCE, self.progress) {
            Err(Error::Io(error)) if error.is_denied() => {
                open_dir(&at)?;
                keep_builds_out(&at, PATIENCE, self.progress)?
            }
            locks => locks?,
        };
        if is_mount_point(&at)? {
            let staged = Staged::within(self.lease, &at, &at)?;
            own.link(&at, staged.path())?;
            staged.take_place_of(&at)?;
            return Ok(Some(staged));
        }
        let staged = Staged::beside(self.lease, &at)?;
        if own.is_empty() {
            rename_dir(&at, staged.path())?;
        } else {
            own.link(&at, staged.path())?;
            staged.open_to_others()?;
            staged.take_place_of(&at)?;
        }
        Ok(Some(staged))
    }

    /// Refuses a directory that holds more than what cargo builds. One outside the checkouts, or that a symlink
    /// leads to, must look as cargo leaves one.
    fn check(&self, at: &Path, is_link: bool) -> Result<()> {
        let Job { roots, cargo_home, workspaces, .. } = self.job;
        let home = [cargo_home.as_path(), self.store.root()];
        let kept = roots.values().chain(workspaces.keys()).map(PathBuf::as_path).chain(home);
        let holds_more = kept.into_iter().any(|kept| real(kept).starts_with(at));
        let is_inside = roots.values().any(|root| at.starts_with(root));
        let reason = if holds_more {
            "a checkout, the store or cargo's home lies inside it"
        } else if !at.is_dir() {
            "it is no directory"
        } else if (is_link || !is_inside) && !is_target(at) {
            "nothing in it says that cargo built there"
        } else {
            return Ok(());
        };
        Err(Error::Unfit { path: at.to_owned(), reason })
    }
}

/// Says that something could not be set aside.
pub(super) fn not_set_aside(dir: &Path, why: &Foreign, error: &Error) -> String {
    let dir = dir.display();
    format!(
        "`{dir}` cannot be set aside and is not saved unless a restore replaces it: {why}: {}",
        chain(error)
    )
}
