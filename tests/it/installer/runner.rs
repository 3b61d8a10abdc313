//! A runner that has the action, and the results of the installer on it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use runner_cache::model::digest::Digest;
use tempfile::TempDir;

use super::server::Server;
use crate::support::{Result, link, paths, write};

pub(crate) const ASSET: &str = "runner-cache-1.2.3-x86_64-linux";

/// A script in place of the program: it prints its version.
pub(crate) const PROGRAM: &str = "#!/bin/sh\n[ \"$*\" = --version ] && echo 'runner-cache 1.2.3'\n";

/// Everything in the tool cache once the program is installed.
pub(crate) const INSTALLED: [&str; 5] = [
    "runner-cache",
    "runner-cache/1.2.3",
    "runner-cache/1.2.3/x64",
    "runner-cache/1.2.3/x64.complete",
    "runner-cache/1.2.3/x64/runner-cache",
];

/// The installer's tools, in coreutils and findutils, and in busybox.
const TOOLS: [&str; 20] = [
    "chmod",
    "cp",
    "df",
    "find",
    "head",
    "id",
    "mkdir",
    "mktemp",
    "mv",
    "rm",
    "sed",
    "sh",
    "sync",
    "tail",
    "timeout",
    "touch",
    "tr",
    "uname",
    "wc",
    "sha256sum",
];

/// A kind of host: its shell and the source of its tools.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    DashAndCurl,
    DashAndWget,
    Busybox,
    BusyboxAndCurl,
}

pub(crate) use Kind::{Busybox, BusyboxAndCurl, DashAndCurl, DashAndWget};

pub(crate) const KINDS: [Kind; 4] = [DashAndCurl, DashAndWget, Busybox, BusyboxAndCurl];

/// A runner with the action and an empty tool cache, in folders with spaces in their names.
pub(crate) struct Runner {
    dir: TempDir,
    kind: Kind,
    variables: Vec<(&'static str, String)>,
}

impl Runner {
    pub(crate) fn new(kind: Kind) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("runner-cache it ").tempdir()?;
        let runner = Self { dir, kind, variables: Vec::new() };
        let installer = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/install.sh");
        write(&runner.path("an action/dist"), "install.sh", fs::read(installer)?)?;
        runner.release(PROGRAM)?;
        fs::create_dir(runner.path("tool cache"))?;
        fs::create_dir(runner.path("bin"))?;
        for tool in TOOLS {
            runner.give(tool)?;
        }
        match kind {
            DashAndCurl | BusyboxAndCurl => runner.give_from_host("curl")?,
            DashAndWget => runner.give_from_host("wget")?,
            Busybox => runner.give("wget")?,
        }
        runner.fake("sleep", "echo \"$1\" >>\"${0%/*}/slept\"")?;
        Ok(runner)
    }

    /// Makes the action expect `program` in the release.
    pub(crate) fn release(&self, program: &str) -> Result {
        let sums = format!("{}  {ASSET}\n", sha256(program.as_bytes()));
        write(&self.path("an action/dist"), "SHA256SUMS", sums)
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    pub(crate) fn program(&self) -> PathBuf {
        self.path("tool cache").join(INSTALLED[4])
    }

    pub(crate) fn marker(&self) -> PathBuf {
        self.path("tool cache").join(INSTALLED[3])
    }

    /// Puts a program at the installer's destination, as a person would.
    pub(crate) fn place(&self, program: &str) -> Result {
        write(&self.path("tool cache"), INSTALLED[4], program)
    }

    /// Puts a tool of this kind of host into PATH.
    pub(crate) fn give(&self, tool: &str) -> Result {
        let target = match self.kind {
            DashAndCurl | DashAndWget if tool == "sh" => which("dash")?,
            DashAndCurl | DashAndWget => which(tool)?,
            Busybox | BusyboxAndCurl => which("busybox")?,
        };
        link(&self.path("bin"), tool, &target)
    }

    /// Puts a tool of this machine into PATH.
    pub(crate) fn give_from_host(&self, tool: &str) -> Result {
        link(&self.path("bin"), tool, &which(tool)?)
    }

    pub(crate) fn take(&self, tool: &str) -> Result {
        Ok(fs::remove_file(self.path("bin").join(tool))?)
    }

    /// Replaces a tool by a script.
    pub(crate) fn fake(&self, tool: &str, script: &str) -> Result {
        let path = self.path("bin").join(tool);
        if path.symlink_metadata().is_ok() {
            fs::remove_file(&path)?;
        }
        fs::write(&path, format!("#!/bin/sh\n{script}\n"))?;
        Ok(fs::set_permissions(&path, PermissionsExt::from_mode(0o755))?)
    }

    pub(crate) fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.variables.retain(|(known, _)| *known != name);
        self.variables.push((name, value.into()));
    }

    /// Returns the seconds of each wait.
    pub(crate) fn slept(&self) -> String {
        fs::read_to_string(self.path("bin/slept")).unwrap_or_default()
    }

    /// Returns the arguments that run the installer.
    pub(crate) fn installer(&self) -> [PathBuf; 2] {
        [self.path("bin/sh"), self.path("an action/dist/install.sh")]
    }

    /// Returns `program` with the environment of this runner.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command
            .env_clear()
            .env("PATH", self.path("bin"))
            .env("HOME", self.path("home"))
            .env("RUNNER_TOOL_CACHE", self.path("tool cache"))
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn start(&self) -> Result<Child> {
        let [shell, script] = self.installer();
        // Default signals, as the launcher leaves them, even if the runner of the tests ignores
        // some.
        let mut command = self.command("/usr/bin/env");
        command.arg("--default-signal=HUP,INT,TERM").arg(shell).arg(script);
        Ok(command.spawn()?)
    }

    pub(crate) fn install(&self) -> Result<Said> {
        Said::of(self.start()?.wait_with_output()?)
    }

    /// Installs from `server`, now and from now on.
    pub(crate) fn install_from(&mut self, server: &Server) -> Result<Said> {
        self.set("RUNNER_CACHE_DOWNLOAD_URL", server.url());
        self.install()
    }

    /// Installs to a tool cache on a tmpfs with these mount options, on which `set_up` ran first.
    /// Lists the files left there on stdout, with `left:` before each path.
    pub(crate) fn install_on(&self, options: &str, set_up: &str) -> Result<Said> {
        let script =
            "mount -t tmpfs -o \"$0\" tmpfs . && cd \"$PWD\" && eval \"$1\" && shift || exit 9
                      \"$@\"; status=$?
                      find . | sed 's/^/left:/'; exit $status";
        let mut unshare = self.command("/usr/bin/unshare");
        unshare.args(["--user", "--map-root-user", "--mount", "/bin/sh", "-c", script]);
        unshare.args([options, set_up, "env"]).arg(format!("PATH={}", self.path("bin").display()));
        unshare.args(self.installer()).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        unshare.current_dir(self.path("tool cache"));
        Said::of(unshare.output()?)
    }

    /// Returns every path in the tool cache, sorted.
    pub(crate) fn tools(&self) -> Result<Vec<String>> {
        let tool_cache = self.path("tool cache");
        let mut found = Vec::new();
        for path in paths(&tool_cache)? {
            found.push(path.strip_prefix(&tool_cache)?.display().to_string());
        }
        found.retain(|path| !path.is_empty());
        found.sort();
        Ok(found)
    }

    /// Fails unless the tool cache holds the released program and nothing else.
    pub(crate) fn has_installed(&self, why: &str) -> Result {
        assert_eq!(self.tools()?, INSTALLED, "{why}");
        assert_eq!(fs::read_to_string(self.program())?, PROGRAM, "{why}");
        let mode = fs::metadata(self.program())?.permissions().mode();
        assert_eq!(mode & 0o7777, 0o755, "{why}");
        Ok(())
    }

    /// Fails unless only empty folders are left.
    pub(crate) fn has_nothing(&self, why: &str) -> Result {
        assert_eq!(self.tools()?, INSTALLED[..3], "{why}");
        Ok(())
    }

    /// Returns the lines of a message that describe an installation by hand.
    pub(crate) fn by_hand(&self) -> String {
        let dir = self.path("tool cache").join(INSTALLED[2]).display().to_string();
        format!(
            ", or put the program there by hand:%0A  mkdir -p '{dir}'%0A  \
             cp {ASSET} '{dir}/runner-cache'"
        )
    }
}

/// The result of an installation.
#[derive(Debug, PartialEq)]
pub(crate) struct Said {
    pub(crate) status: Option<i32>,
    pub(crate) errors: Vec<String>,
    /// The other lines.
    pub(crate) lines: Vec<String>,
}

impl Said {
    pub(crate) fn of(output: Output) -> Result<Self> {
        let said = String::from_utf8(output.stdout)?;
        assert_eq!(String::from_utf8(output.stderr)?, "", "after {said}");
        let lines = said.lines().map(ToOwned::to_owned);
        let (errors, lines) = lines.partition(|line| line.starts_with("::error"));
        Ok(Self { status: output.status.code(), errors, lines })
    }

    /// Fails unless the installer gave up with one error; returns its text without the head.
    pub(crate) fn error(&self) -> Result<&str> {
        let [error] = &self.errors[..] else { return Err(format!("{self:?}").into()) };
        assert_eq!(self.status, Some(1), "{error}");
        Ok(error.strip_prefix("::error title=runner-cache::").ok_or("has no title")?)
    }

    /// Fails unless it succeeded.
    pub(crate) fn done(self, why: &str) -> Result<Self> {
        if self.status == Some(0) && self.errors.is_empty() {
            Ok(self)
        } else {
            Err(format!("{why}: {self:?}").into())
        }
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Digest::of(bytes).to_string()
}

fn which(tool: &str) -> Result<String> {
    let mut paths = ["/usr/bin", "/bin"].iter().map(|dir| format!("{dir}/{tool}"));
    let found = paths.find(|path| Path::new(path).exists());
    Ok(found.ok_or_else(|| format!("needs `{tool}`"))?)
}
