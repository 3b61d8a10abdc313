//! Notes: facts that a verb reports beside its result. Nothing is wrong.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::model::cache_mode::CacheMode;
use crate::model::names::Name;
use crate::model::raw_path::RawPath;
use crate::model::root::Root;
use crate::model::system::{PassedOver, System};
use crate::model::unit_use::UnitGroup;

/// Something that a verb noticed and that people may want to know.
///
/// The sentences are in [`messages`](crate::front).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The generation has another key than the wanted one.
    AnotherKey(Name),
    /// `CARGO_HOME` lay elsewhere when the generation was saved.
    AnotherHome {
        /// Its path then.
        saved: RawPath,
        /// Its path now.
        now: PathBuf,
    },
    /// The generation was saved on another system, on which its artifacts still work here.
    AnotherSystem {
        /// The system of the generation.
        saved: Box<System>,
        /// The system of this job.
        here: Box<System>,
    },
    /// The generation was saved by a job of another kind.
    AnotherJob(String),
    /// The generation was saved by a job that failed or was cancelled.
    PartialJob(String),
    /// Generations were passed over because they were built on a newer system.
    NewerSystem(PassedOver),
    /// The directory still holds a tree that was built on a newer system.
    UnusableTree(PathBuf),
    /// A checkout lay elsewhere when the generation was saved.
    AnotherRoot {
        /// The checkout.
        root: Root,
        /// Its path then.
        saved: RawPath,
        /// Its path now.
        now: RawPath,
    },
    /// Crates that are not restored, because cargo knows them by the path of their checkout.
    PathBound(BTreeSet<String>),
    /// The generation was the best of several.
    BestOf {
        /// How many there were.
        generations: usize,
        /// How many of the units that the job used last time cargo can reuse, and how many it used, if that is known.
        reused: Option<(usize, usize)>,
        /// How many units of the generation are fresh.
        fresh: usize,
    },
    /// The live target is ahead of the store and stays as it is.
    Ahead {
        /// The target.
        dir: PathBuf,
        /// How many of the wanted units cargo can reuse of the live target.
        reused: usize,
        /// How many units the job used last time.
        wanted: usize,
        /// How many cargo can reuse of the best generation.
        reused_of_best: usize,
    },
    /// Crates of a registry that no lock file names are not saved, because their bytes are not those that a lock file
    /// of this job means.
    UnknownRegistry {
        /// The first path.
        path: PathBuf,
        /// How many there are.
        count: usize,
    },
    /// Parts of `CARGO_HOME` were changed by a job of another lane and are replaced.
    ChangedByAnotherLane {
        /// The directory.
        dir: PathBuf,
        /// How many parts.
        count: usize,
    },
    /// Units are not stored any more, or their fingerprint has an unknown format, and so they are kept.
    Units(UnitGroup),
    /// The filesystem records no reads, so nobody can tell which units the job used.
    UseUnknown,
    /// Rustc broke off over the incremental compilation of these crates, or failed to link what came of it: the save
    /// leaves out their sessions.
    SessionsLeft(BTreeSet<String>),
    /// The directory of an area holds nothing to save.
    NothingThere(PathBuf),
    /// The tree does not stay as a hot tree, for this reason, a clause.
    NoHotTree(String),
    /// Cargo has this release, and is newer than any that this program was tested with.
    NewerCargo(String),
    /// The job may not restore.
    NotRestored(CacheMode),
    /// The job may not save.
    NotSaved(CacheMode),
}

impl Note {
    /// Every code, in the order of the variants.
    pub const CODES: [&str; 22] = [
        "another-key",
        "another-home",
        "another-system",
        "another-job",
        "partial-job",
        "newer-system",
        "unusable-tree",
        "another-root",
        "path-bound",
        "best-of",
        "ahead",
        "unknown-registry",
        "changed-by-another-lane",
        "units-leave",
        "unknown-units",
        "use-unknown",
        "sessions-left",
        "nothing-there",
        "no-hot-tree",
        "newer-cargo",
        "not-restored",
        "not-saved",
    ];

    /// Returns the word that stands for it in JSON. It never changes its meaning.
    pub fn code(&self) -> &'static str {
        match self {
            Self::AnotherKey(_) => "another-key",
            Self::AnotherHome { .. } => "another-home",
            Self::AnotherSystem { .. } => "another-system",
            Self::AnotherJob(_) => "another-job",
            Self::PartialJob(_) => "partial-job",
            Self::NewerSystem(_) => "newer-system",
            Self::UnusableTree(_) => "unusable-tree",
            Self::AnotherRoot { .. } => "another-root",
            Self::PathBound(_) => "path-bound",
            Self::BestOf { .. } => "best-of",
            Self::Ahead { .. } => "ahead",
            Self::UnknownRegistry { .. } => "unknown-registry",
            Self::ChangedByAnotherLane { .. } => "changed-by-another-lane",
            Self::Units(UnitGroup { why: Some(_), .. }) => "units-leave",
            Self::Units(UnitGroup { why: None, .. }) => "unknown-units",
            Self::UseUnknown => "use-unknown",
            Self::SessionsLeft(_) => "sessions-left",
            Self::NothingThere(_) => "nothing-there",
            Self::NoHotTree(_) => "no-hot-tree",
            Self::NewerCargo(_) => "newer-cargo",
            Self::NotRestored(_) => "not-restored",
            Self::NotSaved(_) => "not-saved",
        }
    }
}
