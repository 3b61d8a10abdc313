//! Running git so that nothing of the caller, of earlier jobs or of the user decides what it does.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use super::super::progress::Progress;
use super::super::{Error as OpsError, Result};
use super::error::{Error, Said};
use super::token;
use crate::fs::process::{Urgency, end_group};
use crate::model::environment::Environment;
use crate::model::server::{Scheme, ServerUrl};
use crate::model::token::Token;

/// The oldest git that takes configuration from a variable (`--config-env`): what keeps a token
/// from its arguments, which every user of the host can read.
const OLDEST: (u32, u32) = (2, 31);

/// What git hears whatever the user's configuration says, which otherwise counts: proxies, say.
const ALWAYS: [&str; 15] = [
    // Nobody is asked, and nobody's stored passwords go anywhere.
    "credential.helper=",
    "core.askPass=",
    // No programs of somebody's choice.
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "advice.detachedHead=false",
    // What runs on after git would run without our lock.
    "gc.autoDetach=false",
    "maintenance.autoDetach=false",
    // One pack a fetch; gc unites them when they are many.
    "fetch.unpackLimit=1",
    // Serves every commit by its name.
    "protocol.version=2",
    // A server that sends less than 1,000 bytes a second for a minute sends nothing any more.
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=60",
    // Transports are allowed one by one.
    "protocol.allow=never",
    "protocol.https.allow=never",
    "protocol.http.allow=never",
    "protocol.file.allow=never",
];

/// What stays of the variables that begin with `GIT_`: where the user's configuration is, and how
/// servers are reached. The others name another repository, run programs, or write what is sent to
/// a file.
const KEPT: [&str; 6] = [
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_EXEC_PATH",
    "GIT_SSL_",
    "GIT_PROXY_SSL_",
];

/// Where git finds the header with the token.
const HEADER: &str = "RUNNER_CACHE_GIT_HEADER";

/// Git, as we run it.
#[derive(Debug)]
pub(super) struct Git<'a> {
    environment: Environment,
    token: Option<&'a Token>,
    progress: &'a Progress,
}

/// How a run of git failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// It was stopped because we are to stop.
    Stopped,
    /// It did not even begin.
    NotRun(io::Error),
    /// It ended with an error and said this.
    Ended(Said),
}

impl<'a> Git<'a> {
    /// Finds git in the PATH of `environment` and makes sure that it is new enough.
    pub(super) fn find(
        environment: &Environment,
        token: Option<&'a Token>,
        progress: &'a Progress,
    ) -> Result<Self> {
        let git = Self { environment: of_git(environment), token, progress };
        let version = git.run(git.command().arg("version"));
        let version = version.map_err(|failure| failure.or_else("/".as_ref(), too_old))?;
        let version = String::from_utf8_lossy(&version);
        if version_of(&version).is_some_and(|version| version >= OLDEST) {
            Ok(git)
        } else {
            let found = version.trim().trim_start_matches("git version ").to_owned();
            Err(too_old(Said(found)).into())
        }
    }

    /// Returns git as it is always called, to be given a command. It reaches no server, and runs
    /// in `/`, where no repository is, unless it is told otherwise.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new("git");
        command.env_clear().envs(self.environment.iter()).current_dir("/").stdin(Stdio::null());
        for setting in ALWAYS {
            command.args(["-c", setting]);
        }
        command
    }

    /// The same, but it may reach `server` and shows it the token.
    pub(super) fn command_to(&self, server: &ServerUrl) -> Command {
        let mut command = self.command();
        command.args(["-c", &format!("protocol.{}.allow=always", server.scheme().as_str())]);
        if server.scheme() == Scheme::Http {
            // Where a redirect may lead.
            command.args(["-c", "protocol.https.allow=always"]);
        }
        if let Some(token) = self.token
            && server.scheme() != Scheme::File
        {
            let header = format!("http.{server}/.extraHeader");
            // The first forgets what the user's configuration adds: two such headers are an error.
            command.args(["-c", &format!("{header}="), &format!("--config-env={header}={HEADER}")]);
            command.env(HEADER, token::header(token));
        }
        command
    }

    /// Runs `command`, made by one of the above, and returns what it wrote to stdout.
    pub(super) fn run(&self, command: &mut Command) -> std::result::Result<Vec<u8>, Failure> {
        if self.progress.is_stopped() {
            return Err(Failure::Stopped);
        }
        let output = self.output_of(command).map_err(Failure::NotRun)?;
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

    /// Runs `command` to its end, or until we are to stop: then all it has started ends too.
    fn output_of(&self, command: &mut Command) -> io::Result<std::process::Output> {
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let child = command.spawn()?;
        let leader = child.id();
        let (done, is_done) = channel::<()>();
        thread::scope(|scope| {
            scope.spawn(move || self.end_if_stopped(leader, &is_done));
            let output = child.wait_with_output();
            drop(done);
            output
        })
    }

    fn end_if_stopped(&self, leader: u32, is_done: &Receiver<()>) {
        const PAUSE: Duration = Duration::from_millis(20);
        // Git removes its temporary files within milliseconds; a cancelled job has seconds.
        const GRACE: Duration = Duration::from_secs(1);
        while is_done.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
            if self.progress.is_stopped() {
                // One that may not be ended ends by itself, and is waited for.
                drop(end_group(leader, Urgency::Politely));
                if is_done.recv_timeout(GRACE) == Err(RecvTimeoutError::Timeout) {
                    drop(end_group(leader, Urgency::AtOnce));
                }
                return;
            }
        }
    }
}

/// Lets `command` hold the lock on `file` until it ends, even if we end before.
///
/// The kernel drops an flock when the last copy of the open file is closed. Git reads nothing from
/// stdin in what it is called for here, and closes it only when it ends.
pub(super) fn hold(command: &mut Command, file: &File) -> std::result::Result<(), Failure> {
    let file = file.try_clone().map_err(Failure::NotRun)?;
    command.stdin(Stdio::from(file));
    Ok(())
}

fn too_old(found: Said) -> Error {
    let needed = format!("{}.{}", OLDEST.0, OLDEST.1);
    Error::GitTooOld { found: found.0, needed }
}

/// Returns the first two numbers of what `git version` prints.
fn version_of(text: &str) -> Option<(u32, u32)> {
    let version = text.trim().strip_prefix("git version ")?;
    let mut numbers = version.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Returns the environment that git gets.
fn of_git(environment: &Environment) -> Environment {
    let is_kept = |name: &OsStr| {
        let name = name.as_encoded_bytes();
        let asks = name == b"SSH_ASKPASS" || name == b"LANGUAGE";
        let is_known = || KEPT.iter().any(|kept| name.starts_with(kept.as_bytes()));
        !asks && (!name.starts_with(b"GIT_") || is_known())
    };
    let kept = environment.iter().filter(|(name, _)| is_kept(name));
    let kept: Environment = kept.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let set = [
        // Messages that `Said::trouble` knows.
        ("LC_ALL", "C"),
        ("GIT_TERMINAL_PROMPT", "0"),
        // Set but empty: not even the program that `SSH_ASKPASS` names is asked.
        ("GIT_ASKPASS", ""),
        // As `actions/checkout` without `lfs: true`.
        ("GIT_LFS_SKIP_SMUDGE", "1"),
    ];
    set.into_iter().fold(kept, |kept, (name, value)| kept.with(name, OsString::from(value)))
}

impl From<Failure> for OpsError {
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
                while !pid.exists() {
                    thread::yield_now();
                }
                progress.stop();
            });
            git.run(git.command().arg("fetch"))
        });
        assert!(matches!(ended, Err(Failure::Stopped)), "{ended:?}");
        // One that has ended stays in the list until its parent asks for it.
        let status = format!("/proc/{}/stat", std::fs::read_to_string(&pid)?.trim());
        let has_ended =
            || std::fs::read_to_string(&status).map_or(true, |stat| stat.contains(") Z "));
        while !has_ended() {
            thread::yield_now();
        }
        Ok(())
    }

    #[test]
    fn no_variable_of_the_caller_names_a_repository_or_a_program() {
        let variables = [
            ("PATH", "/usr/bin"),
            ("HTTPS_PROXY", "http://proxy"),
            ("LC_ALL", "de_DE.UTF-8"),
            ("LANGUAGE", "de"),
            ("SSH_ASKPASS", "/bin/ask"),
            ("GIT_ASKPASS", "/bin/ask"),
            ("GIT_DIR", "/elsewhere/.git"),
            ("GIT_CONFIG_COUNT", "1"),
            ("GIT_CONFIG_PARAMETERS", "'core.fsmonitor=/bin/evil'"),
            ("GIT_TRACE_CURL", "/tmp/log"),
            ("GIT_CONFIG_GLOBAL", "/etc/proxy"),
            ("GIT_SSL_CAINFO", "/etc/ca.pem"),
        ];
        let variables = variables.map(|(name, value)| (name.into(), value.into()));
        let seen = of_git(&variables.into_iter().collect());
        let text = |text: &OsStr| text.to_string_lossy().into_owned();
        let seen: Vec<_> =
            seen.iter().map(|(name, value)| text(name) + "=" + &text(value)).collect();
        let want = [
            "GIT_ASKPASS=",
            "GIT_CONFIG_GLOBAL=/etc/proxy",
            "GIT_LFS_SKIP_SMUDGE=1",
            "GIT_SSL_CAINFO=/etc/ca.pem",
            "GIT_TERMINAL_PROMPT=0",
            "HTTPS_PROXY=http://proxy",
            "LC_ALL=C",
            "PATH=/usr/bin",
        ];
        assert_eq!(seen, want);
    }
}
