//! Writing packs: contents are collected in memory, compressed at once, and flushed later.

use std::fs::{self, File};
use std::path::PathBuf;

use zstd::bulk::Compressor;
use zstd::zstd_safe::{self, CParameter};

use super::error::Result;
use super::leases::{Lease, Use};
use super::open::Store;
use crate::fs::At;
use crate::fs::crash::crash_point;
use crate::fs::pieces::write_at;
use crate::fs::stat::Kind;
use crate::model::digest::Digest;
use crate::model::level::Level;
use crate::model::manifest::PackUse;

/// The block size of a tar, in bytes: a header is one block, and a content is padded to whole
/// blocks.
const BLOCK: usize = 512;

/// The length in bytes of the end of a tar, two blocks of zeros: POSIX.1-2024, `pax`, "ustar
/// Interchange Format".
const END: usize = 2 * BLOCK;

/// The zstd parameters for repetitions far apart in a pack: matches of at least 128 bytes, from one
/// position in 2^8, over 2^24 bytes. Libraries share much, and one long match is faster to
/// decompress than many short ones: `docs/decisions/0023-long-matches.md`.
const LONG_MATCHES: [CParameter; 4] = [
    CParameter::EnableLongDistanceMatching(true),
    CParameter::WindowLog(24),
    CParameter::LdmMinMatch(128),
    CParameter::LdmHashRateLog(8),
];

/// Returns the number of bytes in a tar that a content of `len` bytes takes.
pub const fn tar_len(len: u64) -> u64 {
    BLOCK as u64 + len.next_multiple_of(BLOCK as u64)
}

/// Buffers for building packs, one after another. They grow to the size of the largest pack.
#[derive(Default)]
pub struct PackDraft {
    tar: Vec<u8>,
    compressed: Vec<u8>,
    compressor: Compressor<'static>,
}

/// A pack that is being built.
pub struct PackWriter<'a, 'd> {
    store: &'a Store,
    lease: &'a Lease,
    draft: &'d mut PackDraft,
    /// Where the next header begins.
    end: usize,
    content_bytes: u64,
}

impl Store {
    /// Begins a pack in `draft`, whose old contents do not matter.
    pub fn pack_writer<'a, 'd>(
        &'a self,
        lease: &'a Lease,
        draft: &'d mut PackDraft,
    ) -> PackWriter<'a, 'd> {
        PackWriter { store: self, lease, draft, end: 0, content_bytes: 0 }
    }
}

impl<'a> PackWriter<'a, '_> {
    /// Returns the buffer for the next content, of `len` bytes. Its bytes are arbitrary.
    pub fn room(&mut self, len: usize) -> &mut [u8] {
        let start = self.end + BLOCK;
        let needed = start + len.next_multiple_of(BLOCK) + END;
        if self.draft.tar.len() < needed {
            // Memory from earlier packs keeps its bytes: only new memory is filled with zeros.
            self.draft.tar.resize(needed, 0);
        }
        &mut self.draft.tar[start..][..len]
    }

    /// Appends the first `len` bytes of the buffer that [`Self::room`] returned as the content
    /// `digest`, which must not be in this pack yet.
    pub fn append(&mut self, digest: Digest, len: usize) -> Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_size(len as u64);
        header.set_mode(0o644);
        header.set_path(digest.to_string()).at("name a content in", self.store.root())?;
        header.set_cksum();
        let start = self.end + BLOCK;
        self.draft.tar[self.end..start].copy_from_slice(header.as_bytes());
        self.end = start + len.next_multiple_of(BLOCK);
        self.draft.tar[start + len..self.end].fill(0);
        self.content_bytes += len as u64;
        Ok(())
    }

    /// Compresses the pack at `level` and writes it under `staging/`; `None` if it has no content.
    pub fn stage(self, level: Level) -> Result<Option<StagedPack<'a>>> {
        let Self { store, lease, draft, end, content_bytes } = self;
        if end == 0 {
            return Ok(None);
        }
        let staged = lease.staged_path("pack")?;
        let PackDraft { tar, compressed, compressor } = draft;
        let tar = &mut tar[..end + END];
        tar[end..].fill(0);
        let bound = zstd_safe::compress_bound(tar.len());
        compressed.clear();
        compressed.reserve(bound);
        let mut compress = || {
            compressor.set_compression_level(level.into())?;
            compressor.include_checksum(true)?;
            for parameter in LONG_MATCHES {
                compressor.set_parameter(parameter)?;
            }
            compressor.compress_to_buffer(tar, compressed)
        };
        compress().at("compress for", &staged)?;
        let file = File::create_new(&staged).at("create", &staged)?;
        write_at(&file, compressed, 0).at("write", &staged)?;
        let digest = Digest::of(compressed);
        let pack = PackUse { digest, stored_bytes: compressed.len() as u64, content_bytes };
        Ok(Some(StagedPack { store, lease, file, staged, pack }))
    }
}

/// A pack that is written, but not published.
pub struct StagedPack<'a> {
    store: &'a Store,
    lease: &'a Lease,
    file: File,
    staged: PathBuf,
    pack: PackUse,
}

impl StagedPack<'_> {
    /// Returns the pack as a manifest will refer to it.
    pub fn pack(&self) -> &PackUse {
        &self.pack
    }

    /// Flushes the pack and renames it to its final name, which it names in the lease first.
    ///
    /// An existing pack of that name has the same bytes unless it is damaged. It is replaced in one
    /// step, which also repairs it. Any thread may call this.
    pub fn publish(self) -> Result<()> {
        let Self { store, lease, file, staged, pack } = self;
        file.sync_data().at("write", &staged)?;
        crash_point("save: pack staged");
        lease.name(&Use::Pack(pack.digest))?;
        let path = store.pack_path(pack.digest);
        store.create_dirs(path.parent().unwrap_or(&path))?;
        // A directory must be moved away first; the rename replaces anything else.
        store.make_way(&path, Kind::File)?;
        fs::rename(&staged, &path).at("rename to", &path)?;
        crash_point("save: pack visible");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::pack_as;
    use super::super::{Error, Purpose};
    use super::*;
    use crate::fs::room::Room;

    /// Returns 4 MiB that do not compress, different for each `seed` but 0.
    fn noise(seed: u64) -> Vec<u8> {
        let next = |state: &u64| {
            let state = state ^ state << 13;
            let state = state ^ state >> 7;
            Some(state ^ state << 17)
        };
        let words = std::iter::successors(Some(seed), next);
        words.take((4 << 20) / 8).flat_map(u64::to_le_bytes).collect()
    }

    #[test]
    fn equal_bytes_far_apart_in_a_pack_are_stored_once()
    -> std::result::Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let store = Store::open_or_init(&dir.path().join("store"))?;
        let lease = store.lease(Purpose::Save)?;
        let (first, between) = (noise(1), noise(2));
        let again = [b"as before: ", &first[..]].concat();
        let contents = [&first, &between, &again].map(|bytes| (Digest::of(bytes), &bytes[..]));
        let pack = pack_as(&store, &lease, &contents)?;
        assert_eq!(pack.content_bytes, (12 << 20) + 11);
        assert!(pack.stored_bytes < 9 << 20, "{} bytes are stored", pack.stored_bytes);
        let (mut found, mut room) = (Vec::new(), Room::default());
        store.open_pack(pack.digest)?.each::<Error>(pack.digest, |member| {
            found.push((member.digest, member.read_into(&mut room)?.to_vec()));
            Ok(())
        })?;
        assert_eq!(found, contents.map(|(digest, bytes)| (digest, bytes.to_vec())));
        Ok(())
    }
}
