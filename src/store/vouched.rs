//! Records of the parts of a `CARGO_HOME` that were vouched for, so that unchanged parts need not
//! be checked again.
//!
//! The result does not depend on the job that checked a part, so jobs of all lanes use it. Like a
//! tree record, it holds for one boot.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::Result;
use super::open::Store;
use super::records::{open_record, write_record};
use crate::fs::At;
use crate::model::digest::Digest;
use crate::model::raw_path::RawPath;
use crate::model::rel_path::RelPath;
use crate::model::timestamp::Timestamp;

/// The parts below one directory of a `CARGO_HOME` that were vouched for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vouched {
    /// When a restore last wrote there. The disk may not hold that yet.
    pub placed: Option<Timestamp>,
    /// How often a job took over from a job that it may not read.
    pub turn: u64,
    /// The parts by path: a crate file, an extracted source, an index file, a repository or a
    /// checkout.
    pub parts: HashMap<RelPath, VouchedPart>,
}

/// A part of a `CARGO_HOME` that was vouched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VouchedPart {
    /// The digest of what it was compared with.
    pub with: Digest,
    /// The digest of the paths, inodes and sizes of its files at that time.
    pub files: Digest,
    /// The [`Vouched::turn`] in which it was last checked.
    pub turn: u64,
}

#[derive(Serialize, Deserialize)]
struct First {
    vouched: u32,
    directory: RawPath,
    boot: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    placed: Option<Timestamp>,
    #[serde(default)]
    turn: u64,
}

/// The extension of a record.
const VOUCHED: &str = "vouched";

impl Store {
    /// Returns the parts of `dir` that were vouched for since `boot`. An unreadable record is
    /// empty.
    pub fn vouched(&self, dir: &Path, boot: &str) -> Vouched {
        let found = open_record::<First>(&self.vouched_path(dir));
        let found = found.filter(|(first, _)| is_of(first, boot) && first.directory == raw(dir));
        let read = found.and_then(|(first, lines)| {
            Some(Vouched { placed: first.placed, turn: first.turn, parts: lines.values()? })
        });
        read.unwrap_or_default()
    }

    /// Records the vouched parts of `dir` in one step. If two jobs record at once, one record is
    /// lost, which costs time.
    pub fn set_vouched(&self, dir: &Path, boot: &str, vouched: &Vouched) -> Result<()> {
        let path = self.vouched_path(dir);
        let staging = self.staging_dir();
        let staged = tempfile::NamedTempFile::new_in(&staging).at("create a file in", &staging)?;
        let (directory, boot) = (raw(dir), boot.to_owned());
        let Vouched { placed, turn, parts } = vouched;
        let first = First { vouched: super::FORMAT, directory, boot, placed: *placed, turn: *turn };
        write_record(staged.as_file(), &first, parts).at("write", &path)?;
        staged.persist(&path).map_err(|failed| failed.error).at("write", &path)?;
        Ok(())
    }

    fn vouched_path(&self, dir: &Path) -> PathBuf {
        self.trees_dir().join(format!("{}.{VOUCHED}", Self::name_of(dir)))
    }
}

/// Tells whether the file at `path` is a record of vouched parts.
pub(super) fn is_vouched(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == VOUCHED)
}

/// Tells whether a record is of no use: it is unreadable or of another boot, or its directory is
/// gone.
pub(super) fn is_stale(path: &Path, boot: &str) -> bool {
    open_record::<First>(path).is_none_or(|(first, _)| {
        let dir = Path::new(OsStr::from_bytes(first.directory.as_bytes()));
        !is_of(&first, boot) || !dir.is_dir()
    })
}

fn is_of(first: &First, boot: &str) -> bool {
    first.vouched == super::FORMAT && !boot.is_empty() && first.boot == boot
}

fn raw(dir: &Path) -> RawPath {
    RawPath::of(dir.as_os_str().as_encoded_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    type TestResult = std::result::Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn vouched_parts_are_of_one_boot_and_one_directory() -> TestResult {
        let (root, dir) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let store = Store::open_or_init(root.path())?;
        let part = VouchedPart { with: Digest::of(b"a"), files: Digest::of(b"b"), turn: 3 };
        let parts = [(RelPath::parse(b"src/x/foo-1.0.0")?, part)].into();
        let vouched = Vouched { placed: Some(Timestamp::new(5, 0)), turn: 4, parts };
        store.set_vouched(dir.path(), "this", &vouched)?;
        assert_eq!(store.vouched(dir.path(), "this"), vouched);
        assert_eq!(store.vouched(dir.path(), "another"), Vouched::default());
        assert_eq!(store.vouched(root.path(), "this"), Vouched::default());
        let path = store.vouched_path(dir.path());
        assert!(is_vouched(&path) && !is_stale(&path, "this") && is_stale(&path, "another"));
        std::fs::write(&path, "damaged")?;
        assert_eq!(store.vouched(dir.path(), "this"), Vouched::default());
        assert!(is_stale(&path, "this"));
        Ok(())
    }
}
