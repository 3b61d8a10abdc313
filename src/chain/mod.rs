//! The build chain: from a push in one repo to the last repo that depends on it.
//!
//! What depends on what is a file, `chain.toml`. Everything decided here is decided by pure functions from that file, an event and what GitHub answered; [`api`]
//! alone speaks to GitHub. The chain knows nothing of the cache.

mod affected;
mod check;
mod file;
mod findings;
mod graph;
mod names;
mod repo;
mod show;

pub use affected::Affected;
pub use findings::{Finding, Findings};
pub use names::{ParseError, RepoName};
pub use repo::{Chain, Dispatch, Kind, Releases, Repo};
pub use show::{Format, show};
