//! Taking a hot tree: by cloning it where the filesystem can, else by moving it away.

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

/// What a restore takes a hot tree with.
#[derive(Clone, Copy)]
pub(super) struct Taking<'a> {
    pub(super) store: &'a Store,
    pub(super) progress: &'a Progress,
    /// The scopes that the job may read.
    pub(super) readable: &'a [Scope],
    pub(super) boot: &'a str,
    /// What is left out of what is taken.
    pub(super) scratch: &'a Scratch,
}

/// A tree that was taken.
pub(super) struct Taken {
    /// Whether it was cloned or moved.
    pub(super) mode: AreaMode,
    /// Which inode its files are, those of a clone as far as they have one name.
    pub(super) inodes: Inodes,
}

/// Completes in `staged` the tree of `manifest` from a hot tree, if there is one that the job may
/// have, on this filesystem, and nobody else has it.
///
/// A tree that is not what was put by is never used, and set aside; the warnings tell why. If
/// nothing came of it `staged` is empty.
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
            // Packs are the truth: whatever goes wrong here, the tree can be unpacked.
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
            // It was put by with scratch in it.
            remove_surplus(staged.path(), &manifest.entries)?;
        }
        held.forget()?;
        self.progress.done(manifest.header.files, manifest.header.bytes);
        Ok(Some(Taken { mode: AreaMode::Move, inodes }))
    }

    /// Returns the tree if it is what was put by; else sets it aside.
    fn intact(&self, held: HeldTree, manifest: &Manifest) -> Result<(HeldTree, Inodes)> {
        let tree = held.hot.path.clone();
        let inodes = held.inodes().unwrap_or_default();
        let walked = walk_tree(&tree, self.scratch)?;
        // No file is read: one that is the same inode with the same ctime has the same bytes.
        let is_as_recorded = |path: &RelPath, _: &_, inode| Ok(inodes.get(path) == Some(&inode));
        let Some(path) = first_difference(&tree, &manifest.entries, &walked, is_as_recorded)?
        else {
            return Ok((held, inodes));
        };
        held.set_aside()?;
        Err(Error::Different { tree, path })
    }
}
