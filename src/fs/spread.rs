//! The place of a new tree on the disk.

use std::path::Path;

use rustix::fs::{IFlags, Mode, OFlags, ioctl_getflags, ioctl_setflags};

/// Asks ext4 to place each new subdirectory of `dir` anew, as it does for those of `/`, instead of
/// beside `dir`. Does nothing on other filesystems.
///
/// ext4 does not reuse an inode for some minutes after its file was deleted (`recently_deleted` in
/// its ialloc.c), but looks at each such inode for every file created nearby. A job deletes its
/// last `target/` and restores the next one to the same place: when 6,000 files were created after
/// as many deletions, this took two thirds of the time.
pub fn spread_subdirs(dir: &Path) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(fd) = rustix::fs::open(dir, flags, Mode::empty()) else { return };
    if let Ok(set) = ioctl_getflags(&fd) {
        // A filesystem that does not know the flag refuses it: then there is nothing to gain.
        let _: rustix::io::Result<()> = ioctl_setflags(&fd, set | IFlags::TOPDIR);
    }
}
