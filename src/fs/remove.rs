//! Removing files and directories of ours.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::error::{At, Error, Result};
use super::space::{MountId, mount_of_open};

/// Removes `dir` with everything below it, following no symlink. Succeeds if `dir` does not exist;
/// a file at `dir` is removed, too.
///
/// A build may leave read-only directories: they are made writable first. A mount at or below `dir`
/// is not ours: it stays, with the directories above it, and is an error. If an entry cannot be
/// removed, the others are removed all the same; the first error is returned.
pub fn remove_tree(dir: &Path) -> Result<()> {
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    let Some(name) = dir.file_name() else { return Err(Errno::INVAL).at("remove", dir) };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match rustix::fs::open(parent, flags, Mode::empty()) {
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
        opened => remove_at(opened.at("open directory", parent)?.as_fd(), name, dir),
    }
}

/// As [`remove_tree`], for `name` in the open directory `parent`; errors show `path`.
fn remove_at(parent: BorrowedFd<'_>, name: &OsStr, path: &Path) -> Result<()> {
    let mount = mount_of_open(parent).at("read metadata", path)?;
    remove_entry(parent, name, None, mount, path)
}

fn remove_entry(
    parent: BorrowedFd<'_>,
    name: &OsStr,
    kind: Option<FileType>,
    mount: MountId,
    path: &Path,
) -> Result<()> {
    if kind != Some(FileType::Directory) {
        match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            // For a directory POSIX specifies `EPERM`, and Linux returns `EISDIR`; an immutable
            // file is `EPERM` too.
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(errno) => return Err(errno).at("remove", path),
        }
    }
    let dir = match open_entry(parent, name) {
        Err(Errno::NOENT) => return Ok(()),
        Err(Errno::NOTDIR | Errno::LOOP) => return Err(Errno::PERM).at("remove", path),
        opened => opened.at("open directory", path)?,
    };
    if mount_of_open(dir.as_fd()).at("read metadata", path)? != mount {
        let source = io::Error::new(io::ErrorKind::CrossesDevices, "something is mounted there");
        return Err(Error { action: "remove", path: path.to_owned(), source });
    }
    remove_open(parent, name, dir, path)
}

/// Removes the directory `name` in `parent`, open as `dir`, with everything below it.
pub(super) fn remove_open(
    parent: BorrowedFd<'_>,
    name: &OsStr,
    dir: OwnedFd,
    path: &Path,
) -> Result<()> {
    empty(dir, path)?;
    match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno).at("remove", path),
    }
}

/// Opens the directory `name` for reading, even one of ours without permissions.
fn open_entry(parent: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || rustix::fs::openat(parent, name, flags, Mode::empty());
    match open() {
        Err(Errno::ACCESS) => {
            // Not a symlink: `O_NOFOLLOW` would have reported that first.
            rustix::fs::chmodat(parent, name, Mode::RWXU, AtFlags::empty())?;
            open()
        }
        opened => opened,
    }
}

/// Removes everything in an open directory.
fn empty(dir: OwnedFd, path: &Path) -> Result<()> {
    // Reading a directory while it shrinks may skip entries, so read it again.
    const ROUNDS: usize = 4;
    let mount = mount_of_open(dir.as_fd()).at("read metadata", path)?;
    let mut dir = Dir::new(dir).at("read directory", path)?;
    let mut failed = Ok(());
    let mut is_opened = false;
    for _ in 0..ROUNDS {
        let mut found = 0;
        while let Some(entry) = dir.read() {
            let entry = entry.at("read directory", path)?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            found += 1;
            let below = path.join(name);
            let fd = dir.fd().at("read directory", path)?;
            let mut removed = remove_entry(fd, name, Some(entry.file_type()), mount, &below);
            let is_shut = |error: &Error| error.source.kind() == io::ErrorKind::PermissionDenied;
            if !is_opened && removed.as_ref().is_err_and(is_shut) {
                is_opened = true;
                // Only the owner may do this; if it fails, the next removal reports the error.
                let _: rustix::io::Result<()> = rustix::fs::fchmod(fd, Mode::RWXU);
                removed = remove_entry(fd, name, None, mount, &below);
            }
            failed = failed.and(removed);
        }
        if found == 0 || failed.is_err() {
            break;
        }
        dir.rewind();
    }
    failed
}

/// Gives the owner full access to the directory at `path`; does nothing if it is no directory.
pub fn open_dir(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            let mode = metadata.permissions().mode() | 0o700;
            fs::set_permissions(path, Permissions::from_mode(mode)).at("set the mode of", path)
        }
        _ => Ok(()),
    }
}

/// Removes a file; succeeds if it does not exist.
pub fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).at("remove", path),
        _ => Ok(()),
    }
}

/// Removes a directory if it is empty; returns whether it did.
pub fn remove_empty_dir(path: &Path) -> bool {
    // The kernel checks that it is an empty directory; anything else stays.
    fs::remove_dir(path).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removal_of_nothing_succeeds_and_links_are_not_followed() -> io::Result<()> {
        let (outside, dir) = (tempfile::tempdir()?, tempfile::tempdir()?);
        fs::write(outside.path().join("file"), "stays")?;
        let tree = dir.path().join("tree");
        fs::create_dir_all(tree.join("deep"))?;
        std::os::unix::fs::symlink(outside.path(), tree.join("deep/link"))?;
        fs::set_permissions(tree.join("deep"), Permissions::from_mode(0o500))?;
        for _ in 0..2 {
            remove_tree(&tree).map_err(|error| error.source)?;
            assert!(!tree.exists());
        }
        assert_eq!(fs::read_to_string(outside.path().join("file"))?, "stays");
        for _ in 0..2 {
            remove_file(&outside.path().join("file")).map_err(|error| error.source)?;
            assert!(!outside.path().join("file").exists());
        }
        Ok(())
    }
}
