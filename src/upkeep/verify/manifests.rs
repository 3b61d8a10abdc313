//! Checks the manifests: what they say of themselves and of packs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::{Finding, clause, damage, note};
use crate::cargo::artifacts::Survey;
use crate::job::Result;
use crate::model::digest::Digest;
use crate::model::manifest::{EntryKind, Manifest, PackUse};
use crate::model::unit_use::UnitDir;
use crate::store::{self, Examined, Lease, Store, Use};
use crate::upkeep::survey::survey_of;

/// The claims of all manifests about packs.
pub(super) struct Claims {
    pub(super) generations: usize,
    pub(super) packs: BTreeMap<Digest, Claim>,
    pub(super) findings: Vec<Finding>,
    /// Whether every manifest could be read.
    pub(super) are_complete: bool,
}

/// The claims of all manifests about one pack.
#[derive(Default)]
pub(super) struct Claim {
    pub(super) uses: Vec<(PackUse, PathBuf)>,
    /// The length of each content in bytes, and the index in `uses` of the manifest that says so.
    pub(super) contents: HashMap<Digest, (u64, usize)>,
}

impl Claim {
    pub(super) fn named_by(&self) -> String {
        let first = self.uses.first().map(|(_, path)| path.display().to_string());
        let first = first.unwrap_or_default();
        match self.uses.len() {
            0 => "no manifest names it".to_owned(),
            1 => format!("`{first}` names it"),
            2 => format!("`{first}` and 1 other manifest name it"),
            count => format!("`{first}` and {} other manifests name it", count - 1),
        }
    }
}

pub(super) fn read_manifests(store: &Store, lease: &Lease, paths: &[PathBuf]) -> Result<Claims> {
    let read = paths.par_iter().map(|path| Claims::of(store, lease, path));
    read.try_reduce(Claims::none, |a, b| Ok(a.and(b)))
}

impl Claims {
    fn none() -> Self {
        Self { generations: 0, packs: BTreeMap::new(), findings: Vec::new(), are_complete: true }
    }

    fn of(store: &Store, lease: &Lease, path: &Path) -> Result<Self> {
        let mut claims = Self::none();
        let examined = match store.examine(path) {
            Ok(examined) => examined,
            Err(error) => {
                claims.findings.extend(unread(&error, path));
                claims.are_complete = claims.findings.is_empty();
                return Ok(claims);
            }
        };
        lease.name(&Use::Generation(examined.id.clone()))?;
        if !path.exists() {
            return Ok(claims);
        }
        let Examined { id, manifest, is_in_place } = examined;
        if !is_in_place {
            let what = format!("its header says that it is {id}");
            claims.findings.push(damage(path.to_owned(), "manifest-misplaced", what));
        }
        let flaw = manifest.flaw().or_else(|| miscount(&manifest));
        claims.findings.extend(flaw.map(|what| damage(path.to_owned(), "manifest-flawed", what)));
        claims.findings.extend(findings_of_units(&manifest, path));
        claims.generations = 1;
        claims.take(&manifest, path);
        Ok(claims)
    }

    fn take(&mut self, manifest: &Manifest, path: &Path) {
        for pack in &manifest.header.packs {
            let claim = self.packs.entry(pack.digest).or_default();
            claim.uses.push((pack.clone(), path.to_owned()));
        }
        for content in manifest.files().flat_map(|facts| &facts.contents) {
            let pack = manifest.header.packs.get(content.pack as usize);
            if let Some(claim) = pack.and_then(|pack| self.packs.get_mut(&pack.digest)) {
                claim.contents.insert(content.digest, (content.len, 0));
            }
        }
    }

    fn and(mut self, other: Self) -> Self {
        for (digest, theirs) in other.packs {
            let ours = self.packs.entry(digest).or_default();
            let before = ours.uses.len();
            ours.uses.extend(theirs.uses);
            for (content, (len, by)) in theirs.contents {
                // If two manifests differ in the length, at most one is right: the pack shows which.
                ours.contents.entry(content).or_insert((len, before + by));
            }
        }
        self.findings.extend(other.findings);
        self.generations += other.generations;
        self.are_complete &= other.are_complete;
        self
    }
}

/// Returns the finding for a manifest that cannot be read, or `None` if gc has just removed it.
fn unread(error: &store::Error, path: &Path) -> Option<Finding> {
    let path = path.to_owned();
    match error {
        store::Error::Io(error) if error.source.kind() == io::ErrorKind::NotFound => None,
        store::Error::NewerFormat { found, known, .. } => {
            let what = format!("it has format {found}, this program knows {known}");
            Some(note(path, "manifest-newer", what))
        }
        error => Some(damage(path, "manifest-unreadable", clause(error))),
    }
}

/// Returns which number in the header is wrong, if any is.
fn miscount(manifest: &Manifest) -> Option<String> {
    let mut files = 0;
    let mut bytes = 0_u64;
    for entry in &manifest.entries {
        match &entry.kind {
            EntryKind::File(facts) => {
                files += 1;
                bytes = bytes.saturating_add(facts.size);
            }
            EntryKind::HardLink { .. } => files += 1,
            EntryKind::Dir { .. } | EntryKind::Symlink { .. } => {}
        }
    }
    let header = &manifest.header;
    let counts = [
        ("entries", header.entries, manifest.entries.len() as u64),
        ("files", header.files, files),
        ("bytes", header.bytes, bytes),
    ];
    let wrong = counts.into_iter().find(|(_, said, counted)| said != counted);
    wrong.map(|(of_what, said, counted)| {
        format!("its header says {said} {of_what}, but it has {counted}")
    })
}

/// Reports the units that have a fingerprint of a built unit but no artifacts, and the units whose fingerprint has an
/// unknown shape.
fn findings_of_units(manifest: &Manifest, path: &Path) -> Vec<Finding> {
    if manifest.header.series.area.is_shared() {
        return Vec::new();
    }
    let Survey { hollow, unknown } = survey_of(manifest);
    let hollow = some_of(&hollow).map(|units| {
        let what = format!("it says that {units} is built, but the artifacts are missing");
        damage(path.to_owned(), "unit-hollow", what)
    });
    let unknown = some_of(&unknown).map(|units| {
        let what =
            format!("the fingerprint of {units} has a format that this version does not know");
        note(path.to_owned(), "fingerprint-unknown", what)
    });
    hollow.into_iter().chain(unknown).collect()
}

/// Names the first of the units and counts the others.
fn some_of(units: &BTreeSet<UnitDir>) -> Option<String> {
    let first = units.first()?;
    Some(match units.len() {
        1 => format!("unit `{first}`"),
        count => format!("unit `{first}` and {} more", count - 1),
    })
}
