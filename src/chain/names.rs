//! Words of a chain that come from outside: parsed once, trusted afterwards.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An invalid text from outside.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is not {expected}", quoted(text))]
pub struct ParseError {
    text: String,
    expected: &'static str,
}

/// Defines a type for texts that pass a check.
macro_rules! word {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $fits:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name(String);

        impl $name {
            /// Returns it as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = ParseError;

            fn from_str(text: &str) -> Result<Self, ParseError> {
                let fits: fn(&str) -> bool = $fits;
                let refuse = || ParseError { text: text.to_owned(), expected: $expected };
                fits(text).then(|| Self(text.to_owned())).ok_or_else(refuse)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<$name> for String {
            fn from(word: $name) -> Self {
                word.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseError;

            fn try_from(text: String) -> Result<Self, ParseError> {
                text.parse()
            }
        }
    };
}

word!(
    /// The name of a repo in its chain, which is also part of the names of outputs.
    RepoName,
    "the name of a repo (1 to 64 of A-Z a-z 0-9 _ -, a letter first, and not `all`)",
    |text| {
        (1..=64).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
            && text != "all"
    }
);

word!(
    /// The owner of repositories: a user or an organisation.
    Owner,
    "an owner of repositories (1 to 39 of A-Z a-z 0-9 _ -)",
    |text| {
        (1..=39).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    }
);

word!(
    /// The name of a repository on GitHub, without its owner.
    Repository,
    "a repository, without its owner (1 to 100 of A-Z a-z 0-9 . _ -)",
    |text| {
        (1..=100).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
            && !matches!(text, "." | "..")
    }
);

word!(
    /// The name of a branch or tag, or a full ref.
    GitRef,
    "a branch, a tag or a full ref",
    |text| {
        let is_odd = |c: char| {
            c.is_control() || c.is_whitespace() || "~^:?*[\\\"'`$;&|<>(){}".contains(c)
        };
        let is_component = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && !part.ends_with('.')
                && part.strip_suffix(".lock").is_none()
        };
        text.len() <= 255
            && text.split('/').all(is_component)
            && !text.contains(is_odd)
            && !text.contains("..")
            && !text.contains("@{")
            && !text.starts_with('-')
            && text != "@"
    }
);

word!(
    /// A commit, by all its digits.
    Sha,
    "a commit (40 or 64 hex digits, in lower case)",
    |text| {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        matches!(text.len(), 40 | 64) && text.bytes().all(is_digit)
    }
);

word!(
    /// The identity of a chain: the number of the run that started it.
    ChainId,
    "a chain (1 to 64 of A-Z a-z 0-9 . _ -)",
    |text| {
        (1..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    }
);

word!(
    /// A label of a runner.
    Label,
    "a label of a runner (1 to 100 of A-Z a-z 0-9 . _ -)",
    |text| {
        (1..=100).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    }
);

word!(
    /// A package or feature as cargo names it.
    CargoName,
    "a package or feature of cargo (1 to 128 of A-Z a-z 0-9 . / + _ -, not beginning with `-`)",
    |text| {
        (1..=128).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"./+_-".contains(&byte))
            && !text.starts_with('-')
    }
);

word!(
    /// The type of a dispatched event, in which `{repo}` stands for the sender.
    EventTemplate,
    "the type of an event (1 to 36 of A-Z a-z 0-9 . _ -, and `{repo}` once at most)",
    |text| {
        let rest = text.replacen("{repo}", "", 1);
        !text.is_empty()
            && rest.len() <= 36
            && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    }
);

word!(
    /// The name of a secret.
    Secret,
    "the name of a secret (1 to 100 of A-Z a-z 0-9 _, a letter or _ first, and not GITHUB_…)",
    |text| {
        (1..=100).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && !text.starts_with(|c: char| c.is_ascii_digit())
            && !text.to_ascii_uppercase().starts_with("GITHUB_")
    }
);

word!(
    /// The source of the reusable workflows: a repository, and a version of it.
    Workflows,
    "a repository with the reusable workflows, and its version (`owner/name@ref`)",
    |text| {
        let at = text.split_once('@');
        let parts = at.and_then(|(at, version)| Some((at.split_once('/')?, version)));
        parts.is_some_and(|((owner, name), version)| {
            owner.parse::<Owner>().is_ok()
                && name.parse::<Repository>().is_ok()
                && version.parse::<GitRef>().is_ok()
        })
    }
);

impl Workflows {
    /// Returns `owner/name`.
    pub fn repository(&self) -> &str {
        self.0.split_once('@').map_or("", |(repository, _)| repository)
    }

    /// Returns the branch, tag or commit.
    pub fn version(&self) -> &str {
        self.0.split_once('@').map_or("", |(_, version)| version)
    }
}

word!(
    /// A schedule in the syntax of cron.
    Cron,
    "a time of cron that GitHub takes (minute 0-59, hour 0-23, day 1-31, month 1-12, weekday 0-6)",
    super::cron::is_time
);

word!(
    /// A path below the directory of `chain.toml`.
    FilePath,
    "a path below the directory of this file",
    |text| {
        let is_odd = |c: char| c.is_control() || "\\\"'`$;&|<>".contains(c);
        !text.contains(is_odd) && text.split('/').all(|part| !matches!(part, "" | "." | ".."))
    }
);

/// Returns foreign text in backticks, as one line of at most 100 characters, escaped.
pub(super) fn quoted(text: &str) -> String {
    format!("`{}`", plain(text, 100))
}

/// Returns foreign text as one line of at most 300 characters, escaped.
pub(super) fn shown(text: &str) -> String {
    plain(text, 300)
}

fn plain(text: &str, max_chars: usize) -> String {
    let mut shown = String::new();
    for symbol in text.chars().take(max_chars) {
        match symbol {
            '"' | '\'' | '\\' => shown.push(symbol),
            _ => shown.extend(symbol.escape_debug()),
        }
    }
    if text.chars().nth(max_chars).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parses<T: FromStr>(text: &str) -> bool {
        text.parse::<T>().is_ok()
    }

    #[test]
    fn each_kind_of_word_accepts_its_own_form_and_nothing_else() {
        type Parse = fn(&str) -> bool;
        let long = "x".repeat(300);
        #[rustfmt::skip]
        let cases: [(&str, Parse, &[&str], &[&str]); 11] = [
            ("repo",       parses::<RepoName>,      &["a", "bllvm-node", "A_1"],               &["", "1a", "-a", "a.b", "a b", "a/b", "a\n", "all", &long]),
            ("owner",      parses::<Owner>,         &["btcdecoded", "A-1"],                    &["", "a/b", "a.b", &long]),
            ("repository", parses::<Repository>,    &[".github", "a.b", "1"],                  &["", ".", "..", "a/b", "a b", &long]),
            ("ref",        parses::<GitRef>,        &["main", "refs/tags/v1.2", "a-b/ü"],      &["", "-x", "a..b", "a b", "$(x)", "a;b", "a`b`", "/a", "a/", "a.lock", "@", &long]),
            ("label",      parses::<Label>,         &["self-hosted", "Linux", "X64"],          &["", "a b", "a,b", "${{x}}", &long]),
            ("package",    parses::<CargoName>,     &["bllvm-node", "a/b", "dep+x"],           &["", "--all", "a b", "a;b", &long]),
            ("event",      parses::<EventTemplate>, &["build-chain", "build_{repo}"],          &["", "{repo}{repo}", "{x}", "a b", "\n", &long]),
            ("secret",     parses::<Secret>,        &["CHAIN_TOKEN", "_a1"],                   &["", "1a", "a-b", "GITHUB_X", "github_token", "a}}", &long]),
            ("workflows",  parses::<Workflows>,     &["a/b@v1", "a/.b@refs/heads/x"],          &["", "a/b", "a@v1", "a/b/c@v1", "a/b@", "a/b@v1 x", "./a@v1", &long]),
            ("cron",       parses::<Cron>,          &["0 2 * * *", "*/5 1-3 1,2 JAN MON"],     &["", "0 2 * *", "0 25 * * *", "a;b 2 * * *"]),
            ("path",       parses::<FilePath>,      &["versions.toml", "a/b c.toml"],          &["", "/a", "../a", "a/../b", "a\n", "$(x)"]),
        ];
        for (what, parse, good, bad) in cases {
            for text in good {
                assert!(parse(text), "{what}: {text:?}");
            }
            for text in bad {
                assert!(!parse(text), "{what}: {text:?}");
            }
        }
    }

    #[test]
    fn text_of_others_is_one_line_that_shows_what_it_is() {
        assert_eq!(quoted("a\n::error::\u{202e}b"), "`a\\n::error::\\u{202e}b`");
        assert_eq!(quoted(&"ä".repeat(101)), format!("`{}…`", "ä".repeat(100)));
    }
}
