//! `runner-cache chain`: what an organisation's repos do to each other.

mod affected;
mod check;
mod files;
mod init;
mod show;

use clap::{Args, Subcommand};

use super::{Error, Result, Status};

/// What to do with the chain.
#[derive(Debug, Args)]
pub(super) struct ChainArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say what is wrong with `chain.toml`: cycles, unknown names, unreachable repos
    Check(check::CheckArgs),
    /// Print the graph of repos
    Show(show::ShowArgs),
    /// Say which repos a change rebuilds, in which order
    Affected(affected::AffectedArgs),
    /// Write the workflows of every repo
    Init(init::InitArgs),
}

impl ChainArgs {
    pub(super) fn run(&self) -> Result<Status> {
        match &self.command {
            Command::Check(args) => args.run(),
            Command::Show(args) => args.run(),
            Command::Affected(args) => args.run(),
            Command::Init(args) => args.run(),
        }
    }
}

/// Returns what to do about an error, if we know.
pub(super) fn hint(error: &Error) -> Option<String> {
    match error {
        Error::Findings(found) if found.findings.len() > 1 => {
            Some("`runner-cache chain check` lists all of them".to_owned())
        }
        Error::File { .. } => Some("give the chain's file with --file FILE".to_owned()),
        _ => None,
    }
}
