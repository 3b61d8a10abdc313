//! gc: expires generations by the policy, evicts under pressure, and sweeps what no generation names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use super::hot::hot_facts;
pub use super::report::{Damage, GcMode, GcReport, Options};
use crate::cargo::build_lock::lock_packages;
use crate::fs::space::filesystem_of;
use crate::job::Result;
use crate::job::warning::Warning;
use crate::model::expiry::Plan;
use crate::model::facts::{GenerationFacts, SeriesFacts, StoreFacts};
use crate::model::idle_dir::{DirFacts, DroppedDir, dropped_dirs};
use crate::model::manifest::{GenerationId, Series};
use crate::model::pressure::Pressure;
use crate::model::reason::Reason;
use crate::model::retention::Policy;
use crate::model::scope::Scope;
use crate::model::timestamp::Timestamp;
use crate::store::{self, Event, GcLock, HotTree, Reclaimed, Store, StrayRecord, Swept, boot_id};

/// The number of seconds that a file may stay in `staging/` without a lease. A stamp or tree record is there for
/// milliseconds; an hour also covers a clock that is set in between.
const STAGED_SECS: u32 = 3600;

/// Expires generations, evicts under pressure, and sweeps.
///
/// Only one gc runs at a time. It never waits for jobs, and removes nothing that a live lease names. The current job is
/// about to restore from the `readable` scopes, so gc removes as little of them as it can.
pub fn gc(store: &Store, pressure: Option<&Pressure>, options: Options<'_>) -> Result<GcReport> {
    let Options { policy, readable, now, mode } = options;
    match mode {
        GcMode::DryRun => {
            let mut facts = GcFacts::read(store, pressure, now)?;
            let plan = facts.plan(store, policy, pressure, readable, now)?;
            facts.foresee(store, plan)
        }
        GcMode::Execute => {
            let Some(lock) = store.gc_lock()? else {
                return Ok(GcReport { other_gc_runs: true, ..GcReport::default() });
            };
            let Reclaimed { dead, left } = store.reclaim()?;
            let odd = store.clear_oddities(&lock)?;
            let mut facts = GcFacts::read(store, pressure, now)?;
            let plan = facts.plan(store, policy, pressure, readable, now)?;
            let mut report = facts.carry_out(store, &lock, plan, now)?;
            let left: BTreeSet<_> = left.into_iter().chain(lock.take_left()).collect();
            report.warnings.extend(left.into_iter().map(Warning::Stays));
            Ok(GcReport { dead_leases: dead, odd, ..report })
        }
    }
}

/// The state of the store from which gc decides.
struct GcFacts {
    of_store: StoreFacts,
    /// The private homes, the mirrors, and the hot trees on the store's filesystem.
    dirs: Vec<DirFacts>,
    hot_trees: Vec<HotTree>,
    stray_records: Vec<StrayRecord>,
    /// The directories that are removed, once that is decided.
    dropped: Vec<DroppedDir>,
    damaged: Vec<Damage>,
    damaged_bytes: u64,
    /// Manifests that cannot be read but must not be deleted: a newer program wrote them, say.
    unread: Vec<store::Error>,
}

impl GcFacts {
    fn read(store: &Store, pressure: Option<&Pressure>, now: Timestamp) -> Result<Self> {
        let (generations, failures) = store.generations()?;
        let leased = store.lease_facts()?;
        let mut by_series: BTreeMap<Series, Vec<GenerationFacts>> = BTreeMap::new();
        for generation in generations {
            let leased = leased.generations.contains(&generation.id);
            let facts = GenerationFacts {
                number: generation.id.number,
                job: generation.header.job,
                partial: generation.header.partial,
                cargo_home: generation.header.cargo_home,
                system: generation.header.system,
                created: generation.header.created,
                leased,
                packs: generation.header.packs.iter().map(|pack| pack.digest).collect(),
                manifest_bytes: generation.manifest_bytes,
            };
            by_series.entry(generation.id.series).or_default().push(facts);
        }
        let hot_trees = store.hot_trees(&boot_id())?;
        let mut dirs = dirs_of(store, pressure, now)?;
        dirs.extend(hot_facts(&hot_trees, |hot| {
            hot.is_current && hot.path.starts_with(store.root())
        }));
        let mut facts = Self {
            of_store: StoreFacts {
                series: Vec::new(),
                packs: store.packs()?.packs.into_iter().collect(),
                leased_packs: leased.packs,
                dir_bytes: 0,
            },
            dirs,
            dropped: dropped_anyway(&hot_trees),
            hot_trees,
            stray_records: store.stray_hot_records()?,
            damaged: Vec::new(),
            damaged_bytes: 0,
            unread: Vec::new(),
        };
        for (series, generations) in by_series {
            let last_used = store.last_used(&series);
            facts.of_store.series.push(SeriesFacts { series, last_used, generations });
        }
        for failure in failures {
            match failure {
                store::Error::Damaged { path, what } => {
                    // A manifest that is gone by now takes no space.
                    facts.damaged_bytes += path.metadata().map_or(0, |metadata| metadata.len());
                    facts.damaged.push(Damage { path, what });
                }
                other => facts.unread.push(other),
            }
        }
        if !facts.unread.is_empty() {
            facts.of_store.leased_packs.extend(facts.of_store.packs.keys().copied());
        }
        Ok(facts)
    }

    /// Decides what is removed. Evicts nothing while packs cannot be removed: that would cost builds and free almost
    /// nothing. Homes and mirrors are dropped before generations are evicted.
    fn plan(
        &mut self,
        store: &Store,
        policy: &Policy,
        pressure: Option<&Pressure>,
        readable: &[Scope],
        now: Timestamp,
    ) -> Result<Plan> {
        let filesystem = filesystem_of(store.root())?;
        let pressure = pressure.filter(|_| self.unread.is_empty());
        if let Some(pressure) = pressure {
            let expired_bytes = self.of_store.plan(policy, None, readable, now).bytes;
            let kept_bytes = self.of_store.stored_bytes().saturating_sub(expired_bytes);
            let later = filesystem.relieved(expired_bytes);
            let later = later.relieved(self.freed_below(store.root()));
            self.dropped.extend(dropped_dirs(
                &self.dirs,
                kept_bytes,
                (pressure, &later),
                policy,
                now,
            ));
        }
        let is_dropped = |dir: &DirFacts| self.dropped.iter().any(|gone| gone.path == dir.path);
        let staying = self.dirs.iter().filter(|dir| !is_dropped(dir));
        self.of_store.dir_bytes = staying.map(|dir| dir.bytes).sum();
        let later = filesystem.relieved(self.freed_below(store.root()));
        Ok(self.of_store.plan(policy, pressure.map(|pressure| (pressure, &later)), readable, now))
    }

    fn dropped_bytes(&self) -> u64 {
        self.freed_below(Path::new("/"))
    }

    fn freed_below(&self, root: &Path) -> u64 {
        let there = self.dropped.iter().filter(|dir| dir.path.starts_with(root));
        there.map(|dir| dir.frees_bytes).sum()
    }

    fn foresee(self, store: &Store, plan: Plan) -> Result<GcReport> {
        let bytes = plan.bytes + self.damaged_bytes + self.dropped_bytes();
        let swept = Swept { bytes, ..Swept::default() };
        Ok(GcReport {
            dead_leases: store.holdings()?.dead_leases.len(),
            odd: store.oddities()?,
            stale_trees: store.stale_trees(&boot_id())?.len(),
            packs: plan.packs,
            ..self.report(plan, &swept)
        })
    }

    fn carry_out(
        mut self,
        store: &Store,
        lock: &GcLock,
        plan: Plan,
        now: Timestamp,
    ) -> Result<GcReport> {
        store.clear_staging(lock, now.minus(STAGED_SECS, 0))?;
        let ids: Vec<_> = plan.expired.iter().map(|expired| expired.id.clone()).collect();
        let paths: Vec<_> = self.damaged.iter().map(|damage| damage.path.clone()).collect();
        let dirs: Vec<_> = self.dropped.iter().map(|dir| dir.path.as_path()).collect();
        let is_dropped = |dir: &&DirFacts| dirs.contains(&dir.path.as_path());
        let homes: Vec<_> = self.dirs.iter().filter(is_dropped).collect();
        let package_lock = |home: &Path| lock_packages(home, Duration::ZERO);
        let is_dropped = |hot: &&HotTree| dirs.contains(&hot.path.as_path());
        let hot_trees: Vec<_> = self.hot_trees.iter().filter(is_dropped).cloned().collect();
        let (cool, failures) = store.drop_hot_trees(&hot_trees);
        for stray in &self.stray_records {
            store.drop_stray_hot_record(lock, stray)?;
        }
        let mut gone: Vec<_> = cool.iter().map(|hot| hot.path.clone()).collect();
        let mut sweep = || {
            store.drop_mirrors(lock, &dirs, &mut gone)?;
            store.drop_homes(lock, &homes, now, &package_lock, &mut gone)?;
            store.sweep(lock, &ids, &paths)
        };
        let mut swept = match sweep() {
            // The disk is too full to create a directory in the trash. Removing the records frees a little space. Paths
            // that are gone by now count as removed.
            Err(store::Error::Io(error)) if error.is_full() => {
                store.forget_trees(lock)?;
                sweep()?
            }
            swept => swept?,
        };
        // Directories in use were not removed.
        self.dropped.retain(|dir| gone.contains(&dir.path));
        swept.bytes += self.dropped_bytes();
        let stale = store.stale_trees(&boot_id())?;
        store.forget_stale_trees(lock, &stale)?;
        let packs = swept.packs.len();
        let mut report = GcReport { stale_trees: stale.len(), packs, ..self.report(plan, &swept) };
        report.warnings.extend(failures.into_iter().map(Warning::from));
        // Generations that a process began to use meanwhile were put back.
        let gone: BTreeSet<&GenerationId> = swept.generations.iter().collect();
        report.expired.retain(|expired| gone.contains(&expired.id));
        report.log(store, now);
        Ok(report)
    }

    fn report(self, plan: Plan, swept: &Swept) -> GcReport {
        let strays = self.stray_records.into_iter().map(Warning::StrayRecord);
        let unread = self.unread.into_iter().map(|error| Warning::UnreadManifest(error.into()));
        let bytes = Some(plan.missing_bytes).filter(|bytes| *bytes > 0).map(Warning::MissingBytes);
        let inodes =
            Some(plan.missing_inodes).filter(|inodes| *inodes > 0).map(Warning::MissingInodes);
        let warnings = strays.chain(unread).chain(bytes).chain(inodes).collect();
        GcReport {
            expired: plan.expired,
            dirs: self.dropped,
            damaged: self.damaged,
            bytes: swept.bytes,
            missing_bytes: plan.missing_bytes,
            missing_inodes: plan.missing_inodes,
            warnings,
            ..GcReport::default()
        }
    }
}

/// Returns the hot trees that no job can use, on any filesystem.
fn dropped_anyway(hot_trees: &[HotTree]) -> Vec<DroppedDir> {
    let outdated = hot_facts(hot_trees, |hot| !hot.is_current);
    let dropped = outdated.map(|dir| DroppedDir {
        kind: dir.kind,
        path: dir.path,
        reason: Reason::Outdated,
        frees_bytes: dir.bytes,
    });
    dropped.collect()
}

/// Returns the private homes and the mirrors. The sizes of homes are measured only under pressure.
fn dirs_of(store: &Store, pressure: Option<&Pressure>, now: Timestamp) -> Result<Vec<DirFacts>> {
    let filesystem = filesystem_of(store.root())?;
    let is_pressed = |pressure: &Pressure| {
        pressure.max_size.is_some() || !pressure.strains(&filesystem).is_empty()
    };
    let mut dirs = store.homes(now, pressure.is_some_and(is_pressed))?;
    dirs.extend(store.mirrors()?);
    Ok(dirs)
}

impl GcReport {
    /// Writes the removed generations to the journal. gc is complete without that, so an error is only a warning.
    fn log(&mut self, store: &Store, now: Timestamp) {
        let event = |generation: Option<GenerationId>, detail: String, bytes| Event {
            time: now,
            event: "expire".to_owned(),
            generation,
            detail,
            bytes,
            millis: 0,
        };
        let of_plan = self.expired.iter().map(|expired| {
            event(Some(expired.id.clone()), expired.reason.to_string(), expired.frees_bytes)
        });
        let of_damage = self.damaged.iter().map(|damage| {
            event(None, format!("`{}` is damaged: {}", damage.path.display(), damage.what), 0)
        });
        let logged = of_plan.chain(of_damage).try_for_each(|event| store.log(&event));
        self.warnings.extend(logged.err().map(Warning::from));
    }
}

#[cfg(test)]
mod tests;
