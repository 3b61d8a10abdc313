//! Mtimes of checkouts, as clocks, archives and mutants give them.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::story::Mtimes;
use crate::support::{Result, mtime, set_mtime};

/// September 2001: long before anything was built.
pub(super) const LONG_AGO: i64 = 1_000_000_000;

/// Returns everything below `dir`, and itself, but for what is git's and cargo's own; what is in a
/// directory comes before it.
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

/// Gives a checkout the mtimes that it is said to have.
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

/// Takes everything in a checkout, and what was built there, as many seconds later.
pub(super) fn shift(checkout: &Path, secs: i64) -> Result {
    let mut shifted = HashSet::new();
    for path in listing(checkout, &[".git"])? {
        // Cargo links what it builds; such a file is shifted once.
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
    /// Looks at the mtimes.
    pub(super) fn of(checkouts: &[PathBuf]) -> Result<Self> {
        let mut seen = BTreeMap::new();
        for checkout in checkouts {
            for path in sources(checkout)? {
                seen.insert(path.clone(), mtime(&path)?);
            }
        }
        Ok(Self(seen))
    }

    /// Returns what was there, with its mtime.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Path, (i64, i64))> {
        self.0.iter().map(|(path, mtime)| (path.as_path(), *mtime))
    }
}
