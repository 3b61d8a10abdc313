//! Looking up which generation of each area a restore would take.

use std::time::Instant;

use rayon::prelude::*;

use super::Result;
use super::job::{Job, Place};
use super::report::{AreaReport, Report, chain};
use crate::model::choice::{self, Chosen, Hit};
use crate::model::manifest::{GenerationId, Header, Manifest};
use crate::store::{self, Generation, Lease, Purpose, Store};

/// Says what a restore of `job` would take, and puts nothing in place.
pub fn look_up(store: &Store, job: &Job) -> Result<Report> {
    let started = Instant::now();
    let lease = store.lease(Purpose::Restore)?;
    let look_up = |place: &Place| {
        let mut report = AreaReport::new(place.area.clone());
        match choose(store, &lease, job, place, &mut report) {
            Ok(choice) => choice.iter().for_each(|choice| choice.tell(job, place, &mut report)),
            Err(error) => report.fail(error),
        }
        report
    };
    let areas = job.places.par_iter().map(look_up).collect();
    let mut report = Report::of(job.key.clone(), areas);
    report.warnings.clone_from(&job.warnings);
    report.seconds = started.elapsed().as_secs_f64();
    Ok(report)
}

/// The generation that an area is to be restored to.
pub(super) struct Choice {
    pub(super) id: GenerationId,
    pub(super) chosen: Chosen,
    pub(super) manifest: Manifest,
}

impl Choice {
    /// Tells in the report of `place` which it is, and why it is not what one would expect.
    pub(super) fn tell(&self, job: &Job, place: &Place, report: &mut AreaReport) {
        let header = &self.manifest.header;
        report.hit = self.chosen.hit;
        (report.files, report.bytes) = (header.files, header.bytes);
        report.stored_bytes = header.packs.iter().map(|pack| pack.stored_bytes).sum();
        report.generation = Some(self.id.to_string());
        report.id = Some(self.id.clone());
        report.matched_key = Some(header.cache_key.clone());
        report.notes.extend(remarks(job, place, &self.chosen, header));
    }
}

/// Chooses a generation and reads its manifest. One that cannot be used is passed over with a
/// warning, and the next best is taken.
pub(super) fn choose(
    store: &Store,
    lease: &Lease,
    job: &Job,
    place: &Place,
    report: &mut AreaReport,
) -> Result<Option<Choice>> {
    let wish = job.wish(place);
    let mut generations: Vec<Generation> = Vec::new();
    for scope in &wish.chain {
        let (found, failures) = store.generations_of(scope, &place.area)?;
        generations.extend(found);
        report.warnings.extend(failures.iter().map(|error| chain(error)));
    }
    report.wanted = !generations.is_empty() || job.counts_on(&place.area);
    loop {
        let candidates: Vec<_> =
            generations.iter().map(|generation| (&generation.id, &generation.header)).collect();
        let Some(chosen) = choice::choose(&wish, &candidates) else { return Ok(None) };
        let id = generations[chosen.index].id.clone();
        match store.read(lease, &id) {
            Ok(manifest) => return Ok(Some(Choice { id, chosen, manifest })),
            Err(store::Error::Gone(_)) => {}
            Err(error) => report.warnings.push(chain(&error)),
        }
        generations.swap_remove(chosen.index);
    }
}

fn remarks(job: &Job, place: &Place, chosen: &Chosen, header: &Header) -> Vec<String> {
    let mut remarks = Vec::new();
    if chosen.hit == Hit::Fallback {
        remarks.push(format!("no generation for this key; the nearest is of {}", header.cache_key));
    }
    if !chosen.same_roots {
        for (root, path) in job.raw_roots() {
            if let Some(saved) = header.roots.get(&root).filter(|saved| **saved != path) {
                remarks.push(format!(
                    "`{root}` was at `{saved}` when this was saved and is at `{path}` now: cargo \
                     builds path dependencies outside the workspace again"
                ));
            }
        }
    }
    if header.partial {
        remarks.push(format!("saved by job `{}`, which failed or was cancelled", header.job));
    } else if !place.area.is_shared() && header.job != job.label {
        remarks.push(format!("saved by job `{}`", header.job));
    }
    remarks
}
