//! The summary of a step, which people read without opening the log.

use std::fmt::Write as _;

use super::log::Log;
use crate::front::print::line;
use crate::front::report::{how, name, notes_of_save};
use crate::front::text::{bytes, seconds, since};
use crate::github::files::Files;
use crate::github::summary::{Markdown, Side, Table};
use crate::job::Job;
use crate::job::error::chain;
use crate::job::explain::Since;
use crate::job::note::Note;
use crate::job::report::{AreaMode, AreaReport, Report, RestoreReport, SaveReport};
use crate::model::choice::Hit;
use crate::model::rebuild::lines;
use crate::upkeep::guard::GuardReport;

/// The largest number of lines about crates that cargo will build again.
const MOST_REBUILDS: usize = 10;

/// The summary of a step, in Markdown.
#[derive(Debug, Default)]
pub(super) struct Summary {
    title: Option<&'static str>,
    result: Option<&'static str>,
    text: String,
}

impl Summary {
    /// Adds the key, the lane, and the reason for the lane.
    pub(super) fn job(&mut self, job: &Job, reason: &str) {
        let key = Markdown::code(job.key.as_str());
        let lane = Markdown::code(&job.scope.lane.to_string());
        let (label, reason) = (Markdown::code(&job.label), Markdown::text(reason));
        self.add(format_args!("\nKey {key}, job {label}, lane {lane} because this is {reason}.\n"));
    }

    /// Adds a table of the areas that were restored, and the notes and warnings.
    pub(super) fn restored(&mut self, report: &RestoreReport) {
        let RestoreReport { shared, set_aside, rebuilds, .. } = report;
        (self.title, self.result) = match shared.hit {
            Hit::Miss => (Some("nothing restored"), None),
            hit => (Some("restored"), Some(name(hit))),
        };
        self.table(shared);
        let sources = &shared.sources;
        if sources.restored + sources.changed > 0 {
            let (old, new) = (sources.restored, sources.changed);
            self.add(format_args!("Sources: {old} as built, {new} new to cargo.\n\n"));
        }
        for rebuild in lines(rebuilds, MOST_REBUILDS) {
            self.add(format_args!("- 🔨 {}\n", Markdown::text(&rebuild)));
        }
        self.areas(shared, |area| &area.notes);
        for set_aside in set_aside {
            self.add(format_args!("- {}\n", Markdown::text(&set_aside.to_string())));
        }
        self.whole(shared);
    }

    /// Adds a table of the areas that were saved, and the notes and warnings.
    pub(super) fn saved(&mut self, report: &SaveReport) {
        (self.title, self.result) = (Some("saved"), None);
        self.table(&report.shared);
        if let Some(reuse) = &report.reuse {
            self.add(format_args!("Units: {}.\n\n", Markdown::text(&reuse.to_string())));
        }
        self.areas(&report.shared, notes_of_save);
        self.whole(&report.shared);
    }

    fn table(&mut self, report: &Report) {
        let mut table = Table::new(&[
            ("Area", Side::Left),
            ("", Side::Left),
            ("Files", Side::Right),
            ("Size", Side::Right),
            ("In packs", Side::Right),
            ("Time", Side::Right),
        ]);
        for area in
            report.areas.iter().filter(|area| area.mode != AreaMode::Nothing || area.files > 0)
        {
            table.row([
                Markdown::code(&area.name.to_string()),
                Markdown::text(&how(area)),
                Markdown::text(&area.files.to_string()),
                Markdown::text(&bytes(area.bytes)),
                Markdown::text(&bytes(area.stored_bytes)),
                Markdown::text(&seconds(area.seconds)),
            ]);
        }
        if !table.is_empty() {
            self.add(format_args!("{table}"));
        }
    }

    /// Adds the notes and warnings of each area.
    fn areas(&mut self, report: &Report, notes: impl Fn(&AreaReport) -> &[Note]) {
        for area in &report.areas {
            let name = Markdown::code(&area.name.to_string());
            for note in notes(area) {
                self.add(format_args!("- {name}: {}\n", Markdown::text(&note.to_string())));
            }
            for warning in &area.warnings {
                let warning = Markdown::text(&warning.to_string());
                self.add(format_args!("- ⚠️ {name}: {warning}\n"));
            }
        }
    }

    /// Adds the notes and warnings of the job as a whole.
    fn whole(&mut self, report: &Report) {
        for note in &report.notes {
            self.add(format_args!("- {}\n", Markdown::text(&note.to_string())));
        }
        for warning in &report.warnings {
            self.add(format_args!("- ⚠️ {}\n", Markdown::text(&warning.to_string())));
        }
    }

    /// Adds the reasons why a restore was not exact.
    pub(super) fn why(&mut self, last: &Since) {
        self.add(format_args!("\nChanged since {}:\n\n", Markdown::text(&since(last))));
        for change in &last.changes {
            self.add(format_args!("- {}\n", Markdown::text(change)));
        }
    }

    /// Adds the usage of the disks before and after, and the generations that were dropped.
    pub(super) fn disk(&mut self, report: &GuardReport) {
        let mut table = Table::new(&[
            ("Disk", Side::Left),
            ("Holds", Side::Left),
            ("Before", Side::Right),
            ("After", Side::Right),
            ("Free", Side::Right),
        ]);
        for watched in &report.filesystems {
            let places: Vec<_> = watched.places.iter().map(ToString::to_string).collect();
            table.row([
                Markdown::code(&watched.before.path.display().to_string()),
                Markdown::text(&places.join(", ")),
                Markdown::text(&watched.before.used().to_string()),
                Markdown::text(&watched.after.used().to_string()),
                Markdown::text(&bytes(watched.after.free_bytes)),
            ]);
        }
        self.add(format_args!("{table}"));
        if report.gc.expired.is_empty() {
            return;
        }
        let mut table =
            Table::new(&[("Dropped", Side::Left), ("Freed", Side::Right), ("Why", Side::Left)]);
        for expired in &report.gc.expired {
            table.row([
                Markdown::code(&expired.id.to_string()),
                Markdown::text(&bytes(expired.frees_bytes)),
                Markdown::text(&expired.reason.to_string()),
            ]);
        }
        self.add(format_args!("{table}"));
    }

    fn add(&mut self, text: std::fmt::Arguments<'_>) {
        self.text.write_fmt(text).expect("a string takes any text");
    }

    /// Appends the text to the summary file of the step.
    pub(super) fn write(&self, files: &Files, log: &mut Log) {
        if self.text.is_empty() {
            return;
        }
        let title = self.title.map(|title| format!(": {title}")).unwrap_or_default();
        let result = self.result.map(|result| format!(", {result}")).unwrap_or_default();
        let text = format!("### runner-cache{title}{result}\n{}", self.text);
        // The summary is only for people, and the log has the same information.
        if let Err(error) = files.summary(&text) {
            log.lines(&line!("no summary: {}", chain(&error)));
        }
    }
}
