//! What the filesystem refused, and while doing what.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// The filesystem refused an operation.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} `{}`", path.display())]
pub struct Error {
    /// What we tried, as a verb phrase: `create directory`.
    pub action: &'static str,
    /// The path we tried it on.
    pub path: PathBuf,
    /// What the kernel said.
    pub source: io::Error,
}

impl Error {
    /// Tells whether the filesystem is full, or our quota on it is.
    pub fn is_full(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self.source.kind(), StorageFull | QuotaExceeded)
    }

    /// Tells whether a file would get longer than this process may write: `setrlimit(2)`, `RLIMIT_FSIZE`.
    pub fn is_past_size_limit(&self) -> bool {
        self.source.kind() == io::ErrorKind::FileTooLarge
    }

    /// Tells whether what is there is not what it would have to be, a directory or a file: it is in the way.
    pub fn is_in_the_way(&self) -> bool {
        is_in_the_way(&self.source)
    }

    /// Tells whether we may not do it.
    pub fn is_denied(&self) -> bool {
        use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
        matches!(self.source.kind(), PermissionDenied | ReadOnlyFilesystem)
    }
}

/// Tells the same of what the kernel said.
pub fn is_in_the_way(error: &io::Error) -> bool {
    use io::ErrorKind::{AlreadyExists, DirectoryNotEmpty, IsADirectory, NotADirectory};
    let is_loop = Errno::from_io_error(error) == Some(Errno::LOOP);
    let kind = error.kind();
    is_loop || matches!(kind, AlreadyExists | DirectoryNotEmpty | IsADirectory | NotADirectory)
}

/// What operations of this layer return.
pub type Result<T> = std::result::Result<T, Error>;

/// Says what was being done, and to which path, when an I/O error came up.
pub trait At<T> {
    /// Wraps the error with a verb phrase and the path.
    fn at(self, action: &'static str, path: &Path) -> Result<T>;
}

impl<T, E: Into<io::Error>> At<T> for std::result::Result<T, E> {
    fn at(self, action: &'static str, path: &Path) -> Result<T> {
        self.map_err(|error| Error { action, path: path.to_owned(), source: error.into() })
    }
}
