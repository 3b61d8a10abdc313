//! The digests that lock files name for the crates of registries.

use std::collections::{BTreeMap, BTreeSet};

use super::lock_file::Package;
use crate::model::digest::Digest;

/// The crates of registries that a set of lock files names, each with the SHA-256 of its `.crate` file.
///
/// Crates of one name and version that come from two registries are not told apart: either digest is right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checksums {
    /// By `<name>-<version>`; `None` where a lock file names no digest.
    crates: BTreeMap<Vec<u8>, Option<BTreeSet<Digest>>>,
}

impl Checksums {
    /// Adds a crate of a registry.
    pub fn add(&mut self, package: &Package) {
        let name = format!("{}-{}", package.name, package.version).into_bytes();
        let digest = package.checksum.as_ref().and_then(|text| text.parse().ok());
        let known = self.crates.entry(name).or_insert_with(|| Some(BTreeSet::new()));
        match (digest, known) {
            (Some(digest), Some(known)) => {
                known.insert(digest);
            }
            (None, known) => *known = None,
            (Some(_), None) => {}
        }
    }

    /// Tells whether no crate is named.
    pub fn is_empty(&self) -> bool {
        self.crates.is_empty()
    }

    /// Tells whether a lock file names `crate_name`, which is `<name>-<version>`.
    pub fn names(&self, crate_name: &[u8]) -> bool {
        self.crates.contains_key(crate_name)
    }

    /// Returns the digests that the `.crate` file of `crate_name` may have; `None` if a lock file names none.
    pub fn of(&self, crate_name: &[u8]) -> Option<&BTreeSet<Digest>> {
        self.crates.get(crate_name)?.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Case<'a> = (&'a str, &'a [Option<String>], Option<&'a [Digest]>);

    #[test]
    fn a_crate_has_the_digests_that_lock_files_name_unless_one_of_them_names_none() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        #[rustfmt::skip]
        let cases: [Case<'_>; 6] = [
            ("one",                &[Some(a.to_string())],                      Some(&[a])),
            ("the same twice",     &[Some(a.to_string()), Some(a.to_string())], Some(&[a])),
            ("of two registries",  &[Some(b.to_string()), Some(a.to_string())], Some(&[a, b])),
            ("none",               &[None],                                     None),
            ("none in the second", &[Some(a.to_string()), None],                None),
            ("no digest",          &[Some("<none>".to_owned())],                None),
        ];
        for (why, checksums, want) in cases {
            let mut found = Checksums::default();
            for checksum in checksums {
                found.add(&Package {
                    name: "foo".to_owned(),
                    version: "1.0.0".to_owned(),
                    source: Some("registry+https://example.com".to_owned()),
                    checksum: checksum.clone(),
                });
            }
            let want: Option<BTreeSet<_>> = want.map(|want| want.iter().copied().collect());
            assert_eq!(found.of(b"foo-1.0.0"), want.as_ref(), "{why}");
            assert!(found.names(b"foo-1.0.0") && !found.names(b"foo-1.0.1"), "{why}");
        }
        assert_eq!(Checksums::default().of(b"foo-1.0.0"), None);
    }
}
