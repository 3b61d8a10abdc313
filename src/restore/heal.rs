//! Half extractions: what a killed cargo, or a `cp` that knows nothing of cargo, left of a crate.
//!
//! Cargo 1.95 extracts such a crate again, over what is there; older ones fail on an empty
//! `.cargo-ok` ("EEXIST"), and what does not belong to the crate stays for good. So they go before
//! cargo sees them.

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

/// Removes the half extractions of crates that the lock files of `job` name; returns how many
/// there were.
///
/// Cargo's package lock is held meanwhile, so none is a crate that is being extracted. Each goes by
/// one rename. What other repos use is left to them.
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
    // A crate is not entered: the walk ends at what it is.
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
