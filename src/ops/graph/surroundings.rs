//! What a tree was built in.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use super::super::job::{Job, Place};
use crate::model::environment::Environment;
use crate::model::manifest::{Root, Source};

/// What a tree was built in.
pub(in super::super) struct Surroundings<'a> {
    /// The tree.
    pub(in super::super) dir: &'a Path,
    /// What relative paths of dep-info start from.
    pub(in super::super) workspace_root: &'a Path,
    /// The checkouts.
    pub(in super::super) roots: &'a BTreeMap<Root, PathBuf>,
    /// Their sources.
    pub(in super::super) sources: &'a [Source],
    /// Directories that hold no sources, this tree and `cargo_home` among them.
    pub(in super::super) excluded: &'a [PathBuf],
    /// But for these, which git tracks there, and the directories that they are in.
    pub(in super::super) checkout_files: HashSet<PathBuf>,
    /// `CARGO_HOME`: cargo looks at no mtime there.
    pub(in super::super) cargo_home: &'a Path,
    /// The variables of the job.
    pub(in super::super) environment: &'a Environment,
}

impl<'a> Surroundings<'a> {
    /// Returns those of the target at `place` of a job that has these `sources`.
    pub(in super::super) fn of(job: &'a Job, place: &'a Place, sources: &'a [Source]) -> Self {
        let Job { roots, excluded, cargo_home, environment, .. } = job;
        let full =
            |source: &Source| Some(roots.get(&source.root)?.join(source.path.as_ref()?.as_path()));
        let is_excluded = |path: &PathBuf| excluded.iter().any(|dir| path.starts_with(dir));
        Self {
            dir: &place.dir,
            workspace_root: &place.workspace_root,
            roots,
            sources,
            excluded,
            checkout_files: sources.iter().filter_map(full).filter(is_excluded).collect(),
            cargo_home,
            environment,
        }
    }

    pub(super) fn is_excluded(&self, path: &Path) -> bool {
        self.excluded.iter().any(|dir| path.starts_with(dir)) && !self.checkout_files.contains(path)
    }
}
