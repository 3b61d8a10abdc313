//! The decision what to save at the end of a job.

use super::cache_mode::CacheMode;
use super::scope::Lane;

/// When to save at the end of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaveIf {
    /// Save after any outcome of the job.
    Always,
    /// Save if the job succeeded.
    Success,
    /// Save if the lane is the protected one.
    Protected,
    /// Never save.
    Never,
}

/// The status of a job so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobStatus {
    /// No step failed.
    Success,
    /// A step failed.
    Failure,
    /// The job was cancelled.
    Cancelled,
}

/// The areas to save.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SavePlan {
    /// Save every area, as it is.
    Whole,
    /// Save every area, and mark targets as partial: some of the job's build outputs may be
    /// missing.
    Partial,
    /// Save nothing, for this reason, a clause.
    Nothing(&'static str),
}

impl SavePlan {
    /// Decides what to save. `status` is the status of the job, if the runner reports it.
    /// `restored` tells whether everything to be restored was in place before the build.
    pub fn of(
        save_if: SaveIf,
        cache_mode: CacheMode,
        status: Option<JobStatus>,
        lane: &Lane,
        restored: bool,
    ) -> Self {
        let succeeded = status == Some(JobStatus::Success);
        match cache_mode {
            CacheMode::Read => return Self::Nothing(READ),
            CacheMode::None => return Self::Nothing(NONE),
            CacheMode::Write | CacheMode::WriteOnly => {}
        }
        match save_if {
            SaveIf::Never => Self::Nothing("`save-if` is `never`"),
            SaveIf::Protected if *lane != Lane::Protected => {
                Self::Nothing("`save-if` is `protected`, and the lane of this job is not")
            }
            SaveIf::Success if !succeeded => {
                Self::Nothing("`save-if` is `success`, and the job did not succeed")
            }
            _ if succeeded && restored => Self::Whole,
            _ => Self::Partial,
        }
    }
}

const READ: &str = "the `cache-mode` of this job is `read`";
const NONE: &str = "the `cache-mode` of this job is `none`";

#[cfg(test)]
mod tests {
    use super::JobStatus::{Cancelled, Failure, Success};
    use super::SaveIf::{Always, Never, Protected};
    use super::SavePlan::{Nothing, Partial, Whole};
    use super::*;

    #[test]
    fn saves_of_failed_and_cancelled_jobs_are_marked() {
        const NEVER: SavePlan = Nothing("`save-if` is `never`");
        const LANE: SavePlan = Nothing("`save-if` is `protected`, and the lane of this job is not");
        const STATUS: SavePlan = Nothing("`save-if` is `success`, and the job did not succeed");
        let (main, fork) = (Lane::Protected, Lane::Pr(7));
        #[rustfmt::skip]
        let cases = [
            // save-if          status           lane   restored  plan
            (Always,            Some(Success),   &main, true,     Whole),
            (Always,            Some(Success),   &fork, true,     Whole),
            (Always,            Some(Success),   &main, false,    Partial),
            (Always,            Some(Failure),   &main, true,     Partial),
            (Always,            Some(Cancelled), &fork, true,     Partial),
            (Always,            None,            &main, true,     Partial),
            (SaveIf::Success,   Some(Success),   &fork, true,     Whole),
            (SaveIf::Success,   Some(Failure),   &main, true,     STATUS),
            (SaveIf::Success,   Some(Cancelled), &main, true,     STATUS),
            (SaveIf::Success,   None,            &main, true,     STATUS),
            (Protected,         Some(Success),   &main, true,     Whole),
            (Protected,         Some(Failure),   &main, true,     Partial),
            (Protected,         Some(Success),   &fork, true,     LANE),
            (Never,             Some(Success),   &main, true,     NEVER),
        ];
        for (save_if, status, lane, restored, want) in cases {
            let why = format!("{save_if:?}, {status:?}, {lane}, {restored}");
            let plan = |mode| SavePlan::of(save_if, mode, status, lane, restored);
            assert_eq!(plan(CacheMode::Write), want, "{why}");
            assert_eq!(plan(CacheMode::WriteOnly), want, "{why}");
            assert_eq!(plan(CacheMode::Read), Nothing(READ), "{why}");
            assert_eq!(plan(CacheMode::None), Nothing(super::NONE), "{why}");
        }
    }
}
