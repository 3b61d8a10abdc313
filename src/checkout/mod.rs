//! checkout: a dependency at one commit, from a mirror that is fetched once per host.
//!
//! Git does the work. One small request resolves the ref; a commit named by all its digits needs none. Then the commit
//! is fetched into the mirror unless it is there, and checked out beside its place. One step puts the checkout in
//! place.

mod dest;
mod error;
mod git;
mod mirror;
mod remote;
mod similar;
mod token;

use std::path::PathBuf;
use std::time::Instant;

use serde::Serialize;

pub use self::error::{Error, Result, Said};

use self::dest::{Dest, Draft};
use self::git::Git;
use self::mirror::{MirrorRequest, Provided};
use self::remote::Remote;
use crate::job::error::chain;
use crate::job::progress::Progress;
use crate::job::warning::{Failure, Warning};
use crate::model::environment::Environment;
use crate::model::filesystem::as_text;
use crate::model::git_ref::{CommitId, GitRef};
use crate::model::names::Name;
use crate::model::scope::Repository;
use crate::model::server::ServerUrl;
use crate::model::timestamp::Timestamp;
use crate::model::token::Token;
use crate::store::{Lease, Store};

/// A dependency that is to be checked out.
#[derive(Clone, Debug)]
pub struct Request {
    /// The name of the dependency.
    pub name: Name,
    /// Its repository.
    pub repository: Repository,
    /// The ref to check out; `None` for the default branch.
    pub git_ref: Option<GitRef>,
    /// The place of the checkout.
    pub dest: PathBuf,
    /// The checkout of the repo that is built. `dest` may lie in it, but must not contain it.
    pub repo: PathBuf,
    /// The server of the repository.
    pub server: ServerUrl,
    /// The token for private repositories of this server. No other server sees it.
    pub token: Option<Token>,
    /// Whether to check out its submodules too.
    pub submodules: bool,
}

/// A dependency that was checked out.
#[derive(Clone, Debug, Serialize)]
pub struct Checkout {
    /// The name of the dependency.
    pub name: Name,
    /// Its repository.
    pub repository: Repository,
    /// The commit that is checked out.
    pub sha: CommitId,
    /// The place of the checkout.
    #[serde(serialize_with = "as_text")]
    pub path: PathBuf,
    /// Whether objects were fetched from the server.
    pub fetched: bool,
    /// Whether the files of an earlier checkout were kept, because they match the commit.
    pub kept: bool,
    /// How long it took.
    pub seconds: f64,
    /// Faults without consequences for the checkout.
    pub warnings: Vec<Warning>,
}

/// Checks out a dependency. Afterwards its place holds the files of the commit, possibly beside files that git ignores,
/// and a repository with this commit and its server.
///
/// After an error or a crash the place is as before. Any number of jobs may do this at once; jobs that need the same
/// commit fetch it once. A damaged mirror is cloned anew. `progress` may stop it, including a running git.
pub fn check_out(
    store: &Store,
    lease: &Lease,
    request: &Request,
    environment: &Environment,
    now: Timestamp,
    progress: &Progress,
) -> Result<Checkout> {
    let started = Instant::now();
    let git = Git::find(environment, request.token.as_ref(), progress)?;
    let dest = Dest::look(&git, request, store.root())?;
    let remote = Remote::new(&git, &request.server, &request.repository);
    let commit = remote.resolve(request.git_ref.as_ref())?;

    let mirror = store.mirror(&request.server, &request.repository)?;
    let mirror_request =
        MirrorRequest { git: &git, remote: &remote, mirror: &mirror, commit: &commit, progress };
    let draft = |provided: Provided| -> Result<(Draft<'_>, bool)> {
        // Keep the mirror locked until the draft has fetched from it.
        Ok((dest.draft(lease, &mirror.path(), &commit)?, provided.fetched))
    };
    let mut warnings = Vec::new();
    let (draft, fetched) = match mirror_request.provide().and_then(draft) {
        Err(error @ Error::Mirror { .. }) => {
            warnings.push(Warning::MirrorDamaged(Failure { code: "mirror", text: chain(&error) }));
            mirror_request.replace().and_then(draft)?
        }
        drafted => drafted?,
    };
    // Without the stamp the mirror is evicted sooner than it should be.
    warnings.extend(store.stamp_mirror(&mirror, now).err().map(Warning::from));
    let kept = draft.put_in_place()?;
    Ok(Checkout {
        name: request.name.clone(),
        repository: request.repository.clone(),
        path: dest.path().to_owned(),
        sha: commit,
        fetched,
        kept,
        seconds: started.elapsed().as_secs_f64(),
        warnings,
    })
}
