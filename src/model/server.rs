//! Git servers that repositories are cloned from.

use std::fmt;
use std::str::FromStr;

use super::names::ParseNameError;
use super::scope::{Repository, dir_name};

/// The URL of a git server: `https://github.com`.
///
/// It contains no credentials, and nothing that a URL, a line of git's configuration or a terminal
/// would interpret in another way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    scheme: Scheme,
    rest: String,
}

/// The protocol of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP over TLS.
    Https,
    /// HTTP without TLS.
    Http,
    /// A directory of this host.
    File,
}

impl ServerUrl {
    /// Returns its protocol.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Returns the URL of `repository`.
    pub fn url_of(&self, repository: &Repository) -> String {
        format!("{self}/{}", repository.as_str())
    }

    /// Returns the host with its port; empty for a directory.
    pub fn host(&self) -> &str {
        self.rest.split('/').next().unwrap_or_default()
    }

    /// Returns a directory name for it, unique among servers: `github.com`.
    pub fn dir_name(&self) -> String {
        match self.scheme {
            Scheme::Https => dir_name(&self.rest),
            Scheme::Http | Scheme::File => dir_name(&self.to_string()),
        }
    }
}

impl Scheme {
    /// Returns its name in URLs and in git.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
            Self::File => "file",
        }
    }
}

impl FromStr for ServerUrl {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || {
            let expected = "a server (https://host, without user, query or fragment)";
            ParseNameError { text: text.to_owned(), expected }
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(refuse)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            "file" => Scheme::File,
            _ => return Err(refuse()),
        };
        let rest = rest.trim_end_matches('/');
        let is_fit = match scheme {
            // Git decodes `%` and two digits to one byte, so such a path means another directory.
            Scheme::File => rest.starts_with('/') && !rest.contains(is_odd) && !rest.contains('%'),
            Scheme::Https | Scheme::Http => {
                let is_odd = |c: char| is_odd(c) || "@?#= ".contains(c);
                rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[')
                    && !rest.contains(is_odd)
            }
        };
        let is_straight = rest.split('/').all(|part| !matches!(part, "." | ".."));
        if !(is_fit && is_straight) {
            return Err(refuse());
        }
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        Ok(Self { scheme, rest: host.to_ascii_lowercase() + path })
    }
}

fn is_odd(c: char) -> bool {
    c.is_control() || "\"'\\;<>`".contains(c)
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_url_without_anything_hidden_in_it() -> Result<(), ParseNameError> {
        #[rustfmt::skip]
        let cases = [
            ("https://github.com",          "https://github.com/a/b",          "github.com"),
            ("HTTPS://GitHub.com//",        "https://github.com/a/b",          "github.com"),
            ("https://ghe.example:8443/x",  "https://ghe.example:8443/x/a/b",  "ghe.example%3A8443%2Fx"),
            ("http://github.com",           "http://github.com/a/b",           "http%3A%2F%2Fgithub.com"),
            ("file:///srv/Git here",        "file:///srv/Git here/a/b",        "file%3A%2F%2F%2Fsrv%2FGit%20here"),
        ];
        for (text, url, dir) in cases {
            let server: ServerUrl = text.parse()?;
            assert_eq!(
                (server.url_of(&"a/b".parse()?).as_str(), server.dir_name().as_str()),
                (url, dir)
            );
        }
        Ok(())
    }

    #[test]
    fn a_text_that_is_no_server_is_refused() {
        #[rustfmt::skip]
        let hostile = [
            "", "github.com", "ssh://github.com", "ext::sh -c x", "https://", "https://-x", "https://user:secret@github.com",
            "https://github.com?x", "https://a/b=c", "https://github.com#x", "https://a b", "https://a\nb", "https://a\"b", "https://a/../b",
            "file://srv", "file://host/srv", "file:///a%20b", "file:///a\\b",
        ];
        for text in hostile {
            assert!(text.parse::<ServerUrl>().is_err(), "{text:?}");
        }
    }
}
