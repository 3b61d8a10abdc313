//! `runner-cache action`: the steps of the Action. They read nothing but their environment.

mod chain;
mod checkouts;
mod deadline;
mod home;
mod log;
mod main;
mod outputs;
mod post;
mod step;
mod summary;

use clap::{Args, Subcommand};

use super::Status;
use super::args::environment;
use super::report::{Settings, hint};
use crate::checkout;
use crate::job::report::{AreaReport, chain};

/// Which step to be.
#[derive(Debug, Args)]
pub(super) struct ActionArgs {
    #[command(subcommand)]
    step: Which,
}

#[derive(Debug, Subcommand)]
enum Which {
    /// The one that stands in the workflow
    Main,
    /// The one that runs when the job ends
    Post,
    /// The one of the chain's action
    Chain,
}

impl ActionArgs {
    pub(super) fn run(&self) -> Status {
        match self.step {
            Which::Main => main::run(&environment()),
            Which::Post => post::run(&environment()),
            Which::Chain => chain::run(&environment()),
        }
    }
}

/// What workflows call the settings that advice is about.
const INPUTS: Settings = Settings {
    root: "the input `cache-root`",
    repo: "the input `repo`",
    dependency: "`name=path` in the input `dependencies`",
    places: "the inputs `cache-root`, `cargo-home` and `target-dir`",
    max_size: "set the input `max-size`",
};

/// Returns an error with its causes, and what to do about it if we know.
fn told(error: &super::Error) -> String {
    let advice = match error {
        super::Error::Job(error) | super::Error::Checkout(checkout::Error::Job(error)) => {
            hint(error, &INPUTS)
        }
        super::Error::Checkout(error) => super::checkout::hint(error),
        error => super::chain::hint(error),
    };
    advised(chain(error), advice)
}

/// Returns what an area could not do, with what to do about it if we know.
fn told_of(area: &AreaReport) -> Vec<String> {
    let mut texts: Vec<_> =
        area.warnings.iter().map(|warning| format!("{}: {warning}", area.name)).collect();
    let advice = area.failure.as_ref().and_then(|error| hint(error, &INPUTS));
    if let Some(last) = texts.pop() {
        texts.push(advised(last, advice));
    }
    texts
}

/// Puts advice behind what it is about, which programs end with a full stop or without.
fn advised(text: String, advice: Option<String>) -> String {
    match advice {
        Some(advice) => format!("{}. Help: {advice}", text.trim_end_matches('.')),
        None => text,
    }
}
