//! GitHub on this machine: `tests/act/github.py`, which act's runs use as well.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::support::Result;

/// The API; it runs until it is dropped.
pub(crate) struct GitHub {
    program: Child,
    url: String,
}

impl GitHub {
    /// Starts it with these settings, which it reads from a file in `dir`.
    pub(crate) fn start(dir: &Path, settings: &Value) -> Result<Self> {
        let file = dir.join("github.json");
        std::fs::write(&file, settings.to_string())?;
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/act/github.py");
        let mut command = Command::new("python3");
        command.arg("-B").arg(script).arg(&file).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut program = command.spawn()?;
        let mut url = String::new();
        BufReader::new(program.stdout.take().ok_or("no stdout")?).read_line(&mut url)?;
        let url = url.trim().to_owned();
        if url.is_empty() {
            return Err("the API did not start".into());
        }
        Ok(Self { program, url })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Returns all requests, and the state they led to.
    pub(crate) fn state(&self) -> Result<Value> {
        Ok(serde_json::from_str(&self.ask("GET", "/_/state", "")?)?)
    }

    /// Returns the events that were sent: the name of each repository, and the event it got.
    pub(crate) fn dispatches(&self) -> Result<Vec<(String, Value)>> {
        let state = self.state()?;
        let dispatches = state["dispatches"].as_array().cloned().unwrap_or_default();
        let named = |dispatch: Value| {
            let repository = dispatch["repository"].as_str().unwrap_or_default();
            (repository.rsplit('/').next().unwrap_or_default().to_owned(), dispatch)
        };
        Ok(dispatches.into_iter().map(named).collect())
    }

    /// Returns the number of requests that would change something.
    pub(crate) fn writes(&self) -> Result<usize> {
        let state = self.state()?;
        let requests = state["requests"].as_array().cloned().unwrap_or_default();
        Ok(requests.iter().filter(|request| request["method"] == "POST").count())
    }

    /// Returns the statuses of a commit, the oldest first: context and state.
    pub(crate) fn statuses(&self, repository: &str, sha: &str) -> Result<Vec<String>> {
        let state = self.state()?;
        let statuses = state["statuses"][format!("{repository}@{sha}")].as_array().cloned();
        let told = |status: &Value| {
            let part = |key: &str| status[key].as_str().unwrap_or_default().to_owned();
            format!("{} {}", part("context"), part("state"))
        };
        Ok(statuses.unwrap_or_default().iter().map(told).collect())
    }

    /// Makes matching requests fail:
    /// `{"method", "path", "status", "headers", "body", "times", "when"}`.
    pub(crate) fn spoil(&self, fault: &Value) -> Result {
        self.ask("POST", "/_/faults", &fault.to_string())?;
        Ok(())
    }

    /// Moves a branch.
    pub(crate) fn push(&self, repository: &str, branch: &str, sha: &str) -> Result {
        self.set_ref(repository, &format!("heads/{branch}"), sha)
    }

    /// Makes or moves a tag.
    pub(crate) fn tag(&self, repository: &str, tag: &str, sha: &str) -> Result {
        self.set_ref(repository, &format!("tags/{tag}"), sha)
    }

    fn set_ref(&self, repository: &str, git_ref: &str, sha: &str) -> Result {
        let body = json!({"repository": repository, "ref": git_ref, "sha": sha});
        self.ask("POST", "/_/refs", &body.to_string())?;
        Ok(())
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Result<String> {
        let address = self.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address)?;
        let len = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n{body}"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
        let is_done = head.starts_with("HTTP/1.1 200") || head.starts_with("HTTP/1.1 204");
        if is_done { Ok(body.to_owned()) } else { Err(head.to_owned().into()) }
    }
}

impl Drop for GitHub {
    fn drop(&mut self) {
        // It ends when its stdin closes; if it has ended already, there is nothing left to do.
        drop(self.program.stdin.take());
        let _ = self.program.wait();
    }
}
