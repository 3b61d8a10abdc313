//! The key of a repo, which identifies the content that the repo wants.

use std::collections::BTreeMap;
use std::path::Path;

pub use super::basis::Basis;
use super::environment::{code_generation, set_to_nothing};
use super::error::{Error, Result};
use super::manifests::{self, Which};
use super::memory::Memory;
use super::toolchain::Toolchain;
use super::{basis, extra_inputs, workspace};
use crate::model::digest::{Digest, Hasher};
use crate::model::environment::Environment;
use crate::model::names::Name;

/// The user's additions to the key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyOptions {
    /// Globs of files relative to the repo (`extra-inputs`).
    pub extra_inputs: Vec<String>,
    /// Names of variables, or prefixes that end in `*` (`env-vars`).
    pub env_vars: Vec<String>,
}

/// A reason why a key may be another one than it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// Nobody could ask the compiler which one it is, for this reason: only the toolchain file is part of the key.
    NoToolchain(String),
    /// A variable that changes what compilers produce is set to nothing. It counts as unset.
    EmptyVariable(String),
}

/// The key of a repo, with everything that went into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepoKey {
    /// `<deps>-<toolchain>[-<environment>]`.
    pub key: Name,
    /// The digest of the build's inputs: that of the lock file itself if there are no extra inputs.
    pub deps: Digest,
    /// The digest of the compiler.
    pub toolchain: Digest,
    /// The digest of the variables that change code, if any is set.
    pub environment: Option<Digest>,
    /// The files that `deps` was made from.
    pub basis: Basis,
    /// Everything that went in, by name, as [`super::explain::changes`] compares it.
    pub components: BTreeMap<String, String>,
    /// Why it may be another one than it should be.
    pub doubts: Vec<Doubt>,
}

/// Returns the key of the repo in the directory `repo`.
///
/// The lock file is that of the workspace that the repo belongs to. Whether git tracks it changes the messages, not the
/// key. Without any input this is an error, never the hash of nothing.
pub fn repo_key(repo: &Path, environment: &Environment, options: &KeyOptions) -> Result<RepoKey> {
    let repo = workspace::open_repo(repo)?;
    let toolchain = Toolchain::of(&repo, environment, &Memory::default())?;
    key_with(&repo, environment, options, &toolchain)
}

/// Returns the key of the repo in the directory `repo`, a canonical path, built by `toolchain`.
pub fn key_with(
    repo: &Path,
    environment: &Environment,
    options: &KeyOptions,
    toolchain: &Toolchain,
) -> Result<RepoKey> {
    let mut components = BTreeMap::new();
    let (basis, lock_or_manifests) = basis::of(repo, environment, &mut components)?;
    let extra = extra_inputs::collect(repo, &options.extra_inputs)?;
    manifests::list("extra:", &extra, &mut components);
    let deps = if extra.is_empty() {
        lock_or_manifests
    } else {
        let mut hasher = Hasher::default();
        hasher.field(lock_or_manifests.to_string().as_bytes());
        hasher.field(manifests::digest_of_list(&extra).to_string().as_bytes());
        hasher.finish()
    };

    if let Some(version) = &toolchain.verbose_version {
        components.insert("rustc".to_owned(), version.clone());
    }
    if let Some(content) = toolchain.deciding_file() {
        let content = String::from_utf8_lossy(content).into_owned();
        components.insert("toolchain-file".to_owned(), content);
    }

    let variables = code_generation(environment, &options.env_vars);
    let environment_digest = (!variables.is_empty()).then(|| digest_of_variables(&variables));
    let variables = variables.into_iter().map(|(name, value)| (format!("env:{name}"), value));
    components.extend(variables);

    let to_nothing = set_to_nothing(environment);
    let to_nothing = to_nothing.map(|name| Doubt::EmptyVariable(name.to_owned()));
    let unknown = toolchain.unknown.clone().map(Doubt::NoToolchain);
    let doubts = unknown.into_iter().chain(to_nothing).collect();
    let toolchain = toolchain.digest();
    let key = name(deps, toolchain, environment_digest);
    Ok(RepoKey { key, deps, toolchain, environment: environment_digest, basis, components, doubts })
}

/// Returns the digest of the manifests of the dependency in the directory `repo`. They decide how it is built in
/// another workspace.
pub fn manifests_digest(repo: &Path, environment: &Environment) -> Result<Digest> {
    let repo = workspace::open_repo(repo)?;
    let root = basis::root(&repo, environment)?;
    match manifests::collect(&repo, &root, Which::Manifests)? {
        none if none.is_empty() => Err(Error::NoInputs(repo)),
        manifests => Ok(manifests::digest_of_list(&manifests)),
    }
}

impl RepoKey {
    /// Returns the key of the `target` series for a job that uses `key`, its own or a given one: it covers the
    /// dependencies' manifests too. Without dependencies it is `key`.
    pub fn with_dependencies(&self, key: &Name, manifests: &BTreeMap<Name, Digest>) -> Name {
        if manifests.is_empty() {
            return key.clone();
        }
        let mut hasher = Hasher::default();
        hasher.field(key.as_str().as_bytes());
        for (dependency, digest) in manifests {
            hasher.field(dependency.as_str().as_bytes());
            hasher.field(digest.to_string().as_bytes());
        }
        name(hasher.finish(), self.toolchain, self.environment)
    }
}

fn name(deps: Digest, toolchain: Digest, environment: Option<Digest>) -> Name {
    let name = match environment {
        Some(environment) => format!("{deps}-{toolchain}-{environment}"),
        None => format!("{deps}-{toolchain}"),
    };
    name.parse().expect("three digests and two dashes are 194 characters that a name may have")
}

fn digest_of_variables(variables: &BTreeMap<String, String>) -> Digest {
    let mut hasher = Hasher::default();
    for (name, value) in variables {
        hasher.field(name.as_bytes());
        hasher.field(value.as_bytes());
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::explain::changes;
    use super::super::testing::{environment, git, write};
    use super::*;

    type TestResult = std::result::Result<(), Box<dyn std::error::Error>>;

    const MANIFEST: &str = "[package]\nname = \"app\"\nversion = \"0.1.0\"\n";
    const LOCK: &str = "version = 4\n\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\n";

    fn key(repo: &Path) -> Result<RepoKey> {
        repo_key(repo, &environment(Path::new("/nowhere/cargo")), &KeyOptions::default())
    }

    #[test]
    fn a_lock_file_identifies_the_dependencies_else_the_manifests_do() -> TestResult {
        let dir = tempfile::tempdir()?;
        let root = dir.path().canonicalize()?;
        write(&root, &[("Cargo.toml", MANIFEST), (".cargo/config.toml", "[build]\n")])?;
        let manifests = key(&root)?;
        assert_eq!(manifests.basis, Basis::Manifests(2));

        write(&root, &[("Cargo.lock", LOCK)])?;
        let outside_git = key(&root)?;
        assert_eq!(outside_git.basis, Basis::GeneratedLock(root.join("Cargo.lock")));
        git(&root, &["init", "-q"])?;
        assert_eq!(key(&root)?, outside_git);

        git(&root, &["add", "."])?;
        let tracked = key(&root)?;
        assert_eq!(tracked.basis, Basis::TrackedLock(root.join("Cargo.lock")));
        assert_eq!(tracked.deps, Digest::of(LOCK.as_bytes()));
        assert_eq!(tracked.key, outside_git.key);
        assert_ne!(tracked.key, manifests.key);

        let without_git = environment(Path::new("/nowhere/cargo"));
        let rustc = which(&without_git, "rustc")?;
        let without_git = without_git.with("RUSTC", rustc).with("PATH", "/nowhere");
        let without_git = repo_key(&root, &without_git, &KeyOptions::default())?;
        assert_eq!(without_git.basis, Basis::GeneratedLock(root.join("Cargo.lock")));
        Ok(())
    }

    fn which(environment: &Environment, program: &str) -> std::result::Result<PathBuf, String> {
        let path = environment.get("PATH").unwrap_or_default();
        let found =
            std::env::split_paths(path).map(|dir| dir.join(program)).find(|path| path.exists());
        found.ok_or_else(|| format!("no {program} in PATH"))
    }

    #[test]
    fn a_git_hooks_variables_do_not_answer_for_another_repository() -> TestResult {
        let dir = tempfile::tempdir()?;
        let [repo, other] = ["repo", "other"].map(|name| dir.path().join(name));
        for root in [&repo, &other] {
            write(root, &[("Cargo.toml", MANIFEST), ("Cargo.lock", LOCK)])?;
            git(root, &["init", "-q"])?;
        }
        git(&repo, &["add", "."])?;
        let environment = environment(&dir.path().join("home"))
            .with("GIT_DIR", other.join(".git"))
            .with("GIT_WORK_TREE", &other)
            .with("GIT_INDEX_FILE", other.join(".git/index"));
        let basis = repo_key(&repo, &environment, &KeyOptions::default())?.basis;
        assert_eq!(basis, Basis::TrackedLock(repo.canonicalize()?.join("Cargo.lock")));
        Ok(())
    }

    #[test]
    fn a_member_has_the_lock_file_of_its_workspace() -> TestResult {
        let dir = tempfile::tempdir()?;
        let root = dir.path().canonicalize()?;
        #[rustfmt::skip]
        let files = [
            ("Cargo.toml", "workspace.members = [\"a\"]\n"), ("Cargo.lock", LOCK),
            ("a/Cargo.toml", MANIFEST), ("a/Cargo.lock", "version = 3\n"),
        ];
        write(&root, &files)?;
        let member = key(&root.join("a"))?;
        assert_eq!(member.basis, Basis::GeneratedLock(root.join("Cargo.lock")));
        assert_eq!(member.key, key(&root)?.key);
        Ok(())
    }

    #[test]
    fn two_repos_with_nothing_to_go_by_get_an_error_and_no_key() -> TestResult {
        let dir = tempfile::tempdir()?;
        let (empty, config) = (dir.path().join("empty"), dir.path().join("config"));
        std::fs::create_dir(&empty)?;
        write(&config, &[(".cargo/config.toml", "[build]\n"), ("src/main.rs", "")])?;
        for repo in [&empty, &config] {
            let want = format!(
                "no `Cargo.lock` and no `Cargo.toml` in `{}`",
                repo.canonicalize()?.display()
            );
            assert_eq!(key(repo).map_err(|error| error.to_string()), Err(want.clone()));
            let environment = environment(dir.path());
            let digest = manifests_digest(repo, &environment).map_err(|error| error.to_string());
            assert_eq!(digest, Err(want));
        }
        let missing = dir.path().join("missing");
        let want = format!("`{}` is not a directory", missing.display());
        assert_eq!(key(&missing).map_err(|error| error.to_string()), Err(want.clone()));
        let file = dir.path().join("missing");
        std::fs::write(&file, "")?;
        assert_eq!(key(&file).map_err(|error| error.to_string()), Err(want));
        Ok(())
    }

    #[test]
    fn a_repo_without_a_manifest_at_its_top_counts_those_below() -> TestResult {
        let dir = tempfile::tempdir()?;
        let repo = dir.path().join("repo");
        #[rustfmt::skip]
        let files = [
            ("Cargo.toml", "workspace.members = []\n"), ("Cargo.lock", LOCK),
            ("repo/.git/HEAD", ""), ("repo/rust/Cargo.toml", MANIFEST), ("repo/rust/x/Cargo.toml", MANIFEST),
        ];
        write(dir.path(), &files)?;
        let found = key(&repo)?;
        assert_eq!(found.basis, Basis::Manifests(2));
        Ok(())
    }

    #[test]
    fn the_key_changes_with_each_input_and_says_which() -> TestResult {
        let dir = tempfile::tempdir()?;
        write(dir.path(), &[("Cargo.toml", MANIFEST), ("Cargo.lock", LOCK), ("a.proto", "1")])?;
        let base = environment(&dir.path().join("home"));
        let options = |extra: &[&str], variables: &[&str]| KeyOptions {
            extra_inputs: extra.iter().map(ToString::to_string).collect(),
            env_vars: variables.iter().map(ToString::to_string).collect(),
        };
        let none = options(&[], &[]);
        let first = repo_key(dir.path(), &base, &none)?;
        assert_eq!(first.key.as_str(), format!("{}-{}", first.deps, first.toolchain));
        assert_eq!(first.doubts, []);

        let silent = base.clone().with("CARGO_TERM_COLOR", "always").with("CARGO_HOME", "/x");
        let flags = base.clone().with("RUSTFLAGS", "-g").with("BLVM_X", "1");
        let file = ("rust-toolchain.toml", "[toolchain]\n");
        write(dir.path(), &[file])?;
        let with_file = repo_key(dir.path(), &base, &none)?;
        std::fs::remove_file(dir.path().join(file.0))?;
        let key = |environment, extra: &[&str], variables: &[&str]| {
            repo_key(dir.path(), environment, &options(extra, variables))
        };
        #[rustfmt::skip]
        let cases = [
            ("same again",      key(&base, &[], &[])?,            &[][..]),
            ("silent variable", key(&silent, &[], &[])?,          &[][..]),
            ("flags",           key(&flags, &[], &[])?,           &["RUSTFLAGS: unset → -g"][..]),
            ("own variable",    key(&flags, &[], &["BLVM_*"])?,   &["BLVM_X: unset → 1", "RUSTFLAGS: unset → -g"][..]),
            ("extra input",     key(&base, &["*.proto"], &[])?,   &["extra input `a.proto` added"][..]),
            ("toolchain file",  with_file,                        &[][..]),
        ];
        for (why, key, want) in cases {
            assert_eq!(changes(&first.components, &key.components), want, "{why}");
            assert_eq!(key.key == first.key, want.is_empty(), "{why}");
            assert_eq!(key.environment.is_some(), key.key.as_str().len() == 194, "{why}");
        }

        let extra = options(&["*.proto"], &[]);
        let one = repo_key(dir.path(), &base, &extra)?;
        write(dir.path(), &[("a.proto", "2")])?;
        let two = repo_key(dir.path(), &base, &extra)?;
        assert_eq!(changes(&one.components, &two.components), ["extra input `a.proto` changed"]);
        assert_ne!(one.key, two.key);
        Ok(())
    }

    #[test]
    fn a_manifest_counts_by_path_and_by_content() -> TestResult {
        let deps =
            |files: &[(&str, &str)]| -> std::result::Result<Digest, Box<dyn std::error::Error>> {
                let dir = tempfile::tempdir()?;
                write(dir.path(), files)?;
                Ok(key(dir.path())?.deps)
            };
        let one = deps(&[("Cargo.toml", MANIFEST), ("a/Cargo.toml", "[package]")])?;
        assert_eq!(one, deps(&[("Cargo.toml", MANIFEST), ("a/Cargo.toml", "[package]")])?);
        let other_path = deps(&[("Cargo.toml", MANIFEST), ("b/Cargo.toml", "[package]")])?;
        let other_content = deps(&[("Cargo.toml", MANIFEST), ("a/Cargo.toml", "[package] # x")])?;
        assert!(one != other_path && one != other_content && other_path != other_content);
        Ok(())
    }

    #[test]
    fn the_dependencies_manifests_change_the_target_key_only() -> TestResult {
        let dir = tempfile::tempdir()?;
        let (repo, sibling) = (dir.path().join("repo"), dir.path().join("sibling"));
        write(&repo, &[("Cargo.toml", MANIFEST), ("Cargo.lock", LOCK)])?;
        write(&sibling, &[("Cargo.toml", "[package]\n"), (".cargo/config.toml", "[build]\n")])?;
        let environment = environment(&dir.path().join("home")).with("RUSTFLAGS", "-Cdebuginfo=0");
        let key = repo_key(&repo, &environment, &KeyOptions::default())?;
        let given: Name = "given".parse()?;
        assert_eq!(key.with_dependencies(&key.key, &BTreeMap::new()), key.key);
        assert_eq!(key.with_dependencies(&given, &BTreeMap::new()), given);

        let with = |handed_out: &Name, dependency: &str| -> std::result::Result<Name, _> {
            let digest = manifests_digest(&sibling, &environment)?;
            let manifests = BTreeMap::from([(dependency.parse()?, digest)]);
            Ok::<_, Box<dyn std::error::Error>>(key.with_dependencies(handed_out, &manifests))
        };
        let target_key = |dependency| with(&key.key, dependency);
        let one = target_key("sibling")?;
        assert_eq!(one.as_str()[64..], key.key.as_str()[64..]);
        assert_ne!(one, key.key);
        assert_ne!(one, target_key("other")?);
        assert_ne!(one, with(&given, "sibling")?);
        write(&sibling, &[(".cargo/config.toml", "[net]\n"), ("src/lib.rs", "")])?;
        assert_eq!(one, target_key("sibling")?);
        write(&sibling, &[("Cargo.toml", "[package]\nname = \"x\"\n")])?;
        assert_ne!(one, target_key("sibling")?);
        Ok(())
    }

    #[test]
    fn a_variable_set_to_nothing_is_warned_about() -> TestResult {
        let dir = tempfile::tempdir()?;
        write(dir.path(), &[("Cargo.toml", MANIFEST)])?;
        let environment = environment(&dir.path().join("home")).with("CC", "");
        let found = repo_key(dir.path(), &environment, &KeyOptions::default())?;
        assert_eq!(found.doubts, [Doubt::EmptyVariable("CC".to_owned())]);
        assert_eq!(found.environment, None);
        Ok(())
    }
}
