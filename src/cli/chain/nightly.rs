//! `runner-cache chain nightly`.

use clap::Args;
use serde_json::json;

use super::super::args::environment;
use super::super::{Error, Result};
use super::files::{FileArgs, set_outputs};
use super::resolve::newest;
use super::run::ApiArgs;
use crate::chain::{
    Api, Chain, Commits, GitRef, Sha, look_up, notes, plan_nightly, publish, repository,
};
use crate::front::Status;
use crate::front::clock::now;
use crate::front::print::{line, print_json, to_stderr};

/// Options of `chain nightly`.
#[derive(Debug, Args)]
pub(super) struct NightlyArgs {
    #[command(flatten)]
    file: FileArgs,
    #[command(flatten)]
    api: ApiArgs,
    /// The commits of the nightly: the output `commits` of `chain resolve` or of this command
    #[arg(long, value_name = "JSON")]
    commits: Option<String>,
    /// The commit that gets the tag
    ///
    /// The default is the commit of this run, if it runs in the repository of releases, else the newest commit of the
    /// branch `main` there.
    #[arg(long, value_name = "SHA")]
    target: Option<Sha>,
    /// Publish the nightly, as a prerelease with this tag
    #[arg(long, value_name = "TAG", requires = "commits")]
    publish: Option<GitRef>,
    /// Print one JSON object to stdout
    #[arg(long)]
    json: bool,
}

impl NightlyArgs {
    pub(super) fn run(&self) -> Result<Status> {
        let chain = self.file.chain()?;
        let api = self.api.api(&chain)?;
        let commits = match &self.commits {
            Some(json) => parse(&chain, json)?,
            None => newest(&chain, &api)?,
        };
        let target = self.target(&chain, &api)?;
        match &self.publish {
            Some(tag) => self.publish(&chain, &api, tag, &commits, &target),
            None => self.plan(&chain, &api, &commits, &target),
        }
    }

    fn plan(&self, chain: &Chain, api: &Api, commits: &Commits, target: &Sha) -> Result<Status> {
        let date = now().date_time();
        let date = date.split(' ').next().unwrap_or_default().replace('-', "");
        let nightly = plan_nightly(chain, api, commits, target, &date)?;
        let reason = match (&nightly.last, nightly.is_same) {
            (Some(last), true) => format!("skipped: nothing changed since {last}"),
            (Some(last), false) => format!("something changed since {last}"),
            (None, _) => "the first nightly".to_owned(),
        };
        to_stderr(&line!("{}: {reason}", nightly.tag));
        let words = [
            ("build", (!nightly.is_same).to_string()),
            ("reason", reason),
            ("tag", nightly.tag.to_string()),
            ("target", target.to_string()),
            ("commits", json!(commits).to_string()),
            ("notes", notes(chain, commits)),
            ("last", nightly.last.unwrap_or_default()),
        ];
        self.answer(&words)
    }

    fn publish(
        &self,
        chain: &Chain,
        api: &Api,
        tag: &GitRef,
        commits: &Commits,
        target: &Sha,
    ) -> Result<Status> {
        let published = publish(chain, api, tag, commits, target)?;
        to_stderr(&line!("published {}", published.html_url));
        self.answer(&[("url", published.html_url), ("release-id", published.id.to_string())])
    }

    fn answer(&self, words: &[(&str, String)]) -> Result<Status> {
        let outputs: Vec<_> =
            words.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        set_outputs(&outputs)?;
        if self.json {
            let map: serde_json::Map<_, _> =
                outputs.into_iter().map(|(name, value)| (name, json!(value))).collect();
            print_json(&map)?;
        }
        Ok(Status::Done)
    }

    /// Returns the commit to tag.
    fn target(&self, chain: &Chain, api: &Api) -> Result<Sha> {
        if let Some(target) = &self.target {
            return Ok(target.clone());
        }
        let environment = environment();
        let text = |name| environment.get(name).and_then(|value| value.to_str());
        let repository = repository(chain)?;
        let is_there =
            text("GITHUB_REPOSITORY").is_some_and(|it| it.eq_ignore_ascii_case(&repository));
        match text("GITHUB_SHA").filter(|_| is_there).and_then(|sha| sha.parse().ok()) {
            Some(sha) => Ok(sha),
            None => Ok(look_up(api, &repository, "heads/main")?),
        }
    }
}

/// Parses the commits of a nightly: one of every repo of the chain, and of no other.
fn parse(chain: &Chain, json: &str) -> Result<Commits> {
    let commits: Commits = serde_json::from_str(json)
        .map_err(|error| Error::refused(format!("--commits: {error}")))?;
    let missing = chain.repos().iter().find(|repo| !commits.contains_key(&repo.name));
    if let Some(repo) = missing {
        return Err(Error::refused(format!("--commits: there is no commit for `{}`", repo.name)));
    }
    match commits.keys().find(|name| chain.repo(name).is_none()) {
        Some(name) => Err(Error::refused(format!("--commits: `{name}` is no repo of this chain"))),
        None => Ok(commits),
    }
}
