//! Reads files into contents, and writes contents into packs.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::{SyncSender, sync_channel};

use rayon::prelude::*;

use super::buffers::Buffers;
use super::entries::Unread;
use super::index::Index;
use crate::cargo::rlib::metadata_offset;
use crate::fs::At;
use crate::fs::beneath::open_regular;
use crate::fs::extents::data_runs;
use crate::fs::stat::Stat;
use crate::job::progress::Progress;
use crate::job::{Error, Result};
use crate::model::digest::Digest;
use crate::model::level::Level;
use crate::model::manifest::{Content, PackUse};
use crate::store::{Lease, PackDraft, StagedPack, Store, tar_len};

/// A run of bytes of one of the files to be read.
#[derive(Clone, Copy, Debug)]
struct Piece {
    file: usize,
    offset: u64,
    len: u64,
}

/// A content of a file that was read.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    /// The index of the file in the list that was given.
    pub(crate) file: usize,
    /// The content; its pack index is not set.
    pub(crate) content: Content,
}

/// The contents, packs and unread files that packing returns.
#[derive(Debug, Default)]
pub(crate) struct PackedFiles {
    /// All contents of all files, sorted by file and offset.
    pub(crate) contents: Vec<Packed>,
    /// The pack that holds each content.
    pub(crate) packs: HashMap<Digest, PackUse>,
    /// The bytes on disk that the new packs take.
    pub(crate) stored_bytes: u64,
    /// The files that could not be read, by index, with the error. Some of their contents may be in `contents`.
    pub(crate) missed: BTreeMap<usize, Error>,
}

/// The parameters of packing, except the files.
#[derive(Clone, Copy)]
pub(crate) struct Packing<'a> {
    /// The store that packs are written to.
    pub(crate) store: &'a Store,
    /// The lease, which names every pack before it is visible.
    pub(crate) lease: &'a Lease,
    /// The contents that the store already holds.
    pub(crate) index: &'a Index,
    /// The compression level.
    pub(crate) level: Level,
    /// Counts every byte read.
    pub(crate) progress: &'a Progress,
}

impl<'a> Packing<'a> {
    /// Reads `files` and writes packs of the contents that the store does not hold yet.
    ///
    /// Each file is read once. Memory: one pack per thread, compressed and not, about 45 MiB. A file that changes
    /// meanwhile, or cannot be read, is missed; a request to stop is an error. When this returns, the packs are visible
    /// and flushed.
    pub(crate) fn pack(&self, files: &[&Unread]) -> Result<PackedFiles> {
        let mut all = PackedFiles::default();
        let mut pieces = Vec::new();
        let cut: Vec<_> =
            files.par_iter().enumerate().map(|(file, unread)| pieces_of(file, unread)).collect();
        for (file, cut) in cut.into_iter().enumerate() {
            match cut {
                Ok(cut) => pieces.extend(cut),
                Err(error) => drop(all.missed.insert(file, error)),
            }
        }
        self.progress.expect(pieces.iter().map(|piece| piece.len).sum());
        let claimed = Mutex::new(HashSet::new());
        let drafts = Buffers::default();
        let pack_all = |publishing: &SyncSender<StagedPack<'a>>| {
            let pack = |batch| {
                drafts.with(|draft| self.pack_batch(files, batch, &claimed, draft, publishing))
            };
            let done = batches(&pieces).into_par_iter().with_max_len(1).map(pack);
            done.collect::<Result<Vec<PackedFiles>>>()
        };
        let done = publish_beside(pack_all)?;
        for done in done {
            all.contents.extend(done.contents);
            all.packs.extend(done.packs);
            all.stored_bytes += done.stored_bytes;
            all.missed.extend(done.missed);
        }
        all.contents.sort_by_key(|packed| (packed.file, packed.content.offset));
        self.store.flush_packs(all.packs.values().map(|pack| pack.digest))?;
        Ok(all)
    }

    /// Reads a batch of pieces. Puts the new contents into one pack and sends it to be published.
    fn pack_batch(
        &self,
        files: &[&Unread],
        batch: &[Piece],
        claimed: &Mutex<HashSet<Digest>>,
        draft: &mut PackDraft,
        publishing: &SyncSender<StagedPack<'a>>,
    ) -> Result<PackedFiles> {
        let mut done = PackedFiles::default();
        let mut writer = self.store.pack_writer(self.lease, draft);
        let mut new = Vec::new();
        for piece in batch {
            self.progress.check_stopped()?;
            let len = usize::try_from(piece.len).expect("a content fits in memory");
            let bytes = writer.room(len);
            if let Err(error) = read_piece(files[piece.file], piece, bytes) {
                done.missed.insert(piece.file, error);
                continue;
            }
            let digest = Digest::of(bytes);
            let content = Content { offset: piece.offset, len: piece.len, digest, pack: u32::MAX };
            done.contents.push(Packed { file: piece.file, content });
            self.progress.done(u64::from(piece.offset == 0), piece.len);
            if let Some(pack) = self.index.pack_of(digest) {
                done.packs.insert(digest, pack.clone());
                continue;
            }
            // If two threads have the same content, the first to claim it writes it.
            if claimed.lock().expect("nobody panics while claiming").insert(digest) {
                writer.append(digest, len)?;
                new.push(digest);
            }
        }
        if let Some(staged) = writer.stage(self.level)? {
            let pack = staged.pack().clone();
            done.stored_bytes = pack.stored_bytes;
            done.packs.extend(new.into_iter().map(|digest| (digest, pack.clone())));
            // Sending fails once publishing a pack failed; `publish_beside` then returns that error.
            publishing.send(staged).map_err(|_| Error::Stopped)?;
        }
        Ok(done)
    }
}

/// The largest number of packs that wait to be published.
const UNPUBLISHED: usize = 8;

/// Does `work`, and publishes in a separate thread the packs that it sends, so that packing does not wait for the disk.
fn publish_beside<'a, T>(work: impl FnOnce(&SyncSender<StagedPack<'a>>) -> Result<T>) -> Result<T> {
    let (sender, staged) = sync_channel::<StagedPack<'a>>(UNPUBLISHED);
    std::thread::scope(|scope| {
        let publisher = scope.spawn(|| staged.into_iter().try_for_each(StagedPack::publish));
        let done = work(&sender);
        drop(sender);
        publisher.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        done
    })
}

/// Splits the pieces, in order, into batches that each make a tar of about 32 MiB: one pack each.
fn batches(pieces: &[Piece]) -> Vec<&[Piece]> {
    let mut batches = Vec::new();
    let mut start = 0;
    let mut bytes = 0;
    for (index, piece) in pieces.iter().enumerate() {
        if bytes > 0 && bytes + tar_len(piece.len) > tar_len(Content::MAX_LEN) {
            batches.push(&pieces[start..index]);
            (start, bytes) = (index, 0);
        }
        bytes += tar_len(piece.len);
    }
    if start < pieces.len() {
        batches.push(&pieces[start..]);
    }
    batches
}

/// Returns the runs of a file that hold data, each at most as long as a content may be.
fn pieces_of(file: usize, unread: &Unread) -> Result<Vec<Piece>> {
    let Unread { path, stat } = unread;
    let runs = if stat.allocated_bytes < stat.size {
        let runs = data_runs(&open(path)?, stat.size).at("read", path)?;
        runs.into_iter().map(|(start, len)| start..start + len).collect()
    } else {
        std::iter::once(0..stat.size).collect()
    };
    let ranges = cut(runs, metadata_in(unread)?.as_ref());
    let piece =
        |range: Range<u64>| Piece { file, offset: range.start, len: range.end - range.start };
    Ok(ranges.into_iter().map(piece).collect())
}

/// Cuts runs of bytes of a file into contents: at both ends of `shared`, the bytes that another file has too, and
/// wherever a content would be too long. `shared` is cut as that other file is.
fn cut(runs: Vec<Range<u64>>, shared: Option<&Range<u64>>) -> Vec<Range<u64>> {
    let mut ranges = Vec::new();
    for run in runs {
        let Some(shared) = shared.filter(|it| run.start <= it.start && it.end <= run.end) else {
            cut_every(run, 0, &mut ranges);
            continue;
        };
        cut_every(run.start..shared.start, 0, &mut ranges);
        cut_every(shared.clone(), shared.start, &mut ranges);
        cut_every(shared.end..run.end, 0, &mut ranges);
    }
    ranges
}

/// Cuts `range` at each multiple of the longest content, counted from `from`.
fn cut_every(range: Range<u64>, from: u64, ranges: &mut Vec<Range<u64>>) {
    let mut start = range.start;
    while start < range.end {
        let next = from + (start - from + 1).next_multiple_of(Content::MAX_LEN);
        ranges.push(start..next.min(range.end));
        start = next;
    }
}

/// The smallest metadata, in bytes, worth its own content in an `.rlib`. Of the 377 `.rmeta` files of `blvm-node`
/// 0.1.83, 219 have at least this size; they hold 98 % of the bytes.
const LEAST_SHARED: u64 = 128 << 10;

/// Returns the position in a library of the bytes of the `.rmeta` file beside it.
fn metadata_in(unread: &Unread) -> Result<Option<Range<u64>>> {
    let Unread { path, stat } = unread;
    if path.extension().is_none_or(|extension| extension != "rlib") {
        return Ok(None);
    }
    let len = path.with_extension("rmeta").symlink_metadata().map_or(0, |rmeta| rmeta.len());
    if len < LEAST_SHARED {
        return Ok(None);
    }
    let start = metadata_offset(&open(path)?).at("read", path)?;
    let range = start.map(|start| start..start.saturating_add(len));
    Ok(range.filter(|range| range.end <= stat.size))
}

fn read_piece(unread: &Unread, piece: &Piece, bytes: &mut [u8]) -> Result<()> {
    let Unread { path, stat } = unread;
    let file = open(path)?;
    match file.read_exact_at(bytes, piece.offset) {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            return Err(Error::Changed(path.clone()));
        }
        read => read.at("read", path)?,
    }
    let after = Stat::from(&file.metadata().at("read metadata", path)?);
    let same =
        (after.inode.ino, after.size, after.mtime) == (stat.inode.ino, stat.size, stat.mtime);
    if same { Ok(()) } else { Err(Error::Changed(path.clone())) }
}

/// Opens a file that was a regular file when it was found. If it is no longer one, does not follow a symlink or wait
/// for the writer of a fifo.
fn open(path: &Path) -> Result<File> {
    Ok(open_regular(path).at("open", path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_cut_where_a_content_would_be_too_long_and_around_what_it_shares() {
        const MAX: u64 = Content::MAX_LEN;
        type Case =
            (&'static str, &'static [(u64, u64)], Option<(u64, u64)>, &'static [(u64, u64)]);
        #[rustfmt::skip]
        let cases: [Case; 9] = [
            //why                      runs                       shared              contents
            ("nothing",                &[(0, 0)],                 None,               &[]),
            ("a content",              &[(0, MAX)],               None,               &[(0, MAX)]),
            ("a byte more",            &[(0, MAX + 1)],           None,               &[(0, MAX), (MAX, MAX + 1)]),
            ("two runs",               &[(5, 7), (MAX, MAX + 9)], None,               &[(5, 7), (MAX, MAX + 9)]),
            ("shared",                 &[(0, 9)],                 Some((2, 5)),       &[(0, 2), (2, 5), (5, 9)]),
            ("shared from the start",  &[(0, 9)],                 Some((0, 5)),       &[(0, 5), (5, 9)]),
            ("shared to the end",      &[(0, 9)],                 Some((5, 9)),       &[(0, 5), (5, 9)]),
            ("shared and too long",    &[(0, 2 * MAX)],           Some((1, MAX + 3)),
                &[(0, 1), (1, MAX + 1), (MAX + 1, MAX + 3), (MAX + 3, 2 * MAX)]),
            ("shared beyond a run",    &[(0, 4), (6, 9)],         Some((2, 7)),       &[(0, 4), (6, 9)]),
        ];
        let range = |(start, end): &(u64, u64)| *start..*end;
        for (why, runs, shared, contents) in cases {
            let found = cut(runs.iter().map(range).collect(), shared.as_ref().map(range).as_ref());
            assert_eq!(found, contents.iter().map(range).collect::<Vec<_>>(), "{why}");
        }
    }

    #[test]
    fn batches_stay_near_32_mib_and_lose_nothing() {
        let rest = Content::MAX_LEN - 2 * tar_len(1);
        let sizes = [1, Content::MAX_LEN, 1, 2, rest, 1];
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
