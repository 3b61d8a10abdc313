//! Errors that stop a chain.

use std::fmt::Write as _;

use super::findings::Findings;
use super::names::RepoName;

/// An error that stops a chain.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The event is not as its server documents, or its payload is not one that a repo sends.
    #[error("cannot use the event `{event}`: {reason}")]
    Malformed {
        /// The name of the event.
        event: String,
        /// The mistake in it.
        reason: String,
    },

    /// There is no rule for this event.
    #[error("no rule for the event {0}")]
    UnknownEvent(String),

    /// The repo is not in the chain.
    #[error("{0} is no repo of this chain")]
    UnknownRepo(String),

    /// A variable of the environment has no usable value.
    #[error("cannot use the environment: {0}")]
    Environment(String),

    /// The token lacks a right.
    #[error("this token cannot {action} {}: {missing}", list(repositories))]
    Denied {
        /// The denied action, as a verb phrase: `send events to`.
        action: &'static str,
        /// The repositories that deny it.
        repositories: Vec<String>,
        /// The missing right, as a clause.
        missing: String,
    },

    /// GitHub cannot be reached.
    #[error("cannot reach `{url}`")]
    Unreachable {
        /// The requested URL.
        url: String,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// GitHub refused a request.
    #[error("`{request}` was answered with {status}: {message}")]
    Answered {
        /// The request: `POST /repos/a/b/dispatches`.
        request: String,
        /// The HTTP status.
        status: u16,
        /// GitHub's message.
        message: String,
    },

    /// GitHub did not show an entry of a chain's log that it took, or showed other entries each time.
    #[error(
        "cannot tell how the chain stands: `{request}` did not show the statuses of `{context}` for {waited_secs} s"
    )]
    Unsettled {
        /// The context of the run's entry: `chain/7/app`.
        context: String,
        /// The request: `GET /repos/a/b/commits/…/statuses`.
        request: String,
        /// How long the log was read again and again.
        waited_secs: u64,
    },

    /// A repository lacks a branch or tag, or a file an entry.
    #[error("{0}")]
    Missing(String),

    /// A file has mistakes.
    #[error(transparent)]
    Findings(#[from] Findings),

    /// Some events were sent, and some could not be.
    #[error("cannot send an event to {}; {}", list(failed), sent_to(sent))]
    Unsent {
        /// The repositories that got their event.
        sent: Vec<String>,
        /// The repositories that did not.
        failed: Vec<String>,
        /// The first failure.
        source: Box<Error>,
    },
}

/// The result of operations of this module.
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

/// Returns the error for a repo that is not in the chain.
pub(super) fn unknown_repo(name: &RepoName) -> Error {
    Error::UnknownRepo(format!("`{name}`"))
}
