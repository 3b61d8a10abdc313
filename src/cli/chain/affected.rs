//! `runner-cache chain affected`.

use std::collections::BTreeSet;

use clap::Args;
use serde_json::{Value, json};

use super::super::{Error, Result};
use super::files::{FileArgs, set_outputs};
use super::run::run;
use crate::chain::{Affected, Chain, RepoName};
use crate::front::Status;
use crate::front::print::{Text, line, print_json, to_stderr};

/// Options of `chain affected`.
#[derive(Debug, Args)]
pub(super) struct AffectedArgs {
    #[command(flatten)]
    file: FileArgs,
    /// The repos that changed, or `all` [default: the repos that this run's event changes]
    #[arg(long, value_name = "REPO", num_args = 1.., value_delimiter = ',')]
    changed: Vec<String>,
    /// The repos that could not be built; leave out these and all that depend on them
    #[arg(long, value_name = "REPO", num_args = 0.., value_delimiter = ',')]
    failed: Vec<String>,
    /// Print one JSON object to stdout
    #[arg(long)]
    json: bool,
}

impl AffectedArgs {
    pub(super) fn run(&self) -> Result<Status> {
        let chain = self.file.chain()?;
        let changed = match self.changed.as_slice() {
            [] => run()?.changed(&chain)?,
            names => repos_named(&chain, names)?,
        };
        let failed = repos_named(&chain, &self.failed)?;
        let affected = chain.unblocked(&chain.affected(&changed), &failed);
        to_stderr(&text(&affected));
        let outputs = outputs(&chain, &changed, &affected);
        set_outputs(&outputs)?;
        if self.json {
            let changed: Vec<_> = changed.iter().collect();
            print_json(&json!({ "changed": changed, "levels": affected.levels }))?;
        }
        Ok(Status::Done)
    }
}

/// Returns the repos that the user named; `all` stands for all of them.
pub(super) fn repos_named(chain: &Chain, names: &[String]) -> Result<BTreeSet<RepoName>> {
    let mut repos = BTreeSet::new();
    for name in names.iter().filter(|name| !name.is_empty()) {
        if name == "all" {
            repos.extend(chain.repos().iter().map(|repo| repo.name.clone()));
            continue;
        }
        let known = name.parse().ok().and_then(|name| chain.repo(&name));
        let known = known.ok_or_else(|| {
            let all: Vec<_> = chain.repos().iter().map(|repo| repo.name.as_str()).collect();
            let name: String = name.escape_debug().collect();
            Error::refused(format!("`{name}` is no repo of this chain: {}", all.join(", ")))
        })?;
        repos.insert(known.name.clone());
    }
    Ok(repos)
}

fn text(affected: &Affected) -> Text {
    let mut text = Text::default();
    for (at, level) in affected.levels.iter().enumerate() {
        let names: Vec<_> = level.iter().map(RepoName::as_str).collect();
        let names = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
        line!(text, "level {}: {names}", at + 1);
    }
    if affected.levels.is_empty() {
        line!(text, "nothing is built");
    }
    text
}

/// Returns the outputs that tell which repos are built. Every output has a value.
pub(super) fn outputs(
    chain: &Chain,
    changed: &BTreeSet<RepoName>,
    affected: &Affected,
) -> Vec<(String, String)> {
    let mut outputs = Vec::new();
    for repo in chain.repos() {
        let is_built = affected.contains(&repo.name);
        outputs.push((format!("build_{}", repo.name), is_built.to_string()));
    }
    for number in 1..=chain.depth() {
        let level = affected.level(number);
        outputs.push((format!("level_{number}"), (!level.is_empty()).to_string()));
        outputs.push((format!("matrix_{number}"), matrix(chain, level).to_string()));
    }
    outputs.push(("levels".to_owned(), json!(affected.levels).to_string()));
    outputs.push(("changed".to_owned(), json!(changed).to_string()));
    outputs.push(("any".to_owned(), affected.builds().next().is_some().to_string()));
    outputs
}

/// Returns the matrix of the jobs that build these repos.
fn matrix(chain: &Chain, level: &[RepoName]) -> Value {
    let repos = level.iter().filter_map(|name| chain.repo(name));
    let include: Vec<_> = repos
        .map(|repo| {
            let features: Vec<_> = repo.features.iter().map(ToString::to_string).collect();
            json!({
                "repo": repo.name,
                "repository": chain.full_name(&repo.repository),
                "kind": repo.kind,
                "runner": repo.runner,
                "package": repo.package,
                "features": features.join(","),
                "timeout-minutes": repo.timeout_minutes,
            })
        })
        .collect();
    json!({ "include": include })
}
