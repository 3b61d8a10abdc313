//! Writing large contents, partly past the page cache.
//!
//! A write into the page cache costs the core that does it: the bytes are copied into pages that
//! must be found first, which is slow where memory is short or a hypervisor has taken it back. A
//! write past it (`O_DIRECT`) costs the disk's time and leaves the core to others. So a few
//! writes go past the cache at any time, and whoever finds these taken writes into it: the disk and the cores
//! are both busy whichever is slower. `docs/decisions/0011-large-contents-past-the-page-cache.md`.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::fs::OFlags;
use rustix::io::Errno;

/// What a write past the page cache starts at in the file, and is a multiple of, in bytes. The largest
/// logical block of common disks; open(2), `O_DIRECT`.
const ALIGNMENT: usize = 4096;

/// What it starts at in memory, in bytes: what Linux asks of a driver at most that does not ask for
/// more (`dma_alignment` of its block layer), and where a tar begins its members.
const MEMORY_ALIGNMENT: usize = 512;

/// The least content that is written past the page cache, in bytes. What cargo reads on every
/// build (fingerprints, dep-info) is smaller and stays in memory.
const LEAST: usize = 1 << 20;

/// How many writes go past the page cache at once: so many threads wait for the disk. With two, a slow
/// disk has no time left for what is read: decision 0011.
pub const DIRECT_WRITES: usize = 1;

/// Writes contents to files of one filesystem, from any number of threads.
#[derive(Debug, Default)]
pub struct BulkWriter {
    direct: DirectWrites,
    has_no_direct: AtomicBool,
    reads_wait: AtomicBool,
}

impl BulkWriter {
    /// Is told whether what is written had to be waited for while it was read. A disk that reads are waiting
    /// for has nothing to spare: until they no longer do, all goes through the page cache.
    pub fn reads_wait(&self, wait: bool) {
        self.reads_wait.store(wait, Ordering::Relaxed);
    }

    /// Writes all of `bytes` to `file` from `offset` on; `of_file` counts the writes to this file.
    ///
    /// Bytes that begin at a multiple of 512 bytes in memory ([`Aligned`]) may go past the page cache. They
    /// do if another part of the file is on that way: a write into the page cache would wait for it, for
    /// the kernel lets nobody else into the file meanwhile.
    pub fn write_at(
        &self,
        file: &File,
        of_file: &DirectWrites,
        offset: u64,
        bytes: &[u8],
    ) -> io::Result<()> {
        if self.may_go_past(offset, bytes) {
            let (all, of_file) = (self.direct.begin(), of_file.begin());
            if all.before < DIRECT_WRITES || of_file.before > 0 {
                if write_direct(file, offset, bytes)? {
                    return Ok(());
                }
                self.has_no_direct.store(true, Ordering::Relaxed);
            }
        }
        file.write_all_at(bytes, offset)
    }

    fn may_go_past(&self, offset: u64, bytes: &[u8]) -> bool {
        let is_aligned = bytes.as_ptr().align_offset(MEMORY_ALIGNMENT) == 0
            && offset.is_multiple_of(ALIGNMENT as u64);
        let is_barred = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        let barred = is_barred(&self.has_no_direct) || is_barred(&self.reads_wait);
        bytes.len() >= LEAST && is_aligned && !barred
    }
}

/// How many writes go past the page cache.
#[derive(Debug, Default)]
pub struct DirectWrites(AtomicUsize);

impl DirectWrites {
    fn begin(&self) -> DirectWrite<'_> {
        DirectWrite { before: self.0.fetch_add(1, Ordering::Relaxed), count: &self.0 }
    }
}

/// One of the writes past the page cache, until it is dropped.
struct DirectWrite<'a> {
    /// How many there were before.
    before: usize,
    count: &'a AtomicUsize,
}

impl Drop for DirectWrite<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Writes past the page cache; tells whether the filesystem can. If not, anything may be written.
fn write_direct(file: &File, offset: u64, bytes: &[u8]) -> io::Result<bool> {
    let flags = rustix::fs::fcntl_getfl(file)?;
    match rustix::fs::fcntl_setfl(file, flags | OFlags::DIRECT) {
        Ok(()) => {}
        Err(Errno::INVAL) => return Ok(false),
        Err(errno) => return Err(errno.into()),
    }
    let (blocks, rest) = bytes.split_at(bytes.len() - bytes.len() % ALIGNMENT);
    let written = file.write_all_at(blocks, offset);
    rustix::fs::fcntl_setfl(file, flags)?;
    match written {
        // Blocks larger than ours, or a filesystem that finds out late.
        Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => Ok(false),
        Err(error) => Err(error),
        Ok(()) => file.write_all_at(rest, offset + blocks.len() as u64).map(|()| true),
    }
}

/// Bytes that begin at a multiple of 4 KiB in memory, so that they can go past the page cache.
#[derive(Debug, Default)]
pub struct Aligned {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl Aligned {
    /// Returns room for `len` bytes that hold anything.
    ///
    /// Memory that was had is used again: a fresh 32 MiB costs 8,192 page faults, about as much as
    /// copying a content through it.
    pub fn room(&mut self, len: usize) -> &mut [u8] {
        if self.bytes.len() < len + ALIGNMENT {
            self.bytes = Vec::new();
            self.bytes = vec![0; len.next_power_of_two() + ALIGNMENT];
            self.start = self.bytes.as_ptr().align_offset(ALIGNMENT);
        }
        self.len = len;
        &mut self.bytes[self.start..][..len]
    }

    /// Returns the bytes that were last made room for.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..][..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_write_every_byte_where_it_belongs() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let mut content = Aligned::default();
        for (number, byte) in content.room(LEAST + 4099).iter_mut().enumerate() {
            *byte = u8::try_from(number % 251).expect("less than 251");
        }
        let writer = BulkWriter::default();
        let mut written = Vec::new();
        for has_no_direct in [false, true] {
            writer.has_no_direct.store(has_no_direct, Ordering::Relaxed);
            let path = dir.path().join(has_no_direct.to_string());
            let file = File::create(&path)?;
            file.set_len(8192 + content.bytes().len() as u64)?;
            writer.write_at(&file, &DirectWrites::default(), 8192, content.bytes())?;
            assert!(!rustix::fs::fcntl_getfl(&file)?.contains(OFlags::DIRECT));
            written.push(std::fs::read(path)?);
        }
        assert_eq!(written[0][..8192], [0; 8192]);
        assert_eq!(&written[0][8192..], content.bytes());
        assert_eq!(written[0], written[1]);
        Ok(())
    }

    #[test]
    fn what_is_large_and_aligned_goes_past_the_page_cache_unless_reads_wait_for_the_disk() {
        let mut content = Aligned::default();
        let bytes: &[u8] = content.room(LEAST + 4096);
        let writer = BulkWriter::default();
        assert!(writer.may_go_past(4096, bytes));
        assert!(!writer.may_go_past(512, bytes));
        assert!(!writer.may_go_past(4096, &bytes[1..]));
        assert!(!writer.may_go_past(4096, &bytes[..LEAST - 1]));
        writer.reads_wait(true);
        assert!(!writer.may_go_past(4096, bytes));
        writer.reads_wait(false);
        assert!(writer.may_go_past(4096, bytes));
    }

    #[test]
    fn writes_past_the_page_cache_are_counted_while_they_last() {
        let writes = DirectWrites::default();
        let begun: Vec<_> = (0..3).map(|_| writes.begin()).collect();
        assert_eq!(begun.iter().map(|write| write.before).collect::<Vec<_>>(), [0, 1, 2]);
        drop(begun);
        assert_eq!(writes.begin().before, 0);
    }

    #[test]
    fn memory_that_was_had_is_used_again_and_always_aligned() {
        let mut content = Aligned::default();
        for len in [0, 1, 5000, 100, 1 << 20, 3] {
            assert_eq!(content.room(len).len(), len);
            assert_eq!(content.bytes().as_ptr().align_offset(ALIGNMENT), 0, "{len}");
        }
        assert_eq!(content.bytes.len(), (1 << 20) + ALIGNMENT);
    }
}
