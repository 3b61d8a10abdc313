//! A directory as entries, before its files are read.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::fs::At;
use crate::fs::stat::{Inode, Kind, Stat};
use crate::fs::walk::{Found, Missed, Why};
use crate::job::Result;
use crate::model::manifest::{Entry, EntryKind, FileFacts, PERMISSIONS};
use crate::model::raw_path::RawPath;
use crate::model::rel_path::RelPath;
use crate::model::timestamp::Timestamp;

/// A regular file whose contents are not known yet.
#[derive(Clone, Debug)]
pub(crate) struct Unread {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// What the kernel knew of it before it was read.
    pub(crate) stat: Stat,
}

/// A directory as entries; the contents of its files are empty still.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// Every entry, sorted.
    pub(crate) entries: Vec<Entry>,
    /// For each entry that is a file, in order: the index of the entry and the file.
    pub(crate) files: Vec<(usize, Unread)>,
    /// Sockets, fifos and devices: they are left out.
    pub(crate) special: Vec<PathBuf>,
    /// What was something else by the time it was looked at.
    pub(crate) missed: Vec<Missed>,
    /// The newest mtime of all.
    pub(crate) newest_mtime: Timestamp,
}

impl Tree {
    /// Makes entries of what a walk of `dir` found, sorted as it is.
    pub(crate) fn of(dir: &Path, found: &[Found]) -> Result<Self> {
        let newest_mtime = found.iter().map(|found| found.stat.mtime).max().unwrap_or_default();
        let mut tree = Self { newest_mtime, ..Self::default() };
        let mut groups: HashMap<(u64, u64), RelPath> = HashMap::new();
        for Found { path, stat } in found {
            let full = dir.join(path.as_path());
            let kind = match stat.kind {
                Kind::Special => {
                    tree.special.push(full);
                    continue;
                }
                Kind::Dir => EntryKind::Dir { mode: stat.mode & PERMISSIONS, mtime: stat.mtime },
                Kind::Symlink => {
                    let target = match std::fs::read_link(&full).at("read symlink", &full) {
                        Ok(target) => RawPath::of(target.as_os_str().as_encoded_bytes()),
                        // `readlink(2)`: it is no symlink any more.
                        Err(error) => {
                            let is_other = error.source.kind() == ErrorKind::InvalidInput;
                            let why = if is_other { Why::Gone } else { Why::of(error)? };
                            tree.missed.push(Missed { path: path.clone(), why });
                            continue;
                        }
                    };
                    EntryKind::Symlink { target, mtime: stat.mtime }
                }
                Kind::File => {
                    if let Some(of) = first_of_group(&mut groups, path, stat) {
                        EntryKind::HardLink { of }
                    } else {
                        tree.files.push((tree.entries.len(), Unread { path: full, stat: *stat }));
                        EntryKind::File(unread_facts(stat))
                    }
                }
            };
            tree.entries.push(Entry { path: path.clone(), kind });
        }
        Ok(tree)
    }

    /// Keeps the entries that `stays` picks, but for hard links to one that goes; of `facts`, which belong to
    /// [`Self::files`], those that stay.
    pub(crate) fn retain<T>(&mut self, facts: Vec<T>, stays: impl Fn(&RelPath) -> bool) -> Vec<T> {
        let mut places = Vec::with_capacity(self.entries.len());
        let mut entries = Vec::with_capacity(self.entries.len());
        for entry in std::mem::take(&mut self.entries) {
            let has_file = match &entry.kind {
                EntryKind::HardLink { of } => stays(of),
                _ => true,
            };
            let is_kept = has_file && stays(&entry.path);
            places.push(is_kept.then_some(entries.len()));
            entries.extend(is_kept.then_some(entry));
        }
        self.entries = entries;
        let files = std::mem::take(&mut self.files).into_iter().zip(facts);
        let kept =
            files.filter_map(|((index, unread), facts)| Some(((places[index]?, unread), facts)));
        let (files, facts) = kept.unzip();
        self.files = files;
        facts
    }

    /// Returns which file is where; `entries` are those of the tree, wherever they are by now.
    pub(crate) fn inodes(&self, entries: &[Entry]) -> impl Iterator<Item = (RelPath, Inode)> {
        let files = self.files.iter();
        files.map(|(index, unread)| (entries[*index].path.clone(), unread.stat.inode))
    }
}

/// Returns the metadata of a file that has not been read.
pub(crate) fn unread_facts(stat: &Stat) -> FileFacts {
    let mode = stat.mode & PERMISSIONS;
    FileFacts { mode, mtime: stat.mtime, size: stat.size, contents: Vec::new() }
}

/// Returns the first name of the file if it has one already; remembers this one if not.
fn first_of_group(
    groups: &mut HashMap<(u64, u64), RelPath>,
    path: &RelPath,
    stat: &Stat,
) -> Option<RelPath> {
    if stat.links < 2 {
        return None;
    }
    let group = (stat.inode.dev, stat.inode.ino);
    let first = groups.get(&group).cloned();
    if first.is_none() {
        groups.insert(group, path.clone());
    }
    first
}
