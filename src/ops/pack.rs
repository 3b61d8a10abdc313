//! Reading files into contents, and contents into packs.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;

use rayon::prelude::*;

use super::buffers::Buffers;
use super::index::Index;
use super::progress::Progress;
use super::tree::Unread;
use super::{Error, Result};
use crate::fs::At;
use crate::fs::beneath::open_regular;
use crate::fs::bulk::Aligned;
use crate::fs::extents::data_runs;
use crate::fs::stat::Stat;
use crate::model::digest::Digest;
use crate::model::level::Level;
use crate::model::manifest::{Content, PackUse};
use crate::store::{Lease, PackWriter, Store};

/// A run of bytes of one of the files to read.
#[derive(Clone, Copy, Debug)]
struct Piece {
    file: usize,
    offset: u64,
    len: u64,
}

/// A content of one of the files that were read, and the pack that holds it.
#[derive(Clone, Debug)]
pub(super) struct Packed {
    /// The index of the file among those given.
    pub(super) file: usize,
    /// The content; its pack index is not set.
    pub(super) content: Content,
}

/// What came of packing.
#[derive(Debug, Default)]
pub(super) struct PackedFiles {
    /// Every content of every file, sorted by file and offset.
    pub(super) contents: Vec<Packed>,
    /// The pack that holds each content.
    pub(super) packs: HashMap<Digest, PackUse>,
    /// The bytes on disk of new packs.
    pub(super) stored_bytes: u64,
}

/// What packing needs beside the files.
pub(super) struct Packing<'a> {
    /// Where packs are written.
    pub(super) store: &'a Store,
    /// Names every pack before it is visible.
    pub(super) lease: &'a Lease,
    /// What the store holds already.
    pub(super) index: &'a Index,
    /// How hard they are compressed.
    pub(super) level: Level,
    /// Told of every byte read.
    pub(super) progress: &'a Progress,
}

impl Packing<'_> {
    /// Reads `files` and writes packs of what the store does not hold yet.
    ///
    /// Each file is read once. Memory: one content a thread, at most 32 MiB, and what zstd needs.
    /// A file that changes meanwhile is an error, and so is being told to stop. When this returns, the packs are visible and
    /// flushed.
    pub(super) fn pack(&self, files: &[Unread]) -> Result<PackedFiles> {
        let pieces: Result<Vec<Vec<Piece>>> =
            files.par_iter().enumerate().map(|(file, unread)| pieces_of(file, unread)).collect();
        let pieces = pieces?.concat();
        self.progress.expect(pieces.iter().map(|piece| piece.len).sum());
        let claimed = Mutex::new(HashSet::new());
        let buffers = Buffers::default();
        let done: Result<Vec<PackedFiles>> = batches(&pieces)
            .into_par_iter()
            .with_max_len(1)
            .map(|batch| buffers.with(|buffer| self.pack_batch(files, batch, &claimed, buffer)))
            .collect();
        let mut all = PackedFiles::default();
        for done in done? {
            all.contents.extend(done.contents);
            all.packs.extend(done.packs);
            all.stored_bytes += done.stored_bytes;
        }
        all.contents.sort_by_key(|packed| (packed.file, packed.content.offset));
        self.store.flush_packs(all.packs.values().map(|pack| pack.digest))?;
        Ok(all)
    }

    /// Reads a batch of pieces; what is new goes into one pack.
    fn pack_batch(
        &self,
        files: &[Unread],
        batch: &[Piece],
        claimed: &Mutex<HashSet<Digest>>,
        buffer: &mut Aligned,
    ) -> Result<PackedFiles> {
        let mut done = PackedFiles::default();
        let mut writer: Option<PackWriter<'_>> = None;
        let mut new = Vec::new();
        for piece in batch {
            self.progress.go_on()?;
            let unread = &files[piece.file];
            let bytes = read_piece(unread, piece, buffer)?;
            let digest = Digest::of(bytes);
            let content = Content { offset: piece.offset, len: piece.len, digest, pack: u32::MAX };
            done.contents.push(Packed { file: piece.file, content });
            self.progress.done(u64::from(piece.offset == 0), piece.len);
            if let Some(pack) = self.index.pack_of(digest) {
                done.packs.insert(digest, pack.clone());
                continue;
            }
            // Of two threads with the same content, the one that claims it first writes it.
            if !claimed.lock().expect("nobody panics while claiming").insert(digest) {
                continue;
            }
            let writer = match &mut writer {
                Some(writer) => writer,
                none => none.insert(self.store.pack_writer(self.lease, self.level)?),
            };
            writer.append(digest, bytes)?;
            new.push(digest);
        }
        if let Some(writer) = writer {
            let pack = writer.finish()?;
            done.stored_bytes = pack.stored_bytes;
            done.packs.extend(new.into_iter().map(|digest| (digest, pack.clone())));
        }
        Ok(done)
    }
}

/// Cuts the pieces, in order, into runs of about 32 MiB: one pack each.
fn batches(pieces: &[Piece]) -> Vec<&[Piece]> {
    let mut batches = Vec::new();
    let mut start = 0;
    let mut bytes = 0;
    for (index, piece) in pieces.iter().enumerate() {
        if bytes > 0 && bytes + piece.len > Content::MAX_LEN {
            batches.push(&pieces[start..index]);
            (start, bytes) = (index, 0);
        }
        bytes += piece.len;
    }
    if start < pieces.len() {
        batches.push(&pieces[start..]);
    }
    batches
}

/// Returns the runs of a file that hold bytes, none longer than a content may be.
fn pieces_of(file: usize, unread: &Unread) -> Result<Vec<Piece>> {
    let Unread { path, stat } = unread;
    let runs = if stat.allocated_bytes < stat.size {
        data_runs(&open(path)?, stat.size).at("read", path)?
    } else {
        vec![(0, stat.size)]
    };
    let mut pieces = Vec::new();
    for (start, len) in runs {
        let mut at = start;
        while at < start + len {
            let len = Content::MAX_LEN.min(start + len - at);
            pieces.push(Piece { file, offset: at, len });
            at += len;
        }
    }
    Ok(pieces)
}

fn read_piece<'a>(unread: &Unread, piece: &Piece, buffer: &'a mut Aligned) -> Result<&'a [u8]> {
    let Unread { path, stat } = unread;
    let file = open(path)?;
    let bytes = buffer.room(usize::try_from(piece.len).expect("a content fits in memory"));
    match file.read_exact_at(bytes, piece.offset) {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            return Err(Error::Changed(path.clone()));
        }
        read => read.at("read", path)?,
    }
    let after = Stat::from(&file.metadata().at("read metadata", path)?);
    let same =
        (after.inode.ino, after.size, after.mtime) == (stat.inode.ino, stat.size, stat.mtime);
    if same { Ok(bytes) } else { Err(Error::Changed(path.clone())) }
}

/// Opens a file that was a regular one when it was found; never follows a link or waits for a
/// fifo's writer if it is no longer.
fn open(path: &Path) -> Result<File> {
    Ok(open_regular(path).at("open", path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_stay_near_32_mib_and_lose_nothing() {
        let sizes = [1, Content::MAX_LEN, 1, 2, Content::MAX_LEN - 3, 1];
        let pieces: Vec<_> = sizes
            .iter()
            .enumerate()
            .map(|(file, len)| Piece { file, offset: 0, len: *len })
            .collect();
        let lens: Vec<_> = batches(&pieces).iter().map(|batch| batch.len()).collect();
        assert_eq!(lens, [1, 1, 3, 1]);
        assert!(batches(&[]).is_empty());
    }
}
