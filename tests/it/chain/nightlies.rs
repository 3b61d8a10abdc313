//! The commits of nightly builds and of releases.

use serde_json::{Value, json};

use super::world::{World, sha_of};
use crate::support::Result;

const CHAIN: &str = include_str!("../../../examples/chain/orchestrator.toml");

const VERSIONS: &str = r#"
[versions]
bllvm-consensus = { version = "0.1.0", git_tag = "v0.1.0", git_commit = "" }
bllvm-protocol = { version = "0.1.0", git_tag = "v0.1.0", requires = ["bllvm-consensus=0.1.0"] }
bllvm-node = { version = "0.1.0", git_tag = "v0.1.0", requires = ["bllvm-protocol=0.1.0"] }
bllvm-sdk = { version = "0.1.0", git_tag = "v0.1.0", binaries = ["bllvm-keygen"] }
governance-app = { version = "0.1.0", git_tag = "v0.1.0", requires = ["bllvm-sdk=0.1.0"] }

[versions.develop]
version = "0.1.1-dev.1"

[metadata]
last_updated = "2025-01-XX"
"#;

#[test]
fn a_release_is_made_of_the_tags_of_its_file() -> Result {
    let world = World::new(CHAIN)?;
    let repos = [
        ("bllvm-consensus", "1"),
        ("bllvm-protocol", "2"),
        ("bllvm-node", "3"),
        ("bllvm-sdk", "4"),
        ("governance-app", "5"),
    ];
    world.write("versions.toml", VERSIONS)?;
    let job = world.job("bllvm", "workflow_dispatch", json!({}));
    let resolve = || world.chain_command(&job, &["resolve", "--versions", "versions.toml"]);
    resolve()?.fails_with(
        "`btcdecoded/bllvm-consensus` has no `tags/v0.1.0`, or this token cannot see it",
    )?;
    for (repo, digit) in repos {
        world.github.tag(&format!("btcdecoded/{repo}"), "v0.1.0", &digit.repeat(40))?;
    }
    let resolved = resolve()?.done()?;
    assert_eq!(resolved.output("sha_consensus"), "1".repeat(40));
    let refs: Value = serde_json::from_str(resolved.output("refs"))?;
    assert_eq!(refs["governance-app"], "v0.1.0");

    let moved =
        VERSIONS.replace("git_commit = \"\"", &format!("git_commit = \"{}\"", "7".repeat(40)));
    world.write("versions.toml", &moved)?;
    resolve()?.fails_with("the tag `v0.1.0` of `btcdecoded/bllvm-consensus` is 1111111111111111111111111111111111111111, and not 7777777777777777777777777777777777777777: it was moved")?;

    let without_sdk = VERSIONS.replace("bllvm-sdk = ", "another = ");
    world.write("versions.toml", &without_sdk)?;
    resolve()?.fails_with("versions.toml:2:1: there is no entry for `bllvm-sdk`")?;
    Ok(())
}

#[test]
fn each_ref_is_looked_up_once() -> Result {
    let world = World::new(CHAIN)?;
    world.chain_command(&world.job("bllvm", "schedule", json!({})), &["resolve"])?.done()?;
    let state = world.github.state()?;
    let requests = state["requests"].as_array().ok_or("no requests")?;
    assert_eq!(requests.len(), 5);
    assert!(
        requests.iter().all(|request| request["path"]
            .as_str()
            .is_some_and(|path| path.ends_with("/commits/heads/main"))),
        "{requests:?}"
    );
    Ok(())
}

#[test]
fn a_night_without_a_change_is_skipped_and_says_so() -> Result {
    let world = World::new(CHAIN)?;
    let job = world.job("bllvm", "schedule", json!({"schedule": "0 2 * * *"}));
    let first = world.chain_command(&job, &["nightly"])?.done()?;
    assert_eq!((first.output("build"), first.output("reason")), ("true", "the first nightly"));
    let tag = first.output("tag");
    let short_sha = &sha_of("bllvm")[..7];
    assert!(
        tag.starts_with("nightly-20") && tag.ends_with(&format!("-{short_sha}")) && tag.len() == 24,
        "{tag}"
    );
    assert_eq!(first.output("target"), sha_of("bllvm"));

    let publish = |tag: &str, commits: &str| {
        world.chain_command(&job, &["nightly", "--publish", tag, "--commits", commits])
    };
    let published = publish(tag, first.output("commits"))?.done()?;
    assert!(published.output("url").ends_with(tag), "{published:?}");
    let release = world.github.state()?["releases"]["btcdecoded/bllvm"][0].clone();
    assert_eq!(
        (&release["prerelease"], &release["make_latest"], &release["draft"]),
        (&json!(true), &json!("false"), &json!(false))
    );
    assert_eq!(release["target_commitish"], sha_of("bllvm"));
    // Run again, or after a lost answer, it is the same nightly. With other commits it is another one.
    let again = publish(tag, first.output("commits"))?.done()?;
    assert_eq!(again.outputs, published.outputs);
    let other = first.output("commits").replace(&sha_of("sdk"), &"8".repeat(40));
    publish(tag, &other)?
        .fails_with("was answered with 422: Validation Failed, tag_name, already_exists")?;
    publish("v1.0.0", first.output("commits"))?.fails_with("`v1.0.0` is no tag of a nightly")?;

    let second = world.chain_command(&job, &["nightly"])?.done()?;
    assert_eq!((second.output("build"), second.output("last")), ("false", tag));
    assert_eq!(second.output("reason"), format!("skipped: nothing changed since {tag}"));

    world.github.push("btcdecoded/bllvm-sdk", "main", &"8".repeat(40))?;
    let third = world.chain_command(&job, &["nightly"])?.done()?;
    assert_eq!(
        (third.output("build"), third.output("reason")),
        ("true", format!("something changed since {tag}").as_str())
    );
    let short_sha = &sha_of("bllvm")[..8];
    assert!(third.output("tag").ends_with(&format!("-{short_sha}")), "{third:?}");
    Ok(())
}

/// The job ended with an error, and so did the job that was run again, although the nightly was there.
#[test]
fn a_nightly_whose_answer_is_lost_is_published_once_and_is_a_success() -> Result {
    let world = World::new(CHAIN)?;
    let job = world.job("bllvm", "schedule", json!({"schedule": "0 2 * * *"}));
    let plan = world.chain_command(&job, &["nightly"])?.done()?;
    let lost = json!({"method": "POST", "path": "/releases$", "status": 502, "when": "after"});
    world.github.spoil(&lost)?;
    let args = ["nightly", "--publish", plan.output("tag"), "--commits", plan.output("commits")];
    for job in [job.clone(), job.again()] {
        let published = world.chain_command(&job, &args)?.done()?;
        assert!(published.output("url").ends_with(plan.output("tag")), "{published:?}");
    }
    let releases = world.github.state()?["releases"]["btcdecoded/bllvm"].clone();
    assert_eq!(releases.as_array().map(Vec::len), Some(1));
    Ok(())
}

#[test]
fn a_nightly_is_made_of_all_repos_of_the_chain_and_no_others() -> Result {
    let world = World::new(CHAIN)?;
    let job = world.job("bllvm", "schedule", json!({}));
    for (commits, want) in [
        ("{", "--commits: EOF while parsing an object"),
        ("{}", "--commits: there is no commit for `consensus`"),
        (r#"{"consensus":"main"}"#, "`main` is not a commit"),
    ] {
        world.chain_command(&job, &["nightly", "--commits", commits])?.fails_with(want)?;
    }
    Ok(())
}
