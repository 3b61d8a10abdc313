//! `cache-mode`, which workflows declare for GitHub's cache, applies to this cache too.

use std::path::PathBuf;

use crate::fake_runner::{Done, FakeRunner, Job};
use crate::support::{Host, Result, paths, write};

const VARIABLE: &str = "ACTIONS_CACHE_MODE";

/// Returns the number of the newest generation, 0 if there is none.
fn newest(runner: &FakeRunner) -> Result<u64> {
    let number = |path: &PathBuf| {
        let name = path.file_name()?.to_str()?.strip_suffix(".manifest.zst")?;
        name.parse::<u64>().ok()
    };
    Ok(paths(&runner.store().join("series"))?.iter().filter_map(number).max().unwrap_or(0))
}

/// Runs a whole job; returns main, the number of compiled crates, and post.
fn run<'a>(runner: &'a FakeRunner, set: impl Fn(&mut Job<'a>)) -> Result<(Done, usize, Done)> {
    runner.check_out()?;
    let mut job = runner.job(&[]);
    set(&mut job);
    let main = job.main()?.ok()?;
    let compiled = runner.build()?;
    Ok((main, compiled, job.post("success")?.ok()?))
}

#[test]
fn a_job_restores_and_saves_what_its_cache_mode_allows() -> Result {
    #[rustfmt::skip]
    let cases = [
        //mode                 restores saves
        (None,                 true,    true),
        (Some(""),             true,    true),
        (Some("write"),        true,    true),
        (Some("read"),         true,    false),
        (Some("write-only"),   false,   true),
        (Some("none"),         false,   false),
        (Some("append"),       false,   false),
    ];
    let runner = FakeRunner::new()?;
    run(&runner, |_| {})?;
    for (at, (mode, restores, saves)) in cases.into_iter().enumerate() {
        // Change a file, so that each job has something to save.
        let text =
            format!("fn main() {{\n    // {at}\n    println!(\"{{}}\", more::ANSWER);\n}}\n");
        runner.commit(&[("src/main.rs", &text)])?;
        let before = newest(&runner)?;
        let (main, compiled, post) = run(&runner, |job| {
            if let Some(mode) = mode {
                job.set(VARIABLE, mode);
            }
        })?;
        let why = format!("{mode:?}: {}{}", main.log, post.log);
        assert_eq!(compiled, if restores { 1 } else { 2 }, "{why}");
        assert_eq!(main.output("restored-bytes") != "0", restores, "{why}");
        assert_eq!(main.output("cache-matched-key").is_empty(), !restores, "{why}");
        assert_eq!(newest(&runner)? > before, saves, "{why}");
        let said = mode.unwrap_or_default();
        let said = if said == "append" { "none" } else { said };
        let told = |done: &Done, what: &str| {
            done.log
                .contains(&format!("nothing is {what}: the `cache-mode` of this job is `{said}`"))
        };
        assert_eq!((told(&main, "restored"), told(&post, "saved")), (!restores, !saves), "{why}");
        assert_eq!(main.summary.contains("nothing is restored"), !restores, "{}", main.summary);
        let warnings = main.annotations("warning");
        assert_eq!(warnings.len(), usize::from(mode == Some("append")), "{why}");
    }
    assert_eq!(runner.list()?, ["owner/app@protected target"]);
    runner.verify()
}

#[test]
fn a_post_step_may_do_no_more_than_its_main_step() -> Result {
    for (in_main, in_post, saves) in [
        ("read", "", false),
        ("read", "write", false),
        ("none", "write-only", false),
        ("write", "read", false),
        ("", "none", false),
        ("write-only", "", true),
    ] {
        let runner = FakeRunner::new()?;
        let mut job = runner.job(&[]);
        job.set(VARIABLE, in_main);
        job.main()?.ok()?;
        runner.build()?;
        job.set(VARIABLE, in_post);
        let post = job.post("success")?.ok()?;
        assert_eq!(newest(&runner)? > 0, saves, "{in_main}, {in_post}: {}", post.log);
    }
    Ok(())
}

#[test]
fn a_pull_request_obeys_in_its_own_lane_too() -> Result {
    let runner = FakeRunner::new()?;
    run(&runner, |_| {})?;
    let (main, compiled, _) = run(&runner, |job| {
        job.of_pull_request(7);
        job.set(VARIABLE, "read");
    })?;
    assert_eq!((main.output("cache-hit"), compiled), ("true", 0), "{}", main.log);
    assert_eq!(runner.list()?, ["owner/app@protected target"]);
    runner
        .commit(&[("src/main.rs", "fn main() {\n    println!(\"{}\", { more::ANSWER });\n}\n")])?;
    run(&runner, |job| job.of_pull_request(7))?;
    assert_eq!(runner.list()?, ["owner/app@pr/7 target", "owner/app@protected target"]);
    Ok(())
}

#[test]
fn a_job_that_only_saves_builds_on_nothing_that_another_lane_left() -> Result {
    let runner = FakeRunner::new()?;
    let mut job = runner.job(&[]);
    job.of_pull_request(7);
    job.main()?.ok()?;
    runner.build()?;
    // The runner was killed, and the next checkout does not clean.
    let mut job = runner.job(&[]);
    job.set(VARIABLE, "write-only");
    let main = job.main()?.ok()?;
    assert!(main.log.contains("set aside"), "{}", main.log);
    assert_eq!(runner.build()?, 2);
    job.post("success")?.ok()?;
    assert_eq!(runner.list()?, ["owner/app@protected target"]);
    runner.verify()
}

#[test]
fn a_job_that_may_not_restore_looks_nothing_up_and_misses() -> Result {
    let runner = FakeRunner::new()?;
    run(&runner, |_| {})?;
    for inputs in [
        &[("lookup-only", "true"), ("fail-on-cache-miss", "true")],
        &[("mode", "restore"), ("fail-on-cache-miss", "true")],
    ] {
        runner.check_out()?;
        let mut job = runner.job(inputs);
        job.set(VARIABLE, "none");
        let main = job.main()?;
        assert_eq!((main.status, main.output("cache-hit")), (Some(1), "false"), "{}", main.log);
        main.annotates("error", "nothing was restored, and `fail-on-cache-miss` is `true`")?;
        assert!(!runner.workspace().join("target").exists());
    }
    let before = newest(&runner)?;
    runner
        .commit(&[("src/main.rs", "fn main() {\n    println!(\"{}\", { more::ANSWER });\n}\n")])?;
    runner.check_out()?;
    runner.build()?;
    let mut job = runner.job(&[("mode", "save")]);
    job.set(VARIABLE, "read");
    let main = job.main()?.ok()?;
    assert!(main.log.contains("nothing is saved: "), "{}", main.log);
    assert_eq!(newest(&runner)?, before);
    Ok(())
}

#[test]
fn the_command_line_obeys_it_where_a_workflow_sets_it() -> Result {
    let mut host = Host::new()?;
    write(&host.target(), "debug/x", "built")?;
    host.set(VARIABLE, "read");
    let saved = host.save()?.done()?;
    saved.says(&["nothing is saved: the `cache-mode` of this job is `read`"])?;
    assert_eq!((saved.areas(), host.manifests()?.len()), (Vec::new(), 0));
    host.set(VARIABLE, "write-only");
    host.save()?.done()?;
    assert_eq!(host.manifests()?.len(), 1);
    host.lose_target()?;
    let restored = host.restore()?.done()?;
    restored.says(&["nothing is restored: the `cache-mode` of this job is `write-only`"])?;
    assert_eq!((&restored.report["hit"], host.target().exists()), (&"miss".into(), false));
    assert_eq!(host.restore_with(&["--fail-on-cache-miss"])?.status, Some(3));
    host.set(VARIABLE, "sometimes");
    host.restore()?
        .done()?
        .says(&["warning: `ACTIONS_CACHE_MODE` is `sometimes`, which this version"])?;
    assert!(!host.target().exists());
    host.set(VARIABLE, "read");
    host.restore()?.done()?;
    assert!(host.target().join("debug/x").exists());
    Ok(())
}
