//! Restoring: the best generation of each area is put in place, then the sources' mtimes.

mod ahead;
mod area;
mod aside;
mod git_index;
mod heal;
mod home;
mod hot;
mod kept_back;
mod leftovers;
mod live;
mod lookup;
mod place;
mod placed;
mod put_back;
mod rebuild;
mod refreshing;
mod scores;
mod shared;
mod sources;
mod standing;
mod systems;
mod units;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Instant;

use rayon::prelude::*;

use self::heal::remove_half_extractions;
use self::kept_back::{PutBack, take_away};
use self::leftovers::Cleared;
pub use self::lookup::look_up;
use self::lookup::{Choice, choose};
use self::put_back::lost;
use self::rebuild::shown_in;
use self::refreshing::Refreshing;
use crate::cargo::tested::newer_than_tested;
use crate::fs::crash::crash_point;
use crate::job::further::{For, with_last};
use crate::job::note::Note;
use crate::job::owners::note_build;
use crate::job::progress::Progress;
use crate::job::report::{
    AreaReport, Mode, Report, SourcesReport, chain, left_behind, not_restored, nothing_restored,
};
use crate::job::sources::Glance;
use crate::job::warning::Warning;
use crate::job::{Error, Result};
use crate::job::{Job, Place};
use crate::model::always_build::AlwaysBuild;
use crate::model::area::Area;
use crate::model::cache_mode::CacheMode;
use crate::model::leftovers::Leftovers;
use crate::model::timestamp::Timestamp;
use crate::model::unit_use::UnitDir;
use crate::store::{self, Lease, Purpose, Store, boot_id};
use crate::tree::unpack::Unpacker;

/// One area on its way.
struct Pending<'a> {
    place: &'a Place,
    report: AreaReport,
    choice: Option<Choice>,
    /// The units that must be built again, because a file is lacking that they wrote or read.
    forgotten: BTreeSet<UnitDir>,
    /// The kept files of a generation that could not be put in place.
    lost: PutBack,
}

/// How a restore is done.
#[derive(Clone, Debug)]
pub struct RestoreOptions {
    /// The time of the restore.
    pub now: Timestamp,
    /// Whether hot trees are used.
    pub uses_hot_trees: bool,
    /// What cargo builds again although nothing changed that it knows of.
    pub always_build: Vec<AlwaysBuild>,
    /// How to treat directories of other jobs that this one may not read.
    pub leftovers: Leftovers,
    /// What the job may do with what is kept: where it may not restore, nothing is found.
    pub cache_mode: CacheMode,
}

/// Everything the areas of one restore share.
struct Restoring<'a> {
    store: &'a Store,
    lease: &'a Lease,
    job: &'a Job,
    options: RestoreOptions,
    boot: String,
    unpacker: Unpacker<'a>,
}

/// Restores every area of `job`, and makes its sources look to cargo as they should.
///
/// An area that fails is a miss with a warning, and what was there before is there still. Told to
/// stop, it fails those that are not in place yet. Killed
/// at any instruction, each area is in place whole or not at all, and no source looks older than
/// the tree that was built from other bytes. Any number of saves and restores may run at once.
pub fn restore(
    store: &Store,
    job: &Job,
    options: RestoreOptions,
    progress: &Progress,
) -> Result<Report> {
    let started = Instant::now();
    let reclaimed = store.reclaim();
    let lease = match store.lease(Purpose::Restore) {
        Ok(lease) => lease,
        // A full disk is no reason to fail a build that would have missed.
        Err(store::Error::Io(error)) => {
            // What the job builds in is nobody else's any more, as far as that can be recorded.
            drop(note_build(store, job));
            return Ok(nothing_restored(job, error.into(), started));
        }
        Err(error) => return Err(error.into()),
    };
    lease.remove_later();
    crash_point("restore: leased");
    let job = &*with_last(store, job, For::Restore);
    let unpacker = Unpacker::new(store, progress);
    let cache_mode = options.cache_mode;
    let restoring = Restoring { store, lease: &lease, job, options, boot: boot_id(), unpacker };
    let mut warnings = job.warnings.clone();
    warnings.extend(left_behind(reclaimed));
    let mut cleared = restoring.clear();
    let (mut notes, mut of_home) = (Vec::new(), Vec::new());
    // What is in `CARGO_HOME` was built from none of the sources: it waits for nothing that is done to them.
    let ((targets, refreshing), shared) = rayon::join(
        || restoring.restore_targets(&mut cleared, &mut warnings),
        || restoring.restore_shared(&mut notes, &mut of_home),
    );
    warnings.append(&mut of_home);
    let areas: Vec<_> = shared.into_iter().chain(targets).collect();
    let removed = if restoring.sees_to(&Area::Registry) {
        remove_half_extractions(job, &lease, progress)
    } else {
        Ok(0)
    };
    match removed {
        Ok(0) => {}
        Ok(count) => {
            warnings.push(Warning::HalfExtracted { count, home: job.cargo_home.clone() });
        }
        Err(error) => warnings.push(error.into()),
    }
    let mut sources = SourcesReport::default();
    let mut rebuilds = Vec::new();
    let (mut kept_files, mut blind_inputs) = (Vec::new(), Vec::new());
    if let Some((refreshing, mut kept)) = refreshing {
        // What is as recorded looks old only if every tree is one that was built from it.
        let strangers = restoring.strangers(&areas, &refreshing);
        // Where a script runs again, it may write only what is missing.
        let away = if strangers.is_empty() { lost(&areas) } else { kept.clone() };
        warnings.extend(take_away(&job.roots, &mut kept, &away).err().map(Warning::from));
        if strangers.is_empty() {
            match refreshing.put_back() {
                Ok(report) => sources = report,
                Err(error) => warnings.push(error.into()),
            }
        } else {
            warnings.push(Warning::UnknownTargets(strangers.clone()));
        }
        restoring.refresh_indexes(&refreshing, strangers.is_empty());
        kept_files = kept.iter().map(|(root, path)| shown_in(root, Some(path))).collect();
        blind_inputs = restoring.blind_inputs(&areas, &refreshing);
        rebuilds = restoring.rebuilds(&areas, &refreshing.outcome(strangers.is_empty()));
    }
    cleared.finish();
    warnings.append(&mut cleared.warnings);
    let areas = areas.into_iter().map(|area| area.report).collect();
    let newer = job.components().get("rustc").and_then(|version| newer_than_tested(version));
    notes.extend(newer.map(|release| Note::NewerCargo(release.to_owned())));
    notes.extend(not_restored(cache_mode));
    let seconds = started.elapsed().as_secs_f64();
    Ok(Report {
        sources,
        kept_files,
        blind_inputs,
        rebuilds,
        set_aside: cleared.set_aside,
        seconds,
        notes,
        warnings,
        ..Report::of(job.key.clone(), areas)
    })
}

impl Pending<'_> {
    fn is_target(&self) -> bool {
        !self.place.area.is_shared()
    }

    fn is_ahead(&self) -> bool {
        self.choice.as_ref().is_some_and(|choice| choice.ahead.is_some())
    }
}

impl<'a> Restoring<'a> {
    /// Restores the other areas, and returns what is still to be done to the sources.
    fn restore_targets(
        &self,
        cleared: &mut Cleared,
        warnings: &mut Vec<Warning>,
    ) -> (Vec<Pending<'a>>, Option<(Refreshing<'_>, PutBack)>) {
        let mut glance = Glance::default();
        let mut areas = self.choose(|place| !place.area.is_shared(), &mut glance);
        self.clear_found(&mut glance, cleared);
        self.clear_left(&mut areas, cleared);
        self.take_in_hand(cleared);
        self.leave_ahead(&mut areas);
        // What differs from the record looks new before any tree that is older is in place.
        let refreshing = self.renew_sources(&mut areas, glance, warnings).unwrap_or_else(|error| {
            let reason = format!("its sources cannot be made to look new: {}", chain(&error));
            for area in &mut areas {
                area.choice = None;
                area.report.fail(Error::Unsafe { reason: reason.clone() });
            }
            None
        });
        crash_point("restore: sources");
        self.put_all_in_place(&mut areas);
        self.clear_failed(&areas, cleared);
        let is_done = |dir: &PathBuf, area: &Pending<'_>| {
            area.place.dir == *dir && (area.choice.is_some() || area.report.mode == Mode::Left)
        };
        let others = self.job.target_dirs.iter();
        let others = others.filter(|dir| !areas.iter().any(|area| is_done(dir, area)));
        warnings.extend(others.filter_map(|dir| self.disown(dir).err()).map(Warning::from));
        (areas, refreshing)
    }

    fn choose(&self, which: impl Fn(&&Place) -> bool, glance: &mut Glance) -> Vec<Pending<'a>> {
        let places: Vec<_> = self.job.places.iter().filter(which).collect();
        let chosen = if self.options.cache_mode.restores() {
            choose(self.store, self.lease, self.job, &places, glance)
        } else {
            let nothing = |place: &&'a Place| (*place, AreaReport::new(place.area.clone()), None);
            places.iter().map(nothing).collect()
        };
        chosen
            .into_iter()
            .map(|(place, report, choice)| Pending {
                place,
                report,
                choice,
                forgotten: BTreeSet::new(),
                lost: PutBack::new(),
            })
            .collect()
    }

    fn put_all_in_place(&self, areas: &mut [Pending<'_>]) {
        areas.par_iter_mut().for_each(|area| self.put_in_place(area));
    }
}
