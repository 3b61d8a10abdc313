//! Facts about a filesystem.

use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use super::quantity::Percent;

/// Facts about one filesystem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Filesystem {
    /// The kernel's number for it.
    pub device: u64,
    /// A path on it.
    #[serde(serialize_with = "as_text")]
    pub path: PathBuf,
    /// Its size in bytes.
    pub total_bytes: u64,
    /// The bytes that we may still write.
    pub free_bytes: u64,
    /// The bytes in use.
    pub used_bytes: u64,
    /// How many inodes it has; 0 where they are made as needed.
    pub total_inodes: u64,
    /// How many of them are free.
    pub free_inodes: u64,
    /// Whether it lives in memory.
    pub is_memory: bool,
}

impl Filesystem {
    /// Returns how full it is, as df(1) counts: of what we may use, without what is reserved
    /// for root.
    pub fn used(&self) -> Percent {
        Percent::of(self.used_bytes, self.usable_bytes())
    }

    /// Returns how many of its inodes are used; none where they are made as needed.
    pub fn used_inodes(&self) -> Percent {
        Percent::of(self.total_inodes.saturating_sub(self.free_inodes), self.total_inodes)
    }

    /// Returns it as it will be when `bytes` of it are free again.
    #[must_use]
    pub fn relieved(&self, bytes: u64) -> Self {
        let mut relieved = self.clone();
        relieved.free_bytes = self.free_bytes.saturating_add(bytes);
        relieved.used_bytes = self.used_bytes.saturating_sub(bytes);
        relieved
    }

    /// Returns the bytes that are written or may be.
    pub fn usable_bytes(&self) -> u64 {
        self.used_bytes.saturating_add(self.free_bytes)
    }
}

/// Writes a path as text, lossily: for people, never to find it again.
pub(crate) fn as_text<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}
