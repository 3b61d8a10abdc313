//! Requests to the server: the commit of a ref, and objects.

use std::path::Path;

use super::error::{Error, Result, Said, Trouble};
use super::git::{Git, hold};
use super::similar::similar;
use crate::model::git_ref::{CommitId, GitRef};
use crate::model::scope::Repository;
use crate::model::server::ServerUrl;
use crate::store::MirrorLock;

/// A repository on its server.
#[derive(Debug)]
pub(super) struct Remote<'a> {
    git: &'a Git<'a>,
    server: &'a ServerUrl,
    url: String,
}

/// The refs of a repository, as `git ls-remote` lists them.
#[derive(Debug, Default)]
struct Refs(Vec<(String, CommitId)>);

impl<'a> Remote<'a> {
    pub(super) fn new(git: &'a Git<'a>, server: &'a ServerUrl, repository: &Repository) -> Self {
        Self { git, server, url: server.url_of(repository) }
    }

    /// Returns the commit that `git_ref` names now; without a ref, that of the default branch.
    ///
    /// A short name is a branch, else a tag, as in `actions/checkout`. Sends one request, or none for a full commit.
    pub(super) fn resolve(&self, git_ref: Option<&GitRef>) -> Result<CommitId> {
        let Some(git_ref) = git_ref else {
            let head = self.refs(&[], &["HEAD"])?.named("HEAD");
            return head.ok_or_else(|| self.missing("default branch".to_owned(), Vec::new()));
        };
        if let Some(commit) = git_ref.commit() {
            return Ok(commit);
        }
        let name = git_ref.as_str();
        if git_ref.is_full() {
            let found = self.refs(&[], &[name, &format!("{name}^{{}}")])?.named(name);
            return found.ok_or_else(|| self.missing(format!("ref `{name}`"), Vec::new()));
        }
        let refs = self.refs(&["--heads", "--tags"], &[])?;
        let found = refs.short(name);
        found.ok_or_else(|| {
            self.missing(format!("branch or tag `{name}`"), similar(name, refs.short_names()))
        })
    }

    /// Fetches `commit` and its history into the bare repository at `git_dir`. Git keeps the lock if we end before it
    /// does.
    pub(super) fn fetch(&self, git_dir: &Path, commit: &CommitId, lock: &MirrorLock) -> Result<()> {
        // Flaws of objects that old versions of git wrote, found in the history of many repositories.
        const HARMLESS: [&str; 5] = [
            "zeroPaddedFilemode",
            "badTimezone",
            "missingSpaceBeforeDate",
            "missingEmail",
            "missingNameBeforeEmail",
        ];
        let mut command = self.git.command_to(self.server);
        command.args(["-c", "fetch.fsckObjects=true"]);
        for flaw in HARMLESS {
            command.args(["-c", &format!("fetch.fsck.{flaw}=ignore")]);
        }
        command.arg("--git-dir").arg(git_dir);
        command.args(["fetch", "--quiet", "--no-tags", "--no-write-fetch-head"]);
        command.args(["--no-recurse-submodules", "--end-of-options", &self.url]);
        // Refs named by commit never conflict, unlike names that come, go and turn into directories.
        command.arg(format!("+{commit}:refs/commits/{commit}"));
        hold(&mut command, lock.file())?;
        let fetched = self.git.run(&mut command).map_err(|failure| {
            failure.or_else(git_dir, |said| match said.trouble() {
                Trouble::Denied => self.denied(said),
                Trouble::Unreachable => self.unreachable(said),
                Trouble::ObjectMissing => self.commit_missing(commit),
                _ => Error::Mirror { path: git_dir.to_owned(), source: said },
            })
        });
        fetched.map(drop)
    }

    /// Returns the error for a commit that the server does not have.
    pub(super) fn commit_missing(&self, commit: &CommitId) -> Error {
        self.missing(format!("commit `{commit}`"), Vec::new())
    }

    fn refs(&self, options: &[&str], patterns: &[&str]) -> Result<Refs> {
        let mut command = self.git.command_to(self.server);
        command.arg("ls-remote").args(options).args(["--end-of-options", &self.url]).args(patterns);
        let listed = self.git.run(&mut command).map_err(|failure| {
            failure.or_else("/".as_ref(), |said| match said.trouble() {
                Trouble::Denied => self.denied(said),
                _ => self.unreachable(said),
            })
        });
        Ok(Refs::parse(&String::from_utf8_lossy(&listed?)))
    }

    fn missing(&self, what: String, similar: Vec<String>) -> Error {
        Error::RefMissing { url: self.url.clone(), what, similar }
    }

    fn denied(&self, source: Said) -> Error {
        Error::Denied { url: self.url.clone(), source }
    }

    fn unreachable(&self, source: Said) -> Error {
        Error::Unreachable { url: self.url.clone(), source }
    }
}

impl Refs {
    /// Parses lines with a commit, a tab and a name. Skips other lines.
    fn parse(text: &str) -> Self {
        let pairs = text.lines().filter_map(|line| {
            let (commit, name) = line.split_once('\t')?;
            Some((name.to_owned(), commit.parse().ok()?))
        });
        Self(pairs.collect())
    }

    /// Returns the commit of the ref with this full name. For an annotated tag this is the tagged commit, listed with
    /// `^{}` after the name.
    fn named(&self, name: &str) -> Option<CommitId> {
        let find = |name: &str| self.0.iter().find(|(known, _)| known == name);
        let found = find(&format!("{name}^{{}}")).or_else(|| find(name));
        found.map(|(_, commit)| commit.clone())
    }

    /// Returns the commit of the branch, else of the tag, with this name.
    fn short(&self, name: &str) -> Option<CommitId> {
        ["refs/heads", "refs/tags"].iter().find_map(|kind| self.named(&format!("{kind}/{name}")))
    }

    fn short_names(&self) -> impl Iterator<Item = &str> {
        let short = |name: &'_ str| {
            let is_peeled = name.ends_with("^{}");
            let kinds = ["refs/heads/", "refs/tags/"];
            kinds.iter().find(|kind| name.starts_with(**kind) && !is_peeled).map(|kind| kind.len())
        };
        self.0.iter().filter_map(move |(name, _)| short(name).map(|from| &name[from..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_name_is_a_branch_before_a_tag_and_a_tag_is_the_commit_it_is_on() {
        let commit = |digit: char| digit.to_string().repeat(40);
        let line = |digit, name: &str| format!("{}\t{name}\n", commit(digit));
        let text = [
            line('1', "HEAD"),
            line('1', "refs/heads/main"),
            line('2', "refs/heads/both"),
            line('3', "refs/heads/x/main"),
            line('4', "refs/pull/7/merge"),
            line('5', "refs/tags/both"),
            line('6', "refs/tags/v1"),
            line('7', "refs/tags/v1^{}"),
            "warning: redirecting to somewhere\n".to_owned(),
        ]
        .concat();
        let refs = Refs::parse(&text);
        let cases = [
            ("main", Some('1')),
            ("both", Some('2')),
            ("x/main", Some('3')),
            ("v1", Some('7')),
            ("pull/7/merge", None),
            ("HEAD", None),
            ("Main", None),
        ];
        for (name, want) in cases {
            let found = refs.short(name).map(String::from);
            assert_eq!(found, want.map(commit), "{name}");
        }
        let full = refs.named("refs/pull/7/merge").map(String::from);
        assert_eq!(full, Some(commit('4')));
        let names: Vec<_> = refs.short_names().collect();
        assert_eq!(names, ["main", "both", "x/main", "both", "v1"]);
    }
}
