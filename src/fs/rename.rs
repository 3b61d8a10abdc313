//! Renames that say what they do when the name is taken.

use std::path::Path;

use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;

use super::error::{At, Result};

/// Renames `from` to `to` if nothing is there; tells whether it did.
///
/// One step on filesystems that know `RENAME_NOREPLACE`. Elsewhere a file takes its name by a
/// hard link, which also fails if the name is taken, and a directory by a rename that fails
/// unless the name is free or an empty directory.
pub fn rename_noreplace(from: &Path, to: &Path) -> Result<bool> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST | Errno::NOTEMPTY) => Ok(false),
        Err(Errno::INVAL | Errno::NOSYS) => rename_noreplace_old(from, to),
        Err(errno) => Err(errno).at("rename to", to),
    }
}

fn rename_noreplace_old(from: &Path, to: &Path) -> Result<bool> {
    let result = if from.is_dir() {
        std::fs::rename(from, to)
    } else {
        std::fs::hard_link(from, to).and_then(|()| std::fs::remove_file(from))
    };
    match result {
        Ok(()) => Ok(true),
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::AlreadyExists | std::io::ErrorKind::DirectoryNotEmpty
            ) =>
        {
            Ok(false)
        }
        Err(error) => Err(error).at("rename to", to),
    }
}

/// Exchanges two paths in one step; fails where the filesystem cannot.
pub fn exchange(a: &Path, b: &Path) -> Result<()> {
    rustix::fs::renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE).at("exchange", b)
}
