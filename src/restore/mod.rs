//! Restores: puts the best generation of each area in place, and sets the mtimes of the sources.

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
use crate::cargo::switched_off::switched_off;
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

/// The plan of a restore: the generation of each area, chosen before anything is put in place.
struct RestorePlan<'a> {
    areas: Vec<Planned<'a>>,
    /// The sources that the choice was made by; empty if no target has a generation.
    glance: Glance,
}

/// An area, and the generation that was chosen for it.
struct Planned<'a> {
    place: &'a AreaPlace,
    /// The report so far.
    report: AreaReport,
    choice: Option<Choice>,
}

/// An area whose directory is finished.
struct Restored<'a> {
    place: &'a AreaPlace,
    report: AreaReport,
    /// The generation that is in place.
    placed: Option<Choice>,
    /// The kept files of the chosen generation, if it could not be put in place.
    lost: PutBack,
}

/// The targets of a job, restored.
struct Targets<'r, 'a> {
    areas: Vec<Restored<'a>>,
    /// The sources, compared with the chosen generations; `None` if none was chosen.
    renewed: Option<Renewed<'r>>,
    cleared: Clearing<'r>,
    warnings: Vec<Warning>,
}

/// The areas in `CARGO_HOME`, restored.
struct HomeAreas<'a> {
    areas: Vec<Restored<'a>>,
    said: Said,
}

/// The result of a restore for the sources.
#[derive(Default)]
struct SourcesDone {
    report: SourcesReport,
    kept_files: Vec<String>,
    blind_inputs: Vec<String>,
    rebuilds: Vec<Rebuild>,
    warnings: Vec<Warning>,
}

/// The options of a restore.
#[derive(Clone, Debug)]
pub struct RestoreOptions {
    /// The time of the restore.
    pub now: Timestamp,
    /// Whether hot trees are used.
    pub uses_hot_trees: bool,
    /// The packages that cargo builds again even if it would find them fresh.
    pub always_build: Vec<AlwaysBuild>,
    /// How to treat directories of jobs that this job may not read.
    pub leftovers: Leftovers,
    /// Whether the job may restore and save. If it may not restore, the restore finds nothing.
    pub cache_mode: CacheMode,
}

/// The values that all areas of one restore share.
struct Restoring<'a> {
    store: &'a Store,
    lease: &'a Lease,
    job: &'a Job,
    options: RestoreOptions,
    boot: String,
    unpacker: Unpacker<'a>,
}

/// Restores every area of `job`, and sets the mtimes of its sources to match.
///
/// An area that fails is a miss with a warning, and its directory stays as it was. After a stop,
/// the areas that are not in place yet fail. If the process is killed at any instruction, each area
/// is in place whole or not at all, and no source looks older than a tree that was built from other
/// bytes. Any number of saves and restores may run at once.
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
            // The job builds all the same. Record that, if the full disk still allows it.
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
    // `CARGO_HOME` does not depend on the sources, so it is restored at the same time.
    let (targets, home) =
        rayon::join(|| restoring.restore_targets(cleared), || restoring.restore_shared());
    let half_extracted = restoring.remove_half_extractions();
    let Targets { areas, renewed, cleared, warnings } = targets;
    let sources = renewed.map(|renewed| restoring.put_sources_back(&areas, renewed));
    let sources = sources.unwrap_or_default();
    let cleared = cleared.finish();

    let release = job.components().get("rustc").and_then(|version| newer_than_tested(version));
    let newer = release.map(|release| Note::NewerCargo(release.to_owned()));
    let builds = job.places.iter().any(|place| !place.area.is_shared());
    let slow = switched_off(&job.environment).filter(|_| builds).map(Note::IncrementalOff);
    let notes = home.said.notes.into_iter().chain(newer).chain(slow);
    let all = home.areas.into_iter().chain(areas).map(|area| area.report).collect();
    let warnings = job.warnings.iter().cloned().chain(left_behind(reclaimed)).chain(warnings);
    let warnings = warnings.chain(home.said.warnings).chain(half_extracted);
    let shared = Report {
        sources: sources.report,
        notes: notes.chain(not_restored(cache_mode)).collect(),
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
    /// Restores the targets. Makes changed sources look new, but does not put unchanged ones back.
    fn restore_targets<'r>(&'r self, mut cleared: Clearing<'r>) -> Targets<'r, 'a> {
        let mut warnings = Vec::new();
        let RestorePlan { areas, glance } = self.plan(|place| !place.area.is_shared());
        let glance = cleared.found(glance);
        let plan = cleared.left(areas);
        cleared.take_in_hand();
        let plan = self.leave_ahead(plan);
        // A source that differs from the record must look new before an older tree is in place.
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

    /// Chooses a generation for each `wanted` area. Reads the sources if the choice needs them.
    fn plan(&self, wanted: impl Fn(&&AreaPlace) -> bool) -> RestorePlan<'a> {
        let places: Vec<_> = self.job.places.iter().filter(wanted).collect();
        if self.options.cache_mode.restores() {
            return choose(self.store, self.lease, self.job, &places);
        }
        let nothing = |place: &&'a AreaPlace| Planned {
            place,
            report: AreaReport::new(place.area.clone()),
            choice: None,
        };
        RestorePlan { areas: places.iter().map(nothing).collect(), glance: Glance::default() }
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

    /// Gives unchanged sources their recorded mtimes, now that every tree is in place, and predicts
    /// what cargo will build.
    fn put_sources_back(&self, areas: &[Restored<'_>], renewed: Renewed<'_>) -> SourcesDone {
        let Renewed { refreshing, mut kept, .. } = renewed;
        let mut done = SourcesDone::default();
        // Unchanged sources may look old only if every tree was built from them as recorded.
        let unknown = self.unknown_targets(areas, &refreshing);
        let is_known = unknown.is_empty();
        // A build script that runs again may write only files that are missing, so the files that
        // an earlier run wrote must be gone.
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
