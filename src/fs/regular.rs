//! Opening files to append to them: no link is followed, and nobody waited for.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

use super::error::{At, Result};

/// Opens the file at `path` for appending, creating it if it is missing.
pub fn append_to(path: &Path) -> Result<File> {
    options().append(true).create(true).open(path).at("open", path)
}

/// Returns options by which nothing but the file of that name is opened.
pub(super) fn options() -> OpenOptions {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let mut options = OpenOptions::new();
    options.custom_flags(flags);
    options
}
