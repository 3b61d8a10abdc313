//! The directories of a job: their real paths, and whether anything is in them.

use std::path::{Path, PathBuf};

use super::Result;
use crate::fs::At;

/// The maximum number of symlinks to follow, as in `path_resolution(7)`.
const MAX_LINKS: u32 = 40;

/// Returns the path of `dir` with every symlink resolved. Works also if `dir` does not exist yet.
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
        // The symlink's target does not exist yet.
        Ok(target) if links > 0 => follow(&real.join(target).join(missing), links - 1),
        _ => real.join(rest),
    }
}

/// Tells whether `dir` may hold anything that cargo could take for its own output, or is in cargo's
/// way: a file or a broken symlink. A directory that cannot be read counts.
pub(crate) fn is_there(dir: &Path) -> bool {
    let is_lost = || dir.is_symlink() && !dir.exists();
    dir.symlink_metadata().is_ok() && (holds_anything(dir).unwrap_or(true) || is_lost())
}

/// Tells whether the directory `dir` exists and is not empty. Fails if it cannot be read, or is no
/// directory.
pub(crate) fn holds_anything(dir: &Path) -> Result<bool> {
    match std::fs::read_dir(dir) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).at("read directory", dir)?,
    }
}
