//! What a restore does about what lies in a `CARGO_HOME` already, and what it vouches for.

use std::collections::{HashMap, HashSet};

use super::placed::Placed;
use super::shared::{Home, place_shared};
use super::{Pending, Restoring};
use crate::cargo::home::Shared;
use crate::fs::space::now_at;
use crate::fs::stat::Inode;
use crate::job::Place;
use crate::job::note::Note;
use crate::job::owners::home_dirs;
use crate::job::report::AreaReport;
use crate::job::sources::Glance;
use crate::job::warning::{FoundBy, Warning};
use crate::job::{Error, Result};
use crate::model::area::Area;
use crate::model::leftovers::Leftovers;
use crate::model::manifest::Manifest;
use crate::model::rel_path::RelPath;
use crate::model::timestamp::Timestamp;
use crate::store::Vouched;
use crate::vouch::{Changed, LeftBy, Part, Restored, Vouching, Wrong};

/// The parts of a home, as the directories of one are listed.
const PARTS: [(Shared, Area); 2] = [(Shared::Registry, Area::Registry), (Shared::Git, Area::Git)];

/// For how long the disk may lack what was written, in seconds. The kernel begins to write within half a minute what
/// nobody flushes, and journals 5 s later: `dirty_expire_centisecs`, `commit` of ext4(5).
const UNFLUSHED_SECS: u32 = 600;

impl<'a> Restoring<'a> {
    /// Restores the areas in `CARGO_HOME`, and sees to it that cargo finds nothing wrong in them, whoever left it.
    pub(super) fn restore_shared(
        &self,
        notes: &mut Vec<Note>,
        warnings: &mut Vec<Warning>,
    ) -> Vec<Pending<'a>> {
        self.take_home_in_hand(warnings);
        let mut areas = self.choose(|place| place.area.is_shared(), &mut Glance::default());
        self.put_all_in_place(&mut areas);
        for area in areas.iter_mut().filter(|area| area.choice.is_none()) {
            let Some(kind) = Shared::of(&area.place.area) else { continue };
            let part = Part { kind, dir: &area.place.dir };
            let AreaReport { notes, warnings, .. } = &mut area.report;
            let mended = self.mend_unrestored(part, notes, warnings);
            warnings.extend(mended.err().map(Warning::from));
        }
        for ((kind, area), dir) in PARTS.into_iter().zip(&home_dirs(self.job)) {
            if self.sees_to(&area) && !areas.iter().any(|it| it.place.area == area) {
                let mended = self.mend_unrestored(Part { kind, dir }, notes, warnings);
                warnings.extend(mended.err().map(Warning::from));
            }
        }
        areas
    }

    /// Tells whether the job sees to it that nothing is wrong in a part of its home: one that it keeps, and one that it
    /// builds from what others may get.
    pub(super) fn sees_to(&self, area: &Area) -> bool {
        let places = &self.job.places;
        let builds_for_others = self.options.leftovers == Leftovers::SetAside
            && places.iter().any(|place| !place.area.is_shared());
        builds_for_others || places.iter().any(|place| place.area == *area)
    }

    /// Records that the job has the parts of its home in hand, but for those of a job that it may not read: they are
    /// looked over first.
    fn take_home_in_hand(&self, warnings: &mut Vec<Warning>) {
        for dir in home_dirs(self.job) {
            if self.owners().foreign(&dir).is_none() {
                warnings.extend(self.owners().take(&dir).err().map(Warning::from));
            }
        }
    }

    /// Puts a generation of a part of the home in place.
    pub(super) fn place_home(
        &self,
        kind: Shared,
        place: &Place,
        manifest: &Manifest,
        report: &mut AreaReport,
    ) -> Result<Placed> {
        let part = Part { kind, dir: &place.dir };
        let AreaReport { notes, warnings, .. } = report;
        let changed = self.changed(part, Some(manifest), warnings)?;
        let is_vouched = self.is_vouched(part)?;
        let mut wrong = if is_vouched { None } else { Some(self.clear_ways(part, warnings)?) };
        let placed = loop {
            let with_changed = |wrong: &Vec<Wrong>| {
                let wrong = wrong.iter().map(|wrong| &wrong.path);
                wrong.chain(&changed.saved).cloned().collect()
            };
            let paths: Option<HashSet<_>> = wrong.as_ref().map(with_changed);
            let home = Home {
                kind,
                root: &self.job.cargo_home,
                dir: &place.dir,
                checksums: self.job.wanted.checksums(),
                wrong: paths.as_ref(),
            };
            match place_shared(&self.unpacker, self.lease, &home, manifest)? {
                Some(placed) => break placed,
                None => wrong = Some(self.clear_ways(part, warnings)?),
            }
        };
        let is_written =
            |path: &RelPath| placed.certain.as_ref().is_none_or(|written| written.contains(path));
        let (replaced, rest): (Vec<_>, Vec<_>) =
            wrong.unwrap_or_default().into_iter().partition(|wrong| is_written(&wrong.path));
        warnings.extend(replaced.iter().map(|Wrong { path, why }| {
            let path = place.dir.join(path.as_path());
            Warning::Replaced { path, why: why.clone() }
        }));
        let rest = if manifest.header.vouched || !placed.wrote() {
            rest
        } else {
            // An older version saved it.
            self.vouching().look_over(part, self.left_by(part))?
        };
        let is_clean = self.remove_changed(part, &changed, notes, warnings);
        self.mend(part, &rest, is_clean, warnings)?;
        Ok(placed)
    }

    /// Returns what a job that may not be read changed in a part of the home and no lock file proves, unless the job keeps
    /// leftovers.
    fn changed(
        &self,
        part: Part<'_>,
        saved: Option<&Manifest>,
        warnings: &mut Vec<Warning>,
    ) -> Result<Changed> {
        if self.options.leftovers == Leftovers::Keep || self.left_by(part) == LeftBy::Readable {
            return Ok(Changed::default());
        }
        match self.vouching().changed(part, saved) {
            Err(Error::Stopped) => Err(Error::Stopped),
            // What a lock file says is looked at all the same.
            Err(error) => {
                warnings.push(error.into());
                Ok(Changed::default())
            }
            changed => changed,
        }
    }

    /// Removes what was changed and the generation lacks. Tells whether that is done.
    fn remove_changed(
        &self,
        part: Part<'_>,
        changed: &Changed,
        notes: &mut Vec<Note>,
        warnings: &mut Vec<Warning>,
    ) -> bool {
        notes.extend(changed.note(part.dir));
        let removed = self.vouching().remove_changed(part, &changed.made);
        let is_done = removed.is_ok();
        warnings.extend(removed.err().map(Warning::from));
        is_done
    }

    /// Looks a part of the home over, and removes what stands where cargo has directories that lead to others: nothing is
    /// put in place, or read, where a symlink leads. Returns what else is wrong.
    fn clear_ways(&self, part: Part<'_>, warnings: &mut Vec<Warning>) -> Result<Vec<Wrong>> {
        let is_way = |wrong: &Wrong| self.job.wanted.is_way(part.kind, &wrong.path);
        let (ways, rest): (Vec<_>, Vec<_>) = self.look_over(part)?.into_iter().partition(is_way);
        let removal = self.vouching().remove(part, &ways, (FoundBy::Restore, self.left_by(part)));
        warnings.extend(removal.warnings);
        if !removal.is_done {
            let reason = "what stands there in place of a directory cannot be removed";
            return Err(Error::Unfit { path: part.dir.to_owned(), reason });
        }
        Ok(rest)
    }

    /// Sees to it that cargo finds nothing wrong in a part of the home where nothing was restored.
    fn mend_unrestored(
        &self,
        part: Part<'_>,
        notes: &mut Vec<Note>,
        warnings: &mut Vec<Warning>,
    ) -> Result<()> {
        let changed = self.changed(part, None, warnings)?;
        let is_clean = self.remove_changed(part, &changed, notes, warnings);
        if self.is_vouched(part)? {
            return Ok(());
        }
        let wrong = self.look_over(part)?;
        self.mend(part, &wrong, is_clean, warnings)
    }

    /// Removes what is wrong. Then the job answers for what is there, if all else `is_clean`.
    fn mend(
        &self,
        part: Part<'_>,
        wrong: &[Wrong],
        is_clean: bool,
        warnings: &mut Vec<Warning>,
    ) -> Result<()> {
        let left_by = self.left_by(part);
        let removal = self.vouching().remove(part, wrong, (FoundBy::Restore, left_by));
        warnings.extend(removal.warnings);
        if removal.is_done && is_clean && left_by == LeftBy::Foreign {
            self.owners().take(part.dir)?;
        }
        Ok(())
    }

    /// Tells whether all of a part of the home was vouched for since a job had it in hand that this one may not read, and
    /// since the disk may have lost any of it.
    fn is_vouched(&self, part: Part<'_>) -> Result<bool> {
        if self.left_by(part) == LeftBy::Foreign {
            return Ok(false);
        }
        let vouched = self.store.vouched(part.dir, &self.boot);
        Ok(!self.may_be_lost(&vouched)? && self.vouching().is_all_vouched(part, &vouched)?)
    }

    /// Tells whether something was put there so lately that a failure of the disk in this boot may have taken its bytes.
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

    /// Records that what was restored is right, so that a save need not look at it; `placed` is when, if anything was
    /// written.
    pub(super) fn note_restored(
        &self,
        place: &Place,
        manifest: &Manifest,
        inodes: &HashMap<RelPath, Inode>,
        placed: Option<Timestamp>,
    ) -> Result<()> {
        let Some(kind) = Shared::of(&place.area) else { return Ok(()) };
        let part = Part { kind, dir: &place.dir };
        self.vouching().note_restored(part, &Restored { manifest, inodes, placed })
    }
}
