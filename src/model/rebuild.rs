//! The forecast of the crates that cargo will build again, with reasons.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::timestamp::Timestamp;
use super::unit_graph::{GraphUnit, UnitGraph};
use super::unit_use::UnitDir;

/// The number of names that a line shows.
const SHOWN: usize = 3;

/// A crate that cargo will build again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuild {
    /// Its name.
    pub name: String,
    /// The reason.
    pub reason: Reason,
}

/// Why cargo builds a crate again. If several reasons apply, the first in this list counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It was built with another toolchain.
    Toolchain(String),
    /// It was built with other flags; these are the variables that changed.
    Flags(Vec<String>),
    /// A user asked to build it in every job.
    Demanded,
    /// The lock file names this version, and another was built.
    NeverBuilt(String),
    /// It lies at another path, and cargo identifies it by its path.
    Moved(Moved),
    /// These files, which it contains or reads, are changed, new or gone.
    Changed(BTreeSet<String>),
    /// These directories contain other names.
    Listed(BTreeSet<String>),
    /// These variables that it reads changed.
    Variables(BTreeSet<String>),
    /// This path is newer than the build, although its content is as recorded.
    Newer(String),
    /// Its build did not finish, or one of its dependencies was built again since.
    Unfinished,
    /// The job used it last time, and the tree does not contain it as it is needed now.
    Lacking,
    /// It depends on crates that are built again.
    Dependency(BTreeSet<String>),
}

/// A path before and after a move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The absolute path it was built at.
    pub old: String,
    /// The absolute path it has now.
    pub new: String,
}

/// The current state of everything that a graph names.
#[derive(Clone, Debug, Default)]
pub struct Now {
    /// Why all crates are built again, if they are.
    pub everything: Option<Reason>,
    /// The names of all crates of the tree.
    pub crates: BTreeSet<String>,
    /// Why all path crates are built again, if they are.
    pub every_path_crate: Option<Reason>,
    /// The packages whose built version differs, with the wanted version.
    pub new_versions: BTreeMap<String, String>,
    /// The state of each package, by its index.
    pub packages: Vec<PackageNow>,
    /// The names of the variables whose values changed, by their index.
    pub variables: BTreeMap<u32, String>,
    /// The state of each path that a unit names, by its number.
    pub paths: BTreeMap<u32, PathNow>,
    /// The units that a user asked to build in every job.
    pub demanded: BTreeSet<UnitDir>,
}

/// The current state of a package.
#[derive(Clone, Debug, Default)]
pub struct PackageNow {
    /// Its old and new path, if cargo takes it for another package.
    pub moved: Option<Moved>,
    /// Whether it, or the target of these units, is gone.
    pub is_gone: bool,
    /// The changed manifest, if cargo builds these units again because of it.
    pub manifest: Option<String>,
    /// The newest mtime of its files.
    pub newest: Timestamp,
    /// Its files that are not as recorded.
    pub changed: Vec<String>,
}

/// The current state of a file, or of a directory with its contents.
#[derive(Clone, Debug, Default)]
pub struct PathNow {
    /// Its name for people.
    pub shown: String,
    /// Its mtime; for a directory, the newest mtime in it. `None` if it is gone.
    pub mtime: Option<Timestamp>,
    /// The files that are not as recorded: itself, or files in it.
    pub changed: Vec<String>,
    /// The directories whose names are not as recorded: itself, or directories in it.
    pub listed: Vec<String>,
    /// Its old and new path, if it moved.
    pub moved: Option<Moved>,
}

/// Returns the crates that cargo will build again, without duplicates: first those with a reason of
/// their own, then those that depend on them.
///
/// It assumes that the same cargo command follows, on the same graph of packages. If the build
/// script of a package names no file, all files of the package count, even those that its manifest
/// excludes.
pub fn rebuilds(graph: &UnitGraph, now: &Now) -> Vec<Rebuild> {
    if let Some(reason) = &now.everything {
        let of = |name: &String| Rebuild { name: name.clone(), reason: reason.clone() };
        return now.crates.iter().map(of).collect();
    }
    let mut own: BTreeMap<&str, (Reason, Vec<usize>)> = BTreeMap::new();
    let is_wanted = |unit: &GraphUnit| {
        let package = now.packages.get(unit.package as usize);
        !unit.is_unused && !package.is_some_and(|package| package.is_gone)
    };
    for (index, unit) in graph.units.iter().enumerate().filter(|(_, unit)| is_wanted(unit)) {
        let Some(package) = graph.packages.get(unit.package as usize) else { continue };
        let Some(reason) = own_reason(graph, unit, now) else { continue };
        match own.get_mut(package.name.as_str()) {
            Some((known, stale)) => {
                known.join(reason);
                stale.push(index);
            }
            None => drop(own.insert(&package.name, (reason, vec![index]))),
        }
    }
    let mut dependents: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let users = users(graph);
    for (cause, (_, stale)) in &own {
        for name in built_because_of(graph, &users, stale, is_wanted) {
            if !own.contains_key(name) {
                dependents.entry(name).or_default().insert((*cause).to_owned());
            }
        }
    }
    let rebuild = |(name, reason): (&str, Reason)| Rebuild { name: name.to_owned(), reason };
    let dependents = dependents.into_iter().map(|(name, on)| (name, Reason::Dependency(on)));
    let own = own.into_iter().map(|(name, (reason, _))| (name, reason));
    own.chain(dependents).map(rebuild).collect()
}

/// Adds the crates that a job used last time and that the tree does not contain as they are needed
/// now, unless they are listed already for another reason.
pub fn with_lacking(mut rebuilds: Vec<Rebuild>, lacking: &BTreeSet<String>) -> Vec<Rebuild> {
    let known: BTreeSet<_> = rebuilds.iter().map(|rebuild| rebuild.name.clone()).collect();
    let more = lacking.difference(&known).cloned();
    rebuilds.extend(more.map(|name| Rebuild { name, reason: Reason::Lacking }));
    rebuilds
}

/// Returns why a unit is stale by itself.
fn own_reason(graph: &UnitGraph, unit: &GraphUnit, now: &Now) -> Option<Reason> {
    let package = graph.packages.get(unit.package as usize)?;
    let name = &package.name;
    if unit.dir.as_ref().is_some_and(|dir| now.demanded.contains(dir)) {
        return Some(Reason::Demanded);
    }
    if let Some(reason) = now.every_path_crate.as_ref().filter(|_| package.is_path()) {
        return Some(reason.clone());
    }
    if let Some(version) = now.new_versions.get(name) {
        return Some(Reason::NeverBuilt(version.clone()));
    }
    let package = now.packages.get(unit.package as usize);
    let fixed = || unit.fixed.iter().filter_map(|path| now.paths.get(path));
    let moved = package.and_then(|package| package.moved.as_ref()).filter(|_| unit.is_bound);
    if let Some(moved) = moved.or_else(|| fixed().find_map(|path| path.moved.as_ref())) {
        return Some(Reason::Moved(moved.clone()));
    }
    let paths = unit.files.iter().filter_map(|path| now.paths.get(path)).chain(fixed());
    let is_stale = |path: &&PathNow| match path.mtime {
        Some(_) if unit.by_content => !path.changed.is_empty(),
        mtime => mtime.is_none_or(|mtime| mtime > unit.fresh_until()),
    };
    let stale: Vec<_> = paths.filter(is_stale).collect();
    let gone = stale.iter().filter(|path| path.mtime.is_none()).map(|path| path.shown.clone());
    let changed = stale.iter().flat_map(|path| path.changed.iter().cloned());
    let mut changed: BTreeSet<_> = changed.chain(gone).collect();
    let newer = package.filter(|it| unit.whole_package && it.newest > unit.fresh_until());
    changed.extend(newer.into_iter().flat_map(|package| package.changed.iter().cloned()));
    changed.extend(package.and_then(|package| package.manifest.clone()));
    if !changed.is_empty() {
        return Some(Reason::Changed(changed));
    }
    let listed: BTreeSet<_> = stale.iter().flat_map(|path| path.listed.iter().cloned()).collect();
    if !listed.is_empty() {
        return Some(Reason::Listed(listed));
    }
    let variables = unit.variables.iter().filter_map(|index| now.variables.get(index).cloned());
    let variables: BTreeSet<_> = variables.collect();
    if !variables.is_empty() {
        return Some(Reason::Variables(variables));
    }
    let newer_path = stale.first().map(|path| path.shown.clone());
    let newer_path = newer_path.or_else(|| newer.map(|_| name.clone()));
    let was_built_since =
        |dep: &u32| graph.units.get(*dep as usize).is_some_and(|dep| dep.built > unit.built);
    let is_unfinished = unit.is_unfinished || unit.deps.iter().any(was_built_since);
    newer_path.map(Reason::Newer).or_else(|| is_unfinished.then_some(Reason::Unfinished))
}

/// Returns, for each unit, those that depend on it.
fn users(graph: &UnitGraph) -> Vec<Vec<usize>> {
    let mut users = vec![Vec::new(); graph.units.len()];
    for (index, unit) in graph.units.iter().enumerate() {
        for dep in &unit.deps {
            if let Some(users) = users.get_mut(*dep as usize) {
                users.push(index);
            }
        }
    }
    users
}

/// Returns the names of the crates with wanted units that depend on any of the units `stale`.
fn built_because_of<'a>(
    graph: &'a UnitGraph,
    users: &[Vec<usize>],
    stale: &[usize],
    is_wanted: impl Fn(&GraphUnit) -> bool,
) -> BTreeSet<&'a str> {
    let mut reached = vec![false; graph.units.len()];
    let mut next = stale.to_vec();
    let mut names = BTreeSet::new();
    while let Some(index) = next.pop() {
        for user in &users[index] {
            let unit = &graph.units[*user];
            if is_wanted(unit) && !std::mem::replace(&mut reached[*user], true) {
                let package = graph.packages.get(unit.package as usize);
                names.extend(package.map(|package| package.name.as_str()));
                next.push(*user);
            }
        }
    }
    names
}

impl Reason {
    /// Returns its word in JSON.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Toolchain(_) => "toolchain",
            Self::Flags(_) => "flags",
            Self::Demanded => "always-build",
            Self::NeverBuilt(_) => "never-built",
            Self::Moved(_) => "moved",
            Self::Changed(_) => "changed-file",
            Self::Listed(_) => "changed-directory",
            Self::Variables(_) => "changed-variable",
            Self::Newer(_) => "newer-file",
            Self::Unfinished => "unfinished",
            Self::Lacking => "lacking",
            Self::Dependency(_) => "dependency",
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Toolchain(_) => 0,
            Self::Flags(_) => 1,
            Self::Demanded => 2,
            Self::NeverBuilt(_) => 3,
            Self::Moved(_) => 4,
            Self::Changed(_) => 5,
            Self::Listed(_) => 6,
            Self::Variables(_) => 7,
            Self::Newer(_) => 8,
            Self::Unfinished => 9,
            Self::Lacking => 10,
            Self::Dependency(_) => 11,
        }
    }

    /// Combines the reason with that of another unit of the crate.
    fn join(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::Changed(known), Self::Changed(names))
            | (Self::Listed(known), Self::Listed(names))
            | (Self::Variables(known), Self::Variables(names)) => known.extend(names),
            (known, other) if other.rank() < known.rank() => *known = other,
            _ => {}
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Toolchain(change) => write!(f, "built by another toolchain, {change}"),
            Self::Flags(names) => write!(f, "built with other flags, {}", some(names.iter(), "")),
            Self::Demanded => f.write_str("`always-build` names it"),
            Self::NeverBuilt(version) => write!(f, "{version} was never built here"),
            Self::Moved(Moved { old, new }) => {
                write!(f, "is at `{new}`; it would be fresh at `{old}`, where it was built")
            }
            Self::Changed(paths) => write!(f, "{} changed", some(paths.iter(), "`")),
            Self::Listed(dirs) => write!(f, "{} lists other names", some(dirs.iter(), "`")),
            Self::Variables(names) => {
                write!(f, "{} has another value", some(names.iter(), ""))
            }
            Self::Newer(path) => write!(f, "`{path}` is newer than what was built from it"),
            Self::Unfinished => f.write_str("its last build did not finish"),
            Self::Lacking => f.write_str(
                "this job used it last time; the restored tree has no matching build of it",
            ),
            Self::Dependency(on) => write!(f, "depends on {}", some(on.iter(), "")),
        }
    }
}

impl Serialize for Rebuild {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Rebuild", 3)?;
        object.serialize_field("crate", &self.name)?;
        object.serialize_field("reason", self.reason.code())?;
        object.serialize_field("detail", &self.reason.to_string())?;
        object.end()
    }
}

/// Returns `rebuilds` as at most `max` lines. Crates with the same reason share a line; crates that
/// only depend on others come last.
pub fn lines(rebuilds: &[Rebuild], max: usize) -> Vec<String> {
    let mut groups: Vec<(String, Vec<&str>)> = Vec::new();
    for Rebuild { name, reason } in rebuilds {
        let why = match reason {
            Reason::Dependency(_) => String::new(),
            reason => reason.to_string(),
        };
        match groups.iter_mut().find(|(known, _)| *known == why) {
            Some((_, names)) => names.push(name),
            None => groups.push((why, vec![name])),
        }
    }
    let line = |(why, names): &(String, Vec<&str>)| {
        let why = match (why.as_str(), names.len()) {
            ("", 1) => "depends on these",
            ("", _) => "depend on these",
            (why, _) => why,
        };
        format!("{}: {why}", some(names.iter(), ""))
    };
    let mut lines: Vec<_> = groups.iter().take(max).map(line).collect();
    if groups.len() > max {
        let hidden: usize = groups[max - 1..].iter().map(|(_, names)| names.len()).sum();
        lines.truncate(max - 1);
        lines.push(format!("and {hidden} more"));
    }
    lines
}

/// Returns the first names and the number of the others.
pub fn some<T: fmt::Display>(names: impl ExactSizeIterator<Item = T>, quote: &str) -> String {
    let more = names.len().saturating_sub(SHOWN);
    let names: Vec<_> = names.take(SHOWN).map(|name| format!("{quote}{name}{quote}")).collect();
    let names = names.join(", ");
    if more == 0 { names } else { format!("{names} and {more} more") }
}

#[cfg(test)]
mod tests;
