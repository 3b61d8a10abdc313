//! A directory as a list of entries, before its files are read.

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
    /// Its path.
    pub(crate) path: PathBuf,
    /// Its metadata before it was read.
    pub(crate) stat: Stat,
}

/// A directory as a list of entries; the files have no contents yet.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// All entries, sorted.
    pub(crate) entries: Vec<Entry>,
    /// For each entry that is a file, in order: the index of the entry and the file.
    pub(crate) files: Vec<(usize, Unread)>,
    /// Sockets, fifos and devices, which are left out.
    pub(crate) special: Vec<PathBuf>,
    /// Paths that changed their kind or vanished before they were read.
    pub(crate) missed: Vec<Missed>,
    /// The newest mtime of all paths that were found.
    pub(crate) newest_mtime: Timestamp,
}

impl Tree {
    /// Turns the paths that a walk of `dir` found into entries, in the same order.
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
                        // `readlink(2)`: it is no longer a symlink.
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

    /// Keeps the entries that `stays` picks, except hard links to a file that does not stay. Returns those of `facts`
    /// whose files stay; `facts` belong to [`Self::files`].
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

    /// Returns the path and inode of each file; `entries` are those of this tree, even if moved out of it.
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

/// Returns the first name of the file if another name was found before; else remembers this name.
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
