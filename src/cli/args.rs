//! Options that several commands share, and the values that they resolve to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::Args;

use super::Result;
use crate::cargo::key::KeyOptions;
use crate::cargo::scratch::Scratch;
use crate::front;
use crate::front::clock::now;
use crate::front::print::{line, to_stderr};
use crate::github;
use crate::github::runner::Runner;
use crate::job::private_home::{self, Opened, User};
use crate::job::repository::repository_of;
use crate::job::store_root::on_host;
use crate::job::{AreaSelector, Ask, Job};
use crate::model::cache_mode::CacheMode;
use crate::model::cargo_home::{CargoHome, HomeOwner};
use crate::model::environment::Environment;
use crate::model::leftovers::Leftovers;
use crate::model::names::Name;
use crate::model::pressure::Pressure;
use crate::model::quantity::{ByteSize, Percent};
use crate::model::retention::Policy;
use crate::model::scope::{Lane, Repository, Scope};
use crate::store::Store;

/// The options for the store.
#[derive(Debug, Args)]
pub(super) struct RootArgs {
    /// The directory of the store
    ///
    /// The default is `$RUNNER_CACHE_ROOT`, else `/tmp/runner-cache` unless `/tmp` is in memory, else
    /// `~/.cache/runner-cache`.
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

impl RootArgs {
    /// Returns the directory that was given, or the default.
    pub(super) fn path(&self) -> Result<PathBuf> {
        absolute(&on_host(self.root.as_deref(), &environment())?)
    }

    /// Opens the store, which must exist.
    pub(super) fn open(&self) -> Result<Store> {
        Ok(Store::open(&self.path()?)?)
    }

    /// Opens the store; creates it if it does not exist.
    pub(super) fn open_or_init(&self) -> Result<Store> {
        Ok(Store::open_or_init(&self.path()?)?)
    }
}

/// The options for checkouts.
#[derive(Debug, Args)]
pub(super) struct CheckoutArgs {
    /// The repo's checkout
    #[arg(long, value_name = "DIR", default_value = ".")]
    repo: PathBuf,
    /// A dependency that is checked out; DIR defaults to ../NAME beside the repo
    #[arg(long = "dependency", value_name = "NAME[=DIR]", value_parser = parse_dependency)]
    dependencies: Vec<(Name, Option<PathBuf>)>,
}

/// The options for cargo's directories.
#[derive(Debug, Args)]
pub(super) struct PlaceArgs {
    /// Cargo's home: a directory, or `private` for the runner's own home in the store [default: as cargo finds it]
    ///
    /// Write `./private` for a directory of that name.
    #[arg(long, value_name = "DIR")]
    cargo_home: Option<PathBuf>,
    /// The runner that the private home belongs to [default: `$RUNNER_NAME`, else `local`]
    #[arg(long, value_name = "NAME")]
    runner: Option<String>,
    /// The repo's target directory [default: as cargo finds it]
    #[arg(long, value_name = "DIR")]
    target_dir: Option<PathBuf>,
}

/// The options for scratch.
#[derive(Debug, Args)]
struct ScratchArgs {
    /// Files in target directories to neither save nor restore, as a gitignore pattern; may be repeated, and ''
    /// excludes nothing [default: /tmp/*, /*/tmp/*, /*/*-*-*/tmp/*, !/doc/tmp/*, *.profraw,
    /// **/incremental/*/s-*-working/]
    #[arg(long = "scratch", value_name = "PATTERN")]
    patterns: Option<Vec<String>>,
}

/// The option for targets of other jobs that this job may not read.
#[derive(Debug, Args)]
pub(super) struct LeftoversArgs {
    /// How to treat targets that a job of another lane, or an unknown job, left: with `set-aside`, `restore` sets them
    /// aside before cargo sees them and `save` skips them; with `keep`, they are treated like any other target
    #[arg(long, value_name = "WHAT", default_value = "keep", value_parser = parse_leftovers)]
    leftovers: Leftovers,
}

impl LeftoversArgs {
    /// Returns the chosen treatment.
    pub(super) fn leftovers(&self) -> Leftovers {
        self.leftovers
    }
}

impl ScratchArgs {
    fn scratch(&self) -> Result<Scratch> {
        Ok(Scratch::chosen(self.patterns.as_deref())?)
    }
}

impl PlaceArgs {
    /// Returns the chosen cargo home.
    pub(super) fn cargo_home(&self) -> CargoHome {
        self.cargo_home.clone().map(CargoHome::from).unwrap_or_default()
    }

    /// Returns the owner of the private home. In a job of a runner, it is the owner that the Action uses there.
    pub(super) fn home_owner(&self) -> HomeOwner {
        let owner = Runner::of(&environment(), Path::new("/")).home_owner();
        HomeOwner { name: self.runner.clone().unwrap_or(owner.name), ..owner }
    }

    /// Opens the private home, if it was chosen.
    pub(super) fn open_home(&self, store: &Store, user: &User<'_>) -> Result<Option<Opened>> {
        if self.cargo_home() != CargoHome::Private {
            return Ok(None);
        }
        Ok(Some(private_home::open(store, &self.home_owner(), user, &environment(), now())?))
    }

    /// Returns the target directory that was given.
    pub(super) fn target_dir(&self) -> Option<&Path> {
        self.target_dir.as_deref()
    }
}

/// The options for a repo and its key.
#[derive(Debug, Args)]
pub(super) struct RepoArgs {
    #[command(flatten)]
    checkouts: CheckoutArgs,
    /// A glob below the repo; the content of its files becomes part of the key too
    #[arg(long = "extra-input", value_name = "GLOB")]
    extra_inputs: Vec<String>,
    /// An environment variable that becomes part of the key too; `PREFIX_*` for several
    #[arg(long = "env-var", value_name = "NAME")]
    env_vars: Vec<String>,
    /// Use this key instead of computing one
    #[arg(long)]
    key: Option<Name>,
}

/// The options for the scope.
#[derive(Debug, Args)]
pub(super) struct ScopeArgs {
    /// The full name of the repository [default: that of the remote `origin`, else `local/` and the name of the
    /// directory]
    #[arg(long, value_name = "OWNER/NAME")]
    repository: Option<Repository>,
    /// The trust lane: `protected`, `branch/NAME` or `pr/NUMBER`
    #[arg(long, default_value = "protected")]
    lane: Lane,
    /// The lane of the branch that a pull request is based on; this job may restore from it too
    #[arg(long, value_name = "LANE")]
    base_lane: Option<Lane>,
}

impl ScopeArgs {
    /// Returns the scope of the repo checked out at `repo`.
    pub(super) fn scope(&self, repo: &Path) -> Result<Scope> {
        let repository = match &self.repository {
            Some(repository) => repository.clone(),
            None => repository_of(repo, &environment())?,
        };
        Ok(Scope { repository, lane: self.lane.clone() })
    }

    /// Returns the scopes that a job of the repo checked out at `repo` may restore from.
    pub(super) fn readable(&self, repo: &Path) -> Result<Vec<Scope>> {
        Ok(self.scope(repo)?.chain(self.base_lane.as_ref()))
    }
}

/// The options for retention and for full disks.
#[derive(Debug, Args)]
pub(super) struct RetentionArgs {
    /// Series to keep: so many of registry and of git (`cargo`), so many of each target (`target`), and every series
    /// used within `min-age`
    #[arg(long, value_name = "LIST", default_value = "cargo=5,target=3,min-age=1d")]
    retention: Policy,
    /// Number of generations to keep of each series and job
    #[arg(long, value_name = "N", default_value_t = 3)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    generations: u16,
    /// Disk usage above which space is freed
    #[arg(long, value_name = "PERCENT", default_value = "80%")]
    disk_threshold: Percent,
    /// Disk usage to reach when freeing space
    #[arg(long, value_name = "PERCENT", default_value = "70%")]
    low_water: Percent,
    /// Free space to keep on each disk [default: 20GiB, or 10 % of a smaller disk]
    #[arg(long, value_name = "SIZE")]
    min_free: Option<ByteSize>,
    /// Largest size of the store [default: no limit]
    #[arg(long, value_name = "SIZE")]
    max_size: Option<ByteSize>,
}

impl RetentionArgs {
    /// Returns the retention policy.
    pub(super) fn policy(&self) -> Policy {
        Policy { generations: self.generations.into(), ..self.retention }
    }

    /// Returns the limits on disk usage.
    pub(super) fn pressure(&self) -> Pressure {
        Pressure {
            disk_threshold: self.disk_threshold,
            low_water: self.low_water,
            min_free: self.min_free,
            max_size: self.max_size,
        }
    }
}

/// The options that restore and save share.
#[derive(Debug, Args)]
pub(super) struct JobArgs {
    #[command(flatten)]
    pub(super) root: RootArgs,
    #[command(flatten)]
    pub(super) repo: RepoArgs,
    /// What to restore or save: a list of `registry`, `git`, `target` and `dependencies`
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = parse_area)]
    #[arg(default_value = "registry,git,target,dependencies")]
    areas: Vec<AreaSelector>,
    /// The kind of this job: test, clippy, …
    #[arg(long, value_name = "NAME", default_value = "default")]
    job: String,
    #[command(flatten)]
    scope: ScopeArgs,
    #[command(flatten)]
    places: PlaceArgs,
    #[command(flatten)]
    scratch: ScratchArgs,
    /// A further target directory to restore and save, relative to the repo, whatever job saved it; may be repeated
    #[arg(long = "target", value_name = "DIR")]
    targets: Vec<PathBuf>,
    /// Number of threads [default: one per core]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub(super) threads: usize,
    /// Print one JSON object to stdout
    #[arg(long)]
    pub(super) json: bool,
}

impl CheckoutArgs {
    /// Returns the absolute path of the repo.
    pub(super) fn repo(&self) -> Result<PathBuf> {
        absolute(&self.repo)
    }

    /// Returns the dependencies with their absolute paths.
    pub(super) fn dependencies(&self) -> Result<BTreeMap<Name, PathBuf>> {
        let repo = self.repo()?;
        let resolve = |(name, path): &(Name, Option<PathBuf>)| {
            let path = match path {
                Some(path) => absolute(path)?,
                None => repo.join("..").join(name.as_str()),
            };
            Ok((name.clone(), path))
        };
        self.dependencies.iter().map(resolve).collect()
    }
}

impl RepoArgs {
    /// Returns the absolute path of the repo.
    pub(super) fn repo(&self) -> Result<PathBuf> {
        self.checkouts.repo()
    }

    /// Returns the dependencies with their absolute paths.
    pub(super) fn dependencies(&self) -> Result<BTreeMap<Name, PathBuf>> {
        self.checkouts.dependencies()
    }

    /// Returns the additional parts of the key.
    pub(super) fn key_options(&self) -> KeyOptions {
        KeyOptions { extra_inputs: self.extra_inputs.clone(), env_vars: self.env_vars.clone() }
    }

    /// Returns the key that was given.
    pub(super) fn key(&self) -> Option<Name> {
        self.key.clone()
    }
}

impl JobArgs {
    /// Opens the private home, if it was chosen.
    pub(super) fn open_home(&self, store: &Store, leftovers: Leftovers) -> Result<Option<Opened>> {
        let repo = &self.repo.repo()?;
        let readable = &self.scope.readable(repo)?;
        self.places.open_home(store, &User { repo, readable, leftovers })
    }

    /// Resolves the job, with the private home if one is opened.
    pub(super) fn resolve(&self, store: &Store, home: Option<&Opened>) -> Result<Job> {
        let environment = home.map_or_else(environment, |it| it.applied_to(&environment()));
        let mut job = Job::resolve(&self.ask(home)?, &environment, Some(store))?;
        job.warnings.extend(home.iter().flat_map(|home| home.warnings.iter().cloned()));
        Ok(job)
    }

    fn ask(&self, home: Option<&Opened>) -> Result<Ask> {
        let repo = self.repo.repo()?;
        let scope = self.scope.scope(&repo)?;
        let option = |path: Option<&Path>| path.map(absolute).transpose();
        Ok(Ask {
            dependencies: self.repo.dependencies()?,
            areas: self.areas.iter().copied().collect::<BTreeSet<_>>(),
            key: self.repo.key(),
            dependency_keys: BTreeMap::new(),
            key_options: self.repo.key_options(),
            label: self.job.clone(),
            provenance: BTreeMap::from([("scope".to_owned(), scope.to_string())]),
            scope,
            base: self.scope.base_lane.clone(),
            cargo_home: match (home, self.places.cargo_home()) {
                (Some(opened), _) => Some(opened.home.path().to_owned()),
                (None, CargoHome::At(path)) => Some(absolute(&path)?),
                (None, CargoHome::Usual | CargoHome::Private) => None,
            },
            target_dir: option(self.places.target_dir())?,
            scratch: self.scratch.scratch()?,
            targets: self.targets.clone(),
            repo,
        })
    }
}

/// Returns the environment of this process.
pub(super) fn environment() -> Environment {
    std::env::vars_os().collect()
}

/// Returns the access to the store that the workflow of this step gives its jobs. Warns of an unknown word.
pub(super) fn cache_mode() -> CacheMode {
    let (mode, unknown) = github::cache_mode::cache_mode(&environment());
    if let Some(unknown) = unknown {
        to_stderr(&line!("warning: {unknown}"));
    }
    mode
}

/// Returns `path` as an absolute path.
pub(super) fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path)
        .map_err(|source| front::Error::Io { action: "find the current directory", source }.into())
}

fn parse_dependency(text: &str) -> std::result::Result<(Name, Option<PathBuf>), String> {
    let (name, path) = match text.split_once('=') {
        Some((name, path)) => (name, Some(PathBuf::from(path))),
        None => (text, None),
    };
    Ok((name.parse().map_err(|error| format!("{error}"))?, path))
}

fn parse_area(text: &str) -> std::result::Result<AreaSelector, String> {
    match text {
        "registry" => Ok(AreaSelector::Registry),
        "git" => Ok(AreaSelector::Git),
        "target" => Ok(AreaSelector::Target),
        "dependencies" => Ok(AreaSelector::Dependencies),
        _ => Err("areas are registry, git, target and dependencies".to_owned()),
    }
}

fn parse_leftovers(text: &str) -> std::result::Result<Leftovers, String> {
    let known = Leftovers::ALL.into_iter().find(|(word, _)| *word == text);
    known.map(|(_, leftovers)| leftovers).ok_or_else(|| "`set-aside` or `keep`".to_owned())
}
