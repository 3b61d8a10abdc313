//! The place of a checkout: checks the files already there, and puts the checkout in place.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};

use super::Request;
use super::error::{Error, Failure, Result, Said};
use super::git::{Git, hold};
use crate::fs::At;
use crate::fs::child::Program;
use crate::fs::rename::exchange;
use crate::fs::space::is_mount_point;
use crate::fs::stat::{Kind, Stat};
use crate::model::git_ref::CommitId;
use crate::model::server::Scheme;
use crate::store::Lease;
use crate::tree::staged::Staged;

/// The place of a checkout: it is empty, or holds an earlier checkout of ours.
#[derive(Debug)]
pub(super) struct Dest<'a> {
    git: &'a Git<'a>,
    request: &'a Request,
    path: PathBuf,
    is_ours: bool,
}

/// A checkout in the making, beside its place.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    dest: &'a Dest<'a>,
    lease: &'a Lease,
    commit: &'a CommitId,
    staged: Staged,
}

impl<'a> Dest<'a> {
    /// Examines the place; fails if it holds files that are not ours to replace.
    pub(super) fn look(git: &'a Git<'a>, request: &'a Request, store: &Path) -> Result<Self> {
        let path = resolve(&request.dest)?;
        let taken = |reason: String| Error::Taken { path: path.clone(), reason };
        let repo = request.repo.canonicalize().unwrap_or_else(|_| request.repo.clone());
        if let Some(reason) = misplaced(&path, store, &repo) {
            return Err(taken(reason.to_owned()));
        }
        let kind = Stat::if_exists(&path).at("read metadata", &path)?.map(|stat| stat.kind);
        let is_ours = match kind {
            None => false,
            Some(Kind::Dir) => match checkout_at(git, &path)? {
                Some(of) if request.repository.is_same_as(&of) => true,
                Some(of) => return Err(taken(format!("a checkout of `{of}` is there"))),
                None if is_empty(&path)? => false,
                None => {
                    return Err(taken(
                        "a directory that this program did not make is there".to_owned(),
                    ));
                }
            },
            Some(Kind::Symlink) => return Err(taken("a symlink is there".to_owned())),
            Some(_) => return Err(taken("a file is there".to_owned())),
        };
        Ok(Self { git, request, path, is_ours })
    }

    /// Returns its path, with symlinks on the way resolved.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Creates a repository beside the place, with `commit` alone, from the one at `mirror`. Checks out no file yet.
    pub(super) fn draft(
        &'a self,
        lease: &'a Lease,
        mirror: &Path,
        commit: &'a CommitId,
    ) -> Result<Draft<'a>> {
        let parent = self.path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(parent).at("create directory", parent)?;
        // A mount point cannot be renamed: stage inside it, to replace its content.
        let staged = if is_mount_point(&self.path)? {
            Staged::within(lease, &self.path, &self.path)?
        } else {
            Staged::beside(lease, &self.path)?
        };
        let draft = Draft { dest: self, lease, commit, staged };
        let mut init = self.git.command();
        init.args(["init", "--quiet", "--template="]);
        init.arg(format!("--object-format={}", commit.object_format())).arg(draft.dir());
        draft.run("create", init)?;

        let mut fetch = draft.command();
        fetch.args(["-c", "protocol.file.allow=always", "-c", "fetch.fsckObjects=false"]);
        fetch.args(["fetch", "--quiet", "--depth=1", "--no-tags", "--no-write-fetch-head"]);
        fetch.arg("--end-of-options").arg(mirror).arg(commit.as_str());
        hold(&mut fetch, lease.file())?;
        self.git.run(&mut fetch).map_err(|failure| {
            let path = mirror.to_owned();
            failure.or_else(draft.dir(), |source| Error::Mirror { path, source })
        })?;
        draft.configure()?;
        Ok(draft)
    }
}

impl Draft<'_> {
    /// Puts the checkout in place. Tells whether it kept the files there: those of an earlier checkout that match the
    /// commit, along with all files that git ignores.
    ///
    /// Otherwise it replaces all files, in one step. The repository of the checkout, `.git`, is always the new one:
    /// jobs that worked there may have changed the old one.
    pub(super) fn put_in_place(self) -> Result<bool> {
        let request = self.dest.request;
        // Only the submodules' own repositories know their files, and earlier jobs may have changed these.
        if self.dest.is_ours && !request.submodules && self.is_unchanged_at_dest()? {
            let mut refresh = self.command_at_dest();
            // It fails only if a file has changed since.
            refresh.args(["update-index", "-q", "--refresh"]);
            self.run("refresh the index of", refresh)?;
            let mut detach = self.command();
            detach.args(["update-ref", "--no-deref", "HEAD", self.commit.as_str()]);
            self.run("set the commit of", detach)?;
            exchange(&self.dir().join(".git"), &self.dest.path.join(".git"))?;
            return Ok(true);
        }
        let mut checkout = self.command();
        checkout.args(["checkout", "--quiet", "--force", "--detach", self.commit.as_str(), "--"]);
        self.run("check out to", checkout)?;
        if request.submodules {
            self.check_out_submodules()?;
        }
        self.staged.open_to_others()?;
        self.staged.take_place_of(&self.dest.path)?;
        Ok(false)
    }

    fn dir(&self) -> &Path {
        self.staged.path()
    }

    /// Tells whether the files at the place have the content of the commit, with no others but those that git ignores.
    /// Trusts nothing of the repository there.
    fn is_unchanged_at_dest(&self) -> Result<bool> {
        let mut read = self.command_at_dest();
        read.args(["read-tree", self.commit.as_str()]);
        self.run("read the commit in", read)?;
        let mut list = self.command_at_dest();
        list.args(["ls-files", "-z", "--modified", "--deleted", "--others", "--exclude-standard"]);
        // Skip our own staged files.
        list.arg("--exclude=/.runner-cache-*");
        Ok(self.run("compare files with", list)?.is_empty())
    }

    /// Returns git for the new repository with its own files.
    fn command(&self) -> Program {
        let mut command = self.dest.git.command();
        command.current_dir(self.dir());
        command.env("GIT_DIR", self.dir().join(".git")).env("GIT_WORK_TREE", self.dir());
        command
    }

    /// Returns git for the new repository with the files at the place.
    fn command_at_dest(&self) -> Program {
        let mut command = self.command();
        command.current_dir(&self.dest.path).env("GIT_WORK_TREE", &self.dest.path);
        command
    }

    /// Runs git, which keeps the lease alive, so that nobody reclaims the staged files while it runs.
    fn run(&self, action: &'static str, mut command: Program) -> Result<Vec<u8>> {
        hold(&mut command, self.lease.file())?;
        let failed = |failure: Failure| {
            let path = self.dest.path.clone();
            failure.or_else(self.dir(), |source| Error::Git { action, path, source })
        };
        self.dest.git.run(&mut command).map_err(failed)
    }

    /// Writes the server into the repository's configuration, without the token, and marks the repository as ours.
    fn configure(&self) -> Result<()> {
        let Request { server, repository, .. } = self.dest.request;
        let text = format!(
            "[remote \"origin\"]\n\turl = \"{url}\"\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n\
             [runner-cache]\n\tcheckout = \"{repository}\"\n",
            url = server.url_of(repository),
            repository = repository.as_str(),
        );
        let path = self.dir().join(".git/config");
        let file = OpenOptions::new().append(true).open(&path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).at("write", &path)?;
        Ok(())
    }

    /// Checks out submodules, and their submodules. Fetches them each time. Shows the token to the server of the
    /// repository, and to no other server.
    fn check_out_submodules(&self) -> Result<()> {
        let Request { server, .. } = self.dest.request;
        let mut command = self.dest.git.command_to(server);
        command.current_dir(self.dir());
        if server.scheme() != Scheme::File {
            command.args(["-c", "protocol.https.allow=always"]);
            // Replace SSH addresses of the server, which would need a key.
            for other in
                [format!("git@{}:", server.host()), format!("ssh://git@{}/", server.host())]
            {
                command.args(["-c", &format!("url.{server}/.insteadOf={other}")]);
            }
        }
        command.args(["submodule", "--quiet", "update", "--init", "--recursive", "--depth=1"]);
        hold(&mut command, self.lease.file())?;
        let failed = |failure: Failure| {
            let (action, path) = ("check out submodules in", self.dest.path.clone());
            failure.or_else(self.dir(), |source| Error::Git { action, path, source })
        };
        self.dest.git.run(&mut command).map_err(failed).map(drop)
    }
}

/// Returns `path` as an absolute path, with symlinks resolved on the way to it, but not in its last component.
fn resolve(path: &Path) -> Result<PathBuf> {
    let unfit = || {
        let reason = "it does not end in the name of a directory".to_owned();
        Error::Taken { path: path.to_owned(), reason }
    };
    let full = std::path::absolute(path).at("resolve", path)?;
    let name = full.file_name().ok_or_else(unfit)?;
    let parent = full.parent().ok_or_else(unfit)?;
    let existing = parent.ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("/"));
    let rest = parent.strip_prefix(existing).unwrap_or(Path::new(""));
    if rest.components().any(|part| !matches!(part, Component::Normal(_))) {
        return Err(unfit());
    }
    Ok(existing.canonicalize().at("resolve", existing)?.join(rest).join(name))
}

/// Returns why `dest` can hold no checkout, if so.
fn misplaced(dest: &Path, store: &Path, repo: &Path) -> Option<&'static str> {
    if dest.starts_with(store) {
        return Some("it is in the store");
    }
    if store.starts_with(dest) {
        return Some("the store is in it");
    }
    if repo.starts_with(dest) {
        return Some("the repo is in it");
    }
    let is_of_git = dest.components().any(|part| part.as_os_str() == ".git");
    is_of_git.then_some("it is in a `.git`")
}

/// Returns `owner/name` of our checkout at `dir`, if there is one.
fn checkout_at(git: &Git<'_>, dir: &Path) -> Result<Option<String>> {
    let config = dir.join(".git/config");
    let is_repository = |path: &Path| Stat::of(path).is_ok_and(|stat| stat.kind == Kind::Dir);
    if !is_repository(&dir.join(".git")) {
        return Ok(None);
    }
    let mut command = git.command();
    command.args(["config", "--file"]).arg(&config).args(["--get", "runner-cache.checkout"]);
    match git.run(&mut command) {
        Ok(name) => Ok(Some(Said::of(&String::from_utf8_lossy(&name)).to_string())),
        Err(Failure::Ended(_)) => Ok(None),
        Err(failure) => Err(failure.into()),
    }
}

fn is_empty(dir: &Path) -> Result<bool> {
    let entries = fs::read_dir(dir).at("read directory", dir)?;
    // A mounted filesystem keeps a `lost+found` for itself.
    let is_something = |entry: io::Result<fs::DirEntry>| {
        entry.map_or(true, |entry| entry.file_name() != "lost+found")
    };
    Ok(!entries.into_iter().any(is_something))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkout_lies_neither_in_the_store_nor_around_it_or_the_repo() {
        let cases = [
            ("/w/dep", None),
            ("/w/repo/dep", None),
            ("/w/repository", None),
            ("/w/repo", Some("the repo is in it")),
            ("/w", Some("the repo is in it")),
            ("/srv/store", Some("it is in the store")),
            ("/srv/store/packs/x", Some("it is in the store")),
            ("/srv", Some("the store is in it")),
            ("/w/repo/.git/dep", Some("it is in a `.git`")),
            ("/w/repo/.github", None),
        ];
        for (dest, want) in cases {
            let got = misplaced(Path::new(dest), Path::new("/srv/store"), Path::new("/w/repo"));
            assert_eq!(got, want, "{dest}");
        }
    }
}
