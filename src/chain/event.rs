//! The event that started a run, and the plan that follows from it.

use serde::Deserialize;
use serde_json::Value;

use super::error::{Error, Result};
use super::names::{GitRef, quoted, shown};
use super::payload::{self, Incoming};
use super::repo::Repo;

/// The event that started a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A branch moved, or a tag was made.
    Push {
        /// The full ref.
        git_ref: String,
    },
    /// Somebody proposed a change.
    Proposal,
    /// A release was published.
    Release {
        /// Its tag.
        tag: GitRef,
    },
    /// Another repo sent an event.
    Dispatch {
        /// Its type.
        event_type: String,
        /// Its payload.
        incoming: Incoming,
    },
    /// Somebody started the workflow.
    Manual {
        /// Whether to build the dependents of the repo too.
        downstream: bool,
    },
    /// The schedule started the workflow.
    Schedule,
}

/// The steps of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "they are the columns of a table")]
pub struct Plan {
    /// Test, lint, format, document and audit.
    pub checks: bool,
    /// Build.
    pub build: bool,
    /// Tell the dependents of the repo.
    pub downstream: bool,
    /// Keep the build's output.
    pub artifacts: bool,
}

/// The fields of events' payloads that we read.
#[derive(Debug, Deserialize)]
struct EventFields {
    #[serde(rename = "ref")]
    git_ref: Option<String>,
    action: Option<String>,
    release: Option<Release>,
    client_payload: Option<Value>,
    inputs: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Release {
    tag_name: Option<String>,
}

impl Event {
    /// Parses the event that the runner calls `name`, with its payload as JSON.
    pub fn parse(name: &str, json: &[u8]) -> Result<Self> {
        let malformed = |reason: String| Error::Malformed { event: shown(name), reason };
        let missing = |what: &str| malformed(format!("it has no {what}"));
        let facts: EventFields =
            serde_json::from_slice(json).map_err(|error| malformed(shown(&error.to_string())))?;
        match name {
            "push" => {
                let git_ref = facts.git_ref.ok_or_else(|| missing("`ref`"))?;
                Ok(Self::Push { git_ref })
            }
            "pull_request" | "pull_request_target" | "merge_group" => Ok(Self::Proposal),
            "release" => {
                let action = facts.action.ok_or_else(|| missing("`action`"))?;
                if action != "published" {
                    return Err(Error::UnknownEvent(format!(
                        "a release that is {}",
                        quoted(&action)
                    )));
                }
                let tag = facts.release.and_then(|release| release.tag_name);
                let tag = tag.ok_or_else(|| missing("`release.tag_name`"))?;
                let tag = tag.parse().map_err(|error| malformed(format!("{error}")))?;
                Ok(Self::Release { tag })
            }
            "repository_dispatch" => {
                let event_type = facts.action.ok_or_else(|| missing("`action`"))?;
                let payload = facts.client_payload.unwrap_or(Value::Null);
                // An event without a payload has no sender: read it like an old one that is empty.
                let payload = if payload.is_null() {
                    Value::Object(serde_json::Map::default())
                } else {
                    payload
                };
                let incoming = payload::read(&payload).map_err(malformed)?;
                Ok(Self::Dispatch { event_type, incoming })
            }
            "workflow_dispatch" => {
                let inputs = facts.inputs.unwrap_or(Value::Null);
                let downstream = &inputs["downstream"];
                let downstream = downstream == &Value::Bool(true) || downstream == "true";
                Ok(Self::Manual { downstream })
            }
            "schedule" => Ok(Self::Schedule),
            _ => Err(Error::UnknownEvent(quoted(name))),
        }
    }

    /// Returns the plan of a run of `repo` for this event. A dispatched event must have been accepted.
    pub fn plan(&self, repo: &Repo) -> Plan {
        let plan = match self {
            Self::Push { git_ref } => {
                let branch = git_ref.strip_prefix("refs/heads/");
                let goes_on = branch
                    .is_some_and(|branch| repo.branches.iter().any(|it| it.as_str() == branch));
                Plan { checks: true, downstream: goes_on, ..Plan::default() }
            }
            Self::Proposal => Plan { checks: true, ..Plan::default() },
            Self::Release { .. } => {
                Plan { checks: true, build: true, downstream: true, artifacts: true }
            }
            Self::Dispatch { incoming, .. } => {
                let artifacts = match incoming {
                    Incoming::Link(payload) => payload.version.is_some(),
                    Incoming::Old { .. } => false,
                };
                Plan { checks: true, build: true, downstream: true, artifacts }
            }
            Self::Manual { downstream } => {
                Plan { checks: true, build: true, downstream: *downstream, artifacts: false }
            }
            Self::Schedule => Plan { checks: true, build: true, ..Plan::default() },
        };
        let is_built = repo.is_built();
        Plan { build: plan.build && is_built, artifacts: plan.artifacts && is_built, ..plan }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Chain;
    use super::*;

    type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

    #[test]
    fn an_event_says_what_a_run_does() -> Result {
        let text = "owner = 'o'\n[repos.lib]\nkind = 'library'\nbranches = ['main', 'develop']\n";
        let chain = Chain::parse("c", text)?;
        let link = format!(
            r#"{{"schema":1,"source":"s","source_sha":"{0}","source_ref":"refs/tags/v1","version":"v1","chain_id":"1","hop":1,"visited":["s"],"commits":{{}}}}"#,
            "a".repeat(40)
        );
        let dispatch = format!(r#"{{"action":"build-chain","client_payload":{link}}}"#);
        #[rustfmt::skip]
        let cases = [
            //                                                                              checks build down   artifacts
            ("push",                r#"{"ref":"refs/heads/main"}"#,                         [true, false, true,  false]),
            ("push",                r#"{"ref":"refs/heads/develop"}"#,                      [true, false, true,  false]),
            ("push",                r#"{"ref":"refs/heads/feature/main"}"#,                 [true, false, false, false]),
            ("push",                r#"{"ref":"refs/tags/main"}"#,                          [true, false, false, false]),
            ("pull_request",        r#"{"action":"opened","number":1}"#,                    [true, false, false, false]),
            ("pull_request_target", "{}",                                                   [true, false, false, false]),
            ("merge_group",         "{}",                                                   [true, false, false, false]),
            ("release",             r#"{"action":"published","release":{"tag_name":"v1"}}"#, [true, true,  true,  true]),
            ("repository_dispatch", r#"{"action":"x","client_payload":{"source":"a"}}"#,    [true, true,  true,  false]),
            ("repository_dispatch", r#"{"action":"x","client_payload":null}"#,              [true, true,  true,  false]),
            ("repository_dispatch", dispatch.as_str(),                                      [true, true,  true,  true]),
            ("workflow_dispatch",   r#"{"inputs":null}"#,                                   [true, true,  false, false]),
            ("workflow_dispatch",   r#"{"inputs":{"downstream":"false"}}"#,                 [true, true,  false, false]),
            ("workflow_dispatch",   r#"{"inputs":{"downstream":"true"}}"#,                  [true, true,  true,  false]),
            ("workflow_dispatch",   r#"{"inputs":{"downstream":true}}"#,                    [true, true,  true,  false]),
            ("schedule",            r#"{"schedule":"0 2 * * *"}"#,                          [true, true,  false, false]),
        ];
        for (name, json, [checks, build, downstream, artifacts]) in cases {
            let plan = Event::parse(name, json.as_bytes())?.plan(&chain.repos()[0]);
            assert_eq!(plan, Plan { checks, build, downstream, artifacts }, "{name} {json}");
        }
        Ok(())
    }

    #[test]
    fn docs_are_checked_and_passed_on_but_never_built() -> Result {
        let chain = Chain::parse("c", "owner = 'o'\n[repos.spec]\nkind = 'docs'\n")?;
        let release = br#"{"action":"published","release":{"tag_name":"v1"}}"#;
        let plan = Event::parse("release", release)?.plan(&chain.repos()[0]);
        assert_eq!(plan, Plan { checks: true, build: false, downstream: true, artifacts: false });
        Ok(())
    }

    #[test]
    fn an_event_that_no_rule_knows_is_an_error() {
        #[rustfmt::skip]
        let cases = [
            ("issue_comment",       "{}",                        "no rule for the event `issue_comment`"),
            ("",                    "{}",                        "no rule for the event ``"),
            ("release",             r#"{"action":"created"}"#,   "no rule for the event a release that is `created`"),
            ("release",             r#"{"action":"published"}"#, "cannot use the event `release`: it has no `release.tag_name`"),
            ("push",                "{}",                        "cannot use the event `push`: it has no `ref`"),
            ("push",                "{",                         "cannot use the event `push`: EOF while parsing an object at line 1 column 1"),
            ("\u{1b}[31m",          "{",                        "cannot use the event `\\u{1b}[31m`: EOF while parsing an object at line 1 column 1"),
            ("push",                r#"{"ref":7}"#,              "cannot use the event `push`: invalid type: integer `7`, expected a string at line 1 column 8"),
            ("repository_dispatch", r#"{"action":"x","client_payload":[]}"#, "cannot use the event `repository_dispatch`: it is not a JSON object"),
        ];
        for (name, json, want) in cases {
            let error = Event::parse(name, json.as_bytes()).err().map(|error| error.to_string());
            assert_eq!(error.as_deref(), Some(want), "{name} {json}");
        }
    }
}
