//! Mirrors: bare git repositories of dependencies, so that a host clones each of them once.
//!
//! Git manages the contents of a mirror and keeps them whole. This module manages only the mirror's
//! name, its lock, its stamp, and the step in which a new mirror replaces an old one. A mirror may
//! be removed at any time, at the cost of a clone.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::error::Result;
use super::generations::read_dir;
use super::homes::allocated_bytes;
use super::leases::random_id;
use super::open::Store;
use super::stamps::read_stamp;
use super::sweep::GcLock;
use crate::fs::At;
use crate::fs::lock::Lock;
use crate::fs::remove::remove_tree;
use crate::fs::stat::{Kind, Stat};
use crate::model::idle_dir::{DirFacts, DirKind};
use crate::model::scope::Repository;
use crate::model::server::ServerUrl;
use crate::model::timestamp::Timestamp;

/// A mirror by its name, which need not exist.
#[derive(Clone, Debug)]
pub struct Mirror {
    /// The common prefix of the paths of all its files.
    base: PathBuf,
}

/// Proof that no other process changes a mirror, for as long as this value lives.
#[derive(Debug)]
pub struct MirrorLock {
    lock: Lock,
}

/// Proof that no other process uses a mirror, for as long as this value lives.
#[derive(Debug)]
pub struct OwnedMirror {
    mirror: Mirror,
    lock: MirrorLock,
}

/// The suffix of a finished mirror.
const WHOLE: &str = ".git";
/// The suffixes of a mirror that is being cloned and of one that was replaced: garbage unless the
/// lock is held.
const UNFINISHED: [&str; 2] = [".new", ".old"];

impl Store {
    /// Returns the name of the mirror of `repository` on `server`.
    pub fn mirror(&self, server: &ServerUrl, repository: &Repository) -> Result<Mirror> {
        let dir = self.mirrors_dir().join(server.dir_name());
        self.create_dirs(&dir)?;
        let mirror = Mirror { base: dir.join(repository.dir_name()) };
        self.make_way(&mirror.lock_path(), Kind::File)?;
        self.make_way(&mirror.path(), Kind::Dir)?;
        Ok(mirror)
    }

    /// Records that a checkout used `mirror` at `now`.
    pub fn stamp_mirror(&self, mirror: &Mirror, now: Timestamp) -> Result<()> {
        self.write_stamp(&mirror.beside(".used"), now)
    }

    /// Returns every mirror, and unfinished or replaced ones that killed processes left.
    pub fn mirrors(&self) -> Result<Vec<DirFacts>> {
        let mut mirrors = Vec::new();
        let is_dir = |path: &Path| Stat::of(path).is_ok_and(|stat| stat.kind == Kind::Dir);
        for server in read_dir(&self.mirrors_dir())?.iter().filter(|path| is_dir(path)) {
            // An unreadable directory counts as odd, and the others are listed all the same.
            for path in read_dir(server).unwrap_or_default() {
                let Some(mirror) = Mirror::at(&path).filter(|_| is_dir(&path)) else { continue };
                let last_used = read_stamp(&mirror.beside(".used")).unwrap_or_default();
                let bytes = allocated_bytes(&path);
                mirrors.push(DirFacts { kind: DirKind::Mirror, path, bytes, last_used });
            }
        }
        Ok(mirrors)
    }

    /// Moves the mirrors at `paths` to `trash/`, which the next [`Store::settle`] empties. Adds
    /// each moved mirror to `dropped`, even if a later one fails. A mirror in use stays.
    pub fn drop_mirrors(
        &self,
        lock: &GcLock,
        paths: &[&Path],
        dropped: &mut Vec<PathBuf>,
    ) -> Result<()> {
        let trash = self.trash_dir().join(random_id());
        for path in paths.iter().filter(|path| path.starts_with(self.mirrors_dir())) {
            let Some(mirror) = Mirror::at(path) else { continue };
            let owned = Lock::try_exclusive(&mirror.lock_path());
            let Some(_lock) = lock.noted(owned)? else { continue };
            if lock.or_note(self.move_to(&trash, path))? {
                dropped.push((*path).to_owned());
            }
        }
        Ok(())
    }
}

impl Mirror {
    /// Returns the mirror to which the directory at `path` belongs, finished or not.
    fn at(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let mut suffixes = UNFINISHED.iter().chain([&WHOLE]);
        let base = suffixes.find_map(|suffix| name.strip_suffix(suffix))?;
        Some(Self { base: path.with_file_name(base) })
    }

    /// Returns the path of the git repository.
    pub fn path(&self) -> PathBuf {
        self.beside(WHOLE)
    }

    /// Returns the path of the lock file.
    pub fn lock_path(&self) -> PathBuf {
        self.beside(".lock")
    }

    /// Takes the lock shared, so that nobody changes the mirror; `None` if another process holds it
    /// alone.
    pub fn try_share(&self) -> Result<Option<MirrorLock>> {
        let lock = Lock::try_shared(&self.lock_path())?;
        Ok(lock.map(|lock| MirrorLock { lock }))
    }

    /// Takes the lock exclusively, so that nobody else uses the mirror; `None` if it is in use.
    pub fn try_own(&self) -> Result<Option<OwnedMirror>> {
        let lock = Lock::try_exclusive(&self.lock_path())?;
        let owned = |lock| OwnedMirror { mirror: self.clone(), lock: MirrorLock { lock } };
        Ok(lock.map(owned))
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut path = OsString::from(&self.base);
        path.push(suffix);
        path.into()
    }
}

impl MirrorLock {
    /// Returns the locked file. A program that has it open keeps the lock after this process ends.
    pub fn file(&self) -> &File {
        self.lock.file()
    }
}

impl OwnedMirror {
    /// Returns the lock.
    pub fn lock(&self) -> &MirrorLock {
        &self.lock
    }

    /// Returns the path at which to create a new mirror. Nothing is there: leftovers of killed
    /// processes are removed.
    pub fn new_path(&self) -> Result<PathBuf> {
        for suffix in UNFINISHED {
            remove_tree(&self.mirror.beside(suffix))?;
        }
        Ok(self.mirror.beside(UNFINISHED[0]))
    }

    /// Replaces the mirror by the one at [`Self::new_path`]. A crash on the way leaves the old
    /// mirror, the new one or none.
    pub fn adopt(&self) -> Result<()> {
        let [new, old] = UNFINISHED.map(|suffix| self.mirror.beside(suffix));
        let path = self.mirror.path();
        match fs::rename(&path, &old) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            renamed => renamed.at("rename to", &old)?,
        }
        fs::rename(&new, &path).at("rename to", &path)?;
        Ok(remove_tree(&old)?)
    }
}
