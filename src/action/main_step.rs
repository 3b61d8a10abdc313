//! The main step: frees disk space, checks out dependencies, and restores.

mod opened;

use std::path::Path;

use super::checkouts::check_out;
use super::home;
use super::log::Log;
use super::outputs::Outputs;
use super::step::Step;
use super::summary::Summary;
use super::{area_messages, told};
use crate::front::clock::now;
use crate::front::print::line;
use crate::front::report::{outcome, restored, saved};
use crate::front::signals::Signals;
use crate::front::{Status, text};
use crate::github::inputs::{ActionMode, InputError, Inputs};
use crate::github::state::{Stage, State};
use crate::job::Job;
use crate::job::error::chain;
use crate::job::explain::explain;
use crate::job::owners::note_build;
use crate::job::private_home::Opened;
use crate::job::progress::Progress;
use crate::job::report::{Report, RestoreReport, SetAside, not_restored};
use crate::job::threads::with_threads;
use crate::model::choice::Hit;
use crate::model::environment::Environment;
use crate::model::save_plan::SavePlan;
use crate::restore::{RestoreOptions, look_up, restore};
use crate::save::save_shared_first;
use crate::store::{self, Store};

/// Runs the step. Sets the outputs even after a failure.
pub(crate) fn run(environment: &Environment, cwd: &Path) -> Status {
    let mut log = Log::new();
    let status = match Step::of(environment, cwd) {
        Ok(step) => Main::of(&step, &mut log).run(),
        Err(InputError(wrong)) => {
            for wrong in wrong {
                log.error(&wrong.to_string());
            }
            Status::Failed
        }
    };
    log.finish();
    status
}

struct Main<'a> {
    step: &'a Step,
    log: &'a mut Log,
    progress: Progress,
    state: State,
    outputs: Outputs,
    summary: Summary,
    /// The private home that was set aside, and why.
    home_aside: Option<SetAside>,
    has_failed: bool,
}

impl<'a> Main<'a> {
    fn of(step: &'a Step, log: &'a mut Log) -> Self {
        let mut state = State::started();
        state.cache_mode = step.cache_mode;
        Self {
            step,
            log,
            progress: Progress::default(),
            state,
            outputs: Outputs::default(),
            summary: Summary::default(),
            home_aside: None,
            has_failed: false,
        }
    }

    fn run(mut self) -> Status {
        let signals = Signals::stop(&self.progress, |status| status as i32);
        // The post step runs even if this step fails.
        self.hand_on();
        let Step { inputs, trust, unknown_cache_mode, .. } = self.step;
        for warning in inputs.warnings.iter().chain(&trust.warnings).chain(unknown_cache_mode) {
            self.log.warn(warning);
        }
        self.work();
        if let Err(error) = self.outputs.write(&self.step.files) {
            self.log.error(&chain(&error));
            self.has_failed = true;
        }
        self.summary.write(&self.step.files, self.log);
        let ended = match &signals {
            Ok(signals) => signals.status(),
            Err(error) => {
                self.log.warn(&told(error));
                None
            }
        };
        ended.unwrap_or(if self.has_failed { Status::Failed } else { Status::Done })
    }

    fn work(&mut self) {
        match self.step.inputs.mode {
            ActionMode::Auto | ActionMode::Restore => self.restore_now(),
            ActionMode::Key => self.hand_out_keys(),
            ActionMode::Save => self.save_now(),
            ActionMode::Gc => drop(self.open_guarded()),
        }
    }

    /// Frees disk space, checks out the dependencies, and restores.
    fn restore_now(&mut self) {
        let Inputs { enabled, lookup_only, fail_on_cache_miss, .. } = self.step.inputs;
        let store = self.open_guarded();
        let Some((job, _home)) = self.prepare(store.as_ref()) else { return };
        let mut hit = Hit::Miss;
        if let Some(job) = &job {
            if !enabled || lookup_only {
                self.note_build(job);
            }
            if let Some(store) = &store {
                hit = self.restore(store, job);
            }
        }
        if enabled && fail_on_cache_miss && hit == Hit::Miss {
            let nothing = if self.step.cache_mode.restores() { "found" } else { "restored" };
            self.log.error(&format!("nothing was {nothing}, and `fail-on-cache-miss` is `true`"));
            self.has_failed = true;
        }
    }

    /// Checks out the dependencies, and sets the keys as outputs.
    fn hand_out_keys(&mut self) {
        // The checked-out commits go into a mirror, so that other jobs need not fetch them.
        let checks_out = self.step.inputs.dependencies.iter().any(|it| it.checkout.is_some());
        let store = if checks_out { self.open() } else { None };
        self.tell_free_space(store.as_ref());
        if let Some((Some(job), _home)) = self.prepare(store.as_ref()) {
            self.note_build(&job);
        }
    }

    /// Saves at the end of a job, after the dependencies were checked out and built.
    fn save_now(&mut self) {
        let store = self.open();
        self.tell_free_space(store.as_ref());
        let home = store.as_ref().and_then(|store| self.open_home(store));
        let Some(job) = self.resolve(store.as_ref(), home.as_ref()) else { return };
        match &store {
            Some(store) => self.save(store, &job),
            // The step saves nothing, so it makes the record that a save would make.
            None if !self.step.inputs.enabled => self.note_build(&job),
            None => {}
        }
    }

    /// Checks out the dependencies and computes the keys. Returns `None` if a checkout fails: then
    /// the build cannot work.
    fn prepare(&mut self, store: Option<&Store>) -> Option<(Option<Job>, Option<Opened>)> {
        if !self.check_out(store) {
            return None;
        }
        let home = store.and_then(|store| self.open_home(store));
        let job = self.resolve(store, home.as_ref());
        Some((job, home))
    }

    /// Records the build of this job, for jobs of other lanes, if a store exists.
    fn note_build(&mut self, job: &Job) {
        let noted = self.step.root().and_then(|choice| match Store::open(&choice.root) {
            Err(store::Error::Missing(_)) => Ok(()),
            store => Ok(note_build(&store?, job)?),
        });
        if let Err(error) = noted {
            self.log.warn(&told(&error));
        }
    }

    /// Reports an error that fails the step only if the workflow asks for that.
    fn trouble(&mut self, message: &str) {
        if self.step.inputs.fail_on_error {
            self.log.error(message);
            self.has_failed = true;
        } else {
            self.log.warn(message);
        }
    }

    /// Saves the state known so far for the post step.
    fn hand_on(&mut self) {
        if let Err(error) = self.state.save(&self.step.files, &self.step.runner) {
            self.log.warn(&chain(&error));
        }
    }

    /// Checks out the dependencies. Returns `false` if one fails: without it the build cannot work.
    fn check_out(&mut self, store: Option<&Store>) -> bool {
        let Ok(refs) = check_out(self.step, store, &self.progress, self.log) else {
            self.has_failed = true;
            return false;
        };
        self.outputs.dependency_refs.clone_from(&refs);
        self.state.dependency_refs = refs;
        true
    }

    /// Opens the private home and exports it. If this fails, the job builds in the usual home.
    fn open_home(&mut self, store: &Store) -> Option<Opened> {
        let opened = home::export(self.step, store, self.log);
        let opened = opened.map_err(|error| self.trouble(&told(&error))).ok().flatten();
        self.home_aside = opened.as_ref().and_then(|opened| opened.set_aside.clone());
        opened
    }

    /// Computes the keys before the build can change the files that they are made from.
    fn resolve(&mut self, store: Option<&Store>, home: Option<&Opened>) -> Option<Job> {
        let environment = self.step.for_children();
        let environment = home.map_or(environment.clone(), |it| it.applied_to(&environment));
        let resolve = || Ok(Job::resolve(&self.step.ask(home)?, &environment, store)?);
        match resolve() {
            Ok(job) => {
                let basis = job.components().get("basis").cloned().unwrap_or_default();
                let lane = &job.scope.lane;
                let reason = &self.step.trust.reason;
                let mut text = line!("🔍 key {} from {basis}", job.key);
                line!(text, "   lane {lane}, because this is {reason}");
                self.log.lines(&text);
                self.summary.job(&job, reason);
                self.outputs.cache_key = Some(job.key.clone());
                self.outputs.dependency_keys.clone_from(&job.dependency_keys);
                self.state.key = Some(job.key.clone());
                self.state.dependency_keys.clone_from(&job.dependency_keys);
                self.hand_on();
                Some(job)
            }
            // In mode `key` the step has nothing else to do, so this is an error.
            Err(error) if self.step.inputs.mode == ActionMode::Key => {
                self.log.error(&told(&error));
                self.has_failed = true;
                None
            }
            Err(error) => {
                self.trouble(&told(&error));
                None
            }
        }
    }

    fn restore(&mut self, store: &Store, job: &Job) -> Hit {
        let is_lookup = self.step.inputs.lookup_only;
        self.log.group(if is_lookup { "🚀 Looking up" } else { "🚀 Restoring" });
        let done = with_threads(self.step.threads(), || {
            let uses_hot_trees = self.step.inputs.hot_trees > 0;
            let always_build = self.step.inputs.always_build.clone();
            let leftovers = self.step.inputs.leftovers;
            let cache_mode = self.step.cache_mode;
            let options =
                RestoreOptions { now: now(), uses_hot_trees, always_build, leftovers, cache_mode };
            if is_lookup && !cache_mode.restores() {
                Ok(RestoreReport::of(Report::nothing(job, not_restored(cache_mode))))
            } else if is_lookup {
                look_up(store, job)
            } else {
                restore(store, job, options, &self.progress)
            }
        });
        let mut report = match done {
            Ok(report) => report,
            Err(error) => {
                self.log.end_group();
                self.trouble(&told(&error.into()));
                return Hit::Miss;
            }
        };
        report.set_aside.extend(self.home_aside.take());
        self.log.lines(&restored(&report));
        if report.shared.hit != Hit::Exact {
            self.explain(store, job);
        }
        self.log.end_group();
        self.tell(&report.shared);
        self.summary.restored(&report);
        self.outputs.tell(&report.shared, !is_lookup);
        self.log.lines(&outcome(&report.shared));
        if !is_lookup && !self.progress.is_stopped() {
            self.state.stage = Stage::Restored;
            self.hand_on();
        }
        report.shared.hit
    }

    /// Reports the differences between the key and the last generation's key.
    fn explain(&mut self, store: &Store, job: &Job) {
        let Ok(Some(since)) = explain(store, &job.readable, job.components(), &job.system) else {
            return;
        };
        let mut lines = line!("changed since {}:", text::since(&since));
        for change in &since.changes {
            line!(lines, "  {change}");
        }
        self.log.lines(&lines);
        self.summary.why(&since);
    }

    /// Reports the failures and warnings of the areas.
    fn tell(&mut self, report: &Report) {
        for warning in &report.warnings {
            self.log.warn(warning);
        }
        for area in &report.areas {
            let texts = area_messages(area);
            for text in &texts {
                if area.failure.is_some() {
                    self.trouble(text);
                } else {
                    self.log.warn(text);
                }
            }
        }
    }

    fn save(&mut self, store: &Store, job: &Job) {
        let Inputs { save_if, job_status, .. } = self.step.inputs;
        let cache_mode = self.step.cache_mode;
        let plan = SavePlan::of(save_if, cache_mode, job_status, &job.scope.lane, true);
        if let SavePlan::Nothing(reason) = plan {
            self.log.lines(&line!("nothing is saved: {reason}"));
            return;
        }
        self.log.group("🚀 Saving");
        let options = self.step.save_options(plan == SavePlan::Partial);
        let save = || save_shared_first(store, job, options.clone(), &self.progress);
        match with_threads(self.step.threads(), save) {
            Ok(report) => {
                self.log.lines(&saved(&report));
                self.log.end_group();
                self.tell(&report.shared);
                self.summary.saved(&report);
            }
            Err(error) => {
                self.log.end_group();
                self.trouble(&told(&error.into()));
            }
        }
        if !self.progress.is_stopped() {
            self.guard(store);
        }
    }
}
