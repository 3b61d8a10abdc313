//! `runner-cache save`.

use clap::Args;

use super::args::{JobArgs, LeftoversArgs, RetentionArgs, cache_mode};
use super::error::done;
use super::{Result, progress};
use crate::front::clock::now;
use crate::front::print::{line, print_json, to_stderr};
use crate::front::report::saved;
use crate::front::{Status, disk};
use crate::job;
use crate::job::note::Note;
use crate::job::report::{self as reports, AreaReport, SaveReport};
use crate::job::threads::with_threads;
use crate::model::leftovers::{Leftovers, SavedFrom};
use crate::model::level::Level;
use crate::model::unit_use::UnitPolicy;
use crate::save;
use crate::save::HotPolicy;
use crate::save::SaveOptions;
use crate::store::OUTSIDE;
use crate::upkeep::gc::{GcMode, Options, gc};

/// Options of `save`.
#[derive(Debug, Args)]
pub(super) struct SaveArgs {
    #[command(flatten)]
    job: JobArgs,
    /// zstd level of new packs: 1 to 19, or -1 to -7 for the fastest
    #[arg(long, value_name = "LEVEL", default_value_t, allow_negative_numbers = true)]
    compression_level: Level,
    /// Mark the targets as saved by a failed or cancelled job: restores prefer others
    #[arg(long)]
    partial: bool,
    /// Number of saves without use, by jobs of its kind, after which a unit is no longer stored
    #[arg(long, value_name = "N", default_value_t = 3)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    unit_saves: u16,
    /// Keep the targets as hot trees for the next restore, this many for the repo and job; each is
    /// moved out of the workspace
    #[arg(long, value_name = "N", default_value_t = 0)]
    hot_trees: u16,
    #[command(flatten)]
    leftovers: LeftoversArgs,
    #[command(flatten)]
    retention: RetentionArgs,
}

impl SaveArgs {
    pub(super) fn run(&self) -> Result<Status> {
        let store = self.job.root.open_or_init()?;
        let home = self.job.open_home(&store, Leftovers::Keep)?;
        let job = self.job.resolve(&store, home.as_ref())?;
        let cache_mode = cache_mode();
        if !cache_mode.saves() {
            let why = Note::NotSaved(cache_mode);
            to_stderr(&line!("{why}"));
            if self.job.json {
                print_json(&SaveReport::nothing(&job, why))?;
            }
            return Ok(Status::Done);
        }
        let options = SaveOptions {
            level: self.compression_level,
            partial: self.partial,
            from: self.leftovers.leftovers().saved_from(SavedFrom::Unrecorded),
            units: UnitPolicy { unit_saves: self.unit_saves },
            hot: HotPolicy {
                count: self.hot_trees.into(),
                outside: self.job.repo.repo()?.parent().map(|dir| dir.join(OUTSIDE)),
            },
            now: now(),
        };
        let (report, ended) = progress::watch("saving", |progress| {
            let save = || save::save(&store, &job, options.clone(), progress);
            with_threads(self.job.threads, save)
        })?;
        let report = report?;
        done(&report.shared, &saved(&report), &report, self.job.json)?;
        let is_full = |area: &AreaReport| area.failure.as_ref().is_some_and(job::Error::is_full);
        if report.shared.areas.iter().any(is_full) {
            // Too late for this save, but the next save and the next build need the space.
            let (policy, pressure) = (self.retention.policy(), self.retention.pressure());
            let options = Options {
                policy: &policy,
                readable: &job.readable,
                now: now(),
                mode: GcMode::Execute,
            };
            let gc = gc(&store, Some(&pressure), options)?;
            to_stderr(&disk::of_gc(&gc, GcMode::Execute));
        }
        let has_failed =
            report.shared.areas.iter().any(|area| area.mode == reports::AreaMode::Failed);
        Ok(ended.unwrap_or(if has_failed { Status::Failed } else { Status::Done }))
    }
}
