//! guard: keeps every filesystem that a job uses from filling up, as far as the store can.

use std::fmt;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Serialize;

use super::gc::{GcMode, GcReport, Options, gc};
use super::hot::relieve;
use crate::cargo::dirs;
use crate::cargo::memory::Memory;
use crate::fs::space::filesystem_of;
use crate::job::Result;
use crate::job::remembered::{recall, remember};
use crate::job::warning::Warning;
use crate::model::environment::Environment;
use crate::model::filesystem::Filesystem;
use crate::model::pressure::{Pressure, Strain};
use crate::store::Store;

/// The use that a job makes of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PathUse {
    /// The store.
    Store,
    /// A checkout.
    Workspace,
    /// A target or build directory.
    Target,
    /// `CARGO_HOME`.
    CargoHome,
    /// Temporary files.
    TempDir,
}

impl fmt::Display for PathUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Store => "store",
            Self::Workspace => "workspace",
            Self::Target => "target directory",
            Self::CargoHome => "CARGO_HOME",
            Self::TempDir => "temporary files",
        })
    }
}

/// The result of a guard run.
#[derive(Clone, Debug, Serialize)]
pub struct GuardReport {
    /// Each filesystem once, the store's first.
    pub filesystems: Vec<Watched>,
    /// The generations and directories that were expired and evicted.
    pub gc: GcReport,
    /// Warnings for people.
    pub warnings: Vec<Warning>,
}

/// A filesystem that a job uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Watched {
    /// The places on it.
    pub places: Vec<PathUse>,
    /// Its usage before.
    pub before: Filesystem,
    /// Its usage after; in a dry run the same.
    pub after: Filesystem,
}

/// Returns every path whose filesystem matters to a job: its checkouts, their target directories,
/// cargo's home and the directory of temporary files.
///
/// A directory that is no repo has no target; its filesystem is guarded all the same. The answers of
/// cargo are remembered in the store, if it is given; a restore that follows finds them there.
pub fn places(
    store: Option<&Store>,
    repo: &Path,
    dependencies: impl IntoIterator<Item = PathBuf>,
    cargo_home: Option<&Path>,
    target_dir: Option<&Path>,
    environment: &Environment,
) -> Vec<(PathUse, PathBuf)> {
    let mut places = Vec::new();
    if let Ok(home) = dirs::cargo_home(environment, cargo_home, repo) {
        places.push((PathUse::CargoHome, home));
    }
    let temp_dir = environment.get("TMPDIR").map_or(Path::new("/tmp"), Path::new);
    places.push((PathUse::TempDir, temp_dir.to_owned()));
    let own = std::iter::once((repo.to_owned(), target_dir));
    let checkouts = own.chain(dependencies.into_iter().map(|path| (path, None)));
    let checkouts: Vec<_> = checkouts.collect();
    let known_as = repo.canonicalize().unwrap_or_else(|_| repo.to_owned());
    let memory = store.map_or_else(Memory::default, |store| recall(store, &known_as));
    let dirs_of = |(checkout, target_dir): &(PathBuf, Option<&Path>)| {
        dirs::dirs(checkout, environment, *target_dir, &memory)
    };
    let found: Vec<_> = checkouts.par_iter().map(dirs_of).collect();
    if let Some(store) = store {
        remember(store, &known_as, &memory);
    }
    for ((checkout, _), dirs) in checkouts.into_iter().zip(found) {
        if let Ok(dirs) = dirs {
            places.push((PathUse::Target, dirs.target_dir));
            places.extend(dirs.build_dir.map(|dir| (PathUse::Target, dir)));
        }
        places.push((PathUse::Workspace, checkout));
    }
    places
}

/// Measures the filesystems of the store and of `paths`, frees space in the store if its filesystem
/// is too full, and warns of the filesystems that stay too full.
///
/// A path that does not exist yet counts as on the filesystem that would hold it. The job is about
/// to restore from the `readable` scopes, so generations of other scopes are evicted first.
pub fn guard(
    store: &Store,
    paths: &[(PathUse, PathBuf)],
    pressure: &Pressure,
    options: Options<'_>,
) -> Result<GuardReport> {
    let Options { policy, now, mode, .. } = options;
    let mut warnings = warnings_of_place(store.root(), paths);
    let mut filesystems = measure(store, paths, &mut warnings)?;
    let mut gc = gc(store, Some(pressure), options)?;
    for watched in &mut filesystems {
        if !watched.places.contains(&PathUse::Store) {
            let (dropped, failures) = relieve(store, &watched.before, pressure, policy, now, mode)?;
            warnings.extend(failures.into_iter().map(Warning::from));
            gc.bytes += dropped.iter().map(|dir| dir.frees_bytes).sum::<u64>();
            gc.dirs.extend(dropped);
        }
        watched.after = filesystem_of(&watched.before.path)?;
        let of_store = watched.places.contains(&PathUse::Store);
        // In a dry run the store's filesystem is as full as before; the report of gc says what a
        // real run would leave.
        if !(of_store && mode == GcMode::DryRun) {
            warnings.extend(warning_of(watched, &pressure.strains(&watched.after)));
        }
    }
    Ok(GuardReport { filesystems, gc, warnings })
}

/// Returns each filesystem once. If one cannot be measured, that is a warning, and the others are
/// guarded all the same.
fn measure(
    store: &Store,
    paths: &[(PathUse, PathBuf)],
    warnings: &mut Vec<Warning>,
) -> Result<Vec<Watched>> {
    let of_store = filesystem_of(store.root())?;
    let mut filesystems =
        vec![Watched { places: vec![PathUse::Store], after: of_store.clone(), before: of_store }];
    for (place, path) in paths {
        let filesystem = match filesystem_of(path) {
            Ok(filesystem) => filesystem,
            Err(error) => {
                warnings.push(error.into());
                continue;
            }
        };
        let known = |watched: &&mut Watched| watched.before.device == filesystem.device;
        match filesystems.iter_mut().find(known) {
            Some(watched) if watched.places.contains(place) => {}
            Some(watched) => watched.places.push(*place),
            None => filesystems.push(Watched {
                places: vec![*place],
                after: filesystem.clone(),
                before: filesystem,
            }),
        }
    }
    Ok(filesystems)
}

/// Returns the warning that a filesystem is too full, if it is.
fn warning_of(watched: &Watched, strains: &[Strain]) -> Option<Warning> {
    (!strains.is_empty()).then(|| Warning::DiskFull {
        path: watched.after.path.clone(),
        holds: watched.places.iter().map(ToString::to_string).collect(),
        strains: strains.to_vec(),
        is_of_store: watched.places.contains(&PathUse::Store),
    })
}

/// Warns if the store is at a path that does not last: in memory or in a checkout.
fn warnings_of_place(root: &Path, paths: &[(PathUse, PathBuf)]) -> Vec<Warning> {
    let is_memory = filesystem_of(root).is_ok_and(|filesystem| filesystem.is_memory);
    let not_lasting = is_memory.then(|| Warning::StoreInMemory(root.to_owned()));
    let workspaces = paths.iter().filter(|(place, _)| *place == PathUse::Workspace);
    // The root is canonical, and a workspace that does not exist cannot hold the store.
    let holds_store = |(_, workspace): &&(PathUse, PathBuf)| {
        workspace.canonicalize().is_ok_and(|workspace| root.starts_with(workspace))
    };
    let around = workspaces.filter(holds_store).map(|(_, workspace)| Warning::StoreInCheckout {
        store: root.to_owned(),
        checkout: workspace.clone(),
    });
    not_lasting.into_iter().chain(around).collect()
}

#[cfg(test)]
mod tests;
