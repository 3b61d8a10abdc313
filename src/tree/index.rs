//! The contents that the store already holds and this job may read.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use rayon::prelude::*;

use crate::job::Result;
use crate::model::digest::Digest;
use crate::model::manifest::{Manifest, PackUse};
use crate::model::scope::Scope;
use crate::store::{self, Lease, Store, Use};

/// Contents by digest, and how many bytes of each pack are in use.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// The index in `packs` of the pack that holds each content.
    contents: HashMap<Digest, usize>,
    packs: Vec<Indexed>,
    /// The index in `packs` of each pack.
    places: HashMap<Digest, usize>,
}

/// A pack, and the number of its bytes that are contents referred to in this pack.
#[derive(Debug)]
struct Indexed {
    pack: PackUse,
    alive_bytes: u64,
}

impl Index {
    /// Reads the manifests of every generation that `chain` may read. The lease names each generation and its packs
    /// before they are read. A generation that is gone or damaged is skipped, and so is a pack that is gone.
    ///
    /// The name of the generation alone would not do: if gc removes it and another save takes its number, the lease
    /// stands for the new generation, and a later gc removes packs that this save refers to.
    pub(crate) fn read(store: &Store, lease: &Lease, chain: &[Scope]) -> Result<Self> {
        let mut generations = Vec::new();
        for scope in chain {
            generations.extend(store.generations_in(scope)?.0);
        }
        // Jobs that save at the same time may store a content twice. All later saves refer to the older copy, so that
        // no manifest names the other once the generations that used it are gone.
        generations.sort_by(|a, b| (a.header.created, &a.id).cmp(&(b.header.created, &b.id)));
        for generation in &generations {
            lease.name(&Use::Generation(generation.id.clone()))?;
        }
        let packs = generations.iter().flat_map(|generation| &generation.header.packs);
        let named: HashSet<Digest> = packs.map(|pack| pack.digest).collect();
        lease.name_packs(named.iter().copied())?;
        let mut index = Self::default();
        let on_disk: HashMap<Digest, u64> = store.packs()?.packs.into_iter().collect();
        let is_whole = |pack: &PackUse| {
            named.contains(&pack.digest) && on_disk.get(&pack.digest) == Some(&pack.stored_bytes)
        };
        // One manifest per thread: each takes about 450 bytes of memory for each file of its tree.
        for some in generations.chunks(rayon::current_num_threads()) {
            let manifests: Vec<Manifest> = some
                .par_iter()
                .filter_map(|generation| match store.read_unleased(&generation.id) {
                    Ok(manifest) => Some(Ok(manifest)),
                    Err(store::Error::Io(error)) => Some(Err(error)),
                    Err(_) => None,
                })
                .collect::<std::result::Result<_, _>>()?;
            for manifest in &manifests {
                index.add(manifest, is_whole);
            }
        }
        Ok(index)
    }

    /// Adds the contents of those packs of a manifest that exist at their full size. Contents of other packs are stored
    /// again, which repairs a store that lost packs.
    fn add(&mut self, manifest: &Manifest, is_whole: impl Fn(&PackUse) -> bool) {
        let packs = manifest.header.packs.iter();
        let places: Vec<_> = packs.map(|it| is_whole(it).then(|| self.place_of(it))).collect();
        for content in manifest.files().flat_map(|facts| &facts.contents) {
            let Some(place) = places[content.pack as usize] else { continue };
            if let Entry::Vacant(entry) = self.contents.entry(content.digest) {
                entry.insert(place);
                self.packs[place].alive_bytes += content.len;
            }
        }
    }

    fn place_of(&mut self, pack: &PackUse) -> usize {
        *self.places.entry(pack.digest).or_insert_with(|| {
            self.packs.push(Indexed { pack: pack.clone(), alive_bytes: 0 });
            self.packs.len() - 1
        })
    }

    /// Returns the pack that a new manifest takes a content from. Returns `None` if the store lacks the content or less
    /// than half of its pack is in use: the contents in use are then stored again in new packs, so that garbage stays
    /// below the bytes in use.
    pub(crate) fn pack_of(&self, digest: Digest) -> Option<&PackUse> {
        let Indexed { pack, alive_bytes } = &self.packs[*self.contents.get(&digest)?];
        (alive_bytes * 2 >= pack.content_bytes).then_some(pack)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::store::Purpose;
    use crate::store::sample::{save, series};

    #[test]
    fn packs_that_were_read_stay_when_another_generation_takes_the_number()
    -> std::result::Result<(), Box<dyn std::error::Error>> {
        const SERIES: &str = "protected target k";
        let dir = tempfile::tempdir()?;
        let store = Store::open_or_init(&dir.path().join("store"))?;
        let id = save(&store, SERIES, 1, &[&["a"]])?;
        let lease = store.lease(Purpose::Save)?;
        let index = Index::read(&store, &lease, &[series(SERIES).scope])?;
        // As by a gc that had read the leases before.
        fs::remove_file(store.generation_path(&id))?;
        assert_eq!(save(&store, SERIES, 2, &[&["b"]])?, id, "the number is taken again");
        let lock = store.gc_lock()?.ok_or("another gc runs")?;
        store.sweep(&lock, &[], &[])?;
        let pack = index.pack_of(Digest::of(b"a")).ok_or("the store had it")?;
        assert!(store.has_packs(std::slice::from_ref(pack)));
        Ok(())
    }

    #[test]
    fn a_pack_less_than_half_alive_is_not_referred_to() {
        let pack = |name: &str| PackUse {
            digest: Digest::of(name.as_bytes()),
            stored_bytes: 1,
            content_bytes: 100,
        };
        let mut index = Index::default();
        for (content, name, alive) in [("a", "half", 50), ("b", "less", 49)] {
            index.contents.insert(Digest::of(content.as_bytes()), index.packs.len());
            index.packs.push(Indexed { pack: pack(name), alive_bytes: alive });
        }
        assert_eq!(index.pack_of(Digest::of(b"a")), Some(&pack("half")));
        assert_eq!(index.pack_of(Digest::of(b"b")), None);
        assert_eq!(index.pack_of(Digest::of(b"c")), None);
    }
}
