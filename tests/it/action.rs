//! The Action as a runner runs it: main, a build, post.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use runner_cache::fs::crash::CRASH_POINTS;
use runner_cache::fs::space::is_on_root_mount;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use serde_json::Value;

use crate::fake_runner::{Done, FakeRunner, Job, cancel};
use crate::support::{Result, expect_same, flock, install_crate, list, lock, write};

/// Runs a whole job: checkout, main, build, post. Returns main, the number of compiled crates, and
/// post.
fn run(runner: &FakeRunner, inputs: &[(&str, &str)]) -> Result<(Done, usize, Done)> {
    runner.check_out()?;
    let mut job = runner.job(inputs);
    let main = job.main()?.ok()?;
    let compiled = runner.build()?;
    let post = job.post("success")?.ok()?;
    Ok((main, compiled, post))
}

const OUTPUTS: [&str; 8] = [
    "areas",
    "cache-hit",
    "cache-key",
    "cache-matched-key",
    "dependency-keys",
    "dependency-refs",
    "free-bytes",
    "restored-bytes",
];

const TARGET: &str = "owner/app@protected target";

#[test]
fn the_second_job_compiles_nothing() -> Result {
    let runner = FakeRunner::new()?;
    let (first, compiled, post) = run(&runner, &[])?;
    assert_eq!(first.outputs.keys().map(String::as_str).collect::<Vec<_>>(), OUTPUTS);
    assert_eq!((first.output("cache-hit"), compiled), ("false", 2), "{}", first.log);
    assert_eq!((first.output("cache-matched-key"), first.output("restored-bytes")), ("", "0"));
    assert!(post.log.contains("published"), "{}", post.log);
    assert_eq!(runner.list()?, [TARGET]);
    runner.verify()?;

    let (second, compiled, post) = run(&runner, &[])?;
    assert_eq!((second.output("cache-hit"), compiled), ("true", 0), "{}", second.log);
    assert_eq!(second.output("cache-key"), first.output("cache-key"));
    assert_eq!(second.output("cache-matched-key"), first.output("cache-key"));
    assert!(second.output("restored-bytes").parse::<u64>()? > 100_000);
    assert!(second.output("free-bytes").parse::<u64>()? > 0);
    assert_eq!((second.output("dependency-keys"), second.output("dependency-refs")), ("{}", "{}"));
    let areas: Value = serde_json::from_str(second.output("areas"))?;
    let target =
        areas.as_array().and_then(|areas| areas.iter().find(|area| area["name"] == "target"));
    let target = target.and_then(Value::as_object).ok_or("no target")?;
    let fields: Vec<_> = target.keys().map(String::as_str).collect();
    assert_eq!(fields, ["bytes", "files", "hit", "mode", "name", "seconds"]);
    assert_eq!((&target["hit"], &target["mode"]), (&"exact".into(), &"move".into()));
    // Cargo may rewrite a `.d` file; the store has its contents already.
    assert!(post.log.contains(" 0 B stored"), "{}", post.log);
    runner.verify()
}

#[test]
fn the_log_is_grouped_and_the_summary_has_a_table_of_areas() -> Result {
    let runner = FakeRunner::new()?;
    run(&runner, &[])?;
    let (main, _, post) = run(&runner, &[])?;
    for done in [&main, &post] {
        let count = |start: &str| done.log.lines().filter(|line| line.starts_with(start)).count();
        assert!(count("::group::") > 0, "{}", done.log);
        assert_eq!(count("::group::"), count("::endgroup::"), "{}", done.log);
        assert_eq!(done.annotations("error"), [""; 0]);
        assert_eq!(done.annotations("warning"), [""; 0]);
        assert!(!done.log.contains("secret"), "{}", done.log);
        assert!(done.summary.contains("| <code>target</code> |"), "{}", done.summary);
        assert!(
            done.summary.contains("| Disk | Holds | Before | After | Free |"),
            "{}",
            done.summary
        );
    }
    assert!(main.log.contains("✅ exact: "), "{}", main.log);
    assert!(main.summary.starts_with("### runner-cache: restored, exact\n"), "{}", main.summary);
    assert!(main.summary.contains("| exact, move |"), "{}", main.summary);
    assert!(main.summary.contains("as built, 0 new to cargo"), "{}", main.summary);
    assert!(post.summary.starts_with("### runner-cache: saved\n"), "{}", post.summary);
    assert!(post.summary.contains("Units: kept "), "{}", post.summary);
    assert!(post.log.contains("(100.0 %)"), "{}", post.log);

    // A fallback reports the changes.
    let manifest = fs::read_to_string(runner.path("origin/app/Cargo.lock"))?;
    runner.commit(&[("Cargo.lock", &format!("# edited\n{manifest}"))])?;
    let (main, compiled, _) = run(&runner, &[])?;
    assert_eq!((main.output("cache-hit"), compiled), ("false", 0), "{}", main.log);
    assert!(main.log.contains("⚠️ fallback: "), "{}", main.log);
    let change = "Cargo.lock: other content for the same packages";
    assert!(main.log.contains(change), "{}", main.log);
    assert!(main.summary.contains("Cargo.lock&#58; other content"), "{}", main.summary);
    Ok(())
}

/// A lock file that the build creates would change the key; the key that main computed counts.
#[test]
fn the_key_is_that_of_before_the_build() -> Result {
    let runner = FakeRunner::new()?;
    runner.untrack("Cargo.lock")?;
    run(&runner, &[])?;
    let (second, compiled, _) = run(&runner, &[])?;
    assert_eq!((second.output("cache-hit"), compiled), ("true", 0), "{}", second.log);
    runner.verify()
}

#[test]
fn the_keys_of_dependencies_are_those_of_before_the_build_too() -> Result {
    let runner = FakeRunner::new()?;
    let sibling = runner.path("_work/app/lib");
    let fresh = || -> Result {
        if sibling.exists() {
            fs::remove_dir_all(&sibling)?;
        }
        write(&sibling, "Cargo.toml", "[package]\nname = \"lib\"\nversion = \"0.1.0\"\n")?;
        write(&sibling, "src/lib.rs", "")
    };
    for (round, hit) in ["false", "true"].into_iter().enumerate() {
        fresh()?;
        runner.check_out()?;
        let mut job = runner.job(&[("dependencies", "lib")]);
        let main = job.main()?.ok()?;
        assert_eq!(main.output("cache-hit"), hit, "{round}: {}", main.log);
        let keys: Value = serde_json::from_str(main.output("dependency-keys"))?;
        assert_eq!(keys["lib"].as_str().map(str::len), Some(129), "{keys}");
        runner.build()?;
        lock(&sibling, "lib", &[])?;
        write(&sibling, "target/debug/lib", "built")?;
        job.post("success")?.ok()?;
    }
    Ok(())
}

#[test]
fn every_wrong_input_is_named_at_once() -> Result {
    let runner = FakeRunner::new()?;
    let wrong = [
        ("mode", "resotre"),
        ("retention", "target=x"),
        ("disk-threshold", "101%"),
        ("compression-level", "20"),
        ("dependencies", "../x"),
    ];
    let done = runner.job(&wrong).main()?;
    assert_eq!(done.status, Some(1));
    let errors = done.annotations("error");
    assert_eq!(errors.len(), wrong.len(), "{}", done.log);
    for (name, _) in wrong {
        assert!(errors.iter().any(|error| error.contains(&format!("`{name}`"))), "{name}");
    }
    assert!(!runner.store().exists());
    // The post step still runs, and does not fail.
    runner.job(&wrong).post("failure")?.ok()?;
    Ok(())
}

#[test]
fn ten_warnings_are_annotations_and_the_rest_is_in_the_log() -> Result {
    let runner = FakeRunner::new()?;
    let names: Vec<_> = (0..14).map(|number| format!("nonsense-{number:02}")).collect();
    let inputs: Vec<_> = names.iter().map(|name| (name.as_str(), "x")).collect();
    let done = runner.job(&inputs).main()?.ok()?;
    assert_eq!(done.annotations("warning").len(), 10, "{}", done.log);
    for name in &names {
        assert!(done.log.contains(&format!("`{name}`")), "{name}");
    }
    Ok(())
}

#[test]
fn a_failed_job_saves_what_it_downloaded_and_its_target_as_partial() -> Result {
    let runner = FakeRunner::new()?;
    let registry = |runner: &FakeRunner| -> Result {
        lock(&runner.workspace(), "app", &["foo-1.0.0"])?;
        install_crate(&runner.path("home/.cargo"), "foo-1.0.0")
    };
    let both = ["owner/app@protected registry", "owner/app@protected target partial"];
    for (status, save_if, want) in [
        ("failure", "success", &[][..]),
        ("failure", "never", &[]),
        ("failure", "always", &both),
        ("cancelled", "protected", &both),
        ("success", "always", &[both[0], TARGET, both[1]]),
    ] {
        runner.check_out()?;
        registry(&runner)?;
        let mut job = runner.job(&[("save-if", save_if)]);
        job.main()?.ok()?;
        write(&runner.workspace(), "target/debug/app", "built")?;
        fs::File::open(runner.workspace().join("target/debug"))?
            .set_modified(std::time::UNIX_EPOCH)?;
        fs::File::open(runner.workspace().join("target/debug/app"))?
            .set_modified(std::time::UNIX_EPOCH)?;
        let post = job.post(status)?.ok()?;
        assert_eq!(runner.list()?, want, "{status} {save_if}: {}", post.log);
    }
    runner.verify()
}

/// Waits until the runner's process is paused; fails if it has ended.
fn wait_for_pause(child: &std::process::Child) -> Result {
    let pid = Pid::from_raw(child.id().try_into()?).ok_or("no process")?;
    let (_, status) = waitpid(Some(pid), WaitOptions::UNTRACED)?.ok_or("no child")?;
    if status.stopped() { Ok(()) } else { Err(format!("it ended: {status:?}").into()) }
}

fn go_on(child: &std::process::Child) -> Result {
    let pid = Pid::from_raw(child.id().try_into()?).ok_or("no process")?;
    Ok(kill_process(pid, Signal::CONT)?)
}

#[test]
fn a_cancelled_step_ends_by_the_first_signal_and_the_post_step_saves_what_is_there() -> Result {
    let runner = FakeRunner::new()?;
    run(&runner, &[])?;
    for point in ["restore: leased", "restore: sources", "restore: staged", "restore: placed"] {
        runner.check_out()?;
        let before = list(&runner.store().join("series"))?;
        // A move is over before anybody can stop it, so unpack instead.
        let mut job = runner.job(&[("hot-trees", "0")]);
        job.set("RUNNER_CACHE_PAUSE_AT", point);
        let mut main = job.start("main")?;
        wait_for_pause(&main)?;
        // The signal is delivered when the process runs again.
        let pid = Pid::from_raw(main.id().try_into()?).ok_or("no process")?;
        kill_process(pid, Signal::INT)?;
        go_on(&main)?;
        let took = Instant::now();
        main.wait()?;
        assert!(took.elapsed() < Duration::from_secs(7), "{point}");
        let main = job.finish(main)?;
        assert_eq!(main.status, Some(130), "{point}: {}", main.log);
        assert_eq!(main.outputs.len(), OUTPUTS.len(), "{point}: {}", main.log);
        let is_placed = ["restore: staged", "restore: placed"].contains(&point);
        assert_eq!(main.output("cache-hit"), is_placed.to_string(), "{point}: {}", main.log);
        assert_eq!(runner.workspace().join("target").exists(), is_placed, "{point}");

        job.set("RUNNER_CACHE_PAUSE_AT", "");
        let post = job.post("cancelled")?.ok()?;
        assert_eq!(post.annotations("error"), [""; 0], "{point}");
        // A complete tree equals the saved one, and a missing tree is not saved: no new generation.
        expect_same(&before, &runner.store().join("series"), point)?;
        runner.verify()?;
        let (next, compiled, _) = run(&runner, &[])?;
        assert_eq!((next.output("cache-hit"), compiled), ("true", 0), "{point}");
    }
    Ok(())
}

#[test]
fn a_post_step_that_is_cancelled_ends_in_time_and_leaves_nothing() -> Result {
    let runner = FakeRunner::new()?;
    let mut job = runner.job(&[]);
    job.main()?.ok()?;
    runner.build()?;
    // A build that outlives its job: the save would wait for it.
    let _build = flock(&runner.workspace().join("target/debug/.cargo-lock"))?;
    job.set("RUNNER_CACHE_PAUSE_AT", "save: leased");
    let mut post = job.start_post("cancelled")?;
    wait_for_pause(&post)?;
    go_on(&post)?;
    let took = cancel(&mut post)?;
    assert!(took < Duration::from_secs(7), "{took:?}");
    let post = job.finish(post)?;
    assert_eq!(post.status, Some(0), "{}", post.log);
    runner.verify()
}

#[test]
fn the_time_of_a_post_step_is_bounded_and_what_costs_least_is_saved_first() -> Result {
    let runner = FakeRunner::new()?;
    lock(&runner.workspace(), "app", &["foo-1.0.0"])?;
    install_crate(&runner.path("home/.cargo"), "foo-1.0.0")?;
    let mut job = runner.job(&[]);
    job.main()?.ok()?;
    write(&runner.workspace(), "target/debug/.cargo-lock", "")?;
    write(&runner.workspace(), "target/debug/app", "built")?;
    let _build = flock(&runner.workspace().join("target/debug/.cargo-lock"))?;
    job.set("RUNNER_CACHE_POST_SECONDS", "4");
    let started = Instant::now();
    let post = job.post("cancelled")?.ok()?;
    // Without the limit the save waits 10 s for the build.
    assert!(started.elapsed() < Duration::from_secs(8), "{}", post.log);
    post.annotates("warning", "target: stopped before it was done")?;
    assert_eq!(runner.list()?, ["owner/app@protected registry"]);
    runner.verify()
}

/// A change to the state between main and post.
type Spoil = fn(&mut Job<'_>);

#[test]
fn a_post_step_without_a_state_it_can_believe_saves_nothing() -> Result {
    let runner = FakeRunner::new()?;
    run(&runner, &[])?;
    let before = list(&runner.store().join("series"))?;
    let cases: [(&str, Spoil); 5] = [
        ("none", |job| job.forget_state()),
        ("garbage", |job| job.change_state(|_| "\u{1b}garbage\n::error::x".to_owned())),
        ("cut", |job| job.change_state(|state| state[..state.len() / 2].to_owned())),
        ("of another run", |job| job.set("GITHUB_RUN_ID", "43")),
        ("another root", |job| job.change_state(|state| state.replace("store", "etc"))),
    ];
    for (why, spoil) in cases {
        runner.check_out()?;
        let mut job = runner.job(&[]);
        job.main()?.ok()?;
        write(&runner.workspace(), "target/debug/app", why)?;
        write(&runner.store(), "leases/0123456789abcdef01234567", "")?;
        spoil(&mut job);
        let post = job.post("success")?.ok()?;
        assert!(post.log.contains("nothing is saved: "), "{why}: {}", post.log);
        assert_eq!(post.annotations("error"), [""; 0], "{why}");
        assert_eq!(list(&runner.store().join("series"))?, before, "{why}");
        assert!(!runner.path("etc").exists(), "{why}");
        // The step still clears up after killed processes.
        runner.verify().map_err(|error| format!("{why}: {error}"))?;
    }
    Ok(())
}

#[test]
fn a_store_that_is_refused_is_a_warning_and_a_miss() -> Result {
    let runner = FakeRunner::new()?;
    fs::create_dir(runner.store())?;
    fs::set_permissions(runner.store(), PermissionsExt::from_mode(0o777))?;
    let mut job = runner.job(&[]);
    let main = job.main()?.ok()?;
    main.annotates("warning", "others may write to it")?;
    main.annotates("warning", "`cache-root`")?;
    assert_eq!(main.output("cache-hit"), "false");
    assert_eq!(main.output("cache-key").len(), 129, "{}", main.log);
    runner.build()?;
    let post = job.post("success")?.ok()?;
    post.annotates("warning", "others may write to it")?;

    let strict = runner.job(&[("fail-on-error", "true")]).main()?;
    assert_eq!(strict.status, Some(1));
    strict.annotates("error", "others may write to it")?;
    assert_eq!(strict.outputs.len(), OUTPUTS.len());
    Ok(())
}

#[test]
fn a_pull_request_of_a_fork_reads_what_is_protected_and_writes_its_own_lane() -> Result {
    let runner = FakeRunner::new()?;
    run(&runner, &[])?;
    runner.check_out()?;
    let mut job = runner.job(&[]);
    job.of_pull_request(7);
    let main = job.main()?.ok()?;
    assert_eq!(main.output("cache-hit"), "true", "{}", main.log);
    write(&runner.workspace(), "target/debug/evil", "evil")?;
    job.post("success")?.ok()?;
    assert_eq!(runner.list()?, ["owner/app@pr/7 target", TARGET]);

    run(&runner, &[])?;
    assert!(!runner.workspace().join("target/debug/evil").exists());
    runner.check_out()?;
    let mut other = runner.job(&[("save-if", "protected")]);
    other.of_pull_request(8);
    other.main()?.ok()?;
    assert!(!runner.workspace().join("target/debug/evil").exists());
    let post = other.post("success")?.ok()?;
    assert!(post.log.contains("`save-if` is `protected`"), "{}", post.log);
    assert_eq!(runner.list()?, ["owner/app@pr/7 target", TARGET]);
    Ok(())
}

/// All repos that one workflow built shared its scope, and with it the three targets that retention keeps of each.
#[test]
fn a_workflow_that_builds_another_repository_uses_the_generations_of_that() -> Result {
    let runner = FakeRunner::new()?;
    // The event does not tell which branch of the other repository is built, so its protected lane stays as it is.
    let other = "owner/other@branch/workflow:owner/app target";
    run(&runner, &[("repository", "OWNER/other")])?;
    assert_eq!(runner.list()?, [other]);
    let (main, compiled, _) = run(&runner, &[("repository", "owner/other")])?;
    assert_eq!((main.output("cache-hit"), compiled), ("true", 0), "{}", main.log);
    run(&runner, &[("repository", "OWNER/app")])?;
    run(&runner, &[])?;
    assert_eq!(runner.list()?, ["owner/app@protected target", other]);

    for (repository, number, reason) in [
        ("someone/other", None, "it is a repository of another owner"),
        (
            "owner/other",
            Some(7),
            "only a job of the protected lane may use the generations of another repository",
        ),
    ] {
        let runner = FakeRunner::new()?;
        runner.check_out()?;
        let mut job = runner.job(&[("repository", repository)]);
        if let Some(number) = number {
            job.of_pull_request(number);
        }
        let main = job.main()?.ok()?;
        let warning = format!(
            "input `repository`: {reason}; this job uses the generations of its own repository"
        );
        assert!(main.log.contains(&warning), "{}", main.log);
        write(&runner.workspace(), "target/debug/made", "made")?;
        job.post("success")?.ok()?;
        let listed = runner.list()?;
        assert!(listed.iter().all(|it| it.starts_with("owner/app@")), "{listed:?}");
    }
    Ok(())
}

#[test]
fn two_jobs_at_once_share_a_store() -> Result {
    let runners = [FakeRunner::new()?, FakeRunner::new()?];
    let store = runners[0].store().to_string_lossy().into_owned();
    let inputs = [("cache-root", store.as_str())];
    for round in ["false", "true"] {
        let mut jobs: Vec<_> = runners.iter().map(|runner| runner.job(&inputs)).collect();
        for runner in &runners {
            runner.check_out()?;
        }
        let mains = jobs.iter().map(|job| job.start("main")).collect::<Result<Vec<_>>>()?;
        for (job, main) in jobs.iter_mut().zip(mains) {
            let main = job.finish(main)?.ok()?;
            assert_eq!(main.output("cache-hit"), round, "{}", main.log);
        }
        for runner in &runners {
            runner.build()?;
        }
        let posts: Result<Vec<_>> = jobs.iter_mut().map(|job| job.start_post("success")).collect();
        for (job, post) in jobs.iter_mut().zip(posts?) {
            let post = job.finish(post)?.ok()?;
            assert_eq!(post.annotations("warning"), [""; 0], "{}", post.log);
        }
        runners[0].verify()?;
    }
    Ok(())
}

#[test]
fn a_step_that_is_killed_anywhere_loses_nothing() -> Result {
    let runner = FakeRunner::new()?;
    run(&runner, &[])?;
    let points = |step: &str| -> Vec<_> {
        let of_step = |point: &&str| match step {
            "main" => point.starts_with("restore: "),
            _ => point.starts_with("save: ") || point.starts_with("publish: "),
        };
        CRASH_POINTS.iter().copied().filter(of_step).collect()
    };
    for point in points("main") {
        runner.check_out()?;
        let mut job = runner.job(&[]);
        job.set("RUNNER_CACHE_CRASH_AT", point);
        let main = job.main()?;
        assert_eq!(main.status, None, "{point}: {}", main.log);
        job.set("RUNNER_CACHE_CRASH_AT", "");
        job.post("failure")?.ok()?;
        runner.verify().map_err(|error| format!("{point}: {error}"))?;
        let (next, compiled, _) = run(&runner, &[])?;
        assert_eq!((next.output("cache-hit"), compiled), ("true", 0), "{point}: {}", next.log);
    }
    for (round, point) in points("post").into_iter().enumerate() {
        runner.check_out()?;
        let mut job = runner.job(&[]);
        job.main()?.ok()?;
        write(&runner.workspace(), "target/debug/round", round.to_string())?;
        job.set("RUNNER_CACHE_CRASH_AT", point);
        let post = job.post("success")?;
        assert_eq!(post.status, None, "{point}: {}", post.log);
        let (next, compiled, _) = run(&runner, &[])?;
        assert_eq!((next.output("cache-hit"), compiled), ("true", 0), "{point}: {}", next.log);
        runner.verify().map_err(|error| format!("{point}: {error}"))?;
    }
    Ok(())
}

#[test]
fn each_mode_does_its_part_and_no_other() -> Result {
    let runner = FakeRunner::new()?;
    let key = runner.job(&[("mode", "key")]).main()?.ok()?;
    assert_eq!((key.output("cache-key").len(), key.output("cache-hit")), (129, "false"));
    assert!(!runner.store().exists(), "{}", key.log);

    runner.build()?;
    let mut save = runner.job(&[("mode", "save"), ("key", key.output("cache-key"))]);
    save.main()?.ok()?;
    assert_eq!(runner.list()?, [TARGET]);
    let post = save.post("success")?.ok()?;
    assert_eq!((post.log.contains("group"), runner.list()?.len()), (false, 1), "{}", post.log);

    runner.check_out()?;
    let mut restore = runner.job(&[("mode", "restore"), ("key", key.output("cache-key"))]);
    let main = restore.main()?.ok()?;
    assert_eq!((main.output("cache-hit"), runner.build()?), ("true", 0), "{}", main.log);
    write(&runner.workspace(), "target/debug/more", "built")?;
    restore.post("success")?.ok()?;
    assert_eq!(runner.list()?, [TARGET]);

    runner.check_out()?;
    let mut lookup = runner.job(&[("lookup-only", "true")]);
    let main = lookup.main()?.ok()?;
    assert_eq!((main.output("cache-hit"), main.output("restored-bytes")), ("true", "0"));
    assert!(!runner.workspace().join("target").exists());
    lookup.post("success")?.ok()?;

    let gc = runner.job(&[("mode", "gc"), ("max-size", "1")]).main()?.ok()?;
    assert_eq!(runner.list()?, [""; 0], "{}", gc.log);
    assert!(gc.summary.contains("store at "), "{}", gc.summary);

    let failed = runner.job(&[("mode", "save"), ("job-status", "failure")]);
    runner.build()?;
    { failed }.main()?.ok()?;
    assert_eq!(runner.list()?, [format!("{TARGET} partial")]);
    runner.verify()
}

#[test]
fn a_disabled_step_only_sets_the_outputs() -> Result {
    let runner = FakeRunner::new()?;
    let (main, compiled, _) = run(&runner, &[("enabled", "false")])?;
    let names: BTreeSet<_> = main.outputs.keys().map(String::as_str).collect();
    assert_eq!(names, OUTPUTS.into());
    assert_eq!(
        (main.output("cache-key").len(), main.output("cache-hit"), compiled),
        (129, "false", 2)
    );
    assert!(!runner.store().exists());
    Ok(())
}

#[test]
fn a_miss_fails_the_step_only_if_the_workflow_says_so() -> Result {
    let runner = FakeRunner::new()?;
    let strict = [("fail-on-cache-miss", "true")];
    let missed = runner.job(&strict).main()?;
    assert_eq!((missed.status, missed.output("cache-hit")), (Some(1), "false"));
    missed.annotates("error", "`fail-on-cache-miss`")?;
    run(&runner, &[])?;
    runner.check_out()?;
    runner.job(&strict).main()?.ok()?;
    Ok(())
}

#[test]
fn a_repo_that_is_not_checked_out_is_a_miss_with_advice_and_no_key_an_error() -> Result {
    let runner = FakeRunner::new()?;
    fs::remove_dir_all(runner.workspace())?;
    fs::create_dir(runner.workspace())?;
    let main = runner.job(&[]).main()?.ok()?;
    main.annotates("warning", "the input `repo`")?;
    assert_eq!((main.output("cache-key"), main.output("cache-hit")), ("", "false"));
    let key = runner.job(&[("mode", "key")]).main()?;
    assert_eq!(key.status, Some(1));
    key.annotates("error", "the input `repo`")
}

#[test]
fn a_container_job_is_told_the_lines_that_mount_its_store() -> Result {
    let runner = FakeRunner::new()?;
    if !is_on_root_mount(&runner.store())? {
        return Err("this test needs a TMPDIR on what is mounted at `/`".into());
    }
    let mut job = runner.job(&[]);
    job.set("GITHUB_WORKSPACE", "/__w/app/app");
    job.set("RUNNER_WORKSPACE", "/__w/app");
    let main = job.main()?.ok()?;
    let store = runner.store().display().to_string();
    let lines = format!("container:\n  volumes:\n    - {store}:{store}");
    main.annotates("warning", &lines)?;
    main.annotates("warning", "goes with the container")?;

    // A mounted directory outlives the container: /proc stands for a mounted tool cache.
    job.set("RUNNER_TOOL_CACHE", "/proc/self");
    let main = job.main()?.ok()?;
    main.annotates("warning", "the store is at `/proc/self/runner-cache-store` instead")?;
    assert!(!Path::new("/__w").exists());
    Ok(())
}

/// Creates the repository `owner/lib` on a server of its own; returns the server and its commit.
fn serve_lib(runner: &FakeRunner) -> Result<(String, String)> {
    let origin = runner.path("server/owner/lib");
    runner.commit_to(
        &origin,
        &[
            ("Cargo.toml", "[package]\nname = \"lib\"\nversion = \"0.1.0\"\n"),
            ("src/lib.rs", "// first\n"),
        ],
    )?;
    let server = format!("file://{}", runner.path("server").display());
    Ok((server, runner.head(&origin)?))
}

#[test]
fn a_dependency_is_checked_out_at_the_commit_that_the_setup_job_found() -> Result {
    let runner = FakeRunner::new()?;
    let (server, first) = serve_lib(&runner)?;
    let dependencies = ("dependencies", "owner/lib@main");
    let mut setup = runner.job(&[("mode", "key"), dependencies]);
    setup.set("GITHUB_SERVER_URL", &server);
    let setup = setup.main()?.ok()?;
    let refs = setup.output("dependency-refs").to_owned();
    assert_eq!(refs, format!("{{\"lib\":\"{first}\"}}"), "{}", setup.log);
    let keys: Value = serde_json::from_str(setup.output("dependency-keys"))?;
    assert_eq!(keys["lib"].as_str().map(str::len), Some(129), "{keys}");

    runner.commit_to(&runner.path("server/owner/lib"), &[("src/lib.rs", "// second\n")])?;
    let lib = runner.path("_work/app/lib/src/lib.rs");
    for (pinned, want) in [(refs.as_str(), "// first\n"), ("", "// second\n")] {
        let mut job = runner.job(&[dependencies, ("dependency-refs", pinned)]);
        job.set("GITHUB_SERVER_URL", &server);
        let main = job.main()?.ok()?;
        assert_eq!(fs::read_to_string(&lib)?, want, "{pinned}: {}", main.log);
    }
    Ok(())
}

#[test]
fn a_dependency_that_cannot_be_checked_out_fails_the_step() -> Result {
    let runner = FakeRunner::new()?;
    let (server, _) = serve_lib(&runner)?;
    let dependencies = "owner/lib@mian\nowner/nothing";
    let mut job = runner.job(&[("dependencies", dependencies)]);
    job.set("GITHUB_SERVER_URL", &server);
    let main = job.main()?;
    assert_eq!((main.status, main.outputs.len()), (Some(1), OUTPUTS.len()), "{}", main.log);
    main.annotates("error", "dependency `lib`: ")?;
    main.annotates("error", "has no branch or tag `mian`")?;
    main.annotates("error", "dependency `nothing`: ")?;
    assert!(!main.log.contains("ghs_secret"), "{}", main.log);
    Ok(())
}

#[test]
fn a_dependency_is_checked_out_also_without_a_store() -> Result {
    let runner = FakeRunner::new()?;
    let (server, first) = serve_lib(&runner)?;
    fs::create_dir(runner.store())?;
    fs::set_permissions(runner.store(), PermissionsExt::from_mode(0o777))?;
    for inputs in [&[][..], &[("enabled", "false")]] {
        let mut job = runner.job(inputs);
        job.input("dependencies", "owner/lib");
        job.set("GITHUB_SERVER_URL", &server);
        let main = job.main()?.ok()?;
        assert!(main.output("dependency-refs").contains(&first), "{}", main.log);
        assert!(runner.path("_work/app/lib/src/lib.rs").exists());
        fs::remove_dir_all(runner.path("_work/app/lib"))?;
    }
    Ok(())
}
