//! Files in a target directory that git tracks. They belong to the checkout: they are sources, and no part of the area.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use super::Result;
use super::place::holds_anything;
use super::walk::walk_tree;
use crate::cargo::scratch::Scratch;
use crate::cargo::sources::below;
use crate::fs::beneath::Beneath;
use crate::fs::stat::{Kind, Stat};
use crate::fs::walk::Found;
use crate::model::manifest::{EntryKind, Manifest};
use crate::model::rel_path::RelPath;

/// The files of a directory that git tracks.
#[derive(Clone, Debug, Default)]
pub(super) struct CheckoutFiles(BTreeSet<RelPath>);

impl CheckoutFiles {
    /// Picks those in `dir` among the sources of each root. Nothing else in a target directory is a source.
    pub(super) fn within<'a, Paths: Iterator<Item = &'a RelPath>>(
        dir: &Path,
        roots: impl Iterator<Item = (&'a Path, Paths)>,
    ) -> Self {
        let mut files = BTreeSet::new();
        for (root, paths) in roots {
            let Some(top) = below(root, dir).ok().flatten() else { continue };
            let inside = paths.filter(|path| path.is_within(&top));
            files.extend(inside.filter_map(|path| below(top.as_path(), path.as_path()).ok()?));
        }
        Self(files)
    }

    /// Tells whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn holds(&self, path: &RelPath) -> bool {
        self.0.contains(path)
    }

    /// Tells whether a path is one that leads to a file of the checkout.
    fn leads_to_one(&self, dir: &RelPath) -> bool {
        self.0.range(dir..).next().is_some_and(|path| path.is_within(dir))
    }

    /// Takes them out of what was found in the directory, with the directories that hold nothing else.
    pub(super) fn leave_out(&self, found: Vec<Found>) -> Vec<Found> {
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
            if is_dir(found) {
                others.contains(&found.path) || !self.leads_to_one(&found.path)
            } else {
                !self.holds(&found.path)
            }
        };
        found.into_iter().filter(is_of_area).collect()
    }

    /// Takes out of a manifest what stands where a file of the checkout is now; tells whether there was any.
    pub(super) fn leave_out_of(&self, manifest: &mut Manifest) -> bool {
        if self.is_empty() {
            return false;
        }
        let is_in_the_way = |path: &RelPath, is_dir: bool| {
            self.0.iter().any(|own| path.is_within(own)) || (!is_dir && self.leads_to_one(path))
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

    /// Tells whether a directory holds anything but them.
    pub(super) fn are_not_all_of(&self, dir: &Path) -> Result<bool> {
        if self.is_empty() {
            return holds_anything(dir);
        }
        Ok(!self.leave_out(walk_tree(dir, &Scratch::none())?.found).is_empty())
    }

    /// Gives those that are in `from` a second name in `to`, which is about to take its place.
    pub(super) fn link(&self, from: &Path, to: &Path) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        let (from, to) = (Beneath::open(from)?, Beneath::open(to)?);
        for path in &self.0 {
            if from.stat(path)?.is_none_or(|stat: Stat| stat.kind == Kind::Dir) {
                continue;
            }
            to.create_parents(path)?;
            to.create_hard_link_to(path, &from, path)?;
        }
        Ok(())
    }
}
