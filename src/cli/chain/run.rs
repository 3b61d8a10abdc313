//! The run that this step belongs to, and the API that it uses.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use super::super::Result;
use super::super::args::environment;
use crate::chain::{self, Api, Chain, Event, Run, Token};
use crate::front::print::{line, to_stderr};
use crate::github::event;
use crate::model::environment::Environment;

/// The option for requests to GitHub.
#[derive(Debug, Args)]
pub(super) struct ApiArgs {
    /// Number of seconds, in total, to keep trying while GitHub fails or asks to wait
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    patience: u64,
}

impl ApiArgs {
    /// Returns the API at the runner's address, with the token of `chain`, else of the job.
    pub(super) fn api(&self, chain: &Chain) -> Result<Api> {
        let environment = environment();
        let secret = &chain.dispatch().secret;
        let token = ["CHAIN_TOKEN", "INPUT_TOKEN", "GITHUB_TOKEN"].into_iter().find_map(|name| {
            let token = text(&environment, name)?.trim();
            // The input of a step comes from the secret.
            let name = if name == "INPUT_TOKEN" { secret.as_str() } else { name };
            let unfit = |error| chain::Error::Environment(format!("{name}: {error}"));
            Some(token.parse::<Token>().map_err(unfit))
        });
        let base = text(&environment, "GITHUB_API_URL").unwrap_or("https://api.github.com");
        let patience = Duration::from_secs(self.patience);
        let tell = |what: &str| to_stderr(&line!("{what}"));
        Ok(Api::new(base, token.transpose()?, secret.clone(), patience, tell)?)
    }
}

/// Returns the run that this step belongs to.
pub(super) fn run() -> Result<Run> {
    let environment = environment();
    let path = text(&environment, "GITHUB_EVENT_PATH").map(Path::new);
    let event = Event::parse(need(&environment, "GITHUB_EVENT_NAME")?, &event::bytes(path)?)?;
    Ok(Run {
        repository: need(&environment, "GITHUB_REPOSITORY")?.to_owned(),
        event,
        sha: word(&environment, "GITHUB_SHA")?,
        git_ref: need(&environment, "GITHUB_REF")?.to_owned(),
        id: word(&environment, "GITHUB_RUN_ID")?,
        is_repeated: text(&environment, "GITHUB_RUN_ATTEMPT").is_some_and(|attempt| attempt != "1"),
        server: text(&environment, "GITHUB_SERVER_URL").unwrap_or("https://github.com").to_owned(),
    })
}

fn text<'a>(environment: &'a Environment, name: &str) -> Option<&'a str> {
    environment.get(name)?.to_str()
}

fn need<'a>(environment: &'a Environment, name: &str) -> Result<&'a str> {
    let missing = || chain::Error::Environment(format!("`{name}` is not set"));
    Ok(text(environment, name).ok_or_else(missing)?)
}

fn word<T: FromStr<Err = crate::chain::ParseError>>(
    environment: &Environment,
    name: &str,
) -> Result<T> {
    let unfit = |error| chain::Error::Environment(format!("{name}: {error}"));
    Ok(need(environment, name)?.parse().map_err(unfit)?)
}
