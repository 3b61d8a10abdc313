//! A chain: its repos, their dependencies, and the receivers of events.

use std::collections::BTreeSet;
use std::num::NonZeroU16;

use serde::{Deserialize, Serialize};

use super::names::{
    CargoName, Cron, EventTemplate, FilePath, GitRef, Label, Owner, RepoName, Repository, Secret,
    Workflows,
};

/// An organisation's repos, and which of them are built from which.
///
/// No repo depends on itself, directly or indirectly, and every dependency is a repo of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    pub(super) owner: Owner,
    /// The labels of the runners for jobs that belong to no repo: at least one.
    pub(super) runner: Vec<Label>,
    /// The labels of the runners for code from forks: at least one.
    pub(super) fork_runner: Vec<Label>,
    pub(super) workflows: Workflows,
    pub(super) read_secret: Option<Secret>,
    pub(super) dispatch: Dispatch,
    pub(super) releases: Releases,
    /// The repos, each after all its dependencies.
    pub(super) repos: Vec<Repo>,
}

/// One repo of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repo {
    /// Its name in the chain.
    pub name: RepoName,
    /// Its name on GitHub, without the owner.
    pub repository: Repository,
    /// The kind of its output.
    pub kind: Kind,
    /// Its direct dependencies, in the order of its entry in `chain.toml`.
    pub depends: Vec<RepoName>,
    /// The labels of the runners that build it: at least one.
    pub runner: Vec<Label>,
    /// The branches whose pushes go down the chain: at least one. Others build from the first.
    pub branches: Vec<GitRef>,
    /// The package to build.
    pub package: CargoName,
    /// The features to build it with.
    pub features: Vec<CargoName>,
    /// How long a build may take.
    pub timeout_minutes: NonZeroU16,
    /// Whether an orchestrator runs its tests before it builds its dependents.
    pub verify: bool,
}

/// The kind of a repo's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Text: its changes go down the chain, but there is nothing to build.
    Docs,
    /// A library.
    Library,
    /// Programs.
    Binary,
    /// A container image.
    Image,
}

/// The receiver, the type and the token of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dispatch {
    /// The type of an event.
    pub event: EventTemplate,
    /// The repository that gets every event, if there is an orchestrator.
    pub orchestrator: Option<Repository>,
    /// The secret with the token for sending events.
    pub secret: Secret,
}

/// The settings of releases and nightlies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Releases {
    /// The repository in which nightlies are published, if any.
    pub repository: Option<Repository>,
    /// The file with the tags of a release, relative to the chain's file.
    pub versions: Option<FilePath>,
    /// When nightlies are made, in UTC.
    pub nightly: Cron,
}

impl Kind {
    /// Returns the name of the kind in `chain.toml`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Docs => "docs",
            Self::Library => "library",
            Self::Binary => "binary",
            Self::Image => "image",
        }
    }
}

impl Repo {
    /// Tells whether there is something to build.
    pub fn is_built(&self) -> bool {
        self.kind != Kind::Docs
    }

    /// Returns the branch that others build from.
    pub fn branch(&self) -> &GitRef {
        &self.branches[0]
    }
}

impl Chain {
    /// Returns the owner of the repositories.
    pub fn owner(&self) -> &str {
        self.owner.as_str()
    }

    /// Returns the labels of the runners for jobs that belong to no repo.
    pub fn runner(&self) -> &[Label] {
        &self.runner
    }

    /// Returns the labels of the runners for code from forks.
    pub fn fork_runner(&self) -> &[Label] {
        &self.fork_runner
    }

    /// Returns the secret with the token for reading repos, if some are private.
    pub fn read_secret(&self) -> Option<&Secret> {
        self.read_secret.as_ref()
    }

    /// Returns the source of the reusable workflows.
    pub fn workflows(&self) -> &Workflows {
        &self.workflows
    }

    /// Returns the settings of events.
    pub fn dispatch(&self) -> &Dispatch {
        &self.dispatch
    }

    /// Returns the settings of releases and nightlies.
    pub fn releases(&self) -> &Releases {
        &self.releases
    }

    /// Returns every repo, each after all its dependencies.
    pub fn repos(&self) -> &[Repo] {
        &self.repos
    }

    /// Returns the repo with this name in the chain.
    pub fn repo(&self, name: &RepoName) -> Option<&Repo> {
        self.repos.iter().find(|repo| repo.name == *name)
    }

    /// Returns the repo with the name `full_name`, `owner/name`, on GitHub. Ignores the case of
    /// letters, as GitHub does.
    pub fn repo_at(&self, full_name: &str) -> Option<&Repo> {
        self.repos
            .iter()
            .find(|repo| self.full_name(&repo.repository).eq_ignore_ascii_case(full_name))
    }

    /// Returns `owner/name` of a repository of the chain's owner.
    pub fn full_name(&self, repository: &Repository) -> String {
        format!("{}/{repository}", self.owner)
    }

    /// Returns the direct dependents of the repo `name`.
    pub fn dependents(&self, name: &RepoName) -> impl Iterator<Item = &Repo> {
        self.repos.iter().filter(move |repo| repo.depends.contains(name))
    }

    /// Returns all direct and indirect dependencies of `name`, in the order of the chain.
    pub fn dependencies(&self, name: &RepoName) -> Vec<&Repo> {
        let mut found = BTreeSet::from([name]);
        let mut repos = Vec::new();
        for repo in self.repos.iter().rev() {
            if found.contains(&repo.name) {
                found.extend(&repo.depends);
                repos.push(repo);
            }
        }
        repos.retain(|repo| repo.name != *name);
        repos.reverse();
        repos
    }

    /// Returns the type of the events that `sender` sends.
    pub fn event_of(&self, sender: &RepoName) -> String {
        self.dispatch.event.as_str().replacen("{repo}", sender.as_str(), 1)
    }
}
