//! The shape of the crate, as tables: which modules may import, and touch, which others.
//!
//! The checks read the sources as tokens, so comments and strings do not count. They compare every path in them (with
//! `use` trees split, and `self`, `super` and renamed imports resolved) with [`MODULES`] and [`RULES`]. They do not see
//! paths that macros assemble.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::path::Path;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// The modules below `src/`, lowest first, each with the modules it may import.
///
/// A module need not exist yet. `main` is the file; `lib.rs` declares the modules and has no rule.
#[rustfmt::skip]
const MODULES: &[(&str, &[&str])] = &[
    ("model",  &[]),
    ("fs",     &["model"]),
    ("store",  &["model", "fs"]),
    ("cargo",  &["model", "fs"]),
    ("remote", &["model"]),
    ("job",    &["model", "fs", "store", "cargo"]),
    ("tree",   &["model", "fs", "store", "cargo", "job"]),
    ("vouch",  &["model", "fs", "store", "cargo", "job", "tree"]),
    // The verbs. None of them imports another.
    ("save",     &["model", "fs", "store", "cargo", "job", "tree", "vouch"]),
    ("restore",  &["model", "fs", "store", "cargo", "job", "tree", "vouch"]),
    ("upkeep",   &["model", "fs", "store", "cargo", "job"]),
    ("checkout", &["model", "fs", "store", "job", "tree"]),
    ("github", &["model"]),
    ("chain",  &[]),
    // What the command line and the Action share.
    ("front",  &["model", "fs", "store", "cargo", "job", "upkeep", "checkout", "github"]),
    ("action", &["model", "fs", "store", "cargo", "job", "save", "restore", "upkeep", "checkout", "github", "front"]),
    ("cli",    &["model", "fs", "store", "cargo", "job", "save", "restore", "upkeep", "checkout", "github", "chain", "front", "action"]),
    ("main",   &["cli"]),
];

/// Where a path, and all paths below it, may be named.
#[derive(Clone, Copy)]
enum Where {
    Anywhere,
    /// In these modules.
    Only(&'static [&'static str]),
    /// In any one of these modules, but only in one.
    OneOf(&'static [&'static str]),
    /// In every module but these.
    Except(&'static [&'static str]),
    /// In this file.
    In(&'static str),
}

use Where::{Anywhere, Except, In, OneOf, Only};

/// The longest matching path decides. Macros are named with their `!`.
#[rustfmt::skip]
const RULES: &[(&str, Where)] = &[
    // Third-party crates: every dependency of Cargo.toml is here.
    ("base64",     Only(&["checkout"])),
    ("clap",       Only(&["cli"])),
    ("flate2",     Only(&["cargo"])),
    ("getrandom",  Only(&["github", "store"])),
    ("humansize",  Only(&["front"])),
    ("ignore",     OneOf(&["fs", "cargo"])),
    ("indicatif",  Only(&["cli"])),
    ("jiff",       Only(&["model"])),
    ("rayon",      Only(&["job", "tree", "vouch", "save", "restore", "upkeep"])),
    ("rustix",     Only(&["fs"])),
    ("rustls_native_certs", Only(&["chain"])),
    ("serde",      Anywhere),
    ("serde_json", Anywhere),
    ("sha1",       Only(&["cargo"])),
    ("sha2",       Only(&["chain", "model"])),
    ("signal_hook", Only(&["front"])),
    ("similar",    Only(&["cli"])),
    ("strsim",     Only(&["chain", "github"])),
    ("tar",        Only(&["cargo", "store"])),
    ("tempfile",   Only(&["fs", "store"])),
    ("thiserror",  Anywhere),
    ("toml",       Only(&["cargo", "chain"])),
    ("ureq",       Only(&["chain"])),
    ("walkdir",    Only(&["fs"])),
    ("zstd",       Only(&["store"])),

    // The disk and the clock. Pure functions get what they need as arguments.
    ("std::fs",                    Except(&["model"])),
    // A file of a checkout may be a fifo: `fs::regular` reads it.
    ("std::fs::read",              Except(READERS)),
    ("std::fs::read_to_string",    Except(READERS)),
    ("std::time::Instant::now",    Except(&["model"])),
    ("std::time::SystemTime::now", Except(&["model"])),

    // The environment. Functions that depend on the target alone do not count.
    ("std::env",             Only(&["cli", "main"])),
    ("std::env::consts",     Except(&["model"])),
    ("std::env::join_paths", Except(&["model"])),
    ("std::env::split_paths", Except(&["model"])),

    // Other programs: one place decides about their environment and signals.
    ("std::process::Command", In("src/fs/child.rs")),
    ("std::process::*",       In("src/fs/child.rs")),

    // The terminal: one place makes the output harmless.
    ("print!",          In(PRINT)),
    ("println!",        In(PRINT)),
    ("eprint!",         In(PRINT)),
    ("eprintln!",       In(PRINT)),
    ("dbg!",            In(PRINT)),
    ("std::io::stdout", In(PRINT)),
    ("std::io::stderr", In(PRINT)),
    ("std::io::*",      In(PRINT)),
    // Clap would print words of the command line as they are.
    ("Cli::parse",      In("src/cli/usage.rs")),
];

/// The modules that read files of checkouts and of builds; `model` reads none.
const READERS: &[&str] =
    &["cargo", "model", "job", "tree", "vouch", "save", "restore", "upkeep", "checkout"];

/// The file that prints.
const PRINT: &str = "src/front/print.rs";

/// A file longer than this has two subjects.
const MAX_CODE_LINES: usize = 350;

#[test]
fn every_module_of_the_crate_is_in_the_table() -> Result {
    let strangers: BTreeSet<_> = sources()?.iter().filter_map(unknown_module).collect();
    assert_none(&strangers)
}

#[test]
fn the_table_lets_a_module_import_only_what_is_below_it() {
    for (position, (module, may_import)) in MODULES.iter().enumerate() {
        for imported in *may_import {
            let below = MODULES[..position].iter().any(|(lower, _)| lower == imported);
            assert!(below, "`{module}` may import `{imported}`, which is not listed before it");
        }
    }
}

#[test]
fn a_module_imports_only_what_the_table_allows() -> Result {
    assert_none(&forbidden_imports(&sources()?))
}

#[test]
fn crates_disk_clock_and_terminal_are_met_only_where_the_rules_allow() -> Result {
    assert_none(&broken_rules(&sources()?))
}

#[test]
fn every_dependency_has_a_rule() -> Result {
    let manifest = fs::read_to_string(repo_root().join("Cargo.toml"))?;
    let dependencies = dependencies(&manifest);
    assert!(dependencies.contains("clap"), "found no dependencies: {dependencies:?}");
    let without_rule: BTreeSet<_> = dependencies
        .iter()
        .filter(|name| !RULES.iter().any(|(path, _)| path == *name))
        .map(|name| format!("Cargo.toml: `{name}` has no rule in tests/architecture.rs"))
        .collect();
    assert_none(&without_rule)
}

#[test]
fn no_file_has_more_code_lines_than_fit_one_subject() -> Result {
    let too_long: BTreeSet<_> = sources()?.iter().filter_map(too_long).collect();
    assert_none(&too_long)
}

#[test]
fn no_lint_is_silenced_with_allow() -> Result {
    let silenced: BTreeSet<_> = sources()?.iter().flat_map(silenced_lints).collect();
    assert_none(&silenced)
}

// The tests below prove that the checks above find what they should, and nothing else.

#[test]
fn a_forbidden_import_is_found_however_it_is_written() {
    #[rustfmt::skip]
    let cases = [
        //   why                      file                   source                                        line
        Case("allowed",               "src/store/packs.rs",  "use crate::fs::walk;\nuse crate::model;",       None),
        Case("itself",                "src/store/packs.rs",  "use crate::store::Lease;",                      None),
        Case("upwards",               "src/store/packs.rs",  "//! Packs.\nuse crate::save::save;",             Some(2)),
        Case("sideways",              "src/cargo/units.rs",  "use crate::store::Store;",                      Some(1)),
        Case("file module",           "src/store.rs",        "use crate::cli;",                               Some(1)),
        Case("in an expression",      "src/fs/mod.rs",       "fn f() {\n    crate::store::open();\n}",        Some(2)),
        Case("in a type",             "src/fs/mod.rs",       "fn f(s: &crate::store::Store<u8>) {}",          Some(1)),
        Case("in a group",            "src/fs/mod.rs",       "use crate::{\n    model::Key,\n    job::{a, b},\n};", Some(3)),
        Case("group without prefix",  "src/fs/mod.rs",       "use {std::io, crate::store::Store};",           Some(1)),
        Case("by the crate's name",   "src/fs/mod.rs",       "use runner_cache::store::Store;",               Some(1)),
        Case("re-exported",           "src/fs/mod.rs",       "pub(crate) use crate::store::Store;",           Some(1)),
        Case("from a macro",          "src/fs/mod.rs",       "macro_rules! m { () => { $crate::job::f() } }", Some(1)),
        Case("from a test",           "src/fs/mod.rs",       "#[cfg(test)]\nmod tests {\n    use crate::job::f;\n}", Some(3)),
        Case("a name at the root",    "src/fs/mod.rs",       "use crate::Store;",                             Some(1)),
        Case("all at the root",       "src/fs/mod.rs",       "use crate::*;",                                 Some(1)),
        Case("the root renamed",      "src/fs/mod.rs",       "use crate as root;",                            Some(1)),
        Case("super, one level",      "src/fs/walk.rs",      "use super::stat;",                              None),
        Case("super, from mod.rs",    "src/fs/mod.rs",       "use super::store;",                             Some(1)),
        Case("super, from deeper",    "src/fs/walk.rs",      "use super::super::store::Store;",               Some(1)),
        Case("super, in a group",     "src/fs/walk.rs",      "use super::{stat, super::{model, store}};",     Some(1)),
        Case("self, then super",      "src/fs/mod.rs",       "use self::super::store;",                       Some(1)),
        Case("super, inline module",  "src/fs/mod.rs",       "mod a {\n    use super::b;\n    use super::super::job;\n}", Some(3)),
        Case("after inline module",   "src/fs/mod.rs",       "mod a {}\nuse super::job;",                     Some(2)),
        Case("in a comment",          "src/fs/mod.rs",       "/// [`crate::store`] /* */\n/* crate::job /* crate::cli */ crate::job */", None),
        Case("in strings",            "src/fs/mod.rs",       r##"const A: (&str, &[u8]) = ("\"crate::job", br#"crate::cli"#);"##, None),
        Case("after a character",     "src/fs/mod.rs",       "const A: char = '\"'; use crate::job::f; const B: char = '\"';", Some(1)),
        Case("after a lifetime",      "src/fs/mod.rs",       "fn f<'a>(a: &'a str) -> crate::job::A<'a> {}",  Some(1)),
        Case("from main",             "src/main.rs",         "use runner_cache::store::Store;",               Some(1)),
        Case("main to cli",           "src/main.rs",         "fn main() { runner_cache::cli::run() }",        None),
        Case("lib is free",           "src/lib.rs",          "pub mod store;\npub use crate::store::Store;",  None),
    ];
    for Case(why, file, text, line) in cases {
        assert_eq!(lines(&forbidden_imports(&sample(file, text))), Vec::from_iter(line), "{why}");
    }
}

#[test]
fn a_broken_rule_is_found_however_it_is_written() {
    #[rustfmt::skip]
    let cases = [
        //   why                      file                  source                                            line
        Case("crate at home",         "src/store/packs.rs", "use tar::Builder;\nfn f() { zstd::encode() }",      None),
        Case("crate elsewhere",       "src/save/mod.rs",    "use std::io;\nuse tar::Builder;",                   Some(2)),
        Case("crate, absolute",       "src/save/mod.rs",    "use ::tar::Builder;",                               Some(1)),
        Case("crate, in a group",     "src/save/mod.rs",    "use {std::io, zstd::Encoder};",                     Some(1)),
        Case("crate, renamed",        "src/save/mod.rs",    "use tar as t;",                                     Some(1)),
        Case("crate, in a path",      "src/save/mod.rs",    "fn f() {\n    let a = tar::Builder::new();\n}",     Some(2)),
        Case("crate, derived",        "src/model/key.rs",   "#[derive(Debug, clap::Parser)]\nstruct A;",         Some(1)),
        Case("our module, same name", "src/cargo/mod.rs",   "use super::cargo::{tar::A};\nuse crate::cargo::zstd;", None),
        Case("one of two homes",      "src/fs/walk.rs",     "use ignore::WalkBuilder;",                          None),
        Case("no home",               "src/save/mod.rs",    "use ignore::WalkBuilder;",                          Some(1)),
        Case("crate in a test",       "src/save/mod.rs",    "#[cfg(test)]\nmod tests {\n    use tempfile::tempdir;\n}", None),
        Case("after a test",          "src/save/mod.rs",    "#[cfg(test)]\nuse tar::{A, B};\nuse tar::C;",       Some(3)),
        Case("never for tests",       "src/save/mod.rs",    "#[cfg(not(test))]\nuse tar::A;",                    Some(2)),
        Case("not only for tests",    "src/save/mod.rs",    "#[cfg(any(test, unix))]\nuse tar::A;",              Some(2)),
        Case("disk",                  "src/model/key.rs",   "use std::fs;",                                      Some(1)),
        Case("disk, in a group",      "src/model/key.rs",   "use std::{io, fs::File};",                          Some(1)),
        Case("disk, allowed",         "src/store/packs.rs", "use std::fs::File;",                                None),
        Case("clock",                 "src/model/key.rs",   "use std::time::SystemTime;\nfn f() { SystemTime::now(); }", Some(2)),
        Case("clock, in full",        "src/model/key.rs",   "fn f() { std::time::Instant::now(); }",             Some(1)),
        Case("clock, passed in",      "src/model/key.rs",   "use std::time::SystemTime;\nfn f(now: SystemTime) {}", None),
        Case("environment",           "src/cargo/home.rs",  "fn f() { std::env::var_os(\"HOME\"); }",            Some(1)),
        Case("environment, imported", "src/cargo/home.rs",  "use std::env;",                                     Some(1)),
        Case("environment, renamed",  "src/cargo/home.rs",  "use std as s;\nfn f() { s::env::var(\"A\"); }",     Some(2)),
        Case("environment, in cli",   "src/cli/mod.rs",     "use std::env;\nfn f() { env::var(\"A\"); }",        None),
        Case("no environment",        "src/cargo/home.rs",  "const A: &str = std::env::consts::ARCH;",           None),
        Case("built-in variable",     "src/store/packs.rs", "const A: &str = env!(\"CARGO_PKG_VERSION\");",      None),
        Case("printing",              "src/save/mod.rs",    "fn f() {\n    println!(\"a\");\n}",                 Some(2)),
        Case("printing, in full",     "src/save/mod.rs",    "fn f() { std::eprintln![\"a\"]; }",                 Some(1)),
        Case("printing, in cli",      "src/cli/mod.rs",     "fn f() { println!(\"a\"); }",                       Some(1)),
        Case("printing, at home",     "src/front/print.rs",   "fn f() { println!(\"a\"); }",                       None),
        Case("standard error",        "src/save/mod.rs",    "use std::io;\nfn f() { io::stderr(); }",            Some(2)),
        Case("standard out, in cli",  "src/cli/list.rs",    "use std::io::{Write, stdout as out};",              Some(1)),
        Case("by clap",               "src/cli/mod.rs",     "fn f() { Cli::parse(); }",                          Some(1)),
        Case("a program",             "src/save/mod.rs",    "use std::process::Command;",                        Some(1)),
        Case("a program, in full",    "src/fs/walk.rs",     "fn f() { std::process::Command::new(\"git\"); }",   Some(1)),
        Case("a program, by module",  "src/cli/mod.rs",     "use std::process;\nfn f() { process::Command::new(\"git\"); }", Some(2)),
        Case("a program, of all",     "src/cli/mod.rs",     "use std::process::*;",                              Some(1)),
        Case("a program, renamed",    "src/cli/mod.rs",     "use std::process::{ExitCode, Command as C};",       Some(1)),
        Case("a program at home",     "src/fs/child.rs",    "use std::process::{Command, Stdio};",               None),
        Case("an exit status",        "src/cli/mod.rs",     "use std::process::ExitCode;",                       None),
        Case("a comparison",          "src/save/mod.rs",    "fn f(print: u8) -> bool { print != 1 }",            None),
    ];
    for Case(why, file, text, line) in cases {
        assert_eq!(lines(&broken_rules(&sample(file, text))), Vec::from_iter(line), "{why}");
    }
}

#[test]
fn a_crate_with_one_home_is_found_in_its_second() {
    let mut sources = sample("src/cargo/sources.rs", "use ignore::Walk;");
    sources.extend(sample("src/fs/walk.rs", "use ignore::Walk;"));
    let want = "src/fs/walk.rs:1: `fs` names `ignore`, which lives in `cargo` already";
    assert_eq!(broken_rules(&sources), BTreeSet::from([want.to_owned()]));
}

#[test]
fn a_file_that_only_tests_declare_is_a_test() {
    let declared_in = [("src/store/mod.rs", "tests.rs"), ("src/store.rs", "tests/mod.rs")];
    for (parent, child) in declared_in {
        let child = format!("src/store/{child}");
        let code = "fn f() { println!(\"a\"); }";
        for (declaration, want) in [("#[cfg(test)] mod tests;", 0), ("mod tests;", 1)] {
            let texts = [(parent, declaration), (child.as_str(), code)];
            assert_eq!(broken_rules(&parse(&texts)).len(), want, "{declaration} in {parent}");
        }
    }
}

#[test]
fn a_message_names_the_file_the_line_and_the_remedy() {
    let import = forbidden_imports(&sample("src/store/packs.rs", "\nuse crate::save::save;"));
    let want = "src/store/packs.rs:2: `store` imports `save`; it may import `model`, `fs`";
    assert_eq!(import, BTreeSet::from([want.to_owned()]));

    let rule = broken_rules(&sample("src/model/key.rs", "use std::fs;"));
    let want = "src/model/key.rs:1: `model` names `std::fs`, which must not be in `model`";
    assert_eq!(rule, BTreeSet::from([want.to_owned()]));
}

#[test]
fn an_unknown_module_an_allow_and_a_long_file_are_found() {
    #[rustfmt::skip]
    let cases = [
        //   why                 file                 source                                     found
        Case("known",            "src/store/packs.rs", "struct A;",                                 None),
        Case("unknown",          "src/utils/mod.rs",   "struct A;",                                 Some("src/utils/mod.rs: `utils` is not in the table of tests/architecture.rs")),
        Case("unknown file",     "src/utils.rs",       "struct A;",                                 Some("src/utils.rs: `utils` is not in the table of tests/architecture.rs")),
        Case("allow",            "src/store/packs.rs", "\n#[allow(dead_code)]\nstruct A;",          Some("src/store/packs.rs:2: `allow`; write `#[expect(…, reason = \"…\")]`")),
        Case("allow, inner",     "src/store/packs.rs", "#![allow(dead_code)]",                      Some("src/store/packs.rs:1: `allow`; write `#[expect(…, reason = \"…\")]`")),
        Case("allow, sometimes", "src/store/packs.rs", "#[cfg_attr(test, allow(dead_code))]",       Some("src/store/packs.rs:1: `allow`; write `#[expect(…, reason = \"…\")]`")),
        Case("expect",           "src/store/packs.rs", "#[expect(dead_code, reason = \"allow(\")]", None),
        Case("a function",       "src/store/packs.rs", "fn f() { allow(1); }",                      None),
    ];
    for Case(why, file, text, want) in cases {
        let source = sample(file, text).remove(0);
        let found = unknown_module(&source).into_iter().chain(silenced_lints(&source));
        assert_eq!(found.collect::<Vec<_>>(), Vec::from_iter(want.map(str::to_owned)), "{why}");
    }

    let longest = "const A: &str = \"\n\"; // two lines\n\n// none\n".repeat(175);
    let tests = "#[cfg(test)]\nmod tests {\n    fn f() {}\n}\n";
    let source = sample("src/fs/walk.rs", &format!("{longest}{tests}")).remove(0);
    assert_eq!(too_long(&source), None);
    let source = sample("src/fs/walk.rs", &format!("{longest}{tests}const B: u8 = 1;")).remove(0);
    let want = "src/fs/walk.rs: 351 code lines, more than 350";
    assert_eq!(too_long(&source).as_deref(), Some(want));
}

#[test]
fn dependencies_are_read_from_every_table_that_ships() {
    let manifest = "[package]\nname = 'a'\n[dependencies]\nb-c = '1'\nd.workspace = true\n\n\
        [dependencies.e]\nversion = '1'\n[target.'cfg(unix)'.dependencies]\nf = '1'\n\
        [dev-dependencies]\ng = '1'\n[features]\nh = []\n";
    let want = ["b_c", "d", "e", "f"].map(str::to_owned);
    assert_eq!(dependencies(manifest), BTreeSet::from(want));
}

/// One row of a table: why, the file, its text, and what is expected.
struct Case<'a, T>(&'a str, &'a str, &'a str, Option<T>);

fn sample(file: &str, text: &str) -> Vec<Source> {
    parse(&[(file, text)])
}

/// Returns the line numbers of `findings`, each `file:line: what`.
fn lines(findings: &BTreeSet<String>) -> Vec<usize> {
    let line = |finding: &String| finding.split(':').nth(1).and_then(|line| line.parse().ok());
    findings.iter().filter_map(line).collect()
}

fn assert_none(findings: &BTreeSet<String>) -> Result {
    if findings.is_empty() {
        return Ok(());
    }
    let findings: Vec<_> = findings.iter().map(String::as_str).collect();
    Err(format!("\n{}", findings.join("\n")).into())
}

// The checks: they take sources and return findings.

fn unknown_module(source: &Source) -> Option<String> {
    let module = source.module();
    let known = module == "lib" || MODULES.iter().any(|(name, _)| *name == module);
    let file = &source.file;
    (!known).then(|| format!("{file}: `{module}` is not in the table of tests/architecture.rs"))
}

fn forbidden_imports(sources: &[Source]) -> BTreeSet<String> {
    let mut findings = BTreeSet::new();
    for source in sources {
        let module = source.module();
        let Some((_, may_import)) = MODULES.iter().find(|(name, _)| *name == module) else {
            continue;
        };
        for path in &source.paths {
            let Some(below_root) = path.segments.strip_prefix(&["crate".to_owned()]) else {
                continue;
            };
            let imported = below_root.first().map_or("crate", String::as_str);
            if imported == module || may_import.contains(&imported) {
                continue;
            }
            let (file, line, may_import) = (&source.file, path.line, listed(may_import));
            findings.insert(format!(
                "{file}:{line}: `{module}` imports `{imported}`; it may import {may_import}"
            ));
        }
    }
    findings
}

fn broken_rules(sources: &[Source]) -> BTreeSet<String> {
    let mut findings = BTreeSet::new();
    let mut homes: BTreeMap<&str, &str> = BTreeMap::new();
    for source in sources {
        let module = source.module();
        for path in source.paths.iter().filter(|path| !path.in_test) {
            let rules = RULES.iter().filter(|(rule, _)| path.is_at_or_below(rule));
            let Some((rule, place)) = rules.max_by_key(|(rule, _)| rule.len()) else {
                continue;
            };
            let must = match place {
                Only(modules) | OneOf(modules) if !modules.contains(&module) => {
                    format!("must be in {}", listed(modules))
                }
                Except(modules) if modules.contains(&module) => {
                    format!("must not be in {}", listed(modules))
                }
                OneOf(_) if *homes.entry(rule).or_insert(module) != module => {
                    format!("lives in `{}` already", homes[rule])
                }
                In(home) if source.file != *home => format!("must be in {home}"),
                Anywhere | Only(_) | OneOf(_) | Except(_) | In(_) => continue,
            };
            let (file, line) = (&source.file, path.line);
            findings.insert(format!("{file}:{line}: `{module}` names `{rule}`, which {must}"));
        }
    }
    findings
}

fn too_long(source: &Source) -> Option<String> {
    let (file, count) = (&source.file, source.code_lines);
    (count > MAX_CODE_LINES)
        .then(|| format!("{file}: {count} code lines, more than {MAX_CODE_LINES}"))
}

fn silenced_lints(source: &Source) -> Vec<String> {
    let finding =
        |line| format!("{}:{line}: `allow`; write `#[expect(…, reason = \"…\")]`", source.file);
    source.allows.iter().map(finding).collect()
}

fn listed(modules: &[&str]) -> String {
    let names: Vec<_> = modules.iter().map(|module| format!("`{module}`")).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

// The facts of a source file.

/// The facts that the checks need about one file below `src/`.
struct Source {
    /// Relative to the repository: `src/store/packs.rs`.
    file: String,
    paths: Vec<NamedPath>,
    /// Lines with code that is not only for tests.
    code_lines: usize,
    /// The lines of `allow(…)` attributes.
    allows: Vec<usize>,
}

impl Source {
    /// Returns the top-level module: `store` for `src/store.rs` and all below `src/store/`.
    fn module(&self) -> &str {
        let below_src = self.file.strip_prefix("src/").unwrap_or(&self.file);
        let first = below_src.split('/').next().unwrap_or(below_src);
        first.strip_suffix(".rs").unwrap_or(first)
    }
}

/// A path in the source, resolved as far as the file allows.
#[derive(Clone)]
struct NamedPath {
    segments: Vec<String>,
    line: usize,
    in_test: bool,
}

impl NamedPath {
    fn is_at_or_below(&self, rule: &str) -> bool {
        let rule: Vec<_> = rule.split("::").collect();
        self.segments.len() >= rule.len() && self.segments.iter().zip(rule).all(|(a, b)| a == b)
    }
}

fn repo_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Reads every source file of the crate.
fn sources() -> Result<Vec<Source>> {
    let mut texts = Vec::new();
    let mut dirs = vec![repo_root().join("src")];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let file = path.strip_prefix(repo_root())?.to_str().ok_or("a name is not UTF-8")?;
                texts.push((file.to_owned(), fs::read_to_string(&path)?));
            }
        }
    }
    assert!(texts.iter().any(|(file, _)| file == "src/lib.rs"), "found no sources");
    texts.sort();
    let texts: Vec<_> = texts.iter().map(|(file, text)| (&**file, &**text)).collect();
    Ok(parse(&texts))
}

/// Reads files that belong together, each a name and a text.
fn parse(texts: &[(&str, &str)]) -> Vec<Source> {
    let mut files: Vec<_> = texts
        .iter()
        .map(|(file, text)| (*file, module_path(file), mark_tests(tokens(text))))
        .collect();
    let mut test_modules = BTreeSet::new();
    for (_, module_path, (_, declared)) in &files {
        test_modules.extend(declared.iter().map(|name| [&**module_path, &[*name]].concat()));
    }
    for (_, module_path, (tokens, _)) in &mut files {
        if test_modules.iter().any(|tests| module_path.starts_with(tests)) {
            for token in tokens {
                token.in_test = true;
            }
        }
    }
    let source = |(file, module_path, (tokens, _)): &(&str, Vec<&str>, (Vec<Token>, _))| Source {
        file: (*file).to_owned(),
        paths: paths(tokens, module_path.len()),
        code_lines: code_lines(tokens),
        allows: allows(tokens),
    };
    files.iter().map(source).collect()
}

/// Returns the modules that a file belongs to: `store`, `packs` for `src/store/packs.rs`.
fn module_path(file: &str) -> Vec<&str> {
    let path = file.strip_prefix("src/").and_then(|path| path.strip_suffix(".rs"));
    let mut modules: Vec<_> = path.unwrap_or(file).split('/').collect();
    if let Some(&"mod" | &"lib" | &"main") = modules.last() {
        modules.pop();
    }
    modules
}

/// Returns the names of the crates that ship with the program, as the code spells them.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut in_table = false;
    for line in manifest.lines() {
        if let Some(header) = line.strip_prefix('[') {
            let header = header.trim_end_matches(']');
            in_table = header == "dependencies" || header.ends_with(".dependencies");
            names.extend(header.strip_prefix("dependencies.").map(|name| name.replace('-', "_")));
        } else if in_table && line.contains('=') {
            let name = line.split(['=', '.', ' ']).next().unwrap_or(line);
            names.insert(name.replace('-', "_"));
        }
    }
    names
}

#[derive(Clone, Copy)]
struct Token<'a> {
    text: &'a str,
    line: usize,
    in_test: bool,
}

impl Token<'_> {
    fn is_word(&self) -> bool {
        self.text.chars().all(is_word_char) && !self.text.starts_with(|c: char| c.is_ascii_digit())
    }
}

fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Splits Rust into words, literals, `::` and single characters; leaves out comments and blanks.
fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (len, is_code) = if first.is_whitespace() {
            (first.len_utf8(), false)
        } else if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), false)
        } else if rest.starts_with("/*") {
            (block_comment_len(rest), false)
        } else if let Some(len) = literal_len(rest) {
            (len, true)
        } else if is_word_char(first) {
            (rest.find(|c| !is_word_char(c)).unwrap_or(rest.len()), true)
        } else if rest.starts_with("::") {
            (2, true)
        } else {
            (first.len_utf8(), true)
        };
        let (text, after) = rest.split_at(len);
        if is_code {
            tokens.push(Token { text, line, in_test: false });
        }
        line += text.matches('\n').count();
        rest = after;
    }
    tokens
}

fn block_comment_len(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        let step = if rest.starts_with(b"/*") {
            depth += 1;
            2
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            2
        } else {
            1
        };
        at += step;
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// Returns the length of the string, character or lifetime that `text` starts with.
fn literal_len(text: &str) -> Option<usize> {
    let unprefixed = ["br", "cr", "b", "c", "r", ""].iter().find_map(|prefix| {
        let rest = text.strip_prefix(prefix)?;
        rest.starts_with(['"', '\'', '#']).then_some((prefix.ends_with('r'), rest))
    });
    let (is_raw, quoted) = unprefixed?;
    let prefix_len = text.len() - quoted.len();
    if is_raw {
        let hashes = quoted.find(|c| c != '#')?;
        let body = quoted[hashes..].strip_prefix('"')?;
        let end = format!("\"{}", "#".repeat(hashes));
        let body_len = body.find(&end).unwrap_or(body.len());
        return Some((prefix_len + hashes + 1 + body_len + end.len()).min(text.len()));
    }
    let quote = quoted.chars().next().filter(|quote| *quote != '#')?;
    let mut chars = quoted[1..].char_indices();
    let is_lifetime = quote == '\'' && {
        let mut ahead = quoted[1..].chars();
        ahead.next().is_some_and(is_word_char) && ahead.next() != Some('\'')
    };
    if is_lifetime {
        let name_len = quoted[1..].find(|c| !is_word_char(c)).unwrap_or(quoted.len() - 1);
        return Some(prefix_len + 1 + name_len);
    }
    while let Some((at, c)) = chars.next() {
        if c == '\\' {
            chars.next();
        } else if c == quote {
            return Some(prefix_len + 1 + at + 1);
        }
    }
    Some(text.len())
}

/// Marks the tokens that `#[cfg(test)]` applies to; returns also the names of `mod …;` among them.
fn mark_tests(mut tokens: Vec<Token<'_>>) -> (Vec<Token<'_>>, Vec<&str>) {
    let mut test_modules = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let Some(after) = attribute_end(&tokens, at) else {
            at += 1;
            continue;
        };
        let words: Vec<_> = tokens[at..after].iter().map(|token| token.text).collect();
        let has = |word| words.contains(&word);
        if !(has("cfg") && has("test")) || has("not") || has("any") {
            at = after;
            continue;
        }
        let is_inner = words[1] == "!";
        let end = if is_inner { tokens.len() } else { item_end(&tokens, after) };
        for token in &mut tokens[at..end] {
            token.in_test = true;
        }
        if let [.., keyword, name, semicolon] = &tokens[at..end]
            && (keyword.text, semicolon.text) == ("mod", ";")
        {
            test_modules.push(name.text);
        }
        at = end;
    }
    (tokens, test_modules)
}

/// Returns where the attribute that starts at `at` ends, if there is one.
fn attribute_end(tokens: &[Token], at: usize) -> Option<usize> {
    let is = |at: usize, text| tokens.get(at).is_some_and(|token| token.text == text);
    let bracket = if is(at + 1, "!") { at + 2 } else { at + 1 };
    (is(at, "#") && is(bracket, "[")).then(|| group_end(tokens, bracket))
}

/// Returns where the group ends whose opening bracket is at `at`.
fn group_end(tokens: &[Token], at: usize) -> usize {
    let mut depth = 0;
    for (offset, token) in tokens[at..].iter().enumerate() {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + offset + 1;
        }
    }
    tokens.len()
}

/// Returns where the item that starts at `at`, with its other attributes, ends.
fn item_end(tokens: &[Token], mut at: usize) -> usize {
    while let Some(after) = attribute_end(tokens, at) {
        at = after;
    }
    let mut ends_at_brace = true;
    while let Some(token) = tokens.get(at) {
        match token.text {
            ";" => return at + 1,
            "use" | "=" => ends_at_brace = false,
            "{" if ends_at_brace => return group_end(tokens, at),
            "(" | "[" | "{" => {
                at = group_end(tokens, at);
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    tokens.len()
}

fn code_lines(tokens: &[Token]) -> usize {
    let lines = |token: &Token| token.line..=token.line + token.text.matches('\n').count();
    let code = tokens.iter().filter(|token| !token.in_test);
    code.flat_map(lines).collect::<BTreeSet<_>>().len()
}

fn allows(tokens: &[Token]) -> Vec<usize> {
    let mut lines = Vec::new();
    for at in 0..tokens.len() {
        let attribute = attribute_end(tokens, at).map_or(&[][..], |end| &tokens[at..end]);
        let found =
            attribute.windows(2).find(|pair| pair[0].text == "allow" && pair[1].text == "(");
        lines.extend(found.map(|pair| pair[0].line));
    }
    lines
}

/// Returns every path in a file that is `depth` modules below the root.
fn paths(tokens: &[Token], depth: usize) -> Vec<NamedPath> {
    let mut imported = Vec::new();
    let mut named = Vec::new();
    let mut renames = BTreeMap::new();
    let mut is_module = Vec::new(); // One for each open brace.
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let previous = at.checked_sub(1).map_or("", |at| tokens[at].text);
        let inline_modules = is_module.iter().filter(|is_module| **is_module).count();
        match token.text {
            "{" => is_module.push(at > 1 && tokens[at - 2].text == "mod"),
            "}" => drop(is_module.pop()),
            _ => {}
        }
        if token.text == "use" {
            let mut tree = UseTree { tokens, at: at + 1, leaves: Vec::new() };
            tree.read(&[]);
            at = tree.at;
            for (path, name) in tree.leaves {
                let path = resolve(path, depth + inline_modules);
                renames.insert(name, path.segments.clone());
                imported.push(path);
            }
            continue;
        }
        let goes_on = previous == "::" && at > 1 && {
            let before = &tokens[at - 2];
            before.text == ">" || before.is_word()
        };
        if token.is_word() && !goes_on && previous != "." {
            let (path, end) = read_path(tokens, at);
            at = end;
            if path.segments.len() > 1 || path.segments[0].ends_with('!') {
                named.push(resolve(path, depth + inline_modules));
            }
            continue;
        }
        at += 1;
    }
    for path in &mut named {
        // A name stands for its import, and the path of a macro for the macro.
        if let Some(import) = renames.get(&path.segments[0]) {
            path.segments.splice(..1, import.iter().cloned());
        }
        let is_macro = path.segments.last().is_some_and(|last| last.ends_with('!'));
        if is_macro && path.segments[0] == "std" {
            path.segments.drain(..path.segments.len() - 1);
        }
    }
    imported.extend(named);
    imported
}

/// Reads `a::b::c` or `a::b!`; returns also the position of its end.
fn read_path(tokens: &[Token], start: usize) -> (NamedPath, usize) {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text);
    let Token { line, in_test, .. } = tokens[start];
    let mut path = NamedPath { segments: vec![text(start).to_owned()], line, in_test };
    let mut at = start + 1;
    while text(at) == "::" && tokens.get(at + 1).is_some_and(Token::is_word) {
        path.segments.push(text(at + 1).to_owned());
        at += 2;
    }
    if text(at) == "!" && matches!(text(at + 1), "(" | "[" | "{") {
        let last = path.segments.len() - 1;
        path.segments[last].push('!');
    }
    (path, at)
}

/// The tree of one `use`, split into paths, each with the name it gets.
struct UseTree<'a> {
    tokens: &'a [Token<'a>],
    at: usize,
    leaves: Vec<(NamedPath, String)>,
}

impl UseTree<'_> {
    /// Reads one tree below `prefix`, and stops after it.
    fn read(&mut self, prefix: &[String]) {
        let mut segments = prefix.to_vec();
        while let Some(token) = self.tokens.get(self.at) {
            match token.text {
                "::" => self.at += 1,
                "{" => {
                    let end = group_end(self.tokens, self.at) - 1;
                    self.at += 1;
                    while self.at < end {
                        self.read(&segments);
                        self.at += 1; // The comma, or the closing brace.
                    }
                    self.at = self.at.max(end + 1);
                    return;
                }
                "self" if !segments.is_empty() => self.at += 1,
                "*" => {
                    segments.push("*".to_owned());
                    self.at += 1;
                }
                "as" => {
                    let name = self.tokens.get(self.at + 1).map_or("", |token| token.text);
                    self.at += 2;
                    return self.leaf(segments, name.to_owned());
                }
                _ if token.is_word() => {
                    segments.push(token.text.to_owned());
                    self.at += 1;
                }
                _ => break,
            }
        }
        if segments.len() > prefix.len() || self.tokens[self.at - 1].text == "self" {
            let name = segments.last().cloned().unwrap_or_default();
            self.leaf(segments, name);
        }
    }

    fn leaf(&mut self, segments: Vec<String>, name: String) {
        let Token { line, in_test, .. } = self.tokens[self.at - 1];
        self.leaves.push((NamedPath { segments, line, in_test }, name));
    }
}

/// Rewrites a path that leads to the root, in any way, so that it begins with `crate`.
///
/// `depth` is the number of modules above the path. A path inside its own top-level module stays as it is.
fn resolve(mut path: NamedPath, depth: usize) -> NamedPath {
    let is_step = |segment: &&String| matches!(segment.as_str(), "self" | "super");
    let steps = path.segments.iter().take_while(is_step).count();
    let supers = path.segments[..steps].iter().filter(|segment| *segment == "super").count();
    if path.segments[0] == "runner_cache" {
        "crate".clone_into(&mut path.segments[0]);
    } else if supers > 0 && supers >= depth {
        path.segments.splice(..steps, ["crate".to_owned()]);
    }
    path
}
