//! When a series, or a mirror, was last used: our own word, never a directory's mtime.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::error::Result;
use super::generations::create_dirs;
use super::open::Store;
use crate::fs::At;
use crate::fs::remove::remove_file;
use crate::fs::stat::Kind;
use crate::fs::walk::walk;
use crate::model::manifest::Series;
use crate::model::timestamp::Timestamp;

impl Store {
    /// Records that a restore or save used `series` at `now`.
    ///
    /// Replaces the stamp in one step; of two at once, one stays. A stamp never goes back.
    pub fn stamp(&self, series: &Series, now: Timestamp) -> Result<()> {
        if self.last_used(series)?.is_some_and(|before| before >= now) {
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
        loop {
            create_dirs(dir)?;
            match staged.persist(path) {
                Ok(_) => return Ok(()),
                // gc removed the directory because it was empty.
                Err(failed)
                    if failed.error.kind() == io::ErrorKind::NotFound
                        && failed.file.path().exists() =>
                {
                    staged = failed.file;
                }
                Err(failed) => return Ok(Err(failed.error).at("write", path)?),
            }
        }
    }

    /// Returns when `series` was last used. A stamp that is missing or cannot be understood is
    /// none.
    pub fn last_used(&self, series: &Series) -> Result<Option<Timestamp>> {
        read_stamp(&self.stamp_path(series))
    }

    /// Returns the stamps that cannot be understood.
    pub(super) fn unreadable_stamps(&self) -> Result<Vec<PathBuf>> {
        let dir = self.stamps_dir();
        let mut unreadable = Vec::new();
        for found in walk(&dir, |_, _| true)? {
            let path = dir.join(found.path.as_path());
            let is_stamp = || fs::read_to_string(&path).is_ok_and(|text| parse(&text).is_some());
            if found.stat.kind != Kind::Dir && !is_stamp() {
                unreadable.push(path);
            }
        }
        Ok(unreadable)
    }

    /// Removes the stamps and the empty directories of series that have no generation left.
    pub(super) fn forget_empty_series(&self) -> Result<()> {
        remove_empty_dirs(&self.all_series_dir())?;
        let dir = self.stamps_dir();
        for found in walk(&dir, |_, _| true)? {
            let series_dir = self.all_series_dir().join(found.path.as_path());
            let path = dir.join(found.path.as_path());
            if found.stat.kind == Kind::Dir || series_dir.exists() {
                continue;
            }
            remove_file(&path)?;
        }
        remove_empty_dirs(&dir)
    }
}

/// Returns the time of the stamp at `path`. One that is missing or cannot be understood is none.
pub(super) fn read_stamp(path: &Path) -> Result<Option<Timestamp>> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(None),
        text => text.at("read", path)?,
    };
    Ok(parse(&text))
}

/// Removes the empty directories below `dir`, and those that only hold empty ones.
fn remove_empty_dirs(dir: &Path) -> Result<()> {
    let dirs = walk(dir, |_, kind| kind == Kind::Dir)?;
    for found in dirs.iter().rev() {
        // The kernel decides whether it is empty; one that a saver just filled stays.
        drop(fs::remove_dir(dir.join(found.path.as_path())));
    }
    Ok(())
}

fn parse(text: &str) -> Option<Timestamp> {
    let (secs, nanos) = text.trim().split_once('.')?;
    Some(Timestamp::new(secs.parse().ok()?, nanos.parse().ok()?))
}
