//! Private homes of cargo: one for each runner that asks for one.
//!
//! What is in one is cargo's affair, and cargo's own package lock guards it. Here are only its
//! name, its lock, and the record of who used it when. Any of them may be removed while nobody uses
//! it: the next restore fills it again.
//!
//! # Who uses one
//!
//! Our own commands share a lock on `<name>.lock`, but between a restore and a save it is cargo that
//! works there, and no process of ours is alive. So the record names the process that started the
//! last command: in the Action that is the runner's worker, which lives as long as its job. A home
//! whose user is alive stays, and so does one of which that cannot be seen, as from outside of a
//! container, for as long as a job can last.

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

/// The private home of a runner, which is there and stays for as long as this lives.
#[derive(Debug)]
pub struct PrivateHome {
    path: PathBuf,
    // Held, never read: closing the file releases the lock.
    _lock: Lock,
}

/// Who used a home, and when.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    runner: String,
    work_dir: RawPath,
    last_used: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    user: Option<ProcessMark>,
    /// The scope of the last job that used it; none where that may have been one that the job could not read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    scope: Option<Scope>,
}

/// The longest record that is read: names of a few hundred bytes and a path of 4,096 in hex.
const MAX_LEN: u64 = 64 << 10;

/// How long a job can last: GitHub ends those of self-hosted runners after five days.
const LONGEST_JOB_SECS: u64 = 5 * 24 * 3600;

/// How long gc may hold the lock of a home: it moves the home to the trash, in one step.
const PATIENCE: Duration = Duration::from_secs(10);

impl Store {
    /// Returns where the private home of `owner` is, or would be.
    pub fn home_path(&self, owner: &HomeOwner) -> PathBuf {
        self.homes_dir().join(owner.home_name().as_path())
    }

    /// Tells whether `path` is, or would be, a private home.
    pub fn is_home(&self, path: &Path) -> bool {
        path.parent() == Some(&self.homes_dir())
    }

    /// Returns the scope of the job that last used the private home at `path`, if that is known.
    pub fn home_scope(&self, path: &Path) -> Option<Scope> {
        read_record(path)?.scope
    }

    /// Moves the private home of `owner` out of the way, and removes it; tells whether it did. One that somebody
    /// uses stays.
    pub fn set_home_aside(&self, owner: &HomeOwner) -> Result<bool> {
        let path = self.home_path(owner);
        let lock = beside(&path, ".lock");
        self.make_way(&lock, Kind::File)?;
        let Some(_lock) = Lock::try_exclusive(&lock)? else { return Ok(false) };
        let user = read_record(&path).and_then(|record| record.user);
        // A runner that starts every job itself has this one in its turn.
        let is_other = |user: &ProcessMark| ProcessMark::of_parent().as_ref() != Some(user);
        if user.filter(is_other).is_some_and(|user| user.is_alive() == Some(true)) {
            return Ok(false);
        }
        let lease = self.lease(Purpose::Restore)?;
        let staged = lease.staged_path("home")?;
        fs::rename(&path, &staged).at("rename to", &staged)?;
        self.remove(&beside(&path, ".json"))?;
        // With the lease what it staged goes.
        drop(lease);
        Ok(true)
    }

    /// Opens the private home of `owner`, making it if nothing is there, and records that the
    /// process which started this one uses it at `now`, a job of `scope`.
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
        let record = Record { runner, work_dir, last_used: now, user, scope };
        let json = serde_json::to_vec(&record).expect("the record of a home is plain JSON");
        self.write_whole(&beside(&path, ".json"), &json)?;
        // A link would lead cargo, and later gc, out of the store.
        self.make_way(&path, Kind::Dir)?;
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&path).at("create directory", &path)?;
        if !is_dir(&path) {
            let refused: io::Result<()> = Err(io::ErrorKind::NotADirectory.into());
            refused.at("use as a directory", &path)?;
        }
        Ok(PrivateHome { path, _lock: lock })
    }

    /// Returns every private home. How large they are takes a walk through tens of thousands of
    /// files each, and is 0 unless it is wanted.
    pub fn homes(&self, now: Timestamp, with_sizes: bool) -> Result<Vec<DirFacts>> {
        let mut homes = Vec::new();
        for path in read_dir(&self.homes_dir())?.into_iter().filter(|path| is_dir(path)) {
            let last_used = last_used(&path, now);
            let bytes = if with_sizes { allocated_bytes(&path) } else { 0 };
            homes.push(DirFacts { kind: DirKind::Home, path, bytes, last_used });
        }
        Ok(homes)
    }

    /// Moves `homes` to `trash/`, which the next [`Store::settle`] empties, and adds those that went to `dropped`, also
    /// before an error. One that somebody used since it was looked at stays, and one whose `package_lock` cannot be had.
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
            // A job may have begun, and even ended.
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

    /// Gives `home` the file `name`, whole for whoever reads it; several may do so at once.
    pub fn write_in_home(&self, home: &PrivateHome, name: &str, text: &str) -> Result<()> {
        self.write_whole(&home.path.join(name), text.as_bytes())
    }

    fn write_whole(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let staging = self.staging_dir();
        let staged = tempfile::NamedTempFile::new_in(&staging).at("create a file in", &staging)?;
        fs::write(staged.path(), bytes).at("write", path)?;
        self.persist(staged, path)
    }
}

impl PrivateHome {
    /// Returns where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Returns when the home at `path` was last used: `now` if somebody uses it. One without a record
/// was never used.
fn last_used(path: &Path, now: Timestamp) -> Timestamp {
    let Some(record) = read_record(path) else { return Timestamp::default() };
    let is_over = record.user.and_then(|user| user.is_alive()) == Some(false);
    let is_used = !is_over && now.secs_since(record.last_used) <= LONGEST_JOB_SECS;
    if is_used { now } else { record.last_used.min(now) }
}

fn read_record(path: &Path) -> Option<Record> {
    serde_json::from_slice(&read_short(&beside(path, ".json"), MAX_LEN).ok()??).ok()
}

/// Shares the lock at `path` with whoever works in the same home.
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
        // gc may have removed the file before we locked it: then it is no lock any more.
        if lock.file().metadata().at("read metadata", path)?.nlink() > 0 {
            return Ok(lock);
        }
    }
}

/// Returns what the files below `dir` need on disk in bytes. What cannot be read counts for nothing.
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
