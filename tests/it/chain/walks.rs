//! A change goes from repo to repo: each builds once, in order.

use serde_json::json;

use super::world::{DIAMOND, World, sha_of};
use crate::support::Result;

const FIVE_REPOS: &str = include_str!("../../../examples/chain/dispatch.toml");

#[test]
fn a_push_to_the_specification_walks_to_the_node_and_builds_each_repo_once() -> Result {
    let world = World::new(FIVE_REPOS)?;
    let push = world.push("bllvm-spec");
    world.walk(&push)?;
    let repos = ["bllvm-consensus", "bllvm-protocol", "bllvm-sdk", "bllvm-node"];
    let want: Vec<_> = repos.iter().map(|repo| format!("{repo} {}", sha_of(repo))).collect();
    assert_eq!(world.built(), want);

    let dispatches = world.github.dispatches()?;
    let receivers: Vec<_> = dispatches.iter().map(|(repository, _)| repository.as_str()).collect();
    assert_eq!(receivers, repos);
    let last = &dispatches[3].1;
    assert_eq!(last["event_type"], "build-chain");
    let payload = &last["client_payload"];
    assert_eq!(payload["source"], "bllvm-spec");
    assert_eq!(payload["source_sha"], sha_of("bllvm-spec"));
    assert_eq!(payload["source_ref"], "refs/heads/main");
    assert_eq!(payload["chain_id"], push.run_id.to_string());
    assert_eq!(payload["hop"], 4);
    assert_eq!(
        payload["visited"],
        json!(["bllvm-spec", "bllvm-consensus", "bllvm-protocol", "bllvm-sdk"])
    );

    let log = world.github.statuses("btcdecoded/bllvm-spec", &sha_of("bllvm-spec"))?;
    let id = push.run_id;
    let mut want = vec![format!("chain/{id}/bllvm-spec success")];
    for repo in repos {
        want.push(format!("chain/{id}/{repo} pending"));
        want.push(format!("chain/{id}/{repo} success"));
    }
    assert_eq!(log, want);
    Ok(())
}

#[test]
fn a_push_in_the_middle_builds_what_comes_after_and_nothing_else() -> Result {
    let world = World::new(FIVE_REPOS)?;
    world.walk(&world.push("bllvm-sdk"))?;
    assert_eq!(world.names_built(), ["bllvm-node"]);
    Ok(())
}

#[test]
fn a_push_during_a_chain_does_not_change_the_commit_that_the_chain_builds() -> Result {
    let world = World::new(FIVE_REPOS)?;
    world.run(&world.push("bllvm-spec"))?.done()?;
    world.github.push("btcdecoded/bllvm-node", "main", &"9".repeat(40))?;
    for _ in 0..4 {
        for job in world.started()? {
            world.run(&job)?.done()?;
        }
    }
    assert_eq!(world.built()[3], format!("bllvm-node {}", sha_of("bllvm-node")));
    Ok(())
}

#[test]
fn branches_that_part_join_once_both_are_done() -> Result {
    for order in [["left", "right"], ["right", "left"]] {
        let world = World::new(DIAMOND)?;
        world.run(&world.push("start"))?.done()?;
        let mut jobs = world.started()?;
        jobs.sort_by_key(|job| order.iter().position(|repo| *repo == job.repo));
        let waits = world.run(&jobs[0])?.done()?;
        waits.says(&format!("end waits for {}", order[1]))?;
        world.walk(&jobs[1])?;
        let mut built = world.names_built();
        assert_eq!(built[..2], order);
        built.sort();
        assert_eq!(built, ["after-left", "end", "left", "right"], "{order:?}");
        let ends = world.github.dispatches()?;
        let ends: Vec<_> = ends.iter().filter(|(repository, _)| repository == "end").collect();
        assert_eq!(ends.len(), 1, "{order:?}");
    }
    Ok(())
}

#[test]
fn branches_that_are_done_at_the_same_time_join_once() -> Result {
    for _ in 0..3 {
        let world = World::new(DIAMOND)?;
        world.walk_at_once(&world.push("start"))?;
        let mut built = world.names_built();
        built.sort();
        assert_eq!(built, ["after-left", "end", "left", "right"]);
        let ends = world.github.dispatches()?;
        assert_eq!(ends.iter().filter(|(repository, _)| repository == "end").count(), 1);
    }
    Ok(())
}

#[test]
fn a_joined_repo_gets_the_commits_of_both_branches() -> Result {
    let world = World::new(DIAMOND)?;
    world.run(&world.push("start"))?.done()?;
    for job in world.started()? {
        world.run(&job)?.done()?;
    }
    let jobs = world.started()?;
    let end = jobs.iter().find(|job| job.repo == "end").ok_or("no end")?;
    let received = world.chain_command(end, &["receive"])?.done()?;
    let want: Vec<_> =
        ["left", "right"].iter().map(|repo| format!("o/{repo}@{}", sha_of(repo))).collect();
    assert_eq!(received.output("dependencies"), want.join("\n"));
    let commits: serde_json::Value = serde_json::from_str(received.output("commits"))?;
    assert_eq!(commits["start"], sha_of("start"));
    assert_eq!(commits["end"], received.output("sha"));
    assert_eq!(received.output("source"), "start");
    Ok(())
}

#[test]
fn a_repo_that_cannot_be_built_blocks_its_dependents_and_no_others() -> Result {
    let world = World::new(DIAMOND)?;
    world.break_build("left");
    world.run(&world.push("start"))?.done()?;
    let jobs = world.started()?;
    for job in &jobs {
        let said = world.run(job)?.done()?;
        if job.repo == "left" {
            said.says("not built because of this: after-left, end")?;
        } else {
            said.says("end waits for left")?;
        }
    }
    assert!(world.started()?.is_empty());
    assert_eq!(world.names_built(), ["left", "right"]);

    // Run again, it succeeds: the repos that it blocked are built, and no others.
    world.mend_build("left");
    let left = jobs.iter().find(|job| job.repo == "left").ok_or("no left")?;
    world.walk(&left.again())?;
    let mut built = world.names_built();
    built.sort();
    assert_eq!(built, ["after-left", "end", "left", "left", "right"]);
    Ok(())
}

#[test]
fn a_release_makes_artifacts_all_the_way() -> Result {
    let world = World::new(FIVE_REPOS)?;
    let payload = json!({"action": "published", "release": {"tag_name": "v1.2.0"}});
    let release = world.job("bllvm-consensus", "release", payload);
    let received = world.chain_command(&release, &["receive"])?.done()?;
    assert_eq!(received.output("artifacts"), "true");
    world.run(&release)?.done()?;
    let next = world.started()?.remove(0);
    let received = world.chain_command(&next, &["receive"])?.done()?;
    assert_eq!((next.repo.as_str(), received.output("artifacts")), ("bllvm-protocol", "true"));
    assert_eq!(received.output("version"), "v1.2.0");
    assert_eq!(received.output("source-ref"), "refs/tags/v1.2.0");
    Ok(())
}

#[test]
fn a_proposed_change_is_checked_and_starts_nothing() -> Result {
    let world = World::new(FIVE_REPOS)?;
    for (event, payload) in [
        ("pull_request", json!({"action": "opened", "number": 7})),
        ("push", json!({"ref": "refs/heads/feature/x"})),
        ("workflow_dispatch", json!({"inputs": {}})),
    ] {
        let job = world.job("bllvm-protocol", event, payload);
        let received = world.chain_command(&job, &["receive"])?.done()?;
        assert_eq!(
            (received.output("checks"), received.output("downstream")),
            ("true", "false"),
            "{event}"
        );
        assert_eq!(received.output("sha"), sha_of("bllvm-protocol"));
        world.chain_command(&job, &["dispatch"])?.done()?.says("nothing is sent")?;
    }
    assert_eq!(world.github.writes()?, 0);
    Ok(())
}

#[test]
fn every_boolean_output_is_true_or_false() -> Result {
    let world = World::new(FIVE_REPOS)?;
    let job = world.job("bllvm-sdk", "pull_request", json!({}));
    let received = world.chain_command(&job, &["receive"])?.done()?;
    let affected = world.chain_command(&job, &["affected", "--changed", "bllvm-node"])?.done()?;
    let booleans = ["accepted", "checks", "build", "downstream", "artifacts", "any"];
    let is_boolean = |name: &&String| {
        booleans.contains(&name.as_str())
            || name.starts_with("build_")
            || name.starts_with("level_")
    };
    for said in [&received, &affected] {
        let found: Vec<_> = said.outputs.iter().filter(|(name, _)| is_boolean(name)).collect();
        assert!(found.len() >= 9, "{found:?}");
        for (name, value) in found {
            assert!(["true", "false"].contains(&value.as_str()), "{name}={value:?}");
        }
    }
    assert_eq!(affected.output("build_bllvm-node"), "true");
    assert_eq!(affected.output("build_bllvm-spec"), "false");
    assert_eq!(affected.output("matrix_2"), r#"{"include":[]}"#);
    let matrix: serde_json::Value = serde_json::from_str(affected.output("matrix_1"))?;
    let want = json!({"include": [{
        "repo": "bllvm-node", "repository": "btcdecoded/bllvm-node", "kind": "binary",
        "runner": ["self-hosted", "linux", "x64"], "package": "bllvm-node", "features": "", "timeout-minutes": 90,
    }]});
    assert_eq!(matrix, want);
    Ok(())
}
