//! Events that come twice or are lost, answers that are late or missing, and loops.

use serde_json::json;

use super::world::{DIAMOND, Job, World, sha_of};
use crate::support::Result;

/// Two repos.
const PAIR: &str = "owner = 'o'\n[repos.lib]\nkind = 'library'\n\
    [repos.app]\nkind = 'binary'\ndepends = ['lib']\n";

#[test]
fn a_request_that_fails_is_made_again_until_it_succeeds() -> Result {
    #[rustfmt::skip]
    let faults = [
        ("a server in trouble", json!({"status": 503, "times": 2})),
        ("too many requests",   json!({"status": 429, "headers": {"Retry-After": "1"}})),
        ("a secondary limit",   json!({"status": 403, "headers": {"Retry-After": "1"}, "body": {"message": "You have exceeded a secondary rate limit."}})),
        ("a limit that resets", json!({"status": 403, "headers": {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "0"}})),
        ("no JSON",             json!({"status": 502, "body": "<html>"})),
    ];
    for (why, mut fault) in faults {
        let world = World::new(PAIR)?;
        fault["method"] = json!("POST");
        fault["path"] = json!("/dispatches$");
        world.github.spoil(&fault)?;
        let said = world.run(&world.push("lib"))?.done()?;
        said.says("trying again in").map_err(|error| format!("{why}: {error}"))?;
        said.says("sent to o/app")?;
        assert_eq!(world.github.dispatches()?.len(), 1, "{why}");
    }
    Ok(())
}

#[test]
fn an_event_whose_answer_is_lost_is_sent_twice_and_built_once() -> Result {
    let world = World::new(PAIR)?;
    world.github.spoil(
        &json!({"method": "POST", "path": "/dispatches$", "status": 502, "when": "after"}),
    )?;
    world.walk(&world.push("lib"))?;
    assert_eq!(world.github.dispatches()?.len(), 2);
    assert_eq!(world.names_built(), ["app"]);
    Ok(())
}

#[test]
fn events_that_come_twice_at_the_same_time_are_built_once() -> Result {
    for _ in 0..3 {
        let world = World::new(PAIR)?;
        world.github.spoil(&json!({"method": "POST", "path": "/dispatches$", "status": 502, "when": "after", "times": 2}))?;
        world.walk_at_once(&world.push("lib"))?;
        assert_eq!(world.github.dispatches()?.len(), 3);
        assert_eq!(world.names_built(), ["app"]);
    }
    Ok(())
}

#[test]
fn a_status_whose_answer_is_lost_changes_nothing() -> Result {
    let world = World::new(DIAMOND)?;
    let fault =
        json!({"method": "POST", "path": "/statuses/", "status": 500, "when": "after", "times": 4});
    world.github.spoil(&fault)?;
    world.walk_at_once(&world.push("start"))?;
    let mut built = world.names_built();
    built.sort();
    assert_eq!(built, ["after-left", "end", "left", "right"]);
    Ok(())
}

#[test]
fn a_log_that_is_shown_late_is_waited_for() -> Result {
    let world = World::with(DIAMOND, json!({"stale_lists": 6}))?;
    world.walk(&world.push("start"))?;
    let mut built = world.names_built();
    built.sort();
    assert_eq!(built, ["after-left", "end", "left", "right"]);
    Ok(())
}

/// A list without the run's own entry ended the chain without an error.
#[test]
fn a_list_that_does_not_show_the_own_entry_decides_nothing() -> Result {
    for result in ["success", "failure"] {
        let world = World::new(PAIR)?;
        let push = world.push("lib");
        world.run(&push)?.done()?;
        let app = world.started()?.remove(0);
        world.chain_command(&app, &["receive"])?.done()?;
        // This list shows only the entry of `lib`.
        world.github.spoil(&json!({
            "method": "GET", "path": "/statuses$", "status": 200, "body": [
                {"id": 1, "state": "success", "context": format!("chain/{}/lib", push.run_id)},
            ],
        }))?;
        world.chain_command(&app, &["dispatch", "--result", result])?.done()?;
        let log = world.github.statuses("o/lib", &sha_of("lib"))?;
        let last = log.last().ok_or("no entry")?;
        assert_eq!(last, &format!("chain/{}/app {result}", push.run_id));
    }
    Ok(())
}

/// Nothing may look as if the chain had come to its end.
#[test]
fn an_entry_that_does_not_show_in_time_is_an_error() -> Result {
    let world = World::new(PAIR)?;
    let push = world.push("lib");
    world.run(&push)?.done()?;
    let app = world.started()?.remove(0);
    let empty =
        json!({"method": "GET", "path": "/statuses$", "status": 200, "body": [], "times": 1000});
    world.github.spoil(&empty)?;
    let said = world.chain_command(&app, &["receive"])?;
    let path = format!("/repos/o/lib/commits/{}/statuses?per_page=100&page=1", sha_of("lib"));
    said.fails_with(&format!(
        "cannot tell how the chain stands: `GET {path}` did not show the statuses of `chain/{}/app` for 30 s",
        push.run_id
    ))?;
    said.says("run the job again when GitHub shows all statuses")?;
    assert!(world.names_built().is_empty());
    Ok(())
}

#[test]
fn a_log_that_is_shown_late_and_torn_builds_each_repo_once() -> Result {
    for torn in [false, true] {
        let world = World::with(DIAMOND, json!({"lag_seconds": 1.5, "torn": torn}))?;
        let twice = json!({"method": "POST", "path": "/dispatches$", "status": 502, "when": "after", "times": 3});
        world.github.spoil(&twice)?;
        world.walk_at_once(&world.push("start"))?;
        let mut built = world.names_built();
        built.sort();
        assert_eq!(built, ["after-left", "end", "left", "right"], "torn: {torn}");
    }
    Ok(())
}

#[test]
fn a_second_run_of_a_repo_does_nothing_and_says_whose_it_is() -> Result {
    let world = World::new(PAIR)?;
    world.run(&world.push("lib"))?.done()?;
    let first = world.started()?.remove(0);
    world.run(&first)?.done()?;
    let second = world.job("app", "repository_dispatch", first.payload.clone());
    let received = world.run(&second)?.done()?;
    assert_eq!(received.output("accepted"), "false");
    for plan in ["checks", "build", "downstream", "artifacts"] {
        assert_eq!(received.output(plan), "false", "{plan}");
    }
    let url = format!("https://github.com/o/app/actions/runs/{}", first.run_id);
    assert_eq!(
        received.output("reason"),
        format!("a duplicate: `{url}` has `app` of the chain 1000")
    );
    let dispatched = world.chain_command(&second, &["dispatch"])?.done()?;
    dispatched.says("nothing is sent")?;
    assert_eq!(world.names_built(), ["app"]);
    Ok(())
}

#[test]
fn a_run_that_is_repeated_goes_on_and_makes_nothing_be_built_twice() -> Result {
    let world = World::new(DIAMOND)?;
    let push = world.push("start");
    world.walk(&push)?;
    let sent = world.github.dispatches()?.len();
    let said = world.run(&push.again())?.done()?;
    said.says("left is being built already")?;
    assert_eq!(world.github.dispatches()?.len(), sent);
    Ok(())
}

#[test]
fn a_link_that_one_run_lost_is_sent_when_another_is_repeated() -> Result {
    let world = World::new(DIAMOND)?;
    world.run(&world.push("start"))?.done()?;
    let jobs = world.started()?;
    let of = |repo: &str| jobs.iter().find(|job| job.repo == repo).ok_or("no such job");
    let (left, right): (&Job, &Job) = (of("left")?, of("right")?);
    world.run(left)?.done()?;
    // The last repo fails between its entry in the log and the event.
    world.github.spoil(&json!({"method": "POST", "path": "end/dispatches$", "status": 422}))?;
    world.run(right)?.fails_with("cannot send an event to `o/end`; none was sent")?;
    world.run(&left.again())?.done()?.says("sent to o/end")?;
    Ok(())
}

#[test]
fn an_event_that_comes_too_early_is_left_to_the_last() -> Result {
    let world = World::new(DIAMOND)?;
    world.run(&world.push("start"))?.done()?;
    let left = world.started()?.into_iter().find(|job| job.repo == "left").ok_or("no left")?;
    let mut payload = left.payload.clone();
    payload["client_payload"]["visited"] = json!(["start", "left"]);
    payload["client_payload"]["hop"] = json!(2);
    let received = world.run(&world.job("end", "repository_dispatch", payload))?.done()?;
    assert_eq!(received.output("accepted"), "false");
    assert_eq!(received.output("reason"), "too early: `end` waits for left, right");
    assert!(world.names_built().is_empty());
    Ok(())
}

#[test]
fn a_chain_that_comes_back_to_a_repo_ends_there() -> Result {
    // One repo has a file that sends the chain back to its source.
    let bent = "owner = 'o'\n[repos.app]\nkind = 'binary'\n\
        [repos.lib]\nkind = 'library'\ndepends = ['app']\n";
    let world = World::new(PAIR)?;
    world.run(&world.push("lib"))?.done()?;
    let app = world.started()?.remove(0);
    let received = world.chain_command(&app, &["receive"])?.done()?;
    assert_eq!(received.output("accepted"), "true");
    world.rewrite_chain(bent)?;
    let said = world.chain_command(&app, &["dispatch"])?;
    said.fails_with("`app` does not depend on `lib`")?;
    assert_eq!(world.github.dispatches()?.len(), 1);

    // An event that lists the repo as visited is dropped, with either file.
    let mut payload = app.payload;
    payload["client_payload"]["visited"] = json!(["lib", "app"]);
    payload["client_payload"]["hop"] = json!(2);
    for chain in [bent, PAIR] {
        world.rewrite_chain(chain)?;
        for repo in ["lib", "app"] {
            let job = world.job(repo, "repository_dispatch", payload.clone());
            let received = world.run(&job)?.done()?;
            assert_eq!(
                received.output("reason"),
                format!("a loop: the chain 1000 was in `{repo}` before")
            );
            assert_eq!(received.output("build"), "false");
        }
    }
    assert!(world.names_built().is_empty());
    Ok(())
}

#[test]
fn a_loop_in_the_file_stops_everything_before_it_begins() -> Result {
    let world = World::new(PAIR)?;
    let looped = "owner = 'o'\n[repos.lib]\nkind = 'library'\ndepends = ['app']\n\
        [repos.app]\nkind = 'binary'\ndepends = ['lib']\n";
    world.rewrite_chain(looped)?;
    let push = world.push("lib");
    for command in ["check", "receive", "dispatch", "show", "affected", "resolve", "nightly"] {
        let said = world.chain_command(&push, &[command])?;
        said.fails_with("chain.toml:4:12: this is a cycle: lib needs app needs lib")?;
    }
    assert_eq!(world.github.state()?["requests"], json!([]));
    Ok(())
}

#[test]
fn sent_events_are_listed_when_not_all_could_be_sent() -> Result {
    let world = World::new(DIAMOND)?;
    world.github.spoil(&json!({"method": "POST", "path": "left/dispatches$", "status": 422, "body": {"message": "spammed"}}))?;
    let said = world.run(&world.push("start"))?;
    said.fails_with("error: cannot send an event to `o/left`; sent to `o/right`")?;
    said.fails_with("cause: `POST /repos/o/left/dispatches` was answered with 422: spammed")?;
    let receivers: Vec<_> = world.github.dispatches()?.into_iter().map(|(name, _)| name).collect();
    assert_eq!(receivers, ["right"]);
    Ok(())
}

#[test]
fn a_dry_run_prints_the_requests_and_needs_no_token() -> Result {
    let mut world = World::new(DIAMOND)?;
    world.use_token(None);
    let said = world.chain_command(&world.push("start"), &["dispatch", "--dry-run"])?.done()?;
    let first = said.stdout.lines().next();
    assert_eq!(first, Some("POST /repos/o/left/dispatches"));
    assert!(
        said.stdout.contains(&format!("\"source_sha\": \"{}\"", sha_of("start"))),
        "{}",
        said.stdout
    );
    said.says("would send 2 requests")?;
    assert_eq!(world.github.state()?["requests"], json!([]));
    Ok(())
}
