//! Errors of reading cargo's files and directories.

use std::path::PathBuf;
use std::process::ExitStatus;

/// A failure to learn something about a repo, its toolchain or cargo's directories.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The filesystem refused an operation.
    #[error(transparent)]
    Io(#[from] crate::fs::Error),

    /// A program that we ran to ask for something failed.
    #[error("`{program}` failed in `{}` ({status}): {stderr}", dir.display())]
    Program {
        /// The program with its arguments.
        program: String,
        /// The directory it ran in.
        dir: PathBuf,
        /// Its exit status.
        status: ExitStatus,
        /// Its standard error, on one line.
        stderr: String,
    },

    /// A text does not parse as its file should: a manifest, a lock file, a glob.
    #[error("cannot parse {what}")]
    Malformed {
        /// What does not parse, and where, values in backticks: `` `/repo/Cargo.lock` ``.
        what: String,
        /// The parser's error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// The directory of a repo or dependency is not there.
    #[error("`{}` is not a directory", .0.display())]
    RepoMissing(PathBuf),

    /// A repo holds neither a lock file nor a manifest. Its key would be the hash of nothing.
    #[error("no `Cargo.lock` and no `Cargo.toml` in `{}`", .0.display())]
    NoInputs(PathBuf),

    /// An extra input that the user asked for matches no file.
    #[error("extra input `{glob}` matches no file in `{}`", repo.display())]
    NoExtraInput {
        /// The glob as given.
        glob: String,
        /// The directory searched for matches.
        repo: PathBuf,
    },

    /// Nothing says which compiler builds a repo.
    #[error("no `rustc` in PATH and no `rust-toolchain.toml` in `{}` or above it", .0.display())]
    NoToolchain(PathBuf),

    /// Neither `CARGO_HOME` nor `HOME` is set.
    #[error("cannot find cargo's home: neither CARGO_HOME nor HOME is set")]
    NoCargoHome,

    /// The build directory is a template that only cargo can fill in, and cargo did not.
    #[error("cannot resolve build directory `{0}` without cargo")]
    BuildDirUnknown(String),
}

impl Error {
    /// Returns the error for a `text` that is not valid TOML, with the place of the mistake.
    pub(super) fn malformed_toml(what: String, text: &str, error: &toml::de::Error) -> Self {
        let message = on_one_line(error.message());
        let at = error.span().map(|span| text.get(..span.start).unwrap_or_default());
        let place = at.map(|before| {
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            format!("line {}, column {column}: ", before.matches('\n').count() + 1)
        });
        Self::Malformed { what, source: format!("{}{message}", place.unwrap_or_default()).into() }
    }
}

/// Joins the lines of a program's output: our messages are one line each, and mark line ends as `; `.
pub(super) fn on_one_line(text: &str) -> String {
    let lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("; ")
}

/// The result of operations of this module.
pub type Result<T> = std::result::Result<T, Error>;
