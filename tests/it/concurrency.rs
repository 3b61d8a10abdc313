//! Many processes at once: none loses, mixes up or sees half of anything.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};
use std::time::{Duration, Instant};

use runner_cache::store::{Purpose, Store};
use serde_json::Value;

use crate::support::*;

#[test]
fn areas_that_are_saved_at_once_never_mix() -> Result {
    let host = Host::new()?;
    lock(&host.repo(), "app", &["foo-1.0.0"])?;
    install_crate(&host.cargo_home(), "foo-1.0.0")?;
    let names = ["a", "b", "c", "d", "e", "f"];
    let mut args = Vec::new();
    for name in names {
        host.check_out(name, name, &[])?;
        args.extend(["--dependency", name]);
    }
    for round in 0..10 {
        write(&host.target(), "of", format!("app {round}"))?;
        for name in names {
            write(&host.path(name), "target/of", format!("{name} {round}"))?;
        }
        let saved = host.save_with(&args)?.done()?;
        let areas = saved.areas();
        let published = areas.iter().filter(|area| area.ends_with("-target published miss"));
        assert_eq!(published.count(), names.len(), "{round}: {}", saved.stderr);
        for dir in ["repo"].iter().chain(&names) {
            fs::remove_dir_all(host.path(dir).join("target"))?;
        }
        host.restore_with(&args)?.done()?;
        assert_eq!(fs::read_to_string(host.target().join("of"))?, format!("app {round}"));
        for name in names {
            let of = fs::read_to_string(host.path(name).join("target/of"))?;
            assert_eq!(of, format!("{name} {round}"));
        }
    }
    assert_eq!(host.leftovers()?, [] as [&Path; 0]);
    Ok(())
}

/// Builds a tree in which every file names the tree and the file, and returns its listing.
fn build(target: &Path, of: &str) -> Result<Listing> {
    if target.exists() {
        fs::remove_dir_all(target)?;
    }
    for number in 0..20 {
        write(target, format!("debug/deps/{number}"), format!("{of}, file {number}"))?;
    }
    fs::hard_link(target.join("debug/deps/0"), target.join("debug/app"))?;
    write(target, "debug/same", "in all of them")?;
    list(target)
}

#[test]
fn savers_of_one_series_never_share_a_number() -> Result {
    const SAVERS: usize = 8;
    let host = Host::new()?;
    let mut trees = Vec::new();
    let mut savers = Vec::new();
    for saver in 0..SAVERS {
        let dir = format!("target-{saver}");
        trees.push(build(&host.path(&dir), &dir)?);
    }
    for saver in 0..SAVERS {
        let dir = format!("target-{saver}");
        savers.push(spawn(&mut host.command("save", &["--target-dir", &dir]))?);
    }
    let mut numbers = Vec::new();
    for (saver, tree) in savers.into_iter().zip(&trees) {
        let saved = join(saver)?.done()?;
        assert_eq!(saved.areas(), ["target published miss"]);
        let generation = saved.area("target")["generation"].as_str().unwrap_or_default();
        let (_, number) = generation.rsplit_once(['/', '#']).ok_or("a generation has a number")?;
        numbers.push((number.to_owned(), tree));
    }
    numbers.sort_by(|(a, _), (b, _)| a.cmp(b));
    numbers.dedup_by(|(a, _), (b, _)| a == b);
    assert_eq!((numbers.len(), host.manifests()?.len()), (SAVERS, SAVERS));
    assert_eq!(host.verify()?, [] as [&str; 0]);

    // Each generation holds the tree of the saver that got its number.
    let aside: Vec<_> = host.manifests()?.iter().map(|path| path.with_extension("aside")).collect();
    for (manifest, aside) in host.manifests()?.iter().zip(&aside) {
        fs::rename(manifest, aside)?;
    }
    for ((_, tree), aside) in numbers.iter().zip(&aside) {
        fs::rename(aside, aside.with_extension("zst"))?;
        host.restore()?.done()?;
        expect_same(tree, &host.target(), "the tree of a saver")?;
        fs::remove_file(aside.with_extension("zst"))?;
    }
    Ok(())
}

/// Processes rarely meet between the search for a number and the rename that takes it. Threads that
/// begin on a signal do.
#[test]
fn savers_that_publish_at_one_instant_never_share_a_number() -> Result {
    const SAVERS: usize = 16;
    let host = Host::new()?;
    build(&host.target(), "all of them")?;
    host.save()?.done()?;
    let store = Store::open(&host.root())?;
    let (generations, _) = store.generations()?;
    let [generation] = &generations[..] else { return Err("one generation expected".into()) };
    let manifest = store.read_unleased(&generation.id)?;
    let signal = Barrier::new(SAVERS);
    let publish = || {
        let lease = store.lease(Purpose::Save).map_err(|error| error.to_string())?;
        signal.wait();
        let id = store.publish(&lease, &manifest).map_err(|error| error.to_string())?;
        Ok::<_, String>(u64::from(id.number))
    };
    let numbers = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..SAVERS).map(|_| scope.spawn(publish)).collect();
        let published = threads.into_iter().map(|thread| thread.join().expect("it returns errors"));
        published.collect::<std::result::Result<BTreeSet<_>, _>>()
    })?;
    assert_eq!(numbers, (2..=1 + SAVERS as u64).collect());
    assert_eq!(host.manifests()?.len(), 1 + SAVERS);
    assert_eq!(host.verify()?, [] as [&str; 0]);
    Ok(())
}

/// Long enough for any two processes to meet at any two points.
const A_WHILE: Duration = Duration::from_secs(5);

#[test]
fn every_restore_among_others_is_a_miss_or_a_tree_that_was_saved() -> Result {
    let host = Host::new()?;
    let first = build(&host.target(), "the first")?;
    host.save()?.done()?;
    let saved = Mutex::new(HashMap::from([("the first".to_owned(), first)]));
    let end = Instant::now() + A_WHILE;
    let counts = [(); 3].map(|()| AtomicUsize::new(0));
    let [saved_count, restored_count, expired_count] = &counts;
    let save = |saver: usize| -> Result {
        let dir = format!("target-{saver}");
        for round in 0.. {
            let of = format!("saver {saver} round {round}");
            let listing = build(&host.path(&dir), &of)?;
            saved.lock().map_err(|error| error.to_string())?.insert(of, listing);
            host.save_with(&["--target-dir", &dir])?.done()?;
            saved_count.fetch_add(1, Ordering::Relaxed);
            if Instant::now() > end {
                break;
            }
        }
        Ok(())
    };
    let restore = |restorer: usize| -> Result {
        let dir = format!("restored-{restorer}");
        let target = host.path(&dir);
        while Instant::now() < end {
            // Every second restore goes over the leftovers of the last one.
            if restored_count.load(Ordering::Relaxed) % 2 == 0 && target.exists() {
                fs::remove_dir_all(&target)?;
            }
            let before = list(&target)?;
            let restored = host.restore_with(&["--target-dir", &dir])?.done()?;
            let area = restored.area("target");
            if area["mode"] == "nothing" {
                expect_same(&before, &target, "what a miss left")?;
                continue;
            }
            assert_eq!(area["hit"], "exact", "{}", restored.stderr);
            assert_eq!(area["warnings"], Value::Null, "{}", restored.stderr);
            let text = fs::read_to_string(target.join("debug/app"))?;
            let of = text.split(',').next().unwrap_or_default();
            let saved = saved.lock().map_err(|error| error.to_string())?;
            expect_same(saved.get(of).ok_or("never saved")?, &target, of)?;
            restored_count.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    };
    let gc = || -> Result {
        while Instant::now() < end {
            let report = host.gc(&["--generations", "1"])?.report;
            expired_count
                .fetch_add(report["expired"].as_array().map_or(0, Vec::len), Ordering::Relaxed);
        }
        Ok(())
    };
    std::thread::scope(|scope| -> Result {
        let told = |result: Result| result.map_err(|error| error.to_string());
        let (save, restore, gc) = (&save, &restore, &gc);
        let mut all = Vec::new();
        for number in 0..3 {
            all.push(scope.spawn(move || told(save(number))));
        }
        for number in 0..2 {
            all.push(scope.spawn(move || told(restore(number))));
        }
        all.push(scope.spawn(move || told(gc())));
        for thread in all {
            thread.join().map_err(|_| "a thread panicked")??;
        }
        Ok(())
    })?;
    for (what, count) in ["saves", "restores", "expired generations"].iter().zip(&counts) {
        assert!(count.load(Ordering::Relaxed) > 2, "only {count:?} {what}: nothing met");
    }
    host.gc(&["--generations", "1"])?;
    assert_eq!(host.verify()?, [] as [&str; 0]);
    assert_eq!(host.leftovers()?, [] as [&Path; 0]);
    assert_eq!(host.manifests()?.len(), 1);
    Ok(())
}

#[test]
fn restores_into_one_home_at_once_leave_every_crate_whole() -> Result {
    let names: Vec<String> = (0..10).map(|number| format!("crate{number}-1.0.0")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let host = Host::new()?;
    let home = host.cargo_home();
    lock(&host.repo(), "app", &names)?;
    for name in &names {
        install_crate(&home, name)?;
    }
    let wanted = list(&home.join("registry"))?;
    host.save()?.done()?;
    for round in 0..5 {
        fs::remove_dir_all(&home)?;
        let all: Result<Vec<_>> =
            (0..3).map(|_| spawn(&mut host.command("restore", &["--areas", "registry"]))).collect();
        for running in all? {
            let restored = join(running)?.done()?;
            assert_eq!(restored.area("registry")["hit"], "exact", "{round}: {}", restored.stderr);
        }
        let mut now = list(&home.join("registry"))?;
        // Directories get new times from the files of others.
        let is_file = |node: &Node| !node.is_dir();
        now.retain(|_, node| is_file(node));
        let mut wanted = wanted.clone();
        wanted.retain(|_, node| is_file(node));
        assert_eq!(differences(&wanted, &now), [] as [&str; 0], "{round}");
        assert_eq!(host.leftovers()?, [] as [&Path; 0], "{round}");
    }
    assert_eq!(host.verify()?, [] as [&str; 0]);
    Ok(())
}
