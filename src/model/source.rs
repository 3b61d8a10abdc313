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

/// Tells whether a path of a root is one that git, cargo or rustup take orders from: in a directory of their
/// configuration, or a file that names programs or repositories. Some filesystems know no upper case.
pub fn is_configuration(path: &RelPath) -> bool {
    const DIRS: [&str; 2] = [".git", ".cargo"];
    const FILES: [&str; 4] =
        [".gitmodules", ".gitattributes", "rust-toolchain", "rust-toolchain.toml"];
    let is_among = |name: &[u8], known: &[&str]| {
        known.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
    };
    path.components().any(|name| is_among(name, &DIRS)) || is_among(path.file_name(), &FILES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_is_told_from_what_only_looks_like_it() -> Result<(), Box<dyn std::error::Error>>
    {
        for (path, want) in [
            (".git", true),
            (".git/hooks/post-checkout", true),
            ("sub/.GIT/config", true),
            (".cargo/config.toml", true),
            ("crates/a/.Cargo/config", true),
            (".gitmodules", true),
            ("a/.gitattributes", true),
            ("rust-toolchain", true),
            ("a/rust-toolchain.toml", true),
            (".gitignore", false),
            (".github/x", false),
            ("git/hooks", false),
            ("src/.git.rs", false),
            ("rust-toolchain/x", false),
            ("Cargo.toml", false),
        ] {
            assert_eq!(is_configuration(&RelPath::parse(path.as_bytes())?), want, "{path}");
        }
        Ok(())
    }
}
