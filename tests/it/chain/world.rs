//! An organisation: repos on GitHub, and runners that act as the workflows of the chain do.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use runner_cache::chain::Chain;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::github::GitHub;
use crate::fake_runner::pairs;
use crate::support::{PROGRAM, Result};

/// A token with all rights that a chain needs.
pub(crate) const TOKEN: &str = "ghp_wJ4lrX7utnFEMI7K0MDENG8bPxRfiCYEXAMPLE";

/// `start` goes to `left` and `right`, and both to `end`.
pub(crate) const DIAMOND: &str = "owner = 'o'\n\
    [repos.start]\nkind = 'docs'\n\
    [repos.left]\nkind = 'library'\ndepends = ['start']\n\
    [repos.right]\nkind = 'library'\ndepends = ['start']\n\
    [repos.after-left]\nkind = 'library'\ndepends = ['left']\n\
    [repos.end]\nkind = 'binary'\ndepends = ['left', 'right']\n";

/// The repos, the API, and a record of the builds.
pub(crate) struct World {
    dir: TempDir,
    pub(crate) github: GitHub,
    chain: Chain,
    token: Option<String>,
    runs: AtomicUsize,
    /// Repos whose builds fail.
    broken: Mutex<BTreeSet<String>>,
    built: Mutex<Vec<String>>,
    delivered: Mutex<usize>,
}

/// A run of a workflow.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) repo: String,
    pub(crate) event: &'static str,
    pub(crate) payload: Value,
    pub(crate) run_id: usize,
    pub(crate) attempt: usize,
}

/// The output of a command.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) outputs: BTreeMap<String, String>,
}

impl World {
    pub(crate) fn new(chain: &str) -> Result<Self> {
        Self::with(chain, json!({}))
    }

    /// Creates a world whose API has further settings.
    pub(crate) fn with(text: &str, mut settings: Value) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("runner-cache-it-").tempdir()?;
        let chain = Chain::parse("chain.toml", text)?;
        fs::write(dir.path().join("chain.toml"), text)?;
        let mut repositories = serde_json::Map::new();
        for repo in chain.repos() {
            let refs = json!({"heads/main": sha_of(repo.name.as_str())});
            repositories.insert(chain.full_name(&repo.repository), json!({"refs": refs}));
        }
        if let Some(orchestrator) = &chain.dispatch().orchestrator {
            let refs = json!({"heads/main": sha_of("orchestrator")});
            repositories.insert(chain.full_name(orchestrator), json!({"refs": refs}));
        }
        settings["repos"] = Value::Object(repositories);
        if settings["tokens"].is_null() {
            settings["tokens"] = json!({TOKEN: {"kind": "classic", "scopes": ["repo"]}});
        }
        let github = GitHub::start(dir.path(), &settings)?;
        Ok(Self {
            dir,
            github,
            chain,
            token: Some(TOKEN.to_owned()),
            runs: AtomicUsize::new(1000),
            broken: Mutex::default(),
            built: Mutex::default(),
            delivered: Mutex::default(),
        })
    }

    /// Uses this token, or none, from now on.
    pub(crate) fn use_token(&mut self, token: Option<&str>) {
        self.token = token.map(str::to_owned);
    }

    /// Replaces the file of the chain, as if one repo had not followed a change.
    pub(crate) fn rewrite_chain(&self, text: &str) -> Result {
        Ok(fs::write(self.dir.path().join("chain.toml"), text)?)
    }

    /// Writes a file beside that of the chain.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.dir.path().join(name);
        fs::write(&path, text)?;
        Ok(path)
    }

    pub(crate) fn break_build(&self, repo: &str) {
        locked(&self.broken).insert(repo.to_owned());
    }

    pub(crate) fn mend_build(&self, repo: &str) {
        locked(&self.broken).remove(repo);
    }

    /// Returns the builds, in order: `repo at commit`.
    pub(crate) fn built(&self) -> Vec<String> {
        locked(&self.built).clone()
    }

    /// Returns the built repos, in order.
    pub(crate) fn names_built(&self) -> Vec<String> {
        let name = |built: String| built.split(' ').next().unwrap_or_default().to_owned();
        self.built().into_iter().map(name).collect()
    }

    /// Returns the full name of a repo.
    pub(crate) fn full_name(&self, repo: &str) -> String {
        let known = repo.parse().ok().and_then(|name| self.chain.repo(&name));
        match known {
            Some(known) => self.chain.full_name(&known.repository),
            None => format!("{}/{repo}", self.chain.owner()),
        }
    }

    /// Returns a new run.
    pub(crate) fn job(&self, repo: &str, event: &'static str, payload: Value) -> Job {
        let run_id = self.runs.fetch_add(1, Ordering::SeqCst);
        Job { repo: repo.to_owned(), event, payload, run_id, attempt: 1 }
    }

    /// Returns the run of a push to `main`.
    pub(crate) fn push(&self, repo: &str) -> Job {
        self.job(repo, "push", json!({"ref": "refs/heads/main"}))
    }

    /// Returns the runs that events have started since the last call.
    pub(crate) fn started(&self) -> Result<Vec<Job>> {
        let dispatches = self.github.dispatches()?;
        let mut delivered = locked(&self.delivered);
        let new = dispatches[*delivered..].iter().map(|(repository, dispatch)| {
            let payload = json!({
                "action": dispatch["event_type"], "client_payload": dispatch["client_payload"],
            });
            let repo = self.chain.repo_at(&format!("{}/{repository}", self.chain.owner()));
            let name = repo.map_or(repository.as_str(), |repo| repo.name.as_str());
            self.job(name, "repository_dispatch", payload)
        });
        let new = new.collect();
        *delivered = dispatches.len();
        Ok(new)
    }

    /// Does a run as the workflows do: receive, build, dispatch. Returns the output of the last
    /// command.
    pub(crate) fn run(&self, job: &Job) -> Result<Said> {
        let received = self.chain_command(job, &["receive"])?.done()?;
        if received.output("build") == "true" {
            locked(&self.built).push(format!("{} {}", job.repo, received.output("sha")));
        }
        if received.output("downstream") != "true" {
            return Ok(received);
        }
        let is_broken = locked(&self.broken).contains(&job.repo);
        let result = if is_broken { "failure" } else { "success" };
        self.chain_command(job, &["dispatch", "--result", result])
    }

    /// Does a run, and all runs that follow from it, one after the other.
    pub(crate) fn walk(&self, job: &Job) -> Result {
        self.run(job)?.done()?;
        loop {
            let started = self.started()?;
            if started.is_empty() {
                return Ok(());
            }
            for job in started {
                self.run(&job)?.done()?;
            }
        }
    }

    /// Does a run, and all runs that follow from it; runs that have started run at the same time.
    pub(crate) fn walk_at_once(&self, job: &Job) -> Result {
        self.run(job)?.done()?;
        loop {
            let started = self.started()?;
            if started.is_empty() {
                return Ok(());
            }
            std::thread::scope(|scope| {
                let runs: Vec<_> = started
                    .iter()
                    .map(|job| {
                        scope.spawn(|| {
                            self.run(job).and_then(Said::done).map_err(|error| error.to_string())
                        })
                    })
                    .collect();
                for run in runs {
                    run.join().map_err(|_| "a run panicked")??;
                }
                Result::Ok(())
            })?;
        }
    }

    /// Runs a command of the chain in a step of `job`.
    pub(crate) fn chain_command(&self, job: &Job, args: &[&str]) -> Result<Said> {
        let step = format!("{}-{}-{}", job.repo, job.run_id, locked(&self.delivered));
        let event = self.dir.path().join(format!("event-{step}.json"));
        fs::write(&event, job.payload.to_string())?;
        self.chain_command_on(job, &event, args)
    }

    /// Runs a command of the chain in a step of `job`, whose event is in the file `event`.
    pub(crate) fn chain_command_on(
        &self,
        job: &Job,
        event: &std::path::Path,
        args: &[&str],
    ) -> Result<Said> {
        let output_file = tempfile::NamedTempFile::new_in(self.dir.path())?;
        let branch = match job.event {
            "release" => format!(
                "refs/tags/{}",
                job.payload["release"]["tag_name"].as_str().unwrap_or_default()
            ),
            "pull_request" => "refs/pull/7/merge".to_owned(),
            _ => job.payload["ref"].as_str().unwrap_or("refs/heads/main").to_owned(),
        };
        let mut command = self.command(args);
        command
            .env("GITHUB_EVENT_NAME", job.event)
            .env("GITHUB_EVENT_PATH", event)
            .env("GITHUB_REPOSITORY", self.full_name(&job.repo))
            .env("GITHUB_SHA", sha_of(&job.repo))
            .env("GITHUB_REF", branch)
            .env("GITHUB_RUN_ID", job.run_id.to_string())
            .env("GITHUB_RUN_ATTEMPT", job.attempt.to_string())
            .env("GITHUB_OUTPUT", output_file.path());
        let mut said = Said::of(command.output()?)?;
        said.outputs = pairs(&fs::read_to_string(output_file.path())?)?.into_iter().collect();
        Ok(said)
    }

    /// Returns a command of the chain outside of any step.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .arg("chain")
            .args(args)
            .env_clear()
            .env("GITHUB_API_URL", self.github.url())
            .env("GITHUB_SERVER_URL", "https://github.com")
            .envs(self.token.iter().map(|token| ("CHAIN_TOKEN", token)))
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        command
    }
}

impl Job {
    /// Returns a repetition of the run, as *Re-run jobs* starts it.
    pub(crate) fn again(&self) -> Self {
        Self { attempt: self.attempt + 1, ..self.clone() }
    }
}

impl Said {
    /// Takes the output of a command; fails if it shows the token.
    pub(crate) fn of(output: Output) -> Result<Self> {
        let stdout = String::from_utf8(output.stdout)?;
        let stderr = String::from_utf8(output.stderr)?;
        let status = output.status.code();
        if [&stdout, &stderr].iter().any(|text| text.contains(TOKEN)) {
            return Err("the token was shown".into());
        }
        Ok(Self { status, stdout, stderr, outputs: BTreeMap::new() })
    }

    /// Returns an output of the step.
    pub(crate) fn output(&self, name: &str) -> &str {
        self.outputs.get(name).map_or("", String::as_str)
    }

    /// Fails unless the command succeeded.
    pub(crate) fn done(self) -> Result<Self> {
        if self.status == Some(0) { Ok(self) } else { Err(format!("{self:?}").into()) }
    }

    /// Fails unless the command ended with an error that contains `part`.
    pub(crate) fn fails_with(&self, part: &str) -> Result {
        let is_so = self.status == Some(1) && self.stderr.contains(part) && self.outputs.is_empty();
        if is_so { Ok(()) } else { Err(format!("not {part:?}: {self:?}").into()) }
    }

    /// Fails unless the command's stderr contains `part`.
    pub(crate) fn says(&self, part: &str) -> Result {
        if self.stderr.contains(part) {
            Ok(())
        } else {
            Err(format!("not {part:?}: {self:?}").into())
        }
    }
}

/// Returns the newest commit of a repo: its name in hex, padded with zeros.
pub(crate) fn sha_of(repo: &str) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or('0');
    let hex: String = repo.bytes().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect();
    format!("{hex:0<40.40}")
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
