//! Short digests, for guesses that may be wrong.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::digest::Digest;

/// The first 8 bytes of a SHA-256, as 16 lowercase hex digits.
///
/// Such a mark is used only where a collision costs a rebuild and no wrong byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Mark(u64);

impl From<Digest> for Mark {
    fn from(digest: Digest) -> Self {
        let text = digest.to_string();
        Self(u64::from_str_radix(&text[..16], 16).expect("a digest begins with 16 hex digits"))
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl From<Mark> for String {
    fn from(mark: Mark) -> Self {
        mark.to_string()
    }
}

/// A text that is not 16 lowercase hex digits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not 16 lowercase hex digits")]
pub struct ParseMarkError(String);

impl FromStr for Mark {
    type Err = ParseMarkError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_hex = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let mark = (is_hex && text.len() == 16).then(|| u64::from_str_radix(text, 16).ok());
        mark.flatten().map(Self).ok_or_else(|| ParseMarkError(text.to_owned()))
    }
}

impl TryFrom<String> for Mark {
    type Error = ParseMarkError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_the_beginning_of_its_digest_and_reads_back() {
        let digest = Digest::of(b"x");
        let mark = Mark::from(digest);
        assert_eq!(mark.to_string(), digest.to_string()[..16]);
        assert_eq!(mark.to_string().parse(), Ok(mark));
        for text in
            ["", "0123456789abcde", "0123456789abcdef0", "0123456789ABCDEF", "+123456789abcdef"]
        {
            assert_eq!(text.parse::<Mark>(), Err(ParseMarkError(text.to_owned())));
        }
    }
}
