//! Errors of the filesystem, with the operation and path they concern.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// The filesystem refused an operation.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} `{}`", path.display())]
pub struct Error {
    /// The operation, as a verb phrase: `create directory`.
    pub action: &'static str,
    /// The path it concerns.
    pub path: PathBuf,
    /// The kernel's error.
    pub source: io::Error,
}

impl Error {
    /// Tells whether the filesystem, or our quota on it, is full.
    pub fn is_full(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self.source.kind(), StorageFull | QuotaExceeded)
    }

    /// Tells whether a file would exceed the size limit of this process: `setrlimit(2)`,
    /// `RLIMIT_FSIZE`.
    pub fn is_past_size_limit(&self) -> bool {
        self.source.kind() == io::ErrorKind::FileTooLarge
    }

    /// Tells whether an entry of the wrong kind is in the way, such as a file in place of a
    /// directory.
    pub fn is_in_the_way(&self) -> bool {
        is_in_the_way(&self.source)
    }

    /// Tells whether permissions or a read-only mount forbid the operation.
    pub fn is_denied(&self) -> bool {
        use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
        matches!(self.source.kind(), PermissionDenied | ReadOnlyFilesystem)
    }
}

/// As [`Error::is_in_the_way`], for an error of the kernel.
pub fn is_in_the_way(error: &io::Error) -> bool {
    use io::ErrorKind::{AlreadyExists, DirectoryNotEmpty, IsADirectory, NotADirectory};
    let is_loop = Errno::from_io_error(error) == Some(Errno::LOOP);
    let kind = error.kind();
    is_loop || matches!(kind, AlreadyExists | DirectoryNotEmpty | IsADirectory | NotADirectory)
}

/// The result of an operation of this layer.
pub type Result<T> = std::result::Result<T, Error>;

/// Adds the operation and the path to an I/O error.
pub trait At<T> {
    /// Wraps the error with `action`, a verb phrase, and the path.
    fn at(self, action: &'static str, path: &Path) -> Result<T>;
}

impl<T, E: Into<io::Error>> At<T> for std::result::Result<T, E> {
    fn at(self, action: &'static str, path: &Path) -> Result<T> {
        self.map_err(|error| Error { action, path: path.to_owned(), source: error.into() })
    }
}
