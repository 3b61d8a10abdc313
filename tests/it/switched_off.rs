//! Incremental compilation is recommended: a job says where it is off, and the reusable workflow switches it off only
//! when it is told to.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::fake_runner::FakeRunner;
use crate::support::{Host, Result, isolated, succeed};

const CODE: &str = "incremental-off";
const SAID: &str = "incremental compilation is off (`CARGO_INCREMENTAL=0`)";
const RUST_CI: &str = ".github/workflows/rust-ci.yml";

#[test]
fn a_restore_of_a_target_says_by_which_variable_incremental_compilation_is_off() -> Result {
    #[rustfmt::skip]
    let cases = [
        // why                variable                               areas             said
        ("unset",             "",                                    "target",          false),
        ("off",               "CARGO_INCREMENTAL=0",                 "target",          true),
        ("on",                "CARGO_INCREMENTAL=1",                 "target",          false),
        ("off in a profile",  "CARGO_PROFILE_DEV_INCREMENTAL=false", "registry,target", true),
        ("nothing to build",  "CARGO_INCREMENTAL=0",                 "registry,git",    false),
    ];
    for (why, variable, areas, said) in cases {
        let mut host = Host::new()?;
        if let Some((name, value)) = variable.split_once('=') {
            host.set(name, value);
        }
        let restored = host.restore_with(&["--areas", areas])?.done()?;
        let notes = restored.report["notes"].as_array().map_or(&[][..], Vec::as_slice);
        let found: Vec<_> = notes.iter().filter(|note| note["code"] == CODE).collect();
        assert_eq!(found.len(), usize::from(said), "{why}: {notes:?}");
        for note in found {
            let text = note["text"].as_str().unwrap_or_default();
            assert!(text.contains(&format!("`{variable}`")), "{why}: {text}");
        }
    }
    Ok(())
}

#[test]
fn a_job_says_once_in_its_log_and_its_summary_that_incremental_compilation_is_off() -> Result {
    let runner = FakeRunner::new()?;
    for (value, times) in [("0", 1), ("1", 0)] {
        runner.check_out()?;
        let mut job = runner.job(&[]);
        job.set("CARGO_INCREMENTAL", value);
        let main = job.main()?.ok()?;
        let post = job.post("success")?.ok()?;
        assert_eq!(main.log.matches(SAID).count(), times, "{value}: {}", main.log);
        let in_summary = main.summary.matches("incremental compilation is off").count();
        assert_eq!(in_summary, times, "{value}: {}", main.summary);
        assert!(!post.log.contains(SAID), "{value}: {}", post.log);
        assert_eq!(main.annotations("warning"), Vec::<String>::new(), "{value}: it is no warning");
    }
    Ok(())
}

/// Returns the steps of a job of the workflow, one text each.
fn steps(workflow: &str, job: &str) -> Vec<String> {
    let (_, rest) = workflow.split_once(&format!("\n  {job}:\n")).expect("the job");
    let (_, rest) = rest.split_once("\n    steps:\n").expect("its steps");
    let lines = rest.lines().take_while(|line| line.is_empty() || line.starts_with("      "));
    let mut steps: Vec<String> = Vec::new();
    for line in lines.filter(|line| !line.trim_start().starts_with('#')) {
        match (line.strip_prefix("      - "), steps.last_mut()) {
            (None, Some(step)) => step.extend([line.trim(), "\n"]),
            (start, _) => steps.push(format!("{}\n", start.unwrap_or(line))),
        }
    }
    steps
}

#[test]
fn rust_ci_sets_the_variable_only_if_its_input_is_off_and_before_the_key() -> Result {
    let workflow = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(RUST_CI))?;
    let wanted = "name: Switch incremental compilation off\nif: ${{ !inputs.incremental }}\n\
         run: echo CARGO_INCREMENTAL=0 >>\"$GITHUB_ENV\"\n";
    for (job, user) in [("setup", "id: cache\n"), ("check", "id: cache\n")] {
        let steps = steps(&workflow, job);
        let switch = steps.iter().position(|step| step == wanted);
        let cache = steps.iter().position(|step| step.contains(user));
        assert!(switch.is_some() && switch < cache, "{job}: {steps:#?}");
    }
    // Set anywhere else, it would be there when the input is on: empty it means off, and `1` is for releases, too.
    let uncommented = workflow.lines().filter(|line| !line.trim_start().starts_with('#'));
    assert_eq!(uncommented.filter(|line| line.contains("_INCREMENTAL")).count(), 2);

    let (_, script) = wanted.trim_end().split_once("run: ").expect("a script");
    let dir = TempDir::new()?;
    let file = dir.path().join("env");
    let mut shell = isolated("sh", dir.path(), dir.path());
    succeed(shell.args(["-c", script]).env("GITHUB_ENV", &file))?;
    assert_eq!(fs::read_to_string(file)?, "CARGO_INCREMENTAL=0\n");
    Ok(())
}
