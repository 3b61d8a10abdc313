//! Clears the target directories that earlier jobs left, before cargo sees them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use super::aside::Aside;
use super::sources::holds_more_than;
use super::{Planned, Restored, Restoring};
use crate::cargo::sources::list;
use crate::cargo::tracked::tracked_files;
use crate::fs::At;
use crate::job::checkout_files::CheckoutFiles;
use crate::job::dirs::{is_there, real};
use crate::job::error::chain;
use crate::job::owners::Owners;
use crate::job::report::SetAside;
use crate::job::sources::Glance;
use crate::job::warning::Warning;
use crate::job::{Job, Result};
use crate::model::leftovers::{DirOwner, Foreign, Leftovers};
use crate::model::raw_path::RawPath;
use crate::model::rel_path::RelPath;
use crate::model::root::Root;
use crate::tree::left::is_as_left;

/// The result of clearing the directories that were there when the restore began.
pub(super) struct Cleared {
    /// The directories that were set aside.
    pub(super) set_aside: Vec<SetAside>,
    /// The reasons why others could not be set aside.
    pub(super) warnings: Vec<Warning>,
}

/// The clearing of the directories that were there when the restore began.
pub(super) struct Clearing<'r> {
    restoring: &'r Restoring<'r>,
    set_aside: Vec<SetAside>,
    warnings: Vec<Warning>,
    /// The directories in which the job may build, with their owners.
    kept: BTreeMap<PathBuf, DirOwner>,
    /// The directories that stay although the job may not build in them.
    foreign: BTreeSet<PathBuf>,
    /// The files that git tracks; `None` until they are needed.
    tracked: Option<BTreeMap<Root, Vec<RelPath>>>,
    removing: Vec<JoinHandle<()>>,
}

impl Restoring<'_> {
    pub(super) fn owners(&self) -> Owners<'_> {
        Owners { store: self.store, job: self.job, boot: &self.boot }
    }

    fn sets_aside(&self) -> bool {
        self.options.leftovers == Leftovers::SetAside
    }

    /// Sets aside the target directories of the job that were last used by a job that this one may
    /// not read.
    pub(super) fn clear(&self) -> Clearing<'_> {
        let noted =
            self.owners().note_missing(|owner| owner.scope.as_ref() != Some(&self.job.scope));
        let mut clearing = Clearing {
            restoring: self,
            set_aside: Vec::new(),
            warnings: noted.err().map(Warning::from).into_iter().collect(),
            kept: BTreeMap::new(),
            foreign: BTreeSet::new(),
            tracked: None,
            removing: Vec::new(),
        };
        for dir in &self.job.target_dirs {
            clearing.clear_one(dir);
        }
        clearing
    }

    /// Records that the job uses a directory that now holds a generation and nothing else.
    pub(super) fn take_restored(&self, dir: &Path) -> Result<()> {
        match self.owners().foreign(dir) {
            None => Ok(()),
            Some(_) => self.owners().take(dir),
        }
    }
}

impl Clearing<'_> {
    /// Sets aside further targets in the checkouts that the job did not ask for: a build may use
    /// them, and a save would find them. Returns the glance if it is still true, else an empty one.
    pub(super) fn found(&mut self, glance: Glance) -> Glance {
        if !self.restoring.sets_aside() {
            return glance;
        }
        let before = self.set_aside.len();
        for dir in self.found_targets(&glance) {
            if self.restoring.job.check_further(&dir).is_ok() {
                self.clear_one(&dir);
                self.clear_changed(&dir);
            } else {
                // It stays. If the job may build there, the job becomes its owner.
                self.keep(&dir);
            }
        }
        // The glance read the parent directories while the targets were still in them.
        if self.set_aside.len() > before { Glance::default() } else { glance }
    }

    fn found_targets(&mut self, glance: &Glance) -> Vec<PathBuf> {
        let Restoring { job, .. } = self.restoring;
        let mut found = Vec::new();
        for (root, dir) in &job.roots {
            match glance.strange_targets(root) {
                Some(known) => found.extend_from_slice(known),
                None => match list(dir, &job.excluded, &job.environment) {
                    Ok(listing) => found.extend(listing.strange_targets),
                    Err(error) => self.warnings.push(error.into()),
                },
            }
        }
        match self.restoring.owners().beside() {
            Ok(owned) => found.extend(owned),
            Err(error) => self.warnings.push(error.into()),
        }
        // A directory comes before the directories in it.
        found.sort();
        found.dedup();
        found
    }

    fn clear_one(&mut self, dir: &Path) {
        if !is_there(dir) {
            return;
        }
        let restoring = self.restoring;
        match restoring.owners().foreign(dir) {
            None => {
                self.keep(dir);
                // The directory behind a symlink may have been moved away as a hot tree. Cargo does
                // not create it again.
                if dir.is_symlink() && restoring.sets_aside() {
                    let end = real(dir);
                    let made = std::fs::create_dir_all(&end).at("create directory", &end);
                    self.warnings.extend(made.err().map(Warning::from));
                }
            }
            Some(why) if restoring.sets_aside() => self.set_aside(dir, &why),
            Some(_) => drop(self.foreign.insert(dir.to_owned())),
        }
    }

    fn keep(&mut self, dir: &Path) {
        let owners = self.restoring.owners();
        let owner = owners.of(dir).filter(|_| owners.foreign(dir).is_none());
        self.kept.extend(owner.map(|owner| (dir.to_owned(), owner)));
    }

    /// Sets aside the directories that no generation replaces and that changed after the last save.
    /// A live target that was set aside is no longer ahead of the store.
    pub(super) fn left<'a>(&mut self, mut plan: Vec<Planned<'a>>) -> Vec<Planned<'a>> {
        for dir in &self.restoring.job.target_dirs {
            let area = plan.iter_mut().find(|area| area.place.dir == *dir);
            let choice = area.and_then(|area| area.choice.as_mut());
            if choice.as_ref().is_some_and(|choice| choice.ahead.is_none()) {
                continue;
            }
            self.clear_changed(dir);
            if let Some(choice) = choice.filter(|_| !self.kept.contains_key(dir)) {
                choice.ahead = None;
            }
        }
        plan
    }

    /// Sets aside the directories of areas that could not be restored, if they changed after the
    /// last save.
    pub(super) fn failed(&mut self, areas: &[Restored<'_>]) {
        for area in areas.iter().filter(|area| area.report.failure.is_some()) {
            self.clear_changed(&area.place.dir);
        }
    }

    fn clear_changed(&mut self, dir: &Path) {
        let restoring = self.restoring;
        let Some(owner) = self.kept.get(dir).filter(|_| restoring.sets_aside()) else { return };
        if owner.left.is_none() {
            return;
        }
        let own = tracked_in(restoring, dir, &mut self.tracked);
        // A directory that cannot be read may have changed.
        if !is_as_left(restoring.job, dir, owner, &own).unwrap_or(false) {
            let why = owner.scope.clone().map_or(Foreign::Unknown, Foreign::Since);
            self.kept.remove(dir);
            self.set_aside(dir, &why);
        }
    }

    fn set_aside(&mut self, dir: &Path, why: &Foreign) {
        let restoring = self.restoring;
        let own = tracked_in(restoring, dir, &mut self.tracked);
        if !own.is_empty() && holds_more_than(&own, dir).is_ok_and(|is_more| !is_more) {
            return;
        }
        let Restoring { store, lease, job, boot, unpacker, .. } = restoring;
        let progress = unpacker.progress;
        let aside = Aside { store, lease, job, boot, progress };
        match aside.set(dir, &own) {
            Ok(staged) => {
                let path = RawPath::of(dir.as_os_str().as_encoded_bytes());
                self.set_aside.push(SetAside { path, why: why.to_string() });
                let removing = thread::Builder::new().spawn(move || drop(staged));
                self.removing.extend(removing);
            }
            Err(error) => {
                self.warnings.push(Warning::NotSetAside {
                    dir: dir.to_owned(),
                    whose: why.clone(),
                    cause: chain(&error),
                    is_replaceable: true,
                });
                self.foreign.insert(dir.to_owned());
            }
        }
    }

    /// Records that the job uses its target directories, before anything is put in place and before
    /// it builds. For foreign directories that stay, records an unknown owner, unless one is
    /// recorded.
    pub(super) fn take_in_hand(&mut self) {
        let own = &self.restoring.job.target_dirs;
        let owners = self.restoring.owners();
        let found = self.kept.keys().filter(|dir| !own.contains(dir));
        for dir in own.iter().chain(found) {
            let taken =
                if self.foreign.contains(dir) { owners.disclaim(dir) } else { owners.take(dir) };
            self.warnings.extend(taken.err().map(Warning::from));
        }
        for dir in self.foreign.iter().filter(|dir| !own.contains(dir)) {
            let disclaimed = owners.disclaim(dir);
            self.warnings.extend(disclaimed.err().map(Warning::from));
        }
    }

    /// Waits until the directories that were set aside are removed.
    pub(super) fn finish(self) -> Cleared {
        for removing in self.removing {
            // The thread only removes files, and the next `reclaim` removes those that it left.
            drop(removing.join());
        }
        Cleared { set_aside: self.set_aside, warnings: self.warnings }
    }
}

/// Returns the files in `dir` that git tracks. Runs git only once.
fn tracked_in(
    restoring: &Restoring<'_>,
    dir: &Path,
    known: &mut Option<BTreeMap<Root, Vec<RelPath>>>,
) -> CheckoutFiles {
    let roots = &restoring.job.roots;
    let tracked = known.get_or_insert_with(|| tracked(restoring.job));
    let of_root = tracked.iter().map(|(root, paths)| (roots[root].as_path(), paths.iter()));
    CheckoutFiles::within(dir, of_root)
}

/// Returns the files that git tracks, by root.
pub(super) fn tracked(job: &Job) -> BTreeMap<Root, Vec<RelPath>> {
    let of_root =
        |(root, dir): (&Root, &PathBuf)| (root.clone(), tracked_files(dir, &job.environment));
    job.roots.iter().map(of_root).collect()
}
