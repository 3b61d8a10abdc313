//! The generation that was chosen for an area.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::systems::another_system;
use crate::job::checkout_files::CheckoutFiles;
use crate::job::note::Note;
use crate::job::report::{AreaReport, Mode};
use crate::job::{Job, Place};
use crate::model::choice::{Chosen, Hit};
use crate::model::manifest::{GenerationId, Header, Manifest};

/// The generation that an area is to be restored to.
pub(super) struct Choice {
    pub(super) id: GenerationId,
    pub(super) chosen: Chosen,
    pub(super) manifest: Arc<Manifest>,
    /// How it was chosen, where there was a choice.
    pub(super) why: Option<Note>,
    /// The crates of units that the job used last time and will have to build, as far as can be told.
    pub(super) lacking: BTreeSet<String>,
    /// The crates of the units that are left out, because they work only where it was saved.
    pub(super) left: BTreeSet<String>,
    /// What of the directory belongs to the checkout.
    pub(super) checkout_files: CheckoutFiles,
    /// Whether the generation had something where that is now.
    pub(super) was_in_the_way: bool,
    /// Whether the generation had sessions of incremental compilation that rustc broke off over later.
    pub(super) had_distrusted: bool,
    /// That what is at the place is ahead of it, if it is.
    pub(super) ahead: Option<Note>,
}

impl Choice {
    /// Tells whether nothing of the generation is left out.
    pub(super) fn is_whole(&self) -> bool {
        self.left.is_empty() && !self.was_in_the_way && !self.had_distrusted
    }

    /// Tells in the report of an area that its live target is left, in place of this.
    pub(super) fn tell_left(self, report: &mut AreaReport) {
        (report.mode, report.hit) = (Mode::Left, self.chosen.hit);
        report.matched_key = Some(self.manifest.header.cache_key.clone());
        report.notes.extend(self.ahead);
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
        report.notes.extend(self.why.clone());
    }
}

/// Notes which crates cargo builds again because the roots lie elsewhere, and where they would not be.
fn elsewhere<'a>(
    job: &Job,
    header: &'a Header,
    crates: &BTreeSet<String>,
) -> impl Iterator<Item = Note> + 'a {
    let moved = job.raw_roots().into_iter().filter_map(|(root, now)| {
        let saved = header.roots.get(&root).filter(|saved| **saved != now)?.clone();
        Some(Note::AnotherRoot { root, saved, now })
    });
    moved.chain([Note::PathBound(crates.clone())])
}

fn remarks(job: &Job, place: &Place, chosen: &Chosen, header: &Header) -> Vec<Note> {
    let mut notes = Vec::new();
    if chosen.hit == Hit::Fallback {
        notes.push(Note::AnotherKey(header.cache_key.clone()));
    }
    if let Some(saved) = header.cargo_home.clone().filter(|_| !chosen.same_home) {
        notes.push(Note::AnotherHome { saved, now: job.cargo_home.clone() });
    }
    notes.extend(another_system(job, chosen, header));
    if header.partial {
        notes.push(Note::PartialJob(header.job.clone()));
    } else if !place.area.is_shared() && header.job != job.label {
        notes.push(Note::AnotherJob(header.job.clone()));
    }
    notes
}
