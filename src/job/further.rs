//! The further targets of a job, and the packages that they were built from.
//!
//! A save finds the further targets below the roots. A restore in a fresh checkout finds none. So
//! it takes the targets that the same kind of job saved last, and those that the user names.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::path::{Component, Path, PathBuf};

use super::dirs::holds_anything;
use super::error::chain;
use super::locked::LockRank;
use super::warning::Warning;
use super::{AreaPlace, Job};
use crate::cargo::dirs::dirs;
use crate::cargo::key::{KeyOptions, key_with};
use crate::cargo::sources::{below, is_target};
use crate::cargo::toolchain::Toolchain;
use crate::model::area::Area;
use crate::model::further::Further;
use crate::model::manifest::FurtherTarget;
use crate::model::manifest::Header;
use crate::model::rel_path::RelPath;
use crate::model::root::Root;
use crate::store::{self, Store};

impl Job {
    /// Adds the further targets at `dirs`, which are absolute paths, and warns of each one that
    /// cannot be kept. Skips a directory inside a known one: it is part of that.
    pub(super) fn add_further<'d>(&mut self, dirs: impl IntoIterator<Item = &'d PathBuf>) {
        for dir in dirs {
            if let Err(why) = self.try_to_add(dir) {
                self.warnings.push(Warning::NoTarget { dir: dir.clone(), why });
            }
        }
    }

    fn try_to_add(&mut self, dir: &Path) -> Result<(), String> {
        if self.excluded.iter().any(|known| dir.starts_with(known)) {
            return Ok(());
        }
        self.check_further(dir)?;
        let (root, path) = self.place_of(dir).ok_or("it lies in no checkout")?;
        let Some(own) = self.own_target(&root) else { return Ok(()) };
        let series_key = own.series_key.clone();
        let area = Further::at(root.clone(), path).map(Area::Further);
        let area = area.ok_or("its path is too long, or inside `.git` or `.cargo`")?;
        let own = own.clone();
        let workspaces = self.workspaces.clone();
        let like = match package_above(&self.roots[&root], dir) {
            None => own,
            Some(package) => self.workspace_of(&package)?,
        };
        if let Err(error) = self.read_locks() {
            self.workspaces = workspaces;
            return Err(chain(&error));
        }
        self.excluded.push(dir.to_owned());
        self.target_dirs.push(dir.to_owned());
        self.places.push(AreaPlace { area, dir: dir.to_owned(), series_key, ..like });
        Ok(())
    }

    /// Returns the innermost root that contains `dir`, and the path of `dir` below it.
    fn place_of(&self, dir: &Path) -> Option<(Root, RelPath)> {
        let holding = self.roots.iter().filter_map(|(root, top)| {
            Some((top.as_os_str().len(), root.clone(), below(top, dir).ok()??))
        });
        holding.max_by_key(|(len, ..)| *len).map(|(_, root, path)| (root, path))
    }

    /// Refuses a directory that contains more than cargo's output: a restore replaces the whole
    /// directory.
    pub(crate) fn check_further(&self, dir: &Path) -> Result<(), String> {
        let known = self.roots.values().chain(&self.excluded);
        if let Some(held) = known.chain(self.workspaces.keys()).find(|held| held.starts_with(dir)) {
            return Err(format!("`{}` lies inside it", held.display()));
        }
        if dir.exists() && !dir.is_dir() {
            return Err("it is no directory".to_owned());
        }
        if dir.join("Cargo.toml").exists() {
            return Err("it is a package, not a target directory".to_owned());
        }
        if !is_target(dir) && holds_anything(dir).unwrap_or(true) {
            return Err(
                "it holds files, and none of those by which a target directory is known".to_owned()
            );
        }
        let parent = dir.ancestors().skip(1).find(|dir| dir.exists()).unwrap_or(dir);
        if parent.canonicalize().ok().as_deref() != Some(parent) {
            return Err("a symlink leads there".to_owned());
        }
        Ok(())
    }

    /// Returns the target that cargo itself uses in a root, if it is kept.
    fn own_target(&self, root: &Root) -> Option<&AreaPlace> {
        let own = match root {
            Root::Repo => Area::Target,
            Root::Dependency(name) => Area::DependencyTarget(name.clone()),
        };
        self.places.iter().find(|place| place.area == own)
    }

    /// Returns a place for a target of the workspace that the package at `dir` belongs to. The
    /// caller replaces its area and directory.
    fn workspace_of(&mut self, dir: &Path) -> Result<AreaPlace, String> {
        if let Some(known) = self.in_workspace(dir) {
            return Ok(known);
        }
        let dirs =
            dirs(dir, &self.environment, None, &self.memory).map_err(|error| chain(&error))?;
        // A build directory outside the roots is in no area. If it exists, its sources are unknown.
        let outside = dirs.build_dir.filter(|dir| self.place_of(dir).is_none());
        let is_known = |dir: &PathBuf| self.excluded.iter().any(|known| dir.starts_with(known));
        let outside = outside.filter(|dir| !is_known(dir));
        self.target_dirs.extend(outside);
        if let Some(known) = self.in_workspace(&dirs.workspace_root) {
            return Ok(known);
        }
        let options = KeyOptions { env_vars: self.env_vars.clone(), ..KeyOptions::default() };
        let (root, environment) = (&dirs.workspace_root, &self.environment);
        let key = Toolchain::of(root, environment, &self.memory)
            .and_then(|toolchain| key_with(root, environment, &options, &toolchain));
        let key = key.map_err(|error| chain(&error))?;
        self.workspaces.insert(dirs.workspace_root.clone(), LockRank::by(&key.basis));
        Ok(AreaPlace {
            area: Area::Target,
            dir: dirs.target_dir,
            workspace_root: dirs.workspace_root,
            series_key: key.key,
            toolchain: key.toolchain,
            environment: key.environment,
            components: key.components,
        })
    }

    fn in_workspace(&self, root: &Path) -> Option<AreaPlace> {
        let targets = self.places.iter().filter(|place| !place.area.is_shared());
        targets.into_iter().find(|place| place.workspace_root == root).cloned()
    }

    /// Tells whether the job has further targets.
    pub(crate) fn has_further(&self) -> bool {
        self.places.iter().any(|place| matches!(place.area, Area::Further(_)))
    }

    /// Returns the further targets whose directories exist, as a manifest records them.
    pub(crate) fn further(&self) -> Vec<FurtherTarget> {
        let is_here = |place: &&AreaPlace| place.dir.is_dir();
        let of_place = |place: &AreaPlace| {
            let Area::Further(further) = &place.area else { return None };
            let package = self.package_of(further.root(), &place.dir);
            Some(FurtherTarget { area: place.area.clone(), package })
        };
        self.places.iter().filter(is_here).filter_map(of_place).collect()
    }

    fn package_of(&self, root: &Root, dir: &Path) -> Option<RelPath> {
        let top = &self.roots[root];
        below(top, &package_above(top, dir)?).ok().flatten()
    }
}

/// Returns the nearest directory above `dir` that has a `Cargo.toml`, in the checkout at `root`.
fn package_above(root: &Path, dir: &Path) -> Option<PathBuf> {
    let mut above = dir.ancestors().skip(1).take_while(|dir| dir.starts_with(root));
    above.find(|dir| dir.join("Cargo.toml").is_file()).map(Path::to_owned)
}

/// Returns the absolute paths of directories that a user names relative to `repo`, without `.` and
/// `..`.
pub(crate) fn named(repo: &Path, paths: &[PathBuf]) -> Vec<PathBuf> {
    let plain = |path: &PathBuf| {
        let mut plain = PathBuf::new();
        for component in repo.join(path).components() {
            match component {
                Component::CurDir => {}
                Component::ParentDir => drop(plain.pop()),
                other => plain.push(other),
            }
        }
        plain
    };
    paths.iter().map(plain).collect()
}

/// The purpose of the further targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum For {
    /// To restore them, even if their directories do not exist.
    Restore,
    /// To save those whose directories exist.
    Save,
}

/// Returns the job with the further targets that the same kind of job saved last. Leaves out a
/// target that no longer belongs to the same package.
pub(crate) fn with_last<'j>(store: &Store, job: &'j Job, wanted_for: For) -> Cow<'j, Job> {
    if job.places.iter().all(|place| place.area.is_shared()) {
        return Cow::Borrowed(job);
    }
    let last = match of_last_save(store, job) {
        Ok(none) if none.is_empty() => return Cow::Borrowed(job),
        last => last,
    };
    let mut job = job.clone();
    match last {
        Ok(last) => {
            let is_wanted = |dir: &PathBuf| wanted_for == For::Restore || dir.is_dir();
            let dir = |it: &FurtherTarget| {
                let Area::Further(further) = &it.area else { return None };
                let dir = job.roots.get(further.root())?.join(further.path().as_path());
                (job.package_of(further.root(), &dir) == it.package).then_some(dir)
            };
            let dirs: Vec<_> = last.iter().filter_map(dir).filter(is_wanted).collect();
            job.add_further(&dirs);
        }
        Err(error) => job.warnings.push(error.into()),
    }
    Cow::Owned(job)
}

/// Returns the job with those of the `found` target directories that can be kept.
pub(crate) fn with_found(job: Cow<'_, Job>, mut found: Vec<PathBuf>) -> Cow<'_, Job> {
    if found.is_empty() {
        return job;
    }
    // A directory comes before the directories in it.
    found.sort();
    let mut job = job.into_owned();
    job.add_further(&found);
    Cow::Owned(job)
}

/// Returns the further targets that this kind of job saved last, in the nearest scope in which it
/// saved. A failed run may not have built all of them. So if the newest saves are partial, the
/// result combines them with the newest whole save.
fn of_last_save(store: &Store, job: &Job) -> store::Result<Vec<FurtherTarget>> {
    let mut by_scope = Vec::new();
    for scope in &job.readable {
        by_scope.push((scope, store.areas_of(scope)?));
    }
    let is_further = |area: &Area| matches!(area, Area::Further(_));
    if !by_scope.iter().any(|(_, areas)| areas.iter().any(is_further)) {
        return Ok(Vec::new());
    }
    for (scope, areas) in by_scope {
        let mut own: Vec<Header> = Vec::new();
        for area in areas.iter().filter(|area| !area.is_shared()) {
            let (found, _) = store.generations_of(scope, area)?;
            let of_job = found.into_iter().map(|it| it.header).filter(|it| it.job == job.label);
            own.extend(of_job);
        }
        if own.is_empty() {
            continue;
        }
        own.sort_by_key(|header| Reverse(header.created));
        let newest_whole = own.iter().position(|header| !header.partial);
        own.truncate(newest_whole.map_or(own.len(), |at| at + 1));
        let mut last: Vec<FurtherTarget> = Vec::new();
        for further in own.into_iter().flat_map(|header| header.further) {
            if !last.iter().any(|known| known.area == further.area) {
                last.push(further);
            }
        }
        return Ok(last);
    }
    Ok(Vec::new())
}
