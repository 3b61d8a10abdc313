//! How much of each generation cargo will reuse in the checkout.

use std::collections::BTreeSet;

use rayon::prelude::*;

use super::job::{Job, Place};
use super::standing::Checkout;
use crate::model::choice::Score;
use crate::model::manifest::Header;
use crate::model::score::{Fate, Wants, fates, fresh_units, lacking, wants_of};
use crate::model::sketch::{Contents, Sketch};
use crate::store::{self, Generation, Store};

/// The scores of some generations.
pub(super) struct Scores {
    /// One for each of them; none for one that is damaged.
    pub(super) each: Vec<Option<Scored>>,
    /// Why generations are damaged.
    pub(super) failures: Vec<store::Error>,
    /// How many units the job used last time; none where nothing is known of it.
    wanted: Option<usize>,
}

/// The score of one generation.
#[derive(Clone, Default)]
pub(super) struct Scored {
    pub(super) score: Score,
    /// The crates of units that the job used last time and will have to build.
    pub(super) lacking: BTreeSet<String>,
}

/// A generation whose units are known, and what becomes of them.
struct Known {
    sketch: Sketch,
    fates: Vec<Fate>,
}

impl Scores {
    /// Returns the scores of `count` generations of which nothing can be said.
    pub(super) fn none(count: usize) -> Self {
        Self { each: vec![Some(Scored::default()); count], failures: Vec::new(), wanted: None }
    }

    /// Scores the generations of one target for a job that has `contents` in its roots.
    pub(super) fn of(
        store: &Store,
        job: &Job,
        place: &Place,
        contents: &Contents,
        generations: &[&Generation],
    ) -> Self {
        let read = generations.par_iter().map(|generation| store.sketch(generation));
        let (mut sketches, mut failures) = (Vec::new(), Vec::new());
        for sketch in read.collect::<Vec<_>>() {
            sketches.push(sketch.map_err(|error| failures.push(error)).ok());
        }
        let mut last = generations
            .iter()
            .zip(&sketches)
            .filter(|(generation, _)| is_last_of_job(&generation.header, &job.label, generations));
        if last.any(|(_, sketch)| matches!(sketch, Some(None))) {
            // An older version saved what the job did last: its own tree will do best, as it did then.
            let known = sketches.into_iter().map(|sketch| sketch.map(|_| Scored::default()));
            return Self { each: known.collect(), failures, wanted: None };
        }
        let mut checkout = Checkout::new(job, place, contents);
        let mut wants: Option<Wants> = None;
        let known = generations.iter().zip(sketches).map(|(generation, sketch)| {
            let header = &generation.header;
            let Some(sketch) = sketch? else { return Some(None) };
            let standing = checkout.standing(header, &sketch);
            let fates = fates(&sketch, &standing);
            if is_last_of_job(header, &job.label, generations) {
                let used = wants_of(&sketch, &standing, &fates);
                wants.get_or_insert_default().extend(used);
            }
            Some(Some(Known { sketch, fates }))
        });
        let known: Vec<Option<Option<Known>>> = known.collect();
        let judged = |known: &Option<Known>| {
            let Some(Known { sketch, fates }) = known else {
                let reused = wants.as_ref().map(|_| 0);
                return Scored { score: Score { reused, fresh: 0 }, ..Scored::default() };
            };
            let lacking = wants.as_ref().map(|wants| lacking(wants, sketch, fates));
            let reused = wants.as_ref().zip(lacking.as_ref());
            let reused = reused.map(|(wants, lacking)| wants.len() - lacking.len());
            let names = lacking.into_iter().flatten().map(|(_, wanted)| wanted.name.clone());
            Scored { score: Score { reused, fresh: fresh_units(fates) }, lacking: names.collect() }
        };
        let each = known.iter().map(|known| known.as_ref().map(judged)).collect();
        Self { each, failures, wanted: wants.map(|wants| wants.len()) }
    }

    /// Says why the generation at `index` was chosen, if there was a choice between better and worse ones.
    pub(super) fn why(&self, index: usize) -> Option<String> {
        let score = self.each[index].as_ref()?.score;
        let mut others = self.each.iter().flatten();
        if others.all(|other| other.score == score) {
            return None;
        }
        let count = self.each.iter().flatten().count();
        Some(match score.reused.zip(self.wanted) {
            Some((reused, wanted)) => format!(
                "of {count} generations the one that serves best: it holds {reused} of the {wanted} \
                 units that this job used last time as they are needed now"
            ),
            None => format!(
                "of {count} generations the one that serves best: {} of its units are as they are \
                 needed now",
                score.fresh
            ),
        })
    }
}

/// Tells whether a generation shows what a job will want: it is the newest whole one of that job, or a newer
/// one, of a run that failed and so may not have got as far.
fn is_last_of_job(header: &Header, job: &str, generations: &[&Generation]) -> bool {
    let of_job = generations.iter().map(|it| &it.header).filter(|header| header.job == job);
    let newest_whole = of_job.filter(|header| !header.partial).map(|header| header.created).max();
    header.job == job
        && match newest_whole {
            Some(newest) if header.partial => header.created > newest,
            Some(newest) => header.created == newest,
            None => true,
        }
}
