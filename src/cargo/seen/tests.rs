use super::super::testing::write;
use super::*;

type TestResult<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const ROOT: &str = "[workspace]\nmembers = ['a']\n\
    [workspace.package]\nversion = '1.0.0'\n\
    [workspace.dependencies]\ns = { path = 's', features = ['one'] }\n\
    [workspace.lints.rust]\nunused = 'warn'\n";

const MEMBER: &str = "[package]\nname = 'a'\nversion.workspace = true\nedition = '2021'\n\
    [features]\ndefault = ['on']\non = []\noff = ['dep:o']\n\
    [dependencies]\ns.workspace = true\no = { path = '../o', optional = true }\n\
    [dev-dependencies]\nd = { path = '../d' }\n\
    [build-dependencies]\nb = { path = '../b' }\n\
    [lints]\nworkspace = true\n";

/// A unit of each kind, with the letter that stands for it.
const UNITS: [(&str, char); 8] = [
    ("lib-a", 'l'),
    ("test-lib-a", 't'),
    ("bin-a", 'm'),
    ("bin-x", 'x'),
    ("test-integration-test-i", 'i'),
    ("example-e", 'e'),
    ("build-script-build-script-build", 'b'),
    ("run-build-script-build-script-build", 'r'),
];

fn dir_with(root: &str, member: &str) -> TestResult<tempfile::TempDir> {
    let dir = tempfile::tempdir()?;
    #[rustfmt::skip]
    write(dir.path(), &[
        ("Cargo.toml", root), ("a/Cargo.toml", member), ("a/src/lib.rs", ""), ("a/src/main.rs", ""), ("a/src/bin/x.rs", ""),
        ("a/tests/i.rs", ""), ("a/examples/e.rs", ""), ("a/build.rs", ""),
    ])?;
    Ok(dir)
}

fn target(unit: &str, reads: &[&str]) -> GraphTarget {
    GraphTarget { unit: unit.to_owned(), reads: reads.iter().map(ToString::to_string).collect() }
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

/// Returns the parts of the member that each of [`UNITS`] sees, if the feature `default` was asked for.
fn seen(dir: &Path) -> TestResult<Vec<Option<Seen>>> {
    let dir = dir.canonicalize()?.join("a");
    let features = Features { asked: names(&["default"]), implied: names(&["on"]) };
    let mut manifests = Manifests::default();
    let mut of =
        |unit: &str, reads: &[&str]| manifests.seen(&dir, &target(unit, reads), Some(&features));
    Ok(UNITS
        .iter()
        .map(|(unit, letter)| of(unit, if *letter == 'x' { &["CARGO_PKG_AUTHORS"] } else { &[] }))
        .collect())
}

#[test]
fn a_unit_sees_the_parts_of_a_manifest_about_itself() -> TestResult {
    let before = seen(dir_with(ROOT, MEMBER)?.path())?;
    let all = "ltmxieb";
    #[rustfmt::skip]
    let cases = [
        //  why                             of the workspace       in the member                                                    who sees it
        ("nothing",                         ("", ""),              ("", ""),                                                        ""),
        ("a comment",                       ("", "# x\n"),         ("", "# y\n"),                                                   ""),
        ("metadata",                        ("", "[workspace.metadata]\nx = 1\n"), ("", "[package.metadata]\nx = 1\n"),             ""),
        ("a description",                   ("", ""),              ("edition", "description = 'x'\nedition"),                       ""),
        ("authors, whom a program reads",   ("", ""),              ("edition", "authors = ['x']\nedition"),                         "x"),
        ("a version",                       ("1.0.0", "2.0.0"),    ("", ""),                                                        "ltmxiebr"),
        ("an own version",                  ("", ""),              ("version.workspace = true", "version = '2.0.0'"),               "ltmxiebr"),
        ("the same version",                ("", ""),              ("version.workspace = true", "version = '1.0.0'"),               ""),
        ("an edition",                      ("", ""),              ("2021", "2024"),                                                all),
        ("lints",                           ("'warn'", "'deny'"),  ("", ""),                                                        all),
        ("the same lints",                  ("'warn'", "{ level = 'warn' }"), ("", ""),                                             ""),
        ("own lints",                       ("", ""),              ("[lints]\nworkspace = true", "[lints.rust]\nunused = 'deny'"),  all),
        ("the same lints by itself",        ("", ""),              ("[lints]\nworkspace = true", "[lints.rust]\nunused = 'warn'"),  ""),
        ("lints of cargo",                  ("", "[workspace.lints.cargo]\nx = 'deny'\n"), ("", ""),                                ""),
        ("a cfg to expect",                 ("'warn'", "'warn'\nunexpected_cfgs = { level = 'warn', check-cfg = ['cfg(x)'] }"), ("", ""), all),
        ("a new feature",                   ("", ""),              ("on =", "new = []\non ="),                                      all),
        ("a feature that is on",            ("", ""),              ("['on']", "['on', 'off']"),                                     all),
        ("a feature that is on no more",    ("", ""),              ("['on']", "[]"),                                                all),
        ("the value of one that is off",    ("", ""),              ("['dep:o']", "['dep:o', 's/two']"),                             ""),
        ("a dependency that is off",        ("", ""),              ("'../o'", "'../p'"),                                            ""),
        ("a dependency",                    ("", ""),              ("s.work", "n = '1'\ns.work"),                                   "ltmxie"),
        ("a version of one",                ("", ""),              ("d = { path = '../d' }", "d = { path = '../d', version = '1' }"), ""),
        ("a path of the workspace's",       ("'s'", "'z'"),        ("", ""),                                                        "ltmxie"),
        ("the same path by itself",         ("", ""),              ("s.workspace = true", "s = { path = '../s', features = ['one'] }"), ""),
        ("one for tests",                   ("", ""),              ("'../d'", "'../e'"),                                            "tie"),
        ("one for the build script",        ("", ""),              ("'../b'", "'../c'"),                                            "b"),
        ("another name for one",            ("", ""),              ("b = {", "c = { package = 'b',"),                               "b"),
        ("the library",                     ("", ""),              ("", "[lib]\ndoctest = false\n"),                                "lt"),
        ("what it is anyway",               ("", ""),              ("", "[lib]\ndoctest = true\nproc-macro = false\n"),             ""),
        ("its kind",                        ("", ""),              ("", "[lib]\ncrate-type = ['cdylib']\n"),                        "lt"),
        ("a program",                       ("", ""),              ("", "[[bin]]\nname = 'x'\ntest = false\n"),                     "x"),
        ("a program that is there anyway",  ("", ""),              ("", "[[bin]]\nname = 'x'\npath = 'src/bin/x.rs'\n"),            ""),
        ("a new program",                   ("", ""),              ("", "[[bin]]\nname = 'n'\npath = 'n.rs'\n"),                    ""),
        ("a test",                          ("", ""),              ("", "[[test]]\nname = 'i'\nharness = false\n"),                 "i"),
        ("an example",                      ("", ""),              ("", "[[example]]\nname = 'e'\nrequired-features = ['on']\n"),   "e"),
        ("no more examples",                ("", ""),              ("edition", "autoexamples = false\nedition"),                    "e"),
        ("no more build script",            ("", ""),              ("edition", "build = false\nedition"),                           "br"),
        ("another name for the library",    ("", ""),              ("", "[lib]\nname = 'z'\n"),                                     "lt"),
    ];
    for (why, root, member, want) in cases {
        let changed = |text: &str, (old, new): (&str, &str)| match old {
            "" => format!("{text}{new}"),
            old => text.replacen(old, new, 1),
        };
        let dir = dir_with(&changed(ROOT, root), &changed(MEMBER, member))?;
        let now = seen(dir.path())?;
        let pairs = UNITS.iter().zip(before.iter().zip(&now));
        let mark = |seen: &Option<Seen>| seen.as_ref().map(|seen| seen.mark);
        let other = pairs.filter(|(_, (old, new))| mark(old) != mark(new));
        let other: String = other.map(|((_, letter), _)| letter).collect();
        assert_eq!(other, want, "{why}");
    }
    Ok(())
}

#[test]
fn a_target_asks_for_the_features_of_what_it_uses() -> TestResult {
    let text = |seen: &Option<Seen>| {
        let asks = seen.iter().flat_map(|seen| &seen.asks);
        let one = |(name, features): (&String, &BTreeSet<String>)| {
            format!("{name}: {}", joined(features.iter().map(String::as_str)))
        };
        asks.map(one).collect::<Vec<_>>().join(", ")
    };
    #[rustfmt::skip]
    let cases = [
        //  why                       in the member                                      lib                                       test                          script
        ("as they stand",             ("", ""),                                         "s: default one",                          "d: default, s: default one", "b: default"),
        ("more than the workspace",   ("s.workspace = true", "s = { workspace = true, features = ['two'] }"), "s: default one two", "d: default, s: default one two", "b: default"),
        ("no defaults",               ("'../d'", "'../d', default-features = false"),   "s: default one",                          "d: , s: default one",        "b: default"),
        ("by a feature",              ("on = []", "on = ['s/x', 'o?/y']"),              "s: default one x",                        "d: default, s: default one x", "b: default"),
        ("an optional one",           ("on = []", "on = ['off', 'o?/y']"),              "o: default y, s: default one",            "d: default, o: default y, s: default one", "b: default"),
        ("another name",              ("b = {", "c = { package = 'b',"),                "s: default one",                          "d: default, s: default one", "b: default"),
    ];
    for (why, (old, new), lib, test, script) in cases {
        let member = if old.is_empty() { MEMBER.to_owned() } else { MEMBER.replacen(old, new, 1) };
        let now = seen(dir_with(ROOT, &member)?.path())?;
        let got = [0, 4, 6].map(|index: usize| text(&now[index]));
        assert_eq!(got, [lib, test, script], "{why}");
    }
    Ok(())
}

#[test]
fn features_that_follow_from_others_were_not_asked_for() -> TestResult {
    let member = "[package]\nname = 'a'\n[features]\ndefault = ['x']\nx = ['y']\ny = []\nz = []\np = ['q']\nq = ['p']\n";
    let dir = dir_with(ROOT, member)?;
    let mut manifests = Manifests::default();
    let package = dir.path().canonicalize()?.join("a");
    #[rustfmt::skip]
    let cases: [(&[&str], &[&str]); 6] = [
        (&[],                    &[]),
        (&["default", "x", "y"], &["default"]),
        (&["x", "y", "z"],       &["x", "z"]),
        (&["y"],                 &["y"]),
        (&["p", "q"],            &["q"]),
        (&["unknown"],           &["unknown"]),
    ];
    for (all, want) in cases {
        let got = manifests.features(&package, &names(all));
        assert_eq!(got.asked, names(want));
        assert_eq!(got.implied, names(all).difference(&names(want)).cloned().collect());
    }
    Ok(())
}

#[test]
fn targets_are_found_where_cargo_looks_and_those_that_need_a_feature_are_left_out() -> TestResult {
    let dir =
        dir_with(ROOT, &format!("{MEMBER}[[test]]\nname = 'late'\nrequired-features = ['off']\n"))?;
    let package = dir.path().canonicalize()?.join("a");
    write(
        &package,
        &[("tests/late.rs", ""), ("tests/more/main.rs", ""), ("tests/common/mod.rs", "")],
    )?;
    let mut manifests = Manifests::default();
    let mut like = |unit: &str| -> Vec<String> {
        manifests
            .like(&package, unit)
            .into_iter()
            .map(|(unit, path)| format!("{unit} {path}"))
            .collect()
    };
    let tests =
        ["test-integration-test-i tests/i.rs", "test-integration-test-more tests/more/main.rs"];
    assert_eq!(like("test-integration-test-gone"), tests);
    assert_eq!(like("bin-x"), ["bin-a src/main.rs", "bin-x src/bin/x.rs"]);
    assert_eq!(like("lib-a"), [""; 0]);
    Ok(())
}

#[test]
fn where_there_is_no_package_there_is_nothing_to_see() -> TestResult {
    let dir = dir_with("[package", "[workspace]")?;
    let root = dir.path().canonicalize()?;
    let mut manifests = Manifests::default();
    for below in ["", "a", "none"] {
        assert!(!manifests.has_package(&root.join(below)));
        assert_eq!(manifests.seen(&root.join(below), &target("lib-a", &[]), None), None);
    }
    let with_readme = dir_with(ROOT, MEMBER)?;
    let package = with_readme.path().canonicalize()?.join("a");
    let readme = |manifests: &mut Manifests| {
        manifests.seen(&package, &target("lib-a", &["CARGO_PKG_README"]), None)
    };
    let without = readme(&mut Manifests::default());
    write(&package, &[("README.md", "")])?;
    assert_ne!(readme(&mut Manifests::default()), without);
    Ok(())
}
