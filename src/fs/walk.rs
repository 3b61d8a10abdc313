//! Walking the paths below a directory.

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

/// A path that a walk found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The path, relative to the directory walked.
    pub path: RelPath,
    /// Its metadata.
    pub stat: Stat,
}

/// A path that could not be read. Nothing below it was read either.
#[derive(Debug)]
pub struct Missed {
    /// The path, relative to the directory walked.
    pub path: RelPath,
    /// Why it could not be read.
    pub why: Why,
}

/// Why a path could not be read.
#[derive(Debug)]
pub enum Why {
    /// It was removed or replaced after its name was read.
    Gone,
    /// It was written to while it was being read.
    Changed,
    /// The filesystem refused to read it.
    Refused(io::Error),
}

impl Why {
    /// Returns why a path could not be read, given the error. An error that would affect every path
    /// is returned as it is.
    pub fn of(error: Error) -> Result<Self> {
        let Some(errno) = Errno::from_io_error(&error.source) else {
            return Ok(Self::Refused(error.source));
        };
        match errno {
            // The file was replaced by a symlink, a socket or a directory.
            Errno::NXIO | Errno::ISDIR => Ok(Self::Gone),
            errno if is_absence(errno) => Ok(Self::Gone),
            Errno::MFILE | Errno::NFILE | Errno::NOMEM => Err(error),
            _ => Ok(Self::Refused(error.source)),
        }
    }
}

/// The result of walking a directory that other processes may change meanwhile.
#[derive(Debug, Default)]
pub struct Walked {
    /// The paths found, sorted as a tree. The parent of each was found too.
    pub found: Vec<Found>,
    /// The paths that could not be read. Nothing below them was found.
    pub missed: Vec<Missed>,
}

/// The paths below a directory, without their stats.
#[derive(Debug, Default)]
pub struct Listed {
    /// The paths, sorted as a tree.
    pub paths: Vec<RelPath>,
    /// The directories that could not be read. Neither they nor anything below them is in `paths`.
    pub missed: Vec<Missed>,
}

/// Returns every path below `dir` that `wants` admits, sorted as a tree.
///
/// A directory that `wants` rejects is not entered. Symlinks are reported, never followed, but
/// `dir` itself may be one. An entry that disappears during the walk is left out.
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

/// Returns the stats of `paths` below `dir`; neighbours in the tree should be neighbours in the
/// list.
///
/// The result may lack a directory and have its files, if other processes change the tree
/// meanwhile.
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

/// Returns the paths that [`walk`] finds, without a system call for each to get its stat.
///
/// It is an error if `dir` itself cannot be read.
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
    /// Appends the result for the paths that follow.
    pub fn extend(&mut self, later: Self) {
        self.found.extend(later.found);
        self.missed.extend(later.missed);
    }

    /// Moves each path whose parent was not found to `missed`: other processes changed the tree.
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
