//! What a gc did or would do.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Serialize;

use crate::job::warning::Warning;
use crate::model::expiry::Expired;
use crate::model::filesystem::as_text;
use crate::model::idle_dir::DroppedDir;
use crate::model::manifest::GenerationId;
use crate::model::retention::Policy;
use crate::model::scope::Scope;
use crate::model::timestamp::Timestamp;
use crate::store::Oddity;

/// How a gc or a guard is done.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// The generations that are kept.
    pub policy: &'a Policy,
    /// The scopes that the current job may read. Their generations go last.
    pub readable: &'a [Scope],
    /// The time of the call.
    pub now: Timestamp,
    /// Whether anything is removed.
    pub mode: GcMode,
}

/// Whether gc changes the store or only shows what it would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GcMode {
    /// Change nothing, not even the leftovers of dead processes.
    DryRun,
    /// Change the store.
    Execute,
}

/// The result of a gc; of a dry run, what gc would do.
#[derive(Clone, Debug, Default, Serialize)]
pub struct GcReport {
    /// Whether another gc was running. This one then did nothing.
    pub other_gc_runs: bool,
    /// The removed generations, each with the reason, in the order in which they were chosen.
    pub expired: Vec<Expired>,
    /// The removed hot trees, private homes and mirrors; of each kind, the least recently used first.
    pub dirs: Vec<DroppedDir>,
    /// The damaged manifests that were removed.
    pub damaged: Vec<Damage>,
    /// The removed paths that do not belong there: a directory in place of a file, say.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub odd: Vec<Oddity>,
    /// The number of removed packs.
    pub packs: usize,
    /// The bytes of the removed manifests, packs, homes and mirrors.
    pub bytes: u64,
    /// The number of dead processes that had left something.
    pub dead_leases: usize,
    /// The number of removed records whose directory or generation is gone.
    pub stale_trees: usize,
    /// The bytes still missing for low water or `max-size` after everything that may be removed is gone.
    pub missing_bytes: u64,
    /// The inodes still missing for low water.
    pub missing_inodes: u64,
    /// The units that the next saves leave out unless their jobs use them. Set only in a dry run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub idle_units: Vec<IdleUnits>,
    /// Warnings for people.
    pub warnings: Vec<Warning>,
}

/// A manifest that cannot be read because its bytes are damaged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// The path of the manifest.
    #[serde(serialize_with = "as_text")]
    pub path: PathBuf,
    /// The damage, as a clause.
    pub what: String,
}

/// Units of a generation that the next save of its job leaves out unless that job uses them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IdleUnits {
    /// The generation.
    pub generation: GenerationId,
    /// The kind of the job that saved it.
    pub job: String,
    /// The number of its units.
    pub of: usize,
    /// The units that will be left out, by their paths in the target.
    pub units: Vec<String>,
    /// The packages that these units belong to.
    pub crates: BTreeSet<String>,
}
