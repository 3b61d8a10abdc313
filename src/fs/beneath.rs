//! File operations that stay below one directory.
//!
//! Paths in manifests and packs are hostile input. Every operation here resolves its path beneath
//! an open directory and through no symlink, so neither `..` nor a symlink that another process
//! creates meanwhile leads out of it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Mode, OFlags, RenameFlags, ResolveFlags, Timespec, Timestamps, UTIME_OMIT,
};
use rustix::io::Errno;

use super::atime::unread;
use super::error::{At, Error, Result};
use super::rename::rename_noreplace_at;
use super::stat::{Kind, Stat};
use crate::model::rel_path::RelPath;
use crate::model::timestamp::Timestamp;

/// An open directory; all operations stay below it.
#[derive(Debug)]
pub struct Beneath {
    dir: OwnedFd,
    path: PathBuf,
}

impl Beneath {
    /// Opens `dir`, which must exist; it may itself be a symlink.
    pub fn open(dir: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(dir, flags, Mode::empty()).at("open directory", dir)?;
        Ok(Self { dir: fd, path: dir.to_owned() })
    }

    /// Opens a directory below this one, or this one itself for `None`.
    pub fn open_dir(&self, path: Option<&RelPath>) -> Result<Self> {
        let Some(path) = path else {
            let dir = rustix::io::fcntl_dupfd_cloexec(&self.dir, 0);
            return Ok(Self {
                dir: dir.at("open directory", &self.path)?,
                path: self.path.clone(),
            });
        };
        let dir = self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty());
        let dir = dir.map_err(|errno| self.refused("open directory", path, errno))?;
        Ok(Self { dir, path: self.full(path) })
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Returns the path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Creates a directory with mode 0700; its parent must exist.
    pub fn create_dir(&self, path: &RelPath) -> Result<()> {
        let create = || rustix::fs::mkdirat(self.parent(path)?, name(path), Mode::RWXU);
        create().map_err(|errno| self.refused("create directory", path, errno))
    }

    /// Creates the missing parents of `path`.
    pub fn create_parents(&self, path: &RelPath) -> Result<()> {
        let Some(parent) = path.parent() else { return Ok(()) };
        match self.stat(&parent)?.map(|stat| stat.kind) {
            Some(Kind::Dir) => return Ok(()),
            Some(_) => return Err(self.refused("create directory", &parent, Errno::NOTDIR)),
            None => {}
        }
        self.create_parents(&parent)?;
        let mode = Mode::RWXU | Mode::RWXG | Mode::RWXO;
        let create = || rustix::fs::mkdirat(self.parent(&parent)?, name(&parent), mode);
        match create() {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(errno) => Err(self.refused("create directory", &parent, errno)),
        }
    }

    /// Creates a file for writing, with the permission bits of `mode` that the umask leaves; fails
    /// if the path is taken.
    pub fn create_file(&self, path: &RelPath, mode: u32) -> Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let file = self.open_at(path, flags, Mode::from_raw_mode(mode & 0o777));
        file.map(File::from).map_err(|errno| self.refused("create", path, errno))
    }

    /// Opens an existing file for writing, without truncating it.
    pub fn open_for_writing(&self, path: &RelPath) -> Result<File> {
        let file = self.open_at(path, OFlags::WRONLY, Mode::empty());
        file.map(File::from).map_err(|errno| self.refused("open", path, errno))
    }

    /// Opens a file for reading. Does not wait for the writer of a fifo.
    pub fn open_for_reading(&self, path: &RelPath) -> Result<File> {
        let file = self.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty());
        file.map(File::from).map_err(|errno| self.refused("open", path, errno))
    }

    /// Creates a symlink to `target`, which may be anything.
    pub fn create_symlink(&self, path: &RelPath, target: &[u8]) -> Result<()> {
        let create = || rustix::fs::symlinkat(target, self.parent(path)?, name(path));
        create().map_err(|errno| self.refused("create symlink", path, errno))
    }

    /// Creates `path` as a hard link to the file `of`.
    pub fn create_hard_link(&self, path: &RelPath, of: &RelPath) -> Result<()> {
        self.create_hard_link_to(path, self, of)
    }

    /// Creates `path` as a hard link to the file `of` below `other`.
    pub fn create_hard_link_to(&self, path: &RelPath, other: &Self, of: &RelPath) -> Result<()> {
        let create = || {
            let (from, to) = (other.parent(of)?, self.parent(path)?);
            rustix::fs::linkat(from, name(of), to, name(path), AtFlags::empty())
        };
        create().map_err(|errno| self.refused("create hard link", path, errno))
    }

    /// Renames `from` below `other` to `to` here, replacing an existing file.
    pub fn rename_from(&self, to: &RelPath, other: &Self, from: &RelPath) -> Result<()> {
        let rename =
            || rustix::fs::renameat(other.parent(from)?, name(from), self.parent(to)?, name(to));
        rename().map_err(|errno| self.refused("rename", to, errno))
    }

    /// Renames `from` below `other` to `to` here if nothing is there; returns whether it did.
    pub fn rename_noreplace_from(
        &self,
        to: &RelPath,
        other: &Self,
        from: &RelPath,
    ) -> Result<bool> {
        let rename = || {
            let (from_dir, to_dir) = (other.parent(from)?, self.parent(to)?);
            rename_noreplace_at(&from_dir, name(from), &to_dir, name(to))
        };
        rename().map_err(|errno| self.refused("rename to", to, errno))
    }

    /// Moves `path` to the same path below `other`, where its parent must exist and the name must
    /// be free. Returns whether it moved. A directory without write permission for its owner keeps
    /// its mode.
    pub fn move_to(&self, path: &RelPath, other: &Self) -> Result<bool> {
        match other.rename_noreplace_from(path, self, path) {
            Err(error) if error.is_denied() => {
                // A directory can get another parent only if its owner may write to it: rename(2).
                let Some(stat) = self.stat(path)?.filter(|stat| stat.kind == Kind::Dir) else {
                    return Err(error);
                };
                self.set_dir_mode(path, stat.mode | 0o700)?;
                let moved = other.rename_noreplace_from(path, self, path)?;
                if moved { other } else { self }.set_dir_mode(path, stat.mode)?;
                Ok(moved)
            }
            moved => moved,
        }
    }

    fn set_dir_mode(&self, path: &RelPath, mode: u32) -> Result<()> {
        let set = || {
            let mode = Mode::from_raw_mode(mode);
            rustix::fs::chmodat(self.parent(path)?, name(path), mode, AtFlags::empty())
        };
        set().map_err(|errno| self.refused("set the mode of", path, errno))
    }

    /// Exchanges `path` here with `theirs` below `other`, in one step.
    pub fn exchange_with(&self, path: &RelPath, other: &Self, theirs: &RelPath) -> Result<()> {
        let exchange = || {
            let (their_dir, dir) = (other.parent(theirs)?, self.parent(path)?);
            let flags = RenameFlags::EXCHANGE;
            rustix::fs::renameat_with(their_dir, name(theirs), dir, name(path), flags)
        };
        exchange().map_err(|errno| self.refused("exchange", path, errno))
    }

    /// Returns the stat of `path` itself, not of a symlink's target; `None` if it does not exist.
    pub fn stat(&self, path: &RelPath) -> Result<Option<Stat>> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let ask = || rustix::fs::statat(self.parent(path)?, name(path), flags);
        match ask() {
            Ok(stat) => Ok(Some(Stat::from(&stat))),
            Err(errno) if is_absence(errno) => Ok(None),
            Err(errno) => Err(self.refused("read metadata", path, errno)),
        }
    }

    /// Sets the mtime of `path` itself, not of a symlink's target; its atime stays.
    pub fn set_mtime(&self, path: &RelPath, mtime: Timestamp) -> Result<()> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let set =
            || rustix::fs::utimensat(self.parent(path)?, name(path), &only_mtime(mtime), flags);
        set().map_err(|errno| self.refused("set the mtime of", path, errno))
    }

    /// Marks a file as unread; see [`super::atime`]. Its mtime stays.
    pub fn forget_reads(&self, path: &RelPath) -> Result<()> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let times = Timestamps { last_access: unread(), last_modification: OMITTED };
        let set = || rustix::fs::utimensat(self.parent(path)?, name(path), &times, flags);
        set().map_err(|errno| self.refused("set the atime of", path, errno))
    }

    /// Sets the mtime of the open directory itself.
    pub fn set_own_mtime(&self, mtime: Timestamp) -> Result<()> {
        rustix::fs::futimens(&self.dir, &only_mtime(mtime)).at("set the mtime of", &self.path)
    }

    /// Sets the permission bits and the mtime of a directory. Special bits that it inherited from
    /// its parent stay, such as setgid.
    pub fn finish_dir(&self, path: &RelPath, mode: u32, mtime: Timestamp) -> Result<()> {
        let finish = || {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            let dir = self.open_at(path, flags, Mode::empty())?;
            let special = rustix::fs::fstat(&dir)?.st_mode & 0o7000;
            rustix::fs::futimens(&dir, &only_mtime(mtime))?;
            rustix::fs::fchmod(&dir, Mode::from_raw_mode(special | mode & 0o777))
        };
        finish().map_err(|errno| self.refused("set the mtime of", path, errno))
    }

    /// Returns the full path, for errors.
    pub fn full(&self, path: &RelPath) -> PathBuf {
        self.path.join(path.as_path())
    }

    fn parent(&self, path: &RelPath) -> rustix::io::Result<Parent<'_>> {
        Ok(match path.parent() {
            Some(parent) => {
                let flags = OFlags::PATH | OFlags::DIRECTORY;
                Parent::Opened(self.open_at(&parent, flags, Mode::empty())?)
            }
            None => Parent::Held(self.dir.as_fd()),
        })
    }

    fn open_at(&self, path: &RelPath, flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC;
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(&self.dir, path.as_path(), flags, mode, resolve) {
            // Linux before 5.6, or a container whose seccomp profile does not know openat2.
            Err(Errno::NOSYS | Errno::PERM) => self.open_by_steps(path, flags, mode),
            // `O_PATH | O_NOFOLLOW` on a symlink itself: openat2 refuses even the last component.
            Err(Errno::LOOP) if flags.contains(OFlags::NOFOLLOW) => {
                self.open_by_steps(path, flags, mode)
            }
            result => result,
        }
    }

    /// Opens one component after another and follows no symlink.
    fn open_by_steps(
        &self,
        path: &RelPath,
        flags: OFlags,
        mode: Mode,
    ) -> rustix::io::Result<OwnedFd> {
        let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut components = path.components().peekable();
        let mut dir = rustix::io::fcntl_dupfd_cloexec(&self.dir, 0)?;
        while let Some(component) = components.next() {
            if components.peek().is_none() {
                return rustix::fs::openat(&dir, component, flags | OFlags::NOFOLLOW, mode);
            }
            dir = rustix::fs::openat(&dir, component, step, Mode::empty())?;
        }
        Err(Errno::INVAL)
    }

    fn refused(&self, action: &'static str, path: &RelPath, errno: Errno) -> Error {
        Error { action, path: self.full(path), source: io::Error::from(errno) }
    }
}

/// The parent directory of a path.
enum Parent<'a> {
    /// The directory that `Beneath` holds open.
    Held(BorrowedFd<'a>),
    /// A directory opened for this operation.
    Opened(OwnedFd),
}

impl AsFd for Parent<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Held(dir) => *dir,
            Self::Opened(dir) => dir.as_fd(),
        }
    }
}

/// Sets the permission bits and the mtime of an open file that was created with the permission bits
/// `created`. Its atime stays, unless it is marked as unread.
pub fn finish_file(file: &File, mode: u32, created: u32, times: FileTimes) -> io::Result<()> {
    // Set the mode first: that does not change the mtime, and the file is already written.
    if created != mode {
        rustix::fs::fchmod(file.as_fd(), Mode::from_raw_mode(mode))?;
    }
    let mut stamps = only_mtime(times.mtime);
    if times.is_unread {
        stamps.last_access = unread();
    }
    Ok(rustix::fs::futimens(file.as_fd(), &stamps)?)
}

/// The times of a new file.
#[derive(Clone, Copy, Debug)]
pub struct FileTimes {
    /// The mtime.
    pub mtime: Timestamp,
    /// Whether it is marked as unread; see [`super::atime`].
    pub is_unread: bool,
}

/// Returns the umask: the permission bits that the kernel clears for a new file. Returns all bits
/// if it is unknown. See `proc_pid_status(5)`.
pub fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    line.and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok()).unwrap_or(0o777)
}

/// Opens a path that was found to be a regular file, for reading. Follows no symlink, and does not
/// wait for the writer of a fifo that has taken its place.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

fn name(path: &RelPath) -> &[u8] {
    path.file_name()
}

/// Tells whether an error means that nothing is at a path, or only something behind a symlink,
/// which is not ours.
pub(super) fn is_absence(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::NOTDIR | Errno::LOOP)
}

/// The value that leaves a time unchanged.
const OMITTED: Timespec = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };

fn only_mtime(mtime: Timestamp) -> Timestamps {
    Timestamps {
        last_access: OMITTED,
        last_modification: Timespec { tv_sec: mtime.secs(), tv_nsec: mtime.nanos().into() },
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::parse(text.as_bytes()).expect("a path below a root")
    }

    #[test]
    fn no_symlink_leads_out_of_the_directory() -> std::result::Result<(), Box<dyn Error>> {
        let (outside, inside) = (tempfile::tempdir()?, tempfile::tempdir()?);
        symlink(outside.path(), inside.path().join("link"))?;
        fs::write(outside.path().join("file"), "untouched")?;
        let beneath = Beneath::open(inside.path())?;

        assert!(beneath.create_file(&path("link/new"), 0o600).is_err());
        assert!(beneath.open_for_writing(&path("link/file")).is_err());
        assert!(beneath.create_dir(&path("link/dir")).is_err());
        assert!(beneath.create_symlink(&path("link/symlink"), b"x").is_err());
        assert!(beneath.set_mtime(&path("link/file"), Timestamp::new(1, 0)).is_err());
        assert_eq!(
            beneath.open_by_steps(&path("link/file"), OFlags::RDONLY, Mode::empty()).err(),
            Some(Errno::NOTDIR)
        );

        let names: Vec<_> = fs::read_dir(outside.path())?.collect::<io::Result<_>>()?;
        assert_eq!(names.len(), 1);
        Ok(())
    }

    #[test]
    fn times_keep_their_nanoseconds_on_files_dirs_and_links()
    -> std::result::Result<(), Box<dyn Error>> {
        let dir = tempfile::tempdir()?;
        let beneath = Beneath::open(dir.path())?;
        let mtime = Timestamp::new(1_234_567_890, 987_654_321);
        beneath.create_dir(&path("d"))?;
        beneath.create_symlink(&path("l"), b"nowhere")?;
        let times = FileTimes { mtime, is_unread: false };
        finish_file(&beneath.create_file(&path("f"), 0o600)?, 0o640, 0o600, times)?;
        beneath.set_mtime(&path("l"), mtime)?;
        beneath.finish_dir(&path("d"), 0o750, mtime)?;
        for (name, mode) in [("f", 0o640), ("d", 0o750), ("l", 0o777)] {
            let stat = beneath.stat(&path(name))?.ok_or("gone")?;
            assert_eq!((stat.mtime, stat.mode), (mtime, mode), "{name}");
        }
        Ok(())
    }
}
