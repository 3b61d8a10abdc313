//! A job as it stands before anything is read or written: what it wants, and where.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::asked::{Asked, ask_all};
use super::further::named;
use super::locked::LockRank;
use super::{Error, Result};
use crate::cargo::dirs::{Dirs, cargo_home};
use crate::cargo::home::Wanted;
use crate::cargo::key::{KeyOptions, RepoKey};
use crate::cargo::scratch::Scratch;
use crate::cargo::system::system;
use crate::cargo::tracked::repository_of;
use crate::model::area::Area;
pub use crate::model::area::Kept;
use crate::model::choice::Wish;
use crate::model::digest::Digest;
use crate::model::environment::Environment;
use crate::model::manifest::{RawPath, Root, Series};
use crate::model::names::Name;
use crate::model::scope::{Lane, Scope};
use crate::model::system::System;
use crate::store::TreeOwner;

/// What a user asks for.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The checkout of the repo, absolute.
    pub repo: PathBuf,
    /// The checkouts of its dependencies, absolute.
    pub dependencies: BTreeMap<Name, PathBuf>,
    /// Which areas to keep; `dependencies` stands for all of theirs.
    pub areas: BTreeSet<Kept>,
    /// Used as given instead of the computed key.
    pub key: Option<Name>,
    /// Used as given for the targets of these dependencies: what a job was told before it built, so
    /// that a lock file that the build makes does not move them.
    pub dependency_keys: BTreeMap<Name, Name>,
    /// Further inputs of the key.
    pub key_options: KeyOptions,
    /// What kind of job this is.
    pub label: String,
    /// Who may restore what it saves.
    pub scope: Scope,
    /// The lane of the branch it is based on, which it may read too.
    pub base: Option<Lane>,
    /// `--cargo-home`.
    pub cargo_home: Option<PathBuf>,
    /// `--target-dir`.
    pub target_dir: Option<PathBuf>,
    /// What of target directories is neither saved nor restored.
    pub scratch: Scratch,
    /// Further targets, relative to the repo, that are kept whoever saved them.
    pub targets: Vec<PathBuf>,
    /// Where it comes from, for people.
    pub provenance: BTreeMap<String, String>,
}

/// A job as it stands before anything is read or written.
#[derive(Clone, Debug)]
pub struct Job {
    /// Who may restore what it saves.
    pub scope: Scope,
    /// The scopes it may read, its own first.
    pub readable: Vec<Scope>,
    /// The key that is handed out.
    pub key: Name,
    /// The key of each dependency.
    pub dependency_keys: BTreeMap<Name, Name>,
    /// What kind of job this is.
    pub label: String,
    /// The git repositories that the checkouts are in, canonical: a build may use anything of them.
    pub roots: BTreeMap<Root, PathBuf>,
    /// `CARGO_HOME`.
    pub cargo_home: PathBuf,
    /// The system that it builds on.
    pub system: System,
    /// The variables that it has.
    pub environment: Environment,
    /// The areas, in the order in which they are reported.
    pub places: Vec<Place>,
    /// The variables that the user added to the key.
    pub env_vars: Vec<String>,
    /// The roots of the workspaces that are built in, each with what its lock file counts for.
    pub workspaces: BTreeMap<PathBuf, LockRank>,
    /// What their lock files name of `CARGO_HOME`; nothing where there is no lock file.
    pub wanted: Wanted,
    /// Whether any lock file was found.
    pub has_lock: bool,
    /// Every target and build directory of the repo and its dependencies, wanted or not, and the further
    /// targets that are kept.
    pub target_dirs: Vec<PathBuf>,
    /// Directories inside roots that hold no sources: those, the store, the home.
    pub excluded: Vec<PathBuf>,
    /// What of target directories is neither saved nor restored.
    pub scratch: Scratch,
    /// Where it comes from, for people.
    pub provenance: BTreeMap<String, String>,
    /// What people should know about how this came about.
    pub warnings: Vec<String>,
}

/// One area of a job: where it is and which series it belongs to.
#[derive(Clone, Debug)]
pub struct Place {
    /// The area.
    pub area: Area,
    /// Its directory, which need not exist.
    pub dir: PathBuf,
    /// The root of the workspace that is built there: where relative dep-info starts.
    pub workspace_root: PathBuf,
    /// The key of its series.
    pub series_key: Name,
    /// The toolchain part of the key.
    pub toolchain: Digest,
    /// The environment part of the key.
    pub environment: Option<Digest>,
    /// Each part of the key by name, as text.
    pub components: BTreeMap<String, String>,
}

impl Job {
    /// Finds out what a job wants and where: reads lock files and manifests, asks cargo and rustc.
    pub fn resolve(ask: &Ask, environment: &Environment, store_root: &Path) -> Result<Self> {
        let found = |path: &Path| {
            path.canonicalize().map_err(|_| crate::cargo::Error::RepoMissing(path.to_owned()))
        };
        let repo = found(&ask.repo)?;
        let mut checkouts = BTreeMap::from([(Root::Repo, repo.clone())]);
        for (name, path) in &ask.dependencies {
            checkouts.insert(Root::Dependency(name.clone()), found(path)?);
        }
        // Ask the C compiler while rustc answers, which takes longer.
        let (asked, system) =
            rayon::join(|| ask_all(ask, environment, &checkouts), || system(&repo, environment));
        let asked = asked?;
        let Asked { key, dirs: own, .. } = &asked[&Root::Repo];
        let home = cargo_home(environment, ask.cargo_home.as_deref(), &repo)?;
        let cargo_key = ask.key.clone().unwrap_or_else(|| key.key.clone());
        let mut job = Self {
            scope: ask.scope.clone(),
            readable: ask.scope.chain(ask.base.as_ref()),
            key: cargo_key.clone(),
            dependency_keys: BTreeMap::new(),
            label: ask.label.clone(),
            excluded: vec![store_root.to_owned(), home.clone()],
            roots: repositories(checkouts, environment),
            places: Vec::new(),
            target_dirs: Vec::new(),
            env_vars: ask.key_options.env_vars.clone(),
            workspaces: workspaces(&asked),
            wanted: Wanted::default(),
            has_lock: false,
            scratch: ask.scratch.clone(),
            provenance: ask.provenance.clone(),
            warnings: key.warnings.clone(),
            cargo_home: home,
            system,
            environment: environment.clone(),
        };
        for (kept, area, below) in
            [(Kept::Registry, Area::Registry, "registry"), (Kept::Git, Area::Git, "git")]
        {
            if ask.areas.contains(&kept) {
                let dir = job.cargo_home.join(below);
                job.places.push(place(area, dir, &repo, cargo_key.clone(), key));
            }
        }
        if let Some(root) = job.roots.values().find(|root| store_root.starts_with(root)) {
            let (store_root, root) = (store_root.display(), root.display());
            job.warnings.push(format!(
                "the store `{store_root}` lies inside the checkout `{root}`: `git clean -ffdx` deletes it"
            ));
        }
        let manifests = asked.iter().filter_map(|(root, asked)| match root {
            Root::Repo => None,
            Root::Dependency(name) => Some((name.clone(), asked.manifests?)),
        });
        let manifests = manifests.collect();
        job.add_own_target(ask, &asked[&Root::Repo], &manifests);
        for (root, asked) in &asked {
            if let Root::Dependency(name) = root {
                job.add_dependency(ask, name, asked, &own.target_dir);
            }
        }
        job.read_locks()?;
        job.add_further(&named(&repo, &ask.targets));
        Ok(job)
    }

    /// Adds the target directory of the repo, which depends on what has these `manifests`.
    fn add_own_target(&mut self, ask: &Ask, asked: &Asked, manifests: &BTreeMap<Name, Digest>) {
        let Asked { key, dirs, .. } = asked;
        self.add_dirs(dirs);
        if ask.areas.contains(&Kept::Target) {
            let series_key = key.with_dependencies(&self.key, manifests);
            self.add_place(Area::Target, &dirs.target_dir, dirs, &series_key, key);
            if let Some(build_dir) = &dirs.build_dir {
                self.add_place(Area::Build, build_dir, dirs, &series_key, key);
            }
        }
    }

    /// Adds the target directory of a dependency, unless it is the repo's `own`.
    fn add_dependency(&mut self, ask: &Ask, name: &Name, asked: &Asked, own: &Path) {
        let Asked { key, dirs, .. } = asked;
        self.add_dirs(dirs);
        let series_key = ask.dependency_keys.get(name).unwrap_or(&key.key);
        self.dependency_keys.insert(name.clone(), series_key.clone());
        if !ask.areas.contains(&Kept::Dependencies) || dirs.target_dir == own {
            return;
        }
        let area = Area::DependencyTarget(name.clone());
        self.add_place(area, &dirs.target_dir, dirs, series_key, key);
        if let Some(build_dir) = &dirs.build_dir {
            self.add_place(Area::DependencyBuild(name.clone()), build_dir, dirs, series_key, key);
        }
    }

    fn add_dirs(&mut self, dirs: &Dirs) {
        for dir in std::iter::once(&dirs.target_dir).chain(&dirs.build_dir) {
            self.excluded.push(dir.clone());
            self.target_dirs.push(dir.clone());
        }
    }

    fn add_place(&mut self, area: Area, dir: &Path, dirs: &Dirs, series_key: &Name, key: &RepoKey) {
        // One directory that several workspaces build in is kept once, as the first one's; a build
        // directory inside the target directory goes with that.
        if !self.places.iter().any(|place| dir.starts_with(&place.dir)) {
            let root = &dirs.workspace_root;
            self.places.push(place(area, dir.to_owned(), root, series_key.clone(), key));
        }
    }

    /// Returns each part of the key of the target by name, as text; nothing if no area is wanted.
    pub fn components(&self) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        let of_target = self.places.iter().find(|place| place.area == Area::Target);
        of_target.or(self.places.first()).map_or(&NONE, |place| &place.components)
    }

    /// Returns the same job, with only the areas that `wanted` picks.
    #[must_use]
    pub fn only(&self, wanted: impl Fn(&Area) -> bool) -> Self {
        let mut job = self.clone();
        job.places.retain(|place| wanted(&place.area));
        job
    }

    /// Returns the series that an area is saved to.
    pub fn series(&self, place: &Place) -> Series {
        let key = place.series_key.clone();
        Series { scope: self.scope.clone(), area: place.area.clone(), key }
    }

    /// Returns what the job wants of an area.
    pub fn wish(&self, place: &Place) -> Wish {
        let is_shared = place.area.is_shared();
        Wish {
            chain: self.readable.clone(),
            key: place.series_key.clone(),
            toolchain: (!is_shared).then_some(place.toolchain),
            environment: place.environment,
            roots: if is_shared { BTreeMap::new() } else { self.raw_roots() },
            cargo_home: self.home_of(place),
            system: (!is_shared).then(|| self.system.clone()),
            job: self.label.clone(),
        }
    }

    /// Tells whether the absence of an area counts although nobody ever saved it.
    pub fn counts_on(&self, area: &Area) -> bool {
        match area {
            // A job may build in further targets alone.
            Area::Target => !self.has_further(),
            Area::Registry => self.wanted.has_crates(),
            Area::Git => self.wanted.has_repositories(),
            _ => false,
        }
    }

    /// Returns what a record says of the job that has a directory in hand.
    pub(super) fn as_owner(&self) -> TreeOwner {
        TreeOwner { scope: self.scope.clone(), system: self.system.clone() }
    }

    /// Returns cargo's home as manifests record it, if what is built in the area depends on it.
    pub fn home_of(&self, place: &Place) -> Option<RawPath> {
        let home = || RawPath::of(self.cargo_home.as_os_str().as_encoded_bytes());
        (!place.area.is_shared()).then(home)
    }

    /// Returns the roots as manifests record them.
    pub fn raw_roots(&self) -> BTreeMap<Root, RawPath> {
        let raw = |path: &PathBuf| RawPath::of(path.as_os_str().as_encoded_bytes());
        self.roots.iter().map(|(root, path)| (root.clone(), raw(path))).collect()
    }
}

impl Place {
    /// Refuses a directory that holds the store or cargo's home: replacing the one would replace
    /// the other.
    pub(super) fn check(&self, store_root: &Path, cargo_home: &Path) -> Result<()> {
        let Ok(dir) = self.dir.canonicalize() else { return Ok(()) };
        let holds = |path: &Path| path.canonicalize().is_ok_and(|path| path.starts_with(&dir));
        let reason = if holds(store_root) {
            "the store lies inside it"
        } else if !self.area.is_shared() && holds(cargo_home) {
            "cargo's home lies inside it"
        } else {
            return Ok(());
        };
        Err(Error::Unfit { path: self.dir.clone(), reason })
    }
}

/// Returns the repository that each directory is in. Of several in one repository only the first is a root.
fn repositories(
    checkouts: BTreeMap<Root, PathBuf>,
    environment: &Environment,
) -> BTreeMap<Root, PathBuf> {
    let mut known = BTreeSet::new();
    let found = checkouts.into_iter().map(|(root, dir)| (root, repository_of(&dir, environment)));
    found.filter(|(_, repository)| known.insert(repository.clone())).collect()
}

fn workspaces(asked: &BTreeMap<Root, Asked>) -> BTreeMap<PathBuf, LockRank> {
    let mut workspaces = BTreeMap::new();
    for (root, Asked { key, dirs, .. }) in asked {
        let rank = if *root == Root::Repo { LockRank::Own } else { LockRank::by(&key.basis) };
        let known = workspaces.entry(dirs.workspace_root.clone()).or_insert(rank);
        *known = rank.min(*known);
    }
    workspaces
}

fn place(
    area: Area,
    dir: PathBuf,
    workspace_root: &Path,
    series_key: Name,
    key: &RepoKey,
) -> Place {
    Place {
        area,
        dir,
        workspace_root: workspace_root.to_owned(),
        series_key,
        toolchain: key.toolchain,
        environment: key.environment,
        components: key.components.clone(),
    }
}
