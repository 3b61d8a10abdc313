//! Prints: the only code that writes to stdout and stderr.
//!
//! Everything printed is a [`Text`]. Its lines hold nothing that a terminal or a runner would
//! execute, even if they contain paths, names, or text from a manifest or another program. Only a
//! [`LogLine`] may be a command.

use std::fmt;
use std::io::{IsTerminal, Write};

use super::{Error, Result};
use crate::github::commands::{LogLine, plain};
use crate::model::printable::{escape, escape_json};

/// Lines that are safe to print.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text(String);

/// Adds a line to a [`Text`], or makes a text of one: `line!(text, "…")`, `line!("…")`.
macro_rules! line {
    ($format:literal $($rest:tt)*) => {{
        let mut text = $crate::front::print::Text::default();
        text.line(format_args!($format $($rest)*));
        text
    }};
    ($text:expr, $($line:tt)*) => {
        $text.line(format_args!($($line)*))
    };
}
pub(crate) use line;

impl Text {
    /// Adds a line. Escapes line breaks and everything that a terminal or a runner would execute.
    pub(crate) fn line(&mut self, line: fmt::Arguments<'_>) {
        let line = line.to_string();
        self.0.push_str(&plain(&escape(&line)));
        self.0.push('\n');
    }

    /// Adds each line of a text with several lines.
    pub(crate) fn lines(&mut self, lines: &str) {
        for line in lines.lines() {
            self.line(format_args!("{line}"));
        }
    }

    /// Adds a line that may be a command for the runner.
    pub(crate) fn log_line(&mut self, line: &LogLine) {
        self.0.push_str(line.as_str());
        self.0.push('\n');
    }

    /// Adds JSON of one or more lines. Escaping does not change the parsed value.
    pub(crate) fn json(&mut self, json: &str) {
        // The prefix of the old command syntax; JSON has it only inside strings.
        let json = escape_json(json).replace("##[", "#\\u0023[");
        self.0.push_str(&json);
        self.0.push('\n');
    }

    /// Adds all lines of another text.
    pub(crate) fn append(&mut self, other: &Self) {
        self.0.push_str(&other.0);
    }

    /// Tells whether the text begins with another text.
    #[cfg(test)]
    pub(crate) fn starts_with(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }

    /// Tells whether the text has no lines.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<LogLine> for Text {
    fn from(line: LogLine) -> Self {
        let mut text = Self::default();
        text.log_line(&line);
        text
    }
}

/// Prints one JSON object to stdout.
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<()> {
    let json = serde_json::to_string(value).map_err(std::io::Error::from);
    let json = json.map_err(|source| Error::Io { action: "write to stdout", source })?;
    let mut text = Text::default();
    text.json(&json);
    to_stdout(&text)
}

/// Writes to stdout, which programs may read.
pub(crate) fn to_stdout(text: &Text) -> Result<()> {
    // One lock for the whole text, so that lines of other threads come before or after it.
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.0.as_bytes()).and_then(|()| out.flush());
    written.map_err(|source| Error::Io { action: "write to stdout", source })
}

/// Writes to stderr. Ignores errors: a closed stderr is no reason to fail.
pub(crate) fn to_stderr(text: &Text) {
    drop(std::io::stderr().write_all(text.0.as_bytes()));
}

/// Tells whether stderr is a terminal.
pub(crate) fn is_watched() -> bool {
    std::io::stderr().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_line_is_obeyed() {
        #[rustfmt::skip]
        let cases = [
            ("plain",            "a: `b`",                "a: `b`\n"),
            ("a line's end",     "a\n::error::b",         "a\\n::error::b\n"),
            ("at the start",     "::add-mask::a",         ": :add-mask::a\n"),
            ("after blanks",     "  ::add-mask::a",       "  : :add-mask::a\n"),
            ("a return",         "a\r::error::b",         "a\\r::error::b\n"),
            ("what of old",      "a ##[error]b",          "a # #[error]b\n"),
            ("a colour",         "\u{1b}]0;a\u{7}",       "\\u{1b}]0;a\\u{7}\n"),
        ];
        for (why, line, want) in cases {
            assert_eq!(line!("{line}").0, want, "{why}");
        }
        let mut text = Text::default();
        text.lines("a\r\n::b\n\u{1b}c");
        assert_eq!(text.0, "a\n: :b\n\\u{1b}c\n");
    }

    #[test]
    fn escaped_json_means_the_same() {
        let value = ["a\n\u{1b}[1m", "\u{202e}##[error]", "🚀\u{9b}"];
        let mut text = Text::default();
        text.json(&serde_json::json!(value).to_string());
        let want = "[\"a\\n\\u001b[1m\",\"\\u202e#\\u0023[error]\",\"🚀\\u009b\"]\n";
        assert_eq!(text.0, want);
        assert_eq!(serde_json::from_str::<[String; 3]>(&text.0).ok(), Some(value.map(Into::into)));
    }
}
