//! `runner-cache gc`.

use clap::Args;

use super::args::{RetentionArgs, RootArgs, now};
use super::print::{Text, line, print_json, to_stderr};
use super::text::bytes;
use super::{Result, Status};
use crate::model::unit_use::UnitPolicy;
use crate::upkeep::gc::{GcReport, Mode, gc};
use crate::upkeep::idle_units::idle_units;

/// Options of `gc`.
#[derive(Debug, Args)]
pub(super) struct GcArgs {
    #[command(flatten)]
    root: RootArgs,
    #[command(flatten)]
    retention: RetentionArgs,
    /// Show what would go and why, and which units the next saves leave out; change nothing
    #[arg(long)]
    dry_run: bool,
    /// After how many saves of its job that did not use it a unit is stored no more, as `save` has it
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
        let mode = if self.dry_run { Mode::DryRun } else { Mode::Execute };
        let pressure = self.retention.pressure();
        let mut report = gc(&store, &self.retention.policy(), Some(&pressure), &[], now(), mode)?;
        if self.dry_run {
            let policy = UnitPolicy { unit_saves: self.unit_saves };
            report.idle_units = idle_units(&store, &report, policy)?;
        }
        to_stderr(&text(&report, mode));
        if self.json {
            print_json(&report)?;
        }
        Ok(Status::Done)
    }
}

/// Returns what a gc did, or would do, for people.
pub(super) fn text(report: &GcReport, mode: Mode) -> Text {
    if report.other_gc_runs {
        return line!("another gc is at work; it does it all");
    }
    let (drops, frees) = match mode {
        Mode::DryRun => ("would drop", "would free"),
        Mode::Execute => ("dropped", "freed"),
    };
    let mut text = Text::default();
    for expired in &report.expired {
        let size = bytes(expired.frees_bytes);
        line!(text, "{drops} {} ({size}): {}", expired.id, expired.reason);
    }
    for dir in &report.dirs {
        let size = bytes(dir.frees_bytes);
        line!(text, "{drops} {} `{}` ({size}): {}", dir.kind, dir.path.display(), dir.reason);
    }
    for idle in &report.idle_units {
        let crates: Vec<_> = idle.crates.iter().map(String::as_str).collect();
        let (count, of) = (idle.units.len(), idle.of);
        line!(
            text,
            "{} is followed by one without {count} of its {of} units unless job `{}` uses them: {}",
            idle.generation,
            idle.job,
            crates.join(", ")
        );
    }
    for damage in &report.damaged {
        line!(text, "{drops} `{}`: it is damaged: {}", damage.path.display(), damage.what);
    }
    for odd in &report.odd {
        line!(text, "{drops} `{}`: {}", odd.path.display(), odd.what);
    }
    for warning in &report.warnings {
        line!(text, "warning: {warning}");
    }
    let generations = report.expired.len() + report.damaged.len();
    line!(
        text,
        "{drops} {generations} generations and {} packs, {frees} {}",
        report.packs,
        bytes(report.bytes)
    );
    text
}
