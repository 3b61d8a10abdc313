//! Facts about a filesystem.

use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use super::quantity::Percent;

/// Facts about one filesystem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Filesystem {
    /// Its device number.
    pub device: u64,
    /// A path on it.
    #[serde(serialize_with = "as_text")]
    pub path: PathBuf,
    /// Its size in bytes.
    pub total_bytes: u64,
    /// The bytes that this user may still write.
    pub free_bytes: u64,
    /// The bytes in use.
    pub used_bytes: u64,
    /// The number of its inodes; 0 if they are created as needed.
    pub total_inodes: u64,
    /// The number of its free inodes.
    pub free_inodes: u64,
    /// Whether it lives in memory.
    pub is_memory: bool,
}

impl Filesystem {
    /// Returns the used share of bytes, as df(1) computes it: of the bytes that we may use, without
    /// those reserved for root.
    pub fn used(&self) -> Percent {
        Percent::of(self.used_bytes, self.usable_bytes())
    }

    /// Returns the used share of inodes; 0 if they are created as needed.
    pub fn used_inodes(&self) -> Percent {
        Percent::of(self.total_inodes.saturating_sub(self.free_inodes), self.total_inodes)
    }

    /// Returns the facts as they will be once `bytes` are freed.
    #[must_use]
    pub fn relieved(&self, bytes: u64) -> Self {
        let mut relieved = self.clone();
        relieved.free_bytes = self.free_bytes.saturating_add(bytes);
        relieved.used_bytes = self.used_bytes.saturating_sub(bytes);
        relieved
    }

    /// Returns the bytes that are in use or free for us.
    pub fn usable_bytes(&self) -> u64 {
        self.used_bytes.saturating_add(self.free_bytes)
    }
}

/// Serializes a path as lossy text for people; it cannot be turned back into the path.
pub(crate) fn as_text<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}
