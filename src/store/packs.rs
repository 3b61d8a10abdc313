//! Reading packs: immutable objects that hold many contents each.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use zstd::zstd_safe::{self, DParameter};

use super::error::{Error, Result, damaged};
use super::file::{open, open_if_there, unfit};
use super::generations::flush_dirs;
use super::leases::Lease;
use super::open::Store;
use crate::fs::At;
use crate::fs::prefetch::prefetch;
use crate::fs::remove::remove_tree;
use crate::fs::room::Room;
use crate::fs::stat::{Kind, Stat};
use crate::fs::walk;
use crate::model::digest::{Digest, Hasher};
use crate::model::manifest::{Content, PackUse};

impl Store {
    /// Opens a pack that a live lease names. As [`Self::open_pack`], but it also finds a pack that a
    /// killed gc moved.
    pub fn open_named_pack(&self, digest: Digest) -> Result<PackFile> {
        if !self.pack_path(digest).exists() {
            self.wait_and_settle()?;
        }
        self.open_pack(digest)
    }

    /// Opens a pack for reading. Changes nothing.
    pub fn open_pack(&self, digest: Digest) -> Result<PackFile> {
        let path = self.pack_path(digest);
        if !path.exists() {
            self.wait_for_gc()?;
        }
        PackFile::open(path)?.ok_or(Error::PackMissing(digest))
    }

    /// Asks the kernel to read a pack into memory, if it exists: a later reader then need not wait
    /// for a disk that is busy with writes.
    pub fn prefetch_pack(&self, digest: Digest) {
        if let Ok(file) = open(&self.pack_path(digest)) {
            prefetch(&file);
        }
    }

    /// Returns every pack with its size on disk in bytes, and all other paths under `packs/`.
    pub fn packs(&self) -> Result<PackList> {
        let mut list = PackList::default();
        let dir = self.packs_dir();
        // Unreadable directories count as odd, and the rest is listed all the same.
        let paths = walk::list(&dir, |_, _| true)?.paths;
        for found in walk::stat_each(&dir, paths)?.found {
            let path = dir.join(found.path.as_path());
            let name = String::from_utf8_lossy(found.path.file_name()).into_owned();
            let digest = name.strip_suffix(".tar.zst").and_then(|name| name.parse().ok());
            let is_file = unfit(&found.stat, Kind::File).is_none();
            match (found.stat.kind, digest) {
                (Kind::Dir, _) if found.path.parent().is_none() => {}
                (_, Some(digest)) if is_file && self.pack_path(digest) == path => {
                    list.packs.push((digest, found.stat.size));
                }
                _ => list.unknown_paths.push(path),
            }
        }
        Ok(list)
    }
}

/// The contents of `packs/`.
#[derive(Clone, Debug, Default)]
pub struct PackList {
    /// Every pack, with its size on disk in bytes.
    pub packs: Vec<(Digest, u64)>,
    /// Paths that are no packs, which this program never creates.
    pub unknown_paths: Vec<PathBuf>,
}

impl Store {
    /// Tells whether each of these packs exists with its full size.
    pub fn has_packs(&self, packs: &[PackUse]) -> bool {
        let is_there = |pack: &PackUse| {
            let stat = Stat::of(&self.pack_path(pack.digest));
            let is_whole =
                |stat: &Stat| unfit(stat, Kind::File).is_none() && stat.size == pack.stored_bytes;
            stat.is_ok_and(|stat| is_whole(&stat))
        };
        packs.iter().all(is_there)
    }

    /// Removes the pack named `digest` if its bytes do not match its name; returns whether it did.
    ///
    /// Such a pack is useless, and the next save stores its contents again only once it is gone.
    pub fn remove_if_damaged(&self, lease: &Lease, digest: Digest) -> Result<bool> {
        let is_whole = |pack: Result<PackFile>| match pack {
            // Not a file, or longer than a pack can be.
            Err(Error::Damaged { .. }) => Ok(false),
            pack => pack?.is_whole(digest),
        };
        if is_whole(self.open_pack(digest))? {
            return Ok(false);
        }
        // Check the moved file again: a save may just have replaced the pack by a whole one.
        let path = self.pack_path(digest);
        let moved = lease.staged_path("damaged")?;
        fs::rename(&path, &moved).at("remove", &path)?;
        let pack = PackFile::open(moved.clone());
        if is_whole(pack.and_then(|pack| pack.ok_or(Error::PackMissing(digest))))? {
            fs::rename(&moved, &path).at("rename to", &path)?;
            return Ok(false);
        }
        remove_tree(&moved)?;
        Ok(true)
    }

    /// Flushes the directories of these packs; their bytes are flushed already.
    pub fn flush_packs(&self, packs: impl Iterator<Item = Digest>) -> Result<()> {
        let paths: BTreeSet<_> = packs.map(|digest| self.pack_path(digest)).collect();
        let dirs: BTreeSet<_> = paths.iter().filter_map(|path| path.parent()).collect();
        dirs.into_iter().try_for_each(|dir| flush_dirs(dir, self.root()))
    }
}

/// The largest decompressed size of a pack in bytes: one content of 32 MiB, its header, and the two
/// blocks at the end.
const MAX_LEN: usize = (32 << 20) + 3 * 512;

/// The largest size of a pack on disk in bytes: incompressible bytes grow a little.
const MAX_STORED_LEN: u64 = (MAX_LEN + (MAX_LEN >> 7)) as u64;

/// A pack that is open for reading.
#[derive(Debug)]
pub struct PackFile {
    file: File,
    path: PathBuf,
}

/// The contents of a pack, each with the digest that names it.
pub type Members<'a> = Vec<(Digest, &'a [u8])>;

/// Buffers for reading packs, one after another.
#[derive(Default)]
pub struct PackRoom {
    compressed: Vec<u8>,
    bytes: Room,
    decompressor: zstd::bulk::Decompressor<'static>,
}

/// One content of a pack. Its bytes can be read once.
pub struct Member<'a> {
    /// Its digest by its name in the pack; the bytes are not checked against it.
    pub digest: Digest,
    /// Its length in bytes, at most [`Content::MAX_LEN`].
    pub len: u64,
    bytes: &'a mut dyn Read,
    path: &'a Path,
}

impl Member<'_> {
    /// Reads the bytes into `buffer`, replacing its old contents, and returns them. They are the
    /// bytes that were written only if the digest of the whole pack turns out to match the pack's
    /// name.
    pub fn read_into<'b>(&mut self, buffer: &'b mut Room) -> Result<&'b [u8]> {
        let len = usize::try_from(self.len).map_err(|error| damaged(self.path, &error))?;
        let room = buffer.of(len);
        self.bytes.read_exact(room).map_err(|error| damaged(self.path, &error))?;
        Ok(room)
    }

    /// Reads the bytes into `buffer` and compares their digest with `self.digest`.
    pub fn read_and_compare(&mut self, buffer: &mut Room) -> Result<()> {
        if Digest::of(self.read_into(buffer)?) != self.digest {
            return Err(damaged(self.path, &format!("content {} has other bytes", self.digest)));
        }
        Ok(())
    }
}

impl PackFile {
    fn open(path: PathBuf) -> Result<Option<Self>> {
        let Some(file) = open_if_there(&path)? else { return Ok(None) };
        // Refuse it before reading: reading a huge file could take for ever.
        if file.metadata().at("read metadata", &path)?.len() > MAX_STORED_LEN {
            return Err(damaged(&path, "it is longer than a pack"));
        }
        Ok(Some(Self { file, path }))
    }

    /// Returns the path of the pack.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Passes each member to `take`, in the order of the pack. Then compares the checksum of the
    /// frame, and the digest of the whole pack with its name, `digest`. The caller may use the
    /// members only if this succeeds. A member that `take` does not read is decompressed all the
    /// same.
    ///
    /// Every content was hashed when the pack was written. So checking the pack is as good as
    /// hashing each content again, and hashes a fourth of the bytes.
    pub fn each<E: From<Error>>(
        self,
        digest: Digest,
        take: impl FnMut(&mut Member<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let path = self.path.clone();
        let (members, found) = self.each_and_digest(take);
        members?;
        if found? != digest {
            return Err(damaged(&path, "its bytes do not have the digest in its name").into());
        }
        Ok(())
    }

    /// Reads the whole pack, still compressed, into `room`.
    pub fn read_into(&mut self, room: &mut PackRoom) -> Result<()> {
        room.compressed.clear();
        let mut file = (&mut self.file).take(MAX_STORED_LEN);
        file.read_to_end(&mut room.compressed).at("read", &self.path)?;
        Ok(())
    }

    /// Compares the digest of the bytes in `room` with the pack's name, `digest`, and decompresses
    /// them at once. Returns the members with their bytes. Returns `None` if the pack cannot be
    /// decompressed so: it does not state its decompressed length and has more than `likely` bytes,
    /// or it is damaged.
    ///
    /// Twice as fast as [`Self::each`], because no byte is copied on the way; but it takes more
    /// memory.
    pub fn members<'r>(
        &self,
        digest: Digest,
        likely: usize,
        room: &'r mut PackRoom,
    ) -> Result<Option<Members<'r>>> {
        if Digest::of(&room.compressed) != digest {
            return Err(damaged(&self.path, &"its bytes do not have the digest in its name"));
        }
        let said = zstd_safe::get_frame_content_size(&room.compressed).ok().flatten();
        let said = said.and_then(|len| usize::try_from(len).ok()).filter(|len| *len <= MAX_LEN);
        let bytes = room.bytes.of(said.unwrap_or(likely));
        // Skip the checksum of the frame: the digest already proved the bytes, and the checksum
        // costs 6 % of decompressing (a target of 3.2 GiB, five rounds). This parameter is why
        // Cargo.toml enables zstd's `experimental`.
        let decompressor = &mut room.decompressor;
        decompressor.set_parameter(DParameter::ForceIgnoreChecksum(true)).at("read", &self.path)?;
        // The slower way reports what is wrong, unless it is only the length.
        let Ok(len) = decompressor.decompress_to_buffer(&room.compressed, bytes) else {
            return Ok(None);
        };
        let bytes: &[u8] = &bytes[..len];
        let mut members = Vec::new();
        let broken = |error: io::Error| damaged(&self.path, &error);
        for entry in tar::Archive::new(bytes).entries().map_err(broken)? {
            let entry = entry.map_err(broken)?;
            let digest = member_digest(&entry.path_bytes(), &self.path)?;
            let start = usize::try_from(entry.raw_file_position()).unwrap_or(usize::MAX);
            let len = usize::try_from(entry.size()).unwrap_or(usize::MAX);
            let member = start.checked_add(len).and_then(|end| bytes.get(start..end));
            let cut = || damaged(&self.path, &format!("content {digest} is cut off"));
            members.push((digest, member.ok_or_else(cut)?));
        }
        Ok(Some(members))
    }

    /// Passes each member to `take`, reading the pack once to its last byte. Returns the result,
    /// and the digest of all these bytes, which equals the pack's name unless the pack is damaged.
    pub fn each_and_digest<E: From<Error>>(
        self,
        take: impl FnMut(&mut Member<'_>) -> std::result::Result<(), E>,
    ) -> (std::result::Result<(), E>, Result<Digest>) {
        let mut hashing = Hashing { file: &self.file, hasher: Hasher::default() };
        let members = each_member(&mut hashing, &self.path, take);
        let rest = io::copy(&mut hashing, &mut io::sink()).at("read", &self.path);
        (members, rest.map(|_| hashing.hasher.finish()).map_err(Error::from))
    }

    /// Tells whether the bytes of the pack on disk match its name, `digest`.
    pub fn is_whole(mut self, digest: Digest) -> Result<bool> {
        let mut hasher = Hasher::default();
        io::copy(&mut self.file, &mut hasher).at("read", &self.path)?;
        Ok(hasher.finish() == digest)
    }
}

/// A file that is hashed while it is read.
struct Hashing<'a> {
    file: &'a File,
    hasher: Hasher,
}

impl Read for Hashing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.file.read(buffer)?;
        self.hasher.update(&buffer[..len]);
        Ok(len)
    }
}

/// Parses the name of a member of the pack at `path`, which is a digest.
fn member_digest(name: &[u8], path: &Path) -> Result<Digest> {
    let digest = std::str::from_utf8(name).ok().and_then(|name| name.parse().ok());
    digest.ok_or_else(|| {
        damaged(path, &format!("its member `{}` is no content", String::from_utf8_lossy(name)))
    })
}

fn each_member<E: From<Error>>(
    file: impl Read,
    path: &Path,
    mut take: impl FnMut(&mut Member<'_>) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let broken = |error: io::Error| E::from(damaged(path, &error));
    let decoder = zstd::Decoder::new(file).map_err(broken)?.single_frame();
    let mut tar = tar::Archive::new(decoder.take(MAX_LEN as u64 + 1));
    for entry in tar.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let digest = member_digest(&entry.path_bytes(), path)?;
        let len = entry.size();
        if len > Content::MAX_LEN {
            return Err(damaged(path, &format!("content {digest} is too long")).into());
        }
        take(&mut Member { digest, len, bytes: &mut entry, path })?;
    }
    let mut rest = tar.into_inner();
    io::copy(&mut rest, &mut io::sink()).map_err(broken)?;
    if rest.limit() == 0 {
        return Err(damaged(path, "it holds more than a pack").into());
    }
    Ok(())
}
