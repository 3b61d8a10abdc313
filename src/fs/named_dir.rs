//! A directory that is inspected and removed by its name, never through a symlink.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::beneath::{Beneath, is_absence};
use super::error::{At, Error, Result};
use super::remove::remove_open;
use super::space::mount_of_open;
use crate::model::rel_path::RelPath;

/// A directory and its parent, both open.
#[derive(Debug)]
pub struct NamedDir {
    parent: Beneath,
    dir: Beneath,
    name: RelPath,
}

/// The identity and owner of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirId {
    /// Its device number.
    pub dev: u64,
    /// Its inode number.
    pub ino: u64,
    /// The user it belongs to.
    pub uid: u32,
}

impl NamedDir {
    /// Opens the directory at `path`; `None` if it does not exist, if a symlink is on the path, or
    /// if something is mounted there.
    pub fn open(path: &Path) -> Result<Option<Self>> {
        let Some((parent, name)) = split(path) else { return Ok(None) };
        let opened = Beneath::open(Path::new("/")).and_then(|root| {
            let parent = root.open_dir(parent.as_ref())?;
            let dir = parent.open_dir(Some(&name))?;
            Ok((parent, dir))
        });
        let is_absent = |error: &Error| Errno::from_io_error(&error.source).is_some_and(is_absence);
        let (parent, dir) = match opened {
            Err(error) if is_absent(&error) => return Ok(None),
            opened => opened?,
        };
        let mount = |dir: &Beneath| mount_of_open(dir.as_fd()).at("read metadata", path);
        let is_mounted = mount(&parent)? != mount(&dir)?;
        Ok((!is_mounted).then_some(Self { parent, dir, name }))
    }

    /// Returns its identity and owner.
    pub fn id(&self) -> Result<DirId> {
        let stat = rustix::fs::fstat(self.dir.as_fd()).at("read metadata", &self.path())?;
        Ok(DirId { dev: stat.st_dev, ino: stat.st_ino, uid: stat.st_uid })
    }

    /// Returns the text of the symlink `name` in it, and the user id of that symlink's owner;
    /// `None` if there is no such symlink.
    pub fn link(&self, name: &str) -> Result<Option<(Vec<u8>, u32)>> {
        let dir = self.dir.as_fd();
        let read = || {
            let text = rustix::fs::readlinkat(dir, name, Vec::new())?;
            let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
            Ok((text.into_bytes(), stat.st_uid))
        };
        match read() {
            Ok(link) => Ok(Some(link)),
            // Not a symlink.
            Err(Errno::INVAL) => Ok(None),
            Err(errno) if is_absence(errno) => Ok(None),
            Err(errno) => Err(errno).at("read", &self.path().join(name)),
        }
    }

    /// Creates the symlink `name` in it.
    pub fn create_link(&self, name: &str, text: &str) -> Result<()> {
        let created = rustix::fs::symlinkat(text, self.dir.as_fd(), name);
        created.at("create symlink", &self.path().join(name))
    }

    /// Removes it with everything below it, except mounts: see [`super::remove::remove_tree`].
    pub fn remove(self) -> Result<()> {
        let path = self.path();
        let Self { parent, dir, name } = self;
        let dir = rustix::io::fcntl_dupfd_cloexec(dir.as_fd(), 0).at("open directory", &path)?;
        remove_open(parent.as_fd(), name.as_path().as_os_str(), dir, &path)
    }

    fn path(&self) -> PathBuf {
        self.parent.full(&self.name)
    }
}

/// Splits an absolute path without `.` or `..` into its parent and name. The parent of a directory
/// in `/` is `None`.
fn split(path: &Path) -> Option<(Option<RelPath>, RelPath)> {
    let below = path.as_os_str().as_bytes().strip_prefix(b"/")?;
    let below = RelPath::parse(below).ok()?;
    Some((below.parent(), below.name()))
}
