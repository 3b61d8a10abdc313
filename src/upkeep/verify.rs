//! verify: checks every invariant of a store and changes nothing.
//!
//! Each finding has a code that stays the same in all versions. *Damage* breaks an invariant of `docs/FORMAT.md`; gc or
//! the next save fixes a *note*.
//!
//! | code | | meaning |
//! |---|---|---|
//! | `manifest-unreadable` | damage | a manifest is cut off, changed, or not a manifest |
//! | `manifest-newer` | note | a newer program wrote the manifest; the packs that it names are unknown |
//! | `manifest-misplaced` | damage | a manifest says that it belongs to another series |
//! | `manifest-flawed` | damage | a manifest contradicts itself, or the pack it names |
//! | `unit-hollow` | damage | a manifest has the fingerprint of a built unit, and not its artifacts |
//! | `fingerprint-unknown` | note | no known cargo writes such a fingerprint; its unit is kept as it is |
//! | `pack-missing` | damage | a manifest names a pack that does not exist |
//! | `pack-damaged` | damage | the bytes of a pack do not have the digest in its name |
//! | `pack-unreadable` | damage | a pack cannot be read, or has the digest in its name but is no `tar.zst` of contents |
//! | `content-missing` | damage | a manifest names a content that its pack does not hold |
//! | `content-damaged` | damage | a content does not have the digest in its name, in a pack that has |
//! | `pack-stranger` | damage | a path under `packs/` is no pack |
//! | `series-stranger` | damage | a path under `series/` is no manifest |
//! | `entry-odd` | note | a path elsewhere does not belong there; gc moves it to the trash |
//! | `pack-unreferenced` | note | no manifest names a pack; gc removes it |
//! | `stamp-unreadable` | note | a stamp cannot be read; the series counts as last used when it was saved |
//! | `lease-dead` | note | a process ended without removing its lease; the next save, restore or gc removes it |
//! | `staging-left` | note | a path in `staging/` belongs to no live process |
//! | `trash-left` | note | a path is in `trash/`: a gc is running, or was killed |
//! | `public-mode` | note | other users than the owner may read the store |
//!
//! Opening the store already checks that it is a store, has a known format, and belongs to this user alone.

mod manifests;
mod packs;

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Serialize;

use crate::job::Result;
use crate::job::error::chain;
use crate::model::digest::Digest;
use crate::model::filesystem::as_text;
use crate::store::{self, Holdings, Purpose, Store};
use manifests::read_manifests;
use packs::check_packs;

/// The counts of everything that was checked, and the findings.
#[derive(Clone, Debug, Default, Serialize)]
pub struct VerifyReport {
    /// The number of manifests that were read.
    pub generations: usize,
    /// The number of packs that were read.
    pub packs: usize,
    /// The number of contents in packs whose bytes were compared.
    pub contents: u64,
    /// The bytes of the packs that were read.
    pub bytes: u64,
    /// The findings, sorted by path.
    pub findings: Vec<Finding>,
}

/// A broken invariant, or leftovers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// The path that it concerns.
    #[serde(serialize_with = "as_text")]
    pub path: PathBuf,
    /// The kind of finding, in words that stay the same: see the table of this module.
    pub code: &'static str,
    /// Whether an invariant is broken.
    pub severity: Severity,
    /// The details, for people.
    pub what: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// An invariant is broken.
    Damage,
    /// Nothing is lost; gc or the next save fixes it.
    Note,
}

impl VerifyReport {
    /// Tells whether an invariant is broken.
    pub fn has_damage(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Damage)
    }
}

/// Reads every manifest and every byte of every pack once, and compares them.
///
/// Jobs and gc may run at the same time: a lease protects the generations that were read, and one that is removed
/// before the lease names it is not missed. Memory holds one content per thread, and the list of contents.
pub fn verify(store: &Store) -> Result<VerifyReport> {
    let lease = store.lease(Purpose::Verify)?;
    // The order is packs, leases, manifests: a live lease names an existing pack until a manifest names it.
    let packs = store.packs()?;
    let leased = store.lease_facts()?.packs;
    let holdings = store.holdings()?;
    let mut findings = findings_of(store, &holdings, &packs.unknown_paths);

    let claims = read_manifests(store, &lease, &holdings.manifests)?;
    findings.extend(claims.findings);
    let on_disk: BTreeSet<Digest> = packs.packs.into_iter().map(|(digest, _)| digest).collect();
    if claims.are_complete {
        let unreferenced =
            |digest: &&Digest| !leased.contains(digest) && !claims.packs.contains_key(digest);
        let paths = on_disk.iter().filter(unreferenced).map(|digest| store.pack_path(*digest));
        findings.extend(paths.map(|path| note(path, "pack-unreferenced", "no manifest names it")));
    }

    let mut report = VerifyReport { generations: claims.generations, ..VerifyReport::default() };
    let named: BTreeSet<Digest> = claims.packs.keys().copied().collect();
    for (digest, checked) in check_packs(store, on_disk.union(&named), &claims.packs) {
        if checked.is_missing {
            // gc has already removed a pack that no manifest names.
            let claim = claims.packs.get(&digest);
            findings
                .extend(claim.map(|claim| {
                    damage(store.pack_path(digest), "pack-missing", claim.named_by())
                }));
            continue;
        }
        report.packs += 1;
        report.contents += checked.contents;
        report.bytes += checked.bytes;
        findings.extend(checked.findings);
    }
    report.findings.extend(findings);
    report.findings.sort();
    Ok(report)
}

fn note(path: PathBuf, code: &'static str, what: impl Into<String>) -> Finding {
    Finding { path, code, severity: Severity::Note, what: what.into() }
}

fn damage(path: PathBuf, code: &'static str, what: impl Into<String>) -> Finding {
    Finding { path, code, severity: Severity::Damage, what: what.into() }
}

/// Returns the findings outside manifests and packs.
fn findings_of(store: &Store, holdings: &Holdings, unknown_paths: &[PathBuf]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if holdings.root_mode & 0o077 != 0 {
        let what =
            format!("users other than the owner may read it (mode {:04o})", holdings.root_mode);
        findings.push(note(store.root().to_owned(), "public-mode", what));
    }
    let is_named =
        |path: &PathBuf| unknown_paths.contains(path) || holdings.unknown_paths.contains(path);
    let odd = holdings.oddities.iter().filter(|odd| !is_named(&odd.path));
    findings.extend(odd.map(|odd| note(odd.path.clone(), "entry-odd", odd.what.clone())));
    let mut add = |paths: &[PathBuf], finding: &dyn Fn(PathBuf) -> Finding| {
        findings.extend(paths.iter().cloned().map(finding));
    };
    add(unknown_paths, &|path| damage(path, "pack-stranger", "it is no pack"));
    add(&holdings.unknown_paths, &|path| damage(path, "series-stranger", "it is no manifest"));
    add(&holdings.unreadable_stamps, &|path| note(path, "stamp-unreadable", "it holds no time"));
    add(&holdings.dead_leases, &|path| note(path, "lease-dead", "its process ended"));
    add(&holdings.unowned_staging, &|path| {
        note(path, "staging-left", "it belongs to no live process")
    });
    add(&holdings.trash, &|path| note(path, "trash-left", "gc is running, or was killed"));
    findings
}

/// Returns an error's text without the path, which the finding already has.
fn clause(error: &store::Error) -> String {
    match error {
        store::Error::Damaged { what, .. } => what.clone(),
        error => chain(error),
    }
}

#[cfg(test)]
mod tests;
