//! Kills at every named point: the files there are whole, and the next run needs no help.
//!
//! Release builds have no crash points: there every test here fails because it reached none.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use runner_cache::fs::crash::CRASH_POINTS;

use crate::support::*;

const MIB: usize = 1 << 20;

/// Returns the points whose names begin with one of `commands`.
fn points(commands: &[&str]) -> Vec<&'static str> {
    let of_commands = |point: &&str| commands.iter().any(|command| point.starts_with(command));
    CRASH_POINTS.iter().copied().filter(of_commands).collect()
}

/// Every point at which the tests here and in `hot` crash. A test fails if its command does not reach the point.
const COMMANDS: [&[&str]; 4] = [&["save: ", "publish: "], &["restore: "], &["gc: "], &["hot: "]];

#[test]
fn every_crash_point_is_one_that_some_command_is_crashed_at() {
    let crashed: Vec<_> = COMMANDS.iter().flat_map(|commands| points(commands)).collect();
    assert_eq!(crashed, CRASH_POINTS);
}

/// A small tree whose restore takes more than one step.
fn build(target: &Path, what: &str) -> Result {
    if target.exists() {
        fs::remove_dir_all(target)?;
    }
    write(target, "debug/deps/app", what)?;
    fs::hard_link(target.join("debug/deps/app"), target.join("debug/app"))?;
    write(target, format!("debug/of-{what}"), "")?;
    write(target, "debug/same", "in all of them")?;
    fs::create_dir(target.join("debug/empty"))?;
    link(target, "debug/link", what)
}

#[test]
fn a_save_that_crashes_anywhere_is_whole_or_absent() -> Result {
    for point in points(COMMANDS[0]) {
        let why = |what: &str| format!("{point}: {what}");
        let host = Host::new()?;
        let target = host.target();
        build(&target, "first")?;
        let first = list(&target)?;
        host.save()?.done()?;
        let before = host.manifests()?;

        build(&target, "second")?;
        // Too much for one pack: the first pack becomes visible before the others exist.
        for number in 0..2 {
            write(&target, format!("debug/large-{number}"), noise(number, 17 * MIB))?;
        }
        let second = list(&target)?;
        crash(host.command("save", &[]), point)?;
        expect_same(&second, &target, &why("what was to be saved"))?;
        host.verify().map_err(|error| why(&error.to_string()))?;
        let is_published = matches!(point, "publish: visible" | "save: recorded");
        assert_eq!(host.manifests()?.len(), before.len() + usize::from(is_published), "{point}");
        assert_eq!(host.manifests()?[0], before[0], "{point}");

        let aside = host.path("aside");
        fs::rename(&target, &aside)?;
        let restored = host.restore()?.done()?;
        assert_eq!(restored.areas(), ["target unpack exact"], "{point}");
        let newest = if is_published { &second } else { &first };
        expect_same(newest, &target, &why("the newest generation"))?;
        assert_eq!(host.leftovers()?, [] as [&Path; 0], "{point}");

        host.lose_target()?;
        fs::rename(&aside, &target)?;
        let saved = host.save()?.done()?;
        let mode = if is_published { "unchanged" } else { "published" };
        assert_eq!(saved.mode("target"), mode, "{point}: {}", saved.stderr);
        host.lose_target()?;
        host.restore()?.done()?;
        expect_same(&second, &target, &why("what was saved at last"))?;
        host.gc(&[])?;
        assert_eq!(host.verify()?, [] as [&str; 0], "{point}");
        assert_eq!(host.leftovers()?, [] as [&Path; 0], "{point}");
    }
    Ok(())
}

#[test]
fn a_save_that_crashes_again_and_again_is_done_by_the_one_that_does_not() -> Result {
    let host = Host::new()?;
    let target = host.target();
    for (round, point) in points(COMMANDS[0]).into_iter().enumerate() {
        build(&target, &format!("round-{round}"))?;
        crash(host.command("save", &[]), point)?;
        host.verify().map_err(|error| format!("{point}: {error}"))?;
    }
    build(&target, "last")?;
    let last = list(&target)?;
    host.save()?.done()?;
    host.lose_target()?;
    host.restore()?.done()?;
    expect_same(&last, &target, "what was saved at last")?;
    host.gc(&[])?;
    assert_eq!(host.verify()?, [] as [&str; 0]);
    assert_eq!(host.leftovers()?, [] as [&Path; 0]);
    Ok(())
}

#[test]
fn a_restore_into_a_fresh_place_that_crashes_anywhere_leaves_all_or_nothing() -> Result {
    for point in points(COMMANDS[1]) {
        let host = Host::new()?;
        build(&host.target(), "saved")?;
        let saved = list(&host.target())?;
        host.save()?.done()?;
        host.lose_target()?;
        crash(host.command("restore", &[]), point)?;
        if host.target().exists() {
            expect_same(&saved, &host.target(), point)?;
        }
        assert_eq!(host.target().exists(), point == "restore: placed", "{point}");
        // The crash at this point leaves files, which shows that the check finds them.
        assert!(point != "restore: staged" || !host.leftovers()?.is_empty(), "{point}");
        host.verify().map_err(|error| format!("{point}: {error}"))?;

        let restored = host.restore()?.done()?;
        assert_eq!(restored.area("target")["hit"], "exact", "{point}");
        expect_same(&saved, &host.target(), point)?;
        assert_eq!(host.leftovers()?, [] as [&Path; 0], "{point}");
        assert_eq!(host.save()?.done()?.mode("target"), "unchanged", "{point}");
        host.gc(&[])?;
        assert_eq!(host.verify()?, [] as [&str; 0], "{point}");
    }
    Ok(())
}

/// Gives everything below `dir` the same mtime.
fn date_all(dir: &Path, secs: i64) -> Result {
    for path in paths(dir)?.iter().rev() {
        set_mtime(path, secs, 0)?;
    }
    Ok(())
}

/// Cargo compares sources with the files built from them: an older source counts as compiled. So whichever tree a crash
/// leaves, every source that it was not built from must be newer.
#[test]
fn a_restore_over_a_tree_that_crashes_anywhere_leaves_no_source_to_be_overlooked() -> Result {
    const BUILT_B: i64 = 1_100_000_000;
    const BUILT_A: i64 = 1_200_000_000;
    const LONG_AGO: i64 = 1_000_000_000;
    for point in points(COMMANDS[1]) {
        let host = Host::new()?;
        let (repo, target) = (host.repo(), host.target());
        let source = |name: &str, text: &str, secs: i64| -> Result {
            write(&repo, format!("src/{name}.rs"), text)?;
            set_mtime(&repo.join(format!("src/{name}.rs")), secs, 7)
        };
        source("lib", "same", LONG_AGO)?;
        source("edited", "a", BUILT_A - 1)?;
        source("back", "a", LONG_AGO + 1)?;
        build(&target, "a")?;
        date_all(&target, BUILT_A)?;
        let of_a = list(&target)?;
        host.save()?.done()?;

        // The commit before it, as a restore left it: old and built; then one file of the other commit.
        source("edited", "b", LONG_AGO)?;
        source("added", "b", LONG_AGO)?;
        build(&target, "b")?;
        date_all(&target, BUILT_B)?;
        source("back", "a", BUILT_B + 1)?;
        let of_b = list(&target)?;

        crash(host.command("restore", &[]), point)?;
        let is_placed = list(&target)? == of_a;
        if !is_placed {
            expect_same(&of_b, &target, point)?;
        }
        assert_eq!(is_placed, point == "restore: placed", "{point}");
        let (built, unlike): (i64, &[&str]) =
            if is_placed { (BUILT_A, &["edited", "added"]) } else { (BUILT_B, &["back"]) };
        let mtime_of = |name: &str| mtime(&repo.join(format!("src/{name}.rs")));
        for name in unlike {
            assert!(mtime_of(name)? > (built, 0), "{point}: {name} is {:?}", mtime_of(name)?);
        }
        host.verify().map_err(|error| format!("{point}: {error}"))?;

        let restored = host.restore()?.done()?;
        assert_eq!(restored.area("target")["hit"], "exact", "{point}");
        expect_same(&of_a, &target, point)?;
        assert_eq!(mtime_of("lib")?, (LONG_AGO, 7), "{point}");
        assert_eq!(mtime_of("back")?, (LONG_AGO + 1, 7), "{point}");
        for name in ["edited", "added"] {
            assert!(mtime_of(name)? > (BUILT_A, 0), "{point}: {name} is {:?}", mtime_of(name)?);
        }
        assert_eq!(host.leftovers()?, [] as [&Path; 0], "{point}");
        host.save()?.done()?;
        host.gc(&[])?;
        assert_eq!(host.verify()?, [] as [&str; 0], "{point}");
    }
    Ok(())
}

/// Returns the part of `listing` that belongs to the crate `name`.
fn of_crate<'a>(listing: &'a Listing, name: &str) -> BTreeMap<&'a PathBuf, &'a Node> {
    let is_staged = |path: &Path| path.to_string_lossy().contains(".runner-cache-");
    let is_named = |path: &Path| path.to_string_lossy().contains(name) && !is_staged(path);
    listing.iter().filter(|(path, _)| is_named(path)).collect()
}

#[test]
fn a_restore_into_a_home_that_crashes_anywhere_leaves_every_crate_whole() -> Result {
    let crates = ["gone-1.0.0", "half-1.0.0", "kept-1.0.0"];
    for point in points(COMMANDS[1]) {
        let host = Host::new()?;
        let home = host.cargo_home();
        lock(&host.repo(), "app", &crates)?;
        for name in crates {
            install_crate(&home, name)?;
        }
        host.save()?.done()?;
        let saved = list(&home)?;
        fs::remove_dir_all(home.join(format!("registry/src/{INDEX}/gone-1.0.0")))?;
        fs::remove_file(home.join(format!("registry/cache/{INDEX}/gone-1.0.0.crate")))?;
        fs::remove_file(home.join(format!("registry/src/{INDEX}/half-1.0.0/.cargo-ok")))?;
        install_crate(&home, "foreign-1.0.0")?;
        let left = list(&home)?;

        crash(host.command("restore", &[]), point)?;
        let now = list(&home)?;
        for name in ["kept-1.0.0", "foreign-1.0.0"] {
            assert_eq!(of_crate(&now, name), of_crate(&left, name), "{point}");
        }
        for part in ["src/", "cache/"] {
            for name in ["gone-1.0.0", "half-1.0.0"] {
                let name = format!("{part}{INDEX}/{name}");
                let [now, left, saved] = [&now, &left, &saved].map(|at| of_crate(at, &name));
                assert!(now == left || now == saved, "{point}: {name} is {now:?}");
            }
        }
        host.verify().map_err(|error| format!("{point}: {error}"))?;

        let restored = host.restore()?.done()?;
        assert_eq!(restored.area("registry")["hit"], "exact", "{point}: {}", restored.stderr);
        let now = list(&home)?;
        for name in crates {
            assert_eq!(of_crate(&now, name), of_crate(&saved, name), "{point}");
        }
        assert_eq!(of_crate(&now, "foreign-1.0.0"), of_crate(&left, "foreign-1.0.0"), "{point}");
        assert_eq!(host.leftovers()?, [] as [&Path; 0], "{point}");
        assert_eq!(host.save()?.done()?.mode("registry"), "unchanged", "{point}");
        // The killed process may have been writing a record in another thread; `leftovers` allows nothing else there.
        let mut findings = host.verify()?;
        findings.retain(|code| code != "staging-left");
        assert_eq!(findings, [] as [&str; 0], "{point}");
    }
    Ok(())
}

/// A gc first deletes what an earlier gc moved, and then moves files itself. So only the run after a crash reaches the
/// points after a move.
#[test]
fn a_gc_that_crashes_anywhere_loses_nothing_that_is_kept() -> Result {
    let mut stories: Vec<Vec<&str>> = Vec::new();
    for point in points(COMMANDS[2]) {
        stories.extend([vec![point], vec!["gc: moved", point]]);
    }
    for story in stories {
        let why = story.join(", ");
        let host = Host::new()?;
        let target = host.target();
        let mut listings = Vec::new();
        for name in ["old", "older than it looks", "kept"] {
            build(&target, name)?;
            listings.push(list(&target)?);
            host.save()?.done()?;
        }
        let manifests = host.manifests()?;
        let gc = || -> Command {
            let mut gc = host.store_command("gc", &ROOMY);
            gc.args(["--generations", "1"]);
            gc
        };
        for point in &story {
            crash(gc(), point)?;
            host.verify().map_err(|error| format!("{why}: {error}"))?;
        }

        // Contents in the trash are saved again before gc deletes them.
        fs::remove_dir_all(&target)?;
        build(&target, "old")?;
        let old = list(&target)?;
        host.save()?.done()?;
        Outcome::of(gc().output()?)?.done()?;
        assert_eq!(host.verify()?, [] as [&str; 0], "{why}");
        assert_eq!(host.leftovers()?, [] as [&Path; 0], "{why}");
        assert_eq!(host.manifests()?.len(), 1, "{why}");
        assert!(host.manifests()?[0] > manifests[2], "{why}");
        host.lose_target()?;
        assert_eq!(host.restore()?.done()?.areas(), ["target unpack exact"], "{why}");
        expect_same(&old, &target, &why)?;
    }
    Ok(())
}

#[test]
fn files_that_a_crashed_gc_did_not_mean_to_drop_are_there_at_once() -> Result {
    for point in points(COMMANDS[2]) {
        let host = Host::new()?;
        for name in ["first", "second"] {
            build(&host.target(), name)?;
            host.save()?.done()?;
        }
        let second = list(&host.target())?;
        for crash_at in ["gc: moved", point] {
            let mut gc = host.store_command("gc", &ROOMY);
            gc.args(["--generations", "1"]);
            crash(gc, crash_at)?;
            host.lose_target()?;
            assert_eq!(host.restore()?.done()?.areas(), ["target unpack exact"], "{point}");
            expect_same(&second, &host.target(), point)?;
        }
    }
    Ok(())
}
