//! Mends a `CARGO_HOME` during a restore, and vouches for what was restored there.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::placed::Placed;
use super::shared::{Home, place_shared};
use super::{HomeAreas, Restoring};
use crate::cargo::home::Shared;
use crate::fs::space::now_at;
use crate::fs::stat::Inode;
use crate::job::AreaPlace;
use crate::job::owners::home_dirs;
use crate::job::report::{AreaReport, Said};
use crate::job::warning::{FoundBy, Warning};
use crate::job::{Error, Result};
use crate::model::area::Area;
use crate::model::leftovers::Leftovers;
use crate::model::manifest::Manifest;
use crate::model::rel_path::RelPath;
use crate::model::timestamp::Timestamp;
use crate::store::{Vouched, unmark};
use crate::vouch::{Changed, LeftBy, Part, Restored, Vouching, Wrong};

/// The directories of a home, in the order of [`home_dirs`].
const PARTS: [(Shared, Area); 2] = [(Shared::Registry, Area::Registry), (Shared::Git, Area::Git)];

/// The time in seconds for which the disk may lack bytes that were written. The kernel begins to
/// write unflushed bytes within half a minute, and journals 5 s later: `dirty_expire_centisecs`,
/// `commit` of ext4(5).
const UNFLUSHED_SECS: u32 = 600;

impl<'a> Restoring<'a> {
    /// Restores the areas in `CARGO_HOME`. Replaces or removes everything wrong in them before
    /// cargo finds it, whichever job left it.
    pub(super) fn restore_shared(&self) -> HomeAreas<'a> {
        let mut said = Said { warnings: self.take_home_in_hand(), ..Said::default() };
        let plan = self.plan(|place| place.area.is_shared());
        let mut areas = self.put_all_in_place(plan.areas, &BTreeMap::new());
        for area in areas.iter_mut().filter(|area| area.placed.is_none()) {
            let Some(kind) = Shared::of(&area.place.area) else { continue };
            area.report.tell(self.mend_unrestored(Part { kind, dir: &area.place.dir }));
        }
        for ((kind, area), dir) in PARTS.into_iter().zip(&home_dirs(self.job)) {
            if self.sees_to(&area) && !areas.iter().any(|it| it.place.area == area) {
                said.add(self.mend_unrestored(Part { kind, dir }));
            }
        }
        HomeAreas { areas, said }
    }

    /// Tells whether the job makes sure that nothing is wrong in a directory of its home. It does
    /// so for a directory that it keeps. If it sets leftovers aside and keeps a target, which other
    /// jobs may get, it does so for each directory.
    pub(super) fn sees_to(&self, area: &Area) -> bool {
        let places = &self.job.places;
        let builds_for_others = self.options.leftovers == Leftovers::SetAside
            && places.iter().any(|place| !place.area.is_shared());
        builds_for_others || places.iter().any(|place| place.area == *area)
    }

    /// Records that the job uses the directories of its home, except those that a job left that it
    /// may not read: these are checked first. Returns a warning for each failure.
    fn take_home_in_hand(&self) -> Vec<Warning> {
        let owners = self.owners();
        let own = home_dirs(self.job).into_iter().filter(|dir| owners.foreign(dir).is_none());
        own.filter_map(|dir| owners.take(&dir).err()).map(Warning::from).collect()
    }

    /// Puts a generation of one directory of the home in place.
    pub(super) fn place_home(
        &self,
        kind: Shared,
        place: &AreaPlace,
        manifest: &Manifest,
        report: &mut AreaReport,
    ) -> Result<Placed> {
        let mut mending = Mending::of(self, Part { kind, dir: &place.dir });
        let placed = mending.place(manifest);
        report.tell(mending.said);
        placed
    }

    /// Removes everything wrong from a directory of the home in which nothing was restored.
    fn mend_unrestored(&self, part: Part<'_>) -> Said {
        let mut mending = Mending::of(self, part);
        if let Err(error) = mending.mend_unrestored() {
            mending.said.warnings.push(error.into());
        }
        mending.said
    }

    /// Tells whether everything in a directory of the home is vouched for. Returns `false` if a job
    /// that this one may not read used the directory last, or if the disk may have lost bytes of
    /// it.
    fn is_vouched(&self, part: Part<'_>) -> Result<bool> {
        if self.left_by(part) == LeftBy::Foreign {
            return Ok(false);
        }
        let vouched = self.store.vouched(part.dir, &self.boot);
        Ok(!self.may_be_lost(&vouched)? && self.vouching().is_all_vouched(part, &vouched)?)
    }

    /// Tells whether a restore wrote there so recently that a failure of the disk in this boot may
    /// have lost its bytes.
    fn may_be_lost(&self, vouched: &Vouched) -> Result<bool> {
        let Some(placed) = vouched.placed else { return Ok(false) };
        let now = now_at(self.store.root())?;
        Ok(now.minus(UNFLUSHED_SECS, 0) < placed)
    }

    fn look_over(&self, part: Part<'_>) -> Result<Vec<Wrong>> {
        if !part.dir.is_dir() {
            return Ok(Vec::new());
        }
        self.vouching().look_over(part, self.left_by(part))
    }

    fn left_by(&self, part: Part<'_>) -> LeftBy {
        match self.owners().foreign(part.dir) {
            None => LeftBy::Readable,
            Some(_) => LeftBy::Foreign,
        }
    }

    fn vouching(&self) -> Vouching<'_> {
        let Self { store, lease, job, boot, unpacker, .. } = self;
        Vouching { store, lease, job, boot, progress: unpacker.progress }
    }

    /// Records that the restored parts are right, so that a save need not check them. `placed` is
    /// the time of the restore, if it wrote anything.
    pub(super) fn note_restored(
        &self,
        place: &AreaPlace,
        manifest: &Manifest,
        inodes: &HashMap<RelPath, Inode>,
        placed: Option<Timestamp>,
    ) -> Result<()> {
        let Some(kind) = Shared::of(&place.area) else { return Ok(()) };
        let part = Part { kind, dir: &place.dir };
        self.vouching().note_restored(part, &Restored { manifest, inodes, placed })
    }
}

/// The mending of one directory of the home.
struct Mending<'r> {
    restoring: &'r Restoring<'r>,
    part: Part<'r>,
    said: Said,
}

impl<'r> Mending<'r> {
    fn of(restoring: &'r Restoring<'r>, part: Part<'r>) -> Self {
        Self { restoring, part, said: Said::default() }
    }

    /// Puts a generation in place, and mends the rest of the directory.
    fn place(&mut self, manifest: &Manifest) -> Result<Placed> {
        let Restoring { job, unpacker, lease, .. } = self.restoring;
        let part = self.part;
        // As in a target, a killed restore may have left its mark.
        drop(unmark(part.dir));
        let changed = self.changed(Some(manifest))?;
        let is_vouched = self.restoring.is_vouched(part)?;
        let mut wrong = if is_vouched { None } else { Some(self.clear_ways()?) };
        let placed = loop {
            let with_changed = |wrong: &Vec<Wrong>| {
                let wrong = wrong.iter().map(|wrong| &wrong.path);
                wrong.chain(&changed.saved).cloned().collect()
            };
            let paths: Option<HashSet<_>> = wrong.as_ref().map(with_changed);
            let home = Home {
                kind: part.kind,
                root: &job.cargo_home,
                dir: part.dir,
                checksums: job.locked_parts.checksums(),
                wrong: paths.as_ref(),
            };
            match place_shared(unpacker, lease, &home, manifest)? {
                Some(placed) => break placed,
                None => wrong = Some(self.clear_ways()?),
            }
        };
        let is_written =
            |path: &RelPath| placed.certain.as_ref().is_none_or(|written| written.contains(path));
        let (replaced, rest): (Vec<_>, Vec<_>) =
            wrong.unwrap_or_default().into_iter().partition(|wrong| is_written(&wrong.path));
        self.said.warnings.extend(replaced.into_iter().map(|Wrong { path, why }| {
            Warning::Replaced { path: part.dir.join(path.as_path()), why }
        }));
        let rest = if manifest.header.vouched || !placed.wrote() {
            rest
        } else {
            // The save did not vouch for this generation, so its parts are checked now.
            self.restoring.vouching().look_over(part, self.restoring.left_by(part))?
        };
        let is_clean = self.remove_changed(&changed);
        self.mend(&rest, is_clean)?;
        Ok(placed)
    }

    /// Removes everything wrong where nothing was restored.
    fn mend_unrestored(&mut self) -> Result<()> {
        let changed = self.changed(None)?;
        let is_clean = self.remove_changed(&changed);
        if self.restoring.is_vouched(self.part)? {
            return Ok(());
        }
        let wrong = self.restoring.look_over(self.part)?;
        self.mend(&wrong, is_clean)
    }

    /// Returns the parts that a job which may not be read changed and that no lock file proves.
    /// Returns none if this job keeps leftovers.
    fn changed(&mut self, saved: Option<&Manifest>) -> Result<Changed> {
        let Restoring { options, .. } = self.restoring;
        let is_readable = self.restoring.left_by(self.part) == LeftBy::Readable;
        if options.leftovers == Leftovers::Keep || is_readable {
            return Ok(Changed::default());
        }
        match self.restoring.vouching().changed(self.part, saved) {
            Err(Error::Stopped) => Err(Error::Stopped),
            // The parts are compared with the lock files all the same.
            Err(error) => {
                self.said.warnings.push(error.into());
                Ok(Changed::default())
            }
            changed => changed,
        }
    }

    /// Removes the changed parts that the generation lacks. Tells whether all of them are removed.
    fn remove_changed(&mut self, changed: &Changed) -> bool {
        self.said.notes.extend(changed.note(self.part.dir));
        let removed = self.restoring.vouching().remove_changed(self.part, &changed.made);
        let is_done = removed.is_ok();
        self.said.warnings.extend(removed.err().map(Warning::from));
        is_done
    }

    /// Checks the directory, and removes each symlink or file that stands where cargo has a
    /// directory on the way to a part: nothing may be written or read through a symlink. Returns
    /// everything else that is wrong.
    fn clear_ways(&mut self) -> Result<Vec<Wrong>> {
        let (restoring, part) = (self.restoring, self.part);
        let is_way = |wrong: &Wrong| restoring.job.locked_parts.is_way(part.kind, &wrong.path);
        let wrong = restoring.look_over(part)?;
        let (ways, rest): (Vec<_>, Vec<_>) = wrong.into_iter().partition(is_way);
        let found = (FoundBy::Restore, restoring.left_by(part));
        let removal = restoring.vouching().remove(part, &ways, found);
        self.said.warnings.extend(removal.warnings);
        if !removal.is_done {
            let reason = "a file or symlink stands in it where cargo needs a directory, and cannot be removed";
            return Err(Error::Unfit { path: part.dir.to_owned(), reason });
        }
        Ok(rest)
    }

    /// Removes the `wrong` parts. If that succeeds and everything else `is_clean`, records that
    /// this job uses a directory that another job left.
    fn mend(&mut self, wrong: &[Wrong], is_clean: bool) -> Result<()> {
        let (restoring, part) = (self.restoring, self.part);
        let left_by = restoring.left_by(part);
        let removal = restoring.vouching().remove(part, wrong, (FoundBy::Restore, left_by));
        self.said.warnings.extend(removal.warnings);
        if removal.is_done && is_clean && left_by == LeftBy::Foreign {
            restoring.owners().take(part.dir)?;
        }
        Ok(())
    }
}
