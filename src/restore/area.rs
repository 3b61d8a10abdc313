//! Puts one area in place.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Instant;

use super::choice::Choice;
use super::hot::Taking;
use super::place::{Placing, place};
use super::placed::Placed;
use super::put_back::{PutBack, kept_of};
use super::units::Forgotten;
use super::{Planned, Restored, Restoring};
use crate::cargo::home::Shared;
use crate::job::AreaPlace;
use crate::job::dirs::holds_anything;
use crate::job::report::{AreaMode, AreaReport};
use crate::job::warning::Warning;
use crate::job::{Error, Result};
use crate::model::always_build::AlwaysBuild;
use crate::model::area::Area;
use crate::model::choice::Hit;
use crate::model::manifest::Manifest;
use crate::model::unit_use::UnitDir;
use crate::store::{self, Event, TreeRecord};
use crate::tree::compare::Known;
use crate::tree::links;

impl<'a> Restoring<'a> {
    /// Puts the generation of an area in place, if one was chosen. `forgotten` holds the units of
    /// each area that must be built again.
    pub(super) fn put_in_place(
        &self,
        area: Planned<'a>,
        forgotten: &BTreeMap<Area, BTreeSet<UnitDir>>,
    ) -> Restored<'a> {
        let started = Instant::now();
        let Planned { place, mut report, choice } = area;
        let (mut placed, mut lost) = (None, PutBack::new());
        if let Some(choice) = choice {
            let forgotten = Forgotten {
                runs: forgotten.get(&place.area).cloned().unwrap_or_default(),
                units: AlwaysBuild::units(&self.options.always_build, &choice.manifest),
            };
            let progress = self.unpacker.progress.check_stopped();
            let restored = progress
                .and_then(|()| self.restore_area(place, &choice, &mut report))
                .and_then(|()| forgotten.forget(&place.dir, &choice.manifest.entries));
            match restored {
                Ok(()) => placed = Some(choice),
                Err(error) => {
                    report.warnings.extend(self.remove_damaged(&error, &[&choice.manifest]));
                    lost = kept_of(&choice.manifest);
                    report.fail(error);
                }
            }
        }
        report.seconds += started.elapsed().as_secs_f64();
        if let Err(error) = self.log(&report) {
            report.warnings.push(error.into());
        }
        Restored { place, report, placed, lost }
    }

    /// Removes the pack that a restore found damaged, so that the next save stores its contents
    /// again. Returns a warning if it cannot.
    pub(super) fn remove_damaged(&self, error: &Error, manifests: &[&Manifest]) -> Option<Warning> {
        let Error::Store(store::Error::Damaged { path, .. }) = error else { return None };
        let packs = manifests.iter().flat_map(|manifest| &manifest.header.packs);
        let pack =
            packs.map(|pack| pack.digest).find(|digest| self.store.pack_path(*digest) == *path);
        self.store.remove_if_damaged(self.lease, pack?).err().map(Warning::from)
    }

    pub(super) fn known(&self, place: &AreaPlace, choice: &Choice) -> Option<Known> {
        let read = choice.is_whole().then_some((&choice.id, &choice.manifest));
        Known::of(self.store, self.lease, &self.job.readable, &place.dir, &self.boot, read)
    }

    fn restore_area(
        &self,
        place: &AreaPlace,
        choice: &Choice,
        report: &mut AreaReport,
    ) -> Result<()> {
        let Choice { id, manifest, .. } = choice;
        place.check(self.store.root(), &self.job.cargo_home)?;
        if let Some(link) = links::of_target(place, &manifest.entries) {
            return Err(Error::BuiltThrough { dir: place.dir.clone(), link: link.clone() });
        }
        // Stamp before the tree is written: to replace a file frees its blocks, and on ext4 with
        // `discard` that waits for everything that was written before
        // (`docs/decisions/0021-nothing-removed-after-the-writing.md`).
        if let Err(error) = self.store.stamp(&id.series, self.options.now) {
            report.warnings.push(error.into());
        }
        let known = if holds_anything(&place.dir)? {
            self.known(place, choice)
        } else {
            // Nothing is there that a record could be true of.
            if let Err(error) = self.store.forget_tree(&place.dir) {
                report.warnings.push(error.into());
            }
            None
        };
        if !place.area.is_shared() {
            self.disown(&place.dir)?;
        }
        let mut placed = self.place(place, choice, known.as_ref(), report)?;
        report.mode = placed.mode;
        choice.tell(self.job, place, report);
        // The area is in place. The rest only saves time or space later, so its errors are
        // warnings.
        if !place.area.is_shared()
            && let Err(error) = placed.forget_reads(&place.dir, &manifest.entries)
        {
            report.warnings.push(error.into());
        }
        if !place.area.is_shared() {
            report.warnings.extend(self.take_restored(&place.dir).err().map(Warning::from));
        }
        if let Err(error) = self.record(place, choice, placed, known.as_ref()) {
            report.warnings.push(error.into());
            report.warnings.extend(self.store.forget_tree(&place.dir).err().map(Warning::from));
        }
        Ok(())
    }

    fn place(
        &self,
        area: &AreaPlace,
        choice: &Choice,
        known: Option<&Known>,
        report: &mut AreaReport,
    ) -> Result<Placed> {
        let Self { unpacker, lease, job, store, .. } = self;
        let manifest = &choice.manifest;
        let Some(kind) = Shared::of(&area.area) else {
            let (readable, boot) = (job.readable.as_slice(), self.boot.as_str());
            let (progress, scratch) = (unpacker.progress, &job.scratch);
            let taking = Taking { store, progress, readable, boot, scratch };
            let taking = self.options.uses_hot_trees.then_some(taking);
            let (scratch, roots) = (&job.scratch, &job.roots);
            let placing = Placing { unpacker, lease, scratch, taking, roots };
            let mut placed = place(&placing, &area.dir, choice, known)?;
            report.warnings.append(&mut placed.warnings);
            return Ok(placed);
        };
        self.place_home(kind, area, manifest, report)
    }

    /// Records the files that are in the directory now, so that the save need not read them.
    fn record(
        &self,
        place: &AreaPlace,
        choice: &Choice,
        placed: Placed,
        known: Option<&Known>,
    ) -> Result<()> {
        let Choice { id, manifest, .. } = choice;
        // The earlier record is still true: the restore changed nothing.
        let is_as_ever = place.area.is_shared() && placed.mode == AreaMode::InPlace;
        let was_untouched = placed.certain.as_ref().is_some_and(HashSet::is_empty);
        if is_as_ever && was_untouched && known.is_some_and(|known| known.generation() == id) {
            return Ok(());
        }
        let wrote = placed.wrote();
        let inodes = placed.inodes(&place.dir, manifest, known)?;
        let now = crate::fs::space::now_at(self.store.root())?;
        let owner = Some(self.job.as_owner());
        let mut record = TreeRecord { generation: id.clone(), owner, inodes };
        record.settle(now);
        self.store.record_tree(&place.dir, &self.boot, &record)?;
        self.note_restored(place, manifest, &record.inodes, wrote.then_some(now))
    }

    pub(super) fn log(&self, report: &AreaReport) -> Result<()> {
        if report.mode == AreaMode::Left {
            return Ok(());
        }
        let event = if report.hit == Hit::Miss { "miss" } else { "restore" };
        Ok(self.store.log(&Event {
            time: self.options.now,
            event: event.to_owned(),
            generation: report.id.clone(),
            detail: format!("{} {}", report.name, self.job.label),
            bytes: report.bytes,
            millis: report.millis(),
        })?)
    }
}
