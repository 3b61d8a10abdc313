//! Saving: what changed goes into packs, and what is there now becomes a generation.

mod assemble;
mod compiled;
mod hot;
mod identical;
mod kept;
mod look;
mod refusal;
mod reuse;
mod units;

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rayon::prelude::*;

pub use self::hot::HotPolicy;
use self::kept::Keep;
use self::look::look;
use self::reuse::reuse;
use self::units::{Left, bind};
use crate::cargo::build_lock::lock_files;
use crate::cargo::home::{Shared, Wanted};
use crate::fs::crash::crash_point;
use crate::fs::lock::Lock;
use crate::fs::walk::{Found, Missed, Walked};
use crate::job::checkout_files::CheckoutFiles;
use crate::job::further::{For, with_found, with_last};
use crate::job::locks::keep_builds_out;
use crate::job::owners::Owners;
use crate::job::progress::Progress;
use crate::job::report::{
    AreaReport, Mode, Report, SaveReport, SourcesReport, UnitsReport, left_behind,
};
use crate::job::warning::Warning;
use crate::job::{Error, Result, sources};
use crate::job::{Job, Place};
use crate::model::area::Area;
use crate::model::choice::Hit;
use crate::model::leftovers::{LeftAs, SavedFrom};
use crate::model::level::Level;
use crate::model::manifest::FurtherTarget;
use crate::model::manifest::{Source, SourceKind};
use crate::model::reuse::Reuse;
use crate::model::root::Root;
use crate::model::timestamp::Timestamp;
use crate::model::unit_use::{UnitDir, UnitPolicy};
use crate::store::{Event, Lease, Purpose, Store, TreeRecord, boot_id};
use crate::tree::compare::Known;
use crate::tree::entries::Tree;
use crate::tree::graph::{self, Recorded, Surroundings};
use crate::tree::index::Index;
use crate::tree::left::left_as;
use crate::tree::links;
use crate::tree::missed;
use crate::vouch::{Part, Vouching};

/// How long a save waits for a build that still runs in its directory.
const PATIENCE: Duration = Duration::from_secs(10);

/// Keeps builds out of a directory while it is read.
struct BuildGuard {
    dir: Option<PathBuf>,
    locks: Vec<Lock>,
}

impl BuildGuard {
    fn of(place: &Place, progress: &Progress) -> Result<Self> {
        if place.area.is_shared() {
            return Ok(Self { dir: None, locks: Vec::new() });
        }
        let locks = keep_builds_out(&place.dir, PATIENCE, progress)?;
        Ok(Self { dir: Some(place.dir.clone()), locks })
    }

    /// Fails if a build began where there was no lock file to hold.
    fn check(&self) -> Result<()> {
        match &self.dir {
            Some(dir) if lock_files(dir)?.len() != self.locks.len() => {
                Err(Error::Changed(dir.clone()))
            }
            _ => Ok(()),
        }
    }
}

/// How a save is done.
#[derive(Clone, Debug)]
pub struct SaveOptions {
    /// How hard new packs are compressed.
    pub level: Level,
    /// Whether the job failed or was cancelled: its targets are marked as partial.
    pub partial: bool,
    /// When units leave the stored copy.
    pub units: UnitPolicy,
    /// Which directories are saved.
    pub from: SavedFrom,
    /// Which trees are put by for the next job, once they are saved: the directory is gone then.
    pub hot: HotPolicy,
    /// The time of the save.
    pub now: Timestamp,
}

/// Everything the areas of one save share.
pub(super) struct Saving<'a> {
    pub(super) store: &'a Store,
    pub(super) lease: &'a Lease,
    pub(super) job: &'a Job,
    pub(super) options: SaveOptions,
    pub(super) sources: &'a [Source],
    pub(super) further: Vec<FurtherTarget>,
    pub(super) boot: String,
    pub(super) index: OnceLock<Index>,
    /// A source that targets may be built from and that is not what a lock file says.
    pub(super) left_source: OnceLock<PathBuf>,
    pub(super) progress: &'a Progress,
}

/// Saves every area of `job`.
///
/// An area that fails leaves the store as it was for that area, and a warning in its report. Told
/// to stop, it fails those that are not done yet. Killed at any instruction, each area is published whole or not at all. Any number of saves
/// and restores may run at once.
pub fn save(
    store: &Store,
    job: &Job,
    options: SaveOptions,
    progress: &Progress,
) -> Result<SaveReport> {
    Ok(save_all(store, with_last(store, job, For::Save), options, progress, None)?.report)
}

/// What became of a save.
struct Saved {
    report: SaveReport,
    /// What the lock files name of all that was saved.
    wanted: Wanted,
    /// A wrong source in the home that targets may be built from.
    left_source: Option<PathBuf>,
}

/// Saves every area of `job` and of the further targets that it finds, but for targets that may be built from
/// `left_source`.
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
    // Builds are kept out before the sources are read, so that none compiles what is edited after.
    let guard = |place: &Place| BuildGuard::of(place, progress);
    let mut guards: Vec<_> = job.places.iter().map(guard).collect();
    let has_target = job.places.iter().any(|place| !place.area.is_shared());
    let (mut sources, mut job) = (Vec::new(), job);
    let mut is_wider = false;
    if has_target {
        let (recorded, found) = sources::record(&job)?;
        sources = recorded;
        let before = job.wanted.clone();
        job = with_found(job, found);
        is_wider = job.wanted != before;
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
        left_source: left_source.map_or_else(OnceLock::new, OnceLock::from),
        progress,
    };
    if has_target {
        saving.look_for_left_sources(is_wider)?;
    }
    let areas = job.places.par_iter().zip(guards).map(|(place, guard)| saving.report(place, guard));
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
    Ok(Saved { report, wanted: job.wanted.clone(), left_source: saving.left_source.into_inner() })
}

/// Saves the areas that cost least and help most first, `registry` and `git`; then the others. Who
/// may be stopped on the way loses the least so.
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
    let (shared, Saved { report: mut targets, wanted, .. }) = (shared.report, targets);
    if options.from == SavedFrom::Recorded {
        let owners = Owners { store, job, boot: &boot_id() };
        let noted = owners.note_missing(|_| true);
        targets.shared.warnings.extend(noted.err().map(Warning::from));
    }
    if wanted == job.wanted {
        return Ok(shared.and(targets));
    }
    // A target that was found only now needs more of `CARGO_HOME`.
    let job = Job { wanted, ..job.clone() };
    Ok(save(store, &job.only(Area::is_shared), options, progress)?.and(targets))
}

impl Saving<'_> {
    fn report(&self, place: &Place, guard: Result<BuildGuard>) -> AreaReport {
        let started = Instant::now();
        let mut report = AreaReport::new(place.area.clone());
        if let Err(error) = guard.and_then(|guard| self.save_area(place, &guard, &mut report)) {
            report.fail(error);
        }
        report.seconds = started.elapsed().as_secs_f64();
        if let Err(error) = self.log(&report) {
            report.warnings.push(error.into());
        }
        report
    }

    fn save_area(&self, place: &Place, guard: &BuildGuard, report: &mut AreaReport) -> Result<()> {
        self.progress.go_on()?;
        place.check(self.store.root(), &self.job.cargo_home)?;
        if let Some(why) = self.refusal(place) {
            report.warnings.push(why);
            return Ok(());
        }
        let checkout_files = self.checkout_files(place);
        // After another save than the last one the job goes on to build.
        let is_last = self.options.from == SavedFrom::Recorded;
        let Some(walked) = look(self.job, place, report, &checkout_files, self.progress)? else {
            if is_last && !place.area.is_shared() {
                self.owners().saved(&place.dir, Some(LeftAs::NOTHING))?;
            }
            return Ok(());
        };
        let after_stats = crate::fs::space::now_at(self.store.root())?;
        let known = self.known(place);
        // Atimes count from the walk: nothing is read before.
        let Walked { mut found, mut missed } = walked;
        let mut is_vouched = false;
        if let Some(kind) = Shared::of(&place.area) {
            let part = Part { kind, dir: &place.dir };
            let vouching = self.vouching();
            let left_out = vouching.leave_out_wrong(part, &mut found, after_stats, report)?;
            is_vouched = left_out.is_complete;
            self.note_left(left_out.left_source);
        }
        let left_as = is_last.then(|| left_as(&place.dir, &found)).flatten();
        let mut left = self.leave_unused(place, found, &missed, known.as_ref())?;
        let mut tree = Tree::of(&place.dir, &left.found)?;
        if let Some(link) = links::of_target(place, &tree.entries) {
            return Err(Error::BuiltThrough { dir: place.dir.clone(), link: link.clone() });
        }
        report.warnings.extend(
            tree.special.first().map(|path| Warning::SpecialFiles {
                path: path.clone(),
                count: tree.special.len(),
            }),
        );
        let mut recorded = self.record_graph(place, &left);
        let (keep, unread) =
            self.find_kept(place, &left.found, recorded.as_ref(), known.as_ref())?;
        let mut contents = self.read(&tree, &keep, known.as_ref(), report)?;
        let mut late = std::mem::take(&mut tree.missed);
        late.extend(unread.into_iter().chain(std::mem::take(&mut contents.missed)));
        if !late.is_empty() {
            left = self.leave_missed(place, left, &late, known.as_ref())?;
            recorded = self.record_graph(place, &left);
            let stays: HashSet<_> = left.found.iter().map(|found| &found.path).collect();
            contents.facts = tree.retain(contents.facts, |path| stays.contains(path));
            contents.drop_unused_packs();
            missed.extend(late);
        }
        report.warnings.extend(missed::warning(&place.dir, &missed));
        report.notes.extend(left.notes());
        let Left { seen, plan, .. } = left;
        if !place.area.is_shared() {
            report.reuse = reuse(known.as_ref().map(Known::manifest), &seen);
        }
        let mut manifest =
            self.assemble(place, &mut tree, contents, &keep, &plan, known.as_ref())?;
        manifest.header.vouched = is_vouched;
        if let Some(recorded) = recorded {
            manifest.graph = recorded.graph;
            bind(&mut manifest, &recorded.bound);
        }
        report.units =
            UnitsReport { kept: plan.kept.len() as u64, pruned: plan.pruned.len() as u64 };
        guard.check()?;
        (report.files, report.bytes) = (manifest.header.files, manifest.header.bytes);

        let id = if let Some(id) = self.identical(place, known.as_ref(), &manifest)? {
            (report.mode, report.hit) = (Mode::Unchanged, Hit::Exact);
            id
        } else {
            crash_point("save: packs visible");
            report.mode = Mode::Published;
            self.store.publish(self.lease, &manifest)?
        };
        report.generation = Some(id.to_string());
        report.matched_key = Some(self.job.key.clone());
        // The generation is published: without a stamp it counts as used now all the same.
        let stamped = self.store.stamp(&id.series, self.options.now);
        report.warnings.extend(stamped.err().map(Warning::from));
        let inodes = tree.inodes(&manifest.entries).collect();
        let owner = Some(self.job.as_owner());
        let mut record = TreeRecord { generation: id.clone(), owner, inodes };
        record.settle(after_stats);
        self.record(place, &record, report);
        if !place.area.is_shared() {
            let taken = self.owners().saved(&place.dir, left_as);
            report.warnings.extend(taken.err().map(Warning::from));
        }
        crash_point("save: recorded");
        self.put_by(place, (&tree, &record.inodes), &id, &manifest, report);
        report.id = Some(id);
        Ok(())
    }

    fn owners(&self) -> Owners<'_> {
        Owners { store: self.store, job: self.job, boot: &self.boot }
    }

    fn vouching(&self) -> Vouching<'_> {
        let Self { store, lease, job, progress, .. } = *self;
        Vouching { store, lease, job, boot: &self.boot, progress }
    }

    /// Returns what of the directory of a target belongs to the checkouts.
    pub(super) fn checkout_files<'s>(&'s self, place: &Place) -> CheckoutFiles {
        let of_root = |(root, dir): (&'s Root, &'s PathBuf)| {
            let files =
                move |source: &&Source| source.root == *root && source.kind != SourceKind::Dir;
            let paths = self.sources.iter().filter(files).filter_map(|source| source.path.as_ref());
            (dir.as_path(), paths)
        };
        CheckoutFiles::within(&place.dir, self.job.roots.iter().map(of_root))
    }

    fn known(&self, place: &Place) -> Option<Known> {
        Known::of(self.store, self.lease, &self.job.readable, &place.dir, &self.boot, None)
    }

    fn record_graph(&self, place: &Place, left: &Left) -> Option<Recorded> {
        let is_used =
            |unit: &UnitDir| left.seen.get(unit).is_none_or(|it| it.was_used != Some(false));
        let around = Surroundings::of(self.job, place, self.sources);
        (!place.area.is_shared()).then(|| graph::record(&left.found, &around, is_used))
    }

    fn find_kept(
        &self,
        place: &Place,
        found: &[Found],
        recorded: Option<&Recorded>,
        known: Option<&Known>,
    ) -> Result<(Vec<Keep>, Vec<Missed>)> {
        let Some(recorded) = recorded else { return Ok((Vec::new(), Vec::new())) };
        let around = Surroundings::of(self.job, place, self.sources);
        kept::find(found, &around, &recorded.graph, known.map(Known::manifest))
    }

    /// Records what is at the directory, so that the next job need not read it.
    fn record(&self, place: &Place, record: &TreeRecord, report: &mut AreaReport) {
        if let Err(error) = self.store.record_tree(&place.dir, &self.boot, record) {
            // It only saves time: the generation is published.
            report.warnings.push(error.into());
        }
    }

    fn log(&self, report: &AreaReport) -> Result<()> {
        let event = match report.mode {
            Mode::Published => "save",
            Mode::Unchanged => "stamp",
            _ => return Ok(()),
        };
        Ok(self.store.log(&Event {
            time: self.options.now,
            event: event.to_owned(),
            generation: report.id.clone(),
            detail: format!("{} {}", report.name, self.job.label),
            bytes: report.stored_bytes,
            millis: report.millis(),
        })?)
    }
}
