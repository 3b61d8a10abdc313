//! Limits the time of the post step.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::front::print::to_stdout;
use crate::github::commands::{Level, annotation};
use crate::model::environment::Environment;
use crate::model::save_plan::JobStatus;

/// The time that the post step of a cancelled job may take. In the worst case a runner gives a
/// cancelled job 45 s (`JobDispatcher.cs` of actions/runner: 60 s, less 15 s), for all of its post
/// steps.
const CANCELLED: Duration = Duration::from_secs(45);

/// The part of that time for stopping: finishing a pack, removing staging directories.
const GRACE: Duration = Duration::from_secs(5);

/// Returns the time that a post step may take: `$RUNNER_CACHE_POST_SECONDS` if it is set, with 0
/// for no limit; else 45 s after a cancelled job, and no limit after other jobs.
pub(super) fn budget(status: Option<JobStatus>, environment: &Environment) -> Option<Duration> {
    let set = environment.get("RUNNER_CACHE_POST_SECONDS");
    match set.and_then(|secs| secs.to_str()?.parse().ok()) {
        Some(0) => None,
        Some(secs) => Some(Duration::from_secs(secs)),
        None => (status == Some(JobStatus::Cancelled)).then_some(CANCELLED),
    }
}

/// Stops the work shortly before `budget` is over, and ends the process when it is over. The next
/// process reclaims the remains, as after a kill.
pub(super) fn keep(budget: Duration, stop: Arc<AtomicBool>) {
    let grace = GRACE.min(budget / 2);
    // The thread is never joined: it ends with the process.
    std::thread::spawn(move || {
        std::thread::sleep(budget.saturating_sub(grace));
        stop.store(true, Ordering::Release);
        std::thread::sleep(grace);
        let message = "the time of this step is over; areas that are not saved yet stay unsaved";
        drop(to_stdout(&annotation(Level::Warning, message).into()));
        end();
    });
}

#[expect(clippy::exit, reason = "the last resort of a step that must not take any longer")]
fn end() -> ! {
    std::process::exit(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancelled_job_has_little_time_unless_somebody_says_otherwise() {
        let secs = |secs: u64| Some(Duration::from_secs(secs));
        let cases = [
            ("", Some(JobStatus::Success), None),
            ("", Some(JobStatus::Failure), None),
            ("", None, None),
            ("", Some(JobStatus::Cancelled), secs(45)),
            ("280", Some(JobStatus::Cancelled), secs(280)),
            ("280", Some(JobStatus::Success), secs(280)),
            ("0", Some(JobStatus::Cancelled), None),
            ("soon", Some(JobStatus::Cancelled), secs(45)),
        ];
        for (set, status, want) in cases {
            let environment = Environment::default().with("RUNNER_CACHE_POST_SECONDS", set);
            assert_eq!(budget(status, &environment), want, "{set:?} {status:?}");
        }
    }
}
