//! The only code that starts programs.
//!
//! A program sees the variables of the job's environment that
//! [`passed_on`](crate::model::passed_on) lists, and those that are set for it here. Git must run
//! no program that a configuration names, for the configuration may come from the previous user of
//! the checkout: no hook, no file monitor, no credential helper, no transport. Only filters remain,
//! since their names are unknown.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use super::process::{Urgency, end_group};
use crate::model::environment::Environment;
use crate::model::passed_on::{to_git, to_toolchain};

/// Settings that override every git configuration. Other settings of a configuration count, for
/// example proxies.
const GIT_SETTINGS: [&str; 15] = [
    // Ask nobody for a password, and send no stored one.
    "credential.helper=",
    "core.askPass=",
    // Run no program that a configuration names.
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "advice.detachedHead=false",
    // A program that outlives git would run without our lock.
    "gc.autoDetach=false",
    "maintenance.autoDetach=false",
    // Keep one pack per fetch; git's gc merges them when there are many.
    "fetch.unpackLimit=1",
    // Version 2 serves every commit by its name.
    "protocol.version=2",
    // Give up on a server that sends less than 1,000 bytes a second for a minute.
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=60",
    // Forbid all transports; each is allowed where it is needed.
    "protocol.allow=never",
    "protocol.https.allow=never",
    "protocol.http.allow=never",
    "protocol.file.allow=never",
];

/// The variables that are set for git.
const GIT_VARIABLES: [(&str, &str); 5] = [
    // Messages in a fixed language, which this program can match.
    ("LC_ALL", "C"),
    ("LANGUAGE", ""),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_ASKPASS", ""),
    // As `actions/checkout` without `lfs: true`.
    ("GIT_LFS_SKIP_SMUDGE", "1"),
];

/// A program to be started. Its stdin is empty unless set.
#[derive(Debug)]
pub struct Program(Command);

impl Program {
    /// Returns git, looked up in the PATH of `environment`. By default it reaches no server, and
    /// runs in `/`, where no repository is.
    pub fn git(environment: &Environment) -> Self {
        let mut git = Self::new(OsStr::new("git"), &to_git(environment));
        git.0.envs(GIT_VARIABLES).current_dir("/");
        for setting in GIT_SETTINGS {
            git.0.args(["-c", setting]);
        }
        git
    }

    /// Returns a program of a toolchain: cargo, rustc, a C compiler, a linker. A name without `/`
    /// is looked up in the PATH of `environment`.
    pub fn of_toolchain(program: &OsStr, environment: &Environment) -> Self {
        Self::new(program, &to_toolchain(environment))
    }

    fn new(program: &OsStr, environment: &Environment) -> Self {
        let mut command = Command::new(program);
        command.env_clear().envs(environment.iter()).stdin(Stdio::null());
        Self(command)
    }

    /// Adds an argument.
    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Self {
        self.0.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args(&mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Self {
        self.0.args(args);
        self
    }

    /// Sets its working directory.
    pub fn current_dir(&mut self, dir: &Path) -> &mut Self {
        self.0.current_dir(dir);
        self
    }

    /// Sets a variable, in addition to those that are passed on.
    pub fn env(&mut self, name: &str, value: impl Into<OsString>) -> &mut Self {
        self.0.env(name, value.into());
        self
    }

    /// Uses `file` as its stdin.
    pub fn stdin(&mut self, file: File) -> &mut Self {
        self.0.stdin(Stdio::from(file));
        self
    }

    /// Runs it to its end and returns its output.
    pub fn output(&mut self) -> io::Result<Output> {
        self.0.output()
    }

    /// Starts it for questions on its stdin and answers on its stdout. It runs until the returned
    /// [`Talk`] is dropped. Its stderr is discarded.
    pub fn talk(&mut self) -> io::Result<Talk> {
        self.0.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = self.0.spawn()?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(ask), Some(answer)) => Ok(Talk { child, ask, answer: BufReader::new(answer) }),
            _ => Err(io::Error::other("it has no pipes")),
        }
    }

    /// Runs it to its end, or until `is_stopped`: then it ends together with all programs that it
    /// started.
    pub fn output_until(&mut self, is_stopped: impl Fn() -> bool + Send) -> io::Result<Output> {
        self.0.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let child = self.0.spawn()?;
        let leader = child.id();
        let (done, is_done) = channel::<()>();
        thread::scope(|scope| {
            scope.spawn(move || end_if(&is_stopped, leader, &is_done));
            let output = child.wait_with_output();
            drop(done);
            output
        })
    }
}

/// A running program that answers questions. It is killed when this is dropped.
#[derive(Debug)]
pub struct Talk {
    child: Child,
    ask: ChildStdin,
    answer: BufReader<ChildStdout>,
}

impl Talk {
    /// Sends a question of one line.
    pub fn ask(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.ask, "{line}")?;
        self.ask.flush()
    }

    /// Returns the reader of its answers.
    pub fn answer(&mut self) -> &mut impl BufRead {
        &mut self.answer
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        // All questions are answered by now. An error means that it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn end_if(is_stopped: &impl Fn() -> bool, leader: u32, is_done: &Receiver<()>) {
    const PAUSE: Duration = Duration::from_millis(20);
    // Git removes its temporary files within milliseconds, and a cancelled job has seconds left.
    const GRACE: Duration = Duration::from_secs(1);
    while is_done.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
        if is_stopped() {
            // A program that we may not signal ends by itself; the caller waits for it.
            drop(end_group(leader, Urgency::Politely));
            if is_done.recv_timeout(GRACE) == Err(RecvTimeoutError::Timeout) {
                drop(end_group(leader, Urgency::AtOnce));
            }
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_sees_only_variables_that_are_passed_on_or_set_for_it() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let program = dir.path().join("git");
        std::fs::write(&program, "#!/bin/sh\nenv\n")?;
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let path = format!("{}:/usr/bin:/bin", dir.path().display());
        let environment = [
            ("PATH", path.as_str()),
            ("HTTPS_PROXY", "http://proxy"),
            ("LC_ALL", "de_DE.UTF-8"),
            ("LANGUAGE", "de"),
            ("GIT_ASKPASS", "/bin/ask"),
            ("GIT_DIR", "/elsewhere/.git"),
            ("GIT_CONFIG_GLOBAL", "/etc/proxy"),
            ("GITHUB_TOKEN", "secret"),
        ];
        let environment = environment.map(|(name, value)| (name.into(), value.into()));
        let output = Program::git(&environment.into_iter().collect()).env("MORE", "1").output()?;
        let seen = String::from_utf8_lossy(&output.stdout).into_owned();
        // The variables that the shell sets.
        let own = ["PWD=", "SHLVL=", "_=", "OLDPWD="];
        let is_own = |line: &&str| own.iter().any(|own| line.starts_with(own));
        let mut seen: Vec<_> = seen.lines().filter(|line| !is_own(line)).collect();
        seen.sort_unstable();
        let path = format!("PATH={path}");
        let want = [
            "GIT_ASKPASS=",
            "GIT_CONFIG_GLOBAL=/etc/proxy",
            "GIT_LFS_SKIP_SMUDGE=1",
            "GIT_TERMINAL_PROMPT=0",
            "HTTPS_PROXY=http://proxy",
            "LANGUAGE=",
            "LC_ALL=C",
            "MORE=1",
            &path,
        ];
        assert_eq!(seen, want);
        Ok(())
    }
}
