//! The files in a restored directory, which are recorded so that the save need not read them.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use rayon::prelude::*;

use super::units::forget_reads;
use crate::fs::beneath::Beneath;
use crate::fs::cursor::{AT_A_TIME, Cursor};
use crate::fs::stat::{Inode, Kind, Stat};
use crate::job::Result;
use crate::job::report::AreaMode;
use crate::job::warning::Warning;
use crate::model::manifest::{Entry, EntryKind, FileFacts, Manifest};
use crate::model::rel_path::RelPath;
use crate::tree::compare::{Known, has_same_bytes};

/// How an area was put in place.
#[derive(Default)]
pub(super) struct Placed {
    /// The rung that was used.
    pub(super) mode: AreaMode,
    /// The inodes of files whose bytes are certain: this restore wrote them, or a save saw them.
    pub(super) inodes: HashMap<RelPath, Inode>,
    /// The files that this restore wrote or compared; `None` if these are all files.
    pub(super) certain: Option<HashSet<RelPath>>,
    /// The reasons why hot trees could not be used.
    pub(super) warnings: Vec<Warning>,
}

impl Placed {
    /// Tells whether the restore may have written anything.
    pub(super) fn wrote(&self) -> bool {
        self.certain.as_ref().is_none_or(|files| !files.is_empty())
    }

    /// Makes every fingerprint of a target look unread, so that the save can tell which ones cargo
    /// read meanwhile.
    pub(super) fn forget_reads(&mut self, dir: &Path, entries: &[Entry]) -> Result<()> {
        // Files that were just written look unread already.
        if matches!(self.mode, AreaMode::InPlace | AreaMode::Move) {
            for path in forget_reads(dir, entries)? {
                self.inodes.remove(path);
            }
        }
        Ok(())
    }

    /// Returns the inodes of the files of `manifest` in `dir` whose bytes are certain.
    pub(super) fn inodes(
        mut self,
        dir: &Path,
        manifest: &Manifest,
        known: Option<&Known>,
    ) -> Result<HashMap<RelPath, Inode>> {
        let dir = Beneath::open(dir)?;
        let is_open = |entry: &&Entry| !self.inodes.contains_key(&entry.path);
        let files = manifest.entries.iter().filter(is_open).filter_map(|entry| match &entry.kind {
            EntryKind::File(facts) => Some((&entry.path, facts)),
            _ => None,
        });
        let files: Vec<_> = files.collect();
        let looked = files.par_chunks(AT_A_TIME).map(|files| {
            let mut cursor = Cursor::new(&dir);
            let mut found = Vec::new();
            for (path, facts) in files {
                // A file that was removed meanwhile is not recorded.
                if let Some((.., stat)) = cursor.find(path)?
                    && self.is_certain(path, facts, &stat, known)
                {
                    found.push(((*path).clone(), stat.inode));
                }
            }
            Ok(found)
        });
        let looked = looked.collect::<Result<Vec<_>>>()?;
        self.inodes.extend(looked.into_iter().flatten());
        Ok(self.inodes)
    }

    fn is_certain(
        &self,
        path: &RelPath,
        facts: &FileFacts,
        stat: &Stat,
        known: Option<&Known>,
    ) -> bool {
        let recorded = || known.and_then(|known| known.facts_of(path, stat));
        let is_certain = match &self.certain {
            // In a shared directory, a file that was there before may have other bytes.
            Some(files) if !files.contains(path) => {
                recorded().is_some_and(|recorded| has_same_bytes(recorded, facts))
            }
            _ => true,
        };
        let looks_same =
            (stat.kind, stat.size, stat.mtime) == (Kind::File, facts.size, facts.mtime);
        is_certain && looks_same
    }
}
