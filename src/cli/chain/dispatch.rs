//! `runner-cache chain dispatch`.

use clap::{Args, ValueEnum};
use serde_json::json;

use super::super::Result;
use super::files::{FileArgs, set_outputs};
use super::run::{ApiArgs, run};
use crate::chain::{Dispatched, Outcome, RepoName, dispatch, requests};
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
        let outcome = match self.result {
            JobResult::Success => Outcome::Success,
            JobResult::Failure | JobResult::Cancelled | JobResult::Skipped => Outcome::Failure,
        };
        let done = dispatch(&chain, &run, &self.api.api(&chain)?, outcome)?;
        to_stderr(&text(&done));
        let Dispatched { chain_id, sent, waiting, .. } = &done;
        set_outputs(&[
            ("chain-id".to_owned(), chain_id.to_string()),
            ("sent".to_owned(), json!(sent).to_string()),
            ("waiting".to_owned(), json!(waiting).to_string()),
        ])?;
        if self.json {
            let Dispatched { idle, taken, left, blocked, .. } = &done;
            print_json(&json!({
                "chain-id": chain_id, "idle": idle, "sent": sent, "waiting": waiting, "taken": taken,
                "left": left, "blocked": blocked,
            }))?;
        }
        Ok(Status::Done)
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
        line!(text, "{repo} is told by {last}, which was done later");
    }
    if !done.blocked.is_empty() {
        line!(text, "not built because of this: {}", names(&done.blocked));
    }
    if text.is_empty() {
        line!(text, "this is the end of the chain {}", done.chain_id);
    }
    text
}
