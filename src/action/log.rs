//! The log of a step: lines, groups and annotations on stdout.

use std::fmt;

use crate::front::print::{Text, line, to_stdout};
use crate::github::annotations::Annotations;
use crate::github::commands::{self, Level};
use crate::job::warning::Warning;
use crate::model::printable::escape;
use crate::store::Reclaimed;

/// The log of a step.
///
/// Lines that cannot be written are lost: a runner that no longer reads is no reason to fail.
#[derive(Debug, Default)]
pub(crate) struct Log {
    annotations: Annotations,
    has_open_group: bool,
}

impl Log {
    /// Returns the log of this process.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Writes the lines of a text.
    #[expect(clippy::unused_self, reason = "only whoever has the log writes to it")]
    pub(super) fn lines(&mut self, text: &Text) {
        if !text.is_empty() {
            drop(to_stdout(text));
        }
    }

    /// Begins a group of lines; ends the group before it.
    pub(super) fn group(&mut self, title: &str) {
        self.end_group();
        self.lines(&commands::group(title).into());
        self.has_open_group = true;
    }

    /// Ends the open group, if there is one.
    pub(super) fn end_group(&mut self) {
        if std::mem::take(&mut self.has_open_group) {
            self.lines(&commands::end_group().into());
        }
    }

    /// Annotates the run with a warning.
    pub(super) fn warn(&mut self, message: &(impl fmt::Display + ?Sized)) {
        self.annotate(Level::Warning, &escape(&message.to_string()));
    }

    /// Annotates the run with a warning and an example of several lines below it.
    pub(super) fn warn_with(&mut self, message: &str, example: &[&str]) {
        let lines: Vec<_> = std::iter::once(&message).chain(example).map(|it| escape(it)).collect();
        self.annotate(Level::Warning, &lines.join("\n"));
    }

    /// Annotates the run with an error.
    pub(crate) fn error(&mut self, message: &str) {
        self.annotate(Level::Error, &escape(message));
    }

    /// Reports the remains of dead processes: those that were removed, and those that stay.
    pub(super) fn reclaimed(&mut self, reclaimed: Reclaimed) {
        if reclaimed.dead > 0 {
            self.lines(&line!("cleared up after {} killed processes", reclaimed.dead));
        }
        for left in reclaimed.left {
            self.warn(&Warning::LeftBehind(left));
        }
    }

    /// Writes an annotation. Closes the open group first, so that the annotation is visible.
    fn annotate(&mut self, level: Level, message: &str) {
        self.end_group();
        let line = self.annotations.line(level, message);
        self.lines(&line.into());
    }

    /// Ends the log: writes the annotations that were held back for the end.
    pub(crate) fn finish(mut self) {
        self.end_group();
        for line in std::mem::take(&mut self.annotations).last_lines() {
            self.lines(&line.into());
        }
    }
}
