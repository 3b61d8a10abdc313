//! What people read on stderr: areas, warnings, and errors with what to do about them.

use std::error::Error as _;

use super::print::{Text, line, print_json, to_stderr};
use super::text::{bytes, seconds, short_key};
use super::{Error, Result};
use crate::job::report::{AreaReport, Mode, Report};
use crate::model::choice::Hit;
use crate::model::rebuild::{self, some};
use crate::{cargo, checkout, fs, job, store};

/// Prints an error, each of its causes, and what to do about it if we know.
pub(super) fn error(error: &Error) {
    let mut text = line!("error: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        line!(text, "  cause: {error}");
        cause = error.source();
    }
    let advice = match error {
        Error::Job(error) | Error::Checkout(checkout::Error::Job(error)) => hint(error, &OPTIONS),
        Error::Checkout(error) => super::checkout::hint(error),
        error => super::chain::hint(error),
    };
    if let Some(hint) = advice {
        line!(text, "  help: {hint}");
    }
    to_stderr(&text);
}

/// How many lines say which crates cargo will build again.
const MAX_REBUILD_LINES: usize = 10;

/// What a report is of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verb {
    Save,
    Restore,
}

/// Prints what a restore or save did, for people, or as JSON to stdout.
pub(super) fn report(verb: Verb, report: &Report, json: bool) -> Result<()> {
    for warning in &report.warnings {
        to_stderr(&line!("warning: {warning}"));
    }
    for area in &report.areas {
        for warning in &area.warnings {
            to_stderr(&line!("warning: {}: {warning}", area.name));
        }
        if let Some(hint) = area.failure.as_ref().and_then(|error| hint(error, &OPTIONS)) {
            to_stderr(&line!("  help: {hint}"));
        }
    }
    to_stderr(&table(verb, report));
    if json {
        print_json(report)?;
    }
    Ok(())
}

/// Returns what a restore or save did, a line an area, for people.
pub(super) fn table(verb: Verb, report: &Report) -> Text {
    let mut text = Text::default();
    let names = report.areas.iter().map(|area| area.name.to_string().len());
    let width = names.max().unwrap_or(0).max("sources".len());
    for area in &report.areas {
        let name = area.name.to_string();
        if area.mode == Mode::Nothing {
            line!(text, "{name:<width$}  nothing");
        } else {
            line!(
                text,
                "{name:<width$}  {:<18} {:>6} files {:>10}  {:>10} stored {:>8}",
                how(area),
                area.files,
                bytes(area.bytes),
                bytes(area.stored_bytes),
                seconds(area.seconds),
            );
        }
        for note in notes(verb, area) {
            line!(text, "  {note}");
        }
    }
    for set_aside in &report.set_aside {
        line!(text, "{set_aside}");
    }
    let sources = &report.sources;
    if sources.restored + sources.changed > 0 {
        let (old, new) = (sources.restored, sources.changed);
        line!(text, "{:<width$}  {old} as built, {new} new to cargo", "sources");
    }
    if !report.kept_files.is_empty() {
        line!(text, "put back what a build wrote: {}", some(report.kept_files.iter(), "`"));
    }
    if !report.blind_inputs.is_empty() {
        let shown = some(report.blind_inputs.iter(), "`");
        line!(
            text,
            "{shown} changed, and cargo knows of nothing that reads it: see `always-build`"
        );
    }
    if !report.rebuilds.is_empty() {
        line!(text, "cargo will build {} again", crates(report.rebuilds.len()));
        for why in rebuild::lines(&report.rebuilds, MAX_REBUILD_LINES) {
            line!(text, "  {why}");
        }
    }
    if let Some(reuse) = &report.reuse {
        line!(text, "{reuse}");
    }
    for note in &report.notes {
        line!(text, "{note}");
    }
    let key = short_key(report.cache_key.as_str());
    let took = seconds(report.seconds);
    match verb {
        Verb::Save => line!(text, "saved {key} in {took}"),
        Verb::Restore => line!(text, "restored {key} in {took}: {}", name(report.hit)),
    }
    text
}

fn crates(count: usize) -> String {
    if count == 1 { "1 crate".to_owned() } else { format!("{count} crates") }
}

/// Returns the notes of an area that people read. That there is nothing to save is no news; why nothing
/// was restored is.
pub(super) fn notes(verb: Verb, area: &AreaReport) -> &[String] {
    match (verb, area.mode) {
        (Verb::Save, Mode::Nothing) => &[],
        _ => &area.notes,
    }
}

/// Returns which way an area went, for people.
pub(super) fn how(area: &AreaReport) -> String {
    match area.mode {
        Mode::Nothing => "nothing".to_owned(),
        Mode::Failed => "failed".to_owned(),
        Mode::Published => "published".to_owned(),
        Mode::Unchanged => "unchanged".to_owned(),
        Mode::Clone => format!("{}, clone", name(area.hit)),
        Mode::Move => format!("{}, move", name(area.hit)),
        Mode::Left => format!("{}, left as it is", name(area.hit)),
        Mode::InPlace => format!("{}, in place", name(area.hit)),
        Mode::Unpack => format!("{}, unpack", name(area.hit)),
    }
}

/// Returns the word for how well something matches.
pub(super) fn name(hit: Hit) -> &'static str {
    match hit {
        Hit::Exact => "exact",
        Hit::Fallback => "fallback",
        Hit::Miss => "miss",
    }
}

/// Returns the line that says how it went to whoever opens no group.
pub(super) fn outcome(report: &Report) -> Text {
    let restored = report.areas.iter().filter(|area| area.hit != Hit::Miss);
    let size = restored.map(|area| area.bytes).sum();
    let (emoji, hit) = match report.hit {
        Hit::Exact => ("✅", name(Hit::Exact)),
        Hit::Fallback => ("⚠️", name(Hit::Fallback)),
        Hit::Miss => ("❌", name(Hit::Miss)),
    };
    let (key, took) = (short_key(report.cache_key.as_str()), seconds(report.seconds));
    line!("{emoji} {hit}: {} in {took}, key {key}", bytes(size))
}

/// What people call the settings that advice is about.
pub(super) struct Settings {
    pub(super) root: &'static str,
    pub(super) repo: &'static str,
    pub(super) dependency: &'static str,
    pub(super) places: &'static str,
    pub(super) max_size: &'static str,
}

/// On the command line.
const OPTIONS: Settings = Settings {
    root: "--root",
    repo: "--repo DIR",
    dependency: "--dependency NAME=DIR",
    places: "--root, --cargo-home or --target-dir",
    max_size: "run `runner-cache gc --max-size SIZE`",
};

/// Returns what to do about an error, if we know.
pub(super) fn hint(error: &job::Error, settings: &Settings) -> Option<String> {
    use job::Error as Job;
    use store::Error as Store;
    let Settings { root: root_setting, repo, dependency, places, max_size } = settings;
    let hint = match error {
        Job::Store(Store::Untrusted { root, .. }) => {
            let root = root.display();
            format!(
                "give another with {root_setting}, or make it yours alone: chown and chmod 700 `{root}`"
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
            let user = fs::user_id();
            format!("let uid {user} change the mtimes of the checkout, or check it out anew")
        }
        Job::Busy { .. } => "wait until it is done, or stop it".to_owned(),
        Job::Stopped => "run it again: what it had begun is gone".to_owned(),
        Job::Changed(_) => "save when nothing writes there any more".to_owned(),
        Job::Unfit { .. } => format!("give another place: {places}"),
        Job::Io(error) | Job::Store(Store::Io(error)) if error.is_full() => {
            format!("free space on that filesystem, or {max_size}")
        }
        Job::Io(error) | Job::Store(Store::Io(error)) if error.is_past_size_limit() => {
            "raise the limit on the size of files (`ulimit -f`) of whoever starts this".to_owned()
        }
        Job::Io(error) | Job::Store(Store::Io(error)) if error.is_denied() => {
            format!("let uid {} write there, or give another place", fs::user_id())
        }
        _ => return None,
    };
    Some(hint)
}
