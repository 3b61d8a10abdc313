//! Removing what is ours.

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

/// Removes `dir` and all below it, following no symlink; one that does not exist is removed
/// already, and whatever else is there goes too.
///
/// A build may leave directories that it made read-only: they are opened first. What is mounted below, or at
/// `dir` itself, is somebody else's: it stays, with the directories that lead to it, and is an error. What cannot
/// be removed keeps nothing else from going; the first error is returned.
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

/// The same of `name` in the open directory `parent`; `path` is what errors call it.
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
            // POSIX wants `EPERM` for a directory, Linux has `EISDIR`; a file that is immutable is `EPERM` too.
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

/// Removes the directory `name` in `parent`, which is open as `dir`.
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

/// Opens the directory `name` for reading, also one of ours that shuts everybody out.
fn open_entry(parent: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || rustix::fs::openat(parent, name, flags, Mode::empty());
    match open() {
        Err(Errno::ACCESS) => {
            // It is no symlink: opening it without following would have said so first.
            rustix::fs::chmodat(parent, name, Mode::RWXU, AtFlags::empty())?;
            open()
        }
        opened => opened,
    }
}

/// Removes all that is in an open directory.
fn empty(dir: OwnedFd, path: &Path) -> Result<()> {
    // A directory that is read while it shrinks may show less than it holds: it is read again.
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
                // Only its owner may do this; what then still fails says so.
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

/// Lets us into a directory of ours that shuts everybody out; whatever else is there stays as it is.
pub fn open_dir(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            let mode = metadata.permissions().mode() | 0o700;
            fs::set_permissions(path, Permissions::from_mode(mode)).at("set the mode of", path)
        }
        _ => Ok(()),
    }
}

/// Removes a file; one that does not exist is removed already.
pub fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).at("remove", path),
        _ => Ok(()),
    }
}

/// Removes a directory that is empty; tells whether it is gone.
pub fn remove_empty_dir(path: &Path) -> bool {
    // The kernel decides whether it is empty; whatever else is there stays.
    fs::remove_dir(path).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_removed_and_links_are_not_followed() -> io::Result<()> {
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
