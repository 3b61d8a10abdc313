//! The compression level of packs.

use std::fmt;
use std::str::FromStr;

use super::names::ParseNameError;

/// A zstd level: 1 to 19, or -1 to -7, which are faster still. Levels above 19 need far more memory
/// for compression and decompression: zstd(1), `--ultra`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level(i32);

impl Default for Level {
    /// Returns level -1, which is fast and still shrinks a target to a fifth of its size:
    /// `docs/decisions/0017-level-minus-one.md`.
    fn default() -> Self {
        Self(-1)
    }
}

impl From<Level> for i32 {
    fn from(level: Level) -> Self {
        level.0
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Level {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(level @ (-7..=-1 | 1..=19)) if is_number => Ok(Self(level)),
            _ => {
                let expected = "a zstd level (1 to 19, or -1 to -7 for the quickest)";
                Err(ParseNameError { text: text.to_owned(), expected })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_one_that_zstd_has_and_never_its_default() {
        let cases = [
            ("1", Some(1)),
            ("19", Some(19)),
            ("-1", Some(-1)),
            ("-7", Some(-7)),
            ("0", None),
            ("20", None),
            ("-8", None),
            ("+1", None),
            ("--1", None),
            ("", None),
            ("1.5", None),
        ];
        for (text, want) in cases {
            assert_eq!(text.parse::<Level>().ok().map(i32::from), want, "{text}");
        }
    }
}
