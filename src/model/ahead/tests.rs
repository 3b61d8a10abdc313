use super::super::digest::Digest;
use super::super::manifest::{Source, SourceKind};
use super::super::testing::manifest_of;
use super::super::unit_graph::UnitGraph;
use super::*;

/// When the unit of the live tree was built.
const BUILT: i64 = 100;

fn at(secs: i64) -> Timestamp {
    Timestamp::new(secs, 0)
}

fn path(text: &str) -> RelPath {
    RelPath::parse(text.as_bytes()).expect("a path below a root")
}

/// A tree with one unit that was built at `built`, from `a.rs` with that content and mtime, and
/// from a path that is no source.
fn tree(built: i64, content: &str, mtime: i64) -> Manifest {
    let source = Source {
        root: Root::Repo,
        path: Some(path("a.rs")),
        kind: SourceKind::File,
        digest: Digest::of(content.as_bytes()),
        is_executable: false,
        mtime: at(mtime),
    };
    let unit = GraphUnit {
        dir: Some(UnitDir::new(path("debug/.fingerprint/a-0123456789abcdef"))),
        role: Some(Digest::of(b"a").into()),
        built: at(built),
        files: vec![0],
        fixed: vec![1],
        ..GraphUnit::default()
    };
    let others = vec![RawPath::of(b"/r/generated.rs")];
    let graph = UnitGraph { units: vec![unit], others, ..UnitGraph::default() };
    Manifest { graph, sources: vec![source], ..manifest_of("/r") }
}

#[test]
fn a_unit_that_looks_fresh_was_built_from_what_is_there() {
    #[rustfmt::skip]
    let cases = [
        //  why                                 before: built, content  now: mtime, ctime  beside: mtime, ctime is true
        ("never touched",                       (BUILT, "a"),           (50, 60),          (50, 60),      true),
        ("built since, never touched",          (90, "b"),              (50, 60),          (50, 60),      true),
        ("touched with the build",              (90, "b"),              (50, BUILT),       (50, BUILT),   true),
        ("an old mtime since",                  (BUILT, "a"),           (50, 101),         (50, 60),      true),
        ("an old mtime since, other content",   (BUILT, "b"),           (50, 101),         (50, 60),      false),
        ("an old mtime since, built since",     (90, "a"),              (50, 101),         (50, 60),      false),
        ("another content, but stale",          (BUILT, "b"),           (101, 101),        (50, 60),      true),
        ("an old mtime of a path beside",       (BUILT, "a"),           (50, 60),          (50, 101),     false),
        ("a path beside makes it stale",        (BUILT, "a"),           (50, 60),          (101, 101),    true),
    ];
    for (why, (built, content), (mtime, ctime), other, want) in cases {
        let (live, before) = (tree(BUILT, "a", mtime), tree(built, content, 50));
        let ctimes = [((Root::Repo, Some(path("a.rs"))), at(ctime))].into();
        let other = Other::At(Times { mtime: at(other.0), ctime: at(other.1) });
        assert_eq!(is_true_to_sources(&live, &before, &ctimes, |_| other), want, "{why}");
    }
}

#[test]
fn units_that_are_fresh_with_files_from_the_future_were_built_from_them() {
    let mut live = tree(BUILT, "a", 150);
    let before = tree(BUILT, "b", 150);
    let ctimes = [((Root::Repo, Some(path("a.rs"))), at(120))].into();
    let is_true =
        |live: &Manifest| is_true_to_sources(live, &before, &ctimes, |_| Other::Elsewhere);
    assert!(is_true(&live), "cargo builds it again");
    live.graph.units[0].newest = Some(at(150));
    assert!(!is_true(&live));
}

#[test]
fn a_path_that_only_a_restore_brings_back_must_be_there() {
    let tree = tree(BUILT, "a", 50);
    let ctimes = [((Root::Repo, Some(path("a.rs"))), at(60))].into();
    for (other, want) in [(Other::Elsewhere, true), (Other::Removed, true), (Other::Lost, false)] {
        assert_eq!(is_true_to_sources(&tree, &tree, &ctimes, |_| other), want, "{other:?}");
    }
}
