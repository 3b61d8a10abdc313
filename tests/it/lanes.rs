//! The lanes that a job reads: its own, that of the branch it is based on, and the protected one.

use std::fs;

use crate::support::*;

/// Options of a pull request that is based on `branch/next`.
const PULL_REQUEST: [&str; 4] = ["--lane", "pr/7", "--base-lane", "branch/next"];

fn save_as(host: &Host, lane: &str, what: &str) -> Result {
    write(&host.target(), "debug/app", what)?;
    write(&host.target(), "debug/same", noise(1, 1 << 20))?;
    let saved = host.save_with(&["--lane", lane])?.done()?;
    assert_eq!(saved.mode("target"), "published", "{lane}");
    host.lose_target()
}

/// Returns what `debug/app` says after a restore, or `miss`.
fn restored(host: &Host, args: &[&str]) -> Result<String> {
    let outcome = host.restore_with(args)?.done()?;
    if outcome.report["hit"] == "miss" {
        return Ok("miss".to_owned());
    }
    let app = fs::read_to_string(host.target().join("debug/app"))?;
    host.lose_target()?;
    Ok(app)
}

#[test]
fn a_pull_request_finds_its_own_then_what_its_base_built_then_what_is_protected() -> Result {
    let host = Host::new()?;
    let without_base = &PULL_REQUEST[..2];
    assert_eq!(restored(&host, &PULL_REQUEST)?, "miss");
    save_as(&host, "pr/8", "another pull request")?;
    save_as(&host, "branch/other", "another branch")?;
    assert_eq!(restored(&host, &PULL_REQUEST)?, "miss");
    save_as(&host, "protected", "protected")?;
    assert_eq!(restored(&host, &PULL_REQUEST)?, "protected");
    save_as(&host, "branch/next", "its base")?;
    assert_eq!(restored(&host, &PULL_REQUEST)?, "its base");
    assert_eq!(restored(&host, without_base)?, "protected");
    save_as(&host, "pr/7", "its own")?;
    assert_eq!(restored(&host, &PULL_REQUEST)?, "its own");
    Ok(())
}

#[test]
fn nobody_reads_what_is_less_trusted_whatever_the_base_is_said_to_be() -> Result {
    let host = Host::new()?;
    save_as(&host, "pr/8", "a pull request")?;
    save_as(&host, "branch/next", "a branch")?;
    for args in [
        ["--lane", "protected", "--base-lane", "branch/next"],
        ["--lane", "protected", "--base-lane", "pr/8"],
        ["--lane", "branch/main", "--base-lane", "pr/8"],
        ["--lane", "pr/7", "--base-lane", "pr/8"],
    ] {
        assert_eq!(restored(&host, &args)?, "miss", "{args:?}");
    }
    Ok(())
}

#[test]
fn contents_that_the_base_has_are_not_stored_again() -> Result {
    let host = Host::new()?;
    save_as(&host, "branch/next", "its base")?;
    // Without tree records the save reads every file, and finds the content by its digest.
    host.forget_inodes()?;
    write(&host.target(), "debug/same", noise(1, 1 << 20))?;
    write(&host.target(), "debug/app", "its own")?;
    let saved = host.save_with(&PULL_REQUEST)?.done()?;
    let stored = saved.area("target")["stored_bytes"].as_u64().ok_or("no bytes")?;
    assert!((1..10_000).contains(&stored), "{stored} B were stored again");

    // A job that may not read the base stores its own content.
    write(&host.target(), "debug/app", "of another")?;
    let saved = host.save_with(&["--lane", "pr/9"])?.done()?;
    assert!(saved.area("target")["stored_bytes"].as_u64() > Some(50_000));
    Ok(())
}

#[test]
fn a_tree_that_a_pull_request_did_not_change_makes_no_generation() -> Result {
    let host = Host::new()?;
    save_as(&host, "branch/next", "its base")?;
    host.restore_with(&PULL_REQUEST)?.done()?;
    assert_eq!(host.save_with(&PULL_REQUEST)?.done()?.mode("target"), "unchanged");
    assert_eq!(host.save_with(&["--lane", "pr/9"])?.done()?.mode("target"), "published");
    Ok(())
}
