//! Every path below a directory, with its stat.

use std::collections::HashSet;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::io::Errno;
use walkdir::WalkDir;

use super::beneath::{Beneath, is_absence};
use super::cursor::Cursor;
use super::error::{At, Error, Result};
use super::stat::{Kind, Stat};
use crate::model::rel_path::RelPath;

/// One path that a walk found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Where it is below the directory walked.
    pub path: RelPath,
    /// What the kernel knows of it.
    pub stat: Stat,
}

/// A path below a directory that could not be read, with all that is below it.
#[derive(Debug)]
pub struct Missed {
    /// Where it is below the directory.
    pub path: RelPath,
    /// Why.
    pub why: Why,
}

/// Why a path could not be read.
#[derive(Debug)]
pub enum Why {
    /// It was removed, or replaced by something else, after its name was read.
    Gone,
    /// It was written to while it was read.
    Changed,
    /// The filesystem refused to read it.
    Refused(io::Error),
}

impl Why {
    /// Returns what an error of reading a path tells of that path. An error that would have come with any
    /// other path is returned as it is.
    pub fn of(error: Error) -> Result<Self> {
        let Some(errno) = Errno::from_io_error(&error.source) else {
            return Ok(Self::Refused(error.source));
        };
        match errno {
            // It was a file; a symlink, a socket or a directory is there now.
            Errno::NXIO | Errno::ISDIR => Ok(Self::Gone),
            errno if is_absence(errno) => Ok(Self::Gone),
            Errno::MFILE | Errno::NFILE | Errno::NOMEM => Err(error),
            _ => Ok(Self::Refused(error.source)),
        }
    }
}

/// What a walk found of a directory that others may change meanwhile.
#[derive(Debug, Default)]
pub struct Walked {
    /// What is there, sorted as a tree. Each path is in a directory that was found too.
    pub found: Vec<Found>,
    /// What could not be read, and nothing of which was found.
    pub missed: Vec<Missed>,
}

/// The paths below a directory, without their stats.
#[derive(Debug, Default)]
pub struct Listed {
    /// The paths, sorted as a tree.
    pub paths: Vec<RelPath>,
    /// The directories that could not be read. Neither they nor what is below them is among the paths.
    pub missed: Vec<Missed>,
}

/// Returns every path below `dir` that `wants` admits, sorted as a tree.
///
/// A directory that is not wanted is not entered. Symlinks are reported, never followed, but
/// `dir` itself may be one. What disappears while we walk is left out: somebody else deleted it.
pub fn walk(dir: &Path, wants: impl Fn(&RelPath, Kind) -> bool) -> Result<Vec<Found>> {
    let Listed { paths, missed } = list(dir, wants)?;
    let walked = stat_each(dir, paths)?;
    for Missed { path, why } in missed.into_iter().chain(walked.missed) {
        if let Why::Refused(source) = why {
            let path = dir.join(path.as_path());
            return Err(Error { action: "read", path, source });
        }
    }
    Ok(walked.found)
}

/// Returns those of `paths`, neighbours in the tree `dir`, that are there.
///
/// A directory may be gone and its files there, if somebody put others in their place.
pub fn stat_each(dir: &Path, paths: Vec<RelPath>) -> Result<Walked> {
    let mut walked = Walked::default();
    if paths.is_empty() {
        return Ok(walked);
    }
    let tree = Beneath::open(dir)?;
    let mut cursor = Cursor::new(&tree);
    for path in paths {
        let stat = cursor.find(&path).map(|found| found.map(|(.., stat)| stat));
        match stat {
            Ok(Some(stat)) => walked.found.push(Found { path, stat }),
            Ok(None) => walked.missed.push(Missed { path, why: Why::Gone }),
            Err(error) => walked.missed.push(Missed { path, why: Why::of(error)? }),
        }
    }
    Ok(walked)
}

/// Returns the paths that [`walk`] finds, without their stats: there is no system call for each.
///
/// That `dir` itself cannot be read is an error.
pub fn list(dir: &Path, wants: impl Fn(&RelPath, Kind) -> bool) -> Result<Listed> {
    let mut listed = Listed::default();
    let mut paths = WalkDir::new(dir).min_depth(1).follow_root_links(true).into_iter();
    while let Some(next) = paths.next() {
        let entry = match next {
            Ok(entry) => entry,
            Err(error) => {
                let is_below = error.depth() > 0;
                let error = refused(error, dir);
                let Some(path) = below(dir, &error.path).ok().filter(|_| is_below) else {
                    return Err(error);
                };
                listed.missed.push(Missed { path, why: Why::of(error)? });
                continue;
            }
        };
        let kind = Kind::from(entry.file_type());
        let path = below(dir, entry.path()).at("walk", entry.path())?;
        if wants(&path, kind) {
            listed.paths.push(path);
        } else if kind == Kind::Dir {
            paths.skip_current_dir();
        }
    }
    let Listed { paths, missed } = &mut listed;
    paths.retain(|path| !missed.iter().any(|missed| path.is_within(&missed.path)));
    paths.sort_unstable();
    Ok(listed)
}

fn below(dir: &Path, path: &Path) -> io::Result<RelPath> {
    let below = path.strip_prefix(dir).expect("walkdir yields paths below its root");
    RelPath::parse(below.as_os_str().as_bytes()).map_err(io::Error::other)
}

impl Walked {
    /// Adds what was found of the paths that follow.
    pub fn extend(&mut self, later: Self) {
        self.found.extend(later.found);
        self.missed.extend(later.missed);
    }

    /// Leaves out what is in no directory that was found: others came and went there.
    #[must_use]
    pub fn without_orphans(mut self) -> Self {
        let mut dirs: HashSet<RelPath> = HashSet::new();
        let mut orphans = Vec::new();
        self.found.retain(|Found { path, stat }| {
            let has_dir = path.parent().is_none_or(|parent| dirs.contains(&parent));
            if !has_dir {
                orphans.push(Missed { path: path.clone(), why: Why::Gone });
            } else if stat.kind == Kind::Dir {
                dirs.insert(path.clone());
            }
            has_dir
        });
        self.missed.extend(orphans);
        self
    }
}

fn refused(error: walkdir::Error, dir: &Path) -> Error {
    let path = error.path().unwrap_or(dir).to_owned();
    let source = error.into_io_error().unwrap_or_else(|| io::Error::other("it leads to itself"));
    Error { action: "read directory", path, source }
}
