//! Saves of failed and cancelled jobs: they help the next job, and whole generations take
//! precedence.

use std::fs;

use serde_json::Value;

use crate::support::*;

fn save(host: &Host, what: &str, args: &[&str]) -> Result<Outcome> {
    write(&host.target(), "debug/app", what)?;
    host.save_with(args)?.done()
}

fn restored(host: &Host) -> Result<(Outcome, String)> {
    host.lose_target()?;
    let outcome = host.restore()?.done()?;
    Ok((outcome, fs::read_to_string(host.target().join("debug/app"))?))
}

/// Tells for each generation of the target whether it is partial, the oldest first.
fn partial(host: &Host) -> Result<Vec<bool>> {
    let listed = Outcome::of(host.store_command("list", &[]).output()?)?.done()?.report;
    let rows = listed["generations"].as_array().into_iter().flatten();
    Ok(rows.filter(|row| row["area"] == "target").map(|row| row["partial"] == true).collect())
}

#[test]
fn the_generation_of_a_failed_job_is_a_hit_until_a_whole_one_is_there() -> Result {
    let host = Host::new()?;
    save(&host, "half", &["--partial"])?;
    let (outcome, app) = restored(&host)?;
    assert_eq!((outcome.report["hit"].as_str(), app.as_str()), (Some("exact"), "half"));
    outcome.says(&["saved by job `default`, which failed or was cancelled"])?;

    save(&host, "whole", &[])?;
    save(&host, "half again", &["--partial"])?;
    assert_eq!(partial(&host)?, [true, false, true]);
    let (outcome, app) = restored(&host)?;
    assert_eq!(app, "whole");
    let notes = outcome.area("target")["notes"].as_array().map_or(0, Vec::len);
    assert_eq!(notes, 0, "{}", outcome.stderr);
    Ok(())
}

#[test]
fn the_same_tree_becomes_whole_when_a_job_that_did_not_fail_saves_it() -> Result {
    let host = Host::new()?;
    write(&host.target(), "debug/app", "same")?;
    let steps: [(&str, &[&str], &str, &[bool]); 5] = [
        ("a failed job", &["--partial"], "published", &[true]),
        ("it failed again", &["--partial"], "unchanged", &[true]),
        ("it did not", &[], "published", &[true, false]),
        ("nor again", &[], "unchanged", &[true, false]),
        ("a failed one that changed nothing", &["--partial"], "unchanged", &[true, false]),
    ];
    for (why, args, mode, want) in steps {
        assert_eq!(host.save_with(args)?.done()?.mode("target"), mode, "{why}");
        assert_eq!(partial(&host)?, want, "{why}");
    }
    assert_eq!(host.packs()?.len(), 1, "what is whole has the contents of what was not");
    Ok(())
}

#[test]
fn failed_jobs_push_out_nothing_that_is_whole() -> Result {
    let host = Host::new()?;
    save(&host, "whole", &[])?;
    for round in 0..3 {
        save(&host, &format!("half {round}"), &["--partial"])?;
    }
    host.gc(&["--generations", "2"])?;
    assert_eq!(partial(&host)?, [false, true, true]);
    assert_eq!(restored(&host)?.1, "whole");
    Ok(())
}

#[test]
fn downloads_of_a_failed_job_are_whole() -> Result {
    let host = Host::new()?;
    lock(&host.repo(), "app", &["foo-1.0.0"])?;
    install_crate(&host.cargo_home(), "foo-1.0.0")?;
    save(&host, "half", &["--partial"])?;
    let partial_of = |area: &str| -> Result<Value> {
        let shown = Outcome::of(host.store_command("show", &[area]).output()?)?.done()?;
        Ok(shown.report["partial"].clone())
    };
    assert_eq!((partial_of("registry")?, partial_of("target")?), (Value::Null, true.into()));
    Ok(())
}
