//! The exit status of the program.

use std::process::ExitCode;

/// The exit status of the program. It is part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Everything was done; a cache miss is no error.
    Done = 0,
    /// Something failed.
    Failed = 1,
    /// The command line was wrong.
    Usage = 2,
    /// Nothing was found, and `--fail-on-cache-miss` was given.
    Miss = 3,
    /// `verify` found damage.
    Damage = 4,
    /// SIGINT ended it early: 128 plus the number of the signal, as in shells.
    Interrupted = 130,
    /// SIGTERM ended it early.
    Terminated = 143,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status as u8)
    }
}
