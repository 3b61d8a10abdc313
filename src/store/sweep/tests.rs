use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::model::manifest::{PackUse, Source, SourceKind};
use crate::model::root::Root;
use crate::model::scope::Lane;
use crate::model::timestamp::Timestamp;
use crate::store::sample::{image, manifest, pack, save, series};
use crate::store::{Error as StoreError, Lease, Purpose, TreeRecord, Use};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn new_store() -> Result<(tempfile::TempDir, Store)> {
    let dir = tempfile::tempdir()?;
    let store = Store::open_or_init(&dir.path().join("store"))?;
    Ok((dir, store))
}

fn lock(store: &Store) -> Result<GcLock> {
    Ok(store.gc_lock()?.ok_or("another gc runs")?)
}

fn generations(store: &Store) -> Result<BTreeSet<GenerationId>> {
    let (generations, failures) = store.generations()?;
    assert!(failures.is_empty(), "{failures:?}");
    Ok(generations.into_iter().map(|generation| generation.id).collect())
}

fn packs(store: &Store) -> Result<usize> {
    Ok(store.packs()?.packs.len())
}

#[test]
fn a_sweep_removes_the_given_generations_and_the_packs_that_nobody_names_then() -> Result {
    let (_dir, store) = new_store()?;
    let first = save(&store, "pr/1 target k", 1, &[&["a"], &["shared"]])?;
    let second = save(&store, "pr/1 target k", 2, &[&["b"], &["shared"]])?;
    let swept = store.sweep(&lock(&store)?, std::slice::from_ref(&first), &[])?;
    assert_eq!((swept.generations, swept.packs.len()), (vec![first], 1));
    assert_eq!(generations(&store)?, [second].into());
    assert_eq!(packs(&store)?, 2);
    assert_eq!(fs::read_dir(store.trash_dir())?.count(), 0);
    Ok(())
}

#[test]
fn the_stamp_of_a_series_goes_with_its_last_generation_and_not_before() -> Result {
    let (_dir, store) = new_store()?;
    let first = save(&store, "pr/1 target k", 1, &[&["a"]])?;
    let second = save(&store, "pr/1 target k", 2, &[&["b"]])?;
    store.sweep(&lock(&store)?, &[first], &[])?;
    assert_eq!(store.last_used(&second.series), Some(Timestamp::new(2, 0)));
    let before = generations(&store)?;
    store.sweep(&lock(&store)?, &Vec::from_iter(before), &[])?;
    assert_eq!(store.last_used(&second.series), None);
    for dir in ["series", "stamps"] {
        assert_eq!(fs::read_dir(store.root().join(dir))?.count(), 0, "{dir}");
    }
    Ok(())
}

#[test]
fn objects_that_a_live_lease_names_stay() -> Result {
    let (_dir, store) = new_store()?;
    let id = save(&store, "pr/1 target k", 1, &[&["a"]])?;
    let lease = store.lease(Purpose::Restore)?;
    store.read(&lease, &id)?;
    pack(&store, &lease, &["not yet named by a manifest"])?;
    let swept = store.sweep(&lock(&store)?, std::slice::from_ref(&id), &[])?;
    assert_eq!(swept, Swept::default());
    drop(lease);
    let swept = store.sweep(&lock(&store)?, std::slice::from_ref(&id), &[])?;
    assert_eq!((swept.generations, swept.packs.len()), (vec![id], 2));
    Ok(())
}

#[test]
fn a_lease_that_is_over_keeps_nothing_and_goes_with_the_next() -> Result {
    let (_dir, store) = new_store()?;
    let id = save(&store, "pr/1 target k", 1, &[&["a"]])?;
    let lease = store.lease(Purpose::Restore)?;
    lease.remove_later();
    store.read(&lease, &id)?;
    drop(lease);
    let left = || crate::store::generations::read_dir(&store.leases_dir());
    assert!(matches!(&left()?[..], [path] if path.extension() == Some("over".as_ref())));
    assert_eq!(store.holdings()?.dead_leases, Vec::<PathBuf>::new());
    assert_eq!(store.lease_facts()?.generations, BTreeSet::new());
    assert_eq!(store.reclaim()?.dead, 0, "nobody died");
    assert_eq!(left()?, Vec::<PathBuf>::new());
    Ok(())
}

/// Puts the store into the state after a gc was killed that had moved `ids` and all packs to the
/// trash.
fn killed_gc(store: &Store, ids: &[&GenerationId]) -> Result {
    let trash = store.trash_dir().join("killed");
    for id in ids {
        store.move_to(&trash, &store.generation_path(id))?;
    }
    for (digest, _) in store.packs()?.packs {
        store.move_to(&trash, &store.pack_path(digest))?;
    }
    Ok(())
}

#[test]
fn after_a_gc_was_killed_what_is_named_comes_back_and_the_rest_goes() -> Result {
    let (_dir, store) = new_store()?;
    let dropped = save(&store, "pr/1 target a", 1, &[&["a"], &["shared"]])?;
    let kept = save(&store, "pr/1 target b", 1, &[&["b"], &["shared"]])?;
    let in_use = save(&store, "pr/1 target c", 1, &[&["c"]])?;
    let lease = store.lease(Purpose::Restore)?;
    lease.name(&Use::Generation(in_use.clone()))?;
    killed_gc(&store, &[&dropped, &in_use])?;
    fs::write(store.trash_dir().join("stranger"), "")?;

    let swept = store.settle(&lock(&store)?)?;
    assert_eq!((swept.generations, swept.packs.len()), (vec![dropped], 1));
    assert_eq!(generations(&store)?, [kept, in_use].into());
    assert_eq!(packs(&store)?, 3);
    assert_eq!(fs::read_dir(store.trash_dir())?.count(), 0);
    Ok(())
}

/// A saver read generation 1 and refers to its packs. Meanwhile gc moved the generation, and
/// another saver took its number, so it cannot come back. Its packs must come back.
#[test]
fn the_packs_of_a_leased_generation_come_back_even_if_its_number_is_taken() -> Result {
    let (_dir, store) = new_store()?;
    let id = save(&store, "pr/1 target k", 1, &[&["old"]])?;
    let old = store.read_unleased(&id)?;
    let lease = store.lease(Purpose::Save)?;
    lease.name(&Use::Generation(id.clone()))?;
    killed_gc(&store, &[&id])?;
    assert_eq!(save(&store, "pr/1 target k", 2, &[&["new"]])?, id, "the number was free");

    store.settle(&lock(&store)?)?;
    store.publish(&lease, &old)?;
    assert_eq!(packs(&store)?, 2);
    Ok(())
}

/// A gc read the leases, moved a pack and was killed. In between a saver had named the pack and seen it.
#[test]
fn a_pack_that_a_killed_gc_moved_comes_back_when_a_saver_misses_it() -> Result {
    let (_dir, store) = new_store()?;
    let id = save(&store, "pr/1 target k", 1, &[&["old"]])?;
    let old = store.read_unleased(&id)?;
    let lease = store.lease(Purpose::Save)?;
    lease.name_packs(old.header.packs.iter().map(|pack| pack.digest))?;
    killed_gc(&store, &[&id])?;
    assert_eq!(packs(&store)?, 0);

    store.publish(&lease, &old)?;
    assert_eq!(packs(&store)?, 1);
    assert_eq!(fs::read_dir(store.trash_dir())?.count(), 0);
    Ok(())
}

#[test]
fn a_manifest_is_published_only_with_its_packs_there_and_leased() -> Result {
    let (_dir, store) = new_store()?;
    let saver = store.lease(Purpose::Save)?;
    let used = pack(&store, &saver, &["a"])?;
    drop(saver);
    let manifest = manifest(&series("pr/1 target k"), 1, &[(used.clone(), vec!["a"])]);

    let lease = store.lease(Purpose::Save)?;
    let id = store.publish(&lease, &manifest)?;
    assert_eq!(store.lease_facts()?.packs, [used.digest].into());
    fs::remove_file(store.pack_path(used.digest))?;
    let refused = store.publish(&lease, &manifest);
    assert!(matches!(refused, Err(StoreError::PackMissing(digest)) if digest == used.digest));
    assert_eq!(generations(&store)?, [id].into());
    Ok(())
}

#[test]
fn while_a_manifest_cannot_be_read_no_pack_goes() -> Result {
    let (_dir, store) = new_store()?;
    let id = save(&store, "pr/1 target k", 1, &[&["a"]])?;
    let unread = save(&store, "pr/1 target l", 1, &[&["b"]])?;
    let path = store.generation_path(&unread);
    fs::write(&path, "no zstd frame")?;
    killed_gc(&store, &[])?;

    let swept = store.sweep(&lock(&store)?, std::slice::from_ref(&id), &[])?;
    assert_eq!((swept.generations, swept.packs.len()), (vec![id], 0));
    assert_eq!(packs(&store)?, 2);
    let swept = store.sweep(&lock(&store)?, &[], std::slice::from_ref(&path))?;
    assert_eq!(swept.packs.len(), 2, "the manifest went, and the packs after it");
    assert!(!path.exists());
    Ok(())
}

#[test]
fn nothing_outside_the_series_is_swept_as_a_manifest() -> Result {
    let (dir, store) = new_store()?;
    let outside = dir.path().join("0000000001.manifest.zst");
    fs::write(&outside, "")?;
    let inside = store.root().join("store.json");
    store.sweep(&lock(&store)?, &[], &[outside.clone(), inside.clone()])?;
    assert!(outside.exists() && inside.exists());
    Ok(())
}

#[test]
fn one_gc_runs_at_a_time() -> Result {
    let (_dir, store) = new_store()?;
    let lock = lock(&store)?;
    assert!(store.gc_lock()?.is_none());
    drop(lock);
    assert!(store.gc_lock()?.is_some());
    Ok(())
}

/// A record names a generation by its number. When the newest generation of a series goes, the next
/// save takes that number again, and the record would claim inodes for bytes it never saw.
#[test]
fn a_tree_record_does_not_outlive_its_generation() -> Result {
    let (dir, store) = new_store()?;
    let id = save(&store, "pr/1 target k", 1, &[&["old"]])?;
    let record = TreeRecord { generation: id.clone(), owner: None, inodes: [].into() };
    store.record_tree(dir.path(), "boot", &record)?;
    assert!(store.tree_record(dir.path(), "boot").is_some());
    assert_eq!(store.stale_trees("boot")?.len(), 0);
    assert_eq!(store.stale_trees("another boot")?.len(), 1);

    store.sweep(&lock(&store)?, std::slice::from_ref(&id), &[])?;
    assert_eq!(save(&store, "pr/1 target k", 2, &[&["new"]])?, id, "the number is free again");
    assert!(store.tree_record(dir.path(), "boot").is_none());
    let stale = store.stale_trees("boot")?;
    store.forget_stale_trees(&lock(&store)?, &stale)?;
    assert_eq!((stale.len(), fs::read_dir(store.trees_dir())?.count()), (1, 0));
    Ok(())
}

#[test]
fn only_what_waits_long_in_staging_and_belongs_to_nobody_goes() -> Result {
    let (_dir, store) = new_store()?;
    let lease = store.lease(Purpose::Save)?;
    fs::write(lease.staging_dir()?.join("pack"), "half")?;
    fs::create_dir(store.staging_dir().join("dir"))?;
    fs::write(store.staging_dir().join("dir/file"), "")?;
    fs::write(store.staging_dir().join("file"), "")?;
    store.clear_staging(&lock(&store)?, Timestamp::default())?;
    assert_eq!(fs::read_dir(store.staging_dir())?.count(), 3);
    let tomorrow = Timestamp::new(Timestamp::from(std::time::SystemTime::now()).secs() + 86_400, 0);
    store.clear_staging(&lock(&store)?, tomorrow)?;
    assert!(lease.staging_dir()?.join("pack").exists());
    assert_eq!(fs::read_dir(store.staging_dir())?.count(), 1);
    Ok(())
}

/// Small pseudo-random numbers. They repeat; only the schedule of the threads varies.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits fit") % sides
    }
}

/// Few enough that saves write the same pack, and enough that at most one generation names most
/// packs.
const CONTENTS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

const SERIES: [&str; 2] = ["pr/1 target k", "pr/2 target k"];

/// Saves: takes over packs of a generation that it reads, writes some, and publishes.
fn save_some(store: &Store, dice: &mut Dice) -> Result<bool> {
    let lease = store.lease(Purpose::Save)?;
    let mut used: Vec<(PackUse, Vec<&str>)> = Vec::new();
    let mut all = generations_lossy(store)?;
    all.retain(|id| id.series.scope.lane != Lane::Protected);
    if !all.is_empty() {
        match store.read(&lease, &all[dice.roll(all.len())]) {
            Ok(base) => take_over(&base, &mut used, dice),
            Err(StoreError::Gone(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    for _ in 0..=dice.roll(2) {
        let content = &CONTENTS[dice.roll(CONTENTS.len())..][..1];
        used.push((pack(store, &lease, &[content])?, vec![content]));
    }
    let mut manifest = manifest(&series(SERIES[dice.roll(2)]), 1, &used);
    // Writing it takes a while, in which gc may move the packs that it names.
    manifest.sources = vec![source(); dice.roll(1500)];
    publish(store, &lease, &manifest)
}

fn source() -> Source {
    Source {
        root: Root::Repo,
        path: None,
        kind: SourceKind::Dir,
        digest: Digest::of(b""),
        mtime: Timestamp::default(),
        is_executable: false,
    }
}

fn take_over(
    base: &crate::model::manifest::Manifest,
    used: &mut Vec<(PackUse, Vec<&str>)>,
    dice: &mut Dice,
) {
    for pack in &base.header.packs {
        if dice.roll(3) > 0 && !used.iter().any(|(other, _)| other.digest == pack.digest) {
            used.push((pack.clone(), Vec::new()));
        }
    }
}

fn publish(
    store: &Store,
    lease: &Lease,
    manifest: &crate::model::manifest::Manifest,
) -> Result<bool> {
    match store.publish(lease, manifest) {
        Ok(id) => {
            store.stamp(&id.series, Timestamp::new(1, 0))?;
            Ok(true)
        }
        Err(StoreError::PackMissing(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Runs a gc with a harsh policy: three of four generations go, except protected ones.
fn sweep_some(store: &Store, dice: &mut Dice) -> Result<usize> {
    let mut ids = generations_lossy(store)?;
    ids.retain(|id| id.series.scope.lane != Lane::Protected && dice.roll(4) > 0);
    Ok(store.sweep(&lock(store)?, &ids, &[])?.packs.len())
}

fn generations_lossy(store: &Store) -> Result<Vec<GenerationId>> {
    Ok(store.generations()?.0.into_iter().map(|generation| generation.id).collect())
}

#[test]
fn a_manifest_published_while_gc_sweeps_names_only_packs_that_are_there() -> Result {
    const ROUNDS: u64 = 3;
    const SAVES: usize = 40;
    let refused = AtomicUsize::new(0);
    let mut swept = 0;
    for round in 0..ROUNDS {
        // In memory, where flushes cost nothing: gc comes around often.
        let dir = tempfile::tempdir_in("/dev/shm")?;
        let store = Store::open_or_init(&dir.path().join("store"))?;
        // The generations that stay make gc slow enough for saves to end while it reads them.
        for _ in 0..30 {
            save(&store, "protected target k", 1, &[&["stays"]])?;
        }
        std::thread::scope(|threads| -> Result {
            let savers = [1, 2, 3].map(|saver| {
                let (store, refused) = (&store, &refused);
                threads.spawn(move || {
                    let mut dice = Dice(round * 100 + saver);
                    for _ in 0..SAVES {
                        let saved = save_some(store, &mut dice);
                        let is_published = saved.map_err(|error| error.to_string())?;
                        refused.fetch_add(usize::from(!is_published), Ordering::Relaxed);
                    }
                    Ok::<_, String>(())
                })
            });
            let mut dice = Dice(round);
            while savers.iter().any(|saver| !saver.is_finished()) {
                swept += sweep_some(&store, &mut dice)?;
            }
            for saver in savers {
                saver.join().expect("a saver does not panic")?;
            }
            Ok(())
        })?;
        for id in generations(&store)? {
            for pack in store.read_unleased(&id)?.header.packs {
                let path = store.pack_path(pack.digest);
                assert!(
                    path.exists(),
                    "round {round}: {id} names pack {}, which is gone",
                    pack.digest
                );
            }
        }
    }
    assert!(swept > 0, "nothing was ever swept");
    // A few saves may be refused: gc removed packs that they took over before their lease named
    // them.
    let saves = usize::try_from(ROUNDS)? * 3 * SAVES;
    assert!(refused.into_inner() * 20 < saves, "gc gets in the way of saves");
    Ok(())
}

#[test]
fn looking_changes_nothing() -> Result {
    let (_dir, store) = new_store()?;
    save(&store, "pr/1 target k", 1, &[&["a"]])?;
    let before = image(store.root())?;
    store.holdings()?;
    store.packs()?;
    store.stale_trees("boot")?;
    assert_eq!(image(store.root())?, before);
    Ok(())
}
