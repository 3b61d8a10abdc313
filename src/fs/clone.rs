//! Cloning files: they share their blocks, so a clone costs as much as an empty file.

use std::fs::File;
use std::io;

use rustix::io::Errno;

/// Makes `dest` a clone of `source`: they share their blocks until one of them is written to.
/// Returns false, with `dest` unchanged, if the filesystem cannot. XFS and Btrfs can, ext4 and
/// tmpfs cannot, and two filesystems never can: `ioctl_ficlone(2)`.
pub fn clone_bytes(source: &File, dest: &File) -> io::Result<bool> {
    match rustix::fs::ioctl_ficlone(dest, source) {
        Ok(()) => Ok(true),
        Err(Errno::OPNOTSUPP | Errno::XDEV | Errno::INVAL | Errno::NOTTY | Errno::NOSYS) => {
            Ok(false)
        }
        Err(errno) => Err(errno.into()),
    }
}
