//! Bad input gives a clear error and exit status 1; no events are sent in part.

use serde_json::{Value, json};

use super::world::{World, sha_of};
use crate::support::Result;

const PAIR: &str = "owner = 'o'\n[repos.lib]\nkind = 'library'\n\
    [repos.app]\nkind = 'binary'\ndepends = ['lib']\n";

/// Returns the payload that `lib` sends to `app`.
fn link() -> Value {
    json!({
        "schema": 1, "source": "lib", "source_sha": sha_of("lib"), "source_ref": "refs/heads/main",
        "chain_id": "42", "hop": 1, "visited": ["lib"], "commits": {},
    })
}

#[test]
fn a_hostile_or_broken_payload_is_refused_and_nothing_is_sent() -> Result {
    let world = World::new(PAIR)?;
    let with = |key: &str, value: Value| {
        let mut payload = link();
        payload[key] = value;
        payload
    };
    let mut eleven = link();
    for key in ["a", "b", "c"] {
        eleven[key] = json!(1);
    }
    #[rustfmt::skip]
    let cases = [
        ("11 keys",         eleven,                                             "it has 11 keys; GitHub takes 10"),
        ("100 kB",          with("x", json!("y".repeat(100_000))),              "bytes; 32768 is the limit"),
        ("not an object",   json!("x"),                                         "it is not a JSON object"),
        ("a command",       with("chain_id", json!("$(id)")),                   "`$(id)` is not a chain"),
        ("an output",       with("source_ref", json!("x\nbuild=true")),         "`x\\nbuild=true` is not a branch"),
        ("unknown source",  json!({
            "schema": 1, "source": "other", "source_sha": sha_of("lib"), "source_ref": "r", "chain_id": "1", "hop": 1,
            "visited": ["other"], "commits": {},
        }),                                                                     "`other` is no repo of this chain"),
        ("unknown commits", with("commits", json!({"other": sha_of("lib")})),   "`other` is no repo of this chain"),
        ("no schema",       json!({"triggered_by": 7}),                         "its sender is not a text"),
        ("an old stranger", json!({"triggered_by": "other", "source_ref": "x"}), "`other` is no repo of this chain"),
    ];
    for (why, payload, want) in cases {
        let payload = json!({"action": "build-chain", "client_payload": payload});
        let job = world.job("app", "repository_dispatch", payload);
        for command in ["receive", "dispatch"] {
            let said = world.chain_command(&job, &[command])?;
            said.fails_with(want).map_err(|error| format!("{why}, {command}: {error}"))?;
        }
    }
    assert_eq!(world.github.writes()?, 0);
    Ok(())
}

#[test]
fn an_event_without_a_rule_is_refused_and_the_rules_are_named() -> Result {
    let world = World::new(PAIR)?;
    let rules = "help: a chain handles push, pull_request";
    #[rustfmt::skip]
    let cases = [
        ("app",    "issue_comment",       json!({}),                                             "no rule for the event `issue_comment`",                                rules),
        ("app",    "release",             json!({"action": "deleted"}),                          "no rule for the event a release that is `deleted`",                    rules),
        ("app",    "repository_dispatch", json!({"action": "other", "client_payload": {}}),      "no rule for the event `repository_dispatch` of the type `other`",      rules),
        ("app",    "repository_dispatch", json!({"action": "other", "client_payload": link()}),  "its type is `other`, and `lib` sends `build-chain`",                   ""),
        ("app",    "push",                json!({"ref": 1}),                                     "cannot use the event `push`: invalid type",                            ""),
        ("nobody", "push",                json!({"ref": "refs/heads/main"}),                     "`o/nobody` is no repo of this chain",                                  "help: add it to `chain.toml`"),
    ];
    for (repo, event, payload, want, advice) in cases {
        let said = world.chain_command(&world.job(repo, event, payload), &["receive"])?;
        said.fails_with(want)?;
        said.says(advice)?;
    }
    assert_eq!(world.github.writes()?, 0);
    Ok(())
}

#[test]
fn an_event_that_cannot_be_read_is_named() -> Result {
    let world = World::new(PAIR)?;
    let job = world.push("lib");
    let nothing = world.write("nothing.json", "")?;
    world
        .chain_command_on(&job, &nothing, &["receive"])?
        .fails_with("EOF while parsing a value")?;
    let missing = nothing.with_file_name("missing.json");
    let said = world.chain_command_on(&job, &missing, &["receive"])?;
    said.fails_with("missing.json`\n  cause: No such file or directory")?;
    Ok(())
}

#[test]
fn a_run_that_does_not_say_what_it_is_is_refused() -> Result {
    let world = World::new(PAIR)?;
    let output = world.command(&["receive"]).env("GITHUB_EVENT_NAME", "push").output()?;
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr)?;
    assert!(said.contains("`GITHUB_EVENT_PATH` is not set"), "{said}");
    let output = world.command(&["receive"]).output()?;
    let said = String::from_utf8(output.stderr)?;
    assert!(said.starts_with("error: cannot use the environment: `GITHUB_EVENT_NAME` is not set\n  help: run it in a step"), "{said}");
    Ok(())
}

#[test]
fn an_unknown_repo_is_named_with_those_there_are() -> Result {
    let world = World::new(PAIR)?;
    let output = world.command(&["affected", "--changed", "ap\u{1b}p"]).output()?;
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr)?;
    assert_eq!(said, "error: `ap\\u{1b}p` is no repo of this chain: lib, app\n");
    Ok(())
}

#[test]
fn every_finding_in_the_file_has_its_place() -> Result {
    let world = World::new(PAIR)?;
    world.rewrite_chain("owner = 'o'\n[repos.lib]\nkind = 'library'\ndepends = ['ap', 'lib']\n[repos.app]\nkind = 'x'\n")?;
    let output = world.command(&["check"]).output()?;
    let said = String::from_utf8(output.stderr)?;
    assert_eq!(
        (output.status.code(), said.as_str()),
        (
            Some(1),
            "error: chain.toml:6:8: unknown variant `x`, expected one of `docs`, `library`, `binary`, `image`\n"
        )
    );
    world.rewrite_chain("owner = 'o'\n[repos.lib]\nkind = 'library'\ndepends = ['ap', 'lib']\n[repos.app]\nkind = 'docs'\n")?;
    let output = world.command(&["check", "--json"]).output()?;
    let want = json!({"findings": [
        {"line": 4, "column": 12, "message": "`ap` is no repo of this chain; `app` is"},
        {"line": 4, "column": 18, "message": "this is a cycle: lib needs lib"},
    ]});
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout)?, want);
    Ok(())
}

#[test]
fn an_api_that_cannot_be_reached_is_an_error_at_once_without_patience() -> Result {
    let world = World::new(PAIR)?;
    let job = world.push("lib");
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let event = world.write("event.json", &job.payload.to_string())?;
    let mut command = world.command(&["dispatch", "--patience", "0"]);
    command
        .env("GITHUB_API_URL", format!("http://127.0.0.1:{port}"))
        .env("GITHUB_EVENT_NAME", "push")
        .env("GITHUB_EVENT_PATH", event)
        .env("GITHUB_REPOSITORY", "o/lib")
        .env("GITHUB_SHA", sha_of("lib"))
        .env("GITHUB_REF", "refs/heads/main")
        .env("GITHUB_RUN_ID", "7");
    let output = command.output()?;
    let said = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(1));
    let url = format!("http://127.0.0.1:{port}/repos/o/app");
    assert!(said.starts_with(&format!("error: cannot reach `{url}`\n  cause: ")), "{said}");
    assert!(said.contains("Connection refused"), "{said}");
    Ok(())
}

#[test]
fn a_token_is_never_sent_in_the_clear_to_another_machine() -> Result {
    let world = World::new(PAIR)?;
    let output =
        world.command(&["resolve"]).env("GITHUB_API_URL", "http://api.github.com").output()?;
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr)?;
    assert!(
        said.contains("`GITHUB_API_URL` is `http://api.github.com`, which is no `https://`"),
        "{said}"
    );
    Ok(())
}

#[test]
fn the_examples_are_chains() -> Result {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/chain");
    let mut count = 0;
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let text = std::fs::read_to_string(&path)?;
        runner_cache::chain::Chain::parse(&path.display().to_string(), &text)?;
        count += 1;
    }
    assert_eq!(count, 2);
    Ok(())
}
