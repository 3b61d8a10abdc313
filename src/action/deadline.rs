//! The time that a post step has.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::front::print::to_stdout;
use crate::github::commands::{Level, annotation};
use crate::model::environment::Environment;
use crate::model::save_plan::JobStatus;

/// How long the post step of a cancelled job may take. A runner gives a cancelled job 45 s in the
/// worst case (`JobDispatcher.cs` of actions/runner: 60 s, less 15 s), for all of its post steps.
const CANCELLED: Duration = Duration::from_secs(45);

/// How much of that is for stopping: finishing a pack, removing what is staged.
const GRACE: Duration = Duration::from_secs(5);

/// Returns how long a post step may take: `$RUNNER_CACHE_POST_SECONDS` if it is set, 0 for as long
/// as it needs; else 45 s after a job that was cancelled.
pub(super) fn budget(status: Option<JobStatus>, environment: &Environment) -> Option<Duration> {
    let set = environment.get("RUNNER_CACHE_POST_SECONDS");
    match set.and_then(|secs| secs.to_str()?.parse().ok()) {
        Some(0) => None,
        Some(secs) => Some(Duration::from_secs(secs)),
        None => (status == Some(JobStatus::Cancelled)).then_some(CANCELLED),
    }
}

/// Stops what is done when `budget` is nearly over, and ends the process when it is: everything
/// that a killed process leaves is for the next one to clear up.
pub(super) fn keep(budget: Duration, stop: Arc<AtomicBool>) {
    let grace = GRACE.min(budget / 2);
    // Nobody waits for this thread: it ends with the process.
    std::thread::spawn(move || {
        std::thread::sleep(budget.saturating_sub(grace));
        stop.store(true, Ordering::Release);
        std::thread::sleep(grace);
        let message = "the time of this step is over; what was not saved yet is not saved";
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
