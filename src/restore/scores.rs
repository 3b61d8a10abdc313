//! Scores generations by the number of units that cargo will reuse in the checkout.

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
    /// The score of each generation, in the given order.
    pub(super) each: Vec<Scored>,
    /// The errors of the sketches that could not be read.
    pub(super) failures: Vec<store::Error>,
    /// The units that the job used last time; `None` if they are unknown.
    wants: Option<Wants>,
}

/// The score of one generation.
#[derive(Clone, Default)]
pub(super) struct Scored {
    pub(super) score: Score,
    /// The crates of the units that the job used last time and must build now, except units whose
    /// rebuild the tree's graph explains.
    pub(super) lacking: BTreeSet<String>,
}

/// A generation, and the fates of its units.
struct Judged {
    sketch: Sketch,
    standing: Standing,
    fates: Vec<Fate>,
}

impl Judged {
    /// Judges the units again if the flags of the generation differ from ours but give the same
    /// units.
    fn see_through_flags(&mut self, wants: &Wants) {
        if self.standing.see_through_flags(wants, &self.sketch) {
            self.fates = fates(&self.sketch, &self.standing);
        }
    }
}

impl Scores {
    /// Returns the scores of `count` generations about which nothing is known.
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
            // A last generation of the job has no readable sketch: an older version saved it, for
            // instance. Without scores the exact key decides, then the same job, as in that
            // version.
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

    /// Returns the number of units that the job used last time; `None` if they are unknown.
    pub(super) fn wanted(&self) -> Option<usize> {
        self.wants.as_ref().map(Wants::len)
    }

    /// Returns the number of those units that cargo will reuse from a tree with this sketch.
    pub(super) fn reused_of(&self, sketch: &Sketch, fates: &[Fate]) -> Option<usize> {
        let wants = self.wants.as_ref()?;
        Some(wants.len() - lacking(wants, sketch, fates).len())
    }

    /// Returns a note on why the generation at `index` was chosen, if scores differ.
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

/// Reads the sketch of each generation; `None` if it has none or the sketch cannot be read. Also
/// returns the errors.
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

/// Returns the indices of the generations that show which units a job will want, the newest first.
/// These are its newest whole generation, and all newer ones: their runs failed, and may not have
/// got as far. All are of the nearest scope that has any generation of the job.
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
