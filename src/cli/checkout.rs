//! `runner-cache checkout`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use super::args::{RootArgs, absolute, environment};
use super::{Error, Result, progress};
use crate::checkout::{Request, check_out};
use crate::front;
use crate::front::Status;
use crate::front::clock::now;
use crate::front::print::{line, print_json, to_stderr};
use crate::job::warning::Warning;
use crate::model::git_ref::GitRef;
use crate::model::names::Name;
use crate::model::scope::Repository;
use crate::model::server::ServerUrl;
use crate::store::Purpose;

/// Options of `checkout`.
#[derive(Debug, Args)]
pub(super) struct CheckoutArgs {
    /// The dependency: a repository, at a branch, tag, ref or commit; DIR defaults to ../NAME beside the repo
    #[arg(value_name = "OWNER/NAME[@REF][=DIR]")]
    wanted: DependencyArg,
    #[command(flatten)]
    root: RootArgs,
    /// The checkout of the repo that needs the dependency
    #[arg(long, value_name = "DIR", default_value = ".")]
    repo: PathBuf,
    /// The server of the repository
    ///
    /// The default is `$GITHUB_SERVER_URL`, else `https://github.com`. The token in `$GITHUB_TOKEN` gives access to
    /// private repositories.
    #[arg(long, value_name = "URL")]
    server: Option<ServerUrl>,
    /// Check out its submodules too
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
        for left in reclaimed.left {
            to_stderr(&line!("warning: {}", Warning::LeftBehind(left)));
        }
        let lease = store.lease(Purpose::Checkout)?;
        let request = self.request()?;
        let (checkout, ended) = progress::watch("checking out", |progress| {
            check_out(&store, &lease, &request, &environment(), now(), progress)
        })?;
        let checkout = checkout?;
        to_stderr(&front::checkout::text(&checkout));
        if self.json {
            print_json(&checkout)?;
        }
        Ok(ended.unwrap_or(Status::Done))
    }

    fn request(&self) -> Result<Request> {
        let repo = absolute(&self.repo)?;
        let DependencyArg { repository, name, git_ref, path } = self.wanted.clone();
        let dest = match path {
            Some(path) => absolute(&path)?,
            None => repo.join("..").join(name.as_str()),
        };
        let environment = environment();
        let text = |name| environment.get(name).and_then(|value| value.to_str());
        let token = text("GITHUB_TOKEN").map(str::trim).map(str::parse).transpose();
        let token = token.map_err(|error| Error::refused(format!("GITHUB_TOKEN: {error}")))?;
        let server = match &self.server {
            Some(server) => server.clone(),
            None => text("GITHUB_SERVER_URL")
                .unwrap_or("https://github.com")
                .parse()
                .map_err(|error| Error::refused(format!("GITHUB_SERVER_URL: {error}")))?,
        };
        let submodules = self.submodules;
        Ok(Request { name, repository, git_ref, dest, repo, server, token, submodules })
    }
}

/// The dependency on the command line.
#[derive(Clone, Debug)]
struct DependencyArg {
    repository: Repository,
    name: Name,
    git_ref: Option<GitRef>,
    path: Option<PathBuf>,
}

impl FromStr for DependencyArg {
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
            let got = text.parse::<DependencyArg>().ok();
            let got = got.as_ref().map(|wanted| {
                let git_ref = wanted.git_ref.as_ref().map(GitRef::as_str);
                let path = wanted.path.as_ref().and_then(|path| path.to_str());
                (wanted.repository.as_str(), wanted.name.as_str(), git_ref, path)
            });
            assert_eq!(got, want, "{text}");
        }
    }
}
