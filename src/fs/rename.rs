//! Renames with a defined outcome if the name is taken.

use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, RenameFlags};
use rustix::io::Errno;

use super::error::{At, Result};

/// Renames `from` to `to` if nothing is there; returns whether it did.
pub fn rename_noreplace(from: &Path, to: &Path) -> Result<bool> {
    let (from, dest) = (from.as_os_str().as_bytes(), to.as_os_str().as_bytes());
    rename_noreplace_at(CWD, from, CWD, dest).at("rename to", to)
}

/// As [`rename_noreplace`], with names relative to open directories.
///
/// It is one step on filesystems that know `RENAME_NOREPLACE`. Elsewhere, a file is renamed by a
/// hard link, which also fails if the name is taken, and a directory by a rename that fails unless
/// the name is free or an empty directory.
pub(super) fn rename_noreplace_at(
    from_dir: impl AsFd,
    from: &[u8],
    to_dir: impl AsFd,
    to: &[u8],
) -> rustix::io::Result<bool> {
    let (from_dir, to_dir) = (from_dir.as_fd(), to_dir.as_fd());
    let flags = RenameFlags::NOREPLACE;
    let renamed = match rustix::fs::renameat_with(from_dir, from, to_dir, to, flags) {
        Err(Errno::INVAL | Errno::NOSYS) => {
            let stat = rustix::fs::statat(from_dir, from, AtFlags::SYMLINK_NOFOLLOW)?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                rustix::fs::renameat(from_dir, from, to_dir, to)
            } else {
                rustix::fs::linkat(from_dir, from, to_dir, to, AtFlags::empty())
                    .and_then(|()| rustix::fs::unlinkat(from_dir, from, AtFlags::empty()))
            }
        }
        renamed => renamed,
    };
    match renamed {
        Ok(()) => Ok(true),
        Err(Errno::EXIST | Errno::NOTEMPTY) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Exchanges two paths in one step; fails where the filesystem cannot.
pub fn exchange(a: &Path, b: &Path) -> Result<()> {
    rustix::fs::renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE).at("exchange", b)
}
