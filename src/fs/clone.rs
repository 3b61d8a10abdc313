//! Sharing bytes between files, where the filesystem can: a clone costs as much as an empty file.

use std::fs::File;
use std::io;

use rustix::io::Errno;

/// Makes `dest` hold the bytes of `source` without copying them, until one of the two is written to;
/// tells whether the filesystem can. If not, `dest` is as it was. `ioctl_ficlone(2)`: XFS and Btrfs
/// can, ext4 and tmpfs cannot, and never between two filesystems.
pub fn clone_bytes(source: &File, dest: &File) -> io::Result<bool> {
    match rustix::fs::ioctl_ficlone(dest, source) {
        Ok(()) => Ok(true),
        Err(Errno::OPNOTSUPP | Errno::XDEV | Errno::INVAL | Errno::NOTTY | Errno::NOSYS) => {
            Ok(false)
        }
        Err(errno) => Err(errno.into()),
    }
}
