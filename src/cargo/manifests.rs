//! The manifests of a workspace, for repos that have no lock file and for dependencies.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ignore::{DirEntry, WalkBuilder};

use super::error::Result;
use super::workspace::{self, MANIFEST};
use crate::fs::At;
use crate::fs::regular::{open, read_to_string};
use crate::model::digest::{Digest, Hasher};

/// The digest of each file, by its path below the searched directory.
pub(super) type Digests = BTreeMap<Vec<u8>, Digest>;

/// The kinds of files that decide what is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// Every `Cargo.toml`.
    Manifests,
    /// Every `Cargo.toml`, and every `.cargo/config.toml`, which counts only where cargo runs.
    ManifestsAndConfig,
}

/// Returns the digests of the manifests of the workspace with the root `root` that `repo`, both canonical, belongs to.
/// Leaves out git-ignored files, other repos and cargo's output.
///
/// If the root lies in another checkout than `repo`, its manifest counts, and its other members do not.
pub(super) fn collect(repo: &Path, root: &Path, which: Which) -> Result<Digests> {
    let same_checkout = workspace::checkout(repo).is_none_or(|top| root.starts_with(top));
    let base = if same_checkout && repo.starts_with(root) { root } else { repo };
    let mut digests = Digests::new();
    if base != root {
        let manifest = root.join(MANIFEST);
        digests.insert(b"workspace root/Cargo.toml".to_vec(), digest_of(&manifest)?);
    }
    let mut walk = WalkBuilder::new(base);
    // Only files of the checkout decide, not the preferences of this machine's user. A `.gitignore` counts up to the
    // top of the checkout; outside of one, up to `base`.
    let in_checkout = workspace::checkout(base).is_some();
    walk.hidden(false).ignore(false).git_global(false);
    walk.parents(in_checkout).require_git(in_checkout);
    walk.filter_entry(|entry| entry.depth() == 0 || !is_foreign(entry));
    for entry in walk.build().filter(|entry| !is_shut(entry)) {
        let entry = entry.map_err(io::Error::other).at("list", base)?;
        let path = entry.path();
        if is_wanted(path, which) && path.is_file() {
            let below = path.strip_prefix(base).unwrap_or(path);
            digests.insert(below.as_os_str().as_bytes().to_vec(), digest_of(path)?);
        }
    }
    Ok(digests)
}

/// Tells whether a walk failed on a directory that is gone by now, or that it may not read: cargo cannot read it
/// either.
pub(super) fn is_shut<T>(found: &std::result::Result<T, ignore::Error>) -> bool {
    let Err(error) = found else { return false };
    let kind = error.io_error().map(io::Error::kind);
    let is_refused = matches!(kind, Some(ErrorKind::NotFound | ErrorKind::PermissionDenied));
    is_refused && error.depth().is_some_and(|depth| depth > 0)
}

/// Adds each digest to `components`, under `prefix` and its path.
pub(super) fn list(prefix: &str, digests: &Digests, components: &mut BTreeMap<String, String>) {
    for (path, digest) in digests {
        let name = format!("{prefix}{}", String::from_utf8_lossy(path));
        components.insert(name, digest.to_string());
    }
}

/// Returns one digest of all paths and their digests.
pub(super) fn digest_of_list(digests: &Digests) -> Digest {
    let mut hasher = Hasher::default();
    for (path, digest) in digests {
        hasher.field(path);
        hasher.field(digest.to_string().as_bytes());
    }
    hasher.finish()
}

/// Returns the digest of the content of the file at `path`.
pub(super) fn digest_of(path: &Path) -> Result<Digest> {
    let mut hasher = Hasher::default();
    let copied = open(path).and_then(|mut file| io::copy(&mut file, &mut hasher));
    copied.at("read", path)?;
    Ok(hasher.finish())
}

/// Tells whether the directory `path` holds only files that can be made again (Cache Directory Tagging Specification);
/// cargo tags target directories and directories of its home so.
pub(super) fn is_cache(path: &Path) -> bool {
    path.join("CACHEDIR.TAG").is_file()
}

fn is_wanted(path: &Path, which: Which) -> bool {
    let is_manifest = path.file_name().is_some_and(|name| name == MANIFEST);
    let is_config = path.ends_with(".cargo/config.toml") || path.ends_with(".cargo/config");
    is_manifest || which == Which::ManifestsAndConfig && is_config
}

/// Tells whether a directory holds no file of this repo: git's own, cargo's output, another repo.
fn is_foreign(entry: &DirEntry) -> bool {
    let path = entry.path();
    if !entry.file_type().is_some_and(|kind| kind.is_dir()) {
        return false;
    }
    entry.file_name() == ".git" || is_cache(path) || is_target(path) || is_other_repo(path)
}

/// Tells a target directory that lost its tag from a package or module named `target`.
fn is_target(path: &Path) -> bool {
    let beside_manifest = path.parent().is_some_and(|dir| dir.join(MANIFEST).is_file());
    path.ends_with("target") && beside_manifest && !path.join(MANIFEST).exists()
}

/// Tells another checkout that lies inside this one from a submodule, which is part of it: the
/// `.git` of a submodule is a file that names a directory below `modules/` (gitsubmodules(7)).
pub fn is_other_repo(path: &Path) -> bool {
    let git = path.join(".git");
    let Ok(facts) = git.symlink_metadata() else { return false };
    let names_modules = || read_to_string(&git).is_ok_and(|text| text.contains("/modules/"));
    !(facts.is_file() && names_modules())
}

#[cfg(test)]
mod tests {
    use super::super::testing::write;
    use super::*;

    type TestResult = std::result::Result<(), Box<dyn std::error::Error>>;

    fn names(digests: &Digests) -> Vec<String> {
        digests.keys().map(|path| String::from_utf8_lossy(path).into_owned()).collect()
    }

    #[test]
    fn every_manifest_of_this_repo_counts_and_no_other_does() -> TestResult {
        let dir = tempfile::tempdir()?;
        let tag = "Signature: 8a477f597d28d172789f06886806bc55\n";
        #[rustfmt::skip]
        let files = [
            ("Cargo.toml",                            "[workspace]"),
            (".git/HEAD",                             ""),
            (".git/x/Cargo.toml",                     "in git's own directory"),
            (".gitignore",                            "/ignored\n"),
            ("ignored/Cargo.toml",                    "git-ignored"),
            ("a/Cargo.toml",                          "a member"),
            ("a/.hidden/Cargo.toml",                  "hidden"),
            ("a/src/target/Cargo.toml",               "a package called target"),
            ("a/target/Cargo.toml.orig",              "no manifest"),
            ("target/package/a-0.1.0/Cargo.toml",     "cargo's output without its tag"),
            ("out/CACHEDIR.TAG",                      tag),
            ("out/package/a-0.1.0/Cargo.toml",        "cargo's output"),
            ("sibling/.git/HEAD",                     ""),
            ("sibling/Cargo.toml",                    "another checkout"),
            ("worktree/.git",                         "gitdir: /w/.git/worktrees/worktree\n"),
            ("worktree/Cargo.toml",                   "another checkout"),
            ("sub/.git",                              "gitdir: ../.git/modules/sub\n"),
            ("sub/Cargo.toml",                        "a submodule"),
            (".cargo/config.toml",                    "[build]"),
            ("a/.cargo/config",                       "[build]"),
            ("config.toml",                           "not cargo's"),
        ];
        write(dir.path(), &files)?;
        let mut want = [
            "Cargo.toml",
            "a/.hidden/Cargo.toml",
            "a/Cargo.toml",
            "a/src/target/Cargo.toml",
            "sub/Cargo.toml",
        ]
        .to_vec();
        assert_eq!(names(&collect(dir.path(), dir.path(), Which::Manifests)?), want);
        want.extend([".cargo/config.toml", "a/.cargo/config"]);
        want.sort_unstable();
        assert_eq!(names(&collect(dir.path(), dir.path(), Which::ManifestsAndConfig)?), want);
        Ok(())
    }

    #[test]
    fn a_member_counts_its_whole_workspace_but_not_other_checkouts() -> TestResult {
        let dir = tempfile::tempdir()?;
        #[rustfmt::skip]
        let files = [
            ("Cargo.toml", "[workspace]"), ("a/Cargo.toml", "a"), ("a/sub/Cargo.toml", "sub"),
            ("b/Cargo.toml", "b"),
        ];
        write(dir.path(), &files)?;
        let member = dir.path().join("a");
        let found = collect(&member, dir.path(), Which::Manifests)?;
        assert_eq!(
            names(&found),
            ["Cargo.toml", "a/Cargo.toml", "a/sub/Cargo.toml", "b/Cargo.toml"]
        );
        write(&member, &[(".git/HEAD", "")])?;
        let found = collect(&member, dir.path(), Which::Manifests)?;
        assert_eq!(names(&found), ["Cargo.toml", "sub/Cargo.toml", "workspace root/Cargo.toml"]);
        Ok(())
    }

    #[test]
    fn a_gitignore_above_a_checkout_means_nothing_in_it() -> TestResult {
        let dir = tempfile::tempdir()?;
        #[rustfmt::skip]
        let files = [
            (".gitignore", "Cargo.toml\n"), ("a/Cargo.toml", "a"), ("a/b/Cargo.toml", "b"),
        ];
        write(dir.path(), &files)?;
        let repo = dir.path().join("a");
        assert_eq!(
            names(&collect(&repo, &repo, Which::Manifests)?),
            ["Cargo.toml", "b/Cargo.toml"]
        );
        write(&repo, &[(".git/HEAD", "")])?;
        assert_eq!(
            names(&collect(&repo, &repo, Which::Manifests)?),
            ["Cargo.toml", "b/Cargo.toml"]
        );
        Ok(())
    }
}
