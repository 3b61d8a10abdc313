//! How much room a filesystem has.

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

/// Returns what is known of the filesystem that holds `path`, or would hold it: the nearest
/// parent that exists is asked.
pub fn filesystem_of(path: &Path) -> Result<Filesystem> {
    let existing = nearest_existing(path);
    let space = rustix::fs::statvfs(&existing).at("read the free space at", &existing)?;
    let kind = rustix::fs::statfs(&existing).at("read the free space at", &existing)?;
    let device = existing.metadata().at("read metadata", &existing)?.dev();
    Ok(Filesystem {
        device,
        path: existing,
        total_bytes: space.f_blocks.saturating_mul(space.f_frsize),
        // Not `f_bfree`: what is reserved for root is not ours to fill.
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

/// Returns the time of the filesystem that holds `dir`, as it stamps files with it now.
///
/// Not the clock of the process: cargo compares mtimes with mtimes, and the kernel stamps files
/// with the time of its last tick, some milliseconds behind.
pub fn now_at(dir: &Path) -> Result<Timestamp> {
    let now = || {
        let file = tempfile::tempfile_in(dir)?;
        // Creating it stamps it; a write would stamp it again.
        file.metadata().map(|metadata| Stat::from(&metadata).mtime)
    };
    now().at("create a file in", dir)
}

/// Tells whether something is mounted at `dir`, also another directory of the same filesystem.
/// Linux before 5.8 cannot tell such a one.
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

/// Creates a file without a name in `dir`, which goes when it is closed.
pub fn nameless_file(dir: &Path) -> Result<std::fs::File> {
    tempfile::tempfile_in(dir).at("create a file in", dir)
}

/// Tells whether `path` lies on what is mounted at `/`, or would lie there: in a container that is
/// what goes with it.
pub fn is_on_root_mount(path: &Path) -> Result<bool> {
    Ok(mount_of(&nearest_existing(path))? == mount_of(Path::new("/"))?)
}

/// What tells mounts apart: the numbers of the device, and of the mount itself.
pub(super) type MountId = (u32, u32, u64);

fn mount_of(path: &Path) -> Result<MountId> {
    mount_at(CWD, path, AtFlags::empty()).at("read metadata", path)
}

/// Returns what the open directory `dir` lies on.
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
    fn what_is_mounted_elsewhere_is_not_on_the_root_mount() -> Result<()> {
        let cases =
            [("/", true), ("/proc", false), ("/proc/self/nothing", false), ("/nothing/here", true)];
        for (path, want) in cases {
            assert_eq!(is_on_root_mount(Path::new(path))?, want, "{path}");
        }
        Ok(())
    }
}
