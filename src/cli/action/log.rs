//! The log of a step: lines, groups and annotations on stdout.

use std::io::{Stdout, Write as _};

use crate::github::annotations::Annotations;
use crate::github::commands::{self, Level};
use crate::store::Reclaimed;

/// The log of a step.
///
/// A runner that reads no more is no reason to fail: what cannot be written is lost.
#[derive(Debug)]
pub(super) struct Log {
    out: Stdout,
    annotations: Annotations,
    has_open_group: bool,
}

impl Log {
    /// Returns the log of this process.
    pub(super) fn new() -> Self {
        let annotations = Annotations::default();
        Self { out: std::io::stdout(), annotations, has_open_group: false }
    }

    /// Writes lines in which nothing is a command.
    pub(super) fn lines(&mut self, text: &str) {
        self.write(&commands::plain(text));
    }

    /// Begins a group of lines, which ends the one before.
    pub(super) fn group(&mut self, title: &str) {
        self.end_group();
        self.write(&commands::group(title));
        self.has_open_group = true;
    }

    /// Ends the group, if there is one.
    pub(super) fn end_group(&mut self) {
        if std::mem::take(&mut self.has_open_group) {
            self.write(commands::end_group());
        }
    }

    /// Annotates the run with something to look at.
    pub(super) fn warn(&mut self, message: &str) {
        self.annotate(Level::Warning, message);
    }

    /// Annotates the run with something that failed.
    pub(super) fn error(&mut self, message: &str) {
        self.annotate(Level::Error, message);
    }

    /// Says what became of what dead processes left.
    pub(super) fn reclaimed(&mut self, reclaimed: &Reclaimed) {
        if reclaimed.dead > 0 {
            self.lines(&format!("cleared up after {} killed processes", reclaimed.dead));
        }
        reclaimed.warnings().for_each(|left| self.warn(&left));
    }

    /// What is to be looked at stands outside of groups, which are closed at first.
    fn annotate(&mut self, level: Level, message: &str) {
        self.end_group();
        let line = self.annotations.line(level, message);
        self.write(&line);
    }

    /// Writes what was kept for the end.
    pub(super) fn finish(mut self) {
        self.end_group();
        for line in std::mem::take(&mut self.annotations).last_lines() {
            self.write(&line);
        }
    }

    fn write(&mut self, text: &str) {
        let text = text.strip_suffix('\n').unwrap_or(text);
        // In one piece, so that a line of another thread stands before or after it.
        drop(self.out.write_all(format!("{text}\n").as_bytes()).and_then(|()| self.out.flush()));
    }
}
