//! The files that identify a repo's dependencies: its lock file, or else its manifests.

use std::collections::BTreeMap;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::error::{Error, Result};
use super::lock_file::LockFile;
use super::manifests::{self, Which};
use super::tracked::tracks_lock_file;
use super::{dirs, workspace};
use crate::fs::At;
use crate::fs::regular::read;
use crate::model::digest::Digest;
use crate::model::environment::Environment;

/// The files that the `deps` part of a key was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Basis {
    /// A `Cargo.lock` that git tracks.
    TrackedLock(PathBuf),
    /// A `Cargo.lock` that git does not track: cargo wrote it in this checkout.
    GeneratedLock(PathBuf),
    /// This many manifests and configuration files, for want of a lock file.
    Manifests(usize),
}

impl Basis {
    /// Tells whether git tracks the lock file: then nobody can have replaced it without a trace.
    pub fn is_tracked(&self) -> bool {
        matches!(self, Self::TrackedLock(_))
    }
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TrackedLock(_) => f.write_str("tracked Cargo.lock"),
            Self::GeneratedLock(_) => f.write_str("generated Cargo.lock"),
            Self::Manifests(_) => f.write_str("manifests (no Cargo.lock)"),
        }
    }
}

/// Returns the files that identify the dependencies, and their digest; adds their parts to `components`.
pub(super) fn of(
    repo: &Path,
    environment: &Environment,
    components: &mut BTreeMap<String, String>,
) -> Result<(Basis, Digest)> {
    let root = root(repo, environment)?;
    let path = root.join("Cargo.lock");
    let (basis, digest) = match read(&path) {
        Ok(content) => {
            let lock_file = LockFile::parse(&String::from_utf8_lossy(&content), &path)?;
            let digest = Digest::of(&content);
            components.insert("lock".to_owned(), lock_file.lines());
            components.insert("lock-digest".to_owned(), digest.to_string());
            let is_tracked = tracks_lock_file(&root, environment);
            (if is_tracked { Basis::TrackedLock(path) } else { Basis::GeneratedLock(path) }, digest)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let manifests = manifests::collect(repo, &root, Which::ManifestsAndConfig)?;
            let is_manifest = |path: &Vec<u8>| path.ends_with(workspace::MANIFEST.as_bytes());
            if !manifests.keys().any(is_manifest) {
                return Err(Error::NoInputs(repo.to_owned()));
            }
            manifests::list("manifest:", &manifests, components);
            (Basis::Manifests(manifests.len()), manifests::digest_of_list(&manifests))
        }
        Err(error) => return Ok(Err(error).at("read", &path)?),
    };
    components.insert("basis".to_owned(), basis.to_string());
    Ok((basis, digest))
}

/// Returns the root of the repo's workspace; the repo itself if it has no manifest at its top.
pub(super) fn root(repo: &Path, environment: &Environment) -> Result<PathBuf> {
    // Without a cargo home no package can lie in it.
    let home = dirs::cargo_home(environment, None, repo).ok();
    Ok(workspace::root(repo, home.as_deref())?.unwrap_or_else(|| repo.to_owned()))
}
