//! The private cargo home: the main step exports it, the post step saves from it.

use super::log::Log;
use super::step::Step;
use crate::front::clock::now;
use crate::front::print::line;
use crate::front::{Error, Result};
use crate::job::error::chain;
use crate::job::private_home::{Opened, User, open};
use crate::model::cargo_home::CargoHome;
use crate::model::leftovers::Leftovers;
use crate::store::Store;

/// Opens the private home, if the workflow asks for one, and exports it to the steps that follow.
pub(super) fn export(step: &Step, store: &Store, log: &mut Log) -> Result<Option<Opened>> {
    if step.inputs.cargo_home != CargoHome::Private {
        return Ok(None);
    }
    let opened = open_for(step, store, step.inputs.leftovers)?;
    let path = opened.home.path();
    let text = path.to_str().ok_or_else(|| {
        Error::Refused(format!("cannot export CARGO_HOME: `{}` is not UTF-8", path.display()))
    })?;
    let exported = step.files.env(&[("CARGO_HOME", text)]);
    exported.map_err(|error| Error::Refused(chain(&error)))?;
    log.lines(&line!("CARGO_HOME is `{text}`"));
    for warning in &opened.warnings {
        log.warn(warning);
    }
    Ok(Some(opened))
}

/// Opens the private home, if the main step has exported it. If the main step could not, the job
/// has built in the usual home.
pub(super) fn open_exported(step: &Step, store: &Store) -> Result<Option<Opened>> {
    let path = store.home_path(&step.runner.home_owner());
    let is_exported = step.environment.get("CARGO_HOME") == Some(path.as_os_str());
    let is_wanted = step.inputs.cargo_home == CargoHome::Private;
    // The job has built with this home, so keep it.
    let opened = || open_for(step, store, Leftovers::Keep).map(Some);
    if is_wanted && is_exported { opened() } else { Ok(None) }
}

fn open_for(step: &Step, store: &Store, leftovers: Leftovers) -> Result<Opened> {
    let (owner, environment) = (step.runner.home_owner(), step.for_children());
    let readable = &step.scope()?.chain(step.trust.base.as_ref());
    let user = User { repo: &step.repo(), readable, leftovers };
    Ok(open(store, &owner, &user, &environment, now())?)
}
