//! Reads and writes the log of a chain: the statuses of the commit that started it.

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::json;

use super::api::Api;
use super::error::{Error, Result};
use super::log::{Calm, Log, Reading, State, Status, context};
use super::names::RepoName;
use super::payload::Payload;
use super::repo::Chain;
use super::rights::{Right, refused};

/// The log of one chain, on GitHub, with all entries that its readings have shown.
#[derive(Debug)]
pub(super) struct Board<'a> {
    api: &'a Api,
    payload: &'a Payload,
    repository: String,
    run_url: String,
    log: Log,
}

/// The owner of a link of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// This run.
    Own,
    /// The run at this URL.
    Other(String),
    /// No run.
    Nobody,
}

/// The most statuses that GitHub lists in one page.
const PAGE: usize = 100;

/// The most pages to read. GitHub keeps 1000 statuses of a commit and context (docs.github.com,
/// "Commit statuses").
const MAX_PAGES: usize = 100;

/// The time between two readings.
const PAUSE: Duration = Duration::from_millis(500);

/// How long to read until the log shows what it must show.
const LIMIT: Duration = Duration::from_secs(30);

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
        let repository = chain.full_name(&source.repository);
        let log = Log::of(&payload.chain_id);
        Ok(Self { api, payload, repository, run_url, log })
    }

    /// Returns all entries that the readings have shown.
    pub(super) fn log(&self) -> &Log {
        &self.log
    }

    /// Reads the log once, and returns who has `repo`. Only [`Holder::Own`] is certain.
    pub(super) fn glance(&mut self, repo: &str, awaited: &[&RepoName]) -> Result<Holder> {
        self.read()?;
        Ok(self.holder(repo, awaited))
    }

    /// Reads the log until it shows who has `repo`.
    ///
    /// Another run has it only if this run's own try does not show up for a while: an old reading
    /// may show a later try and not this one.
    pub(super) fn until_held(&mut self, repo: &str, awaited: &[&RepoName]) -> Result<Holder> {
        let started = Instant::now();
        let mut calm = Calm::default();
        while started.elapsed() < LIMIT {
            let (reading, _) = self.read()?;
            let holder = self.holder(repo, awaited);
            let is_settled = match holder {
                Holder::Own => true,
                Holder::Other(_) => {
                    let has_tried = self.log.has_tried(repo, &self.run_url);
                    calm.take(reading, true, started.elapsed()) || has_tried
                }
                Holder::Nobody => false,
            };
            if is_settled {
                return Ok(holder);
            }
            sleep(PAUSE);
        }
        Err(self.unsettled(repo))
    }

    fn holder(&self, repo: &str, awaited: &[&RepoName]) -> Holder {
        match self.log.owner(repo, awaited) {
            Some(owner) if owner == self.run_url => Holder::Own,
            Some(owner) => Holder::Other(owner.to_owned()),
            None => Holder::Nobody,
        }
    }

    /// Adds an entry, and reads the log until it shows the entry. Returns its number.
    pub(super) fn add(&mut self, repo: &str, state: State, description: &str) -> Result<u64> {
        let id = self.write(repo, state, description)?;
        self.until(repo, |log, _, _| log.shows(id))?;
        Ok(id)
    }

    /// Adds an entry, and returns its number.
    pub(super) fn write(&self, repo: &str, state: State, description: &str) -> Result<u64> {
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
        let Status { id, .. } = answer.json()?;
        Ok(id)
    }

    /// Reads the log until it can be believed: until all that any run wrote before the entry `id`,
    /// of this run and about `repo`, has shown up.
    pub(super) fn until_calm(&mut self, repo: &str, id: u64) -> Result<()> {
        let started = Instant::now();
        let mut calm = Calm::default();
        self.until(repo, |_, reading, shown| {
            calm.take(reading, shown.contains(&id), started.elapsed())
        })
    }

    /// Reads the log until `is_enough`, which gets all entries, and how and what the last reading
    /// showed.
    fn until(
        &mut self,
        repo: &str,
        mut is_enough: impl FnMut(&Log, Reading, &[u64]) -> bool,
    ) -> Result<()> {
        let started = Instant::now();
        while started.elapsed() < LIMIT {
            let (reading, shown) = self.read()?;
            if is_enough(&self.log, reading, &shown) {
                return Ok(());
            }
            sleep(PAUSE);
        }
        Err(self.unsettled(repo))
    }

    /// Reads the log once. Returns whether the reading fits those before, and the entries it shows.
    fn read(&mut self) -> Result<(Reading, Vec<u64>)> {
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
        let shown = statuses.iter().map(|status| status.id).collect();
        Ok((self.log.add(statuses), shown))
    }

    fn unsettled(&self, repo: &str) -> Error {
        Error::Unsettled {
            context: context(&self.payload.chain_id, repo),
            request: format!("GET {}", self.list_path(1)),
            waited_secs: LIMIT.as_secs(),
        }
    }

    fn list_path(&self, page: usize) -> String {
        let sha = &self.payload.source_sha;
        format!("/repos/{}/commits/{sha}/statuses?per_page={PAGE}&page={page}", self.repository)
    }
}
