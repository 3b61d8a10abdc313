//! Keeps builds out of a directory while it is saved.

use std::path::PathBuf;
use std::time::Duration;

use crate::cargo::build_lock::lock_files;
use crate::fs::lock::Lock;
use crate::job::locks::keep_builds_out;
use crate::job::progress::Progress;
use crate::job::{AreaPlace, Error, Result};

/// How long a save waits for a build that still runs in its directory.
const PATIENCE: Duration = Duration::from_secs(10);

/// Keeps builds out of a directory while it is read.
pub(super) struct BuildGuard {
    dir: Option<PathBuf>,
    locks: Vec<Lock>,
}

impl BuildGuard {
    pub(super) fn of(place: &AreaPlace, progress: &Progress) -> Result<Self> {
        if place.area.is_shared() {
            return Ok(Self { dir: None, locks: Vec::new() });
        }
        let locks = keep_builds_out(&place.dir, PATIENCE, progress)?;
        Ok(Self { dir: Some(place.dir.clone()), locks })
    }

    /// Fails if a build began where there was no lock file to hold: it has created one.
    pub(super) fn check(&self) -> Result<()> {
        match &self.dir {
            Some(dir) if lock_files(dir)?.len() != self.locks.len() => {
                Err(Error::Changed(dir.clone()))
            }
            _ => Ok(()),
        }
    }
}
