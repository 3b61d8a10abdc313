//! Answers of programs are remembered from one command to the next, and asked for again when what they depend on has
//! changed.
//!
//! A forged record shows which answers come from it: the key is then made of the forged one.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::*;

/// Returns the records of answers in the store.
fn records(host: &Host) -> Result<Vec<PathBuf>> {
    let mut found = paths(&host.root().join("trees"))?;
    found.retain(|path| path.extension().is_some_and(|extension| extension == "answers"));
    Ok(found)
}

/// Restores until the record of answers holds `count` of them: a checkout that was made a moment ago is not evidence.
fn remember(host: &Host, count: usize) -> Result {
    for _ in 0..10 {
        host.restore()?.done()?;
        let record = records(host)?.first().map(fs::read).transpose()?.unwrap_or_default();
        let record: Value = serde_json::from_slice(&record).unwrap_or_default();
        if record["known"].as_array().is_some_and(|known| known.len() >= count) {
            return Ok(());
        }
    }
    Err("the answers are not remembered".into())
}

/// Changes the first remembered answer that `forged` takes.
fn forge(host: &Host, forged: impl Fn(&Value) -> Option<Value>) -> Result {
    let [path] = &records(host)?[..] else { return Err("one record was expected".into()) };
    let mut record: Value = serde_json::from_slice(&fs::read(path)?)?;
    let known = record["known"].as_array_mut().ok_or("no answers")?;
    let found = known.iter_mut().find_map(|it| Some((forged(&it[1])?, &mut it[1])));
    let (forged, answer) = found.ok_or("the answer is not there")?;
    *answer = forged;
    Ok(fs::write(path, serde_json::to_vec(&record)?)?)
}

/// Returns the key that a restore uses.
fn key(host: &Host) -> Result<Value> {
    Ok(host.restore()?.done()?.report["cache_key"].clone())
}

#[test]
fn an_answer_is_remembered_until_its_evidence_changes() -> Result {
    let mut host = Host::new()?;
    let asked = key(&host)?;
    remember(&host, 2)?;
    forge(&host, |answer| answer.as_str()?.starts_with("rustc ").then(|| "rustc 9.9.9".into()))?;
    let forged = key(&host)?;
    assert_ne!(forged, asked, "the record was not used");
    assert_eq!(key(&host)?, forged);
    // A variable that the compiler sees.
    host.set("RUST_BACKTRACE", "1");
    assert_eq!(key(&host)?, asked);
    Ok(())
}

/// A job of another lane may change a configuration for the moment in which cargo reads it.
#[test]
fn a_directory_that_our_rules_do_not_give_is_asked_for_again() -> Result {
    let host = Host::new()?;
    write(&host.target(), "debug/built", "there")?;
    host.save()?.done()?;
    remember(&host, 2)?;
    let planted = host.path("planted");
    forge(&host, |answer| {
        let mut answer = answer.as_object()?.clone();
        answer.insert("target_directory".to_owned(), planted.to_str()?.into());
        Some(answer.into())
    })?;
    host.lose_target()?;
    host.restore()?.done()?;
    assert!(!planted.exists(), "the planted directory was used");
    assert_eq!(fs::read_to_string(host.target().join("debug/built"))?, "there");
    Ok(())
}

#[test]
fn where_cargo_builds_is_asked_again_after_an_edit_of_a_configuration() -> Result {
    let host = Host::new()?;
    remember(&host, 2)?;
    write(&host.repo(), ".cargo/config.toml", "build.target-dir = 'elsewhere'\n")?;
    write(&host.repo(), "elsewhere/debug/built", "there")?;
    host.save()?.done()?;
    fs::remove_dir_all(host.repo().join("elsewhere"))?;
    host.restore()?.done()?;
    assert_eq!(fs::read_to_string(host.repo().join("elsewhere/debug/built"))?, "there");
    Ok(())
}

#[test]
fn an_unreadable_record_costs_a_question() -> Result {
    let host = Host::new()?;
    let asked = key(&host)?;
    remember(&host, 2)?;
    for damage in ["", "{", "[]", r#"{"answers":1}"#] {
        for path in records(&host)? {
            fs::write(path, damage)?;
        }
        assert_eq!(key(&host)?, asked, "{damage:?}");
        remember(&host, 2)?;
    }
    Ok(())
}

#[test]
fn scripts_are_asked_each_time() -> Result {
    let mut host = Host::new()?;
    host.fake_rustc("1.0.0")?;
    // The script stays as it is; only the file that it prints changes.
    let version = host.path("version");
    let script = format!("#!/bin/sh\ncat '{}'\n", version.display());
    fs::write(host.path("bin/rustc"), script)?;
    fs::write(&version, "rustc 1.0.0\n")?;
    let first = key(&host)?;
    remember(&host, 1)?;
    fs::write(&version, "rustc 2.0.0\n")?;
    assert_ne!(key(&host)?, first, "the old answer of a script was used");
    Ok(())
}
