//! File locks, which the kernel releases when their process ends.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::time::Duration;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::error::{At, Result};

/// A file locked with `flock`, exclusively unless stated otherwise, for as long as this value
/// lives.
///
/// No lock is ever stale: the kernel releases it when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Lock {
    /// Locks `file`, which was opened by `path`; `None` if another holds the lock.
    pub fn of(file: File, path: &Path) -> Result<Option<Self>> {
        Self::take(file, path, FlockOperation::NonBlockingLockExclusive)
    }

    /// As [`Self::of`], but shared; `None` if another holds the lock exclusively.
    pub fn share(file: File, path: &Path) -> Result<Option<Self>> {
        Self::take(file, path, FlockOperation::NonBlockingLockShared)
    }

    /// Locks the file at `path`, creating it if missing; `None` if another holds the lock.
    pub fn try_exclusive(path: &Path) -> Result<Option<Self>> {
        Self::of(open(path)?, path)
    }

    /// As [`Self::try_exclusive`], but shared; `None` if another holds the lock exclusively.
    pub fn try_shared(path: &Path) -> Result<Option<Self>> {
        Self::share(open(path)?, path)
    }

    /// Locks the file at `path`, trying for at most `patience`; `None` if another holds the lock
    /// still.
    pub fn exclusive_within(path: &Path, patience: Duration) -> Result<Option<Self>> {
        within(patience, || Self::try_exclusive(path))
    }

    /// As [`Self::exclusive_within`], but shared.
    pub fn shared_within(path: &Path, patience: Duration) -> Result<Option<Self>> {
        within(patience, || Self::try_shared(path))
    }

    /// Returns the locked file.
    pub fn file(&self) -> &File {
        &self.file
    }

    fn take(file: File, path: &Path, how: FlockOperation) -> Result<Option<Self>> {
        match rustix::fs::flock(&file, how) {
            Ok(()) => Ok(Some(Self { file })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(errno).at("lock", path),
        }
    }
}

fn open(path: &Path) -> Result<File> {
    OpenOptions::new().read(true).append(true).create(true).open(path).at("open", path)
}

fn within(patience: Duration, attempt: impl Fn() -> Result<Option<Lock>>) -> Result<Option<Lock>> {
    const PAUSE: Duration = Duration::from_millis(20);
    for _ in 0..patience.as_millis() / PAUSE.as_millis() {
        if let Some(lock) = attempt()? {
            return Ok(Some(lock));
        }
        std::thread::sleep(PAUSE);
    }
    attempt()
}
