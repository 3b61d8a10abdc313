//! The rung `clone`: a tree whose files share their bytes with those of a hot tree.

use std::collections::{BTreeMap, HashMap};

use rayon::prelude::*;

use super::unpack::{create_dirs, finish, finish_restored, without_link_groups};
use crate::fs::At;
use crate::fs::beneath::{Beneath, umask};
use crate::fs::clone::clone_bytes;
use crate::fs::stat::Inode;
use crate::job::progress::Progress;
use crate::job::{Error, Result};
use crate::model::manifest::{Entry, EntryKind, FileFacts};
use crate::model::rel_path::RelPath;

/// The number of files of a directory that one thread clones at a time: enough that opening the two directories costs
/// little, and few enough that the files of `deps`, which holds most of them, are spread over the threads.
const AT_A_TIME: usize = 64;

/// Tells whether files in `dest` can share the bytes of files in `hot`, by trying it with one of `entries`.
pub(crate) fn can_clone(entries: &[Entry], hot: &Beneath, dest: &Beneath) -> Result<bool> {
    let is_full = |entry: &&Entry| matches!(&entry.kind, EntryKind::File(facts) if facts.size > 0);
    let Some(entry) = entries.iter().find(is_full) else { return Ok(false) };
    let source = hot.open_for_reading(&entry.path)?;
    let trial = tempfile_in(dest)?;
    Ok(clone_bytes(&source, &trial).at("clone to", dest.path())?)
}

fn tempfile_in(dir: &Beneath) -> Result<std::fs::File> {
    Ok(crate::fs::space::nameless_file(dir.path())?)
}

/// Writes `entries` below `dest`, which holds none of them; the files share the bytes of the files in `hot`. Returns
/// the inode of each file that has only one name. After an error `dest` holds a part of the tree, and the caller
/// discards it.
pub(crate) fn clone_tree(
    entries: &[Entry],
    hot: &Beneath,
    dest: &Beneath,
    progress: &Progress,
) -> Result<HashMap<RelPath, Inode>> {
    create_dirs(entries, dest)?;
    let mut by_dir: BTreeMap<Option<RelPath>, Vec<(&RelPath, &FileFacts)>> = BTreeMap::new();
    for Entry { path, kind } in entries {
        if let EntryKind::File(facts) = kind {
            by_dir.entry(path.parent()).or_default().push((path, facts));
        }
    }
    let mut shares: Vec<_> = by_dir
        .iter()
        .flat_map(|(dir, files)| files.chunks(AT_A_TIME).map(move |files| (dir.as_ref(), files)))
        .collect();
    shares.sort_by_key(|(_, files)| std::cmp::Reverse(files.len()));
    let umask = umask();
    let cloned = shares.par_iter().with_max_len(1).map(|(dir, files)| {
        progress.check_stopped()?;
        let (from, to) = (hot.open_dir(*dir)?, dest.open_dir(*dir)?);
        let clone = |(path, facts): &(&RelPath, &FileFacts)| {
            let inode = clone_file(path, facts, umask, &from, &to)?;
            progress.done(1, facts.size);
            Ok(((*path).clone(), inode))
        };
        files.iter().map(clone).collect::<Result<Vec<_>>>()
    });
    let cloned = cloned.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
    finish(entries, dest)?;
    Ok(without_link_groups(cloned, entries))
}

fn clone_file(
    path: &RelPath,
    facts: &FileFacts,
    umask: u32,
    from: &Beneath,
    to: &Beneath,
) -> Result<Inode> {
    let name = path.name();
    let file = to.create_file(&name, facts.mode)?;
    let full = || to.full(&name);
    if facts.size > 0 {
        let source = from.open_for_reading(&name)?;
        if !clone_bytes(&source, &file).at("clone to", &full())? {
            let reason = "its filesystem clones some files and not this one";
            return Err(Error::Unfit { path: full(), reason });
        }
    }
    let created = facts.mode & 0o777 & !umask;
    Ok(finish_restored(&file, path, facts, created).at("write", &full())?)
}
