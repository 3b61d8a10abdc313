//! Options that several commands share, and what they come to.

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
use crate::job::{Ask, Job, Kept};
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

/// Where the store is.
#[derive(Debug, Args)]
pub(super) struct RootArgs {
    /// The store
    ///
    /// Without it `$RUNNER_CACHE_ROOT`, else `/tmp/runner-cache` unless `/tmp` is in memory, else
    /// `~/.cache/runner-cache`.
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

impl RootArgs {
    /// Returns the root that was given, or the default.
    pub(super) fn path(&self) -> Result<PathBuf> {
        absolute(&on_host(self.root.as_deref(), &environment())?)
    }

    /// Opens the store; it must be there.
    pub(super) fn open(&self) -> Result<Store> {
        Ok(Store::open(&self.path()?)?)
    }

    /// Opens the store, making it if nothing is there.
    pub(super) fn open_or_init(&self) -> Result<Store> {
        Ok(Store::open_or_init(&self.path()?)?)
    }
}

/// What is checked out.
#[derive(Debug, Args)]
pub(super) struct CheckoutArgs {
    /// The checkout of the repo
    #[arg(long, value_name = "DIR", default_value = ".")]
    repo: PathBuf,
    /// A dependency checked out beside the repo; its path defaults to ../NAME
    #[arg(long = "dependency", value_name = "NAME[=DIR]", value_parser = parse_dependency)]
    dependencies: Vec<(Name, Option<PathBuf>)>,
}

/// Where cargo keeps things, if not where it says.
#[derive(Debug, Args)]
pub(super) struct PlaceArgs {
    /// Cargo's home, or `private` for one of the runner's own in the store [default: as cargo finds it]
    ///
    /// A directory of that name is `./private`.
    #[arg(long, value_name = "DIR")]
    cargo_home: Option<PathBuf>,
    /// Whose private home that is [default: `$RUNNER_NAME`, else `local`]
    #[arg(long, value_name = "NAME")]
    runner: Option<String>,
    /// The target directory of the repo [default: as cargo says]
    #[arg(long, value_name = "DIR")]
    target_dir: Option<PathBuf>,
}

/// What of target directories is not kept.
#[derive(Debug, Args)]
struct ScratchArgs {
    /// What of target directories is neither saved nor restored: patterns as of gitignore, one each time; ''
    /// for nothing [default: /tmp/*, /*/tmp/*, /*/*-*-*/tmp/*, !/doc/tmp/*, *.profraw,
    /// **/incremental/*/s-*-working/]
    #[arg(long = "scratch", value_name = "PATTERN")]
    patterns: Option<Vec<String>>,
}

/// How to treat targets of other jobs that this one may not read.
#[derive(Debug, Args)]
pub(super) struct LeftoversArgs {
    /// Targets that a job of another lane left, or nobody knows who: `restore` sets them aside before cargo sees
    /// them and `save` does not save them, with `set-aside`; they count as others do, with `keep`
    #[arg(long, value_name = "WHAT", default_value = "keep", value_parser = parse_leftovers)]
    leftovers: Leftovers,
}

impl LeftoversArgs {
    /// Returns what was asked for.
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
    /// Returns the home of cargo that was asked for.
    pub(super) fn cargo_home(&self) -> CargoHome {
        self.cargo_home.clone().map(CargoHome::from).unwrap_or_default()
    }

    /// Returns whose private home is meant. Where a runner runs us, it is the one that the Action
    /// has there.
    pub(super) fn home_owner(&self) -> HomeOwner {
        let owner = Runner::of(&environment(), Path::new("/")).home_owner();
        HomeOwner { name: self.runner.clone().unwrap_or(owner.name), ..owner }
    }

    /// Opens the private home, if that is asked for.
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

/// Which repo, and what identifies what it wants.
#[derive(Debug, Args)]
pub(super) struct RepoArgs {
    #[command(flatten)]
    checkouts: CheckoutArgs,
    /// Files whose content is part of the key too, as a glob below the repo
    #[arg(long = "extra-input", value_name = "GLOB")]
    extra_inputs: Vec<String>,
    /// A variable that is part of the key too; `PREFIX_*` for several
    #[arg(long = "env-var", value_name = "NAME")]
    env_vars: Vec<String>,
    /// Use this key instead of computing one
    #[arg(long)]
    key: Option<Name>,
}

/// Who may restore what is saved.
#[derive(Debug, Args)]
pub(super) struct ScopeArgs {
    /// The full name of the repository, without it that of the remote `origin`, else `local/` and the
    /// name of the directory
    #[arg(long, value_name = "OWNER/NAME")]
    repository: Option<Repository>,
    /// The trust lane: protected, branch/NAME or pr/NUMBER
    #[arg(long, default_value = "protected")]
    lane: Lane,
    /// The lane of the branch that a pull request is based on, which may be read too
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

    /// Returns the scopes that a job of the repo checked out at `repo` may read.
    pub(super) fn readable(&self, repo: &Path) -> Result<Vec<Scope>> {
        Ok(self.scope(repo)?.chain(self.base_lane.as_ref()))
    }
}

/// What may go, and what must when the disk fills.
#[derive(Debug, Args)]
pub(super) struct RetentionArgs {
    /// How many series to keep of registry and git, how many of each target, and for how long all
    #[arg(long, value_name = "LIST", default_value = "cargo=5,target=3,min-age=1d")]
    retention: Policy,
    /// How many generations to keep of each series and job
    #[arg(long, value_name = "N", default_value_t = 3)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    generations: u16,
    /// How full a disk may be
    #[arg(long, value_name = "PERCENT", default_value = "80%")]
    disk_threshold: Percent,
    /// How full it may be after making room
    #[arg(long, value_name = "PERCENT", default_value = "70%")]
    low_water: Percent,
    /// What must stay free [default: 20GiB, or 10 % of a smaller disk]
    #[arg(long, value_name = "SIZE")]
    min_free: Option<ByteSize>,
    /// How large the store may be [default: no limit]
    #[arg(long, value_name = "SIZE")]
    max_size: Option<ByteSize>,
}

impl RetentionArgs {
    /// Returns what is kept.
    pub(super) fn policy(&self) -> Policy {
        Policy { generations: self.generations.into(), ..self.retention }
    }

    /// Returns when room is made.
    pub(super) fn pressure(&self) -> Pressure {
        Pressure {
            disk_threshold: self.disk_threshold,
            low_water: self.low_water,
            min_free: self.min_free,
            max_size: self.max_size,
        }
    }
}

/// What a restore or save is about.
#[derive(Debug, Args)]
pub(super) struct JobArgs {
    #[command(flatten)]
    pub(super) root: RootArgs,
    #[command(flatten)]
    pub(super) repo: RepoArgs,
    /// What to keep, of registry, git, target, dependencies
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = parse_area)]
    #[arg(default_value = "registry,git,target,dependencies")]
    areas: Vec<Kept>,
    /// What kind of job this is: test, clippy, …
    #[arg(long, value_name = "NAME", default_value = "default")]
    job: String,
    #[command(flatten)]
    scope: ScopeArgs,
    #[command(flatten)]
    places: PlaceArgs,
    #[command(flatten)]
    scratch: ScratchArgs,
    /// A further target directory to keep, relative to the repo, whichever job saved it
    #[arg(long = "target", value_name = "DIR")]
    targets: Vec<PathBuf>,
    /// Threads [default: one a core]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub(super) threads: usize,
    /// Print one JSON object to stdout
    #[arg(long)]
    pub(super) json: bool,
}

impl CheckoutArgs {
    /// Returns the repo, absolute.
    pub(super) fn repo(&self) -> Result<PathBuf> {
        absolute(&self.repo)
    }

    /// Returns the dependencies with their paths, absolute.
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
    /// Returns the repo, absolute.
    pub(super) fn repo(&self) -> Result<PathBuf> {
        self.checkouts.repo()
    }

    /// Returns the dependencies with their paths, absolute.
    pub(super) fn dependencies(&self) -> Result<BTreeMap<Name, PathBuf>> {
        self.checkouts.dependencies()
    }

    /// Returns what is added to the key.
    pub(super) fn key_options(&self) -> KeyOptions {
        KeyOptions { extra_inputs: self.extra_inputs.clone(), env_vars: self.env_vars.clone() }
    }

    /// Returns the key that was given.
    pub(super) fn key(&self) -> Option<Name> {
        self.key.clone()
    }
}

impl JobArgs {
    /// Opens the private home, if that is asked for.
    pub(super) fn open_home(&self, store: &Store, leftovers: Leftovers) -> Result<Option<Opened>> {
        let repo = &self.repo.repo()?;
        let readable = &self.scope.readable(repo)?;
        self.places.open_home(store, &User { repo, readable, leftovers })
    }

    /// Finds out what is asked for, with the private home if that is.
    pub(super) fn resolve(&self, store: &Store, home: Option<&Opened>) -> Result<Job> {
        let environment = home.map_or_else(environment, |it| it.applied_to(&environment()));
        let mut job = Job::resolve(&self.ask(home)?, &environment, store.root())?;
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

/// Returns the environment of this process, as a value.
pub(super) fn environment() -> Environment {
    std::env::vars_os().collect()
}

/// Returns what the workflow that this is a step of lets its jobs do with caches; says so if nobody knows the word.
pub(super) fn cache_mode() -> CacheMode {
    let (mode, unknown) = github::cache_mode::cache_mode(&environment());
    if let Some(unknown) = unknown {
        to_stderr(&line!("warning: {unknown}"));
    }
    mode
}

/// Returns `path` from the root of the filesystem on.
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

fn parse_area(text: &str) -> std::result::Result<Kept, String> {
    match text {
        "registry" => Ok(Kept::Registry),
        "git" => Ok(Kept::Git),
        "target" => Ok(Kept::Target),
        "dependencies" => Ok(Kept::Dependencies),
        _ => Err("areas are registry, git, target and dependencies".to_owned()),
    }
}

fn parse_leftovers(text: &str) -> std::result::Result<Leftovers, String> {
    let known = Leftovers::ALL.into_iter().find(|(word, _)| *word == text);
    known.map(|(_, leftovers)| leftovers).ok_or_else(|| "`set-aside` or `keep`".to_owned())
}
