//! Writes the results of an orchestrator's run back to the commit that started the chain.

use std::collections::BTreeMap;

use super::api::Api;
use super::board::{Board, Holder};
use super::dispatch::{Dispatched, RunResult};
use super::error::Result;
use super::log::{State, WHOLE};
use super::names::{RepoName, quoted};
use super::repo::Chain;
use super::run::Run;

/// The results of the jobs of repos.
pub type Results = BTreeMap<RepoName, RunResult>;

/// Notes in the log how each repo of the set of changed repos went, and then how all of it went. If any result is
/// given, a repo without one was not built, and counts as failed; else all have that of the run, `outcome`.
pub(super) fn report(
    chain: &Chain,
    run: &Run,
    api: &Api,
    outcome: RunResult,
    results: &Results,
) -> Result<Dispatched> {
    let Some(payload) = run.link(chain)? else {
        let reason = "no chain waits for the result of this run".to_owned();
        return Ok(Dispatched::idle(run.id.clone(), reason));
    };
    let mut board = Board::of(chain, api, payload, run.url())?;
    if let Holder::Other(owner) = board.until_held(WHOLE, &[])? {
        let reason = format!("{} has this chain", quoted(&owner));
        return Ok(Dispatched::idle(payload.chain_id.clone(), reason));
    }
    let affected = chain.affected(&run.changed(chain)?);
    let of_others = if results.is_empty() { outcome } else { RunResult::Failure };
    let result_of = |name: &RepoName| results.get(name).copied().unwrap_or(of_others);
    let noted: Results = affected.builds().map(|name| (name.clone(), result_of(name))).collect();
    for (name, outcome) in &noted {
        let (state, description) = entry(*outcome);
        board.write(name.as_str(), state, description)?;
    }
    let have_all_succeeded = noted.values().all(|outcome| *outcome == RunResult::Success);
    let whole = if have_all_succeeded { outcome } else { RunResult::Failure };
    let (state, description) = entry(whole);
    board.write(WHOLE, state, description)?;
    Ok(Dispatched { noted, ..Dispatched::of(payload.chain_id.clone()) })
}

fn entry(outcome: RunResult) -> (State, &'static str) {
    match outcome {
        RunResult::Success => (State::Done, "done"),
        RunResult::Failure => (State::Failed, "could not be done"),
    }
}
