//! `runner-cache restore`.

use clap::Args;

use super::args::{JobArgs, now};
use super::report::to_stderr;
use super::{Result, Status, progress, report};
use crate::model::choice::Hit;
use crate::ops;
use crate::ops::home::Opened;
use crate::ops::restore::RestoreOptions;

/// Options of `restore`.
#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    #[command(flatten)]
    job: JobArgs,
    /// Exit with status 3 if nothing was found
    #[arg(long)]
    fail_on_cache_miss: bool,
    /// With 0, use no tree that a save put by; any other number is as good as another
    #[arg(long, value_name = "N", default_value_t = 2)]
    hot_trees: u16,
}

impl RestoreArgs {
    pub(super) fn run(&self) -> Result<Status> {
        let store = self.job.root.open_or_init()?;
        let home = self.job.open_home(&store)?;
        let job = self.job.resolve(&store, home.as_ref())?;
        let (report, ended) = progress::watch("restoring", |progress| {
            let options = RestoreOptions { now: now(), uses_hot_trees: self.hot_trees > 0 };
            let restore = || ops::restore::restore(&store, &job, options, progress);
            ops::with_threads(self.job.threads, restore)
        })?;
        let mut report = report?;
        report.cargo_home = home.as_ref().map(Opened::raw_path);
        report::report(report::Verb::Restore, &report, self.job.json)?;
        if let Some(home) = &report.cargo_home {
            to_stderr(&format!("cargo needs CARGO_HOME=`{home}` to find it\n"));
        }
        let is_missed = self.fail_on_cache_miss && report.hit == Hit::Miss;
        Ok(ended.unwrap_or(if is_missed { Status::Miss } else { Status::Done }))
    }
}
