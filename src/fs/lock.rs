//! Locks that the kernel drops with their process.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::time::Duration;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::error::{At, Result};

/// A file locked with `flock`, exclusively unless it says otherwise, for as long as this lives.
///
/// There is no stale lock to break: the kernel drops it when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Lock {
    /// Locks `file`, which was opened by `path`; `None` if somebody else holds it.
    pub fn of(file: File, path: &Path) -> Result<Option<Self>> {
        Self::take(file, path, FlockOperation::NonBlockingLockExclusive)
    }

    /// The same, together with others who share it; `None` if somebody holds it exclusively.
    pub fn share(file: File, path: &Path) -> Result<Option<Self>> {
        Self::take(file, path, FlockOperation::NonBlockingLockShared)
    }

    /// Locks the file at `path`, creating it if missing; `None` if somebody else holds it.
    pub fn try_exclusive(path: &Path) -> Result<Option<Self>> {
        Self::of(open(path)?, path)
    }

    /// The same, together with others who share it; `None` if somebody holds it exclusively.
    pub fn try_shared(path: &Path) -> Result<Option<Self>> {
        Self::share(open(path)?, path)
    }

    /// Locks the file at `path`, trying for at most `patience`.
    pub fn exclusive_within(path: &Path, patience: Duration) -> Result<Option<Self>> {
        within(patience, || Self::try_exclusive(path))
    }

    /// The same, together with others who share it.
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
