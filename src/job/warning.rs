//! Warnings: faults that may cost a build, disk space or time, but do not stop a verb.

use std::path::PathBuf;

use super::Error;
use super::error::chain;
use crate::cargo::key::Doubt;
use crate::model::leftovers::Foreign;
use crate::model::pressure::Strain;
use crate::store::{Oddity, StrayRecord};

/// A fault, or a condition that may lead to one.
///
/// The sentences are in [`front`](crate::front).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// An error that stopped at most one area.
    Failed(Failure),
    /// The key of the job may be wrong.
    Key(Doubt),
    /// The store lies inside a checkout.
    StoreInCheckout {
        /// The store.
        store: PathBuf,
        /// The checkout.
        checkout: PathBuf,
    },
    /// The store is in memory.
    StoreInMemory(PathBuf),
    /// A further target is not kept.
    NoTarget {
        /// The directory.
        dir: PathBuf,
        /// Why, as a clause.
        why: String,
    },
    /// A directory that another job left cannot be set aside.
    NotSetAside {
        /// The directory.
        dir: PathBuf,
        /// Why this job may not build in it.
        whose: Foreign,
        /// Why it cannot be set aside.
        cause: String,
        /// Whether a restore may replace it.
        is_replaceable: bool,
    },
    /// A secret of cargo's configuration is not copied to the private home.
    SecretNotCopied {
        /// The key.
        key: String,
        /// The configuration file.
        config: PathBuf,
    },
    /// A path that a dead process left cannot be removed.
    LeftBehind(Oddity),
    /// An oddity in the store cannot be removed.
    Stays(Oddity),
    /// A directory is not saved, because another job or an unknown one built there.
    NotSaved {
        /// The directory.
        dir: PathBuf,
        /// Why this job may not build in it.
        whose: Foreign,
    },
    /// A target is not saved, because a source that it may be built from is wrong.
    BuiltFromWrongSource {
        /// The target.
        dir: PathBuf,
        /// The source.
        source: PathBuf,
    },
    /// The target directory holds nothing to save.
    EmptyTarget(PathBuf),
    /// No lock file tells which parts of the registry belong to the repo.
    NoLockFile(PathBuf),
    /// Files could not be read and are not stored.
    LeftOut {
        /// The file with the worst reason.
        path: PathBuf,
        /// The number of files.
        count: usize,
        /// Why this file could not be read.
        why: Unread,
    },
    /// Sockets, fifos and devices are not stored.
    SpecialFiles {
        /// The path of the first file.
        path: PathBuf,
        /// The number of files.
        count: usize,
    },
    /// A tree could not be kept as a hot tree.
    HotTreeNotKept(Failure),
    /// A hot tree could not be used.
    HotTreeNotUsed(Failure),
    /// Crates were half extracted, and are removed.
    HalfExtracted {
        /// The number of them.
        count: usize,
        /// Cargo's home.
        home: PathBuf,
    },
    /// Target directories exist that were not restored, so sources keep their mtimes.
    UnknownTargets(Vec<PathBuf>),
    /// A part of `CARGO_HOME` was wrong and is replaced.
    Replaced {
        /// The path.
        path: PathBuf,
        /// What was wrong, as a clause.
        why: String,
    },
    /// A part of `CARGO_HOME` is wrong.
    Wrong {
        /// The path.
        path: PathBuf,
        /// What is wrong, as a clause.
        why: String,
        /// The verb that found it.
        found: FoundBy,
        /// The outcome of its removal.
        fate: Fate,
    },
    /// More parts of a directory are wrong than are listed.
    MoreWrong {
        /// The number of them.
        count: usize,
        /// The directory.
        dir: PathBuf,
    },
    /// A record in the store cannot be read, or names no hot tree.
    StrayRecord(StrayRecord),
    /// A manifest cannot be read, so no pack is removed.
    UnreadManifest(Failure),
    /// This many bytes are still missing after everything that may be evicted is gone.
    MissingBytes(u64),
    /// This many inodes are still missing after everything that may be evicted is gone.
    MissingInodes(u64),
    /// A disk is too full.
    DiskFull {
        /// A path on it.
        path: PathBuf,
        /// The names of the places on it, for people.
        holds: Vec<String>,
        /// The limits that it exceeds.
        strains: Vec<Strain>,
        /// Whether the store lies on it.
        is_of_store: bool,
    },
    /// A mirror was damaged.
    MirrorDamaged(Failure),
}

/// Why a file could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unread {
    /// It changed while it was read.
    Changed,
    /// It was removed before it was read.
    Gone,
    /// The filesystem refused, for this reason.
    Refused(String),
}

/// The verb that found a wrong part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoundBy {
    /// A save, which leaves the part out.
    Save,
    /// A restore.
    Restore,
}

/// The outcome of the removal of a wrong part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was removed.
    Removed,
    /// It was right when it was judged once more.
    Mended,
    /// It cannot be removed, for this cause.
    Stays(String),
}

/// An error that became a warning: its code, and its text with all causes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The code of the error.
    pub code: &'static str,
    /// The error and its causes, in one line.
    pub text: String,
}

impl Failure {
    /// Returns the code and the text of an error.
    pub fn of(error: &Error) -> Self {
        Self { code: error.code(), text: chain(error) }
    }
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::of(&error.into())
    }
}

impl Warning {
    /// Every code of a warning that is no error, in the order of the variants.
    pub const CODES: [&str; 28] = [
        "no-toolchain",
        "empty-variable",
        "store-in-checkout",
        "store-in-memory",
        "no-target",
        "not-set-aside",
        "secret-not-copied",
        "left-behind",
        "stays",
        "foreign",
        "built-from-wrong-source",
        "empty-target",
        "no-lock-file",
        "left-out",
        "special-files",
        "hot-tree-not-kept",
        "hot-tree-not-used",
        "half-extracted",
        "unknown-targets",
        "replaced",
        "wrong",
        "more-wrong",
        "stray-record",
        "unread-manifest",
        "missing-bytes",
        "missing-inodes",
        "disk-full",
        "mirror-damaged",
    ];

    /// Returns the warning that an error becomes.
    pub fn of(error: &Error) -> Self {
        Self::Failed(Failure::of(error))
    }

    /// Returns the code of this kind of warning in JSON; for an error, [`Error::code`]. A code
    /// never changes its meaning.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Failed(failure) => failure.code,
            Self::Key(Doubt::NoToolchain(_)) => "no-toolchain",
            Self::Key(Doubt::EmptyVariable(_)) => "empty-variable",
            Self::StoreInCheckout { .. } => "store-in-checkout",
            Self::StoreInMemory(_) => "store-in-memory",
            Self::NoTarget { .. } => "no-target",
            Self::NotSetAside { .. } => "not-set-aside",
            Self::SecretNotCopied { .. } => "secret-not-copied",
            Self::LeftBehind(_) => "left-behind",
            Self::Stays(_) => "stays",
            Self::NotSaved { .. } => "foreign",
            Self::BuiltFromWrongSource { .. } => "built-from-wrong-source",
            Self::EmptyTarget(_) => "empty-target",
            Self::NoLockFile(_) => "no-lock-file",
            Self::LeftOut { .. } => "left-out",
            Self::SpecialFiles { .. } => "special-files",
            Self::HotTreeNotKept(_) => "hot-tree-not-kept",
            Self::HotTreeNotUsed(_) => "hot-tree-not-used",
            Self::HalfExtracted { .. } => "half-extracted",
            Self::UnknownTargets(_) => "unknown-targets",
            Self::Replaced { .. } => "replaced",
            Self::Wrong { .. } => "wrong",
            Self::MoreWrong { .. } => "more-wrong",
            Self::StrayRecord(_) => "stray-record",
            Self::UnreadManifest(_) => "unread-manifest",
            Self::MissingBytes(_) => "missing-bytes",
            Self::MissingInodes(_) => "missing-inodes",
            Self::DiskFull { .. } => "disk-full",
            Self::MirrorDamaged(_) => "mirror-damaged",
        }
    }
}

impl<E: Into<Error>> From<E> for Warning {
    fn from(error: E) -> Self {
        Self::Failed(Failure::from(error))
    }
}
