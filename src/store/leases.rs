//! Leases: what live processes rely on.

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

/// What a process with a lease is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// It saves.
    Save,
    /// It restores.
    Restore,
    /// It checks the store.
    Verify,
    /// It checks a dependency out.
    Checkout,
}

/// Something a live process relies on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Use {
    /// The first line: what the process does, and its id as people know it.
    Process {
        /// What it does.
        purpose: Purpose,
        /// Its process id, for people; nothing trusts it.
        pid: u32,
    },
    /// It reads this generation and may refer to its packs.
    Generation(GenerationId),
    /// It is about to name this pack in a manifest.
    Pack(Digest),
    /// It is about to make this directory, to stage in it, outside the store. The last component begins with
    /// [`Lease::staging_name`].
    Staging(RawPath),
    /// It made this one of those directories, and is about to mark it.
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

/// What became of the leases of dead processes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reclaimed {
    /// How many there were.
    pub dead: usize,
    /// What they left behind that cannot be removed.
    pub left: Vec<Oddity>,
}

/// What all live leases together name.
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
    /// Takes a lease, which lives until it is dropped or the process ends.
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

    /// Returns what live leases name. Whoever relies on something names it first and looks
    /// afterwards, so what is not named here will be found missing.
    pub fn lease_facts(&self) -> Result<LeaseFacts> {
        let mut facts = LeaseFacts::default();
        for path in self.lease_paths()? {
            // What is no file of ours promises nothing: see `oddities`.
            let Ok(Some(file)) = open_if_there(&path) else { continue };
            // A second open file never gets a lock that another one holds, also our own.
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

    /// Removes what dead processes left: their staging directories, inside the store and
    /// outside, and then their leases; and the leases that are over. What cannot be removed keeps nobody from the rest,
    /// and its lease stays. Anyone may do this at any time, several at once.
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
                // No lease at all: gc puts it into the trash.
                Err(Error::Damaged { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(reclaimed)
    }

    /// Removes what the process of the lease at `path` left, if it is dead; tells whether it is.
    fn reclaim_one(&self, path: &Path) -> Result<bool> {
        let Some(file) = open_if_there(path)? else { return Ok(false) };
        let Some(lock) = Lock::of(file, path)? else { return Ok(false) };
        let id = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        each_use(lock.file(), path, |used| {
            match used {
                Use::Marked(record) => {
                    let dir = MarkedDir::recorded(&self.id, record);
                    // What fails the test stays, and its record goes with the lease.
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
    /// Names something this process relies on. Look whether it is there only afterwards.
    pub fn name(&self, used: &Use) -> Result<()> {
        if let Use::Staging(dir) = used {
            let mut outside = self.outside.lock().expect("nobody panics while pushing");
            outside.push(path_of(dir));
        }
        // A line that a full disk cut short must not swallow the next: each begins one.
        let mut line = vec![b'\n'];
        serde_json::to_writer(&mut line, used).expect("uses are plain JSON");
        line.push(b'\n');
        // One write of an append-only file: lines of several threads do not mix.
        let mut file = self.lock.file();
        Ok(file.write_all(&line).at("write", &self.path)?)
    }

    /// Writes all names to the disk, so that the next process finds them after a power cut. A caller creates only
    /// afterwards what must not be lost sight of.
    pub fn flush(&self) -> Result<()> {
        self.lock.file().sync_data().at("flush", &self.path)?;
        let dir = self.path.parent().expect("a lease lies in a directory");
        let opened = File::open(dir).at("open", dir)?;
        Ok(opened.sync_all().at("flush", dir)?)
    }

    /// Leaves the file of the lease to the next `reclaim` once it is over: what a file held is freed only
    /// when the disk has done all that it was told before, and that may be gigabytes.
    pub fn remove_later(&self) {
        self.is_removed_later.store(true, Ordering::Relaxed);
    }

    /// Returns this process's directory under `staging/`, which exists afterwards.
    pub(super) fn staging_dir(&self) -> Result<PathBuf> {
        fs::create_dir_all(&self.staging).at("create directory", &self.staging)?;
        Ok(self.staging.clone())
    }

    /// Returns a path under `staging/` that nobody else uses, this process included.
    pub(super) fn staged_path(&self, what: &str) -> Result<PathBuf> {
        let count = self.staged.fetch_add(1, Ordering::Relaxed);
        Ok(self.staging_dir()?.join(format!("{what}-{count}")))
    }

    /// Returns the locked file: a program that has it open keeps the lease alive after this process.
    pub fn file(&self) -> &File {
        self.lock.file()
    }

    /// Makes the empty directory at `path`, which this process just made and the lease names, a marked one. Before it
    /// is marked, the lease says which it is.
    pub fn mark(&self, path: &Path) -> Result<MarkedDir> {
        let dir = MarkedDir::new(&self.store_id, path)?;
        self.name(&Use::Marked(dir.record().clone()))?;
        self.flush()?;
        dir.mark()?;
        Ok(dir)
    }

    /// Returns what the name of a directory begins with that this process stages outside the
    /// store.
    pub fn staging_name(&self) -> String {
        staging_name(&self.id)
    }

    /// Returns a number that this process did not stage under before: what it staged for the same place may still be
    /// on its way out.
    pub fn next_staged(&self) -> u64 {
        self.staged.fetch_add(1, Ordering::Relaxed)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // A lease that is left without a lock is dead: the next `reclaim` removes what it names.
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
    use std::hash::{BuildHasher, Hasher};
    // The keys of the standard hash map are random for each process and each call.
    let random = || std::collections::hash_map::RandomState::new().build_hasher().finish();
    format!("{:016x}{:08x}", random(), random() >> 32)
}

/// What the name of a lease ends with that nobody relies on any more.
const OVER: &str = "over";

/// Tells whether nobody relies on the lease at `path` any more.
pub(super) fn is_over(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == OVER)
}

fn path_of(path: &RawPath) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(path.as_bytes()))
}

/// The longest lease that is read: one line for each of 200,000 generations.
const MAX_LEN: u64 = 64 << 20;

/// The longest line of a lease: a path of 4,096 bytes in hex, and a few names.
const MAX_LEASE_LINE: u64 = 64 << 10;

/// Hands each use that is whole to `take`: a line still being written has not been relied on yet. What follows a
/// line that is longer than any of ours is none.
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
