//! Checks out the dependencies in the main step.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::log::Log;
use super::step::Step;
use super::told;
use crate::checkout::{Checkout, Request, check_out as check_out_one};
use crate::front::checkout::text;
use crate::front::clock::now;
use crate::front::{Error, Result};
use crate::github::inputs::RepositoryAtRef;
use crate::job::progress::Progress;
use crate::model::git_ref::{CommitId, GitRef};
use crate::model::names::Name;
use crate::store::{Purpose, Store};

/// The error if a dependency could not be checked out. The log names the dependency and the reason.
#[derive(Debug)]
pub(super) struct NotThere;

/// Checks out every dependency that the inputs ask for; returns the commit of each.
///
/// Without a store the mirrors are made in the directory for temporary files, because the build
/// needs the dependencies all the same.
pub(super) fn check_out(
    step: &Step,
    store: Option<&Store>,
    progress: &Progress,
    log: &mut Log,
) -> std::result::Result<BTreeMap<Name, CommitId>, NotThere> {
    let mut refs = BTreeMap::new();
    let paths = step.dependencies();
    let wanted: Vec<_> = step
        .inputs
        .dependencies
        .iter()
        .filter_map(|it| Some((&it.name, it.checkout.as_ref()?, paths[&it.name].clone())))
        .collect();
    if wanted.is_empty() {
        return Ok(refs);
    }
    let temporary = step.runner.temp_dir.join("runner-cache");
    let store = match store {
        Some(store) => Ok(store.clone()),
        None => Store::open_or_init(&temporary).map_err(Error::from),
    };
    log.group("🚀 Checking out dependencies");
    let mut failed = Vec::new();
    for (name, wanted, path) in wanted {
        let checkout = match &store {
            Ok(store) => one(step, store, name, wanted, path, progress),
            Err(error) => {
                failed.push(told(error));
                break;
            }
        };
        match checkout {
            Ok((checkout, commit)) => {
                log.lines(&text(&checkout));
                refs.insert(name.clone(), commit);
            }
            Err(error) => failed.push(format!("dependency `{name}`: {}", told(&error))),
        }
    }
    log.end_group();
    for error in &failed {
        log.error(error);
    }
    if failed.is_empty() { Ok(refs) } else { Err(NotThere) }
}

fn one(
    step: &Step,
    store: &Store,
    name: &Name,
    wanted: &RepositoryAtRef,
    dest: PathBuf,
    progress: &Progress,
) -> Result<(Checkout, CommitId)> {
    let refused = |what: String| Error::Refused(what);
    // The commit that a setup job found takes precedence over the ref, which may have moved since.
    let pinned = step.inputs.dependency_refs.get(name).map(CommitId::as_str);
    let git_ref = pinned.or(wanted.git_ref.as_ref().map(GitRef::as_str));
    let request = Request {
        name: name.clone(),
        repository: wanted.repository.clone(),
        git_ref: git_ref
            .map(str::parse)
            .transpose()
            .map_err(|error| refused(format!("{error}")))?,
        dest,
        repo: step.repo(),
        server: step
            .runner
            .server_url
            .parse()
            .map_err(|error| refused(format!("GITHUB_SERVER_URL: {error}")))?,
        token: step.inputs.token.clone(),
        submodules: step.inputs.submodules,
    };
    let lease = store.lease(Purpose::Checkout)?;
    let checkout = check_out_one(store, &lease, &request, &step.for_children(), now(), progress)?;
    let commit = checkout.sha.as_str().parse();
    let commit = commit.map_err(|error| refused(format!("git says {error}")))?;
    Ok((checkout, commit))
}
