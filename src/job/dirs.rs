//! The directories that a job meets: where they really are, and whether anything lies there.

use std::path::{Path, PathBuf};

use super::Result;
use crate::fs::At;

/// How many symlinks lead to one place at most: `path_resolution(7)`.
const MAX_LINKS: u32 = 40;

/// Returns where `dir` is once no symlink is followed any more, also if it does not exist yet.
pub(crate) fn real(dir: &Path) -> PathBuf {
    follow(dir, MAX_LINKS)
}

fn follow(dir: &Path, links: u32) -> PathBuf {
    let found = dir.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    let Some((above, real)) = found else { return dir.to_owned() };
    let Ok(rest) = dir.strip_prefix(above) else { return real };
    let mut missing = rest.components();
    let Some(first) = missing.next() else { return real };
    let first = real.join(first);
    match std::fs::read_link(&first) {
        // It leads nowhere yet.
        Ok(target) if links > 0 => follow(&real.join(target).join(missing), links - 1),
        _ => real.join(rest),
    }
}

/// Tells whether there is anything at `dir` that cargo could take for built, or that is in its way. What cannot be
/// read may be.
pub(crate) fn is_there(dir: &Path) -> bool {
    let is_lost = || dir.is_symlink() && !dir.exists();
    dir.symlink_metadata().is_ok() && (holds_anything(dir).unwrap_or(true) || is_lost())
}

/// Tells whether there is anything in `dir`, if that is a directory.
pub(crate) fn holds_anything(dir: &Path) -> Result<bool> {
    match std::fs::read_dir(dir) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).at("read directory", dir)?,
    }
}
