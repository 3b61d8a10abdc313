//! Scopes: a repository and a trust lane, which decide who may restore.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::names::ParseNameError;

/// The full name of a repository: `owner/name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Repository(String);

impl Repository {
    /// Returns `owner/name` as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the owner.
    pub fn owner(&self) -> &str {
        self.0.split_once('/').map_or("", |(owner, _)| owner)
    }

    /// Returns the name without the owner.
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, name)| name)
    }

    /// Returns a directory name for it, at most 203 bytes long: `owner%2Fname`.
    pub fn dir_name(&self) -> String {
        dir_name(&self.0)
    }

    /// Tells whether both name the same repository: servers ignore the case of letters.
    pub fn is_same_as(&self, other: &str) -> bool {
        self.0.eq_ignore_ascii_case(other)
    }
}

impl FromStr for Repository {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let is_part = |part: &str| {
            (1..=100).contains(&part.len())
                && part.bytes().all(allowed)
                && !matches!(part, "." | "..")
        };
        match text.split_once('/') {
            Some((owner, name)) if is_part(owner) && is_part(name) => Ok(Self(text.to_owned())),
            _ => {
                Err(ParseNameError { text: text.to_owned(), expected: "a repository (owner/name)" })
            }
        }
    }
}

impl From<Repository> for String {
    fn from(repository: Repository) -> Self {
        repository.0
    }
}

impl TryFrom<String> for Repository {
    type Error = ParseNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// How far the code of a job is trusted. A job writes only to its own lane.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Lane {
    /// The default branch, protected branches, tags and schedules.
    Protected,
    /// Another branch of the repository.
    Branch(String),
    /// A pull request.
    Pr(u64),
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protected => f.write_str("protected"),
            Self::Branch(name) => write!(f, "branch/{name}"),
            Self::Pr(number) => write!(f, "pr/{number}"),
        }
    }
}

impl FromStr for Lane {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || {
            let expected = "a lane (protected, branch/<name> or pr/<number>)";
            ParseNameError { text: text.to_owned(), expected }
        };
        match text.split_once('/') {
            None if text == "protected" => Ok(Self::Protected),
            Some(("branch", name)) if !name.is_empty() && !name.contains(char::is_control) => {
                Ok(Self::Branch(name.to_owned()))
            }
            Some(("pr", number)) => number.parse().map(Self::Pr).map_err(|_| refuse()),
            _ => Err(refuse()),
        }
    }
}

impl From<Lane> for String {
    fn from(lane: Lane) -> Self {
        lane.to_string()
    }
}

impl TryFrom<String> for Lane {
    type Error = ParseNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// A repository and a trust lane, which decide who may restore.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Scope {
    /// The repository.
    pub repository: Repository,
    /// The trust lane.
    pub lane: Lane,
}

impl Scope {
    /// Returns the scopes that a job of this scope may read: its own, that of its base branch, and
    /// the protected one.
    ///
    /// It never includes a scope of another repository or of another pull request. A protected
    /// scope reads only itself, whatever base is given.
    pub fn chain(&self, base: Option<&Lane>) -> Vec<Self> {
        let mut lanes = vec![&self.lane];
        if self.lane != Lane::Protected {
            lanes.extend(base.filter(|base| matches!(base, Lane::Branch(_))));
            lanes.push(&Lane::Protected);
            lanes.dedup();
        }
        let scope = |lane: &Lane| Self { repository: self.repository.clone(), lane: lane.clone() };
        lanes.into_iter().map(scope).collect()
    }

    /// Returns the scope as one directory name: `owner%2Fname@branch%2Ffix`.
    ///
    /// Bytes other than `A-Z a-z 0-9 . _ -` are written as `%` and two hex digits, so that
    /// different scopes get different names. A name that is too long for a directory entry is cut
    /// and ends in its digest.
    pub fn dir_name(&self) -> String {
        let mut name = String::new();
        escape(self.repository.as_str(), &mut name);
        name.push('@');
        escape(&self.lane.to_string(), &mut name);
        shorten(name)
    }
}

/// Returns `text` as one directory name, by the rules of [`Scope::dir_name`].
pub(super) fn dir_name(text: &str) -> String {
    let mut name = String::new();
    escape(text, &mut name);
    shorten(name)
}

/// Cuts a name that is too long for a directory entry, and appends its digest.
fn shorten(mut name: String) -> String {
    if name.len() > MAX_DIR_NAME {
        let digest = Digest::of(name.as_bytes()).to_string();
        name.truncate(MAX_DIR_NAME - digest.len() - 1);
        name.push('~');
        name.push_str(&digest);
    }
    name
}

/// The longest name of a Linux directory entry in bytes (`NAME_MAX`).
const MAX_DIR_NAME: usize = 255;

fn escape(text: &str, into: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"._-".contains(&byte) {
            into.push(char::from(byte));
        } else {
            write!(into, "%{byte:02X}").expect("a string takes any text");
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.repository.as_str(), self.lane)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(repository: &str, lane: &str) -> Result<Scope, ParseNameError> {
        Ok(Scope { repository: repository.parse()?, lane: lane.parse()? })
    }

    #[test]
    fn a_scope_is_one_directory_name_whatever_the_branch() -> Result<(), ParseNameError> {
        let long = format!("branch/{}", "é/".repeat(100));
        for lane in ["protected", "branch/a/../../b", "branch/ü%@~", "pr/7", &long] {
            let name = scope("btcdecoded/blvm-node", lane)?.dir_name();
            assert!(name.len() <= 255 && !name.contains('/') && !name.starts_with('.'), "{name}");
        }
        assert_eq!(scope("a/b", "pr/7")?.dir_name(), "a%2Fb@pr%2F7");
        Ok(())
    }

    #[test]
    fn long_branches_that_differ_only_at_the_end_stay_apart() -> Result<(), ParseNameError> {
        let lane = |end: char| format!("branch/{}{end}", "x".repeat(400));
        assert_ne!(scope("a/b", &lane('1'))?.dir_name(), scope("a/b", &lane('2'))?.dir_name());
        Ok(())
    }

    #[test]
    fn a_job_reads_its_own_lane_then_its_bases_then_the_protected_one() -> Result<(), ParseNameError>
    {
        #[rustfmt::skip]
        let cases: [(&str, Option<&str>, &[&str]); 9] = [
            ("pr/7",        None,                &["pr/7", "protected"]),
            ("pr/7",        Some("branch/next"), &["pr/7", "branch/next", "protected"]),
            ("pr/7",        Some("protected"),   &["pr/7", "protected"]),
            ("pr/7",        Some("pr/8"),        &["pr/7", "protected"]),
            ("branch/a",    None,                &["branch/a", "protected"]),
            ("branch/a",    Some("branch/next"), &["branch/a", "branch/next", "protected"]),
            ("branch/a",    Some("branch/a"),    &["branch/a", "protected"]),
            ("protected",   None,                &["protected"]),
            ("protected",   Some("branch/next"), &["protected"]),
        ];
        for (own, base, want) in cases {
            let base: Option<Lane> = base.map(str::parse).transpose()?;
            let chain = scope("a/b", own)?.chain(base.as_ref());
            let want: Result<Vec<_>, _> = want.iter().map(|lane| scope("a/b", lane)).collect();
            assert_eq!(chain, want?, "{own} based on {base:?}");
        }
        Ok(())
    }

    #[test]
    fn a_text_that_is_no_lane_or_repository_is_refused() {
        for text in ["", "main", "branch/", "pr/", "pr/x", "pr/-1", "branch/a\nb"] {
            assert!(text.parse::<Lane>().is_err(), "{text:?}");
        }
        for text in ["", "a", "a/b/c", "../b", "a/..", "a/", "/b", "a b/c"] {
            assert!(text.parse::<Repository>().is_err(), "{text:?}");
        }
    }
}
