//! What counts of a source.

use super::digest::{Digest, Hasher};
use super::manifest::{KeptFile, Source, SourceKind};
use super::rel_path::RelPath;

/// What counts of a source: a build can tell two apart only if it differs.
///
/// The exec bit is all that git knows of a mode, and git writes a file anew when it changes: cargo sees
/// a new mtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceContent {
    /// What it is.
    pub kind: SourceKind,
    /// Its digest, as of a source.
    pub digest: Digest,
    /// Whether it is a file that its owner may execute.
    pub is_executable: bool,
}

impl Source {
    /// Returns what counts of it.
    pub fn content(&self) -> SourceContent {
        let Self { kind, digest, is_executable, .. } = *self;
        SourceContent { kind, digest, is_executable }
    }
}

impl SourceContent {
    /// Returns the digest of all that counts but what it is: of one that is not executable, its own.
    pub fn whole_digest(&self) -> Digest {
        if !self.is_executable {
            return self.digest;
        }
        let mut hasher = Hasher::default();
        hasher.field(b"executable");
        hasher.field(self.digest.to_string().as_bytes());
        hasher.finish()
    }
}

impl KeptFile {
    /// Returns it as a source.
    pub fn as_source(&self) -> Source {
        Source {
            root: self.root.clone(),
            path: Some(self.path.clone()),
            kind: SourceKind::File,
            digest: self.digest,
            mtime: self.facts.mtime,
            is_executable: is_executable(self.facts.mode),
        }
    }
}

/// Tells of the mode of a file whether its owner may execute it. The other exec bits follow umask.
pub fn is_executable(mode: u32) -> bool {
    mode & 0o100 != 0
}

/// Tells whether a path of a root is in a directory of git's own.
pub fn is_of_git(path: &RelPath) -> bool {
    path.components().any(|name| name == b".git")
}
