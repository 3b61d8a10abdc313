//! Private cargo homes: one for each runner that asks for one.
//!
//! Cargo manages the contents of a home and guards them with its own package lock. This module
//! manages only the home's name, its lock, and the record of its last use. A home that is not in
//! use may be removed at any time: the next restore fills it again.
//!
//! # When a home is in use
//!
//! Our own commands share a lock on `<name>.lock`. But between a restore and a save, cargo works in
//! the home and no process of ours is alive. So the record names the process that started the last
//! command: in the Action that is the runner's worker, which lives as long as its job. A home whose
//! user is alive stays. If this process cannot see whether the user is alive, for example from
//! outside its container, the home stays for as long as a job can last.

use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::{Error, Result};
use super::file::read_short;
use super::generations::read_dir;
use super::leases::{Purpose, random_id};
use super::open::Store;
use super::sweep::GcLock;
use crate::fs::At;
use crate::fs::lock::Lock;
use crate::fs::process::ProcessMark;
use crate::fs::remove::remove_file;
use crate::fs::stat::Kind;
use crate::fs::walk::{list, stat_each};
use crate::model::cargo_home::HomeOwner;
use crate::model::idle_dir::{DirFacts, DirKind};
use crate::model::raw_path::RawPath;
use crate::model::scope::Scope;
use crate::model::timestamp::Timestamp;

/// The private home of a runner. It exists, and stays, as long as this value lives.
#[derive(Debug)]
pub struct PrivateHome {
    path: PathBuf,
    // Held, never read: closing the file releases the lock.
    _lock: Lock,
}

/// The last use of a home: by which runner and process, and when.
#[derive(Debug, Serialize, Deserialize)]
struct HomeRecord {
    runner: String,
    work_dir: RawPath,
    last_used: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    user: Option<ProcessMark>,
    /// The scope of the last job that used it; `None` if unknown: it may be one that the current
    /// job may not read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    scope: Option<Scope>,
}

/// The longest record that is read, in bytes: a path of 4,096 bytes in hex, and names of a few
/// hundred bytes.
const MAX_LEN: u64 = 64 << 10;

/// The longest a job can last: GitHub ends jobs of self-hosted runners after five days.
const LONGEST_JOB_SECS: u64 = 5 * 24 * 3600;

/// How long to wait for gc, which holds the lock of a home while it moves the home to the trash:
/// one rename.
const PATIENCE: Duration = Duration::from_secs(10);

impl Store {
    /// Returns the path of the private home of `owner`, which need not exist.
    pub fn home_path(&self, owner: &HomeOwner) -> PathBuf {
        self.homes_dir().join(owner.home_name().as_path())
    }

    /// Tells whether `path` is the path of a private home, which need not exist.
    pub fn is_home(&self, path: &Path) -> bool {
        path.parent() == Some(&self.homes_dir())
    }

    /// Returns the scope of the job that last used the private home at `path`, if known.
    pub fn home_scope(&self, path: &Path) -> Option<Scope> {
        read_record(path)?.scope
    }

    /// Moves the private home of `owner` away and removes it. Returns false, and leaves the home,
    /// if it is in use.
    pub fn set_home_aside(&self, owner: &HomeOwner) -> Result<bool> {
        let path = self.home_path(owner);
        let lock = beside(&path, ".lock");
        self.make_way(&lock, Kind::File)?;
        let Some(_lock) = Lock::try_exclusive(&lock)? else { return Ok(false) };
        let user = read_record(&path).and_then(|record| record.user);
        // A runner that starts all jobs itself is the user now and was the user before.
        let is_other = |user: &ProcessMark| ProcessMark::of_parent().as_ref() != Some(user);
        if user.filter(is_other).is_some_and(|user| user.is_alive() == Some(true)) {
            return Ok(false);
        }
        let lease = self.lease(Purpose::Restore)?;
        let staged = lease.staged_path("home")?;
        fs::rename(&path, &staged).at("rename to", &staged)?;
        self.remove(&beside(&path, ".json"))?;
        // Dropping the lease removes the staged home.
        drop(lease);
        Ok(true)
    }

    /// Opens the private home of `owner`, creating it if nothing is there. Records that the parent
    /// of this process uses it at `now` for a job of `scope`.
    pub fn open_home(
        &self,
        owner: &HomeOwner,
        scope: Option<Scope>,
        now: Timestamp,
    ) -> Result<PrivateHome> {
        let path = self.home_path(owner);
        let lock = beside(&path, ".lock");
        self.make_way(&lock, Kind::File)?;
        let lock = share(&lock)?;
        let work_dir = RawPath::of(owner.work_dir.as_os_str().as_bytes());
        let user = ProcessMark::of_parent();
        let runner = owner.name.clone();
        let record = HomeRecord { runner, work_dir, last_used: now, user, scope };
        let json = serde_json::to_vec(&record).expect("the record of a home is plain JSON");
        self.write_whole(&beside(&path, ".json"), &json)?;
        // A symlink would lead cargo, and later gc, out of the store.
        self.make_way(&path, Kind::Dir)?;
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&path).at("create directory", &path)?;
        if !is_dir(&path) {
            let refused: io::Result<()> = Err(io::ErrorKind::NotADirectory.into());
            refused.at("use as a directory", &path)?;
        }
        Ok(PrivateHome { path, _lock: lock })
    }

    /// Returns every private home. A size takes a walk through tens of thousands of files per home,
    /// and is 0 unless `with_sizes`.
    pub fn homes(&self, now: Timestamp, with_sizes: bool) -> Result<Vec<DirFacts>> {
        let mut homes = Vec::new();
        for path in read_dir(&self.homes_dir())?.into_iter().filter(|path| is_dir(path)) {
            let last_used = last_used(&path, now);
            let bytes = if with_sizes { allocated_bytes(&path) } else { 0 };
            homes.push(DirFacts { kind: DirKind::Home, path, bytes, last_used });
        }
        Ok(homes)
    }

    /// Moves `homes` to `trash/`, which the next [`Store::settle`] empties. Adds each moved home to
    /// `dropped`, even if a later one fails. A home stays if it was used since `homes` was listed,
    /// or if its lock or its `package_lock` is held.
    pub fn drop_homes(
        &self,
        lock: &GcLock,
        homes: &[&DirFacts],
        now: Timestamp,
        package_lock: &impl Fn(&Path) -> crate::fs::Result<Option<Lock>>,
        dropped: &mut Vec<PathBuf>,
    ) -> Result<()> {
        let trash = self.trash_dir().join(random_id());
        for facts in homes {
            let path = facts.path.as_path();
            if !self.is_home(path) || !is_dir(path) {
                continue;
            }
            let lock_path = beside(path, ".lock");
            let owned = Lock::try_exclusive(&lock_path);
            let Some(_lock) = lock.noted(owned)? else { continue };
            // A job may have begun, or even ended, since the list was made.
            if last_used(path, now) != facts.last_used {
                continue;
            }
            let Some(_packages) = lock.noted(package_lock(path))? else { continue };
            if lock.or_note(self.move_to(&trash, path))? {
                for left in [beside(path, ".json"), lock_path] {
                    lock.or_note(remove_file(&left))?;
                }
                dropped.push(path.to_owned());
            }
        }
        Ok(())
    }

    /// Writes the file `name` in `home`, in one step: readers see the old or the new text. Several
    /// processes may write at once.
    pub fn write_in_home(&self, home: &PrivateHome, name: &str, text: &str) -> Result<()> {
        self.write_whole(&home.path.join(name), text.as_bytes())
    }

    /// Writes a small file of the store in one step: readers see the old or the new bytes.
    pub(super) fn write_whole(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let staging = self.staging_dir();
        let staged = tempfile::NamedTempFile::new_in(&staging).at("create a file in", &staging)?;
        fs::write(staged.path(), bytes).at("write", path)?;
        self.persist(staged, path)
    }
}

impl PrivateHome {
    /// Returns the home's path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Returns when the home at `path` was last used: `now` if it is in use, 1970 if it has no record.
fn last_used(path: &Path, now: Timestamp) -> Timestamp {
    let Some(record) = read_record(path) else { return Timestamp::default() };
    let is_over = record.user.and_then(|user| user.is_alive()) == Some(false);
    let is_used = !is_over && now.secs_since(record.last_used) <= LONGEST_JOB_SECS;
    if is_used { now } else { record.last_used.min(now) }
}

fn read_record(path: &Path) -> Option<HomeRecord> {
    serde_json::from_slice(&read_short(&beside(path, ".json"), MAX_LEN).ok()??).ok()
}

/// Takes the lock at `path` shared, as all commands that work in the home do.
fn share(path: &Path) -> Result<Lock> {
    loop {
        let Some(lock) = Lock::shared_within(path, PATIENCE)? else {
            let what = format!("still locked after {} s", PATIENCE.as_secs());
            return Err(Error::Io(crate::fs::Error {
                action: "lock",
                path: path.to_owned(),
                source: io::Error::new(io::ErrorKind::WouldBlock, what),
            }));
        };
        // gc may have removed the file before it was locked: such a lock excludes nobody.
        if lock.file().metadata().at("read metadata", path)?.nlink() > 0 {
            return Ok(lock);
        }
    }
}

/// Returns the disk space in bytes that the files below `dir` take. Unreadable ones are not
/// counted.
pub(super) fn allocated_bytes(dir: &Path) -> u64 {
    let paths = list(dir, |_, _| true).unwrap_or_default().paths;
    let found = stat_each(dir, paths).unwrap_or_default().found;
    let files = found.iter().filter(|found| found.stat.kind == Kind::File);
    files.map(|found| found.stat.allocated_bytes).sum()
}

fn is_dir(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir())
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut path = OsString::from(path);
    path.push(suffix);
    path.into()
}
