use crate::model::quantity::ByteSize;
use std::error::Error;
use std::fs;

use super::*;
use crate::store::sample::{image, pack, save};
use crate::store::{Purpose, TreeRecord};
use crate::upkeep::verify::verify;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const DAY: i64 = 86_400;

fn new_store() -> Result<(tempfile::TempDir, Store)> {
    let dir = tempfile::tempdir()?;
    let store = Store::open_or_init(&dir.path().join("store"))?;
    Ok((dir, store))
}

fn days(days: i64) -> Timestamp {
    Timestamp::new(days * DAY, 0)
}

fn collect(store: &Store, pressure: Option<&Pressure>, mode: GcMode) -> Result<GcReport> {
    let policy = Policy::default();
    Ok(gc(store, pressure, Options { policy: &policy, readable: &[], now: days(100), mode })?)
}

fn generations(store: &Store) -> Result<Vec<String>> {
    let (generations, _) = store.generations()?;
    Ok(generations.iter().map(|generation| generation.id.to_string()).collect())
}

/// Writes format `format` into the manifest of `id`.
fn set_format(store: &Store, id: &GenerationId, format: u32) -> Result {
    let path = store.generation_path(id);
    let text = String::from_utf8(zstd::decode_all(&fs::read(&path)?[..])?)?;
    let text = text.replacen(r#"{"manifest":1"#, &format!(r#"{{"manifest":{format}"#), 1);
    fs::write(&path, zstd::encode_all(text.as_bytes(), 1)?)?;
    Ok(())
}

/// Returns a store with something of every kind that gc removes.
fn full_store() -> Result<(tempfile::TempDir, Store)> {
    let (dir, store) = new_store()?;
    for secs in 1..=5 {
        save(&store, "protected target k", 99 * DAY + secs, &[&[&secs.to_string()], &["shared"]])?;
    }
    for (pr, unused) in [(1, 90), (2, 91), (3, 92), (4, 93)] {
        save(&store, &format!("pr/{pr} target k"), unused * DAY, &[&["old", &pr.to_string()]])?;
    }
    let damaged = save(&store, "branch/x target k", 99 * DAY, &[&["damaged"]])?;
    fs::write(store.generation_path(&damaged), "no zstd frame")?;
    let lease = store.lease(Purpose::Save)?;
    pack(&store, &lease, &["unnamed"])?;
    fs::write(store.root().join("leases/dead"), "")?;
    let generation = save(&store, "branch/y target k", 99 * DAY, &[&["y"]])?;
    let record = TreeRecord { generation, owner: None, inodes: [].into() };
    store.record_tree(dir.path(), "another boot", &record)?;
    Ok((dir, store))
}

#[test]
fn a_dry_run_changes_nothing_and_tells_what_a_run_then_does() -> Result {
    let (_dir, store) = full_store()?;
    let before = image(store.root())?;
    let foreseen = collect(&store, None, GcMode::DryRun)?;
    assert_eq!(image(store.root())?, before);
    assert!(!store.root().join("gc.lock").exists());

    let stored_bytes = |image: &[(crate::model::rel_path::RelPath, Vec<u8>)]| -> u64 {
        let kept = image.iter().filter(|(path, _)| {
            path.as_bytes().starts_with(b"packs") || path.as_bytes().starts_with(b"series")
        });
        kept.map(|(_, bytes)| bytes.len() as u64).sum()
    };
    let done = collect(&store, None, GcMode::Execute)?;
    assert_eq!(done.bytes, stored_bytes(&before) - stored_bytes(&image(store.root())?));
    assert_eq!(serde_json::to_value(&done)?, serde_json::to_value(&foreseen)?);
    let ids: Vec<_> = done.expired.iter().map(|expired| expired.id.to_string()).collect();
    assert_eq!(
        ids,
        ["a/b@protected target k #1", "a/b@protected target k #2", "a/b@pr/1 target k #1"]
    );
    // Two packs of `k`, one of the pull request, one of the damaged manifest, and one that no
    // manifest names.
    assert_eq!((done.packs, done.damaged.len(), done.dead_leases, done.stale_trees), (5, 1, 1, 1));
    assert!(done.warnings.is_empty(), "{:?}", done.warnings);
    assert_eq!(verify(&store)?.findings, []);
    let again = collect(&store, None, GcMode::Execute)?;
    assert_eq!(serde_json::to_value(again)?, serde_json::to_value(GcReport::default())?);
    Ok(())
}

#[test]
fn the_journal_says_what_went_and_why() -> Result {
    let (_dir, store) = full_store()?;
    collect(&store, None, GcMode::Execute)?;
    let text = fs::read_to_string(store.root().join("journal/1970-04.jsonl"))?;
    let events: Vec<Event> =
        text.lines().map(serde_json::from_str).collect::<std::result::Result<_, _>>()?;
    let details: Vec<_> =
        events.iter().map(|event| (event.event.as_str(), event.detail.as_str())).collect();
    let superseded = ("expire", "more than 3 generations of job `test`");
    let unused =
        "series unused for 10 days, beyond the 3 most recently used target series of pull requests";
    assert_eq!(details[..3], [superseded, superseded, ("expire", unused)]);
    assert!(details[3].1.contains("is damaged: "), "{}", details[3].1);
    assert_eq!(details.len(), 4);
    Ok(())
}

#[test]
fn of_two_gcs_one_does_the_work() -> Result {
    let (_dir, store) = full_store()?;
    let lock = store.gc_lock()?;
    let before = image(store.root())?;
    let report = collect(&store, None, GcMode::Execute)?;
    assert!(report.other_gc_runs && lock.is_some());
    assert_eq!(image(store.root())?, before);
    Ok(())
}

#[test]
fn a_manifest_of_a_newer_program_keeps_every_pack_and_stops_eviction() -> Result {
    let (_dir, store) = full_store()?;
    let newer = save(&store, "branch/z target k", 99 * DAY, &[&["newer"]])?;
    set_format(&store, &newer, 2)?;
    let packs = store.packs()?.packs;
    let pressure = Pressure { max_size: Some(ByteSize(0)), ..Pressure::default() };
    let foreseen = collect(&store, Some(&pressure), GcMode::DryRun)?;
    let done = collect(&store, Some(&pressure), GcMode::Execute)?;
    assert_eq!(serde_json::to_value(&done)?, serde_json::to_value(foreseen)?);
    assert_eq!((done.expired.len(), done.packs), (3, 0), "the policy goes on, eviction does not");
    assert_eq!(store.packs()?.packs, packs);
    let path = store.generation_path(&newer);
    assert!(path.exists());
    let warning = format!(
        "`{}` has format 2, this program knows 1; gc removes no pack while this manifest exists",
        path.display()
    );
    let said: Vec<_> = done.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(said, [warning]);
    Ok(())
}

#[test]
fn a_store_that_is_too_large_shrinks_to_its_size() -> Result {
    let (_dir, store) = new_store()?;
    save(&store, "protected target k", 99 * DAY, &[&["protected"]])?;
    save(&store, "pr/1 target k", 99 * DAY, &[&["first"]])?;
    save(&store, "pr/2 target k", 98 * DAY, &[&["second"]])?;
    let lease = store.lease(Purpose::Restore)?;
    let in_use = save(&store, "pr/3 target k", 97 * DAY, &[&["third"]])?;
    store.read(&lease, &in_use)?;
    let size: u64 = store.packs()?.packs.iter().map(|(_, bytes)| bytes).sum::<u64>()
        + store.generations()?.0.iter().map(|generation| generation.manifest_bytes).sum::<u64>();
    let at_most = |bytes| Pressure {
        max_size: Some(ByteSize(bytes)),
        disk_threshold: "100%".parse().expect("a percentage"),
        min_free: Some(ByteSize(0)),
        ..Pressure::default()
    };

    assert_eq!(collect(&store, Some(&at_most(size)), GcMode::Execute)?.expired, []);
    collect(&store, Some(&at_most(size - 1)), GcMode::Execute)?;
    assert_eq!(
        generations(&store)?,
        ["a/b@pr/1 target k #1", "a/b@pr/3 target k #1", "a/b@protected target k #1"]
    );
    let report = collect(&store, Some(&at_most(0)), GcMode::Execute)?;
    assert_eq!(generations(&store)?, ["a/b@pr/3 target k #1"]);
    assert!(report.missing_bytes > 0);
    assert_eq!(report.warnings, [Warning::MissingBytes(report.missing_bytes)]);
    Ok(())
}

#[test]
fn files_of_a_live_job_are_neither_promised_nor_removed() -> Result {
    let (_dir, store) = new_store()?;
    let lease = store.lease(Purpose::Save)?;
    pack(&store, &lease, &["about to be named"])?;
    for secs in 1..=4 {
        save(&store, "protected target k", 99 * DAY + secs, &[&[&secs.to_string()]])?;
    }
    let series = crate::store::sample::series("protected target k");
    let first = crate::model::manifest::GenerationNumber::FIRST;
    store.read(&lease, &GenerationId { series, number: first })?;
    for mode in [GcMode::DryRun, GcMode::Execute] {
        let report = collect(&store, None, mode)?;
        assert_eq!((report.expired.len(), report.packs, report.bytes), (0, 0, 0), "{mode:?}");
    }
    Ok(())
}

#[test]
fn a_series_lives_by_its_stamp_and_not_by_its_age() -> Result {
    let (_dir, store) = new_store()?;
    for (key, last_used) in [("a", 90), ("b", 91), ("c", 92), ("d", 93)] {
        let id = save(&store, &format!("protected target {key}"), 10 * DAY, &[&[key]])?;
        store.stamp(&id.series, days(last_used))?;
    }
    let report = collect(&store, None, GcMode::Execute)?;
    let ids: Vec<_> = report.expired.iter().map(|expired| expired.id.to_string()).collect();
    assert_eq!(ids, ["a/b@protected target a #1"]);
    Ok(())
}
