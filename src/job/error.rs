//! Why an operation could not be done.

use std::path::PathBuf;

use crate::model::rel_path::RelPath;
use crate::{cargo, fs, store};

/// A failure of an operation as a whole.
///
/// What goes wrong with one area is not here but in that area's report: the others go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The filesystem refused an operation.
    #[error(transparent)]
    Io(#[from] fs::Error),

    /// The store refused it.
    #[error(transparent)]
    Store(#[from] store::Error),

    /// What cargo needs could not be found out.
    #[error(transparent)]
    Cargo(#[from] cargo::Error),

    /// Another process uses the directory.
    #[error("cannot lock `{}`: {holder} is at work there", path.display())]
    Busy {
        /// The lock file.
        path: PathBuf,
        /// Who holds it, as far as that can be told: `a cargo build`.
        holder: &'static str,
    },

    /// Somebody told it to stop: [`Progress::stop`](super::progress::Progress::stop).
    #[error("stopped before it was done")]
    Stopped,

    /// A file was written while it was saved.
    #[error("`{}` changed while it was read", .0.display())]
    Changed(PathBuf),

    /// A hot tree is not what was put by.
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

    /// A checkout whose directory makes no name of a repository.
    #[error("cannot name the repository in `{}`", .0.display())]
    Unnamed(PathBuf),

    /// Nobody says where the store is, and no default serves.
    #[error("cannot place the store: /tmp is in memory and HOME is not set")]
    NoPlace,

    /// A tree of which a part lies elsewhere.
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

    /// A path that no generation can hold.
    #[error("cannot keep `{}`: {reason}", path.display())]
    Unfit {
        /// The path.
        path: PathBuf,
        /// Why, as a clause.
        reason: &'static str,
    },
}

/// What operations return.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Every code, in the order of the variants.
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

    /// Returns the word that stands for its kind in JSON. It never changes its meaning.
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
