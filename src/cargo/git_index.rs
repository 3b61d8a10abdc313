//! Git's index: the content of each tracked file, and the times that it had when git last compared it.
//!
//! A file with other times counts as changed until somebody lets git compare it again. Commands for people do
//! that; `git diff-index`, `git reset --hard` and `git checkout .` do not.

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
    /// Where git knows which repository is meant.
    works_in: PathBuf,
}

/// Returns the index of the repository at `root`, and those of its submodules. There are none where `.git` is no
/// directory.
pub fn indexes(root: &Path) -> Vec<GitIndex> {
    let index = |dir: PathBuf| {
        let path = dir.join("index");
        // The configuration of a submodule says where its files are, that of the repository does not.
        let is_own = dir.parent() == Some(root);
        path.is_file()
            .then(|| GitIndex { path, works_in: if is_own { root.to_owned() } else { dir } })
    };
    git_dirs(root).into_iter().filter_map(index).collect()
}

impl GitIndex {
    /// Lets git note in `copy`, a copy of the index, the times of all files that it finds as it knows them. Git
    /// replaces the copy if there is anything to note. Ends early when `is_stopped`.
    ///
    /// Changed files are no error. A git that cannot be started is.
    pub fn refresh(
        &self,
        copy: &Path,
        environment: &Environment,
        is_stopped: impl Fn() -> bool + Send,
    ) -> io::Result<()> {
        let mut git = Program::git(environment);
        // A file that is lacking is no reason to fetch it.
        git.env("GIT_NO_LAZY_FETCH", "1").env("GIT_INDEX_FILE", copy);
        git.args(["update-index", "-q", "--refresh"]).current_dir(&self.works_in);
        git.output_until(is_stopped).map(drop)
    }
}
