//! Putting a target or build directory in place, whole or not at all.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::compare::{Known, compare};
use super::progress::Progress;
use super::report::Mode;
use super::unpack::{Reuse, unpack};
use super::{Error, Result};
use crate::cargo::build_lock::{BuildLocks, lock_builds};
use crate::fs::At;
use crate::fs::beneath::Beneath;
use crate::fs::crash::crash_point;
use crate::fs::rename::{exchange, rename_noreplace};
use crate::model::manifest::{Manifest, RawPath};
use crate::store::{Lease, Store, Use};

/// How long a restore waits for a build that runs in its destination. A job does not build
/// before it restores, so whoever holds the lock is not about to be done.
const PATIENCE: Duration = Duration::from_secs(2);

/// Makes `dir` hold exactly what `manifest` says; returns which way it went.
///
/// The tree is completed beside `dir` and then takes its place in one step. If `dir` held most
/// of it, its files are shared by hard links until the old tree is gone. After an error or a crash
/// `dir` is as it was before; what was staged is removed, at the latest by the next `reclaim`.
/// Cargo's locks keep builds out meanwhile.
pub(super) fn place(
    store: &Store,
    lease: &Lease,
    dir: &Path,
    manifest: &Manifest,
    boot: &str,
    progress: &Progress,
) -> Result<Mode> {
    // A target that is a symlink to another disk stays one.
    let dir = &dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let parent = dir.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(parent).at("create directory", parent)?;
    progress.expect(manifest.header.bytes);

    if !holds_anything(dir)? {
        let staged = stage(store, lease, dir, manifest, None, progress)?;
        // A directory that is there is empty: an ordinary rename replaces it.
        if dir.exists() {
            std::fs::rename(&staged, dir).at("rename to", dir)?;
        } else if !rename_noreplace(&staged, dir)? {
            let reason = "something appeared there while it was restored";
            return Err(Error::Unfit { path: dir.clone(), reason });
        }
        crash_point("restore: placed");
        return Ok(Mode::Unpack);
    }

    let _locks = match lock_builds(dir, PATIENCE)? {
        BuildLocks::Held(locks) => locks,
        BuildLocks::Busy(path) => return Err(Error::Busy { path, holder: "a cargo build" }),
    };
    let known = Known::of(store, lease, dir, boot);
    let comparison = compare(dir, &manifest.entries, known.as_ref())?;
    if comparison.is_whole {
        progress.done(manifest.header.files, manifest.header.bytes);
        return Ok(Mode::InPlace);
    }
    let old = Beneath::open(dir)?;
    let reuse = Reuse { old: &old, paths: &comparison.same };
    let staged = stage(store, lease, dir, manifest, Some(reuse), progress)?;
    exchange(&staged, dir)?;
    crash_point("restore: placed");
    // The new tree is in place; an old one that cannot be removed now goes with the lease.
    drop(std::fs::remove_dir_all(&staged));
    let most = comparison.same.len() as u64 * 2 >= manifest.header.files;
    Ok(if most { Mode::InPlace } else { Mode::Unpack })
}

/// Completes the tree of `manifest` beside `dir` and returns where.
fn stage(
    store: &Store,
    lease: &Lease,
    dir: &Path,
    manifest: &Manifest,
    reuse: Option<Reuse<'_>>,
    progress: &Progress,
) -> Result<PathBuf> {
    let staged = Staged::beside(lease, dir)?;
    let dest = Beneath::open(&staged.path)?;
    unpack(store, &manifest.header.packs, &manifest.entries, &dest, reuse, progress)?;
    // As a directory that cargo or a checkout makes: others may read it as far as umask allows.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&staged.path, mode).at("set the mode of", &staged.path)?;
    crash_point("restore: staged");
    Ok(staged.keep())
}

/// A directory that we stage in outside the store, removed unless it is kept.
pub(super) struct Staged {
    path: PathBuf,
    is_kept: bool,
}

impl Staged {
    /// Creates one beside `dir`, on its filesystem; the lease names it first.
    pub(super) fn beside(lease: &Lease, dir: &Path) -> Result<Self> {
        Self::within(lease, dir.parent().unwrap_or(Path::new("/")), dir)
    }

    /// Creates one in `parent`, named after `dir`; the lease names it first.
    pub(super) fn within(lease: &Lease, parent: &Path, dir: &Path) -> Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let of = dir.file_name().unwrap_or_default().to_string_lossy();
        let path = parent.join(format!("{}-{of}", lease.staging_name()));
        lease.name(&Use::Staging(RawPath::of(path.as_os_str().as_encoded_bytes())))?;
        let mut builder = std::fs::DirBuilder::new();
        builder.mode(0o700).create(&path).at("create directory", &path)?;
        Ok(Self { path, is_kept: false })
    }

    /// Returns where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves it there and returns where.
    pub(super) fn keep(mut self) -> PathBuf {
        self.is_kept = true;
        self.path.clone()
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.is_kept {
            // What stays behind after an error here is removed by the next `reclaim`.
            drop(std::fs::remove_dir_all(&self.path));
        }
    }
}

fn holds_anything(dir: &Path) -> Result<bool> {
    match std::fs::read_dir(dir) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).at("read directory", dir)?,
    }
}
