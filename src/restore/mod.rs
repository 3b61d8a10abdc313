//! Restoring: the best generation of each area is put in place, then the sources' mtimes.

mod ahead;
mod area;
mod aside;
mod choice;
mod flags;
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

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Instant;

use rayon::prelude::*;

use self::choice::Choice;
use self::heal::remove_half_extractions;
use self::kept_back::take_away;
use self::leftovers::Clearing;
use self::lookup::choose;
pub use self::lookup::look_up;
use self::put_back::{PutBack, lost};
use self::rebuild::shown_in;
use self::sources::Renewed;
use crate::cargo::tested::newer_than_tested;
use crate::fs::crash::crash_point;
use crate::job::error::chain;
use crate::job::further::{For, with_last};
use crate::job::note::Note;
use crate::job::owners::note_build;
use crate::job::progress::Progress;
use crate::job::report::{
    AreaMode, AreaReport, Report, RestoreReport, Said, SourcesReport, left_behind, not_restored,
};
use crate::job::sources::Glance;
use crate::job::warning::Warning;
use crate::job::{AreaPlace, Job};
use crate::job::{Error, Result};
use crate::model::always_build::AlwaysBuild;
use crate::model::area::Area;
use crate::model::cache_mode::CacheMode;
use crate::model::leftovers::Leftovers;
use crate::model::rebuild::Rebuild;
use crate::model::timestamp::Timestamp;
use crate::model::unit_use::UnitDir;
use crate::store::{self, Lease, Purpose, Store, boot_id};
use crate::tree::unpack::Unpacker;

/// An area, and the generation that it is to get.
struct Planned<'a> {
    place: &'a AreaPlace,
    /// What is known of it by now.
    report: AreaReport,
    choice: Option<Choice>,
}

/// An area to whose directory everything is done.
struct Restored<'a> {
    place: &'a AreaPlace,
    report: AreaReport,
    /// The generation that is in place.
    placed: Option<Choice>,
    /// The kept files of a generation that could not be put in place.
    lost: PutBack,
}

/// The targets of a job, restored.
struct Targets<'r, 'a> {
    areas: Vec<Restored<'a>>,
    /// The sources that were compared with the generations, if there are any.
    renewed: Option<Renewed<'r>>,
    cleared: Clearing<'r>,
    warnings: Vec<Warning>,
}

/// The areas in `CARGO_HOME`, restored.
struct HomeAreas<'a> {
    areas: Vec<Restored<'a>>,
    said: Said,
}

/// The sources as a restore leaves them.
#[derive(Default)]
struct SourcesDone {
    report: SourcesReport,
    kept_files: Vec<String>,
    blind_inputs: Vec<String>,
    rebuilds: Vec<Rebuild>,
    warnings: Vec<Warning>,
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
) -> Result<RestoreReport> {
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
    let cleared = restoring.clear();
    // The sources do not concern `CARGO_HOME`, so it waits for nothing that is done to them.
    let (targets, home) =
        rayon::join(|| restoring.restore_targets(cleared), || restoring.restore_shared());
    let half_extracted = restoring.remove_half_extractions();
    let Targets { areas, renewed, cleared, warnings } = targets;
    let sources = renewed.map(|renewed| restoring.put_sources_back(&areas, renewed));
    let sources = sources.unwrap_or_default();
    let cleared = cleared.finish();

    let release = job.components().get("rustc").and_then(|version| newer_than_tested(version));
    let newer = release.map(|release| Note::NewerCargo(release.to_owned()));
    let all = home.areas.into_iter().chain(areas).map(|area| area.report).collect();
    let warnings = job.warnings.iter().cloned().chain(left_behind(reclaimed)).chain(warnings);
    let warnings = warnings.chain(home.said.warnings).chain(half_extracted);
    let shared = Report {
        sources: sources.report,
        notes: home.said.notes.into_iter().chain(newer).chain(not_restored(cache_mode)).collect(),
        warnings: warnings.chain(sources.warnings).chain(cleared.warnings).collect(),
        seconds: started.elapsed().as_secs_f64(),
        ..Report::of(job.key.clone(), all)
    };
    Ok(RestoreReport {
        kept_files: sources.kept_files,
        blind_inputs: sources.blind_inputs,
        rebuilds: sources.rebuilds,
        set_aside: cleared.set_aside,
        ..RestoreReport::of(shared)
    })
}

/// Returns the report of a restore that could not begin: a miss of everything.
fn nothing_restored(job: &Job, error: Error, started: Instant) -> RestoreReport {
    let mut shared = Report::nothing(job, None);
    if let Some(first) = shared.areas.first_mut() {
        first.fail(error);
    }
    shared.seconds = started.elapsed().as_secs_f64();
    RestoreReport::of(shared)
}

impl Planned<'_> {
    fn is_ahead(&self) -> bool {
        self.choice.as_ref().is_some_and(|choice| choice.ahead.is_some())
    }
}

impl<'a> Restoring<'a> {
    /// Restores the targets; the sources are still as old as they became here.
    fn restore_targets<'r>(&'r self, mut cleared: Clearing<'r>) -> Targets<'r, 'a> {
        let mut warnings = Vec::new();
        let (plan, glance) = self.plan(|place| !place.area.is_shared());
        let glance = cleared.found(glance);
        let plan = cleared.left(plan);
        cleared.take_in_hand();
        let plan = self.leave_ahead(plan);
        // What differs from the record looks new before any tree that is older is in place.
        let renewed = self.renew_sources(&plan, glance);
        crash_point("restore: sources");
        let (plan, mut renewed) = match renewed {
            Ok(renewed) => (plan, renewed),
            Err(error) => (refused(plan, &error), None),
        };
        let none = BTreeMap::new();
        let forgotten = renewed.as_ref().map_or(&none, |renewed| &renewed.forgotten);
        let areas = self.put_all_in_place(plan, forgotten);
        warnings.extend(renewed.iter_mut().flat_map(|it| std::mem::take(&mut it.warnings)));
        cleared.failed(&areas);
        let is_done = |dir: &PathBuf, area: &Restored<'_>| {
            area.place.dir == *dir && (area.placed.is_some() || area.report.mode == AreaMode::Left)
        };
        let others = self.job.target_dirs.iter();
        let others = others.filter(|dir| !areas.iter().any(|area| is_done(dir, area)));
        warnings.extend(others.filter_map(|dir| self.disown(dir).err()).map(Warning::from));
        Targets { areas, renewed, cleared, warnings }
    }

    /// Chooses a generation for each of the areas that are `wanted`. The sources are read if that needs them.
    fn plan(&self, wanted: impl Fn(&&AreaPlace) -> bool) -> (Vec<Planned<'a>>, Glance) {
        let places: Vec<_> = self.job.places.iter().filter(wanted).collect();
        if self.options.cache_mode.restores() {
            return choose(self.store, self.lease, self.job, &places);
        }
        let nothing = |place: &&'a AreaPlace| Planned {
            place,
            report: AreaReport::new(place.area.clone()),
            choice: None,
        };
        (places.iter().map(nothing).collect(), Glance::default())
    }

    fn put_all_in_place(
        &self,
        plan: Vec<Planned<'a>>,
        forgotten: &BTreeMap<Area, BTreeSet<UnitDir>>,
    ) -> Vec<Restored<'a>> {
        plan.into_par_iter().map(|area| self.put_in_place(area, forgotten)).collect()
    }

    fn remove_half_extractions(&self) -> Option<Warning> {
        if !self.sees_to(&Area::Registry) {
            return None;
        }
        match remove_half_extractions(self.job, self.lease, self.unpacker.progress) {
            Ok(0) => None,
            Ok(count) => Some(Warning::HalfExtracted { count, home: self.job.cargo_home.clone() }),
            Err(error) => Some(error.into()),
        }
    }

    /// Makes the sources that are as recorded as old as they were, now that every tree is in place, and foresees what
    /// cargo builds.
    fn put_sources_back(&self, areas: &[Restored<'_>], renewed: Renewed<'_>) -> SourcesDone {
        let Renewed { refreshing, mut kept, .. } = renewed;
        let mut done = SourcesDone::default();
        // What is as recorded looks old only if every tree is one that was built from it.
        let unknown = self.unknown_targets(areas, &refreshing);
        let is_known = unknown.is_empty();
        // Where a script runs again, it may write only what is missing.
        let away = if is_known { lost(areas) } else { kept.clone() };
        let taken = take_away(&self.job.roots, &mut kept, &away);
        done.warnings.extend(taken.err().map(Warning::from));
        if is_known {
            match refreshing.put_back() {
                Ok(report) => done.report = report,
                Err(error) => done.warnings.push(error.into()),
            }
        } else {
            done.warnings.push(Warning::UnknownTargets(unknown));
        }
        self.refresh_indexes(&refreshing, is_known);
        done.kept_files = kept.iter().map(|(root, path)| shown_in(root, Some(path))).collect();
        done.blind_inputs = self.blind_inputs(areas, &refreshing);
        done.rebuilds = self.rebuilds(areas, &refreshing.final_sources(is_known));
        done
    }
}

/// Returns a plan in which nothing is restored, because the sources could not be made to look new.
fn refused<'a>(plan: Vec<Planned<'a>>, error: &Error) -> Vec<Planned<'a>> {
    let reason = format!("its sources cannot be made to look new: {}", chain(error));
    let refused = |Planned { place, mut report, .. }| {
        report.fail(Error::Unsafe { reason: reason.clone() });
        Planned { place, report, choice: None }
    };
    plan.into_iter().map(refused).collect()
}
