//! Records the units of a tree, and what can make each of them stale.

mod package;
mod read;
mod replaced;
mod surroundings;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::cargo::fingerprint::{Check, Variable};
use crate::cargo::lock_file::{LockFile, Package};
use crate::cargo::meaning::of_profiles;
use crate::cargo::seen::Manifests;
use crate::cargo::units::Units;
use crate::cargo::workspace::package_name;
use crate::fs::regular;
use crate::fs::walk::Found;
use crate::model::digest::Digest;
use crate::model::manifest::Source;
use crate::model::raw_path::RawPath;
use crate::model::rel_path::RelPath;
use crate::model::root::Root;
use crate::model::unit_graph::{GraphPackage, GraphUnit, GraphVariable, UnitGraph};
use crate::model::unit_use::UnitDir;
use read::{Read, read};
pub(crate) use surroundings::Surroundings;

/// The units recorded for a tree.
pub(crate) struct Recorded {
    /// The units that no newer unit has replaced.
    pub(crate) graph: UnitGraph,
    /// The units that work only while the roots stay at their paths: see [`Unit::is_bound`]. Units whose binding is
    /// unknown count as bound.
    ///
    /// [`Unit::is_bound`]: crate::model::manifest::Unit::is_bound
    pub(crate) bound: BTreeSet<UnitDir>,
    /// Whether it is known for every unit what it was built from.
    pub(crate) is_clear: bool,
}

/// Records the units of the tree with the `found` paths, and which of them the job used.
pub(crate) fn record(
    found: &[Found],
    around: &Surroundings<'_>,
    is_used: impl Fn(&UnitDir) -> bool,
) -> Recorded {
    let units = Units::among(found.iter().map(|found| &found.path));
    let read = read(around, found, &units);
    Recorder::new(around, &read).record(is_used)
}

/// Builds the unit graph from the units that were read.
struct Recorder<'a> {
    around: &'a Surroundings<'a>,
    read: &'a [Read<'a>],
    numbers: HashMap<(&'a Root, Option<&'a RelPath>), u32>,
    others: HashMap<PathBuf, u32>,
    packages: BTreeMap<GraphPackage, u32>,
    variables: BTreeMap<GraphVariable, u32>,
    /// The real path of each directory of a file.
    resolved: HashMap<PathBuf, Option<PathBuf>>,
    manifests: Manifests,
    /// The name and version of each package that comes from a source, by the lock file.
    from_sources: HashSet<(String, String)>,
    bound: BTreeSet<UnitDir>,
}

impl<'a> Recorder<'a> {
    fn new(around: &'a Surroundings<'a>, read: &'a [Read<'a>]) -> Self {
        let key = |source: &'a Source| (&source.root, source.path.as_ref());
        let numbers = (0..).zip(around.sources).map(|(number, source)| (key(source), number));
        Self {
            around,
            read,
            numbers: numbers.collect(),
            others: HashMap::new(),
            packages: BTreeMap::new(),
            variables: BTreeMap::new(),
            resolved: HashMap::new(),
            manifests: Manifests::default(),
            from_sources: from_sources(around.workspace_root),
            bound: BTreeSet::new(),
        }
    }

    fn record(mut self, is_used: impl Fn(&UnitDir) -> bool) -> Recorded {
        let deps = self.deps();
        let dirs = self.package_dirs(&deps);
        let all = 0..self.read.len();
        let mut units: Vec<_> = all.clone().map(|index| self.unit(index, &dirs)).collect();
        for (unit, deps) in units.iter_mut().zip(&deps) {
            unit.is_unfinished |= deps.contains(&None);
        }
        let replaced = self.replaced(&units, &deps, &dirs);
        for (unit, read) in units.iter_mut().zip(self.read) {
            unit.is_unused = !is_used(read.unit);
        }
        let wanted: Vec<_> = all.filter(|index| !replaced.contains(index)).collect();
        let place: HashMap<usize, u32> = wanted.iter().copied().zip(0..).collect();
        for (unit, deps) in units.iter_mut().zip(&deps) {
            let deps = || deps.iter().flatten();
            unit.is_unfinished |= deps().any(|dep| replaced.contains(dep));
            unit.deps = deps().filter_map(|dep| place.get(dep).copied()).collect();
        }
        let graph = UnitGraph {
            packages: listed(self.packages),
            variables: listed(self.variables),
            others: listed(self.others)
                .iter()
                .map(|path| RawPath::of(path.as_os_str().as_bytes()))
                .collect(),
            units: wanted.into_iter().map(|index| std::mem::take(&mut units[index])).collect(),
            profiles: Some(of_profiles(self.around.workspace_root)),
        };
        let is_clear = !self.read.iter().any(|read| read.is_unclear);
        Recorded { graph, bound: self.bound, is_clear }
    }

    /// Returns, for each unit, the units it depends on; `None` for a dependency that is gone or was built again.
    fn deps(&self) -> Vec<Vec<Option<usize>>> {
        let mut by_hash: HashMap<u64, Vec<usize>> = HashMap::new();
        for (index, read) in self.read.iter().enumerate() {
            if let Some(hash) = read.hash {
                by_hash.entry(hash).or_default().push(index);
            }
        }
        // Of two target directories, one within the other, both may hold the same unit.
        let likeness = |a: &UnitDir, b: &UnitDir| {
            let pairs = a.path().as_bytes().iter().zip(b.path().as_bytes());
            pairs.take_while(|(a, b)| a == b).count()
        };
        let dep = |read: &Read<'_>, hash: &u64| {
            let alike = by_hash.get(hash)?.iter().copied();
            alike.max_by_key(|index| likeness(read.unit, self.read[*index].unit))
        };
        let deps = |read: &Read<'_>| read.print.deps.iter().map(|hash| dep(read, hash)).collect();
        self.read.iter().map(deps).collect()
    }

    /// Returns the directory of the package of each unit, if it can be found.
    fn package_dirs(&mut self, deps: &[Vec<Option<usize>>]) -> Vec<Option<PathBuf>> {
        let mut by_parent: HashMap<PathBuf, Option<PathBuf>> = HashMap::new();
        let mut dirs: Vec<Option<PathBuf>> = Vec::new();
        for read in self.read {
            let parent = read.main.as_ref().and_then(|main| main.parent());
            dirs.push(parent.and_then(|parent| {
                let dir = by_parent.entry(parent.to_owned()).or_insert_with(|| {
                    let is_package = |dir: &&Path| dir.join("Cargo.toml").is_file();
                    parent.ancestors().find(is_package).map(Path::to_owned)
                });
                dir.clone()
            }));
        }
        // These units have no dep-info: the run of a build script, which has the package of the compiled script, and
        // documentation.
        let name = |index: usize| self.read[index].unit.crate_name();
        let mut by_name: HashMap<_, PathBuf> = self.named_packages();
        for (index, dir) in dirs.iter().enumerate() {
            if let Some(dir) = dir {
                by_name.insert(name(index).into_owned(), dir.clone());
            }
        }
        let of_dep = |index: usize| {
            let mut own = deps[index].iter().flatten().filter(|dep| name(**dep) == name(index));
            own.find_map(|dep| dirs[*dep].clone())
        };
        let guessed: Vec<_> = (0..dirs.len())
            .map(|index| {
                let known = dirs[index].clone().or_else(|| of_dep(index));
                known.or_else(|| by_name.get(name(index).as_ref()).cloned())
            })
            .collect();
        guessed
    }

    /// Returns the directories of the packages in the roots, by name.
    fn named_packages(&self) -> HashMap<String, PathBuf> {
        let is_without_dep_info = |read: &Read<'_>| {
            read.print.checks.iter().any(|check| matches!(check, Check::Package { .. }))
        };
        if !self.read.iter().any(is_without_dep_info) {
            return HashMap::new();
        }
        let sources = self.around.sources.iter().filter_map(|source| {
            let path = source.path.as_ref()?;
            (path.file_name() == b"Cargo.toml")
                .then(|| self.around.roots.get(&source.root).map(|dir| dir.join(path.as_path())))?
        });
        let named = sources.filter_map(|path| {
            let dir = path.parent()?;
            Some((package_name(dir)?, dir.to_owned()))
        });
        named.collect()
    }

    fn unit(&mut self, index: usize, dirs: &[Option<PathBuf>]) -> GraphUnit {
        let read = &self.read[index];
        let dir = dirs[index].as_deref();
        let own_dir = dir.filter(|dir| !dir.starts_with(self.around.cargo_home));
        let mut unit = GraphUnit {
            dir: Some(read.unit.clone()),
            role: Some(read.role),
            package: self.package(read, dir),
            built: read.built,
            is_unfinished: read.hash.is_none(),
            ..GraphUnit::default()
        };
        let is_outside = own_dir.is_some_and(|dir| !dir.starts_with(self.around.workspace_root));
        // A build script is told the directory of its package, and may write that path to any file.
        let is_run = own_dir.is_some() && read.kind.starts_with(b"run-build-script-");
        let mut is_bound = is_outside || is_run || read.is_unclear || read.has_root;
        // Cargo looks for these files relative to the package's directory.
        let own = read.own.iter().filter_map(|path| Some(dir?.join(path)));
        let mut relative: BTreeSet<_> = own.filter(|path| !self.around.is_excluded(path)).collect();
        let mut paths: BTreeSet<PathBuf> = read.files.iter().cloned().collect();
        for check in &read.print.checks {
            match check {
                Check::Changed { paths: named, .. } => {
                    let wanted = named.iter().filter(|path| path.is_absolute() || dir.is_some());
                    for path in wanted {
                        let full = dir.map_or(path.clone(), |dir| dir.join(path));
                        let list = if path.is_absolute() { &mut paths } else { &mut relative };
                        list.extend(Some(full).filter(|full| !self.around.is_excluded(full)));
                    }
                }
                Check::Package { newest, mtime } => {
                    unit.whole_package = own_dir.is_some();
                    unit.newest = mtime.filter(|mtime| unit.whole_package && *mtime > unit.built);
                    paths.extend(own_dir.map(|dir| dir.join(newest)));
                }
                Check::Content(_) => unit.by_content = true,
                Check::DepInfo(_) | Check::Variable(_) | Check::Other => {}
            }
        }
        for path in relative {
            unit.files.extend(self.resolve(&path).map(|path| self.number(path)));
        }
        let is_below = |path: &Path| own_dir.is_some_and(|dir| path.starts_with(dir));
        let paths = paths.into_iter().map(|path| (is_below(&path), path));
        for (was_below, path) in
            paths.chain(read.elsewhere.iter().map(|path| (false, path.clone())))
        {
            let Some(path) = self.resolve(&path) else { continue };
            if was_below && is_below(&path) {
                unit.files.push(self.number(path));
            } else {
                is_bound |= self.around.roots.values().any(|root| path.starts_with(root));
                unit.fixed.push(self.number(path));
            }
        }
        unit.is_bound = is_bound;
        if is_bound {
            self.bound.insert(read.unit.clone());
        }
        for variable in &read.variables {
            unit.variables.extend(self.variable(variable));
        }
        unit
    }

    /// Returns the index of a variable, if its value is the same for the unit and for this job. A variable that was set
    /// only for the build tells nothing to a restore.
    fn variable(&mut self, variable: &Variable) -> Option<u32> {
        let value = self.around.environment.get(&variable.name);
        if value != variable.value.as_deref().map(OsStr::new) {
            return None;
        }
        let value = value.map(|value| Digest::of(value.as_bytes()));
        let variable = GraphVariable { name: variable.name.clone(), value };
        Some(index(&mut self.variables, variable))
    }

    /// Returns `path` without `..` and without symlinks to directories. A directory that is missing stays unresolved.
    fn resolve(&mut self, path: &Path) -> Option<PathBuf> {
        let (parent, name) = (path.parent()?, path.file_name());
        let Some(name) = name else { return path.canonicalize().ok() };
        let real = self
            .resolved
            .entry(parent.to_owned())
            .or_insert_with(|| parent.canonicalize().ok())
            .as_deref();
        Some(real.unwrap_or(parent).join(name))
    }

    /// Returns the number of a path: of a source, or of another file, counted on from the sources.
    fn number(&mut self, path: PathBuf) -> u32 {
        let mut inside: Vec<_> =
            self.around.roots.iter().filter(|(_, dir)| path.starts_with(dir)).collect();
        inside.sort_by_key(|(_, dir)| std::cmp::Reverse(dir.components().count()));
        let known = inside.into_iter().find_map(|(root, dir)| {
            let below = path.strip_prefix(dir).ok()?.as_os_str().as_bytes();
            let below = RelPath::parse(below).ok();
            self.numbers.get(&(root, below.as_ref())).copied()
        });
        known.unwrap_or_else(|| {
            let count = u32::try_from(self.around.sources.len()).unwrap_or(u32::MAX);
            let next = u32::try_from(self.others.len()).unwrap_or(u32::MAX);
            count.saturating_add(*self.others.entry(path).or_insert(next))
        })
    }
}

/// Returns the name and version of each package that comes from a source, by the lock file of the workspace in `dir`.
/// Returns nothing if there is no readable lock file.
fn from_sources(dir: &Path) -> HashSet<(String, String)> {
    let path = dir.join("Cargo.lock");
    let text = regular::read(&path).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let lock = text.and_then(|text| LockFile::parse(&text, &path).ok()).unwrap_or_default();
    let (sourced, paths): (Vec<_>, Vec<_>) =
        lock.packages.into_iter().partition(|package| package.source.is_some());
    let key = |package: Package| (package.name, package.version);
    let paths: HashSet<_> = paths.into_iter().map(key).collect();
    sourced.into_iter().map(key).filter(|key| !paths.contains(key)).collect()
}

/// Returns the index of `value`, which numbers the values in the order in which they were added.
fn index<T: Ord>(values: &mut BTreeMap<T, u32>, value: T) -> u32 {
    let next = u32::try_from(values.len()).unwrap_or(u32::MAX);
    *values.entry(value).or_insert(next)
}

/// Returns the values in the order of their indices.
fn listed<T>(values: impl IntoIterator<Item = (T, u32)>) -> Vec<T> {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by_key(|(_, index)| *index);
    values.into_iter().map(|(value, _)| value).collect()
}
