//! Putting a target or build directory in place, whole or not at all.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::choice::Choice;
use super::hot::{Taken, Taking, take};
use super::placed::Placed;
use crate::cargo::parts::Parts;
use crate::cargo::scratch::Scratch;
use crate::fs::At;
use crate::fs::beneath::Beneath;
use crate::fs::crash::crash_point;
use crate::fs::remove::open_dir;
use crate::fs::space::is_mount_point;
use crate::job::Result;
use crate::job::checkout_files::is_shared;
use crate::job::dirs::holds_anything;
use crate::job::locks::keep_builds_out;
use crate::job::report::AreaMode;
use crate::model::manifest::Entry;
use crate::model::rel_path::RelPath;
use crate::model::root::Root;
use crate::store::{Lease, unmark};
use crate::tree::compare::{Known, compare};
use crate::tree::dirs::reset_dirs;
use crate::tree::staged::Staged;
use crate::tree::unpack::{Reuse, Unpacker};

/// How long a restore waits for a build that runs in its destination. A job does not build
/// before it restores, so whoever holds the lock is not about to be done.
const PATIENCE: Duration = Duration::from_secs(2);

/// Makes `dir` hold exactly what `manifest` says; returns which way it went.
///
/// The tree is completed beside `dir` and then takes its place in one step. If `dir` held most
/// of it, its files are shared by hard links until the old tree is gone. After an error or a crash
/// `dir` is as it was before; what was staged is removed, at the latest by the next `reclaim`. Scratch that lies in
/// `dir` is nobody's but the workspace's: it stays, as in one where nothing is restored.
/// Cargo's locks keep builds out meanwhile. In a mount point each directory of the first level
/// (`debug`, `release`) takes its place by itself.
pub(super) fn place(
    placing: &Placing<'_>,
    dir: &Path,
    choice: &Choice,
    known: Option<&Known>,
) -> Result<Placed> {
    let Placing { unpacker, lease, scratch, .. } = *placing;
    let manifest = &choice.manifest;
    let is_shared = is_shared(dir, placing.roots.values().map(PathBuf::as_path))?;
    // A target that is a symlink to another disk stays one.
    let dir = &resolve(dir)?;
    let parent = dir.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(parent).at("create directory", parent)?;
    unpacker.progress.expect(manifest.header.bytes);
    // A killed restore may have left its mark. If it stays, nothing is wrong: no tree has it.
    drop(unmark(dir));

    if !holds_anything(dir)? {
        let mut staged = if is_mount_point(dir)? {
            staging(lease, dir)?
        } else {
            Staged::for_free_place(lease, dir)?
        };
        let placed = placing.complete(&mut staged, choice, None)?;
        staged.take_place_of(dir)?;
        crash_point("restore: placed");
        return Ok(placed);
    }

    let _locks = keep_builds_out(dir, PATIENCE, unpacker.progress)?;
    let checkout_files = &choice.checkout_files;
    let comparison =
        compare(dir, &manifest.entries, known, checkout_files, scratch, unpacker.progress)?;
    if comparison.is_whole {
        unpacker.progress.done(manifest.header.files, manifest.header.bytes);
        return Ok(Placed { mode: AreaMode::InPlace, ..Placed::default() });
    }
    // The old tree is removed once another is in its place, so what nobody can enter must be ours.
    for path in &comparison.unreadable {
        open_dir(&dir.join(path.as_path()))?;
    }
    let old = Beneath::open(dir)?;
    let reuse = Reuse { old: &old, paths: &comparison.same };
    let mut staged =
        if is_shared { Staged::within(lease, dir, dir)? } else { staging(lease, dir)? };
    let mut placed = placing.complete(&mut staged, choice, Some(reuse))?;
    checkout_files.link(dir, staged.path())?;
    if is_shared {
        staged.take_place_of_parts(dir, &Parts::of(dir)?.of_cargo)?;
    } else {
        staged.take_place_of(dir)?;
    }
    crash_point("restore: placed");
    bring_scratch(&old, dir, &comparison.scratch, &manifest.entries)?;
    // The old tree goes with what it was exchanged for.
    drop(staged);
    let most = comparison.same.len() as u64 * 2 >= manifest.header.files;
    if placed.mode == AreaMode::Unpack && most {
        placed.mode = AreaMode::InPlace;
    }
    Ok(placed)
}

/// Moves scratch from the tree that was there into the one that took its place. What has no place there goes with
/// the old tree, and so does what cannot be moved.
fn bring_scratch(old: &Beneath, dir: &Path, scratch: &[RelPath], entries: &[Entry]) -> Result<()> {
    let new = Beneath::open(dir)?;
    let moved = scratch.iter().filter(|path| old.move_to(path, &new).unwrap_or(false));
    let changed: HashSet<_> = moved.filter_map(RelPath::parent).collect();
    reset_dirs(&new, entries, &changed)
}

/// What the areas of one restore are put in place with.
pub(super) struct Placing<'a> {
    pub(super) unpacker: &'a Unpacker<'a>,
    pub(super) lease: &'a Lease,
    /// What is left alone where a tree is in place already.
    pub(super) scratch: &'a Scratch,
    /// Whether hot trees may be used, and whose.
    pub(super) taking: Option<Taking<'a>>,
    /// The checkouts.
    pub(super) roots: &'a BTreeMap<Root, PathBuf>,
}

impl Placing<'_> {
    /// Completes the tree of a generation where it is staged: from a hot tree, else from packs.
    fn complete(
        &self,
        staged: &mut Staged,
        choice: &Choice,
        reuse: Option<Reuse<'_>>,
    ) -> Result<Placed> {
        let manifest = &choice.manifest;
        let (taken, warnings) = match self.taking {
            // A tree that works only where it was built would be fresh here and wrong.
            Some(taking) if choice.is_whole() => take(taking, &choice.id, manifest, staged)?,
            _ => (None, Vec::new()),
        };
        let (mode, inodes) = if let Some(Taken { mode, inodes }) = taken {
            (mode, inodes)
        } else {
            let dest = Beneath::open(staged.path())?;
            let packs = &manifest.header.packs;
            (AreaMode::Unpack, self.unpacker.unpack(packs, &manifest.entries, &dest, reuse)?)
        };
        staged.open_to_others()?;
        crash_point("restore: staged");
        Ok(Placed { mode, inodes, certain: None, warnings })
    }
}

/// Follows `dir` to where it leads, creating what a dangling symlink points to.
fn resolve(dir: &Path) -> Result<PathBuf> {
    if let Ok(target) = std::fs::read_link(dir) {
        let target = dir.parent().unwrap_or(Path::new("/")).join(target);
        std::fs::create_dir_all(&target).at("create directory", &target)?;
    }
    Ok(dir.canonicalize().unwrap_or_else(|_| dir.to_owned()))
}

/// Returns a directory to complete the tree in that is to take the place of `dir`.
fn staging(lease: &Lease, dir: &Path) -> Result<Staged> {
    // What is mounted cannot be renamed: its tree is completed inside.
    if is_mount_point(dir)? { Staged::within(lease, dir, dir) } else { Staged::beside(lease, dir) }
}
