//! The post step, which runs when the job ends: saves, and frees disk space.
//!
//! It never fails a job: every error is only a warning. It may be killed at any point.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use super::deadline;
use super::home;
use super::log::Log;
use super::step::Step;
use super::summary::Summary;
use super::{area_messages, told};
use crate::front::print::line;
use crate::front::report::saved as table_of_save;
use crate::front::signals::Signals;
use crate::front::{Result, Status, disk};
use crate::github::inputs::{ActionMode, InputError, Inputs};
use crate::github::state::{NoState, Stage, State};
use crate::job::progress::Progress;
use crate::job::threads::with_threads;
use crate::job::{Ask, Job};
use crate::model::environment::Environment;
use crate::model::save_plan::SavePlan;
use crate::save::save_shared_first;
use crate::store::{self, Store};
use crate::upkeep::gc;

/// Runs the step; it always succeeds.
pub(crate) fn run(environment: &Environment, cwd: &Path) -> Status {
    let mut log = Log::new();
    let done = catch_unwind(AssertUnwindSafe(|| begin(environment, cwd, &mut log)));
    if done.is_err() {
        log.warn("the post step failed unexpectedly; the log says where");
    }
    log.finish();
    Status::Done
}

fn begin(environment: &Environment, cwd: &Path, log: &mut Log) {
    let step = match Step::of(environment, cwd) {
        Ok(step) => step,
        Err(InputError(wrong)) => {
            for wrong in wrong {
                log.warn(&wrong.to_string());
            }
            return;
        }
    };
    let Inputs { mode, enabled, lookup_only, job_status, .. } = step.inputs;
    if mode != ActionMode::Auto || !enabled || lookup_only {
        log.lines(&line!("nothing is to be saved"));
        return;
    }
    if let Some(unknown) = &step.unknown_cache_mode {
        log.lines(&line!("{unknown}"));
    }
    let progress = Progress::default();
    if let Some(budget) = deadline::budget(job_status, environment) {
        deadline::keep(budget, progress.stop_flag());
    }
    // A second signal ends the process at once with status 0, so that the job goes on.
    if let Err(error) = Signals::stop(&progress, |_| 0) {
        log.warn(&told(&error));
    }
    let mut post = Post { step: &step, log, progress, summary: Summary::default() };
    let done = match State::parse(environment, &step.runner) {
        Ok(state) => post.work(&state),
        Err(no_state) => post.clear_up(no_state),
    };
    if let Err(error) = done {
        post.log.warn(&told(&error));
    }
    post.summary.write(&step.files, post.log);
}

struct Post<'a> {
    step: &'a Step,
    log: &'a mut Log,
    progress: Progress,
    summary: Summary,
}

impl Post<'_> {
    /// Handles a main step that ended early: there is nothing to save, but there may be remains of
    /// dead processes to reclaim.
    fn clear_up(&mut self, no_state: NoState) -> Result<()> {
        self.log.lines(&line!("nothing is saved: {no_state}"));
        match Store::open(&self.step.root()?.root) {
            Err(store::Error::Missing(_)) => Ok(()),
            opened => Ok(opened?.reclaim().map(drop)?),
        }
    }

    fn work(&mut self, state: &State) -> Result<()> {
        let root = match state.root() {
            Some(root) => root.to_owned(),
            None => self.step.root()?.root,
        };
        let store = Store::open_or_init(&root)?;
        let Inputs { save_if, job_status, .. } = self.step.inputs;
        let is_restored = state.stage == Stage::Restored;
        // If a step changed the variable since, the change can only reduce the permissions of the
        // main step.
        let cache_mode = self.step.cache_mode.and(state.cache_mode);
        let lane = &self.step.trust.lane;
        let plan = SavePlan::of(save_if, cache_mode, job_status, lane, is_restored);
        let saved = match plan {
            SavePlan::Nothing(reason) => {
                self.log.lines(&line!("nothing is saved: {reason}"));
                Ok(())
            }
            SavePlan::Whole => self.save(&store, state, false),
            SavePlan::Partial => self.save(&store, state, true),
        };
        // The guard also frees space after a save for which the disk was too full.
        if !self.progress.is_stopped() {
            self.guard(&store);
        }
        saved
    }

    fn save(&mut self, store: &Store, state: &State, partial: bool) -> Result<()> {
        let home = home::open_exported(self.step, store)?;
        let ask = self.step.ask(home.as_ref())?;
        let ask = Ask {
            // The keys from before the build, which may have written lock files.
            key: state.key.clone().or(ask.key),
            dependency_keys: state.dependency_keys.clone(),
            ..ask
        };
        let environment = self.step.for_children();
        let environment =
            home.as_ref().map_or(environment.clone(), |it| it.applied_to(&environment));
        let job = Job::resolve(&ask, &environment, Some(store))?;
        self.summary.job(&job, &self.step.trust.reason);
        let title = if partial { "🚀 Saving, targets as partial" } else { "🚀 Saving" };
        self.log.group(title);
        let options = self.step.last_save_options(partial);
        let save = || save_shared_first(store, &job, options.clone(), &self.progress);
        let saved = with_threads(self.step.threads(), save);
        let table = saved.as_ref().map(table_of_save).unwrap_or_default();
        self.log.lines(&table);
        self.log.end_group();
        let report = saved?;
        for warning in &report.shared.warnings {
            self.log.warn(warning);
        }
        for text in report.shared.areas.iter().flat_map(area_messages) {
            self.log.warn(&text);
        }
        self.summary.saved(&report);
        Ok(())
    }

    fn guard(&mut self, store: &Store) {
        self.log.group("🔍 Disk");
        let guarded = self.step.guard(store);
        if let Ok(report) = &guarded {
            self.log.lines(&disk::of_guard(report, gc::GcMode::Execute));
            self.summary.disk(report);
        }
        self.log.end_group();
        match guarded {
            Ok(report) => {
                for warning in report.warnings.iter().chain(&report.gc.warnings) {
                    self.log.warn(warning);
                }
            }
            Err(error) => self.log.warn(&told(&error)),
        }
    }
}
