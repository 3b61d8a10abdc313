//! Files in a target directory that are no part of the area: those that git tracks belong to the checkout, and in a
//! directory outside it that cargo did not make, whatever is not cargo's belongs to others.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use super::Result;
use crate::cargo::parts::Parts;
use crate::cargo::sources::{below, is_tagged_by_cargo};
use crate::fs::beneath::Beneath;
use crate::fs::space::is_mount_point;
use crate::fs::stat::{Kind, Stat};
use crate::fs::walk::Found;
use crate::model::manifest::{EntryKind, Manifest};
use crate::model::rel_path::RelPath;

/// The files of a directory that git tracks, and what others keep there.
#[derive(Clone, Debug, Default)]
pub(crate) struct CheckoutFiles {
    tracked: BTreeSet<RelPath>,
    /// What lies directly in the directory and is not cargo's, with all below.
    others: BTreeSet<RelPath>,
}

/// Tells whether others may keep something in `dir`: it is in no checkout, and cargo did not make it.
pub(crate) fn is_shared<'a>(dir: &Path, mut roots: impl Iterator<Item = &'a Path>) -> Result<bool> {
    let is_inside = roots.any(|root| dir.starts_with(root));
    Ok(!is_inside && dir.is_dir() && (is_mount_point(dir)? || !is_tagged_by_cargo(dir)))
}

/// Returns what others keep in `dir`. What cannot be read, nothing is done to.
fn others(dir: &Path) -> BTreeSet<RelPath> {
    let Ok(Parts { others, .. }) = Parts::of(dir) else { return BTreeSet::new() };
    others.iter().filter_map(|path| below(dir, path).ok()?).collect()
}

impl CheckoutFiles {
    /// Picks those in `dir` among the sources of each root. Nothing else in a target directory is a source.
    pub(crate) fn within<'a, Paths: Iterator<Item = &'a RelPath>>(
        dir: &Path,
        roots: impl Iterator<Item = (&'a Path, Paths)>,
    ) -> Self {
        let mut files = BTreeSet::new();
        let mut dirs = Vec::new();
        for (root, paths) in roots {
            dirs.push(root);
            let Some(top) = below(root, dir).ok().flatten() else { continue };
            let inside = paths.filter(|path| path.is_within(&top));
            files.extend(inside.filter_map(|path| below(top.as_path(), path.as_path()).ok()?));
        }
        let is_shared = is_shared(dir, dirs.into_iter()).unwrap_or(false);
        let others = if is_shared { others(dir) } else { BTreeSet::new() };
        Self { tracked: files, others }
    }

    /// Tells whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.tracked.is_empty() && self.others.is_empty()
    }

    fn holds(&self, path: &RelPath) -> bool {
        self.tracked.contains(path) || self.is_of_others(path)
    }

    fn is_of_others(&self, path: &RelPath) -> bool {
        self.others.range(..=path).next_back().is_some_and(|other| path.is_within(other))
    }

    /// Tells whether a path is one that leads to a file of the checkout.
    fn leads_to_one(&self, dir: &RelPath) -> bool {
        self.tracked.range(dir..).next().is_some_and(|path| path.is_within(dir))
    }

    /// Takes them out of what was found in the directory, with the directories that hold nothing else.
    pub(crate) fn leave_out(&self, found: Vec<Found>) -> Vec<Found> {
        if self.is_empty() {
            return found;
        }
        let is_dir = |found: &Found| found.stat.kind == Kind::Dir;
        let rest = found.iter().filter(|found| !is_dir(found) && !self.holds(&found.path));
        let mut others: HashSet<RelPath> = HashSet::new();
        for found in rest {
            let mut dir = found.path.parent();
            while let Some(path) = dir {
                dir = path.parent();
                others.insert(path);
            }
        }
        let is_of_area = |found: &Found| {
            if self.is_of_others(&found.path) {
                false
            } else if is_dir(found) {
                others.contains(&found.path) || !self.leads_to_one(&found.path)
            } else {
                !self.holds(&found.path)
            }
        };
        found.into_iter().filter(is_of_area).collect()
    }

    /// Takes out of a manifest what stands where a file of the checkout is now; tells whether there was any.
    pub(crate) fn leave_out_of(&self, manifest: &mut Manifest) -> bool {
        if self.is_empty() {
            return false;
        }
        let is_in_the_way = |path: &RelPath, is_dir: bool| {
            self.is_of_others(path)
                || self.tracked.iter().any(|own| path.is_within(own))
                || (!is_dir && self.leads_to_one(path))
        };
        let before = manifest.entries.len();
        manifest.entries.retain(|entry| match &entry.kind {
            EntryKind::HardLink { of } => {
                !is_in_the_way(&entry.path, false) && !is_in_the_way(of, false)
            }
            kind => !is_in_the_way(&entry.path, matches!(kind, EntryKind::Dir { .. })),
        });
        manifest.entries.len() != before
    }

    /// Gives those that are in `from` a second name in `to`, which is about to take its place.
    pub(crate) fn link(&self, from: &Path, to: &Path) -> Result<()> {
        if self.tracked.is_empty() {
            return Ok(());
        }
        let (from, to) = (Beneath::open(from)?, Beneath::open(to)?);
        for path in &self.tracked {
            if from.stat(path)?.is_none_or(|stat: Stat| stat.kind == Kind::Dir) {
                continue;
            }
            to.create_parents(path)?;
            to.create_hard_link_to(path, &from, path)?;
        }
        Ok(())
    }
}
