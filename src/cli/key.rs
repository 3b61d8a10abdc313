//! `runner-cache key`.

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;

use super::args::{RepoArgs, RootArgs, ScopeArgs, environment};
use super::{Error, Result};
use crate::cargo::key::{KeyOptions, RepoKey, repo_key};
use crate::cargo::memory::Memory;
use crate::cargo::system::system;
use crate::front;
use crate::front::Status;
use crate::front::print::{Text, line, print_json, to_stderr, to_stdout};
use crate::front::text::{self, first_line};
use crate::job;
use crate::job::explain::explain;
use crate::model::names::Name;
use crate::model::system::System;
use crate::store;

/// Options of `key`.
#[derive(Debug, Args)]
pub(super) struct KeyArgs {
    #[command(flatten)]
    repo: RepoArgs,
    #[command(flatten)]
    root: RootArgs,
    #[command(flatten)]
    scope: ScopeArgs,
    /// Show the parts of the key, and what changed since the last generation
    #[arg(long)]
    explain: bool,
    /// Print one JSON object to stdout instead of the key
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Keys {
    cache_key: Name,
    basis: String,
    #[serde(rename = "dependency_keys")]
    of_dependencies: BTreeMap<Name, Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<Explanation>,
}

/// The parts of a key, and the changes since the last generation.
#[derive(Serialize)]
struct Explanation {
    components: BTreeMap<String, String>,
    /// The system that the target is built on; it matters too when a restore chooses.
    system: System,
    /// The generation that the key is compared with: the newest of the target.
    since: Option<String>,
    changes: Vec<String>,
}

impl KeyArgs {
    pub(super) fn run(&self) -> Result<Status> {
        let environment = environment();
        let key = repo_key(&self.repo.repo()?, &environment, &self.repo.key_options())?;
        for doubt in &key.doubts {
            to_stderr(&line!("warning: {doubt}"));
        }
        let mut of_dependencies = BTreeMap::new();
        for (name, path) in self.repo.dependencies()? {
            let key = repo_key(&path, &environment, &KeyOptions::default())?;
            of_dependencies.insert(name, key.key);
        }
        let explanation = if self.explain { Some(self.explanation(&key)?) } else { None };
        let keys = Keys {
            cache_key: self.repo.key().unwrap_or(key.key),
            basis: key.basis.to_string(),
            of_dependencies,
            explanation,
        };
        to_stderr(&lines(&keys));
        if self.json {
            print_json(&keys)?;
        } else {
            to_stdout(&line!("{}", keys.cache_key))?;
        }
        Ok(Status::Done)
    }

    fn explanation(&self, key: &RepoKey) -> Result<Explanation> {
        let repo = self.repo.repo()?;
        let system = system(&repo, &environment(), &Memory::default());
        let since = match self.root.open() {
            Ok(store) => explain(&store, &self.scope.readable(&repo)?, &key.components, &system)?,
            // Without a store there is nothing to compare with.
            Err(Error::Front(front::Error::Job(job::Error::Store(store::Error::Missing(_))))) => {
                None
            }
            Err(error) => return Err(error),
        };
        Ok(Explanation {
            components: key.components.clone(),
            system,
            since: since.as_ref().map(text::since),
            changes: since.map(|since| since.changes).unwrap_or_default(),
        })
    }
}

fn lines(keys: &Keys) -> Text {
    let mut text = line!("key from {}", keys.basis);
    for (name, key) in &keys.of_dependencies {
        line!(text, "  {name}: {key}");
    }
    let Some(explanation) = &keys.explanation else { return text };
    for (name, value) in &explanation.components {
        line!(text, "  {name}: {}", first_line(value));
    }
    line!(text, "not part of the key, but a tree of a newer system is not used:");
    line!(text, "  system: {}", explanation.system);
    match (&explanation.since, explanation.changes.is_empty()) {
        (None, _) => line!(text, "no generation of the target to compare with"),
        (Some(since), true) => line!(text, "nothing changed since {since}"),
        (Some(since), false) => {
            line!(text, "changed since {since}:");
            for change in &explanation.changes {
                line!(text, "  {change}");
            }
        }
    }
    text
}
