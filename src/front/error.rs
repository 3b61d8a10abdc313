//! Why a front could not do what it was told.

use crate::cargo::scratch::ParseScratchError;
use crate::{checkout, github, job};

/// Why a command or a step could not be done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A verb failed.
    #[error(transparent)]
    Job(#[from] job::Error),
    /// A dependency could not be checked out.
    #[error(transparent)]
    Checkout(#[from] checkout::Error),
    /// A file of the runner could not be written.
    #[error(transparent)]
    Files(#[from] github::files::Error),
    /// The system refused something that concerns no path.
    #[error("cannot {action}")]
    Io { action: &'static str, source: std::io::Error },
    /// A pattern of scratch is none.
    #[error(transparent)]
    Scratch(#[from] ParseScratchError),
    /// What was asked for cannot be.
    #[error("{0}")]
    Refused(String),
}

pub(crate) type Result<T> = std::result::Result<T, Error>;

macro_rules! from_errors_of {
    ($($error:ty),*) => {
        $(impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::Job(error.into())
            }
        })*
    };
}
from_errors_of!(crate::store::Error, crate::cargo::Error, crate::fs::Error);
