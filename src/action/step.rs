//! The settings of a step: its inputs, its directories and its trust.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::cargo::key::KeyOptions;
use crate::cargo::scratch::Scratch;
use crate::front::Result;
use crate::front::clock::now;
use crate::github::cache_mode::cache_mode;
use crate::github::event::Payload;
use crate::github::files::Files;
use crate::github::inputs::{InputError, Inputs};
use crate::github::label::label;
use crate::github::runner::Runner;
use crate::github::trust::Trust;
use crate::job::Ask;
use crate::job::private_home::Opened;
use crate::job::repository::repository_of;
use crate::job::store_root::{RootChoice, in_container, on_host};
use crate::model::cache_mode::CacheMode;
use crate::model::cargo_home::CargoHome;
use crate::model::environment::Environment;
use crate::model::leftovers::SavedFrom;
use crate::model::names::Name;
use crate::model::scope::{Lane, Repository, Scope};
use crate::model::unit_use::UnitPolicy;
use crate::save::HotPolicy;
use crate::save::SaveOptions;
use crate::store::{OUTSIDE, Store};
use crate::upkeep::gc::{GcMode, Options};
use crate::upkeep::guard::{GuardReport, guard, places};

/// The settings of a step: its inputs, its directories and its trust.
#[derive(Debug)]
pub(super) struct Step {
    /// All variables that the runner set.
    pub(super) environment: Environment,
    pub(super) inputs: Inputs,
    pub(super) runner: Runner,
    pub(super) trust: Trust,
    pub(super) files: Files,
    /// The restores and saves that the workflow allows the job.
    pub(super) cache_mode: CacheMode,
    /// A warning if the cache mode is unknown.
    pub(super) unknown_cache_mode: Option<String>,
}

impl Step {
    /// Reads the inputs, the runner's variables, and the event.
    pub(super) fn of(
        environment: &Environment,
        cwd: &Path,
    ) -> std::result::Result<Self, InputError> {
        let mut inputs = Inputs::parse(environment)?;
        let runner = Runner::of(environment, cwd);
        let mut trust = Trust::of(&runner, &Payload::read(runner.event_path.as_deref()));
        if let Some(built) = inputs.repository.take() {
            match served(&built, &runner, &trust) {
                Ok(None) => {}
                Ok(Some(guest)) => {
                    trust.lane = guest.lane;
                    inputs.repository = Some(guest.repository);
                }
                Err(reason) => inputs.warnings.push(format!(
                    "input `repository`: {reason}; this job uses the generations of its own repository"
                )),
            }
        }
        let files = Files::of(environment);
        let (cache_mode, unknown_cache_mode) = cache_mode(environment);
        let environment = environment.clone();
        Ok(Self { environment, inputs, runner, trust, files, cache_mode, unknown_cache_mode })
    }

    /// Returns the environment without the variables meant only for this step, such as tokens.
    pub(super) fn for_children(&self) -> Environment {
        let is_ours = |name: &std::ffi::OsStr| {
            let name = name.as_encoded_bytes();
            ["INPUT_", "STATE_", "ACTIONS_"].iter().any(|ours| name.starts_with(ours.as_bytes()))
        };
        let variables = self.environment.iter().filter(|(name, _)| !is_ours(name));
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// Returns the checkout of the repo.
    pub(super) fn repo(&self) -> PathBuf {
        self.absolute(&self.inputs.repo)
    }

    fn absolute(&self, path: &Path) -> PathBuf {
        self.runner.workspace.join(path)
    }

    /// Returns the path of each dependency, checked out or not.
    pub(super) fn dependencies(&self) -> BTreeMap<Name, PathBuf> {
        let place = |path: &Option<PathBuf>, name: &Name| match path {
            Some(path) => self.absolute(path),
            None => self.repo().join("..").join(name.as_str()),
        };
        let dependencies = self.inputs.dependencies.iter();
        dependencies.map(|it| (it.name.clone(), place(&it.path, &it.name))).collect()
    }

    /// Returns the scope, which decides which jobs may restore the generations of this job.
    pub(super) fn scope(&self) -> Result<Scope> {
        let repository = match self.inputs.repository.as_ref().or(self.runner.repository.as_ref()) {
            Some(repository) => repository.clone(),
            None => repository_of(&self.repo(), &self.for_children())?,
        };
        Ok(Scope { repository, lane: self.trust.lane.clone() })
    }

    /// Returns the request of this job, with the private home if it has one.
    pub(super) fn ask(&self, home: Option<&Opened>) -> Result<Ask> {
        let Inputs { areas, key, extra_inputs, env_vars, cargo_home, target_dir, targets, .. } =
            &self.inputs;
        let chosen = match cargo_home {
            CargoHome::At(path) => Some(self.absolute(path)),
            CargoHome::Usual | CargoHome::Private => None,
        };
        let absolute = |path: &Option<PathBuf>| path.as_deref().map(|path| self.absolute(path));
        Ok(Ask {
            repo: self.repo(),
            dependencies: self.dependencies(),
            areas: areas.clone(),
            key: key.clone(),
            dependency_keys: BTreeMap::new(),
            key_options: KeyOptions {
                extra_inputs: extra_inputs.clone(),
                env_vars: env_vars.clone(),
            },
            label: label(&self.inputs, &self.runner),
            scope: self.scope()?,
            base: self.trust.base.clone(),
            cargo_home: home.map(|opened| opened.home.path().to_owned()).or(chosen),
            target_dir: absolute(target_dir),
            scratch: Scratch::chosen(self.inputs.scratch.as_deref())?,
            targets: targets.clone(),
            provenance: self.runner.provenance(),
        })
    }

    /// Returns the path of the store.
    pub(super) fn root(&self) -> Result<RootChoice> {
        let chosen = self.inputs.cache_root.as_deref().map(|root| self.absolute(root));
        let choice = if self.runner.is_container {
            let tool_cache = self.runner.tool_cache.as_deref();
            in_container(chosen.as_deref(), &self.environment, tool_cache)?
        } else {
            let root = on_host(chosen.as_deref(), &self.environment)?;
            RootChoice { root, not_mounted: None, lasts: true }
        };
        Ok(RootChoice { root: self.absolute(&choice.root), ..choice })
    }

    /// Measures every disk that the job uses, and frees space where one is too full.
    pub(super) fn guard(&self, store: &Store) -> Result<GuardReport> {
        let Inputs { pressure, policy, cargo_home, target_dir, .. } = &self.inputs;
        let readable = self.scope()?.chain(self.trust.base.as_ref());
        let absolute = |path: &Option<PathBuf>| path.as_deref().map(|path| self.absolute(path));
        let target = absolute(target_dir);
        let home = match cargo_home {
            CargoHome::Usual => None,
            CargoHome::At(path) => Some(self.absolute(path)),
            CargoHome::Private => Some(store.home_path(&self.runner.home_owner())),
        };
        let places = places(
            Some(store),
            &self.repo(),
            self.dependencies().into_values(),
            home.as_deref(),
            target.as_deref(),
            &self.for_children(),
        );
        let mode = GcMode::Execute;
        Ok(guard(
            store,
            &places,
            pressure,
            Options { policy, readable: &readable, now: now(), mode },
        )?)
    }

    /// Returns the options for the save at the end of the job, after which the targets are no
    /// longer needed.
    pub(super) fn last_save_options(&self, partial: bool) -> SaveOptions {
        let hot = HotPolicy {
            count: self.inputs.hot_trees.into(),
            outside: self.runner.work_dir.as_ref().map(|dir| dir.join(OUTSIDE)),
        };
        let from = self.inputs.leftovers.saved_from(SavedFrom::Recorded);
        SaveOptions { from, hot, ..self.save_options(partial) }
    }

    /// Returns the options for a save after which the job goes on.
    pub(super) fn save_options(&self, partial: bool) -> SaveOptions {
        let units = UnitPolicy { unit_saves: self.inputs.unit_saves };
        let level = self.inputs.compression_level;
        let from = self.inputs.leftovers.saved_from(SavedFrom::Unrecorded);
        SaveOptions { level, partial, units, from, hot: HotPolicy::default(), now: now() }
    }

    /// Returns the number of threads to use; 0 means one per core.
    pub(super) fn threads(&self) -> usize {
        self.inputs.threads.map_or(0, |threads| usize::from(threads.get()))
    }
}

/// The scope of a job that builds another repository than its workflow's.
struct Guest {
    repository: Repository,
    lane: Lane,
}

/// Returns the scope of a job that builds `built`, or `None` if that is the job's own repository. An error says why the
/// job may not use the generations of `built`.
///
/// A workflow of a pull request names any repository, so only a job of the protected lane may; and only within one owner.
/// The event says nothing about the branch of `built` that the job builds. So the job restores what is protected there,
/// and saves into a lane of its own, whose name is no branch: git allows no `:` in one.
fn served(
    built: &Repository,
    runner: &Runner,
    trust: &Trust,
) -> std::result::Result<Option<Guest>, &'static str> {
    let own = runner.repository.as_ref().ok_or("the runner does not name its own repository")?;
    if own.is_same_as(built.as_str()) {
        return Ok(None);
    }
    if !own.owner().eq_ignore_ascii_case(built.owner()) {
        return Err("it is a repository of another owner");
    }
    if trust.lane != Lane::Protected {
        return Err(
            "only a job of the protected lane may use the generations of another repository",
        );
    }
    // Scopes differ by the case of letters, and the owner is the same.
    let repository = format!("{}/{}", own.owner(), built.name()).parse();
    let lane = Lane::Branch(format!("workflow:{own}", own = own.as_str()));
    Ok(Some(Guest { repository: repository.unwrap_or_else(|_| built.clone()), lane }))
}
