//! Ending early, and cleanly, when a signal asks for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag::{register, register_conditional_shutdown, register_usize};

use super::{Error, Result, Status};
use crate::job::progress::Progress;

/// Lets a write past the limit on the size of files (`ulimit -f`) fail as any other write may, in place of ending the
/// process by SIGXFSZ.
///
/// A handler, and not "ignored": programs that we start have the default again (`execve(2)`).
pub(crate) fn survive_file_size_limit() -> Result<()> {
    let registered = register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
    registered.map(drop).map_err(|source| Error::Io { action: "wait for signals", source })
}

/// The signals that ask the process to end, from when this is made until the process ends.
#[derive(Clone, Debug)]
pub(crate) struct Signals {
    received: Arc<AtomicUsize>,
}

impl Signals {
    /// Makes the first SIGINT or SIGTERM stop `progress`, and the second one end the process at
    /// once, with the status that `at_once` gives it. What it leaves then is for the next `reclaim`.
    pub(crate) fn stop(progress: &Progress, at_once: fn(Status) -> i32) -> Result<Self> {
        let received = Arc::new(AtomicUsize::new(0));
        for (signal, number, status) in
            [(SIGINT, 2, Status::Interrupted), (SIGTERM, 15, Status::Terminated)]
        {
            // In this order: the first signal finds the flag unset and sets it.
            let register = || {
                register_conditional_shutdown(signal, at_once(status), progress.stop_flag())?;
                register(signal, progress.stop_flag())?;
                register_usize(signal, Arc::clone(&received), number)
            };
            register().map_err(|source| Error::Io { action: "wait for signals", source })?;
        }
        Ok(Self { received })
    }

    /// Returns the status of a command that a signal ended early.
    pub(crate) fn status(&self) -> Option<Status> {
        match self.received.load(Ordering::Acquire) {
            2 => Some(Status::Interrupted),
            15 => Some(Status::Terminated),
            _ => None,
        }
    }
}
