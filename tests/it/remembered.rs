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

/// Makes the record say that the compiler is another one.
fn forge(host: &Host) -> Result {
    let [path] = &records(host)?[..] else { return Err("one record was expected".into()) };
    let mut record: Value = serde_json::from_slice(&fs::read(path)?)?;
    let known = record["known"].as_object_mut().ok_or("no answers")?;
    let mut versions =
        known.values_mut().filter(|it| it.as_str().is_some_and(|text| text.starts_with("rustc ")));
    *versions.next().ok_or("the compiler's answer is not there")? = "rustc 9.9.9".into();
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
    assert_eq!(key(&host)?, asked);
    forge(&host)?;
    let forged = key(&host)?;
    assert_ne!(forged, asked, "the record was not used");
    assert_eq!(key(&host)?, forged);
    // A variable that the compiler sees.
    host.set("RUST_BACKTRACE", "1");
    assert_eq!(key(&host)?, asked);
    Ok(())
}

#[test]
fn where_cargo_builds_is_asked_again_after_an_edit_of_a_configuration() -> Result {
    let host = Host::new()?;
    host.restore()?.done()?;
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
    for damage in ["", "{", "[]", r#"{"answers":1}"#] {
        for path in records(&host)? {
            fs::write(path, damage)?;
        }
        assert_eq!(key(&host)?, asked, "{damage:?}");
        assert_eq!(records(&host)?.len(), 1);
    }
    Ok(())
}

#[test]
fn scripts_are_asked_each_time() -> Result {
    let mut host = Host::new()?;
    let real = key(&host)?;
    host.fake_rustc("1.0.0")?;
    let first = key(&host)?;
    assert_ne!(first, real);
    host.fake_rustc("2.0.0")?;
    assert_ne!(key(&host)?, first, "the old answer of a script was used");
    Ok(())
}
