//! `runner-cache action`: the steps of the Action. Their only input is the environment.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::args::environment;
use super::chain;
use crate::action;
use crate::front::Status;

/// The step to run.
#[derive(Debug, Args)]
pub(super) struct StepArgs {
    #[command(subcommand)]
    step: Step,
}

#[derive(Debug, Subcommand)]
enum Step {
    /// The main step, which the workflow uses
    Main,
    /// The post step, which runs when the job ends
    Post,
    /// The step of the chain's action
    Chain,
}

impl StepArgs {
    pub(super) fn run(&self) -> Status {
        // A current directory that was removed is useless as a base; the runner's variables then
        // give the paths.
        let cwd = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        match self.step {
            Step::Main => action::main(&environment(), &cwd),
            Step::Post => action::post(&environment(), &cwd),
            Step::Chain => chain::step::run(&environment()),
        }
    }
}
