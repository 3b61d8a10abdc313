//! A restore forecasts the crates that cargo builds, for every kind of change and every command of cargo.
//!
//! Cargo is the judge: no row lists the crates. The first forecasts treated a package as a unit: an edited test
//! announced all dependents of the library beside it, and a changed manifest announced the package and all its
//! dependents.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::workshop::Edit::{Remove, Write};
use crate::workshop::Side::{Kept, Wiped};
use crate::workshop::{Edit, Result, Workshop, manifest, nothing_is};

const ROOT: &str = "[package]\nname = 'app'\nversion = '0.1.0'\nedition = '2021'\n\
    [dependencies]\npart = { path = 'part' }\nmid = { path = 'mid' }\nlow = { path = '../low' }\n\
    [workspace]\nmembers = ['part', 'mid']\n\
    [workspace.package]\nhomepage = 'https://one.example'\n\
    [workspace.dependencies]\nlow = { path = '../low', default-features = false }\n\
    [workspace.lints.rust]\nunused_variables = 'warn'\n";

/// A library with targets of every kind beside it.
const PART: &str = "[package]\nname = 'part'\nversion = '0.1.0'\nedition = '2021'\n\
    [features]\ndefault = ['open']\nopen = []\nclosed = ['dep:extra']\n\
    [dependencies]\nextra = { path = '../../low', package = 'low', optional = true }\n\
    [dev-dependencies]\nlow = { path = '../../low' }\n\
    [build-dependencies]\ntool = { path = '../tool' }\nhelp = { path = '../help' }\n";

/// It uses the build dependency of `part` as a normal one, and its code reads its manifest's description.
const MID: &str = "[package]\nname = 'mid'\nversion = '0.1.0'\nedition = '2021'\ndescription = 'one'\n\
    homepage.workspace = true\n\
    [dependencies]\ntool = { path = '../tool' }\nlow.workspace = true\n\
    [lints]\nworkspace = true\n";

const TOOL: &str = "[package]\nname = 'tool'\nversion = '0.1.0'\nedition = '2021'\n\
    [features]\nblunt = []\n";

const HELP: &str =
    "[package]\nname = 'help'\nversion = '0.1.0'\nedition = '2021'\n[features]\nsharp = []\n";

const LOW: &str =
    "[package]\nname = 'low'\nversion = '0.1.0'\nedition = '2021'\n[features]\ndeep = []\n";

fn workshop() -> Result<Workshop> {
    let reads = "pub const SAY: (&str, Option<&str>) = (env!(\"CARGO_PKG_DESCRIPTION\"), option_env!(\"MID_SIGN\"));\n\
        pub fn say() -> u32 { tool::ONE + low::ONE }\n";
    let script = "fn main() {\n\
        println!(\"cargo::rerun-if-changed=watched\");\n\
        println!(\"cargo::rerun-if-env-changed=PART_SIGN\");\n\
        assert_eq!(tool::ONE, help::ONE);\n}\n";
    let test = "#[test]\nfn one() { assert_eq!(part::ONE, 1) }\n";
    Workshop::new(&[
        ("app/Cargo.toml", ROOT),
        ("app/.gitignore", "/target\n"),
        ("app/src/main.rs", "fn main() { println!(\"{}\", part::ONE + mid::say() + low::ONE) }\n"),
        ("app/part/Cargo.toml", PART),
        ("app/part/build.rs", script),
        ("app/part/watched/a.txt", ""),
        ("app/part/notes.txt", ""),
        ("app/part/src/lib.rs", "pub const ONE: u32 = 1;\n"),
        ("app/part/src/bin/beside.rs", "fn main() { println!(\"{}\", part::ONE) }\n"),
        ("app/part/tests/both.rs", test),
        ("app/part/tests/alone.rs", test),
        ("app/part/benches/bench.rs", test),
        ("app/part/examples/show.rs", "fn main() { println!(\"{}\", part::ONE) }\n"),
        ("app/mid/Cargo.toml", MID),
        ("app/mid/src/lib.rs", reads),
        ("app/help/Cargo.toml", HELP),
        ("app/help/src/lib.rs", "pub const ONE: u32 = 1;\n"),
        ("app/tool/Cargo.toml", TOOL),
        ("app/tool/src/lib.rs", "pub const ONE: u32 = 1;\n"),
        ("low/Cargo.toml", LOW),
        ("low/.gitignore", "/target\nCargo.lock\n"),
        ("low/src/lib.rs", "pub const ONE: u32 = 1;\n"),
        ("low/build.rs", "fn main() {}\n"),
        ("low/notes.txt", ""),
    ])
}

/// The change, its edits, and a variable that is set from then on, if any.
type Step<'a> = (&'a str, Vec<Edit<'a>>, Option<(&'static str, &'static str)>);

/// Restores, builds and saves after each step, and returns the wrong forecasts.
fn walk(command: &[&'static str], steps: &[Step<'_>]) -> Result<Vec<String>> {
    let mut shop = workshop()?;
    shop.cargo = command.to_vec();
    shop.clone_anew()?;
    shop.build(Wiped)?;
    shop.save()?;
    let mut wrong = Vec::new();
    for (why, edits, variable) in steps {
        shop.edit(Kept, edits)?;
        shop.commit()?;
        if let Some((name, value)) = variable {
            shop.environment.push((name, (*value).to_owned()));
        }
        shop.clone_anew()?;
        let restored = shop.restore()?;
        let built = match shop.build(Wiped) {
            Ok(built) => built,
            Err(error) => {
                wrong.push(format!("{command:?}: {why}: {error}"));
                break;
            }
        };
        shop.save()?;
        let rebuilds = restored["rebuilds"].as_array().cloned().unwrap_or_default();
        let name = |rebuild: &Value| rebuild["crate"].as_str().unwrap_or_default().to_owned();
        let foretold: BTreeSet<_> = rebuilds.iter().map(name).collect();
        let package = |unit: &String| unit.split('/').next().unwrap_or(unit).to_owned();
        let compiled: BTreeSet<_> = built.compiled.iter().map(package).collect();
        if foretold != compiled {
            let compiled = built.compiled;
            let said = Value::from(rebuilds);
            wrong.push(format!("{command:?}: {why}: said {said}, cargo built {compiled:?}"));
        }
    }
    Ok(wrong)
}

/// Returns the edit that replaces a part of a manifest, or adds a table at its end.
fn with(manifest: &str, old: &str, new: &str) -> String {
    match old {
        "" => format!("{manifest}{new}"),
        old => {
            assert!(manifest.contains(old), "{old}");
            manifest.replace(old, new)
        }
    }
}

fn forecasts_hold(command: &[&'static str]) -> Result {
    let manifests = |path: &'static str, first: &str, changes: &[(&'static str, &str, &str)]| {
        let mut text = first.to_owned();
        let mut steps = Vec::new();
        for (why, old, new) in changes {
            text = with(&text, old, new);
            steps.push((*why, path, text.clone()));
        }
        steps
    };
    #[rustfmt::skip]
    let of_part = manifests("app/part/Cargo.toml", PART, &[
        ("a comment",                        "[features]", "# more\n[features]"),
        ("metadata",                         "", "[package.metadata.x]\ny = 1\n"),
        ("a description that nobody reads",  "edition", "description = 'one'\nedition"),
        ("another one",                      "'one'", "'two'"),
        ("files to publish",                 "edition", "publish = false\nedition"),
        ("a described example",              "", "[[example]]\nname = 'show'\ntest = true\n"),
        ("a described test",                 "", "[[test]]\nname = 'both'\n"),
        ("a test that runs by itself",       "name = 'both'\n", "name = 'both'\nharness = true\n"),
        ("what a default says",              "", "[lib]\ntest = true\n"),
        ("doc tests off",                    "test = true", "doctest = false"),
        ("the value of a feature that is off", "closed = ['dep:extra']", "closed = ['dep:extra', 'open']"),
        ("a new feature that is off",        "closed =", "shut = []\nclosed ="),
        ("a feature on by default",          "default = ['open']", "default = ['open', 'shut']"),
        ("one less on",                      "default = ['open', 'shut']", "default = ['shut']"),
        ("a feature of a development dependency", "low = { path = '../../low' }", "low = { path = '../../low', features = ['deep'] }"),
        ("a feature of a build dependency",  "help = { path = '../help' }", "help = { path = '../help', features = ['sharp'] }"),
        ("lints",                            "", "[lints.rust]\nunused_mut = 'allow'\n"),
        ("the same lints",                   "unused_mut = 'allow'", "unused_mut = { level = 'allow' }"),
        ("a lint of cargo",                  "[lints.rust]", "[lints.cargo]\nx = 'warn'\n[lints.rust]"),
        ("an edition",                       "edition = '2021'", "edition = '2024'"),
        ("a version",                        "0.1.0", "0.2.0"),
        ("a test with the old harness",      "harness = true", "harness = true\nrequired-features = ['shut']"),
        ("a development dependency less",    "[dev-dependencies]\nlow = { path = '../../low', features = ['deep'] }\n", ""),
        ("a dependency that is off",         "optional = true", "optional = true, features = ['deep']"),
    ]);
    #[rustfmt::skip]
    let of_others = [
        manifests("app/mid/Cargo.toml", MID, &[
            ("a description that the code reads", "'one'", "'two'"),
            ("a feature of a dependency",         "tool = { path = '../tool' }", "tool = { path = '../tool', features = ['blunt'] }"),
            ("one of the workspace's",            "low.workspace = true", "low = { workspace = true, features = ['deep'] }"),
            ("an optional dependency",            "low = {", "part = { path = '../part', optional = true }\nlow = {"),
            ]),
        manifests("app/Cargo.toml", ROOT, &[
            ("what nobody inherits",              "[workspace.package]", "[workspace.package]\nkeywords = ['x']"),
            ("what is inherited and not read",    "one.example", "two.example"),
            ("lints that one member inherits",    "'warn'", "'allow'"),
            ("metadata of the workspace",         "", "[workspace.metadata.x]\ny = 1\n"),
            ("a profile of no use",               "", "[profile.release]\nlto = 'thin'\n"),
        ]),
        manifests("low/Cargo.toml", LOW, &[
            ("a version of a sibling",            "0.1.0", "0.2.0"),
        ]),
    ];
    let one = "pub const ONE: u32 = 1;\n\n";
    let test = "#[test]\nfn two() {}\n";
    let main = "fn main() {}\n";
    #[rustfmt::skip]
    let mut steps: Vec<Step<'_>> = vec![
        ("nothing",                       vec![],                                               None),
        ("a library",                     vec![Write("app/part/src/lib.rs", one)],              None),
        ("a program beside it",           vec![Write("app/part/src/bin/beside.rs", main)],      None),
        ("a test",                        vec![Write("app/part/tests/both.rs", test)],          None),
        ("a benchmark",                   vec![Write("app/part/benches/bench.rs", test)],       None),
        ("an example",                    vec![Write("app/part/examples/show.rs", main)],       None),
        ("a library of host and target",  vec![Write("app/tool/src/lib.rs", one)],              None),
        ("a build script",                vec![Write("app/part/build.rs", "fn main() {\nprintln!(\"cargo::rerun-if-changed=watched\");\nprintln!(\"cargo::rerun-if-env-changed=PART_SIGN\");\n}\n")], None),
        ("a file that is watched",        vec![Write("app/part/watched/a.txt", "a")],           None),
        ("one that is not",               vec![Write("app/part/notes.txt", "a")],               None),
        ("one whose script names none",   vec![Write("low/notes.txt", "a")],                    None),
        ("a variable of a script",        vec![],                                               Some(("PART_SIGN", "1"))),
        ("a variable of the code",        vec![],                                               Some(("MID_SIGN", "1"))),
        ("a variable of nobody",          vec![],                                               Some(("NO_SIGN", "1"))),
        ("a test that moves",             vec![Remove("app/part/tests/both.rs"), Write("app/part/tests/both/main.rs", test)], None),
        ("a test that goes",              vec![Remove("app/part/tests/alone.rs")],              None),
        ("a program that comes",          vec![Write("app/part/src/bin/new.rs", main)],         None),
    ];
    for (why, path, text) in of_part.iter().chain(of_others.iter().flatten()) {
        steps.push((why, vec![Write(path, text)], None));
    }
    nothing_is(&walk(command, &steps)?);
    Ok(())
}

#[test]
#[ignore = "takes minutes; `scripts/check --toolchains` runs it"]
fn forecasts_hold_for_a_build() -> Result {
    forecasts_hold(&["build"])
}

#[test]
fn forecasts_hold_for_tests() -> Result {
    forecasts_hold(&["test", "--no-run", "--workspace"])
}

#[test]
#[ignore = "takes minutes; `scripts/check --toolchains` runs it"]
fn forecasts_hold_for_checks_of_all_targets() -> Result {
    forecasts_hold(&["check", "--all-targets", "--workspace"])
}

#[test]
#[ignore = "takes minutes; `scripts/check --toolchains` runs it"]
fn forecasts_hold_for_documentation() -> Result {
    forecasts_hold(&["doc", "--no-deps", "--workspace"])
}

#[test]
fn outputs_of_a_build_script_are_looked_for_in_the_tree_and_not_where_they_were_built() -> Result {
    // The package lies in cargo's home, so cargo does not build it again elsewhere, and rustc's dep-info names the
    // first place.
    let mut shop = Workshop::new(&[
        ("app/Cargo.toml", &manifest("app", &[])),
        ("app/.gitignore", "/target\n"),
        ("app/src/main.rs", "fn main() { println!(\"{}\", low::ONE) }\n"),
        ("low/Cargo.toml", LOW),
        ("low/.gitignore", "/target\nCargo.lock\n"),
        ("low/src/lib.rs", "include!(concat!(env!(\"OUT_DIR\"), \"/one.rs\"));\n"),
        (
            "low/build.rs",
            "fn main() {\n\
             println!(\"cargo::rerun-if-changed=build.rs\");\n\
             let dir = std::env::var(\"OUT_DIR\").unwrap();\n\
             std::fs::write(dir + \"/one.rs\", \"pub const ONE: u32 = 1;\").unwrap();\n}\n",
        ),
    ])?;
    let package = "[package]\nname = 'app'\nversion = '0.1.0'\nedition = '2021'\n[dependencies]\n";
    let text =
        format!("{package}low = {{ git = 'file://{}' }}\n", shop.path(Kept, "low").display());
    shop.edit(Kept, &[Write("app/Cargo.toml", &text)])?;
    assert!(shop.command("cargo", Kept, "app").arg("fetch").status()?.success());
    shop.commit()?;
    for place in ["first", "second"] {
        shop.move_to(place);
        shop.clone_anew()?;
        shop.restore()?;
        shop.build(Wiped)?;
        shop.save()?;
    }
    shop.edit(Wiped, &[Remove("../first"), Remove("../second")])?;
    shop.move_to("third");
    let main = Write("app/src/main.rs", "fn main() { println!(\"{}\", low::ONE + 1) }\n");
    shop.edit(Kept, &[main])?;
    shop.commit()?;
    shop.clone_anew()?;
    let restored = shop.restore()?;
    let want = serde_json::json!([{ "crate": "app", "reason": "changed-file", "detail": "`src/main.rs` changed" }]);
    assert_eq!(restored["rebuilds"], want);
    assert_eq!(shop.build(Wiped)?.compiled, BTreeSet::from(["app".to_owned()]));
    Ok(())
}
