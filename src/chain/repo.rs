//! A chain: repos, what each depends on, and where events go.

use std::collections::BTreeSet;
use std::num::NonZeroU16;

use serde::{Deserialize, Serialize};

use super::names::{
    CargoName, Cron, EventTemplate, FilePath, GitRef, Label, Owner, RepoName, Repository, Secret,
    Workflows,
};

/// An organisation's repos, and which of them are built from which.
///
/// No repo depends on itself by any way, and every name that is depended on is a repo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    pub(super) owner: Owner,
    /// The labels of the runners of what belongs to no repo: one at least.
    pub(super) runner: Vec<Label>,
    pub(super) workflows: Workflows,
    pub(super) read_secret: Option<Secret>,
    pub(super) dispatch: Dispatch,
    pub(super) releases: Releases,
    /// Each after all that it depends on.
    pub(super) repos: Vec<Repo>,
}

/// One repo of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repo {
    /// What the chain calls it.
    pub name: RepoName,
    /// What GitHub calls it, without the owner.
    pub repository: Repository,
    /// What comes of it.
    pub kind: Kind,
    /// What it is built from, without what those are built from. In the order of the chain.
    pub depends: Vec<RepoName>,
    /// The labels of the runners that build it: one at least.
    pub runner: Vec<Label>,
    /// The branches whose pushes go down the chain: one at least, and the first is what others
    /// build from.
    pub branches: Vec<GitRef>,
    /// The package to build.
    pub package: CargoName,
    /// The features to build it with.
    pub features: Vec<CargoName>,
    /// How long a build may take.
    pub timeout_minutes: NonZeroU16,
    /// Whether an orchestrator runs its tests before it builds what needs it.
    pub verify: bool,
}

/// What comes of a repo.
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

/// Where events go, and what they are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dispatch {
    /// The type of an event.
    pub event: EventTemplate,
    /// The repository that gets every event, if it is one.
    pub orchestrator: Option<Repository>,
    /// The secret that holds the token by which events are sent.
    pub secret: Secret,
}

/// Where releases and versions come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Releases {
    /// The repository that nightlies are published in, if there is one.
    pub repository: Option<Repository>,
    /// Which tag of each repo a release is made of, relative to the chain's file.
    pub versions: Option<FilePath>,
    /// When nightlies are made, in UTC.
    pub nightly: Cron,
}

impl Kind {
    /// Returns the kind as `chain.toml` has it.
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
    /// Returns who owns the repositories.
    pub fn owner(&self) -> &str {
        self.owner.as_str()
    }

    /// Returns the labels of the runners of what belongs to no repo.
    pub fn runner(&self) -> &[Label] {
        &self.runner
    }

    /// Returns the secret that holds the token by which builds read repos, if some are private.
    pub fn read_secret(&self) -> Option<&Secret> {
        self.read_secret.as_ref()
    }

    /// Returns where the reusable workflows are.
    pub fn workflows(&self) -> &Workflows {
        &self.workflows
    }

    /// Returns where events go.
    pub fn dispatch(&self) -> &Dispatch {
        &self.dispatch
    }

    /// Returns where releases and versions come from.
    pub fn releases(&self) -> &Releases {
        &self.releases
    }

    /// Returns every repo, each after all that it depends on.
    pub fn repos(&self) -> &[Repo] {
        &self.repos
    }

    /// Returns the repo that the chain calls `name`.
    pub fn repo(&self, name: &RepoName) -> Option<&Repo> {
        self.repos.iter().find(|repo| repo.name == *name)
    }

    /// Returns the repo that GitHub calls `full_name`, which is `owner/name`. The case of letters
    /// does not matter to GitHub.
    pub fn repo_at(&self, full_name: &str) -> Option<&Repo> {
        self.repos
            .iter()
            .find(|repo| self.full_name(&repo.repository).eq_ignore_ascii_case(full_name))
    }

    /// Returns `owner/name` of a repository of the chain's owner.
    pub fn full_name(&self, repository: &Repository) -> String {
        format!("{}/{repository}", self.owner)
    }

    /// Returns all that is built from `repo` alone and others, directly.
    pub fn dependents(&self, name: &RepoName) -> impl Iterator<Item = &Repo> {
        self.repos.iter().filter(move |repo| repo.depends.contains(name))
    }

    /// Returns all that `name` is built from, by any way, in the order of the chain.
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
