//! Cargo's parts of a target directory that may hold other files too.
//!
//! Cargo tags a target directory that it makes itself. A directory that existed before, such as a mounted disk or
//! somebody's data, has no tag, and its other files must not be lost.

use std::ffi::OsStr;
use std::fs::DirEntry;
use std::path::{Path, PathBuf};

use super::sources::is_target;
use crate::fs::{At, Result};

/// The names by which cargo finds the results of earlier builds in a target directory.
const NAMES: [&str; 6] = [
    ".rustc_info.json",
    ".rustdoc_fingerprint.json",
    ".future-incompat-report.json",
    "CACHEDIR.TAG",
    "debug",
    "release",
];

/// The entries of a target directory that cargo did not make itself.
#[derive(Debug, Default)]
pub struct Parts {
    /// Entries that cargo made and builds upon.
    pub of_cargo: Vec<PathBuf>,
    /// Everything else.
    pub others: Vec<PathBuf>,
    /// One of the others that holds a target directory: nobody can tell whether cargo builds upon it.
    pub unclear: Option<PathBuf>,
}

impl Parts {
    /// Examines the entries directly in `dir`, and two levels below.
    pub fn of(dir: &Path) -> Result<Self> {
        let mut parts = Self::default();
        for entry in std::fs::read_dir(dir).at("read directory", dir)? {
            let path = entry.at("read directory", dir)?.path();
            let name = path.file_name().unwrap_or_default();
            let is_built_upon =
                || is_built_in(&path) || dirs_in(&path).any(|below| is_built_in(&below));
            if NAMES.iter().any(|known| name == *known) || is_lock(name) || is_doc(&path) {
                parts.of_cargo.push(path);
            } else if holds_target(&path) && !is_triple(name) {
                parts.unclear = Some(path.clone());
                parts.others.push(path);
            } else if is_built_upon() {
                parts.of_cargo.push(path);
            } else {
                parts.others.push(path);
            }
        }
        Ok(parts)
    }
}

/// Tells whether a name may be that of a target platform: `x86_64-unknown-linux-gnu`.
fn is_triple(name: &OsStr) -> bool {
    name.as_encoded_bytes().split(|byte| *byte == b'-').count() > 2
}

/// Tells whether a directory is rustdoc's output, whose freshness cargo decides by its fingerprints.
fn is_doc(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "doc") && path.join("static.files").is_dir()
}

fn is_lock(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(b".cargo-") && name.ends_with(b"lock")
}

fn holds_target(dir: &Path) -> bool {
    is_target(dir) || dirs_in(dir).any(|below| is_target(&below))
}

/// Tells whether a directory is that of a profile: cargo keeps fingerprints or a lock in it.
fn is_built_in(dir: &Path) -> bool {
    let of_packages = || dirs_in(&dir.join("build")).flat_map(|package| dirs_in(&package));
    dir.join(".fingerprint").is_dir()
        || entries(dir).any(|entry| is_lock(&entry.file_name()))
        // `-Z build-dir-new-layout`.
        || of_packages().any(|unit| unit.join("fingerprint").is_dir())
}

fn dirs_in(dir: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    entries(dir)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|it| it.path())
}

/// Returns the entries of a directory; none if it cannot be read, since cargo cannot build there.
fn entries(dir: &Path) -> impl Iterator<Item = DirEntry> + use<> {
    std::fs::read_dir(dir).into_iter().flatten().filter_map(std::result::Result::ok)
}

/// Tells by its name whether cargo or rustc writes at `path` in a target directory, or through it. A symlink there
/// would lead their writes elsewhere. A build script writes anything into its `out` directory, and cargo builds upon
/// nothing there.
pub fn is_built_through(path: &Path) -> bool {
    let names: Vec<_> = path.iter().collect();
    let is_at = |index: usize, name: &str| names.get(index).is_some_and(|it| *it == name);
    let is_profile = |index: usize| is_at(index, "debug") || is_at(index, "release");
    // A profile's directory is the first or, with `--target`, the second.
    let is_profile_or_triple = match names.len() {
        1 => is_profile(0) || is_triple(names[0]),
        2 => is_profile(1) && !is_profile(0),
        _ => false,
    };
    is_profile_or_triple
        || (1..=2).any(|index| {
            let below = &names[names.len().min(index + 1)..];
            match names.get(index).and_then(|name| name.to_str()) {
                Some(".fingerprint" | "incremental") => true,
                Some("deps" | "examples") => below.is_empty(),
                // `build/<unit>/out/…`, or `build/<package>/<unit>/out/…`.
                Some("build") => !(1..=2).any(|out| below.len() > out + 1 && below[out] == "out"),
                _ => false,
            }
        })
}

/// Tells whether cargo builds at the `end` of a symlink at `path`, by the files there. Only a path where a profile or a
/// platform may be counts.
pub fn leads_to_built(path: &Path, end: &Path) -> bool {
    let depth = path.iter().count();
    depth <= 2 && is_built_in(end) || depth == 1 && dirs_in(end).any(|below| is_built_in(&below))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_builds_through_its_own_directories_and_through_no_other() {
        #[rustfmt::skip]
        let cases = [
            ("debug",                                   true),
            ("x86_64-unknown-linux-gnu",                true),
            ("x86_64-unknown-linux-gnu/release",        true),
            ("assets",                                  false),
            ("debug/deps",                              true),
            ("ci/deps",                                 true),
            ("x86_64-unknown-linux-gnu/ci/deps",        true),
            ("debug/deps/libonnx.so",                   false),
            ("debug/examples",                          true),
            ("debug/libonnx.so",                        false),
            ("debug/assets",                            false),
            ("debug/release",                           false),
            ("debug/incremental/app-1/s-2",             true),
            ("debug/.fingerprint/app-1",                true),
            ("debug/.fingerprint/app-1/dep-lib-app",    true),
            ("debug/build",                             true),
            ("debug/build/app-1",                       true),
            ("debug/build/app-1/out",                   true),
            ("debug/build/app-1/output",                true),
            ("debug/build/app-1/out/include",           false),
            ("debug/build/app/1/out",                   true),
            ("debug/build/app/1/out/include",           false),
            ("debug/build/app/1/fingerprint/dep",       true),
            ("wasm32-wasip1/debug/build/a-1/out/x/y",   false),
        ];
        for (path, is_through) in cases {
            assert_eq!(is_built_through(Path::new(path)), is_through, "{path}");
        }
    }
}
