//! Restoring: the nearest generation of each area is put in place, then the sources' mtimes.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use rayon::prelude::*;

use super::compare::{Known, has_same_bytes};
use super::job::{Job, Place};
use super::place::place;
use super::progress::Progress;
use super::report::{AreaReport, Mode, Report, chain};
use super::save::shared;
use super::shared::{Home, place_shared};
use super::{Result, kept, sources};
use crate::fs::crash::crash_point;
use crate::fs::stat::Kind;
use crate::fs::walk::walk;
use crate::model::area::Area;
use crate::model::choice::{Chosen, Hit, choose};
use crate::model::manifest::{EntryKind, GenerationId, Manifest, Source};
use crate::model::rel_path::RelPath;
use crate::model::timestamp::Timestamp;
use crate::store::{self, Event, Generation, Lease, Purpose, Store, TreeRecord, boot_id};

/// What one area was restored to.
struct Restored {
    report: AreaReport,
    manifest: Option<Manifest>,
}

/// Which files of an area this restore wrote or compared.
enum Placed {
    All,
    These(HashSet<RelPath>),
}

/// Everything the areas of one restore share.
struct Restoring<'a> {
    store: &'a Store,
    lease: &'a Lease,
    job: &'a Job,
    now: Timestamp,
    boot: String,
    progress: &'a Progress,
}

/// Restores every area of `job`, then makes its sources look to cargo as they should.
///
/// An area that fails is a miss with a warning, and what was there before is there still. Killed
/// at any instruction, each area is in place whole or not at all, and sources have the mtimes they
/// had or those they should have. Any number of saves and restores may run at once.
pub fn restore(store: &Store, job: &Job, now: Timestamp, progress: &Progress) -> Result<Report> {
    let started = Instant::now();
    store.reclaim()?;
    let lease = store.lease(Purpose::Restore)?;
    crash_point("restore: leased");
    let restoring = Restoring { store, lease: &lease, job, now, boot: boot_id(), progress };
    let restored: Vec<Restored> =
        job.places.par_iter().map(|place| restoring.report(place)).collect();
    crash_point("restore: sources");

    let (areas, manifests): (Vec<_>, Vec<_>) =
        restored.into_iter().map(|restored| (restored.report, restored.manifest)).unzip();
    let manifests: Vec<Manifest> = manifests.into_iter().flatten().collect();
    let mut report = Report::of(job.key.clone(), areas);
    report.warnings.clone_from(&job.warnings);
    if let Err(error) = restoring.refresh(&manifests, &mut report) {
        report.warnings.push(chain(&error));
    }
    report.seconds = started.elapsed().as_secs_f64();
    Ok(report)
}

impl Restoring<'_> {
    fn report(&self, place: &Place) -> Restored {
        let started = Instant::now();
        let mut report = AreaReport::new(place.area.clone());
        let manifest = match self.restore_area(place, &mut report) {
            Ok(manifest) => manifest,
            Err(error) => {
                report.fail(&error);
                None
            }
        };
        report.seconds = started.elapsed().as_secs_f64();
        if let Err(error) = self.log(&report, manifest.as_ref()) {
            report.warnings.push(chain(&error));
        }
        Restored { report, manifest }
    }

    fn restore_area(&self, place: &Place, report: &mut AreaReport) -> Result<Option<Manifest>> {
        let Some((id, chosen, manifest)) = self.choose(place, report)? else { return Ok(None) };
        let known = Known::of(self.store, self.lease, &place.dir, &self.boot);
        let placed = self.put_in_place(place, &manifest, report)?;
        let header = &manifest.header;
        report.hit = chosen.hit;
        (report.files, report.bytes) = (header.files, header.bytes);
        report.stored_bytes = header.packs.iter().map(|pack| pack.stored_bytes).sum();
        report.generation = Some(id.to_string());
        report.matched_key = Some(header.cache_key.clone());
        report.notes.extend(self.remarks(place, &chosen, &manifest));
        self.store.stamp(&id.series, self.now)?;
        if let Err(error) = self.record(place, &manifest, id, &placed, known.as_ref()) {
            // It only saves time: the area is in place.
            report.warnings.push(chain(&error));
        }
        Ok(Some(manifest))
    }

    /// Chooses a generation and reads its manifest. One that cannot be used is passed over with a
    /// warning, and the next best is taken.
    fn choose(
        &self,
        place: &Place,
        report: &mut AreaReport,
    ) -> Result<Option<(GenerationId, Chosen, Manifest)>> {
        let wish = self.job.wish(place);
        let mut generations: Vec<Generation> = Vec::new();
        for scope in &wish.chain {
            let (found, failures) = self.store.generations_of(scope, &place.area)?;
            generations.extend(found);
            report.warnings.extend(failures.iter().map(|error| chain(error)));
        }
        let is_optional = !matches!(place.area, Area::Registry | Area::Target);
        report.wanted = !(is_optional && generations.is_empty());
        loop {
            let candidates: Vec<_> =
                generations.iter().map(|generation| (&generation.id, &generation.header)).collect();
            let Some(chosen) = choose(&wish, &candidates) else { return Ok(None) };
            let id = generations[chosen.index].id.clone();
            match self.store.read(self.lease, &id) {
                Ok(manifest) => return Ok(Some((id, chosen, manifest))),
                Err(store::Error::Gone(_)) => {}
                Err(error) => report.warnings.push(chain(&error)),
            }
            generations.swap_remove(chosen.index);
        }
    }

    fn put_in_place(
        &self,
        area: &Place,
        manifest: &Manifest,
        report: &mut AreaReport,
    ) -> Result<Placed> {
        let Self { store, lease, boot, progress, .. } = self;
        let Some(kind) = shared(&area.area) else {
            report.mode = place(store, lease, &area.dir, manifest, boot, progress)?;
            return Ok(Placed::All);
        };
        let home = Home { kind, cargo_home: &self.job.cargo_home, dir: &area.dir };
        let (mode, files) = place_shared(store, lease, &home, manifest, progress)?;
        report.mode = mode;
        Ok(Placed::These(files))
    }

    fn remarks(&self, place: &Place, chosen: &Chosen, manifest: &Manifest) -> Vec<String> {
        let mut remarks = Vec::new();
        let header = &manifest.header;
        if chosen.hit == Hit::Fallback {
            remarks.push(format!(
                "no generation for this key; the nearest is of {}",
                header.cache_key
            ));
        }
        if !chosen.same_roots {
            for (root, path) in self.job.raw_roots() {
                if let Some(saved) = header.roots.get(&root).filter(|saved| **saved != path) {
                    remarks.push(format!(
                        "`{root}` was at `{saved}` when this was saved and is at `{path}` now: cargo \
                         builds path dependencies outside the workspace again"
                    ));
                }
            }
        }
        if !place.area.is_shared() && header.job != self.job.label {
            remarks.push(format!("saved by job `{}`", header.job));
        }
        remarks
    }

    /// Records what is at the directory now, so that the save need not read it.
    fn record(
        &self,
        place: &Place,
        manifest: &Manifest,
        generation: GenerationId,
        placed: &Placed,
        known: Option<&Known>,
    ) -> Result<()> {
        let dirs: HashSet<_> = manifest
            .entries
            .iter()
            .filter(|entry| matches!(entry.kind, EntryKind::Dir { .. }))
            .map(|entry| &entry.path)
            .collect();
        let found = walk(&place.dir, |path, kind| kind != Kind::Dir || dirs.contains(path))?;
        let now = crate::fs::space::now_at(self.store.root())?;
        let stats: HashMap<_, _> = found
            .into_iter()
            .filter(|found| found.stat.kind == Kind::File)
            .map(|found| (found.path, found.stat))
            .collect();
        let inodes = manifest.entries.iter().filter_map(|entry| {
            let EntryKind::File(facts) = &entry.kind else { return None };
            let stat = stats.get(&entry.path)?;
            let recorded = || known.and_then(|known| known.facts_of(&entry.path, stat));
            let is_certain = match placed {
                Placed::All => true,
                // What was there before in a shared directory may be another file of that name.
                Placed::These(files) if !files.contains(&entry.path) => {
                    recorded().is_some_and(|recorded| has_same_bytes(recorded, facts))
                }
                Placed::These(_) => true,
            };
            let is_as_placed = stat.size == facts.size && stat.mtime == facts.mtime;
            (is_certain && is_as_placed).then(|| (entry.path.clone(), stat.inode))
        });
        let mut record = TreeRecord { generation, inodes: inodes.collect() };
        record.settle(now);
        self.store.record_tree(&place.dir, &self.boot, &record)?;
        Ok(())
    }

    /// Puts kept files back and makes every source as old as its content.
    fn refresh(&self, manifests: &[Manifest], report: &mut Report) -> Result<()> {
        let Job { roots, excluded, .. } = self.job;
        let of_targets: Vec<&Manifest> =
            manifests.iter().filter(|manifest| !manifest.header.series.area.is_shared()).collect();
        let newest = of_targets.iter().map(|manifest| manifest.header.newest_mtime.next()).max();
        let Some(newest) = newest else { return Ok(()) };
        let bound = newest.max(crate::fs::space::now_at(self.store.root())?);
        kept::put_back(self.store, self.lease, roots, &of_targets, bound, self.progress)?;
        let records: Vec<&[Source]> =
            of_targets.iter().map(|manifest| manifest.sources.as_slice()).collect();
        let (sources, _) = sources::put_back(roots, &records, excluded, bound)?;
        report.sources = sources;
        Ok(())
    }

    fn log(&self, report: &AreaReport, manifest: Option<&Manifest>) -> Result<()> {
        let id = manifest.map(|manifest| manifest.header.series.clone());
        let event = if report.mode == Mode::Nothing || id.is_none() { "miss" } else { "restore" };
        // Milliseconds of less than 2^53, so nothing is lost, and never negative.
        let millis = std::time::Duration::from_secs_f64(report.seconds).as_millis();
        Ok(self.store.log(&Event {
            time: self.now,
            event: event.to_owned(),
            generation: None,
            detail: format!("{} {}", report.name, self.job.label),
            bytes: report.bytes,
            millis: u64::try_from(millis).unwrap_or(u64::MAX),
        })?)
    }
}
