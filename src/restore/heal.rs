//! Removes half extractions: incomplete crates that a killed cargo, or a `cp` that knows nothing of
//! cargo, left.
//!
//! Cargo 1.95 extracts such a crate again, over the files that are there. Older versions fail on an
//! empty `.cargo-ok` ("EEXIST"). Files that do not belong to the crate stay for good. So half
//! extractions are removed before cargo sees them.

use super::shared::is_held;
use crate::cargo::home::{self, Shared};
use crate::fs::beneath::Beneath;
use crate::fs::stat::Kind;
use crate::job::Job;
use crate::job::Result;
use crate::job::locks::keep_packages_still;
use crate::job::progress::Progress;
use crate::model::rel_path::RelPath;
use crate::store::Lease;
use crate::tree::staged::Staged;
use crate::tree::walk::walk;

/// Removes the half extractions of crates that the lock files of `job` name. Returns their number.
///
/// Holds cargo's package lock meanwhile, so that no crate is being extracted. Removes each half
/// extraction by one rename. Crates that only other repos use are left alone.
pub(super) fn remove_half_extractions(
    job: &Job,
    lease: &Lease,
    progress: &Progress,
) -> Result<usize> {
    let dir = job.cargo_home.join("registry");
    if !dir.join("src").is_dir() {
        return Ok(0);
    }
    let registry = Beneath::open(&dir)?;
    if half_extractions(job, &registry)?.is_empty() {
        return Ok(0);
    }
    let _lock = keep_packages_still(&job.cargo_home, progress)?;
    let halves = half_extractions(job, &registry)?;
    let staged = Staged::within(lease, &dir, &dir)?;
    let aside = Beneath::open(staged.path())?;
    for half in &halves {
        aside.create_parents(half)?;
        aside.rename_from(half, &registry, half)?;
    }
    Ok(halves.len())
}

fn half_extractions(job: &Job, registry: &Beneath) -> Result<Vec<RelPath>> {
    let is_wanted = |path: &RelPath, what: Kind| {
        let is_crate = home::unit(Shared::Registry, path).is_some();
        let leads_there = path.components().next() == Some(b"src".as_slice());
        what == Kind::Dir
            && leads_there
            && (!is_crate || job.locked_parts.wants(Shared::Registry, path))
    };
    // The walk does not enter crates.
    let is_inside = |path: &RelPath| path.components().count() > 3;
    let found = walk(registry.path(), |path, what| is_wanted(path, what) && !is_inside(path))?;
    let mut halves = Vec::new();
    for crate_dir in found.found.into_iter().map(|found| found.path) {
        let is_crate = home::unit(Shared::Registry, &crate_dir).is_some();
        if is_crate && !is_held(Shared::Registry, registry, &crate_dir)? {
            halves.push(crate_dir);
        }
    }
    Ok(halves)
}
