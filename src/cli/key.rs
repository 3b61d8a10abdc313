//! `runner-cache key`.

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;

use super::args::{RepoArgs, environment};
use super::report::{print_json, to_stderr};
use super::{Result, Status};
use crate::cargo::key::{KeyOptions, repo_key};
use crate::model::names::Name;

/// Options of `key`.
#[derive(Debug, Args)]
pub(super) struct KeyArgs {
    #[command(flatten)]
    repo: RepoArgs,
    /// Print one JSON object to stdout instead of the key
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Keys {
    cache_key: Name,
    basis: String,
    dependency_keys: BTreeMap<Name, Name>,
}

impl KeyArgs {
    pub(super) fn run(&self) -> Result<Status> {
        let environment = environment();
        let key = repo_key(&self.repo.repo()?, &environment, &self.repo.key_options())?;
        for warning in &key.warnings {
            to_stderr(&format!("warning: {warning}\n"));
        }
        let mut dependency_keys = BTreeMap::new();
        for (name, path) in self.repo.dependencies()? {
            let key = repo_key(&path, &environment, &KeyOptions::default())?;
            dependency_keys.insert(name, key.key);
        }
        let keys = Keys {
            cache_key: self.repo.key().unwrap_or(key.key),
            basis: key.basis.to_string(),
            dependency_keys,
        };
        print_json(&keys)?;
        Ok(Status::Done)
    }
}
