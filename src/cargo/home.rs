//! Selects the parts of a `CARGO_HOME` that a set of lock files names; many repos share a `CARGO_HOME`.
//!
//! # Layout
//!
//! ```text
//! registry/index/<registry>/…                       what a registry has
//! registry/cache/<registry>/<name>-<version>.crate  downloads
//! registry/src/<registry>/<name>-<version>/…        the same, extracted
//! git/db/<repo>-<hash>[-shallow]/…                  bare repositories
//! git/checkouts/<repo>-<hash>[-shallow]/<rev>/…     one work tree a locked revision
//! ```
//!
//! `<rev>` is the revision as git abbreviates it, and `<repo>` the last segment of the URL. Cargo does not document the
//! hashes, so two repositories of one name count as the same: we may keep a little too much and never too little.
//! Registries are told apart by their hosts.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::Path;

use super::checksums::Checksums;
use super::home_paths::without_hash;
pub use super::home_paths::{CrateOf, RegistryPart, registry_part};
use super::lock_file::Package;
use super::registries::Registries;
use crate::model::area::Area;
use crate::model::rel_path::RelPath;

/// A directory of `CARGO_HOME` that we keep parts of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shared {
    /// `registry/`.
    Registry,
    /// `git/`.
    Git,
}

impl Shared {
    /// Returns the part of `CARGO_HOME` that an area is, if it is one.
    pub fn of(area: &Area) -> Option<Self> {
        match area {
            Area::Registry => Some(Self::Registry),
            Area::Git => Some(Self::Git),
            _ => None,
        }
    }
}

/// Tells whether cargo marks a directory of this kind with `.cargo-ok` when it is whole: crates
/// and checkouts, not databases.
pub fn needs_mark(top: &RelPath) -> bool {
    matches!(top.components().next(), Some(b"src" | b"checkouts"))
}

/// The prefix of every file and directory that we stage in a `CARGO_HOME`.
pub const STAGED_PREFIX: &str = ".runner-cache-";

/// The parts of a `CARGO_HOME` that a set of lock files names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockedParts {
    /// The registry packages.
    crates: Checksums,
    /// The name of each git repository, with the locked revisions in full.
    revisions: BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>>,
}

impl LockedParts {
    /// Returns an empty set, for the given registries.
    pub fn new(registries: Registries) -> Self {
        Self { crates: Checksums::new(registries), revisions: BTreeMap::new() }
    }

    /// Adds the `packages` of a lock file. Lock files added before it take precedence for a crate.
    #[must_use]
    pub fn and<'a>(mut self, packages: impl IntoIterator<Item = &'a Package>) -> Self {
        for package in packages {
            let Some(source) = &package.source else { continue };
            if let Some(url) = source.strip_prefix("git+") {
                let (url, rev) = url.rsplit_once('#').unwrap_or((url, ""));
                let revisions = self.revisions.entry(repo_name(url).into_bytes()).or_default();
                revisions.insert(rev.as_bytes().to_vec());
            } else {
                self.crates.add(package, source);
            }
        }
        self
    }

    /// Tells whether the lock files name any crate of a registry.
    pub fn has_crates(&self) -> bool {
        !self.crates.is_empty()
    }

    /// Returns the digests that the lock files name for crates.
    pub fn checksums(&self) -> &Checksums {
        &self.crates
    }

    /// Returns the locked revisions, in full, that the checkout directory `short` of `repository` may hold.
    pub fn revisions<'a>(
        &'a self,
        repository: &[u8],
        short: &'a [u8],
    ) -> impl Iterator<Item = &'a [u8]> {
        let revisions = self.revisions_of(repository).into_iter().flatten();
        revisions.map(Vec::as_slice).filter(move |full| abbreviates(short, full))
    }

    /// Tells whether the lock files name any git repository.
    pub fn has_repositories(&self) -> bool {
        !self.revisions.is_empty()
    }

    /// Tells whether the lock files name the file or directory at `path` below `shared`.
    ///
    /// Our own staged files are never wanted. The path does not tell whether an extraction is complete: the caller
    /// looks at its `.cargo-ok`.
    pub fn wants(&self, shared: Shared, path: &RelPath) -> bool {
        if path.components().any(|name| name.starts_with(STAGED_PREFIX.as_bytes())) {
            return false;
        }
        let mut components = path.components();
        let mut next = || components.next();
        match (shared, next(), next(), next()) {
            (_, Some(b"CACHEDIR.TAG"), None, _) | (Shared::Registry, Some(b"index"), ..) => true,
            (Shared::Registry, Some(b"cache"), _, Some(file)) => {
                let name = file.strip_suffix(b".crate");
                name.is_some_and(|name| self.crates.names(name)) && next().is_none()
            }
            (Shared::Registry, Some(b"src"), _, Some(name)) => self.crates.names(name),
            (Shared::Git, Some(b"db"), Some(dir), _) => self.revisions_of(dir).is_some(),
            (Shared::Git, Some(b"checkouts"), Some(dir), Some(rev)) => {
                let revisions = self.revisions_of(dir);
                revisions.is_some_and(|full| full.iter().any(|full| abbreviates(rev, full)))
            }
            _ => false,
        }
    }

    /// Tells whether the directory at `path` below `shared` is wanted or may hold a wanted path; a walk can skip any
    /// other directory.
    pub fn may_hold(&self, shared: Shared, path: &RelPath) -> bool {
        let mut components = path.components();
        let mut next = || components.next();
        match (shared, next(), next(), next()) {
            (Shared::Registry, Some(b"cache" | b"src"), registry, None) => {
                !registry.is_some_and(|name| name.starts_with(STAGED_PREFIX.as_bytes()))
            }
            (Shared::Git, Some(b"db" | b"checkouts"), None, _) => true,
            (Shared::Git, Some(b"checkouts"), Some(dir), None) => self.revisions_of(dir).is_some(),
            _ => self.wants(shared, path),
        }
    }

    /// Tells whether `path` below `shared` is a directory on cargo's way to a path that the lock files name. A symlink
    /// there would lead cargo elsewhere.
    pub fn is_way(&self, shared: Shared, path: &RelPath) -> bool {
        let mut components = path.components();
        let mut next = || components.next();
        let is_needed = match shared {
            Shared::Registry => self.has_crates(),
            Shared::Git => self.has_repositories(),
        };
        is_needed
            && match (shared, next(), next(), next()) {
                (Shared::Registry, Some(b"index" | b"cache" | b"src"), None, _)
                | (Shared::Registry, Some(b"index"), Some(_), None)
                | (Shared::Git, Some(b"db" | b"checkouts"), None, _) => true,
                (Shared::Registry, Some(b"cache" | b"src"), Some(registry), None) => {
                    self.crates.have_registry(registry)
                }
                (Shared::Git, Some(b"checkouts"), Some(dir), None) => {
                    self.revisions_of(dir).is_some()
                }
                _ => false,
            }
    }

    /// Returns the locked revisions of the repository with the directory name `<repo>-<hash>[-shallow]`.
    fn revisions_of(&self, dir: &[u8]) -> Option<&BTreeSet<Vec<u8>>> {
        self.revisions.get(without_hash(dir)?)
    }
}

/// Returns the directory that must appear together with `path`: it is moved into a `CARGO_HOME` whole, by one rename,
/// because cargo trusts any part of it that is there. `None` for single files (`.crate` files, the index).
pub fn unit(shared: Shared, path: &RelPath) -> Option<RelPath> {
    let first = path.components().next();
    let depth = match (shared, first) {
        (Shared::Registry, Some(b"src")) | (Shared::Git, Some(b"checkouts")) => 3,
        (Shared::Git, Some(b"db")) => 2,
        _ => return None,
    };
    let components: Vec<_> = path.components().take(depth).collect();
    if components.len() < depth {
        return None;
    }
    RelPath::parse(&components.join(&b'/')).ok()
}

/// Returns the name that cargo gives the directories of the repository at `url`: the last
/// segment of the path, without query, trailing slash and `.git`, lowercase on GitHub
/// (`CanonicalUrl` and `ident` in cargo's sources).
fn repo_name(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or(url);
    let (host, path) =
        url.split_once("://").and_then(|(_, rest)| rest.split_once('/')).unwrap_or_default();
    let path = path.strip_suffix('/').unwrap_or(path);
    let last = path.rsplit('/').next().unwrap_or(path);
    let is_github = host.rsplit('@').next() == Some("github.com");
    let last = if is_github { last.to_ascii_lowercase() } else { last.to_owned() };
    let name = last.strip_suffix(".git").unwrap_or(&last);
    if name.is_empty() { "_empty".to_owned() } else { name.to_owned() }
}

/// Tells whether git may have abbreviated the revision `full` to `short`. Git's shortest
/// abbreviation has 4 digits (git-config(1), `core.abbrev`).
fn abbreviates(short: &[u8], full: &[u8]) -> bool {
    short.len() >= 4 && full.starts_with(short)
}

/// Returns the version of a package from its path below `CARGO_HOME`: `registry/src/<registry>/<name>-<version>`, or
/// the abbreviated commit in `git/checkouts/<repository>/<commit>`.
pub fn version_in(below: &Path, name: &str) -> Option<String> {
    let names: Vec<_> = below.iter().map(OsStr::to_str).collect::<Option<_>>()?;
    match names[..] {
        ["registry", "src", _, package, ..] => {
            Some(package.strip_prefix(name)?.strip_prefix('-')?.to_owned())
        }
        ["git", "checkouts", _, commit, ..] => Some(commit.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type TestResult = std::result::Result<(), Box<dyn std::error::Error>>;

    const REV: &str = "1c410579f55b816fbf8da3a9a3f6acb4986ec341";

    fn package(name: &str, version: &str, source: Option<&str>) -> Package {
        Package {
            name: name.to_owned(),
            version: version.to_owned(),
            source: source.map(str::to_owned),
            checksum: None,
        }
    }

    fn wanted() -> LockedParts {
        let crates_io = Some("registry+https://github.com/rust-lang/crates.io-index");
        let git = format!("git+https://github.com/Some/My-Lib.git?branch=a/b#{REV}");
        LockedParts::default().and(&[
            package("foo", "1.0.0", crates_io),
            package("wasi", "0.11.0+wasi-snapshot", Some("sparse+https://example.com/index/")),
            package("app", "0.1.0", None),
            package("my-lib", "0.2.0", Some(&git)),
        ])
    }

    #[test]
    fn only_parts_that_the_lock_files_name_are_wanted() -> TestResult {
        use Shared::{Git, Registry};
        #[rustfmt::skip]
        let cases = [
            //why                      shared    path                                                   wanted  may hold
            ("tag",                    Registry, "CACHEDIR.TAG",                                         true,  true),
            ("tag of git",             Git,      "CACHEDIR.TAG",                                         true,  true),
            ("index",                  Registry, "index",                                                true,  true),
            ("in the index",           Registry, "index/x-1/.cache/fo/o-/foo",                           true,  true),
            ("downloads",              Registry, "cache",                                                false, true),
            ("downloads of a registry", Registry, "cache/x-1",                                           false, true),
            ("download",               Registry, "cache/x-1/foo-1.0.0.crate",                            true,  true),
            ("another version",        Registry, "cache/x-1/foo-1.0.crate",                              false, false),
            ("a longer version",       Registry, "cache/x-1/foo-1.0.0-rc.1.crate",                       false, false),
            ("a longer name",          Registry, "cache/x-1/a-foo-1.0.0.crate",                          false, false),
            ("no crate",               Registry, "cache/x-1/foo-1.0.0",                                  false, false),
            ("in a download",          Registry, "cache/x-1/foo-1.0.0.crate/x",                          false, false),
            ("build metadata",         Registry, "cache/x-1/wasi-0.11.0+wasi-snapshot.crate",            true,  true),
            ("a path package",         Registry, "cache/x-1/app-0.1.0.crate",                            false, false),
            ("sources of a registry",  Registry, "src/x-1",                                              false, true),
            ("sources",                Registry, "src/x-1/foo-1.0.0",                                    true,  true),
            ("a source",               Registry, "src/x-1/foo-1.0.0/src/lib.rs",                         true,  true),
            ("a file named so",        Registry, "src/x-1/bar-1.0.0/foo-1.0.0",                          false, false),
            ("sources, other version", Registry, "src/x-1/foo-1.0",                                      false, false),
            ("staged",                 Registry, "src/x-1/.runner-cache-1/foo-1.0.0",                    false, false),
            ("staged above",           Registry, ".runner-cache-1/src",                                  false, false),
            ("staged beside",          Registry, "src/.runner-cache-1",                                  false, false),
            ("staged in the index",    Registry, "index/.runner-cache-1/x",                              false, false),
            ("elsewhere",              Registry, "other/foo-1.0.0",                                      false, false),
            ("databases",              Git,      "db",                                                   false, true),
            ("database",               Git,      "db/my-lib-b78f27bb2c0dbf34",                           true,  true),
            ("in a database",          Git,      "db/my-lib-b78f27bb2c0dbf34/objects/pack/x.pack",       true,  true),
            ("shallow database",       Git,      "db/my-lib-b78f27bb2c0dbf34-shallow/HEAD",              true,  true),
            ("another repository",     Git,      "db/my-lib-2-b78f27bb2c0dbf34",                         false, false),
            ("its prefix",             Git,      "db/my-b78f27bb2c0dbf34",                               false, false),
            ("no hash",                Git,      "db/my-lib-b78f27bb2c0dbf3x",                           false, false),
            ("no name",                Git,      "db/b78f27bb",                                          false, false),
            ("checkouts",              Git,      "checkouts/my-lib-b78f27bb2c0dbf34",                    false, true),
            ("checkout",               Git,      "checkouts/my-lib-b78f27bb2c0dbf34/1c41057",            true,  true),
            ("in a checkout",          Git,      "checkouts/my-lib-b78f27bb2c0dbf34/1c410579f/a/b.rs",   true,  true),
            ("another revision",       Git,      "checkouts/my-lib-b78f27bb2c0dbf34/1c41058/a.rs",       false, false),
            ("more than a revision",   Git,      "checkouts/my-lib-b78f27bb2c0dbf34/1c41057x",           false, false),
            ("staged checkout",        Git,      "checkouts/my-lib-b78f27bb2c0dbf34/.runner-cache-1",    false, false),
            ("checkout of another",    Git,      "checkouts/other-b78f27bb2c0dbf34/1c41057",             false, false),
        ];
        let wanted = wanted();
        for (why, shared, path, wants, may_hold) in cases {
            let path = RelPath::parse(path.as_bytes())?;
            assert_eq!(wanted.wants(shared, &path), wants, "wants {why}: {path}");
            assert_eq!(wanted.may_hold(shared, &path), may_hold, "may hold {why}: {path}");
        }
        Ok(())
    }

    #[test]
    fn a_walk_that_prunes_misses_nothing() -> TestResult {
        let wanted = wanted();
        for (shared, text) in [
            (Shared::Registry, "cache/x-1/foo-1.0.0.crate"),
            (Shared::Registry, "src/x-1/wasi-0.11.0+wasi-snapshot/src/lib.rs"),
            (Shared::Registry, "index/x-1/a/b"),
            (Shared::Git, "checkouts/my-lib-b78f27bb2c0dbf34/1c41057/.cargo-ok"),
            (Shared::Git, "db/my-lib-b78f27bb2c0dbf34/HEAD"),
        ] {
            let mut path = RelPath::parse(text.as_bytes())?;
            assert!(wanted.wants(shared, &path), "{path}");
            while let Some(parent) = path.parent() {
                assert!(wanted.may_hold(shared, &parent), "{parent} of {text}");
                path = parent;
            }
        }
        Ok(())
    }

    #[test]
    fn everything_that_cargo_fetches_from_git_is_wanted() -> TestResult {
        use super::super::lock_file::LockFile;
        use super::super::testing::{environment, git, write};
        let dir = tempfile::tempdir()?;
        let manifest = |name| format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\n");
        let lib = dir.path().join("My.Lib-0.git");
        write(&lib, &[("Cargo.toml", &manifest("lib")), ("src/lib.rs", "")])?;
        for args in [&["init", "-q"][..], &["add", "."], &["commit", "-qm", "a"]] {
            git(&lib, args)?;
        }
        let dependency = format!("[dependencies]\nlib.git = \"file://{}\"\n", lib.display());
        let app = dir.path().join("app");
        let manifest = manifest("app") + &dependency;
        write(&app, &[("Cargo.toml", &manifest), ("src/lib.rs", "")])?;
        let home = dir.path().join("home");
        let mut cargo = std::process::Command::new("cargo");
        cargo.args(["fetch", "-q"]).env_clear().envs(environment(&home).iter()).current_dir(&app);
        assert!(cargo.status()?.success());

        let lock = app.join("Cargo.lock");
        let lock_file = LockFile::parse(&std::fs::read_to_string(&lock)?, &lock)?;
        let wanted = LockedParts::default().and(&lock_file.packages);
        let mut files = 0;
        for entry in ignore::WalkBuilder::new(home.join("git")).standard_filters(false).build() {
            let entry = entry?;
            let below = entry.path().strip_prefix(home.join("git"))?;
            let Ok(path) = RelPath::parse(below.as_os_str().as_encoded_bytes()) else { continue };
            if entry.file_type().is_some_and(|kind| kind.is_dir()) {
                assert!(wanted.may_hold(Shared::Git, &path), "{path}");
            } else {
                files += 1;
                assert!(wanted.wants(Shared::Git, &path), "{path}");
                assert!(
                    !LockedParts::default().wants(Shared::Git, &path)
                        || path.file_name() == b"CACHEDIR.TAG",
                    "{path}"
                );
            }
        }
        assert!(files > 10, "cargo fetched {files} files");
        Ok(())
    }

    #[test]
    fn entries_that_appear_by_one_rename_are_one_unit() -> TestResult {
        use Shared::{Git, Registry};
        #[rustfmt::skip]
        let cases = [
            (Registry, "src/x-1/foo-1.0.0/src/lib.rs", Some("src/x-1/foo-1.0.0")),
            (Registry, "src/x-1/foo-1.0.0",            Some("src/x-1/foo-1.0.0")),
            (Registry, "src/x-1",                      None),
            (Registry, "cache/x-1/foo-1.0.0.crate",    None),
            (Registry, "index/x-1/.cache/fo/o-/foo",   None),
            (Registry, "CACHEDIR.TAG",                 None),
            (Git,      "db/lib-1/objects/pack",        Some("db/lib-1")),
            (Git,      "db/lib-1",                     Some("db/lib-1")),
            (Git,      "db",                           None),
            (Git,      "checkouts/lib-1",              None),
            (Git,      "checkouts/lib-1/1c41057/a",    Some("checkouts/lib-1/1c41057")),
        ];
        for (shared, path, want) in cases {
            let found = unit(shared, &RelPath::parse(path.as_bytes())?);
            assert_eq!(found.map(|unit| unit.to_string()).as_deref(), want, "{path}");
        }
        Ok(())
    }

    #[test]
    fn a_repository_is_called_what_cargo_calls_it() {
        #[rustfmt::skip]
        let cases = [
            ("plain",              "https://example.com/a/Lib",               "Lib"),
            ("ending",             "https://example.com/a/Lib.git",           "Lib"),
            ("slash",              "https://example.com/a/lib/",              "lib"),
            ("query",              "https://example.com/a/lib?rev=x/y",       "lib"),
            ("GitHub is lowercase", "https://github.com/Some/Lib.git",        "lib"),
            ("GitHub by ssh",      "ssh://git@github.com/Some/Lib.git",       "lib"),
            ("file",               "file:///tmp/My.Lib.git",                  "My.Lib"),
            ("escaped",            "file:///tmp/my%20lib",                    "my%20lib"),
            ("dots",               "https://example.com/a/lib.rs",            "lib.rs"),
            ("no path",            "https://example.com",                     "_empty"),
        ];
        for (why, url, want) in cases {
            assert_eq!(repo_name(url), want, "{why}");
        }
    }

    #[test]
    fn the_version_of_a_package_is_in_the_name_of_its_directory() {
        #[rustfmt::skip]
        let cases = [
            ("registry/src/index.crates.io-1949cf8c6b5b557f/serde-1.0.219",     "serde",   Some("1.0.219")),
            ("registry/src/x-1/proc-macro2-1.0.0+b-1/src",                      "proc-macro2", Some("1.0.0+b-1")),
            ("git/checkouts/blvm-1234567890abcdef/1a2b3c4/crates/node",         "node",    Some("1a2b3c4")),
            ("registry/src/x-1/serde_json-1.0.0",                               "serde",   None),
            ("registry/src/x-1",                                                "serde",   None),
            ("checkouts/a/b/c",                                                 "serde",   None),
        ];
        for (below, name, want) in cases {
            assert_eq!(version_in(Path::new(below), name).as_deref(), want, "{below}");
        }
    }
}
