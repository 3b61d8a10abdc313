//! Makes the manifest of a tree: refers to known contents, and reads and packs the rest.

use std::collections::{BTreeMap, BTreeSet};

use super::kept::Keep;
use super::saving::Saving;
use super::units::units_of;
use crate::fs::walk::Missed;
use crate::job::AreaPlace;
use crate::job::Result;
use crate::model::digest::Digest;
use crate::model::manifest::{Content, Entry, EntryKind, FileFacts, Header, Manifest, PackUse};
use crate::model::raw_path::RawPath;
use crate::model::system::System;
use crate::model::timestamp::Timestamp;
use crate::model::unit_graph::UnitGraph;
use crate::model::unit_use::UnitPlan;
use crate::tree::compare::Known;
use crate::tree::entries::{Tree, Unread, unread_facts};
use crate::tree::index::Index;
use crate::tree::missed::why;
use crate::tree::pack::{PackedFiles, Packing};

/// Finds the contents of every file: takes those of unchanged files from the known manifest, and
/// reads and packs the others.
pub(super) fn read(
    saving: &Saving<'_>,
    tree: &Tree,
    keep: &[Keep],
    known: Option<&Known>,
) -> Result<Contents> {
    let mut facts: Vec<Option<FileFacts>> = Vec::new();
    let mut packs = Packs::default();
    for (index, unread) in &tree.files {
        let path = &tree.entries[*index].path;
        let recorded = known.and_then(|known| known.facts_of(path, &unread.stat));
        facts.push(recorded.map(|recorded| FileFacts {
            contents: recorded.contents.clone(),
            ..unread_facts(&unread.stat)
        }));
    }
    facts.extend(keep.iter().map(|_| None));
    let all: Vec<&Unread> = tree
        .files
        .iter()
        .map(|(_, unread)| unread)
        .chain(keep.iter().map(|keep| &keep.file))
        .collect();

    if let Some(known) = known {
        refer(saving, known, &mut facts, &mut packs)?;
    }
    let missing: Vec<usize> = (0..all.len()).filter(|index| facts[*index].is_none()).collect();
    let unread: Vec<&Unread> = missing.iter().map(|index| all[*index]).collect();
    let mut packed = pack(saving, &unread)?;
    for index in &missing {
        facts[*index] = Some(unread_facts(&all[*index].stat));
    }
    let mut missed = Vec::new();
    for (index, error) in std::mem::take(&mut packed.missed) {
        // A kept file is no part of the tree, so no unit leaves with it: a build would lack the
        // file.
        let Some((entry, _)) = tree.files.get(missing[index]) else { return Err(error) };
        let path = tree.entries[*entry].path.clone();
        missed.push(Missed { path, why: why(error)? });
    }
    for found in packed.contents {
        let pack = packs.index(&packed.packs[&found.content.digest]);
        let file = facts[missing[found.file]].as_mut().expect("every missing file got its facts");
        file.contents.push(Content { pack, ..found.content });
    }

    let mut facts: Vec<_> = facts.into_iter().flatten().collect();
    let kept = facts.split_off(tree.files.len());
    Ok(Contents { facts, kept, packs: packs.list, missed, stored_bytes: packed.stored_bytes })
}

/// Completes the manifest. Moves the entries out of the tree.
pub(super) fn assemble(
    saving: &Saving<'_>,
    place: &AreaPlace,
    tree: &mut Tree,
    contents: Contents,
    keep: &[Keep],
    plan: &UnitPlan,
    known: Option<&Known>,
) -> Result<Manifest> {
    let Contents { facts, kept, packs, .. } = contents;
    let mut entries = std::mem::take(&mut tree.entries);
    for ((index, _), facts) in tree.files.iter().zip(facts) {
        entries[*index].kind = EntryKind::File(facts);
    }
    let kept: Result<Vec<_>> =
        keep.iter().zip(kept).map(|(keep, facts)| keep.with(facts)).collect();
    let mut header = header(saving, place, packs);
    header.system = system(saving, place, known);
    header.entries = entries.len() as u64;
    let is_file =
        |entry: &&Entry| matches!(entry.kind, EntryKind::File(_) | EntryKind::HardLink { .. });
    header.files = entries.iter().filter(is_file).count() as u64;
    header.bytes = tree.files.iter().map(|(_, unread)| unread.stat.size).sum();
    header.newest_mtime = tree.newest_mtime;
    Ok(Manifest {
        header,
        entries,
        kept: kept?,
        graph: UnitGraph::default(),
        sources: if place.area.is_shared() { Vec::new() } else { saving.sources.to_vec() },
        units: units_of(plan),
    })
}

/// Refers known contents to packs that are whole and at least half in use. Forgets the facts of a
/// file with a content in no such pack, so that the file is read again and stored in a new pack. If
/// every file is known and no pack is missing, keeps all packs as they are.
fn refer(
    saving: &Saving<'_>,
    known: &Known,
    facts: &mut [Option<FileFacts>],
    packs: &mut Packs,
) -> Result<()> {
    let listed = &known.manifest().header.packs;
    // As in `Index::read`, naming the generation alone would not keep its packs.
    saving.lease.name_packs(listed.iter().map(|pack| pack.digest))?;
    if facts.iter().all(Option::is_some) && saving.store.has_packs(listed) {
        for content in facts.iter_mut().flatten().flat_map(|facts| &mut facts.contents) {
            content.pack = packs.index(&listed[content.pack as usize]);
        }
        return Ok(());
    }
    let index = index(saving)?;
    for file in facts {
        let alive = |content: &Content| {
            let pack = packs.index(index.pack_of(content.digest)?);
            Some(Content { pack, ..content.clone() })
        };
        *file = file.take().and_then(|facts| {
            let contents = facts.contents.iter().map(alive).collect::<Option<_>>()?;
            Some(FileFacts { contents, ..facts })
        });
    }
    Ok(())
}

fn pack(saving: &Saving<'_>, files: &[&Unread]) -> Result<PackedFiles> {
    if files.is_empty() {
        return Ok(PackedFiles::default());
    }
    let packing = Packing {
        store: saving.store,
        lease: saving.lease,
        index: index(saving)?,
        level: saving.options.level,
        progress: saving.progress,
    };
    packing.pack(files)
}

fn index<'s>(saving: &'s Saving<'_>) -> Result<&'s Index> {
    if let Some(index) = saving.index.get() {
        return Ok(index);
    }
    let index = Index::read(saving.store, saving.lease, &saving.job.readable)?;
    Ok(saving.index.get_or_init(|| index))
}

/// Returns the system to record for a tree: this one, combined with the system of the tree that the
/// build began with. Returns `None` for `registry` and `git`.
fn system(saving: &Saving<'_>, place: &AreaPlace, known: Option<&Known>) -> Option<System> {
    let began_on = known.and_then(|known| known.manifest().header.system.as_ref());
    (!place.area.is_shared()).then(|| saving.job.system.clone().on_top_of(began_on))
}

fn header(saving: &Saving<'_>, place: &AreaPlace, packs: Vec<PackUse>) -> Header {
    Header {
        series: saving.job.series(place),
        cache_key: saving.job.key.clone(),
        created: saving.options.now,
        job: saving.job.label.clone(),
        // The downloads of a failed job are whole all the same.
        partial: saving.options.partial && !place.area.is_shared(),
        vouched: false,
        toolchain: place.toolchain,
        environment: place.environment,
        components: place.components.clone(),
        roots: saving.job.raw_roots(),
        cargo_home: saving.job.home_of(place),
        system: None,
        directory: RawPath::of(place.dir.as_os_str().as_encoded_bytes()),
        binding: None,
        newest_mtime: Timestamp::default(),
        further: if place.area.is_shared() { Vec::new() } else { saving.further.clone() },
        distrusted: BTreeSet::new(),
        provenance: saving.job.provenance.clone(),
        entries: 0,
        files: 0,
        bytes: 0,
        packs,
    }
}

/// The contents of the files of a tree.
pub(super) struct Contents {
    /// The facts of each of [`Tree::files`], in that order. Those of a missed file may have only
    /// some of its contents.
    pub(super) facts: Vec<FileFacts>,
    /// The facts of each kept file.
    kept: Vec<FileFacts>,
    packs: Vec<PackUse>,
    /// The files that could not be read.
    pub(super) missed: Vec<Missed>,
    /// The bytes on disk of the packs that were written.
    pub(super) stored_bytes: u64,
}

impl Contents {
    /// Drops the packs that no content refers to.
    pub(super) fn drop_unused_packs(&mut self) {
        let mut used = Packs::default();
        for content in self.facts.iter_mut().chain(&mut self.kept).flat_map(|it| &mut it.contents) {
            content.pack = used.index(&self.packs[content.pack as usize]);
        }
        self.packs = used.list;
    }
}

/// The packs of a manifest, each listed once.
#[derive(Default)]
struct Packs {
    list: Vec<PackUse>,
    indices: BTreeMap<Digest, u32>,
}

impl Packs {
    fn index(&mut self, pack: &PackUse) -> u32 {
        *self.indices.entry(pack.digest).or_insert_with(|| {
            self.list.push(pack.clone());
            u32::try_from(self.list.len() - 1)
                .expect("fewer packs than contents of 32 MiB fit on a disk")
        })
    }
}
