//! The space, time and mounts of filesystems.

use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxFlags};

use super::error::{At, Result};
use super::stat::Stat;
use crate::model::filesystem::Filesystem;
use crate::model::timestamp::Timestamp;

/// The magic number of tmpfs: statfs(2).
const TMPFS_MAGIC: i64 = 0x0102_1994;

/// Returns the facts about the filesystem that holds `path`. If `path` does not exist, its nearest
/// existing parent decides.
pub fn filesystem_of(path: &Path) -> Result<Filesystem> {
    let existing = nearest_existing(path);
    let space = rustix::fs::statvfs(&existing).at("read the free space at", &existing)?;
    let kind = rustix::fs::statfs(&existing).at("read the free space at", &existing)?;
    let device = existing.metadata().at("read metadata", &existing)?.dev();
    Ok(Filesystem {
        device,
        path: existing,
        total_bytes: space.f_blocks.saturating_mul(space.f_frsize),
        // Not `f_bfree`: the blocks reserved for root are not ours to fill.
        free_bytes: space.f_bavail.saturating_mul(space.f_frsize),
        used_bytes: space.f_blocks.saturating_sub(space.f_bfree).saturating_mul(space.f_frsize),
        total_inodes: space.f_files,
        free_inodes: space.f_favail,
        is_memory: kind.f_type == TMPFS_MAGIC,
    })
}

fn nearest_existing(path: &Path) -> PathBuf {
    let exists = |path: &&Path| path.exists();
    path.ancestors().find(exists).unwrap_or(Path::new("/")).to_owned()
}

/// Returns the current time of the filesystem that holds `dir`, as it stamps files.
///
/// This differs from the clock of the process: the kernel stamps files with the time of its last
/// tick, some milliseconds behind. cargo compares mtimes with mtimes.
pub fn now_at(dir: &Path) -> Result<Timestamp> {
    let now = || {
        let file = tempfile::tempfile_in(dir)?;
        // Creating the file stamps it; a write would stamp it again.
        file.metadata().map(|metadata| Stat::from(&metadata).mtime)
    };
    now().at("create a file in", dir)
}

/// Tells whether `dir` is a mount point. Linux before 5.8 does not recognise a bind mount of
/// another directory of the same filesystem.
pub fn is_mount_point(dir: &Path) -> Result<bool> {
    match (dir.exists(), dir.parent()) {
        (true, Some(parent)) => Ok(mount_of(dir)? != mount_of(parent)?),
        _ => Ok(false),
    }
}

/// Tells whether both paths lie on the same mount, so that one can be renamed to the other.
pub fn is_same_mount(a: &Path, b: &Path) -> Result<bool> {
    Ok(mount_of(a)? == mount_of(b)?)
}

/// Creates an unnamed file in `dir`, which disappears when it is closed.
pub fn nameless_file(dir: &Path) -> Result<std::fs::File> {
    tempfile::tempfile_in(dir).at("create a file in", dir)
}

/// Tells whether `path` lies, or would lie, on the mount at `/`; in a container, such files
/// disappear with it.
pub fn is_on_root_mount(path: &Path) -> Result<bool> {
    Ok(mount_of(&nearest_existing(path))? == mount_of(Path::new("/"))?)
}

/// The identity of a mount: major and minor device number, and mount id.
pub(super) type MountId = (u32, u32, u64);

fn mount_of(path: &Path) -> Result<MountId> {
    mount_at(CWD, path, AtFlags::empty()).at("read metadata", path)
}

/// Returns the mount that the open directory `dir` lies on.
pub(super) fn mount_of_open(dir: BorrowedFd<'_>) -> rustix::io::Result<MountId> {
    mount_at(dir, Path::new(""), AtFlags::EMPTY_PATH)
}

fn mount_at(dir: BorrowedFd<'_>, path: &Path, flags: AtFlags) -> rustix::io::Result<MountId> {
    let stat = rustix::fs::statx(dir, path, flags, StatxFlags::MNT_ID)?;
    Ok((stat.stx_dev_major, stat.stx_dev_minor, stat.stx_mnt_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_mount_is_not_the_root_mount() -> Result<()> {
        let cases =
            [("/", true), ("/proc", false), ("/proc/self/nothing", false), ("/nothing/here", true)];
        for (path, want) in cases {
            assert_eq!(is_on_root_mount(Path::new(path))?, want, "{path}");
        }
        Ok(())
    }
}
