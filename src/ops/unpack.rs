//! The rung `unpack`: packs are decompressed, in parallel, into a directory of ours.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::buffers::Buffers;
use super::progress::Progress;
use super::{Error, Result};
use crate::fs::At;
use crate::fs::beneath::{Beneath, finish_file};
use crate::fs::bulk::{Aligned, BulkWriter};
use crate::model::digest::Digest;
use crate::model::manifest::{Entry, EntryKind, FileFacts, PackUse};
use crate::model::rel_path::RelPath;
use crate::store::{PackFile, Store};

/// Files of an old tree that the new one can share, because it is going to replace the old.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reuse<'a> {
    /// The old tree, on the same filesystem.
    pub(super) old: &'a Beneath,
    /// Files with the bytes, mode and mtime that the new tree wants.
    pub(super) paths: &'a HashSet<RelPath>,
}

/// What the areas of one restore unpack with.
pub(super) struct Unpacker<'a> {
    pub(super) store: &'a Store,
    pub(super) progress: &'a Progress,
    buffers: Buffers,
    writer: BulkWriter,
}

impl<'a> Unpacker<'a> {
    /// Returns one without buffers yet.
    pub(super) fn new(store: &'a Store, progress: &'a Progress) -> Self {
        Self { store, progress, buffers: Buffers::default(), writer: BulkWriter::default() }
    }

    /// Writes `entries` below `dest`, which holds none of them yet.
    ///
    /// They are sorted, and the parent of each is among them or there already. Each pack is
    /// compared with its digest. Memory: one content a thread, at most 32 MiB,
    /// and what zstd needs. After an error `dest` holds a part: the caller throws it away.
    pub(super) fn unpack(
        &self,
        packs: &[PackUse],
        entries: &[Entry],
        dest: &Beneath,
        reuse: Option<Reuse<'_>>,
    ) -> Result<()> {
        let is_reused = |path| reuse.is_some_and(|reuse| reuse.paths.contains(path));
        for entry in entries {
            if matches!(entry.kind, EntryKind::Dir { .. }) {
                dest.create_dir(&entry.path)?;
            }
        }
        let (reused, files): (Vec<_>, Vec<_>) =
            entries.iter().filter_map(Unfinished::of).partition(|file| is_reused(file.path));
        if let Some(reuse) = reuse {
            for file in reused {
                dest.create_hard_link_to(file.path, reuse.old, file.path)?;
            }
        }
        for file in files.iter().filter(|file| file.facts.contents.len() != 1) {
            file.create(dest)?;
        }
        let mut wanted: Vec<_> = wanted_by_pack(&files).into_iter().collect();
        // The largest first, so that none is left for one thread at the end.
        wanted.sort_by_key(|(pack, _)| std::cmp::Reverse(packs[*pack as usize].stored_bytes));
        wanted.par_iter().with_max_len(1).try_for_each(|(pack, wanted)| {
            let digest = packs[*pack as usize].digest;
            let pack = self.store.open_pack(digest)?;
            self.buffers.with(|buffer| self.unpack_one(pack, digest, wanted, dest, buffer))
        })?;
        finish(entries, dest)
    }

    fn unpack_one(
        &self,
        pack: PackFile,
        digest: Digest,
        wanted: &HashMap<Digest, Places<'_>>,
        dest: &Beneath,
        buffer: &mut Aligned,
    ) -> Result<()> {
        let mut found = 0;
        let pack_path = pack.path().to_owned();
        pack.each::<Error>(digest, |member| {
            self.progress.go_on()?;
            let Some(places) = wanted.get(&member.digest) else { return Ok(()) };
            let bytes = member.read_into(buffer)?;
            found += 1;
            for (file, offset) in places {
                file.write(*offset, bytes, dest, &self.writer)?;
                self.progress.done(1, member.len);
            }
            Ok(())
        })?;
        if found == wanted.len() {
            Ok(())
        } else {
            let what =
                format!("it holds {found} of {} contents that a manifest expects", wanted.len());
            Err(crate::store::Error::Damaged { path: pack_path, what }.into())
        }
    }
}

/// A file whose contents come from packs, perhaps several, in any order.
struct Unfinished<'a> {
    path: &'a RelPath,
    facts: &'a FileFacts,
    missing: AtomicUsize,
}

/// Where in which files a content belongs.
type Places<'a> = Vec<(&'a Unfinished<'a>, u64)>;

impl<'a> Unfinished<'a> {
    fn of(entry: &'a Entry) -> Option<Self> {
        let EntryKind::File(facts) = &entry.kind else { return None };
        let missing = AtomicUsize::new(facts.contents.len());
        Some(Self { path: &entry.path, facts, missing })
    }

    /// Creates the file at its full size, all hole; one without contents is then finished.
    fn create(&self, dest: &Beneath) -> Result<()> {
        let file = dest.create_file(self.path)?;
        let path = dest.full(self.path);
        file.set_len(self.facts.size).at("write", &path)?;
        if self.facts.contents.is_empty() {
            finish_file(&file, self.facts.mode, self.facts.mtime).at("write", &path)?;
        }
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8], dest: &Beneath, writer: &BulkWriter) -> Result<()> {
        let path = || dest.full(self.path);
        let is_whole = self.facts.contents.len() == 1;
        let file =
            if is_whole { dest.create_file(self.path)? } else { dest.open_for_writing(self.path)? };
        if is_whole && bytes.len() as u64 != self.facts.size {
            file.set_len(self.facts.size).at("write", &path())?;
        }
        writer.write_at(&file, offset, bytes).at("write", &path())?;
        // The last to write sets the mtime; the others have written before they counted down.
        if self.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
            finish_file(&file, self.facts.mode, self.facts.mtime).at("write", &path())?;
        }
        Ok(())
    }
}

fn wanted_by_pack<'a>(files: &'a [Unfinished<'a>]) -> HashMap<u32, HashMap<Digest, Places<'a>>> {
    let mut wanted: HashMap<u32, HashMap<Digest, Places<'a>>> = HashMap::new();
    for file in files {
        for content in &file.facts.contents {
            let places = wanted.entry(content.pack).or_default().entry(content.digest).or_default();
            places.push((file, content.offset));
        }
    }
    wanted
}

/// Creates what is no file of its own, then sets the times of directories, the deepest first:
/// whatever is created in a directory changes its mtime.
pub(super) fn finish(entries: &[Entry], dest: &Beneath) -> Result<()> {
    for Entry { path, kind } in entries {
        match kind {
            EntryKind::HardLink { of } => dest.create_hard_link(path, of)?,
            EntryKind::Symlink { target, mtime } => {
                dest.create_symlink(path, target.as_bytes())?;
                dest.set_mtime(path, *mtime)?;
            }
            EntryKind::Dir { .. } | EntryKind::File(_) => {}
        }
    }
    for Entry { path, kind } in entries.iter().rev() {
        if let EntryKind::Dir { mode, mtime } = kind {
            dest.finish_dir(path, *mode, *mtime)?;
        }
    }
    Ok(())
}
