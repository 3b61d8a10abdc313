//! Makes foreign text readable and harmless.

use crate::model::digest::Digest;

/// The longest foreign text that a message shows, in characters.
const MAX_SHOWN: usize = 100;

/// Returns `text` for a message: control characters escaped, at most 100 characters.
pub fn shown(text: &str) -> String {
    let mut shown = String::new();
    for (position, symbol) in text.chars().enumerate() {
        if position == MAX_SHOWN {
            shown.push('…');
            break;
        }
        if is_plain(symbol) {
            shown.push(symbol);
        } else {
            shown.extend(symbol.escape_debug());
        }
    }
    shown
}

/// Returns `text` as a name that keeps different texts apart. Invisible characters become `_`. A
/// name that was changed or is longer than `max_len` bytes ends in a part of the text's digest.
pub(super) fn name(text: &str, max_len: usize) -> String {
    const DIGITS: usize = 16;
    let mut name: String = text.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    if name == text && name.len() <= max_len {
        return name;
    }
    let digest = Digest::of(text.as_bytes()).to_string();
    name.truncate(name.floor_char_boundary(max_len.saturating_sub(DIGITS + 1)));
    name.push('~');
    name.push_str(&digest[..DIGITS]);
    name
}

/// Tells whether a reader sees `symbol` as it is: it is no control character, and does not turn or
/// hide the text around it.
fn is_plain(symbol: char) -> bool {
    matches!(symbol, '"' | '\'' | '\\') || symbol.escape_debug().len() == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_is_one_line_that_shows_what_it_is() {
        let long = "ä".repeat(101);
        let cut = format!("{}…", "ä".repeat(100));
        let cases = [
            ("plain", "a \"b\" 'c' \\d `e` ü", "a \"b\" 'c' \\d `e` ü"),
            ("lines", "a\r\n::error::b", "a\\r\\n::error::b"),
            ("escape sequence", "\u{1b}[31mred", "\\u{1b}[31mred"),
            ("right to left", "a\u{202e}b", "a\\u{202e}b"),
            ("long", &long, &cut),
        ];
        for (why, text, want) in cases {
            assert_eq!(shown(text), want, "{why}");
        }
    }

    #[test]
    fn names_of_different_texts_differ_and_fit() {
        assert_eq!(name("CI/test (os=linux)", 200), "CI/test (os=linux)");
        assert_eq!(name("a\nb", 200), "a_b~7e18f737311b2dc3");
        let long = [format!("{}1", "ü".repeat(300)), format!("{}2", "ü".repeat(300))];
        let names = long.map(|text| name(&text, 200));
        assert_ne!(names[0], names[1]);
        assert!(names.iter().all(|name| name.len() <= 200 && name.starts_with("üü")), "{names:?}");
    }
}
