//! `runner-cache chain receive`.

use clap::Args;
use serde_json::json;

use super::super::Result;
use super::affected;
use super::files::{FileArgs, set_outputs};
use super::run::{ApiArgs, run};
use crate::chain::{Chain, Claim, Payload, Received, Repo, RepoName, receive};
use crate::front::Status;
use crate::front::print::{Text, line, print_json, to_stderr};

/// Options of `chain receive`.
#[derive(Debug, Args)]
pub(super) struct ReceiveArgs {
    #[command(flatten)]
    file: FileArgs,
    #[command(flatten)]
    api: ApiArgs,
    /// Only show what the run would do, and leave the link for another run
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object to stdout
    #[arg(long)]
    json: bool,
}

impl ReceiveArgs {
    pub(super) fn run(&self) -> Result<Status> {
        let chain = self.file.chain()?;
        let run = run()?;
        let claim = if self.dry_run { Claim::Look } else { Claim::Take };
        let received = receive(&chain, &run, &self.api.api(&chain)?, claim)?;
        to_stderr(&text(&received));
        let outputs = outputs(&chain, &received);
        set_outputs(&outputs)?;
        if self.json {
            let outputs: serde_json::Map<_, _> =
                outputs.into_iter().map(|(name, value)| (name, json!(value))).collect();
            print_json(&outputs)?;
        }
        Ok(Status::Done)
    }
}

fn text(received: &Received) -> Text {
    let mut text = Text::default();
    if let Some(reason) = &received.dropped {
        line!(text, "nothing is done: {reason}");
        return text;
    }
    let plan = received.plan;
    let parts = [
        ("checks", plan.checks),
        ("build", plan.build),
        ("downstream", plan.downstream),
        ("artifacts", plan.artifacts),
    ];
    let parts: Vec<_> = parts.iter().filter(|(_, is_in)| *is_in).map(|(name, _)| *name).collect();
    line!(
        text,
        "this run does: {}",
        if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }
    );
    if let Some(payload) = &received.payload {
        let path: Vec<_> = payload.visited.iter().map(RepoName::as_str).collect();
        line!(text, "chain {}: {} at {}", payload.chain_id, path.join(" → "), payload.source_sha);
    }
    for (name, sha) in &received.commits {
        line!(text, "  {name} at {sha}");
    }
    text
}

fn outputs(chain: &Chain, received: &Received) -> Vec<(String, String)> {
    let Received { dropped, plan, payload, repo, sha, commits, changed } = received;
    let of_payload =
        |value: fn(&Payload) -> String| payload.as_ref().map(value).unwrap_or_default();
    let is_dependency =
        |it: &&Repo| it.is_built() && repo.as_ref().is_some_and(|repo| it.name != *repo);
    let dependencies: Vec<_> = chain
        .repos()
        .iter()
        .filter(is_dependency)
        .filter_map(|it| {
            Some(format!("{}@{}", chain.full_name(&it.repository), commits.get(&it.name)?))
        })
        .collect();
    let words = [
        ("accepted", dropped.is_none().to_string()),
        ("reason", dropped.clone().unwrap_or_default()),
        ("checks", plan.checks.to_string()),
        ("build", plan.build.to_string()),
        ("downstream", plan.downstream.to_string()),
        ("artifacts", plan.artifacts.to_string()),
        ("chain-id", of_payload(|payload| payload.chain_id.to_string())),
        ("source", of_payload(|payload| payload.source.to_string())),
        ("source-sha", of_payload(|payload| payload.source_sha.to_string())),
        ("source-ref", of_payload(|payload| payload.source_ref.to_string())),
        (
            "version",
            of_payload(|payload| {
                payload.version.as_ref().map(ToString::to_string).unwrap_or_default()
            }),
        ),
        ("hop", of_payload(|payload| payload.hop().to_string())),
        ("sha", sha.to_string()),
        ("commits", json!(commits).to_string()),
        ("dependencies", dependencies.join("\n")),
    ];
    let mut outputs: Vec<_> =
        words.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    outputs.extend(affected::outputs(chain, changed, &chain.affected(changed)));
    outputs
}
