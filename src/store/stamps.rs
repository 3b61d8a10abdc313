//! Stamps: when a series or a mirror was last used. A directory's mtime never tells.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::error::Result;
use super::file::read_short;
use super::open::Store;
use super::sweep::GcLock;
use crate::fs::At;
use crate::fs::remove::{remove_empty_dir, remove_file};
use crate::fs::stat::{Kind, Stat};
use crate::fs::walk::list;
use crate::model::manifest::Series;
use crate::model::timestamp::Timestamp;

/// The longest stamp that is read, in bytes: a number of 20 characters, a point and nine digits
/// fit.
const MAX_LEN: u64 = 64;

impl Store {
    /// Records that a restore or save used `series` at `now`.
    ///
    /// Replaces the stamp in one step; of two concurrent calls, one stays. A stamp never goes back.
    pub fn stamp(&self, series: &Series, now: Timestamp) -> Result<()> {
        if self.last_used(series).is_some_and(|before| before >= now) {
            return Ok(());
        }
        self.write_stamp(&self.stamp_path(series), now)
    }

    /// Writes `now` to the stamp at `path` in one step.
    pub(super) fn write_stamp(&self, path: &Path, now: Timestamp) -> Result<()> {
        let dir = path.parent().unwrap_or(path);
        let staging = self.staging_dir();
        let mut staged =
            tempfile::NamedTempFile::new_in(&staging).at("create a file in", &staging)?;
        writeln!(staged, "{}.{:09}", now.secs(), now.nanos()).at("write", path)?;
        self.create_dirs(dir)?;
        self.persist(staged, path)
    }

    /// Returns when `series` was last used; `None` if its stamp is missing or unreadable.
    pub fn last_used(&self, series: &Series) -> Option<Timestamp> {
        read_stamp(&self.stamp_path(series))
    }

    /// Returns the stamps that cannot be parsed.
    pub(super) fn unreadable_stamps(&self) -> Result<Vec<PathBuf>> {
        let dir = self.stamps_dir();
        let paths = list(&dir, |_, _| true)?.paths.into_iter().map(|path| dir.join(path.as_path()));
        let is_file = |path: &PathBuf| Stat::of(path).is_ok_and(|stat| stat.kind == Kind::File);
        Ok(paths.filter(|path| is_file(path) && read_stamp(path).is_none()).collect())
    }

    /// Removes the stamps and the empty directories of series without generations.
    pub(super) fn forget_empty_series(&self, lock: &GcLock) -> Result<()> {
        remove_empty_dirs(&self.all_series_dir())?;
        let dir = self.stamps_dir();
        for below in list(&dir, |_, _| true)?.paths {
            let series_dir = self.all_series_dir().join(below.as_path());
            let path = dir.join(below.as_path());
            let is_dir = Stat::of(&path).is_ok_and(|stat| stat.kind == Kind::Dir);
            if !is_dir && !series_dir.exists() {
                lock.or_note(remove_file(&path))?;
            }
        }
        remove_empty_dirs(&dir)
    }
}

/// Returns the time in the stamp at `path`; `None` if it is missing or unreadable.
pub(super) fn read_stamp(path: &Path) -> Option<Timestamp> {
    let bytes = read_short(path, MAX_LEN).ok()??;
    parse(std::str::from_utf8(&bytes).ok()?)
}

/// Removes empty directories below `dir`, and those that hold only empty ones.
fn remove_empty_dirs(dir: &Path) -> Result<()> {
    let dirs = list(dir, |_, kind| kind == Kind::Dir)?.paths;
    for below in dirs.iter().rev() {
        // A directory that a saver has just filled stays.
        remove_empty_dir(&dir.join(below.as_path()));
    }
    Ok(())
}

fn parse(text: &str) -> Option<Timestamp> {
    let (secs, nanos) = text.trim().split_once('.')?;
    Some(Timestamp::new(secs.parse().ok()?, nanos.parse().ok()?))
}
