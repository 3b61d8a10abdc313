//! The mistakes in a chain's file, with their places.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

use super::names::shown;

/// A mistake at a place in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
    /// The mistake.
    pub message: String,
}

/// All mistakes of a file, in the file's order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Findings {
    /// The file, by the name that the caller gave.
    pub path: String,
    /// The mistakes: at least one.
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

/// Collects mistakes of a text with their places.
#[derive(Debug)]
pub(super) struct Finder<'a> {
    text: &'a str,
    findings: Vec<Finding>,
}

impl<'a> Finder<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, findings: Vec::new() }
    }

    /// Records a mistake at these bytes.
    pub(super) fn find(&mut self, span: Range<usize>, message: impl fmt::Display) {
        let before = &self.text[..self.text.floor_char_boundary(span.start)];
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        self.findings.push(Finding {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message: message.to_string(),
        });
    }

    /// Records that the text is not valid TOML, or not the expected TOML.
    pub(super) fn refuse(&mut self, error: &toml::de::Error) {
        // The message quotes the file, which may have tabs.
        self.find(error.span().unwrap_or(0..0), shown(&error.message().replace('\n', ", ")));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }

    /// Returns the mistakes, in the order of the file.
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
