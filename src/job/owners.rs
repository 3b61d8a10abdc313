//! Owners: for each directory in which jobs build, the scope of the job that used it last.

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
    /// Returns the recorded owner of `dir`, if there is one.
    pub(crate) fn of(&self, dir: &Path) -> Option<DirOwner> {
        self.store.dir_owner(&real(dir), self.boot)
    }

    /// Returns why the job may not build in `dir`, given its owner; `None` if it may.
    pub(crate) fn foreign(&self, dir: &Path) -> Option<Foreign> {
        let owner = self.of(dir);
        foreign(owner.as_ref().and_then(|owner| owner.scope.as_ref()), &self.job.readable)
    }

    /// Records that the job uses `dir` from now on.
    pub(crate) fn take(&self, dir: &Path) -> Result<()> {
        let since = now_at(self.store.root())?;
        let scope = Some(self.job.scope.clone());
        self.record(dir, &DirOwner { scope, since, left: None })
    }

    /// Records that the job saved `dir`. If the job is over, `left` is the state in which the save
    /// left the directory.
    pub(crate) fn saved(&self, dir: &Path, left: Option<LeftAs>) -> Result<()> {
        let known = self.of(dir).map(|owner| owner.since);
        let since = known.map_or_else(|| now_at(self.store.root()), Ok)?;
        let scope = Some(self.job.scope.clone());
        self.record(dir, &DirOwner { scope, since, left })
    }

    /// Records that the owner of `dir` is unknown, unless it has a record already.
    pub(crate) fn disclaim(&self, dir: &Path) -> Result<()> {
        if self.of(dir).is_some() {
            return Ok(());
        }
        let since = now_at(self.store.root())?;
        self.record(dir, &DirOwner { scope: None, since, left: None })
    }

    /// Records that directories of the job, or around its checkouts, no longer exist. Records this
    /// only for directories whose owner `of` picks. Anything found there later is not the work of
    /// that owner.
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

    /// Returns the directories in the checkouts that have an owner, hold something, and are none of
    /// this job's own. Another job built in them, and this job may build in them too.
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

    /// Tells whether `dir`, which a save found, was created after this job took over its own
    /// target.
    pub(crate) fn is_new(&self, dir: &Path) -> bool {
        let own = self.job.target_dirs.first().and_then(|dir| self.of(dir));
        let since = own.filter(|own| own.scope.as_ref() == Some(&self.job.scope));
        since.is_some_and(|own| born(dir).is_some_and(|born| own.since <= born))
    }
}

/// Records the directories that a job uses although it restores nothing: its target directories and
/// its home. Skips a directory with files if its owner is unknown, or is a scope that the job may
/// not read.
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

/// Returns the directories of `CARGO_HOME` in which jobs leave files for the next job.
pub(crate) fn home_dirs(job: &Job) -> [PathBuf; 2] {
    ["registry", "git"].map(|below| job.cargo_home.join(below))
}

/// Returns the directory that contains the checkouts of a job, judged by one of them: the parent of
/// `root`, unless that is the root of the filesystem; then `root`.
fn around(root: &Path) -> Option<&Path> {
    root.parent().filter(|parent| parent.parent().is_some()).or(Some(root))
}
