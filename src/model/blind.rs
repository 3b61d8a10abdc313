//! Blind inputs: files that may be inputs of a build although cargo does not know it.
//!
//! Examples are a directory that a macro reads, a linker script, and git's answers to a build
//! script. If such a file changes, cargo finds the package fresh, even in a workspace that is never
//! wiped.

use std::collections::BTreeSet;

use super::manifest::Manifest;
use super::raw_path::RawPath;
use super::rel_path::RelPath;
use super::root::Root;
use super::score::Fate;
use super::unit_graph::GraphUnit;

/// Returns those of the `changed` files of a checkout that lie in a package that stays fresh, and
/// that no unit in the tree reads. `fates` are the fates of the units of the graph.
///
/// Rust sources are left out: they belong to targets that this job does not build. Documents,
/// licences, manifests and hidden files are left out, too.
pub fn blind_inputs(
    manifest: &Manifest,
    fates: &[Fate],
    changed: &BTreeSet<(Root, RelPath)>,
) -> BTreeSet<(Root, RelPath)> {
    let candidates = changed.iter().filter(|(_, path)| may_be_input(path));
    let graph = &manifest.graph;
    let named = graph.units.iter().flat_map(|unit| unit.files.iter().chain(&unit.fixed));
    let named: BTreeSet<(&Root, Option<&RelPath>)> = named
        .filter_map(|number| manifest.sources.get(*number as usize))
        .map(|source| (&source.root, source.path.as_ref()))
        .collect();
    let is_read = |root: &Root, path: &RelPath| {
        let mut above = Some(path.clone());
        while let Some(path) = above {
            if named.contains(&(root, Some(&path))) {
                return true;
            }
            above = path.parent();
        }
        named.contains(&(root, None))
    };
    let dir_of = |unit: &GraphUnit| graph.packages.get(unit.package as usize)?.dir.as_ref();
    let stays_fresh = |dir: &RawPath| {
        let units = graph.units.iter().zip(fates);
        let mut units = units.filter(|(unit, _)| dir_of(unit) == Some(dir)).peekable();
        units.peek().is_some()
            && units.all(|(unit, fate)| fate.is_fresh && fate.is_wanted && !unit.whole_package)
    };
    let is_blind = |(root, path): &&(Root, RelPath)| {
        !is_read(root, path) && package_of(manifest, root, path).is_some_and(stays_fresh)
    };
    candidates.filter(is_blind).cloned().collect()
}

/// Tells whether a file may be an input that cargo does not know.
pub fn may_be_input(path: &RelPath) -> bool {
    const NONE: [&[u8]; 5] = [b"license", b"copying", b"notice", b"changelog", b"rust-toolchain"];
    let name = path.file_name().to_ascii_lowercase();
    let ends_in = |end: &[u8]| name.ends_with(end);
    !(ends_in(b".rs")
        || ends_in(b".md")
        || NONE.iter().any(|none| name.starts_with(none))
        || matches!(&name[..], b"cargo.toml" | b"cargo.lock")
        || path.components().any(|name| name.starts_with(b".")))
}

/// Returns the directory of the innermost package that contains a file.
fn package_of<'a>(manifest: &'a Manifest, root: &Root, path: &RelPath) -> Option<&'a RawPath> {
    let top = manifest.header.roots.get(root)?.as_bytes();
    let full = [top, b"/", path.as_bytes()].concat();
    let dirs = manifest.graph.packages.iter().filter_map(|package| package.dir.as_ref());
    let is_in = |dir: &&RawPath| {
        full.strip_prefix(dir.as_bytes()).is_some_and(|rest| rest.starts_with(b"/"))
    };
    dirs.filter(is_in).max_by_key(|dir| dir.as_bytes().len())
}

#[cfg(test)]
mod tests {
    use super::super::digest::Digest;
    use super::super::manifest::{Source, SourceKind};
    use super::super::testing::manifest_of;
    use super::super::timestamp::Timestamp;
    use super::super::unit_graph::GraphPackage;
    use super::*;

    const FRESH: Fate = Fate { is_wanted: true, is_fresh: true };

    fn path(text: &str) -> RelPath {
        RelPath::parse(text.as_bytes()).expect("a path")
    }

    /// A manifest of `app`, which reads `src/main.rs` and `in`, with a package `part` inside that
    /// reads nothing.
    fn manifest() -> Manifest {
        let mut manifest = manifest_of("/w/app");
        for (name, at) in [("app", "/w/app"), ("part", "/w/app/part")] {
            manifest.graph.packages.push(GraphPackage {
                name: name.to_owned(),
                dir: Some(RawPath::of(at.as_bytes())),
                ..GraphPackage::default()
            });
        }
        for (name, kind) in [("src/main.rs", SourceKind::File), ("in", SourceKind::Dir)] {
            manifest.sources.push(Source {
                root: Root::Repo,
                path: Some(path(name)),
                kind,
                digest: Digest::of(b""),
                mtime: Timestamp::default(),
                is_executable: false,
            });
        }
        let app = GraphUnit { package: 0, files: vec![0, 1], ..GraphUnit::default() };
        let part = GraphUnit { package: 1, ..GraphUnit::default() };
        manifest.graph.units = vec![app, part];
        manifest
    }

    #[test]
    fn a_changed_file_that_no_rebuilt_unit_reads_is_blind() {
        let stale = Fate { is_fresh: false, ..FRESH };
        #[rustfmt::skip]
        let cases = [
            //  why                             changed               app    part           blind
            ("a file that nothing reads",       "migrations/2.sql",   [FRESH, FRESH],       true),
            ("one in a package inside",         "part/mem.x",         [FRESH, FRESH],       true),
            ("one that is read",                "src/main.rs",        [FRESH, FRESH],       false),
            ("one in a directory that is read", "in/deep/x.sql",      [FRESH, FRESH],       false),
            ("the package is built again",      "migrations/2.sql",   [stale, FRESH],       false),
            ("another package is built again",  "migrations/2.sql",   [FRESH, stale],       true),
            ("another target",                  "tests/t.rs",         [FRESH, FRESH],       false),
            ("a document",                      "docs/a.md",          [FRESH, FRESH],       false),
            ("a licence",                       "LICENSE-MIT",        [FRESH, FRESH],       false),
            ("a workflow",                      ".github/ci.yml",     [FRESH, FRESH],       false),
            ("a manifest",                      "part/Cargo.toml",    [FRESH, FRESH],       false),
        ];
        for (why, changed, fates, want) in cases {
            let changed = BTreeSet::from([(Root::Repo, path(changed))]);
            let blind = blind_inputs(&manifest(), &fates, &changed);
            assert_eq!(!blind.is_empty(), want, "{why}");
        }
        let mut whole = manifest();
        whole.graph.units[0].whole_package = true;
        let changed = BTreeSet::from([(Root::Repo, path("migrations/2.sql"))]);
        assert!(
            blind_inputs(&whole, &[FRESH; 2], &changed).is_empty(),
            "all of the package counts"
        );
    }
}
