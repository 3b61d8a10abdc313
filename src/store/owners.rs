//! Owners: the scope that last used a directory in which jobs build.
//!
//! An owner is a small file of its own beside the tree record: it is written before the contents of
//! the directory are known, and also if there is no generation. Like a tree record, it holds for
//! one boot: after a power loss, an older version of the file may be back.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::Result;
use super::file::read_short;
use super::generations::read_dir;
use super::open::Store;
use crate::model::leftovers::DirOwner;
use crate::model::raw_path::RawPath;

/// The owner of a directory, as stored.
#[derive(Serialize, Deserialize)]
struct OwnerRecord {
    owner: u32,
    directory: RawPath,
    boot: String,
    #[serde(flatten)]
    is: DirOwner,
}

/// The longest record that is read, in bytes: a path of 4,096 bytes in hex, and names of a few
/// hundred.
const MAX_LEN: u64 = 64 << 10;

/// The extension of a record.
const OWNER: &str = "owner";

impl Store {
    /// Returns the last owner of `dir` since `boot`, if recorded. An unreadable record counts as
    /// none.
    pub fn dir_owner(&self, dir: &Path, boot: &str) -> Option<DirOwner> {
        let record = read(&self.owner_path(dir))?;
        let is_of_dir = record.directory == raw(dir);
        (is_of_dir && is_of(&record, boot)).then_some(record.is)
    }

    /// Returns every directory with a recorded owner since `boot`, and that owner. The directory
    /// need not exist.
    pub fn owned_dirs(&self, boot: &str) -> Result<Vec<(PathBuf, DirOwner)>> {
        let records = read_dir(&self.trees_dir())?.into_iter().filter(|path| is_owner(path));
        let read = records.filter_map(|path| Some((read(&path)?, path)));
        let known = read.filter(|(record, _)| is_of(record, boot));
        let named = known.map(|(record, path)| (dir_of(&record), record.is, path));
        // As in `dir_owner`, a record counts only under its own name.
        let own = named.filter(|(dir, _, path)| *path == self.owner_path(dir));
        Ok(own.map(|(dir, owner, _)| (dir, owner)).collect())
    }

    /// Records the owner of `dir` in one step; `dir` need not exist.
    pub fn set_dir_owner(&self, dir: &Path, boot: &str, owner: &DirOwner) -> Result<()> {
        let path = self.owner_path(dir);
        let (directory, boot) = (raw(dir), boot.to_owned());
        let record = OwnerRecord { owner: super::FORMAT, directory, boot, is: owner.clone() };
        let json = serde_json::to_vec(&record).expect("the record of an owner is plain JSON");
        self.write_whole(&path, &json)
    }

    /// Removes the record of the owner of `dir`.
    pub fn forget_dir_owner(&self, dir: &Path) -> Result<()> {
        self.remove(&self.owner_path(dir))
    }

    fn owner_path(&self, dir: &Path) -> PathBuf {
        self.trees_dir().join(format!("{}.{OWNER}", Self::name_of(dir)))
    }
}

/// Tells whether the file at `path` is the record of an owner.
pub(super) fn is_owner(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == OWNER)
}

/// Tells whether an owner's record is of no use: it is unreadable or of another boot, or the parent
/// of its directory is gone. The directory itself need not exist: a job may be about to create it.
pub(super) fn is_stale(path: &Path, boot: &str) -> bool {
    read(path).is_none_or(|record| {
        !is_of(&record, boot) || !dir_of(&record).parent().is_some_and(Path::exists)
    })
}

fn dir_of(record: &OwnerRecord) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(record.directory.as_bytes()))
}

fn is_of(record: &OwnerRecord, boot: &str) -> bool {
    record.owner == super::FORMAT && !boot.is_empty() && record.boot == boot
}

fn read(path: &Path) -> Option<OwnerRecord> {
    serde_json::from_slice(&read_short(path, MAX_LEN).ok()??).ok()
}

fn raw(dir: &Path) -> RawPath {
    RawPath::of(dir.as_os_str().as_encoded_bytes())
}
