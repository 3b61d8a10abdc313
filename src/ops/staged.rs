//! Directories that we stage in outside the store.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::Result;
use crate::fs::At;
use crate::fs::remove::remove_tree;
use crate::fs::spread::spread_subdirs;
use crate::model::manifest::RawPath;
use crate::store::{Lease, Use};

/// A directory that we stage in outside the store, removed when this is dropped.
///
/// What is completed in it is renamed away before. What a crash leaves is removed by the next
/// `reclaim`, for the lease names it.
#[derive(Debug)]
pub(super) struct Staged {
    outer: PathBuf,
    inner: PathBuf,
}

impl Staged {
    /// Creates one beside `dir`, on its filesystem; the lease names it first.
    pub(super) fn beside(lease: &Lease, dir: &Path) -> Result<Self> {
        Self::within(lease, dir.parent().unwrap_or(Path::new("/")), dir)
    }

    /// Creates one in `parent`, named after `dir`; the lease names it first.
    pub(super) fn within(lease: &Lease, parent: &Path, dir: &Path) -> Result<Self> {
        let of = dir.file_name().unwrap_or_default().to_string_lossy();
        let name = format!("{}-{of}", lease.staging_name());
        let outer = parent.join(&name);
        lease.name(&Use::Staging(RawPath::of(outer.as_os_str().as_encoded_bytes())))?;
        // Its name is like no other, so that ext4 looks for room in another place each time.
        let staged = Self { inner: outer.join(&name), outer };
        let mut builder = DirBuilder::new();
        builder.mode(0o700).create(&staged.outer).at("create directory", &staged.outer)?;
        spread_subdirs(&staged.outer);
        builder.create(&staged.inner).at("create directory", &staged.inner)?;
        Ok(staged)
    }

    /// Returns where to stage.
    pub(super) fn path(&self) -> &Path {
        &self.inner
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // What stays behind after an error here is removed by the next `reclaim`.
        drop(remove_tree(&self.outer));
    }
}
