//! Manifests: a manifest that can be read can be published again, and then reads back as the same.

use std::fs;

use runner_cache::model::manifest::Manifest;
use runner_cache::store::{Purpose, Store};

use super::world::{World, frame, generation, is_frame};

/// The limits on the number and size of the packs that are created to publish a manifest again.
const MAX_PACKS: usize = 16;
const MAX_PACK_BYTES: u64 = 1 << 40;

/// Reads `bytes` as the manifest of a generation. Text has up to three parts, separated by NUL: the header, the sketch
/// and the rest.
pub fn run(bytes: &[u8]) {
    World::with(|world| {
        let id = generation();
        let path = world.store.generation_path(&id);
        world.write(&path, &if is_frame(bytes) { bytes.to_vec() } else { compressed(bytes) });
        let (generations, failures) =
            world.store.generations().expect("one manifest stops nothing");
        assert_eq!(generations.len() + failures.len(), 1, "{failures:?}");
        for generation in &generations {
            assert_eq!(generation.id, id);
            drop(world.store.sketch(generation));
        }
        if let Ok(manifest) = world.store.read_unleased(&id) {
            assert_eq!(manifest.flaw(), None);
            assert_eq!(generations.len(), usize::from(manifest.header.series == id.series));
            assert!(generations.iter().all(|generation| generation.header == manifest.header));
            if manifest.header.packs.len() <= MAX_PACKS {
                publish_again(world, &manifest);
            }
        }
        world.remove(&world.inside("series"));
        world.remove(&world.inside("packs"));
        fs::create_dir(world.inside("series")).expect("a directory can be made");
        fs::create_dir(world.inside("packs")).expect("a directory can be made");
    });
}

fn compressed(text: &[u8]) -> Vec<u8> {
    let mut parts = text.splitn(3, |byte| *byte == 0);
    let mut file = frame(parts.next().unwrap_or_default());
    let (second, third) = (parts.next(), parts.next());
    let (sketch, rest) = if third.is_some() { (second, third) } else { (None, second) };
    if let Some(sketch) = sketch.map(frame) {
        file.extend(0x184D_2A50_u32.to_le_bytes());
        file.extend(u32::try_from(sketch.len()).expect("inputs are short").to_le_bytes());
        file.extend(sketch);
    }
    file.extend(rest.map(frame).unwrap_or_default());
    file
}

fn publish_again(world: &World, manifest: &Manifest) {
    let store: &Store = &world.store;
    for pack in &manifest.header.packs {
        if pack.stored_bytes > MAX_PACK_BYTES {
            return;
        }
        let path = store.pack_path(pack.digest);
        world.write(&path, b"");
        let file = fs::File::options().write(true).open(&path).expect("it was written just now");
        file.set_len(pack.stored_bytes).expect("a file may be as long as that");
    }
    let lease = store.lease(Purpose::Save).expect("a lease can be had");
    let id = store.publish(&lease, manifest).expect("what was read can be published");
    let path = store.generation_path(&id);
    assert!(path.starts_with(world.inside("series")), "{}", path.display());
    assert_eq!(
        path.parent().and_then(|key| key.ancestors().nth(3)),
        Some(&*world.inside("series"))
    );
    let again = store.read_unleased(&id).expect("what was published can be read");
    assert_eq!(again, *manifest);
}
