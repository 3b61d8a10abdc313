//! The notes of a restore on the systems that generations were built on.

use crate::job::note::Note;
use crate::job::{AreaPlace, Job};
use crate::model::choice::{Chosen, Hit, Wish};
use crate::model::manifest::Header;
use crate::model::system::{self, Fit};
use crate::store::{Generation, Store, boot_id};

/// Returns a note if the generation was built on another system.
pub(super) fn another_system(job: &Job, chosen: &Chosen, header: &Header) -> Option<Note> {
    let saved = header.system.as_ref().filter(|_| chosen.fit == Fit::Usable)?;
    job.system.says_saved_on(saved)?;
    let (saved, here) = (Box::new(saved.clone()), Box::new(job.system.clone()));
    Some(Note::AnotherSystem { saved, here })
}

/// Returns notes on the generations that a search passed over because of their systems, unless it
/// found an exact one. If it found none, another note tells whether the directory still holds such
/// a tree.
pub(super) fn newer_systems(
    store: &Store,
    job: &Job,
    (wish, place): (&Wish, &AreaPlace),
    generations: &[Generation],
    best: Option<Hit>,
) -> Vec<Note> {
    if best == Some(Hit::Exact) {
        return Vec::new();
    }
    let is_passed_over = |it: &&Generation| {
        wish.wants_on_any_system(&it.id, &it.header) && !wish.fit(&it.header).is_usable()
    };
    let passed_over: Vec<_> = generations.iter().filter(is_passed_over).collect();
    let systems = passed_over.iter().map(|it| it.header.system.as_ref());
    let groups = system::passed_over(&job.system, systems);
    let mut notes: Vec<_> = groups.into_iter().map(Note::NewerSystem).collect();
    if best.is_none() && !passed_over.is_empty() {
        let dir = &place.dir;
        let there = store.tree_generation(dir, &boot_id());
        if passed_over.iter().any(|it| Some(&it.id) == there.as_ref()) && dir.exists() {
            notes.push(Note::UnusableTree(dir.clone()));
        }
    }
    notes
}
