//! Compares a hot tree with its generation, down to bytes and inodes.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use rayon::prelude::*;

use super::compare::{indexed, is_same};
use super::dirs::reset_dirs;
use super::walk::walk_tree;
use crate::cargo::scratch::Scratch;
use crate::fs::At;
use crate::fs::beneath::Beneath;
use crate::fs::remove::remove_tree;
use crate::fs::stat::{Inode, Kind};
use crate::fs::walk::Walked;
use crate::job::Result;
use crate::model::manifest::{Entry, EntryKind, FileFacts};
use crate::model::rel_path::RelPath;

/// The inode of each file, by the first of its names.
pub(crate) type Inodes = HashMap<RelPath, Inode>;

/// Returns the first path that a walk of `dir` found changed, missing or extra, compared with `entries`.
/// `has_its_bytes` compares the bytes of a file whose metadata is the same. A file that has a further name outside the
/// tree differs: a program could change the tree through that name.
pub(crate) fn first_difference(
    dir: &Path,
    entries: &[Entry],
    walked: &Walked,
    has_its_bytes: impl Fn(&RelPath, &FileFacts, Inode) -> Result<bool> + Sync,
) -> Result<Option<RelPath>> {
    let Walked { found, missed } = walked;
    if let Some(missed) = missed.first() {
        return Ok(Some(missed.path.clone()));
    }
    let by_path = indexed(found);
    let names = names_of_files(entries);
    let beneath = Beneath::open(dir)?;
    let differs = |entry: &Entry| {
        let Some(stat) = by_path.get(&entry.path) else { return Ok(true) };
        let has_its_bytes = |facts: &FileFacts| {
            let is_alone = stat.links <= names[&entry.path].len() as u64;
            Ok(is_alone && has_its_bytes(&entry.path, facts, stat.inode)?)
        };
        Ok(!is_same(entry, stat, &by_path, &beneath, has_its_bytes)?)
    };
    let other = entries.par_iter().find_map_first(|entry| match differs(entry) {
        Ok(false) => None,
        Ok(true) => Some(Ok(entry.path.clone())),
        Err(error) => Some(Err(error)),
    });
    // Every entry exists and the counts are equal, so there is nothing else.
    if other.is_some() || found.len() == entries.len() {
        return other.transpose();
    }
    let is_entry = |path: &RelPath| entries.binary_search_by(|entry| entry.path.cmp(path)).is_ok();
    Ok(found.iter().map(|found| &found.path).find(|path| !is_entry(path)).cloned())
}

/// Returns all names of each file, by its first name.
pub(crate) fn names_of_files(entries: &[Entry]) -> HashMap<&RelPath, Vec<&RelPath>> {
    let mut names: HashMap<_, Vec<_>> = HashMap::new();
    for Entry { path, kind } in entries {
        match kind {
            EntryKind::File(_) => names.entry(path).or_default().push(path),
            EntryKind::HardLink { of } => names.entry(of).or_default().push(path),
            EntryKind::Dir { .. } | EntryKind::Symlink { .. } => {}
        }
    }
    names
}

/// Removes everything in `dir` that is not among `entries`: scratch, units that the saved generation leaves out,
/// sockets, and paths that could not be read.
pub(crate) fn remove_surplus(dir: &Path, entries: &[Entry]) -> Result<()> {
    let wanted: HashSet<&RelPath> = entries.iter().map(|entry| &entry.path).collect();
    let mut changed = HashSet::new();
    let mut gone: Option<RelPath> = None;
    let Walked { found, missed } = walk_tree(dir, &Scratch::none())?;
    let found = found.into_iter().map(|found| (found.path, found.stat.kind == Kind::Dir));
    // The paths that the walk missed count as directories: the walk fails to read a directory before its content.
    let missed = missed.into_iter().map(|missed| (missed.path, true));
    let mut all: Vec<_> = found.chain(missed).collect();
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    for (path, is_dir) in all {
        let is_gone = gone.as_ref().is_some_and(|gone| path.is_within(gone));
        if is_gone || wanted.contains(&path) {
            continue;
        }
        let full = dir.join(path.as_path());
        changed.extend(path.parent());
        if is_dir {
            remove_tree(&full)?;
            gone = Some(path);
        } else {
            std::fs::remove_file(&full).at("remove", &full)?;
        }
    }
    reset_dirs(&Beneath::open(dir)?, entries, &changed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::entries::Tree;

    #[test]
    fn a_file_with_a_name_elsewhere_differs() -> Result<()> {
        let dir = tempfile::tempdir().at("create a directory", Path::new("temporary"))?;
        let tree = dir.path().join("tree");
        let link = |from: &str, to: &str| {
            std::fs::hard_link(dir.path().join(from), dir.path().join(to)).at("link", dir.path())
        };
        std::fs::create_dir(&tree).at("create directory", &tree)?;
        std::fs::write(tree.join("a"), "a").at("write", &tree)?;
        link("tree/a", "tree/b")?;
        let look = || walk_tree(&tree, &Scratch::none());
        let entries = Tree::of(&tree, &look()?.found)?.entries;
        let difference = || first_difference(&tree, &entries, &look()?, |_, _, _| Ok(true));
        assert_eq!(difference()?, None);
        link("tree/b", "elsewhere")?;
        assert_eq!(difference()?, Some(RelPath::parse(b"a").expect("a path")));
        Ok(())
    }
}
