use super::super::digest::Digest;
use super::super::unit_graph::{GraphPackage, GraphVariable};
use super::*;
use crate::model::raw_path::RawPath;

const BUILT: i64 = 100;

fn at(secs: i64) -> Timestamp {
    Timestamp::new(secs, 0)
}

/// A graph in which `app` reads 0 and 9 and uses `mid` and `serde`, which is of a registry. `mid`
/// reads 1 and uses `low`. `low` reads 2, 3 elsewhere, the variable 0 and the whole of its package,
/// and is bound to its path. `apart` reads 4.
fn graph() -> UnitGraph {
    let package = |name: &str, is_path: bool| GraphPackage {
        name: name.to_owned(),
        dir: is_path.then(|| RawPath::of(name.as_bytes())),
        is_outside: is_path,
        ..GraphPackage::default()
    };
    let unit = |package, files: &[u32], deps: &[u32]| GraphUnit {
        package,
        built: at(BUILT),
        files: files.to_vec(),
        deps: deps.to_vec(),
        ..GraphUnit::default()
    };
    let low = GraphUnit {
        whole_package: true,
        is_bound: true,
        variables: vec![0],
        fixed: vec![3],
        ..unit(2, &[2], &[])
    };
    UnitGraph {
        packages: vec![
            package("app", true),
            package("mid", true),
            package("low", true),
            package("apart", true),
            package("serde", false),
        ],
        variables: vec![GraphVariable { name: "SIGN".to_owned(), value: Some(Digest::of(b"x")) }],
        others: Vec::new(),
        profiles: None,
        units: vec![
            unit(0, &[0, 9], &[1, 4]),
            unit(1, &[1], &[2]),
            low,
            unit(3, &[4], &[]),
            unit(4, &[], &[]),
        ],
    }
}

/// Returns the state in which everything is as it was built; each path is named `<number>.rs`.
fn as_built() -> Now {
    let path = |number: u32| {
        let shown = format!("{number}.rs");
        (number, PathNow { shown, mtime: Some(at(BUILT)), ..PathNow::default() })
    };
    let package = || PackageNow { newest: at(BUILT), ..PackageNow::default() };
    Now {
        crates: ["app", "mid", "low", "apart", "serde"].map(str::to_owned).into(),
        packages: (0..5).map(|_| package()).collect(),
        paths: (0..5).map(path).collect(),
        ..Now::default()
    }
}

fn change(now: &mut Now, number: u32) {
    let path = now.paths.get_mut(&number).expect("a path of the graph");
    path.mtime = Some(at(BUILT + 1));
    path.changed = vec![path.shown.clone()];
}

fn moved() -> Moved {
    Moved { old: "/a/low".to_owned(), new: "/b/low".to_owned() }
}

fn text(rebuilds: &[Rebuild]) -> Vec<String> {
    let line = |Rebuild { name, reason }: &Rebuild| format!("{name} {}: {reason}", reason.code());
    rebuilds.iter().map(line).collect()
}

const LOW_AND_ALL: [&str; 2] = ["app dependency: depends on low", "mid dependency: depends on low"];

#[test]
fn each_crate_that_is_built_again_is_named_once_with_its_first_reason() {
    type Case<'a> = (&'a str, fn(&mut Now), &'a [&'a str]);
    let moved_low = "low moved: is at `/b/low`; it would be fresh at `/a/low`, where it was built";
    let low_and_all = |low: &'static str| [&[low][..], &LOW_AND_ALL].concat();
    #[rustfmt::skip]
    let cases: [Case<'_>; 24] = [
        ("nothing",                |_| (),                                                          &[]),
        ("a file",                 |now| change(now, 0),                                            &["app changed-file: `0.rs` changed"]),
        ("a file of a dependency", |now| change(now, 2),                                            &low_and_all("low changed-file: `2.rs` changed")),
        ("a file elsewhere",       |now| change(now, 3),                                            &low_and_all("low changed-file: `3.rs` changed")),
        ("two that depend",        |now| { change(now, 1); change(now, 2); },                       &["low changed-file: `2.rs` changed", "mid changed-file: `1.rs` changed", "app dependency: depends on low, mid"]),
        ("nobody depends on it",   |now| change(now, 4),                                            &["apart changed-file: `4.rs` changed"]),
        ("as new as the unit",     |now| now.paths.get_mut(&0).expect("0").mtime = Some(at(BUILT)),   &[]),
        ("newer",            |now| now.paths.get_mut(&0).expect("0").mtime = Some(at(101)),     &["app newer-file: `0.rs` is newer than what was built from it"]),
        ("gone",                   |now| now.paths.get_mut(&0).expect("0").mtime = None,              &["app changed-file: `0.rs` changed"]),
        ("a list",                 |now| { let path = now.paths.get_mut(&0).expect("0"); path.mtime = Some(at(101)); path.listed = vec!["d".to_owned()]; },
                                                                                                    &["app changed-directory: `d` lists other names"]),
        ("changed, but older",     |now| { change(now, 0); now.paths.get_mut(&0).expect("0").mtime = Some(at(1)); }, &[]),
        ("a new file",             |now| { now.packages[2].newest = at(101); now.packages[2].changed = vec!["n".to_owned()]; },
                                                                                                    &low_and_all("low changed-file: `n` changed")),
        ("not the whole package",  |now| { now.packages[0].newest = at(101); now.packages[0].changed = vec!["n".to_owned()]; }, &[]),
        ("a manifest",             |now| now.packages[0].manifest = Some("Cargo.toml".to_owned()),  &["app changed-file: `Cargo.toml` changed"]),
        ("the manifest of a library", |now| now.packages[2].manifest = Some("low/Cargo.toml".to_owned()),
                                                                                                    &low_and_all("low changed-file: `low/Cargo.toml` changed")),
        ("what is not there any more", |now| { change(now, 0); now.packages[0].is_gone = true; },    &[]),
        ("a variable",             |now| drop(now.variables.insert(0, "SIGN".to_owned())),            &low_and_all("low changed-variable: SIGN has another value")),
        ("moved",                  |now| now.packages[2].moved = Some(moved()),                     &low_and_all(moved_low)),
        ("moved, and not bound",   |now| now.packages[1].moved = Some(moved()),                     &[]),
        ("what it reads moved",    |now| now.paths.get_mut(&3).expect("3").moved = Some(moved()),     &low_and_all(moved_low)),
        ("what is inside moved",   |now| now.paths.get_mut(&2).expect("2").moved = Some(moved()),     &[]),
        ("moved before changed",   |now| { change(now, 2); now.packages[2].moved = Some(moved()); }, &low_and_all(moved_low)),
        ("another version",        |now| drop(now.new_versions.insert("serde".to_owned(), "1.1.0".to_owned())),
                                                                                                    &["serde never-built: 1.1.0 was never built here", "app dependency: depends on serde"]),
        ("all path crates",        |now| now.every_path_crate = Some(Reason::Flags(vec!["A".to_owned(), "B".to_owned()])),
                                                                                                    &["apart flags: built with other flags, A, B", "app flags: built with other flags, A, B", "low flags: built with other flags, A, B", "mid flags: built with other flags, A, B"]),
    ];
    for (why, change, want) in cases {
        let mut now = as_built();
        change(&mut now);
        assert_eq!(text(&rebuilds(&graph(), &now)), want, "{why}");
    }
}

#[test]
fn flags_of_path_packages_do_not_concern_what_was_vendored() {
    let mut graph = graph();
    graph.packages[3].version = Some("1.0.0".to_owned());
    let flags = Some(Reason::Flags(vec!["A".to_owned()]));
    let names = rebuilds(&graph, &Now { every_path_crate: flags, ..as_built() });
    let names: Vec<_> = names.iter().map(|rebuild| rebuild.name.as_str()).collect();
    assert_eq!(names, ["app", "low", "mid"], "`apart` was vendored");
}

#[test]
fn another_toolchain_is_the_only_reason_there_is() {
    let mut now = as_built();
    change(&mut now, 0);
    now.everything = Some(Reason::Toolchain("rustc: 1 → 2".to_owned()));
    let names: Vec<_> = rebuilds(&graph(), &now).into_iter().map(|rebuild| rebuild.name).collect();
    assert_eq!(names, ["apart", "app", "low", "mid", "serde"]);
}

#[test]
fn a_unit_is_unfinished_if_cargo_broke_off_or_its_dependency_is_newer() {
    let unfinished = "app unfinished: its last build did not finish";
    let mut broken_off = graph();
    broken_off.units[0].is_unfinished = true;
    let mut overtaken = graph();
    overtaken.units[1].built = at(BUILT + 1);
    for graph in [broken_off, overtaken] {
        assert_eq!(text(&rebuilds(&graph, &as_built())), [unfinished]);
    }
}

#[test]
fn reasons_of_several_units_of_one_crate_are_joined() {
    let mut graph = graph();
    let second = GraphUnit { files: vec![4, 1], ..graph.units[0].clone() };
    graph.units.push(second);
    graph.units[0].is_unfinished = true;
    let mut now = as_built();
    change(&mut now, 0);
    change(&mut now, 4);
    let of_app: Vec<_> =
        rebuilds(&graph, &now).into_iter().filter(|rebuild| rebuild.name == "app").collect();
    assert_eq!(text(&of_app), ["app changed-file: `0.rs`, `4.rs` changed"]);
}

#[test]
fn indices_that_lead_nowhere_and_circles_do_no_harm() {
    let mut graph = graph();
    graph.units[2].deps = vec![0, 2, u32::MAX];
    graph.units[2].files.push(u32::MAX);
    graph.units[2].variables.push(u32::MAX);
    graph.units.push(GraphUnit { package: u32::MAX, files: vec![0], ..GraphUnit::default() });
    let mut now = as_built();
    change(&mut now, 0);
    let want = [
        "app changed-file: `0.rs` changed",
        "low dependency: depends on app",
        "mid dependency: depends on app",
    ];
    assert_eq!(text(&rebuilds(&graph, &now)), want);
    assert_eq!(rebuilds(&graph, &Now::default()), []);
}

#[test]
fn lines_share_reasons_and_count_what_does_not_fit() {
    let rebuild = |name: &str, reason| Rebuild { name: name.to_owned(), reason };
    let changed = |path: &str| Reason::Changed([path.to_owned()].into());
    let on = |name: &str| Reason::Dependency([name.to_owned()].into());
    let flags = || Reason::Flags(vec!["RUSTFLAGS".to_owned()]);
    let all = [
        rebuild("a", changed("x")),
        rebuild("b", changed("y")),
        rebuild("c", changed("x")),
        rebuild("d", on("a")),
        rebuild("e", on("b")),
    ];
    assert_eq!(lines(&all, 10), ["a, c: `x` changed", "b: `y` changed", "d, e: depend on these"]);
    assert_eq!(lines(&all, 2), ["a, c: `x` changed", "and 3 more"]);
    let many: Vec<_> = (0..5).map(|number| rebuild(&format!("p{number}"), flags())).collect();
    let want = ["p0, p1, p2 and 2 more: built with other flags, RUSTFLAGS"];
    assert_eq!(lines(&many, 10), want);
    assert_eq!(lines(&[], 10), [""; 0]);
}

#[test]
fn json_has_a_word_for_the_reason_and_a_sentence() -> Result<(), serde_json::Error> {
    let files: BTreeSet<_> = ["a", "b", "c", "d"].map(str::to_owned).into();
    let rebuild = Rebuild { name: "low".to_owned(), reason: Reason::Changed(files) };
    let want =
        r#"{"crate":"low","reason":"changed-file","detail":"`a`, `b`, `c` and 1 more changed"}"#;
    assert_eq!(serde_json::to_string(&rebuild)?, want);
    Ok(())
}

#[test]
fn where_cargo_compares_contents_only_another_content_builds_a_crate_again() {
    let mut graph = graph();
    graph.units[3].by_content = true;
    let mut now = as_built();
    let path = now.paths.get_mut(&4).expect("a path of the graph");
    path.mtime = Some(at(BUILT + 1));
    assert_eq!(rebuilds(&graph, &now), []);
    change(&mut now, 4);
    assert_eq!(text(&rebuilds(&graph, &now)), ["apart changed-file: `4.rs` changed"]);
    let path = now.paths.get_mut(&4).expect("a path of the graph");
    (path.mtime, path.changed) = (None, Vec::new());
    assert_eq!(text(&rebuilds(&graph, &now)), ["apart changed-file: `4.rs` changed"]);
}

#[test]
fn units_that_the_job_did_not_use_are_not_foretold() {
    let mut graph = graph();
    graph.units[0].is_unused = true;
    let mut now = as_built();
    change(&mut now, 0);
    change(&mut now, 1);
    assert_eq!(text(&rebuilds(&graph, &now)), ["mid changed-file: `1.rs` changed"]);
}

#[test]
fn a_crate_that_the_tree_lacks_is_foretold_once_and_by_the_better_reason() {
    let mut now = as_built();
    change(&mut now, 1);
    let lacking = ["mid", "serde"].map(str::to_owned).into();
    let want = [
        "mid changed-file: `1.rs` changed",
        "app dependency: depends on mid",
        "serde lacking: this job used it last time; the restored tree has no matching build of it",
    ];
    assert_eq!(text(&with_lacking(rebuilds(&graph(), &now), &lacking)), want);
}

#[test]
fn dependents_of_a_library_are_not_built_for_another_target_of_its_crate() {
    let mut graph = graph();
    // A test of `low`, which depends on its library.
    graph.units.push(GraphUnit {
        package: 2,
        built: at(BUILT),
        files: vec![4],
        deps: vec![2],
        ..GraphUnit::default()
    });
    let mut now = as_built();
    change(&mut now, 4);
    let low = "low changed-file: `4.rs` changed";
    assert_eq!(text(&rebuilds(&graph, &now)), ["apart changed-file: `4.rs` changed", low]);
    change(&mut now, 2);
    let both = "low changed-file: `2.rs`, `4.rs` changed";
    let apart = "apart changed-file: `4.rs` changed";
    assert_eq!(text(&rebuilds(&graph, &now)), [&[apart, both][..], &LOW_AND_ALL].concat());
}
