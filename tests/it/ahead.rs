//! Workspaces that are not cleaned and whose last save was lost. A restore leaves a target that is ahead of the store
//! to cargo, unless the target may be stale or a generation is as useful. Cargo is the judge.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use serde_json::Value;

use crate::workshop::Edit::{Git, Write};
use crate::workshop::Side::{Kept, Wiped};
use crate::workshop::{Built, Result, Workshop, manifest};

fn said(value: u32) -> String {
    format!("pub const SAY: u32 = {value};\n")
}

/// A program and two crates of its workspace.
fn workshop() -> Result<Workshop> {
    let app = manifest("app", &["one", "two"]) + "[workspace]\nmembers = ['one', 'two']\n";
    let main = "fn main() { println!(\"one={}\\ntwo={}\", one::SAY, two::SAY); }\n";
    let shop = Workshop::new(&[
        ("app/Cargo.toml", &app),
        ("app/.gitignore", "/target\n"),
        ("app/src/main.rs", main),
        ("app/one/Cargo.toml", &manifest("one", &[])),
        ("app/one/src/lib.rs", &said(1)),
        ("app/two/Cargo.toml", &manifest("two", &[])),
        ("app/two/src/lib.rs", &said(1)),
    ])?;
    shop.clone_anew()?;
    Ok(shop)
}

/// Commits other crates, and pulls them into the workspace that is not cleaned.
fn pull(shop: &Workshop, one: u32, two: u32) -> Result {
    let edits = [("app/one/src/lib.rs", said(one)), ("app/two/src/lib.rs", said(two))];
    for (path, text) in &edits {
        if fs::read_to_string(shop.path(Kept, path))? != *text {
            shop.edit(Kept, &[Write(path, text)])?;
        }
    }
    shop.commit()?;
    shop.edit(Wiped, &[Git("app", &["pull", "-q"])])
}

fn target(restored: &Value) -> (String, String) {
    let areas = restored["areas"].as_array().into_iter().flatten();
    let area = areas.into_iter().find(|area| area["name"] == "target").cloned().unwrap_or_default();
    (area["mode"].as_str().unwrap_or_default().to_owned(), area["notes"].to_string())
}

fn compiled(built: &Built) -> Vec<&str> {
    built.compiled.iter().map(String::as_str).collect()
}

fn prints(built: &Built) -> Vec<&str> {
    built.prints.values().map(String::as_str).collect()
}

/// The mtimes of all sources.
fn mtimes(shop: &Workshop) -> Result<BTreeMap<PathBuf, SystemTime>> {
    let mut found = BTreeMap::new();
    for entry in walkdir::WalkDir::new(shop.path(Wiped, "app")) {
        let entry = entry?;
        let is_source = !entry
            .path()
            .components()
            .any(|it| it.as_os_str() == "target" || it.as_os_str() == ".git");
        if is_source {
            found.insert(entry.path().to_owned(), entry.metadata()?.modified()?);
        }
    }
    Ok(found)
}

#[test]
fn a_target_that_is_ahead_is_left_with_every_mtime_and_nothing_is_compiled() -> Result {
    for hot in ["0", "2"] {
        let mut shop = workshop()?;
        shop.restore()?;
        shop.build(Wiped)?;
        shop.options = vec!["--hot-trees", hot];
        shop.save()?;
        for (one, two) in [(2, 2), (3, 2)] {
            pull(&shop, one, two)?;
            if hot == "0" {
                // The build of the job before is there, and one crate fewer is new.
                shop.restore()?;
            }
            shop.build(Wiped)?;
            let before = mtimes(&shop)?;
            let (mode, notes) = target(&shop.restore()?);
            assert_eq!(mode, "left", "{hot} {one}: {notes}");
            assert!(
                notes.contains(r#""code":"ahead""#) && notes.contains("can reuse 3 here"),
                "{notes}"
            );
            assert_eq!(mtimes(&shop)?, before, "{hot} {one}");
            let built = shop.build(Wiped)?;
            assert_eq!(compiled(&built), [] as [&str; 0], "{hot} {one}");
            assert_eq!(prints(&built), [one.to_string(), two.to_string()]);
        }
        // Now save: the store has caught up.
        shop.save()?;
        assert_eq!(
            compiled(&{
                shop.restore()?;
                shop.build(Wiped)?
            }),
            [] as [&str; 0],
            "{hot}"
        );
    }
    Ok(())
}

#[test]
fn back_and_forth_between_commits_without_a_save_nothing_is_stale() -> Result {
    let shop = workshop()?;
    shop.restore()?;
    shop.build(Wiped)?;
    shop.save()?;
    #[rustfmt::skip]
    let steps = [
        // one, two  left
        (2,     2,   false),
        (1,     1,   false),
        (2,     1,   false),
        (2,     2,   true),
        (1,     2,   false),
        (1,     1,   false),
        (5,     5,   false),
    ];
    for (one, two, is_left) in steps {
        pull(&shop, one, two)?;
        let (mode, notes) = target(&shop.restore()?);
        let built = shop.build(Wiped)?;
        assert_eq!(
            prints(&built),
            [one.to_string(), two.to_string()],
            "{one} {two}: {mode} {notes}"
        );
        // Whatever the restore decided, cargo built the changed crates and nothing twice.
        assert_eq!(compiled(&shop.build(Wiped)?), [] as [&str; 0]);
        if is_left {
            assert_eq!(mode, "left", "{one} {two}: {notes}");
        }
    }
    Ok(())
}

#[test]
fn beside_a_new_clone_the_stored_tree_wins() -> Result {
    let shop = workshop()?;
    shop.restore()?;
    shop.build(Wiped)?;
    shop.save()?;
    pull(&shop, 2, 1)?;
    shop.restore()?;
    shop.build(Wiped)?;
    let (target_dir, aside) = (shop.path(Wiped, "app/target"), shop.path(Kept, "aside"));
    fs::rename(&target_dir, &aside)?;
    shop.clone_anew()?;
    fs::rename(&aside, &target_dir)?;
    let (mode, notes) = target(&shop.restore()?);
    assert_ne!(mode, "left", "{notes}");
    let built = shop.build(Wiped)?;
    assert_eq!((compiled(&built), prints(&built)), (vec!["app", "one"], vec!["2", "1"]));
    Ok(())
}

#[test]
fn a_target_that_another_lane_built_in_is_replaced() -> Result {
    for lost in ["--lane=pr/7", "--lane=protected"] {
        let mut shop = workshop()?;
        shop.restore()?;
        shop.build(Wiped)?;
        shop.save()?;
        pull(&shop, 2, 2)?;
        shop.options = vec![lost];
        shop.restore()?;
        shop.build(Wiped)?;
        shop.options.clear();
        let (mode, notes) = target(&shop.restore()?);
        assert_eq!(mode == "left", lost == "--lane=protected", "{lost}: {mode} {notes}");
        assert_eq!(prints(&shop.build(Wiped)?), ["2", "2"]);
    }
    Ok(())
}

/// Two jobs share a checkout and have target directories outside of it. One job puts old mtimes back. The target of the
/// other job, built from another commit, would take them for its own.
#[test]
fn an_old_mtime_that_another_job_put_back_makes_no_target_look_ahead() -> Result {
    let mut shop = workshop()?;
    let job = |shop: &mut Workshop, name: &'static str| {
        shop.options = vec!["--job", name];
        shop.environment = vec![("CARGO_TARGET_DIR", format!("@/target-{name}"))];
        // The jobs share no units.
        shop.cargo = if name == "a" { vec!["build"] } else { vec!["build", "--release"] };
    };
    for (name, two) in [("b", 1), ("a", 2)] {
        pull(&shop, 1, two)?;
        job(&mut shop, name);
        shop.restore()?;
        shop.build(Wiped)?;
        shop.save()?;
    }
    pull(&shop, 2, 2)?;
    job(&mut shop, "b");
    shop.restore()?;
    assert_eq!(prints(&shop.build(Wiped)?), ["2", "2"]);
    pull(&shop, 1, 2)?;
    job(&mut shop, "a");
    shop.restore()?;
    job(&mut shop, "b");
    let (mode, notes) = target(&shop.restore()?);
    assert_ne!(mode, "left", "{notes}");
    assert_eq!(prints(&shop.build(Wiped)?), ["1", "2"], "{mode}");
    Ok(())
}

/// A build script writes into `src/`, where git ignores the file, and somebody cleans the checkout except for the
/// target: cargo would not run the script again.
#[test]
fn a_target_is_not_left_where_what_a_build_script_wrote_is_gone() -> Result {
    let script = "fn main() {\nprintln!(\"cargo::rerun-if-changed=in.txt\");\n\
        std::fs::write(\"src/generated.rs\", std::fs::read_to_string(\"in.txt\").unwrap()).unwrap();\n}\n";
    let app = manifest("app", &["one"]) + "[workspace]\nmembers = ['one']\n";
    let shop = Workshop::new(&[
        ("app/Cargo.toml", &app),
        ("app/.gitignore", "/target\n/src/generated.rs\n"),
        ("app/build.rs", script),
        ("app/in.txt", "pub const SAY: u32 = 1;\n"),
        (
            "app/src/main.rs",
            "mod generated;\nfn main() { println!(\"one={}\\ntwo={}\", one::SAY, generated::SAY); }\n",
        ),
        ("app/one/Cargo.toml", &manifest("one", &[])),
        ("app/one/src/lib.rs", &said(1)),
    ])?;
    shop.clone_anew()?;
    shop.restore()?;
    shop.build(Wiped)?;
    shop.save()?;
    shop.edit(Kept, &[Write("app/one/src/lib.rs", &said(2))])?;
    shop.commit()?;
    for is_cleaned in [false, true] {
        shop.edit(Wiped, &[Git("app", &["pull", "-q"])])?;
        shop.build(Wiped)?;
        if is_cleaned {
            shop.edit(Wiped, &[Git("app", &["clean", "-qffdx", "-e", "/target"])])?;
            assert!(!shop.path(Wiped, "app/src/generated.rs").exists());
        }
        let (mode, notes) = target(&shop.restore()?);
        assert_eq!(mode == "left", !is_cleaned, "{mode} {notes}");
        assert_eq!(prints(&shop.build(Wiped)?), ["2", "1"], "{mode}");
    }
    Ok(())
}
