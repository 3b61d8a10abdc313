//! The text that people read about a restore or save: a table, and lines below it.

use super::print::{Text, line};
use super::text::{bytes, seconds, short_key};
use crate::job::note::Note;
use crate::job::report::{AreaReport, Mode, Report};
use crate::model::choice::Hit;
use crate::model::rebuild::{self, some};

/// The largest number of lines about crates that cargo will build again.
const MAX_REBUILD_LINES: usize = 10;

/// The verb that a report is about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verb {
    Save,
    Restore,
}

/// Returns the text about a restore or save, for people, with one line per area.
pub(crate) fn table(verb: Verb, report: &Report) -> Text {
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

/// Returns the notes of an area that people read. An area with nothing to save needs no note; an area with nothing
/// restored does.
pub(crate) fn notes(verb: Verb, area: &AreaReport) -> &[Note] {
    match (verb, area.mode) {
        (Verb::Save, Mode::Nothing) => &[],
        _ => &area.notes,
    }
}

/// Returns how an area was saved or restored, for people.
pub(crate) fn how(area: &AreaReport) -> String {
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

/// Returns the word for a hit, fallback or miss.
pub(crate) fn name(hit: Hit) -> &'static str {
    match hit {
        Hit::Exact => "exact",
        Hit::Fallback => "fallback",
        Hit::Miss => "miss",
    }
}

/// Returns the line with the result, for people who do not open the log group.
pub(crate) fn outcome(report: &Report) -> Text {
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
