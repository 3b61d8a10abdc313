//! Notes: facts that a verb reports beside its result. A note reports no fault.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::model::cache_mode::CacheMode;
use crate::model::names::Name;
use crate::model::raw_path::RawPath;
use crate::model::root::Root;
use crate::model::system::{PassedOver, System};
use crate::model::unit_use::UnitGroup;

/// A fact that a verb noticed and that people may want to know.
///
/// The sentences are in [`front`](crate::front).
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
    /// The generation was saved on another system, and its artifacts work here.
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
    /// Crates are not restored, because cargo identifies them by the path of their checkout.
    PathBound(BTreeSet<String>),
    /// The generation was the best of several.
    BestOf {
        /// The number of generations.
        generations: usize,
        /// The number of units that the job used last time and cargo can reuse, and the number that
        /// it used; `None` if unknown.
        reused: Option<(usize, usize)>,
        /// The number of fresh units in the generation.
        fresh: usize,
    },
    /// The live target is ahead of the store and stays as it is.
    Ahead {
        /// The target.
        dir: PathBuf,
        /// The number of wanted units that cargo can reuse from the live target.
        reused: usize,
        /// The number of units that the job used last time.
        wanted: usize,
        /// The number of wanted units that cargo can reuse from the best generation.
        reused_of_best: usize,
    },
    /// Crates of a registry that no lock file names are not saved, because their bytes differ from
    /// those of the same crates in a lock file of this job.
    UnknownRegistry {
        /// The path of the first crate.
        path: PathBuf,
        /// The number of crates.
        count: usize,
    },
    /// Parts of `CARGO_HOME` were changed by a job of another lane and are replaced.
    ChangedByAnotherLane {
        /// The directory.
        dir: PathBuf,
        /// The number of parts.
        count: usize,
    },
    /// Units leave the stored copy, or stay because the format of their fingerprint is unknown.
    Units(UnitGroup),
    /// The filesystem records no reads, so it is unknown which units the job used.
    UseUnknown,
    /// Rustc broke off over the incremental compilation of these crates, or failed to link what came of it: the save
    /// leaves out their sessions.
    SessionsLeft(BTreeSet<String>),
    /// The directory of an area holds nothing to save.
    NothingThere(PathBuf),
    /// The tree does not become a hot tree. The reason is a clause.
    NoHotTree(String),
    /// This release of cargo is newer than any that this program was tested with.
    NewerCargo(String),
    /// This variable, `NAME=VALUE`, switches incremental compilation off.
    IncrementalOff(String),
    /// The job may not restore.
    NotRestored(CacheMode),
    /// The job may not save.
    NotSaved(CacheMode),
}

impl Note {
    /// Every code, in the order of the variants.
    pub const CODES: [&str; 23] = [
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
        "incremental-off",
        "not-restored",
        "not-saved",
    ];

    /// Returns the code of this kind of note in JSON. A code never changes its meaning.
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
            Self::IncrementalOff(_) => "incremental-off",
            Self::NotRestored(_) => "not-restored",
            Self::NotSaved(_) => "not-saved",
        }
    }
}
