//! The units of a tree that other units have replaced.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::Recorder;
use super::read::Read;
use crate::model::manifest::{Source, SourceKind};
use crate::model::rel_path::RelPath;
use crate::model::source::is_of_git;
use crate::model::timestamp::Timestamp;
use crate::model::unit_graph::{GraphPackage, GraphUnit};

impl Recorder<'_> {
    /// Returns the units that are stale, by themselves or through a dependency, and that a newer unit of the same
    /// package and kind replaces. The newer unit was built with other flags or features, and the job uses it.
    pub(crate) fn replaced(
        &self,
        units: &[GraphUnit],
        deps: &[Vec<Option<usize>>],
        dirs: &[Option<PathBuf>],
    ) -> BTreeSet<usize> {
        let is_newer = |unit: &GraphUnit, number: &u32| {
            let source = self.around.sources.get(*number as usize);
            source.is_some_and(|source| source.mtime > unit.fresh_until())
        };
        let newest: HashMap<u32, Timestamp> = self
            .packages
            .iter()
            .filter(|(_, index)| {
                units.iter().any(|unit| unit.whole_package && unit.package == **index)
            })
            .map(|(package, index)| (*index, self.newest_of(package)))
            .collect();
        let is_stale = |unit: &GraphUnit| {
            let newest = newest.get(&unit.package).filter(|_| unit.whole_package);
            newest.is_some_and(|newest| *newest > unit.fresh_until())
                || (!unit.by_content
                    && unit.files.iter().chain(&unit.fixed).any(|number| is_newer(unit, number)))
        };
        let key = |index: usize| {
            let Read { unit, kind, .. } = &self.read[index];
            (unit.path().parent(), *kind, unit.crate_name(), &dirs[index])
        };
        let stale = with_users(units.iter().map(is_stale).collect(), deps);
        let mut replaced_at = BTreeMap::new();
        for (index, unit) in units.iter().enumerate() {
            if !stale[index] {
                let built = replaced_at.entry(key(index)).or_insert(unit.built);
                *built = unit.built.max(*built);
            }
        }
        let is_replaced = |index: &usize| {
            replaced_at.get(&key(*index)).is_some_and(|built| *built > units[*index].built)
        };
        (0..units.len()).filter(|index| stale[*index]).filter(is_replaced).collect()
    }

    /// Returns the newest mtime of the sources in the directory of a package.
    fn newest_of(&self, package: &GraphPackage) -> Timestamp {
        let dir = package.dir.as_ref().map(|dir| Path::new(OsStr::from_bytes(dir.as_bytes())));
        let newest = self.around.roots.iter().filter_map(|(root, top)| {
            let below = dir?.strip_prefix(top).ok()?.as_os_str().as_bytes();
            let below = RelPath::parse(below).ok();
            let is_own = |source: &&Source| {
                let path = source.path.as_ref();
                source.root == *root
                    && !path.is_some_and(is_of_git)
                    && source.kind != SourceKind::Dir
                    && below.as_ref().is_none_or(|dir| path.is_some_and(|path| path.is_within(dir)))
            };
            self.around.sources.iter().filter(is_own).map(|source| source.mtime).max()
        });
        newest.max().unwrap_or_default()
    }
}

/// Marks as stale also the units that depend on stale units.
fn with_users(mut stale: Vec<bool>, deps: &[Vec<Option<usize>>]) -> Vec<bool> {
    loop {
        let is_new = |(index, deps): (usize, &Vec<Option<usize>>)| {
            (!stale[index] && deps.iter().flatten().any(|dep| stale[*dep])).then_some(index)
        };
        let users: Vec<_> = deps.iter().enumerate().filter_map(is_new).collect();
        if users.is_empty() {
            return stale;
        }
        for index in users {
            stale[index] = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependents_of_a_stale_unit_are_stale() {
        let deps = [vec![Some(1), None], vec![Some(3)], vec![None], vec![], vec![Some(4)]];
        let stale = with_users(vec![false, false, false, true, false], &deps);
        assert_eq!(stale, [true, true, false, true, false]);
    }
}
