//! The names that cargo gives files and directories in `CARGO_HOME`.

use crate::model::rel_path::RelPath;

/// The part of a registry that a path below `registry/` belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistryPart<'a> {
    /// A file of an index.
    Index,
    /// The `.crate` file of a crate.
    CrateFile(CrateOf<'a>),
    /// The extracted source of a crate, or an entry in it.
    Source(CrateOf<'a>),
    /// Something else.
    Other,
}

/// A crate of a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CrateOf<'a> {
    /// The name of the registry's directories.
    pub registry: &'a [u8],
    /// `<name>-<version>`.
    pub name: &'a [u8],
}

impl CrateOf<'_> {
    /// Returns the path of its source below `registry/`.
    pub fn source(&self) -> Option<RelPath> {
        RelPath::parse(&[b"src/", self.registry, b"/", self.name].concat()).ok()
    }

    /// Returns the path of its `.crate` file below `registry/`.
    pub fn file(&self) -> Option<RelPath> {
        RelPath::parse(&[b"cache/", self.registry, b"/", self.name, b".crate"].concat()).ok()
    }
}

/// Returns the part of the registry that `path` below `registry/` belongs to.
pub fn registry_part(path: &RelPath) -> RegistryPart<'_> {
    let mut components = path.components();
    let mut next = || components.next();
    match (next(), next(), next(), next()) {
        (Some(b"index"), Some(_), Some(_), _) => RegistryPart::Index,
        (Some(b"cache"), Some(registry), Some(file), None) => match file.strip_suffix(b".crate") {
            Some(name) => RegistryPart::CrateFile(CrateOf { registry, name }),
            None => RegistryPart::Other,
        },
        (Some(b"src"), Some(registry), Some(name), _) => {
            RegistryPart::Source(CrateOf { registry, name })
        }
        _ => RegistryPart::Other,
    }
}

/// Returns the part of a directory name before the hash, if the name has cargo's form `<name>-<hash>[-shallow]`.
pub(super) fn without_hash(dir: &[u8]) -> Option<&[u8]> {
    /// Cargo's `short_hash` is 64 bits in hex.
    const HASH_LEN: usize = 16;
    let dir = dir.strip_suffix(b"-shallow").unwrap_or(dir);
    let (name, hash) = dir.split_at_checked(dir.len().checked_sub(HASH_LEN)?)?;
    name.strip_suffix(b"-").filter(|_| hash.iter().all(u8::is_ascii_hexdigit))
}
