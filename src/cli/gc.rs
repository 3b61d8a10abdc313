//! `runner-cache gc`.

use clap::Args;

use super::Result;
use super::args::{RetentionArgs, RootArgs};
use crate::front::clock::now;
use crate::front::print::{print_json, to_stderr};
use crate::front::{Status, disk};
use crate::model::unit_use::UnitPolicy;
use crate::upkeep::gc::{GcMode, Options, gc};
use crate::upkeep::idle_units::idle_units;

/// Options of `gc`.
#[derive(Debug, Args)]
pub(super) struct GcArgs {
    #[command(flatten)]
    root: RootArgs,
    #[command(flatten)]
    retention: RetentionArgs,
    /// Change nothing: show what would be removed and why, and which units the next saves would leave out
    #[arg(long)]
    dry_run: bool,
    /// Number of saves without use after which a unit is no longer stored, as for `save`
    #[arg(long, value_name = "N", default_value_t = 3)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    unit_saves: u16,
    /// Print one JSON object to stdout
    #[arg(long)]
    json: bool,
}

impl GcArgs {
    pub(super) fn run(&self) -> Result<Status> {
        let store = self.root.open()?;
        let mode = if self.dry_run { GcMode::DryRun } else { GcMode::Execute };
        let pressure = self.retention.pressure();
        let policy = self.retention.policy();
        let options = Options { policy: &policy, readable: &[], now: now(), mode };
        let mut report = gc(&store, Some(&pressure), options)?;
        if self.dry_run {
            let policy = UnitPolicy { unit_saves: self.unit_saves };
            report.idle_units = idle_units(&store, &report, policy)?;
        }
        to_stderr(&disk::of_gc(&report, mode));
        if self.json {
            print_json(&report)?;
        }
        Ok(Status::Done)
    }
}
