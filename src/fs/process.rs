//! Ending programs that we started, and telling whether others still run.

use std::path::Path;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};

/// What tells one process from all others of this host, past ones included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessMark {
    pid: u32,
    /// When it started, in clock ticks since the boot: numbers are given again.
    started: u64,
    boot: String,
    /// The namespace that the number is of: a container has one of its own.
    namespace: String,
}

impl ProcessMark {
    /// Returns the mark of the process that started this one, if that can be seen from here.
    pub fn of_parent() -> Option<Self> {
        let pid = std::os::unix::process::parent_id();
        let started = started(pid)?;
        Some(Self { pid, started, boot: boot()?, namespace: namespace()? })
    }

    /// Tells whether it still runs; `None` if that cannot be seen from here.
    pub fn is_alive(&self) -> Option<bool> {
        if boot()? != self.boot {
            return Some(false);
        }
        if namespace()? != self.namespace {
            return None;
        }
        Some(started(self.pid) == Some(self.started))
    }
}

fn boot() -> Option<String> {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()
}

fn namespace() -> Option<String> {
    let link = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(link.to_string_lossy().into_owned())
}

/// Returns when a process started; `None` for one that ended, also if nobody has waited for it.
fn started(pid: u32) -> Option<u64> {
    let stat = std::fs::read(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    // The second field is the name in parentheses, which may hold anything: proc_pid_stat(5).
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    let started = fields.nth(18)?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some(started)
}

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

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn mark(pid: u32) -> Option<ProcessMark> {
        Some(ProcessMark { pid, started: started(pid)?, boot: boot()?, namespace: namespace()? })
    }

    #[test]
    fn a_process_is_told_from_later_ones_of_its_number_and_from_those_of_a_container()
    -> std::result::Result<(), Box<dyn std::error::Error>> {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn()?;
        let alive = mark(child.id()).ok_or("no mark")?;
        assert_eq!(alive.is_alive(), Some(true));
        let other = ProcessMark { started: alive.started + 1, ..alive.clone() };
        assert_eq!(other.is_alive(), Some(false));
        let other = ProcessMark { boot: "another".to_owned(), ..alive.clone() };
        assert_eq!(other.is_alive(), Some(false));
        let other = ProcessMark { namespace: "pid:[1]".to_owned(), ..alive.clone() };
        assert_eq!(other.is_alive(), None);

        child.kill()?;
        child.wait()?;
        assert_eq!(alive.is_alive(), Some(false));
        assert_eq!(ProcessMark::of_parent().and_then(|parent| parent.is_alive()), Some(true));
        Ok(())
    }
}
