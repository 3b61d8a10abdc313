//! What the filesystem refused, and while doing what.

use std::io;
use std::path::{Path, PathBuf};

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

    /// Tells whether we may not do it.
    pub fn is_denied(&self) -> bool {
        use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
        matches!(self.source.kind(), PermissionDenied | ReadOnlyFilesystem)
    }
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
