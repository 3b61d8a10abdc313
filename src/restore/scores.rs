//! How much of each generation cargo will reuse in the checkout.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use rayon::prelude::*;

use super::standing::Checkout;
use crate::job::note::Note;
use crate::job::{AreaPlace, Job};
use crate::model::choice::Score;
use crate::model::scope::Scope;
use crate::model::score::{
    Fate, Standing, Wants, add_earlier, fates, fresh_units, lacking, wants_of,
};
use crate::model::sketch::{Contents, Sketch};
use crate::store::{self, Generation, Store};

/// The scores of some generations.
pub(super) struct Scores {
    /// One for each of them.
    pub(super) each: Vec<Scored>,
    /// Why sketches could not be read.
    pub(super) failures: Vec<store::Error>,
    /// The units that the job used last time; none where nothing is known of it.
    wants: Option<Wants>,
}

/// The score of one generation.
#[derive(Clone, Default)]
pub(super) struct Scored {
    pub(super) score: Score,
    /// The crates of units that the job used last time and will have to build.
    pub(super) lacking: BTreeSet<String>,
}

/// A generation, and what becomes of its units.
struct Judged {
    sketch: Sketch,
    standing: Standing,
    fates: Vec<Fate>,
}

impl Judged {
    /// Judges its units again if its flags, which differ, give the same units.
    fn see_through_flags(&mut self, wants: &Wants) {
        if self.standing.see_through_flags(wants, &self.sketch) {
            self.fates = fates(&self.sketch, &self.standing);
        }
    }
}

impl Scores {
    /// Returns the scores of `count` generations of which nothing can be said.
    pub(super) fn none(count: usize) -> Self {
        Self { each: vec![Scored::default(); count], failures: Vec::new(), wants: None }
    }

    /// Scores the generations of one target for a job that has `contents` in its roots.
    pub(super) fn of(
        store: &Store,
        job: &Job,
        place: &AreaPlace,
        contents: &Contents,
        generations: &[&Generation],
    ) -> Self {
        let (sketches, failures) = sketches(store, generations);
        let mut checkout = Checkout::new(job, place, contents);
        let judge = |(generation, sketch): (&&Generation, Option<Sketch>)| {
            let sketch = sketch?;
            let standing = checkout.standing(&generation.header, &sketch);
            let fates = fates(&sketch, &standing);
            Some(Judged { sketch, standing, fates })
        };
        let mut judged: Vec<_> = generations.iter().zip(sketches).map(judge).collect();
        let last = last_of_job(job, generations);
        if last.iter().any(|index| judged[*index].is_none()) {
            // An older version saved what the job did last: its own tree will do best, as it did then.
            return Self { failures, ..Self::none(generations.len()) };
        }
        let mut wants = Wants::new();
        for Judged { sketch, standing, fates } in
            last.iter().filter_map(|index| judged[*index].as_ref())
        {
            add_earlier(&mut wants, wants_of(sketch, standing, fates));
        }
        let wants = Some(wants).filter(|wants| !wants.is_empty());
        if let Some(wants) = &wants {
            judged.iter_mut().flatten().for_each(|judged| judged.see_through_flags(wants));
        }
        let each =
            judged.iter().map(|judged| Scored::of(judged.as_ref(), wants.as_ref())).collect();
        Self { each, failures, wants }
    }

    /// Returns how many units the job used last time; none where nothing is known of it.
    pub(super) fn wanted(&self) -> Option<usize> {
        self.wants.as_ref().map(Wants::len)
    }

    /// Returns how many of those cargo will reuse of a tree.
    pub(super) fn reused_of(&self, sketch: &Sketch, fates: &[Fate]) -> Option<usize> {
        let wants = self.wants.as_ref()?;
        Some(wants.len() - lacking(wants, sketch, fates).len())
    }

    /// Notes why the generation at `index` was chosen, if there was a choice between better and worse ones.
    pub(super) fn why(&self, index: usize) -> Option<Note> {
        let score = self.each[index].score;
        let is_choice = self.each.iter().any(|other| other.score != score);
        is_choice.then(|| Note::BestOf {
            generations: self.each.len(),
            reused: score.reused.zip(self.wanted()),
            fresh: score.fresh,
        })
    }
}

impl Scored {
    fn of(judged: Option<&Judged>, wants: Option<&Wants>) -> Self {
        let Some(Judged { sketch, fates, .. }) = judged else {
            let score = Score { reused: wants.map(|_| 0), fresh: 0 };
            return Self { score, ..Self::default() };
        };
        let fresh = fresh_units(fates);
        let Some(wants) = wants else {
            return Self { score: Score { reused: None, fresh }, ..Self::default() };
        };
        let lacking = lacking(wants, sketch, fates);
        let reused = Some(wants.len() - lacking.len());
        let names = lacking.iter().filter(|unit| !unit.is_explained).map(|unit| &unit.wanted.name);
        Self { score: Score { reused, fresh }, lacking: names.cloned().collect() }
    }
}

/// Reads the sketch of each generation, none where there is none, and returns what is damaged.
fn sketches(
    store: &Store,
    generations: &[&Generation],
) -> (Vec<Option<Sketch>>, Vec<store::Error>) {
    let read: Vec<_> = generations.par_iter().map(|generation| store.sketch(generation)).collect();
    let mut failures = Vec::new();
    let mut kept = |sketch: store::Result<Option<Sketch>>| {
        sketch.unwrap_or_else(|error| {
            failures.push(error);
            None
        })
    };
    let sketches = read.into_iter().map(&mut kept).collect();
    (sketches, failures)
}

/// Returns which generations show what a job will want, the newest first: its newest whole one, and newer
/// ones, of runs that failed and so may not have got as far. They are of the nearest scope that has any.
fn last_of_job(job: &Job, generations: &[&Generation]) -> Vec<usize> {
    let of_scope = |scope: &Scope| -> Vec<usize> {
        let is_one = |index: &usize| {
            let generation = generations[*index];
            generation.id.series.scope == *scope && generation.header.job == job.label
        };
        (0..generations.len()).filter(is_one).collect()
    };
    let nearest = job.readable.iter().map(of_scope).find(|found| !found.is_empty());
    let mut found = nearest.unwrap_or_default();
    found.sort_by_key(|index| {
        Reverse((generations[*index].header.created, generations[*index].id.number))
    });
    let newest_whole = found.iter().position(|index| !generations[*index].header.partial);
    found.truncate(newest_whole.map_or(found.len(), |at| at + 1));
    found
}
