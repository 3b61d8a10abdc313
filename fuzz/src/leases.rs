//! Leases: reclaim removes only the staging directories of a dead process, and nothing of a live one.

use std::fs::{self, File};

use runner_cache::store::Purpose;

use super::world::World;

/// The id of the lease that is read.
const ID: &str = "0123456789abcdef01234567";

/// The paths beside the store, and whether the lease may claim each as its staging directory; the name decides.
const BESIDE: [(&str, bool); 5] = [
    ("precious", false),
    (".runner-cache-fedcba98765432100123ffff", false),
    ("x.runner-cache-0123456789abcdef01234567", false),
    (".runner-cache-0123456789abcdef0123456", false),
    (".runner-cache-0123456789abcdef01234567-0", true),
];

/// Reads `bytes` first as the lease of a dead process, then of a live one. In `bytes`, `$HERE` stands for the directory
/// around the store.
pub fn run(bytes: &[u8]) {
    World::with(|world| {
        let here = world.beside("");
        for (name, _) in BESIDE {
            world.write(&world.beside(name).join("file"), b"content");
        }
        let bytes = placed(bytes, here.as_os_str().as_encoded_bytes());
        let path = world.inside("leases").join(ID);

        world.write(&path, &bytes);
        let live = world.store.lease(Purpose::Restore).expect("a lease can be had");
        // If a path cannot be removed, that is an error and the lease stays. No other path may be removed.
        drop(world.store.reclaim());
        for (name, is_ours) in BESIDE {
            assert!(is_ours || world.beside(name).join("file").exists(), "`{name}` was removed");
        }
        drop(live);

        world.write(&path, &bytes);
        let held = File::open(&path).expect("it was written just now");
        held.lock().expect("nobody else has it");
        let facts = world.store.lease_facts().expect("what a process writes stops nothing");
        assert!(facts.ids.contains(ID), "a live lease counts");
        let lines = bytes.split(|byte| *byte == b'\n').count();
        assert!(facts.packs.len() + facts.generations.len() <= lines, "more than it says");
        drop(world.store.reclaim());
        assert!(path.exists(), "a live lease stays");
        drop(held);
        world.remove(&path);
        for (name, _) in BESIDE {
            world.remove(&world.beside(name));
        }
        assert_eq!(fs::read_dir(&here).map_or(0, Iterator::count), 1, "only the store is here");
    });
}

fn placed(bytes: &[u8], here: &[u8]) -> Vec<u8> {
    const PLACE: &[u8] = b"$HERE/";
    let mut placed = Vec::new();
    let mut rest = bytes;
    while let Some(at) = rest.windows(PLACE.len()).position(|found| found == PLACE) {
        placed.extend_from_slice(&rest[..at]);
        placed.extend_from_slice(here);
        rest = &rest[at + PLACE.len()..];
    }
    placed.extend_from_slice(rest);
    placed
}
