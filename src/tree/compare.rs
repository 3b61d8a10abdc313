//! Compares a directory with a generation, reading as little as possible.

use std::collections::{HashMap, HashSet};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;

use super::missed;
use super::walk::walk_beside;
use crate::cargo::scratch::Scratch;
use crate::fs::At;
use crate::fs::beneath::Beneath;
use crate::fs::extents::data_runs;
use crate::fs::stat::{Kind, Stat};
use crate::fs::walk::{Found, Walked};
use crate::job::Result;
use crate::job::checkout_files::CheckoutFiles;
use crate::job::progress::Progress;
use crate::model::digest::Digest;
use crate::model::manifest::{
    Content, Entry, EntryKind, FileFacts, GenerationId, Manifest, PERMISSIONS,
};
use crate::model::rel_path::RelPath;
use crate::model::scope::Scope;
use crate::store::{Lease, Store, TreeRecord};

/// The contents of the files in a directory that are known without reading them.
pub struct Known {
    record: TreeRecord,
    manifest: Arc<Manifest>,
}

/// The result of comparing a directory with a generation.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Files with the right bytes, mode and mtime.
    pub same: HashSet<RelPath>,
    /// Whether all other entries are right too, and there is nothing else except scratch.
    pub is_whole: bool,
    /// Paths that cannot be read.
    pub unreadable: Vec<RelPath>,
    /// Paths of scratch files and directories, without the paths below them.
    pub scratch: Vec<RelPath>,
}

impl Known {
    /// Returns the tree record of `dir` and the manifest of its generation. Returns `None` unless the record is of this
    /// boot, the generation still exists, and `chain` may read it. `read` is a manifest that the lease names and that
    /// was already read; it is not read again.
    pub fn of(
        store: &Store,
        lease: &Lease,
        chain: &[Scope],
        dir: &Path,
        boot: &str,
        read: Option<(&GenerationId, &Arc<Manifest>)>,
    ) -> Option<Self> {
        let id = store.tree_generation(dir, boot)?;
        if !chain.contains(&id.series.scope) {
            return None;
        }
        let manifest = match read {
            Some((of, manifest)) if *of == id => Arc::clone(manifest),
            _ => Arc::new(store.read(lease, &id).ok()?),
        };
        // The record is read only now that the lease names the generation: before, gc may have removed the generation
        // and a save reused its number.
        let record = store.tree_record(dir, boot).filter(|record| record.generation == id)?;
        Some(Self { record, manifest })
    }

    /// Returns the manifest of the generation that was restored to or saved from the directory.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Returns the id of the generation that was restored to or saved from the directory.
    pub fn generation(&self) -> &GenerationId {
        &self.record.generation
    }

    /// Returns the facts of the file at `path`, if it is certainly the recorded file.
    pub fn facts_of(&self, path: &RelPath, stat: &Stat) -> Option<&FileFacts> {
        if !self.record.holds(path, stat) {
            return None;
        }
        match &self.manifest.entry(path)?.kind {
            EntryKind::File(facts) if facts.size == stat.size => Some(facts),
            _ => None,
        }
    }
}

/// Compares `dir`, without the checkout's files in it, with `entries`. Reads only files whose inode is not the recorded
/// one.
pub(crate) fn compare(
    dir: &Path,
    entries: &[Entry],
    known: Option<&Known>,
    checkout_files: &CheckoutFiles,
    scratch: &Scratch,
    progress: &Progress,
) -> Result<Comparison> {
    let (Walked { found, missed }, beside) = walk_beside(dir, scratch)?;
    let found = checkout_files.leave_out(found);
    let by_path = indexed(&found);
    let beneath = Beneath::open(dir)?;
    let verdicts: Result<Vec<bool>> = entries
        .par_iter()
        .map(|entry| {
            progress.check_stopped()?;
            let Some(stat) = by_path.get(&entry.path) else { return Ok(false) };
            let is_same = is_same(entry, stat, &by_path, &beneath, |facts| {
                match known.and_then(|known| known.facts_of(&entry.path, stat)) {
                    Some(recorded) => Ok(has_same_bytes(recorded, facts)),
                    None => holds(&beneath, &entry.path, facts),
                }
            });
            // A file that cannot be read counts as different.
            is_same.or_else(|error| missed::why(error).map(|_| false))
        })
        .collect();
    let mut verdicts = verdicts?;
    reject_merged_files(entries, &by_path, &mut verdicts);
    let unreadable: Vec<_> = missed.into_iter().map(|missed| missed.path).collect();
    let is_whole =
        found.len() == entries.len() && unreadable.is_empty() && verdicts.iter().all(|same| *same);
    let is_file = |entry: &Entry| matches!(entry.kind, EntryKind::File(_));
    let same = entries.iter().zip(&verdicts).filter(|(entry, same)| **same && is_file(entry));
    let same = same.map(|(entry, _)| entry.path.clone()).collect();
    Ok(Comparison { same, is_whole, unreadable, scratch: beside })
}

/// Marks files as different that are separate entries but the same inode.
fn reject_merged_files(
    entries: &[Entry],
    by_path: &HashMap<&RelPath, &Stat>,
    verdicts: &mut [bool],
) {
    let mut seen = HashSet::new();
    for (entry, same) in entries.iter().zip(verdicts) {
        if let (EntryKind::File(_), Some(stat)) = (&entry.kind, by_path.get(&entry.path)) {
            *same &= seen.insert((stat.inode.dev, stat.inode.ino));
        }
    }
}

/// Returns the stat of each path.
pub(super) fn indexed(found: &[Found]) -> HashMap<&RelPath, &Stat> {
    found.iter().map(|Found { path, stat }| (path, stat)).collect()
}

/// Tells whether the file, directory or symlink at the path of `entry` is as the entry says. `has_its_bytes` compares
/// the bytes of a file whose metadata is the same.
pub(crate) fn is_same(
    entry: &Entry,
    stat: &Stat,
    by_path: &HashMap<&RelPath, &Stat>,
    dir: &Beneath,
    has_its_bytes: impl FnOnce(&FileFacts) -> Result<bool>,
) -> Result<bool> {
    match &entry.kind {
        EntryKind::Dir { mode, mtime } => {
            // A new directory may inherit the setgid bit of its parent, so only the permission bits count.
            let is_mode = stat.mode & PERMISSIONS == *mode;
            Ok(stat.kind == Kind::Dir && is_mode && stat.mtime == *mtime)
        }
        EntryKind::HardLink { of } => {
            let first = by_path.get(of).map(|first| first.inode);
            Ok(stat.kind == Kind::File && first == Some(stat.inode))
        }
        EntryKind::Symlink { target, mtime } => {
            let path = dir.full(&entry.path);
            if stat.kind != Kind::Symlink || stat.mtime != *mtime {
                return Ok(false);
            }
            let now = std::fs::read_link(&path).at("read symlink", &path)?;
            Ok(now.as_os_str().as_encoded_bytes() == target.as_bytes())
        }
        EntryKind::File(facts) => {
            let looks_same = stat.kind == Kind::File
                && (stat.mode, stat.mtime, stat.size) == (facts.mode, facts.mtime, facts.size);
            if looks_same { has_its_bytes(facts) } else { Ok(false) }
        }
    }
}

/// Tells whether two files hold the same bytes, by the digests of their contents.
pub fn has_same_bytes(a: &FileFacts, b: &FileFacts) -> bool {
    let key = |facts: &FileFacts| -> Vec<_> {
        facts.contents.iter().map(|content| (content.offset, content.len, content.digest)).collect()
    };
    a.size == b.size && key(a) == key(b)
}

/// Returns the runs of bytes that the contents cover, as offset and length; adjacent runs are merged.
fn runs_of(contents: &[Content]) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for content in contents {
        match runs.last_mut() {
            Some((start, len)) if *start + *len == content.offset => *len += content.len,
            _ => runs.push((content.offset, content.len)),
        }
    }
    runs
}

/// Reads a file and tells whether it holds the bytes of `facts`, and no data where `facts` has holes.
pub fn holds(dir: &Beneath, path: &RelPath, facts: &FileFacts) -> Result<bool> {
    let file = dir.open_for_reading(path)?;
    let covered: u64 = facts.contents.iter().map(|content| content.len).sum();
    let held = runs_of(&facts.contents);
    let is_in_contents = |(start, len): &(u64, u64)| {
        held.iter().any(|(from, held)| from <= start && start + len <= from + held)
    };
    if covered < facts.size {
        let runs = data_runs(&file, facts.size).at("read", &dir.full(path))?;
        if !runs.iter().all(is_in_contents) {
            return Ok(false);
        }
    }
    let mut buffer = Vec::new();
    for content in &facts.contents {
        let len = usize::try_from(content.len).unwrap_or(usize::MAX);
        buffer.resize(len, 0);
        match file.read_exact_at(&mut buffer, content.offset) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(false),
            read => read.at("read", &dir.full(path))?,
        }
        if Digest::of(&buffer) != content.digest {
            return Ok(false);
        }
    }
    Ok(true)
}
