//! `runner-cache chain`: the build chain of an organisation's repos.

mod affected;
mod check;
mod dispatch;
mod files;
mod init;
mod nightly;
mod receive;
mod resolve;
mod run;
mod show;
pub(super) mod step;

use clap::{Args, Subcommand};

use super::{Error, Result};
use crate::chain;
use crate::chain::init::Error as InitError;
use crate::front::Status;

/// The commands for chains.
#[derive(Debug, Args)]
pub(super) struct ChainArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check `chain.toml`: cycles, unknown names, unreachable repos
    Check(check::CheckArgs),
    /// Print the graph of repos
    Show(show::ShowArgs),
    /// Show which repos a change rebuilds, and in which order
    Affected(affected::AffectedArgs),
    /// Show what this run does for its event, and take a link unless another run has it
    Receive(receive::ReceiveArgs),
    /// Tell the repos that depend on this one that it is built
    Dispatch(dispatch::DispatchArgs),
    /// Look up the commit of every repo that is built
    Resolve(resolve::ResolveArgs),
    /// Tell whether a nightly prerelease is due, or publish it
    Nightly(nightly::NightlyArgs),
    /// Write the workflows of every repo
    Init(init::InitArgs),
}

impl ChainArgs {
    pub(super) fn run(&self) -> Result<Status> {
        match &self.command {
            Command::Check(args) => args.run(),
            Command::Show(args) => args.run(),
            Command::Affected(args) => args.run(),
            Command::Receive(args) => args.run(),
            Command::Dispatch(args) => args.run(),
            Command::Resolve(args) => args.run(),
            Command::Nightly(args) => args.run(),
            Command::Init(args) => args.run(),
        }
    }
}

/// Returns advice about an error, if we know any.
pub(super) fn hint(error: &Error) -> Option<String> {
    match error {
        Error::Findings(found) if found.findings.len() > 1 => {
            Some("`runner-cache chain check` lists all of them".to_owned())
        }
        Error::Init(InitError::NoCheckout { .. }) => {
            Some("clone it, or name the repositories that are there with --only".to_owned())
        }
        Error::Init(InitError::OtherChain { .. }) => {
            Some("remove the first file, or run this with --file and its path".to_owned())
        }
        Error::File { .. } => Some("give the chain's file with --file FILE".to_owned()),
        Error::Chain(error) => advice(error),
        _ => None,
    }
}

fn advice(error: &chain::Error) -> Option<String> {
    use chain::Error;
    let advice = match error {
        Error::UnknownEvent(_) => {
            "a chain handles push, pull_request, merge_group, release (published), repository_dispatch of the \
             types that `chain show --format json` tells, workflow_dispatch and schedule"
        }
        Error::Environment(_) => {
            "run it in a step of a workflow, or set what a runner sets: GITHUB_EVENT_NAME, GITHUB_EVENT_PATH, \
             GITHUB_REPOSITORY, GITHUB_SHA, GITHUB_REF and GITHUB_RUN_ID"
        }
        Error::UnknownRepo(_) => "add it to `chain.toml`, or correct its name",
        Error::Denied { .. } => "docs/guide/chain.md says which rights a token of the chain needs",
        Error::Unreachable { .. } => {
            "check `GITHUB_API_URL`, and the network and proxy of the runner"
        }
        Error::Answered { status: 301 | 302 | 307 | 308, .. } => {
            "put its new name into `chain.toml`"
        }
        Error::Answered { status: 500.. | 429 | 403, .. } => {
            "run the job again later: what was sent is not built twice"
        }
        Error::Unsettled { .. } => {
            "run the job again when GitHub shows all statuses: it goes on, and nothing is built twice"
        }
        Error::Unsent { .. } => {
            "run the job again: it sends what is missing, and nothing is built twice"
        }
        _ => return None,
    };
    Some(advice.to_owned())
}
