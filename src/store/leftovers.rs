//! What killed processes left in `staging/`.

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
    /// Returns what is in `staging/` and belongs to no live lease.
    ///
    /// A stamp or tree record is staged without a lease for a moment, so what was just made may
    /// be in use.
    pub(super) fn unowned_staging(&self) -> Result<Vec<(PathBuf, Stat)>> {
        // Before the leases: each is taken before its directory is made.
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

    /// Removes what is in `staging/`, belongs to no live lease and was last written before
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
