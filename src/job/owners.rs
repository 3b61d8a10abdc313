//! Owners: who had a directory in hand last in which jobs build.

use std::path::{Path, PathBuf};

use super::Job;
use super::Result;
use super::dirs::{is_there, real};
use super::further::{For, with_last};
use crate::fs::space::now_at;
use crate::fs::stat::born;
use crate::model::leftovers::{DirOwner, Foreign, LeftAs, foreign};
use crate::store::{Store, boot_id};

/// The owners of directories, as the store records them.
pub(crate) struct Owners<'a> {
    pub(crate) store: &'a Store,
    pub(crate) job: &'a Job,
    pub(crate) boot: &'a str,
}

impl Owners<'_> {
    /// Returns who had `dir` in hand last, if that is known.
    pub(crate) fn of(&self, dir: &Path) -> Option<DirOwner> {
        self.store.dir_owner(&real(dir), self.boot)
    }

    /// Returns why the job may not build in `dir`, by its owner; none if it may.
    pub(crate) fn foreign(&self, dir: &Path) -> Option<Foreign> {
        let owner = self.of(dir);
        foreign(owner.as_ref().and_then(|owner| owner.scope.as_ref()), &self.job.readable)
    }

    /// Records that the job has `dir` in hand from now on.
    pub(crate) fn take(&self, dir: &Path) -> Result<()> {
        let since = now_at(self.store.root())?;
        let scope = Some(self.job.scope.clone());
        self.record(dir, &DirOwner { scope, since, left: None })
    }

    /// Records that a save of the job took in what is in `dir`, and how it left that, if the job is over.
    pub(crate) fn saved(&self, dir: &Path, left: Option<LeftAs>) -> Result<()> {
        let known = self.of(dir).map(|owner| owner.since);
        let since = known.map_or_else(|| now_at(self.store.root()), Ok)?;
        let scope = Some(self.job.scope.clone());
        self.record(dir, &DirOwner { scope, since, left })
    }

    /// Records that nobody knows who built in `dir`, unless an owner is recorded.
    pub(crate) fn disclaim(&self, dir: &Path) -> Result<()> {
        if self.of(dir).is_some() {
            return Ok(());
        }
        let since = now_at(self.store.root())?;
        self.record(dir, &DirOwner { scope: None, since, left: None })
    }

    /// Records of directories around the checkouts that they are not there, where `of` picks their owner: what is
    /// there later is none of that owner's work.
    pub(crate) fn note_missing(&self, of: impl Fn(&DirOwner) -> bool) -> Result<()> {
        let around: Vec<_> = self.job.roots.values().filter_map(|root| around(root)).collect();
        let own: Vec<_> = self.job.target_dirs.iter().map(|dir| real(dir)).collect();
        for (dir, owner) in self.store.owned_dirs(self.boot)? {
            let is_near = own.contains(&dir) || around.iter().any(|around| dir.starts_with(around));
            let is_news = owner.left != Some(LeftAs::NOTHING) && of(&owner);
            if is_near && is_news && !is_there(&dir) {
                self.record(&dir, &DirOwner { left: Some(LeftAs::NOTHING), ..owner })?;
            }
        }
        Ok(())
    }

    /// Returns the directories in the checkouts that have an owner and that this job does not ask for: another job
    /// built there, wherever that is, and this one may.
    pub(crate) fn beside(&self) -> Result<Vec<PathBuf>> {
        let mut dirs = self.store.owned_dirs(self.boot)?;
        let Job { roots, excluded, .. } = self.job;
        let is_asked_for = |dir: &Path| excluded.iter().any(|known| dir.starts_with(real(known)));
        dirs.retain(|(dir, _)| roots.values().any(|root| dir.starts_with(root)));
        dirs.retain(|(dir, _)| is_there(dir) && !is_asked_for(dir));
        Ok(dirs.into_iter().map(|(dir, _)| dir).collect())
    }

    fn record(&self, dir: &Path, owner: &DirOwner) -> Result<()> {
        Ok(self.store.set_dir_owner(&real(dir), self.boot, owner)?)
    }

    /// Tells whether `dir`, which a save found, was made after the job took its own target in hand.
    pub(crate) fn is_new(&self, dir: &Path) -> bool {
        let own = self.job.target_dirs.first().and_then(|dir| self.of(dir));
        let since = own.filter(|own| own.scope.as_ref() == Some(&self.job.scope));
        since.is_some_and(|own| born(dir).is_some_and(|born| own.since <= born))
    }
}

/// Records that a job which restores nothing builds in its target directories and uses its home, if it may read who did
/// last.
pub fn note_build(store: &Store, job: &Job) -> Result<()> {
    let (boot, job) = (boot_id(), &*with_last(store, job, For::Save));
    let owners = Owners { store, job, boot: &boot };
    owners.note_missing(|owner| owner.scope.as_ref() != Some(&job.scope))?;
    let beside = owners.beside()?;
    for dir in job.target_dirs.iter().chain(&home_dirs(job)).chain(&beside) {
        if !is_there(dir) || owners.foreign(dir).is_none() {
            owners.take(dir)?;
        }
    }
    Ok(())
}

/// Returns the directories of `CARGO_HOME` that jobs leave something in for the next one.
pub(crate) fn home_dirs(job: &Job) -> [PathBuf; 2] {
    ["registry", "git"].map(|below| job.cargo_home.join(below))
}

/// Returns the directory that the checkouts of one runner's job lie in, as far as `root`, one of them, tells.
fn around(root: &Path) -> Option<&Path> {
    root.parent().filter(|parent| parent.parent().is_some()).or(Some(root))
}
