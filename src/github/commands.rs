//! Workflow commands: lines on stdout that a runner obeys.
//!
//! A runner takes every line that starts with `::` for a command, on stderr too, and every line that contains `##[`. So
//! foreign text goes through a command, which escapes it, or through [`plain`].

use std::fmt;

use crate::model::printable::escape;

/// The severity of an annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// A fact to know.
    Notice,
    /// A problem to look at.
    Warning,
    /// A failure.
    Error,
}

impl Level {
    /// Every level, the least severe first.
    pub const ALL: [Self; 3] = [Self::Notice, Self::Warning, Self::Error];
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// The longest message of an annotation that a runner keeps, in UTF-16 units (`ExecutionContext.cs` of actions/runner
/// cuts at 4096).
const MAX_MESSAGE: usize = 4096;

/// A line of a log that a runner treats as we mean it: as a command, or as plain text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine(String);

impl LogLine {
    /// Returns the line, without its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Returns the command that annotates the run; a runner shows ten of each level for a step. Keeps the lines of the
/// message, and escapes all else that is invisible.
///
/// [`Annotations`](super::annotations::Annotations) counts them.
pub fn annotation(level: Level, message: &str) -> LogLine {
    let lines: Vec<_> = message.split('\n').map(escape).collect();
    let message = text(cut(&lines.join("\n")));
    LogLine(format!("::{level} title={}::{message}", property("runner-cache")))
}

/// Returns a plain line with the text of an annotation.
pub fn no_annotation(level: Level, message: &str) -> LogLine {
    LogLine(plain(&escape(&format!("{level}: {message}"))))
}

/// Returns the command that starts a group of lines; groups do not nest.
pub fn group(title: &str) -> LogLine {
    LogLine(format!("::group::{}", text(&escape(title))))
}

/// Returns the command that ends a group.
pub fn end_group() -> LogLine {
    LogLine("::endgroup::".to_owned())
}

/// Returns `lines` changed so that a runner takes none of them for a command, and a reader can still read them.
pub fn plain(lines: &str) -> String {
    // Runners end a line at a carriage return too.
    let defused = lines.split_inclusive(['\n', '\r']).map(|line| {
        let line = line.replace("##[", "# #[");
        let start = line.len() - line.trim_start_matches(is_unseen).len();
        if line[start..].starts_with("::") {
            format!("{} {}", &line[..=start], &line[start + 1..])
        } else {
            line
        }
    });
    defused.collect()
}

/// Tells whether a runner may skip `symbol` at the start of a line: blanks, and to be safe all invisible characters.
fn is_unseen(symbol: char) -> bool {
    symbol.is_whitespace()
        || (symbol != '"' && symbol != '\'' && symbol != '\\' && symbol.escape_debug().len() > 1)
}

/// Returns the text after the second `::` of a command, escaped.
fn text(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Returns the value of a property of a command, escaped.
fn property(value: &str) -> String {
    text(value).replace(':', "%3A").replace(',', "%2C")
}

/// Returns the part of `message` that a runner keeps.
fn cut(message: &str) -> &str {
    let mut units = 0;
    let past = message.char_indices().find(|(_, symbol)| {
        units += symbol.len_utf16();
        units > MAX_MESSAGE
    });
    past.map_or(message, |(end, _)| &message[..end])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn commands_are_written_as_runners_read_them() {
        let cases = [
            (annotation(Level::Error, "100 %\r\nx"), "::error title=runner-cache::100 %25\\r%0Ax"),
            (
                annotation(Level::Error, "\u{1b}[1m\u{202e}"),
                "::error title=runner-cache::\\u{1b}[1m\\u{202e}",
            ),
            (annotation(Level::Warning, "a: b, c"), "::warning title=runner-cache::a: b, c"),
            (annotation(Level::Notice, ""), "::notice title=runner-cache::"),
            (no_annotation(Level::Notice, "::x::\nb"), "notice: ::x::\\nb"),
            (group("📦 areas\n"), "::group::📦 areas\\n"),
            (end_group(), "::endgroup::"),
        ];
        for (got, want) in cases {
            assert_eq!(got.as_str(), want);
        }
        assert_eq!(property("a:b,c%\n"), "a%3Ab%2Cc%25%0A");
    }

    #[test]
    fn a_line_of_others_is_no_command() {
        let cases = [
            ("nothing to do", "Compiling a v1.0 (/w)", "Compiling a v1.0 (/w)"),
            ("a path", "use a::b;", "use a::b;"),
            ("a command", "::error::x", ": :error::x"),
            ("after blanks", " \t::set-output name=a::b", " \t: :set-output name=a::b"),
            ("after a mark", "\u{feff}\u{200b}::x::", "\u{feff}\u{200b}: :x::"),
            ("after colours", "\u{1b}::x::", "\u{1b}: :x::"),
            ("second line", "a\n::x::\n", "a\n: :x::\n"),
            ("after a return", "a\r::x::", "a\r: :x::"),
            ("old commands", "a ##[error]b ###[c", "a # #[error]b ## #[c"),
            ("both", "::##[x", ": :# #[x"),
        ];
        for (why, text, want) in cases {
            assert_eq!(plain(text), want, "{why}");
        }
    }

    #[test]
    fn a_message_is_cut_where_the_runner_would() {
        let message = |count: usize| "😀".repeat(count);
        assert_eq!(cut(&message(2048)), message(2048));
        assert_eq!(cut(&message(2049)), message(2048));
        assert_eq!(cut(&format!("a{}", message(2048))), format!("a{}", message(2047)));
    }

    /// Undoes the escapes as `ActionCommand.cs` does.
    fn unescaped(text: &str) -> String {
        text.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")
    }

    fn unescaped_property(text: &str) -> String {
        let text = text.replace("%0D", "\r").replace("%0A", "\n").replace("%3A", ":");
        text.replace("%2C", ",").replace("%25", "%")
    }

    /// Tells whether a runner finds a command in a line, as `ActionCommand.cs` does.
    fn is_command(line: &str) -> bool {
        line.trim().starts_with("::") || line.contains("##[")
    }

    proptest! {
        #[test]
        fn an_escaped_text_is_one_line_and_reads_back(message in "[%0-9A-F:,\r\na ä]{0,40}") {
            let escaped = text(&message);
            prop_assert!(!escaped.contains(['\r', '\n']));
            prop_assert_eq!(unescaped(&escaped), message.clone());
            let escaped = property(&message);
            prop_assert!(!escaped.contains(['\r', '\n', ':', ',']));
            prop_assert_eq!(unescaped_property(&escaped), message);
        }

        #[test]
        fn no_plain_line_is_a_command(lines in "[:#\\[ \t\r\n\u{a0}\u{85}x]{0,30}") {
            let plain = plain(&lines);
            for line in plain.split(['\r', '\n']) {
                prop_assert!(!is_command(line), "{line:?} of {lines:?}");
            }
        }
    }
}
