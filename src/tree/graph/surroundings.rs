//! What a tree was built in.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use crate::cargo::scratch::Scratch;
use crate::job::{Job, Place};
use crate::model::environment::Environment;
use crate::model::manifest::Source;
use crate::model::root::Root;

/// What a tree was built in.
pub(crate) struct Surroundings<'a> {
    /// The tree.
    pub(crate) dir: &'a Path,
    /// What relative paths of dep-info start from.
    pub(crate) workspace_root: &'a Path,
    /// The checkouts.
    pub(crate) roots: &'a BTreeMap<Root, PathBuf>,
    /// Their sources.
    pub(crate) sources: &'a [Source],
    /// Directories that hold no sources, this tree and `cargo_home` among them.
    pub(crate) excluded: &'a [PathBuf],
    /// But for these, which git tracks there, and the directories that they are in.
    pub(crate) checkout_files: HashSet<PathBuf>,
    /// `CARGO_HOME`: cargo looks at no mtime there.
    pub(crate) cargo_home: &'a Path,
    /// What is scratch.
    pub(crate) scratch: &'a Scratch,
    /// The variables of the job.
    pub(crate) environment: &'a Environment,
}

impl<'a> Surroundings<'a> {
    /// Returns those of the target at `place` of a job that has these `sources`.
    pub(crate) fn of(job: &'a Job, place: &'a Place, sources: &'a [Source]) -> Self {
        let Job { roots, excluded, cargo_home, scratch, environment, .. } = job;
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
            scratch,
            environment,
        }
    }

    pub(crate) fn is_excluded(&self, path: &Path) -> bool {
        self.excluded.iter().any(|dir| path.starts_with(dir)) && !self.checkout_files.contains(path)
    }
}
