//! Records of trees, owners, stamps, hot trees and private homes: a valid record is written back unchanged. An invalid
//! record counts as missing, and is no error.

use std::fs;
use std::path::{Path, PathBuf};

use runner_cache::fs::stat::Stat;
use runner_cache::model::cargo_home::HomeOwner;
use runner_cache::model::timestamp::Timestamp;
use runner_cache::store::Store;
use serde_json::{Value, json};

use super::world::{World, frame, generation, is_frame, name_of};

/// The name of the running boot.
const BOOT: &str = "this-boot";

/// Reads all but the first byte as the record of a tree (`t`), an owner (`o`), a stamp (`s`), a hot tree (`h`) or a
/// home (`p`). In a JSON object, the fields that tie the record to its place are set to valid values.
pub fn run(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    World::with(|world| {
        let dir = world.beside("workspace/target");
        fs::create_dir_all(&dir).expect("a directory can be made");
        match kind {
            b't' => tree(world, &dir, bytes),
            b'o' => owner(world, &dir, bytes),
            b's' => stamp(&world.store, world, bytes),
            b'h' => hot_tree(world, bytes),
            b'p' => home(world, bytes),
            _ => {}
        }
    });
}

/// Returns the lines of a record, with `fields` set in the first line.
fn placed(bytes: &[u8], fields: &Value) -> Vec<u8> {
    if is_frame(bytes) {
        return bytes.to_vec();
    }
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (first, rest) = bytes.split_at(end);
    frame(&[&with(first, fields), rest].concat())
}

fn with(json: &[u8], fields: &Value) -> Vec<u8> {
    match serde_json::from_slice(json) {
        Ok(Value::Object(mut object)) => {
            object.extend(fields.as_object().cloned().unwrap_or_default());
            Value::Object(object).to_string().into_bytes()
        }
        _ => json.to_vec(),
    }
}

/// Creates the manifest of the generation that the records refer to, which is never read; returns its inode.
fn manifest(world: &World) -> Value {
    let path = world.store.generation_path(&generation());
    if !path.exists() {
        world.write(&path, b"");
    }
    let stat = Stat::if_exists(&path).ok().flatten().expect("it is there");
    serde_json::to_value(stat.inode).expect("an inode is plain JSON")
}

fn tree(world: &World, dir: &Path, bytes: &[u8]) {
    let fields = json!({
        "directory": dir, "boot": BOOT, "generation": generation(), "manifest": manifest(world),
    });
    let path = world.inside("trees").join(name_of(dir)).with_extension("zst");
    world.write(&path, &placed(bytes, &fields));
    let store = &world.store;
    let record = store.tree_record(dir, BOOT);
    assert!(store.tree_record(dir, "another").is_none(), "it is of another boot");
    if let Some(record) = record {
        assert_eq!(store.tree_generation(dir, BOOT), Some(record.generation.clone()));
        assert_eq!(store.tree_owner(dir, BOOT).map(|(_, owner)| owner), record.owner);
        store.record_tree(dir, BOOT, &record).expect("what was read can be recorded");
        let again = store.tree_record(dir, BOOT).expect("what was recorded can be read");
        assert_eq!((again.generation, again.owner), (record.generation, record.owner));
        assert_eq!(again.inodes, record.inodes);
    }
    store.stale_trees(BOOT).expect("one record stops nothing");
    world.remove(&path);
}

fn owner(world: &World, dir: &Path, bytes: &[u8]) {
    let fields = json!({ "directory": dir, "boot": BOOT });
    let path = world.inside("trees").join(name_of(dir)).with_extension("owner");
    world.write(&path, &with(bytes, &fields));
    let store = &world.store;
    assert_eq!(store.dir_owner(dir, "another"), None);
    if let Some(owner) = store.dir_owner(dir, BOOT) {
        store.set_dir_owner(dir, BOOT, &owner).expect("what was read can be recorded");
        assert_eq!(store.dir_owner(dir, BOOT), Some(owner));
    }
    store.stale_trees(BOOT).expect("one record stops nothing");
    world.remove(&path);
}

fn stamp(store: &Store, world: &World, bytes: &[u8]) {
    let series = generation().series;
    let parts = [&*series.scope.dir_name(), &*series.area.dir_name(), series.key.as_str()];
    let path = world.inside("stamps").join(parts.iter().collect::<PathBuf>());
    world.write(&path, bytes);
    // A stamp without a time counts as missing and is replaced; a stamp never goes back in time.
    let now = Timestamp::new(1_800_000_000, 7);
    store.stamp(&series, now).expect("a series can be stamped");
    let text = fs::read_to_string(&path).expect("it is there");
    let secs = text.split('.').next().and_then(|secs| secs.trim().parse().ok());
    assert!(secs >= Some(now.secs()), "{text:?}");
    world.remove(&path);
}

fn hot_tree(world: &World, bytes: &[u8]) {
    let dir = world.inside("hot");
    let id = "0123456789abcdef01234567";
    let (tree, record) = (dir.join(id), dir.join(id).with_extension("zst"));
    fs::create_dir_all(&tree).expect("a directory can be made");
    let fields = json!({
        "hot": 1, "boot": BOOT, "generation": generation(), "manifest": manifest(world),
    });
    world.write(&record, &placed(bytes, &fields));
    for hot in world.store.hot_trees(BOOT).expect("one record stops nothing") {
        // Whatever the record says, only a tree with the record's own name may be current.
        assert!(
            !hot.is_current || hot.path.file_name() == tree.file_name(),
            "{}",
            hot.path.display()
        );
    }
    world.remove(&record);
}

fn home(world: &World, bytes: &[u8]) {
    let owner = HomeOwner { name: "runner".to_owned(), work_dir: "/srv/ci".into() };
    let home = world.store.home_path(&owner);
    let mut record = home.clone().into_os_string();
    record.push(".json");
    fs::create_dir_all(&home).expect("a directory can be made");
    world.write(Path::new(&record), bytes);
    let now = Timestamp::new(1_800_000_000, 7);
    let homes = world.store.homes(now, true).expect("one record stops nothing");
    assert_eq!(homes.len(), 1);
    assert!(homes[0].last_used <= now, "used in the future");
    drop(world.store.home_scope(&home));
    world.remove(Path::new(&record));
}
