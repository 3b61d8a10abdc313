//! The rung `unpack`: decompresses packs in parallel into a staging directory.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::buffers::Buffers;
use crate::cargo::units::is_fingerprint;
use crate::fs::At;
use crate::fs::beneath::{Beneath, FileTimes, finish_file, umask};
use crate::fs::cursor::Cursor;
use crate::fs::pieces::write_at;
use crate::fs::room::Room;
use crate::fs::stat::{Inode, Stat};
use crate::job::progress::Progress;
use crate::job::{Error, Result};
use crate::model::digest::Digest;
use crate::model::manifest::{Entry, EntryKind, FileFacts, PackUse};
use crate::model::rel_path::RelPath;
use crate::store::{PackFile, PackRoom, Store};

/// Files of an old tree that the new tree can share, because it will replace the old one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reuse<'a> {
    /// The old tree, on the same filesystem.
    pub(crate) old: &'a Beneath,
    /// Files with the bytes, mode and mtime that the new tree wants.
    pub(crate) paths: &'a HashSet<RelPath>,
}

/// The number of packs that are read ahead of the pack that a thread begins.
const PREFETCHED: usize = 8;

/// The store, the progress and the buffers that all areas of one restore unpack with.
pub(crate) struct Unpacker<'a> {
    pub(crate) store: &'a Store,
    pub(crate) progress: &'a Progress,
    rooms: Buffers<PackRoom>,
    buffers: Buffers<Room>,
    umask: u32,
}

impl<'a> Unpacker<'a> {
    /// Returns an unpacker without buffers.
    pub(crate) fn new(store: &'a Store, progress: &'a Progress) -> Self {
        Self {
            store,
            progress,
            rooms: Buffers::default(),
            buffers: Buffers::default(),
            umask: umask(),
        }
    }

    /// Writes `entries` below `dest`, which holds none of them yet. Returns the inode of each written file that has
    /// only one name.
    ///
    /// The entries are sorted, and the parent of each is among them or already exists. Each pack is compared with its
    /// digest. Cargo's fingerprint files are marked as unread. Memory: one pack per thread, compressed and
    /// decompressed, about 45 MiB. After an error `dest` holds a part of the tree, and the caller discards it.
    pub(crate) fn unpack(
        &self,
        packs: &[PackUse],
        entries: &[Entry],
        dest: &Beneath,
        reuse: Option<Reuse<'_>>,
    ) -> Result<HashMap<RelPath, Inode>> {
        let is_reused = |path| reuse.is_some_and(|reuse| reuse.paths.contains(path));
        create_dirs(entries, dest)?;
        let (reused, files): (Vec<_>, Vec<_>) =
            entries.iter().filter_map(Unfinished::of).partition(|file| is_reused(file.path));
        if let Some(reuse) = reuse {
            for file in reused {
                dest.create_hard_link_to(file.path, reuse.old, file.path)?;
            }
        }
        let mut cursor = Cursor::new(dest);
        for file in files.iter().filter(|file| file.facts.contents.len() != 1) {
            file.create(&mut cursor)?;
        }
        let mut wanted: Vec<_> = wanted_by_pack(&files).into_iter().collect();
        // The largest packs go first, so that no large pack is left for a single thread at the end.
        wanted.sort_by_key(|(pack, _)| std::cmp::Reverse(packs[*pack as usize].stored_bytes));
        let prefetch = |index: usize| {
            if let Some((pack, _)) = wanted.get(index) {
                self.store.prefetch_pack(packs[*pack as usize].digest);
            }
        };
        (0..PREFETCHED).for_each(prefetch);
        // `par_bridge` hands them out in this order.
        wanted.iter().enumerate().par_bridge().try_for_each(|(index, (pack, wanted))| {
            prefetch(index + PREFETCHED);
            self.unpack_one(&packs[*pack as usize], wanted, dest)
        })?;
        finish(entries, dest)?;
        let written = files.iter().filter_map(|file| Some((file.path.clone(), *file.inode.get()?)));
        Ok(without_link_groups(written.collect(), entries))
    }

    /// Writes the `wanted` contents of a pack. Decompresses it at once if it states its length or is not longer than
    /// likely, else content by content.
    fn unpack_one(
        &self,
        pack: &PackUse,
        wanted: &WantedContents<'_>,
        dest: &Beneath,
    ) -> Result<()> {
        let mut writing = Writing { unpacker: self, wanted, cursor: Cursor::new(dest), found: 0 };
        let mut file = self.store.open_named_pack(pack.digest)?;
        let path = file.path().to_owned();
        let is_done = self.rooms.with(|room| {
            file.read_into(room)?;
            let members = file.members(pack.digest, likely_len(pack, wanted.len()), room)?;
            let Some(members) = members else { return Ok(false) };
            for (digest, bytes) in members {
                writing.write(digest, bytes)?;
            }
            Ok::<_, Error>(true)
        })?;
        if !is_done {
            self.buffers.with(|buffer| {
                let file: PackFile = self.store.open_named_pack(pack.digest)?;
                file.each::<Error>(pack.digest, |member| {
                    if wanted.contains_key(&member.digest) {
                        writing.write(member.digest, member.read_into(buffer)?)?;
                    }
                    Ok(())
                })
            })?;
        }
        if writing.found == wanted.len() {
            Ok(())
        } else {
            let (found, wanted) = (writing.found, wanted.len());
            let what = format!("it holds {found} of {wanted} contents that a manifest expects");
            Err(crate::store::Error::Damaged { path, what }.into())
        }
    }

    /// Returns the permission bits that a new file gets if it is created with `mode`.
    fn created_mode(&self, mode: u32) -> u32 {
        mode & 0o777 & !self.umask
    }
}

/// Returns an upper estimate of the length of the tar in a pack: the length if the pack held twice as many contents as
/// are wanted. Each content has a header of 512 bytes and is padded to a multiple of 512. The tar ends with two blocks.
fn likely_len(pack: &PackUse, wanted: usize) -> usize {
    let contents = usize::try_from(pack.content_bytes).unwrap_or(usize::MAX);
    contents.saturating_add((wanted + 8) * 2 * 1024)
}

/// Writes the contents of one pack to their places in files.
struct Writing<'a> {
    unpacker: &'a Unpacker<'a>,
    wanted: &'a WantedContents<'a>,
    cursor: Cursor<'a>,
    found: usize,
}

impl Writing<'_> {
    fn write(&mut self, digest: Digest, bytes: &[u8]) -> Result<()> {
        let Self { unpacker, wanted, cursor, found } = self;
        unpacker.progress.check_stopped()?;
        let Some(places) = wanted.get(&digest) else { return Ok(()) };
        *found += 1;
        for (file, offset) in places {
            file.write(*offset, bytes, cursor, unpacker)?;
            unpacker.progress.done(1, bytes.len() as u64);
        }
        Ok(())
    }
}

/// A file whose contents come from one or more packs, in any order.
struct Unfinished<'a> {
    path: &'a RelPath,
    facts: &'a FileFacts,
    missing: AtomicUsize,
    /// Its inode, once the file is finished.
    inode: OnceLock<Inode>,
}

/// The contents wanted of a pack, each with the files and offsets where it belongs.
type WantedContents<'a> = HashMap<Digest, Vec<(&'a Unfinished<'a>, u64)>>;

/// The mode, until it is finished, of a file that several threads write to.
const UNFINISHED_MODE: u32 = 0o600;

impl<'a> Unfinished<'a> {
    fn of(entry: &'a Entry) -> Option<Self> {
        let EntryKind::File(facts) = &entry.kind else { return None };
        let missing = AtomicUsize::new(facts.contents.len());
        Some(Self { path: &entry.path, facts, missing, inode: OnceLock::new() })
    }

    /// Creates the file at its full size as one hole. A file without contents is then finished.
    fn create(&self, cursor: &mut Cursor<'_>) -> Result<()> {
        let (dir, name) = cursor.visit(self.path)?;
        let file = dir.create_file(&name, UNFINISHED_MODE)?;
        file.set_len(self.facts.size).at("write", &dir.full(&name))?;
        if self.facts.contents.is_empty() {
            self.finish(&file, UNFINISHED_MODE).at("write", &dir.full(&name))?;
        }
        Ok(())
    }

    fn write(
        &self,
        offset: u64,
        bytes: &[u8],
        cursor: &mut Cursor<'_>,
        unpacker: &Unpacker<'_>,
    ) -> Result<()> {
        let FileFacts { mode, size, contents, .. } = self.facts;
        let (dir, name) = cursor.visit(self.path)?;
        let is_whole = contents.len() == 1;
        let (file, created) = if is_whole {
            (dir.create_file(&name, *mode)?, unpacker.created_mode(*mode))
        } else {
            (dir.open_for_writing(&name)?, UNFINISHED_MODE)
        };
        let path = || dir.full(&name);
        if is_whole && bytes.len() as u64 != *size {
            file.set_len(*size).at("write", &path())?;
        }
        write_at(&file, bytes, offset).at("write", &path())?;
        // The last thread to write sets the mtime; each other thread wrote before it counted down.
        if self.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.finish(&file, created).at("write", &path())?;
        }
        Ok(())
    }

    fn finish(&self, file: &File, created: u32) -> io::Result<()> {
        let inode = finish_restored(file, self.path, self.facts, created)?;
        self.inode.get_or_init(|| inode);
        Ok(())
    }
}

/// Finishes a restored file: sets its mode, of whose permission bits it was `created` with some, and its times. Returns
/// its inode after that. Cargo's fingerprints are marked as unread: a later save finds the units that the job used by
/// the fingerprints that cargo read.
pub(super) fn finish_restored(
    file: &File,
    path: &RelPath,
    facts: &FileFacts,
    created: u32,
) -> io::Result<Inode> {
    let times = FileTimes { mtime: facts.mtime, is_unread: is_fingerprint(path) };
    finish_file(file, facts.mode, created, times)?;
    Ok(Stat::from(&file.metadata()?).inode)
}

/// Leaves out the files with several names: creating the further names changed their ctime.
pub(super) fn without_link_groups(
    mut inodes: HashMap<RelPath, Inode>,
    entries: &[Entry],
) -> HashMap<RelPath, Inode> {
    for entry in entries {
        if let EntryKind::HardLink { of } = &entry.kind {
            inodes.remove(of);
        }
    }
    inodes
}

fn wanted_by_pack<'a>(files: &'a [Unfinished<'a>]) -> HashMap<u32, WantedContents<'a>> {
    let mut wanted: HashMap<u32, WantedContents<'a>> = HashMap::new();
    for file in files {
        for content in &file.facts.contents {
            let places = wanted.entry(content.pack).or_default().entry(content.digest).or_default();
            places.push((file, content.offset));
        }
    }
    wanted
}

/// Creates the directories among `entries`, accessible only to this user until they are finished.
pub(crate) fn create_dirs(entries: &[Entry], dest: &Beneath) -> Result<()> {
    let mut cursor = Cursor::new(dest);
    for entry in entries.iter().filter(|entry| matches!(entry.kind, EntryKind::Dir { .. })) {
        let (dir, name) = cursor.visit(&entry.path)?;
        dir.create_dir(&name)?;
    }
    Ok(())
}

/// Creates hard links and symlinks, then sets the times of directories, the deepest first: creating an entry in a
/// directory changes its mtime.
pub(crate) fn finish(entries: &[Entry], dest: &Beneath) -> Result<()> {
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
