//! Git refs and commits, as users name them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::names::ParseNameError;

/// A branch, a tag, a full ref (`refs/pull/7/merge`) or a commit, as people write it.
///
/// Git accepts it as the name of a ref, so it is not an option, a range or a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct GitRef(String);

/// A commit by its full id: 40 digits of SHA-1 or 64 of SHA-256, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct CommitId(String);

impl GitRef {
    /// The longest ref in bytes, the size of a Linux directory entry.
    pub const MAX_LEN: usize = 255;

    /// Returns it as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the commit, if the ref is a full commit id. Such a ref never means a branch.
    pub fn commit(&self) -> Option<CommitId> {
        self.0.parse().ok()
    }

    /// Tells whether it begins with `refs/`.
    pub fn is_full(&self) -> bool {
        self.0.starts_with("refs/")
    }
}

impl FromStr for GitRef {
    type Err = ParseNameError;

    /// Accepts the refs that `git check-ref-format --allow-onelevel` accepts, except those that
    /// begin with `-`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_forbidden = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
        let is_component = |part: &str| {
            !part.is_empty() && !part.starts_with('.') && part.strip_suffix(".lock").is_none()
        };
        let is_ref = text.len() <= Self::MAX_LEN
            && text.split('/').all(is_component)
            && !text.contains(is_forbidden)
            && !["..", "@{"].iter().any(|pair| text.contains(pair))
            && !text.starts_with('-')
            && !text.ends_with('.')
            && text != "@";
        if is_ref {
            Ok(Self(text.to_owned()))
        } else {
            let expected = "a branch, a tag, a ref (refs/…) or a commit";
            Err(ParseNameError { text: text.to_owned(), expected })
        }
    }
}

impl CommitId {
    /// Returns its digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the object format of its repository, as git names it.
    pub fn object_format(&self) -> &'static str {
        if self.0.len() == 64 { "sha256" } else { "sha1" }
    }
}

impl FromStr for CommitId {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_hex && matches!(text.len(), 40 | 64) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            let expected = "a commit (40 or 64 hex digits)";
            Err(ParseNameError { text: text.to_owned(), expected })
        }
    }
}

impl fmt::Display for GitRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<GitRef> for String {
    fn from(git_ref: GitRef) -> Self {
        git_ref.0
    }
}

impl TryFrom<String> for GitRef {
    type Error = ParseNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<CommitId> for String {
    fn from(commit: CommitId) -> Self {
        commit.0
    }
}

impl TryFrom<String> for CommitId {
    type Error = ParseNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ref_is_what_git_takes_for_one() {
        let longest = "x".repeat(255);
        for text in ["main", "feature/a-b", "v1.2.3", "refs/pull/7/merge", "ü", "a=b", &longest] {
            assert_eq!(text.parse::<GitRef>().map(String::from), Ok(text.to_owned()));
        }
    }

    #[test]
    fn no_option_no_range_and_no_path_is_a_ref() {
        let too_long = "x".repeat(256);
        #[rustfmt::skip]
        let hostile = [
            "", "-x", "--upload-pack=touch x", "..", "a..b", "../x", "/a", "a/", "a//b", ".a", "a/.b", "a.", "a.lock",
            "a.lock/b", "@", "a@{1}", "HEAD^", "a~1", "a:b", "a b", "a\nb", "a\0b", "a\u{7f}", "a\\b", "*", "a?", "a[b", &too_long,
        ];
        for text in hostile {
            assert!(text.parse::<GitRef>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_commit_is_named_by_all_its_digits() {
        let upper = "ABCDEF0123456789abcdef0123456789abcdef01";
        let commit = upper.parse::<GitRef>().ok().and_then(|git_ref| git_ref.commit());
        assert_eq!(commit.map(String::from), Some(upper.to_lowercase()));
        assert_eq!("0".repeat(64).parse::<CommitId>().map(|id| id.object_format()), Ok("sha256"));
        for text in ["", "abcdef0", &"0".repeat(39), &"0".repeat(41), &"g".repeat(40)] {
            assert!(text.parse::<CommitId>().is_err(), "{text:?}");
        }
    }
}
