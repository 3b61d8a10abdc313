//! `runner-cache guard`.

use std::path::PathBuf;

use clap::Args;

use super::Result;
use super::args::{CheckoutArgs, PlaceArgs, RetentionArgs, RootArgs, ScopeArgs, environment};
use crate::front::clock::now;
use crate::front::print::{line, print_json, to_stderr};
use crate::front::{Status, disk};
use crate::model::cargo_home::CargoHome;
use crate::store::Store;
use crate::upkeep::gc::{GcMode, Options};
use crate::upkeep::guard::{PathUse, guard, places};

/// Options of `guard`.
#[derive(Debug, Args)]
pub(super) struct GuardArgs {
    #[command(flatten)]
    root: RootArgs,
    #[command(flatten)]
    checkouts: CheckoutArgs,
    #[command(flatten)]
    places: PlaceArgs,
    #[command(flatten)]
    scope: ScopeArgs,
    #[command(flatten)]
    retention: RetentionArgs,
    /// Change nothing: show what would be removed and why
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object to stdout
    #[arg(long)]
    json: bool,
}

impl GuardArgs {
    pub(super) fn run(&self) -> Result<Status> {
        let store = self.root.open_or_init()?;
        let mode = if self.dry_run { GcMode::DryRun } else { GcMode::Execute };
        let (policy, pressure) = (self.retention.policy(), self.retention.pressure());
        // The scope only decides which generations are evicted first.
        let readable = self.scope.readable(&self.checkouts.repo()?).unwrap_or_default();
        let report = guard(
            &store,
            &self.paths(&store)?,
            &pressure,
            Options { policy: &policy, readable: &readable, now: now(), mode },
        )?;
        to_stderr(&disk::of_guard(&report, mode));
        for warning in &report.warnings {
            to_stderr(&line!("warning: {warning}"));
        }
        if self.json {
            print_json(&report)?;
        }
        Ok(Status::Done)
    }

    fn paths(&self, store: &Store) -> Result<Vec<(PathUse, PathBuf)>> {
        let (repo, dependencies) = (self.checkouts.repo()?, self.checkouts.dependencies()?);
        let home = match self.places.cargo_home() {
            CargoHome::Usual => None,
            CargoHome::At(path) => Some(path),
            CargoHome::Private => Some(store.home_path(&self.places.home_owner())),
        };
        let target = self.places.target_dir();
        // A dry run changes nothing.
        let remembering = (!self.dry_run).then_some(store);
        Ok(places(
            remembering,
            &repo,
            dependencies.into_values(),
            home.as_deref(),
            target,
            &environment(),
        ))
    }
}
