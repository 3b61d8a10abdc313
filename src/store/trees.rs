//! Tree records: the files we left at a directory, so that the next job need not read them.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::BufRead;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::answers::{self, is_answers};
use super::error::Result;
use super::generations::read_dir;
use super::open::Store;
use super::owners::{is_owner, is_stale};
use super::records::{RecordLines, open_record, write_record};
use super::sweep::GcLock;
use super::vouched::{self, is_vouched};
use crate::fs::At;
use crate::fs::process::boot;
use crate::fs::remove::remove_file;
use crate::fs::stat::{Inode, Kind, Stat};
use crate::model::manifest::GenerationId;
use crate::model::raw_path::RawPath;
use crate::model::rel_path::RelPath;
use crate::model::scope::Scope;
use crate::model::system::System;
use crate::model::timestamp::Timestamp;

/// The files that a restore or save left at a directory.
///
/// It says that the file at each path holds the bytes that the generation has for that path, as
/// long as the file has the recorded inode and ctime. A record only saves time. A record of another
/// boot is not used: after a power loss, a file may have its times but not its bytes.
#[derive(Clone, Debug)]
pub struct TreeRecord {
    /// The generation whose contents the files hold.
    pub generation: GenerationId,
    /// The job that used the directory; `None` if an older version wrote the record.
    pub owner: Option<TreeOwner>,
    /// Each file's inode.
    pub inodes: HashMap<RelPath, Inode>,
}

/// How long a file must have been unchanged, in nanoseconds, so that a further change surely gives
/// it another ctime.
///
/// The kernel stamps files with the time of its last tick. The slowest tick is 10 ms (100 Hz); this
/// is twice that.
pub const SETTLED_NANOS: u32 = 20_000_000;

#[derive(Serialize, Deserialize)]
struct First {
    tree: u32,
    directory: RawPath,
    boot: String,
    generation: GenerationId,
    /// The inode of its manifest when the record was written: once gc has removed the newest
    /// generation of a series, another generation takes its number.
    manifest: Inode,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    owner: Option<TreeOwner>,
}

/// The job that uses a directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeOwner {
    /// The scope that it saves to.
    pub scope: Scope,
    /// The system that it builds on.
    pub system: System,
}

impl TreeRecord {
    /// Tells whether the file at `path` is unchanged since it was recorded.
    pub fn holds(&self, path: &RelPath, stat: &Stat) -> bool {
        self.inodes.get(path) == Some(&stat.inode)
    }

    /// Drops every file that changed so recently that a further change might give it the same
    /// ctime. `now` is the time of the filesystem itself, taken after the stats.
    pub fn settle(&mut self, now: Timestamp) {
        let recent = now.minus(0, SETTLED_NANOS);
        self.inodes.retain(|_, inode| inode.ctime < recent);
    }
}

impl Store {
    /// Records the files at `dir`, replacing an earlier record. Records nothing if the generation
    /// is gone.
    pub fn record_tree(&self, dir: &Path, boot: &str, record: &TreeRecord) -> Result<()> {
        let Some(manifest) = self.manifest_inode(&record.generation)? else { return Ok(()) };
        let path = self.tree_path(dir);
        let staging = self.staging_dir();
        let staged = tempfile::NamedTempFile::new_in(&staging).at("create a file in", &staging)?;
        let first = First {
            tree: super::FORMAT,
            directory: RawPath::of(dir.as_os_str().as_encoded_bytes()),
            boot: boot.to_owned(),
            generation: record.generation.clone(),
            manifest,
            owner: record.owner.clone(),
        };
        write_record(staged.as_file(), &first, &record.inodes).at("write", &path)?;
        self.persist(staged, &path)
    }

    /// Removes the tree record of `dir`.
    pub fn forget_tree(&self, dir: &Path) -> Result<()> {
        self.remove(&self.tree_path(dir))
    }

    /// Returns the tree record of `dir` since `boot`; `None` if there is none or it cannot be read.
    pub fn tree_record(&self, dir: &Path, boot: &str) -> Option<TreeRecord> {
        let (first, lines) = self.open_tree_record(dir, boot)?;
        let First { generation, owner, .. } = first;
        Some(TreeRecord { generation, owner, inodes: lines.values()? })
    }

    /// Returns the generation of [`Self::tree_record`] and the job that used `dir`; `None` if that
    /// job is unknown.
    pub fn tree_owner(&self, dir: &Path, boot: &str) -> Option<(GenerationId, TreeOwner)> {
        let (first, _) = self.open_tree_record(dir, boot)?;
        Some((first.generation, first.owner?))
    }

    /// Records that another job uses `dir` now, as the last one left it; `None` if no single job is
    /// answerable for its contents.
    pub fn hand_tree_on(&self, dir: &Path, boot: &str, owner: Option<TreeOwner>) -> Result<()> {
        let Some(record) = self.tree_record(dir, boot) else { return Ok(()) };
        self.record_tree(dir, boot, &TreeRecord { owner, ..record })
    }

    /// Returns the generation of [`Self::tree_record`], at less cost.
    pub fn tree_generation(&self, dir: &Path, boot: &str) -> Option<GenerationId> {
        self.open_tree_record(dir, boot).map(|(first, _)| first.generation)
    }

    fn open_tree_record(
        &self,
        dir: &Path,
        boot: &str,
    ) -> Option<(First, RecordLines<impl BufRead + use<>>)> {
        let (first, lines) = open_record::<First>(&self.tree_path(dir))?;
        let directory = RawPath::of(dir.as_os_str().as_encoded_bytes());
        let is_known = first.directory == directory && self.is_current(&first, boot);
        is_known.then_some((first, lines))
    }

    /// Returns the records that are of no use: those of another boot, those whose directory or
    /// generation is gone, and unreadable ones.
    pub fn stale_trees(&self, boot: &str) -> Result<Vec<PathBuf>> {
        let mut records = read_dir(&self.trees_dir())?;
        // Anything but a file is odd: see `oddities`.
        records.retain(|path| Stat::of(path).is_ok_and(|stat| stat.kind == Kind::File));
        records.retain(|path| {
            if is_owner(path) {
                return is_stale(path, boot);
            }
            if is_vouched(path) {
                return vouched::is_stale(path, boot);
            }
            if is_answers(path) {
                return answers::is_stale(path, boot);
            }
            let is_current = |first: &First| {
                let dir = OsStr::from_bytes(first.directory.as_bytes());
                self.is_current(first, boot) && Path::new(dir).is_dir()
            };
            !open_record::<First>(path).is_some_and(|(first, _)| is_current(&first))
        });
        Ok(records)
    }

    /// Removes all records of directories except owners. That costs only time, and frees a little
    /// space.
    pub fn forget_trees(&self, lock: &GcLock) -> Result<()> {
        let mut records = read_dir(&self.trees_dir())?;
        records.retain(|path| !is_owner(path));
        self.forget_stale_trees(lock, &records)
    }

    /// Removes the records at `paths`, which [`Self::stale_trees`] returned.
    pub fn forget_stale_trees(&self, lock: &GcLock, paths: &[PathBuf]) -> Result<()> {
        paths.iter().try_for_each(|path| lock.or_note(remove_file(path)).map(drop))
    }

    fn is_current(&self, first: &First, boot: &str) -> bool {
        let manifest = self.manifest_inode(&first.generation);
        let is_same = manifest.is_ok_and(|manifest| manifest == Some(first.manifest));
        first.tree == super::FORMAT && !boot.is_empty() && first.boot == boot && is_same
    }

    pub(super) fn manifest_inode(&self, id: &GenerationId) -> Result<Option<Inode>> {
        let path = self.generation_path(id);
        Ok(Stat::if_exists(&path).at("read metadata", &path)?.map(|stat| stat.inode))
    }

    fn tree_path(&self, dir: &Path) -> PathBuf {
        self.trees_dir().join(format!("{}.zst", Self::name_of(dir)))
    }
}

/// Returns the id of the machine's current boot; empty if unknown.
pub fn boot_id() -> String {
    // With an empty id no record is written or used: records of an earlier boot could not be told
    // apart.
    boot().unwrap_or_default().trim().to_owned()
}
