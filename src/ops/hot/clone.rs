//! The rung `clone`: a tree whose files share their bytes with those of a hot tree.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::super::progress::Progress;
use super::super::unpack::finish;
use super::super::{Error, Result};
use crate::fs::At;
use crate::fs::beneath::{Beneath, finish_file};
use crate::fs::clone::clone_bytes;
use crate::model::manifest::{Entry, EntryKind, FileFacts};
use crate::model::rel_path::RelPath;

/// How many files of a directory one thread clones at a time: enough that opening the two
/// directories costs little, few enough that `deps`, which holds most files, is shared out.
const AT_A_TIME: usize = 64;

/// Tells whether files in `dest` can share the bytes of files in `hot`, by trying with one of
/// `entries`.
pub(super) fn can_clone(entries: &[Entry], hot: &Beneath, dest: &Beneath) -> Result<bool> {
    let is_full = |entry: &&Entry| matches!(&entry.kind, EntryKind::File(facts) if facts.size > 0);
    let Some(entry) = entries.iter().find(is_full) else { return Ok(false) };
    let source = hot.open_for_reading(&entry.path)?;
    let trial = tempfile_in(dest)?;
    Ok(clone_bytes(&source, &trial).at("clone to", dest.path())?)
}

fn tempfile_in(dir: &Beneath) -> Result<std::fs::File> {
    Ok(crate::fs::space::nameless_file(dir.path())?)
}

/// Writes `entries` below `dest`, which holds none of them, with the bytes that the files of `hot`
/// have. After an error `dest` holds a part: the caller throws it away.
pub(super) fn clone_tree(
    entries: &[Entry],
    hot: &Beneath,
    dest: &Beneath,
    progress: &Progress,
) -> Result<()> {
    let mut by_dir: BTreeMap<Option<RelPath>, Vec<(RelPath, &FileFacts)>> = BTreeMap::new();
    for Entry { path, kind } in entries {
        match kind {
            EntryKind::Dir { .. } => dest.create_dir(path)?,
            EntryKind::File(facts) => {
                by_dir.entry(path.parent()).or_default().push((path.name(), facts));
            }
            EntryKind::HardLink { .. } | EntryKind::Symlink { .. } => {}
        }
    }
    let mut shares: Vec<_> = by_dir
        .iter()
        .flat_map(|(dir, files)| files.chunks(AT_A_TIME).map(move |files| (dir.as_ref(), files)))
        .collect();
    shares.sort_by_key(|(_, files)| std::cmp::Reverse(files.len()));
    shares.par_iter().with_max_len(1).try_for_each(|(dir, files)| {
        progress.go_on()?;
        let (from, to) = (hot.open_dir(*dir)?, dest.open_dir(*dir)?);
        for (name, facts) in *files {
            clone_file(name, facts, &from, &to)?;
            progress.done(1, facts.size);
        }
        Ok::<_, Error>(())
    })?;
    finish(entries, dest)
}

fn clone_file(name: &RelPath, facts: &FileFacts, from: &Beneath, to: &Beneath) -> Result<()> {
    let file = to.create_file(name)?;
    let path = || to.full(name);
    if facts.size > 0 {
        let is_cloned =
            clone_bytes(&from.open_for_reading(name)?, &file).at("clone to", &path())?;
        if !is_cloned {
            let reason = "its filesystem clones some files and not this one";
            return Err(Error::Unfit { path: path(), reason });
        }
    }
    Ok(finish_file(&file, facts.mode, facts.mtime).at("write", &path())?)
}
