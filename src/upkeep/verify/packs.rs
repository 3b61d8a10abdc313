//! Compares the contents of packs with the claims of manifests.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use rayon::prelude::*;

use super::manifests::Claim;
use super::{Finding, clause, damage};
use crate::fs::room::Room;
use crate::model::digest::Digest;
use crate::store::{self, Store};

/// The result of checking one pack.
#[derive(Default)]
pub(super) struct Checked {
    pub(super) is_missing: bool,
    pub(super) contents: u64,
    pub(super) bytes: u64,
    pub(super) findings: Vec<Finding>,
}

pub(super) fn check_packs<'a>(
    store: &Store,
    digests: impl Iterator<Item = &'a Digest>,
    claims: &BTreeMap<Digest, Claim>,
) -> Vec<(Digest, Checked)> {
    let none = Claim::default();
    let digests: Vec<_> = digests.copied().collect();
    let check = |buffer: &mut Room, digest| {
        let claim = claims.get(&digest).unwrap_or(&none);
        (digest, check_pack(store, digest, claim, buffer))
    };
    digests.into_par_iter().map_init(Room::default, check).collect()
}

fn check_pack(store: &Store, digest: Digest, claim: &Claim, buffer: &mut Room) -> Checked {
    let path = store.pack_path(digest);
    let mut checked = Checked::default();
    let pack = match store.open_pack(digest) {
        Ok(pack) => pack,
        Err(store::Error::PackMissing(_)) => return Checked { is_missing: true, ..checked },
        Err(error) => {
            checked.findings.push(damage(path, "pack-unreadable", clause(&error)));
            return checked;
        }
    };
    let mut held =
        Held { stored_bytes: path.metadata().map_or(0, |at| at.len()), ..Held::default() };
    checked.bytes = held.stored_bytes;
    let mut wrong = Vec::new();
    let (members, digest_of_bytes) = pack.each_and_digest(|member| {
        held.content_bytes += member.len;
        held.contents.insert(member.digest, member.len);
        wrong.extend(member.read_and_compare(buffer).err());
        Ok::<_, store::Error>(())
    });
    // Each cause gets only one finding: a pack whose bytes changed does not decompress either.
    checked.findings = match (digest_of_bytes, members) {
        (Ok(found), _) if found != digest => {
            let what = format!("its bytes have the digest {found}; {}", claim.named_by());
            vec![damage(path, "pack-damaged", what)]
        }
        (Err(error), _) | (_, Err(error)) => {
            vec![damage(path, "pack-unreadable", clause(&error))]
        }
        _ if wrong.is_empty() => claim.contradictions(digest, &held),
        _ => {
            let of_member = |error| damage(path.clone(), "content-damaged", clause(error));
            wrong.iter().map(of_member).collect()
        }
    };
    checked.contents = held.contents.len() as u64;
    checked
}

/// The sizes and contents that a pack really has.
#[derive(Default)]
struct Held {
    stored_bytes: u64,
    content_bytes: u64,
    contents: HashMap<Digest, u64>,
}

impl Claim {
    /// Returns the findings for manifests that contradict this pack.
    fn contradictions(&self, digest: Digest, held: &Held) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (used, path) in &self.uses {
            let said = (used.stored_bytes, used.content_bytes);
            let is = (held.stored_bytes, held.content_bytes);
            if said != is {
                let what = format!(
                    "it says that pack {digest} has {} bytes and {} of contents; it has {} and {}",
                    said.0, said.1, is.0, is.1
                );
                findings.push(damage(path.clone(), "manifest-flawed", what));
            }
        }
        let mut missing: BTreeMap<&Path, BTreeSet<Digest>> = BTreeMap::new();
        for (content, (len, by)) in &self.contents {
            let path = &self.uses[*by].1;
            match held.contents.get(content) {
                Some(is) if is == len => {}
                Some(is) => {
                    let what =
                        format!("it says that content {content} has {len} bytes, it has {is}");
                    findings.push(damage(path.clone(), "manifest-flawed", what));
                }
                None => drop(missing.entry(path).or_default().insert(*content)),
            }
        }
        for (path, contents) in missing {
            let first = contents.first().expect("a list is made when its first content comes");
            let more = match contents.len() {
                1 => String::new(),
                count => format!(" and {} more", count - 1),
            };
            let what = format!("pack {digest} does not hold content {first}{more}");
            findings.push(damage(path.to_owned(), "content-missing", what));
        }
        findings
    }
}
