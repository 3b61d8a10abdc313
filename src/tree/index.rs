//! Which contents the store holds already, of those this job may read.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use rayon::prelude::*;

use crate::job::Result;
use crate::model::digest::Digest;
use crate::model::manifest::{Manifest, PackUse};
use crate::model::scope::Scope;
use crate::store::{self, Lease, Store, Use};

/// Contents by digest, and how much of each pack is alive.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// In which of the packs each is.
    contents: HashMap<Digest, usize>,
    packs: Vec<Indexed>,
    /// Where in `packs` each is.
    places: HashMap<Digest, usize>,
}

/// A pack, and how many bytes of it are contents that this is the copy of.
#[derive(Debug)]
struct Indexed {
    pack: PackUse,
    alive_bytes: u64,
}

impl Index {
    /// Reads the manifests of every generation that `chain` may read; the lease names each before
    /// it is read. One that is gone or damaged holds nothing for us.
    pub(crate) fn read(store: &Store, lease: &Lease, chain: &[Scope]) -> Result<Self> {
        let mut generations = Vec::new();
        for scope in chain {
            generations.extend(store.generations_in(scope)?.0);
        }
        // Jobs that save at once may store a content twice. All later saves refer to the same copy, so
        // that nobody names the other once those generations are gone.
        generations.sort_by(|a, b| (a.header.created, &a.id).cmp(&(b.header.created, &b.id)));
        for generation in &generations {
            lease.name(&Use::Generation(generation.id.clone()))?;
        }
        let mut index = Self::default();
        let on_disk: HashMap<Digest, u64> = store.packs()?.packs.into_iter().collect();
        let is_whole = |pack: &PackUse| on_disk.get(&pack.digest) == Some(&pack.stored_bytes);
        // One a thread: a manifest takes about 450 bytes of memory for each file of its tree.
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

    /// Adds the contents of a manifest whose packs are there at their full size. Those of others
    /// are stored again: so a store that lost packs becomes whole.
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

    /// Returns the pack to take a content from, unless the store lacks it or less than half of
    /// that pack is alive: then its living contents are carried over into new packs, so that
    /// garbage stays under twice what lives.
    pub(crate) fn pack_of(&self, digest: Digest) -> Option<&PackUse> {
        let Indexed { pack, alive_bytes } = &self.packs[*self.contents.get(&digest)?];
        (alive_bytes * 2 >= pack.content_bytes).then_some(pack)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
