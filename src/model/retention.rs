//! What may go, and what must, when the disk fills.

use std::path::PathBuf;

/// What is known of one filesystem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filesystem {
    /// The kernel's number for it.
    pub device: u64,
    /// A path on it.
    pub path: PathBuf,
    /// Its size in bytes.
    pub total_bytes: u64,
    /// What we may still write, in bytes.
    pub free_bytes: u64,
    /// What is written, in bytes.
    pub used_bytes: u64,
    /// How many inodes it has; 0 where they are made as needed.
    pub total_inodes: u64,
    /// How many of them are free.
    pub free_inodes: u64,
    /// Whether it lives in memory.
    pub is_memory: bool,
}
