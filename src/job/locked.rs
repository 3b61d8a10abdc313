//! The lock files of a job, and the order of their precedence.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Job;
use super::Result;
use crate::cargo::home::LockedParts;
use crate::cargo::key::Basis;
use crate::cargo::lock_file::LockFile;
use crate::cargo::registries::Registries;
use crate::fs::At;
use crate::fs::regular::read_to_string;

/// The precedence of a lock file. If two lock files name a crate, the one with the earlier rank
/// decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LockRank {
    /// The repo itself is built with this lock file.
    Own,
    /// A dependency is built with this lock file, and git tracks it.
    Tracked,
    /// Git does not track the lock file, so its author is unknown.
    Found,
}

impl LockRank {
    /// Returns the rank for a workspace other than the repo's, given the files that its key was
    /// made from.
    pub(crate) fn by(basis: &Basis) -> Self {
        match basis {
            Basis::TrackedLock(_) => Self::Tracked,
            Basis::GeneratedLock(_) | Basis::Manifests(_) => Self::Found,
        }
    }
}

impl Job {
    /// Reads the lock file of each workspace that has one.
    pub(super) fn read_locks(&mut self) -> Result<()> {
        let dirs = self.workspaces.keys().map(PathBuf::as_path);
        let registries = Registries::read(dirs, &self.cargo_home)?;
        let mut locked_parts = LockedParts::new(registries);
        for root in in_turn(&self.workspaces) {
            let path = root.join("Cargo.lock");
            let text = match read_to_string(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                text => text.at("read", &path)?,
            };
            locked_parts = locked_parts.and(&LockFile::parse(&text, &path)?.packages);
            self.has_lock = true;
        }
        self.locked_parts = locked_parts;
        Ok(())
    }
}

fn in_turn(workspaces: &BTreeMap<PathBuf, LockRank>) -> Vec<&Path> {
    let mut all: Vec<_> = workspaces.iter().map(|(root, rank)| (*rank, root.as_path())).collect();
    all.sort();
    all.into_iter().map(|(_, root)| root).collect()
}
