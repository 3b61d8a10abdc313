//! Provides a commit in the mirror: one fetch on a host serves all jobs that want it.

use std::time::Duration;

use super::error::{Error, Failure, Result};
use super::git::{Git, hold};
use super::remote::Remote;
use crate::fs::remove::remove_tree;
use crate::job;
use crate::job::progress::{Attempt, Progress};
use crate::model::git_ref::CommitId;
use crate::store::{Mirror, MirrorLock, OwnedMirror};

/// How long a job waits for another job that clones the same repository. Git gives up on a server
/// that sends nothing for a minute; only a clone of many gigabytes takes longer than this.
const PATIENCE: Duration = Duration::from_mins(15);

/// A commit that a job wants, and the mirror to provide it in.
#[derive(Debug)]
pub(super) struct MirrorRequest<'a> {
    pub(super) git: &'a Git<'a>,
    pub(super) remote: &'a Remote<'a>,
    pub(super) mirror: &'a Mirror,
    pub(super) commit: &'a CommitId,
    pub(super) progress: &'a Progress,
}

/// A mirror that has the commit, and keeps it while this lives.
#[derive(Debug)]
pub(super) struct Provided {
    /// Whether the commit was fetched from the server.
    pub(super) fetched: bool,
    _lock: Held,
}

#[derive(Debug)]
enum Held {
    Shared(#[expect(dead_code, reason = "held, never read")] MirrorLock),
    Owned(#[expect(dead_code, reason = "held, never read")] OwnedMirror),
}

impl MirrorRequest<'_> {
    /// Fetches the commit unless the mirror has it. If several jobs want it, one fetches it and the
    /// others wait.
    pub(super) fn provide(&self) -> Result<Provided> {
        let shared = self.share()?;
        if self.is_there()? {
            return Ok(Provided { fetched: false, _lock: Held::Shared(shared) });
        }
        drop(shared);
        let owned = self.own()?;
        if self.is_there()? {
            // Another job fetched it meanwhile; a shared lock lets others read beside us.
            drop(owned);
            return Ok(Provided { fetched: false, _lock: Held::Shared(self.share()?) });
        }
        if !self.mirror.path().exists() {
            return self.clone_anew(owned);
        }
        self.remote.fetch(&self.mirror.path(), self.commit, owned.lock())?;
        if !self.is_there()? {
            return Err(self.remote.commit_missing(self.commit));
        }
        Ok(Provided { fetched: true, _lock: Held::Owned(owned) })
    }

    /// Clones the mirror anew. An old mirror stays until the new one is whole.
    pub(super) fn replace(&self) -> Result<Provided> {
        let owned = self.own()?;
        self.clone_anew(owned)
    }

    fn clone_anew(&self, owned: OwnedMirror) -> Result<Provided> {
        let dir = owned.new_path()?;
        let cloned = || -> Result<()> {
            let mut init = self.git.command();
            init.args(["init", "--quiet", "--bare", "--template="]);
            init.arg(format!("--object-format={}", self.commit.object_format())).arg(&dir);
            hold(&mut init, owned.lock().file())?;
            self.git.run(&mut init).map_err(|failure| {
                let path = dir.clone();
                failure.or_else(&dir, |source| Error::Git { action: "create", path, source })
            })?;
            self.remote.fetch(&dir, self.commit, owned.lock())
        };
        if let Err(error) = cloned() {
            remove_tree(&dir)?;
            return Err(error);
        }
        owned.adopt()?;
        if !self.is_there()? {
            return Err(self.remote.commit_missing(self.commit));
        }
        Ok(Provided { fetched: true, _lock: Held::Owned(owned) })
    }

    /// Tells whether the mirror has the commit; `false` for a damaged mirror.
    fn is_there(&self) -> Result<bool> {
        let path = self.mirror.path();
        if !path.exists() {
            return Ok(false);
        }
        let mut command = self.git.command();
        command.arg("--git-dir").arg(path).args(["rev-parse", "--verify", "--quiet"]);
        command.arg(format!("{}^{{commit}}", self.commit));
        match self.git.run(&mut command) {
            // The digits of an annotated tag resolve to another commit.
            Ok(commit) => Ok(commit.trim_ascii() == self.commit.as_str().as_bytes()),
            Err(Failure::Ended(_)) => Ok(false),
            Err(failure) => Err(failure.into()),
        }
    }

    fn share(&self) -> Result<MirrorLock> {
        self.wait(|| self.mirror.try_share())
    }

    fn own(&self) -> Result<OwnedMirror> {
        self.wait(|| self.mirror.try_own())
    }

    fn wait<T>(&self, lock: impl Fn() -> crate::store::Result<Option<T>>) -> Result<T> {
        let attempt = || {
            let lock = lock()?;
            Ok(if lock.is_some() { Attempt::Came(lock) } else { Attempt::Nothing(None) })
        };
        let lock = self.progress.attempt(PATIENCE, attempt)?;
        let holder = "another checkout of the repository";
        lock.ok_or_else(|| job::Error::Busy { path: self.mirror.lock_path(), holder }.into())
    }
}
