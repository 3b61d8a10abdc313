//! Runs git so that the caller, earlier jobs and the user's configuration have no influence on it.

use std::fs::File;

use super::error::{Error, Failure, Result, Said};
use super::token;
use crate::fs::child::Program;
use crate::job::progress::Progress;
use crate::model::environment::Environment;
use crate::model::server::{Scheme, ServerUrl};
use crate::model::token::Token;

/// The oldest git that takes configuration from a variable (`--config-env`). The variable keeps a
/// token out of git's arguments, which every user of the host can read.
const OLDEST: (u32, u32) = (2, 31);

/// The variable from which git takes the header with the token.
const HEADER: &str = "RUNNER_CACHE_GIT_HEADER";

/// Git with its environment and token.
#[derive(Debug)]
pub(super) struct Git<'a> {
    environment: &'a Environment,
    token: Option<&'a Token>,
    progress: &'a Progress,
}

impl<'a> Git<'a> {
    /// Finds git in the PATH of `environment` and makes sure that it is new enough.
    pub(super) fn find(
        environment: &'a Environment,
        token: Option<&'a Token>,
        progress: &'a Progress,
    ) -> Result<Self> {
        let git = Self { environment, token, progress };
        let version = git.run(git.command().arg("version"));
        let version = version.map_err(|failure| failure.or_else("/".as_ref(), too_old))?;
        let version = String::from_utf8_lossy(&version);
        if version_of(&version).is_some_and(|version| version >= OLDEST) {
            Ok(git)
        } else {
            let found = version.trim().trim_start_matches("git version ").to_owned();
            Err(too_old(Said(found)))
        }
    }

    /// Returns git with its usual options, without a command. It reaches no server.
    pub(super) fn command(&self) -> Program {
        Program::git(self.environment)
    }

    /// Returns git that may reach `server`, and that shows it the token.
    pub(super) fn command_to(&self, server: &ServerUrl) -> Program {
        let mut command = self.command();
        command.args(["-c", &format!("protocol.{}.allow=always", server.scheme().as_str())]);
        if server.scheme() == Scheme::Http {
            // A redirect may lead to HTTPS.
            command.args(["-c", "protocol.https.allow=always"]);
        }
        if let Some(token) = self.token
            && server.scheme() != Scheme::File
        {
            let header = format!("http.{server}/.extraHeader");
            // The empty value drops headers of the user's configuration: two such headers are an
            // error.
            command.args(["-c", &format!("{header}="), &format!("--config-env={header}={HEADER}")]);
            command.env(HEADER, token::header(token));
        }
        command
    }

    /// Runs `command`, made by one of the functions above, and returns its standard output.
    pub(super) fn run(&self, command: &mut Program) -> std::result::Result<Vec<u8>, Failure> {
        if self.progress.is_stopped() {
            return Err(Failure::Stopped);
        }
        let output = command.output_until(|| self.progress.is_stopped());
        let output = output.map_err(Failure::NotRun)?;
        if self.progress.is_stopped() {
            return Err(Failure::Stopped);
        }
        if output.status.success() {
            return Ok(output.stdout);
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        let stderr = self.token.map_or(stderr.to_string(), |token| token::mask(token, &stderr));
        match Said::of(&stderr) {
            Said(nothing) if nothing.is_empty() => {
                Err(Failure::Ended(Said(format!("git ended with {}", output.status))))
            }
            said => Err(Failure::Ended(said)),
        }
    }
}

/// Lets `command` hold the lock on `file` until it ends, even if we end before.
///
/// The kernel drops an flock when the last copy of the open file is closed. The git commands here
/// read nothing from stdin, and close it only when they end.
pub(super) fn hold(command: &mut Program, file: &File) -> std::result::Result<(), Failure> {
    let file = file.try_clone().map_err(Failure::NotRun)?;
    command.stdin(file);
    Ok(())
}

fn too_old(found: Said) -> Error {
    let needed = format!("{}.{}", OLDEST.0, OLDEST.1);
    Error::GitTooOld { found: found.0, needed }
}

/// Returns the first two numbers in the output of `git version`.
fn version_of(text: &str) -> Option<(u32, u32)> {
    let version = text.trim().strip_prefix("git version ")?;
    let mut numbers = version.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.or_else("/".as_ref(), |source| Error::Git {
            action: "run",
            path: "git".into(),
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn the_version_is_told_from_what_follows_it() {
        let cases = [
            ("git version 2.47.3\n", Some((2, 47))),
            ("git version 2.39.2 (Apple Git-143)", Some((2, 39))),
            ("git version 2.31.0.windows.1", Some((2, 31))),
            ("git version 3.0-rc1", Some((3, 0))),
            ("jj 0.1", None),
        ];
        for (text, want) in cases {
            assert_eq!(version_of(text), want, "{text}");
        }
    }

    #[test]
    fn a_git_that_is_stopped_ends_with_all_it_started()
    -> std::result::Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let pid = dir.path().join("pid");
        let script = format!(
            "#!/bin/sh\ncase $* in *version) echo git version 2.47.0; exit;; esac\nsleep 600 &\necho $! >'{0}.new'\nmv '{0}.new' '{0}'\nwait\n",
            pid.display()
        );
        let program = dir.path().join("git");
        std::fs::write(&program, script)?;
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let path = format!("{}:/usr/bin:/bin", dir.path().display());
        let environment = Environment::default().with("PATH", path);
        let progress = Progress::default();
        let git = Git::find(&environment, None, &progress)?;
        let ended = thread::scope(|scope| {
            scope.spawn(|| {
                assert!(comes_true(|| pid.exists()), "git did not start");
                progress.stop();
            });
            git.run(git.command().arg("fetch"))
        });
        assert!(matches!(ended, Err(Failure::Stopped)), "{ended:?}");
        // A process that has ended stays in the list until its parent waits for it.
        let status = format!("/proc/{}/stat", std::fs::read_to_string(&pid)?.trim());
        let has_ended =
            || std::fs::read_to_string(&status).map_or(true, |stat| stat.contains(") Z "));
        assert!(comes_true(has_ended), "a child of git still runs");
        Ok(())
    }

    /// Waits until something is true; tells whether that came within a minute.
    fn comes_true(is_true: impl Fn() -> bool) -> bool {
        let began = std::time::Instant::now();
        while !is_true() {
            if began.elapsed() > std::time::Duration::from_mins(1) {
                return false;
            }
            thread::sleep(std::time::Duration::from_millis(5));
        }
        true
    }
}
