//! The text that people read about a restore or save: a table, and lines below it.

use super::print::{Text, line};
use super::text::{bytes, seconds, short_key};
use crate::job::note::Note;
use crate::job::report::{AreaMode, AreaReport, Report, RestoreReport, SaveReport};
use crate::model::choice::Hit;
use crate::model::rebuild::{self, some};

/// The largest number of lines about crates that cargo will build again.
const MAX_REBUILD_LINES: usize = 10;

/// Returns the result of a restore for people: one line per area, then more lines.
pub(crate) fn restored(report: &RestoreReport) -> Text {
    let RestoreReport { shared, kept_files, blind_inputs, set_aside, rebuilds, .. } = report;
    let width = width(shared);
    let mut text = areas(shared, width, |area| &area.notes);
    for set_aside in set_aside {
        line!(text, "{set_aside}");
    }
    let sources = &shared.sources;
    if sources.restored + sources.changed > 0 {
        let (old, new) = (sources.restored, sources.changed);
        line!(text, "{:<width$}  {old} as built, {new} new to cargo", "sources");
    }
    if !kept_files.is_empty() {
        line!(text, "put back files that a build wrote: {}", some(kept_files.iter(), "`"));
    }
    if !blind_inputs.is_empty() {
        let shown = some(blind_inputs.iter(), "`");
        line!(
            text,
            "{shown} changed, and cargo knows of nothing that reads it: see `always-build`"
        );
    }
    if !rebuilds.is_empty() {
        line!(text, "cargo will build {} again", crates(rebuilds.len()));
        for why in rebuild::lines(rebuilds, MAX_REBUILD_LINES) {
            line!(text, "  {why}");
        }
    }
    for note in &shared.notes {
        line!(text, "{note}");
    }
    let (key, took) = (short_key(shared.cache_key.as_str()), seconds(shared.seconds));
    line!(text, "restored {key} in {took}: {}", name(shared.hit));
    text
}

/// Returns the result of a save for people: one line per area, then more lines.
pub(crate) fn saved(report: &SaveReport) -> Text {
    let SaveReport { shared, reuse } = report;
    let mut text = areas(shared, width(shared), notes_of_save);
    if let Some(reuse) = reuse {
        line!(text, "{reuse}");
    }
    for note in &shared.notes {
        line!(text, "{note}");
    }
    let (key, took) = (short_key(shared.cache_key.as_str()), seconds(shared.seconds));
    line!(text, "saved {key} in {took}");
    text
}

/// Returns the notes of a saved area that people read. An area with nothing to save needs no note.
pub(crate) fn notes_of_save(area: &AreaReport) -> &[Note] {
    if area.mode == AreaMode::Nothing { &[] } else { &area.notes }
}

fn width(report: &Report) -> usize {
    let names = report.areas.iter().map(|area| area.name.to_string().len());
    names.max().unwrap_or(0).max("sources".len())
}

fn areas(report: &Report, width: usize, notes: impl Fn(&AreaReport) -> &[Note]) -> Text {
    let mut text = Text::default();
    for area in &report.areas {
        let name = area.name.to_string();
        if area.mode == AreaMode::Nothing {
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
        for note in notes(area) {
            line!(text, "  {note}");
        }
    }
    text
}

fn crates(count: usize) -> String {
    if count == 1 { "1 crate".to_owned() } else { format!("{count} crates") }
}

/// Returns how an area was saved or restored, for people.
pub(crate) fn how(area: &AreaReport) -> String {
    match area.mode {
        AreaMode::Nothing => "nothing".to_owned(),
        AreaMode::Failed => "failed".to_owned(),
        AreaMode::Published => "published".to_owned(),
        AreaMode::Unchanged => "unchanged".to_owned(),
        AreaMode::Clone => format!("{}, clone", name(area.hit)),
        AreaMode::Move => format!("{}, move", name(area.hit)),
        AreaMode::Left => format!("{}, left as it is", name(area.hit)),
        AreaMode::InPlace => format!("{}, in place", name(area.hit)),
        AreaMode::Unpack => format!("{}, unpack", name(area.hit)),
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
