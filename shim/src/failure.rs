//! The message when the program cannot be started: one line, which the runner turns into an
//! annotation.

use alloc::ffi::CString;
use alloc::vec::Vec;
use core::ffi::CStr;

use crate::errno::Errno;
use crate::stage::Stage;

/// Why the program does not run.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A file of `/proc/self` cannot be read.
    Unreadable {
        /// The file of `/proc/self`.
        path: &'static CStr,
        errno: Errno,
    },
    /// No file is mapped at the launcher's own address.
    Homeless,
    /// The program is in none of its possible places, and this step must not install it.
    Missing,
    /// The installer could not be started or waited for.
    NoInstaller(Errno),
    /// The release cannot be downloaded, and the job can do without the program.
    Unreached,
    /// The installer ended, and the program is still missing.
    NotInstalled { installer: CString, ended: Ended },
    /// The program exists, but does not start.
    NotStarted { program: CString, errno: Errno },
}

/// How a child ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ended {
    /// It exited with this status.
    Exited(u8),
    /// It was killed by this signal.
    Killed(u8),
}

impl Ended {
    /// Decodes the status of `wait4(2)` for a child that has ended.
    pub(crate) const fn of(status: i32) -> Self {
        let [low, high, ..] = status.to_le_bytes();
        match low & 0x7f {
            0 => Self::Exited(high),
            signal => Self::Killed(signal),
        }
    }
}

impl Failure {
    /// Returns the exit status of the step.
    pub(crate) const fn status(&self, stage: Stage) -> i32 {
        match self {
            Self::Unreached => 0,
            _ => stage.status(),
        }
    }

    /// Returns the line for the runner, with a newline; `None` if an error was already printed.
    pub(crate) fn annotation(&self, stage: Stage) -> Option<Vec<u8>> {
        let mut line = stage.command().to_vec();
        for byte in self.message()? {
            // The runner's escapes. Without them, a path could end the line and begin a command.
            match byte {
                b'%' => line.extend(b"%25"),
                b'\r' => line.extend(b"%0D"),
                b'\n' => line.extend(b"%0A"),
                _ => line.push(byte),
            }
        }
        line.push(b'\n');
        Some(line)
    }

    /// Returns the message: what happened, the path, the reason, and what to do.
    fn message(&self) -> Option<Vec<u8>> {
        Some(match self {
            Self::Unreadable { path, errno } => {
                let parts = [b"cannot read `", path.to_bytes(), b"`: ", &reason(*errno)];
                [&parts.concat(), &b"; the action needs /proc"[..]].concat()
            }
            Self::Homeless => {
                b"cannot find the action's own folder: `/proc/self/maps` does not name it".to_vec()
            }
            Self::Missing => {
                b"nothing is saved: the main step did not install the program, or it was removed"
                    .to_vec()
            }
            Self::NoInstaller(errno) => {
                [b"cannot run the installer: ", &reason(*errno)[..]].concat()
            }
            // The installer printed an error itself: a second one would only hide it.
            Self::Unreached | Self::NotInstalled { ended: Ended::Exited(1), .. } => return None,
            Self::NotInstalled { installer, ended } => {
                let (how, number) = match ended {
                    Ended::Exited(status) => (&b"exit status "[..], status),
                    Ended::Killed(signal) => (&b"signal "[..], signal),
                };
                let number = decimal(u16::from(*number));
                let path = installer.to_bytes();
                let parts = [b"the installer `", path, b"` ended with ", how, &number];
                [&parts.concat(), &b" and left no program; what it printed is above"[..]].concat()
            }
            Self::NotStarted { program, errno } => {
                let parts = [b"cannot start `", program.to_bytes(), b"`: ", &reason(*errno)];
                [&parts.concat(), remedy(*errno)].concat()
            }
        })
    }
}

/// Returns what to do about a program that does not start.
fn remedy(errno: Errno) -> &'static [u8] {
    match errno {
        // The file exists: the loader that it names is missing.
        Errno::NO_ENTRY => b"; it needs a system with glibc, which an Alpine container is not",
        Errno::ACCESS => {
            b"; is its folder mounted `noexec`? Set RUNNER_TOOL_CACHE to one that is not"
        }
        Errno::NO_EXEC => {
            b"; it is for Linux on x86-64. If this is that, remove the file and run the job again"
        }
        Errno::TOO_BIG => b"; the environment is too large: shorten what `env:` sets",
        _ => b"",
    }
}

/// Returns the error's text and number, or only its number.
fn reason(errno: Errno) -> Vec<u8> {
    let number = decimal(errno.0);
    match errno.text() {
        Some(text) => [text.as_bytes(), b" (os error ", &number, b")"].concat(),
        None => [b"os error ", &number[..]].concat(),
    }
}

/// Returns `number` in decimal. The formatting of `core` would be more than half of the launcher.
fn decimal(number: u16) -> Vec<u8> {
    let digit = b'0' + (number % 10) as u8;
    match number / 10 {
        0 => [digit].to_vec(),
        rest => [&decimal(rest)[..], &[digit]].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line_that_names_path_reason_and_remedy() {
        let program = || c"/t/runner-cache".to_owned();
        let installer = || c"/a/install.sh".to_owned();
        let not_started = |errno| Failure::NotStarted { program: program(), errno };
        let not_installed = |ended| Failure::NotInstalled { installer: installer(), ended };
        #[rustfmt::skip]
        let cases = [
            (Failure::Unreadable { path: c"/proc/self/maps", errno: Errno::ACCESS }, Some(
                "cannot read `/proc/self/maps`: permission denied (os error 13); the action needs /proc")),
            (Failure::Homeless, Some(
                "cannot find the action's own folder: `/proc/self/maps` does not name it")),
            (Failure::Missing, Some(
                "nothing is saved: the main step did not install the program, or it was removed")),
            (Failure::NoInstaller(Errno::AGAIN), Some(
                "cannot run the installer: resource temporarily unavailable (os error 11)")),
            (not_installed(Ended::Exited(1)), None),
            (not_installed(Ended::Exited(127)), Some(
                "the installer `/a/install.sh` ended with exit status 127 and left no program; what it printed is above")),
            (not_installed(Ended::Killed(9)), Some(
                "the installer `/a/install.sh` ended with signal 9 and left no program; what it printed is above")),
            (not_started(Errno::ACCESS), Some(
                "cannot start `/t/runner-cache`: permission denied (os error 13); \
                 is its folder mounted `noexec`? Set RUNNER_TOOL_CACHE to one that is not")),
            (not_started(Errno(4095)), Some(
                "cannot start `/t/runner-cache`: os error 4095")),
        ];
        for (failure, want) in cases {
            let line = failure.annotation(Stage::Main).map(String::from_utf8);
            let want = want.map(|text| Ok(format!("::error title=runner-cache::{text}\n")));
            assert_eq!(line, want, "{failure:?}");
        }
    }

    #[test]
    fn only_a_release_that_the_job_can_do_without_fails_no_step() {
        let installer = c"/a/install.sh".to_owned();
        let refused = Failure::NotInstalled { installer, ended: Ended::Exited(1) };
        for (failure, want) in [(Failure::Unreached, 0), (refused, 1), (Failure::Missing, 1)] {
            assert_eq!(failure.status(Stage::Main), want, "{failure:?}");
        }
        assert_eq!(Failure::Unreached.annotation(Stage::Main), None);
    }

    #[test]
    fn the_post_step_warns() {
        let line = Failure::Missing.annotation(Stage::Post).map(String::from_utf8);
        let want = "::warning title=runner-cache::nothing is saved: the main step did not \
                      install the program, or it was removed\n";
        assert_eq!(line, Some(Ok(want.to_owned())));
    }

    #[test]
    fn a_path_cannot_begin_a_command() {
        let program = c"/a\n::set-output::\r50%".to_owned();
        let line = Failure::NotStarted { program, errno: Errno(1) }.annotation(Stage::Main);
        let want =
            b"::error title=runner-cache::cannot start `/a%0A::set-output::%0D50%25`: os error 1\n";
        assert_eq!(line.as_deref(), Some(&want[..]));
    }

    #[test]
    fn a_status_tells_how_a_child_ended() {
        #[rustfmt::skip]
        let cases = [
            (0x0000, Ended::Exited(0)),
            (0x0300, Ended::Exited(3)),
            (0xff00, Ended::Exited(255)),
            (0x0009, Ended::Killed(9)),
            (0x008b, Ended::Killed(11)),
        ];
        for (status, want) in cases {
            assert_eq!(Ended::of(status), want, "{status:#06x}");
        }
    }
}
