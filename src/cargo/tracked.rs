//! Which files git tracks, and where its repositories are.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::fs::child::Program;
use crate::model::environment::Environment;
use crate::model::rel_path::RelPath;

/// The files that git tracks below a root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tracked {
    /// Those that git finds as it knows them: any checkout of what is committed brings them.
    pub unchanged: BTreeSet<RelPath>,
    /// The others.
    pub changed: BTreeSet<RelPath>,
}

/// What to ask git for: all files that it tracks.
const ALL: &[&str] = &["--cached", "--recurse-submodules"];

/// Returns the files below `root` that git tracks, nothing where it cannot be asked.
pub fn tracked_files(root: &Path, environment: &Environment) -> Vec<RelPath> {
    ask(root, ALL, environment).unwrap_or_default()
}

/// Returns the files below `root` that git tracks. None where it tracks nothing or cannot be asked.
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

/// Returns the root of the git repository that tracks anything in `dir`, a canonical path; without one, `dir`.
pub fn repository_of(dir: &Path, environment: &Environment) -> PathBuf {
    let top = dir.ancestors().find(|dir| dir.join(".git").exists());
    let tracks_any = || ask(dir, &["--cached"], environment).is_some_and(|all| !all.is_empty());
    let is_own = |top: &&Path| *top == dir || tracks_any();
    top.filter(is_own).unwrap_or(dir).to_owned()
}

/// Returns the URL of the remote `origin` of the repository that `dir` is in.
pub fn url_of_origin(dir: &Path, environment: &Environment) -> Option<String> {
    let mut git = Program::git(environment);
    git.args(["config", "--get", "remote.origin.url"]).current_dir(dir);
    let output = git.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn ask(root: &Path, which: &[&str], environment: &Environment) -> Option<Vec<RelPath>> {
    let mut git = Program::git(environment);
    // A file that is lacking is no reason to fetch it.
    git.env("GIT_NO_LAZY_FETCH", "1").args(["ls-files", "-z"]).args(which).current_dir(root);
    let output = git.output().ok().filter(|output| output.status.success())?;
    let paths = output.stdout.split(|byte| *byte == 0);
    Some(paths.filter_map(|path| RelPath::parse(path).ok()).collect())
}
