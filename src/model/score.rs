//! How much of what a job wants cargo will reuse of a generation.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::mark::Mark;
use super::sketch::{Sketch, SketchUnit};
use super::unit_graph::GraphPackage;
use super::unit_use::UnitDir;

/// How the inputs that a sketch names differ from the checkout to build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Standing {
    /// Whether the compiler is another one.
    pub compiler_differs: bool,
    /// Whether something changed that changes how every unit is built, as flags do.
    pub everything_differs: bool,
    /// The profile directories of which the units are built in another way.
    pub other_profiles: HashSet<String>,
    /// Whether something changed that changes how every path package is built.
    pub path_packages_differ: bool,
    /// Whether the roots lie elsewhere.
    pub is_moved: bool,
    /// Whether cargo's home lies elsewhere: then cargo builds what is from there again.
    pub home_is_moved: bool,
    /// The packages that are wanted in another version, or whose manifest means something else.
    pub other_packages: HashSet<u32>,
    /// The packages that are not wanted at all any more.
    pub gone_packages: HashSet<u32>,
    /// The paths at which something else is.
    pub other_paths: HashSet<u32>,
    /// The variables that have another value.
    pub other_variables: HashSet<u32>,
}

/// What becomes of a unit of a sketch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fate {
    /// Whether a build of the checkout looks for this very unit, as far as can be told by how it was built.
    pub is_wanted: bool,
    /// Whether cargo finds it fresh if it looks for it.
    pub is_fresh: bool,
}

/// A unit that a job used last time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Whether the build will look for this very unit; else for another of the same role.
    pub is_itself: bool,
    /// The name of its package.
    pub name: String,
}

/// The units that a job used last time, by directory and role: cargo keeps a library and its documentation in
/// one directory where the library is named without a hash.
pub type Wants = BTreeMap<(UnitDir, Mark), Wanted>;

/// Returns the fate of each unit of a sketch. A unit shares the fate of those it depends on.
pub fn fates(sketch: &Sketch, standing: &Standing) -> Vec<Fate> {
    let is_of_home = |unit: &SketchUnit| {
        let package = sketch.packages.get(unit.package as usize);
        package.is_none_or(|package| package.dir.is_none())
    };
    let is_of_other_package = |unit: &SketchUnit| {
        standing.other_packages.contains(&unit.package)
            || standing.gone_packages.contains(&unit.package)
    };
    // Flags and profiles are part of the hash that cargo gives a unit: with others it is another unit.
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

/// Tells whether a unit is of a path package.
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

/// Tells of each unit whether it is one of these, or depends on one.
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

/// Returns the units that a job used when it saved a generation, without those of packages that are gone.
pub fn wants_of(sketch: &Sketch, standing: &Standing, fates: &[Fate]) -> Wants {
    let is_gone = |unit: &SketchUnit| standing.gone_packages.contains(&unit.package);
    let units = sketch.units.iter().zip(fates);
    let used = units.filter(|(unit, _)| unit.is_used && !is_gone(unit));
    let wanted = used.map(|(unit, fate)| {
        let name = unit.dir.crate_name().into_owned();
        ((unit.dir.clone(), unit.role), Wanted { is_itself: fate.is_wanted, name })
    });
    wanted.collect()
}

/// Adds what an earlier run of the job used, which got further than the later ones in `wants`. Of a unit that
/// builds no longer look for, the later runs have used another one of its role.
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
    pub wanted: &'a Wanted,
    /// Whether the tree has it from a job that used it, built from other sources: then the graph of the tree
    /// tells why cargo builds it.
    pub is_explained: bool,
}

/// Returns the units of `wants` that cargo has to build although it has the tree of a sketch.
///
/// A unit that the build looks for is reused if the tree holds it fresh, whatever flags the tree was built
/// with: an equal hash is the same unit. In place of one that it no longer looks for, it uses a fresh one of
/// the same role that it does look for, each once.
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
    /// Passes over flags that differ if the units of a tree that was built with them show that they come to the
    /// same. Tells whether there are such flags.
    pub fn see_through_flags(&mut self, wants: &Wants, sketch: &Sketch) -> bool {
        let before = (self.everything_differs, self.path_packages_differ);
        self.everything_differs &= !is_same_in_effect(wants, sketch, |_| true);
        self.path_packages_differ &=
            !is_same_in_effect(wants, sketch, |unit| is_of_path(sketch, unit));
        before != (self.everything_differs, self.path_packages_differ)
    }
}

/// Tells whether those of the units that `may_differ` are the same as with our flags: of the units that the build
/// looks for, the tree has at least one of them, and none of their roles under another hash alone.
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

/// Returns how many units of a sketch a build may look for and find fresh.
pub fn fresh_units(fates: &[Fate]) -> usize {
    fates.iter().filter(|fate| fate.is_wanted && fate.is_fresh).count()
}

#[cfg(test)]
mod tests;
