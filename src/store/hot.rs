//! Hot trees: expanded trees that are ready to be moved or cloned into place.
//!
//! A tree is what a job left of one generation, and its record says which, and which inode each of
//! its files is. Nothing depends on a tree: packs are the truth, and whoever wants one looks first
//! whether it still is what the record says. Where the store is on another filesystem than the
//! workspace, the tree lies beside the workspace, and only its record in the store.
//!
//! # Locking
//!
//! The record is locked: shared by who clones its tree, alone by who moves it away or removes it.
//! A record without a tree, or with a part of one, is what a killed process leaves: it counts for
//! nothing and goes with the next gc.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::Result;
use super::generations::read_dir;
use super::leases::{Lease, random_id};
use super::open::Store;
use super::records::{inodes_of, open_record, write_record};
use crate::fs::At;
use crate::fs::crash::crash_point;
use crate::fs::lock::Lock;
use crate::fs::remove::remove_tree;
use crate::fs::rename::rename_noreplace;
use crate::fs::stat::Inode;
use crate::model::manifest::{GenerationId, RawPath};
use crate::model::rel_path::RelPath;
use crate::model::scope::Scope;
use crate::model::timestamp::Timestamp;

/// A hot tree as its record has it.
#[derive(Clone, Debug)]
pub struct HotTree {
    /// The tree.
    pub path: PathBuf,
    /// The generation whose files it holds.
    pub generation: GenerationId,
    /// Who had it in hand: only who may restore what that one saves may have it.
    pub scope: Scope,
    /// What kind of job that was.
    pub job: String,
    /// The bytes of its files.
    pub bytes: u64,
    /// When it was put here or last cloned.
    pub last_used: Timestamp,
    /// Whether it may be used at all: not after a restart of the machine, and not without its
    /// generation.
    pub is_current: bool,
    record: PathBuf,
}

/// A hot tree that nobody else moves or removes while this lives.
#[derive(Debug)]
pub struct HeldTree {
    /// Which.
    pub hot: HotTree,
    // Held, never read: closing the file releases the lock.
    _lock: Lock,
}

/// Who else may have a tree that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Others who clone it, too.
    Shared,
    /// Nobody.
    Alone,
}

/// What is put by as a hot tree.
#[derive(Debug)]
pub struct NewHotTree<'a> {
    /// The generation whose files it holds.
    pub generation: &'a GenerationId,
    /// Who had it in hand.
    pub scope: &'a Scope,
    /// What kind of job that was.
    pub job: &'a str,
    /// The bytes of its files.
    pub bytes: u64,
    /// Each of its files.
    pub inodes: &'a HashMap<RelPath, Inode>,
}

#[derive(Serialize, Deserialize)]
struct First {
    hot: u32,
    tree: RawPath,
    boot: String,
    generation: GenerationId,
    /// Its manifest: once gc has removed the newest generation of a series, another one takes its
    /// number.
    manifest: Inode,
    scope: Scope,
    job: String,
    bytes: u64,
}

impl Store {
    /// Returns every hot tree, the most recently used first. A record that cannot be read has none.
    pub fn hot_trees(&self, boot: &str) -> Result<Vec<HotTree>> {
        let mut trees = Vec::new();
        for record in read_dir(&self.hot_dir())? {
            let Some((first, _)) = open_record::<First>(&record) else { continue };
            let Ok(metadata) = record.metadata() else { continue };
            let path = PathBuf::from(OsStr::from_bytes(first.tree.as_bytes()));
            let is_ours = first.hot == super::FORMAT && self.is_place_of(&record, &path);
            let is_current = is_ours
                && record.extension() != Some(OsStr::new(SET_ASIDE))
                && !boot.is_empty()
                && first.boot == boot
                && path.is_dir()
                && self.manifest_inode(&first.generation)? == Some(first.manifest);
            let last_used = metadata.modified().map_or_else(|_| Timestamp::default(), Into::into);
            trees.push(HotTree {
                path,
                generation: first.generation,
                scope: first.scope,
                job: first.job,
                bytes: first.bytes,
                last_used,
                is_current,
                record,
            });
        }
        trees.sort_by(|a, b| b.last_used.cmp(&a.last_used).then_with(|| a.record.cmp(&b.record)));
        Ok(trees)
    }

    /// Keeps others from moving or removing a tree; `None` if one of them does, or did.
    pub fn hold_hot_tree(&self, hot: &HotTree, how: Hold) -> Result<Option<HeldTree>> {
        let file = match File::open(&hot.record) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.at("open", &hot.record)?,
        };
        let lock = match how {
            Hold::Alone => Lock::of(file, &hot.record)?,
            Hold::Shared => Lock::share(file, &hot.record)?,
        };
        let Some(lock) = lock else { return Ok(None) };
        // Whoever moved it away removed the record before the lock was ours.
        let is_there = lock.file().metadata().at("read metadata", &hot.record)?.nlink() > 0;
        Ok(is_there.then(|| HeldTree { hot: hot.clone(), _lock: lock }))
    }

    /// Returns where a hot tree may be staged on the filesystem of the store.
    pub fn hot_dir(&self) -> PathBuf {
        self.root.join("hot")
    }

    /// Makes a hot tree of `staged`, a directory in `base`: [`Store::hot_dir`], or a directory
    /// beside the workspace that nobody else writes to. Of a generation that is gone none is made.
    ///
    /// Killed on the way, this leaves `staged`, or a record without a tree.
    pub fn keep_hot_tree(
        &self,
        lease: &Lease,
        staged: &Path,
        base: &Path,
        boot: &str,
        new: &NewHotTree<'_>,
    ) -> Result<Option<HotTree>> {
        let Some(manifest) = self.manifest_inode(new.generation)? else { return Ok(None) };
        let id = random_id();
        let tree = base.join(&id);
        let record = self.hot_dir().join(format!("{id}.zst"));
        let first = First {
            hot: super::FORMAT,
            tree: RawPath::of(tree.as_os_str().as_bytes()),
            boot: boot.to_owned(),
            generation: new.generation.clone(),
            manifest,
            scope: new.scope.clone(),
            job: new.job.to_owned(),
            bytes: new.bytes,
        };
        let written = lease.staged_path("hot")?;
        let file = File::create_new(&written).at("create", &written)?;
        write_record(&file, &first, new.inodes).at("write", &written)?;
        // Whoever finds the record waits for nothing and takes no tree that is not there yet.
        let lock = Lock::of(file, &written)?;
        if lock.is_none() || !rename_noreplace(&written, &record)? {
            return Ok(None);
        }
        crash_point("hot: recorded");
        if !rename_noreplace(staged, &tree)? {
            fs::remove_file(&record).at("remove", &record)?;
            return Ok(None);
        }
        let metadata = record.metadata().at("read metadata", &record)?;
        let last_used = metadata.modified().map_or_else(|_| Timestamp::default(), Into::into);
        Ok(Some(HotTree {
            path: tree,
            generation: new.generation.clone(),
            scope: new.scope.clone(),
            job: new.job.to_owned(),
            bytes: new.bytes,
            last_used,
            is_current: true,
            record,
        }))
    }

    /// Removes those of `trees` that nobody uses; returns which went.
    pub fn drop_hot_trees(&self, trees: &[HotTree]) -> Result<Vec<HotTree>> {
        let mut dropped = Vec::new();
        for hot in trees {
            if let Some(held) = self.hold_hot_tree(hot, Hold::Alone)? {
                held.remove()?;
                dropped.push(hot.clone());
            }
        }
        Ok(dropped)
    }

    /// Makes `base`, which lies beside a workspace, ours alone; `None` if it is not.
    pub fn open_outside(&self, base: &Path) -> Result<Option<PathBuf>> {
        let mut builder = DirBuilder::new();
        match builder.mode(0o700).create(base) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            created => created.at("create directory", base)?,
        }
        let metadata = base.symlink_metadata().at("read metadata", base)?;
        let is_ours = metadata.is_dir()
            && metadata.uid() == crate::fs::user_id()
            && metadata.mode() & 0o022 == 0;
        Ok(is_ours.then(|| base.to_owned()))
    }

    /// Tells whether `tree` is where the tree of `record` would be: in the store, or in a directory
    /// of ours. What else a record may name is none of our trees, and is neither used nor removed.
    fn is_place_of(&self, record: &Path, tree: &Path) -> bool {
        let id = record.file_stem().unwrap_or_default();
        let base = tree.parent();
        tree.is_absolute()
            && tree.file_name() == Some(id)
            && base.is_some_and(|base| {
                base == self.hot_dir() || base.file_name() == Some(OsStr::new(OUTSIDE))
            })
    }
}

/// What the record of a tree that is set aside ends with.
const SET_ASIDE: &str = "aside";

/// The name of the directory beside a workspace that holds hot trees.
pub const OUTSIDE: &str = "_runner-cache";

impl HeldTree {
    /// Returns which inode each of its files was, or nothing if that cannot be read.
    pub fn inodes(&self) -> Option<HashMap<RelPath, Inode>> {
        let (_, lines) = open_record::<First>(&self.hot.record)?;
        inodes_of(lines)
    }

    /// Records that the tree was cloned now.
    pub fn touch(&self) -> Result<()> {
        let touched = File::open(&self.hot.record)
            .and_then(|record| record.set_modified(std::time::SystemTime::now()));
        Ok(touched.at("set the mtime of", &self.hot.record)?)
    }

    /// Forgets the tree, which was moved away.
    pub fn forget(self) -> Result<()> {
        match fs::remove_file(&self.hot.record) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => Ok(removed.at("remove", &self.hot.record)?),
        }
    }

    /// Sets the tree aside, because it is not what its record says: nobody uses it any more, and the
    /// next gc removes it.
    pub fn set_aside(self) -> Result<()> {
        let record = self.hot.record.with_extension(SET_ASIDE);
        Ok(fs::rename(&self.hot.record, &record).at("rename to", &record)?)
    }

    /// Removes the tree. What a kill leaves is a part of it, which is never used.
    pub fn remove(self) -> Result<()> {
        remove_tree(&self.hot.path)?;
        self.forget()
    }
}
