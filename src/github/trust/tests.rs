use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::model::environment::Environment;

/// Returns the facts of a step, from variables without their `GITHUB_`.
fn runner(variables: &[(&str, &str)]) -> Runner {
    let environment = variables.iter().fold(
        Environment::default().with("GITHUB_REPOSITORY", "btcdecoded/app"),
        |environment, (name, value)| environment.with(&format!("GITHUB_{name}"), *value),
    );
    Runner::of(&environment, Path::new("/w"))
}

fn payload(json: &str) -> Result<Payload, Error> {
    serde_json::from_str(json)
        .map_err(|source| Error::Malformed { path: "event.json".into(), source })
}

fn decide(event: &str, variables: &[(&str, &str)], payload: &Result<Payload, Error>) -> Trust {
    let variables: Vec<_> = [("EVENT_NAME", event)].iter().chain(variables).copied().collect();
    Trust::of(&runner(&variables), payload)
}

/// Returns the payload of an event: the repository, and the members in `json`.
fn of_app(json: &str) -> String {
    format!(
        r#"{{"repository":{{"id":1,"full_name":"btcdecoded/app","private":false,"default_branch":"main"}},
            "sender":{{"login":"ann"}}{}{json}}}"#,
        if json.is_empty() { "" } else { "," }
    )
}

const PULL_REQUEST: &str = r#""action":"synchronize","number":7,"pull_request":{"number":7,"state":"open",
    "head":{"ref":"main","sha":"1","repo":{"full_name":"mallory/app","default_branch":"main"}},
    "base":{"ref":"main","sha":"2","repo":{"full_name":"btcdecoded/app","default_branch":"main"}}}"#;

const INTO_DEV: &str = r#""number":7,"pull_request":{"number":7,"base":{"ref":"dev"}}"#;

const MERGE_GROUP: &str = r#""action":"checks_requested","merge_group":{"head_sha":"1",
    "head_ref":"refs/heads/gh-readonly-queue/main/pr-7-1a2b","base_sha":"2","base_ref":"refs/heads/main"}"#;

/// Why, the event, variables, the content of its payload, the lane, its base, and the reason.
type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a str, &'a str, &'a str, &'a str);

#[test]
fn the_lane_follows_from_the_event_and_the_ref() {
    const MAIN: (&str, &str) = ("REF", "refs/heads/main");
    const DEV: (&str, &str) = ("REF", "refs/heads/dev");
    const TAG: (&str, &str) = ("REF", "refs/tags/v1.0");
    const PR: (&str, &str) = ("REF", "refs/pull/7/merge");
    const INTO_MAIN: (&str, &str) = ("BASE_REF", "main");
    const GUARDED: (&str, &str) = ("REF_PROTECTED", "true");
    const QUEUE: (&str, &str) = ("REF", "refs/heads/gh-readonly-queue/main/pr-7-1a2b");
    #[rustfmt::skip]
    let cases: [Case<'_>; 34] = [
        ("push to main",        "push",                [MAIN].as_slice(),  r#""ref":"refs/heads/main","forced":false"#, "protected", "-", "a `push` of the default branch `main`"),
        ("push to dev",         "push",                &[DEV],             r#""ref":"refs/heads/dev""#,  "branch/dev", "protected", "a `push` of the branch `dev`"),
        ("push to a guarded",   "push",                &[DEV, GUARDED],    r#""ref":"refs/heads/dev""#,  "protected",  "-",         "a `push` of the protected branch `dev`"),
        ("push of a tag",       "push",                &[TAG],             r#""ref":"refs/tags/v1.0""#,  "protected",  "-",         "a `push` of the tag `v1.0`"),
        ("a branch in parts",   "push",                &[("REF", "refs/heads/a/b")], r#""ref":"refs/heads/a/b""#, "branch/a/b", "protected", "a `push` of the branch `a/b`"),
        ("a branch like a tag", "push",                &[("REF", "refs/heads/refs/tags/v1")], "",        "branch/refs/tags/v1", "protected", "a `push` of the branch `refs/tags/v1`"),
        ("schedule",            "schedule",            &[MAIN],            r#""schedule":"0 2 * * *""#,  "protected",  "-",         "a `schedule` of the default branch `main`"),
        ("dispatch on main",    "workflow_dispatch",   &[MAIN],            r#""inputs":null,"ref":"refs/heads/main""#, "protected", "-", "a `workflow_dispatch` of the default branch `main`"),
        ("dispatch, short ref", "workflow_dispatch",   &[MAIN],            r#""ref":"main""#,            "protected",  "-",         "a `workflow_dispatch` of the default branch `main`"),
        ("dispatch on dev",     "workflow_dispatch",   &[DEV],             r#""ref":"refs/heads/dev""#,  "branch/dev", "protected", "a `workflow_dispatch` of the branch `dev`"),
        ("from another repo",   "repository_dispatch", &[MAIN],            r#""action":"build-chain","branch":"main","client_payload":{"ref":"x"}"#, "protected", "-", "a `repository_dispatch` of the default branch `main`"),
        ("release",             "release",             &[TAG],             r#""release":{"tag_name":"v1.0"}"#, "protected", "-",    "a `release` of the tag `v1.0`"),
        ("release of nothing",  "release",             &[],                r#""release":{"draft":true}"#, "branch/release:", "protected", "a `release` of ``, which is no branch or tag"),
        ("pull request",        "pull_request",        &[PR, INTO_MAIN],   PULL_REQUEST,                 "pr/7", "protected",       "a `pull_request` of pull request 7 into `main`"),
        ("into dev",            "pull_request",        &[PR, ("BASE_REF", "dev")], INTO_DEV,             "pr/7", "branch/dev",      "a `pull_request` of pull request 7 into `dev`"),
        ("its target",          "pull_request_target", &[MAIN, INTO_MAIN], PULL_REQUEST,                 "branch/pull_request_target:7", "protected",       "a `pull_request_target` of pull request 7 into `main`"),
        ("its guarded target",  "pull_request_target", &[MAIN, INTO_MAIN, GUARDED], PULL_REQUEST,        "branch/pull_request_target:7", "protected",       "a `pull_request_target` of pull request 7 into `main`"),
        ("review",              "pull_request_review", &[PR],              PULL_REQUEST,                 "pr/7", "protected",       "a `pull_request_review` of pull request 7 into `main`"),
        ("comment on its code", "pull_request_review_comment", &[PR],      PULL_REQUEST,                 "pr/7", "protected",       "a `pull_request_review_comment` of pull request 7 into `main`"),
        ("another server's",    "pull_request_comment", &[MAIN],           PULL_REQUEST,                 "pr/7", "protected",       "a `pull_request_comment` of pull request 7 into `main`"),
        ("a push that is one",  "push",                &[MAIN],            PULL_REQUEST,                 "pr/7", "protected",       "a `push` of pull request 7 into `main`"),
        ("a push to its ref",   "push",                &[PR],              "",                           "pr/7", "protected",       "a `push` of pull request 7"),
        ("merge group",         "merge_group",         &[QUEUE],           MERGE_GROUP,                  "branch/gh-readonly-queue/main/pr-7-1a2b", "protected", "a `merge_group` of `refs/heads/gh-readonly-queue/main/pr-7-1a2b`"),
        ("guarded merge group", "merge_group",         &[QUEUE, GUARDED],  MERGE_GROUP,                  "branch/gh-readonly-queue/main/pr-7-1a2b", "protected", "a `merge_group` of `refs/heads/gh-readonly-queue/main/pr-7-1a2b`"),
        ("push of the queue",   "push",                &[QUEUE, GUARDED],  "",                           "branch/gh-readonly-queue/main/pr-7-1a2b", "protected", "a `push` of the branch `gh-readonly-queue/main/pr-7-1a2b`"),
        ("group into dev",      "merge_group",         &[QUEUE],           r#""merge_group":{"base_ref":"refs/heads/dev"}"#, "branch/gh-readonly-queue/main/pr-7-1a2b", "branch/dev", "a `merge_group` of `refs/heads/gh-readonly-queue/main/pr-7-1a2b`"),
        ("group on a branch",   "merge_group",         &[DEV],             "",                           "branch/merge_group:dev", "protected", "a `merge_group` of `refs/heads/dev`"),
        ("after a run",         "workflow_run",        &[MAIN, GUARDED],   r#""workflow_run":{"event":"pull_request","head_branch":"main"}"#, "branch/workflow_run:main", "protected", "a `workflow_run`, which may run code that nobody reviewed"),
        ("comment",             "issue_comment",       &[MAIN],            r#""issue":{"number":7},"comment":{"body":"/test"}"#, "branch/issue_comment:main", "protected", "a `issue_comment`, which may run code that nobody reviewed"),
        ("a branch is made",    "create",              &[DEV],             r#""ref":"dev","ref_type":"branch""#, "branch/create:dev", "protected", "a `create`, which may run code that nobody reviewed"),
        ("unknown",             "flag_day",            &[MAIN, GUARDED],   "",                           "branch/flag_day:main", "protected", "a `flag_day`, which may run code that nobody reviewed"),
        ("case matters",        "Push",                &[MAIN, GUARDED],   "",                           "branch/Push:main", "protected", "a `Push`, which may run code that nobody reviewed"),
        ("no event",            "",                    &[MAIN, GUARDED],   "",                           "branch/:main", "protected", "a ``, which may run code that nobody reviewed"),
        ("nothing at all",      "",                    &[],                "",                           "branch/:", "protected", "a ``, which may run code that nobody reviewed"),
    ];
    for (why, event, variables, json, lane, base, reason) in cases {
        let trust = decide(event, variables, &payload(&of_app(json)));
        assert_eq!(trust.lane.to_string(), lane, "{why}");
        assert_eq!(trust.base.map_or("-".to_owned(), |base| base.to_string()), base, "{why}");
        assert_eq!(trust.reason, reason, "{why}");
        assert_eq!(trust.warnings, [""; 0], "{why}");
    }
}

#[test]
fn every_doubt_makes_a_job_less_trusted_and_is_said() {
    const MAIN: (&str, &str) = ("REF", "refs/heads/main");
    const PR: (&str, &str) = ("REF", "refs/pull/7/merge");
    const GUARDED: (&str, &str) = ("REF_PROTECTED", "true");
    /// Why, the event, variables, its payload, the lane, its base, and the warning.
    type Case<'a> =
        (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a str, &'a str, &'a str, &'a str);
    let elsewhere = r#"{"repository":{"full_name":"mallory/app","default_branch":"main"}}"#;
    let of = |json: &str| of_app(json);
    #[rustfmt::skip]
    let cases: [Case<'_>; 16] = [
        ("no JSON",              "push", &[MAIN, GUARDED], "",        "branch/push:main", "protected", "event payload `event.json` is malformed"),
        ("no JSON, a tag",       "push", &[("REF", "refs/tags/v1")], "[", "branch/push:refs/tags/v1", "protected", "event payload `event.json` is malformed"),
        ("no JSON, a branch",    "push", &[("REF", "refs/heads/dev")], "1", "branch/push:dev", "protected", "event payload `event.json` is malformed"),
        ("no JSON, a pull",      "pull_request", &[PR, ("BASE_REF", "main")], "", "pr/7", "branch/main", "event payload `event.json` is malformed"),
        ("another repository",   "push", &[MAIN, GUARDED], elsewhere, "branch/push:main", "protected", "the event's payload is about `mallory/app`, and `GITHUB_REPOSITORY` is `btcdecoded/app`"),
        ("another ref",          "push", &[MAIN], &of(r#""ref":"refs/heads/dev""#), "branch/push:main", "protected", "the event's payload is about `refs/heads/dev`, and `GITHUB_REF` is `refs/heads/main`"),
        ("another name",         "push", &[MAIN], &of(r#""ref":"dev""#), "branch/push:main", "protected", "the event's payload is about `dev`, and `GITHUB_REF` is `refs/heads/main`"),
        ("a tag as a branch",    "push", &[("REF", "refs/tags/main")], &of(r#""ref":"refs/heads/main""#), "branch/push:refs/tags/main", "protected", "the event's payload is about `refs/heads/main`, and `GITHUB_REF` is `refs/tags/main`"),
        ("a pull as a branch",   "push", &[MAIN], &of(r#""ref":"refs/pull/7/head""#), "branch/push:main", "protected", "the event's payload is about `refs/pull/7/head`, and `GITHUB_REF` is `refs/heads/main`"),
        ("two numbers",          "pull_request", &[PR, ("BASE_REF", "main")], &of(r#""number":8,"pull_request":{"base":{"ref":"main"}}"#), "pr/0", "protected", "the number of the pull request is unknown (found [7, 8])"),
        ("no number",            "pull_request_target", &[MAIN, ("BASE_REF", "main")], &of(""), "branch/pull_request_target:0", "protected", "the number of the pull request is unknown (found [])"),
        ("number 0",             "pull_request_target", &[MAIN, ("BASE_REF", "main")], &of(r#""number":0"#), "branch/pull_request_target:0", "protected", "the number of the pull request is unknown (found [0])"),
        ("two bases",            "pull_request", &[PR, ("BASE_REF", "dev")], &of(r#""pull_request":{"base":{"ref":"main"}}"#), "pr/7", "protected", r#"the branch that the pull request goes into is unknown (found ["main", "dev"])"#),
        ("no base",              "pull_request", &[PR], &of(""), "pr/7", "protected", "the branch that the pull request goes into is unknown (found [])"),
        ("an odd base",          "pull_request", &[PR], &of(r#""pull_request":{"base":{"ref":"a..b"}}"#), "pr/7", "protected", r#"the branch that the pull request goes into is unknown (found ["a..b"])"#),
        ("another merge",        "merge_group", &[("REF", "refs/heads/gh-readonly-queue/main/pr-8")], &of(r#""merge_group":{"head_ref":"refs/heads/x","base_ref":"refs/heads/dev"}"#), "branch/gh-readonly-queue/main/pr-8", "protected", "the event's payload is about `refs/heads/x`, and `GITHUB_REF` is `refs/heads/gh-readonly-queue/main/pr-8`"),
    ];
    for (why, event, variables, json, lane, base, warning) in cases {
        let trust = decide(event, variables, &payload(json));
        assert_eq!(trust.lane.to_string(), lane, "{why}");
        assert_eq!(trust.base.map(|base| base.to_string()).as_deref(), Some(base), "{why}");
        assert_eq!(trust.warnings, [warning], "{why}");
    }
}

#[test]
fn a_push_of_no_known_repository_is_not_trusted() {
    let runner = runner(&[("EVENT_NAME", "push"), ("REF", "refs/heads/main"), ("REPOSITORY", "x")]);
    let trust = Trust::of(&runner, &payload(&of_app("")));
    assert_eq!(trust.lane, Lane::Branch("push:main".to_owned()));
    let want =
        "the event's payload is about `btcdecoded/app`, and `GITHUB_REPOSITORY` is `nothing`";
    assert_eq!(trust.warnings, [want]);
}

#[test]
fn a_schedule_needs_no_payload_to_name_the_default_branch() {
    let of = |git_ref: &str, json: &str| {
        decide("schedule", &[("REF", git_ref)], &payload(json)).lane.to_string()
    };
    assert_eq!(of("refs/heads/trunk", r#"{"schedule":"0 2 * * *"}"#), "protected");
    assert_eq!(of("refs/heads/trunk", &of_app("")), "branch/trunk");
    assert_eq!(of("refs/heads/trunk", ""), "branch/schedule:trunk");
}

#[test]
fn a_hostile_ref_is_a_lane_of_its_own_and_never_protected() {
    let long = format!("refs/heads/{}", "x".repeat(100_000));
    let hostile = [
        ("", "branch/push:"),
        ("refs/heads/", "branch/push:refs/heads/"),
        ("refs/heads/a\nb", "branch/push:refs/heads/a_b~"),
        ("refs/heads/../../protected", "branch/push:refs/heads/../../protected"),
        ("refs/heads/-x", "branch/push:refs/heads/-x"),
        ("refs/tags/v1~1", "branch/push:refs/tags/v1~1"),
        ("refs/pull/x/merge", "branch/push:refs/pull/x/merge"),
        ("refs/pull/-7/merge", "branch/push:refs/pull/-7/merge"),
        (
            "refs/pull/18446744073709551616/merge",
            "branch/push:refs/pull/18446744073709551616/merge",
        ),
        ("refs/notes/x", "branch/push:refs/notes/x"),
        ("main", "branch/push:main"),
        (&long, "branch/push:refs/heads/xxxx"),
    ];
    for (git_ref, want) in hostile {
        // The payload agrees with the ref in everything.
        let branch = git_ref.strip_prefix("refs/heads/").unwrap_or(git_ref);
        let payload = Payload {
            repository: Some(super::super::event::RepositoryFacts {
                full_name: Some("btcdecoded/app".to_owned()),
                default_branch: Some(branch.to_owned()),
            }),
            git_ref: Some(git_ref.to_owned()),
            ..Payload::default()
        };
        let trust = decide("push", &[("REF", git_ref)], &Ok(payload));
        let lane = trust.lane.to_string();
        assert!(lane.starts_with(want) && lane.len() < 300, "{git_ref:.50}: {lane}");
        assert_eq!(lane.parse(), Ok(trust.lane), "{git_ref:.50}");
    }
}

/// Generates words from a small set, so that facts often agree.
fn word() -> impl Strategy<Value = String> {
    const WORDS: &[&str] = &[
        "main",
        "dev",
        "refs/heads/main",
        "refs/heads/dev",
        "refs/tags/v1",
        "refs/pull/7/merge",
        "refs/heads/gh-readonly-queue/main/pr-7-1",
        "btcdecoded/app",
        "mallory/app",
        "",
        "a\nb",
        "..",
    ];
    prop_oneof![4 => prop::sample::select(WORDS).prop_map(ToOwned::to_owned), 1 => ".{0,10}"]
}

prop_compose! {
    fn any_payload()(
        full_name in prop::option::of(word()), default_branch in prop::option::of(word()),
        is_pull_request: bool, number in prop::option::of(0_u64..9), base in prop::option::of(word()),
        top_number in prop::option::of(0_u64..9), git_ref in prop::option::of(word()),
        head_ref in prop::option::of(word()), base_ref in prop::option::of(word()),
    ) -> Payload {
        use super::super::event::{Base, MergeGroup, PullRequest, RepositoryFacts};
        let base = Some(Base { branch: base });
        Payload {
            repository: Some(RepositoryFacts { full_name, default_branch }),
            pull_request: is_pull_request.then_some(PullRequest { number, base }),
            number: top_number,
            merge_group: Some(MergeGroup { base_ref, head_ref }),
            git_ref,
        }
    }
}

fn any_runner(event: impl Strategy<Value = String>) -> impl Strategy<Value = Runner> {
    (event, word(), word(), any::<bool>()).prop_map(|(event, git_ref, base_ref, is_protected)| {
        let is_protected = is_protected.to_string();
        let facts = [("REF", git_ref), ("BASE_REF", base_ref), ("REF_PROTECTED", is_protected)];
        let facts = facts.iter().map(|(name, value)| (*name, value.as_str()));
        let event = [("EVENT_NAME", event.as_str())].into_iter().chain(facts);
        runner(&event.collect::<Vec<_>>())
    })
}

fn untrusted_event() -> impl Strategy<Value = String> {
    const EVENTS: &[&str] = &[
        "pull_request",
        "pull_request_target",
        "pull_request_review",
        "pull_request_review_comment",
        "merge_group",
        "workflow_run",
        "issue_comment",
        "",
    ];
    prop::sample::select(EVENTS).prop_map(str::to_owned)
}

proptest! {
    #[test]
    fn a_pull_request_is_never_protected_whatever_the_payload(
        runner in any_runner(untrusted_event()), payload in any_payload(),
    ) {
        let trust = Trust::of(&runner, &Ok(payload));
        prop_assert_ne!(trust.lane, Lane::Protected);
        prop_assert!(trust.base.is_some());
    }

    #[test]
    fn only_a_certain_push_without_a_pull_request_is_protected(
        runner in any_runner(word().prop_map(|_| "push".to_owned())), payload in any_payload(),
    ) {
        let is_pull_request = payload.pull_request.is_some();
        let names_another = payload.repository.as_ref().and_then(|it| it.full_name.as_deref())
            .is_some_and(|name| name != "btcdecoded/app");
        let trust = Trust::of(&runner, &Ok(payload));
        if trust.lane == Lane::Protected {
            prop_assert!(!is_pull_request && !names_another);
            prop_assert_eq!(trust.warnings, Vec::<String>::new());
            prop_assert_eq!(trust.base, None);
        }
    }

    #[test]
    fn every_lane_is_one_that_reads_back(
        runner in any_runner(prop_oneof![untrusted_event(), Just("push".to_owned())]), payload in any_payload(),
    ) {
        let trust = Trust::of(&runner, &Ok(payload));
        for lane in [Some(trust.lane), trust.base].into_iter().flatten() {
            prop_assert_eq!(lane.to_string().parse(), Ok(lane));
        }
    }
}
