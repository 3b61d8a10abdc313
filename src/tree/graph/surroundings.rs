//! The surroundings in which a tree was built.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use crate::cargo::scratch::Scratch;
use crate::job::{AreaPlace, Job};
use crate::model::environment::Environment;
use crate::model::manifest::Source;
use crate::model::root::Root;

/// The directories, sources and variables with which a tree was built.
pub(crate) struct Surroundings<'a> {
    /// The directory of the tree.
    pub(crate) dir: &'a Path,
    /// The directory that relative paths in dep-info start from.
    pub(crate) workspace_root: &'a Path,
    /// The paths of the checkouts.
    pub(crate) roots: &'a BTreeMap<Root, PathBuf>,
    /// The sources of the checkouts.
    pub(crate) sources: &'a [Source],
    /// Directories that hold no sources, this tree and `cargo_home` among them.
    pub(crate) excluded: &'a [PathBuf],
    /// The files that git tracks in those directories, and the directories above these files; they
    /// are sources.
    pub(crate) checkout_files: HashSet<PathBuf>,
    /// `CARGO_HOME`: cargo ignores the mtimes of files there.
    pub(crate) cargo_home: &'a Path,
    /// The rules that tell which files are scratch.
    pub(crate) scratch: &'a Scratch,
    /// The variables of the job.
    pub(crate) environment: &'a Environment,
}

impl<'a> Surroundings<'a> {
    /// Returns the surroundings of the target at `place` of a job with these `sources`.
    pub(crate) fn of(job: &'a Job, place: &'a AreaPlace, sources: &'a [Source]) -> Self {
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
