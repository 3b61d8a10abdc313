//! The files that each repository of a chain needs, as text.
//!
//! The workflows only call the reusable workflows of one repository, with the settings of
//! `chain.toml`.
//!
//! # Invariants
//!
//! - The same chain gives the same text.
//! - Lines that users wrote are never lost: `marked` tells which lines are theirs.

mod checkouts;
mod marked;
mod orchestrator;
mod repo;
mod template;
#[cfg(test)]
mod tests;

pub use checkouts::{Change, Error, apply, plan};
pub use marked::{FileAction, Refusal};

use super::names::Repository;
use super::repo::Chain;

/// A file that a repository needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepoFile {
    /// The repository.
    pub repository: Repository,
    /// Its path in the repository.
    pub path: &'static str,
    /// Its text, with empty marked places.
    pub text: String,
}

/// The path of a repository's copy of the chain.
pub const CHAIN_FILE: &str = ".github/chain.toml";

const REPO: &str = ".github/workflows/chain.yml";
const ORCHESTRATOR: &str = ".github/workflows/release-orchestrator.yml";
const NIGHTLY: &str = ".github/workflows/nightly-prerelease.yml";

/// All workflows that a repository may get from us.
const WORKFLOWS: [&str; 3] = [REPO, ORCHESTRATOR, NIGHTLY];

/// Returns all files that the repositories of `chain` need. `source` is the text of the chain's
/// file, or of a copy that we wrote.
pub fn wanted(chain: &Chain, source: &str) -> Vec<RepoFile> {
    let source = marked::unsealed(source);
    let mut files = Vec::new();
    let mut add = |repository: &Repository, path, text: String| {
        let repository = repository.clone();
        files.push(RepoFile { repository, path, text: marked::seal(&text) });
    };
    let orchestrator = chain.dispatch().orchestrator.as_ref();
    let nightlies = chain.releases().repository.as_ref();
    for repo in chain.repos() {
        add(&repo.repository, REPO, repo::workflow(chain, repo));
        add(&repo.repository, CHAIN_FILE, source.to_owned());
    }
    // Both build the chain: the orchestrator on an event, the other one at night.
    let mut builders: Vec<_> = orchestrator.into_iter().chain(nightlies).collect();
    builders.dedup();
    for builder in builders {
        add(builder, ORCHESTRATOR, orchestrator::workflow(chain, builder));
        if !chain.repos().iter().any(|repo| repo.repository == *builder) {
            add(builder, CHAIN_FILE, source.to_owned());
        }
    }
    if let Some(repository) = nightlies {
        add(repository, NIGHTLY, orchestrator::nightly(chain));
    }
    files
}
