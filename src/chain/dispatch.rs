//! Tells the next repos of a chain that a repo is done.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};

use super::api::Api;
use super::board::{Board, Holder};
use super::commits::with_dependencies;
use super::error::{Error, Result};
use super::event::Event;
use super::log::{Log, Next, State, awaited, decide};
use super::names::{ChainId, RepoName, quoted};
use super::payload::Payload;
use super::repo::{Chain, Repo};
use super::report::{Results, report};
use super::rights::{Right, check, refused};
use super::run::{Run, Whose};

/// The result of a run's jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RunResult {
    /// All of them succeeded.
    Success,
    /// At least one failed, was cancelled, or did not run.
    Failure,
}

/// The events that a run sent, and those that it did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dispatched {
    /// The chain.
    pub chain_id: ChainId,
    /// Why the run sends no event, if so.
    pub idle: Option<String>,
    /// The repositories that got an event: repos, or the orchestrator.
    pub sent: Vec<String>,
    /// The repos that wait for others, with the repos that they wait for.
    pub waiting: BTreeMap<RepoName, Vec<RepoName>>,
    /// The repos that a run has already taken.
    pub taken: Vec<RepoName>,
    /// The repos that another repo tells, each with that repo.
    pub left: BTreeMap<RepoName, RepoName>,
    /// The repos that are not built because this repo failed.
    pub blocked: Vec<RepoName>,
    /// The repos whose results an orchestrator noted.
    pub noted: Results,
}

/// A request to GitHub, as it would be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Request {
    /// `POST`.
    pub method: &'static str,
    /// The path below the URL of the API.
    pub path: String,
    /// The body.
    pub body: Value,
}

/// A run that tells other repos, and the message for them.
struct Teller<'a> {
    chain: &'a Chain,
    run: &'a Run,
    repo: &'a Repo,
    /// The payload of the event, if the run is a link of a chain.
    link: Option<&'a Payload>,
    /// The payload that the run's own log entries belong to: that of the link, or of the chain that
    /// it starts.
    payload: Payload,
}

/// Returns the requests that a successful run would send. Asks GitHub nothing, so commits of other
/// repos are left out.
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

/// Writes the result of a run to the log of the chain; that of an orchestrator's run for each repo, as `results` say.
/// After a success, a repo also tells the repos that waited only for it. Checks the token's rights before it sends an
/// event.
pub fn dispatch(
    chain: &Chain,
    run: &Run,
    api: &Api,
    outcome: RunResult,
    results: &Results,
) -> Result<Dispatched> {
    if let Whose::Orchestrator = run.whose(chain)? {
        return report(chain, run, api, outcome, results);
    }
    let teller = match Teller::of(chain, run)? {
        Ok(teller) => teller,
        Err(reason) => return Ok(Dispatched::idle(run.id.clone(), reason)),
    };
    match outcome {
        RunResult::Failure => teller.give_up(api),
        RunResult::Success if chain.dispatch().orchestrator.is_some() => {
            teller.tell_orchestrator(api)
        }
        RunResult::Success => teller.tell_next(api),
    }
}

impl<'a> Teller<'a> {
    /// Returns the teller of a run, or why the run tells nobody.
    fn of(chain: &'a Chain, run: &'a Run) -> Result<std::result::Result<Self, String>> {
        let repo = match run.whose(chain)? {
            Whose::Repo(repo) => repo,
            Whose::Orchestrator => return Ok(Err("the orchestrator sends no events".to_owned())),
        };
        let link = run.link(chain)?;
        run.old_sender(chain)?;
        if !run.event.plan(repo).downstream {
            let what = match &run.event {
                Event::Push { git_ref } => {
                    format!("a push to {} starts no chain", quoted(git_ref))
                }
                Event::Proposal => "a pull request or merge group starts no chain".to_owned(),
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

    /// Returns the direct dependents of this repo that the chain has not visited.
    fn next(&self) -> impl Iterator<Item = &'a Repo> {
        let visited = self.payload.visited.clone();
        self.chain.dependents(&self.repo.name).filter(move |next| !visited.contains(&next.name))
    }

    /// Returns the payload for the next repos.
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

    /// Notes in the log that the repo failed.
    fn give_up(&self, api: &Api) -> Result<Dispatched> {
        let mut done = Dispatched::of(self.payload.chain_id.clone());
        let reached = self.chain.reached(&BTreeSet::from([self.repo.name.clone()]));
        done.blocked = reached.iter().map(|repo| repo.name.clone()).collect();
        done.blocked.retain(|name| *name != self.repo.name);
        if self.chain.dispatch().orchestrator.is_none() {
            let mut board = Board::of(self.chain, api, &self.payload, self.run.url())?;
            if let Some(reason) = self.not_ours(&mut board)? {
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

        let mut board = Board::of(self.chain, api, &self.payload, self.run.url())?;
        if let Some(reason) = self.not_ours(&mut board)? {
            return Ok(Dispatched::idle(self.payload.chain_id.clone(), reason));
        }
        let name = self.repo.name.as_str();
        let entry = board.add(name, State::Done, "done")?;
        let mut decided = self.decide(&next, &told, board.log());
        // An entry that a reading shows is there. One that it does not show may be there.
        if decided.iter().any(|next| matches!(next, Next::Waits(_))) {
            board.until_calm(name, entry)?;
            decided = self.decide(&next, &told, board.log());
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

    /// Returns a reason if another run has the repo; fails if the log does not show which run has it.
    fn not_ours(&self, board: &mut Board<'_>) -> Result<Option<String>> {
        if self.link.is_none() {
            return Ok(None);
        }
        let awaited = awaited(self.chain, &self.payload, &self.repo.name);
        Ok(match board.until_held(self.repo.name.as_str(), &awaited)? {
            Holder::Other(owner) => Some(format!("{} has this repo of the chain", quoted(&owner))),
            Holder::Own | Holder::Nobody => None,
        })
    }

    /// Returns the payload for the next repos. At the start of a chain it gets the commits of all
    /// repos that the chain will build, and of all their dependencies.
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
    pub(super) fn of(chain_id: ChainId) -> Self {
        Self {
            chain_id,
            idle: None,
            sent: Vec::new(),
            waiting: BTreeMap::new(),
            taken: Vec::new(),
            left: BTreeMap::new(),
            blocked: Vec::new(),
            noted: Results::new(),
        }
    }

    pub(super) fn idle(chain_id: ChainId, reason: String) -> Self {
        Self { idle: Some(reason), ..Self::of(chain_id) }
    }
}
