//! The step of a job for which a launcher is built: the only difference between the launchers.

use core::ffi::CStr;

use crate::environment::Environment;
use crate::install::Need;

/// A step of the action.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    /// The main step of the action. A failure fails the job.
    Main,
    /// The post step, after the job's own steps. A failure is a warning: the job's result stands
    /// without us.
    Post,
    /// The main step of the chain's action. A failure fails the job.
    Chain,
}

impl Stage {
    /// The stage for which this launcher was compiled. It is compiled in because node may be given
    /// the file under another name.
    pub(crate) const BUILT: Self = if cfg!(feature = "post") {
        Self::Post
    } else if cfg!(feature = "chain") {
        Self::Chain
    } else {
        Self::Main
    };

    /// Returns the argument for the program.
    pub(crate) const fn argument(self) -> &'static CStr {
        match self {
            Self::Main => c"main",
            Self::Post => c"post",
            Self::Chain => c"chain",
        }
    }

    /// Tells whether the job can do without the program, from the inputs of the step: not if the step checks out
    /// dependencies, hands out keys, gives the job a home of its own, or was asked to fail.
    pub(crate) fn need(self, environment: &Environment<'_>) -> Need {
        let input = |name| environment.get(name);
        let is_off = |name| matches!(input(name), None | Some(b"false"));
        let only_serves_the_cache =
            matches!(input(b"INPUT_MODE"), None | Some(b"auto" | b"restore" | b"save" | b"gc"))
                && input(b"INPUT_DEPENDENCIES").is_none()
                && input(b"INPUT_CARGO-HOME") != Some(b"private");
        let may_fail = is_off(b"INPUT_FAIL-ON-ERROR") && is_off(b"INPUT_FAIL-ON-CACHE-MISS");
        if self == Self::Main && only_serves_the_cache && may_fail {
            Need::Optional
        } else {
            Need::Required
        }
    }

    /// Returns the workflow command that reports a failure.
    pub(crate) const fn command(self) -> &'static [u8] {
        match self {
            Self::Main | Self::Chain => b"::error title=runner-cache::",
            Self::Post => b"::warning title=runner-cache::",
        }
    }

    /// Returns the exit status after a failure.
    pub(crate) const fn status(self) -> i32 {
        match self {
            Self::Main | Self::Chain => 1,
            Self::Post => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_can_do_without_a_step_that_only_serves_the_cache() {
        use Need::{Optional, Required};
        #[rustfmt::skip]
        let cases: [(&str, Stage, &[u8], Need); 12] = [
            ("no inputs",         Stage::Main,  b"",                                 Optional),
            ("the defaults",      Stage::Main,  b"INPUT_MODE=auto\0INPUT_DEPENDENCIES=\0INPUT_FAIL-ON-ERROR=false\0", Optional),
            ("restore",           Stage::Main,  b"INPUT_MODE=restore\0",             Optional),
            ("save",              Stage::Main,  b"INPUT_MODE=save\0",                Optional),
            ("gc",                Stage::Main,  b"INPUT_MODE=gc\0",                  Optional),
            ("keys",              Stage::Main,  b"INPUT_MODE=key\0",                 Required),
            ("dependencies",      Stage::Main,  b"INPUT_DEPENDENCIES=o/a@main\0",    Required),
            ("a private home",    Stage::Main,  b"INPUT_CARGO-HOME=private\0",       Required),
            ("asked to fail",     Stage::Main,  b"INPUT_FAIL-ON-ERROR=true\0",       Required),
            ("a miss is to fail", Stage::Main,  b"INPUT_FAIL-ON-CACHE-MISS=true\0",  Required),
            ("an unknown word",   Stage::Main,  b"INPUT_FAIL-ON-ERROR=maybe\0",      Required),
            ("the chain",         Stage::Chain, b"INPUT_COMMAND=check\0",            Required),
        ];
        for (why, stage, variables, want) in cases {
            assert_eq!(stage.need(&Environment::parse(variables)), want, "{why}");
        }
    }
}
