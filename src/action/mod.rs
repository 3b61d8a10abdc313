//! The steps of the Action: the main step in the modes `auto`, `key`, `restore`, `save` and `gc`,
//! and the post step.
//!
//! A step takes its settings only from the environment and the directory that it is given. It calls
//! the verbs, and reports to people in the log and the summary that a runner shows.

mod checkouts;
mod deadline;
mod home;
mod log;
mod main_step;
mod outputs;
mod post_step;
mod step;
mod summary;

pub(crate) use self::log::Log;
pub(crate) use self::main_step::run as main;
pub(crate) use self::post_step::run as post;

use crate::front::Error;
use crate::front::advice::{Settings, of, of_job};
use crate::job::error::chain;
use crate::job::report::AreaReport;

/// The names of settings in workflows, for advice.
const INPUTS: Settings = Settings {
    root: "the input `cache-root`",
    repo: "the input `repo`",
    dependency: "`name=path` in the input `dependencies`",
    places: "the inputs `cache-root`, `cargo-home` and `target-dir`",
    max_size: "set the input `max-size`",
};

/// Returns an error with its causes, and with advice if there is any.
fn told(error: &Error) -> String {
    advised(chain(error), of(error, &INPUTS))
}

/// Returns the warnings of an area. The last one includes advice on the failure, if there is any.
fn area_messages(area: &AreaReport) -> Vec<String> {
    let mut texts: Vec<_> =
        area.warnings.iter().map(|warning| format!("{}: {warning}", area.name)).collect();
    let advice = area.failure.as_ref().and_then(|error| of_job(error, &INPUTS));
    if let Some(last) = texts.pop() {
        texts.push(advised(last, advice));
    }
    texts
}

/// Appends advice to a text, which may or may not end with a full stop.
pub(crate) fn advised(text: String, advice: Option<String>) -> String {
    match advice {
        Some(advice) => format!("{}. Help: {advice}", text.trim_end_matches('.')),
        None => text,
    }
}
