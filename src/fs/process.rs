//! Ending programs that we started.

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};

/// How a program is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// It may put things in order first (SIGTERM).
    Politely,
    /// It ends at once (SIGKILL).
    AtOnce,
}

/// Asks the program `leader` to end, and all it has started in its process group, which it leads.
///
/// The caller has started it and not waited for it yet, so nobody else can have its number. One
/// that has ended is no error.
pub fn end_group(leader: u32, urgency: Urgency) -> std::io::Result<()> {
    let signal = match urgency {
        Urgency::Politely => Signal::TERM,
        Urgency::AtOnce => Signal::KILL,
    };
    let pid = i32::try_from(leader).ok().and_then(Pid::from_raw);
    match pid.map_or(Err(Errno::SRCH), |pid| kill_process_group(pid, signal)) {
        Err(Errno::SRCH) | Ok(()) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}
