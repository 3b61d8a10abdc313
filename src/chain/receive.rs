//! What a run does: whether its event counts, which plan follows, which commits it builds.

use std::collections::BTreeSet;

use super::api::Api;
use super::board::Board;
use super::commits::{Commits, newest};
use super::error::Result;
use super::event::{Event, Plan};
use super::log::{State, awaited, missing};
use super::names::{RepoName, Sha};
use super::payload::Payload;
use super::repo::{Chain, Repo};
use super::run::{Run, Whose};

/// What a run does because of its event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Why it does nothing, if so.
    pub dropped: Option<String>,
    /// What it does.
    pub plan: Plan,
    /// The chain that it is a link of, or that it starts.
    pub payload: Option<Payload>,
    /// The commit of the repository to check out.
    pub sha: Sha,
    /// The commits of the repo and of all that it is built from; none in the orchestrator.
    pub commits: Commits,
    /// What changed.
    pub changed: BTreeSet<RepoName>,
}

/// Whether a run takes what it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It does, unless another run has it.
    Take,
    /// It only looks.
    Look,
}

/// Decides what a run does. A link of a chain is taken in the chain's log, so that no second run
/// builds it.
pub fn receive(chain: &Chain, run: &Run, api: &Api, claim: Claim) -> Result<Received> {
    match run.whose(chain)? {
        Whose::Repo(repo) => receive_in(chain, run, api, claim, repo),
        Whose::Orchestrator(name) => orchestrate(chain, run, api, claim, name),
    }
}

fn receive_in(chain: &Chain, run: &Run, api: &Api, claim: Claim, repo: &Repo) -> Result<Received> {
    let link = run.link(chain)?;
    let dropped = match link {
        Some(payload) => match loops(payload, &repo.name) {
            Some(reason) => Some(reason),
            None => join(chain, run, api, claim, (payload, &repo.name))?,
        },
        None => None,
    };
    let sha = link.and_then(|payload| payload.commits.get(&repo.name)).unwrap_or(&run.sha).clone();
    let mut commits = Commits::from([(repo.name.clone(), sha.clone())]);
    if dropped.is_none() {
        for needed in chain.dependencies(&repo.name) {
            let known = link.and_then(|payload| payload.commits.get(&needed.name)).cloned();
            let sha = known.map_or_else(|| newest(chain, api, needed), Ok)?;
            commits.insert(needed.name.clone(), sha);
        }
    }
    let plan = if dropped.is_none() { run.event.plan(repo) } else { Plan::default() };
    let payload = match link {
        None if plan.downstream => Some(run.first_payload(&repo.name)?),
        link => link.cloned(),
    };
    let changed = run.changed(chain)?;
    Ok(Received { dropped, plan, payload, sha, commits, changed })
}

fn orchestrate(chain: &Chain, run: &Run, api: &Api, claim: Claim, name: &str) -> Result<Received> {
    let link = run.link(chain)?;
    let changed = run.changed(chain)?;
    let dropped = match link {
        Some(payload) => take(chain, run, api, claim, (payload, name))?,
        None => None,
    };
    let is_built = dropped.is_none() && chain.affected(&changed).builds().next().is_some();
    let is_release = match link {
        Some(payload) => payload.version.is_some(),
        None => matches!(run.event, Event::Release { .. }),
    };
    let plan = Plan {
        checks: matches!(run.event, Event::Push { .. } | Event::Proposal),
        build: is_built,
        downstream: false,
        artifacts: is_built && is_release,
    };
    let changed = if dropped.is_none() { changed } else { BTreeSet::new() };
    let (payload, sha) = (link.cloned(), run.sha.clone());
    Ok(Received { dropped, plan, payload, sha, commits: Commits::new(), changed })
}

/// Says that a chain was in a repo before, if it was. The files of two repos can make a loop that
/// neither has. So a chain has no more hops than repos.
fn loops(payload: &Payload, repo: &RepoName) -> Option<String> {
    let is_again = payload.visited.contains(repo);
    is_again.then(|| format!("a loop: the chain {} was in `{repo}` before", payload.chain_id))
}

/// Takes a repo if all that it waits for is done; says why not otherwise.
fn join(
    chain: &Chain,
    run: &Run,
    api: &Api,
    claim: Claim,
    (payload, repo): (&Payload, &RepoName),
) -> Result<Option<String>> {
    let board = Board::of(chain, api, payload, run.url())?;
    let missing = missing(&board.read()?, &awaited(chain, payload, repo));
    if !missing.is_empty() {
        let names: Vec<_> = missing.iter().map(RepoName::as_str).collect();
        return Ok(Some(format!("too early: `{repo}` waits for {}", names.join(", "))));
    }
    take(chain, run, api, claim, (payload, repo.as_str()))
}

/// Takes `repo` for this run; says who has it otherwise.
fn take(
    chain: &Chain,
    run: &Run,
    api: &Api,
    claim: Claim,
    (payload, repo): (&Payload, &str),
) -> Result<Option<String>> {
    let board = Board::of(chain, api, payload, run.url())?;
    let mut log = board.read()?;
    if log.taken_by(repo).is_none() && claim == Claim::Take {
        log = board.add(repo, State::Taken, "building")?;
    }
    let owner = log.taken_by(repo).filter(|owner| *owner != run.url());
    Ok(owner.map(|owner| {
        format!(
            "a duplicate: {} has `{repo}` of the chain {}",
            super::names::quoted(owner),
            payload.chain_id
        )
    }))
}
