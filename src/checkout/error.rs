//! Errors of git in a checkout.

use std::io;
use std::path::PathBuf;

use crate::{fs, job, store};

/// The failure of a run of git.
#[derive(Debug)]
pub(super) enum Failure {
    /// We stopped it because this job is to stop.
    Stopped,
    /// It could not be started.
    NotRun(io::Error),
    /// It ended with an error and this message.
    Ended(Said),
}

/// An error that ends a checkout.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No git was found.
    #[error("there is no `git` on PATH")]
    GitMissing,

    /// Git is too old to keep a token off the command line.
    #[error("`git` {found} is too old, {needed} is needed")]
    GitTooOld {
        /// The version that it reports.
        found: String,
        /// The oldest version that suffices.
        needed: String,
    },

    /// The server denies access to everybody, or to us. GitHub does not tell which.
    #[error("cannot read `{url}`: there is no such repository, or no access to it")]
    Denied {
        /// The repository.
        url: String,
        /// Git's error message.
        source: Said,
    },

    /// The server cannot be reached.
    #[error("cannot reach `{url}`")]
    Unreachable {
        /// The repository.
        url: String,
        /// Git's error message.
        source: Said,
    },

    /// The repository has no such branch, tag, ref or commit.
    #[error("`{url}` has no {what}")]
    RefMissing {
        /// The repository.
        url: String,
        /// The missing ref or commit: ``branch or tag `v1` ``.
        what: String,
        /// Names that look alike, the likeliest first.
        similar: Vec<String>,
    },

    /// The place holds files that are not ours to replace, or no checkout may be there.
    #[error("cannot check out to `{}`: {reason}", path.display())]
    Taken {
        /// The place of the checkout.
        path: PathBuf,
        /// The obstacle, as a clause.
        reason: String,
    },

    /// Git could not read the mirror, or could not add to it. It may be damaged.
    #[error("cannot use the mirror `{}`", path.display())]
    Mirror {
        /// The mirror.
        path: PathBuf,
        /// Git's error message.
        source: Said,
    },

    /// Git failed in another step.
    #[error("cannot {action} `{}`", path.display())]
    Git {
        /// The failed step, as a verb phrase: `check out submodules in`.
        action: &'static str,
        /// The path of the failed step.
        path: PathBuf,
        /// Git's error message.
        source: Said,
    },

    /// A step without git failed.
    #[error(transparent)]
    Job(#[from] job::Error),
}

/// The result of a checkout.
pub type Result<T> = std::result::Result<T, Error>;

impl From<fs::Error> for Error {
    fn from(error: fs::Error) -> Self {
        Self::Job(error.into())
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Self::Job(error.into())
    }
}

/// Git's standard error, on one line, without the token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Said(pub(super) String);

/// The kind of a failure of git.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The disk is full.
    Full,
    /// The server denies access.
    Denied,
    /// The server cannot be reached.
    Unreachable,
    /// The server has no such object.
    ObjectMissing,
    /// Anything else.
    Other,
}

/// The parts of git's and curl's messages, in the C locale, by which we recognize each trouble. The
/// first match counts.
#[rustfmt::skip]
const TELLING: [(Trouble, &[&str]); 4] = [
    (Trouble::Full, &["No space left on device", "Disk quota exceeded"]),
    (Trouble::ObjectMissing, &["not our ref", "unadvertised object", "couldn't find remote ref"]),
    (Trouble::Unreachable, &[
        "Could not resolve", "Couldn't resolve", "Failed to connect", "Couldn't connect", "Connection refused",
        "Connection reset", "Connection timed out", "Operation timed out", "Operation too slow", "SSL", "TLS",
        "certificate", "Empty reply", "returned error: 5", "returned error: 429", "early EOF", "unexpected disconnect",
        "hung up unexpectedly", "RPC failed",
    ]),
    (Trouble::Denied, &[
        "could not read Username", "could not read Password", "Authentication failed", "Repository not found", "not found",
        "does not appear to be a git repository", "does not exist", "returned error: 40", "Permission denied",
    ]),
];

impl Said {
    /// Returns the kind of the failure.
    pub(super) fn trouble(&self) -> Trouble {
        let fits =
            |(_, parts): &&(Trouble, &[&str])| parts.iter().any(|part| self.0.contains(part));
        TELLING.iter().find(fits).map_or(Trouble::Other, |(trouble, _)| *trouble)
    }

    /// Joins the first six lines of `stderr` into one, without characters that a terminal or a
    /// runner would obey.
    pub(super) fn of(stderr: &str) -> Self {
        const LINES: usize = 6;
        let lines = stderr.lines().map(str::trim).filter(|line| !line.is_empty()).take(LINES);
        let line = lines.collect::<Vec<_>>().join("; ");
        Self(line.replace(char::is_control, " "))
    }
}

impl Failure {
    /// Returns the error of the failure, or the result of `other` for git's message. `writing_to`
    /// is the path whose disk git may have filled.
    pub(super) fn or_else(
        self,
        writing_to: &std::path::Path,
        other: impl FnOnce(Said) -> Error,
    ) -> Error {
        let io = |action, path: PathBuf, source| fs::Error { action, path, source };
        match self {
            Self::Stopped => job::Error::Stopped.into(),
            Self::NotRun(source) if source.kind() == std::io::ErrorKind::NotFound => {
                Error::GitMissing
            }
            Self::NotRun(source) => io("run", "git".into(), source).into(),
            Self::Ended(said) if said.trouble() == Trouble::Full => {
                let full = std::io::Error::new(std::io::ErrorKind::StorageFull, said);
                io("write to", writing_to.to_owned(), full).into()
            }
            Self::Ended(said) => other(said),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_an_error_follows_from_the_message_of_git() {
        #[rustfmt::skip]
        let cases = [
            ("fatal: write error: No space left on device",                                             Trouble::Full),
            ("fatal: unable to access 'https://x/': Could not resolve host: x",                         Trouble::Unreachable),
            ("fatal: unable to access 'http://h:1/x/': Failed to connect to h port 1 after 0 ms",       Trouble::Unreachable),
            ("fatal: unable to access 'https://x/': The requested URL returned error: 503",             Trouble::Unreachable),
            ("error: RPC failed; curl 28 Operation too slow. Less than 1000 bytes/sec",                 Trouble::Unreachable),
            ("fatal: could not read Username for 'https://github.com': terminal prompts disabled",      Trouble::Denied),
            ("remote: Repository not found.\nfatal: repository 'https://github.com/a/b/' not found",    Trouble::Denied),
            ("fatal: unable to access 'https://x/': The requested URL returned error: 403",             Trouble::Denied),
            ("fatal: '/srv/a/b' does not appear to be a git repository",                                Trouble::Denied),
            ("fatal: remote error: upload-pack: not our ref 0123",                                      Trouble::ObjectMissing),
            ("fatal: bad object refs/commits/0123",                                                     Trouble::Other),
            ("",                                                                                        Trouble::Other),
        ];
        for (stderr, trouble) in cases {
            assert_eq!(Said::of(stderr).trouble(), trouble, "{stderr}");
        }
    }

    #[test]
    fn the_message_of_a_server_is_one_harmless_line() {
        let said = Said::of("fatal: a\n\n::set-env name=PATH::x\r\nremote: \u{1b}[2Jb\n");
        assert_eq!(said.0, "fatal: a; ::set-env name=PATH::x; remote:  [2Jb");
    }
}
