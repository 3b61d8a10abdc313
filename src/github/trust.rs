//! The trust in a job's code: its lane, from the event and the ref.
//!
//! A job is `protected` only if people with write access brought its code into the repository
//! themselves, and if it runs on the default branch, a protected branch, or a tag. Every doubt (an
//! unreadable payload, or facts that disagree) makes a job less trusted, and adds a warning.

#[cfg(test)]
mod tests;

use super::event::{Error, Payload};
use super::runner::Runner;
use super::shown::{name, shown};
use crate::model::git_ref::GitRef;
use crate::model::scope::{Lane, Repository};

/// The trust in a job's code, and its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// The lane that the job saves to.
    pub lane: Lane,
    /// A lane that it may restore from, besides its own and the protected one.
    pub base: Option<Lane>,
    /// The reason, for people, as the words after "because this is".
    pub reason: String,
    /// The doubts that made it less trusted.
    pub warnings: Vec<String>,
}

impl Trust {
    /// Decides from the runner's facts and the event's payload.
    pub fn of(runner: &Runner, payload: &Result<Payload, Error>) -> Self {
        let unread = Payload::default();
        let mut event = Event { runner, payload: &unread, doubts: Vec::new() };
        match payload {
            Ok(payload) => event.payload = payload,
            Err(error) => event.doubts.push(error.to_string()),
        }
        event.trust()
    }
}

/// An event and the doubts about it, for the decision.
struct Event<'a> {
    runner: &'a Runner,
    payload: &'a Payload,
    doubts: Vec<String>,
}

/// A full ref, parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ref<'a> {
    Branch(&'a str),
    Tag(&'a str),
    PullRequest(u64),
    /// Another ref, or a name that git does not allow.
    Other(&'a str),
}

impl<'a> Ref<'a> {
    fn parse(text: &'a str) -> Self {
        match text.strip_prefix("refs/").and_then(|rest| rest.split_once('/')) {
            Some(("heads", branch)) if is_ref(branch) => Self::Branch(branch),
            Some(("tags", tag)) if is_ref(tag) => Self::Tag(tag),
            Some(("pull", rest)) => {
                let number = rest.split_once('/').and_then(|(number, _)| number.parse().ok());
                number.map_or(Self::Other(text), Self::PullRequest)
            }
            _ => Self::Other(text),
        }
    }
}

fn is_ref(text: &str) -> bool {
    text.parse::<GitRef>().is_ok()
}

impl Event<'_> {
    fn trust(mut self) -> Trust {
        let is_pull_request = self.payload.pull_request.is_some();
        match self.runner.event.as_str() {
            "push" | "schedule" | "workflow_dispatch" | "repository_dispatch" | "release"
                if !is_pull_request =>
            {
                self.doubt_the_repository();
                self.doubt_the_ref();
                self.of_the_ref()
            }
            "merge_group" if !is_pull_request => self.of_the_merge_group(),
            "pull_request"
            | "pull_request_target"
            | "pull_request_review"
            | "pull_request_review_comment" => self.of_the_pull_request(),
            _ if is_pull_request => self.of_the_pull_request(),
            // A `workflow_run` or an `issue_comment` often works on the code of a pull request,
            // although the ref is the default branch.
            _ => self.of_an_event_that_may_run_anything(),
        }
    }

    fn git_ref(&self) -> Ref<'_> {
        Ref::parse(self.runner.git_ref.as_deref().unwrap_or_default())
    }

    fn default_branch(&self) -> Option<&str> {
        let repository = self.payload.repository.as_ref()?;
        repository.default_branch.as_deref()
    }

    fn doubt_the_repository(&mut self) {
        let repository = self.payload.repository.as_ref();
        let Some(named) = repository.and_then(|repository| repository.full_name.as_ref()) else {
            return;
        };
        let own = self.runner.repository.as_ref().map(Repository::as_str);
        if !own.is_some_and(|own| own.eq_ignore_ascii_case(named)) {
            let own = own.unwrap_or("nothing");
            let named = shown(named);
            self.doubts.push(format!(
                "the event's payload is about `{named}`, and `GITHUB_REPOSITORY` is `{own}`"
            ));
        }
    }

    /// Doubts a ref that differs from the payload's. Some servers send the full ref, others only
    /// its name.
    fn doubt_the_ref(&mut self) {
        let Some(pushed) = &self.payload.git_ref else { return };
        let agrees = match self.git_ref() {
            Ref::Branch(name) | Ref::Tag(name) if !pushed.starts_with("refs/") => pushed == name,
            git_ref => git_ref == Ref::parse(pushed),
        };
        if !agrees {
            let own = shown(self.runner.git_ref.as_deref().unwrap_or_default());
            let pushed = shown(pushed);
            self.doubts.push(format!(
                "the event's payload is about `{pushed}`, and `GITHUB_REF` is `{own}`"
            ));
        }
    }

    fn of_the_ref(self) -> Trust {
        // A schedule runs on the default branch alone, and not every server names that branch.
        let is_schedule = self.runner.event == "schedule";
        let is_default =
            |branch| self.default_branch().map_or(is_schedule, |default| default == branch);
        let (lane, what) = match self.git_ref() {
            Ref::Branch(branch) if is_default(branch) => {
                (Lane::Protected, format!("the default branch `{branch}`"))
            }
            Ref::Branch(branch) if self.runner.is_ref_protected && !is_of_the_queue(branch) => {
                (Lane::Protected, format!("the protected branch `{branch}`"))
            }
            Ref::Branch(branch) => {
                (Lane::Branch(branch.to_owned()), format!("the branch `{branch}`"))
            }
            Ref::Tag(tag) => (Lane::Protected, format!("the tag `{tag}`")),
            Ref::PullRequest(number) => (Lane::Pr(number), format!("pull request {number}")),
            Ref::Other(text) => {
                let what = format!("`{}`, which is no branch or tag", shown(text));
                (apart(&self.runner.event, text), what)
            }
        };
        let lane = match lane {
            Lane::Protected | Lane::Branch(_) if !self.doubts.is_empty() => self.own_lane(),
            lane => lane,
        };
        let reason = format!("a `{}` of {what}", shown(&self.runner.event));
        self.decided(lane, Lane::Protected, reason)
    }

    fn of_the_pull_request(mut self) -> Trust {
        let number = self.number();
        let base = self.base_of_the_pull_request();
        let into = match &base {
            Some(branch) => format!(" into `{branch}`"),
            None => String::new(),
        };
        let base = base.map_or(Lane::Protected, |branch| self.lane_of_base(&branch));
        let reason = format!("a `{}` of pull request {number}{into}", shown(&self.runner.event));
        // It runs with secrets, so it must not restore what a job of a fork saved.
        let lane = match self.runner.event.as_str() {
            event @ "pull_request_target" => apart(event, &number.to_string()),
            _ => Lane::Pr(number),
        };
        self.decided(lane, base, reason)
    }

    /// Returns the number on which all sources agree, else 0, which no pull request has.
    fn number(&mut self) -> u64 {
        let of_ref = match self.git_ref() {
            Ref::PullRequest(number) => Some(number),
            _ => None,
        };
        let pull_request = self.payload.pull_request.as_ref();
        let named = [of_ref, self.payload.number, pull_request.and_then(|it| it.number)];
        let mut numbers: Vec<_> = named.into_iter().flatten().collect();
        numbers.dedup();
        if let [number] = numbers[..]
            && number > 0
        {
            return number;
        }
        self.doubts.push(format!("the number of the pull request is unknown (found {numbers:?})"));
        0
    }

    /// Returns the branch on which all sources agree.
    fn base_of_the_pull_request(&mut self) -> Option<String> {
        let base = self.payload.pull_request.as_ref().and_then(|it| it.base.as_ref());
        let named = [base.and_then(|base| base.branch.as_ref()), self.runner.base_ref.as_ref()];
        let mut branches: Vec<_> = named.into_iter().flatten().collect();
        branches.dedup();
        match branches[..] {
            [branch] if is_ref(branch) => Some(branch.clone()),
            _ => {
                let found: Vec<_> = branches.iter().map(|branch| shown(branch)).collect();
                self.doubts.push(format!(
                    "the branch that the pull request goes into is unknown (found {found:?})"
                ));
                None
            }
        }
    }

    fn of_the_merge_group(mut self) -> Trust {
        let group = self.payload.merge_group.clone().unwrap_or_default();
        let own = self.runner.git_ref.as_deref().unwrap_or_default();
        if group.head_ref.as_deref().is_some_and(|head| head != own) {
            let (head, own) = (shown(&group.head_ref.unwrap_or_default()), shown(own));
            self.doubts.push(format!(
                "the event's payload is about `{head}`, and `GITHUB_REF` is `{own}`"
            ));
        }
        let base = match group.base_ref.as_deref().map(Ref::parse) {
            Some(Ref::Branch(branch)) if self.doubts.is_empty() => self.lane_of_base(branch),
            _ => Lane::Protected,
        };
        let lane = match self.git_ref() {
            Ref::Branch(branch) if is_of_the_queue(branch) => Lane::Branch(branch.to_owned()),
            _ => self.own_lane(),
        };
        let reason = format!("a `merge_group` of `{}`", shown(own));
        self.decided(lane, base, reason)
    }

    fn of_an_event_that_may_run_anything(self) -> Trust {
        let event = shown(&self.runner.event);
        let reason = format!("a `{event}`, which may run code that nobody reviewed");
        let lane = self.own_lane();
        self.decided(lane, Lane::Protected, reason)
    }

    /// Returns the lane of this kind of event at this ref, which no push shares.
    fn own_lane(&self) -> Lane {
        let own = self.runner.git_ref.as_deref().unwrap_or_default();
        apart(&self.runner.event, own.strip_prefix("refs/heads/").unwrap_or(own))
    }

    /// Returns the lane that pushes to `branch` save to, as far as the payload tells.
    fn lane_of_base(&self, branch: &str) -> Lane {
        if self.default_branch() == Some(branch) {
            Lane::Protected
        } else {
            Lane::Branch(branch.to_owned())
        }
    }

    fn decided(self, lane: Lane, base: Lane, reason: String) -> Trust {
        let base = (lane != Lane::Protected).then_some(base);
        Trust { lane, base, reason, warnings: self.doubts }
    }
}

/// Tells whether a merge queue made `branch` to try a merge. A rule for all branches protects such
/// a branch too, which says nothing about its code.
fn is_of_the_queue(branch: &str) -> bool {
    branch.starts_with("gh-readonly-queue/")
}

/// Returns a lane that no branch has: git allows no `:` in a branch name.
fn apart(what: &str, text: &str) -> Lane {
    /// The longest name that git allows, in bytes.
    const MAX_LEN: usize = GitRef::MAX_LEN;
    Lane::Branch(name(&format!("{what}:{text}"), MAX_LEN))
}
