//! Cargo's own locks, which keep builds and this program apart.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::fs::lock::Lock;
use crate::fs::{At, Result};

/// The outcome of trying to take cargo's locks.
#[derive(Debug)]
pub enum BuildLocks {
    /// No build runs in the directory while these locks live.
    Held(Vec<Lock>),
    /// A build holds the lock at this path.
    Busy(PathBuf),
}

/// Takes the lock of every build directory in `target_dir` that has a lock file. Waits at most `patience` for each.
///
/// `target/<profile>/.cargo-lock` guards a build directory, `target/<triple>/<profile>/…` with `--target`; newer cargo
/// adds `.cargo-build-lock` beside it (rust-lang/cargo#16807). Cargo has never built in a directory without lock files.
pub fn lock_builds(target_dir: &Path, patience: Duration) -> Result<BuildLocks> {
    let mut locks = Vec::new();
    for path in lock_files(target_dir)? {
        match Lock::exclusive_within(&path, patience)? {
            Some(lock) => locks.push(lock),
            None => return Ok(BuildLocks::Busy(path)),
        }
    }
    Ok(BuildLocks::Held(locks))
}

/// Takes the lock under which cargo changes `registry/` and `git/`; `None` if cargo keeps it for
/// longer than `patience`.
pub fn lock_packages(cargo_home: &Path, patience: Duration) -> Result<Option<Lock>> {
    Lock::exclusive_within(&cargo_home.join(".package-cache"), patience)
}

/// Takes the lock that builds share while they read `registry/` and `git/`, since cargo 1.74; `None` if a build keeps
/// it for longer than `patience`. Cargo takes it before the lock of [`lock_packages`].
pub fn lock_package_users(cargo_home: &Path, patience: Duration) -> Result<Option<Lock>> {
    Lock::exclusive_within(&cargo_home.join(".package-cache-mutate"), patience)
}

/// Returns the lock files of `target_dir`, sorted. Skips directories that cannot be read: cargo cannot build in them.
pub fn lock_files(target_dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut dirs = vec![(target_dir.to_owned(), 0)];
    while let Some((dir, depth)) = dirs.pop() {
        let entries = match std::fs::read_dir(&dir) {
            Err(error) if is_passed_over(&error, depth) => continue,
            entries => entries.at("read directory", &dir)?,
        };
        for entry in entries {
            let entry = entry.at("read directory", &dir)?;
            let kind = match entry.file_type() {
                Err(error) if is_passed_over(&error, depth) => continue,
                kind => kind.at("read metadata", &entry.path())?,
            };
            let name = entry.file_name().to_string_lossy().into_owned();
            if kind.is_file() && name.starts_with(".cargo-") && name.ends_with("lock") {
                found.push(entry.path());
            // `lost+found`, at the top of a mounted ext4, belongs to root; cargo has no directory of that name.
            } else if kind.is_dir() && depth < 2 && name != "lost+found" {
                dirs.push((entry.path(), depth + 1));
            }
        }
    }
    found.sort();
    Ok(found)
}

fn is_passed_over(error: &std::io::Error, depth: u32) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
    match error.kind() {
        NotFound => true,
        NotADirectory | PermissionDenied => depth > 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_that_runs_is_seen_in_every_place_cargo_locks()
    -> std::result::Result<(), Box<dyn std::error::Error>> {
        for place in ["debug/.cargo-lock", "x86_64-unknown-linux-gnu/release/.cargo-build-lock"] {
            let dir = tempfile::tempdir()?;
            let path = dir.path().join(place);
            std::fs::create_dir_all(path.parent().ok_or("no parent")?)?;
            std::fs::write(&path, "")?;
            let build = Lock::try_exclusive(&path)?;
            let busy = lock_builds(dir.path(), Duration::ZERO)?;
            assert!(matches!(busy, BuildLocks::Busy(held) if held == path), "{place}");
            drop(build);
            // A child that another test is just starting inherits the lock file, and holds it until its exec.
            let free = lock_builds(dir.path(), Duration::from_secs(5))?;
            assert!(matches!(free, BuildLocks::Held(locks) if locks.len() == 1), "{place}");
        }
        Ok(())
    }
}
