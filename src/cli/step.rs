//! `runner-cache action`: the steps of the Action. They read nothing but their environment.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::args::environment;
use super::chain;
use crate::action;
use crate::front::Status;

/// Which step to be.
#[derive(Debug, Args)]
pub(super) struct StepArgs {
    #[command(subcommand)]
    step: Step,
}

#[derive(Debug, Subcommand)]
enum Step {
    /// The one that stands in the workflow
    Main,
    /// The one that runs when the job ends
    Post,
    /// The one of the chain's action
    Chain,
}

impl StepArgs {
    pub(super) fn run(&self) -> Status {
        // A directory that is gone is none to start from: then the runner's variables must do.
        let cwd = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        match self.step {
            Step::Main => action::main(&environment(), &cwd),
            Step::Post => action::post(&environment(), &cwd),
            Step::Chain => chain::step::run(&environment()),
        }
    }
}
