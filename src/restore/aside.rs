//! Sets aside the directories that earlier jobs left where a job builds.
//!
//! A directory is renamed to a place beside it, and removed while the job goes on. A symlink is
//! unlinked. The directory that it leads to is set aside only if the store knows it as a target of
//! the same repository. In a directory outside the checkouts that cargo did not make, only cargo's
//! parts are set aside.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cargo::parts::Parts;
use crate::cargo::sources::is_tagged_by_cargo;
use crate::fs::At;
use crate::fs::lock::Lock;
use crate::fs::remove::open_dir;
use crate::fs::space::is_mount_point;
use crate::fs::stat::{Kind, Stat};
use crate::job::Job;
use crate::job::checkout_files::CheckoutFiles;
use crate::job::dirs::real;
use crate::job::locks::keep_builds_out;
use crate::job::owners::Owners;
use crate::job::progress::Progress;
use crate::job::{Error, Result};
use crate::store::{Lease, Store};
use crate::tree::staged::{Staged, rename_dir};

/// The time to wait for a build that runs in a directory that is to be set aside.
const PATIENCE: Duration = Duration::from_secs(2);

/// The parameters for setting directories aside.
pub(super) struct Aside<'a> {
    pub(super) store: &'a Store,
    pub(super) lease: &'a Lease,
    pub(super) job: &'a Job,
    pub(super) boot: &'a str,
    pub(super) progress: &'a Progress,
}

/// The way to set a directory aside.
enum Way {
    /// As a whole: it is in a checkout, or cargo made it.
    Whole,
    /// It is emptied: something is mounted there, or a symlink leads there.
    Emptied,
    /// Only these entries, which cargo made.
    Parts(Vec<PathBuf>),
}

impl Aside<'_> {
    /// Sets aside everything in `dir` except `own`, the files of the checkout, and forgets its
    /// owner. Dropping the returned value removes what was set aside. If the directory cannot be
    /// moved, it stays as it was. If a later step fails, what was set aside is removed all the
    /// same.
    pub(super) fn set(&self, dir: &Path, own: &CheckoutFiles) -> Result<Option<Staged>> {
        if self.progress.is_stopped() {
            return Err(Error::Stopped);
        }
        let at = real(dir);
        let kind = Stat::of(dir).at("read metadata", dir)?.kind;
        let staged = match kind {
            Kind::Dir => Some(self.set_dir(&at, self.way(&at)?, own)?),
            // The symlink is unlinked even if the directory that it leads to cannot be set aside.
            Kind::Symlink if self.is_ours(&at) => self.set_dir(&at, Way::Emptied, own).ok(),
            Kind::Symlink => None,
            Kind::File | Kind::Special if self.is_inside(dir) => None,
            Kind::File | Kind::Special => return Err(unfit(dir, "it is no directory")),
        };
        if kind != Kind::Dir {
            std::fs::remove_file(dir).at("remove", dir)?;
        }
        if staged.is_some() {
            self.store.forget_dir_owner(&at)?;
        }
        self.store.forget_dir_owner(&real(dir))?;
        Ok(staged)
    }

    fn set_dir(&self, at: &Path, way: Way, own: &CheckoutFiles) -> Result<Staged> {
        let _locks = self.keep_builds_out(at)?;
        let staged = match way {
            Way::Parts(_) => Staged::within(self.lease, at, at)?,
            _ if is_mount_point(at)? => Staged::within(self.lease, at, at)?,
            _ => Staged::beside(self.lease, at)?,
        };
        match way {
            Way::Whole if own.is_empty() => rename_dir(at, staged.path())?,
            Way::Whole | Way::Emptied => {
                own.link(at, staged.path())?;
                staged.open_to_others()?;
                staged.take_place_of(at)?;
            }
            Way::Parts(parts) => {
                own.link(at, staged.path())?;
                staged.take_place_of_parts(at, &parts)?;
            }
        }
        Ok(staged)
    }

    fn keep_builds_out(&self, at: &Path) -> Result<Vec<Lock>> {
        match keep_builds_out(at, PATIENCE, self.progress) {
            Err(Error::Io(error)) if error.is_denied() => {
                open_dir(at)?;
                keep_builds_out(at, PATIENCE, self.progress)
            }
            locks => locks,
        }
    }

    /// Returns the way to set a directory aside. Fails if it holds more than cargo builds.
    fn way(&self, at: &Path) -> Result<Way> {
        if self.holds_more(at) {
            return Err(unfit(at, "a checkout, the store or cargo's home lies inside it"));
        }
        let is_mount_point = is_mount_point(at)?;
        if self.is_inside(at) || (is_tagged_by_cargo(at) && !is_mount_point) {
            return Ok(if is_mount_point { Way::Emptied } else { Way::Whole });
        }
        let Parts { of_cargo, unclear, .. } = Parts::of(at)?;
        if let Some(unclear) = unclear {
            return Err(unfit(
                &unclear,
                "it is a target of its own in a directory that cargo did not make",
            ));
        }
        if of_cargo.is_empty() {
            return Err(unfit(at, "nothing in it says that cargo built there"));
        }
        Ok(Way::Parts(of_cargo))
    }

    fn holds_more(&self, at: &Path) -> bool {
        let Job { roots, cargo_home, workspaces, .. } = self.job;
        let home = [cargo_home.as_path(), self.store.root()];
        let mut kept = roots.values().chain(workspaces.keys()).map(PathBuf::as_path).chain(home);
        kept.any(|kept| real(kept).starts_with(at))
    }

    fn is_inside(&self, path: &Path) -> bool {
        self.job.roots.values().any(|root| path.starts_with(root))
    }

    /// Tells whether `at`, to which a symlink leads, is a directory that cargo made and that a job
    /// of this repository used last.
    fn is_ours(&self, at: &Path) -> bool {
        let owners = Owners { store: self.store, job: self.job, boot: self.boot };
        let scope = owners.of(at).and_then(|owner| owner.scope);
        let is_known = scope.is_some_and(|it| it.repository == self.job.scope.repository);
        is_known && at.is_dir() && !self.holds_more(at) && is_tagged_by_cargo(at)
    }
}

fn unfit(path: &Path, reason: &'static str) -> Error {
    Error::Unfit { path: path.to_owned(), reason }
}
