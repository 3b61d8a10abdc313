//! The build chain: from a push in one repo to the last repo that depends on it.
//!
//! A file, `chain.toml`, lists the dependencies. Pure functions decide what happens, from that
//! file, an event, and GitHub's answers; only `api` talks to GitHub. The chain does not know about
//! the cache.

mod affected;
mod api;
mod board;
mod check;
mod commits;
mod cron;
mod dispatch;
mod error;
mod event;
mod file;
mod findings;
mod graph;
pub mod init;
mod log;
mod names;
mod nightly;
mod payload;
mod receive;
mod repo;
mod report;
mod retry;
mod rights;
mod run;
mod show;
mod token;
mod versions;

pub use affected::Affected;
pub use api::Api;
pub use commits::{Commits, look_up, newest_of_all, of_release, refs};
pub use dispatch::{Dispatched, Request, RunResult, dispatch, requests};
pub use error::{Error, Result};
pub use event::{Event, Plan};
pub use findings::{Finding, Findings};
pub use names::{
    CargoName, ChainId, Cron, EventTemplate, FilePath, GitRef, Label, Owner, ParseError, RepoName,
    Repository, Secret, Sha, Workflows,
};
pub use nightly::{Nightly, Published, notes, plan as plan_nightly, publish, repository};
pub use payload::{Incoming, Payload};
pub use receive::{Claim, Received, receive};
pub use repo::{Chain, Dispatch, Kind, Releases, Repo};
pub use report::Results;
pub use run::Run;
pub use show::{Format, show};
pub use token::Token;
pub use versions::{ReleaseEntry, read as read_versions};
