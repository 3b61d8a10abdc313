//! Advice for errors. It depends on whether settings are options or inputs.

use super::Error;
use crate::{cargo, checkout, fs, job, store};

/// The names of the settings that advice refers to.
pub(crate) struct Settings {
    pub(crate) root: &'static str,
    pub(crate) repo: &'static str,
    pub(crate) dependency: &'static str,
    pub(crate) places: &'static str,
    pub(crate) max_size: &'static str,
}

/// Returns the advice for an error, if there is any.
pub(crate) fn of(error: &Error, settings: &Settings) -> Option<String> {
    match error {
        Error::Job(error) | Error::Checkout(checkout::Error::Job(error)) => of_job(error, settings),
        Error::Checkout(error) => of_checkout(error),
        Error::Files(_) | Error::Scratch(_) | Error::Io { .. } | Error::Refused(_) => None,
    }
}

/// Returns the advice for the error of a verb, if there is any.
pub(crate) fn of_job(error: &job::Error, settings: &Settings) -> Option<String> {
    use job::Error as Job;
    use store::Error as Store;
    let Settings { root: root_setting, repo, dependency, places, max_size } = settings;
    let hint = match error {
        Job::Store(Store::Untrusted { root, .. }) => {
            let root = root.display();
            format!(
                "choose another store with {root_setting}, or make this one yours alone: chown and chmod 700 `{root}`"
            )
        }
        Job::Store(Store::Missing(_)) => {
            format!("give the store's directory with {root_setting}, or save something first")
        }
        Job::Store(Store::NewerFormat { .. }) => {
            format!(
                "use the newer runner-cache that wrote it, or another store with {root_setting}"
            )
        }
        Job::Store(Store::Damaged { path, .. }) if path.ends_with("store.json") => {
            format!(
                "remove the whole store, which costs one build, or give another with {root_setting}"
            )
        }
        Job::Store(Store::LastNumber(_)) => "remove that file: no save wrote it".to_owned(),
        Job::Store(Store::Damaged { .. } | Store::PackMissing(_)) => {
            "the next save stores it again; `runner-cache verify` shows all damage".to_owned()
        }
        Job::Cargo(cargo::Error::RepoMissing(_)) => {
            format!("check it out first, or give its path: {repo}, {dependency}")
        }
        Job::Cargo(cargo::Error::NoInputs(_)) => {
            format!("give the directory with the repo's Cargo.toml: {repo}")
        }
        Job::Cargo(cargo::Error::NoToolchain(_)) => {
            "install rustc, or add a rust-toolchain.toml to the repo".to_owned()
        }
        Job::Unsafe { .. } => {
            let user = fs::shown_user(fs::user_id());
            format!("let {user} change the mtimes of the checkout, or check it out anew")
        }
        Job::Busy { .. } => "wait until it is done, or stop it".to_owned(),
        Job::Stopped => "run it again: nothing of the stopped run is left".to_owned(),
        Job::Changed(_) => "save when nothing writes there any more".to_owned(),
        Job::Unfit { .. } => format!("give another place: {places}"),
        Job::Io(error) | Job::Store(Store::Io(error)) if error.is_full() => {
            format!("free space on that filesystem, or {max_size}")
        }
        Job::Io(error) | Job::Store(Store::Io(error)) if error.is_past_size_limit() => {
            "raise the limit on the size of files (`ulimit -f`) in the process that starts runner-cache".to_owned()
        }
        Job::Io(error) | Job::Store(Store::Io(error)) if error.is_denied() => {
            let user = fs::shown_user(fs::user_id());
            format!("let {user} write there, or give another place")
        }
        _ => return None,
    };
    Some(hint)
}

/// Returns the advice for a failed checkout, if there is any.
pub(crate) fn of_checkout(error: &checkout::Error) -> Option<String> {
    use checkout::Error;
    let hint = match error {
        Error::GitMissing | Error::GitTooOld { .. } => {
            "install git 2.31 or newer on the runner, or in the job's container".to_owned()
        }
        Error::Denied { .. } => {
            "if the name is right, give a token that may read it (`contents: read`); the GITHUB_TOKEN of a workflow \
             cannot read other private repositories"
                .to_owned()
        }
        Error::Unreachable { .. } => {
            "check the network and proxy of the runner; a full commit hash needs no server once the host has the commit"
                .to_owned()
        }
        Error::RefMissing { what, similar, .. } if similar.is_empty() => {
            if what.starts_with("branch") {
                "give a branch, a tag, a full ref (refs/…) or a full commit hash".to_owned()
            } else {
                "check that it was pushed to this repository".to_owned()
            }
        }
        Error::RefMissing { similar, .. } => {
            let names: Vec<_> = similar.iter().map(|name| format!("`{name}`")).collect();
            format!("the repository has {}", names.join(", "))
        }
        Error::Taken { .. } => {
            "remove what is there, or give another path: owner/name@ref=path".to_owned()
        }
        Error::Mirror { path, .. } => format!("remove `{}`, and it is cloned anew", path.display()),
        _ => return None,
    };
    Some(hint)
}
