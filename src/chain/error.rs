//! Why a chain cannot go on.

use std::fmt::Write as _;

use super::findings::Findings;
use super::names::RepoName;

/// A chain cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The event is not what its server documents, or its payload not what a repo sends.
    #[error("cannot use the event `{event}`: {reason}")]
    Malformed {
        /// The name of the event.
        event: String,
        /// What is wrong with it.
        reason: String,
    },

    /// Nobody said what to do then.
    #[error("no rule for the event {0}")]
    UnknownEvent(String),

    /// What is asked for is not in the chain.
    #[error("{0} is no repo of this chain")]
    Stranger(String),

    /// A variable does not say what it should.
    #[error("cannot use the environment: {0}")]
    Environment(String),

    /// The token lacks a right.
    #[error("this token cannot {action} {}: {missing}", list(repositories))]
    Denied {
        /// What it cannot do, as a verb phrase: `send events to`.
        action: &'static str,
        /// Where it cannot do it.
        repositories: Vec<String>,
        /// What it lacks, as a clause.
        missing: String,
    },

    /// GitHub cannot be asked.
    #[error("cannot reach `{url}`")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// GitHub does not do what it was asked for.
    #[error("`{request}` was answered with {status}: {message}")]
    Answered {
        /// The request: `POST /repos/a/b/dispatches`.
        request: String,
        /// The status of HTTP.
        status: u16,
        /// What GitHub says.
        message: String,
    },

    /// A repository lacks a branch or tag, or a file an entry.
    #[error("{0}")]
    Missing(String),

    /// A file is wrong.
    #[error(transparent)]
    Findings(#[from] Findings),

    /// Some events were sent, and some could not be.
    #[error("cannot send an event to {}; {}", list(failed), sent_to(sent))]
    Unsent {
        /// Who got theirs.
        sent: Vec<String>,
        /// Who did not.
        failed: Vec<String>,
        /// Why the first did not.
        source: Box<Error>,
    },
}

/// What comes of what can fail here.
pub type Result<T> = std::result::Result<T, Error>;

fn list(names: &[String]) -> String {
    let mut text = String::new();
    for (at, name) in names.iter().enumerate() {
        let comma = if at == 0 { "" } else { ", " };
        write!(text, "{comma}`{name}`").expect("a string takes any text");
    }
    text
}

fn sent_to(sent: &[String]) -> String {
    if sent.is_empty() { "none was sent".to_owned() } else { format!("sent to {}", list(sent)) }
}

/// Returns the error of a repo that is not in the chain.
pub(super) fn stranger(name: &RepoName) -> Error {
    Error::Stranger(format!("`{name}`"))
}
