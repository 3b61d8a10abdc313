//! Finds a generation that already holds the tree to save.

use super::saving::Saving;
use crate::job::AreaPlace;
use crate::job::{Result, sources};
use crate::model::manifest::{Entry, EntryKind, GenerationId, KeptFile, Manifest};
use crate::model::source::is_executable;
use crate::tree::compare::{Known, has_same_bytes};

/// Returns a generation of the same key that already holds the tree, if this job may restore it.
pub(super) fn identical(
    saving: &Saving<'_>,
    place: &AreaPlace,
    known: Option<&Known>,
    new: &Manifest,
) -> Result<Option<GenerationId>> {
    let serves = |id: &GenerationId| {
        id.series.key == place.series_key
            && id.series.area == place.area
            && saving.job.readable.contains(&id.series.scope)
    };
    // A generation that lost a pack cannot be restored, whatever its manifest says.
    let is_same = |old: &Manifest| saving.store.has_packs(&old.header.packs) && is_same(old, new);
    let known = known.filter(|known| serves(known.generation()));
    if let Some(known) = known.filter(|known| is_same(known.manifest())) {
        return Ok(Some(known.generation().clone()));
    }
    let (generations, _) = saving.store.generations_of(&saving.job.scope, &place.area)?;
    let of_series = generations.into_iter().filter(|generation| serves(&generation.id));
    let Some(newest) =
        of_series.max_by_key(|generation| (generation.header.created, generation.id.number))
    else {
        return Ok(None);
    };
    // This generation was compared already.
    if known.is_some_and(|known| *known.generation() == newest.id) {
        return Ok(None);
    }
    match saving.store.read(saving.lease, &newest.id) {
        Ok(manifest) if is_same(&manifest) => Ok(Some(newest.id)),
        // If the generation is gone or damaged, save the tree.
        _ => Ok(None),
    }
}

/// Tells whether two manifests hold the same tree, built from the same sources at the same roots,
/// and the header of the new one says no more about it.
///
/// The new header says more if the old save was of a failed job and the new one is not. It also
/// says more if it has a system, or is vouched for, and the old header lacks that because an older
/// version wrote it, or if it distrusts other sessions. Then the tree is published again. Two different systems do not count: nothing
/// was built in the tree, so it still belongs to the system that it was built on.
///
/// The mtimes of sources do not count: the older record goes with the older mtimes of the tree. In
/// `CARGO_HOME` no mtime counts: other jobs change those of directories, and cargo ignores them
/// there.
fn is_same(old: &Manifest, new: &Manifest) -> bool {
    let mtimes_count = !new.header.series.area.is_shared();
    let same_entry = |(a, b): (&Entry, &Entry)| {
        a.path == b.path
            && match (&a.kind, &b.kind) {
                (EntryKind::File(a), EntryKind::File(b)) => {
                    has_same_bytes(a, b)
                        && a.mode == b.mode
                        && (a.mtime == b.mtime || !mtimes_count)
                }
                (EntryKind::Dir { mode: a, mtime: at }, EntryKind::Dir { mode: b, mtime: bt }) => {
                    a == b && (at == bt || !mtimes_count)
                }
                (a, b) => a == b,
            }
    };
    let same_kept = |(a, b): (&KeptFile, &KeptFile)| {
        (&a.root, &a.path) == (&b.root, &b.path)
            && has_same_bytes(&a.facts, &b.facts)
            && is_executable(a.facts.mode) == is_executable(b.facts.mode)
    };
    (new.header.partial || !old.header.partial)
        && (old.header.vouched || !new.header.vouched)
        && (old.header.system.is_some() || new.header.system.is_none())
        && old.header.further == new.header.further
        && old.header.distrusted.is_superset(&new.header.distrusted)
        && old.entries.len() == new.entries.len()
        && old.kept.len() == new.kept.len()
        && (old.header.roots == new.header.roots || !mtimes_count)
        && old.entries.iter().zip(&new.entries).all(same_entry)
        && old.kept.iter().zip(&new.kept).all(same_kept)
        && sources::are_same(&old.sources, &new.sources)
}
