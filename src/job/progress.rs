//! The progress of an operation, and the request to stop it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{Error, Result};

/// The progress of an operation, and whether it should stop. The threads of the operation share
/// this value. Any other thread may read it, or stop the operation, at any time.
#[derive(Debug, Default)]
pub struct Progress {
    total_bytes: AtomicU64,
    done_bytes: AtomicU64,
    done_files: AtomicU64,
    stop: Arc<AtomicBool>,
}

/// The state of a [`Progress`] at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// The bytes to read or write, as far as known. Grows while areas are examined.
    pub total_bytes: u64,
    /// The bytes read or written.
    pub done_bytes: u64,
    /// The files read or written.
    pub done_files: u64,
}

impl Progress {
    /// Adds work to do.
    pub fn expect(&self, bytes: u64) {
        self.total_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Adds work done.
    pub fn done(&self, files: u64, bytes: u64) {
        self.done_files.fetch_add(files, Ordering::Relaxed);
        self.done_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Returns the current state.
    pub fn look(&self) -> Look {
        Look {
            total_bytes: self.total_bytes.load(Ordering::Relaxed),
            done_bytes: self.done_bytes.load(Ordering::Relaxed),
            done_files: self.done_files.load(Ordering::Relaxed),
        }
    }

    /// Tells the operation to stop soon. Areas that are not done yet fail with [`Error::Stopped`],
    /// and leave nothing behind.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// Tells whether the operation should stop.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Returns the flag that [`Self::stop`] sets, for a signal handler: setting a flag is all that
    /// it can do.
    pub fn stop_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    /// Fails if the operation should stop. Long work calls this between its steps.
    pub(crate) fn check_stopped(&self) -> Result<()> {
        if self.is_stopped() { Err(Error::Stopped) } else { Ok(()) }
    }

    /// Repeats `attempt` until it succeeds, for at most `patience`. Returns the last result. Fails
    /// early if the operation should stop.
    pub(crate) fn attempt<T>(
        &self,
        patience: Duration,
        mut attempt: impl FnMut() -> Result<Attempt<T>>,
    ) -> Result<T> {
        const PAUSE: Duration = Duration::from_millis(20);
        let started = Instant::now();
        loop {
            self.check_stopped()?;
            match attempt()? {
                Attempt::Came(to) => return Ok(to),
                Attempt::Nothing(so_far) if started.elapsed() >= patience => return Ok(so_far),
                Attempt::Nothing(_) => std::thread::sleep(PAUSE),
            }
        }
    }
}

/// The result of an attempt.
pub(crate) enum Attempt<T> {
    /// The attempt succeeded, with this result.
    Came(T),
    /// The attempt did not succeed. This is the result if it was the last one.
    Nothing(T),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_is_repeated_until_it_comes_to_something_or_is_told_to_stop() -> Result<()> {
        let progress = Progress::default();
        let mut attempts = 0;
        let third = || {
            attempts += 1;
            Ok(if attempts == 3 { Attempt::Came(attempts) } else { Attempt::Nothing(0) })
        };
        assert_eq!(progress.attempt(Duration::from_mins(1), third)?, 3);
        assert_eq!(progress.attempt(Duration::ZERO, || Ok(Attempt::Nothing(7)))?, 7);

        let stopped = progress.attempt(Duration::MAX, || {
            progress.stop();
            Ok(Attempt::Nothing(()))
        });
        assert!(matches!(stopped, Err(Error::Stopped)));
        Ok(())
    }
}
