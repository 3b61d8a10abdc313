//! Every path below a directory, with its stat.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use walkdir::WalkDir;

use super::error::{At, Error, Result};
use super::space::is_mount_point;
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
    let mut found = Vec::new();
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
        let stat = match entry.metadata() {
            Ok(metadata) => Stat::from(&metadata),
            Err(error) if is_gone(&error) => continue,
            Err(error) => return Err(refused(error, dir)),
        };
        if wants(&path, stat.kind) {
            found.push(Found { path, stat });
        } else if stat.kind == Kind::Dir {
            paths.skip_current_dir();
        }
    }
    found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// Returns every path below `dir`, sorted as a tree: all but what belongs to a filesystem itself.
///
/// `lost+found` of a mounted ext4 is root's, and no part of what lies on it.
pub fn walk_tree(dir: &Path) -> Result<Vec<Found>> {
    let is_mount_point = is_mount_point(dir)?;
    walk(dir, |path, _| !(is_mount_point && path.as_bytes() == b"lost+found"))
}

fn is_gone(error: &walkdir::Error) -> bool {
    error.io_error().is_some_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

fn refused(error: walkdir::Error, dir: &Path) -> Error {
    let path = error.path().unwrap_or(dir).to_owned();
    Error { action: "read directory", path, source: error.into() }
}
