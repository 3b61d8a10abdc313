//! The only code that decides what may be removed outside the store's root.
//!
//! Restores stage beside a target, and a hot tree may lie beside the workspaces. Everything that we
//! leave there is, or lies in, a *marked directory*: a directory that we created and that holds a
//! symlink, the mark. The text of the mark is a digest of the store's id, the directory's device
//! and inode, and the boot. A record in the store, in a lease or of a hot tree, says the same.
//!
//! A record alone proves nothing: it may be damaged or forged, and its path may lead anywhere by
//! now. So a directory is removed only if no symlink is on its path, nothing is mounted there, this
//! user owns it and its mark, and both mark and record identify it. A copy of a marked directory,
//! or a build that copies the mark, has another inode; another store has another id. If a check
//! fails, the record is removed, but not the directory that it names. Why:
//! `docs/decisions/0031-marked-directories.md`.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::Result;
use super::trees::boot_id;
use crate::fs::At;
use crate::fs::named_dir::{DirId, NamedDir};
use crate::fs::remove::{remove_empty_dir, remove_file};
use crate::fs::stat::{Kind, Stat};
use crate::model::digest::Digest;
use crate::model::raw_path::RawPath;

/// The name of the mark. A file whose name begins like this is neither a source nor a part of
/// cargo's home.
pub const MARK: &str = ".runner-cache-mark";

/// The name of the tree in a marked directory.
const TREE: &str = "tree";

/// The identity of a directory, recorded just before the directory is marked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marked {
    path: RawPath,
    dev: u64,
    ino: u64,
    boot: String,
}

/// A marked directory, as described by its record.
#[derive(Clone, Debug)]
pub struct MarkedDir {
    /// The id of the store that created it.
    store: String,
    record: Marked,
}

impl MarkedDir {
    /// Returns the directory at `path`, which was just created for the store `store` and is empty.
    /// The caller records it, then [`mark`](Self::mark)s it: a recorded directory without a mark is
    /// still empty.
    pub(super) fn new(store: &str, path: &Path) -> Result<Self> {
        let gone = || io::Error::from(io::ErrorKind::NotFound);
        let dir = NamedDir::open(path)?.ok_or_else(gone).at("open directory", path)?;
        let DirId { dev, ino, .. } = dir.id()?;
        let path = RawPath::of(path.as_os_str().as_bytes());
        let record = Marked { path, dev, ino, boot: boot_id() };
        Ok(Self { store: store.to_owned(), record })
    }

    /// Returns the directory that a record describes, unchecked.
    pub(super) fn recorded(store: &str, record: Marked) -> Self {
        Self { store: store.to_owned(), record }
    }

    /// Returns the same directory after a rename to `path`.
    pub(super) fn renamed(&self, path: &Path) -> Self {
        let path = RawPath::of(path.as_os_str().as_bytes());
        Self { store: self.store.clone(), record: Marked { path, ..self.record.clone() } }
    }

    pub(super) fn record(&self) -> &Marked {
        &self.record
    }

    /// Returns the path of the directory.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(OsStr::from_bytes(self.record.path.as_bytes()))
    }

    /// Returns the path of the tree in it, which need not exist yet.
    pub fn tree(&self) -> PathBuf {
        self.path().join(TREE)
    }

    /// Creates the mark in the directory, if the path still leads to the recorded directory.
    pub(super) fn mark(&self) -> Result<()> {
        if let Some(dir) = NamedDir::open(&self.path())?
            && self.is_meant(&dir)?
        {
            dir.create_link(MARK, &self.text())?;
        }
        Ok(())
    }

    /// Tells whether the path leads to the recorded directory, with its mark, and both are ours.
    pub(super) fn is_ours(&self) -> Result<bool> {
        Ok(self.open()?.is_some())
    }

    /// Removes the directory with everything in it, if it is ours; returns whether it is gone.
    pub fn remove(&self) -> Result<bool> {
        let Some(dir) = self.open()? else {
            let path = self.path();
            return Ok(Stat::if_exists(&path).at("read metadata", &path)?.is_none());
        };
        dir.remove()?;
        Ok(true)
    }

    fn open(&self) -> Result<Option<NamedDir>> {
        let path = self.path();
        if path.components().any(|part| part.as_os_str() == ".git") {
            return Ok(None);
        }
        let Some(dir) = NamedDir::open(&path)? else { return Ok(None) };
        let us = crate::fs::user_id();
        let is_marked = || {
            let mark = dir.link(MARK)?;
            Ok::<_, crate::fs::Error>(mark == Some((self.text().into_bytes(), us)))
        };
        let is_ours = self.is_meant(&dir)? && dir.id()?.uid == us && is_marked()?;
        Ok(is_ours.then_some(dir))
    }

    /// Tells whether an open directory is the recorded one. A device number may change with a
    /// reboot; the mark proves that it was the same before.
    fn is_meant(&self, dir: &NamedDir) -> Result<bool> {
        let Marked { dev, ino, boot, .. } = &self.record;
        let id = dir.id()?;
        let now = boot_id();
        let is_of_earlier_boot = !boot.is_empty() && !now.is_empty() && *boot != now;
        Ok(id.ino == *ino && (id.dev == *dev || is_of_earlier_boot))
    }

    /// Returns the text of the mark. It is short enough for the inode to hold it, so that removing
    /// the mark frees no block (`docs/decisions/0021-nothing-removed-after-the-writing.md`).
    fn text(&self) -> String {
        let Marked { dev, ino, boot, .. } = &self.record;
        let text = format!("{}\0{dev}\0{ino}\0{boot}", self.store);
        Digest::of(text.as_bytes()).to_string()[..48].to_owned()
    }
}

/// Removes the mark from a directory that has become a tree in its final place.
///
/// A restore that is killed just before this leaves the mark there. It is no part of any tree, and the next restore or
/// save of the directory removes it.
pub fn unmark(dir: &Path) -> Result<()> {
    let path = dir.join(MARK);
    let stat = Stat::if_exists(&path).at("read metadata", &path)?;
    if stat.is_some_and(|stat| stat.kind == Kind::Symlink) {
        remove_file(&path)?;
    }
    Ok(())
}

/// Returns the prefix of the names of directories that the process with the lease `id` stages.
pub(super) fn staging_name(id: &str) -> String {
    format!(".runner-cache-{id}")
}

/// Tells whether the lease `id` may name `path` as staged.
pub(super) fn is_staged_by(id: &str, path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_bytes();
    let rest = name.strip_prefix(staging_name(id).as_bytes());
    path.is_absolute() && rest.is_some_and(|rest| rest.starts_with(b"-"))
}

/// Removes a directory that the process with the lease `id` created and did not mark: an empty
/// directory, or one that holds only an empty directory of the tree's name.
pub(super) fn remove_unmarked(id: &str, path: &Path) {
    if is_staged_by(id, path) {
        remove_empty_dir(&path.join(path.file_stem().unwrap_or_default()));
        remove_empty_dir(path);
    }
}
