use std::error::Error;

use super::*;
use crate::model::quantity::{ByteSize, Percent};
use crate::model::retention::Policy;
use crate::model::timestamp::Timestamp;
use crate::store::sample::{image, save, series};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const NOW: i64 = 1_000_000_000;

fn new_store(dir: &Path) -> Result<Store> {
    let store = Store::open_or_init(&dir.join("store"))?;
    save(&store, "pr/1 target k", NOW, &[&["a"]])?;
    Ok(store)
}

/// Returns a pressure under which no disk is too full, whatever the disk of this test.
fn calm() -> Pressure {
    let never = Percent::try_from(100).expect("it is 100");
    Pressure { disk_threshold: never, min_free: Some(ByteSize(0)), ..Pressure::default() }
}

/// Returns a pressure under which every disk is too full.
fn strained() -> Pressure {
    Pressure { min_free: Some(ByteSize(u64::MAX)), ..Pressure::default() }
}

fn watch(
    store: &Store,
    paths: &[(PathUse, PathBuf)],
    pressure: &Pressure,
    mode: GcMode,
) -> Result<GuardReport> {
    let (policy, now) = (Policy::default(), Timestamp::new(NOW, 0));
    Ok(guard(store, paths, pressure, Options { policy: &policy, readable: &[], now, mode })?)
}

#[test]
fn a_filesystem_is_watched_once_whatever_is_on_it() -> Result {
    let dir = tempfile::tempdir()?;
    let store = new_store(dir.path())?;
    let paths = [
        (PathUse::Target, dir.path().join("not/there/yet")),
        (PathUse::Store, store.root().to_owned()),
        (PathUse::Target, dir.path().to_owned()),
        (PathUse::TempDir, "/dev/shm".into()),
        (PathUse::CargoHome, "/dev/shm/home".into()),
    ];
    let report = watch(&store, &paths, &calm(), GcMode::Execute)?;
    let places: Vec<_> = report.filesystems.iter().map(|watched| watched.places.clone()).collect();
    assert_eq!(
        places,
        [vec![PathUse::Store, PathUse::Target], vec![PathUse::TempDir, PathUse::CargoHome]]
    );
    assert_eq!(report.warnings, []);
    Ok(())
}

#[test]
fn the_store_makes_room_on_its_own_filesystem() -> Result {
    let dir = tempfile::tempdir()?;
    let store = new_store(dir.path())?;
    let before = image(store.root())?;
    let foreseen = watch(&store, &[], &strained(), GcMode::DryRun)?;
    assert_eq!(image(store.root())?, before);
    assert_eq!((foreseen.gc.expired.len(), foreseen.gc.packs), (1, 1));
    assert_eq!(foreseen.warnings, [], "what would be missing is said by gc");

    let done = watch(&store, &[], &strained(), GcMode::Execute)?;
    assert_eq!(done.gc.expired[0].id, foreseen.gc.expired[0].id);
    assert_eq!(store.packs()?.packs, []);
    assert!(done.warnings[0].to_string().contains("(store): "), "{:?}", done.warnings);
    Ok(())
}

#[test]
fn room_is_made_by_other_lanes_before_the_own_one() -> Result {
    let dir = tempfile::tempdir()?;
    let store = new_store(dir.path())?;
    // Last used later, so that it would stay if the guard did not know whose job this is.
    let other = save(&store, "pr/2 target k", NOW + 9, &[&["b"]])?;
    let own = series("pr/1 target k").scope.chain(None);
    let room = store.packs()?.packs.iter().map(|(_, bytes)| bytes).max().copied();
    let (generations, _) = store.generations()?;
    let manifest = generations.iter().map(|generation| generation.manifest_bytes).max();
    let one = room.zip(manifest).map(|(pack, manifest)| ByteSize(pack + manifest));
    let pressure = Pressure { max_size: one, ..calm() };
    let now = Timestamp::new(NOW + 10, 0);
    let policy = Policy::default();
    let options = Options { policy: &policy, readable: &own, now, mode: GcMode::Execute };
    let report = guard(&store, &[], &pressure, options)?;
    let gone: Vec<_> = report.gc.expired.into_iter().map(|expired| expired.id).collect();
    assert_eq!(gone, [other]);
    Ok(())
}

#[test]
fn a_store_that_does_not_last_is_warned_about() -> Result {
    let dir = tempfile::tempdir()?;
    let store = new_store(dir.path())?;
    let linked = dir.path().join("linked");
    std::os::unix::fs::symlink(dir.path(), &linked)?;
    for (why, workspace, want) in [
        ("around it", dir.path().to_owned(), true),
        ("around it, by a link", linked, true),
        ("the store itself", store.root().to_owned(), true),
        ("beside it", dir.path().join("sto"), false),
        ("not there", dir.path().join("store/x"), false),
    ] {
        let report = watch(&store, &[(PathUse::Workspace, workspace)], &calm(), GcMode::DryRun)?;
        let is_warned = report.warnings.iter().any(|warning| warning.code() == "store-in-checkout");
        assert_eq!(is_warned, want, "{why}");
    }
    let in_memory = tempfile::tempdir_in("/dev/shm")?;
    let report = watch(&new_store(in_memory.path())?, &[], &calm(), GcMode::DryRun)?;
    assert_eq!(report.warnings[0].code(), "store-in-memory", "{:?}", report.warnings);
    Ok(())
}

#[test]
fn a_full_disk_is_named_before_somebody_blames_the_linker() {
    let filesystem = Filesystem {
        device: 1,
        path: "/home".into(),
        total_bytes: 100 << 30,
        free_bytes: 4 << 30,
        used_bytes: 96 << 30,
        total_inodes: 0,
        free_inodes: 0,
        is_memory: false,
    };
    let strains = Pressure::default().strains(&filesystem);
    let places = vec![PathUse::Workspace, PathUse::Target];
    let watched = Watched { places, before: filesystem.clone(), after: filesystem };
    let want = "`/home` (workspace, target directory): disk at 96 %, above 80 %, 4 GiB free, under \
                10 GiB, and gc has nothing there that it may remove; a build that fails there with `Bus error` \
                or `No space left on device` fails for the disk, not for the linker";
    let warning = warning_of(&watched, &strains).map(|warning| warning.to_string());
    assert_eq!(warning.as_deref(), Some(want));
    assert_eq!(warning_of(&watched, &[]), None);
}
