//! Locks that the kernel drops with their process.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::time::Duration;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::error::{At, Result};

/// A file locked exclusively with `flock`, for as long as this lives.
///
/// There is no stale lock to break: the kernel drops it when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Lock {
    /// Locks `file`, which was opened by `path`; `None` if somebody else holds it.
    pub fn of(file: File, path: &Path) -> Result<Option<Self>> {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { file })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(errno).at("lock", path),
        }
    }

    /// Locks the file at `path`, creating it if missing; `None` if somebody else holds it.
    pub fn try_exclusive(path: &Path) -> Result<Option<Self>> {
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create(true).open(path).at("open", path)?;
        Self::of(file, path)
    }

    /// Locks the file at `path`, trying for at most `patience`.
    pub fn exclusive_within(path: &Path, patience: Duration) -> Result<Option<Self>> {
        const PAUSE: Duration = Duration::from_millis(20);
        let attempts = patience.as_millis() / PAUSE.as_millis();
        for _ in 0..attempts {
            if let Some(lock) = Self::try_exclusive(path)? {
                return Ok(Some(lock));
            }
            std::thread::sleep(PAUSE);
        }
        Self::try_exclusive(path)
    }

    /// Returns the locked file.
    pub fn file(&self) -> &File {
        &self.file
    }
}
