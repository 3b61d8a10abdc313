//! The commit of each repo in a build: every ref is looked up once.

use std::collections::BTreeMap;

use super::api::{Api, encoded};
use super::error::{Error, Result};
use super::names::{GitRef, RepoName, Sha, quoted};
use super::repo::{Chain, Repo};
use super::versions::ReleaseEntry;

/// The commit to build of each repo.
pub type Commits = BTreeMap<RepoName, Sha>;

/// Returns the commits of `repos` and of all their dependencies: the `known` commits, else the newest of the branch
/// that others build from.
pub(super) fn with_dependencies<'a>(
    chain: &Chain,
    api: &Api,
    known: &Commits,
    repos: impl IntoIterator<Item = &'a RepoName>,
) -> Result<Commits> {
    let mut commits = Commits::new();
    for name in repos {
        let needed = chain.dependencies(name);
        for repo in needed.into_iter().chain(chain.repo(name)) {
            if !commits.contains_key(&repo.name) {
                let sha = match known.get(&repo.name) {
                    Some(sha) => sha.clone(),
                    None => newest(chain, api, repo)?,
                };
                commits.insert(repo.name.clone(), sha);
            }
        }
    }
    Ok(commits)
}

fn newest(chain: &Chain, api: &Api, repo: &Repo) -> Result<Sha> {
    look_up(api, &chain.full_name(&repo.repository), &format!("heads/{}", repo.branch()))
}

/// Returns the commit of every repo: the `known` one, else the newest of its branch.
pub fn newest_of_all(chain: &Chain, api: &Api, known: &Commits) -> Result<Commits> {
    with_dependencies(chain, api, known, chain.repos().iter().map(|repo| &repo.name))
}

/// Returns the commits of a release. A repo without an entry in `wanted` is at the newest commit of its branch.
pub fn of_release(
    chain: &Chain,
    api: &Api,
    wanted: &BTreeMap<RepoName, ReleaseEntry>,
) -> Result<Commits> {
    let mut commits = Commits::new();
    for repo in chain.repos() {
        let repository = chain.full_name(&repo.repository);
        let sha = match wanted.get(&repo.name) {
            None => newest(chain, api, repo)?,
            Some(ReleaseEntry { tag, commit }) => {
                let sha = look_up(api, &repository, &format!("tags/{tag}"))?;
                if let Some(commit) = commit.as_ref().filter(|commit| **commit != sha) {
                    let message = format!(
                        "the tag `{tag}` of `{repository}` is {sha}, and not {commit}: it was moved"
                    );
                    return Err(Error::Missing(message));
                }
                sha
            }
        };
        commits.insert(repo.name.clone(), sha);
    }
    Ok(commits)
}

/// Returns the commit of `heads/<branch>` or `tags/<tag>`; for an annotated tag, the tagged commit.
pub fn look_up(api: &Api, repository: &str, git_ref: &str) -> Result<Sha> {
    let path = format!("/repos/{repository}/commits/{}", encoded(git_ref));
    let answer = api.get_as("application/vnd.github.sha", &path)?;
    match answer.status {
        200 => {
            let unfit = |_| {
                Error::Missing(format!("`{repository}` has no commit: {}", quoted(&answer.body)))
            };
            answer.body.trim().parse().map_err(unfit)
        }
        404 | 409 | 422 => Err(Error::Missing(format!(
            "`{repository}` has no `{git_ref}`, or this token cannot see it"
        ))),
        _ => Err(answer.into_error()),
    }
}

/// Returns the ref by which each repo's commit was looked up.
pub fn refs(
    chain: &Chain,
    wanted: &BTreeMap<RepoName, ReleaseEntry>,
) -> BTreeMap<RepoName, GitRef> {
    let git_ref = |repo: &Repo| match wanted.get(&repo.name) {
        Some(wanted) => wanted.tag.clone(),
        None => repo.branch().clone(),
    };
    chain.repos().iter().map(|repo| (repo.name.clone(), git_ref(repo))).collect()
}
