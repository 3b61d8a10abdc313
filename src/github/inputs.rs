//! The inputs of the Action, parsed once.

mod dependency;
mod given;
#[cfg(test)]
mod tests;
mod wrong;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;
use std::path::PathBuf;

pub use dependency::{Dependency, RepositoryAtRef};
pub use given::input;
use given::{Given, chosen, path};
pub use wrong::{InputError, Refusal, WrongInput};

use super::shown::shown;
use crate::model::always_build::AlwaysBuild;
use crate::model::area::AreaSelector;
use crate::model::cargo_home::CargoHome;
use crate::model::environment::Environment;
use crate::model::git_ref::CommitId;
use crate::model::leftovers::Leftovers;
use crate::model::level::Level;
use crate::model::names::Name;
use crate::model::pressure::Pressure;
use crate::model::quantity::ByteSize;
use crate::model::retention::Policy;
pub use crate::model::save_plan::{JobStatus, SaveIf};
use crate::model::scope::Repository;
use crate::model::token::Token;

/// The inputs that `action.yml` declares.
#[rustfmt::skip]
pub const NAMES: [&str; 37] = [
    "mode", "enabled",
    "repo", "repository", "dependencies", "dependency-refs", "submodules", "token",
    "key", "extra-inputs", "env-vars", "job",
    "always-build",
    "areas", "cache-root", "cargo-home", "target-dir", "scratch", "targets", "leftovers",
    "save-if", "lookup-only", "fail-on-cache-miss", "fail-on-error",
    "retention", "generations", "unit-saves", "disk-threshold", "low-water", "min-free", "max-size",
    "compression-level", "hot-trees", "threads", "remote",
    "job-status", "matrix",
];

/// The inputs of the Action.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one input that says yes or no")]
pub struct Inputs {
    /// The work to do.
    pub mode: ActionMode,
    /// Whether to restore and save at all.
    pub enabled: bool,

    /// The checkout of the repo, relative to the workspace.
    pub repo: PathBuf,
    /// The repository that is built, if it is not the one of the workflow.
    pub repository: Option<Repository>,
    /// The repo's dependencies, each name once.
    pub dependencies: Vec<Dependency>,
    /// The commits at which to check out dependencies, whatever their refs say.
    pub dependency_refs: BTreeMap<Name, CommitId>,
    /// Whether to check out the submodules of dependencies too.
    pub submodules: bool,
    /// The token for reading the dependencies that are checked out.
    pub token: Option<Token>,

    /// The key to use instead of a computed one.
    pub key: Option<Name>,
    /// Globs of files that are part of the key too.
    pub extra_inputs: Vec<String>,
    /// Variables that are part of the key too; a name that ends in `*` is a prefix.
    pub env_vars: Vec<String>,
    /// The kind of the job, as given: see [`super::label`].
    pub job: Option<String>,
    /// The matrix of the job, as JSON.
    pub matrix: Option<String>,
    /// The packages that cargo builds again although it sees no change.
    pub always_build: Vec<AlwaysBuild>,

    /// The areas to keep.
    pub areas: BTreeSet<AreaSelector>,
    /// The store, relative to the workspace.
    pub cache_root: Option<PathBuf>,
    /// Cargo's home, relative to the workspace.
    pub cargo_home: CargoHome,
    /// The target directory of the repo, relative to the workspace.
    pub target_dir: Option<PathBuf>,
    /// Patterns of files in target directories that are not kept, if any are given.
    pub scratch: Option<Vec<String>>,
    /// Further targets, relative to the repo.
    pub targets: Vec<PathBuf>,
    /// How to treat directories that other jobs left and that this job may not read.
    pub leftovers: Leftovers,

    /// When the post step saves.
    pub save_if: SaveIf,
    /// Whether only to report the generation that would be restored.
    pub lookup_only: bool,
    /// Whether the step fails if nothing was found.
    pub fail_on_cache_miss: bool,
    /// Whether the step fails if a restore or save fails.
    pub fail_on_error: bool,

    /// The generations to keep while there is room.
    pub policy: Policy,
    /// After how many saves without a use a unit leaves the stored target.
    pub unit_saves: u16,
    /// How full disks and the store may get.
    pub pressure: Pressure,

    /// The compression level of new packs.
    pub compression_level: Level,
    /// How many hot trees to keep for each target.
    pub hot_trees: u16,
    /// How many threads to use; `None` for one per core.
    pub threads: Option<NonZeroU16>,

    /// The status of the job so far, if the runner tells it.
    pub job_status: Option<JobStatus>,

    /// Inputs without a meaning, as warnings for people.
    pub warnings: Vec<String>,
}

/// The work of the Action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionMode {
    /// Restores; the post step saves.
    Auto,
    /// Only outputs keys and dependency refs.
    Key,
    /// Only restores.
    Restore,
    /// Only saves, at once.
    Save,
    /// Only frees space in the store.
    Gc,
}

const MODES: [(&str, ActionMode); 5] = [
    ("auto", ActionMode::Auto),
    ("key", ActionMode::Key),
    ("restore", ActionMode::Restore),
    ("save", ActionMode::Save),
    ("gc", ActionMode::Gc),
];

/// The four words, and the results of an expression such as `github.ref == 'refs/heads/main'`.
const SAVE_IFS: [(&str, SaveIf); 6] = [
    ("always", SaveIf::Always),
    ("success", SaveIf::Success),
    ("protected", SaveIf::Protected),
    ("never", SaveIf::Never),
    ("true", SaveIf::Always),
    ("false", SaveIf::Never),
];

const JOB_STATUSES: [(&str, JobStatus); 3] = [
    ("success", JobStatus::Success),
    ("failure", JobStatus::Failure),
    ("cancelled", JobStatus::Cancelled),
];

impl Inputs {
    /// Parses the inputs of a step; the error names every wrong input.
    pub fn parse(environment: &Environment) -> Result<Self, InputError> {
        let mut given = Given::new(environment);
        let default = Policy::default();
        let generations = given.number("generations", 1..=u16::MAX);
        let policy = Policy {
            generations: generations.map_or(default.generations, usize::from),
            ..given.value("retention").unwrap_or(default)
        };
        let default = Pressure::default();
        let pressure = Pressure {
            disk_threshold: given.value("disk-threshold").unwrap_or(default.disk_threshold),
            low_water: given.value("low-water").unwrap_or(default.low_water),
            min_free: given.value("min-free"),
            max_size: given.with("max-size", max_size).flatten(),
        };
        let areas = given.list("areas", LIST, |text| chosen(text, &AreaSelector::ALL));
        let areas = if areas.is_empty() {
            AreaSelector::ALL.map(|(_, selector)| selector).into()
        } else {
            areas
        };
        let inputs = Self {
            mode: given.choice("mode", &MODES).unwrap_or(ActionMode::Auto),
            enabled: given.flag("enabled").unwrap_or(true),
            repo: given.path("repo").unwrap_or_else(|| PathBuf::from(".")),
            repository: given.value("repository"),
            dependencies: dependencies(&mut given, environment),
            dependency_refs: given.with("dependency-refs", commits).unwrap_or_default(),
            submodules: given.choice("submodules", &SUBMODULES).unwrap_or(false),
            token: given.with("token", token),
            key: given.value("key"),
            extra_inputs: given.list("extra-inputs", &[], |text| Ok(text.to_owned())),
            env_vars: given.list("env-vars", LIST, variable),
            always_build: given.list("always-build", LIST, |text| Ok(text.parse()?)),
            job: given.with("job", job),
            matrix: given.text("matrix").map(str::to_owned),
            areas: areas.into_iter().collect(),
            cache_root: given.path("cache-root"),
            cargo_home: given.path("cargo-home").map(CargoHome::from).unwrap_or_default(),
            target_dir: given.path("target-dir"),
            scratch: given.lines("scratch"),
            targets: given.list("targets", &[], |text| path(text, environment.get("HOME"))),
            leftovers: given.choice("leftovers", &Leftovers::ALL).unwrap_or(Leftovers::SetAside),
            save_if: given.choice("save-if", &SAVE_IFS).unwrap_or(SaveIf::Always),
            lookup_only: given.flag("lookup-only").unwrap_or(false),
            fail_on_cache_miss: given.flag("fail-on-cache-miss").unwrap_or(false),
            fail_on_error: given.flag("fail-on-error").unwrap_or(false),
            policy,
            unit_saves: given.number("unit-saves", 1..=u16::MAX).unwrap_or(3),
            pressure,
            compression_level: given.value("compression-level").unwrap_or_default(),
            hot_trees: given.number("hot-trees", 0..=1000).unwrap_or(2),
            threads: given.number("threads", 0..=1024).and_then(NonZeroU16::new),
            job_status: given.text("job-status").and_then(job_status),
            warnings: unknown_inputs(environment),
        };
        given.with("remote", remote);
        given.done()?;
        Ok(inputs)
    }
}

/// The separators between items of a list, besides line ends.
const LIST: &[char] = &[',', ' ', '\t'];

/// The values that `actions/checkout` accepts.
const SUBMODULES: [(&str, bool); 3] = [("true", true), ("false", false), ("recursive", true)];

type Parsed<T> = Result<T, Refusal>;

fn dependencies(given: &mut Given<'_>, environment: &Environment) -> Vec<Dependency> {
    let home = environment.get("HOME");
    let mut dependencies: Vec<Dependency> = given.list("dependencies", &[','], |text| {
        let mut dependency: Dependency = text.parse()?;
        if let Some(named) = dependency.path.take() {
            dependency.path = Some(path(&named.to_string_lossy(), home)?);
        }
        Ok(dependency)
    });
    let mut names = BTreeSet::new();
    dependencies.retain(|dependency| {
        let is_first = names.insert(dependency.name.clone());
        if !is_first {
            let expected = "the only dependency of that name";
            given.refuse("dependencies", None, Refusal::new(dependency.name.as_str(), expected));
        }
        is_first
    });
    dependencies
}

fn commits(text: &str) -> Parsed<BTreeMap<Name, CommitId>> {
    let expected = "a JSON object of names and commit hashes (the output `dependency-refs`)";
    serde_json::from_str(text).map_err(|_| Refusal::new(text, expected))
}

fn token(text: &str) -> Parsed<Token> {
    text.parse().map_err(|_| Refusal::new("***", "a token (visible ASCII without blanks)"))
}

/// Parses a variable's name or prefix. Refuses an empty prefix: it would match all variables, and
/// the key would never be the same.
fn variable(text: &str) -> Parsed<String> {
    let name = text.strip_suffix('*').unwrap_or(text);
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let is_name = name.bytes().all(fits) && name.starts_with(|c: char| !c.is_ascii_digit());
    let expected = "the name of a variable (`NAME`, or `PREFIX_*` for several)";
    is_name.then(|| text.to_owned()).ok_or_else(|| Refusal::new(text, expected))
}

fn job(text: &str) -> Parsed<String> {
    let is_label = text.len() <= super::label::MAX_LEN && !text.contains(char::is_control);
    let expected = format!("a kind of job (one line of {} bytes at most)", super::label::MAX_LEN);
    is_label.then(|| text.to_owned()).ok_or_else(|| Refusal::new(text, expected))
}

fn max_size(text: &str) -> Parsed<Option<ByteSize>> {
    if text == "none" { Ok(None) } else { Ok(Some(text.parse()?)) }
}

fn remote(text: &str) -> Parsed<()> {
    Err(Refusal::new(text, "supported: this version keeps one host's store (leave it empty)"))
}

/// Parses the value of `job.status`; `None` for a word of another runner, which is no error.
fn job_status(text: &str) -> Option<JobStatus> {
    chosen(text, &JOB_STATUSES).ok()
}

/// Returns a warning for each given input that does not exist. Runners pass such inputs on.
fn unknown_inputs(environment: &Environment) -> Vec<String> {
    let given = environment.iter().filter_map(|(name, _)| name.to_str()?.strip_prefix("INPUT_"));
    let names = given.map(|name| name.to_ascii_lowercase().replace('_', "-"));
    let unknown = names.filter(|name| !NAMES.contains(&name.as_str()));
    let warning = |name: String| match wrong::nearest(&name, NAMES.into_iter()) {
        Some(near) => format!("unknown input `{}`; did you mean `{near}`?", shown(&name)),
        None => format!("unknown input `{}`", shown(&name)),
    };
    unknown.map(warning).collect()
}
