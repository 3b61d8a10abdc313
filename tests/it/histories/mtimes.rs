//! Mtimes of checkouts, as clocks, archives and mutants set them.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::story::Mtimes;
use crate::support::{Result, mtime, set_mtime};

/// September 2001: long before all builds.
pub(super) const LONG_AGO: i64 = 1_000_000_000;

/// Returns `dir` and everything below it, without git's and cargo's own files; the entries of a
/// directory come before it.
pub(super) fn sources(dir: &Path) -> Result<Vec<PathBuf>> {
    listing(dir, &[".git", "target"])
}

fn listing(dir: &Path, without: &[&str]) -> Result<Vec<PathBuf>> {
    let is_wanted = |name: &OsStr| !without.iter().any(|other| name == *other);
    let walk = WalkDir::new(dir).sort_by_file_name().into_iter();
    let mut paths = Vec::new();
    for entry in walk.filter_entry(|entry| is_wanted(entry.file_name())) {
        paths.push(entry?.into_path());
    }
    paths.reverse();
    Ok(paths)
}

/// Gives a checkout mtimes of this kind.
pub(super) fn disturb(checkout: &Path, mtimes: Mtimes) -> Result {
    for (index, path) in sources(checkout)?.iter().enumerate() {
        let is_old = match mtimes {
            Mtimes::Now => false,
            Mtimes::Off(secs) => {
                let (now, nanos) = mtime(path)?;
                set_mtime(path, now + secs, nanos)?;
                false
            }
            Mtimes::Old => true,
            Mtimes::SomeOld => index % 3 == 0,
            Mtimes::OldFiles => path.is_file(),
        };
        if is_old {
            set_mtime(path, LONG_AGO, 0)?;
        }
    }
    Ok(())
}

/// Moves the mtimes of everything in a checkout, and of its builds, by `secs`.
pub(super) fn shift(checkout: &Path, secs: i64) -> Result {
    let mut shifted = HashSet::new();
    for path in listing(checkout, &[".git"])? {
        // Cargo makes hard links of its output: shift such a file only once.
        if shifted.insert(path.symlink_metadata()?.ino()) {
            let (now, nanos) = mtime(&path)?;
            set_mtime(&path, now + secs, nanos)?;
        }
    }
    Ok(())
}

/// The mtimes of everything in some checkouts.
#[derive(Debug)]
pub(super) struct Seen(BTreeMap<PathBuf, (i64, i64)>);

impl Seen {
    /// Reads the mtimes.
    pub(super) fn of(checkouts: &[PathBuf]) -> Result<Self> {
        let mut seen = BTreeMap::new();
        for checkout in checkouts {
            for path in sources(checkout)? {
                seen.insert(path.clone(), mtime(&path)?);
            }
        }
        Ok(Self(seen))
    }

    /// Returns each path with its mtime.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Path, (i64, i64))> {
        self.0.iter().map(|(path, mtime)| (path.as_path(), *mtime))
    }
}
