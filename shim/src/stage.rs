//! Which step of a job this is: the one thing in which the launchers differ.

use core::ffi::CStr;

/// A step that the action takes part in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    /// Where the job asked for the action. A failure fails the job.
    Main,
    /// After the job's own steps. A failure is a warning: the job is what it was without us.
    Post,
    /// Where the job asked for the action of the chain. A failure fails the job.
    Chain,
}

impl Stage {
    /// The stage this was compiled for. Compiled in, because the name under which node was given
    /// the file need not be ours.
    pub(crate) const BUILT: Self = if cfg!(feature = "post") {
        Self::Post
    } else if cfg!(feature = "chain") {
        Self::Chain
    } else {
        Self::Main
    };

    /// Returns what the program is called with.
    pub(crate) const fn argument(self) -> &'static CStr {
        match self {
            Self::Main => c"main",
            Self::Post => c"post",
            Self::Chain => c"chain",
        }
    }

    /// Returns the workflow command that says what went wrong.
    pub(crate) const fn command(self) -> &'static [u8] {
        match self {
            Self::Main | Self::Chain => b"::error title=runner-cache::",
            Self::Post => b"::warning title=runner-cache::",
        }
    }

    /// Returns the exit status after something went wrong.
    pub(crate) const fn status(self) -> i32 {
        match self {
            Self::Main | Self::Chain => 1,
            Self::Post => 0,
        }
    }
}
