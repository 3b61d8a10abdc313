//! The digests that lock files name for the crates of registries.

use std::collections::BTreeMap;

use super::home_paths::CrateOf;
use super::lock_file::Package;
use super::registries::{Places, Registries};
use crate::model::digest::Digest;

/// The crates of registries that lock files name, each with the SHA-256 of its `.crate` file.
///
/// The first lock file that names a crate in a directory decides; later lock files are not asked. So a lock file that
/// somebody left in a dependency cannot approve a crate that the repo itself builds with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checksums {
    registries: Registries,
    /// Where the crates of each source may lie, by the source's name in lock files.
    sources: BTreeMap<String, Places>,
    /// The crates that lock files name, in order of precedence, by `<name>-<version>`.
    crates: BTreeMap<Vec<u8>, Vec<Named>>,
}

/// A crate as one lock file names it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    source: String,
    digest: Option<Digest>,
}

/// The digest that lock files require of a crate in one registry directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Any: the directory belongs to a source for which lock files name no digest.
    Anything,
    /// The `.crate` file must have this digest.
    Digest(Digest),
    /// The directory belongs to no source of the lock files. A crate with this digest is still the crate that they
    /// name.
    OtherRegistry(Option<Digest>),
}

impl Expected {
    /// Tells whether a `.crate` file with this digest is certainly the crate that a lock file names.
    pub fn is(self, digest: &Digest) -> bool {
        match self {
            Self::Digest(it) | Self::OtherRegistry(Some(it)) => it == *digest,
            Self::Anything | Self::OtherRegistry(None) => false,
        }
    }
}

impl Checksums {
    /// Returns an empty collection, for the given registries.
    pub fn new(registries: Registries) -> Self {
        Self { registries, ..Self::default() }
    }

    /// Adds a crate of a registry. Call it in order of precedence: the first lock file first.
    pub fn add(&mut self, package: &Package, source: &str) {
        let name = format!("{}-{}", package.name, package.version).into_bytes();
        if !self.sources.contains_key(source) {
            self.sources.insert(source.to_owned(), self.registries.places(source));
        }
        let digest = package.checksum.as_ref().and_then(|text| text.parse().ok());
        let named = Named { source: source.to_owned(), digest };
        self.crates.entry(name).or_default().push(named);
    }

    /// Tells whether no lock file names a crate.
    pub fn is_empty(&self) -> bool {
        self.crates.is_empty()
    }

    /// Tells whether a lock file names `crate_name`, which is `<name>-<version>`.
    pub fn names(&self, crate_name: &[u8]) -> bool {
        self.crates.contains_key(crate_name)
    }

    /// Returns the digest that lock files require of a crate.
    pub fn of(&self, of: CrateOf<'_>) -> Expected {
        let all = self.crates.get(of.name).map(Vec::as_slice).unwrap_or_default();
        let is_here = |it: &&Named| self.sources[&it.source].have(of.registry);
        let mut here = all.iter().filter(is_here).peekable();
        if here.peek().is_none() {
            return Expected::OtherRegistry(all.iter().find_map(|it| it.digest));
        }
        here.find_map(|it| it.digest).map_or(Expected::Anything, Expected::Digest)
    }

    /// Tells whether the registry directory of that name belongs to a source that lock files name.
    pub fn have_registry(&self, name: &[u8]) -> bool {
        self.sources.values().any(|places| places.have(name))
    }

    /// Returns the registries that this host knows.
    pub fn registries(&self) -> &Registries {
        &self.registries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Why; the sources and digests that lock files name, in turn; and the expected result.
    type Case<'a> = (&'a str, &'a [(&'a str, Option<String>)], Expected);

    #[test]
    fn a_crate_has_the_digest_that_the_first_lock_file_names_for_its_source() {
        const IO: &str = "registry+https://github.com/rust-lang/crates.io-index";
        const CORP: &str = "sparse+https://my.corp/index/";
        const EVIL: &str = "sparse+https://index.crates.io/evil/";
        let [a, b] = [b"a", b"b"].map(|bytes| Digest::of(bytes));
        #[rustfmt::skip]
        let cases: [Case<'_>; 11] = [
            ("one",                   &[(IO, Some(a.to_string()))],                                Expected::Digest(a)),
            ("the same twice",        &[(IO, Some(a.to_string())), (IO, Some(a.to_string()))],     Expected::Digest(a)),
            ("another after it",      &[(IO, Some(a.to_string())), (IO, Some(b.to_string()))],     Expected::Digest(a)),
            ("none after it",         &[(IO, Some(a.to_string())), (IO, None)],                    Expected::Digest(a)),
            ("none before it",        &[(IO, None), (IO, Some(a.to_string()))],                    Expected::Digest(a)),
            ("of two registries",     &[(CORP, Some(b.to_string())), (IO, Some(a.to_string()))],   Expected::Digest(a)),
            ("of one host",           &[(IO, Some(a.to_string())), (EVIL, Some(b.to_string()))],   Expected::Digest(a)),
            ("none",                  &[(IO, None)],                                               Expected::Anything),
            ("no digest",             &[(IO, Some("<none>".to_owned()))],                          Expected::Anything),
            ("of another registry",   &[(CORP, None), (CORP, Some(b.to_string()))],                Expected::OtherRegistry(Some(b))),
            ("of another, no digest", &[(CORP, None)],                                             Expected::OtherRegistry(None)),
        ];
        for (why, named, want) in cases {
            let mut found = Checksums::default();
            for (source, checksum) in named {
                let package = Package {
                    name: "foo".to_owned(),
                    version: "1.0.0".to_owned(),
                    source: Some((*source).to_owned()),
                    checksum: checksum.clone(),
                };
                found.add(&package, source);
            }
            let registry = b"index.crates.io-1949cf8c6b5b557f";
            assert_eq!(found.of(CrateOf { registry, name: b"foo-1.0.0" }), want, "{why}");
            assert!(found.names(b"foo-1.0.0") && !found.names(b"foo-1.0.1"), "{why}");
        }
    }
}
