//! A job as it stands before anything is read or written: what it wants, and where.

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

use self::locked::LockRank;
use self::warning::Warning;
use crate::cargo::home::LockedParts;
use crate::cargo::key::KeyOptions;
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

/// What a user asks for.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The checkout of the repo, absolute.
    pub repo: PathBuf,
    /// The checkouts of its dependencies, absolute.
    pub dependencies: BTreeMap<Name, PathBuf>,
    /// Which areas to keep; `dependencies` stands for all of theirs.
    pub areas: BTreeSet<AreaSelector>,
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
    pub places: Vec<AreaPlace>,
    /// The variables that the user added to the key.
    pub env_vars: Vec<String>,
    /// The roots of the workspaces that are built in, each with what its lock file counts for.
    pub workspaces: BTreeMap<PathBuf, LockRank>,
    /// What their lock files name of `CARGO_HOME`; nothing where there is no lock file.
    pub locked_parts: LockedParts,
    /// Whether any lock file was found.
    pub has_lock: bool,
    /// Whether git tracks the lock file of the repo.
    pub is_locked: bool,
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
    pub warnings: Vec<Warning>,
}

/// One area of a job: where it is and which series it belongs to.
#[derive(Clone, Debug)]
pub struct AreaPlace {
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
    pub fn series(&self, place: &AreaPlace) -> Series {
        let key = place.series_key.clone();
        Series { scope: self.scope.clone(), area: place.area.clone(), key }
    }

    /// Returns what the job wants of an area.
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

    /// Tells whether the absence of an area counts although nobody ever saved it.
    pub fn counts_on(&self, area: &Area) -> bool {
        match area {
            // A job may build in further targets alone.
            Area::Target => !self.has_further(),
            Area::Registry => self.locked_parts.has_crates(),
            Area::Git => self.locked_parts.has_repositories(),
            _ => false,
        }
    }

    /// Returns what a record says of the job that has a directory in hand.
    pub(crate) fn as_owner(&self) -> TreeOwner {
        TreeOwner { scope: self.scope.clone(), system: self.system.clone() }
    }

    /// Returns cargo's home as manifests record it, if what is built in the area depends on it.
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
    /// Refuses a directory that holds the store or cargo's home: replacing the one would replace
    /// the other.
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
