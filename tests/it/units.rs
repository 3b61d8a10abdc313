//! Units: the store keeps the units that jobs use, and unused ones leave the stored copy. Cargo is the judge of both.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use walkdir::WalkDir;

use crate::support::{Outcome, PROGRAM, ROOMY};
use crate::workshop::Edit::{Remove, Write};
use crate::workshop::Ours::Same;
use crate::workshop::Side::{Kept, Wiped};
use crate::workshop::{Built, Result, Step, Workshop, manifest, nothing_is};

fn workshop() -> Result<Workshop> {
    workshop_in(tempfile::tempdir()?)
}

/// A program that depends on a chain of crates beside it, each with a build script.
fn workshop_in(dir: TempDir) -> Result<Workshop> {
    let script = "fn main() { println!(\"cargo::rerun-if-changed=build.rs\"); }\n";
    let lib = "pub const SAY: &str = env!(\"CARGO_PKG_VERSION\");\n";
    let files = [
        ("app/Cargo.toml", &manifest("app", &["../one", "../two"])[..]),
        ("app/.gitignore", "/target\n/Cargo.lock\n"),
        ("app/src/main.rs", "fn main() { println!(\"one={}\\ntwo={}\", one::SAY, two::SAY); }\n"),
        ("one/Cargo.toml", &manifest("one", &["../two"])),
        ("one/build.rs", script),
        ("one/src/lib.rs", lib),
        ("two/Cargo.toml", &manifest("two", &[])),
        ("two/build.rs", script),
        ("two/src/lib.rs", lib),
    ];
    Workshop::in_dir(dir, "app", &files)
}

/// Wipes, clones, restores, builds with the workshop's cargo arguments, and saves.
fn job(shop: &Workshop) -> Result<(Built, serde_json::Value)> {
    shop.clone_anew()?;
    shop.restore()?;
    let built = shop.build(Wiped)?;
    Ok((built, shop.save()?))
}

/// Counts the units of a target directory by their fingerprints: `.fingerprint/<package>-<hash>`, or, since cargo
/// 1.100, `build/<package>/<hash>/fingerprint`.
fn units(target: &Path) -> Result<usize> {
    let mut count = 0;
    for entry in WalkDir::new(target) {
        let entry = entry?;
        let parent = entry.path().parent().and_then(Path::file_name);
        let is_old = parent.is_some_and(|name| name == ".fingerprint");
        count += usize::from(is_old || entry.file_name() == "fingerprint");
    }
    Ok(count)
}

fn bytes(target: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in WalkDir::new(target) {
        let entry = entry?;
        if entry.file_type().is_file() {
            bytes += entry.metadata()?.len();
        }
    }
    Ok(bytes)
}

fn bump(shop: &Workshop, version: &str) -> Result {
    let manifests: Vec<_> = [
        ("one/Cargo.toml", manifest("one", &["../two"])),
        ("two/Cargo.toml", manifest("two", &[])),
    ]
    .map(|(path, text)| (path, text.replace("0.1.0", version)))
    .into();
    let edits: Vec<_> = manifests.iter().map(|(path, text)| Write(path, text)).collect();
    shop.edit(Kept, &edits)?;
    shop.commit()
}

/// The number of bumps of the dependencies.
const BUMPS: u32 = 30;

#[test]
fn the_store_does_not_grow_while_dependencies_are_bumped_thirty_times() -> Result {
    let mut shop = workshop()?;
    shop.edit(Kept, &[Remove("one/build.rs"), Remove("two/build.rs")])?;
    shop.commit()?;
    // Each round compiles everything in both workshops, which is quick without linking.
    shop.cargo = vec!["check"];
    job(&shop)?;
    for number in 1..=BUMPS {
        bump(&shop, &format!("0.1.{number}"))?;
        let (built, _) = job(&shop)?;
        assert_eq!(built.compiled, ["app", "one", "two"].map(str::to_owned).into());
        shop.build(Kept)?;
    }
    shop.clone_anew()?;
    shop.restore()?;
    let target = shop.path(Wiped, "app/target");
    let stored = (units(&target)?, bytes(&target)?);
    assert_eq!(shop.build(Wiped)?.compiled, [].into(), "nothing used is gone");

    shop.cargo = vec!["check", "--target-dir", "clean"];
    shop.build(Wiped)?;
    let clean = shop.path(Wiped, "app/clean");
    let clean = (units(&clean)?, bytes(&clean)?);
    assert_eq!(stored.0, clean.0);
    assert!(stored.1 * 10 <= clean.1 * 12, "{stored:?} stored, {clean:?} of a clean build");
    let kept = shop.path(Kept, "app/target");
    assert!(units(&kept)? >= clean.0 * 10, "it grows where nothing is pruned");
    Ok(())
}

#[test]
fn a_unit_leaves_after_three_saves_of_its_job_that_did_not_use_it() -> Result {
    unused_units_leave(workshop()?)
}

/// The same on any disk that tells which units a job uses.
pub(crate) fn unused_units_leave_on(disk: &Path) -> Result {
    unused_units_leave(workshop_in(tempfile::tempdir_in(disk)?)?)
}

/// Returns how many units the next save leaves out, according to a dry run of gc.
fn foreseen(shop: &Workshop, args: &[&str]) -> Result<usize> {
    let mut gc = Command::new(PROGRAM);
    gc.args(["gc", "--dry-run", "--json", "--root"]).arg(shop.store()).args(ROOMY).args(args);
    let report = Outcome::of(gc.output()?)?.done()?.report;
    let idle = report["idle_units"].as_array().cloned().unwrap_or_default();
    Ok(idle.iter().filter_map(|idle| idle["units"].as_array().map(Vec::len)).sum())
}

fn unused_units_leave(mut shop: Workshop) -> Result {
    shop.clone_anew()?;
    shop.build(Wiped)?;
    let one_profile = units(&shop.path(Wiped, "app/target"))?;
    shop.cargo = vec!["build", "--release"];
    shop.build(Wiped)?;
    let saved = shop.save()?;
    assert_eq!(saved["units"], serde_json::json!({"kept": one_profile * 2, "pruned": 0}));

    shop.cargo = vec!["build"];
    let (mut seen, mut live) = (Vec::new(), Vec::new());
    for round in 0..4 {
        let text = format!("// {round}\nfn main() {{ println!(\"one={{}}\", one::SAY); }}\n");
        shop.edit(Kept, &[Write("app/src/main.rs", &text)])?;
        shop.commit()?;
        let (built, saved) = job(&shop)?;
        assert_eq!(built.compiled, ["app".to_owned()].into(), "round {round}");
        let count = |name: &str| saved["units"][name].as_u64().map(usize::try_from);
        seen.push((count("kept").ok_or("no units")??, count("pruned").ok_or("no units")??));
        live.push(units(&shop.path(Wiped, "app/target/release"))?);
        let about_to_leave = if round == 1 { one_profile } else { 0 };
        assert_eq!(foreseen(&shop, &[])?, about_to_leave, "round {round}");
    }
    let both = one_profile * 2;
    assert_eq!(seen, [(both, 0), (both, 0), (one_profile, one_profile), (one_profile, 0)]);
    assert_eq!(live, [one_profile, one_profile, one_profile, 0], "the live tree keeps them");
    Ok(())
}

/// With 1, a unit leaves with the first save after a job that did not use it; a dry run did not report that.
#[test]
fn with_one_save_a_dry_run_names_the_units_that_the_next_save_leaves_out() -> Result {
    let save = |shop: &Workshop| {
        let mut shop = shop.clone();
        shop.options.extend(["--unit-saves", "1"]);
        shop.save()
    };
    let mut shop = workshop()?;
    shop.clone_anew()?;
    shop.build(Wiped)?;
    let one_profile = units(&shop.path(Wiped, "app/target"))?;
    shop.cargo = vec!["build", "--release"];
    shop.build(Wiped)?;
    save(&shop)?;
    // All units, because nobody knows which of them the job will use.
    assert_eq!(foreseen(&shop, &["--unit-saves", "1"])?, one_profile * 2);
    assert_eq!(foreseen(&shop, &["--unit-saves", "2"])?, 0);
    shop.cargo = vec!["build"];
    shop.edit(
        Kept,
        &[Write("app/src/main.rs", "fn main() { println!(\"one={}\", one::SAY); }\n")],
    )?;
    shop.commit()?;
    shop.clone_anew()?;
    shop.restore()?;
    shop.build(Wiped)?;
    let saved = save(&shop)?;
    assert_eq!(saved["units"]["pruned"], one_profile);
    assert_eq!(foreseen(&shop, &["--unit-saves", "1"])?, one_profile);
    Ok(())
}

/// For a disk that does not tell which units a job uses: everything is as fresh and as right as elsewhere, and units
/// that were built long ago leave, used or not.
pub(crate) fn old_units_leave_on(disk: &Path) -> Result {
    const DAY_SECS: i64 = 86_400;
    let mut shop = workshop_in(tempfile::tempdir_in(disk)?)?;
    let own = |round: u32| {
        let says =
            format!("println!(\"one={{}}\\ntwo={{}}\\nround={round}\", one::SAY, two::SAY);");
        format!("fn main() {{ {says} }}\n")
    };
    let all = "app one one/build one/run two two/build two/run";
    #[rustfmt::skip]
    let mut wrong = shop.walk(&[
        Step("cold", &[], "one=0.1.0 two=0.1.0", all, Same),
        Step("nothing", &[], "", "", Same),
        Step("a sibling", &[Write("two/src/lib.rs", "pub const SAY: &str = \"2\";\n")], "two=2", "two one app", Same),
        Step("nothing again", &[], "", "", Same),
    ])?;
    shop.cargo = vec!["build", "--release"];
    shop.build(Wiped)?;
    shop.save()?;
    shop.cargo = vec!["build"];
    let both = units(&shop.path(Wiped, "app/target"))?;
    for round in 0..4 {
        shop.edit(Kept, &[Write("app/src/main.rs", &own(round))])?;
        shop.commit()?;
        let (built, saved) = job(&shop)?;
        assert_eq!(built.compiled, ["app".to_owned()].into(), "round {round}");
        assert_eq!(saved["units"], serde_json::json!({"kept": both, "pruned": 0}));
        assert_eq!(saved["reuse"], serde_json::Value::Null, "nobody knows");
        let notes = notes(&saved);
        assert!(notes.contains("cannot tell which units a job uses"), "{notes}");
    }
    shop.shift_mtimes(-31 * DAY_SECS)?;
    let saved = shop.save()?;
    assert_eq!(saved["units"], serde_json::json!({"kept": 0, "pruned": both}), "{saved}");
    assert!(notes(&saved).contains("built 31 days ago"), "{saved}");
    shop.clone_anew()?;
    shop.restore()?;
    shop.build(Kept)?;
    // The last generation has none of them; an earlier one still has them, and is more useful.
    wrong.extend(shop.judge(&Step("too old", &[], "round=3", "", Same))?);
    nothing_is(&wrong);
    Ok(())
}

/// Returns the notes about the target in the report of a save or restore.
fn notes(report: &serde_json::Value) -> String {
    let areas = report["areas"].as_array().into_iter().flatten();
    areas.filter(|area| area["name"] == "target").map(|area| area["notes"].to_string()).collect()
}

#[test]
fn a_unit_whose_artifacts_are_gone_is_not_stored_and_only_it_is_built_again() -> Result {
    let shop = workshop()?;
    shop.clone_anew()?;
    shop.build(Wiped)?;
    let all = units(&shop.path(Wiped, "app/target"))?;
    // Like a step that frees space, or moves a library elsewhere.
    for entry in WalkDir::new(shop.path(Wiped, "app/target/debug")) {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("libtwo-") {
            std::fs::remove_file(entry.path())?;
        }
    }
    let saved = shop.save()?;
    assert_eq!(saved["units"], serde_json::json!({"kept": all - 1, "pruned": 1}));
    let said = notes(&saved);
    assert!(said.contains("1 unit not stored (built, but the artifacts are gone): two"), "{said}");
    let verify = |shop: &Workshop| -> Result<serde_json::Value> {
        let mut verify = shop.command(PROGRAM, Wiped, "");
        verify.args(["verify", "--json", "--root"]).arg(shop.store());
        Ok(serde_json::from_slice(&verify.output()?.stdout)?)
    };
    assert_eq!(verify(&shop)?["findings"], serde_json::json!([]));
    shop.clone_anew()?;
    shop.restore()?;
    assert_eq!(shop.build(Wiped)?.compiled, ["app", "one", "two"].map(str::to_owned).into());
    Ok(())
}

#[test]
fn a_job_that_failed_prunes_nothing_and_another_kind_of_job_stores_only_its_own() -> Result {
    let mut shop = workshop()?;
    shop.commit()?;
    let (_, saved) = job(&shop)?;
    let built = saved["units"]["kept"].as_u64().ok_or("no units")?;

    shop.options = vec!["--job", "check"];
    shop.cargo = vec!["check"];
    shop.clone_anew()?;
    shop.restore()?;
    let checked = shop.build(Wiped)?;
    assert_eq!(checked.compiled, ["app", "one", "two"].map(str::to_owned).into());
    let partial = shop.runner_cache_command("save").arg("--partial").output()?;
    let partial: serde_json::Value = serde_json::from_slice(&partial.stdout)?;
    assert_eq!(partial["units"]["pruned"], 0, "{partial}");
    assert!(partial["units"]["kept"].as_u64() > Some(built), "{partial}");

    // A new job takes the tree with the most fresh units: that of the failed job has both kinds of units. Both kinds
    // share the units of build scripts, but not those of the three crates.
    shop.options = vec!["--job", "lint"];
    let (checked, saved) = job(&shop)?;
    assert_eq!(checked.compiled, [].into());
    assert_eq!(saved["units"]["kept"].as_u64(), Some(built), "{saved}");
    assert_eq!(saved["units"]["pruned"], 3, "{saved}");
    let (checked, _) = job(&shop)?;
    assert_eq!(checked.compiled, [].into());
    Ok(())
}

#[test]
fn two_branches_that_take_turns_are_each_compiled_once() -> Result {
    let shop = workshop()?;
    shop.commit()?;
    shop.git(Kept, "app", &["branch", "other"])?;
    let mut compiled = Vec::new();
    for round in 0..3 {
        for (branch, text) in [("main", "one"), ("other", "two")] {
            shop.git(Kept, "app", &["checkout", "-q", branch])?;
            if round == 0 {
                let program = format!("fn main() {{ println!(\"is={text}\"); }}\n");
                shop.edit(Kept, &[Write("app/src/main.rs", &program)])?;
                shop.commit()?;
            }
            let (built, _) = job(&shop)?;
            assert_eq!(built.prints["is"], text);
            compiled.push(built.compiled.len());
        }
    }
    assert_eq!(compiled[2..], [0; 4], "after its first build nothing of a branch is compiled");
    Ok(())
}
