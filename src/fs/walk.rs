//! Every path below a directory, with its stat.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use walkdir::WalkDir;

use super::beneath::Beneath;
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

/// Returns every path below `dir` that `wants` admits, sorted as a tree.
///
/// A directory that is not wanted is not entered. Symlinks are reported, never followed, but
/// `dir` itself may be one. What disappears while we walk is left out: somebody else deleted it.
pub fn walk(dir: &Path, wants: impl Fn(&RelPath, Kind) -> bool) -> Result<Vec<Found>> {
    stat_each(dir, list(dir, wants)?)
}

/// Returns those of `paths`, neighbours in the tree `dir`, that are there.
pub fn stat_each(dir: &Path, paths: Vec<RelPath>) -> Result<Vec<Found>> {
    if paths.is_empty() {
        return Ok(Vec::new());
    }
    let tree = Beneath::open(dir)?;
    let mut cursor = Cursor::new(&tree);
    let mut found = Vec::with_capacity(paths.len());
    for path in paths {
        if let Some((.., stat)) = cursor.find(&path)? {
            found.push(Found { path, stat });
        }
    }
    Ok(found)
}

/// Returns the paths that [`walk`] finds, without their stats: there is no system call for each.
pub fn list(dir: &Path, wants: impl Fn(&RelPath, Kind) -> bool) -> Result<Vec<RelPath>> {
    let mut listed = Vec::new();
    let mut paths = WalkDir::new(dir).min_depth(1).follow_root_links(true).into_iter();
    while let Some(next) = paths.next() {
        let entry = match next {
            Ok(entry) => entry,
            Err(error) if is_gone(&error) && error.depth() > 0 => continue,
            Err(error) => return Err(refused(error, dir)),
        };
        let below = entry.path().strip_prefix(dir).expect("walkdir yields paths below its root");
        let path = RelPath::parse(below.as_os_str().as_bytes())
            .map_err(std::io::Error::other)
            .at("walk", entry.path())?;
        let kind = Kind::from(entry.file_type());
        if wants(&path, kind) {
            listed.push(path);
        } else if kind == Kind::Dir {
            paths.skip_current_dir();
        }
    }
    listed.sort_unstable();
    Ok(listed)
}

fn is_gone(error: &walkdir::Error) -> bool {
    error.io_error().is_some_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

fn refused(error: walkdir::Error, dir: &Path) -> Error {
    let path = error.path().unwrap_or(dir).to_owned();
    Error { action: "read directory", path, source: error.into() }
}
