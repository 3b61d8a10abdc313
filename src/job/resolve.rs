//! Finds the areas that a job wants, with their directories and keys.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::asked::{Asked, ask_all};
use super::further::named;
use super::locked::LockRank;
use super::remembered::{recall, remember};
use super::warning::Warning;
use super::{AreaPlace, Ask, Job, Result};
use crate::cargo::dirs::{Dirs, cargo_home};
use crate::cargo::home::LockedParts;
use crate::cargo::key::RepoKey;
use crate::cargo::memory::Memory;
use crate::cargo::system::system;
use crate::cargo::tracked::repository_of;
use crate::model::area::Area;
use crate::model::area::AreaSelector;
use crate::model::digest::Digest;
use crate::model::environment::Environment;
use crate::model::names::Name;
use crate::model::root::Root;
use crate::store::Store;

impl Job {
    /// Resolves the request of a user into a job: reads lock files and manifests, and asks cargo,
    /// rustc, git and the C compiler. Remembers the answers in the store, if there is one.
    pub fn resolve(ask: &Ask, environment: &Environment, store: Option<&Store>) -> Result<Self> {
        let found = |path: &Path| {
            path.canonicalize().map_err(|_| crate::cargo::Error::RepoMissing(path.to_owned()))
        };
        let repo = found(&ask.repo)?;
        let mut checkouts = BTreeMap::from([(Root::Repo, repo.clone())]);
        for (name, path) in &ask.dependencies {
            checkouts.insert(Root::Dependency(name.clone()), found(path)?);
        }
        let memory = store.map_or_else(Memory::default, |store| recall(store, &repo));
        // Ask rustc and the C compiler at the same time; rustc takes longer.
        let (asked, system) = rayon::join(
            || ask_all(ask, environment, &checkouts, &memory),
            || system(&repo, environment, &memory),
        );
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
            excluded: store
                .map(Store::root)
                .into_iter()
                .chain([&*home])
                .map(Path::to_owned)
                .collect(),
            roots: repositories(checkouts, environment),
            places: Vec::new(),
            target_dirs: Vec::new(),
            env_vars: ask.key_options.env_vars.clone(),
            workspaces: workspaces(&asked),
            locked_parts: LockedParts::default(),
            has_lock: false,
            is_locked: key.basis.is_tracked(),
            scratch: ask.scratch.clone(),
            provenance: ask.provenance.clone(),
            warnings: key.doubts.iter().cloned().map(Warning::Key).collect(),
            cargo_home: home,
            system,
            environment: environment.clone(),
            memory: Arc::new(memory),
        };
        for (kept, area, below) in [
            (AreaSelector::Registry, Area::Registry, "registry"),
            (AreaSelector::Git, Area::Git, "git"),
        ] {
            if ask.areas.contains(&kept) {
                let dir = job.cargo_home.join(below);
                job.places.push(place(area, dir, &repo, cargo_key.clone(), key));
            }
        }
        let holding =
            |store: &Path| job.roots.values().find(|root| store.starts_with(root)).cloned();
        if let Some(store) = store.map(Store::root)
            && let Some(checkout) = holding(store)
        {
            job.warnings.push(Warning::StoreInCheckout { store: store.to_owned(), checkout });
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
        if let Some(store) = store {
            remember(store, &repo, &job.memory);
        }
        Ok(job)
    }

    /// Adds the target directory of the repo, and its separate build directory if there is one.
    /// Their key depends on the `manifests` of the dependencies, given as digests.
    fn add_own_target(&mut self, ask: &Ask, asked: &Asked, manifests: &BTreeMap<Name, Digest>) {
        let Asked { key, dirs, .. } = asked;
        self.add_dirs(dirs);
        if ask.areas.contains(&AreaSelector::Target) {
            let series_key = key.with_dependencies(&self.key, manifests);
            self.add_place(Area::Target, &dirs.target_dir, dirs, &series_key, key);
            if let Some(build_dir) = &dirs.build_dir {
                self.add_place(Area::Build, build_dir, dirs, &series_key, key);
            }
        }
    }

    /// Adds the target directory of a dependency, and its separate build directory if there is one.
    /// Adds neither if the target directory is the repo's `own`.
    fn add_dependency(&mut self, ask: &Ask, name: &Name, asked: &Asked, own: &Path) {
        let Asked { key, dirs, .. } = asked;
        self.add_dirs(dirs);
        let series_key = ask.dependency_keys.get(name).unwrap_or(&key.key);
        self.dependency_keys.insert(name.clone(), series_key.clone());
        if !ask.areas.contains(&AreaSelector::Dependencies) || dirs.target_dir == own {
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
        // If several workspaces build in one directory, it is kept once, for the first of them. A
        // build directory inside a target directory is part of that.
        if !self.places.iter().any(|place| dir.starts_with(&place.dir)) {
            let root = &dirs.workspace_root;
            self.places.push(place(area, dir.to_owned(), root, series_key.clone(), key));
        }
    }
}

/// Returns the repository that contains each directory. If one repository contains several, only
/// the first of them is a root.
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
) -> AreaPlace {
    AreaPlace {
        area,
        dir,
        workspace_root: workspace_root.to_owned(),
        series_key,
        toolchain: key.toolchain,
        environment: key.environment,
        components: key.components.clone(),
    }
}
