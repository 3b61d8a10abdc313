//! Leftovers of killed processes in `staging/`.

use std::path::PathBuf;

use super::error::Result;
use super::generations::read_dir;
use super::open::Store;
use super::sweep::GcLock;
use crate::fs::At;
use crate::fs::remove::remove_tree;
use crate::fs::stat::Stat;
use crate::model::timestamp::Timestamp;

impl Store {
    /// Returns the entries of `staging/` that belong to no live lease.
    ///
    /// A new entry may still be in use: a stamp or tree record is staged for a moment without a
    /// lease.
    pub(super) fn unowned_staging(&self) -> Result<Vec<(PathBuf, Stat)>> {
        // List before reading leases: a process takes its lease before it creates its directory.
        let staged = read_dir(&self.staging_dir())?;
        let leased = self.lease_facts()?;
        let is_owned = |name: &str| leased.ids.contains(name);
        let mut unowned = Vec::new();
        for path in staged {
            let name = path.file_name().and_then(|name| name.to_str());
            if name.is_none_or(|name| !is_owned(name)) {
                let stat = Stat::if_exists(&path).at("read metadata", &path)?;
                unowned.extend(stat.map(|stat| (path, stat)));
            }
        }
        Ok(unowned)
    }

    /// Removes the entries of `staging/` that belong to no live lease and were last written before
    /// `before`.
    pub fn clear_staging(&self, lock: &GcLock, before: Timestamp) -> Result<()> {
        for (path, stat) in self.unowned_staging()? {
            if stat.mtime < before {
                lock.or_note(remove_tree(&path))?;
            }
        }
        Ok(())
    }
}
