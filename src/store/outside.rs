//! What may be removed outside of the store's root, and nowhere else is that decided.
//!
//! Restores stage beside a target, and a hot tree may lie beside the workspaces. All that we leave there lies in, or
//! is, a *marked directory*: one that we made, with a symlink in it, the mark, whose text is the digest of which store
//! made it, which directory it is and since which boot. A record in the store, of a lease or a hot tree, says the same.
//!
//! A record alone proves nothing: it may be damaged or forged, and its path may lead to anything by now. So a
//! directory goes only if the path leads to it through no symlink, nothing is mounted there, it and its mark are
//! ours, and it is the one that both the mark and the record mean. A copy of such a directory, or a build that carries
//! the mark along, has another inode; another store has another id. A record that fails is removed, never what it
//! names. Why: `docs/decisions/0031-marked-directories.md`.

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

/// The name of the mark. What begins like this is neither a source nor a part of cargo's home.
pub const MARK: &str = ".runner-cache-mark";

/// The directory in a marked one that holds a tree.
const TREE: &str = "tree";

/// Which directory a record means: what is told of it when it is marked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marked {
    path: RawPath,
    dev: u64,
    ino: u64,
    boot: String,
}

/// A marked directory, by its record.
#[derive(Clone, Debug)]
pub struct MarkedDir {
    /// The id of the store that it belongs to.
    store: String,
    record: Marked,
}

impl MarkedDir {
    /// Returns what is to be recorded of the directory at `path`, which was just made for the store `store` and is
    /// empty. Record it, then [`mark`](Self::mark) it: what is recorded and has no mark is empty still.
    pub(super) fn new(store: &str, path: &Path) -> Result<Self> {
        let gone = || io::Error::from(io::ErrorKind::NotFound);
        let dir = NamedDir::open(path)?.ok_or_else(gone).at("open directory", path)?;
        let DirId { dev, ino, .. } = dir.id()?;
        let path = RawPath::of(path.as_os_str().as_bytes());
        let record = Marked { path, dev, ino, boot: boot_id() };
        Ok(Self { store: store.to_owned(), record })
    }

    /// Returns the directory that a record means, which may be any or none.
    pub(super) fn recorded(store: &str, record: Marked) -> Self {
        Self { store: store.to_owned(), record }
    }

    /// Returns the same directory under the name that it has now.
    pub(super) fn renamed(&self, path: &Path) -> Self {
        let path = RawPath::of(path.as_os_str().as_bytes());
        Self { store: self.store.clone(), record: Marked { path, ..self.record.clone() } }
    }

    pub(super) fn record(&self) -> &Marked {
        &self.record
    }

    /// Returns where it is.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(OsStr::from_bytes(self.record.path.as_bytes()))
    }

    /// Returns where the tree is that it holds, or will.
    pub fn tree(&self) -> PathBuf {
        self.path().join(TREE)
    }

    /// Puts the mark into the directory, if it is still the one that is recorded.
    pub(super) fn mark(&self) -> Result<()> {
        if let Some(dir) = NamedDir::open(&self.path())?
            && self.is_meant(&dir)?
        {
            dir.create_link(MARK, &self.text())?;
        }
        Ok(())
    }

    /// Tells whether it is there, ours, and the one that is recorded.
    pub(super) fn is_ours(&self) -> Result<bool> {
        Ok(self.open()?.is_some())
    }

    /// Removes it with all that is in it, if it is ours; tells whether it is gone.
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

    /// Tells whether an open directory is the one that is recorded. The number of a device is another one, perhaps,
    /// after a boot; the mark tells that it was the same one before.
    fn is_meant(&self, dir: &NamedDir) -> Result<bool> {
        let Marked { dev, ino, boot, .. } = &self.record;
        let id = dir.id()?;
        let now = boot_id();
        let is_of_earlier_boot = !boot.is_empty() && !now.is_empty() && *boot != now;
        Ok(id.ino == *ino && (id.dev == *dev || is_of_earlier_boot))
    }

    /// Returns what the mark says: short enough that it lies in the inode, so that removing it frees no block
    /// (`docs/decisions/0021-nothing-removed-after-the-writing.md`).
    fn text(&self) -> String {
        let Marked { dev, ino, boot, .. } = &self.record;
        let text = format!("{}\0{dev}\0{ino}\0{boot}", self.store);
        Digest::of(text.as_bytes()).to_string()[..48].to_owned()
    }
}

/// Removes the mark of what was a marked directory and is a tree in its place now.
pub fn unmark(dir: &Path) -> Result<()> {
    let path = dir.join(MARK);
    let stat = Stat::if_exists(&path).at("read metadata", &path)?;
    if stat.is_some_and(|stat| stat.kind == Kind::Symlink) {
        remove_file(&path)?;
    }
    Ok(())
}

/// Returns what the name of a directory begins with that the process with the lease `id` stages.
pub(super) fn staging_name(id: &str) -> String {
    format!(".runner-cache-{id}")
}

/// Tells whether the lease `id` may name `path` as staged.
pub(super) fn is_staged_by(id: &str, path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_bytes();
    let rest = name.strip_prefix(staging_name(id).as_bytes());
    path.is_absolute() && rest.is_some_and(|rest| rest.starts_with(b"-"))
}

/// Removes what the process with the lease `id` had made and not marked yet: an empty directory, or one with an
/// empty one of the name that it was to have.
pub(super) fn remove_unmarked(id: &str, path: &Path) {
    if is_staged_by(id, path) {
        remove_empty_dir(&path.join(path.file_stem().unwrap_or_default()));
        remove_empty_dir(path);
    }
}
