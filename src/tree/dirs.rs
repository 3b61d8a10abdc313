//! The mtimes of directories.

use std::collections::HashSet;

use crate::fs::beneath::Beneath;
use crate::job::Result;
use crate::model::manifest::{Entry, EntryKind};
use crate::model::rel_path::RelPath;

/// Restores the mode and mtime of the `changed` directories, in which a file was created or
/// removed.
pub(crate) fn reset_dirs(
    tree: &Beneath,
    entries: &[Entry],
    changed: &HashSet<RelPath>,
) -> Result<()> {
    for entry in entries.iter().filter(|entry| changed.contains(&entry.path)) {
        if let EntryKind::Dir { mode, mtime } = entry.kind {
            tree.finish_dir(&entry.path, mode, mtime)?;
        }
    }
    Ok(())
}
