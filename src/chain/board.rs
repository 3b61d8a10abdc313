//! Reads and writes the log of a chain: the statuses of the commit that started it.

use std::thread::sleep;
use std::time::Duration;

use serde_json::json;

use super::api::Api;
use super::error::{Error, Result};
use super::log::{Log, State, Status, context};
use super::payload::Payload;
use super::repo::Chain;
use super::rights::{Right, refused};

/// The log of one chain, on GitHub.
#[derive(Debug)]
pub(super) struct Board<'a> {
    api: &'a Api,
    payload: &'a Payload,
    repository: String,
    run_url: String,
}

/// The most statuses that GitHub lists in one page.
const PAGE: usize = 100;

/// The most pages to read. GitHub keeps 1000 statuses of a commit and context (docs.github.com,
/// "Commit statuses").
const MAX_PAGES: usize = 100;

impl<'a> Board<'a> {
    /// Returns the log of the chain of `payload`. New entries link to the run.
    pub(super) fn of(
        chain: &Chain,
        api: &'a Api,
        payload: &'a Payload,
        run_url: String,
    ) -> Result<Self> {
        let source = chain
            .repo(&payload.source)
            .ok_or_else(|| super::error::unknown_repo(&payload.source))?;
        Ok(Self { api, payload, repository: chain.full_name(&source.repository), run_url })
    }

    /// Adds an entry, and returns the log with it.
    ///
    /// The returned log also has all entries that any run added before: a reading that shows an
    /// entry is at least as new as the entry.
    pub(super) fn add(&self, repo: &str, state: State, description: &str) -> Result<Log> {
        const TRIES: u32 = 7;
        let path = format!("/repos/{}/statuses/{}", self.repository, self.payload.source_sha);
        let body = json!({
            "state": state.as_str(),
            "context": context(&self.payload.chain_id, repo),
            "target_url": self.run_url,
            "description": description,
        });
        let answer = self.api.post(&path, &body)?;
        if answer.status != 201 {
            return Err(refused(self.api, Right::Note, &self.repository, answer));
        }
        let added: Status = answer.json()?;
        for attempt in 0..TRIES {
            let log = self.read()?;
            if log.shows(added.id) {
                return Ok(log);
            }
            sleep(Duration::from_millis(250 << attempt));
        }
        Err(Error::Answered {
            request: format!("GET {}", self.list_path(1)),
            status: 200,
            message: "the status that was just written is not listed".to_owned(),
        })
    }

    /// Reads the log.
    pub(super) fn read(&self) -> Result<Log> {
        let mut statuses = Vec::new();
        for page in 1..=MAX_PAGES {
            let answer = self.api.get(&self.list_path(page))?;
            if answer.status != 200 {
                return Err(refused(self.api, Right::Note, &self.repository, answer));
            }
            let mut listed: Vec<Status> = answer.json()?;
            let is_last = listed.len() < PAGE;
            statuses.append(&mut listed);
            if is_last {
                break;
            }
        }
        Ok(Log::of(&self.payload.chain_id, statuses))
    }

    fn list_path(&self, page: usize) -> String {
        let sha = &self.payload.source_sha;
        format!("/repos/{}/commits/{sha}/statuses?per_page={PAGE}&page={page}", self.repository)
    }
}
