//! Looks up the generation of each area that a restore would take.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use rayon::prelude::*;

use super::choice::Choice;
use super::live::Live;
use super::scores::Scores;
use super::systems::newer_systems;
use super::units::{leave_bound, leave_distrusted};
use super::{Planned, RestorePlan};
use crate::job::Result;
use crate::job::checkout_files::CheckoutFiles;
use crate::job::further::{For, with_last};
use crate::job::report::{AreaReport, Report, RestoreReport};
use crate::job::sources::Glance;
use crate::job::warning::Warning;
use crate::job::{AreaPlace, Job};
use crate::model::choice::{Wish, ranked};
use crate::model::rel_path::RelPath;
use crate::model::sketch::Contents;
use crate::store::{self, Generation, Lease, Purpose, Store};

/// Plans a restore of `job` and reports the plan. Puts nothing in place.
pub fn look_up(store: &Store, job: &Job) -> Result<RestoreReport> {
    let started = Instant::now();
    let lease = store.lease(Purpose::Restore)?;
    let job = &*with_last(store, job, For::Restore);
    let places: Vec<_> = job.places.iter().collect();
    let plan = choose(store, &lease, job, &places);
    Ok(RestoreReport::of(Report {
        warnings: job.warnings.clone(),
        seconds: started.elapsed().as_secs_f64(),
        ..Report::of(job.key.clone(), plan.reports(job))
    }))
}

impl RestorePlan<'_> {
    /// Returns what is planned for each area.
    fn reports(self, job: &Job) -> Vec<AreaReport> {
        let report = |Planned { place, mut report, choice }| {
            if let Some(choice) = choice {
                let choice: Choice = choice;
                choice.tell(job, place, &mut report);
                report.notes.extend(choice.ahead);
            }
            report
        };
        self.areas.into_iter().map(report).collect()
    }
}

/// Chooses a generation for each of these `places` of `job`, if there is one, and reads its
/// manifest.
///
/// Reads the sources once, if any target has a generation.
pub(super) fn choose<'a>(
    store: &Store,
    lease: &Lease,
    job: &'a Job,
    places: &[&'a AreaPlace],
) -> RestorePlan<'a> {
    let begin = |place: &&'a AreaPlace| Search::begin(store, job, place);
    let searches: Vec<_> = places.par_iter().map(begin).collect();
    let is_of_target =
        |search: &Search<'_>| !search.place.area.is_shared() && !search.generations.is_empty();
    let needs_sources = searches.iter().any(is_of_target);
    let glance = if needs_sources { Glance::at(job) } else { Glance::default() };
    let contents = glance.contents();
    let roots = job.raw_roots();
    let end = |mut search: Search<'a>| {
        let started = Instant::now();
        let mut best = search.best(store, lease, &glance, &contents);
        search.report.notes.extend(newer_systems(
            store,
            job,
            (&search.wish, search.place),
            &search.generations,
            best.as_ref().map(|best| best.chosen.hit),
        ));
        if let Some(choice) = &mut best {
            let manifest = Arc::make_mut(&mut choice.manifest);
            choice.left = leave_bound(manifest, &roots);
            if !search.place.area.is_shared() {
                job.scratch.leave_out_of(manifest);
                choice.had_distrusted = leave_distrusted(manifest, &search.distrusted());
                choice.checkout_files = glance.checkout_files(&search.place.dir, &job.roots);
                choice.was_in_the_way = choice.checkout_files.leave_out_of(manifest);
            }
        }
        search.report.seconds += started.elapsed().as_secs_f64();
        Planned { place: search.place, report: search.report, choice: best }
    };
    let areas = searches.into_par_iter().map(end).collect();
    RestorePlan { areas, glance }
}

/// The search for the generation to restore to one area.
pub(super) struct Search<'a> {
    job: &'a Job,
    pub(super) place: &'a AreaPlace,
    pub(super) wish: Wish,
    report: AreaReport,
    pub(super) generations: Vec<Generation>,
}

impl<'a> Search<'a> {
    fn begin(store: &Store, job: &'a Job, place: &'a AreaPlace) -> Self {
        let started = Instant::now();
        let wish = job.wish(place);
        let mut report = AreaReport::new(place.area.clone());
        let mut generations = Vec::new();
        for scope in &wish.chain {
            match store.generations_of(scope, &place.area) {
                Ok((found, failures)) => {
                    generations.extend(found);
                    report.warnings.extend(failures.into_iter().map(Warning::from));
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
        report.seconds = started.elapsed().as_secs_f64();
        Self { job, place, wish, report, generations }
    }

    /// Returns the sessions that any of the generations distrusts.
    fn distrusted(&self) -> BTreeSet<&RelPath> {
        self.generations.iter().flat_map(|it| &it.header.distrusted).collect()
    }

    /// Returns the best generation whose manifest can be read. Warns about each better one that
    /// cannot be read, unless gc removed it.
    fn best(
        &mut self,
        store: &Store,
        lease: &Lease,
        glance: &Glance,
        contents: &Contents,
    ) -> Option<Choice> {
        let is_candidate = |it: &Generation| {
            self.wish.wants_on_any_system(&it.id, &it.header)
                && self.wish.fit(&it.header).is_usable()
        };
        let candidates: Vec<_> = self.generations.iter().filter(|it| is_candidate(it)).collect();
        let mut scores = if self.place.area.is_shared() {
            // The areas in `CARGO_HOME` are not built from these sources.
            Scores::none(candidates.len())
        } else {
            Scores::of(store, self.job, self.place, contents, &candidates)
        };
        let failures = std::mem::take(&mut scores.failures);
        self.report.warnings.extend(failures.into_iter().map(Warning::from));
        let facts = candidates.iter().zip(&scores.each);
        let facts: Vec<_> = facts.map(|(it, own)| (&it.id, &it.header, own.score)).collect();
        for chosen in ranked(&self.wish, &facts) {
            let (index, own) = (chosen.index, &scores.each[chosen.index]);
            let id = candidates[index].id.clone();
            match store.read(lease, &id) {
                Ok(manifest) => {
                    let (manifest, left) = (Arc::new(manifest), BTreeSet::new());
                    let (lacking, why) = (own.lacking.clone(), scores.why(index));
                    let (job, place) = (self.job, self.place);
                    let live = Live { store, lease, job, place, glance };
                    let ahead = live.ahead(&scores, index, (&id, &manifest));
                    return Some(Choice {
                        id,
                        chosen,
                        manifest,
                        why,
                        lacking,
                        left,
                        checkout_files: CheckoutFiles::default(),
                        was_in_the_way: false,
                        had_distrusted: false,
                        ahead,
                    });
                }
                Err(store::Error::Gone(_)) => {}
                Err(error) => self.report.warnings.push(error.into()),
            }
        }
        None
    }
}
