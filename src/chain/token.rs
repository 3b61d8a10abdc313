//! The token that lets a chain write to other repositories.

use std::fmt;
use std::str::FromStr;

/// A GitHub token. Neither `Debug` nor the error for an invalid token shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// The kind of a token, by its prefix. Each kind can lack other rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// A personal access token with scopes.
    Classic,
    /// A personal access token with permissions for chosen repositories.
    FineGrained,
    /// The token of a workflow, or of an installed app.
    Installation,
    /// Any other.
    Other,
}

impl Token {
    /// Returns the secret itself, for the request that must send it.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }

    pub(super) fn kind(&self) -> TokenKind {
        let begins = |prefix| self.0.starts_with(prefix);
        if begins("ghp_") || begins("gho_") {
            TokenKind::Classic
        } else if begins("github_pat_") {
            TokenKind::FineGrained
        } else if begins("ghs_") {
            TokenKind::Installation
        } else {
            TokenKind::Other
        }
    }
}

impl FromStr for Token {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        /// More than the length of any token, in bytes.
        const MAX_LEN: usize = 16 << 10;
        let fits = (1..=MAX_LEN).contains(&text.len());
        let is_token = fits && text.bytes().all(|byte| byte.is_ascii_graphic());
        let refuse = "the given text is not a token (visible ASCII characters without blanks)";
        is_token.then(|| Self(text.to_owned())).ok_or(refuse)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}
