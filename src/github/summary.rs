//! Markdown for the summary of a step; foreign text in it stays text.

use std::fmt::{self, Write as _};

use super::shown::shown;
use crate::model::printable::is_printable;

/// Markdown that is safe to put into a summary, on one line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Markdown(String);

impl Markdown {
    /// Returns `text` as plain text, with all markup in it escaped.
    pub fn text(text: &str) -> Self {
        Self(escape(text))
    }

    /// Returns `text` as code, which a person may copy.
    pub fn code(text: &str) -> Self {
        Self(format!("<code>{}</code>", escape(text)))
    }

    /// Returns foreign `text` as code, shortened and readable.
    pub fn shown(text: &str) -> Self {
        Self::code(&shown(text))
    }

    /// Returns this in bold.
    #[must_use]
    pub fn bold(self) -> Self {
        Self(format!("<b>{self}</b>"))
    }
}

impl fmt::Display for Markdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns `text` escaped so that Markdown and HTML show it as it is, on one line, also in a table.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for symbol in text.chars() {
        match symbol {
            '\n' | '\r' | '\t' => escaped.push(' '),
            // Characters that start markup; `:`, `@`, `$` and `www.` make links, mentions, emoji and formulas.
            '&' | '<' | '>' | '|' | '`' | '*' | '_' | '[' | ']' | '\\' | '~' | '#' | '!' | ':'
            | '@' | '$' | '"' | '\'' => {
                write!(escaped, "&#{};", u32::from(symbol)).expect("a string takes any text");
            }
            '.' if ends_in_www(&escaped) => escaped.push_str("&#46;"),
            _ if !is_printable(symbol) => escaped.push('\u{fffd}'),
            _ => escaped.push(symbol),
        }
    }
    escaped
}

fn ends_in_www(text: &str) -> bool {
    text.len()
        .checked_sub(3)
        .and_then(|at| text.get(at..))
        .is_some_and(|end| end.eq_ignore_ascii_case("www"))
}

/// The side of a column on which its cells stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A table, shown as Markdown with an empty line around it.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<(Markdown, Side)>,
    rows: Vec<Vec<Markdown>>,
}

impl Table {
    /// Returns a table of these columns.
    pub fn new(columns: &[(&str, Side)]) -> Self {
        let columns = columns.iter().map(|(title, side)| (Markdown::text(title), *side));
        Self { columns: columns.collect(), rows: Vec::new() }
    }

    /// Adds a row. Missing cells stay empty, and cells past the last column are left out.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Markdown>) {
        let mut cells: Vec<_> = cells.into_iter().collect();
        cells.resize(self.columns.len(), Markdown::default());
        self.rows.push(cells);
    }

    /// Tells whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\n|")?;
        for (title, _) in &self.columns {
            write!(f, " {title} |")?;
        }
        f.write_str("\n|")?;
        for (_, side) in &self.columns {
            f.write_str(match side {
                Side::Left => " --- |",
                Side::Right => " ---: |",
            })?;
        }
        for row in &self.rows {
            f.write_str("\n|")?;
            for cell in row {
                write!(f, " {cell} |")?;
            }
        }
        f.write_str("\n\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_stays_text() {
        let cases = [
            ("plain", "blvm-node 1.2 (4 files)", "blvm-node 1.2 (4 files)"),
            ("a cell's end", "a|b", "a&#124;b"),
            ("a line's end", "a\r\nb\tc", "a  b c"),
            ("HTML", "<img src=x>&amp;", "&#60;img src=x&#62;&#38;amp;"),
            ("a link", "[a](http://b)", "&#91;a&#93;(http&#58;//b)"),
            ("code", "`a`", "&#96;a&#96;"),
            (
                "emphasis",
                "*a* __b__ ~~c~~",
                "&#42;a&#42; &#95;&#95;b&#95;&#95; &#126;&#126;c&#126;&#126;",
            ),
            (
                "others",
                "@all $x$ # ! \\ \" '",
                "&#64;all &#36;x&#36; &#35; &#33; &#92; &#34; &#39;",
            ),
            ("control", "a\u{1b}[1m\0", "a\u{fffd}&#91;1m\u{fffd}"),
            ("right to left", "a\u{202e}b\u{85}", "a\u{fffd}b\u{fffd}"),
            ("an address", "see www.a.b, WWW.c 1.2", "see www&#46;a.b, WWW&#46;c 1.2"),
        ];
        for (why, text, want) in cases {
            assert_eq!(escape(text), want, "{why}");
        }
        assert_eq!(Markdown::shown("a\n|").to_string(), "<code>a&#92;n&#124;</code>");
        assert_eq!(Markdown::text("a<").bold().to_string(), "<b>a&#60;</b>");
    }

    #[test]
    fn every_row_has_as_many_cells_as_there_are_columns() {
        let mut table = Table::new(&[("Area", Side::Left), ("Files", Side::Right)]);
        assert!(table.is_empty());
        table.row([Markdown::code("a|b"), Markdown::text("3")]);
        table.row([Markdown::text("c")]);
        table.row(["d", "e", "f"].map(Markdown::text));
        let want = "\n| Area | Files |\n| --- | ---: |\n| <code>a&#124;b</code> | 3 |\n| c |  |\n| d | e |\n\n";
        assert_eq!(table.to_string(), want);
    }
}
