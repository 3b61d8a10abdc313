//! When a series was last used: our own word, never a directory's mtime.

use std::fs;
use std::io::{self, Write};

use super::error::Result;
use super::open::Store;
use crate::fs::At;
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
        let path = self.stamp_path(series);
        let dir = path.parent().unwrap_or(&path);
        fs::create_dir_all(dir).at("create directory", dir)?;
        let staging = self.staging_dir();
        let mut staged =
            tempfile::NamedTempFile::new_in(&staging).at("create a file in", &staging)?;
        writeln!(staged, "{}.{:09}", now.secs(), now.nanos()).at("write", &path)?;
        staged.persist(&path).map_err(|failed| failed.error).at("write", &path)?;
        Ok(())
    }

    /// Returns when `series` was last used. A stamp that is missing or cannot be understood is
    /// none.
    pub fn last_used(&self, series: &Series) -> Result<Option<Timestamp>> {
        let path = self.stamp_path(series);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(None),
            text => text.at("read", &path)?,
        };
        let parsed = text.trim().split_once('.').and_then(|(secs, nanos)| {
            Some(Timestamp::new(secs.parse().ok()?, nanos.parse().ok()?))
        });
        Ok(parsed)
    }

    /// Removes the stamp and the empty directories of a series that has no generation left.
    pub(super) fn forget(&self, series: &Series) -> Result<()> {
        let path = self.stamp_path(series);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).at("remove", &path)?
            }
            _ => {}
        }
        let series_dir = self.series_dir(series);
        let of_series = series_dir.ancestors().take(3);
        let of_stamp = path.ancestors().skip(1).take(2);
        for dir in of_series.chain(of_stamp) {
            // Only empty directories go; one that a saver just filled stays, and is meant to.
            drop(fs::remove_dir(dir));
        }
        Ok(())
    }
}
