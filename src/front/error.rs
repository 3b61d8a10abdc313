//! The errors of a front: the command line or the Action.

use crate::cargo::scratch::ParseScratchError;
use crate::{checkout, github, job};

/// The reason why a command or a step failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A verb failed.
    #[error(transparent)]
    Job(#[from] job::Error),
    /// A dependency could not be checked out.
    #[error(transparent)]
    Checkout(#[from] checkout::Error),
    /// A file of the runner could not be read or written.
    #[error(transparent)]
    Files(#[from] github::files::Error),
    /// The system refused an action that concerns no path.
    #[error("cannot {action}")]
    Io { action: &'static str, source: std::io::Error },
    /// A pattern for scratch is not valid.
    #[error(transparent)]
    Scratch(#[from] ParseScratchError),
    /// The request cannot be fulfilled; the text says why.
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
