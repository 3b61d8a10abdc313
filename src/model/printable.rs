//! Escaping text from outside for output: readers see what it says, and no terminal obeys it.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Tells whether a reader sees `symbol` as it is: it is no control character and none that
/// reorders, hides or breaks the text around it, such as the marks for right-to-left text.
pub fn is_printable(symbol: char) -> bool {
    if symbol.is_ascii() {
        return !symbol.is_ascii_control();
    }
    // At the start of a text, `escape_debug` would also escape a symbol that joins the one before
    // it, such as an accent.
    let mut text = String::from("a");
    text.push(symbol);
    text.escape_debug().count() == 2
}

/// Returns `text` on one line, with invisible symbols escaped: `a\n\u{1b}[1m` shows a newline and a
/// colour.
///
/// Backslashes are not escaped, so that paths read as they are written.
pub fn escape(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_printable) {
        return text.into();
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for symbol in text.chars() {
        if is_printable(symbol) {
            escaped.push(symbol);
        } else {
            escaped.extend(symbol.escape_debug());
        }
    }
    escaped.into()
}

/// Returns equivalent JSON with invisible symbols escaped.
///
/// In JSON, symbols outside ASCII occur only in strings, where they may be written as escapes.
/// Newlines and blanks between the values stay.
pub fn escape_json(json: &str) -> Cow<'_, str> {
    let stays = |symbol: char| is_printable(symbol) || symbol == '\n';
    if json.chars().all(stays) {
        return json.into();
    }
    let mut escaped = String::with_capacity(json.len() + 8);
    for symbol in json.chars() {
        if stays(symbol) {
            escaped.push(symbol);
            continue;
        }
        for unit in symbol.encode_utf16(&mut [0; 2]) {
            write!(escaped, "\\u{unit:04x}").expect("a string takes any text");
        }
    }
    escaped.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn everything_can_be_seen() {
        #[rustfmt::skip]
        let cases = [
            ("plain",             "a \"b\" 'c' \\d `e` ü",     "a \"b\" 'c' \\d `e` ü"),
            ("signs",             "⚠️ ✅ 🚀 e\u{301}",          "⚠️ ✅ 🚀 e\u{301}"),
            ("lines",             "a\r\n::error::b\u{2028}",   "a\\r\\n::error::b\\u{2028}"),
            ("a tab",             "a\tb",                      "a\\tb"),
            ("a colour",          "\u{1b}[31mred\u{9b}m",      "\\u{1b}[31mred\\u{9b}m"),
            ("a rubbed out",      "a\u{7f}\u{8}",              "a\\u{7f}\\u{8}"),
            ("right to left",     "a\u{202e}b\u{2066}",        "a\\u{202e}b\\u{2066}"),
            ("hidden",            "a\u{200b}\u{feff}\u{ad}b",  "a\\u{200b}\\u{feff}\\u{ad}b"),
            ("nothing",           "",                          ""),
        ];
        for (why, text, want) in cases {
            assert_eq!(escape(text), want, "{why}");
        }
    }

    proptest! {
        #[test]
        fn escaped_json_says_the_same(text in "(\\PC|\u{7f}|\u{9b}|\u{202e}|\u{e0041}|\n|ä){0,20}") {
            let json = serde_json::to_string(&text).expect("a text is JSON");
            let escaped = escape_json(&json);
            prop_assert!(escaped.chars().all(is_printable), "{escaped:?}");
            prop_assert_eq!(serde_json::from_str::<String>(&escaped).ok(), Some(text));
        }

        #[test]
        fn an_escaped_text_is_one_line_and_stays_as_it_is(text in "(.|\n|\r|\u{85}|\u{2029}){0,20}") {
            let escaped = escape(&text);
            prop_assert_eq!(escaped.lines().count(), usize::from(!text.is_empty()));
            prop_assert_eq!(escape(&escaped), escaped.clone());
        }
    }
}
