//! The score of a generation: how many of the units that a job wants cargo will reuse.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::mark::Mark;
use super::sketch::{Sketch, SketchUnit};
use super::unit_graph::GraphPackage;
use super::unit_use::UnitDir;

/// How the inputs that a sketch names differ from the checkout to build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Standing {
    /// Whether the compiler differs.
    pub compiler_differs: bool,
    /// Whether a change, for example of flags, affects how every unit is built.
    pub everything_differs: bool,
    /// The profile directories whose units are built in another way.
    pub other_profiles: HashSet<String>,
    /// Whether a change affects how every path package is built.
    pub path_packages_differ: bool,
    /// Whether the roots have other paths.
    pub is_moved: bool,
    /// Whether cargo's home has another path: then cargo rebuilds the packages from there.
    pub home_is_moved: bool,
    /// The packages whose wanted version differs, or whose manifest has another meaning.
    pub other_packages: HashSet<u32>,
    /// The packages that are no longer wanted.
    pub gone_packages: HashSet<u32>,
    /// The paths whose content differs.
    pub other_paths: HashSet<u32>,
    /// The variables whose value differs.
    pub other_variables: HashSet<u32>,
}

/// The fate of a unit of a sketch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fate {
    /// Whether a build of the checkout looks for this very unit, judged by how the unit was built.
    pub is_wanted: bool,
    /// Whether cargo finds it fresh if it looks for it.
    pub is_fresh: bool,
}

/// A unit that a job used last time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedUnit {
    /// Whether the build will look for this very unit, or else for another of the same role.
    pub is_itself: bool,
    /// The name of its package.
    pub name: String,
}

/// The units that a job used last time, by directory and role. The directory alone is not unique:
/// if a library is named without a hash, cargo keeps it and its documentation in one directory.
pub type Wants = BTreeMap<(UnitDir, Mark), WantedUnit>;

/// Returns the fate of each unit of a sketch. A unit is no fresher than its dependencies.
pub fn fates(sketch: &Sketch, standing: &Standing) -> Vec<Fate> {
    let is_of_home = |unit: &SketchUnit| {
        let package = sketch.packages.get(unit.package as usize);
        package.is_none_or(|package| package.dir.is_none())
    };
    let is_of_other_package = |unit: &SketchUnit| {
        standing.other_packages.contains(&unit.package)
            || standing.gone_packages.contains(&unit.package)
    };
    // Flags and profiles are part of cargo's hash of a unit: with others, it is another unit.
    let is_other = |unit: &SketchUnit| {
        let profile = || unit.dir.profile_dir();
        standing.everything_differs
            || profile().is_some_and(|dir| standing.other_profiles.contains(dir.as_ref()))
            || (standing.path_packages_differ && is_of_path(sketch, unit))
            || is_of_other_package(unit)
    };
    let is_stale = |unit: &SketchUnit| {
        standing.compiler_differs
            || unit.is_stale
            || is_of_other_package(unit)
            || (standing.is_moved && unit.is_bound)
            || (standing.home_is_moved && is_of_home(unit))
            || unit.paths.iter().any(|path| standing.other_paths.contains(path))
            || unit.variables.iter().any(|variable| standing.other_variables.contains(variable))
    };
    let users = users(sketch);
    let others = reached(sketch, &users, is_other);
    let stale = reached(sketch, &users, is_stale);
    let fate = |(other, stale): (bool, bool)| Fate { is_wanted: !other, is_fresh: !stale };
    others.into_iter().zip(stale).map(fate).collect()
}

/// Tells whether a unit belongs to a path package.
fn is_of_path(sketch: &Sketch, unit: &SketchUnit) -> bool {
    sketch.packages.get(unit.package as usize).is_some_and(GraphPackage::is_path)
}

/// Returns, for each unit, those that depend on it.
fn users(sketch: &Sketch) -> Vec<Vec<usize>> {
    let mut users = vec![Vec::new(); sketch.units.len()];
    for (index, unit) in sketch.units.iter().enumerate() {
        for dep in &unit.deps {
            if let Some(users) = users.get_mut(*dep as usize) {
                users.push(index);
            }
        }
    }
    users
}

/// Tells for each unit whether `is_one` holds for it or for a unit that it depends on.
fn reached(
    sketch: &Sketch,
    users: &[Vec<usize>],
    is_one: impl Fn(&SketchUnit) -> bool,
) -> Vec<bool> {
    let mut reached: Vec<_> = sketch.units.iter().map(is_one).collect();
    let mut next: Vec<_> = (0..reached.len()).filter(|index| reached[*index]).collect();
    while let Some(index) = next.pop() {
        for user in &users[index] {
            if !std::mem::replace(&mut reached[*user], true) {
                next.push(*user);
            }
        }
    }
    reached
}

/// Returns the units that a job used when it saved a generation, except those of packages that are
/// gone.
pub fn wants_of(sketch: &Sketch, standing: &Standing, fates: &[Fate]) -> Wants {
    let is_gone = |unit: &SketchUnit| standing.gone_packages.contains(&unit.package);
    let units = sketch.units.iter().zip(fates);
    let used = units.filter(|(unit, _)| unit.is_used && !is_gone(unit));
    let wanted = used.map(|(unit, fate)| {
        let name = unit.dir.crate_name().into_owned();
        ((unit.dir.clone(), unit.role), WantedUnit { is_itself: fate.is_wanted, name })
    });
    wanted.collect()
}

/// Adds the units of an earlier run of the job, which got further than the later runs in `wants`.
/// If builds no longer look for a unit, the later runs used another of its role.
pub fn add_earlier(wants: &mut Wants, earlier: Wants) {
    let roles: HashSet<Mark> = wants.keys().map(|(_, role)| *role).collect();
    for (key, wanted) in earlier {
        if wanted.is_itself || !roles.contains(&key.1) {
            wants.entry(key).or_insert(wanted);
        }
    }
}

/// A unit that a job wants and that cargo has to build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lacking<'a> {
    /// The unit.
    pub wanted: &'a WantedUnit,
    /// Whether the tree has the unit, used by its job, but built from other sources: then the graph
    /// of the tree tells why cargo builds it.
    pub is_explained: bool,
}

/// Returns the units of `wants` that cargo must build even with the tree of a sketch.
///
/// A unit that the build looks for is reused if the tree has it fresh, whatever flags the tree was
/// built with: an equal hash means the same unit. In place of a unit that it no longer looks for,
/// the build uses a fresh one of the same role that it does look for; each of those counts once.
pub fn lacking<'a>(wants: &'a Wants, sketch: &Sketch, fates: &[Fate]) -> Vec<Lacking<'a>> {
    let key = |unit: &SketchUnit| (unit.dir.clone(), unit.role);
    let held: HashMap<_, _> =
        sketch.units.iter().zip(fates).map(|(unit, fate)| (key(unit), (unit, *fate))).collect();
    let mut spare: HashMap<Mark, usize> = HashMap::new();
    for (key, (unit, fate)) in &held {
        if fate.is_fresh && fate.is_wanted && !wants.contains_key(key) {
            *spare.entry(unit.role).or_default() += 1;
        }
    }
    let mut lacking = Vec::new();
    for (key, wanted) in wants {
        let own = held.get(key);
        let is_reused =
            own.is_some_and(|(_, fate)| fate.is_fresh && (wanted.is_itself || fate.is_wanted));
        let spare = spare.get_mut(&key.1).filter(|count| **count > 0 && !wanted.is_itself);
        if is_reused || spare.map(|count| *count -= 1).is_some() {
            continue;
        }
        let is_explained = own.is_some_and(|(unit, fate)| unit.is_used && fate.is_wanted);
        lacking.push(Lacking { wanted, is_explained });
    }
    lacking
}

impl Standing {
    /// Ignores differing flags if the units of a tree built with them show that they have the same
    /// effect as ours. Returns whether it ignored any.
    pub fn see_through_flags(&mut self, wants: &Wants, sketch: &Sketch) -> bool {
        let before = (self.everything_differs, self.path_packages_differ);
        self.everything_differs &= !is_same_in_effect(wants, sketch, |_| true);
        self.path_packages_differ &=
            !is_same_in_effect(wants, sketch, |unit| is_of_path(sketch, unit));
        before != (self.everything_differs, self.path_packages_differ)
    }
}

/// Tells whether the units that `may_differ` selects are the same as with our flags. They are if
/// the tree has at least one of the units that the build looks for, and has none of their roles
/// only under another hash.
fn is_same_in_effect(
    wants: &Wants,
    sketch: &Sketch,
    may_differ: impl Fn(&SketchUnit) -> bool,
) -> bool {
    let units = || sketch.units.iter().filter(|unit| may_differ(unit));
    let held: HashSet<_> = units().map(|unit| (&unit.dir, unit.role)).collect();
    let roles: HashSet<Mark> = units().map(|unit| unit.role).collect();
    let itself = wants.iter().filter(|(_, wanted)| wanted.is_itself);
    let mut of_its_roles = itself.filter(|((_, role), _)| roles.contains(role)).peekable();
    of_its_roles.peek().is_some()
        && of_its_roles.all(|((dir, role), _)| held.contains(&(dir, *role)))
}

/// Returns the number of units that a build may look for and find fresh.
pub fn fresh_units(fates: &[Fate]) -> usize {
    fates.iter().filter(|fate| fate.is_wanted && fate.is_fresh).count()
}

#[cfg(test)]
mod tests;
