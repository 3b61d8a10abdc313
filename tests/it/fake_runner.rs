//! A runner's directory, and the work of a runner for one step, after the sources of actions/runner 2.336.0: the
//! variables it sets, the files it reads back, and how it ends a step.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{PROGRAM, Result, isolated, paths, succeed, write};

/// A runner with a repository that it checks out, and a store.
pub(crate) struct FakeRunner {
    _dir: TempDir,
    base: PathBuf,
}

/// One job: the workflow's settings for the step, and the runner's memory between main and post.
pub(crate) struct Job<'a> {
    runner: &'a FakeRunner,
    inputs: BTreeMap<String, String>,
    variables: BTreeMap<String, String>,
    state: BTreeMap<String, String>,
    event: Value,
}

/// The result of a step.
#[derive(Debug)]
pub(crate) struct Done {
    /// Its exit status; `None` if a signal ended it.
    pub(crate) status: Option<i32>,
    /// Its stdout and stderr.
    pub(crate) log: String,
    pub(crate) outputs: BTreeMap<String, String>,
    pub(crate) summary: String,
}

impl FakeRunner {
    /// Creates a runner whose repository holds a program of two crates.
    pub(crate) fn new() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("runner-cache-runner-").tempdir()?;
        let base = dir.path().canonicalize()?;
        let runner = Self { _dir: dir, base };
        for below in ["home", "origin/app", "_work/_temp/_runner_file_commands", "_work/_tool"] {
            fs::create_dir_all(runner.path(below))?;
        }
        runner.commit(&[
            ("Cargo.toml", "[workspace]\nmembers = [\"more\"]\n[package]\nname = \"app\"\nversion = \"0.1.0\"\n\
                 edition = \"2024\"\n[dependencies]\nmore = { path = \"more\" }\n"),
            ("src/main.rs", "fn main() {\n    println!(\"{}\", more::ANSWER);\n}\n"),
            ("more/Cargo.toml", "[package]\nname = \"more\"\nversion = \"0.1.0\"\nedition = \"2024\"\n"),
            ("more/src/lib.rs", "pub const ANSWER: u32 = 42;\n"),
            (".gitignore", "/target\n"),
        ])?;
        let mut cargo = runner.command("cargo", &runner.path("origin/app"));
        succeed(cargo.args(["generate-lockfile", "--offline"]))?;
        runner.commit(&[])?;
        runner.check_out()?;
        Ok(runner)
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.base.join(below)
    }

    pub(crate) fn workspace(&self) -> PathBuf {
        self.path("_work/app/app")
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path("store")
    }

    /// Commits files to the repository.
    pub(crate) fn commit(&self, files: &[(&str, &str)]) -> Result {
        self.commit_to(&self.path("origin/app"), files)
    }

    /// Commits files to the repository at `dir`; creates it if needed.
    pub(crate) fn commit_to(&self, dir: &Path, files: &[(&str, &str)]) -> Result {
        for (path, text) in files {
            write(dir, path, text)?;
        }
        if !dir.join(".git").exists() {
            succeed(self.git(dir).args(["init", "-q", "-b", "main"]))?;
        }
        succeed(self.git(dir).args(["add", "-A"]))?;
        succeed(self.git(dir).args(["commit", "-q", "-m", "a commit"]))
    }

    /// Returns the commit of the HEAD of the repository at `dir`.
    pub(crate) fn head(&self, dir: &Path) -> Result<String> {
        let output = self.git(dir).args(["rev-parse", "HEAD"]).output()?;
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// Removes a file from the repository and makes git ignore it.
    pub(crate) fn untrack(&self, path: &str) -> Result {
        fs::remove_file(self.path("origin/app").join(path))?;
        self.commit(&[(".gitignore", &format!("/target\n{path}\n"))])
    }

    /// Checks the repository out into an empty workspace.
    pub(crate) fn check_out(&self) -> Result {
        let workspace = self.workspace();
        if workspace.exists() {
            fs::remove_dir_all(&workspace)?;
        }
        fs::create_dir_all(workspace.parent().unwrap_or(&self.base))?;
        let mut git = self.git(&self.base);
        succeed(git.args(["clone", "-q"]).arg(self.path("origin/app")).arg(workspace))
    }

    pub(crate) fn git(&self, dir: &Path) -> Command {
        let mut git = self.command("git", dir);
        for (name, value) in [("AUTHOR", "a"), ("COMMITTER", "c")] {
            git.env(format!("GIT_{name}_NAME"), value);
            git.env(format!("GIT_{name}_EMAIL"), "a@example.org");
        }
        git
    }

    pub(crate) fn command(&self, program: &str, dir: &Path) -> Command {
        isolated(program, dir, &self.path("home"))
    }

    /// Builds and runs the program; returns the number of compiled crates.
    pub(crate) fn build(&self) -> Result<usize> {
        let mut cargo = self.command("cargo", &self.workspace());
        let output = cargo.args(["build", "--offline", "--message-format=json"]).output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
        let mut compiled = 0;
        for line in String::from_utf8(output.stdout)?.lines() {
            let message: Value = serde_json::from_str(line)?;
            compiled += usize::from(message["fresh"] == false);
        }
        let program = self
            .command(&self.workspace().join("target/debug/app").to_string_lossy(), &self.base)
            .output()?;
        assert_eq!(String::from_utf8(program.stdout)?, "42\n");
        Ok(compiled)
    }

    /// Returns a job of a push to the default branch.
    pub(crate) fn job(&self, inputs: &[(&str, &str)]) -> Job<'_> {
        let event = json!({
            "ref": "refs/heads/main",
            "repository": { "full_name": "owner/app", "default_branch": "main" },
        });
        let mut job = Job {
            runner: self,
            inputs: defaults(),
            variables: BTreeMap::new(),
            state: BTreeMap::new(),
            event,
        };
        let store = self.store().to_string_lossy().into_owned();
        for (name, value) in [
            ("cache-root", store.as_str()),
            ("job-status", "success"),
            ("disk-threshold", "100%"),
            ("min-free", "0"),
        ] {
            job.input(name, value);
        }
        for (name, value) in inputs {
            job.input(name, value);
        }
        job
    }

    /// Returns the kinds of generations in the store, sorted: scope, area, whether partial.
    pub(crate) fn list(&self) -> Result<Vec<String>> {
        let output = self
            .command(PROGRAM, &self.base)
            .arg("list")
            .arg("--json")
            .arg("--root")
            .arg(self.store())
            .output()?;
        let listed: Value = serde_json::from_slice(&output.stdout)?;
        let row = |row: &Value| {
            let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
            let partial = if row["partial"] == true { " partial" } else { "" };
            format!("{} {}{partial}", text("scope"), text("area"))
        };
        let mut rows: Vec<_> =
            listed["generations"].as_array().into_iter().flatten().map(row).collect();
        rows.sort();
        // Cargo may rewrite a `.d` file although nothing changed, which makes two generations of a kind.
        rows.dedup();
        Ok(rows)
    }

    /// Fails unless the store is whole and holds no leftovers.
    pub(crate) fn verify(&self) -> Result {
        let output = self
            .command(PROGRAM, &self.base)
            .arg("verify")
            .arg("--json")
            .arg("--root")
            .arg(self.store())
            .output()?;
        let report: Value = serde_json::from_slice(&output.stdout)?;
        assert_eq!(report["findings"], json!([]));
        for dir in ["staging", "leases", "trash"] {
            let mut left = paths(&self.store().join(dir))?;
            // An ended lease stays until the next one.
            left.retain(|path| path.extension().is_none_or(|extension| extension != "over"));
            assert_eq!(left, [] as [PathBuf; 0], "{dir}");
        }
        Ok(())
    }
}

impl Job<'_> {
    /// Sets an input, as `with:` does.
    pub(crate) fn input(&mut self, name: &str, value: &str) {
        self.inputs.insert(name.to_owned(), value.to_owned());
    }

    /// Sets a variable, as `env:` does.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.variables.insert(name.to_owned(), value.to_owned());
    }

    /// Makes it a job of a pull request into `main` from a fork.
    pub(crate) fn of_pull_request(&mut self, number: u64) {
        let git_ref = format!("refs/pull/{number}/merge");
        self.event = json!({
            "number": number,
            "pull_request": {
                "number": number,
                "base": { "ref": "main", "repo": { "full_name": "owner/app" } },
                "head": { "ref": "main", "repo": { "full_name": "stranger/app", "fork": true } },
            },
            "repository": { "full_name": "owner/app", "default_branch": "main" },
        });
        for (name, value) in [
            ("GITHUB_EVENT_NAME", "pull_request"),
            ("GITHUB_REF", git_ref.as_str()),
            ("GITHUB_BASE_REF", "main"),
            ("GITHUB_HEAD_REF", "main"),
        ] {
            self.set(name, value);
        }
    }

    /// Makes it a job of a push to a branch that is not protected.
    pub(crate) fn of_push_to(&mut self, branch: &str) {
        let git_ref = format!("refs/heads/{branch}");
        self.event["ref"] = git_ref.as_str().into();
        self.set("GITHUB_REF", &git_ref);
    }

    /// Forgets the state that main passed on.
    pub(crate) fn forget_state(&mut self) {
        self.state.clear();
    }

    /// Replaces each value of the state that main passed on by the result of `change`.
    pub(crate) fn change_state(&mut self, change: impl Fn(&str) -> String) {
        for value in self.state.values_mut() {
            *value = change(value);
        }
    }

    pub(crate) fn main(&mut self) -> Result<Done> {
        let child = self.start("main")?;
        self.finish(child)
    }

    /// Runs the post step of a job with this status: `success`, `failure` or `cancelled`.
    pub(crate) fn post(&mut self, status: &str) -> Result<Done> {
        let child = self.start_post(status)?;
        self.finish(child)
    }

    pub(crate) fn start_post(&mut self, status: &str) -> Result<Child> {
        self.input("job-status", status);
        self.start("post")
    }

    /// Starts a step as `NodeScriptActionHandler.cs` does.
    pub(crate) fn start(&self, stage: &str) -> Result<Child> {
        let FakeRunner { base, .. } = self.runner;
        let temp = base.join("_work/_temp");
        let event_path = temp.join("_github_workflow/event.json");
        write(&temp, "_github_workflow/event.json", self.event.to_string())?;
        let mut command = self.runner.command(PROGRAM, &self.runner.workspace());
        command.args(["action", stage]).stdout(Stdio::piped()).stderr(Stdio::piped());
        for (name, path) in [
            ("GITHUB_WORKSPACE", self.runner.workspace()),
            ("RUNNER_WORKSPACE", base.join("_work/app")),
            ("RUNNER_TEMP", temp),
            ("RUNNER_TOOL_CACHE", base.join("_work/_tool")),
            ("GITHUB_EVENT_PATH", event_path),
        ] {
            command.env(name, path);
        }
        for (name, value) in [
            ("CI", "true"),
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_ACTION", "__self"),
            ("GITHUB_EVENT_NAME", "push"),
            ("GITHUB_JOB", "test"),
            ("GITHUB_REF", "refs/heads/main"),
            ("GITHUB_REPOSITORY", "owner/app"),
            ("GITHUB_RUN_ATTEMPT", "1"),
            ("GITHUB_RUN_ID", "42"),
            ("GITHUB_SERVER_URL", "https://github.invalid"),
            ("GITHUB_SHA", "0123456789abcdef0123456789abcdef01234567"),
            ("GITHUB_WORKFLOW", "CI"),
            ("RUNNER_ARCH", "X64"),
            ("RUNNER_NAME", "fake"),
            ("RUNNER_OS", "Linux"),
            ("RUNNER_TRACKING_ID", "github_0"),
            ("ACTIONS_RUNTIME_TOKEN", "secret-of-the-runner"),
        ] {
            command.env(name, value);
        }
        for (name, value) in &self.inputs {
            // Blanks become underscores, hyphens stay: `Handler.cs`.
            command.env(format!("INPUT_{}", name.replace(' ', "_").to_uppercase()), value);
        }
        for (name, value) in &self.state {
            command.env(format!("STATE_{name}"), value);
        }
        for name in FILES {
            let path = self.file(name);
            fs::write(&path, "")?;
            command.env(name, path);
        }
        command.envs(&self.variables);
        Ok(command.spawn()?)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.runner.path("_work/_temp/_runner_file_commands").join(name)
    }

    /// Waits for a step, and processes the files that it wrote, even if it was killed.
    pub(crate) fn finish(&mut self, child: Child) -> Result<Done> {
        let output = child.wait_with_output()?;
        let log = String::from_utf8(output.stdout)? + &String::from_utf8(output.stderr)?;
        for pair in pairs(&fs::read_to_string(self.file("GITHUB_STATE"))?)? {
            self.state.insert(pair.0, pair.1);
        }
        let outputs = pairs(&fs::read_to_string(self.file("GITHUB_OUTPUT"))?)?;
        Ok(Done {
            status: output.status.code(),
            log,
            outputs: outputs.into_iter().collect(),
            summary: fs::read_to_string(self.file("GITHUB_STEP_SUMMARY"))?,
        })
    }
}

const FILES: [&str; 5] =
    ["GITHUB_OUTPUT", "GITHUB_STATE", "GITHUB_ENV", "GITHUB_PATH", "GITHUB_STEP_SUMMARY"];

/// Ends a step as `ProcessInvoker.cs` does, one process and no group: SIGINT, SIGTERM 7.5 s later, SIGKILL after 2.5 s
/// more. Returns the time it took.
pub(crate) fn cancel(child: &mut Child) -> Result<Duration> {
    let started = Instant::now();
    let pid = Pid::from_raw(child.id().try_into()?).ok_or("no process")?;
    for (signal, patience_millis) in
        [(Signal::INT, 7500), (Signal::TERM, 2500), (Signal::KILL, 60_000)]
    {
        kill_process(pid, signal)?;
        let sent = Instant::now();
        while sent.elapsed() < Duration::from_millis(patience_millis) {
            if child.try_wait()?.is_some() {
                return Ok(started.elapsed());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    Err("it does not die".into())
}

impl Done {
    /// Fails unless the step succeeded.
    pub(crate) fn ok(self) -> Result<Self> {
        if self.status == Some(0) {
            Ok(self)
        } else {
            Err(format!("{}:\n{}", self.status.unwrap_or(-1), self.log).into())
        }
    }

    pub(crate) fn output(&self, name: &str) -> &str {
        self.outputs.get(name).map_or("", String::as_str)
    }

    /// Returns the messages of the annotations of a level, unescaped.
    pub(crate) fn annotations(&self, level: &str) -> Vec<String> {
        let start = format!("::{level} ");
        let lines = self.log.lines().filter_map(|line| line.strip_prefix(&start)?.split_once("::"));
        let unescape =
            |text: &str| text.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%");
        lines.map(|(_, message)| unescape(message)).collect()
    }

    /// Fails unless some annotation of a level contains `part`.
    pub(crate) fn annotates(&self, level: &str, part: &str) -> Result {
        if self.annotations(level).iter().any(|message| message.contains(part)) {
            return Ok(());
        }
        Err(format!("no {level} says {part:?}:\n{}", self.log).into())
    }
}

/// Reads a file of names and values as strictly as `FileCommandManager.cs` on Linux.
pub(crate) fn pairs(text: &str) -> Result<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    let mut lines = text.split_inclusive('\n');
    while let Some(line) = lines.next() {
        let line = line.strip_suffix('\n').unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        let (equals, heredoc) = (line.find('='), line.find("<<"));
        let at = match (equals, heredoc) {
            (Some(equals), heredoc) if heredoc.is_none_or(|at| equals < at) => {
                if equals == 0 {
                    return Err("an empty name".into());
                }
                pairs.push((line[..equals].to_owned(), line[equals + 1..].to_owned()));
                continue;
            }
            (_, Some(at)) => at,
            _ => return Err(format!("Invalid format {line:?}").into()),
        };
        let (name, delimiter) = (&line[..at], &line[at + 2..]);
        if name.is_empty() || delimiter.is_empty() {
            return Err(format!("Invalid format {line:?}").into());
        }
        let mut value = Vec::new();
        loop {
            let line = lines.next().ok_or("Matching delimiter not found")?;
            let end = line.strip_suffix('\n').unwrap_or(line);
            if end == delimiter {
                break;
            }
            value.push(line.strip_suffix('\n').ok_or("EOF marker missing new line")?);
        }
        pairs.push((name.to_owned(), value.join("\n")));
    }
    Ok(pairs)
}

/// Returns the defaults of the inputs in `action.yml`, evaluated as for a job without a matrix.
fn defaults() -> BTreeMap<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("action.yml");
    let text = fs::read_to_string(path).unwrap_or_default();
    let inputs = text.split("\ninputs:\n").nth(1).and_then(|rest| rest.split("\noutputs:").next());
    let mut defaults: BTreeMap<String, String> = BTreeMap::new();
    let mut name = "";
    let mut is_block = false;
    for line in inputs.unwrap_or_default().lines() {
        let text = line.strip_prefix("      ").filter(|_| is_block);
        if let Some(text) = text {
            let default = defaults.entry(name.to_owned()).or_default();
            *default = format!("{default}{text}\n");
            continue;
        }
        is_block = line == "    default: |-";
        if is_block {
            continue;
        }
        if let Some(default) = line.strip_prefix("    default: ") {
            let default = default.trim_matches('"');
            let value = match default {
                "${{ github.token }}" => "ghs_secret",
                "${{ job.status }}" => "success",
                "${{ toJSON(matrix) }}" => "null",
                plain => plain,
            };
            defaults.insert(name.to_owned(), value.to_owned());
        } else if let Some(input) = line
            .strip_prefix("  ")
            .filter(|line| !line.starts_with(' '))
            .and_then(|line| line.strip_suffix(':'))
        {
            name = input;
        }
    }
    defaults
}
