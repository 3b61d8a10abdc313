//! Warnings: faults that may cost a build, disk space or time, and do not stop a verb.

use std::path::PathBuf;

use super::Error;
use super::error::chain;
use crate::cargo::key::Doubt;
use crate::model::leftovers::Foreign;
use crate::model::pressure::Strain;
use crate::store::{Oddity, StrayRecord};

/// Something that went wrong, or may.
///
/// The sentences are in [`front`](crate::front).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// An error that stopped one area, or nothing.
    Failed(Failure),
    /// The key of the job may be another one than it should be.
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
    /// A directory that was named as a target is not kept.
    NoTarget {
        /// The directory.
        dir: PathBuf,
        /// Why, as a clause.
        why: String,
    },
    /// Something that another job left cannot be set aside.
    NotSetAside {
        /// The directory.
        dir: PathBuf,
        /// Whose it is.
        whose: Foreign,
        /// What stands in the way.
        cause: String,
        /// Whether a restore may replace it.
        is_replaceable: bool,
    },
    /// A secret of cargo's configuration is not copied to the private home.
    SecretNotCopied {
        /// The key.
        key: String,
        /// The configuration.
        config: PathBuf,
    },
    /// Something that a dead process left cannot be removed.
    LeftBehind(Oddity),
    /// Something odd in the store cannot be removed.
    Stays(Oddity),
    /// A directory is not saved, because of who built there.
    NotSaved {
        /// The directory.
        dir: PathBuf,
        /// Whose it is.
        whose: Foreign,
    },
    /// A target is not saved, because a source that it may be built from is wrong.
    BuiltFromWrongSource {
        /// The target.
        dir: PathBuf,
        /// The source.
        source: PathBuf,
    },
    /// Nothing is in the target.
    EmptyTarget(PathBuf),
    /// No lock file tells what of the registry belongs to the repo.
    NoLockFile(PathBuf),
    /// Files could not be read and are not stored.
    LeftOut {
        /// One of them, the worst.
        path: PathBuf,
        /// How many there are.
        count: usize,
        /// Why that one could not be read.
        why: Unread,
    },
    /// Sockets, fifos and devices are not stored.
    SpecialFiles {
        /// The first.
        path: PathBuf,
        /// How many there are.
        count: usize,
    },
    /// A tree could not be kept as a hot tree.
    HotTreeNotKept(Failure),
    /// A hot tree could not be used.
    HotTreeNotUsed(Failure),
    /// Crates were extracted half.
    HalfExtracted {
        /// How many.
        count: usize,
        /// Cargo's home.
        home: PathBuf,
    },
    /// Targets are there that were not restored, so sources keep their mtimes.
    UnknownTargets(Vec<PathBuf>),
    /// Something in `CARGO_HOME` was wrong and is replaced.
    Replaced {
        /// The path.
        path: PathBuf,
        /// What was wrong, as a clause.
        why: String,
    },
    /// Something in `CARGO_HOME` is wrong.
    Wrong {
        /// The path.
        path: PathBuf,
        /// What is wrong, as a clause.
        why: String,
        /// When it was found.
        found: FoundBy,
        /// What became of it.
        fate: Fate,
    },
    /// More of that kind.
    MoreWrong {
        /// How many.
        count: usize,
        /// The directory.
        dir: PathBuf,
    },
    /// A record that names something else than a hot tree.
    StrayRecord(StrayRecord),
    /// A manifest that cannot be read keeps all packs.
    UnreadManifest(Failure),
    /// Bytes are missing when everything that may go is gone.
    MissingBytes(u64),
    /// Inodes are missing when everything that may go is gone.
    MissingInodes(u64),
    /// A disk is too full.
    DiskFull {
        /// A path on it.
        path: PathBuf,
        /// What lies on it, for people.
        holds: Vec<String>,
        /// In which ways it is too full.
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
    /// It changed meanwhile.
    Changed,
    /// It was removed meanwhile.
    Gone,
    /// The filesystem refused, for this reason.
    Refused(String),
}

/// Who found something wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoundBy {
    /// A save, which leaves it out.
    Save,
    /// A restore.
    Restore,
}

/// What became of something wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was removed.
    Removed,
    /// It was right when it was looked at once more.
    Mended,
    /// It cannot be removed, for this cause.
    Stays(String),
}

/// An error that became a warning: its code, and its text with all causes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The word for its kind.
    pub code: &'static str,
    /// The error and its causes, in one line.
    pub text: String,
}

impl Failure {
    /// Returns the failure that an error is.
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

    /// Returns the word that stands for it in JSON; of an error its own ([`Error::code`]). It never changes its meaning.
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
