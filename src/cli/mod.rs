//! The command line: the only code that prints, reads arguments and the environment, and chooses
//! exit statuses.

mod args;
mod chain;
mod checkout;
mod error;
mod gc;
mod guard;
mod key;
mod list;
mod progress;
mod restore;
mod save;
mod show;
mod step;
mod usage;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::front::signals::survive_file_size_limit;
use crate::front::{self, Status};
use crate::fs::crash::{Fate, arm};

/// Caches cargo builds on a self-hosted GitHub runner, so that jobs do not build unchanged crates
/// again.
#[derive(Debug, Parser)]
#[command(name = "runner-cache", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the cache key of a repo
    Key(key::KeyArgs),
    /// Restore the registry, git dependencies and targets
    Restore(restore::RestoreArgs),
    /// Save the registry, git dependencies and targets
    Save(save::SaveArgs),
    /// Check out a dependency beside the repo, from a mirror that this host shares
    Checkout(checkout::CheckoutArgs),
    /// Remove generations that retention does not keep, and everything that no generation uses
    Gc(gc::GcArgs),
    /// Check every disk that a job uses, and free space if one is too full
    Guard(guard::GuardArgs),
    /// List the generations in the store
    List(list::ListArgs),
    /// Show one generation
    Show(show::ShowArgs),
    /// Check the store for damage; change nothing
    Verify(verify::VerifyArgs),
    /// Pass a change on from repo to repo, as `chain.toml` says
    Chain(chain::ChainArgs),
    /// Run a step of the Action
    #[command(hide = true)]
    Action(step::StepArgs),
}

impl Command {
    fn run(&self) -> Result<Status> {
        match self {
            Self::Key(args) => args.run(),
            Self::Restore(args) => args.run(),
            Self::Save(args) => args.run(),
            Self::Checkout(args) => args.run(),
            Self::Gc(args) => args.run(),
            Self::Guard(args) => args.run(),
            Self::List(args) => args.run(),
            Self::Show(args) => args.run(),
            Self::Verify(args) => args.run(),
            Self::Chain(args) => args.run(),
            Self::Action(args) => Ok(args.run()),
        }
    }
}

/// Parses the command line, runs the command, and reports an error.
pub fn main() -> ExitCode {
    for (name, fate) in
        [("RUNNER_CACHE_CRASH_AT", Fate::End), ("RUNNER_CACHE_PAUSE_AT", Fate::Pause)]
    {
        if let Some(point) = std::env::var_os(name) {
            arm(&point.to_string_lossy(), fate);
        }
    }
    let words: Vec<_> = std::env::args_os().collect();
    let run = |cli: Cli| {
        let ran = survive_file_size_limit().map_err(Error::from).and_then(|()| cli.command.run());
        ran.unwrap_or_else(|error| {
            error::report(&error);
            Status::Failed
        })
    };
    usage::parse(&words).map_or_else(|status| status, run).into()
}

/// The reason why a command failed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Front(#[from] front::Error),
    #[error("cannot {action} `{}`", path.display())]
    File { action: &'static str, path: std::path::PathBuf, source: std::io::Error },
    #[error(transparent)]
    Init(#[from] crate::chain::init::Error),
    #[error(transparent)]
    Findings(#[from] crate::chain::Findings),
    #[error(transparent)]
    Chain(#[from] crate::chain::Error),
    #[error(transparent)]
    Event(#[from] crate::github::event::Error),
}

impl Error {
    fn refused(text: impl Into<String>) -> Self {
        Self::Front(front::Error::Refused(text.into()))
    }
}

macro_rules! from_errors_of {
    ($($error:ty),*) => {
        $(impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::Front(error.into())
            }
        })*
    };
}
from_errors_of!(
    crate::job::Error,
    crate::checkout::Error,
    crate::store::Error,
    crate::cargo::Error,
    crate::fs::Error,
    crate::cargo::scratch::ParseScratchError,
    crate::github::files::Error
);

type Result<T> = std::result::Result<T, Error>;
