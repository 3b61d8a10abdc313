//! Looking up which generation of each area a restore would take.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use rayon::prelude::*;

use super::job::{Job, Place};
use super::report::{AreaReport, Report, chain};
use super::units::leave_bound;
use super::{Result, sources};
use crate::model::choice::{Chosen, Hit, most_agreeing, rivals};
use crate::model::digest::Digest;
use crate::model::manifest::{GenerationId, Header, Manifest, Root, Source, SourceKind};
use crate::model::rebuild::some;
use crate::model::rel_path::RelPath;
use crate::store::{self, Generation, Lease, Purpose, Store};

/// Says what a restore of `job` would take, and puts nothing in place.
pub fn look_up(store: &Store, job: &Job) -> Result<Report> {
    let started = Instant::now();
    let lease = store.lease(Purpose::Restore)?;
    let areas = choose(store, &lease, job).into_iter().map(|(place, mut report, choice)| {
        if let Some(choice) = choice {
            choice.tell(job, place, &mut report);
        }
        report
    });
    let areas = areas.collect();
    let mut report = Report::of(job.key.clone(), areas);
    report.warnings.clone_from(&job.warnings);
    report.seconds = started.elapsed().as_secs_f64();
    Ok(report)
}

/// The generation that an area is to be restored to.
pub(super) struct Choice {
    pub(super) id: GenerationId,
    pub(super) chosen: Chosen,
    pub(super) manifest: Arc<Manifest>,
    /// Of how many that are as near by key, paths and job it agrees best with the checkout.
    of: usize,
    /// The crates of the units that are left out, because they work only where it was saved.
    left: BTreeSet<String>,
}

impl Choice {
    /// Tells whether nothing of the generation is left out.
    pub(super) fn is_whole(&self) -> bool {
        self.left.is_empty()
    }

    /// Tells in the report of `place` which it is, and why it is not what one would expect.
    pub(super) fn tell(&self, job: &Job, place: &Place, report: &mut AreaReport) {
        let header = &self.manifest.header;
        report.hit = self.chosen.hit;
        (report.files, report.bytes) = (header.files, header.bytes);
        report.stored_bytes = header.packs.iter().map(|pack| pack.stored_bytes).sum();
        report.generation = Some(self.id.to_string());
        report.id = Some(self.id.clone());
        report.units.kept = self.manifest.units.len() as u64;
        report.matched_key = Some(header.cache_key.clone());
        report.notes.extend(remarks(job, place, &self.chosen, header));
        if !self.left.is_empty() {
            report.notes.extend(elsewhere(job, header, &self.left));
        }
        if self.of > 1 {
            report.notes.push(format!(
                "of {} generations as near, the one built from sources most like these",
                self.of
            ));
        }
    }
}

/// Chooses a generation for each area of `job` and reads its manifest, none where there is none.
pub(super) fn choose<'a>(
    store: &Store,
    lease: &Lease,
    job: &'a Job,
) -> Vec<(&'a Place, AreaReport, Option<Choice>)> {
    let rivals = |place: &'a Place| {
        let started = Instant::now();
        let mut report = AreaReport::new(place.area.clone());
        let rivals = rivals_of(store, lease, job, place, &mut report).unwrap_or_else(|error| {
            report.fail(error);
            Vec::new()
        });
        report.seconds = started.elapsed().as_secs_f64();
        (place, report, rivals)
    };
    let areas: Vec<_> = job.places.par_iter().map(rivals).collect();
    // Each file is read once, however many generations there are, and none if there is no choice.
    let has_rivals = areas.iter().any(|(.., rivals)| rivals.len() > 1);
    let files = if has_rivals { files_of(job) } else { HashMap::new() };
    let roots = job.raw_roots();
    let settle = |(place, report, mut rivals): (_, _, Vec<Choice>)| {
        let agreements: Vec<_> = rivals.iter().map(|it| agreement(&it.manifest, &files)).collect();
        let of = rivals.len();
        let choice = most_agreeing(&agreements).map(|index| rivals.swap_remove(index));
        let choice = choice.map(|mut choice| {
            choice.left = leave_bound(Arc::make_mut(&mut choice.manifest), &roots);
            Choice { of, ..choice }
        });
        (place, report, choice)
    };
    areas.into_iter().map(settle).collect()
}

/// Reads the manifests of the generations that are nearest, the best first. Those that cannot be
/// used are passed over with a warning, and the next best are taken.
fn rivals_of(
    store: &Store,
    lease: &Lease,
    job: &Job,
    place: &Place,
    report: &mut AreaReport,
) -> Result<Vec<Choice>> {
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
        let mut nearest = rivals(&wish, &candidates);
        if place.area.is_shared() {
            // What is in `CARGO_HOME` was not built from these sources.
            nearest.truncate(1);
        }
        let mut readable = Vec::new();
        let mut unusable = HashSet::new();
        for chosen in nearest {
            let id = generations[chosen.index].id.clone();
            match store.read(lease, &id) {
                Ok(manifest) => {
                    let manifest = Arc::new(manifest);
                    readable.push(Choice { id, chosen, manifest, of: 1, left: BTreeSet::new() });
                }
                Err(error) => {
                    unusable.insert(id);
                    if !matches!(error, store::Error::Gone(_)) {
                        report.warnings.push(chain(&error));
                    }
                }
            }
        }
        if !readable.is_empty() || unusable.is_empty() {
            return Ok(readable);
        }
        generations.retain(|generation| !unusable.contains(&generation.id));
    }
}

/// The digest of each file that is checked out now.
type Files = HashMap<(Root, Option<RelPath>), Digest>;

fn files_of(job: &Job) -> Files {
    // What cannot be read agrees with nothing; the restore itself will say why.
    let sources = sources::record(&job.roots, &job.excluded).unwrap_or_default();
    let files = sources.into_iter().filter(|source| source.kind == SourceKind::File);
    files.map(|source| ((source.root, source.path), source.digest)).collect()
}

/// Returns in how many files the sources that a tree was built from are what is checked out.
fn agreement(manifest: &Manifest, files: &Files) -> u64 {
    let agrees = |source: &&Source| {
        source.kind == SourceKind::File
            && files.get(&(source.root.clone(), source.path.clone())) == Some(&source.digest)
    };
    manifest.sources.iter().filter(agrees).count() as u64
}

/// Says which crates cargo builds again because the roots lie elsewhere, and where they would not be.
fn elsewhere<'a>(
    job: &Job,
    header: &'a Header,
    crates: &'a BTreeSet<String>,
) -> impl Iterator<Item = String> + 'a {
    let moved = job.raw_roots().into_iter().filter_map(|(root, path)| {
        let saved = header.roots.get(&root).filter(|saved| **saved != path)?;
        Some(format!("`{root}` was at `{saved}` when this was saved and is at `{path}` now"))
    });
    let why = format!(
        "cargo knows these by their path and builds them again: {}",
        some(crates.iter(), "")
    );
    moved.chain(std::iter::once(why))
}

fn remarks(job: &Job, place: &Place, chosen: &Chosen, header: &Header) -> Vec<String> {
    let mut remarks = Vec::new();
    if chosen.hit == Hit::Fallback {
        remarks.push(format!("no generation for this key; the nearest is of {}", header.cache_key));
    }
    if let Some(saved) = header.cargo_home.as_ref().filter(|_| !chosen.same_home) {
        let home = job.cargo_home.display();
        remarks.push(format!(
            "CARGO_HOME was `{saved}` when this was saved and is `{home}` now: cargo builds every crate \
             of a registry or git repository again"
        ));
    }
    if header.partial {
        remarks.push(format!("saved by job `{}`, which failed or was cancelled", header.job));
    } else if !place.area.is_shared() && header.job != job.label {
        remarks.push(format!("saved by job `{}`", header.job));
    }
    remarks
}
