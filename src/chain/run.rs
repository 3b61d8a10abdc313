//! One run of a workflow: its repository, its event, its number.

use std::collections::BTreeSet;

use super::commits::Commits;
use super::error::{Error, Result};
use super::event::Event;
use super::names::{ChainId, RepoName, Sha, quoted};
use super::payload::{Incoming, Payload};
use super::repo::{Chain, Repo};

/// A run, as its runner describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The repository: `owner/name`.
    pub repository: String,
    /// The event that started it.
    pub event: Event,
    /// The commit it runs on.
    pub sha: Sha,
    /// The ref it runs on, which may have any name.
    pub git_ref: String,
    /// Its number, which repetitions keep.
    pub id: ChainId,
    /// Whether it is a repetition.
    pub is_repeated: bool,
    /// The server: `https://github.com`.
    pub server: String,
}

/// The owner of a run.
#[derive(Clone, Copy, Debug)]
pub(super) enum Whose<'a> {
    /// A repo.
    Repo(&'a Repo),
    /// The orchestrator, which builds other repos.
    Orchestrator,
}

impl Run {
    /// Returns the URL of the run, which identifies it.
    pub(super) fn url(&self) -> String {
        format!(
            "{}/{}/actions/runs/{}",
            self.server.trim_end_matches('/'),
            self.repository,
            self.id
        )
    }

    /// Returns the owner of the run. A repo that is also the orchestrator acts as orchestrator for dispatched events.
    pub(super) fn whose<'a>(&self, chain: &'a Chain) -> Result<Whose<'a>> {
        let orchestrator = chain.dispatch().orchestrator.as_ref();
        let is_orchestrator = orchestrator
            .is_some_and(|name| chain.full_name(name).eq_ignore_ascii_case(&self.repository));
        match (is_orchestrator, chain.repo_at(&self.repository)) {
            (true, None) => Ok(Whose::Orchestrator),
            (true, Some(_)) if self.is_dispatched() => Ok(Whose::Orchestrator),
            (_, Some(repo)) => Ok(Whose::Repo(repo)),
            (false, None) => Err(Error::UnknownRepo(quoted(&self.repository))),
        }
    }

    fn is_dispatched(&self) -> bool {
        matches!(self.event, Event::Dispatch { .. })
    }

    /// Returns the payload if the event is a link of a chain; fails if the payload does not fit the chain.
    pub(super) fn link(&self, chain: &Chain) -> Result<Option<&Payload>> {
        let Event::Dispatch { event_type, incoming } = &self.event else { return Ok(None) };
        let Incoming::Link(payload) = incoming else { return Ok(None) };
        let refuse = |reason| Error::Malformed { event: "repository_dispatch".to_owned(), reason };
        for name in payload.visited.iter().chain(payload.commits.keys()) {
            if chain.repo(name).is_none() {
                return Err(refuse(format!("`{name}` is no repo of this chain")));
            }
        }
        let sender = payload.sender();
        let want = chain.event_of(sender);
        if *event_type != want {
            let event_type = quoted(event_type);
            return Err(refuse(format!("its type is {event_type}, and `{sender}` sends `{want}`")));
        }
        if let Whose::Repo(repo) = self.whose(chain)?
            && !repo.depends.contains(sender)
            && !payload.visited.contains(&repo.name)
        {
            return Err(refuse(format!("`{}` does not depend on `{sender}`", repo.name)));
        }
        Ok(Some(payload))
    }

    /// Returns the repo that an event without a payload version is about; `None` if the event does not name it.
    pub(super) fn old_sender<'a>(&self, chain: &'a Chain) -> Result<Option<&'a Repo>> {
        let Event::Dispatch { event_type, incoming: Incoming::Old { sender, .. } } = &self.event
        else {
            return Ok(None);
        };
        let template = chain.dispatch().event.as_str();
        let by_type = match template.split_once("{repo}") {
            Some((before, after)) => {
                let name =
                    event_type.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
                Some(name.ok_or_else(|| unknown_type(event_type))?)
            }
            None if event_type == template => None,
            None => return Err(unknown_type(event_type)),
        };
        if by_type == Some("all") {
            return Ok(None);
        }
        let Some(name) = by_type.or(sender.as_deref()) else { return Ok(None) };
        let named = |repo: &&Repo| {
            let full_name = chain.full_name(&repo.repository);
            [repo.name.as_str(), repo.repository.as_str(), &full_name]
                .iter()
                .any(|known| known.eq_ignore_ascii_case(name))
        };
        let found = chain.repos().iter().find(named);
        found.map(Some).ok_or_else(|| Error::UnknownRepo(quoted(name)))
    }

    /// Returns the changed repos. For a link of a chain, the source of the chain. In a repo, otherwise, the repo
    /// itself. In the orchestrator, the repo that the event names; without one, none for a push or a proposal, and all
    /// for any other event.
    pub fn changed(&self, chain: &Chain) -> Result<BTreeSet<RepoName>> {
        if let Some(payload) = self.link(chain)? {
            return Ok(BTreeSet::from([payload.source.clone()]));
        }
        let sender = self.old_sender(chain)?;
        let one = |repo: &Repo| BTreeSet::from([repo.name.clone()]);
        let all = || chain.repos().iter().map(|repo| repo.name.clone()).collect();
        Ok(match (self.whose(chain)?, &self.event, sender) {
            (Whose::Repo(repo), ..) | (_, _, Some(repo)) => one(repo),
            (_, Event::Push { .. } | Event::Proposal, None) => BTreeSet::new(),
            (_, _, None) => all(),
        })
    }

    /// Returns the commits that the event brings: those of its chain, or that of the repo it is about.
    pub fn commits(&self, chain: &Chain) -> Result<Commits> {
        if let Some(payload) = self.link(chain)? {
            return Ok(payload.commits.clone());
        }
        let sha = match &self.event {
            Event::Dispatch { incoming: Incoming::Old { sha, .. }, .. } => sha.as_ref(),
            _ => None,
        };
        let told = self.old_sender(chain)?.zip(sha);
        let about = match self.whose(chain)? {
            Whose::Repo(repo) => Some((repo, &self.sha)),
            Whose::Orchestrator => told,
        };
        Ok(about.into_iter().map(|(repo, sha)| (repo.name.clone(), sha.clone())).collect())
    }

    /// Returns the first payload of the chain that this run starts in `source`.
    pub(super) fn first_payload(&self, source: &RepoName) -> Result<Payload> {
        let git_ref =
            self.git_ref.parse().map_err(|error| Error::Environment(format!("{error}")))?;
        let version = match &self.event {
            Event::Release { tag } => Some(tag.clone()),
            _ => None,
        };
        let sha = self.sha.clone();
        Ok(Payload::first(source.clone(), sha, git_ref, version, self.id.clone()))
    }
}

fn unknown_type(event_type: &str) -> Error {
    Error::UnknownEvent(format!("`repository_dispatch` of the type {}", quoted(event_type)))
}
