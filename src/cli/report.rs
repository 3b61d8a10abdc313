//! What people read on stderr: areas, warnings, and errors with what to do about them.

use std::error::Error as _;
use std::io::Write;

use super::text::{bytes, seconds, short_key};
use super::{Error, Result};
use crate::model::choice::Hit;
use crate::ops::report::{Mode, Report};
use crate::{ops, store};

/// Prints an error, each of its causes, and what to do about it if we know.
pub(super) fn error(error: &Error) {
    let mut text = format!("error: {error}\n");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!("  cause: {error}\n"));
        cause = error.source();
    }
    if let Some(hint) = hint(error) {
        text.push_str(&format!("  help: {hint}\n"));
    }
    to_stderr(&text);
}

/// Prints what a restore or save did, for people, or as JSON to stdout.
pub(super) fn report(verb: &str, report: &Report, json: bool) -> Result<()> {
    for warning in &report.warnings {
        to_stderr(&format!("warning: {warning}\n"));
    }
    for area in &report.areas {
        for warning in &area.warnings {
            to_stderr(&format!("warning: {}: {warning}\n", area.name));
        }
    }
    to_stderr(&table(verb, report));
    if json {
        print_json(report)?;
    }
    Ok(())
}

/// Prints one JSON object to stdout.
pub(super) fn print_json(value: &impl serde::Serialize) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let written = serde_json::to_writer(&mut out, value).map_err(std::io::Error::from);
    let written = written.and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
    written.map_err(|source| Error::Io { action: "write to stdout", source })
}

/// Writes to stderr. One that is closed is no reason to fail: the work is done.
pub(super) fn to_stderr(text: &str) {
    drop(std::io::stderr().write_all(text.as_bytes()));
}

fn table(verb: &str, report: &Report) -> String {
    let mut text = String::new();
    for area in &report.areas {
        let how = match (area.mode, area.hit) {
            (Mode::Nothing, _) => "nothing".to_owned(),
            (Mode::Failed, _) => "failed".to_owned(),
            (Mode::Published, _) => "published".to_owned(),
            (Mode::Unchanged, _) => "unchanged".to_owned(),
            (Mode::InPlace, hit) => format!("{}, in place", name(hit)),
            (Mode::Unpack, hit) => format!("{}, unpack", name(hit)),
        };
        text.push_str(&format!(
            "{:<20} {how:<20} {:>7} files {:>11} {:>11} stored {:>8}\n",
            area.name.to_string(),
            area.files,
            bytes(area.bytes),
            bytes(area.stored_bytes),
            seconds(area.seconds),
        ));
        for note in &area.notes {
            text.push_str(&format!("  {note}\n"));
        }
    }
    let sources = &report.sources;
    if sources.restored + sources.changed > 0 {
        text.push_str(&format!(
            "{:<20} {} as built, {} new to cargo\n",
            "sources", sources.restored, sources.changed
        ));
    }
    text.push_str(&format!(
        "{verb} {} in {} ({})\n",
        short_key(report.cache_key.as_str()),
        seconds(report.seconds),
        name(report.hit)
    ));
    text
}

fn name(hit: Hit) -> &'static str {
    match hit {
        Hit::Exact => "exact",
        Hit::Fallback => "fallback",
        Hit::Miss => "miss",
    }
}

/// Returns what to do about an error, if we know.
fn hint(error: &Error) -> Option<String> {
    let Error::Ops(error) = error else { return None };
    let hint = match error {
        ops::Error::Store(store::Error::Untrusted { root, .. }) => format!(
            "give another directory with --root, or make it yours alone: chown and chmod 700 `{}`",
            root.display()
        ),
        ops::Error::Store(store::Error::Missing(_)) => {
            "give the store's directory with --root, or save something first".to_owned()
        }
        ops::Error::Store(store::Error::NewerFormat { .. }) => {
            "use the newer runner-cache that wrote it, or another store with --root".to_owned()
        }
        ops::Error::Store(store::Error::Damaged { .. }) => {
            "run `runner-cache verify` to see all damage; `runner-cache gc` drops what cannot be read"
                .to_owned()
        }
        ops::Error::Cargo(crate::cargo::Error::RepoMissing(_)) => {
            "check it out first, or give its path: --repo DIR, --dependency NAME=DIR".to_owned()
        }
        ops::Error::Cargo(crate::cargo::Error::NoInputs(_)) => {
            "give the directory with the repo's Cargo.toml: --repo DIR".to_owned()
        }
        ops::Error::Io(error) | ops::Error::Store(store::Error::Io(error)) if error.is_full() => {
            "free space on that filesystem, or run `runner-cache gc`".to_owned()
        }
        _ => return None,
    };
    Some(hint)
}
