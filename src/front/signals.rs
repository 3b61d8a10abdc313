//! Ends early and cleanly after a signal.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag::{register, register_conditional_shutdown, register_usize};

use super::{Error, Result, Status};
use crate::job::progress::Progress;

/// Makes a write past the limit on the size of files (`ulimit -f`) fail with an error, instead of
/// ending the process by SIGXFSZ.
///
/// This installs a handler instead of ignoring the signal. Programs that we start get the default
/// back in place of a handler, but would go on ignoring the signal (`execve(2)`).
pub(crate) fn survive_file_size_limit() -> Result<()> {
    let registered = register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
    registered.map(drop).map_err(|source| Error::Io { action: "wait for signals", source })
}

/// The signals that asked the process to end, recorded from construction on.
#[derive(Clone, Debug)]
pub(crate) struct Signals {
    received: Arc<AtomicUsize>,
}

impl Signals {
    /// Makes the first SIGINT or SIGTERM stop `progress`. The second ends the process at once, with
    /// the status that `at_once` returns; the next `reclaim` removes the files that the process
    /// leaves.
    pub(crate) fn stop(progress: &Progress, at_once: fn(Status) -> i32) -> Result<Self> {
        let received = Arc::new(AtomicUsize::new(0));
        for (signal, number, status) in
            [(SIGINT, 2, Status::Interrupted), (SIGTERM, 15, Status::Terminated)]
        {
            // The order matters: the first signal finds the flag unset, and then sets it.
            let register = || {
                register_conditional_shutdown(signal, at_once(status), progress.stop_flag())?;
                register(signal, progress.stop_flag())?;
                register_usize(signal, Arc::clone(&received), number)
            };
            register().map_err(|source| Error::Io { action: "wait for signals", source })?;
        }
        Ok(Self { received })
    }

    /// Returns the status of a command that a signal ended early, or `None` without a signal.
    pub(crate) fn status(&self) -> Option<Status> {
        match self.received.load(Ordering::Acquire) {
            2 => Some(Status::Interrupted),
            15 => Some(Status::Terminated),
            _ => None,
        }
    }
}
