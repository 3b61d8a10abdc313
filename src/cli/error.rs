//! Prints errors, and the reports of restores and saves, on the command line.

use std::error::Error as _;

use serde::Serialize;

use super::{Error, Result};
use crate::front::advice::{self, Settings};
use crate::front::print::{Text, line, print_json, to_stderr};
use crate::job::report::Report;

/// The names of settings on the command line, for advice.
const OPTIONS: Settings = Settings {
    root: "--root",
    repo: "--repo DIR",
    dependency: "--dependency NAME=DIR",
    places: "--root, --cargo-home or --target-dir",
    max_size: "run `runner-cache gc --max-size SIZE`",
};

/// Prints an error, each of its causes, and advice if there is any.
pub(super) fn report(error: &Error) {
    let mut text = line!("error: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        line!(text, "  cause: {error}");
        cause = error.source();
    }
    let advice = match error {
        Error::Front(error) => advice::of(error, &OPTIONS),
        error => super::chain::hint(error),
    };
    if let Some(hint) = advice {
        line!(text, "  help: {hint}");
    }
    to_stderr(&text);
}

/// Prints the result of a restore or save: warnings and a `table` for people, and `report` as JSON to stdout if asked.
pub(super) fn done(
    shared: &Report,
    table: &Text,
    report: &impl Serialize,
    json: bool,
) -> Result<()> {
    for warning in &shared.warnings {
        to_stderr(&line!("warning: {warning}"));
    }
    for area in &shared.areas {
        for warning in &area.warnings {
            to_stderr(&line!("warning: {}: {warning}", area.name));
        }
        if let Some(hint) = area.failure.as_ref().and_then(|error| advice::of_job(error, &OPTIONS))
        {
            to_stderr(&line!("  help: {hint}"));
        }
    }
    to_stderr(table);
    if json {
        print_json(report)?;
    }
    Ok(())
}
