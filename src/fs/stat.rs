//! Metadata of a path.

use std::fs::{FileType, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType as RawType, StatxFlags, statx};
use serde::{Deserialize, Serialize};

use crate::model::timestamp::Timestamp;

/// Returns when the inode of `path` was created, if the filesystem records that; no program can set
/// this time.
pub fn born(path: &Path) -> Option<Timestamp> {
    let asked = StatxFlags::BTIME;
    let stat = statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, asked).ok()?;
    let is_known = StatxFlags::from_bits_retain(stat.stx_mask).contains(asked);
    is_known.then(|| Timestamp::new(stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec))
}

/// The kind of file at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Dir,
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
    /// A socket, a fifo or a device: never opened, never kept.
    Special,
}

/// The metadata of a path, without its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Its kind.
    pub kind: Kind,
    /// Permission bits, 0 to 0o7777.
    pub mode: u32,
    /// The user it belongs to.
    pub uid: u32,
    /// Its size in bytes, holes included.
    pub size: u64,
    /// Its space on disk in bytes; less than the size if there are holes.
    pub allocated_bytes: u64,
    /// When its bytes last changed. Any program can set this.
    pub mtime: Timestamp,
    /// When it was last read, as far as the mount records reads; see [`super::atime`].
    pub atime: Timestamp,
    /// The file's identity, independent of its name.
    pub inode: Inode,
    /// The number of its hard links.
    pub links: u64,
}

/// A file's identity and ctime. No program can set a ctime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Inode {
    /// The filesystem's device number.
    pub dev: u64,
    /// The inode number.
    pub ino: u64,
    /// The last change of bytes or metadata.
    pub ctime: Timestamp,
}

impl Stat {
    /// Returns the stat of `path` itself, not of a symlink's target.
    pub fn of(path: &Path) -> io::Result<Self> {
        path.symlink_metadata().map(|metadata| Self::from(&metadata))
    }

    /// As [`Self::of`]; `None` if `path` does not exist.
    pub fn if_exists(path: &Path) -> io::Result<Option<Self>> {
        match Self::of(path) {
            Ok(stat) => Ok(Some(stat)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl From<FileType> for Kind {
    fn from(kind: FileType) -> Self {
        match kind {
            kind if kind.is_dir() => Self::Dir,
            kind if kind.is_file() => Self::File,
            kind if kind.is_symlink() => Self::Symlink,
            _ => Self::Special,
        }
    }
}

impl From<&rustix::fs::Stat> for Stat {
    fn from(stat: &rustix::fs::Stat) -> Self {
        let kind = match RawType::from_raw_mode(stat.st_mode) {
            RawType::Directory => Kind::Dir,
            RawType::RegularFile => Kind::File,
            RawType::Symlink => Kind::Symlink,
            _ => Kind::Special,
        };
        let time = |secs, nanos| Timestamp::new(secs, u32::try_from(nanos).unwrap_or(0));
        let count = |number: i64| u64::try_from(number).unwrap_or(0);
        Self {
            kind,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            size: count(stat.st_size),
            allocated_bytes: count(stat.st_blocks).saturating_mul(512),
            mtime: time(stat.st_mtime, stat.st_mtime_nsec),
            atime: time(stat.st_atime, stat.st_atime_nsec),
            inode: Inode {
                dev: stat.st_dev,
                ino: stat.st_ino,
                ctime: time(stat.st_ctime, stat.st_ctime_nsec),
            },
            links: stat.st_nlink,
        }
    }
}

impl From<&Metadata> for Stat {
    fn from(metadata: &Metadata) -> Self {
        let time = |secs: i64, nanos: i64| Timestamp::new(secs, u32::try_from(nanos).unwrap_or(0));
        Self {
            kind: metadata.file_type().into(),
            mode: metadata.mode() & 0o7777,
            uid: metadata.uid(),
            size: metadata.size(),
            allocated_bytes: metadata.blocks().saturating_mul(512),
            mtime: time(metadata.mtime(), metadata.mtime_nsec()),
            atime: time(metadata.atime(), metadata.atime_nsec()),
            inode: Inode {
                dev: metadata.dev(),
                ino: metadata.ino(),
                ctime: time(metadata.ctime(), metadata.ctime_nsec()),
            },
            links: metadata.nlink(),
        }
    }
}
