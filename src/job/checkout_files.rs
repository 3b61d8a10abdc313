//! Files in a target directory that are no part of the area.
//!
//! Files that git tracks belong to the checkout. In a directory that lies in no checkout and that
//! cargo did not make, all files but cargo's belong to others.

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

/// The files in a target directory that belong to a checkout or to others.
#[derive(Clone, Debug, Default)]
pub(crate) struct CheckoutFiles {
    tracked: BTreeSet<RelPath>,
    /// The entries directly in the directory that are not cargo's. Everything below them belongs to
    /// others too.
    others: BTreeSet<RelPath>,
}

/// Tells whether files of others may lie in `dir`: it is in no checkout, and it is a mount point or
/// cargo did not make it.
pub(crate) fn is_shared<'a>(dir: &Path, mut roots: impl Iterator<Item = &'a Path>) -> Result<bool> {
    let is_inside = roots.any(|root| dir.starts_with(root));
    Ok(!is_inside && dir.is_dir() && (is_mount_point(dir)? || !is_tagged_by_cargo(dir)))
}

/// Returns the entries of `dir` that belong to others. Returns none if `dir` cannot be read: then
/// no later step can change it either.
fn others(dir: &Path) -> BTreeSet<RelPath> {
    let Ok(Parts { others, .. }) = Parts::of(dir) else { return BTreeSet::new() };
    others.iter().filter_map(|path| below(dir, path).ok()?).collect()
}

impl CheckoutFiles {
    /// Picks the files in `dir` among the sources of each root. In a target directory, only tracked
    /// files are sources.
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

    /// Tells whether every file in the directory is part of the area.
    pub(crate) fn is_empty(&self) -> bool {
        self.tracked.is_empty() && self.others.is_empty()
    }

    fn holds(&self, path: &RelPath) -> bool {
        self.tracked.contains(path) || self.is_of_others(path)
    }

    fn is_of_others(&self, path: &RelPath) -> bool {
        self.others.range(..=path).next_back().is_some_and(|other| path.is_within(other))
    }

    /// Tells whether a file of the checkout is at `dir` or below it.
    fn leads_to_one(&self, dir: &RelPath) -> bool {
        self.tracked.range(dir..).next().is_some_and(|path| path.is_within(dir))
    }

    /// Drops these files from the paths that were `found` in the directory, and the directories
    /// that contain nothing else.
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

    /// Drops the entries of a manifest that are in the way of these files. Tells whether it dropped
    /// any.
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

    /// Hard-links the files of the checkout from `from` into `to`, which is about to take its
    /// place. Skips files that are missing.
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
