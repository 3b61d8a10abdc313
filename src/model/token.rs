//! A secret that lets us read private repositories.

use std::fmt;
use std::str::FromStr;

/// A token for a server that keeps repositories.
///
/// `Debug`, `Display` and the error for an invalid token do not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Returns the secret itself, for sending it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for Token {
    type Err = ParseTokenError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (1..=MAX_LEN).contains(&text.len());
        let is_token = fits && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_token.then(|| Self(text.to_owned())).ok_or(ParseTokenError)
    }
}

/// The longest token in bytes, longer than any server issues: a JSON Web Token has a few thousand
/// bytes.
const MAX_LEN: usize = 16 << 10;

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The error for a text that cannot be a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the given text is not a token (visible ASCII characters without blanks)")]
pub struct ParseTokenError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_never_shown() -> Result<(), ParseTokenError> {
        let token: Token = "ghs_16C7e42F292c6912E7710c838347Ae178B4a".parse()?;
        assert_eq!(
            format!("{token} {token:?} {:?}", Some(&token)),
            "*** Token(***) Some(Token(***))"
        );
        assert_eq!(token.reveal(), "ghs_16C7e42F292c6912E7710c838347Ae178B4a");
        Ok(())
    }

    #[test]
    fn a_text_that_cannot_be_sent_is_no_token() {
        let long = "x".repeat(MAX_LEN + 1);
        for text in ["", "a b", "a\nb", "a\r\nHost: b", "ü", "\u{7f}", &long] {
            assert_eq!(text.parse::<Token>(), Err(ParseTokenError), "{text:?}");
        }
    }
}
