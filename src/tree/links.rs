//! Symlinks in a target that cargo builds through: the files behind them are not part of the target.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use crate::cargo::parts::{is_built_through, leads_to_built};
use crate::job::AreaPlace;
use crate::job::dirs::real;
use crate::model::manifest::{Entry, EntryKind};
use crate::model::raw_path::RawPath;
use crate::model::rel_path::RelPath;

/// Returns a symlink among `entries` that keeps this target or build directory from being saved. Returns `None` for
/// other areas.
pub(crate) fn of_target<'e>(place: &AreaPlace, entries: &'e [Entry]) -> Option<&'e RelPath> {
    if place.area.is_shared() { None } else { built_through(&real(&place.dir), entries) }
}

/// Returns the first symlink of the tree at `dir` that leads out of it and that cargo reads and writes through.
fn built_through<'e>(dir: &Path, entries: &'e [Entry]) -> Option<&'e RelPath> {
    let mut links = entries.iter().filter_map(|entry| match &entry.kind {
        EntryKind::Symlink { target, .. } => Some((&entry.path, target)),
        _ => None,
    });
    let found = links.find(|(path, target)| {
        let end = end_of(dir, path, target);
        let is_out = !end.starts_with(dir);
        is_out && (is_built_through(path.as_path()) || leads_to_built(path.as_path(), &end))
    });
    found.map(|(path, _)| path)
}

/// Returns the path that a symlink leads to by its text, whether or not it exists.
fn end_of(dir: &Path, path: &RelPath, target: &RawPath) -> PathBuf {
    let target = Path::new(OsStr::from_bytes(target.as_bytes()));
    let full = dir.join(path.as_path());
    let mut end = PathBuf::new();
    for component in full.parent().unwrap_or(dir).join(target).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => drop(end.pop()),
            other => end.push(other),
        }
    }
    end
}
