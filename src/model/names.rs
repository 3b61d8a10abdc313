//! Names that become path components: parsed once, trusted afterwards.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One directory name: a key, or the name of a dependency.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Name(String);

impl Name {
    /// The longest name in bytes. A Linux directory entry holds 255; the rest is for suffixes
    /// (`-target`).
    pub const MAX_LEN: usize = 200;

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let fits = (1..=Self::MAX_LEN).contains(&text.len());
        if fits && text.bytes().all(allowed) && !text.starts_with('.') {
            Ok(Self(text.to_owned()))
        } else {
            let expected = "a name (1 to 200 of A-Z a-z 0-9 . _ -, not starting with `.`)";
            Err(ParseNameError { text: text.to_owned(), expected })
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl TryFrom<String> for Name {
    type Error = ParseNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// A text from outside that is not a valid name of its kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct ParseNameError {
    pub(crate) text: String,
    pub(crate) expected: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_harmless_directory_name() {
        let long = "x".repeat(200);
        for text in ["a", "blvm-node", "9f.A_b-", &long] {
            assert_eq!(text.parse::<Name>().map(String::from), Ok(text.to_owned()));
        }
    }

    #[test]
    fn nothing_that_leaves_its_directory_is_a_name() {
        let long = "x".repeat(201);
        for text in ["", ".", "..", "../x", "a/b", ".hidden", "a b", "ä", "a\0", "a\n", &long] {
            assert!(text.parse::<Name>().is_err(), "{text:?}");
        }
    }
}
