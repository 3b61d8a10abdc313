//! What a restore does with the directories that are there already, before cargo sees them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use super::aside::Aside;
use super::sources::holds_more_than;
use super::{Pending, Restoring};
use crate::cargo::sources::list;
use crate::cargo::tracked::tracked_files;
use crate::fs::At;
use crate::job::checkout_files::CheckoutFiles;
use crate::job::dirs::{is_there, real};
use crate::job::owners::Owners;
use crate::job::report::{SetAside, chain};
use crate::job::sources::Glance;
use crate::job::warning::Warning;
use crate::job::{Job, Result};
use crate::model::leftovers::{DirOwner, Foreign, Leftovers};
use crate::model::raw_path::RawPath;
use crate::model::rel_path::RelPath;
use crate::model::root::Root;
use crate::tree::left::is_as_left;

/// What became of the directories that were there when the restore began.
#[derive(Default)]
pub(super) struct Cleared {
    /// The directories that were set aside.
    pub(super) set_aside: Vec<SetAside>,
    /// Why others could not be.
    pub(super) warnings: Vec<Warning>,
    /// Those in which the job may build, with their owners.
    kept: BTreeMap<PathBuf, DirOwner>,
    /// Those that are there although it may not.
    foreign: BTreeSet<PathBuf>,
    /// What git tracks, once somebody has asked.
    tracked: Option<BTreeMap<Root, Vec<RelPath>>>,
    removing: Vec<JoinHandle<()>>,
}

impl Cleared {
    /// Waits until what was set aside is gone.
    pub(super) fn finish(&mut self) {
        for removing in self.removing.drain(..) {
            // It only removes, and reclaim removes what it left.
            drop(removing.join());
        }
    }
}

impl Restoring<'_> {
    pub(super) fn owners(&self) -> Owners<'_> {
        Owners { store: self.store, job: self.job, boot: &self.boot }
    }

    fn sets_aside(&self) -> bool {
        self.options.leftovers == Leftovers::SetAside
    }

    /// Sets the target directories of the job aside that another job had in hand last which it may not read.
    pub(super) fn clear(&self) -> Cleared {
        let mut cleared = Cleared::default();
        let noted =
            self.owners().note_missing(|owner| owner.scope.as_ref() != Some(&self.job.scope));
        cleared.warnings.extend(noted.err().map(Warning::from));
        for dir in &self.job.target_dirs {
            self.clear_one(dir, &mut cleared);
        }
        cleared
    }

    /// Sets further targets aside that lie in the checkouts and that the job did not ask for: a build may use them,
    /// and a save would find them.
    pub(super) fn clear_found(&self, glance: &mut Glance, cleared: &mut Cleared) {
        if !self.sets_aside() {
            return;
        }
        let before = cleared.set_aside.len();
        for dir in self.found_targets(glance, cleared) {
            if self.job.check_further(&dir).is_ok() {
                self.clear_one(&dir, cleared);
                self.clear_changed(&dir, cleared);
            } else {
                // It is left alone; whatever this job builds there is no other one's.
                self.keep(&dir, cleared);
            }
        }
        if cleared.set_aside.len() > before {
            // The directories that they lay in were read with them.
            *glance = Glance::default();
        }
    }

    fn found_targets(&self, glance: &Glance, cleared: &mut Cleared) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for (root, dir) in &self.job.roots {
            match glance.strange_targets(root) {
                Some(known) => found.extend_from_slice(known),
                None => match list(dir, &self.job.excluded, &self.job.environment) {
                    Ok(listing) => found.extend(listing.strange_targets),
                    Err(error) => cleared.warnings.push(error.into()),
                },
            }
        }
        match self.owners().beside() {
            Ok(owned) => found.extend(owned),
            Err(error) => cleared.warnings.push(error.into()),
        }
        // A directory comes before what is in it.
        found.sort();
        found.dedup();
        found
    }

    fn clear_one(&self, dir: &Path, cleared: &mut Cleared) {
        if !is_there(dir) {
            return;
        }
        match self.owners().foreign(dir) {
            None => {
                self.keep(dir, cleared);
                // Cargo makes nothing at the end of a symlink that leads nowhere. A tree that was put by lay there.
                if dir.is_symlink() && self.sets_aside() {
                    let end = real(dir);
                    let made = std::fs::create_dir_all(&end).at("create directory", &end);
                    cleared.warnings.extend(made.err().map(Warning::from));
                }
            }
            Some(why) if self.sets_aside() => self.set_aside(dir, &why, cleared),
            Some(_) => drop(cleared.foreign.insert(dir.to_owned())),
        }
    }

    fn keep(&self, dir: &Path, cleared: &mut Cleared) {
        let owner = self.owners().of(dir).filter(|_| self.owners().foreign(dir).is_none());
        cleared.kept.extend(owner.map(|owner| (dir.to_owned(), owner)));
    }

    /// Sets those directories aside that no generation replaces and that somebody built in after the last save.
    pub(super) fn clear_left(&self, areas: &mut [Pending<'_>], cleared: &mut Cleared) {
        for dir in &self.job.target_dirs {
            let area = areas.iter_mut().find(|area| area.place.dir == *dir);
            let choice = area.and_then(|area| area.choice.as_mut());
            if choice.as_ref().is_some_and(|choice| choice.ahead.is_none()) {
                continue;
            }
            self.clear_changed(dir, cleared);
            if let Some(choice) = choice.filter(|_| !cleared.kept.contains_key(dir)) {
                choice.ahead = None;
            }
        }
    }

    /// Sets the directories of areas aside that could not be restored, where somebody built after the last save.
    pub(super) fn clear_failed(&self, areas: &[Pending<'_>], cleared: &mut Cleared) {
        for area in areas.iter().filter(|area| area.report.failure.is_some()) {
            self.clear_changed(&area.place.dir, cleared);
        }
    }

    fn clear_changed(&self, dir: &Path, cleared: &mut Cleared) {
        let Some(owner) = cleared.kept.get(dir).filter(|_| self.sets_aside()) else { return };
        if owner.left.is_none() {
            return;
        }
        let own = tracked_in(self, dir, &mut cleared.tracked);
        // What cannot be looked at may be anything.
        if !is_as_left(self.job, dir, owner, &own).unwrap_or(false) {
            let why = owner.scope.clone().map_or(Foreign::Unknown, Foreign::Since);
            cleared.kept.remove(dir);
            self.set_aside(dir, &why, cleared);
        }
    }

    fn set_aside(&self, dir: &Path, why: &Foreign, cleared: &mut Cleared) {
        let own = tracked_in(self, dir, &mut cleared.tracked);
        if !own.is_empty() && holds_more_than(&own, dir).is_ok_and(|is_more| !is_more) {
            return;
        }
        let progress = self.unpacker.progress;
        let (store, lease, job, boot) = (self.store, self.lease, self.job, self.boot.as_str());
        let aside = Aside { store, lease, job, boot, progress };
        match aside.set(dir, &own) {
            Ok(staged) => {
                let path = RawPath::of(dir.as_os_str().as_encoded_bytes());
                cleared.set_aside.push(SetAside { path, why: why.to_string() });
                let removing = thread::Builder::new().spawn(move || drop(staged));
                cleared.removing.extend(removing);
            }
            Err(error) => {
                cleared.warnings.push(Warning::NotSetAside {
                    dir: dir.to_owned(),
                    whose: why.clone(),
                    cause: chain(&error),
                    is_replaceable: true,
                });
                cleared.foreign.insert(dir.to_owned());
            }
        }
    }

    /// Records that the job has its target directories in hand, before anything is put in place and before it builds.
    pub(super) fn take_in_hand(&self, cleared: &mut Cleared) {
        let found = cleared.kept.keys().filter(|dir| !self.job.target_dirs.contains(dir));
        for dir in self.job.target_dirs.iter().chain(found) {
            let taken = if cleared.foreign.contains(dir) {
                self.owners().disclaim(dir)
            } else {
                self.owners().take(dir)
            };
            cleared.warnings.extend(taken.err().map(Warning::from));
        }
        for dir in cleared.foreign.iter().filter(|dir| !self.job.target_dirs.contains(dir)) {
            let disclaimed = self.owners().disclaim(dir);
            cleared.warnings.extend(disclaimed.err().map(Warning::from));
        }
    }

    /// Records that the job has a directory in hand that now holds a generation and nothing else.
    pub(super) fn take_restored(&self, dir: &Path) -> Result<()> {
        match self.owners().foreign(dir) {
            None => Ok(()),
            Some(_) => self.owners().take(dir),
        }
    }
}

/// Returns what of `dir` git tracks; it is asked once.
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

/// Returns the files that git tracks, by root: they are asked for only where something is set aside.
pub(super) fn tracked(job: &Job) -> BTreeMap<Root, Vec<RelPath>> {
    let of_root =
        |(root, dir): (&Root, &PathBuf)| (root.clone(), tracked_files(dir, &job.environment));
    job.roots.iter().map(of_root).collect()
}
