//! Remembered answers of the programs that a job asks, for one checkout.
//!
//! The evidence that each answer is known by decides whether it is used; to this module both are
//! plain values. As inode numbers count, a record holds for one boot.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::Result;
use super::file::read_short;
use super::open::Store;
use crate::model::digest::Digest;
use crate::model::raw_path::RawPath;

#[derive(Serialize, Deserialize)]
struct Record {
    answers: u32,
    directory: RawPath,
    boot: String,
    known: Vec<(Digest, Value)>,
}

/// The longest record that is read, in bytes: 128 answers of 32 KiB.
const MAX_LEN: u64 = 5 << 20;

/// The extension of a record.
const ANSWERS: &str = "answers";

impl Store {
    /// Returns the answers that were recorded for `dir` since `boot`, each with its evidence. An
    /// unreadable record is empty.
    pub fn answers(&self, dir: &Path, boot: &str) -> Vec<(Digest, Value)> {
        let record = read(&self.answers_path(dir));
        let record = record.filter(|it| is_of(it, boot) && it.directory == raw(dir));
        record.map(|record| record.known).unwrap_or_default()
    }

    /// Records the answers for `dir` in one step. If two jobs record at once, one record is lost,
    /// which costs time.
    pub fn set_answers(&self, dir: &Path, boot: &str, known: Vec<(Digest, Value)>) -> Result<()> {
        let path = self.answers_path(dir);
        let (directory, boot) = (raw(dir), boot.to_owned());
        let record = Record { answers: super::FORMAT, directory, boot, known };
        let json = serde_json::to_vec(&record).expect("the record of answers is plain JSON");
        self.write_whole(&path, &json)
    }

    fn answers_path(&self, dir: &Path) -> PathBuf {
        self.trees_dir().join(format!("{}.{ANSWERS}", Self::name_of(dir)))
    }
}

/// Tells whether the file at `path` is a record of answers.
pub(super) fn is_answers(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == ANSWERS)
}

/// Tells whether a record is of no use: it is unreadable or of another boot, or its checkout is
/// gone.
pub(super) fn is_stale(path: &Path, boot: &str) -> bool {
    read(path).is_none_or(|record| {
        let dir = Path::new(OsStr::from_bytes(record.directory.as_bytes()));
        !is_of(&record, boot) || !dir.is_dir()
    })
}

fn is_of(record: &Record, boot: &str) -> bool {
    record.answers == super::FORMAT && !boot.is_empty() && record.boot == boot
}

fn read(path: &Path) -> Option<Record> {
    serde_json::from_slice(&read_short(path, MAX_LEN).ok()??).ok()
}

fn raw(dir: &Path) -> RawPath {
    RawPath::of(dir.as_os_str().as_encoded_bytes())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    type TestResult = std::result::Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn answers_are_of_one_boot_and_one_directory() -> TestResult {
        let (root, dir) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let store = Store::open_or_init(root.path())?;
        let known = vec![(Digest::of(b"a"), Value::from("rustc 1.95.0"))];
        store.set_answers(dir.path(), "this", known.clone())?;
        assert_eq!(store.answers(dir.path(), "this"), known);
        assert!(store.answers(dir.path(), "another").is_empty());
        assert!(store.answers(root.path(), "this").is_empty());
        let path = store.answers_path(dir.path());
        let written = format!(
            r#"{{"answers":1,"directory":"{}","boot":"this","known":[["{}","rustc 1.95.0"]]}}"#,
            dir.path().display(),
            Digest::of(b"a")
        );
        assert_eq!(fs::read_to_string(&path)?, written, "as docs/FORMAT.md says");
        assert!(is_answers(&path) && !is_stale(&path, "this") && is_stale(&path, "another"));
        fs::write(&path, "damaged")?;
        assert!(store.answers(dir.path(), "this").is_empty());
        assert!(is_stale(&path, "this"));
        store.set_answers(dir.path(), "this", known)?;
        fs::remove_dir(dir.path())?;
        assert!(is_stale(&path, "this"), "its checkout is gone");
        Ok(())
    }
}
