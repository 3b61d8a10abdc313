//! The generation that was chosen for an area.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::systems::another_system;
use crate::job::checkout_files::CheckoutFiles;
use crate::job::note::Note;
use crate::job::report::{AreaMode, AreaReport};
use crate::job::{AreaPlace, Job};
use crate::model::choice::{Chosen, Hit};
use crate::model::manifest::{GenerationId, Header, Manifest};

/// The generation that is to be restored to an area.
pub(super) struct Choice {
    pub(super) id: GenerationId,
    pub(super) chosen: Chosen,
    pub(super) manifest: Arc<Manifest>,
    /// A note on the reason for the choice, if candidates differed.
    pub(super) why: Option<Note>,
    /// The crates of the units that the job used last time and must build now, as far as is known.
    pub(super) lacking: BTreeSet<String>,
    /// The crates of the units that are left out, because they work only at other roots.
    pub(super) left: BTreeSet<String>,
    /// The files in the directory that are not part of the area.
    pub(super) checkout_files: CheckoutFiles,
    /// Whether the generation had an entry where such a file is now.
    pub(super) was_in_the_way: bool,
    /// Whether sessions are left out that a generation distrusts.
    pub(super) had_distrusted: bool,
    /// A note that the live target is ahead of the generation, if it is.
    pub(super) ahead: Option<Note>,
}

impl Choice {
    /// Tells whether nothing of the generation is left out.
    pub(super) fn is_whole(&self) -> bool {
        self.left.is_empty() && !self.was_in_the_way && !self.had_distrusted
    }

    /// Reports that the live target of an area is left as it is, instead of this generation.
    pub(super) fn tell_left(self, report: &mut AreaReport) {
        (report.mode, report.hit) = (AreaMode::Left, self.chosen.hit);
        report.matched_key = Some(self.manifest.header.cache_key.clone());
        report.notes.extend(self.ahead);
    }

    /// Reports this as the generation for `place`, with notes on how it differs from the wish.
    pub(super) fn tell(&self, job: &Job, place: &AreaPlace, report: &mut AreaReport) {
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

/// Returns notes on the roots that have moved, with their old paths, and on the crates that cargo
/// builds again because of that.
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

fn remarks(job: &Job, place: &AreaPlace, chosen: &Chosen, header: &Header) -> Vec<Note> {
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
