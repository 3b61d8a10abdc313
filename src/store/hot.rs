//! Hot trees: expanded trees that are ready to be moved or cloned into place.
//!
//! A tree is what a job left of one generation, and its record says which, and which inode each of
//! its files is. Nothing depends on a tree: packs are the truth, and whoever wants one looks first
//! whether it still is what the record says. Where the store is on another filesystem than the
//! workspace, the tree lies in a marked directory beside the workspace, and only its record in the store.
//!
//! # Locking
//!
//! The record is locked: shared by who clones its tree, alone by who moves it away or removes it.
//! A record without a tree, or with a part of one, is what a killed process leaves: it counts for
//! nothing and goes with the next gc. One that names anything but a tree of ours goes alone.

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
    place: TreePlace,
    record: PathBuf,
}

/// Where the tree of a record lies.
#[derive(Clone, Debug)]
enum TreePlace {
    /// In the store, by the name of its record.
    Inside,
    /// In a directory of ours beside the workspaces.
    Outside(MarkedDir),
}

/// A record that names no tree of ours, or cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StrayRecord {
    /// The record.
    pub path: PathBuf,
    /// What it names, if it can be read.
    pub names: Option<PathBuf>,
}

impl fmt::Display for StrayRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.names {
            Some(names) => write!(
                f,
                "`{path}` names `{}`, which is no hot tree of this store: the record goes, and what it names stays",
                names.display()
            ),
            None => write!(f, "`{path}` cannot be read as the record of a hot tree: it goes"),
        }
    }
}

/// Why a tree is not put by, which stays where it is staged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum NotKept {
    /// Its generation is gone.
    GenerationGone,
    /// Somebody else has a record or a tree of that name.
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
    /// The directory that it lies in, if that is not in the store.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    marked: Option<Marked>,
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

    /// Returns the records that name no tree of ours, or cannot be read.
    pub fn stray_hot_records(&self) -> Result<Vec<StrayRecord>> {
        let mut strays = Vec::new();
        for path in self.hot_records()? {
            match open_record::<First>(&path) {
                Some((first, _)) if self.place_of(&path, &first)?.is_some() => {}
                Some((first, _)) => {
                    strays.push(StrayRecord { names: Some(path_of(&first.tree)), path });
                }
                // Whoever took its tree removed it.
                None if Stat::of(&path).is_ok() => strays.push(StrayRecord { path, names: None }),
                None => {}
            }
        }
        Ok(strays)
    }

    /// Removes a record of [`Self::stray_hot_records`], and nothing that it names.
    pub fn drop_stray_hot_record(&self, lock: &GcLock, stray: &StrayRecord) -> Result<()> {
        lock.or_note(remove_file(&stray.path)).map(drop)
    }

    /// Tells whether the tree at `path`, in the store, has a record.
    pub(super) fn has_hot_record(path: &Path) -> bool {
        // In this order: the first becomes the second when a tree is set aside.
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

    /// Keeps others from moving or removing a tree; `None` if one of them does, or did.
    pub fn hold_hot_tree(&self, hot: &HotTree, how: Hold) -> Result<Option<HeldTree>> {
        let Some(file) = open_if_there(&hot.record)? else { return Ok(None) };
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

    /// Makes a hot tree of the tree in `staged`, a directory in `base`: [`Store::hot_dir`], or a directory
    /// beside the workspace that nobody else writes to. Says why it does not, if it does not; then the tree is where it was.
    ///
    /// Killed on the way, this leaves `staged`, or a record without a tree.
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
        // Whoever finds the record waits for nothing and takes no tree that is not there yet.
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

    /// Removes those of `trees` that nobody uses; returns which went, and why others could not.
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

    /// Makes `base`, which lies beside a workspace, ours alone, and returns where it really is; `None` if it is not.
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
        // No symlink leads to what is marked.
        let real = base.canonicalize().at("resolve", base)?;
        Ok(is_ours.then_some(real))
    }

    /// Returns where the tree of `record` lies, if what the record names is a tree of ours: by the name of the record
    /// in the store, or in a directory of that name, of ours and marked, beside the workspaces. What else a record may
    /// name is neither used nor removed.
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
        // What is not there, as after a kill, names nothing.
        let is_fit = is_place && dir.tree() == tree && (dir.is_ours()? || Stat::of(&path).is_err());
        Ok(is_fit.then_some(TreePlace::Outside(dir)))
    }
}

/// What the record of a tree ends with.
const RECORD: &str = "zst";

/// What the record of a tree that is set aside ends with.
const SET_ASIDE: &str = "aside";

/// The name of the directory beside a workspace that holds hot trees.
pub const OUTSIDE: &str = "_runner-cache";

impl HeldTree {
    /// Returns which inode each of its files was, or nothing if that cannot be read.
    pub fn inodes(&self) -> Option<HashMap<RelPath, Inode>> {
        let (_, lines) = open_record::<First>(&self.hot.record)?;
        lines.values()
    }

    /// Records that the tree was cloned now.
    pub fn touch(&self) -> Result<()> {
        let record = open(&self.hot.record)?;
        let touched = record.set_modified(std::time::SystemTime::now());
        Ok(touched.at("set the mtime of", &self.hot.record)?)
    }

    /// Forgets the tree, which was moved away.
    pub fn forget(self) -> Result<()> {
        if let TreePlace::Outside(dir) = &self.hot.place {
            dir.remove()?;
        }
        Ok(remove_file(&self.hot.record)?)
    }

    /// Sets the tree aside, because it is not what its record says: nobody uses it any more, and the
    /// next gc removes it.
    pub fn set_aside(self) -> Result<()> {
        let record = self.hot.record.with_extension(SET_ASIDE);
        Ok(fs::rename(&self.hot.record, &record).at("rename to", &record)?)
    }

    /// Removes the tree. What a kill leaves is a part of it, which is never used.
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
