//! What is wrong with a chain, and where in its file.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

use super::names::shown;

/// Something wrong, at a place in the file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// The line, from 1.
    pub line: usize,
    /// The character of the line, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

/// All that is wrong with a file, in its order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Findings {
    /// The file, as it was named.
    pub path: String,
    /// What is wrong: one finding at least.
    pub findings: Vec<Finding>,
}

impl Findings {
    /// Returns each finding with its place: `chain.toml:12:3: …`.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.findings.iter().map(|Finding { line, column, message }| {
            format!("{}:{line}:{column}: {message}", self.path)
        })
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = self.lines();
        f.write_str(&lines.next().unwrap_or_default())?;
        match lines.count() {
            0 => Ok(()),
            more => write!(f, " (and {more} more)"),
        }
    }
}

/// Finds places in a text, and remembers what is wrong there.
#[derive(Debug)]
pub(super) struct Finder<'a> {
    text: &'a str,
    findings: Vec<Finding>,
}

impl<'a> Finder<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, findings: Vec::new() }
    }

    /// Remembers that something is wrong at these bytes.
    pub(super) fn find(&mut self, span: Range<usize>, message: impl fmt::Display) {
        let before = &self.text[..self.text.floor_char_boundary(span.start)];
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        self.findings.push(Finding {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message: message.to_string(),
        });
    }

    /// Remembers that the text is no TOML, or other TOML than is expected.
    pub(super) fn refuse(&mut self, error: &toml::de::Error) {
        // The message quotes the file, which may have tabs.
        self.find(error.span().unwrap_or(0..0), shown(&error.message().replace('\n', ", ")));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }

    /// Returns what was found, in the order of the file.
    pub(super) fn into_findings(mut self, path: &str) -> Findings {
        self.findings.sort();
        Findings { path: path.to_owned(), findings: self.findings }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_line_and_a_character_of_it() {
        let text = "owner = \"ä\"\n[x]\nb = 1\n";
        let at = |part: &str| text.find(part).unwrap_or(text.len());
        for (part, want) in
            [("owner", (1, 1)), ("\"\n", (1, 11)), ("= 1", (3, 3)), ("none", (4, 1))]
        {
            let mut finder = Finder::new(text);
            finder.find(at(part)..at(part), "x");
            let found = &finder.findings[0];
            assert_eq!((found.line, found.column), want, "{part}");
        }
    }

    #[test]
    fn findings_say_where_they_are_and_how_many_there_are() {
        let mut finder = Finder::new("a\nb\n");
        finder.find(2..3, "second");
        finder.find(0..1, "first");
        let findings = finder.into_findings("chain.toml");
        assert_eq!(findings.to_string(), "chain.toml:1:1: first (and 1 more)");
        let lines: Vec<_> = findings.lines().collect();
        assert_eq!(lines, ["chain.toml:1:1: first", "chain.toml:2:1: second"]);
    }
}
