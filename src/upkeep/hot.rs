//! The hot trees of a store, and which of them are dropped when the disk fills up.

use crate::fs::stat::Stat;
use crate::job::Result;
use crate::model::filesystem::Filesystem;
use crate::model::idle_dir::{DirFacts, DirKind, DroppedDir, dropped_dirs};
use crate::model::pressure::Pressure;
use crate::model::retention::Policy;
use crate::model::timestamp::Timestamp;
use crate::store::{self, HotTree, Store, boot_id};
use crate::upkeep::report::GcMode;

/// Returns the facts of the hot trees that `wanted` picks, for deciding which directories are
/// dropped.
pub(crate) fn hot_facts<'a>(
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

/// Drops hot trees on `filesystem`, which is not the store's, until `pressure` is met there.
/// Returns the trees that were dropped, or would be, and the errors of those that could not be
/// dropped.
pub(crate) fn relieve(
    store: &Store,
    filesystem: &Filesystem,
    pressure: &Pressure,
    policy: &Policy,
    now: Timestamp,
    mode: GcMode,
) -> Result<(Vec<DroppedDir>, Vec<store::Error>)> {
    let trees = store.hot_trees(&boot_id())?;
    let is_there =
        |hot: &HotTree| Stat::of(&hot.path).is_ok_and(|stat| stat.inode.dev == filesystem.device);
    let facts: Vec<_> = hot_facts(&trees, is_there).collect();
    let pressure = Pressure { max_size: None, ..*pressure };
    let mut dropped = dropped_dirs(&facts, 0, (&pressure, filesystem), policy, now);
    let mut failures = Vec::new();
    if mode == GcMode::Execute {
        let is_dropped = |hot: &&HotTree| dropped.iter().any(|dir| dir.path == hot.path);
        let going: Vec<_> = trees.iter().filter(is_dropped).cloned().collect();
        let gone;
        (gone, failures) = store.drop_hot_trees(&going);
        // Trees in use were not dropped.
        dropped.retain(|dir| gone.iter().any(|hot| hot.path == dir.path));
    }
    Ok((dropped, failures))
}
