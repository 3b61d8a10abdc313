//! Takes a hot tree: clones it if the filesystem can, else moves it.

use crate::cargo::scratch::Scratch;
use crate::fs::beneath::Beneath;
use crate::fs::crash::crash_point;
use crate::fs::space::is_same_mount;
use crate::job::progress::Progress;
use crate::job::report::AreaMode;
use crate::job::warning::Warning;
use crate::job::{Error, Result};
use crate::model::manifest::{GenerationId, Manifest};
use crate::model::rel_path::RelPath;
use crate::model::scope::Scope;
use crate::store::{HeldTree, Hold, HotTree, Store};
use crate::tree::clone::{can_clone, clone_tree};
use crate::tree::hot::{Inodes, first_difference, remove_surplus};
use crate::tree::staged::Staged;
use crate::tree::walk::walk_tree;

/// The parameters for taking a hot tree.
#[derive(Clone, Copy)]
pub(super) struct Taking<'a> {
    pub(super) store: &'a Store,
    pub(super) progress: &'a Progress,
    /// The scopes that the job may read.
    pub(super) readable: &'a [Scope],
    pub(super) boot: &'a str,
    /// The patterns of scratch, which is left out of the tree.
    pub(super) scratch: &'a Scratch,
}

/// A tree that was taken.
pub(super) struct Taken {
    /// Whether it was cloned or moved.
    pub(super) mode: AreaMode,
    /// The inodes of its files; in a clone, only of files with one name.
    pub(super) inodes: Inodes,
}

/// Completes the tree of `manifest` in `staged` from a hot tree of this generation, if one lies in
/// the same mount and its scope is one that the job may read. Skips a tree that another process is
/// moving, or holds while it cannot be cloned.
///
/// A hot tree that differs from its record is never used: it is set aside, and the warnings tell
/// why. If no tree could be used, `staged` is empty.
pub(super) fn take(
    taking: Taking<'_>,
    id: &GenerationId,
    manifest: &Manifest,
    staged: &mut Staged,
) -> Result<(Option<Taken>, Vec<Warning>)> {
    let mut warnings = Vec::new();
    for hot in taking.store.hot_trees(taking.boot)? {
        let may_have = hot.is_current
            && hot.generation == *id
            && taking.readable.contains(&hot.scope)
            && is_same_mount(&hot.path, staged.path()).unwrap_or(false);
        if !may_have {
            continue;
        }
        match taking.take_one(&hot, manifest, staged) {
            Ok(Some(taken)) => return Ok((Some(taken), warnings)),
            Ok(None) => {}
            // The tree can still be unpacked from packs, so an error is only a warning.
            Err(error) => {
                warnings.push(Warning::HotTreeNotUsed(error.into()));
                staged.clear()?;
                taking.progress.check_stopped()?;
            }
        }
    }
    Ok((None, warnings))
}

impl Taking<'_> {
    fn take_one(
        &self,
        hot: &HotTree,
        manifest: &Manifest,
        staged: &mut Staged,
    ) -> Result<Option<Taken>> {
        let Some(held) = self.store.hold_hot_tree(hot, Hold::Shared)? else { return Ok(None) };
        let tree = Beneath::open(&hot.path)?;
        let dest = Beneath::open(staged.path())?;
        if can_clone(&manifest.entries, &tree, &dest)? {
            let (held, _) = self.intact(held, manifest)?;
            let inodes = clone_tree(&manifest.entries, &tree, &dest, self.progress)?;
            held.touch()?;
            return Ok(Some(Taken { mode: AreaMode::Clone, inodes }));
        }
        drop(held);
        let Some(held) = self.store.hold_hot_tree(hot, Hold::Alone)? else { return Ok(None) };
        let (held, inodes) = self.intact(held, manifest)?;
        self.progress.check_stopped()?;
        staged.adopt(&hot.path)?;
        crash_point("hot: taken");
        if manifest.entries.len() as u64 != manifest.header.entries {
            // The manifest no longer lists entries that are scratch to this job. The tree has them.
            remove_surplus(staged.path(), &manifest.entries)?;
        }
        held.forget()?;
        self.progress.done(manifest.header.files, manifest.header.bytes);
        Ok(Some(Taken { mode: AreaMode::Move, inodes }))
    }

    /// Returns the tree if it is as recorded. Otherwise sets it aside, and fails.
    fn intact(&self, held: HeldTree, manifest: &Manifest) -> Result<(HeldTree, Inodes)> {
        let tree = held.hot.path.clone();
        let inodes = held.inodes().unwrap_or_default();
        let walked = walk_tree(&tree, self.scratch)?;
        // No file is read: a file with the same inode and ctime has the same bytes.
        let is_as_recorded = |path: &RelPath, _: &_, inode| Ok(inodes.get(path) == Some(&inode));
        let Some(path) = first_difference(&tree, &manifest.entries, &walked, is_as_recorded)?
        else {
            return Ok((held, inodes));
        };
        held.set_aside()?;
        Err(Error::Different { tree, path })
    }
}
