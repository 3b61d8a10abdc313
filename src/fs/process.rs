//! Ending programs that we started, and checking whether other processes still run.

use std::path::Path;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};

/// The identity of a process, unique on this host, past processes included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessMark {
    pid: u32,
    /// Its start in clock ticks since the boot: process ids are reused.
    started: u64,
    boot: String,
    /// The namespace of the process id: a container has its own.
    namespace: String,
}

impl ProcessMark {
    /// Returns the mark of this process's parent; `None` if it cannot be seen from here.
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

/// Returns the line with the id of the machine's current boot.
pub fn boot() -> Option<String> {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()
}

fn namespace() -> Option<String> {
    let link = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(link.to_string_lossy().into_owned())
}

/// Returns when a process started, in clock ticks since the boot; `None` if it has ended, even if
/// no process has waited for it.
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

/// The signal that ends a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// SIGTERM: it may clean up first.
    Politely,
    /// SIGKILL: it ends at once.
    AtOnce,
}

/// Signals the process group of the program `leader`, which leads it, to end.
///
/// The caller started the leader and has not waited for it yet, so its process id is not reused. It
/// is no error if it has ended.
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
