//! verify: checks every invariant of a store and changes nothing.
//!
//! Each finding has a code that stays the same from version to version. What is *damage* breaks
//! an invariant of `docs/FORMAT.md`; a *note* is what gc or the next save puts right.
//!
//! | code | | meaning |
//! |---|---|---|
//! | `manifest-unreadable` | damage | a manifest is not what was written: cut off, changed, no manifest |
//! | `manifest-newer` | note | a newer program wrote the manifest; what it names is unknown |
//! | `manifest-misplaced` | damage | a manifest says that it belongs to another series |
//! | `manifest-flawed` | damage | a manifest contradicts itself, or the pack it names |
//! | `unit-hollow` | damage | a manifest has the fingerprint of a unit that is built, and not what was built |
//! | `fingerprint-unknown` | note | no cargo that we know writes such a fingerprint; its unit is kept as it is |
//! | `pack-missing` | damage | a manifest names a pack that is not there |
//! | `pack-damaged` | damage | the bytes of a pack are not those it is named by |
//! | `pack-unreadable` | damage | a pack is named by its bytes and yet no `tar.zst` of contents, or cannot be read |
//! | `content-missing` | damage | a manifest names a content that its pack does not hold |
//! | `content-damaged` | damage | a content of a pack is not what it is named by, in a pack that is |
//! | `pack-stranger` | damage | something under `packs/` is no pack |
//! | `series-stranger` | damage | something under `series/` is no manifest |
//! | `entry-odd` | note | something elsewhere is not what belongs there; gc moves it to the trash |
//! | `pack-unreferenced` | note | nobody names a pack; gc removes it |
//! | `stamp-unreadable` | note | a stamp cannot be understood; the series counts as used when it was saved |
//! | `lease-dead` | note | a process ended without dropping its lease; the next save, restore or gc does |
//! | `staging-left` | note | something in `staging/` belongs to no live process |
//! | `trash-left` | note | something is in `trash/`: a gc runs, or was ended |
//! | `public-mode` | note | others than the owner may read the store |
//!
//! That a store is one, of a format we know, and ours alone, is checked when it is opened.

mod manifests;
mod packs;

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Serialize;

use crate::job::Result;
use crate::job::report::chain;
use crate::model::digest::Digest;
use crate::model::filesystem::as_text;
use crate::store::{self, Holdings, Purpose, Store};
use manifests::read_manifests;
use packs::check_packs;

/// What was checked, and what is wrong.
#[derive(Clone, Debug, Default, Serialize)]
pub struct VerifyReport {
    /// The manifests read.
    pub generations: usize,
    /// The packs read.
    pub packs: usize,
    /// The contents of packs whose bytes were compared.
    pub contents: u64,
    /// The bytes of packs read.
    pub bytes: u64,
    /// What is wrong, sorted by path.
    pub findings: Vec<Finding>,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// Where.
    #[serde(serialize_with = "as_text")]
    pub path: PathBuf,
    /// What kind, in words that stay: see the table of this module.
    pub code: &'static str,
    /// Whether anything is lost.
    pub severity: Severity,
    /// What exactly, for people.
    pub what: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// An invariant is broken.
    Damage,
    /// Nothing is lost; gc or the next save puts it right.
    Note,
}

impl VerifyReport {
    /// Tells whether an invariant is broken.
    pub fn has_damage(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Damage)
    }
}

/// Reads every manifest and every byte of every pack once, and compares.
///
/// Jobs and gc may work meanwhile: a lease keeps what is looked at, and what goes before it is
/// named is not missed. Memory holds one content a thread, and the list of contents.
pub fn verify(store: &Store) -> Result<VerifyReport> {
    let lease = store.lease(Purpose::Verify)?;
    // Packs, then leases, then manifests: a pack that is there is named by a live lease until a
    // manifest names it.
    let packs = store.packs()?;
    let leased = store.lease_facts()?.packs;
    let holdings = store.holdings()?;
    let mut findings = findings_of(store, &holdings, &packs.strangers);

    let claims = read_manifests(store, &lease, &holdings.manifests)?;
    findings.extend(claims.findings);
    let on_disk: BTreeSet<Digest> = packs.packs.into_iter().map(|(digest, _)| digest).collect();
    if claims.are_complete {
        let unreferenced =
            |digest: &&Digest| !leased.contains(digest) && !claims.packs.contains_key(digest);
        let paths = on_disk.iter().filter(unreferenced).map(|digest| store.pack_path(*digest));
        findings.extend(paths.map(|path| note(path, "pack-unreferenced", "nobody names it")));
    }

    let mut report = VerifyReport { generations: claims.generations, ..VerifyReport::default() };
    let named: BTreeSet<Digest> = claims.packs.keys().copied().collect();
    for (digest, checked) in check_packs(store, on_disk.union(&named), &claims.packs) {
        if checked.is_missing {
            // gc was faster with what no manifest names.
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

/// Returns what is wrong beside manifests and packs.
fn findings_of(store: &Store, holdings: &Holdings, strangers: &[PathBuf]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if holdings.root_mode & 0o077 != 0 {
        let what = format!("others than the owner may read it (mode {:04o})", holdings.root_mode);
        findings.push(note(store.root().to_owned(), "public-mode", what));
    }
    let is_named = |path: &PathBuf| strangers.contains(path) || holdings.strangers.contains(path);
    let odd = holdings.oddities.iter().filter(|odd| !is_named(&odd.path));
    findings.extend(odd.map(|odd| note(odd.path.clone(), "entry-odd", odd.what.clone())));
    let mut add = |paths: &[PathBuf], finding: &dyn Fn(PathBuf) -> Finding| {
        findings.extend(paths.iter().cloned().map(finding));
    };
    add(strangers, &|path| damage(path, "pack-stranger", "it is no pack"));
    add(&holdings.strangers, &|path| damage(path, "series-stranger", "it is no manifest"));
    add(&holdings.unreadable_stamps, &|path| note(path, "stamp-unreadable", "it holds no time"));
    add(&holdings.dead_leases, &|path| note(path, "lease-dead", "its process ended"));
    add(&holdings.unowned_staging, &|path| {
        note(path, "staging-left", "it belongs to no live process")
    });
    add(&holdings.trash, &|path| note(path, "trash-left", "a gc runs, or was ended"));
    findings
}

/// Returns what is wrong, without the path that the finding has beside it.
fn clause(error: &store::Error) -> String {
    match error {
        store::Error::Damaged { what, .. } => what.clone(),
        error => chain(error),
    }
}

#[cfg(test)]
mod tests;
