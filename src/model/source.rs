//! The comparable content of sources.

use super::digest::{Digest, Hasher};
use super::manifest::{KeptFile, Source, SourceKind};
use super::rel_path::RelPath;

/// The content of a source, as far as a build can notice a difference.
///
/// The executable bit is the only mode bit that git tracks. Git rewrites a file when the bit
/// changes, so cargo sees a new mtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceContent {
    /// Its kind.
    pub kind: SourceKind,
    /// Its digest: see [`Source::digest`].
    pub digest: Digest,
    /// Whether it is a file that its owner may execute.
    pub is_executable: bool,
}

impl Source {
    /// Returns its comparable content.
    pub fn content(&self) -> SourceContent {
        let Self { kind, digest, is_executable, .. } = *self;
        SourceContent { kind, digest, is_executable }
    }
}

impl SourceContent {
    /// Returns the digest of the content without its kind. For a file that is not executable, this
    /// is the plain digest.
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
    /// Returns the file as a source.
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

/// Tells from the mode of a file whether its owner may execute it. The other executable bits depend
/// on the umask.
pub fn is_executable(mode: u32) -> bool {
    mode & 0o100 != 0
}

/// Tells whether a path below a root lies in a `.git` directory.
pub fn is_of_git(path: &RelPath) -> bool {
    path.components().any(|name| name == b".git")
}
