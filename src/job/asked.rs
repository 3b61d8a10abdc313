//! Asks cargo, rustc and git about every checkout of a job, in parallel.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rayon::prelude::*;

use super::Ask;
use super::Result;
use crate::cargo::dirs::{Dirs, dirs};
use crate::cargo::key::{KeyOptions, RepoKey, key_with, manifests_digest};
use crate::cargo::memory::Memory;
use crate::cargo::toolchain::{Answer, Question, Toolchain};
use crate::model::digest::Digest;
use crate::model::environment::Environment;
use crate::model::root::Root;

/// The answers about one checkout.
pub(super) struct Asked {
    pub(crate) key: RepoKey,
    pub(crate) dirs: Dirs,
    /// The digest of its manifests, if it is a dependency.
    pub(crate) manifests: Option<Digest>,
}

/// Asks about each of `roots`, which are canonical paths.
///
/// Each question starts a process. So all are asked in parallel, and none is asked twice.
pub(super) fn ask_all(
    ask: &Ask,
    environment: &Environment,
    roots: &BTreeMap<Root, PathBuf>,
    memory: &Memory,
) -> Result<BTreeMap<Root, Asked>> {
    let none = KeyOptions::default();
    let roots: Vec<(&Root, &PathBuf)> = roots.iter().collect();
    let dirs_of = |(root, dir): &(&Root, &PathBuf)| {
        let target_dir = ask.target_dir.as_deref().filter(|_| **root == Root::Repo);
        dirs(dir, environment, target_dir, memory)
    };
    let (toolchains, dirs) = rayon::join(
        || toolchains(&roots, environment, memory),
        || roots.par_iter().map(dirs_of).collect::<Vec<_>>(),
    );
    let toolchains = toolchains?;
    let key_of = |((root, dir), toolchain): (&(&Root, &PathBuf), &Toolchain)| {
        let (options, manifests) = match root {
            Root::Repo => (&ask.key_options, None),
            Root::Dependency(_) => (&none, Some(manifests_digest(dir, environment)?)),
        };
        Ok((key_with(dir, environment, options, toolchain)?, manifests))
    };
    let keys: Vec<Result<_>> = roots.par_iter().zip(&toolchains).map(key_of).collect();
    let mut asked = BTreeMap::new();
    for (((root, _), key), dirs) in roots.into_iter().zip(keys).zip(dirs) {
        let (key, manifests) = key?;
        asked.insert(root.clone(), Asked { key, dirs: dirs?, manifests });
    }
    Ok(asked)
}

/// Asks the compiler of each checkout. Checkouts that certainly use the same compiler share one
/// answer.
fn toolchains(
    roots: &[(&Root, &PathBuf)],
    environment: &Environment,
    memory: &Memory,
) -> Result<Vec<Toolchain>> {
    let questions = roots.iter().map(|(_, dir)| Question::of(dir, environment));
    let questions = questions.collect::<crate::cargo::Result<Vec<_>>>()?;
    let first = |question| questions.iter().position(|other| other.is_same(question));
    let firsts: Vec<usize> = questions.iter().filter_map(first).collect();
    let is_first = |(index, first): &(usize, &usize)| index == *first;
    let asked: Vec<_> = firsts.iter().enumerate().filter(is_first).map(|(_, it)| *it).collect();
    let ask = |index: &usize| Ok((*index, questions[*index].ask(environment, memory)?));
    let answers: BTreeMap<usize, Answer> = asked.par_iter().map(ask).collect::<Result<_>>()?;
    let with_answers = questions.into_iter().zip(firsts);
    with_answers.map(|(question, first)| Ok(Toolchain::by(question, &answers[&first])?)).collect()
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_compiler_that_checkouts_certainly_share_is_asked_once()
    -> std::result::Result<(), Box<dyn Error>> {
        let dir = tempfile::tempdir()?;
        let [bin, home] = ["bin", "home"].map(|name| dir.path().join(name));
        let mut roots = BTreeMap::new();
        for (root, name) in [(Root::Repo, "a"), (Root::Dependency("b".parse()?), "b")] {
            roots.insert(root, dir.path().join(name));
        }
        for dir in roots.values().chain([&bin, &home]) {
            fs::create_dir(dir)?;
        }
        let log = dir.path().join("log");
        let script = format!("#!/bin/sh\npwd >>{}\necho rustc of all\n", log.display());
        fs::write(bin.join("rustup"), script)?;
        fs::set_permissions(bin.join("rustup"), PermissionsExt::from_mode(0o755))?;
        symlink("rustup", bin.join("rustc"))?;
        let environment = Environment::default().with("PATH", &bin).with("RUSTUP_HOME", &home);
        let roots: Vec<_> = roots.iter().collect();
        for (settings, want) in [("", 1), ("overrides = { '/x' = 'nightly' }", 2)] {
            fs::write(home.join("settings.toml"), settings)?;
            fs::write(&log, "")?;
            let found = toolchains(&roots, &environment, &Memory::default())?;
            let versions = found.iter().map(|toolchain| toolchain.verbose_version.as_deref());
            assert_eq!(versions.collect::<Vec<_>>(), [Some("rustc of all"); 2], "{settings}");
            assert_eq!(fs::read_to_string(&log)?.lines().count(), want, "{settings}");
        }
        Ok(())
    }
}
