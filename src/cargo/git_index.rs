//! Git's index: the content of each tracked file, and the times that it had when git last compared it.
//!
//! Git counts a file with other times as changed until it compares the file again. Commands for people do that;
//! `git diff-index`, `git reset --hard` and `git checkout .` do not.

use std::io;
use std::path::{Path, PathBuf};

use super::git_files::git_dirs;
use crate::fs::child::Program;
use crate::model::environment::Environment;

/// The index of a repository.
#[derive(Clone, Debug)]
pub struct GitIndex {
    /// Its file.
    pub path: PathBuf,
    /// The directory in which git finds this repository.
    works_in: PathBuf,
}

/// Returns the index of the repository at `root`, and those of its submodules. Returns none if `.git` is not a
/// directory.
pub fn indexes(root: &Path) -> Vec<GitIndex> {
    let index = |dir: PathBuf| {
        let path = dir.join("index");
        // Only the configuration of a submodule names its work tree; the repository's own does not.
        let is_own = dir.parent() == Some(root);
        path.is_file()
            .then(|| GitIndex { path, works_in: if is_own { root.to_owned() } else { dir } })
    };
    git_dirs(root).into_iter().filter_map(index).collect()
}

impl GitIndex {
    /// Lets git update `copy`, a copy of the index, with the current times of all unchanged files. Git replaces the
    /// copy if any time differs. Ends early when `is_stopped`.
    ///
    /// Changed files are no error. A failure to start git is.
    pub fn refresh(
        &self,
        copy: &Path,
        environment: &Environment,
        is_stopped: impl Fn() -> bool + Send,
    ) -> io::Result<()> {
        let mut git = Program::git(environment);
        // Do not fetch a missing file.
        git.env("GIT_NO_LAZY_FETCH", "1").env("GIT_INDEX_FILE", copy);
        git.args(["update-index", "-q", "--refresh"]).current_dir(&self.works_in);
        git.output_until(is_stopped).map(drop)
    }
}
