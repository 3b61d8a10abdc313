//! Leases: what live processes rely on, written down.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use super::error::{Error, Result};
use super::file::open_if_there;
use super::limits::Lines;
use super::oddities::Oddity;
use super::open::Store;
use super::outside::{Marked, MarkedDir, is_staged_by, remove_unmarked, staging_name};
use crate::fs::At;
use crate::fs::lock::Lock;
use crate::fs::remove::{remove_file, remove_tree};
use crate::model::digest::Digest;
use crate::model::manifest::GenerationId;
use crate::model::raw_path::RawPath;

/// What the process of a lease does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// It saves.
    Save,
    /// It restores.
    Restore,
    /// It checks the store.
    Verify,
    /// It checks out a dependency.
    Checkout,
}

/// Something a live process relies on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Use {
    /// The first line: the purpose and id of the process.
    Process {
        /// What the process does.
        purpose: Purpose,
        /// Its process id, for people; nothing trusts it.
        pid: u32,
    },
    /// The process reads this generation and may refer to its packs.
    Generation(GenerationId),
    /// The process is about to name this pack in a manifest.
    Pack(Digest),
    /// The process is about to create this directory outside the store, to stage in it. The last
    /// component begins with [`Lease::staging_name`].
    Staging(RawPath),
    /// The process created this one of those directories, and is about to mark it.
    Marked(Marked),
}

/// A written promise that a live process uses something; dies with its process.
#[derive(Debug)]
pub struct Lease {
    lock: Lock,
    id: String,
    path: PathBuf,
    staging: PathBuf,
    store_id: String,
    outside: Mutex<Vec<PathBuf>>,
    staged: AtomicU64,
    is_removed_later: AtomicBool,
}

/// The result of [`Store::reclaim`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reclaimed {
    /// The number of leases of dead processes.
    pub dead: usize,
    /// What dead processes left and could not be removed.
    pub left: Vec<Oddity>,
}

/// Everything that live leases name.
#[derive(Clone, Debug, Default)]
pub struct LeaseFacts {
    /// Generations in use.
    pub generations: BTreeSet<GenerationId>,
    /// Packs in use beside those of the generations.
    pub packs: BTreeSet<Digest>,
    /// The ids of live leases.
    pub ids: BTreeSet<String>,
}

impl Store {
    /// Takes a lease, which lasts until it is dropped or the process ends.
    pub fn lease(&self, purpose: Purpose) -> Result<Lease> {
        loop {
            let id = random_id();
            let path = self.leases_dir().join(&id);
            let mut options = OpenOptions::new();
            let file = options.append(true).create_new(true).open(&path).at("create", &path)?;
            // gc may have locked and removed the file before we locked it: then take another.
            let Some(lock) = Lock::of(file, &path)? else { continue };
            if lock.file().metadata().at("read metadata", &path)?.nlink() == 0 {
                continue;
            }
            let staging = self.staging_dir().join(&id);
            let lease = Lease {
                lock,
                id,
                path,
                staging,
                store_id: self.id.clone(),
                outside: Mutex::default(),
                staged: AtomicU64::new(0),
                is_removed_later: AtomicBool::new(false),
            };
            lease.name(&Use::Process { purpose, pid: std::process::id() })?;
            return Ok(lease);
        }
    }

    /// Returns everything that live leases name. A process names an object before it checks that
    /// the object exists, so it will find missing whatever its lease did not name here.
    pub fn lease_facts(&self) -> Result<LeaseFacts> {
        let mut facts = LeaseFacts::default();
        for path in self.lease_paths()? {
            // An entry that is no file of ours is no lease: see `oddities`.
            let Ok(Some(file)) = open_if_there(&path) else { continue };
            // Even within this process, a second open file cannot take a lock that another holds.
            if Lock::of(file.try_clone().at("open", &path)?, &path)?.is_some() {
                continue;
            }
            facts.ids.extend(path.file_name().map(|name| name.to_string_lossy().into_owned()));
            each_use(&file, &path, |used| {
                match used {
                    Use::Generation(id) => drop(facts.generations.insert(id)),
                    Use::Pack(digest) => drop(facts.packs.insert(digest)),
                    Use::Process { .. } | Use::Staging(_) | Use::Marked(_) => {}
                }
                Ok(())
            })?;
        }
        Ok(facts)
    }

    /// Removes what dead processes left: their staging directories, inside the store and outside,
    /// then their leases. Also removes leases that are over. If something cannot be removed, its
    /// lease stays and the rest goes on. Any process may do this at any time, several at once.
    pub fn reclaim(&self) -> Result<Reclaimed> {
        let mut reclaimed = Reclaimed::default();
        for path in self.lease_paths()? {
            let done = if is_over(&path) {
                remove_file(&path).map(|()| false).map_err(Error::from)
            } else {
                self.reclaim_one(&path)
            };
            match done {
                Ok(is_dead) => reclaimed.dead += usize::from(is_dead),
                Err(Error::Io(error)) => reclaimed.left.push(Oddity::refused(&error)),
                // Not a lease: gc moves it to the trash.
                Err(Error::Damaged { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(reclaimed)
    }

    /// Removes what the process of the lease at `path` left, if that process is dead; returns
    /// whether it is.
    fn reclaim_one(&self, path: &Path) -> Result<bool> {
        let Some(file) = open_if_there(path)? else { return Ok(false) };
        let Some(lock) = Lock::of(file, path)? else { return Ok(false) };
        let id = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        each_use(lock.file(), path, |used| {
            match used {
                Use::Marked(record) => {
                    let dir = MarkedDir::recorded(&self.id, record);
                    // A directory that fails the check stays; its record goes with the lease.
                    if is_staged_by(&id, &dir.path()) {
                        dir.remove()?;
                    }
                }
                Use::Staging(dir) => remove_unmarked(&id, &path_of(&dir)),
                Use::Process { .. } | Use::Generation(_) | Use::Pack(_) => {}
            }
            Ok(())
        })?;
        remove_tree(&self.staging_dir().join(&id))?;
        remove_file(path)?;
        Ok(true)
    }

    fn lease_paths(&self) -> Result<Vec<PathBuf>> {
        let dir = self.leases_dir();
        let mut paths = Vec::new();
        for entry in fs::read_dir(&dir).at("read directory", &dir)? {
            paths.push(entry.at("read directory", &dir)?.path());
        }
        Ok(paths)
    }
}

impl Lease {
    /// Names something that this process relies on. The caller checks only afterwards that it
    /// exists.
    pub fn name(&self, used: &Use) -> Result<()> {
        if let Use::Staging(dir) = used {
            let mut outside = self.outside.lock().expect("nobody panics while pushing");
            outside.push(path_of(dir));
        }
        // Begin with a newline: a line that a full disk cut short must not swallow this one.
        let mut line = vec![b'\n'];
        serde_json::to_writer(&mut line, used).expect("uses are plain JSON");
        line.push(b'\n');
        // One `write` to an append-only file: lines of several threads do not mix.
        let mut file = self.lock.file();
        Ok(file.write_all(&line).at("write", &self.path)?)
    }

    /// Names packs that this process relies on, in one write. The caller checks only afterwards that they exist.
    pub fn name_packs(&self, packs: impl Iterator<Item = Digest>) -> Result<()> {
        let mut lines = Vec::new();
        for pack in packs {
            lines.push(b'\n');
            serde_json::to_writer(&mut lines, &Use::Pack(pack)).expect("uses are plain JSON");
        }
        lines.push(b'\n');
        let mut file = self.lock.file();
        Ok(file.write_all(&lines).at("write", &self.path)?)
    }

    /// Flushes the lease, so that the next process finds its names after a power loss. The caller
    /// creates only afterwards what must not be lost track of.
    pub fn flush(&self) -> Result<()> {
        self.lock.file().sync_data().at("flush", &self.path)?;
        let dir = self.path.parent().expect("a lease lies in a directory");
        let opened = File::open(dir).at("open", dir)?;
        Ok(opened.sync_all().at("flush", dir)?)
    }

    /// Leaves the file of the lease, once it is over, to the next [`Store::reclaim`]. Freeing its
    /// blocks can wait for everything written before, which may be gigabytes (ext4 without a
    /// journal, mounted with `discard`:
    /// `docs/decisions/0021-nothing-removed-after-the-writing.md`).
    pub fn remove_later(&self) {
        self.is_removed_later.store(true, Ordering::Relaxed);
    }

    /// Returns the lease's directory under `staging/`, creating it if needed.
    pub(super) fn staging_dir(&self) -> Result<PathBuf> {
        fs::create_dir_all(&self.staging).at("create directory", &self.staging)?;
        Ok(self.staging.clone())
    }

    /// Returns a path under `staging/` that is used by no other process and no other call.
    pub(super) fn staged_path(&self, what: &str) -> Result<PathBuf> {
        let count = self.staged.fetch_add(1, Ordering::Relaxed);
        Ok(self.staging_dir()?.join(format!("{what}-{count}")))
    }

    /// Returns the locked file. A program that has it open keeps the lease alive after this process
    /// ends.
    pub fn file(&self) -> &File {
        self.lock.file()
    }

    /// Marks the empty directory at `path`, which this process has just created and named in the
    /// lease. The lease records the identity of the directory before the mark is written.
    pub fn mark(&self, path: &Path) -> Result<MarkedDir> {
        let dir = MarkedDir::new(&self.store_id, path)?;
        self.name(&Use::Marked(dir.record().clone()))?;
        self.flush()?;
        dir.mark()?;
        Ok(dir)
    }

    /// Returns the prefix of the names of directories that this process stages outside the store.
    pub fn staging_name(&self) -> String {
        staging_name(&self.id)
    }

    /// Returns a number that this process has not staged under before: an earlier directory staged
    /// for the same place may still be being removed.
    pub fn next_staged(&self) -> u64 {
        self.staged.fetch_add(1, Ordering::Relaxed)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // A lease file without a lock is dead: the next `reclaim` removes what it names.
        let swept = remove_tree(&self.staging).is_ok();
        let outside = self.outside.lock().map(|dirs| dirs.iter().any(|dir| dir.exists()));
        if swept && outside.is_ok_and(|is_left| !is_left) {
            drop(if *self.is_removed_later.get_mut() {
                fs::rename(&self.path, self.path.with_extension(OVER))
            } else {
                fs::remove_file(&self.path)
            });
        }
    }
}

/// Returns 24 random hex digits.
pub(super) fn random_id() -> String {
    let random = getrandom::u64().expect("Linux has had getrandom(2) since 3.17");
    let more = getrandom::u32().expect("it worked a moment ago");
    format!("{random:016x}{more:08x}")
}

/// The extension of a lease that is over.
const OVER: &str = "over";

/// Tells whether the lease at `path` is over.
pub(super) fn is_over(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == OVER)
}

fn path_of(path: &RawPath) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(path.as_bytes()))
}

/// The longest lease that is read, in bytes: one line for each of 200,000 generations.
const MAX_LEN: u64 = 64 << 20;

/// The longest line of a lease, in bytes: a path of 4,096 bytes in hex, and a few names.
const MAX_LEASE_LINE: u64 = 64 << 10;

/// Passes each complete use to `take`. A line that is still being written is skipped: its process
/// does not rely on it yet. Reading stops at a line that is longer than any of ours.
fn each_use(file: &File, path: &Path, mut take: impl FnMut(Use) -> Result<()>) -> Result<()> {
    let mut lines = Lines::new(BufReader::new(file), MAX_LEN);
    let mut line = Vec::new();
    loop {
        match lines.next(&mut line, MAX_LEASE_LINE) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => break,
            Err(error) => Err(error).at("read", path)?,
        }
        if let Ok(used) = serde_json::from_slice(&line) {
            take(used)?;
        }
    }
    Ok(())
}
