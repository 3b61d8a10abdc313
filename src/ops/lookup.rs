//! Looking up which generation of each area a restore would take.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use rayon::prelude::*;

use super::job::{Job, Place};
use super::report::{AreaReport, Report, chain};
use super::systems::{says_passed_over, says_system};
use super::units::leave_bound;
use super::{Result, sources};
use crate::model::choice::{Chosen, Hit, Wish, rivals};
use crate::model::digest::Digest;
use crate::model::manifest::{GenerationId, Header, Manifest, Root, Source, SourceKind};
use crate::model::rebuild::some;
use crate::model::rel_path::RelPath;
use crate::store::{self, Generation, Lease, Purpose, Store};

/// Says what a restore of `job` would take, and puts nothing in place.
pub fn look_up(store: &Store, job: &Job) -> Result<Report> {
    let started = Instant::now();
    let lease = store.lease(Purpose::Restore)?;
    let places: Vec<_> = job.places.iter().collect();
    let areas = choose(store, &lease, job, &places);
    let areas = areas.into_iter().map(|(place, mut report, choice)| {
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
    /// Of how many that are as near by key, paths and job it agrees best with the checkout; 1 if all of them
    /// agree as well.
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

/// Chooses a generation for each of these areas of `job` and reads its manifest, none where there is none.
///
/// Memory: for each area the manifests of the best so far and of the one that it is compared with.
pub(super) fn choose<'a>(
    store: &Store,
    lease: &Lease,
    job: &'a Job,
    places: &[&'a Place],
) -> Vec<(&'a Place, AreaReport, Option<Choice>)> {
    let begin = |place: &&'a Place| Search::begin(store, job, place);
    let mut searches: Vec<_> = places.par_iter().map(begin).collect();
    let mut files = None;
    while searches.iter().any(|search| !search.nearest.is_empty()) {
        // Each file is read once, however many generations there are, and none if there is no choice.
        if files.is_none() && searches.iter().any(|search| search.nearest.len() > 1) {
            files = Some(files_of(job));
        }
        searches.par_iter_mut().for_each(|search| search.take_best(store, lease, files.as_ref()));
    }
    let roots = job.raw_roots();
    let end = |search| {
        let passed_over = says_passed_over(store, job, &search);
        let Search { place, mut report, best, readable, differ, .. } = search;
        report.notes.extend(passed_over);
        let choice = best.map(|(_, mut choice): (u64, Choice)| {
            choice.left = leave_bound(Arc::make_mut(&mut choice.manifest), &roots);
            Choice { of: if differ { readable } else { 1 }, ..choice }
        });
        (place, report, choice)
    };
    searches.into_iter().map(end).collect()
}

/// The search for the generation that an area is to be restored to.
pub(super) struct Search<'a> {
    pub(super) place: &'a Place,
    pub(super) wish: Wish,
    report: AreaReport,
    pub(super) generations: Vec<Generation>,
    /// Those that may do best, as far as their headers tell, the best first; none once the search has ended.
    nearest: Vec<Chosen>,
    /// How many of them could be read.
    readable: usize,
    /// Whether some of those agree better with the checkout than others.
    differ: bool,
    /// The one that agrees best with the checkout, and in how many files.
    pub(super) best: Option<(u64, Choice)>,
}

impl<'a> Search<'a> {
    fn begin(store: &Store, job: &Job, place: &'a Place) -> Self {
        let started = Instant::now();
        let wish = job.wish(place);
        let mut report = AreaReport::new(place.area.clone());
        let mut generations = Vec::new();
        for scope in &wish.chain {
            match store.generations_of(scope, &place.area) {
                Ok((found, failures)) => {
                    generations.extend(found);
                    report.warnings.extend(failures.iter().map(|error| chain(error)));
                }
                Err(error) => {
                    report.fail(error.into());
                    generations.clear();
                    break;
                }
            }
        }
        let has_any = !generations.is_empty();
        report.wanted = report.failure.is_some() || has_any || job.counts_on(&place.area);
        let (nearest, best) = (Vec::new(), None);
        let (readable, differ) = (0, false);
        let mut search = Self { place, wish, report, generations, nearest, readable, differ, best };
        search.find_nearest();
        search.report.seconds = started.elapsed().as_secs_f64();
        search
    }

    fn find_nearest(&mut self) {
        let generations = self.generations.iter();
        let candidates: Vec<_> = generations.map(|it| (&it.id, &it.header)).collect();
        self.nearest = rivals(&self.wish, &candidates);
        if self.place.area.is_shared() {
            // What is in `CARGO_HOME` was not built from these sources.
            self.nearest.truncate(1);
        }
    }

    /// Reads the manifests of the nearest and keeps the best; `files` is what is checked out, needed if there
    /// are several. Those that cannot be used are passed over with a warning; if that is
    /// all of them, the next best are the nearest then.
    fn take_best(&mut self, store: &Store, lease: &Lease, files: Option<&Files>) {
        let started = Instant::now();
        let mut unusable = HashSet::new();
        for chosen in std::mem::take(&mut self.nearest) {
            let id = self.generations[chosen.index].id.clone();
            match store.read(lease, &id) {
                Ok(manifest) => {
                    self.readable += 1;
                    let agreement = files.map_or(0, |files| agreement(&manifest, files));
                    self.differ |= self.best.as_ref().is_some_and(|(best, _)| agreement != *best);
                    if self.best.as_ref().is_none_or(|(best, _)| agreement > *best) {
                        let (manifest, left) = (Arc::new(manifest), BTreeSet::new());
                        let choice = Choice { id, chosen, manifest, of: 1, left };
                        self.best = Some((agreement, choice));
                    }
                }
                Err(error) => {
                    unusable.insert(id);
                    if !matches!(error, store::Error::Gone(_)) {
                        self.report.warnings.push(chain(&error));
                    }
                }
            }
        }
        if self.best.is_none() && !unusable.is_empty() {
            self.generations.retain(|generation| !unusable.contains(&generation.id));
            self.find_nearest();
        }
        self.report.seconds += started.elapsed().as_secs_f64();
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
    remarks.extend(says_system(job, chosen, header));
    if header.partial {
        remarks.push(format!("saved by job `{}`, which failed or was cancelled", header.job));
    } else if !place.area.is_shared() && header.job != job.label {
        remarks.push(format!("saved by job `{}`", header.job));
    }
    remarks
}
