//! Files that a build script wrote among the sources: they are restored with its run, or not at all.

use std::path::PathBuf;

use serde_json::json;

use crate::support::{mtime, set_mtime};
use crate::workshop::Edit::{Git, Remove, Touch, Write};
use crate::workshop::Side::{Kept, Wiped};
use crate::workshop::{Result, Workshop, manifest};

const MAIN: &str = "mod made;\nfn main() {\nprintln!(\"say={}\", made::SAY);\n}\n";

/// A build script that writes the content of `in.txt` into `to`, if `when`.
fn script(to: &str, when: &str) -> String {
    format!(
        "fn main() {{\nprintln!(\"cargo::rerun-if-changed=in.txt\");\n\
         println!(\"cargo::rerun-if-changed=build.rs\");\n\
         let to = std::path::Path::new({to:?});\nstd::fs::create_dir_all(to.parent().unwrap()).unwrap();\n\
         let text = std::fs::read_to_string(\"in.txt\").unwrap();\n\
         if {when} {{ std::fs::write(to, format!(\"pub const SAY: &str = {{text:?}};\\n\")).unwrap(); }}\n}}\n"
    )
}

fn workshop(script: &str) -> Result<Workshop> {
    Workshop::new(&[
        ("app/Cargo.toml", &manifest("app", &[])),
        ("app/.gitignore", "/target\n/src/made.rs\n/src/made/\n"),
        ("app/build.rs", script),
        ("app/in.txt", "one"),
        ("app/src/main.rs", MAIN),
    ])
}

/// Commits, clones, restores, builds and saves; returns the files that were put back, and the program's output.
fn job(shop: &Workshop) -> Result<(serde_json::Value, String)> {
    shop.commit()?;
    shop.clone_anew()?;
    let restored = shop.restore()?;
    let built = shop.build(Wiped)?;
    shop.save()?;
    Ok((restored["kept_files"].clone(), built.prints.get("say").cloned().unwrap_or_default()))
}

#[test]
fn a_script_that_writes_only_what_is_missing_writes_it_for_what_it_reads_now() -> Result {
    let shop = workshop(&script("src/made.rs", "!to.exists()"))?;
    assert_eq!(job(&shop)?, (json!(null), "one".to_owned()));
    assert_eq!(job(&shop)?, (json!(["src/made.rs"]), "one".to_owned()), "nothing changed");
    shop.edit(Kept, &[Write("app/src/main.rs", &format!("{MAIN}// more\n"))])?;
    assert_eq!(job(&shop)?, (json!(["src/made.rs"]), "one".to_owned()), "what reads it changed");
    shop.edit(Kept, &[Write("app/in.txt", "two")])?;
    assert_eq!(job(&shop)?, (json!(null), "two".to_owned()), "what it is made of changed");
    // With a hot tree, which must keep all its files.
    shop.edit(Kept, &[Write("app/in.txt", "three")])?;
    shop.commit()?;
    shop.clone_anew()?;
    shop.restore()?;
    shop.build(Wiped)?;
    assert!(
        shop.runner_cache_command("save").args(["--hot-trees", "2"]).output()?.status.success()
    );
    shop.edit(Kept, &[Write("app/in.txt", "four")])?;
    assert_eq!(job(&shop)?, (json!(null), "four".to_owned()), "with a hot tree");
    Ok(())
}

/// Cargo compares the newest file of the package, and its mtime.
#[test]
fn a_script_that_names_nothing_runs_again_only_if_the_newest_file_is_another() -> Result {
    let script = "fn main() {\nlet text = std::fs::read_to_string(\"in.txt\").unwrap();\n\
        std::fs::write(\"src/made.rs\", format!(\"pub const SAY: &str = {text:?};\\n\")).unwrap();\n}\n";
    for (why, gone, want) in
        [("an older one", "old", json!(["src/made.rs"])), ("the newest", "newest", json!(null))]
    {
        let shop = workshop(script)?;
        shop.edit(Kept, &[Write("app/old", ""), Write("app/newest", "")])?;
        shop.commit()?;
        shop.clone_anew()?;
        shop.restore()?;
        set_mtime(&shop.path(Wiped, "app/old"), 1_000_000_000, 0)?;
        let newest = &shop.path(Wiped, "app/newest");
        let (secs, nanos) = mtime(newest)?;
        set_mtime(newest, secs - 1, nanos)?;
        for path in ["Cargo.lock", "Cargo.toml", "build.rs", "in.txt", ".gitignore", "src/main.rs"]
        {
            set_mtime(&shop.path(Wiped, &format!("app/{path}")), secs - 2, nanos)?;
        }
        shop.build(Wiped)?;
        shop.save()?;
        shop.edit(Kept, &[Remove(&format!("app/{gone}"))])?;
        shop.commit()?;
        shop.clone_anew()?;
        assert_eq!(shop.restore()?["kept_files"], want, "{why}");
        let built = shop.build(Wiped)?;
        assert_eq!(built.prints["say"], "one", "{why}");
        assert_eq!(built.compiled.is_empty(), want != json!(null), "{why}: {built:?}");
    }
    Ok(())
}

#[test]
fn a_module_that_is_written_elsewhere_now_does_not_come_back() -> Result {
    for (before, after) in [("src/made.rs", "src/made/mod.rs"), ("src/made/mod.rs", "src/made.rs")]
    {
        let shop = workshop(&script(before, "true"))?;
        assert_eq!(job(&shop)?.1, "one");
        shop.edit(Kept, &[Write("app/build.rs", &script(after, "true"))])?;
        assert_eq!(job(&shop)?, (json!(null), "one".to_owned()), "{before}");
        // Now the file is committed, and the script does not touch it.
        let nothing = "fn main() {\nprintln!(\"cargo::rerun-if-changed=in.txt\");\n}\n";
        let made = format!("app/{before}");
        let edits = [
            Write("app/build.rs", nothing),
            Write("app/.gitignore", "/target\n"),
            Write(&made, "pub const SAY: &str = \"committed\";\n"),
        ];
        shop.edit(Kept, &edits)?;
        assert_eq!(job(&shop)?, (json!(null), "committed".to_owned()), "{before}");
    }
    Ok(())
}

/// The script stays fresh, and the module exists twice: both in a fresh checkout and in one never wiped.
#[test]
fn nothing_is_put_beside_a_file_that_is_the_same_module() -> Result {
    let shop =
        workshop(&script("src/made.rs", "!std::path::Path::new(\"src/made/mod.rs\").exists()"))?;
    assert_eq!(job(&shop)?.1, "one");
    let edits = [
        Write("app/.gitignore", "/target\n/src/made.rs\n"),
        Write("app/src/made/mod.rs", "pub const SAY: &str = \"theirs\";\n"),
    ];
    shop.edit(Kept, &edits)?;
    assert_eq!(job(&shop)?, (json!(null), "theirs".to_owned()));
    Ok(())
}

#[test]
fn a_kept_file_that_nothing_writes_any_more_leaves_the_generation() -> Result {
    let shop = workshop(&script("tests/made.rs", "true"))?;
    let quiet = "mod made { pub const SAY: &str = \"m\"; }\nfn main() {\nprintln!(\"say={}\", made::SAY);\n}\n";
    shop.edit(
        Kept,
        &[Write("app/src/main.rs", quiet), Write("app/.gitignore", "/target\n/tests\n")],
    )?;
    job(&shop)?;
    assert_eq!(job(&shop)?.0, json!(["tests/made.rs"]), "it is written");
    shop.edit(Kept, &[Write("app/build.rs", "fn main() {}\n")])?;
    assert_eq!(job(&shop)?.0, json!(null), "it is not written any more");
    assert_eq!(job(&shop)?.0, json!(null), "nor later");
    assert!(!shop.path(Wiped, "app/tests/made.rs").exists());
    Ok(())
}

/// Cargo would obey a file in `.cargo`, and a repository inside belongs to somebody else.
#[test]
fn a_kept_file_that_may_not_come_back_is_written_again() -> Result {
    for (why, to) in [
        ("cargo's configuration", ".cargo/made.rs"),
        ("another repository", "inner/made.rs"),
        ("that of a dependency", "../sib/made.rs"),
    ] {
        let main = format!("#[path = \"../{to}\"]\n{MAIN}");
        let mut shop = Workshop::new(&[
            ("app/Cargo.toml", &manifest("app", &[])),
            ("app/.gitignore", "/target\nmade.rs\n/inner\n"),
            ("app/build.rs", &script(to, "true")),
            ("app/in.txt", "one"),
            ("app/src/main.rs", &main),
            ("sib/.gitignore", "made.rs\nCargo.lock\n"),
            ("sib/Cargo.toml", &manifest("sib", &[])),
            ("sib/src/lib.rs", ""),
        ])?;
        let run = |shop: &mut Workshop| -> Result<_> {
            shop.clone_anew()?;
            shop.edit(Wiped, &[Write("app/inner/x", ""), Git("app/inner", &["init", "-q"])])?;
            let restored = shop.restore()?;
            assert_eq!(restored["kept_files"], json!(null), "{why}");
            assert!(!shop.path(Wiped, &format!("app/{to}")).exists(), "{why}");
            let built = shop.build(Wiped).map_err(|error| format!("{why}: {error}"))?;
            shop.save()?;
            Ok(built)
        };
        run(&mut shop)?;
        let again = run(&mut shop)?;
        assert_eq!(again.prints["say"], "one", "{why}");
    }
    Ok(())
}

#[test]
fn a_submodule_is_part_of_the_repository() -> Result {
    let say = "mod made;\npub const SAY: &str = made::SAY;\n";
    let shop = Workshop::new(&[
        ("app/Cargo.toml", &(manifest("app", &["sub"]) + "[workspace]\n")),
        ("app/.gitignore", "/target\n"),
        ("app/src/main.rs", "fn main() {\nprintln!(\"say={}\", sub::SAY);\n}\n"),
        ("app/sub/Cargo.toml", &manifest("sub", &[])),
        ("app/sub/.gitignore", "made.rs\n"),
        ("app/sub/build.rs", &script("src/made.rs", "true")),
        ("app/sub/in.txt", "one"),
        ("app/sub/src/lib.rs", say),
    ])?;
    shop.as_submodule("app", "sub")?;
    job(&shop)?;
    assert_eq!(job(&shop)?, (json!(["sub/src/made.rs"]), "one".to_owned()));
    Ok(())
}

/// Both targets need the file, and the script of only one of them will run.
#[test]
fn a_kept_file_that_stays_away_for_one_target_is_written_again_for_the_other() -> Result {
    let shop = workshop(&script("src/made.rs", "!to.exists()"))?;
    shop.edit(Kept, &[Write("app/.gitignore", "/target\n/out\n/src/made.rs\n")])?;
    let mut other = shop.clone();
    other.cargo = vec!["build", "--target-dir", "out"];
    shop.commit()?;
    shop.clone_anew()?;
    shop.restore()?;
    other.build(Wiped)?;
    shop.edit(Wiped, &[Touch("app/in.txt")])?;
    shop.build(Wiped)?;
    shop.save()?;
    shop.clone_anew()?;
    assert_eq!(shop.restore()?["kept_files"], json!(null));
    assert_eq!(shop.build(Wiped)?.prints["say"], "one");
    assert_eq!(other.build(Wiped)?.prints["say"], "one");
    Ok(())
}

/// If nothing of a target is restored, its scripts run again, and must not find their own files.
#[test]
fn beside_a_target_that_nobody_restored_nothing_is_put_back() -> Result {
    let shop = workshop(&script("src/made.rs", "!to.exists()"))?;
    job(&shop)?;
    shop.edit(Kept, &[Write("app/note", "")])?;
    shop.commit()?;
    shop.clone_anew()?;
    let strange: PathBuf = shop.path(Wiped, "app/fuzz/target");
    std::fs::create_dir_all(&strange)?;
    std::fs::write(strange.join(".rustc_info.json"), "{}")?;
    let restored = shop.restore()?;
    assert_eq!(restored["kept_files"], json!(null), "{restored}");
    assert!(!shop.path(Wiped, "app/src/made.rs").exists());
    shop.edit(Wiped, &[Remove("app/fuzz"), Write("app/in.txt", "two")])?;
    assert_eq!(shop.build(Wiped)?.prints["say"], "two");
    Ok(())
}

/// Cargo makes units of `build.rs` and of files in `src/bin` by their names: no build script wrote these files.
#[test]
fn a_crate_root_that_somebody_left_does_not_come_back() -> Result {
    for (path, text) in
        [("app/build.rs", "fn main() {}\n"), ("app/src/bin/more.rs", "fn main() {}\n")]
    {
        let shop = Workshop::new(&[
            ("app/Cargo.toml", &manifest("app", &[])),
            ("app/.gitignore", "/target\n"),
            ("app/src/main.rs", "fn main() {\nprintln!(\"say=one\");\n}\n"),
        ])?;
        shop.commit()?;
        shop.clone_anew()?;
        shop.restore()?;
        shop.edit(Wiped, &[Write(path, text)])?;
        shop.build(Wiped)?;
        shop.save()?;
        shop.clone_anew()?;
        let restored = shop.restore()?;
        assert_eq!(restored["kept_files"], json!(null), "{path}");
    }
    Ok(())
}

/// An instrumented build script writes its raw profile where it runs. No test noticed, because none was built for
/// coverage.
#[test]
fn scratch_among_the_sources_is_neither_kept_nor_put_back_nor_missed() -> Result {
    let script = "fn main() {\nprintln!(\"cargo::rerun-if-changed=in.txt\");\n\
                  std::fs::write(\"run.profraw\", \"raw\").unwrap();\n\
                  std::fs::write(\"src/said.profraw\", \"one\").unwrap();\n}\n";
    let mut shop = Workshop::new(&[
        ("app/Cargo.toml", &manifest("app", &[])),
        ("app/.gitignore", "/target\n/src/said.profraw\n"),
        ("app/build.rs", script),
        ("app/in.txt", "one"),
        (
            "app/src/main.rs",
            "fn main() {\nprintln!(\"say={}\", include_str!(\"said.profraw\"));\n}\n",
        ),
    ])?;
    // The last generation comes from a job that kept it.
    for (why, options) in [("first", &[][..]), ("saved", &["--scratch", ""]), ("put back", &[])] {
        shop.commit()?;
        shop.clone_anew()?;
        let restored = shop.restore()?;
        let built = shop.build(Wiped)?;
        assert_eq!(built.prints["say"], "one", "{why}");
        if why != "first" {
            // A unit was compiled from the other file.
            assert_eq!(restored["kept_files"], json!(["src/said.profraw"]), "{why}");
            assert_eq!(restored["rebuilds"], json!(null), "{why}: {restored}");
            assert_eq!(built.compiled.len(), 0, "{why}: {:?}", built.compiled);
            assert!(!shop.path(Wiped, "app/run.profraw").exists(), "{why}");
        }
        if why == "saved" {
            shop.edit(Wiped, &[Touch("app/in.txt")])?;
            shop.build(Wiped)?;
        }
        shop.options = options.to_vec();
        shop.save()?;
        if why == "saved" {
            shop.clone_anew()?;
            let kept = shop.restore()?;
            let both = json!(["run.profraw", "src/said.profraw"]);
            assert_eq!(kept["kept_files"], both, "a job that keeps all");
        }
        shop.options.clear();
    }
    Ok(())
}
