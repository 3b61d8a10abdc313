//! Artifacts: the files that a built unit leaves besides its fingerprint.
//!
//! Cargo takes a unit for built when its fingerprint directory holds a hash: 16 hex digits, in a file named after the
//! action and its target (`CompilationFiles::fingerprint_file_path`). Cargo then looks for the artifacts, and builds
//! the unit again if they are gone:
//!
//! | fingerprint | artifacts |
//! |---|---|
//! | `run-build-script-…` | the build script's output: `output`, in cargo's newer layout `run/stdout` |
//! | `doc-…-<target>` | `doc/<target>/`, beside the profile's directory or above |
//! | `lib-<target>`, `bin-…`, `test-…`, `example-…`, `bench-…`, `build-script-…` | a file that carries the hash; of a dynamic library, or a program for wasm, `deps/lib<target>.<extension>` without it |
//!
//! A `*.d` file lists the sources of an artifact, and is no artifact itself.
//!
//! A cargo that we do not know may write other files. So each rule must be confirmed before it applies. A unit is
//! hollow only if another unit of the same layout and kind has its artifacts where the rule says, if its fingerprint
//! has a known shape, and if no file without a rule lies where its artifacts would be.

use std::collections::{BTreeSet, HashSet};

use super::units::{Layout, Spot, Units, spot_of};
use crate::model::area::Area;
use crate::model::rel_path::RelPath;
use crate::model::unit_use::UnitDir;

/// The place of cargo's documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Docs {
    /// In the tree that holds the units.
    Inside,
    /// In the target directory, apart from the tree that holds the units.
    Apart,
}

impl Docs {
    /// Returns where the documentation of an area's units lies.
    pub fn of(area: &Area) -> Self {
        match area {
            // A further target may be a build directory with its target directory elsewhere.
            Area::Build | Area::DependencyBuild(_) | Area::Further(_) => Self::Apart,
            _ => Self::Inside,
        }
    }
}

/// The unusual units of a tree, found by file names and sizes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Units whose fingerprint says that they are built, and whose artifacts are missing.
    pub hollow: BTreeSet<UnitDir>,
    /// Units with a fingerprint of a shape that no cargo we know writes.
    pub unknown: BTreeSet<UnitDir>,
}

/// The length of the hash in a fingerprint, in bytes.
const HASH_LEN: u64 = 16;

/// Surveys a tree for hollow and unknown units.
///
/// `files` are the files of the tree, with links and hard links among them, each with its size; a hard link needs no
/// size.
pub fn survey<'a>(
    units: &Units,
    files: impl Iterator<Item = (&'a RelPath, Option<u64>)> + Clone,
    docs: Docs,
) -> Survey {
    let there = There::among(units, files.clone().map(|(path, _)| path));
    let mut claims = Vec::new();
    for (path, size) in files {
        let Some(unit) = units.of(path) else { continue };
        let Some(spot) = spot_of(path).filter(|spot| spot.is_fingerprint) else { continue };
        let name = path.file_name();
        if let Some(built) = Built::of(name).filter(|_| size == Some(HASH_LEN)) {
            let is_held = there.holds(unit, &spot, &built, docs);
            let (rule, what) = ((spot.layout, kind(name)), (spot.profile, built));
            claims.push(Claim { unit, rule, what, is_held });
        }
    }
    let confirmed: BTreeSet<_> =
        claims.iter().filter(|claim| claim.is_held).map(|claim| claim.rule).collect();
    let strange = there.profiles_with_strangers(claims.iter().map(|claim| &claim.what));
    let is_hollow = |claim: &&Claim<'_>| {
        let Claim { unit, rule, what, is_held } = claim;
        let is_unclear = match &what.1 {
            Built::Compiled(_) if rule.0 == Layout::ByKind => strange.contains(what.0),
            _ => there.odd.contains(unit),
        };
        !is_held && confirmed.contains(rule) && !is_unclear && !there.unknown.contains(unit)
    };
    let hollow = claims.iter().filter(is_hollow);
    Survey {
        hollow: hollow.map(|claim| claim.unit.clone()).collect(),
        unknown: there.unknown.iter().map(|unit| (*unit).clone()).collect(),
    }
}

/// The claim of a fingerprint that its unit is built.
struct Claim<'a> {
    unit: &'a UnitDir,
    /// The layout and the kind of unit, which decide where the artifacts lie.
    rule: (Layout, &'a [u8]),
    /// The profile's directory, and the action done there.
    what: (&'a [u8], Built),
    /// Whether the artifacts lie where the rule says.
    is_held: bool,
}

/// The action that a fingerprint records.
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
    /// Reads the action from the name of the file with the hash; `None` for the files beside it, and for actions of no
    /// cargo that we know.
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

/// Returns the crate that a unit with this file for its hash compiles.
pub(super) fn compiled_crate(name: &[u8]) -> Option<Vec<u8>> {
    match Built::of(name)? {
        Built::Compiled(target) => Some(target),
        Built::Run | Built::Documented(_) => None,
    }
}

/// Tells whether a cargo that we know gives this name to a file in a fingerprint directory: `invoked.timestamp`,
/// `lib-serde`, and the latter with `.json`, `dep-` or `output-`. A target with a dot in its name is rare enough to
/// count as unknown.
fn is_known_in_fingerprint(name: &[u8]) -> bool {
    if name == b"invoked.timestamp" {
        return true;
    }
    let name = name.strip_suffix(b".json").unwrap_or(name);
    let of_unit = [&b"dep-"[..], b"output-"].iter().find_map(|prefix| name.strip_prefix(*prefix));
    !name.contains(&b'.') && Built::of(of_unit.unwrap_or(name)).is_some()
}

/// Tells whether a rule covers this path below its unit's directory.
fn is_known_in_unit(spot: &Spot<'_>) -> bool {
    match (spot.layout, &spot.below[..]) {
        (Layout::ByUnit, [b"fingerprint" | b"out", ..] | [b".lock"]) => true,
        (Layout::ByUnit, [b"run", name]) => {
            matches!(
                *name,
                b"invoked.timestamp" | b"stdout" | b"output" | b"stderr" | b"root-output"
            )
        }
        (Layout::ByUnit, _) => false,
        // `build/` holds the script and its output; the script is named after the package.
        (Layout::ByKind, [name]) => {
            let is_script =
                name.starts_with(b"build-script-") || name.starts_with(b"build_script_");
            let is_run =
                matches!(*name, b"invoked.timestamp" | b"output" | b"stderr" | b"root-output");
            is_script || is_run || spot.is_shared
        }
        (Layout::ByKind, below) => below.first() == Some(&&b"out"[..]),
    }
}

/// Cargo's names for the kinds of targets: `TargetKind::description`.
const KINDS: [&[u8]; 6] =
    [b"lib-", b"bin-", b"integration-test-", b"example-", b"bench-", b"build-script-"];

/// Returns the target of `lib-some-target`, as rustc calls it.
fn target(name: &[u8]) -> Option<Vec<u8>> {
    let target = KINDS.iter().find_map(|kind| name.strip_prefix(*kind))?;
    Some(underscored(target))
}

/// Returns the kind of unit that a fingerprint belongs to: `test-lib-` for `test-lib-some-target`.
fn kind(name: &[u8]) -> &[u8] {
    let flavors = [&b"run-"[..], b"doc-", b"test-"];
    let flavor = flavors.iter().find(|flavor| name.starts_with(flavor)).map_or(0, |it| it.len());
    let kind = KINDS.iter().find(|kind| name[flavor..].starts_with(kind)).map_or(0, |it| it.len());
    &name[..flavor + kind]
}

fn underscored(name: &[u8]) -> Vec<u8> {
    name.iter().map(|byte| if *byte == b'-' { b'_' } else { *byte }).collect()
}

/// The artifacts in a tree.
#[derive(Default)]
struct There<'a> {
    /// Units with at least one file outside their fingerprint.
    units: HashSet<&'a UnitDir>,
    /// Units with the output of a build script.
    runs: HashSet<&'a UnitDir>,
    /// Units with a fingerprint of an unknown shape.
    unknown: HashSet<&'a UnitDir>,
    /// Units with a file that no rule covers.
    odd: HashSet<&'a UnitDir>,
    /// Targets whose file in `deps/` or `examples/` carries no hash, by the profile's directory.
    unhashed: HashSet<(&'a [u8], Vec<u8>)>,
    /// Documented targets, by the directory that holds `doc/`.
    documented: HashSet<(&'a [u8], Vec<u8>)>,
}

impl<'a> There<'a> {
    fn among(units: &'a Units, paths: impl Iterator<Item = &'a RelPath>) -> Self {
        let mut there = Self::default();
        for path in paths {
            if let (Some(unit), Some(spot)) = (units.of(path), spot_of(path)) {
                there.add_of_unit(unit, path, &spot);
            } else if let Some((above, target)) = document(path) {
                there.documented.insert((above, target));
            } else if let Some((profile, target)) = unhashed(path)
                && spot_of(path).is_none()
                && !path.as_bytes().ends_with(b".d")
            {
                there.unhashed.insert((profile, target));
            }
        }
        there
    }

    fn add_of_unit(&mut self, unit: &'a UnitDir, path: &'a RelPath, spot: &Spot<'_>) {
        if spot.is_fingerprint {
            if !is_known_in_fingerprint(path.file_name()) {
                self.unknown.insert(unit);
            }
            return;
        }
        if !is_known_in_unit(spot) {
            self.odd.insert(unit);
        }
        if !path.as_bytes().ends_with(b".d") {
            self.units.insert(unit);
        }
        if matches!(spot.below[..], [b"output"] | [b"run", b"stdout" | b"output"]) {
            self.runs.insert(unit);
        }
    }

    /// Returns the profiles that hold a file without a hash named after no target compiled there.
    fn profiles_with_strangers<'b>(
        &self,
        built: impl Iterator<Item = &'b (&'b [u8], Built)>,
    ) -> HashSet<&'a [u8]> {
        let target = |(profile, built): &'b (&'b [u8], Built)| match built {
            Built::Compiled(target) => Some((*profile, target.as_slice())),
            _ => None,
        };
        let targets: HashSet<_> = built.filter_map(target).collect();
        let is_stranger = |(profile, name): &&(&'a [u8], Vec<u8>)| {
            !targets.contains(&(*profile, name.as_slice()))
        };
        self.unhashed.iter().filter(is_stranger).map(|(profile, _)| *profile).collect()
    }

    /// Tells whether the artifacts of `built` exist; `spot` is in the fingerprint of the unit.
    fn holds(&self, unit: &UnitDir, spot: &Spot<'_>, built: &Built, docs: Docs) -> bool {
        match built {
            Built::Run => self.runs.contains(unit),
            Built::Documented(_) if docs == Docs::Apart => true,
            // A build directory may lie inside the target directory, so look further up than just beside.
            Built::Documented(target) => {
                let mut above = std::iter::successors(parent(spot.profile), |dir| parent(dir));
                above.any(|dir| self.documented.contains(&(dir, target.clone())))
            }
            Built::Compiled(target) => {
                self.units.contains(unit) || self.unhashed.contains(&(spot.profile, target.clone()))
            }
        }
    }
}

/// Returns the parent of a directory, both with their slash; the top of the tree has none.
fn parent(dir: &[u8]) -> Option<&[u8]> {
    let dir = dir.strip_suffix(b"/")?;
    let end = dir.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    Some(&dir[..end])
}

/// Tells whether a path is a directory for cargo's documentation, or lies in one.
pub fn is_documentation(path: &RelPath) -> bool {
    spot_of(path).is_none() && path.components().any(|name| name == b"doc")
}

/// Returns the directory that holds `doc/`, and the target that a file of documentation documents:
/// `doc/serde/index.html`, `x86_64-unknown-linux-gnu/doc/serde.json`.
fn document(path: &RelPath) -> Option<(&[u8], Vec<u8>)> {
    let names: Vec<_> = path.components().collect();
    let at = names.iter().position(|name| *name == b"doc")?;
    let target = names.get(at + 1)?;
    let target = target.strip_suffix(b".json").unwrap_or(target);
    let above: usize = names[..at].iter().map(|name| name.len() + 1).sum();
    Some((&path.as_bytes()[..above], underscored(target)))
}

/// Returns the profile's directory and the target of `debug/deps/libplugin.so`.
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

    fn tree(lines: &str) -> Vec<(RelPath, Option<u64>)> {
        let file = |line: &str| {
            let (path, size) = line.split_once(':').unwrap_or((line, "5"));
            let path = path.replace('#', "0123456789abcdef");
            let path = RelPath::parse(path.as_bytes()).expect("a path below a root");
            (path, Some(size.parse().expect("a size")))
        };
        lines.split_whitespace().map(file).collect()
    }

    fn survey_of(files: &[(RelPath, Option<u64>)], docs: Docs) -> Survey {
        let units = Units::among(files.iter().map(|(path, _)| path));
        survey(&units, files.iter().map(|(path, size)| (path, *size)), docs)
    }

    /// Returns whole units of each layout and of the kind that `lines` have: they confirm the rule.
    fn witnesses(lines: &str) -> Vec<String> {
        let claims = tree(lines);
        let name = claims.iter().find(|(path, size)| {
            *size == Some(HASH_LEN) && spot_of(path).is_some_and(|spot| spot.is_fingerprint)
        });
        let name = name.map_or(&b""[..], |(path, _)| path.file_name());
        let kind = String::from_utf8_lossy(kind(name));
        let [a, b] = ["aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"];
        vec![
            format!("debug/.fingerprint/w-{a}/{kind}w:16"),
            format!("debug/build/w/{b}/fingerprint/{kind}w:16"),
            format!("debug/deps/w-{a} debug/build/w-{a}/output"),
            format!("debug/build/w/{b}/out/w debug/build/w/{b}/run/stdout"),
            "doc/w/index.html".to_owned(),
        ]
    }

    fn lacks(lines: &str, docs: Docs) -> bool {
        let survey = survey_of(&tree(&format!("{} {lines}", witnesses(lines).join(" "))), docs);
        assert!(survey.hollow.len() <= 1, "{survey:?}");
        survey.hollow.len() == 1
    }

    #[test]
    fn a_unit_recorded_as_built_without_artifacts_is_found_in_both_layouts() {
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
            ("another dynamic library",         "debug/.fingerprint/a-#/lib-my-plug:16 debug/.fingerprint/b-1111111111111111/lib-my-plan:16 debug/deps/libmy_plan.so", true),
            ("a file that is of no target",     "debug/.fingerprint/a-#/lib-a:16 debug/deps/library.new",                   false),
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
            ("the other layout, ran",           "debug/build/a/#/fingerprint/run-build-script-build-script-build:16 debug/build/a/#/run/stdout", false),
            ("the other layout of early 2026",  "debug/build/a/#/fingerprint/run-build-script-build-script-build:16 debug/build/a/#/run/output", false),
            ("the other layout, ran, gone",     "debug/build/a/#/fingerprint/run-build-script-build-script-build:16 debug/build/a/#/out/x", true),
            ("a script's own stdout",           "debug/build/a/#/fingerprint/run-build-script-build-script-build:16 debug/build/a/#/out/run/stdout", true),
            ("a script's own output",           "debug/.fingerprint/a-#/run-build-script-build-script-build:16 debug/build/a-#/out/output", true),
            ("printed to a file nobody knows",  "debug/.fingerprint/a-#/run-build-script-build-script-build:16 debug/build/a-#/printed", false),
            ("the other layout, to such a file", "debug/build/a/#/fingerprint/run-build-script-build-script-build:16 debug/build/a/#/run/printed", false),
            ("an odd file beside",              "debug/.fingerprint/a-#/lib-a:16 debug/.fingerprint/a-#/lib-a.toml", false),
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

    #[test]
    fn a_rule_that_no_unit_of_its_kind_and_layout_confirms_is_not_applied() {
        const LIB: &str = "debug/.fingerprint/a-#/lib-a:16";
        const RUN: &str = "debug/build/a/#/fingerprint/run-build-script-build-script-build:16";
        const DOC: &str = "debug/.fingerprint/a-#/doc-lib-a:16";
        #[rustfmt::skip]
        let cases = [
            //  why                               unit  of the witnesses without  hollow
            ("all there",                         LIB,  "nothing",                true),
            ("no library is where it should be",  LIB,  "debug/deps/",            false),
            ("only the other layout has any",     LIB,  "debug/.fingerprint/",    false),
            ("this layout alone has some",        LIB,  "debug/build/w/",         true),
            ("no script that printed",            RUN,  "debug/build/w/bb",       false),
            ("no documentation",                  DOC,  "doc/w/",                 false),
        ];
        for (why, unit, without, want) in cases {
            let mut lines: Vec<_> = witnesses(unit);
            lines.retain(|line| !line.starts_with(without));
            lines.push(unit.to_owned());
            let found = survey_of(&tree(&lines.join(" ")), Docs::Inside);
            assert_eq!(found.hollow.len() == 1, want, "{why}");
        }
    }

    #[test]
    fn only_a_fingerprint_of_unknown_shape_makes_a_unit_unknown() {
        #[rustfmt::skip]
        let cases = [
            ("a library",         "invoked.timestamp dep-lib-a lib-a lib-a.json output-lib-a",   false),
            ("a test",            "dep-test-integration-test-it test-integration-test-it",       false),
            ("a script",          "run-build-script-build-script-build.json",                    false),
            ("it broke off",      "invoked.timestamp",                                           false),
            ("documentation",     "doc-lib-a doc-lib-a.json",                                    false),
            ("another kind",      "dream-lib-a",                                                 true),
            ("another suffix",    "lib-a.toml",                                                  true),
            ("another file",      "lib-a state.db",                                              true),
            ("another prefix",    "lib-a deps-lib-a",                                            true),
        ];
        for (why, names, want) in cases {
            for dir in ["debug/.fingerprint/a-#/", "debug/build/a/#/fingerprint/"] {
                let lines: Vec<_> = names.split(' ').map(|name| format!("{dir}{name}")).collect();
                let found = survey_of(&tree(&lines.join(" ")), Docs::Inside);
                assert_eq!(found.unknown.len() == 1, want, "{why} {dir}");
            }
        }
    }

    /// The files that each version of cargo really wrote.
    const SEEN: [(&str, &str); 4] = [
        ("1.95", include_str!("../../tests/fixtures/layouts/cargo-1.95.0.txt")),
        ("1.99", include_str!("../../tests/fixtures/layouts/cargo-1.99.1.txt")),
        ("1.100", include_str!("../../tests/fixtures/layouts/cargo-1.100.0-beta.7.txt")),
        ("1.101", include_str!("../../tests/fixtures/layouts/cargo-1.101.0-nightly.txt")),
    ];

    fn seen(list: &str) -> Vec<(RelPath, Option<u64>)> {
        let lines = list.lines().filter(|line| !line.starts_with('#'));
        let file = |line: &str| {
            let (size, path) = line.split_once(' ')?;
            Some((RelPath::parse(path.as_bytes()).ok()?, Some(size.parse().ok()?)))
        };
        lines.map(|line| file(line).expect("a size and a path")).collect()
    }

    #[test]
    fn each_unit_that_a_real_cargo_wrote_is_known_and_whole() {
        for (cargo, list) in SEEN {
            let files = seen(list);
            assert_eq!(survey_of(&files, Docs::Inside), Survey::default(), "{cargo}");
            let units = Units::among(files.iter().map(|(path, _)| path));
            assert!(units.iter().count() > 40, "{cargo}");
        }
    }

    #[test]
    fn a_real_unit_whose_artifacts_are_gone_is_hollow_and_no_other() {
        for (cargo, list) in SEEN {
            let files = seen(list);
            let units = Units::among(files.iter().map(|(path, _)| path));
            let mut found_hollow = 0;
            for unit in units.iter() {
                let is_gone = |path: &RelPath| {
                    let spot = spot_of(path).filter(|spot| !spot.is_fingerprint);
                    spot.is_some() && units.of(path) == Some(unit)
                };
                let left: Vec<_> =
                    files.iter().filter(|(path, _)| !is_gone(path)).cloned().collect();
                let Survey { hollow, unknown } = survey_of(&left, Docs::Inside);
                assert!(hollow.is_subset(&[unit.clone()].into()), "{cargo} {unit}: {hollow:?}");
                assert_eq!(unknown, BTreeSet::new(), "{cargo} {unit}");
                found_hollow += hollow.len();
            }
            // All but documentation, of which the tree has one example, and dynamic libraries named without a hash.
            assert!(found_hollow * 2 > units.iter().count(), "{cargo}: {found_hollow}");
        }
    }

    /// A future cargo may rename any file. The file that a rule expects is then missing everywhere, and an unknown file
    /// lies in its place.
    #[test]
    fn no_unit_becomes_hollow_when_a_newer_cargo_renames_a_file() {
        let is_of_crate = |name: &str| {
            let crates = ["dl", "dy", "gen", "itoa", "libc", "mac", "my-app", "my_app"];
            crates.iter().any(|of| name.contains(of))
        };
        for (cargo, list) in SEEN {
            let files = seen(list);
            let paths: Vec<_> = files.iter().map(|(path, _)| path.to_string()).collect();
            let names: BTreeSet<_> = paths.iter().flat_map(|path| path.split('/')).collect();
            let whole = names.into_iter().filter(|name| !is_of_crate(name));
            let whole = whole.map(|name| (format!("/{name}/"), "/x/".to_owned()));
            let parts =
                ["lib-", "bin-", "test-", "doc-", "run-", "build-script-", "dep-", "output-"];
            let parts = parts.map(|part| (format!("/{part}"), format!("/x{part}")));
            let ends = [".rlib", ".rmeta", ".so", ".json", ".d", ".html"];
            let ends = ends.map(|end| (format!("{end}/"), ".x/".to_owned()));
            for (old, new) in whole.chain(parts).chain(ends) {
                let renamed = |(path, (_, size)): (&String, &(RelPath, Option<u64>))| {
                    let path = format!("/{path}/").replace(&old, &new);
                    let path = RelPath::parse(path.trim_matches('/').as_bytes());
                    (path.expect("a path below a root"), *size)
                };
                let other: Vec<_> = paths.iter().zip(&files).map(renamed).collect();
                let hollow = survey_of(&other, Docs::Inside).hollow;
                assert_eq!(hollow, BTreeSet::new(), "{cargo}: `{old}` is `{new}`");
            }
        }
    }
}
