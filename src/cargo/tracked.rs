//! The files that git tracks, and the repositories they are in.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::fs::child::Program;
use crate::model::environment::Environment;
use crate::model::rel_path::RelPath;

/// The files that git tracks below a root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tracked {
    /// Files that git finds unchanged: any checkout of the commit brings them.
    pub unchanged: BTreeSet<RelPath>,
    /// The other tracked files.
    pub changed: BTreeSet<RelPath>,
}

/// The arguments of `git ls-files` for all tracked files.
const ALL: &[&str] = &["--cached", "--recurse-submodules"];

/// Returns the files below `root` that git tracks; none if git cannot be asked.
pub fn tracked_files(root: &Path, environment: &Environment) -> Vec<RelPath> {
    ask(root, ALL, environment).unwrap_or_default()
}

/// Returns the files below `root` that git tracks. `None` if it cannot be asked, or finds no unchanged file.
pub fn tracked(root: &Path, environment: &Environment) -> Option<Tracked> {
    let all = ask(root, ALL, environment)?;
    let changed: BTreeSet<_> = ask(root, &["--modified"], environment)?.into_iter().collect();
    let unchanged = all.into_iter().filter(|path| !changed.contains(path));
    let tracked = Tracked { unchanged: unchanged.collect(), changed };
    (!tracked.unchanged.is_empty()).then_some(tracked)
}

/// Tells whether git tracks the lock file in `root`. Without git, or outside a repository, nothing is tracked.
pub(super) fn tracks_lock_file(root: &Path, environment: &Environment) -> bool {
    ask(root, &["--error-unmatch", "--", "Cargo.lock"], environment).is_some()
}

/// Returns the root of the git repository that tracks any file in `dir`, a canonical path; `dir` if there is none.
pub fn repository_of(dir: &Path, environment: &Environment) -> PathBuf {
    let top = dir.ancestors().find(|dir| dir.join(".git").exists());
    let tracks_any = || ask(dir, &["--cached"], environment).is_some_and(|all| !all.is_empty());
    let is_own = |top: &&Path| *top == dir || tracks_any();
    top.filter(is_own).unwrap_or(dir).to_owned()
}

/// Returns the URL of the remote `origin` of the repository that holds `dir`.
pub fn url_of_origin(dir: &Path, environment: &Environment) -> Option<String> {
    let mut git = Program::git(environment);
    git.args(["config", "--get", "remote.origin.url"]).current_dir(dir);
    let output = git.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn ask(root: &Path, which: &[&str], environment: &Environment) -> Option<Vec<RelPath>> {
    let mut git = Program::git(environment);
    // Do not fetch a missing file.
    git.env("GIT_NO_LAZY_FETCH", "1").args(["ls-files", "-z"]).args(which).current_dir(root);
    let output = git.output().ok().filter(|output| output.status.success())?;
    let paths = output.stdout.split(|byte| *byte == 0);
    Some(paths.filter_map(|path| RelPath::parse(path).ok()).collect())
}
