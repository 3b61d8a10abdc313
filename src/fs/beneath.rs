//! Writing below one directory and nowhere else.
//!
//! Paths of manifests and packs are hostile input. Every operation here resolves its path
//! beneath a directory that is held open, through no symlink at all, so that neither `..` nor a
//! link that somebody plants while we work leads out of it.

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

/// A directory held open; all operations stay below it.
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

    /// Opens a directory below this one; `None` is this one itself.
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

    /// Creates a directory that only we may enter; its parent must exist.
    pub fn create_dir(&self, path: &RelPath) -> Result<()> {
        let create = || rustix::fs::mkdirat(self.parent(path)?, name(path), Mode::RWXU);
        create().map_err(|errno| self.refused("create directory", path, errno))
    }

    /// Creates the directories that lead to `path`, as far as they are missing.
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

    /// Creates a file for writing, with those of the permission bits `mode` that umask leaves; fails if
    /// the path is taken.
    pub fn create_file(&self, path: &RelPath, mode: u32) -> Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let file = self.open_at(path, flags, Mode::from_raw_mode(mode & 0o777));
        file.map(File::from).map_err(|errno| self.refused("create", path, errno))
    }

    /// Opens a file that exists for writing, leaving what it holds.
    pub fn open_for_writing(&self, path: &RelPath) -> Result<File> {
        let file = self.open_at(path, OFlags::WRONLY, Mode::empty());
        file.map(File::from).map_err(|errno| self.refused("open", path, errno))
    }

    /// Opens a file for reading, without waiting for a writer if it is a fifo.
    pub fn open_for_reading(&self, path: &RelPath) -> Result<File> {
        let file = self.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty());
        file.map(File::from).map_err(|errno| self.refused("open", path, errno))
    }

    /// Creates a symlink that points to `target`, whatever that is.
    pub fn create_symlink(&self, path: &RelPath, target: &[u8]) -> Result<()> {
        let create = || rustix::fs::symlinkat(target, self.parent(path)?, name(path));
        create().map_err(|errno| self.refused("create symlink", path, errno))
    }

    /// Gives the file `of` the further name `path`.
    pub fn create_hard_link(&self, path: &RelPath, of: &RelPath) -> Result<()> {
        self.create_hard_link_to(path, self, of)
    }

    /// Gives the file `of` below `other` the further name `path` here.
    pub fn create_hard_link_to(&self, path: &RelPath, other: &Self, of: &RelPath) -> Result<()> {
        let create = || {
            let (from, to) = (other.parent(of)?, self.parent(path)?);
            rustix::fs::linkat(from, name(of), to, name(path), AtFlags::empty())
        };
        create().map_err(|errno| self.refused("create hard link", path, errno))
    }

    /// Renames `from`, which is below `other`, to `to` here, replacing a file that is there.
    pub fn rename_from(&self, to: &RelPath, other: &Self, from: &RelPath) -> Result<()> {
        let rename =
            || rustix::fs::renameat(other.parent(from)?, name(from), self.parent(to)?, name(to));
        rename().map_err(|errno| self.refused("rename", to, errno))
    }

    /// Renames `from`, which is below `other`, to `to` here if nothing is there; tells whether.
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

    /// Moves `path` to where `other` has a directory for it and nothing of that name; tells whether it is there
    /// now. A directory that shuts its owner out keeps its mode.
    pub fn move_to(&self, path: &RelPath, other: &Self) -> Result<bool> {
        match other.rename_noreplace_from(path, self, path) {
            Err(error) if error.is_denied() => {
                // A directory that changes its parent must let its owner write: rename(2).
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

    /// Exchanges `path` here with `theirs` below `other` in one step.
    pub fn exchange_with(&self, path: &RelPath, other: &Self, theirs: &RelPath) -> Result<()> {
        let exchange = || {
            let (their_dir, dir) = (other.parent(theirs)?, self.parent(path)?);
            let flags = RenameFlags::EXCHANGE;
            rustix::fs::renameat_with(their_dir, name(theirs), dir, name(path), flags)
        };
        exchange().map_err(|errno| self.refused("exchange", path, errno))
    }

    /// Asks about `path` itself; one that does not exist has no stat.
    pub fn stat(&self, path: &RelPath) -> Result<Option<Stat>> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let ask = || rustix::fs::statat(self.parent(path)?, name(path), flags);
        match ask() {
            Ok(stat) => Ok(Some(Stat::from(&stat))),
            Err(errno) if is_absence(errno) => Ok(None),
            Err(errno) => Err(self.refused("read metadata", path, errno)),
        }
    }

    /// Sets the mtime of `path` itself, not of what it may point to; its atime stays.
    pub fn set_mtime(&self, path: &RelPath, mtime: Timestamp) -> Result<()> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let set =
            || rustix::fs::utimensat(self.parent(path)?, name(path), &only_mtime(mtime), flags);
        set().map_err(|errno| self.refused("set the mtime of", path, errno))
    }

    /// Makes a file look as if nobody had read it; see [`super::atime`]. Its mtime stays.
    pub fn forget_reads(&self, path: &RelPath) -> Result<()> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let times = Timestamps { last_access: unread(), last_modification: OMITTED };
        let set = || rustix::fs::utimensat(self.parent(path)?, name(path), &times, flags);
        set().map_err(|errno| self.refused("set the atime of", path, errno))
    }

    /// Sets the mtime of the directory that is held open.
    pub fn set_own_mtime(&self, mtime: Timestamp) -> Result<()> {
        rustix::fs::futimens(&self.dir, &only_mtime(mtime)).at("set the mtime of", &self.path)
    }

    /// Sets the permission bits and the mtime of a directory. What it has beside them from the directory that it was
    /// made in, as the bit that hands the group on, stays.
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

    /// Returns the path as errors show it.
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
            // Linux before 5.6, or a container whose seccomp profile does not know the call.
            Err(Errno::NOSYS | Errno::PERM) => self.open_by_steps(path, flags, mode),
            // `O_PATH | O_NOFOLLOW` of a link itself: openat2 refuses even the last component.
            Err(Errno::LOOP) if flags.contains(OFlags::NOFOLLOW) => {
                self.open_by_steps(path, flags, mode)
            }
            result => result,
        }
    }

    /// Opens one component after the other, following none that is a symlink.
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

/// The directory that holds a path.
enum Parent<'a> {
    /// It is the one that is held open.
    Held(BorrowedFd<'a>),
    /// It was opened for this.
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

/// Sets the permission bits and the mtime of an open file that was created with `created` ones of
/// them; its atime stays, unless it is to look as if nobody had read it.
pub fn finish_file(file: &File, mode: u32, created: u32, times: FileTimes) -> io::Result<()> {
    // The mode first: it does not change the mtime, and writing no longer happens.
    if created != mode {
        rustix::fs::fchmod(file.as_fd(), Mode::from_raw_mode(mode))?;
    }
    let mut stamps = only_mtime(times.mtime);
    if times.is_unread {
        stamps.last_access = unread();
    }
    Ok(rustix::fs::futimens(file.as_fd(), &stamps)?)
}

/// The times that a new file gets.
#[derive(Clone, Copy, Debug)]
pub struct FileTimes {
    /// When its bytes last changed.
    pub mtime: Timestamp,
    /// Whether it looks as if nobody had read it; see [`super::atime`].
    pub is_unread: bool,
}

/// Returns which permission bits a new file does not get from the kernel; all where that cannot be
/// told. `proc_pid_status(5)`.
pub fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    line.and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok()).unwrap_or(0o777)
}

/// Opens what was found to be a regular file for reading: never follows a link, never waits for
/// the writer of a fifo that took its place.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

fn name(path: &RelPath) -> &[u8] {
    path.file_name()
}

/// Tells whether nothing is at a path, or only behind a symlink, where nothing is ours.
pub(super) fn is_absence(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::NOTDIR | Errno::LOOP)
}

/// A time that stays as it is.
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
