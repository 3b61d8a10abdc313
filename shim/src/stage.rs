//! The step of a job for which a launcher is built: the only difference between the launchers.

use core::ffi::CStr;

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
