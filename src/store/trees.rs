//! Tree records: what we left at a directory, so that the next job need not read it.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::Result;
use super::open::Store;
use crate::fs::At;
use crate::fs::stat::{Inode, Stat};
use crate::model::manifest::{GenerationId, RawPath};
use crate::model::rel_path::RelPath;
use crate::model::timestamp::Timestamp;

/// What a restore or save left at a directory.
///
/// It says: the file at this path, as long as it is this inode with this ctime, holds the bytes
/// that the generation has for the path. Nothing depends on it but speed. A record of another
/// boot counts for nothing: after a power loss a file may have its times but not its bytes.
#[derive(Clone, Debug)]
pub struct TreeRecord {
    /// The generation whose contents the files hold.
    pub generation: GenerationId,
    /// Each file's inode.
    pub inodes: HashMap<RelPath, Inode>,
}

#[derive(Serialize, Deserialize)]
struct First {
    tree: u32,
    directory: RawPath,
    boot: String,
    generation: GenerationId,
}

impl TreeRecord {
    /// Tells whether the file at `path` is still the one that was recorded.
    pub fn holds(&self, path: &RelPath, stat: &Stat) -> bool {
        self.inodes.get(path) == Some(&stat.inode)
    }

    /// Leaves out every file that changed so lately that a further change might get the same
    /// ctime. `now` is the time of the filesystem itself, taken after the stats.
    ///
    /// The kernel stamps files with the time of its last tick; the slowest tick is 10 ms (100 Hz),
    /// twice that is safe.
    pub fn settle(&mut self, now: Timestamp) {
        let recent = now.minus(0, 20_000_000);
        self.inodes.retain(|_, inode| inode.ctime < recent);
    }
}

impl Store {
    /// Records what is at `dir`, replacing what was known of it.
    pub fn record_tree(&self, dir: &Path, boot: &str, record: &TreeRecord) -> Result<()> {
        let path = self.tree_path(dir);
        let staging = self.staging_dir();
        let staged = tempfile::NamedTempFile::new_in(&staging).at("create a file in", &staging)?;
        let first = First {
            tree: super::FORMAT,
            directory: RawPath::of(dir.as_os_str().as_encoded_bytes()),
            boot: boot.to_owned(),
            generation: record.generation.clone(),
        };
        let write = || {
            let encoder = zstd::Encoder::new(staged.as_file(), 1)?;
            let mut out = BufWriter::new(encoder);
            serde_json::to_writer(&mut out, &first)?;
            for line in &record.inodes {
                out.write_all(b"\n")?;
                serde_json::to_writer(&mut out, &line)?;
            }
            out.into_inner().map_err(io::IntoInnerError::into_error)?.finish()
        };
        write().at("write", &path)?;
        staged.persist(&path).map_err(|failed| failed.error).at("write", &path)?;
        Ok(())
    }

    /// Returns what is known of `dir` since `boot`, if anything. A record that cannot be read is
    /// none: it is only there to save time.
    pub fn tree_record(&self, dir: &Path, boot: &str) -> Option<TreeRecord> {
        let file = File::open(self.tree_path(dir)).ok()?;
        let mut lines = BufReader::new(zstd::Decoder::new(file).ok()?).split(b'\n');
        let first: First = serde_json::from_slice(&lines.next()?.ok()?).ok()?;
        let directory = RawPath::of(dir.as_os_str().as_encoded_bytes());
        if first.tree != super::FORMAT || first.boot != boot || first.directory != directory {
            return None;
        }
        let mut inodes = HashMap::new();
        for line in lines {
            let (path, inode) = serde_json::from_slice(&line.ok()?).ok()?;
            inodes.insert(path, inode);
        }
        Some(TreeRecord { generation: first.generation, inodes })
    }

    /// Forgets what was known of `dir`.
    pub fn forget_tree(&self, dir: &Path) -> Result<()> {
        let path = self.tree_path(dir);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => Ok(removed.at("remove", &path)?),
        }
    }

    fn tree_path(&self, dir: &Path) -> std::path::PathBuf {
        self.trees_dir().join(format!("{}.zst", Self::name_of(dir)))
    }
}

/// Returns what names the running boot of this machine.
pub fn boot_id() -> String {
    // Without it records of an earlier boot would be believed: then they are not written either,
    // because an empty boot is like no other.
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}
