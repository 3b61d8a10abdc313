//! `scripts/check` provides every program that a test starts: it installs those that Debian's base lacks.
//!
//! The test searches the sources for names of programs in the calls that start one. It does not see programs that a
//! shell script inside of a test calls.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::Path;

use walkdir::WalkDir;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// The programs of a minimal Debian (`debootstrap --variant=minbase`) that tests start.
const BASE: [&str; 14] = [
    "bash",
    "cat",
    "chown",
    "cp",
    "env",
    "mkfifo",
    "mount",
    "setpriv",
    "sh",
    "sha256sum",
    "tar",
    "timeout",
    "umount",
    "unshare",
];

/// The programs that must be there before `scripts/check`, with rustup.
const BEFORE: [&str; 3] = ["cargo", "git", "rustc"];

/// The calls that start a program whose name follows.
const CALLS: [&str; 3] = ["Command::new(\"", "isolated(\"", ".command(\""];

/// The verbs of our own program, whose calls also use the name `command`.
const VERBS: [&str; 8] = ["checkout", "gc", "guard", "list", "restore", "save", "show", "verify"];

/// Options by which a program starts another one.
const THROUGH: [(&str, &str); 1] = [("\"--zstd\"", "zstd")];

/// The only file of the integration tests that may name the directory of cargo and rustc.
const TOOLCHAIN: &str = "tests/it/support.rs";

/// Returns our files that may hold tests, by path below the root of the checkout.
fn sources() -> Result<Vec<(String, String)>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    for dir in ["shim/src", "src", "tests/it"] {
        for entry in WalkDir::new(root.join(dir)).sort_by_file_name() {
            let path = entry?.into_path();
            if path.extension().is_some_and(|extension| extension == "rs") {
                let below = path.strip_prefix(root)?.to_string_lossy().into_owned();
                sources.push((below, fs::read_to_string(&path)?));
            }
        }
    }
    Ok(sources)
}

/// Returns the programs that a source starts by name.
fn started(text: &str) -> BTreeSet<&str> {
    let called = CALLS
        .iter()
        .flat_map(|call| text.split(call).skip(1).filter_map(|rest| Some(rest.split_once('"')?.0)));
    let through = THROUGH.iter().filter(|(option, _)| text.contains(option)).map(|(_, it)| *it);
    let names = called.map(|path| path.rsplit('/').next().unwrap_or(path)).chain(through);
    names.filter(|name| !VERBS.contains(name)).collect()
}

/// Returns the programs that `scripts/check` looks for, and installs if they are missing.
fn needed(script: &str) -> BTreeSet<&str> {
    let lines = script.lines().filter_map(|line| line.trim_start().strip_prefix("need "));
    lines.filter_map(|line| line.split(' ').nth(1)).collect()
}

#[test]
fn every_program_that_a_test_starts_is_brought_by_the_check() -> Result {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/check");
    let script = fs::read_to_string(script)?;
    let mut known = needed(&script);
    known.extend(BASE.iter().chain(&BEFORE));
    let mut missing = BTreeSet::new();
    for (path, text) in sources()? {
        let unknown = started(&text).into_iter().filter(|name| !known.contains(name));
        missing
            .extend(unknown.map(|name| format!("{path}: scripts/check lacks a `need` of {name}")));
    }
    assert_eq!(missing, BTreeSet::new());
    Ok(())
}

#[test]
fn only_one_place_says_which_cargo_the_integration_tests_start() -> Result {
    let own = ["env!(\"CARGO\")", "Command::new(\"cargo\")", "Command::new(\"rustc\")"];
    let tests = sources()?.into_iter();
    let tests = tests.filter(|(path, _)| path.starts_with("tests/it/") && path != TOOLCHAIN);
    let own = tests.filter(|(_, text)| own.iter().any(|it| text.contains(it)));
    let own: Vec<_> = own.map(|(path, _)| format!("{path}: see `toolchain_bin`")).collect();
    assert_eq!(own, [""; 0]);
    Ok(())
}

#[test]
fn a_program_is_found_however_it_is_started() {
    #[rustfmt::skip]
    let cases = [
        ("by name",       "Command::new(\"jq\")",                 &["jq"][..]),
        ("by path",       "Command::new(\"/usr/bin/jq\")",        &["jq"]),
        ("twice",         "isolated(\"a\", x); isolated(\"b\")",  &["a", "b"]),
        ("of a host",     "host.command(\"cp\", Wiped, \"\")",    &["cp"]),
        ("a verb",        "host.command(\"save\", &[])",          &[]),
        ("by another",    "tar.args([\"--zstd\", \"-x\"])",       &["zstd"]),
        ("a variable",    "Command::new(program)",                &[]),
    ];
    for (why, text, want) in cases {
        assert_eq!(started(text), want.iter().copied().collect(), "{why}");
    }
    let script = "  need git git --version\n# need a b\nneed python3-pip python3 -m pip\n";
    assert_eq!(needed(script), BTreeSet::from(["git", "python3"]));
}
