//! The choice of kept files to restore: those of units that are restored and stay fresh.
//!
//! A build script that runs again may write a file only if it is missing, or write another file in
//! its place. So a file that the script wrote before must not be there. And if such a file is
//! missing, its script must run.

use std::collections::BTreeSet;

use super::manifest::{KeptFile, Manifest};
use super::raw_path::RawPath;
use super::rel_path::RelPath;
use super::root::Root;
use super::score::Fate;
use super::unit_graph::GraphUnit;
use super::unit_use::UnitDir;

/// The kept files and units that a restore leaves out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StaysAway {
    /// The kept files.
    pub files: BTreeSet<(Root, RelPath)>,
    /// The units that must be built again because a file of theirs is missing: the runs of the
    /// scripts that may have written it. If none of the package's units is known to be such a run,
    /// these are all units of the package.
    pub units: BTreeSet<UnitDir>,
}

/// Returns the kept files of `manifest` that are left out, given the `fates` of its units, and the
/// units that must then be built again. Without fates (the generation says too little of its
/// units), and for a file of which no unit is known, only `may_come` decides.
///
/// `may_come` tells whether a file may be restored to its place; `is_there` tells whether it exists
/// already.
pub fn stays_away(
    manifest: &Manifest,
    fates: Option<&[Fate]>,
    may_come: impl Fn(&KeptFile) -> bool,
    is_there: impl Fn(&KeptFile) -> bool,
) -> StaysAway {
    let restored: BTreeSet<&UnitDir> = manifest.units.iter().map(|unit| &unit.dir).collect();
    let graph = &manifest.graph;
    let stays = |index: usize| {
        let fate = fates.and_then(|fates| fates.get(index));
        let dir = graph.units[index].dir.as_ref();
        fate.is_none_or(|fate| fate.is_fresh) && dir.is_some_and(|dir| restored.contains(dir))
    };
    let mut away = StaysAway::default();
    for kept in &manifest.kept {
        let (writers, readers) = (writers(manifest, kept), readers(manifest, kept));
        let is_at_home = |index: &usize| is_of_root(manifest, *index, &kept.root);
        let is_unknown = kept.writers.is_empty() && readers.is_empty();
        let comes_back = if fates.is_none() || is_unknown {
            true
        } else if kept.writers.is_empty() {
            readers.iter().any(|index| stays(*index) && is_at_home(index))
        } else {
            let are_known = writers.len() == kept.writers.len();
            are_known && writers.iter().all(|index| stays(*index)) && writers.iter().any(is_at_home)
        };
        if comes_back && may_come(kept) {
            continue;
        }
        away.files.insert((kept.root.clone(), kept.path.clone()));
        if is_there(kept) {
            continue;
        }
        let package = |unit: &GraphUnit| {
            let package = graph.packages.get(unit.package as usize)?;
            Some((package.name.as_str(), package.dir.as_ref()))
        };
        let of_units =
            writers.iter().chain(&readers).filter_map(|index| package(&graph.units[*index]));
        let packages: BTreeSet<_> = of_units.collect();
        let is_of_them = |unit: &&GraphUnit| package(unit).is_some_and(|it| packages.contains(&it));
        let of_them: Vec<_> = graph.units.iter().filter(is_of_them).collect();
        let runs: Vec<_> = of_them.iter().copied().filter(|unit| is_run(manifest, unit)).collect();
        let again = if runs.is_empty() { of_them } else { runs };
        away.units.extend(again.into_iter().filter_map(|unit| unit.dir.clone()));
        away.units.extend(kept.writers.iter().cloned());
    }
    away
}

/// Tells whether a unit is known as the run of a build script.
fn is_run(manifest: &Manifest, unit: &GraphUnit) -> bool {
    let package = manifest.graph.packages.get(unit.package as usize);
    let target = package.and_then(|package| package.target.as_ref());
    target.is_some_and(|target| target.unit.starts_with("run-build-script-"))
}

/// Returns the units in the graph that may have written a file.
fn writers(manifest: &Manifest, kept: &KeptFile) -> Vec<usize> {
    let units = manifest.graph.units.iter().enumerate();
    let writers =
        units.filter(|(_, unit)| unit.dir.as_ref().is_some_and(|dir| kept.writers.contains(dir)));
    writers.map(|(index, _)| index).collect()
}

/// Tells whether a unit of a generation was built from a file that was kept with it.
pub fn is_read(manifest: &Manifest, kept: &KeptFile) -> bool {
    !readers(manifest, kept).is_empty()
}

/// Returns the units that read a file.
fn readers(manifest: &Manifest, kept: &KeptFile) -> Vec<usize> {
    let is_it = |number: u32| {
        let number = number as usize;
        let Some(source) = manifest.sources.get(number) else {
            let other = manifest.graph.others.get(number - manifest.sources.len());
            let root = manifest.header.roots.get(&kept.root).map(RawPath::as_bytes);
            let below = other
                .zip(root)
                .and_then(|(other, root)| other.as_bytes().strip_prefix(root)?.strip_prefix(b"/"));
            return below == Some(kept.path.as_bytes());
        };
        source.root == kept.root && source.path.as_ref() == Some(&kept.path)
    };
    let reads =
        |unit: &GraphUnit| unit.files.iter().chain(&unit.fixed).any(|number| is_it(*number));
    let units = manifest.graph.units.iter().enumerate();
    units.filter(|(_, unit)| reads(unit)).map(|(index, _)| index).collect()
}

/// Tells whether the package of a unit lies in a root. If a symlink leads to the package, its files
/// decide.
fn is_of_root(manifest: &Manifest, index: usize, root: &Root) -> bool {
    let unit = &manifest.graph.units[index];
    let package = manifest.graph.packages.get(unit.package as usize);
    let dir = package.and_then(|package| package.dir.as_ref());
    let roots = &manifest.header.roots;
    let holds = |top: &RawPath| dir.is_some_and(|dir| dir.is_within(top));
    if roots.values().any(holds) {
        return roots.get(root).is_some_and(holds);
    }
    let mut files = unit.files.iter().chain(&unit.fixed);
    files.any(|number| {
        manifest.sources.get(*number as usize).is_some_and(|source| source.root == *root)
    })
}

#[cfg(test)]
mod tests;
