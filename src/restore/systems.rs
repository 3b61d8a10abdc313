//! What a restore says of the systems that generations were built on.

use super::lookup::{Choice, Search};
use crate::job::Job;
use crate::model::choice::{Chosen, Hit};
use crate::model::manifest::Header;
use crate::model::system;
use crate::store::{Generation, Store, boot_id};

/// Says that what is restored was built on another system, if it was.
pub(super) fn says_system(job: &Job, chosen: &Chosen, header: &Header) -> Option<String> {
    let saved = header.system.as_ref()?;
    (chosen.fit == system::Fit::Usable).then(|| job.system.says_saved_on(saved))?
}

/// Says which generations a search passed over because of the system, if an exact one is not found; and
/// whether the directory still holds such a tree.
pub(super) fn says_passed_over(
    store: &Store,
    job: &Job,
    search: &Search<'_>,
    best: Option<&Choice>,
) -> Vec<String> {
    let best = best.map(|choice| choice.chosen.hit);
    if best == Some(Hit::Exact) {
        return Vec::new();
    }
    let is_passed_over = |it: &&Generation| {
        search.wish.wants_on_any_system(&it.id, &it.header)
            && !search.wish.fit(&it.header).is_usable()
    };
    let passed_over: Vec<_> = search.generations.iter().filter(is_passed_over).collect();
    let systems = passed_over.iter().map(|it| it.header.system.as_ref());
    let mut lines = system::says_passed_over(&job.system, systems);
    if best.is_none() && !passed_over.is_empty() {
        let dir = &search.place.dir;
        let there = store.tree_generation(dir, &boot_id());
        if passed_over.iter().any(|it| Some(&it.id) == there.as_ref()) && dir.exists() {
            lines.push(format!(
                "`{}` still holds one of these, and cargo would use it: delete it",
                dir.display()
            ));
        }
    }
    lines
}
