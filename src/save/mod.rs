//! Saving: packs the changed files of each area, and publishes its tree as a generation.

mod area;
mod assemble;
mod build_guard;
mod compiled;
mod hot;
mod identical;
mod kept;
mod look;
mod refusal;
mod reuse;
mod saving;
mod sessions;
mod units;

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Instant;

use rayon::prelude::*;

use self::build_guard::BuildGuard;
use self::compiled::look_for_left_sources;
pub use self::hot::HotPolicy;
use self::saving::Saving;
use crate::cargo::home::LockedParts;
use crate::fs::crash::crash_point;
use crate::job::Result;
use crate::job::further::{For, with_found, with_last};
use crate::job::owners::Owners;
use crate::job::progress::Progress;
use crate::job::report::{Report, SaveReport, SourcesReport, left_behind};
use crate::job::warning::Warning;
use crate::job::{AreaPlace, Job, sources};
use crate::model::area::Area;
use crate::model::leftovers::SavedFrom;
use crate::model::level::Level;
use crate::model::reuse::Reuse;
use crate::model::timestamp::Timestamp;
use crate::model::unit_use::UnitPolicy;
use crate::store::{Purpose, Store, boot_id};

/// The options of a save.
#[derive(Clone, Debug)]
pub struct SaveOptions {
    /// The compression level of new packs.
    pub level: Level,
    /// Whether the job failed or was cancelled. If so, its targets are marked as partial.
    pub partial: bool,
    /// The policy by which units leave the stored copy.
    pub units: UnitPolicy,
    /// The directories that are saved, by their owners.
    pub from: SavedFrom,
    /// The policy by which saved trees are parked for the next job. The directory of a parked tree
    /// is gone.
    pub hot: HotPolicy,
    /// The time of the save.
    pub now: Timestamp,
}

/// Saves every area of `job`.
///
/// If an area fails, the store stays as it was for that area, and the report of the area has a
/// warning. If the save is told to stop, the areas that are not done yet fail. If it is killed, at
/// any instruction, each area is published whole or not at all. Any number of saves and restores
/// may run at once.
pub fn save(
    store: &Store,
    job: &Job,
    options: SaveOptions,
    progress: &Progress,
) -> Result<SaveReport> {
    Ok(save_all(store, with_last(store, job, For::Save), options, progress, None)?.report)
}

/// The result of a save.
struct Saved {
    report: SaveReport,
    /// The parts of `CARGO_HOME` that the lock files name, with those of targets that the save
    /// found.
    locked_parts: LockedParts,
    /// A wrong source in the home that targets may be built from.
    left_source: Option<PathBuf>,
}

/// Saves every area of `job`, and the further targets that it finds. Saves no targets if there is a
/// `left_source`: they may be built from it.
fn save_all(
    store: &Store,
    job: Cow<'_, Job>,
    options: SaveOptions,
    progress: &Progress,
    left_source: Option<PathBuf>,
) -> Result<Saved> {
    let started = Instant::now();
    let reclaimed = store.reclaim();
    let lease = store.lease(Purpose::Save)?;
    crash_point("save: leased");
    // Keep builds out before reading the sources, so that no build compiles a later edit.
    let guard = |place: &AreaPlace| BuildGuard::of(place, progress);
    let mut guards: Vec<_> = job.places.iter().map(guard).collect();
    let has_target = job.places.iter().any(|place| !place.area.is_shared());
    let (mut sources, mut job) = (Vec::new(), job);
    let mut is_wider = false;
    if has_target {
        let (recorded, found) = sources::record(&job)?;
        sources = recorded;
        let before = job.locked_parts.clone();
        job = with_found(job, found);
        is_wider = job.locked_parts != before;
        if job.places.len() > guards.len() {
            guards.extend(job.places[guards.len()..].iter().map(guard));
            sources = sources::record(&job)?.0;
        }
    }
    let job = &*job;
    let saving = Saving {
        store,
        lease: &lease,
        job,
        options,
        sources: &sources,
        further: job.further(),
        boot: boot_id(),
        index: OnceLock::new(),
        tracked: OnceLock::new(),
        left_source: left_source.map_or_else(OnceLock::new, OnceLock::from),
        progress,
    };
    if has_target {
        look_for_left_sources(&saving, is_wider)?;
    }
    let areas =
        job.places.par_iter().zip(guards).map(|(place, guard)| area::save(&saving, place, guard));
    let areas: Vec<_> = areas.collect();
    let reused = areas.iter().filter_map(|area| area.reuse.clone());
    let reused = reused.reduce(Reuse::with);
    let shared = Report {
        sources: SourcesReport { checked: sources.len() as u64, ..SourcesReport::default() },
        warnings: job.warnings.iter().cloned().chain(left_behind(reclaimed)).collect(),
        seconds: started.elapsed().as_secs_f64(),
        ..Report::of(job.key.clone(), areas)
    };
    let report = SaveReport { shared, reuse: reused };
    Ok(Saved {
        report,
        locked_parts: job.locked_parts.clone(),
        left_source: saving.left_source.into_inner(),
    })
}

/// Saves `registry` and `git` first, then the other areas. The first two cost least and help most,
/// so an interrupted save loses little.
pub fn save_shared_first(
    store: &Store,
    job: &Job,
    options: SaveOptions,
    progress: &Progress,
) -> Result<SaveReport> {
    let job = &*with_last(store, job, For::Save);
    let shared = Cow::Owned(job.only(Area::is_shared));
    let shared = save_all(store, shared, options.clone(), progress, None)?;
    let targets = Cow::Owned(job.only(|area| !area.is_shared()));
    let targets = save_all(store, targets, options.clone(), progress, shared.left_source)?;
    let (shared, Saved { report: mut targets, locked_parts, .. }) = (shared.report, targets);
    if options.from == SavedFrom::Recorded {
        let owners = Owners { store, job, boot: &boot_id() };
        let noted = owners.note_missing(|_| true);
        targets.shared.warnings.extend(noted.err().map(Warning::from));
    }
    if locked_parts == job.locked_parts {
        return Ok(shared.and(targets));
    }
    // A target that this save found needs more of `CARGO_HOME`.
    let job = Job { locked_parts, ..job.clone() };
    let again = save(store, &job.only(Area::is_shared), options, progress)?;
    Ok(shared.again(again).and(targets))
}
