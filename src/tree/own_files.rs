//! Giving a tree files of its own, where they have names in another directory too.
//!
//! Where `build.build-dir` lies apart, cargo hard-links final artifacts from the build directory to the target
//! directory. These are two areas, so their trees may come to two jobs, or one of them is dropped. With a
//! shared file a build in one tree could change the other. And each name that is removed changes the ctime of the
//! file, by which the other tree is known to be as it was put by.

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

/// Replaces each file below `dir` that has names elsewhere by a copy; returns what is there then.
///
/// `dir` holds nothing but `entries`. The bytes of the copies are still to be compared with them. After an error
/// there may be a part of a copy. Another save may do the same to the other tree meanwhile.
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
        progress.go_on()?;
        let Some(facts) = facts_of(entries, path) else { return Ok(()) };
        // No tree has anything of that name.
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

/// Creates `to`, a copy of what `facts` say of the file `from`.
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
