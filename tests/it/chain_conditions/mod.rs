//! Which jobs run, whatever became of the jobs that they need: every `if` of the workflows that `chain init` writes, and
//! of the reusable ones, for all combinations of results.
//!
//! A job that runs into its time limit ends as `cancelled` while its run goes on, so neither `cancelled()` nor
//! `failure()` is true then. Conditions that looked at these alone published a nightly that was never tested.

mod expression;
mod workflow;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use self::expression::Situation;
use self::workflow::{Job, jobs_of};
use crate::support::{PROGRAM, Result, succeed};

/// What can become of a job.
const RESULTS: [&str; 4] = ["success", "failure", "cancelled", "skipped"];

/// The workflows of one repository, by the name of the file.
type Workflows = BTreeMap<String, String>;

/// Returns the workflows that `chain init` writes for a chain, by repository.
fn generated(chain: &Path) -> Result<BTreeMap<String, Workflows>> {
    let dir = tempfile::Builder::new().prefix("runner-cache-it-").tempdir()?;
    let show = Command::new(PROGRAM)
        .args(["chain", "show", "--format", "json", "--file"])
        .arg(chain)
        .output()?;
    let shown: Value = serde_json::from_slice(&show.stdout)?;
    let repos = shown["repos"].as_array().ok_or("no repos")?.iter();
    let mut names: Vec<_> = repos.filter_map(|repo| repo["repository"].as_str()).collect();
    names.extend(shown["orchestrator"].as_str());
    names.extend(shown["releases"]["repository"].as_str());
    let names = names.iter().map(|name| name.rsplit('/').next().unwrap_or_default());
    for name in names {
        fs::create_dir_all(dir.path().join(name))?;
    }
    let mut init = Command::new(PROGRAM);
    succeed(init.args(["chain", "init", "--file"]).arg(chain).arg(dir.path()))?;
    let mut written = BTreeMap::new();
    for entry in fs::read_dir(dir.path())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        written.insert(name, read_all(&entry.path().join(".github/workflows"))?);
    }
    Ok(written)
}

fn read_all(dir: &Path) -> Result<Workflows> {
    let mut workflows = Workflows::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        workflows.insert(name, fs::read_to_string(path)?);
    }
    Ok(workflows)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns all that can have become of `needs`. If there are many, at most two of them are not a success.
fn all_results(needs: &[String]) -> Vec<BTreeMap<String, &'static str>> {
    const MANY: usize = 6;
    let mut all = vec![BTreeMap::new()];
    for need in needs {
        let before = std::mem::take(&mut all);
        for results in before {
            let others = results.values().filter(|result| **result != "success").count();
            let may_differ = needs.len() <= MANY || others < 2;
            for result in RESULTS.iter().take(if may_differ { RESULTS.len() } else { 1 }) {
                let mut results = results.clone();
                results.insert(need.clone(), *result);
                all.push(results);
            }
        }
    }
    all
}

/// The table of what must run: tells whether the job does, if its event asks for it (`is_wanted`).
fn must_run(file: &str, job: &str, situation: &Situation) -> Result<bool> {
    let is = |need: &str, result: &str| situation.results.get(need) == Some(&result);
    let none = |result: &str| !situation.results.values().any(|it| *it == result);
    let all_succeeded = situation.results.values().all(|it| *it == "success");
    let may = !situation.is_cancelled && situation.is_wanted;
    let undisturbed = may && none("failure") && none("cancelled");
    let verb = job.split('-').next().unwrap_or_default();
    Ok(match (file, verb) {
        // What a chain begins with. What was asked for is also asked for when it starts.
        ("chain", "receive")
        | ("release-orchestrator", "plan")
        | ("nightly-prerelease", "decide") => !situation.is_cancelled,
        ("chain", "ci" | "build") | ("nightly-prerelease", "build") => may && all_succeeded,
        // It also tells that something failed, if there is a chain to tell.
        ("chain", "dispatch") => situation.is_wanted && !is("receive", "skipped"),
        // A repo that the change does not concern is skipped, and holds up nothing.
        ("release-orchestrator", "build" | "verify") => undisturbed && is("plan", "success"),
        // It also writes back that something failed.
        ("release-orchestrator", "report") => situation.is_wanted && is("plan", "success"),
        ("nightly-prerelease", "publish") => {
            undisturbed && is("build", "success") && is("decide", "success")
        }
        _ => return Err(format!("no row of the table is about `{job}` of `{file}`").into()),
    })
}

/// Checks the conditions of all jobs of a workflow.
fn check(whose: &str, file: &str, text: &str) -> Result<usize> {
    let mut checked = 0;
    for Job { name, needs, condition } in jobs_of(text)? {
        for results in all_results(&needs) {
            for (is_cancelled, is_wanted) in [(false, true), (false, false), (true, true)] {
                let situation = Situation { results: results.clone(), is_cancelled, is_wanted };
                let runs = situation.runs(condition.as_deref())?;
                let want = must_run(file, &name, &situation)?;
                assert_eq!(runs, want, "{whose}: {name} of {file} in {situation:?}: {condition:?}");
                checked += 1;
            }
        }
    }
    Ok(checked)
}

#[test]
fn a_generated_job_runs_only_if_all_that_it_needs_went_well() -> Result {
    let mut checked = 0;
    for chain in [
        "examples/chain/dispatch.toml",
        "examples/chain/orchestrator.toml",
        "tests/it/chain_conditions/eleven.toml",
    ] {
        for (repository, workflows) in generated(&root().join(chain))? {
            for (file, text) in workflows {
                checked += check(&repository, &file, &text)?;
                // A job that a user added to what the last job waits for.
                let place = "      # yours: needs\n";
                if text.contains(place) {
                    let text = text.replace(place, &format!("{place}      - mine\n"));
                    checked += check(&repository, &file, &text)?;
                }
            }
        }
    }
    assert!(checked > 10_000, "{checked}");
    Ok(())
}

/// A job that needs only the job before it does not see that one further above failed.
#[test]
fn a_job_of_the_orchestrator_needs_all_jobs_above_it() -> Result {
    for (_, workflows) in generated(&root().join("tests/it/chain_conditions/eleven.toml"))? {
        let Some(text) = workflows.get("release-orchestrator") else { continue };
        let jobs = jobs_of(text)?;
        for job in &jobs {
            for above in jobs.iter().filter(|above| job.needs.contains(&above.name)) {
                let missing = above.needs.iter().find(|need| !job.needs.contains(need));
                assert_eq!(missing, None, "{} needs {}", job.name, above.name);
            }
        }
        return Ok(());
    }
    Err("no orchestrator".into())
}

/// The result that a repo tells the next ones.
#[test]
fn a_repo_tells_the_next_of_a_success_only_if_all_that_was_asked_for_succeeded() -> Result {
    for (repository, workflows) in generated(&root().join("examples/chain/dispatch.toml"))? {
        let text = workflows.get("chain").ok_or("no workflow")?;
        let place = "      # yours: needs\n";
        let text = text.replace(place, &format!("{place}      - mine\n"));
        let (_, result) = text.split_once("      result: >-\n").ok_or("no result")?;
        let result = result.lines().next().unwrap_or_default().trim();
        let jobs = jobs_of(&text)?;
        let job = jobs.iter().find(|job| job.name == "dispatch").ok_or("no job")?;
        for results in all_results(&job.needs) {
            for is_wanted in [true, false] {
                let situation =
                    Situation { results: results.clone(), is_cancelled: false, is_wanted };
                if !situation.runs(job.condition.as_deref())? {
                    continue;
                }
                let told = situation.value(result)?;
                let of = |job: &str| results.get(job).copied();
                let any = |result: &str| results.values().any(|it| *it == result);
                let is_built = of("build").is_some();
                let was_skipped =
                    of("ci") == Some("skipped") || (is_wanted || !is_built) && any("skipped");
                let want = match () {
                    () if any("failure") => "failure",
                    () if any("cancelled") => "cancelled",
                    () if was_skipped => "skipped",
                    () => "success",
                };
                assert_eq!(told, want, "{repository}: {situation:?}");
            }
        }
    }
    Ok(())
}

/// The reusable workflows, and those of this repository, leave that to GitHub: no job of theirs runs after another one
/// that did not succeed.
#[test]
fn no_reusable_job_runs_after_one_that_did_not_succeed() -> Result {
    for (file, text) in read_all(&root().join(".github/workflows"))? {
        for Job { name, needs, condition } in jobs_of(&text)? {
            if let Some(condition) = &condition {
                let overrides = ["always()", "cancelled()", "failure()"];
                let found = overrides.iter().find(|it| condition.contains(**it));
                assert_eq!(found, None, "{name} of {file}: {condition}");
            }
            for results in all_results(&needs) {
                let is_wanted = true;
                let situation = Situation { results, is_cancelled: false, is_wanted };
                let all_succeeded = situation.results.values().all(|it| *it == "success");
                if !all_succeeded {
                    assert!(
                        !situation.runs(condition.as_deref())?,
                        "{name} of {file}: {situation:?}"
                    );
                }
            }
        }
    }
    Ok(())
}
