//! `runner-cache chain dispatch`.

use clap::{Args, ValueEnum};
use serde_json::json;

use super::super::{Error, Result};
use super::affected::repos_named;
use super::files::{FileArgs, set_outputs};
use super::run::{ApiArgs, run};
use crate::chain::{Chain, Dispatched, RepoName, Results, RunResult, dispatch, requests};
use crate::front::Status;
use crate::front::print::{Text, line, print_json, to_stderr, to_stdout};

/// Options of `chain dispatch`.
#[derive(Debug, Args)]
pub(super) struct DispatchArgs {
    #[command(flatten)]
    file: FileArgs,
    #[command(flatten)]
    api: ApiArgs,
    /// The result of the jobs of this run
    #[arg(long, value_name = "RESULT", default_value = "success")]
    result: JobResult,
    /// The result of each repo's jobs, in an orchestrator; if a repo is named twice, both must be a success
    #[arg(long, value_name = "REPO=RESULT", num_args = 0.., value_delimiter = ',')]
    results: Vec<String>,
    /// Print the requests, and send none
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object to stdout
    #[arg(long)]
    json: bool,
}

/// The result of a job, in GitHub's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum JobResult {
    Success,
    Failure,
    Cancelled,
    Skipped,
}

impl DispatchArgs {
    pub(super) fn run(&self) -> Result<Status> {
        let chain = self.file.chain()?;
        let run = run()?;
        if self.dry_run {
            let requests = requests(&chain, &run)?;
            for request in &requests {
                let mut text = line!("{} {}", request.method, request.path);
                text.json(&format!("{:#}", request.body));
                to_stdout(&text)?;
            }
            to_stderr(&line!("would send {} requests", requests.len()));
            return Ok(Status::Done);
        }
        let (outcome, results) = (self.result.outcome(), self.results(&chain)?);
        let done = dispatch(&chain, &run, &self.api.api(&chain)?, outcome, &results)?;
        to_stderr(&text(&done));
        let Dispatched { chain_id, sent, waiting, .. } = &done;
        set_outputs(&[
            ("chain-id".to_owned(), chain_id.to_string()),
            ("sent".to_owned(), json!(sent).to_string()),
            ("waiting".to_owned(), json!(waiting).to_string()),
        ])?;
        if self.json {
            let Dispatched { idle, taken, left, blocked, noted, .. } = &done;
            print_json(&json!({
                "chain-id": chain_id, "idle": idle, "sent": sent, "waiting": waiting, "taken": taken,
                "left": left, "blocked": blocked, "noted": noted,
            }))?;
        }
        Ok(Status::Done)
    }

    /// Returns the result of each repo: a success if all results that name it are.
    fn results(&self, chain: &Chain) -> Result<Results> {
        let mut results = Results::new();
        for text in self.results.iter().filter(|text| !text.is_empty()) {
            let refuse = || {
                let text: String = text.escape_debug().collect();
                Error::refused(format!(
                    "--results: `{text}` is not a repo and its result (REPO=success, failure, cancelled or skipped)"
                ))
            };
            let (name, result) = text.split_once('=').ok_or_else(refuse)?;
            let result = JobResult::from_str(result, false).map_err(|_| refuse())?;
            for name in repos_named(chain, &[name.to_owned()])? {
                let noted = results.entry(name).or_insert(RunResult::Success);
                if result.outcome() == RunResult::Failure {
                    *noted = RunResult::Failure;
                }
            }
        }
        Ok(results)
    }
}

impl JobResult {
    fn outcome(self) -> RunResult {
        match self {
            Self::Success => RunResult::Success,
            Self::Failure | Self::Cancelled | Self::Skipped => RunResult::Failure,
        }
    }
}

fn text(done: &Dispatched) -> Text {
    let names =
        |names: &[RepoName]| names.iter().map(RepoName::as_str).collect::<Vec<_>>().join(", ");
    let mut text = Text::default();
    if let Some(reason) = &done.idle {
        line!(text, "nothing is sent: {reason}");
    }
    for repository in &done.sent {
        line!(text, "sent to {repository}");
    }
    for (repo, missing) in &done.waiting {
        line!(text, "{repo} waits for {}", names(missing));
    }
    for repo in &done.taken {
        line!(text, "{repo} is being built already");
    }
    for (repo, last) in &done.left {
        line!(text, "{last} was done later and sends the event to {repo}");
    }
    if !done.blocked.is_empty() {
        line!(text, "not built because of this: {}", names(&done.blocked));
    }
    for (repo, outcome) in &done.noted {
        let word = if *outcome == RunResult::Success { "success" } else { "failure" };
        line!(text, "noted for {repo}: {word}");
    }
    if text.is_empty() {
        line!(text, "this is the end of the chain {}", done.chain_id);
    }
    text
}
