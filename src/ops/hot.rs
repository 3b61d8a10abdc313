//! Hot trees: taking one for a restore, and putting one by after a save.

mod clone;
mod put_by;
mod take;

pub use put_by::HotPolicy;
pub(super) use take::{Taken, Taking, take};

use std::collections::HashMap;
use std::path::Path;

use super::Result;
use super::compare::{indexed, is_same};
use super::gc::Mode;
use super::walk::walk_tree;
use crate::fs::beneath::Beneath;
use crate::fs::stat::{Inode, Stat};
use crate::model::idle_dir::{DirFacts, DirKind, DroppedDir, dropped_dirs};
use crate::model::manifest::Entry;
use crate::model::pressure::Pressure;
use crate::model::rel_path::RelPath;
use crate::model::retention::{Filesystem, Policy};
use crate::model::timestamp::Timestamp;
use crate::store::{HotTree, Store, boot_id};

/// Returns what is known of those hot trees that `wanted` picks, for who decides what goes.
pub(super) fn hot_facts<'a>(
    trees: &'a [HotTree],
    wanted: impl Fn(&HotTree) -> bool + 'a,
) -> impl Iterator<Item = DirFacts> + 'a {
    trees.iter().filter(move |hot| wanted(hot)).map(|hot| DirFacts {
        kind: DirKind::HotTree,
        path: hot.path.clone(),
        bytes: hot.bytes,
        last_used: hot.last_used,
    })
}

/// Drops hot trees on `filesystem`, which is not that of the store, as far as `pressure` asks for
/// room there; returns which went, or would go.
pub(super) fn relieve(
    store: &Store,
    filesystem: &Filesystem,
    pressure: &Pressure,
    policy: &Policy,
    now: Timestamp,
    mode: Mode,
) -> Result<Vec<DroppedDir>> {
    let trees = store.hot_trees(&boot_id())?;
    let is_there =
        |hot: &HotTree| Stat::of(&hot.path).is_ok_and(|stat| stat.inode.dev == filesystem.device);
    let facts: Vec<_> = hot_facts(&trees, is_there).collect();
    let pressure = Pressure { max_size: None, ..*pressure };
    let mut dropped = dropped_dirs(&facts, 0, (&pressure, filesystem), policy, now);
    if mode == Mode::Execute {
        let is_dropped = |hot: &&HotTree| dropped.iter().any(|dir| dir.path == hot.path);
        let going: Vec<_> = trees.iter().filter(is_dropped).cloned().collect();
        let gone = store.drop_hot_trees(&going)?;
        // What somebody uses stays.
        dropped.retain(|dir| gone.iter().any(|hot| hot.path == dir.path));
    }
    Ok(dropped)
}

/// Returns the first path below `dir` that is not what `entries` and `inodes` say, or which file it
/// should be. No file is read: one that is the same inode with the same ctime has the same bytes.
fn first_difference(
    dir: &Path,
    entries: &[Entry],
    inodes: &HashMap<RelPath, Inode>,
) -> Result<Option<RelPath>> {
    let found = walk_tree(dir)?;
    let by_path = indexed(&found);
    let beneath = Beneath::open(dir)?;
    for entry in entries {
        let Some(stat) = by_path.get(&entry.path) else { return Ok(Some(entry.path.clone())) };
        let is_certain = |_: &_| Ok(inodes.get(&entry.path) == Some(&stat.inode));
        if !is_same(entry, stat, &by_path, &beneath, is_certain)? {
            return Ok(Some(entry.path.clone()));
        }
    }
    // As many as there are entries, each of which is there: then nothing is there beside them.
    if found.len() == entries.len() {
        return Ok(None);
    }
    let is_entry = |path: &RelPath| entries.binary_search_by(|entry| entry.path.cmp(path)).is_ok();
    Ok(found.into_iter().map(|found| found.path).find(|path| !is_entry(path)))
}
