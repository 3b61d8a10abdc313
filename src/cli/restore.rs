//! `runner-cache restore`.

use clap::Args;

use super::args::{JobArgs, LeftoversArgs, cache_mode, environment};
use super::error::done;
use super::{Error, Result, progress};
use crate::front::Status;
use crate::front::clock::now;
use crate::front::print::{line, to_stderr};
use crate::front::report::restored;
use crate::job::private_home::Opened;
use crate::job::threads::with_threads;
use crate::model::always_build::AlwaysBuild;
use crate::model::choice::Hit;
use crate::restore;
use crate::restore::RestoreOptions;

/// Options of `restore`.
#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    #[command(flatten)]
    job: JobArgs,
    /// Exit with status 3 if nothing was restored
    #[arg(long)]
    fail_on_cache_miss: bool,
    /// Use hot trees that a save left; 0 uses none, and all other numbers are the same
    #[arg(long, value_name = "N", default_value_t = 2)]
    hot_trees: u16,
    /// A package that cargo builds again in every job, or `workspace` for all packages of the repository; for inputs
    /// that cargo cannot see
    ///
    /// The default is `$RUNNER_CACHE_ALWAYS_BUILD`: a list of such names, separated by commas.
    #[arg(long, value_name = "PACKAGE", value_delimiter = ',')]
    always_build: Vec<AlwaysBuild>,
    #[command(flatten)]
    leftovers: LeftoversArgs,
}

impl RestoreArgs {
    fn always_build(&self) -> Result<Vec<AlwaysBuild>> {
        let environment = environment();
        let given = environment.get("RUNNER_CACHE_ALWAYS_BUILD").and_then(|text| text.to_str());
        let given = given.filter(|_| self.always_build.is_empty()).unwrap_or_default();
        let words = given.split(',').map(str::trim).filter(|word| !word.is_empty());
        let named: std::result::Result<Vec<AlwaysBuild>, _> = words.map(str::parse).collect();
        let named = named
            .map_err(|error| Error::refused(format!("`$RUNNER_CACHE_ALWAYS_BUILD`: {error}")))?;
        Ok([self.always_build.clone(), named].concat())
    }

    pub(super) fn run(&self) -> Result<Status> {
        let store = self.job.root.open_or_init()?;
        let home = self.job.open_home(&store, self.leftovers.leftovers())?;
        let job = self.job.resolve(&store, home.as_ref())?;
        let always_build = self.always_build()?;
        let cache_mode = cache_mode();
        let (report, ended) = progress::watch("restoring", |progress| {
            let uses_hot_trees = self.hot_trees > 0;
            let leftovers = self.leftovers.leftovers();
            let options =
                RestoreOptions { now: now(), uses_hot_trees, always_build, leftovers, cache_mode };
            let restore = || restore::restore(&store, &job, options, progress);
            with_threads(self.job.threads, restore)
        })?;
        let mut report = report?;
        report.set_aside.extend(home.as_ref().and_then(|home| home.set_aside.clone()));
        report.cargo_home = home.as_ref().map(Opened::raw_path);
        done(&report.shared, &restored(&report), &report, self.job.json)?;
        if let Some(home) = &report.cargo_home {
            to_stderr(&line!("cargo needs CARGO_HOME=`{home}` to find it"));
        }
        let is_missed = self.fail_on_cache_miss && report.shared.hit == Hit::Miss;
        Ok(ended.unwrap_or(if is_missed { Status::Miss } else { Status::Done }))
    }
}
