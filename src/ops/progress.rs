//! How far an operation is, for whoever watches.

use std::sync::atomic::{AtomicU64, Ordering};

/// How far an operation is. Shared by its threads; somebody else may look at any time.
#[derive(Debug, Default)]
pub struct Progress {
    total_bytes: AtomicU64,
    done_bytes: AtomicU64,
    done_files: AtomicU64,
}

/// A look at a [`Progress`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// The bytes to read or write as far as known; grows while areas are looked at.
    pub total_bytes: u64,
    /// The bytes read or written.
    pub done_bytes: u64,
    /// The files read or written.
    pub done_files: u64,
}

impl Progress {
    /// Adds work to do.
    pub fn expect(&self, bytes: u64) {
        self.total_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Adds work done.
    pub fn done(&self, files: u64, bytes: u64) {
        self.done_files.fetch_add(files, Ordering::Relaxed);
        self.done_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Returns how far it is.
    pub fn look(&self) -> Look {
        Look {
            total_bytes: self.total_bytes.load(Ordering::Relaxed),
            done_bytes: self.done_bytes.load(Ordering::Relaxed),
            done_files: self.done_files.load(Ordering::Relaxed),
        }
    }
}
