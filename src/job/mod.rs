//! A job before anything is read or written: the areas that it wants, and their directories.

mod asked;
pub(crate) mod checkout_files;
pub(crate) mod dirs;
pub mod error;
pub mod explain;
pub(crate) mod further;
pub mod locked;
pub(crate) mod locks;
pub mod note;
pub mod owners;
pub mod private_home;
pub mod progress;
pub mod remembered;
pub mod report;
pub mod repository;
mod resolve;
pub(crate) mod sources;
pub mod store_root;
pub mod threads;
pub mod warning;

pub use self::error::{Error, Result};

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::locked::LockRank;
use self::warning::Warning;
use crate::cargo::home::LockedParts;
use crate::cargo::key::KeyOptions;
use crate::cargo::memory::Memory;
use crate::cargo::scratch::Scratch;
use crate::model::area::Area;
pub use crate::model::area::AreaSelector;
use crate::model::choice::Wish;
use crate::model::digest::Digest;
use crate::model::environment::Environment;
use crate::model::manifest::Series;
use crate::model::names::Name;
use crate::model::raw_path::RawPath;
use crate::model::root::Root;
use crate::model::scope::{Lane, Scope};
use crate::model::system::System;
use crate::store::TreeOwner;

/// The request of a user.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The checkout of the repo, absolute.
    pub repo: PathBuf,
    /// The checkouts of its dependencies, absolute.
    pub dependencies: BTreeMap<Name, PathBuf>,
    /// The areas to restore and save; `dependencies` stands for the areas of all dependencies.
    pub areas: BTreeSet<AreaSelector>,
    /// The key to use instead of the computed one.
    pub key: Option<Name>,
    /// The keys to use for the targets of these dependencies instead of the computed ones. They
    /// date from before the build, so a lock file that the build writes does not change them.
    pub dependency_keys: BTreeMap<Name, Name>,
    /// Further inputs of the key.
    pub key_options: KeyOptions,
    /// The kind of this job.
    pub label: String,
    /// The scope that it saves to.
    pub scope: Scope,
    /// The lane of the branch that it is based on; it may read that lane too.
    pub base: Option<Lane>,
    /// `--cargo-home`.
    pub cargo_home: Option<PathBuf>,
    /// `--target-dir`.
    pub target_dir: Option<PathBuf>,
    /// The files of target directories that are neither saved nor restored.
    pub scratch: Scratch,
    /// Further targets to keep, relative to the repo, whatever job saved them.
    pub targets: Vec<PathBuf>,
    /// The origin of the job, for people.
    pub provenance: BTreeMap<String, String>,
}

/// A job before anything is read or written.
#[derive(Clone, Debug)]
pub struct Job {
    /// The scope that it saves to.
    pub scope: Scope,
    /// The scopes it may read, its own first.
    pub readable: Vec<Scope>,
    /// The key of the repo, for outputs and reports.
    pub key: Name,
    /// The key of each dependency.
    pub dependency_keys: BTreeMap<Name, Name>,
    /// The kind of this job.
    pub label: String,
    /// The canonical paths of the git repositories that contain the checkouts. A build may use any
    /// file in them.
    pub roots: BTreeMap<Root, PathBuf>,
    /// `CARGO_HOME`.
    pub cargo_home: PathBuf,
    /// The system that it builds on.
    pub system: System,
    /// Its environment variables.
    pub environment: Environment,
    /// The answers of cargo, rustc and C compilers.
    pub(crate) memory: Arc<Memory>,
    /// The areas, in the order of the report.
    pub places: Vec<AreaPlace>,
    /// The variables that the user added to the key.
    pub env_vars: Vec<String>,
    /// The root of each workspace that is built, with the rank of its lock file.
    pub workspaces: BTreeMap<PathBuf, LockRank>,
    /// The parts of `CARGO_HOME` that these lock files name. A workspace without a lock file names
    /// none.
    pub locked_parts: LockedParts,
    /// Whether any lock file was found.
    pub has_lock: bool,
    /// Whether git tracks the lock file of the repo.
    pub is_locked: bool,
    /// Every target and build directory of the repo and its dependencies, wanted or not. Also the
    /// further targets that are kept, and build directories of their workspaces that lie outside
    /// the roots.
    pub target_dirs: Vec<PathBuf>,
    /// Directories without sources, to skip inside the roots: target and build directories, the
    /// store, cargo's home.
    pub excluded: Vec<PathBuf>,
    /// The files of target directories that are neither saved nor restored.
    pub scratch: Scratch,
    /// The origin of the job, for people.
    pub provenance: BTreeMap<String, String>,
    /// The warnings from resolving the job.
    pub warnings: Vec<Warning>,
}

/// One area of a job: its directory, and the key of its series.
#[derive(Clone, Debug)]
pub struct AreaPlace {
    /// The area.
    pub area: Area,
    /// Its directory, which need not exist.
    pub dir: PathBuf,
    /// The root of the workspace that is built there. Relative paths in dep-info start from it.
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
    /// Returns the parts of the target's key, or else of the first area's key, by name, as text.
    /// Returns an empty map if no area is wanted.
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
    pub fn series(&self, place: &AreaPlace) -> Series {
        let key = place.series_key.clone();
        Series { scope: self.scope.clone(), area: place.area.clone(), key }
    }

    /// Returns the job's request for an area.
    pub fn wish(&self, place: &AreaPlace) -> Wish {
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

    /// Tells whether an area counts as missed even if no generation of it was ever saved.
    pub fn counts_on(&self, area: &Area) -> bool {
        match area {
            // A job may build only in further targets.
            Area::Target => !self.has_further(),
            Area::Registry => self.locked_parts.has_crates(),
            Area::Git => self.locked_parts.has_repositories(),
            _ => false,
        }
    }

    /// Returns the owner to record for a directory that this job uses.
    pub(crate) fn as_owner(&self) -> TreeOwner {
        TreeOwner { scope: self.scope.clone(), system: self.system.clone() }
    }

    /// Returns cargo's home as manifests record it. Returns `None` for `registry` and `git`, whose
    /// files do not depend on its path.
    pub fn home_of(&self, place: &AreaPlace) -> Option<RawPath> {
        let home = || RawPath::of(self.cargo_home.as_os_str().as_encoded_bytes());
        (!place.area.is_shared()).then(home)
    }

    /// Returns the roots as manifests record them.
    pub fn raw_roots(&self) -> BTreeMap<Root, RawPath> {
        let raw = |path: &PathBuf| RawPath::of(path.as_os_str().as_encoded_bytes());
        self.roots.iter().map(|(root, path)| (root.clone(), raw(path))).collect()
    }
}

impl AreaPlace {
    /// Refuses a directory that contains the store or cargo's home: replacing the directory would
    /// replace them too.
    pub(crate) fn check(&self, store_root: &Path, cargo_home: &Path) -> Result<()> {
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
