//! A directory among others, looked at and removed by its name and by nothing that the name may lead to.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::beneath::{Beneath, is_absence};
use super::error::{At, Error, Result};
use super::remove::remove_open;
use super::space::mount_of_open;
use crate::model::rel_path::RelPath;

/// A directory and the one that holds it, both held open.
#[derive(Debug)]
pub struct NamedDir {
    parent: Beneath,
    dir: Beneath,
    name: RelPath,
}

/// Which directory it is, and whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirId {
    /// The number of its device.
    pub dev: u64,
    /// Its inode.
    pub ino: u64,
    /// The user it belongs to.
    pub uid: u32,
}

impl NamedDir {
    /// Opens the directory at `path`; `None` if there is no directory that no symlink leads to, or if something is
    /// mounted there.
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

    /// Returns which directory it is.
    pub fn id(&self) -> Result<DirId> {
        let stat = rustix::fs::fstat(self.dir.as_fd()).at("read metadata", &self.path())?;
        Ok(DirId { dev: stat.st_dev, ino: stat.st_ino, uid: stat.st_uid })
    }

    /// Returns what the symlink `name` in it says, and whose it is; `None` if there is none.
    pub fn link(&self, name: &str) -> Result<Option<(Vec<u8>, u32)>> {
        let dir = self.dir.as_fd();
        let read = || {
            let text = rustix::fs::readlinkat(dir, name, Vec::new())?;
            let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
            Ok((text.into_bytes(), stat.st_uid))
        };
        match read() {
            Ok(link) => Ok(Some(link)),
            // It is something else.
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

    /// Removes it and all below it, but for what is mounted there: see [`super::remove::remove_tree`].
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

/// Takes a path apart that leads from the root of the filesystem to a directory, with nothing to be resolved on
/// the way: the parent, none for the root itself, and the name.
fn split(path: &Path) -> Option<(Option<RelPath>, RelPath)> {
    let below = path.as_os_str().as_bytes().strip_prefix(b"/")?;
    let below = RelPath::parse(below).ok()?;
    Some((below.parent(), below.name()))
}
