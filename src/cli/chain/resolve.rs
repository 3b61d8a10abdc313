//! `runner-cache chain resolve`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::super::{Error, Result};
use super::files::{FileArgs, set_outputs};
use super::run::{ApiArgs, run};
use crate::chain::{Api, Chain, Commits, newest_of_all, of_release, read_versions, refs};
use crate::front::Status;
use crate::front::print::{Text, line, print_json, to_stderr};

/// Options of `chain resolve`.
#[derive(Debug, Args)]
pub(super) struct ResolveArgs {
    #[command(flatten)]
    file: FileArgs,
    #[command(flatten)]
    api: ApiArgs,
    /// A file with the tags of a release [default: the newest commit of each repo's branch; for the
    /// event's repo, the event's commit]
    #[arg(long, value_name = "FILE")]
    versions: Option<PathBuf>,
    /// Print one JSON object to stdout
    #[arg(long)]
    json: bool,
}

impl ResolveArgs {
    pub(super) fn run(&self) -> Result<Status> {
        let chain = self.file.chain()?;
        let api = self.api.api(&chain)?;
        let (wanted, commits) = match &self.versions {
            Some(path) => {
                let text = read(path)?;
                let wanted = read_versions(&chain, &path.display().to_string(), &text)
                    .map_err(crate::chain::Error::from)?;
                let commits = of_release(&chain, &api, &wanted)?;
                (wanted, commits)
            }
            None => (BTreeMap::new(), newest(&chain, &api)?),
        };
        let refs = refs(&chain, &wanted);
        let mut text = Text::default();
        let mut outputs = vec![
            ("commits".to_owned(), json!(commits).to_string()),
            ("refs".to_owned(), json!(refs).to_string()),
        ];
        for (name, sha) in &commits {
            line!(text, "{name} at {sha}");
            outputs.push((format!("sha_{name}"), sha.to_string()));
        }
        to_stderr(&text);
        set_outputs(&outputs)?;
        if self.json {
            print_json(&json!({ "commits": commits, "refs": refs }))?;
        }
        Ok(Status::Done)
    }
}

/// Returns the newest commit of every repo. Repos whose commits the event of this run brings, if
/// this is a run, are at those commits.
pub(super) fn newest(chain: &Chain, api: &Api) -> Result<Commits> {
    let is_run = super::super::args::environment().get("GITHUB_EVENT_NAME").is_some();
    let known = if is_run { run()?.commits(chain)? } else { Commits::new() };
    Ok(newest_of_all(chain, api, &known)?)
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|source| Error::File {
        action: "read",
        path: path.to_owned(),
        source,
    })
}
