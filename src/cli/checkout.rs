//! `runner-cache checkout`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use super::args::{RootArgs, absolute, environment, now};
use super::print::{Text, line, print_json, to_stderr};
use super::text::seconds;
use super::{Error, Result, Status, progress};
use crate::checkout::{self, Checkout, Request, check_out};
use crate::model::git_ref::GitRef;
use crate::model::names::Name;
use crate::model::scope::Repository;
use crate::model::server::ServerUrl;
use crate::store::Purpose;

/// Options of `checkout`.
#[derive(Debug, Args)]
pub(super) struct CheckoutArgs {
    /// The dependency: a branch, tag, ref or commit of a repository; its path defaults to ../NAME
    /// beside the repo
    #[arg(value_name = "OWNER/NAME[@REF][=DIR]")]
    wanted: Wanted,
    #[command(flatten)]
    root: RootArgs,
    /// The checkout of the repo that the dependency is for
    #[arg(long, value_name = "DIR", default_value = ".")]
    repo: PathBuf,
    /// The server of the repository
    ///
    /// Without it `$GITHUB_SERVER_URL`, else `https://github.com`. A private repository is opened by
    /// the token in `$GITHUB_TOKEN`.
    #[arg(long, value_name = "URL")]
    server: Option<ServerUrl>,
    /// Check its submodules out too
    #[arg(long)]
    submodules: bool,
    /// Print one JSON object to stdout
    #[arg(long)]
    json: bool,
}

impl CheckoutArgs {
    pub(super) fn run(&self) -> Result<Status> {
        let store = self.root.open_or_init()?;
        let reclaimed = store.reclaim()?;
        for left in reclaimed.warnings() {
            to_stderr(&line!("warning: {left}"));
        }
        let lease = store.lease(Purpose::Checkout)?;
        let request = self.request()?;
        let (checkout, ended) = progress::watch("checking out", |progress| {
            check_out(&store, &lease, &request, &environment(), now(), progress)
        })?;
        let checkout = checkout?;
        to_stderr(&text(&checkout));
        if self.json {
            print_json(&checkout)?;
        }
        Ok(ended.unwrap_or(Status::Done))
    }

    fn request(&self) -> Result<Request> {
        let repo = absolute(&self.repo)?;
        let Wanted { repository, name, git_ref, path } = self.wanted.clone();
        let dest = match path {
            Some(path) => absolute(&path)?,
            None => repo.join("..").join(name.as_str()),
        };
        let environment = environment();
        let text = |name| environment.get(name).and_then(|value| value.to_str());
        let token = text("GITHUB_TOKEN").map(str::trim).map(str::parse).transpose();
        let token = token.map_err(|error| Error::Refused(format!("GITHUB_TOKEN: {error}")))?;
        let server = match &self.server {
            Some(server) => server.clone(),
            None => text("GITHUB_SERVER_URL")
                .unwrap_or("https://github.com")
                .parse()
                .map_err(|error| Error::Refused(format!("GITHUB_SERVER_URL: {error}")))?,
        };
        let submodules = self.submodules;
        Ok(Request { name, repository, git_ref, dest, repo, server, token, submodules })
    }
}

/// What is to be checked out, as people write it.
#[derive(Clone, Debug)]
struct Wanted {
    repository: Repository,
    name: Name,
    git_ref: Option<GitRef>,
    path: Option<PathBuf>,
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (what, path) = match text.split_once('=') {
            Some((_, "")) => return Err("the path after `=` is empty".to_owned()),
            Some((what, path)) => (what, Some(PathBuf::from(path))),
            None => (text, None),
        };
        let (repository, git_ref) = match what.split_once('@') {
            Some((repository, git_ref)) => {
                let git_ref = git_ref.parse().map_err(|error| format!("{error}"))?;
                (repository, Some(git_ref))
            }
            None => (what, None),
        };
        let repository: Repository = repository.parse().map_err(|error| format!("{error}"))?;
        let name = repository.name().parse().map_err(|error| format!("{error}"))?;
        Ok(Self { repository, name, git_ref, path })
    }
}

/// Returns what was checked out, for people.
pub(super) fn text(checkout: &Checkout) -> Text {
    let mut text = Text::default();
    for warning in &checkout.warnings {
        line!(text, "warning: {warning}");
    }
    let repository = checkout.repository.as_str();
    let how = match (checkout.kept, checkout.fetched) {
        (true, _) => "there already",
        (false, true) => "fetched",
        (false, false) => "from the mirror",
    };
    line!(
        text,
        "checked out {repository} at {} to `{}` in {}: {how}",
        checkout.sha,
        checkout.path.display(),
        seconds(checkout.seconds)
    );
    text
}

/// Returns what to do about a checkout that failed, if we know.
pub(super) fn hint(error: &checkout::Error) -> Option<String> {
    use checkout::Error;
    let hint = match error {
        Error::GitMissing | Error::GitTooOld { .. } => {
            "install git 2.31 or newer on the runner, or in the job's container".to_owned()
        }
        Error::Denied { .. } => {
            "if the name is right, give a token that may read it (`contents: read`); the GITHUB_TOKEN of a \
             workflow opens no other private repository"
                .to_owned()
        }
        Error::Unreachable { .. } => {
            "look at the network and proxy of the runner; a commit by all its digits needs no server once the \
             host has it"
                .to_owned()
        }
        Error::RefMissing { what, similar, .. } if similar.is_empty() => {
            if what.starts_with("branch") {
                "give a branch, a tag, a full ref (refs/…) or all digits of a commit".to_owned()
            } else {
                "look whether it was pushed to this repository".to_owned()
            }
        }
        Error::RefMissing { similar, .. } => {
            let names: Vec<_> = similar.iter().map(|name| format!("`{name}`")).collect();
            format!("it has {}", names.join(", "))
        }
        Error::Taken { .. } => {
            "remove what is there, or give another path: owner/name@ref=path".to_owned()
        }
        Error::Mirror { path, .. } => format!("remove `{}`, and it is cloned anew", path.display()),
        _ => return None,
    };
    Some(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dependency_is_a_repository_with_or_without_ref_and_path() {
        let long = "0".repeat(40);
        let pinned = format!("a/b@{long}");
        #[rustfmt::skip]
        let cases = [
            ("a/b",                    Some(("a/b", "b", None,               None))),
            ("a/b@v1.2",               Some(("a/b", "b", Some("v1.2"),       None))),
            ("a/b@x/y@z=../c d=e",     Some(("a/b", "b", Some("x/y@z"),      Some("../c d=e")))),
            ("a/b=c",                  Some(("a/b", "b", None,               Some("c")))),
            (&pinned,                  Some(("a/b", "b", Some(long.as_str()), None))),
            ("b",                      None),
            ("a/b@",                   None),
            ("a/b=",                   None),
            ("a/b@--upload-pack=x",    None),
            ("a/b@v1\n",               None),
            ("a/b/c@v1",               None),
            ("a/.b",                   None),
            ("../b@main",              None),
        ];
        for (text, want) in cases {
            let got = text.parse::<Wanted>().ok();
            let got = got.as_ref().map(|wanted| {
                let git_ref = wanted.git_ref.as_ref().map(GitRef::as_str);
                let path = wanted.path.as_ref().and_then(|path| path.to_str());
                (wanted.repository.as_str(), wanted.name.as_str(), git_ref, path)
            });
            assert_eq!(got, want, "{text}");
        }
    }
}
