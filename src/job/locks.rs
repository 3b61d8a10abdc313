//! Waits for cargo's own locks, unless told to stop.

use std::path::Path;
use std::time::Duration;

use super::progress::{Attempt, Progress};
use super::{Error, Result};
use crate::cargo::build_lock::{BuildLocks, lock_builds, lock_package_users, lock_packages};
use crate::fs::lock::Lock;

/// Keeps builds out of `dir` for as long as the locks live. Fails if a build runs there for longer
/// than `patience`.
pub(crate) fn keep_builds_out(
    dir: &Path,
    patience: Duration,
    progress: &Progress,
) -> Result<Vec<Lock>> {
    let locks = progress.attempt(patience, || {
        Ok(match lock_builds(dir, Duration::ZERO)? {
            BuildLocks::Held(locks) => Attempt::Came(Ok(locks)),
            BuildLocks::Busy(path) => Attempt::Nothing(Err(path)),
        })
    })?;
    locks.map_err(|path| Error::Busy { path, holder: "a cargo build" })
}

/// How long to wait for cargo's package lock. Cargo holds it while it downloads and extracts
/// crates: 8.7 s were measured for 36,000 files, and a slow connection may take a minute.
const PATIENCE: Duration = Duration::from_mins(1);

/// Keeps cargo from changing `registry/` and `git/` for as long as the lock lives.
pub(crate) fn keep_packages_still(cargo_home: &Path, progress: &Progress) -> Result<Lock> {
    let lock = progress.attempt(PATIENCE, || {
        let lock = lock_packages(cargo_home, Duration::ZERO)?;
        Ok(lock.map_or(Attempt::Nothing(None), |lock| Attempt::Came(Some(lock))))
    })?;
    lock.ok_or_else(|| {
        let path = cargo_home.join(".package-cache");
        Error::Busy { path, holder: "a cargo that downloads or extracts" }
    })
}

/// How long to wait for builds that read `registry/` and `git/`. A build may take much longer.
const BUILD_PATIENCE: Duration = Duration::from_secs(2);

/// Keeps cargo from changing `registry/` and `git/`, and builds from reading them, for as long as
/// the locks live.
pub(crate) fn keep_packages_unused(cargo_home: &Path, progress: &Progress) -> Result<[Lock; 2]> {
    let builds = progress.attempt(BUILD_PATIENCE, || {
        let lock = lock_package_users(cargo_home, Duration::ZERO)?;
        Ok(lock.map_or(Attempt::Nothing(None), |lock| Attempt::Came(Some(lock))))
    })?;
    let builds = builds.ok_or_else(|| {
        let path = cargo_home.join(".package-cache-mutate");
        Error::Busy { path, holder: "a cargo build" }
    })?;
    Ok([builds, keep_packages_still(cargo_home, progress)?])
}
