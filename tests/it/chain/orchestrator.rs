//! One repository gets the events of all others, and builds the affected repos.

use serde_json::{Value, json};

use super::world::{World, sha_of};
use crate::support::Result;

const CHAIN: &str = include_str!("../../../examples/chain/orchestrator.toml");
const REPOS: [&str; 5] = ["consensus", "protocol", "node", "sdk", "governance-app"];

#[test]
fn a_push_tells_the_orchestrator_which_builds_what_is_affected() -> Result {
    for (changed, first_built) in
        [("consensus", 0), ("protocol", 1), ("node", 2), ("governance-app", 4)]
    {
        let world = World::new(CHAIN)?;
        world.run(&world.push(changed))?.done()?.says("sent to btcdecoded/bllvm")?;
        let jobs = world.started()?;
        assert_eq!(jobs.len(), 1);
        assert_eq!(
            (jobs[0].repo.as_str(), &jobs[0].payload["action"]),
            ("bllvm", &json!(format!("build_{changed}")))
        );
        let received = world.chain_command(&jobs[0], &["receive"])?.done()?;
        let affected = world.chain_command(&jobs[0], &["affected"])?.done()?;
        for (at, repo) in REPOS.iter().enumerate() {
            let want = (at >= first_built).to_string();
            let name = format!("build_{repo}");
            assert_eq!(
                [received.output(&name), affected.output(&name)],
                [&want, &want],
                "{changed}: {repo}"
            );
        }
        assert_eq!(received.output("build"), "true");
        let commits: Value = serde_json::from_str(received.output("commits"))?;
        assert!(REPOS[first_built..].iter().all(|repo| commits[repo] == sha_of(repo)), "{commits}");
        let resolved = world.chain_command(&jobs[0], &["resolve"])?.done()?;
        let commits: Value = serde_json::from_str(resolved.output("commits"))?;
        assert_eq!(commits[changed], sha_of(changed));
        assert_eq!(commits.as_object().map(serde_json::Map::len), Some(5));
    }
    Ok(())
}

#[test]
fn the_commit_of_a_push_is_built_and_not_what_came_after() -> Result {
    let world = World::new(CHAIN)?;
    world.run(&world.push("node"))?.done()?;
    world.github.push("btcdecoded/bllvm-node", "main", &"9".repeat(40))?;
    world.github.push("btcdecoded/bllvm-sdk", "main", &"8".repeat(40))?;
    let job = world.started()?.remove(0);
    let resolved = world.chain_command(&job, &["resolve"])?.done()?;
    assert_eq!(resolved.output("sha_node"), sha_of("node"));
    assert_eq!(resolved.output("sha_sdk"), "8".repeat(40));
    Ok(())
}

#[test]
fn an_event_that_comes_twice_is_orchestrated_once() -> Result {
    let world = World::new(CHAIN)?;
    world.github.spoil(
        &json!({"method": "POST", "path": "/dispatches$", "status": 502, "when": "after"}),
    )?;
    world.run(&world.push("protocol"))?.done()?;
    let jobs = world.started()?;
    let accepted: Vec<_> = jobs
        .iter()
        .map(|job| Ok(world.run(job)?.done()?.output("accepted").to_owned()))
        .collect::<Result<_>>()?;
    assert_eq!(accepted, ["true", "false"]);
    Ok(())
}

/// The commit of the push was `pending` for ever.
#[test]
fn the_results_of_an_orchestrator_are_written_to_the_commit_that_was_pushed() -> Result {
    #[rustfmt::skip]
    let cases: [(&str, &[&str], [&str; 4]); 4] = [
        ("success", &["node=success", "sdk=success", "governance-app=success", "consensus=skipped"],
            ["governance-app success", "node success", "sdk success", "all success"]),
        ("success", &["node=success", "sdk=success", "sdk=failure", "governance-app=skipped"],
            ["governance-app failure", "node success", "sdk failure", "all failure"]),
        // A workflow that was not written anew has no job for a new repo.
        ("success", &["node=success", "sdk=success"],
            ["governance-app failure", "node success", "sdk success", "all failure"]),
        ("failure", &[],
            ["governance-app failure", "node failure", "sdk failure", "all failure"]),
    ];
    for (result, results, want) in cases {
        let world = World::new(CHAIN)?;
        let push = world.push("node");
        world.run(&push)?.done()?;
        let job = world.started()?.remove(0);
        world.chain_command(&job, &["receive"])?.done()?;
        let results = results.join(",");
        let mut args = vec!["dispatch", "--result", result];
        if !results.is_empty() {
            args.extend(["--results", &results]);
        }
        world.chain_command(&job, &args)?.done()?;
        let log = world.github.statuses("btcdecoded/bllvm-node", &sha_of("node"))?;
        let context = format!("chain/{}/", push.run_id);
        let log: Vec<_> = log.iter().filter_map(|it| it.strip_prefix(&context)).collect();
        assert_eq!(log[0], "all pending");
        assert_eq!(log[1..], want, "{result} {results}");

        // A second run of the same event writes nothing.
        let second = world.job("bllvm", "repository_dispatch", job.payload.clone());
        let writes = world.github.writes()?;
        let said = world.chain_command(&second, &["dispatch"])?.done()?;
        said.says("has this chain")?;
        assert_eq!(world.github.writes()?, writes);
    }
    let world = World::new(CHAIN)?;
    let job = world.job("bllvm", "repository_dispatch", json!({"action": "build_all"}));
    for (results, want) in [
        ("nobody=success", "`nobody` is no repo of this chain"),
        ("node", "--results: `node` is not a repo and its result"),
    ] {
        world.chain_command(&job, &["dispatch", "--results", results])?.fails_with(want)?;
    }
    Ok(())
}

#[test]
fn events_from_before_payloads_had_versions_are_understood() -> Result {
    let world = World::new(CHAIN)?;
    #[rustfmt::skip]
    let cases = [
        ("build_governance-app", json!({"ref": "refs/heads/main", "sha": "abc", "repo": "governance-app"}), r#"["governance-app"]"#),
        ("build_sdk",            json!({"triggered_by": "bllvm-sdk", "source_sha": "5".repeat(40)}),         r#"["sdk"]"#),
        ("build_all",            json!({"nightly": true, "version": "x"}),                                  r#"["consensus","governance-app","node","protocol","sdk"]"#),
        ("build_node",           Value::Null,                                                               r#"["node"]"#),
    ];
    for (action, payload, changed) in cases {
        let payload = json!({"action": action, "client_payload": payload});
        let job = world.job("bllvm", "repository_dispatch", payload);
        let received = world.chain_command(&job, &["receive"])?.done()?;
        assert_eq!(
            (received.output("changed"), received.output("accepted")),
            (changed, "true"),
            "{action}"
        );
        let commits: Value = serde_json::from_str(received.output("commits"))?;
        assert_eq!(commits["sdk"] == "5".repeat(40), action == "build_sdk", "{action}");
    }
    let job = world.job(
        "bllvm",
        "repository_dispatch",
        json!({"action": "build_x", "client_payload": {}}),
    );
    world.chain_command(&job, &["receive"])?.fails_with("`x` is no repo of this chain")?;
    Ok(())
}

#[test]
fn at_night_all_is_built_and_a_proposal_builds_nothing() -> Result {
    let world = World::new(CHAIN)?;
    for (event, payload, build, any) in [
        ("schedule", json!({"schedule": "0 2 * * *"}), "true", "true"),
        ("workflow_dispatch", json!({"inputs": null}), "true", "true"),
        ("pull_request", json!({}), "false", "false"),
        ("push", json!({"ref": "refs/heads/main"}), "false", "false"),
    ] {
        let received =
            world.chain_command(&world.job("bllvm", event, payload), &["receive"])?.done()?;
        assert_eq!((received.output("build"), received.output("any")), (build, any), "{event}");
    }
    assert_eq!(world.github.writes()?, 0);
    Ok(())
}

#[test]
fn in_an_orchestrator_a_failed_repo_blocks_its_dependents_alone() -> Result {
    let chain = CHAIN.replace("depends = [\"node\"]", "depends = [\"protocol\"]");
    let world = World::new(&chain)?;
    let job = world.push("consensus");
    let args = ["affected", "--changed", "consensus", "--failed", "sdk"];
    let affected = world.chain_command(&job, &args)?.done()?;
    let built: Vec<_> =
        REPOS.iter().map(|repo| affected.output(&format!("build_{repo}"))).collect();
    assert_eq!(built, ["true", "true", "true", "false", "false"]);
    assert_eq!(affected.output("levels"), r#"[["consensus"],["protocol"],["node"],[]]"#);
    assert_eq!((affected.output("level_3"), affected.output("level_4")), ("true", "false"));
    Ok(())
}
