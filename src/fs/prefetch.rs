//! Reading files into memory before they are needed.

use std::fs::File;

use rustix::fs::Advice;

/// Asks the kernel to start reading all of `file` into memory. This is advice: a filesystem that
/// does not know it reads as ever.
pub fn prefetch(file: &File) {
    rustix::fs::fadvise(file, 0, None, Advice::WillNeed).unwrap_or_default();
}
