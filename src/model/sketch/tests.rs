use super::super::digest::Digest;
use super::super::manifest::Source;
use super::super::testing::manifest_of;
use super::super::unit_graph::{ProfileMarks, UnitGraph};
use super::*;
use crate::model::raw_path::RawPath;

const BUILT: i64 = 100;

fn path(text: &str) -> Option<RelPath> {
    RelPath::parse(text.as_bytes()).ok()
}

fn at(secs: i64) -> Timestamp {
    Timestamp::new(secs, 0)
}

/// Parses lines of `path content mtime`. A path that ends in `/` is a directory, and `.` is the
/// root. A content that ends in `*` is that of an executable.
fn sources(lines: &[&str]) -> Vec<Source> {
    let source = |line: &&str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let [name, content, secs] = words[..] else { panic!("{line}") };
        let is_dir = name.ends_with('/') || name == ".";
        Source {
            root: Root::Repo,
            path: path(name.trim_end_matches('/')).filter(|_| name != "."),
            kind: if is_dir { SourceKind::Dir } else { SourceKind::File },
            digest: Digest::of(content.trim_end_matches('*').as_bytes()),
            is_executable: content.ends_with('*'),
            mtime: at(secs.parse().expect("seconds")),
        }
    };
    lines.iter().map(source).collect()
}

fn contents(lines: &[&str]) -> Contents {
    let content = |source: Source| {
        let content = Content { content: source.content(), mtime: source.mtime };
        (source.root, source.path, content)
    };
    sources(lines).into_iter().map(content).collect()
}

fn spot(text: &str, extent: Extent) -> Spot {
    Spot { root: Root::Repo, path: path(text), extent }
}

const LINES: [&str; 9] = [
    ". names 50",
    "Cargo.toml a 50",
    "in/ names 50",
    "in/a a 50",
    "in/deep/ names 50",
    "in/deep/b b 50",
    "sub/ names 50",
    "sub/Cargo.toml s 50",
    "sub/lib.rs s 50",
];

#[test]
fn each_change_below_a_spot_and_no_other_changes_its_mark() {
    let whole = |line: &str| match line {
        "in" => spot("in", Extent::Itself),
        "package" => spot("", Extent::Package),
        "sub" => spot("sub", Extent::Package),
        name => spot(name, Extent::Itself),
    };
    #[rustfmt::skip]
    let cases = [
        //  why                        line  is now              spots with another mark, whether the package is part of that before
        ("the same at another time",   3,    Some("in/a a 90"),   &[][..], true),
        ("a file",                     3,    Some("in/a x 50"),   &["in", "in/a", "package"], false),
        ("a file further down",        5,    Some("in/deep/b x 50"), &["in", "package"], false),
        ("the names in a directory",   4,    Some("in/deep/ x 50"), &["in"], true),
        ("a file that is gone",        3,    None,                &["in", "in/a", "package"], true),
        ("a file of another package",  8,    Some("sub/lib.rs x 50"), &["sub"], true),
        ("a file beside",              1,    Some("Cargo.toml x 50"), &["package"], false),
        ("executable now",             3,    Some("in/a a* 50"),  &["in", "in/a", "package"], false),
        ("executable further down",    5,    Some("in/deep/b b* 50"), &["in", "package"], false),
        ("another kind",               3,    Some("in/a/ a 50"),  &["in/a", "package"], true),
    ];
    let spots = ["in", "in/a", "package", "sub"];
    let before = contents(&LINES);
    for (why, line, now, want, is_part) in cases {
        let mut lines: Vec<_> = LINES.into();
        match now {
            Some(now) => lines[line] = now,
            None => drop(lines.remove(line)),
        }
        let after = contents(&lines);
        let differs = |name: &&str| before.mark(&whole(name)) != after.mark(&whole(name));
        let differing: Vec<_> = spots.into_iter().filter(differs).collect();
        assert_eq!(differing, want, "{why}");
        assert_eq!(after.is_part_of(&before, &whole("package")), is_part, "{why}");
    }
    assert!(!before.is_part_of(&before, &spot("nothing", Extent::Package)));
    assert_eq!(before.mark(&spot("nothing", Extent::Itself)), None);
}

fn manifest(graph: UnitGraph) -> Manifest {
    Manifest { graph, sources: sources(&LINES), ..manifest_of("/w/app") }
}

fn graph(change: impl FnOnce(&mut GraphUnit)) -> UnitGraph {
    let package = |name: &str, dir: Option<&str>| GraphPackage {
        name: name.to_owned(),
        dir: dir.map(|dir| RawPath::of(dir.as_bytes())),
        ..GraphPackage::default()
    };
    let unit = |name: &str, package| GraphUnit {
        dir: path(name).map(UnitDir::new),
        role: Some(Digest::of(name.as_bytes()).into()),
        package,
        built: at(BUILT),
        ..GraphUnit::default()
    };
    let mut top = GraphUnit { deps: vec![1], files: vec![3, 2], ..unit("top", 0) };
    change(&mut top);
    UnitGraph {
        packages: vec![package("app", Some("/w/app")), package("serde", None)],
        units: vec![top, unit("serde", 1)],
        profiles: Some(ProfileMarks::new()),
        ..UnitGraph::default()
    }
}

#[test]
fn a_sketch_names_what_units_were_built_from_and_which_were_stale_already() {
    type Change = fn(&mut GraphUnit);
    #[rustfmt::skip]
    let cases: [(&str, Change, &[&str], bool); 10] = [
        ("as built",                     |_| {},                                   &["in/a", "in"],       false),
        ("a file of another root",       |unit| unit.files = vec![99],             &[],                   false),
        ("a file elsewhere",             |unit| unit.fixed = vec![8],              &["in/a", "in", "sub/lib.rs"], false),
        ("the whole package",            |unit| unit.whole_package = true,         &["in/a", "in", "."],  false),
        ("that, with files from the future", |unit| (unit.whole_package, unit.built, unit.newest, unit.deps) = (true, at(49), Some(at(BUILT)), Vec::new()), &["in/a", "in", "."], false),
        ("that, with newer ones since",  |unit| (unit.whole_package, unit.built, unit.newest, unit.deps) = (true, at(40), Some(at(49)), Vec::new()), &["in/a", "in", "."], true),
        ("built before its file",        |unit| unit.built = at(49),               &["in/a", "in"],       true),
        ("that, compared by content",    |unit| (unit.built, unit.by_content, unit.deps) = (at(49), true, Vec::new()), &["in/a", "in"], false),
        ("built after what it uses",     |unit| unit.built = at(BUILT - 1),        &["in/a", "in"],       true),
        ("it broke off",                 |unit| unit.is_unfinished = true,         &["in/a", "in"],       true),
    ];
    for (why, change, want, is_stale) in cases {
        let sketch = Sketch::of(&manifest(graph(change))).expect("units of a new program");
        let named = |number: &u32| {
            let path = &sketch.paths[*number as usize].spot.path;
            path.as_ref().map_or(".".to_owned(), ToString::to_string)
        };
        let paths: Vec<_> = sketch.units[0].paths.iter().map(named).collect();
        assert_eq!(paths, want, "{why}");
        assert_eq!(sketch.units[0].is_stale, is_stale, "{why}");
        assert_eq!((sketch.units[1].is_stale, sketch.units[1].is_used), (false, true), "{why}");
        for path in &sketch.paths {
            assert_eq!(path.content, contents(&LINES).mark(&path.spot), "{why}");
        }
    }
}

#[test]
fn a_generation_of_an_older_version_has_no_sketch() {
    assert!(Sketch::of(&manifest(graph(|unit| unit.dir = None))).is_none());
    assert!(Sketch::of(&manifest(UnitGraph { profiles: None, ..graph(|_| {}) })).is_none());
}
