//! Decides what a run does: whether its event counts, its plan, and the commits it builds.

use std::collections::BTreeSet;

use super::api::Api;
use super::board::{Board, Holder};
use super::commits::{Commits, with_dependencies};
use super::error::Result;
use super::event::{Event, Plan};
use super::log::{State, WHOLE, awaited, missing};
use super::names::{RepoName, Sha, quoted};
use super::payload::Payload;
use super::repo::{Chain, Repo};
use super::run::{Run, Whose};

/// The work of a run, decided from its event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Why it does nothing, if so.
    pub dropped: Option<String>,
    /// The steps it does.
    pub plan: Plan,
    /// The payload of the chain that it is a link of, or that it starts.
    pub payload: Option<Payload>,
    /// The repo of the run; `None` in the orchestrator.
    pub repo: Option<RepoName>,
    /// The commit of the repository to check out.
    pub sha: Sha,
    /// The commits of the repo and of all its dependencies. In the orchestrator, those of all repos
    /// to build and of all their dependencies.
    pub commits: Commits,
    /// The changed repos.
    pub changed: BTreeSet<RepoName>,
}

/// Whether a run takes the link that it received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It takes the link, unless another run has.
    Take,
    /// It only looks.
    Look,
}

/// Decides what a run does. Takes a link of a chain in the chain's log, so that no second run
/// builds it.
pub fn receive(chain: &Chain, run: &Run, api: &Api, claim: Claim) -> Result<Received> {
    let receiver = Receiver { chain, run, api, claim };
    let found = match run.whose(chain)? {
        Whose::Repo(repo) => receiver.receive_in(repo)?,
        Whose::Orchestrator => receiver.orchestrate()?,
    };
    match found.dropped {
        Some(_) => Ok(Received { plan: Plan::default(), changed: BTreeSet::new(), ..found }),
        None => Ok(found),
    }
}

/// A run whose work is to be decided.
struct Receiver<'a> {
    chain: &'a Chain,
    run: &'a Run,
    api: &'a Api,
    claim: Claim,
}

impl Receiver<'_> {
    fn receive_in(&self, repo: &Repo) -> Result<Received> {
        let Self { chain, run, api, .. } = *self;
        let link = run.link(chain)?;
        let dropped = match link {
            Some(payload) if payload.visited.contains(&repo.name) => {
                // The `chain.toml` of two repos can differ, and together make a loop that neither
                // has alone.
                Some(format!(
                    "a loop: the chain {} was in `{}` before",
                    payload.chain_id, repo.name
                ))
            }
            Some(payload) => {
                self.take(payload, repo.name.as_str(), &awaited(chain, payload, &repo.name))?
            }
            None => None,
        };
        let known = run.commits(chain)?;
        let sha = known.get(&repo.name).unwrap_or(&run.sha).clone();
        let commits = match &dropped {
            None => with_dependencies(chain, api, &known, [&repo.name])?,
            Some(_) => Commits::new(),
        };
        let plan = run.event.plan(repo);
        let payload = match link {
            None if plan.downstream => Some(run.first_payload(&repo.name)?),
            link => link.cloned(),
        };
        let (repo, changed) = (Some(repo.name.clone()), run.changed(chain)?);
        Ok(Received { dropped, plan, payload, repo, sha, commits, changed })
    }

    fn orchestrate(&self) -> Result<Received> {
        let Self { chain, run, api, .. } = *self;
        let link = run.link(chain)?;
        let changed = run.changed(chain)?;
        let dropped = match link {
            Some(payload) => self.take(payload, WHOLE, &[])?,
            None => None,
        };
        let affected = chain.affected(&changed);
        let build = affected.builds().next().is_some();
        let commits = match &dropped {
            None => with_dependencies(chain, api, &run.commits(chain)?, affected.builds())?,
            Some(_) => Commits::new(),
        };
        let is_release = match link {
            Some(payload) => payload.version.is_some(),
            None => matches!(run.event, Event::Release { .. }),
        };
        let checks = matches!(run.event, Event::Push { .. } | Event::Proposal);
        let plan = Plan { checks, build, downstream: false, artifacts: build && is_release };
        Ok(Received {
            dropped,
            plan,
            payload: link.cloned(),
            repo: None,
            sha: run.sha.clone(),
            commits,
            changed,
        })
    }

    /// Takes `repo` for this run if all repos that it waits for are done; returns a reason if it
    /// does not take it.
    fn take(&self, payload: &Payload, repo: &str, awaited: &[&RepoName]) -> Result<Option<String>> {
        let mut board = Board::of(self.chain, self.api, payload, self.run.url())?;
        let duplicate = |owner: &str| {
            let owner = quoted(owner);
            format!("a duplicate: {owner} has `{repo}` of the chain {}", payload.chain_id)
        };
        // The first glance spares a duplicate its entry, which would stay the last one of the repo. A repeated run may
        // have an entry that the glance does not show.
        let holder = match board.glance(repo, awaited)? {
            Holder::Other(_) if self.run.is_repeated => board.until_held(repo, awaited)?,
            holder => holder,
        };
        match (holder, self.claim) {
            (Holder::Own, _) => return Ok(None),
            (Holder::Other(owner), _) => return Ok(Some(duplicate(&owner))),
            (Holder::Nobody, Claim::Look) => {}
            (Holder::Nobody, Claim::Take) => {
                let entry = board.add(repo, State::Taken, "building")?;
                board.until_calm(repo, entry)?;
            }
        }
        let missing = missing(board.log(), awaited);
        if !missing.is_empty() {
            let names: Vec<_> = missing.iter().map(RepoName::as_str).collect();
            return Ok(Some(format!("too early: `{repo}` waits for {}", names.join(", "))));
        }
        let owner = board.log().owner(repo, awaited).filter(|owner| *owner != self.run.url());
        Ok(owner.map(duplicate))
    }
}
