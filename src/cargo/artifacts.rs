//! Artifacts: what a unit that is built has left besides its fingerprint.
//!
//! Cargo takes a unit for built when its fingerprint holds a hash, 16 hex digits in a file named after
//! what was done and for what (`CompilationFiles::fingerprint_file_path` of cargo 1.95). It then looks
//! for what it built, and builds it again if that is gone:
//!
//! | fingerprint | artifacts |
//! |---|---|
//! | `run-build-script-…` | `output`, what the build script printed |
//! | `doc-…-<target>` | `doc/<target>/`, beside the profile's directory or above |
//! | `lib-<target>`, `bin-…`, `test-…`, `example-…`, `bench-…`, `build-script-…` | a file that carries the hash; of a dynamic library, or a program for wasm, `deps/lib<target>.<extension>` without it |
//!
//! A `*.d` tells what an artifact was made of, and is none itself.

use std::collections::{BTreeSet, HashSet};

use super::units::{Units, fingerprint_of, profile_of};
use crate::model::rel_path::RelPath;
use crate::model::unit_use::UnitDir;

/// Where cargo puts documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Docs {
    /// In the tree that holds the units.
    Inside,
    /// In the target directory, which is apart from that.
    Apart,
}

/// The length of the hash in a fingerprint, in bytes.
const HASH_LEN: u64 = 16;

/// Returns the units of a tree that say that they are built and whose artifacts are not there.
///
/// `files` are its files, links and hard links among them, each with its size; a hard link needs none.
pub fn lacking<'a>(
    units: &Units,
    files: impl Iterator<Item = (&'a RelPath, Option<u64>)> + Clone,
    docs: Docs,
) -> BTreeSet<UnitDir> {
    let paths = || files.clone().map(|(path, _)| path);
    let there = There::among(units, paths());
    let mut lacking = BTreeSet::new();
    for (path, size) in files {
        let Some(unit) = units.of(path) else { continue };
        let built = fingerprint_of(path).filter(|_| size == Some(HASH_LEN)).and_then(Built::of);
        if built.is_some_and(|built| !there.holds(unit, path, &built, docs)) {
            lacking.insert(unit.clone());
        }
    }
    lacking
}

/// What a fingerprint says was done.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Built {
    /// A build script ran.
    Run,
    /// A target was documented.
    Documented(Vec<u8>),
    /// A target was compiled.
    Compiled(Vec<u8>),
}

impl Built {
    /// Tells it by the name of the file with the hash; `None` for the files beside it, and for what no
    /// cargo that we know does.
    fn of(name: &[u8]) -> Option<Self> {
        if name.ends_with(b".json") {
            return None;
        }
        if name.starts_with(b"run-build-script-") {
            return Some(Self::Run);
        }
        if let Some(name) = name.strip_prefix(b"doc-") {
            return target(name).map(Self::Documented);
        }
        target(name.strip_prefix(b"test-").unwrap_or(name)).map(Self::Compiled)
    }
}

/// Returns the target of `lib-some-target`, as rustc calls it.
fn target(name: &[u8]) -> Option<Vec<u8>> {
    const KINDS: [&[u8]; 6] =
        [b"lib-", b"bin-", b"integration-test-", b"example-", b"bench-", b"build-script-"];
    let target = KINDS.iter().find_map(|kind| name.strip_prefix(*kind))?;
    Some(underscored(target))
}

fn underscored(name: &[u8]) -> Vec<u8> {
    name.iter().map(|byte| if *byte == b'-' { b'_' } else { *byte }).collect()
}

/// The artifacts that are there.
#[derive(Default)]
struct There<'a> {
    /// Units of which some file is there.
    units: HashSet<&'a UnitDir>,
    /// Units of which there is what a build script printed.
    runs: HashSet<&'a UnitDir>,
    /// Targets whose file carries no hash, by the profile's directory.
    unhashed: HashSet<(&'a [u8], Vec<u8>)>,
    /// Targets that are documented, by the directory that `doc/` is in.
    documented: HashSet<(&'a [u8], Vec<u8>)>,
}

impl<'a> There<'a> {
    fn among(units: &'a Units, paths: impl Iterator<Item = &'a RelPath>) -> Self {
        let mut there = Self::default();
        for path in paths.filter(|path| !path.as_bytes().ends_with(b".d")) {
            if let Some(unit) = units.of(path) {
                if fingerprint_of(path).is_none() {
                    there.units.insert(unit);
                }
                if path.file_name() == b"output" {
                    there.runs.insert(unit);
                }
            } else if let Some((above, target)) = document(path) {
                there.documented.insert((above, target));
            } else if let Some((profile, target)) = unhashed(path) {
                there.unhashed.insert((profile, target));
            }
        }
        there
    }

    /// Tells whether what was `built` is there; `path` is in the fingerprint of the unit.
    fn holds(&self, unit: &UnitDir, path: &RelPath, built: &Built, docs: Docs) -> bool {
        let profile = profile_of(path).unwrap_or_default();
        match built {
            Built::Run => self.runs.contains(unit),
            Built::Documented(_) if docs == Docs::Apart => true,
            // A build directory may lie inside the target directory, so not only just beside.
            Built::Documented(target) => {
                let mut above = std::iter::successors(parent(profile), |dir| parent(dir));
                above.any(|dir| self.documented.contains(&(dir, target.clone())))
            }
            Built::Compiled(target) => {
                self.units.contains(unit) || self.unhashed.contains(&(profile, target.clone()))
            }
        }
    }
}

/// Returns the directory above one, both with their slash; nothing is above the tree.
fn parent(dir: &[u8]) -> Option<&[u8]> {
    let dir = dir.strip_suffix(b"/")?;
    let end = dir.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    Some(&dir[..end])
}

/// Returns what a file of documentation documents, and the directory that `doc/` is in:
/// `doc/serde/index.html`, `x86_64-unknown-linux-gnu/doc/serde.json`.
fn document(path: &RelPath) -> Option<(&[u8], Vec<u8>)> {
    let names: Vec<_> = path.components().collect();
    let at = names.iter().position(|name| *name == b"doc")?;
    let target = names.get(at + 1)?;
    let target = target.strip_suffix(b".json").unwrap_or(target);
    let above: usize = names[..at].iter().map(|name| name.len() + 1).sum();
    Some((&path.as_bytes()[..above], underscored(target)))
}

/// Returns the target of `debug/deps/libplugin.so`, and the profile's directory.
fn unhashed(path: &RelPath) -> Option<(&[u8], Vec<u8>)> {
    let names: Vec<_> = path.components().collect();
    let [above @ .., b"deps" | b"examples", file] = &names[..] else { return None };
    let profile: usize = above.iter().map(|name| name.len() + 1).sum();
    let stem = file.split(|byte| *byte == b'.').next().unwrap_or(file);
    let target = stem.strip_prefix(b"lib").unwrap_or(stem);
    Some((&path.as_bytes()[..profile], underscored(target)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lacks(lines: &str, docs: Docs) -> bool {
        let hash = "0123456789abcdef";
        let files: Vec<_> = lines
            .split_whitespace()
            .map(|line| {
                let (path, size) = line.split_once(':').unwrap_or((line, "5"));
                let path = path.replace('#', hash);
                let path = RelPath::parse(path.as_bytes()).expect("a path below a root");
                (path, Some(size.parse().expect("a size")))
            })
            .collect();
        let units = Units::among(files.iter().map(|(path, _)| path));
        let files = files.iter().map(|(path, size)| (path, *size));
        let lacking = lacking(&units, files, docs);
        assert!(lacking.len() <= 1, "{lacking:?}");
        lacking.len() == 1
    }

    #[test]
    fn a_unit_that_says_it_is_built_and_left_nothing_is_found_in_both_layouts() {
        #[rustfmt::skip]
        let cases = [
            //  why                             files                                                                       lacks
            ("a library",                       "debug/.fingerprint/a-#/lib-a:16 debug/deps/liba-#.rlib",                   false),
            ("checked only",                    "debug/.fingerprint/a-#/lib-a:16 debug/deps/liba-#.rmeta",                  false),
            ("its library is gone",             "debug/.fingerprint/a-#/lib-a:16 debug/deps/libb-0000000000000000.rlib",    true),
            ("dep-info is no library",          "debug/.fingerprint/a-#/lib-a:16 debug/deps/a-#.d",                         true),
            ("of another profile",              "debug/.fingerprint/a-#/lib-a:16 release/deps/liba-#.rlib",                 true),
            ("it says nothing",                 "debug/.fingerprint/a-#/lib-a:0",                                           false),
            ("it broke off",                    "debug/.fingerprint/a-#/invoked.timestamp:48",                              false),
            ("only what is beside the hash",    "debug/.fingerprint/a-#/dep-lib-a:16 debug/.fingerprint/a-#/lib-a.json:16", false),
            ("a program",                       "debug/.fingerprint/a-#/bin-a:16 debug/deps/a-#",                           false),
            ("its program is gone",             "debug/.fingerprint/a-#/bin-a:16 debug/a",                                  true),
            ("an example",                      "debug/.fingerprint/a-#/example-e:16 debug/examples/e-#",                   false),
            ("an example that is gone",         "debug/.fingerprint/a-#/example-e:16 debug/examples/e-#.d",                 true),
            ("a test",                          "debug/.fingerprint/a-#/test-integration-test-it:16 debug/deps/it-#",       false),
            ("a test that is gone",             "debug/.fingerprint/a-#/test-integration-test-it:16",                       true),
            ("a dynamic library",               "debug/.fingerprint/a-#/lib-my-plug:16 debug/deps/libmy_plug.so",           false),
            ("another dynamic library",         "debug/.fingerprint/a-#/lib-my-plug:16 debug/deps/libmy_plan.so",           true),
            ("a program for wasm",              "wasm32-wasip1/debug/.fingerprint/a-#/bin-a-b:16 wasm32-wasip1/debug/deps/a_b.wasm", false),
            ("a build script",                  "debug/.fingerprint/a-#/build-script-build-script-build:16 debug/build/a-#/build-script-build", false),
            ("a build script that is gone",     "debug/.fingerprint/a-#/build-script-build-script-build:16 debug/build/a-#/build_script_build-#.d", true),
            ("a build script that ran",         "debug/.fingerprint/a-#/run-build-script-build-script-build:16 debug/build/a-#/output", false),
            ("what it printed is gone",         "debug/.fingerprint/a-#/run-build-script-build-script-build:16 debug/build/a-#/out/x", true),
            ("documentation",                   "debug/.fingerprint/a-#/doc-lib-a-b:16 doc/a_b/index.html",                 false),
            ("documentation for a target",      "t/debug/.fingerprint/a-#/doc-lib-a:16 t/doc/a/index.html",                 false),
            ("documentation as JSON",           "debug/.fingerprint/a-#/doc-lib-a:16 doc/a.json",                           false),
            ("documentation that is gone",      "debug/.fingerprint/a-#/doc-lib-a:16 doc/b/index.html debug/deps/liba-#.rlib", true),
            ("documentation of another target", "t/debug/.fingerprint/a-#/doc-lib-a:16 u/doc/a/index.html",                 true),
            ("documentation above",             "apart/debug/.fingerprint/a-#/doc-lib-a:16 doc/a/index.html",               false),
            ("what nobody knows",               "debug/.fingerprint/a-#/dream-lib-a:16",                                    false),
            ("the other layout",                "debug/build/a/#/fingerprint/lib-a:16 debug/build/a/#/out/liba-#.rlib",     false),
            ("the other layout, gone",          "debug/build/a/#/fingerprint/lib-a:16 debug/build/a/#/out/a-#.d",           true),
            ("the other layout, ran",           "debug/build/a/#/fingerprint/run-build-script-build-script-build:16 debug/build/a/#/run/output", false),
            ("the other layout, ran, gone",     "debug/build/a/#/fingerprint/run-build-script-build-script-build:16 debug/build/a/#/out/x", true),
        ];
        for (why, files, want) in cases {
            assert_eq!(lacks(files, Docs::Inside), want, "{why}");
        }
    }

    #[test]
    fn documentation_that_lies_elsewhere_is_not_looked_for() {
        let files = "debug/.fingerprint/a-#/doc-lib-a:16";
        assert!(lacks(files, Docs::Inside));
        assert!(!lacks(files, Docs::Apart));
    }
}
