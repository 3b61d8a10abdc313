//! Units: groups the files of a target directory by the unit that they belong to, by cargo's names.
//!
//! Cargo has two layouts. In both, all files of one unit carry its hash, 16 lowercase hex digits:
//!
//! ```text
//! <profile>/.fingerprint/<package>-<hash>/…        <profile>/build/<package>/<hash>/fingerprint/…
//! <profile>/build/<package>-<hash>/…               <profile>/build/<package>/<hash>/out/…
//! <profile>/deps/<name>-<hash>[.<extension>]       <profile>/build/<package>/<hash>/run/…
//! <profile>/examples/<name>-<hash>[.<extension>]
//! ```
//!
//! Cargo up to 1.99 writes the first, and the second with `-Zbuild-dir-new-layout` (cargo#15010); cargo 1.100 always
//! writes the second. `tests/fixtures/layouts/` lists the files that each of them wrote. A profile directory is
//! `debug`, `release`, that of a custom profile, and each of them below a target triple or a directory of a tool
//! (`llvm-cov-target`). Files without a hash belong to no unit: final binaries, locks, documentation, reports of tools,
//! `incremental`.

use std::collections::BTreeMap;

use crate::model::rel_path::RelPath;
use crate::model::unit_use::UnitDir;

/// The units of one target directory.
#[derive(Clone, Debug, Default)]
pub struct Units {
    /// By profile directory (`debug/`, with its slash) and hash.
    dirs: BTreeMap<Vec<u8>, BTreeMap<Vec<u8>, UnitDir>>,
}

impl Units {
    /// Finds the units among the paths of a target directory, in any order.
    pub fn among<'a>(paths: impl Iterator<Item = &'a RelPath>) -> Self {
        let mut units = Self::default();
        for path in paths {
            let Some(place) = UnitPlace::of(path) else { continue };
            let Some(dir) = place.fingerprint_of else { continue };
            let of_profile = units.dirs.entry(place.profile.to_owned()).or_default();
            if !of_profile.contains_key(place.hash) {
                let dir = RelPath::parse(dir).expect("it begins a path");
                of_profile.insert(place.hash.to_owned(), UnitDir::new(dir));
            }
        }
        units
    }

    /// Returns the unit that a file, or a directory of a unit, belongs to.
    pub fn of(&self, path: &RelPath) -> Option<&UnitDir> {
        let place = UnitPlace::of(path)?;
        self.dirs.get(place.profile)?.get(place.hash)
    }

    /// Returns every unit, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &UnitDir> {
        self.dirs.values().flat_map(BTreeMap::values)
    }
}

/// Tells whether cargo reads this file of a target directory on every build whose graph holds its unit, to check
/// whether the unit is fresh.
pub fn is_fingerprint(path: &RelPath) -> bool {
    let dir = UnitPlace::of(path).and_then(|place| place.fingerprint_of);
    dir.is_some_and(|dir| dir.len() < path.as_bytes().len())
}

/// The layout of cargo that a path's name follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Layout {
    /// `.fingerprint/`, `build/<package>-<hash>/`, `deps/`, `examples/`.
    ByKind,
    /// `build/<package>/<hash>/`.
    ByUnit,
}

/// The position of a path that carries a hash.
pub(super) struct Spot<'a> {
    pub(super) layout: Layout,
    /// The profile directory with its slash; empty if it is the target directory itself.
    pub(super) profile: &'a [u8],
    /// The names below the directory of the unit: `["run", "stdout"]`. For a file in a directory that many units share
    /// (`deps/`, `examples/`), its own name.
    pub(super) below: Vec<&'a [u8]>,
    /// Whether it is in a fingerprint directory.
    pub(super) is_fingerprint: bool,
    /// Whether it is in a directory that many units share.
    pub(super) is_shared: bool,
}

/// Returns the profile directory of a unit's path, with its slash.
pub fn profile_of(path: &RelPath) -> Option<&[u8]> {
    UnitPlace::of(path).map(|place| place.profile)
}

/// Returns the position of a path by its names alone; `None` for a path without a hash.
pub(super) fn spot_of(path: &RelPath) -> Option<Spot<'_>> {
    let place = UnitPlace::of(path)?;
    let UnitPlace { layout, profile, depth, is_shared, .. } = place;
    let below = path.components().skip(depth).collect();
    Some(Spot { layout, profile, below, is_fingerprint: is_fingerprint(path), is_shared })
}

/// Tells whether a path is the dep-info (`*.d`) that rustc wrote beside the artifacts of a unit. A build script may
/// have written other `*.d` files into its own directory.
pub fn is_rustc_dep_info(path: &RelPath) -> bool {
    let Some(stem) = path.file_name().strip_suffix(b".d") else { return false };
    let Some(place) = UnitPlace::of(path) else { return false };
    match place.layout {
        Layout::ByKind => hash_after_dash(stem) == Some(place.hash),
        Layout::ByUnit => {
            let below: Vec<_> = path.components().skip(place.depth).collect();
            matches!(below[..], [b"out", _])
        }
    }
}

/// The position of a path in a profile directory, by its names alone.
struct UnitPlace<'a> {
    /// The profile directory with its slash; empty if it is the target directory itself.
    profile: &'a [u8],
    hash: &'a [u8],
    layout: Layout,
    /// How many names lead to the directory of the unit, or to the directory that many units share.
    depth: usize,
    is_shared: bool,
    /// If the path is in a fingerprint directory or is one: the directory that stands for the unit.
    fingerprint_of: Option<&'a [u8]>,
}

impl<'a> UnitPlace<'a> {
    /// Finds the outermost match: everything in a unit's directory belongs to that unit, even if it looks like a
    /// profile directory itself.
    fn of(path: &'a RelPath) -> Option<Self> {
        let names: Vec<_> = path.components().collect();
        let is_place =
            |name: &&[u8]| matches!(*name, b".fingerprint" | b"build" | b"deps" | b"examples");
        let at = names.iter().position(is_place)?;
        let upto = |count: usize| {
            let len: usize = names[..count].iter().map(|name| name.len() + 1).sum();
            &path.as_bytes()[..len.min(path.as_bytes().len())]
        };
        let place = |hash, layout, depth, is_of_fingerprint: bool| {
            let fingerprint_of = is_of_fingerprint.then(|| trim_slash(upto(depth)));
            let is_shared = depth == at + 1;
            Some(Self { profile: upto(at), hash, layout, depth, is_shared, fingerprint_of })
        };
        let (by_kind, by_unit) = (Layout::ByKind, Layout::ByUnit);
        match (names[at], &names[at + 1..]) {
            (b".fingerprint", [unit, ..]) => place(hash_after_dash(unit)?, by_kind, at + 2, true),
            (b"build", [_, hash, rest @ ..]) if is_hash(hash) => {
                place(hash, by_unit, at + 3, rest.first() == Some(&&b"fingerprint"[..]))
            }
            (b"build", [unit, ..]) => place(hash_after_dash(unit)?, by_kind, at + 2, false),
            (b"deps" | b"examples", [file, ..]) => {
                place(hash_after_dash(stem(file))?, by_kind, at + 1, false)
            }
            _ => None,
        }
    }
}

fn trim_slash(dir: &[u8]) -> &[u8] {
    dir.strip_suffix(b"/").unwrap_or(dir)
}

/// Returns a file name up to its first dot: `libserde-<hash>` for `libserde-<hash>.rmeta`.
fn stem(name: &[u8]) -> &[u8] {
    name.split(|byte| *byte == b'.').next().unwrap_or(name)
}

fn hash_after_dash(name: &[u8]) -> Option<&[u8]> {
    let dash = name.iter().rposition(|byte| *byte == b'-')?;
    Some(&name[dash + 1..]).filter(|hash| is_hash(hash))
}

/// Tells whether a text has the form of a unit's hash.
fn is_hash(text: &[u8]) -> bool {
    text.len() == 16 && text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::parse(text.as_bytes()).expect("a path below a root")
    }

    const A: &str = "0123456789abcdef";
    const B: &str = "fedcba9876543210";

    #[test]
    fn each_file_belongs_to_the_unit_whose_hash_it_carries() {
        #[rustfmt::skip]
        let cases = [
            //   path                                            unit
            ("debug/.fingerprint/serde-A",                       Some("debug/.fingerprint/serde-A")),
            ("debug/.fingerprint/serde-A/lib-serde.json",        Some("debug/.fingerprint/serde-A")),
            ("debug/deps/libserde-A.rlib",                       Some("debug/.fingerprint/serde-A")),
            ("debug/deps/serde-A.d",                             Some("debug/.fingerprint/serde-A")),
            ("debug/deps/serde-A",                               Some("debug/.fingerprint/serde-A")),
            ("debug/deps/serde-A.serde.1a2b-cgu.0.rcgu.o",       Some("debug/.fingerprint/serde-A")),
            ("debug/build/serde-A/out/a/b",                      Some("debug/.fingerprint/serde-A")),
            ("debug/examples/run-A",                             Some("debug/.fingerprint/serde-A")),
            ("debug/deps/libserde-B.rlib",                       None),
            ("release/deps/libserde-A.rlib",                     None),
            ("debug/libserde.rlib",                              None),
            ("debug/deps/libplugin.so",                          None),
            ("debug/incremental/serde-1x2wbpamzrdyh/s-x/a.o",    None),
            ("debug/.cargo-lock",                                None),
            ("doc/serde/build/x-A/index.html",                   None),
            // Files that a build script built belong to its unit.
            ("debug/build/serde-A/out/target/debug/deps/x-B.d",  Some("debug/.fingerprint/serde-A")),
            // A target triple, a tool's directory, a custom profile.
            ("x86_64-unknown-linux-gnu/release/deps/libz-B.rlib", Some("x86_64-unknown-linux-gnu/release/.fingerprint/z-B")),
            ("llvm-cov-target/debug/deps/y-B",                   Some("llvm-cov-target/debug/.fingerprint/y-B")),
            // The other layout.
            ("fast/build/w/B",                                   Some("fast/build/w/B")),
            ("fast/build/w/B/out/libw-B.rlib",                   Some("fast/build/w/B")),
            ("fast/build/w/A/out/libw-A.rlib",                   None),
            ("fast/build/w",                                     None),
        ];
        let fingerprints = [
            "debug/.fingerprint/serde-A/invoked.timestamp",
            "x86_64-unknown-linux-gnu/release/.fingerprint/z-B",
            "llvm-cov-target/debug/.fingerprint/y-B",
            "fast/build/w/B/fingerprint/lib-w",
            "debug/build/serde-A/out/target/debug/.fingerprint/x-B/lib-x",
        ];
        let full = |text: &str| {
            path(
                &text
                    .replace("-A", &format!("-{A}"))
                    .replace("-B", &format!("-{B}"))
                    .replace("/B", &format!("/{B}"))
                    .replace("/A", &format!("/{A}")),
            )
        };
        let fingerprints: Vec<_> = fingerprints.iter().map(|text| full(text)).collect();
        let units = Units::among(fingerprints.iter());
        assert_eq!(units.iter().count(), 4);
        for (text, want) in cases {
            let got = units.of(&full(text)).map(|unit| unit.path().clone());
            assert_eq!(got, want.map(full), "{text}");
        }
    }

    #[test]
    fn only_files_that_cargo_reads_on_every_build_are_a_fingerprint() {
        let cases = [
            (format!("debug/.fingerprint/serde-{A}/lib-serde"), true),
            (format!("debug/.fingerprint/serde-{A}"), false),
            (format!("debug/build/serde/{A}/fingerprint/lib-serde"), true),
            (format!("debug/build/serde/{A}/out/libserde.rlib"), false),
            (format!("debug/build/serde-{A}/output"), false),
            (format!("debug/deps/libserde-{A}.rlib"), false),
        ];
        for (text, want) in cases {
            assert_eq!(is_fingerprint(&path(&text)), want, "{text}");
        }
    }
}
