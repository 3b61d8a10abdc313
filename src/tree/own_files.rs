//! Gives a tree its own copies of files that have names in another directory too.
//!
//! If `build.build-dir` is set, cargo hard-links final artifacts from the build directory to the target directory.
//! These are two areas, so their trees may go to two jobs, or one tree may be dropped. A build in one tree could change
//! a file that the trees share. Also, removing one name of a file changes its ctime, and the ctime tells whether the
//! other hot tree is unchanged since the save.

use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rayon::prelude::*;

use super::dirs::reset_dirs;
use super::hot::names_of_files;
use super::unpack::finish_restored;
use super::walk::walk_tree;
use crate::cargo::scratch::Scratch;
use crate::fs::At;
use crate::fs::beneath::{Beneath, umask};
use crate::fs::clone::clone_bytes;
use crate::fs::walk::{Found, Walked};
use crate::job::progress::Progress;
use crate::job::{Error, Result};
use crate::model::manifest::{Entry, EntryKind, FileFacts};
use crate::model::rel_path::RelPath;

/// Replaces each file below `dir` that has names elsewhere by a copy; returns a new walk of `dir`.
///
/// `dir` holds nothing but `entries`. The caller still has to compare the bytes of the copies with them. After an error
/// a part of a copy may remain. Another save may do the same to the other tree at the same time.
pub(crate) fn with_own_files(dir: &Path, entries: &[Entry], progress: &Progress) -> Result<Walked> {
    let walked = walk_tree(dir, &Scratch::none())?;
    let names = names_of_files(entries);
    let is_shared = |found: &&Found| {
        names.get(&found.path).is_some_and(|names| found.stat.links > names.len() as u64)
    };
    let shared: Vec<_> = walked.found.iter().filter(is_shared).map(|found| &found.path).collect();
    if shared.is_empty() {
        return Ok(walked);
    }
    let tree = Beneath::open(dir)?;
    let umask = umask();
    shared.par_iter().enumerate().try_for_each(|(number, path)| {
        progress.check_stopped()?;
        let Some(facts) = facts_of(entries, path) else { return Ok(()) };
        // No tree has an entry of this name.
        let staged = format!(".runner-cache-{number}");
        let staged = RelPath::parse(staged.as_bytes()).expect("a name is a path");
        copy(&tree, path, &staged, facts, umask)?;
        tree.rename_from(path, &tree, &staged)?;
        for name in names[path].iter().filter(|name| *name != path) {
            tree.create_hard_link(&staged, path)?;
            tree.rename_from(name, &tree, &staged)?;
        }
        Ok::<_, Error>(())
    })?;
    let replaced = shared.iter().flat_map(|path| &names[path]);
    let changed: HashSet<_> = replaced.filter_map(|path| path.parent()).collect();
    reset_dirs(&tree, entries, &changed)?;
    walk_tree(dir, &Scratch::none())
}

fn facts_of<'a>(entries: &'a [Entry], path: &RelPath) -> Option<&'a FileFacts> {
    let index = entries.binary_search_by(|entry| entry.path.cmp(path)).ok()?;
    match &entries[index].kind {
        EntryKind::File(facts) => Some(facts),
        _ => None,
    }
}

/// Creates `to`, a copy of the file `from` with the size, contents, mode and mtime in `facts`.
fn copy(tree: &Beneath, from: &RelPath, to: &RelPath, facts: &FileFacts, umask: u32) -> Result<()> {
    let source = tree.open_for_reading(from)?;
    let dest = tree.create_file(to, facts.mode)?;
    if !clone_bytes(&source, &dest).at("clone to", &tree.full(to))? {
        copy_contents(&source, &dest, facts).at("copy", &tree.full(from))?;
    }
    let created = facts.mode & 0o777 & !umask;
    finish_restored(&dest, from, facts, created).at("write", &tree.full(to))?;
    Ok(())
}

fn copy_contents(source: &File, dest: &File, facts: &FileFacts) -> std::io::Result<()> {
    let mut buffer = Vec::new();
    for content in &facts.contents {
        buffer.resize(usize::try_from(content.len).unwrap_or(usize::MAX), 0);
        source.read_exact_at(&mut buffer, content.offset)?;
        dest.write_all_at(&buffer, content.offset)?;
    }
    dest.set_len(facts.size)
}
