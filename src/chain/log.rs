//! The log of a chain: which run took which repo, and which repos are done.
//!
//! GitHub keeps it, as statuses of the commit that started the chain. No entry is ever removed, and their numbers give
//! them one order. A reading may be old, or lack entries in the middle: so the entries of all readings count, and
//! [`Calm`] tells when they can be believed. `docs/decisions/0013-log-of-a-chain.md` has the argument.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;

use super::names::{ChainId, RepoName};
use super::payload::Payload;
use super::repo::Chain;

/// The name under which the log has the run of an orchestrator, which builds all repos of a set. No repo has it.
pub(super) const WHOLE: &str = "all";

/// One status of a commit, as GitHub lists it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Status {
    /// Its number, higher than that of each earlier status.
    pub(super) id: u64,
    pub(super) state: String,
    pub(super) context: String,
    #[serde(default)]
    pub(super) target_url: Option<String>,
}

/// The state of a repo in an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// A run took it.
    Taken,
    /// It is done.
    Done,
    /// It could not be done.
    Failed,
}

impl State {
    /// Returns GitHub's name of the state.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Taken => "pending",
            Self::Done => "success",
            Self::Failed => "failure",
        }
    }
}

/// The entries of one chain that any reading has shown, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Log {
    prefix: String,
    entries: BTreeMap<u64, Status>,
}

/// Whether a reading fits the readings before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// It shows all that they showed; the rest of it is newer.
    Orderly,
    /// It lacks an entry that they showed, or shows one that they should have shown: it or they are old or torn.
    Torn,
}

impl Log {
    /// Returns the log of a chain before any reading.
    pub(super) fn of(chain_id: &ChainId) -> Self {
        Self { prefix: context(chain_id, ""), entries: BTreeMap::new() }
    }

    /// Adds the entries of the chain from a reading of all statuses of its commit.
    pub(super) fn add(&mut self, mut statuses: Vec<Status>) -> Reading {
        statuses.retain(|status| status.context.starts_with(&self.prefix));
        let shown: BTreeSet<_> = statuses.iter().map(|status| status.id).collect();
        let newest = self.entries.keys().next_back().copied();
        let is_late = |id: &u64| Some(*id) < newest && !self.entries.contains_key(id);
        let is_torn =
            self.entries.keys().any(|id| !shown.contains(id)) || shown.iter().any(is_late);
        self.entries.extend(statuses.into_iter().map(|status| (status.id, status)));
        if is_torn { Reading::Torn } else { Reading::Orderly }
    }

    /// Tells whether a reading has shown this entry.
    pub(super) fn shows(&self, id: u64) -> bool {
        self.entries.contains_key(&id)
    }

    /// Returns the entries of `repo` with that state.
    fn of_repo(&self, repo: &str, state: State) -> impl Iterator<Item = &Status> {
        let name = format!("{}{repo}", self.prefix);
        self.entries
            .values()
            .filter(move |entry| entry.context == name && entry.state == state.as_str())
    }

    /// Tells whether `run` tried to take `repo`.
    pub(super) fn has_tried(&self, repo: &str, run: &str) -> bool {
        self.of_repo(repo, State::Taken).any(|entry| entry.target_url.as_deref() == Some(run))
    }

    /// Returns the run that has `repo`: the first of all that tried to take it after all of `awaited` were done. A run
    /// that tried earlier has nothing.
    pub(super) fn owner(&self, repo: &str, awaited: &[&RepoName]) -> Option<&str> {
        let since: Option<Vec<_>> = awaited.iter().map(|name| self.done_since(name)).collect();
        let since = since?.into_iter().max();
        let first = self.of_repo(repo, State::Taken).find(|entry| Some(entry.id) > since);
        first.map(|entry| entry.target_url.as_deref().unwrap_or_default())
    }

    /// Returns the entry that first says that `repo` is done.
    fn done_since(&self, repo: &RepoName) -> Option<u64> {
        self.of_repo(repo.as_str(), State::Done).next().map(|entry| entry.id)
    }
}

/// Decides when a log that is read again and again can be believed.
///
/// It can when a run's own entry, and with it all others, stood still for [`Calm::LEAST`]: every reading of that time
/// was orderly and showed the entry. A torn reading betrays itself, because it lacks an entry now and then, its own too.
#[derive(Debug, Default)]
pub(super) struct Calm {
    since: Option<Duration>,
}

impl Calm {
    /// How long the log must stand still.
    pub(super) const LEAST: Duration = Duration::from_secs(2);

    /// Takes a reading, made at `now` on any clock that only goes forward; `shows_own` says whether it shows the run's
    /// own entry. Returns whether the log can be believed.
    pub(super) fn take(&mut self, reading: Reading, shows_own: bool, now: Duration) -> bool {
        if reading == Reading::Torn || !shows_own {
            self.since = None;
            return false;
        }
        let since = *self.since.get_or_insert(now);
        now.saturating_sub(since) >= Self::LEAST
    }
}

/// Returns the context of the statuses of a repo.
pub(super) fn context(chain_id: &ChainId, repo: &str) -> String {
    format!("chain/{chain_id}/{repo}")
}

/// The decision about a dependent of a repo that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Tell it.
    Send,
    /// It waits for these repos.
    Waits(Vec<RepoName>),
    /// A run has already taken it.
    Taken,
    /// This other repo tells it: the last that it waited for.
    Left(RepoName),
}

/// Returns the dependencies of `repo` that it waits for in this chain.
pub(super) fn awaited<'a>(
    chain: &'a Chain,
    payload: &Payload,
    repo: &'a RepoName,
) -> Vec<&'a RepoName> {
    let reached = chain.reached(&BTreeSet::from([payload.source.clone()]));
    let depends = chain.repo(repo).map_or(&[][..], |repo| &repo.depends);
    depends.iter().filter(|name| reached.iter().any(|repo| repo.name == **name)).collect()
}

/// Returns the repos of `awaited` that are not done.
pub(super) fn missing(log: &Log, awaited: &[&RepoName]) -> Vec<RepoName> {
    awaited
        .iter()
        .filter(|name| log.done_since(name).is_none())
        .map(|name| (*name).clone())
        .collect()
}

/// Decides what to do about `next`, now that `done` is done.
///
/// The repo that is done last tells it; exactly one repo is last. A repeated run tells it also if it was not last, in
/// case the last one could not. A repo that is told twice builds once.
pub(super) fn decide(
    chain: &Chain,
    payload: &Payload,
    log: &Log,
    (done, next): (&RepoName, &RepoName),
    is_repeated: bool,
) -> Next {
    let awaited = awaited(chain, payload, next);
    let missing = missing(log, &awaited);
    if !missing.is_empty() {
        return Next::Waits(missing);
    }
    if log.owner(next.as_str(), &awaited).is_some() {
        return Next::Taken;
    }
    match awaited.into_iter().max_by_key(|name| log.done_since(name)) {
        Some(last) if last != done && !is_repeated => Next::Left(last.clone()),
        _ => Next::Send,
    }
}

#[cfg(test)]
mod tests;
