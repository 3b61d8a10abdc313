//! The files of the repositories on disk, whose checkouts lie beside each other in one directory.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::marked::{FileAction, is_ours, update};
use super::{CHAIN_FILE, RepoFile, WORKFLOWS};

/// A file, and the action planned for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The file.
    pub path: PathBuf,
    /// Its text, if it exists.
    pub old: Option<String>,
    /// The planned action.
    pub action: FileAction,
}

/// An error in reading or writing the files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A checkout is missing.
    #[error("`{}` is not there", path.display())]
    NoCheckout {
        /// The expected path.
        path: PathBuf,
    },

    /// A repository has a chain of its own, which would be read in place of the copy.
    #[error("`{}` would be read in place of `{}`", own.display(), copy.display())]
    OtherChain {
        /// The repository's own chain.
        own: PathBuf,
        /// The path of the copy.
        copy: PathBuf,
    },

    /// The filesystem refused.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// The failed action, as a verb phrase.
        action: &'static str,
        /// The path of the failed action.
        path: PathBuf,
        /// The filesystem's error.
        source: io::Error,
    },
}

type Result<T> = std::result::Result<T, Error>;

/// Plans the change of each file in the checkouts below `dir`; `source` is the chain's file.
///
/// Changes nothing on disk.
pub fn plan(wanted: &[RepoFile], dir: &Path, source: &Path) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    let source = canonical(source)?;
    for RepoFile { repository, path, text } in wanted {
        let checkout = checkout(dir, repository.as_str())?;
        let file = checkout.join(path);
        if *path == CHAIN_FILE && reads_source(&checkout, &file, &source)? {
            continue;
        }
        let old = read(&file)?;
        let action = update(old.as_deref(), text);
        changes.push(Change { path: file, old, action });
    }
    changes.extend(leftovers(wanted, dir)?);
    Ok(changes)
}

/// Applies the change to one file. Even after a crash the file is the old one or the new one.
pub fn apply(change: &Change) -> Result<()> {
    let FileAction::Write(text) = &change.action else { return Ok(()) };
    let path = &change.path;
    let dir = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(dir).map_err(at("create directory", dir))?;
    let new = path.with_extension("new");
    fs::write(&new, text).map_err(at("write", &new))?;
    fs::rename(&new, path).map_err(at("replace", path))
}

/// Tells whether the chain that a repository reads is the source itself, which needs no copy.
fn reads_source(checkout: &Path, copy: &Path, source: &Path) -> Result<bool> {
    let own = checkout.join("chain.toml");
    for file in [own.as_path(), copy] {
        if file.exists() && canonical(file)? == source {
            return Ok(true);
        }
    }
    if own.exists() {
        return Err(Error::OtherChain { own, copy: copy.to_owned() });
    }
    Ok(false)
}

/// Returns the files that we wrote once and that no repository needs any more.
fn leftovers(wanted: &[RepoFile], dir: &Path) -> Result<Vec<Change>> {
    let mut found = Vec::new();
    let repositories: BTreeSet<_> = wanted.iter().map(|it| &it.repository).collect();
    for repository in repositories {
        for path in WORKFLOWS {
            let is_wanted = wanted.iter().any(|it| it.repository == *repository && it.path == path);
            let file = checkout(dir, repository.as_str())?.join(path);
            if is_wanted {
                continue;
            }
            let old = read(&file)?;
            if old.as_deref().is_some_and(is_ours) {
                found.push(Change { path: file, old, action: FileAction::Leftover });
            }
        }
    }
    Ok(found)
}

fn checkout(dir: &Path, repository: &str) -> Result<PathBuf> {
    let path = dir.join(repository);
    if path.is_dir() { Ok(path) } else { Err(Error::NoCheckout { path }) }
}

fn read(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at("read", path)(error)),
    }
}

fn canonical(path: &Path) -> Result<PathBuf> {
    path.canonicalize().map_err(at("find", path))
}

fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { action, path, source }
}
