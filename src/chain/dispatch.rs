//! Telling the next repos that one is done.

use std::collections::{BTreeMap, BTreeSet};
use std::thread::sleep;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::api::Api;
use super::board::Board;
use super::commits::with_dependencies;
use super::error::{Error, Result};
use super::event::Event;
use super::log::{Log, Next, State, awaited, decide};
use super::names::{ChainId, RepoName, quoted};
use super::payload::Payload;
use super::repo::{Chain, Repo};
use super::rights::{Right, check, refused};
use super::run::{Run, Whose};

/// How the jobs of a run went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All of them succeeded.
    Success,
    /// One failed, was cancelled, or did not run.
    Failure,
}

/// What was sent, and what was not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dispatched {
    /// The chain.
    pub chain_id: ChainId,
    /// Why nothing is to be sent, if so.
    pub idle: Option<String>,
    /// Who was told: repos, or the orchestrator.
    pub sent: Vec<String>,
    /// Who waits, and for which repos.
    pub waiting: BTreeMap<RepoName, Vec<RepoName>>,
    /// Who has been taken by a run already.
    pub taken: Vec<RepoName>,
    /// Who is told by another repo, and by which.
    pub left: BTreeMap<RepoName, RepoName>,
    /// Who is not built because this repo could not be.
    pub blocked: Vec<RepoName>,
}

/// One request, as it would be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Request {
    /// `POST`.
    pub method: &'static str,
    /// Below the URL of the API.
    pub path: String,
    /// What is sent.
    pub body: Value,
}

/// How long the log is given to show what others wrote at the same time.
const SETTLE: Duration = Duration::from_secs(2);

/// A run that tells others, and what it tells them.
struct Teller<'a> {
    chain: &'a Chain,
    run: &'a Run,
    repo: &'a Repo,
    /// What came with the event, if the run is a link of a chain.
    link: Option<&'a Payload>,
    /// What the run's own entries in the log are about: the link, or the chain that it starts.
    payload: Payload,
}

/// Returns the requests that a successful run would send, as far as they are known without asking
/// GitHub: the commits of other repos are not.
pub fn requests(chain: &Chain, run: &Run) -> Result<Vec<Request>> {
    let Some(teller) = Teller::of(chain, run)?.ok() else { return Ok(Vec::new()) };
    let told = teller.told();
    if let Some(orchestrator) = &chain.dispatch().orchestrator {
        return Ok(vec![teller.request(&chain.full_name(orchestrator), &told)?]);
    }
    let is_done = |name: &&RepoName| told.visited.contains(name);
    let next = teller.next().filter(|next| awaited(chain, &told, &next.name).iter().all(is_done));
    next.map(|next| teller.request(&chain.full_name(&next.repository), &told)).collect()
}

/// Tells the log of the chain how a run went and, if it went well, those repos that waited for
/// nothing else. Before anything is sent, it is checked that the token may.
pub fn dispatch(chain: &Chain, run: &Run, api: &Api, outcome: Outcome) -> Result<Dispatched> {
    let teller = match Teller::of(chain, run)? {
        Ok(teller) => teller,
        Err(reason) => return Ok(Dispatched::idle(run.id.clone(), reason)),
    };
    match outcome {
        Outcome::Failure => teller.give_up(api),
        Outcome::Success if chain.dispatch().orchestrator.is_some() => {
            teller.tell_orchestrator(api)
        }
        Outcome::Success => teller.tell_next(api),
    }
}

impl<'a> Teller<'a> {
    /// Returns what a run has to tell, or why it has nothing to.
    fn of(chain: &'a Chain, run: &'a Run) -> Result<std::result::Result<Self, String>> {
        let repo = match run.whose(chain)? {
            Whose::Repo(repo) => repo,
            Whose::Orchestrator(_) => return Ok(Err("the orchestrator tells nobody".to_owned())),
        };
        let link = run.link(chain)?;
        run.old_sender(chain)?;
        if !run.event.plan(repo).downstream {
            let what = match &run.event {
                Event::Push { git_ref } => {
                    format!("a push to {} starts no chain", quoted(git_ref))
                }
                Event::Proposal => "what is only proposed starts no chain".to_owned(),
                _ => "this run starts no chain: it was not asked to".to_owned(),
            };
            return Ok(Err(what));
        }
        let payload = match link {
            Some(payload) => payload.clone(),
            None => run.first_payload(&repo.name)?,
        };
        Ok(Ok(Self { chain, run, repo, link, payload }))
    }

    /// Returns the repos that depend on this one and have not been in the chain.
    fn next(&self) -> impl Iterator<Item = &'a Repo> {
        let visited = self.payload.visited.clone();
        self.chain.dependents(&self.repo.name).filter(move |next| !visited.contains(&next.name))
    }

    /// Returns what others are told.
    fn told(&self) -> Payload {
        match self.link {
            Some(payload) => payload.passed_on(self.repo.name.clone()),
            None => self.payload.clone(),
        }
    }

    fn request(&self, repository: &str, told: &Payload) -> Result<Request> {
        let too_large =
            |reason| Error::Malformed { event: "repository_dispatch".to_owned(), reason };
        let payload = told.to_json().map_err(too_large)?;
        let body = json!({ "event_type": self.chain.event_of(&self.repo.name), "client_payload": payload });
        Ok(Request { method: "POST", path: format!("/repos/{repository}/dispatches"), body })
    }

    /// Notes that the repo could not be done.
    fn give_up(&self, api: &Api) -> Result<Dispatched> {
        let mut done = Dispatched::of(self.payload.chain_id.clone());
        let reached = self.chain.reached(&BTreeSet::from([self.repo.name.clone()]));
        done.blocked = reached.iter().map(|repo| repo.name.clone()).collect();
        done.blocked.retain(|name| *name != self.repo.name);
        if self.chain.dispatch().orchestrator.is_none() {
            let board = Board::of(self.chain, api, &self.payload, self.run.url())?;
            if let Some(reason) = self.not_ours(&board.read()?) {
                return Ok(Dispatched::idle(done.chain_id, reason));
            }
            board.add(self.repo.name.as_str(), State::Failed, "could not be done")?;
        }
        Ok(done)
    }

    fn tell_orchestrator(&self, api: &Api) -> Result<Dispatched> {
        let mut done = Dispatched::of(self.payload.chain_id.clone());
        let orchestrator = self.chain.dispatch().orchestrator.as_ref();
        let repository = orchestrator.map(|name| self.chain.full_name(name)).unwrap_or_default();
        check(api, std::slice::from_ref(&repository))?;
        self.send(api, &repository, &self.told())?;
        done.sent.push(repository);
        Ok(done)
    }

    fn tell_next(&self, api: &Api) -> Result<Dispatched> {
        let next: Vec<_> = self.next().collect();
        let repositories: Vec<_> =
            next.iter().map(|repo| self.chain.full_name(&repo.repository)).collect();
        check(api, &repositories)?;
        let told = self.with_commits(api)?;

        let board = Board::of(self.chain, api, &self.payload, self.run.url())?;
        if let Some(reason) = self.not_ours(&board.read()?) {
            return Ok(Dispatched::idle(self.payload.chain_id.clone(), reason));
        }
        let mut log = board.add(self.repo.name.as_str(), State::Done, "done")?;
        let mut decided = self.decide(&next, &told, &log);
        if decided.iter().any(|next| matches!(next, Next::Waits(_))) {
            sleep(SETTLE);
            log = board.read()?;
            decided = self.decide(&next, &told, &log);
        }

        let mut done = Dispatched::of(self.payload.chain_id.clone());
        let mut failed = Vec::new();
        let mut first_error = None;
        for ((next, repository), decided) in next.iter().zip(repositories).zip(decided) {
            let name = next.name.clone();
            match decided {
                Next::Waits(missing) => drop(done.waiting.insert(name, missing)),
                Next::Taken => done.taken.push(name),
                Next::Left(last) => drop(done.left.insert(name, last)),
                Next::Send => match self.send(api, &repository, &told) {
                    Ok(()) => done.sent.push(repository),
                    Err(error) => {
                        failed.push(repository);
                        first_error.get_or_insert(error);
                    }
                },
            }
        }
        match first_error {
            Some(error) => Err(Error::Unsent { sent: done.sent, failed, source: Box::new(error) }),
            None => Ok(done),
        }
    }

    fn decide(&self, next: &[&Repo], told: &Payload, log: &Log) -> Vec<Next> {
        let one = |next: &&Repo| {
            let names = (&self.repo.name, &next.name);
            decide(self.chain, told, log, names, self.run.is_repeated)
        };
        next.iter().map(one).collect()
    }

    /// Says that another run has this repo, if one has.
    fn not_ours(&self, log: &Log) -> Option<String> {
        self.link?;
        match log.taken_by(self.repo.name.as_str()) {
            Some(owner) if owner == self.run.url() => None,
            Some(owner) => Some(format!("{} has this repo of the chain", quoted(owner))),
            None => {
                Some("no run has taken this repo of the chain: `chain receive` does".to_owned())
            }
        }
    }

    /// Returns what others are told; at the start of a chain with the commit of every repo that it
    /// will build, and of all that those are built from.
    fn with_commits(&self, api: &Api) -> Result<Payload> {
        let mut told = self.told();
        if self.link.is_some() {
            return Ok(told);
        }
        let reached = self.chain.reached(&BTreeSet::from([self.repo.name.clone()]));
        let names = reached.iter().map(|repo| &repo.name);
        told.commits = with_dependencies(self.chain, api, &told.commits, names)?;
        Ok(told)
    }

    fn send(&self, api: &Api, repository: &str, told: &Payload) -> Result<()> {
        let request = self.request(repository, told)?;
        let answer = api.post(&request.path, &request.body)?;
        match answer.status {
            204 => Ok(()),
            _ => Err(refused(api, Right::Send, repository, answer)),
        }
    }
}

impl Dispatched {
    fn of(chain_id: ChainId) -> Self {
        Self {
            chain_id,
            idle: None,
            sent: Vec::new(),
            waiting: BTreeMap::new(),
            taken: Vec::new(),
            left: BTreeMap::new(),
            blocked: Vec::new(),
        }
    }

    fn idle(chain_id: ChainId, reason: String) -> Self {
        Self { idle: Some(reason), ..Self::of(chain_id) }
    }
}
