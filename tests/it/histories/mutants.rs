//! Wrong restores, made from right ones: the test of histories has to find each of them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::mtimes::{LONG_AGO, Seen, sources};
use super::story::HOUR;
use crate::support::{Result, mtime, paths, set_mtime};

/// The way in which a restore is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mutant {
    /// Every file gets the time of a commit, as `git-restore-mtime` does it.
    CommitTimes,
    /// Changed sources keep the mtimes of a slow clock.
    SlowClock,
    /// Directories keep the mtimes of the checkout.
    NoDirectories,
    /// Files that git ignores are not restored.
    NoIgnoredFiles,
    /// All files that git ignores are restored, although their build script will run again.
    AllIgnoredFiles,
    /// A file whose mode alone changed looks old.
    OldModes,
    /// Files of a target directory that git tracks get the contents of the save.
    TargetWins,
    /// Nothing of the second workspace is restored.
    NoSecond,
    /// Git's own files look old.
    OldGit,
    /// Sources in submodules keep the mtimes of the checkout.
    NoSubmodules,
}

pub(super) const MUTANTS: [Mutant; 10] = [
    Mutant::CommitTimes,
    Mutant::SlowClock,
    Mutant::NoDirectories,
    Mutant::NoIgnoredFiles,
    Mutant::AllIgnoredFiles,
    Mutant::OldModes,
    Mutant::TargetWins,
    Mutant::NoSecond,
    Mutant::OldGit,
    Mutant::NoSubmodules,
];

/// A right restore.
pub(super) struct Restored<'a> {
    /// The workspace.
    pub(super) place: &'a Path,
    /// The checkouts in it.
    pub(super) checkouts: &'a [PathBuf],
    /// The mtimes before the restore.
    pub(super) before: &'a Seen,
    /// The time of its start.
    pub(super) started: SystemTime,
    /// The twin of the restored generation.
    pub(super) twin: Option<&'a Path>,
}

impl Mutant {
    /// Makes a right restore wrong.
    pub(super) fn spoil(self, restored: &Restored<'_>) -> Result {
        let Restored { place, before, started, .. } = *restored;
        match self {
            // A commit is older than every build of it.
            Self::CommitTimes => make_old(restored.sources()?.iter().filter(|path| path.is_file())),
            Self::SlowClock => {
                for path in restored.sources()? {
                    // A source that is as recorded has an mtime from before.
                    if path.symlink_metadata()?.modified()? >= started {
                        let (secs, nanos) = mtime(&path)?;
                        set_mtime(&path, secs - 3 * HOUR, nanos)?;
                    }
                }
                Ok(())
            }
            Self::NoDirectories => put_back(before, Path::is_dir),
            Self::NoIgnoredFiles => {
                restored.sources()?.iter().filter(|path| is_generated(path)).try_for_each(lose)
            }
            Self::AllIgnoredFiles => {
                let Some(twin) = restored.twin else { return Ok(()) };
                for path in sources(twin)?.iter().filter(|path| is_generated(path)) {
                    let here = place.join(path.strip_prefix(twin)?);
                    if here.parent().is_some_and(Path::exists) && !here.exists() {
                        copy_as_old(path, &here)?;
                    }
                }
                Ok(())
            }
            Self::OldModes => {
                let is_executable = |path: &Path| -> Result<_> {
                    Ok(path.metadata()?.permissions().mode() & 0o100)
                };
                for (there, here) in restored.pairs()? {
                    if fs::read(&there)? == fs::read(&here)?
                        && is_executable(&there)? != is_executable(&here)?
                    {
                        set_mtime(&here, LONG_AGO, 0)?;
                    }
                }
                Ok(())
            }
            Self::TargetWins => {
                let Some(idl) = restored.twin.map(|twin| twin.join("app/target/idl")) else {
                    return Ok(());
                };
                let tracked = if idl.exists() { paths(&idl)? } else { Vec::new() };
                for path in tracked {
                    let here =
                        place.join("app/target/idl").join(path.file_name().ok_or("no name")?);
                    if here.exists() {
                        copy_as_old(&path, &here)?;
                    }
                }
                Ok(())
            }
            Self::NoSecond => match fs::remove_dir_all(place.join("app/fz/target")) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
                _ => Ok(()),
            },
            Self::OldGit => {
                let gits = restored.checkouts.iter().map(|checkout| checkout.join(".git"));
                let modules = paths(&place.join("app/.git/modules")).unwrap_or_default();
                let heads = gits.chain(modules).map(|dir| dir.join("HEAD"));
                let heads: Vec<_> = heads.filter(|head| head.is_file()).collect();
                make_old(heads.iter())
            }
            Self::NoSubmodules => {
                put_back(before, |path| path.ancestors().any(|dir| dir.join(".git").is_file()))
            }
        }
    }
}

impl Restored<'_> {
    /// Returns all sources in the checkouts.
    fn sources(&self) -> Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for checkout in self.checkouts {
            paths.extend(sources(checkout)?);
        }
        Ok(paths)
    }

    /// Returns each file that exists both in the twin and in the checkouts: the twin's path, then
    /// the checkout's.
    fn pairs(&self) -> Result<Vec<(PathBuf, PathBuf)>> {
        let Some(twin) = self.twin else { return Ok(Vec::new()) };
        let mut pairs = Vec::new();
        for here in self.sources()? {
            let there = twin.join(here.strip_prefix(self.place)?);
            if here.is_file() && there.is_file() {
                pairs.push((there, here));
            }
        }
        Ok(pairs)
    }
}

fn is_generated(path: &Path) -> bool {
    path.ends_with("src/generated.rs")
}

fn make_old<'p>(paths: impl Iterator<Item = &'p PathBuf>) -> Result {
    paths.into_iter().try_for_each(|path| set_mtime(path, LONG_AGO, 0))
}

/// Gives paths that `is_wanted` accepts the mtimes from before.
fn put_back(before: &Seen, is_wanted: impl Fn(&Path) -> bool) -> Result {
    for (path, (secs, nanos)) in before.iter().filter(|(path, _)| is_wanted(path)) {
        set_mtime(path, secs, nanos)?;
    }
    Ok(())
}

/// Copies a file so that it looks as if it had been there for long.
fn copy_as_old(from: &Path, to: &Path) -> Result {
    let dir = to.parent().ok_or("a file has a directory")?;
    let (secs, nanos) = mtime(dir)?;
    fs::copy(from, to)?;
    set_mtime(to, LONG_AGO, 0)?;
    set_mtime(dir, secs, nanos)
}

/// Removes a file, and makes its directory look as if the file had never existed.
fn lose(file: &PathBuf) -> Result {
    let dir = file.parent().ok_or("a file has a directory")?;
    let (secs, nanos) = mtime(dir)?;
    fs::remove_file(file)?;
    set_mtime(dir, secs, nanos)
}
