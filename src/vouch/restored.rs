//! Vouches for the parts that a restore wrote, if their generation was vouched for when it was saved.

use std::collections::{BTreeMap, HashMap};

use super::git::compared_with;
use super::part::files_digest;
use super::registry::{index_kind, whole};
use super::{Part, Seen, Vouching};
use crate::cargo::home::{CrateOf, RegistryPart, Shared, registry_part, unit};
use crate::cargo::index_file::IndexFile;
use crate::fs::stat::Inode;
use crate::job::Result;
use crate::model::digest::Digest;
use crate::model::manifest::{Entry, EntryKind, Manifest};
use crate::model::rel_path::RelPath;
use crate::model::timestamp::Timestamp;

/// The result of a restore to a part of a `CARGO_HOME`.
pub(crate) struct Restored<'a> {
    pub(crate) manifest: &'a Manifest,
    /// The inode of each file that certainly holds the bytes of the generation.
    pub(crate) inodes: &'a HashMap<RelPath, Inode>,
    /// The time at which the restore wrote, if it wrote anything. The disk need not hold that yet.
    pub(crate) placed: Option<Timestamp>,
}

impl Vouching<'_> {
    /// Records the restored parts as right, if their generation was vouched for and they are as the lock files say.
    pub(crate) fn note_restored(&self, part: Part<'_>, restored: &Restored<'_>) -> Result<()> {
        let known = self.store.vouched(part.dir, self.boot);
        let mut vouched = known.clone();
        vouched.placed = restored.placed.or(known.placed);
        let right = match part.kind {
            _ if !restored.manifest.header.vouched => Vec::new(),
            Shared::Registry => self.right_in_registry(restored),
            Shared::Git => self.right_in_git(restored),
        };
        let right = right.into_iter().map(|(path, seen)| (path, seen.in_turn(known.turn)));
        vouched.parts.extend(right);
        if vouched != known {
            self.store.set_vouched(part.dir, self.boot, &vouched)?;
        }
        Ok(())
    }

    fn right_in_git(&self, restored: &Restored<'_>) -> Vec<(RelPath, Seen)> {
        let mut tops: BTreeMap<RelPath, Vec<&Entry>> = BTreeMap::new();
        for entry in &restored.manifest.entries {
            if let Some(top) = unit(Shared::Git, &entry.path) {
                tops.entry(top).or_default().push(entry);
            }
        }
        let seen = |(top, entries): (RelPath, Vec<&Entry>)| {
            let with = compared_with(self, &top)?;
            let files = restored.files_digest(&entries)?;
            Some((top, Seen { with, files }))
        };
        tops.into_iter().filter_map(seen).collect()
    }

    fn right_in_registry(&self, restored: &Restored<'_>) -> Vec<(RelPath, Seen)> {
        let checksums = self.job.locked_parts.checksums();
        let mut digests: BTreeMap<CrateOf<'_>, Digest> = BTreeMap::new();
        let mut sources: BTreeMap<CrateOf<'_>, Vec<&Entry>> = BTreeMap::new();
        let mut right = Vec::new();
        let mut add = |path: &RelPath, with: Digest, entries: &[&Entry]| {
            let files = restored.files_digest(entries);
            right.extend(files.map(|files| (path.clone(), Seen { with, files })));
        };
        for entry in &restored.manifest.entries {
            match (registry_part(&entry.path), &entry.kind) {
                (RegistryPart::CrateFile(of), EntryKind::File(facts)) => {
                    let expected = checksums.of(of);
                    if let Some(digest) = facts.digest().filter(|it| expected.is(it)) {
                        digests.insert(of, digest);
                        add(&entry.path, digest, &[entry]);
                    }
                }
                (RegistryPart::Source(of), _) => sources.entry(of).or_default().push(entry),
                (RegistryPart::Index, EntryKind::File(_))
                    if index_kind(&entry.path) != IndexFile::Other =>
                {
                    add(&entry.path, whole(), &[entry]);
                }
                _ => {}
            }
        }
        for (of, entries) in sources {
            let top = entries.first().and_then(|entry| unit(Shared::Registry, &entry.path));
            if let (Some(digest), Some(top)) = (digests.get(&of), top) {
                add(&top, *digest, &entries);
            }
        }
        right
    }
}

impl Restored<'_> {
    /// Returns the digest of the files of these entries, if the inode of each is known.
    fn files_digest(&self, entries: &[&Entry]) -> Option<Digest> {
        let entry_file = |path: &RelPath| match &self.manifest.entry(path)?.kind {
            EntryKind::File(facts) => Some((*self.inodes.get(path)?, facts.size)),
            _ => None,
        };
        let mut files = Vec::new();
        for entry in entries {
            let first = match &entry.kind {
                EntryKind::Dir { .. } => continue,
                EntryKind::File(_) => &entry.path,
                EntryKind::HardLink { of } => of,
                EntryKind::Symlink { .. } => return None,
            };
            let (inode, size) = entry_file(first)?;
            files.push((&entry.path, inode, size));
        }
        Some(files_digest(files.into_iter()))
    }
}
