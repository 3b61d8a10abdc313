//! The log of a chain: which run took which repo, and which repos are done.
//!
//! GitHub keeps it, as statuses of the commit that started the chain. No entry is ever removed, and all readers see the
//! same order. This suffices to join branches of a chain, and to build no repo twice;
//! `docs/decisions/0013-log-of-a-chain.md` has the argument.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::names::{ChainId, RepoName};
use super::payload::Payload;
use super::repo::Chain;

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

/// The entries of one chain, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Log {
    prefix: String,
    entries: Vec<Status>,
}

impl Log {
    /// Selects the entries of a chain from all statuses of its commit.
    pub(super) fn of(chain_id: &ChainId, mut statuses: Vec<Status>) -> Self {
        let prefix = context(chain_id, "");
        statuses.retain(|status| status.context.starts_with(&prefix));
        statuses.sort_by_key(|status| status.id);
        Self { prefix, entries: statuses }
    }

    /// Tells whether the log has this entry.
    pub(super) fn shows(&self, id: u64) -> bool {
        self.entries.iter().any(|entry| entry.id == id)
    }

    /// Returns the first entry of `repo` with that state.
    fn first(&self, repo: &str, state: State) -> Option<&Status> {
        let is_it = |entry: &&Status| {
            entry.context.strip_prefix(&self.prefix) == Some(repo) && entry.state == state.as_str()
        };
        self.entries.iter().find(is_it)
    }

    /// Returns the run that took `repo`: the first of all that tried.
    pub(super) fn taken_by(&self, repo: &str) -> Option<&str> {
        self.first(repo, State::Taken).map(|entry| entry.target_url.as_deref().unwrap_or_default())
    }

    /// Returns the entry that first says that `repo` is done.
    fn done_since(&self, repo: &RepoName) -> Option<u64> {
        self.first(repo.as_str(), State::Done).map(|entry| entry.id)
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
    if log.taken_by(next.as_str()).is_some() {
        return Next::Taken;
    }
    match awaited.into_iter().max_by_key(|name| log.done_since(name)) {
        Some(last) if last != done && !is_repeated => Next::Left(last.clone()),
        _ => Next::Send,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

    /// `end` is built from `left` and `right`, which are built from `start`; and from `apart`.
    fn diamond() -> Result<(Chain, Payload)> {
        let text = "owner = 'o'\n[repos.start]\nkind = 'docs'\n[repos.apart]\nkind = 'library'\n\
            [repos.left]\nkind = 'library'\ndepends = ['start']\n\
            [repos.right]\nkind = 'library'\ndepends = ['start']\n\
            [repos.end]\nkind = 'binary'\ndepends = ['left', 'right', 'apart']\n";
        let chain = Chain::parse("c", text)?;
        let (sha, git_ref) = ("a".repeat(40).parse()?, "refs/heads/main".parse()?);
        Ok((chain, Payload::first("start".parse()?, sha, git_ref, None, "7".parse()?)))
    }

    /// Makes a log of words: `left` is done, `left?` taken, `left!` failed.
    fn log(words: &str) -> Result<Log> {
        let status = |(id, word): (usize, &str)| {
            let (state, repo) = match word.split_at(word.len() - 1) {
                (repo, "?") => (State::Taken, repo),
                (repo, "!") => (State::Failed, repo),
                _ => (State::Done, word),
            };
            let (id, target_url) = (id as u64, Some(format!("run {id}")));
            Status {
                id,
                state: state.as_str().to_owned(),
                context: format!("chain/7/{repo}"),
                target_url,
            }
        };
        let mut statuses: Vec<_> = words.split_whitespace().enumerate().map(status).collect();
        // GitHub lists the newest first, with other statuses in between.
        statuses.reverse();
        for context in ["ci/test", "chain/77/left", "chain/6/right"] {
            let (state, context) = ("success".to_owned(), context.to_owned());
            statuses.push(Status { id: 99, state, context, target_url: None });
        }
        Ok(Log::of(&"7".parse()?, statuses))
    }

    #[test]
    fn the_last_finished_dependency_tells_a_repo_and_no_other_does() -> Result {
        let (chain, payload) = diamond()?;
        let name = |name: &str| name.parse::<RepoName>();
        let waits = |names: &[&str]| {
            names.iter().map(|it| name(it)).collect::<std::result::Result<_, _>>().map(Next::Waits)
        };
        #[rustfmt::skip]
        let cases = [
            ("left alone",          "start left",             "left",  false, waits(&["right"])?),
            ("right is last",       "start left right",       "right", false, Next::Send),
            ("left is not last",    "start left right",       "left",  false, Next::Left(name("right")?)),
            ("left again",          "start left right left",  "left",  false, Next::Left(name("right")?)),
            ("left is repeated",    "start left right left",  "left",  true,  Next::Send),
            ("the end is taken",    "start left right end?",  "right", true,  Next::Taken),
            ("right failed",        "start left right!",      "left",  false, waits(&["right"])?),
            ("right failed once",   "start right! left right", "right", true, Next::Send),
            ("right is only taken", "start right? left",      "left",  false, waits(&["right"])?),
        ];
        for (why, words, done, is_repeated, want) in cases {
            let got =
                decide(&chain, &payload, &log(words)?, (&name(done)?, &name("end")?), is_repeated);
            assert_eq!(got, want, "{why}");
        }
        Ok(())
    }

    #[test]
    fn exactly_one_finished_dependency_tells_a_repo_in_whatever_order() -> Result {
        let (chain, payload) = diamond()?;
        for words in ["start left right", "start right left"] {
            let mut sent = 0;
            // Each run reads the log when it is done, or at any later time.
            for done in ["left", "right"] {
                let log = log(words)?;
                let names = (&done.parse()?, &"end".parse()?);
                sent += usize::from(decide(&chain, &payload, &log, names, false) == Next::Send);
            }
            assert_eq!(sent, 1, "{words}");
        }
        Ok(())
    }

    #[test]
    fn of_all_runs_that_take_a_repo_the_first_has_it() -> Result {
        let log = log("end? left end? right")?;
        assert_eq!(log.taken_by("end"), Some("run 0"));
        assert_eq!(log.taken_by("left"), None);
        Ok(())
    }

    /// Repos `r0` to `r6`, each built from some repos before it; `needs` has a bit for each.
    fn chain_of(needs: &[u8]) -> Result<Chain> {
        let mut text = "owner = 'o'\n".to_owned();
        for (at, needs) in needs.iter().enumerate() {
            let needs = (0..at).filter(|other| needs & (1 << other) != 0 || *other == 0);
            let needs: Vec<_> = needs.map(|other| format!("'r{other}'")).collect();
            let needs = needs.join(", ");
            let table = format!("[repos.r{at}]\nkind = 'library'\ndepends = [{needs}]\n");
            text.push_str(&table);
        }
        Ok(Chain::parse("c", &text)?)
    }

    /// A step that is still to happen: a repo ends, or a repo that ended reads the log.
    #[derive(Clone, Debug, PartialEq, Eq)]
    enum Step {
        End(RepoName),
        Read(RepoName),
    }

    proptest! {
        #[test]
        fn in_whatever_order_repos_end_and_read_the_log_each_is_told_once(
            needs in prop::collection::vec(any::<u8>(), 2..8),
            choices in prop::collection::vec(any::<prop::sample::Index>(), 64),
            broken in prop::option::of(1_usize..8),
        ) {
            let chain = chain_of(&needs).expect("no repo needs a later one");
            let name = |at: usize| -> RepoName { format!("r{at}").parse().expect("a name") };
            let (sha, git_ref) = ("a".repeat(40).parse().expect("a commit"), "main".parse().expect("a ref"));
            let payload = Payload::first(name(0), sha, git_ref, None, "7".parse().expect("a chain"));
            let broken = broken.filter(|at| *at < needs.len()).map(name);
            let blocked: BTreeSet<_> = broken.iter().flat_map(|broken| {
                chain.reached(&BTreeSet::from([broken.clone()])).into_iter().map(|repo| repo.name.clone())
            }).collect();

            let mut steps = vec![Step::End(name(0))];
            let mut statuses = Vec::new();
            let mut told = Vec::new();
            for choice in choices {
                if steps.is_empty() {
                    break;
                }
                match steps.swap_remove(choice.index(steps.len())) {
                    Step::End(repo) => {
                        let state = if Some(&repo) == broken.as_ref() { State::Failed } else { State::Done };
                        let id = statuses.len() as u64;
                        let context = context(&payload.chain_id, repo.as_str());
                        statuses.push(Status { id, state: state.as_str().to_owned(), context, target_url: None });
                        if state == State::Done {
                            steps.push(Step::Read(repo));
                        }
                    }
                    Step::Read(repo) => {
                        let log = Log::of(&payload.chain_id, statuses.clone());
                        for next in chain.dependents(&repo) {
                            if decide(&chain, &payload, &log, (&repo, &next.name), false) == Next::Send {
                                told.push(next.name.clone());
                                steps.push(Step::End(next.name.clone()));
                            }
                        }
                    }
                }
            }
            prop_assert!(steps.is_empty());
            told.sort();
            let all = (1..needs.len()).map(name);
            let want: Vec<_> = all.filter(|repo| !blocked.contains(repo) || Some(repo) == broken.as_ref()).collect();
            prop_assert_eq!(told, want);
        }
    }
}
