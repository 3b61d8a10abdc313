//! Hot trees: expanded trees, ready to be moved or cloned into place.
//!
//! A hot tree holds the files of one generation, as a job left them. Its record names the
//! generation and the inode of each file. Nothing depends on a tree: packs are the truth, and a
//! restore checks the tree against its record before use. If the store is on another filesystem
//! than the workspace, the tree lies in a marked directory beside the workspace, and only the
//! record is in the store.
//!
//! # Locking
//!
//! The lock is on the record: a restore that clones the tree shares it; a process that moves or
//! removes the tree holds it alone. A killed process may leave a record without a tree, or with
//! part of one; it is never used, and the next gc removes it. If a record names anything but a hot
//! tree of this store, gc removes only the record.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::{Error, Result};
use super::file::{open, open_if_there, unfit};
use super::generations::read_dir;
use super::leases::{Lease, random_id};
use super::open::Store;
use super::outside::{Marked, MarkedDir};
use super::records::{open_record, write_record};
use super::sweep::GcLock;
use crate::fs::At;
use crate::fs::crash::crash_point;
use crate::fs::lock::Lock;
use crate::fs::remove::{remove_file, remove_tree};
use crate::fs::rename::rename_noreplace;
use crate::fs::stat::{Inode, Kind, Stat};
use crate::model::manifest::GenerationId;
use crate::model::raw_path::RawPath;
use crate::model::rel_path::RelPath;
use crate::model::scope::Scope;
use crate::model::timestamp::Timestamp;

/// A hot tree, as described by its record.
#[derive(Clone, Debug)]
pub struct HotTree {
    /// The tree.
    pub path: PathBuf,
    /// The generation whose files it holds.
    pub generation: GenerationId,
    /// The scope of the job that left it. Only a job that may restore what this scope saves may use
    /// the tree.
    pub scope: Scope,
    /// The kind of that job.
    pub job: String,
    /// The bytes of its files.
    pub bytes: u64,
    /// When it was created or last cloned.
    pub last_used: Timestamp,
    /// Whether it may be used: false after a reboot, and once its generation is gone.
    pub is_current: bool,
    place: TreePlace,
    record: PathBuf,
}

/// Where the tree of a record lies.
#[derive(Clone, Debug)]
enum TreePlace {
    /// In the store, beside its record and named like it.
    Inside,
    /// In a marked directory beside the workspaces.
    Outside(MarkedDir),
}

/// A record that cannot be read, or that names no hot tree of this store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StrayRecord {
    /// The record.
    pub path: PathBuf,
    /// The path that it names, if it can be read.
    pub names: Option<PathBuf>,
}

impl fmt::Display for StrayRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.names {
            Some(names) => write!(
                f,
                "`{path}` names `{}`, which is not a hot tree of this store: the record is removed, and that path \
                 stays as it is",
                names.display()
            ),
            None => write!(f, "`{path}` is not a readable record of a hot tree, and is removed"),
        }
    }
}

/// Why a tree was not kept as a hot tree. It stays where it was staged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum NotKept {
    /// Its generation is gone.
    GenerationGone,
    /// A record or a tree of that name exists.
    NameTaken,
}

impl fmt::Display for NotKept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GenerationGone => "its generation is gone",
            Self::NameTaken => "its name is taken",
        })
    }
}

/// A locked hot tree: no other process moves or removes it while this value lives.
#[derive(Debug)]
pub struct HeldTree {
    /// The tree.
    pub hot: HotTree,
    // Held, never read: closing the file releases the lock.
    _lock: Lock,
}

/// Whether other processes may use a held tree, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Other processes may clone it, too.
    Shared,
    /// No other process may use it.
    Alone,
}

/// The facts about a tree that becomes a hot tree.
#[derive(Debug)]
pub struct NewHotTree<'a> {
    /// The generation whose files it holds.
    pub generation: &'a GenerationId,
    /// The scope of the job that left it.
    pub scope: &'a Scope,
    /// The kind of that job.
    pub job: &'a str,
    /// The bytes of its files.
    pub bytes: u64,
    /// The inode of each of its files.
    pub inodes: &'a HashMap<RelPath, Inode>,
}

#[derive(Serialize, Deserialize)]
struct First {
    hot: u32,
    tree: RawPath,
    /// The marked directory that holds it, unless it is in the store.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    marked: Option<Marked>,
    boot: String,
    generation: GenerationId,
    /// The inode of its manifest: once gc has removed the newest generation of a series, another
    /// generation takes its number.
    manifest: Inode,
    scope: Scope,
    job: String,
    bytes: u64,
}

impl Store {
    /// Returns every hot tree, the most recently used first.
    pub fn hot_trees(&self, boot: &str) -> Result<Vec<HotTree>> {
        let mut trees = Vec::new();
        for record in self.hot_records()? {
            let Some((first, _)) = open_record::<First>(&record) else { continue };
            let Ok(metadata) = record.metadata() else { continue };
            let Some(place) = self.place_of(&record, &first)? else { continue };
            let path = path_of(&first.tree);
            let is_current = first.hot == super::FORMAT
                && record.extension() != Some(OsStr::new(SET_ASIDE))
                && !boot.is_empty()
                && first.boot == boot
                && Stat::of(&path).is_ok_and(|stat| stat.kind == Kind::Dir)
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
                place,
                record,
            });
        }
        trees.sort_by(|a, b| b.last_used.cmp(&a.last_used).then_with(|| a.record.cmp(&b.record)));
        Ok(trees)
    }

    /// Returns the records that cannot be read, or that name no hot tree of this store.
    pub fn stray_hot_records(&self) -> Result<Vec<StrayRecord>> {
        let mut strays = Vec::new();
        for path in self.hot_records()? {
            match open_record::<First>(&path) {
                Some((first, _)) if self.place_of(&path, &first)?.is_some() => {}
                Some((first, _)) => {
                    strays.push(StrayRecord { names: Some(path_of(&first.tree)), path });
                }
                // Gone: another process took the tree and removed the record.
                None if Stat::of(&path).is_ok() => strays.push(StrayRecord { path, names: None }),
                None => {}
            }
        }
        Ok(strays)
    }

    /// Removes a record from [`Self::stray_hot_records`], but not the path that it names.
    pub fn drop_stray_hot_record(&self, lock: &GcLock, stray: &StrayRecord) -> Result<()> {
        lock.or_note(remove_file(&stray.path)).map(drop)
    }

    /// Tells whether the tree at `path`, in the store, has a record.
    pub(super) fn has_hot_record(path: &Path) -> bool {
        // In this order: setting a tree aside renames the first to the second.
        let is_there = |extension| Stat::of(&path.with_extension(extension)).is_ok();
        is_there(RECORD) || is_there(SET_ASIDE)
    }

    fn hot_records(&self) -> Result<Vec<PathBuf>> {
        let mut paths = read_dir(&self.hot_dir())?;
        paths.retain(|path| {
            let extension = path.extension();
            let is_record =
                [RECORD, SET_ASIDE].into_iter().any(|it| extension == Some(OsStr::new(it)));
            is_record && Stat::of(path).is_ok_and(|stat| unfit(&stat, Kind::File).is_none())
        });
        Ok(paths)
    }

    /// Locks a tree against moves and removals by other processes. Returns `None` if the tree is
    /// locked by another process, or gone.
    pub fn hold_hot_tree(&self, hot: &HotTree, how: Hold) -> Result<Option<HeldTree>> {
        let Some(file) = open_if_there(&hot.record)? else { return Ok(None) };
        let lock = match how {
            Hold::Alone => Lock::of(file, &hot.record)?,
            Hold::Shared => Lock::share(file, &hot.record)?,
        };
        let Some(lock) = lock else { return Ok(None) };
        // The tree is gone if its record was removed before we locked it.
        let is_there = lock.file().metadata().at("read metadata", &hot.record)?.nlink() > 0;
        Ok(is_there.then(|| HeldTree { hot: hot.clone(), _lock: lock }))
    }

    /// Returns the directory for hot trees on the filesystem of the store.
    pub fn hot_dir(&self) -> PathBuf {
        self.root.join("hot")
    }

    /// Turns the tree in `staged`, a directory in `base`, into a hot tree. `base` is
    /// [`Store::hot_dir`], or a directory beside the workspace that nobody else writes to. On
    /// [`NotKept`] the tree stays where it was.
    ///
    /// A kill leaves `staged` as it was, or a record without a tree as well.
    pub fn keep_hot_tree(
        &self,
        lease: &Lease,
        staged: &MarkedDir,
        base: &Path,
        boot: &str,
        new: &NewHotTree<'_>,
    ) -> Result<std::result::Result<(), NotKept>> {
        let Some(manifest) = self.manifest_inode(new.generation)? else {
            return Ok(Err(NotKept::GenerationGone));
        };
        let id = random_id();
        let place = base.join(&id);
        let moved = staged.renamed(&place);
        let (from, tree, marked) = if base == self.hot_dir() {
            (staged.tree(), place.clone(), None)
        } else {
            (staged.path(), moved.tree(), Some(moved.record().clone()))
        };
        let record = self.hot_dir().join(&id).with_extension(RECORD);
        let first = First {
            hot: super::FORMAT,
            tree: RawPath::of(tree.as_os_str().as_bytes()),
            marked,
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
        // The lock keeps others off the record until its tree is there; nobody waits for it.
        let lock = Lock::of(file, &written)?;
        if lock.is_none() || !rename_noreplace(&written, &record)? {
            return Ok(Err(NotKept::NameTaken));
        }
        crash_point("hot: recorded");
        match rename_noreplace(&from, &place) {
            Ok(true) => Ok(Ok(())),
            refused => {
                remove_file(&record)?;
                refused?;
                Ok(Err(NotKept::NameTaken))
            }
        }
    }

    /// Removes those of `trees` that are not in use. Returns the removed trees, and the errors for
    /// those that could not be removed.
    pub fn drop_hot_trees(&self, trees: &[HotTree]) -> (Vec<HotTree>, Vec<Error>) {
        let (mut dropped, mut failures) = (Vec::new(), Vec::new());
        for hot in trees {
            let held = self.hold_hot_tree(hot, Hold::Alone);
            match held.and_then(|held| held.map(HeldTree::remove).transpose()) {
                Ok(None) => {}
                Ok(Some(())) => dropped.push(hot.clone()),
                Err(error) => failures.push(error),
            }
        }
        (dropped, failures)
    }

    /// Creates `base` beside a workspace unless it exists, and returns its real path. Returns
    /// `None` if the directory above does not exist, or if another user owns `base` or may write to
    /// it.
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
        // The recorded path of a marked directory must contain no symlink.
        let real = base.canonicalize().at("resolve", base)?;
        Ok(is_ours.then_some(real))
    }

    /// Returns where the tree of `record` lies; `None` if the record names no hot tree of this
    /// store. The tree must be named like its record: in the store, or in a marked directory of
    /// ours beside the workspaces. Any other path that a record names is neither used nor removed.
    fn place_of(&self, record: &Path, first: &First) -> Result<Option<TreePlace>> {
        let Some(id) = record.file_stem() else { return Ok(None) };
        let tree = path_of(&first.tree);
        if tree == self.hot_dir().join(id) {
            return Ok(Some(TreePlace::Inside));
        }
        let Some(marked) = first.marked.clone() else { return Ok(None) };
        let dir = MarkedDir::recorded(&self.id, marked);
        let path = dir.path();
        let base = path.parent().and_then(Path::file_name);
        let is_place = path.file_name() == Some(id) && base == Some(OsStr::new(OUTSIDE));
        // A missing directory is fine: a kill may leave the record alone.
        let is_fit = is_place && dir.tree() == tree && (dir.is_ours()? || Stat::of(&path).is_err());
        Ok(is_fit.then_some(TreePlace::Outside(dir)))
    }
}

/// The extension of a record.
const RECORD: &str = "zst";

/// The extension of the record of a tree that is set aside.
const SET_ASIDE: &str = "aside";

/// The name of the directory beside a workspace that holds hot trees.
pub const OUTSIDE: &str = "_runner-cache";

impl HeldTree {
    /// Returns the recorded inode of each of its files; `None` if the record cannot be read.
    pub fn inodes(&self) -> Option<HashMap<RelPath, Inode>> {
        let (_, lines) = open_record::<First>(&self.hot.record)?;
        lines.values()
    }

    /// Records that the tree was cloned just now.
    pub fn touch(&self) -> Result<()> {
        let record = open(&self.hot.record)?;
        let touched = record.set_modified(std::time::SystemTime::now());
        Ok(touched.at("set the mtime of", &self.hot.record)?)
    }

    /// Removes the record of the tree, which was moved away.
    pub fn forget(self) -> Result<()> {
        if let TreePlace::Outside(dir) = &self.hot.place {
            dir.remove()?;
        }
        Ok(remove_file(&self.hot.record)?)
    }

    /// Sets the tree aside, because it does not match its record: nobody uses it any more, and the
    /// next gc removes it.
    pub fn set_aside(self) -> Result<()> {
        let record = self.hot.record.with_extension(SET_ASIDE);
        Ok(fs::rename(&self.hot.record, &record).at("rename to", &record)?)
    }

    /// Removes the tree. A kill leaves part of it, which is never used.
    pub fn remove(self) -> Result<()> {
        if let TreePlace::Inside = self.hot.place {
            remove_tree(&self.hot.path)?;
        }
        self.forget()
    }
}

fn path_of(path: &RawPath) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(path.as_bytes()))
}
