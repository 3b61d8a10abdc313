use super::super::digest::Digest;
use super::super::manifest::{FileFacts, Unit};
use super::super::testing::manifest_of;
use super::super::timestamp::Timestamp;
use super::super::unit_graph::{GraphPackage, GraphTarget, GraphUnit, UnitGraph};
use super::super::unit_use::UnitUse;
use super::*;
use crate::model::raw_path::RawPath;

const FRESH: Fate = Fate { is_wanted: true, is_fresh: true };
const STALE: Fate = Fate { is_wanted: true, is_fresh: false };
const OTHER: Fate = Fate { is_wanted: false, is_fresh: true };

fn dir(name: &str) -> UnitDir {
    let path = format!("debug/.fingerprint/{name}-0123456789abcdef");
    UnitDir::new(RelPath::parse(path.as_bytes()).expect("a path"))
}

/// A manifest with `src/made.rs` of the repo, which `app` reads and `writers` may have written.
/// `run` is a run of the build script of `app`, `sib` one of another root, `far` one of a package
/// elsewhere.
fn manifest(writers: &[&str]) -> Manifest {
    let mut manifest = manifest_of("/w/app");
    manifest
        .header
        .roots
        .insert(Root::Dependency("sib".parse().expect("a name")), RawPath::of(b"/w/sib"));
    let package = |name: &str, dir: Option<&str>| GraphPackage {
        name: name.to_owned(),
        dir: dir.map(|dir| RawPath::of(dir.as_bytes())),
        ..GraphPackage::default()
    };
    let unit = |name: &str, package, files| GraphUnit {
        dir: Some(dir(name)),
        package,
        files,
        ..GraphUnit::default()
    };
    manifest.graph = UnitGraph {
        packages: vec![
            package("app", Some("/w/app")),
            package("sib", Some("/w/sib")),
            package("far", None),
        ],
        others: vec![RawPath::of(b"/w/app/src/made.rs")],
        units: vec![
            unit("app", 0, vec![0]),
            unit("run", 0, vec![]),
            unit("sib", 1, vec![]),
            unit("far", 2, vec![]),
        ],
        ..UnitGraph::default()
    };
    let used = UnitUse { last_used: Timestamp::default(), unused_saves: 0 };
    let units =
        ["app", "run", "sib", "far"].map(|name| Unit { dir: dir(name), used, is_bound: false });
    manifest.units = units.into();
    let facts =
        FileFacts { mode: 0o644, mtime: Timestamp::default(), size: 0, contents: Vec::new() };
    manifest.kept = vec![KeptFile {
        root: Root::Repo,
        path: RelPath::parse(b"src/made.rs").expect("a path"),
        digest: Digest::of(b""),
        facts,
        writers: writers.iter().map(|name| dir(name)).collect(),
    }];
    manifest
}

#[test]
fn a_kept_file_comes_back_with_units_that_stay_fresh() {
    #[rustfmt::skip]
    let cases = [
        //  why                               writers            app    run    sib    far     comes back
        ("its script is fresh",               &["run"][..],      [FRESH, FRESH, FRESH, FRESH], true),
        ("what reads it is stale",            &["run"],          [STALE, FRESH, FRESH, FRESH], true),
        ("its script runs again",             &["run"],          [STALE, STALE, FRESH, FRESH], false),
        ("flags differ, perhaps not its own", &["run"],          [FRESH, OTHER, FRESH, FRESH], true),
        ("one of two runs again",             &["run", "far"],   [FRESH, FRESH, FRESH, STALE], false),
        ("neither does",                      &["run", "far"],   [FRESH, FRESH, FRESH, FRESH], true),
        ("one of them left the tree",         &["run", "gone"],  [FRESH, FRESH, FRESH, FRESH], false),
        ("that of another repository",        &["sib"],          [FRESH, FRESH, FRESH, FRESH], false),
        ("no script wrote it",                &[],               [FRESH, STALE, FRESH, FRESH], true),
        ("that, and nothing that reads it is fresh", &[],        [STALE, FRESH, FRESH, FRESH], false),
    ];
    for (why, writers, fates, want) in cases {
        let manifest = manifest(writers);
        let away = stays_away(&manifest, Some(&fates), |_| true, |_| false);
        assert_eq!(away.files.is_empty(), want, "{why}");
        assert_eq!(away.units.is_empty(), want, "{why}");
    }
}

#[test]
fn where_a_file_is_lacking_the_scripts_of_its_package_run_again() {
    let all = [FRESH; 4];
    let away = |may_come: bool, is_there: bool| {
        stays_away(&manifest(&["run"]), Some(&all), |_| may_come, |_| is_there)
    };
    assert_eq!(away(true, false), StaysAway::default());
    assert_eq!(away(false, false).units, [dir("app"), dir("run")].into());
    assert_eq!(away(false, true).units, BTreeSet::new(), "it is there");
    assert_eq!(away(false, true).files.len(), 1);
}

#[test]
fn where_the_run_of_a_script_is_known_its_package_is_not_compiled_again() {
    let mut manifest = manifest(&[]);
    let target = |unit: &str| Some(GraphTarget { unit: unit.to_owned(), ..GraphTarget::default() });
    let run = GraphPackage {
        target: target("run-build-script-build-script-build"),
        ..manifest.graph.packages[0].clone()
    };
    manifest.graph.packages[0].target = target("bin-app");
    manifest.graph.packages.push(run);
    manifest.graph.units[1].package = 3;
    let away = || stays_away(&manifest, Some(&[FRESH; 4]), |_| false, |_| false);
    assert_eq!(away().units, [dir("run")].into());
    // A run that is bound to other roots was not restored: cargo runs it anyway.
    let units = manifest.units.iter().filter(|unit| unit.dir != dir("run"));
    let manifest = Manifest { units: units.cloned().collect(), ..manifest.clone() };
    let away = stays_away(&manifest, Some(&[FRESH; 4]), |_| false, |_| false);
    assert_eq!(away.units, [dir("run")].into());
}

#[test]
fn units_that_are_not_restored_are_not_fresh_and_an_older_manifest_says_nothing() {
    let all = [FRESH; 4];
    let mut manifest = manifest(&["run"]);
    assert!(stays_away(&manifest, None, |_| true, |_| false).files.is_empty());
    assert!(!stays_away(&manifest, None, |_| false, |_| false).files.is_empty());
    manifest.graph.others.clear();
    manifest.kept[0].writers.clear();
    assert!(stays_away(&manifest, Some(&all), |_| true, |_| false).files.is_empty(), "unknown");
    manifest.kept[0].writers.push(dir("run"));
    manifest.units.retain(|unit| unit.dir != dir("run"));
    assert!(!stays_away(&manifest, Some(&all), |_| true, |_| false).files.is_empty());
}
