//! checkout: a dependency at one commit, from a mirror that a host fetches once.
//!
//! Git does the work. The ref is resolved first, by one small request; a commit named by all its
//! digits needs none. Then the commit is looked for in the mirror, fetched if it is not there, and
//! checked out beside its place, which it takes in one step.

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
use self::mirror::{Provided, Wanted};
use self::remote::Remote;
use crate::job::progress::Progress;
use crate::job::report::chain;
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
    /// What the dependency is called.
    pub name: Name,
    /// Its repository.
    pub repository: Repository,
    /// What of it; the default branch if nothing is said.
    pub git_ref: Option<GitRef>,
    /// Where to.
    pub dest: PathBuf,
    /// The checkout of the repo that is built. `dest` may be in it, but not hold it.
    pub repo: PathBuf,
    /// The server of the repository.
    pub server: ServerUrl,
    /// What opens private repositories of this server. No other server is shown it.
    pub token: Option<Token>,
    /// Whether its submodules are checked out too.
    pub submodules: bool,
}

/// A dependency that was checked out.
#[derive(Clone, Debug, Serialize)]
pub struct Checkout {
    /// What it is called.
    pub name: Name,
    /// Its repository.
    pub repository: Repository,
    /// The commit that is checked out.
    pub sha: CommitId,
    /// Where it is.
    #[serde(serialize_with = "as_text")]
    pub path: PathBuf,
    /// Whether objects were fetched from the server.
    pub fetched: bool,
    /// Whether the files of an earlier checkout were kept: they are those of the commit.
    pub kept: bool,
    /// How long it took.
    pub seconds: f64,
    /// What was noticed, for people.
    pub warnings: Vec<Warning>,
}

/// Checks a dependency out: afterwards its place holds the files of the commit, beside what git
/// ignores, and a repository that knows this commit and its server.
///
/// After an error or a crash what was at the place is there as before. Any number of jobs may do this at
/// once; those that need the same commit fetch it once. A mirror that turns out damaged is cloned
/// anew. `progress` may stop it, git included.
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
    let wanted = Wanted { git: &git, remote: &remote, mirror: &mirror, commit: &commit, progress };
    let draft = |provided: Provided| -> Result<(Draft<'_>, bool)> {
        // The mirror is locked until the draft has what it needs of it.
        Ok((dest.draft(lease, &mirror.path(), &commit)?, provided.fetched))
    };
    let mut warnings = Vec::new();
    let (draft, fetched) = match wanted.provide().and_then(draft) {
        Err(error @ Error::Mirror { .. }) => {
            warnings.push(Warning::MirrorDamaged(Failure { code: "mirror", text: chain(&error) }));
            wanted.replace().and_then(draft)?
        }
        drafted => drafted?,
    };
    // Without the stamp the mirror goes sooner than it should.
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
