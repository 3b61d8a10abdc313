//! Restores that are wrong, made of right ones: this test has to find each of them.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::mtimes::{LONG_AGO, Seen, sources};
use super::story::HOUR;
use crate::support::{Result, mtime, set_mtime};

/// How a restore is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mutant {
    /// Every file gets the time of a commit, as `git-restore-mtime` does it.
    CommitTimes,
    /// What changed keeps the mtime that a slow clock gave it.
    SlowClock,
    /// Directories keep the mtimes that the checkout gave them.
    NoDirectories,
    /// What git ignores is not brought back.
    NoIgnoredFiles,
}

pub(super) const MUTANTS: [Mutant; 4] =
    [Mutant::CommitTimes, Mutant::SlowClock, Mutant::NoDirectories, Mutant::NoIgnoredFiles];

impl Mutant {
    /// Makes the right restore of some checkouts wrong, which began at `started`; `before` is what
    /// it found.
    pub(super) fn spoil(self, checkouts: &[PathBuf], before: &Seen, started: SystemTime) -> Result {
        match self {
            // Commits are older than what was built from any of them.
            Self::CommitTimes => {
                for path in all(checkouts)?.iter().filter(|path| path.is_file()) {
                    set_mtime(path, LONG_AGO, 0)?;
                }
            }
            Self::SlowClock => {
                // What is as recorded has an mtime from before.
                let is_new = |path: &Path| -> Result<bool> {
                    Ok(path.symlink_metadata()?.modified()? >= started)
                };
                for path in all(checkouts)? {
                    if is_new(&path)? {
                        let (secs, nanos) = mtime(&path)?;
                        set_mtime(&path, secs - 3 * HOUR, nanos)?;
                    }
                }
            }
            Self::NoDirectories => {
                for (path, (secs, nanos)) in before.iter().filter(|(path, _)| path.is_dir()) {
                    set_mtime(path, secs, nanos)?;
                }
            }
            Self::NoIgnoredFiles => {
                for path in all(checkouts)?.iter().filter(|path| path.ends_with("src/generated.rs"))
                {
                    lose(path)?;
                }
            }
        }
        Ok(())
    }
}

fn all(checkouts: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for checkout in checkouts {
        paths.extend(sources(checkout)?);
    }
    Ok(paths)
}

/// Removes a file, and leaves its directory as if it had never been there.
fn lose(file: &Path) -> Result {
    let dir = file.parent().ok_or("a file has a directory")?;
    let (secs, nanos) = mtime(dir)?;
    std::fs::remove_file(file)?;
    set_mtime(dir, secs, nanos)
}
