//! The errors of an operation.

use std::path::PathBuf;

use crate::model::rel_path::RelPath;
use crate::{cargo, fs, store};

/// A failure of a whole operation, or of one area.
///
/// The failure of one area goes into the report of that area, and the other areas go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The filesystem refused an operation.
    #[error(transparent)]
    Io(#[from] fs::Error),

    /// An operation of the store failed.
    #[error(transparent)]
    Store(#[from] store::Error),

    /// A question about cargo or a checkout has no answer.
    #[error(transparent)]
    Cargo(#[from] cargo::Error),

    /// Another process uses the directory.
    #[error("cannot lock `{}`: {holder} is at work there", path.display())]
    Busy {
        /// The lock file.
        path: PathBuf,
        /// The program that holds it, as far as is known: `a cargo build`.
        holder: &'static str,
    },

    /// The operation was told to stop: [`Progress::stop`](super::progress::Progress::stop).
    #[error("stopped before it was done")]
    Stopped,

    /// A file changed while it was read, or a build began in a directory while it was saved.
    #[error("`{}` changed while it was read", .0.display())]
    Changed(PathBuf),

    /// A hot tree differs from the tree that was parked.
    #[error("`{path}` in the hot tree `{}` changed after the tree was parked", tree.display())]
    Different {
        /// The tree.
        tree: PathBuf,
        /// The first path that differs.
        path: RelPath,
    },

    /// A tree cannot be put in place without risking a stale artifact.
    #[error("cannot restore without risk of a stale artifact: {reason}")]
    Unsafe {
        /// Why, as a clause.
        reason: String,
    },

    /// The name of a checkout's directory does not work as the name of a repository.
    #[error("cannot name the repository in `{}`", .0.display())]
    Unnamed(PathBuf),

    /// No path was given for the store, and no default is usable.
    #[error("cannot place the store: /tmp is in memory and HOME is not set")]
    NoPlace,

    /// A target directory contains a symlink through which cargo builds outside it.
    #[error(
        "cannot keep `{}`: cargo builds through the symlink `{link}`, which leads out of it",
        dir.display()
    )]
    BuiltThrough {
        /// The target directory.
        dir: PathBuf,
        /// The symlink in it.
        link: RelPath,
    },

    /// A path cannot be saved or restored.
    #[error("cannot keep `{}`: {reason}", path.display())]
    Unfit {
        /// The path.
        path: PathBuf,
        /// Why, as a clause.
        reason: &'static str,
    },
}

/// The result of an operation.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Every code.
    pub const CODES: [&str; 15] = [
        "io",
        "full",
        "store",
        "damaged",
        "cargo",
        "busy",
        "stopped",
        "changed",
        "different",
        "unsafe",
        "built-through",
        "unfit",
        "denied",
        "unnamed",
        "no-place",
    ];

    /// Returns the code of this kind of error in JSON. A code never changes its meaning.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io(error) | Self::Store(store::Error::Io(error)) if error.is_full() => "full",
            Self::Io(error) | Self::Store(store::Error::Io(error)) if error.is_denied() => "denied",
            Self::Io(_) | Self::Store(store::Error::Io(_)) => "io",
            Self::Store(store::Error::Damaged { .. } | store::Error::PackMissing(_)) => "damaged",
            Self::Store(_) => "store",
            Self::Cargo(_) => "cargo",
            Self::Busy { .. } => "busy",
            Self::Stopped => "stopped",
            Self::Changed(_) => "changed",
            Self::Different { .. } => "different",
            Self::Unsafe { .. } => "unsafe",
            Self::BuiltThrough { .. } => "built-through",
            Self::Unfit { .. } => "unfit",
            Self::Unnamed(_) => "unnamed",
            Self::NoPlace => "no-place",
        }
    }

    /// Tells whether a filesystem was full.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Io(error) | Self::Store(store::Error::Io(error)) => error.is_full(),
            _ => false,
        }
    }
}

/// Returns an error and its causes in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
