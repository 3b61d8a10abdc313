//! Puts a target or build directory in place, whole or not at all.

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

/// The time that a restore waits for a build that runs in its destination. A job does not build
/// before it restores, so that build is not one of its own, and may go on for long.
const PATIENCE: Duration = Duration::from_secs(2);

/// Makes `dir` hold exactly the tree of the chosen generation, and returns how.
///
/// The tree is completed beside `dir`, and then takes its place in one step. Files that `dir`
/// already holds are shared by hard links until the old tree is removed. After an error or a crash
/// `dir` is as it was before; staged files are removed, at the latest by the next `reclaim`.
/// Scratch in `dir` belongs to the workspace, and stays as if nothing were restored. Cargo's locks
/// keep builds out meanwhile. In a mount point, each directory of the first level (`debug`,
/// `release`) takes its place by itself.
pub(super) fn place(
    placing: &Placing<'_>,
    dir: &Path,
    choice: &Choice,
    known: Option<&Known>,
) -> Result<Placed> {
    let Placing { unpacker, lease, scratch, .. } = *placing;
    let manifest = &choice.manifest;
    let is_shared = is_shared(dir, placing.roots.values().map(PathBuf::as_path))?;
    // A target directory that is a symlink to another disk stays a symlink.
    let dir = &resolve(dir)?;
    let parent = dir.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(parent).at("create directory", parent)?;
    unpacker.progress.expect(manifest.header.bytes);
    // A killed restore may have left its mark here. It does no harm if it stays: a mark is no part
    // of any tree.
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
    // The old tree is removed later, so we must be able to enter its unreadable directories.
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
    // The staging directory holds the old tree now, so this removes it.
    drop(staged);
    let most = comparison.same.len() as u64 * 2 >= manifest.header.files;
    if placed.mode == AreaMode::Unpack && most {
        placed.mode = AreaMode::InPlace;
    }
    Ok(placed)
}

/// Moves scratch from the old tree into the tree that took its place. Scratch that cannot be moved,
/// or whose parent directory does not exist there, is removed with the old tree.
fn bring_scratch(old: &Beneath, dir: &Path, scratch: &[RelPath], entries: &[Entry]) -> Result<()> {
    let new = Beneath::open(dir)?;
    let moved = scratch.iter().filter(|path| old.move_to(path, &new).unwrap_or(false));
    let changed: HashSet<_> = moved.filter_map(RelPath::parent).collect();
    reset_dirs(&new, entries, &changed)
}

/// The parameters for putting an area in place.
pub(super) struct Placing<'a> {
    pub(super) unpacker: &'a Unpacker<'a>,
    pub(super) lease: &'a Lease,
    /// The patterns of scratch, which stays in a directory that already holds a tree.
    pub(super) scratch: &'a Scratch,
    /// The parameters for hot trees; `None` if they may not be used.
    pub(super) taking: Option<Taking<'a>>,
    /// The paths of the checkouts.
    pub(super) roots: &'a BTreeMap<Root, PathBuf>,
}

impl Placing<'_> {
    /// Completes the tree of a generation in `staged`: from a hot tree, else from packs.
    fn complete(
        &self,
        staged: &mut Staged,
        choice: &Choice,
        reuse: Option<Reuse<'_>>,
    ) -> Result<Placed> {
        let manifest = &choice.manifest;
        let (taken, warnings) = match self.taking {
            // A hot tree has every unit of its generation. A unit that works only at other roots
            // would be fresh here, and wrong.
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

/// Resolves the symlinks in `dir`. Creates the directory that a dangling symlink points to.
fn resolve(dir: &Path) -> Result<PathBuf> {
    if let Ok(target) = std::fs::read_link(dir) {
        let target = dir.parent().unwrap_or(Path::new("/")).join(target);
        std::fs::create_dir_all(&target).at("create directory", &target)?;
    }
    Ok(dir.canonicalize().unwrap_or_else(|_| dir.to_owned()))
}

/// Creates the staging directory for the tree that will take the place of `dir`.
fn staging(lease: &Lease, dir: &Path) -> Result<Staged> {
    // A mount point cannot be renamed, so its tree is completed inside.
    if is_mount_point(dir)? { Staged::within(lease, dir, dir) } else { Staged::beside(lease, dir) }
}
