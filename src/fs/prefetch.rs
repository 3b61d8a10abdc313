//! Having files read into memory before they are needed.

use std::fs::File;

use rustix::fs::Advice;

/// Has the kernel begin to read all of `file` into memory. This is advice: a filesystem that knows none is
/// read as ever.
pub fn prefetch(file: &File) {
    rustix::fs::fadvise(file, 0, None, Advice::WillNeed).unwrap_or_default();
}
