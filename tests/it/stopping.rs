//! Stopped by a signal at every named point: the files there are whole, nothing is left over, and the status tells
//! which signal it was.

use std::fs;
use std::path::Path;
use std::process::{Child, Command};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use crate::support::*;
use runner_cache::fs::crash::CRASH_POINTS;

const MIB: usize = 1 << 20;

/// Starts `command` and returns when it has paused at `point`.
pub(crate) fn pause(mut command: Command, point: &str) -> Result<Child> {
    let child = spawn(command.env("RUNNER_CACHE_PAUSE_AT", point))?;
    let (_, status) = waitpid(Some(pid(&child)?), WaitOptions::UNTRACED)?.ok_or("no child")?;
    if status.stopped() {
        return Ok(child);
    }
    Err(format!("{command:?} did not come to `{point}`: {status:?}").into())
}

fn pid(child: &Child) -> Result<Pid> {
    Pid::from_raw(child.id().try_into()?).ok_or_else(|| "no process".into())
}

/// Sends `signals` to a paused process, lets it continue, and waits for its end.
pub(crate) fn resume(child: Child, signals: &[Signal]) -> Result<Outcome> {
    for signal in signals.iter().chain(&[Signal::CONT]) {
        kill_process(pid(&child)?, *signal)?;
    }
    join(child)
}

/// A tree of three packs: much work is left when the first of them is done.
fn build(target: &Path, what: &str) -> Result {
    if target.exists() {
        fs::remove_dir_all(target)?;
    }
    write(target, "debug/app", what)?;
    write(target, format!("debug/of-{what}"), "")?;
    for number in 0..3 {
        let seed = number + 10 * what.len() as u64;
        write(target, format!("debug/large-{number}"), noise(seed, 17 * MIB))?;
    }
    Ok(())
}

fn points(prefixes: &[&str]) -> Vec<&'static str> {
    let wanted = |point: &&str| prefixes.iter().any(|prefix| point.starts_with(prefix));
    CRASH_POINTS.iter().copied().filter(wanted).collect()
}

#[test]
fn a_save_that_is_interrupted_anywhere_is_whole_or_absent_and_leaves_nothing() -> Result {
    for point in points(&["save: ", "publish: "]) {
        let host = Host::new()?;
        build(&host.target(), "first")?;
        host.save()?.done()?;
        build(&host.target(), "second")?;
        let second = list(&host.target())?;

        let saving = pause(host.command("save", &["--threads", "1"]), point)?;
        let saved = resume(saving, &[Signal::INT])?;
        assert_eq!(saved.status, Some(130), "{point}: {}", saved.stderr);
        assert_eq!(host.leftovers()?, [] as [&Path; 0], "{point}");
        expect_same(&second, &host.target(), point)?;
        let is_published = saved.mode("target") == "published";
        assert_eq!(host.manifests()?.len(), 1 + usize::from(is_published), "{point}");
        // Much work follows these points, and a stop there prevents the publication.
        let early = ["save: leased", "save: pack staged", "save: pack visible"];
        assert_eq!(is_published, !early.contains(&point), "{point}");
        if !is_published {
            saved.says(&["target: stopped before it was done", "help: run it again"])?;
        }
        host.verify().map_err(|error| format!("{point}: {error}"))?;

        assert_eq!(
            host.save()?.done()?.mode("target"),
            if is_published { "unchanged" } else { "published" }
        );
        host.lose_target()?;
        host.restore()?.done()?;
        expect_same(&second, &host.target(), point)?;
        host.gc(&[])?;
        assert_eq!(host.verify()?, [] as [&str; 0], "{point}");
    }
    Ok(())
}

#[test]
fn a_restore_that_is_terminated_anywhere_leaves_all_or_nothing() -> Result {
    for point in points(&["restore: "]) {
        let host = Host::new()?;
        build(&host.target(), "saved")?;
        let saved = list(&host.target())?;
        host.save()?.done()?;
        host.lose_target()?;

        let restoring = pause(host.command("restore", &["--threads", "1"]), point)?;
        let restored = resume(restoring, &[Signal::TERM])?;
        assert_eq!(restored.status, Some(143), "{point}: {}", restored.stderr);
        assert_eq!(host.leftovers()?, [] as [&Path; 0], "{point}");
        let is_placed = ["restore: staged", "restore: placed"].contains(&point);
        assert_eq!(host.target().exists(), is_placed, "{point}");
        let hit = if is_placed { "exact" } else { "miss" };
        assert_eq!(restored.area("target")["hit"], hit, "{point}");
        if !is_placed {
            restored.says(&["target: stopped before it was done"])?;
        }

        host.restore()?.done()?;
        expect_same(&saved, &host.target(), point)?;
        assert_eq!(host.verify()?, [] as [&str; 0], "{point}");
    }
    Ok(())
}

#[test]
fn a_restore_over_a_tree_that_is_interrupted_while_it_compares_leaves_that_tree() -> Result {
    let host = Host::new()?;
    build(&host.target(), "saved")?;
    host.save()?.done()?;
    build(&host.target(), "other")?;
    let other = list(&host.target())?;
    host.forget_inodes()?;
    let restoring = pause(host.command("restore", &["--threads", "1"]), "restore: sources")?;
    let restored = resume(restoring, &[Signal::INT])?;
    assert_eq!((restored.status, restored.mode("target")), (Some(130), "failed"));
    expect_same(&other, &host.target(), "what was there before")?;
    assert_eq!(host.leftovers()?, [] as [&Path; 0]);
    Ok(())
}

#[test]
fn the_second_signal_ends_it_at_once_and_the_next_run_clears_up() -> Result {
    let host = Host::new()?;
    // A published generation is not taken back, and a manifest of so many files takes long to write.
    for number in 0..5000 {
        write(&host.target(), format!("debug/{number}"), "")?;
    }
    let saving = pause(host.command("save", &[]), "save: packs visible")?;
    kill_process(pid(&saving)?, Signal::INT)?;
    kill_process(pid(&saving)?, Signal::CONT)?;
    while is_pending(&saving, Signal::INT)? {}
    let saved = resume(saving, &[Signal::TERM])?;
    assert_eq!((saved.status, &saved.report), (Some(143), &serde_json::Value::Null));
    assert!(!host.leftovers()?.is_empty());
    host.save()?.done()?;
    assert_eq!(host.leftovers()?, [] as [&Path; 0]);
    assert_eq!(host.verify()?, [] as [&str; 0]);
    Ok(())
}

/// Tells whether a signal is pending for a process that is no zombie.
fn is_pending(child: &Child, signal: Signal) -> Result<bool> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id()))?;
    let field = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
    let pending = u64::from_str_radix(field.ok_or("no pending signals")?.trim(), 16)?;
    Ok(pending >> (signal.as_raw() - 1) & 1 == 1)
}

/// A cargo that outlived its job holds its lock; a save that waits for the lock must still react to the signal.
#[test]
fn a_save_that_waits_for_a_build_can_be_interrupted() -> Result {
    let host = Host::new()?;
    build(&host.target(), "saved")?;
    let _build = flock(&host.target().join("debug/.cargo-lock"))?;
    let saving = pause(host.command("save", &[]), "save: leased")?;
    let saved = resume(saving, &[Signal::INT])?;
    assert_eq!(saved.status, Some(130));
    saved.says(&["target: stopped before it was done"])?;
    assert_eq!(host.manifests()?, [] as [&Path; 0]);
    Ok(())
}
