//! Live directories: if others close, remove or write files while a save reads them, the save loses only these paths,
//! or the unit that a path belongs to. Scratch that runs leave behind is not kept at all.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::*;

const UNIT: &str = "0123456789abcdef";
const OTHER: &str = "fedcba9876543210";

/// Writes two units with build scripts, one in each of cargo's layouts.
fn build(target: &Path) -> Result {
    write(
        target,
        format!("debug/.fingerprint/a-{UNIT}/run-build-script-build-script-build"),
        UNIT,
    )?;
    write(target, format!("debug/build/a-{UNIT}/output"), "")?;
    write(target, format!("debug/build/a-{UNIT}/out/a.rs"), "of the script")?;
    let other = format!("debug/build/b/{OTHER}");
    write(target, format!("{other}/fingerprint/run-build-script-build-script-build"), OTHER)?;
    write(target, format!("{other}/run/stdout"), "")?;
    write(target, format!("{other}/out/b.rs"), "of the script")?;
    write(target, "debug/plain", "plain")
}

fn shut(path: &Path) -> Result {
    Ok(fs::set_permissions(path, PermissionsExt::from_mode(0o000))?)
}

/// Opens a path again, so that the test can clean up.
fn open(path: &Path) -> Result {
    Ok(fs::set_permissions(path, PermissionsExt::from_mode(0o700))?)
}

fn warnings(saved: &Outcome) -> Vec<String> {
    let warnings = saved.area("target")["warnings"].as_array().cloned().unwrap_or_default();
    warnings.iter().filter_map(|it| it["text"].as_str().map(str::to_owned)).collect()
}

#[test]
fn an_unreadable_file_is_left_out_with_its_unit_and_all_else_is_saved() -> Result {
    let unit_a: &[&str] =
        &["debug/.fingerprint/a-0123456789abcdef", "debug/build/a-0123456789abcdef"];
    let unit_b: &[&str] = &["debug/build/b/fedcba9876543210"];
    #[rustfmt::skip]
    let cases: [(&str, &[&str], &[&str]); 8] = [
        //what is shut            paths                                              goes with it
        ("a directory",           &["debug/shut"],                                   &["debug/shut"]),
        ("two of them",           &["debug/shut", "zz/deep/shut"],                   &["debug/shut", "zz/deep/shut"]),
        ("a file",                &["debug/plain"],                                  &["debug/plain"]),
        ("a file of a script",    &["debug/build/a-0123456789abcdef/out/a.rs"],      unit_a),
        ("its directory",         &["debug/build/a-0123456789abcdef/out"],           unit_a),
        ("its fingerprint",       &["debug/.fingerprint/a-0123456789abcdef"],        unit_a),
        ("in the other layout",   &["debug/build/b/fedcba9876543210/out/b.rs"],      unit_b),
        ("its directory there",   &["debug/build/b/fedcba9876543210/out"],           unit_b),
    ];
    for (why, paths, gone) in cases {
        let host = Host::new()?;
        let target = host.target();
        build(&target)?;
        for dir in ["debug/shut", "zz/deep/shut"] {
            write(&target, format!("{dir}/inside"), "x")?;
        }
        let mut want = list(&target)?;
        want.retain(|path, _| !gone.iter().any(|gone| path.starts_with(gone)));
        let host = host.owned_by_a_user()?;
        for path in paths {
            shut(&target.join(path))?;
        }
        let saved = host.save()?.done()?;
        assert_eq!(saved.areas(), ["target published miss"], "{why}: {}", saved.stderr);
        let [warning] = &warnings(&saved)[..] else { return Err(saved.stderr.into()) };
        assert!(warning.contains(&format!("{}`", paths[0])), "{why}: {warning}");
        assert!(warning.ends_with("Permission denied (os error 13)"), "{why}: {warning}");
        assert_eq!(warning.contains("and 1 other are"), paths.len() == 2, "{why}: {warning}");

        // The closed path is still there, and a restore still puts the tree in its place.
        let restored = host.restore()?.done()?;
        assert_eq!(restored.area("target")["hit"], "exact", "{why}: {}", restored.stderr);
        let found = list(&target)?;
        let names = |tree: &Listing| tree.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&found), names(&want), "{why}");
        assert_eq!(host.leftovers()?, [] as [&Path; 0], "{why}");
        // The tree equals the saved one.
        assert_eq!(host.restore()?.done()?.areas(), ["target in-place exact"], "{why}");
        assert_eq!(host.save()?.done()?.mode("target"), "unchanged", "{why}");
        assert_eq!(host.verify()?, [] as [&str; 0], "{why}");
    }
    Ok(())
}

#[test]
fn a_directory_of_the_checkout_that_nobody_may_read_is_no_source() -> Result {
    let host = Host::new()?;
    build(&host.target())?;
    // Without a lock file the manifests in the checkout are the key.
    fs::remove_file(host.repo().join("Cargo.lock"))?;
    write(&host.repo(), "database/inside", "x")?;
    let host = host.owned_by_a_user()?;
    shut(&host.repo().join("database"))?;
    let saved = host.save()?.done()?;
    assert_eq!(saved.areas(), ["target published miss"], "{}", saved.stderr);
    write(&host.target(), "debug/plain", "another")?;
    let restored = host.restore()?.done()?;
    open(&host.repo().join("database"))?;
    assert_eq!(restored.area("target")["hit"], "exact", "{}", restored.stderr);
    assert_eq!(fs::read_to_string(host.target().join("debug/plain"))?, "plain");
    assert_eq!(restored.report["sources"]["changed"], 0, "{}", restored.stderr);
    Ok(())
}

#[test]
fn a_target_that_nobody_may_read_is_an_error_of_its_area() -> Result {
    let host = Host::new()?;
    build(&host.target())?;
    let host = host.owned_by_a_user()?;
    shut(&host.target())?;
    let saved = host.save()?;
    open(&host.target())?;
    assert_eq!((saved.status, saved.mode("target")), (Some(1), "failed"), "{}", saved.stderr);
    Ok(())
}

#[test]
fn a_tree_is_put_by_without_what_nobody_may_read() -> Result {
    let host = Host::new()?;
    let target = host.target();
    build(&target)?;
    let want = list(&target)?;
    let host = host.owned_by_a_user()?;
    for dir in ["debug/shut", "tmp/shut"] {
        write(&target, format!("{dir}/inside"), "x")?;
        shut(&target.join(dir))?;
    }
    let mut chown = std::process::Command::new("chown");
    succeed(chown.arg("-R").arg("--reference").arg(host.repo()).arg(&target))?;
    let saved = host.save_with(&["--hot-trees", "2"])?.done()?;
    assert!(!target.exists(), "{}", saved.stderr);
    let restored = host.restore()?.done()?;
    assert_eq!(restored.areas(), ["target move exact"], "{}", restored.stderr);
    let names = |tree: Listing| tree.into_keys().collect::<Vec<_>>();
    let mut found = names(list(&target)?);
    found.retain(|path| path != Path::new("tmp"));
    assert_eq!(found, names(want));
    Ok(())
}

#[test]
fn a_crate_of_which_a_file_cannot_be_read_is_left_out_as_a_whole() -> Result {
    let host = Host::new()?;
    for name in ["log-0.4.0", "syn-2.0.0"] {
        install_crate(&host.cargo_home(), name)?;
    }
    lock(&host.repo(), "app", &["log-0.4.0", "syn-2.0.0"])?;
    let host = host.owned_by_a_user()?;
    let sources = |name: &str| host.cargo_home().join(format!("registry/src/{INDEX}/{name}"));
    shut(&sources("log-0.4.0").join("src/lib.rs"))?;
    let saved = host.save()?.done()?;
    assert_eq!(saved.areas(), ["registry published miss"], "{}", saved.stderr);
    fs::remove_dir_all(host.cargo_home().join("registry"))?;
    host.restore()?.done()?;
    assert!(!sources("log-0.4.0").exists());
    assert!(sources("syn-2.0.0").join("src/lib.rs").exists());
    assert!(host.cargo_home().join(format!("registry/cache/{INDEX}/log-0.4.0.crate")).exists());
    Ok(())
}

#[test]
fn files_that_come_and_go_while_they_are_read_fail_no_save() -> Result {
    let host = Host::new()?;
    let target = host.target();
    build(&target)?;
    let is_over = AtomicBool::new(false);
    let live = target.join("debug/live");
    fs::create_dir(&live)?;
    // Any error in here is a fault: a save must not move or change files here.
    let churn = |round: usize| {
        let (file, dir) =
            (live.join(format!("{}", round % 50)), live.join(format!("{}d", round % 50)));
        fs::write(&file, noise(round as u64, 5000))?;
        fs::create_dir(&dir)?;
        fs::write(dir.join("inside"), "x")?;
        fs::remove_file(&file)?;
        fs::create_dir(&file)?;
        fs::remove_dir(&file)?;
        std::os::unix::fs::symlink("nowhere", &file)?;
        fs::remove_file(&file)?;
        fs::remove_dir_all(&dir)
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let rounds = (0..).take_while(|_| !is_over.load(Ordering::Relaxed));
            rounds.for_each(|round| drop(churn(round)));
        });
        let saves = (0..8).try_for_each(|round| {
            write(&target, format!("debug/{round}"), "new")?;
            let saved = host.save()?.done()?;
            assert_eq!(saved.mode("target"), "published", "{}", saved.stderr);
            assert!(warnings(&saved).len() <= 1, "{}", saved.stderr);
            Ok::<_, Box<dyn std::error::Error>>(())
        });
        is_over.store(true, Ordering::Relaxed);
        saves
    })?;
    assert_eq!(host.verify()?, [] as [&str; 0]);
    fs::remove_dir_all(&live)?;
    let built = list(&target)?;
    host.lose_target()?;
    host.restore()?.done()?;
    drop(fs::remove_dir_all(&live));
    let names = |tree: Listing| tree.into_keys().collect::<Vec<_>>();
    assert_eq!(names(list(&target)?), names(built));
    Ok(())
}

/// Writes scratch and other files, and returns the paths of the other files.
fn leave_scratch(target: &Path) -> Result<Vec<&'static str>> {
    build(target)?;
    let kept = vec![
        "tmp",
        "wasm32-wasip1/tmp",
        "miri/x86_64-unknown-linux-gnu/tmp",
        "doc/tmp/index.html",
        "debug/tmp.rs",
        "debug/x/tmp/y",
        "debug/build/tmp/0123456789abcdef/out/y",
        "debug/incremental/app-1/s-h0-1.lock",
        "debug/incremental/app-1/s-h0-1-2x/dep-graph.bin",
    ];
    for file in &kept[3..] {
        write(target, file, "kept")?;
    }
    for file in SCRATCH {
        write(target, file, "scratch")?;
    }
    Ok(kept)
}

const SCRATCH: [&str; 7] = [
    "tmp/db/1.sqlite",
    "tmp/socket.pid",
    "wasm32-wasip1/tmp/x",
    "miri/x86_64-unknown-linux-gnu/tmp/x",
    "debug/incremental/app-1/s-h1-1-working/query-cache.bin",
    "run-1.profraw",
    "debug/deps/run-2.profraw",
];

fn expect_no_scratch(target: &Path, kept: &[&str], why: &str) {
    for path in kept {
        assert!(target.join(path).exists(), "{why}: {path} is gone");
    }
    for path in SCRATCH {
        assert!(!target.join(path).exists(), "{why}: {path} came back");
    }
    assert!(!target.join("tmp/db").exists(), "{why}");
}

#[test]
fn scratch_is_neither_saved_nor_restored_nor_put_by() -> Result {
    let host = Host::new()?;
    let target = host.target();
    let kept = leave_scratch(&target)?;
    host.save()?.done()?;
    host.lose_target()?;
    host.restore()?.done()?;
    expect_no_scratch(&target, &kept, "saved and restored");

    leave_scratch(&target)?;
    host.save_with(&["--hot-trees", "2"])?.done()?;
    let restored = host.restore()?.done()?;
    assert_eq!(restored.mode("target"), "move", "{}", restored.stderr);
    expect_no_scratch(&target, &kept, "parked");

    // Saved by a job that keeps everything, restored by one that does not: from packs, and from a hot tree.
    leave_scratch(&target)?;
    for hot in ["0", "2"] {
        host.save_with(&["--scratch", "", "--hot-trees", hot])?.done()?;
        if hot == "0" {
            host.lose_target()?;
        }
        let restored = host.restore_with(&["--hot-trees", hot, "--scratch", ""])?.done()?;
        for path in SCRATCH {
            assert!(target.join(path).exists(), "{path}: {}", restored.stderr);
        }
        host.save_with(&["--scratch", "", "--hot-trees", hot])?.done()?;
        if hot == "0" {
            host.lose_target()?;
        }
        let restored = host.restore_with(&["--hot-trees", hot])?.done()?;
        let mode = if hot == "0" { "unpack" } else { "move" };
        assert_eq!(restored.mode("target"), mode, "{}", restored.stderr);
        expect_no_scratch(&target, &kept, mode);
        assert_eq!(host.restore()?.done()?.mode("target"), "in-place");
        leave_scratch(&target)?;
    }
    assert_eq!(host.verify()?, [] as [&str; 0]);
    assert_eq!(host.leftovers()?, [] as [&Path; 0]);
    Ok(())
}

#[test]
fn patterns_that_are_given_take_the_place_of_the_default() -> Result {
    let host = Host::new()?;
    let target = host.target();
    leave_scratch(&target)?;
    write(&target, "debug/log/a.log", "log")?;
    write(&target, "debug/log/kept.log", "log")?;
    let given = ["--scratch", "*.log", "--scratch", "!kept.log"];
    host.save_with(&given)?.done()?;
    host.lose_target()?;
    host.restore_with(&given)?.done()?;
    for path in SCRATCH.into_iter().chain(["debug/log/kept.log"]) {
        assert!(target.join(path).exists(), "{path}");
    }
    assert!(!target.join("debug/log/a.log").exists());
    let refused = host.save_with(&["--scratch", "a{"])?;
    assert_eq!(refused.status, Some(1));
    refused.says(&["`a{` is not a gitignore pattern"])
}

#[test]
fn scratch_in_a_workspace_stays_whatever_is_restored() -> Result {
    const LEFT: [&str; 3] = ["tmp/shut", "tmp/1.sqlite", "debug/run.profraw"];
    for why in ["the tree is there", "another tree is there"] {
        let host = Host::new()?;
        let target = host.target();
        build(&target)?;
        fs::create_dir(target.join("tmp"))?;
        let host = host.owned_by_a_user()?;
        host.save()?.done()?;
        let saved = list(&target)?;

        write(&target, "tmp/shut/inside", "scratch")?;
        for path in &LEFT[1..] {
            write(&target, path, "scratch")?;
        }
        if why == "another tree is there" {
            write(&target, "debug/other", "of another tree")?;
            write(&target, "debug/gone/run.profraw", "of a directory that goes")?;
        }
        let mut chown = std::process::Command::new("chown");
        succeed(chown.arg("-R").arg("--reference").arg(host.repo()).arg(&target))?;
        shut(&target.join("tmp/shut"))?;
        let restored = host.restore()?.done()?;
        assert_eq!(restored.area("target")["hit"], "exact", "{why}: {}", restored.stderr);
        for path in LEFT {
            assert!(target.join(path).exists(), "{why}: {path} is gone");
        }
        assert_eq!(host.restore()?.done()?.areas(), ["target in-place exact"], "{why}");
        open(&target.join("tmp/shut"))?;
        let mut found = list(&target)?;
        found.retain(|path, _| !LEFT.iter().any(|left| path.starts_with(left)));
        let names = |tree: &Listing| tree.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&found), names(&saved), "{why}");
        assert_eq!(host.leftovers()?, [] as [&Path; 0], "{why}");
    }
    Ok(())
}
