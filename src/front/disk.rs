//! The texts that people read about gc and guard.

use super::print::{Text, line};
use super::text::bytes;
use crate::upkeep::gc::{GcMode, GcReport};
use crate::upkeep::guard::GuardReport;

/// Returns the text about a guard run, for people, without the guard's own warnings.
pub(crate) fn of_guard(report: &GuardReport, mode: GcMode) -> Text {
    let mut text = Text::default();
    for watched in &report.filesystems {
        let places: Vec<_> = watched.places.iter().map(ToString::to_string).collect();
        let (before, after) = (&watched.before, &watched.after);
        line!(
            text,
            "`{}` ({}): {} used, {} free of {}",
            before.path.display(),
            places.join(", "),
            after.used(),
            bytes(after.free_bytes),
            bytes(after.total_bytes)
        );
    }
    text.append(&of_gc(&report.gc, mode));
    text
}

/// Returns the text about a gc, or about what it would do, for people.
pub(crate) fn of_gc(report: &GcReport, mode: GcMode) -> Text {
    if report.other_gc_runs {
        return line!("another gc is running, and does all the work");
    }
    let (drops, frees) = match mode {
        GcMode::DryRun => ("would drop", "would free"),
        GcMode::Execute => ("dropped", "freed"),
    };
    let mut text = Text::default();
    for expired in &report.expired {
        let size = bytes(expired.frees_bytes);
        line!(text, "{drops} {} ({size}): {}", expired.id, expired.reason);
    }
    for dir in &report.dirs {
        let size = bytes(dir.frees_bytes);
        line!(text, "{drops} {} `{}` ({size}): {}", dir.kind, dir.path.display(), dir.reason);
    }
    for idle in &report.idle_units {
        let crates: Vec<_> = idle.crates.iter().map(String::as_str).collect();
        let (count, of) = (idle.units.len(), idle.of);
        line!(
            text,
            "the next generation after {} leaves out {count} of its {of} units unless job `{}` uses them: {}",
            idle.generation,
            idle.job,
            crates.join(", ")
        );
    }
    for damage in &report.damaged {
        line!(text, "{drops} `{}`: it is damaged: {}", damage.path.display(), damage.what);
    }
    for odd in &report.odd {
        line!(text, "{drops} `{}`: {}", odd.path.display(), odd.what);
    }
    for warning in &report.warnings {
        line!(text, "warning: {warning}");
    }
    let generations = report.expired.len() + report.damaged.len();
    line!(
        text,
        "{drops} {generations} generations and {} packs, {frees} {}",
        report.packs,
        bytes(report.bytes)
    );
    text
}
