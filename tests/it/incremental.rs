//! Incremental compilation: of each crate a save stores the newest session, as long as a unit needs it; a damaged session
//! costs a rebuild, and never a wrong build or a crash that stays. Cargo and rustc are the judges.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use runner_cache::model::digest::Digest;
use serde_json::Value;
use walkdir::WalkDir;

use crate::support::{files_named, succeed};
use crate::workshop::Edit::Write;
use crate::workshop::Side::{Kept, Wiped};
use crate::workshop::{Result, Workshop, manifest};

/// A program and a library beside it, compiled incrementally.
fn workshop() -> Result<Workshop> {
    let files = [
        ("app/Cargo.toml", &manifest("app", &["../dep"])[..]),
        ("app/.gitignore", "/target\n"),
        ("app/src/main.rs", &program(0)),
        ("dep/Cargo.toml", &manifest("dep", &[])),
        ("dep/src/lib.rs", "pub fn say(text: &[u8]) -> String { format!(\"{text:?}\") }\n"),
    ];
    let mut shop = Workshop::new(&files)?;
    shop.environment = vec![("CARGO_INCREMENTAL", "1".to_owned())];
    Ok(shop)
}

fn program(round: usize) -> String {
    format!(
        "mod other {{ pub fn say() -> String {{ dep::say(&[1, 2]) }} }}\n\
         fn main() {{ println!(\"round={{}}\\nsays={{}}\", {round}, other::say()); }}\n"
    )
}

/// Commits another program.
fn edit(shop: &Workshop, round: usize) -> Result {
    shop.edit(Kept, &[Write("app/src/main.rs", &program(round))])?;
    shop.commit()
}

/// Returns the names in each crate's directory of incremental compilation, without those of objects and the like.
fn sessions(target: &Path) -> Result<BTreeMap<PathBuf, Vec<String>>> {
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for entry in WalkDir::new(target).sort_by_file_name() {
        let entry = entry?;
        let parent = entry.path().parent().unwrap_or(target);
        if parent.parent().is_some_and(|dir| dir.ends_with("incremental")) {
            let name = entry.file_name().to_string_lossy().into_owned();
            found.entry(parent.strip_prefix(target)?.to_owned()).or_default().push(name);
        }
    }
    Ok(found)
}

/// Returns the directories of finalized sessions.
fn finalized(target: &Path, of: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for (dir, names) in sessions(target)? {
        let is_wanted = dir.file_name().is_some_and(|dir| {
            dir.to_string_lossy().rsplit_once('-').is_some_and(|(name, _)| name == of)
        });
        let names = names
            .iter()
            .filter(|name| is_wanted && !name.contains(".lock") && !name.contains("-working"));
        found.extend(names.map(|name| target.join(&dir).join(name)));
    }
    Ok(found)
}

fn lock_of(session: &Path) -> Result<PathBuf> {
    let name = session.to_str().ok_or("not UTF-8")?;
    let (stem, _) = name.rsplit_once('-').ok_or("no session")?;
    Ok(PathBuf::from(format!("{stem}.lock")))
}

/// Copies with all times.
fn copy(from: &Path, to: &Path) -> Result {
    succeed(std::process::Command::new("cp").arg("-a").arg(from).arg(to))
}

/// Expects of each crate one session with its lock, and nothing else.
fn expect_one_each(target: &Path, why: &str) -> Result {
    let all = sessions(target)?;
    assert_eq!(all.len(), 2, "{why}: {all:?}");
    for (dir, names) in all {
        let [session, lock] = &names[..] else { return Err(format!("{why}: {names:?}").into()) };
        assert_eq!(lock_of(Path::new(session))?, Path::new(lock), "{why}: {}", dir.display());
        assert!(!session.ends_with("-working"), "{why}: {session}");
    }
    Ok(())
}

fn notes(report: &Value) -> Vec<&str> {
    let areas = report["areas"].as_array().into_iter().flatten();
    let target = areas.filter(|area| area["name"] == "target");
    let notes = target.flat_map(|area| area["notes"].as_array().into_iter().flatten());
    notes.filter_map(|note| note["code"].as_str()).collect()
}

/// Rustc removes older sessions only once they are ten seconds old, so quick builds leave several.
#[test]
fn of_each_crate_the_newest_session_is_stored_and_nothing_else() -> Result {
    let mut shop = workshop()?;
    shop.clone_anew()?;
    shop.build(Wiped)?;
    let target = shop.path(Wiped, "app/target");
    let aside = shop.store().with_file_name("aside");
    let old = finalized(&target, "app")?.pop().ok_or("no session")?;
    let (old, old_lock) = (old.clone(), lock_of(&old)?);
    fs::create_dir(&aside)?;
    copy(&old, &aside.join("session"))?;
    copy(&old_lock, &aside.join("lock"))?;
    edit(&shop, 1)?;
    shop.edit(Wiped, &[Write("app/src/main.rs", &program(1))])?;
    shop.build(Wiped)?;
    let new = finalized(&target, "app")?.into_iter().max().ok_or("no session")?;
    for hot in [false, true] {
        if !old.exists() {
            copy(&aside.join("session"), &old)?;
            copy(&aside.join("lock"), &old_lock)?;
        }
        let working = old.with_file_name("s-zzzzzzzzzz-1-working");
        copy(&aside.join("session"), &working)?;
        for lock in ["s-zzzzzzzzzz-1.lock", "s-zzzzzzzzzz-2.lock"] {
            copy(&aside.join("lock"), &old.with_file_name(lock))?;
        }
        // Newer than all, and without a lock rustc does not use it.
        copy(&aside.join("session"), &old.with_file_name("s-zzzzzzzzzz-3-4"))?;
        let before = sessions(&target)?;
        if hot {
            shop.options = vec!["--hot-trees", "2"];
        }
        shop.save()?;
        if hot {
            assert!(!target.exists());
        } else {
            assert_eq!(sessions(&target)?, before, "a save removes nothing");
            shop.clone_anew()?;
        }
        let restored = shop.restore()?;
        let mode = &restored["areas"].as_array().ok_or("no areas")?;
        let mode = mode.iter().find(|area| area["name"] == "target").map(|area| &area["mode"]);
        assert_eq!(mode, Some(&Value::from(if hot { "move" } else { "unpack" })), "{restored}");
        expect_one_each(&target, if hot { "hot" } else { "unpacked" })?;
        assert!(new.exists(), "the newest");
        assert_eq!(shop.build(Wiped)?.compiled, BTreeSet::new());
    }
    edit(&shop, 2)?;
    shop.clone_anew()?;
    shop.restore()?;
    let inodes = |session: &Path| -> Result<BTreeSet<u64>> {
        let objects = files_named(session, ".o")?;
        objects.iter().map(|path| Ok(path.metadata()?.ino())).collect()
    };
    let restored = inodes(&new)?;
    let built = shop.build(Wiped)?;
    assert_eq!((built.compiled.len(), &built.prints["round"][..]), (1, "2"));
    // Rustc started from it, and linked what did not change.
    let newer = finalized(&target, "app")?.into_iter().max().ok_or("no session")?;
    assert_ne!(newer.file_name(), new.file_name());
    assert!(!inodes(&newer)?.is_disjoint(&restored));
    Ok(())
}

/// Returns the digests of the objects of a session.
fn objects(session: &Path) -> Result<BTreeSet<Digest>> {
    let files = files_named(session, ".o")?;
    files.iter().map(|path| Ok(Digest::of(&fs::read(path)?))).collect()
}

#[test]
fn a_unit_that_leaves_takes_its_session_along_and_no_other() -> Result {
    for triple in [None, Some("--target=x86_64-unknown-linux-gnu")] {
        let mut shop = workshop()?;
        let with = |args: &[&'static str]| args.iter().copied().chain(triple).collect::<Vec<_>>();
        let target = shop.path(Wiped, "app/target");
        shop.clone_anew()?;
        for args in [&["check"][..], &["test", "--no-run"]] {
            shop.cargo = with(args);
            shop.build(Wiped)?;
        }
        let others: BTreeSet<_> = sessions(&target)?.into_keys().collect();
        shop.cargo = with(&["build"]);
        shop.build(Wiped)?;
        let own: Vec<_> =
            sessions(&target)?.into_keys().filter(|dir| !others.contains(dir)).collect();
        shop.save()?;
        shop.clone_anew()?;
        shop.restore()?;
        assert_eq!(sessions(&target)?.len(), others.len() + own.len(), "all are in use");

        edit(&shop, 1)?;
        shop.clone_anew()?;
        shop.restore()?;
        assert_eq!(shop.build(Wiped)?.compiled, BTreeSet::from(["app".to_owned()]));
        save(&shop, &["--unit-saves", "1"])?;
        shop.clone_anew()?;
        shop.restore()?;
        let left: Vec<_> = sessions(&target)?.into_keys().collect();
        // `test` shares the library with `build`, which is not compiled again.
        assert!(own.iter().all(|dir| left.contains(dir)), "{own:?} {left:?}");
        let shared: Vec<_> = left.iter().filter(|dir| !own.contains(dir)).collect();
        let is_dep = |dir: &&PathBuf| dir.to_string_lossy().contains("/dep-");
        assert!(shared.len() == 1 && shared.iter().all(is_dep), "{own:?} {left:?}");
    }
    Ok(())
}

#[test]
fn a_job_without_incremental_compilation_stores_no_sessions() -> Result {
    let mut shop = workshop()?;
    let target = shop.path(Wiped, "app/target");
    shop.clone_anew()?;
    shop.build(Wiped)?;
    shop.save()?;
    shop.environment = vec![("CARGO_INCREMENTAL", "0".to_owned())];
    for round in 0..2 {
        shop.clone_anew()?;
        shop.restore()?;
        // At first it is given a tree of the other key.
        assert_eq!(sessions(&target)?.len(), if round == 0 { 2 } else { 0 }, "round {round}");
        shop.build(Wiped)?;
        shop.save()?;
    }
    Ok(())
}

/// Cargo keeps the session of the last success where the code does not compile.
#[test]
fn a_build_that_fails_keeps_the_sessions_that_it_began_with() -> Result {
    let shop = workshop()?;
    let target = shop.path(Wiped, "app/target");
    shop.clone_anew()?;
    shop.build(Wiped)?;
    let before = sessions(&target)?;
    let broken = "fn main() { let x: u8 = \"\"; }\n";
    shop.edit(Wiped, &[Write("app/src/main.rs", broken)])?;
    assert!(shop.build(Wiped).is_err());
    let saved = save(&shop, &["--partial"])?;
    assert!(!notes(&saved).contains(&"sessions-left"), "{saved}");
    shop.clone_anew()?;
    shop.restore()?;
    assert_eq!(sessions(&target)?, before);
    Ok(())
}

fn save(shop: &Workshop, args: &[&str]) -> Result<Value> {
    let output = shop.runner_cache_command("save").args(args).output()?;
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// What is done to a file of a session.
type Harm = fn(&mut Vec<u8>);

const FLIP_THE_MIDDLE: Harm = |bytes| {
    let (from, count) = (bytes.len() / 4, bytes.len() / 2);
    bytes.iter_mut().skip(from).take(count).for_each(|byte| *byte ^= 0x5a);
};

const HALVE: Harm = |bytes| bytes.truncate(bytes.len() / 2);

const EMPTY: Harm = Vec::clear;

/// Rustc panics again and again over such a session, or does not link, and nothing that cargo does removes it. A job that
/// failed is no candidate beside a whole one of which cargo reuses as much, so without a word in its header the whole
/// one, which has the session, would be restored for ever.
#[test]
fn a_damaged_session_costs_a_rebuild_and_no_crash_stays() -> Result {
    #[rustfmt::skip]
    let cases: [(&str, &str, Harm, bool); 7] = [
        //file                 what                      whether it fails for sure
        ("dep-graph.bin",      "flipped",  FLIP_THE_MIDDLE, true),
        ("dep-graph.bin",      "halved",   HALVE,           false),
        ("dep-graph.bin",      "emptied",  EMPTY,           false),
        ("query-cache.bin",    "flipped",  FLIP_THE_MIDDLE, true),
        ("query-cache.bin",    "halved",   HALVE,           false),
        ("work-products.bin",  "flipped",  FLIP_THE_MIDDLE, true),
        (".o",                 "emptied",  EMPTY,           true),
    ];
    for (index, (name, what, harm, fails)) in cases.into_iter().enumerate() {
        let mut shop = workshop()?;
        let is_hot = index % 2 == 0;
        if is_hot {
            shop.options = vec!["--hot-trees", "2"];
        }
        let why = format!("{name} {what}, {}", if is_hot { "hot" } else { "packed" });
        let target = shop.path(Wiped, "app/target");
        shop.clone_anew()?;
        shop.build(Wiped)?;
        let session = finalized(&target, "app")?.pop().ok_or("no session")?;
        for path in files_named(&session, name)? {
            let mut bytes = fs::read(&path)?;
            harm(&mut bytes);
            // It may be a hard link of what is not damaged.
            fs::remove_file(&path)?;
            fs::write(&path, bytes)?;
        }
        shop.save()?;

        edit(&shop, 1)?;
        shop.clone_anew()?;
        shop.restore()?;
        let built = shop.build(Wiped);
        let has_failed = built.is_err();
        assert!(has_failed || !fails, "{why}");
        if let Ok(built) = built {
            assert_eq!(built.prints["round"], "1", "{why}");
        }
        let saved = if has_failed { save(&shop, &["--partial"])? } else { shop.save()? };
        assert!(notes(&saved).contains(&"sessions-left"), "{why}: {saved}");

        edit(&shop, 2)?;
        shop.clone_anew()?;
        shop.restore()?;
        assert_eq!(finalized(&target, "app")?, [] as [PathBuf; 0], "{why}");
        assert_eq!(finalized(&target, "dep")?.len(), 1, "{why}: of this one nobody complained");
        let built = shop.build(Wiped).map_err(|error| format!("{why}: {error}"))?;
        assert_eq!(built.prints["round"], "2", "{why}");
        let saved = shop.save()?;
        assert!(!notes(&saved).contains(&"sessions-left"), "{why}: said once: {saved}");
    }
    Ok(())
}

/// The program stays fresh, and with it the warning. It says nothing of the sessions that other units of the crate begin
/// later.
#[test]
fn an_old_complaint_costs_a_crate_its_sessions_once() -> Result {
    let mut shop = workshop()?;
    let target = shop.path(Wiped, "app/target");
    shop.clone_anew()?;
    shop.build(Wiped)?;
    let session = finalized(&target, "app")?.pop().ok_or("no session")?;
    let dep_graph = session.join("dep-graph.bin");
    fs::remove_file(&dep_graph)?;
    fs::write(&dep_graph, "")?;
    shop.edit(Wiped, &[Write("app/src/main.rs", &program(1))])?;
    edit(&shop, 1)?;
    shop.build(Wiped)?;
    assert!(notes(&shop.save()?).contains(&"sessions-left"));

    shop.cargo = vec!["test", "--no-run"];
    shop.clone_anew()?;
    shop.restore()?;
    assert_eq!(finalized(&target, "app")?, [] as [PathBuf; 0]);
    assert_eq!(shop.build(Wiped)?.compiled, BTreeSet::from(["app/test".to_owned()]));
    assert!(!notes(&shop.save()?).contains(&"sessions-left"));
    let of_test = finalized(&target, "app")?;
    shop.clone_anew()?;
    shop.restore()?;
    assert_eq!((of_test.len(), finalized(&target, "app")?), (1, of_test.clone()));
    Ok(())
}

/// A runner that cancels a job kills rustc: nothing is wrong with the session that rustc began with.
#[test]
fn the_session_of_a_killed_rustc_is_left_out_and_the_one_before_stays() -> Result {
    let mut shop = workshop()?;
    let wrapper = shop.path(Wiped, "").with_file_name("wrapper");
    let deadly = wrapper.with_file_name("deadly");
    let script = format!(
        "#!/bin/sh\n\
         if [ -e '{}' ]; then case \"$*\" in *'--crate-name app '*)\n\
         \"$@\" & while ! ls target/debug/incremental/app-*/*-working >/dev/null 2>&1; do :; done; kill -9 $!; exit 1;;\n\
         esac; fi\nexec \"$@\"\n",
        deadly.display()
    );
    fs::write(&wrapper, script)?;
    fs::set_permissions(&wrapper, PermissionsExt::from_mode(0o755))?;
    shop.environment.push(("RUSTC_WRAPPER", wrapper.to_str().ok_or("not UTF-8")?.to_owned()));
    let target = shop.path(Wiped, "app/target");
    shop.clone_anew()?;
    shop.build(Wiped)?;
    let before = sessions(&target)?;

    shop.edit(Wiped, &[Write("app/src/main.rs", &program(1))])?;
    edit(&shop, 1)?;
    fs::write(&deadly, "")?;
    assert!(shop.build(Wiped).is_err());
    fs::remove_file(&deadly)?;
    let all = sessions(&target)?;
    assert!(all.values().flatten().any(|name| name.ends_with("-working")), "{all:?}");
    let saved = save(&shop, &["--partial"])?;
    assert!(!notes(&saved).contains(&"sessions-left"), "{saved}");
    shop.clone_anew()?;
    shop.restore()?;
    assert_eq!(sessions(&target)?, before);
    assert_eq!(shop.build(Wiped)?.prints["round"], "1");
    Ok(())
}

/// Returns the digests of all contents in these packs.
fn contents(packs: &BTreeSet<PathBuf>) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for pack in packs {
        let mut pack = tar::Archive::new(zstd::Decoder::new(fs::File::open(pack)?)?);
        for entry in pack.entries()? {
            found.insert(entry?.path()?.to_string_lossy().into_owned());
        }
    }
    Ok(found)
}

#[test]
fn what_a_session_shares_with_the_last_is_stored_once() -> Result {
    let mut text = String::new();
    for module in 0..24 {
        write!(text, "pub mod m{module} {{ ")?;
        for function in 0..4 {
            write!(
                text,
                "#[inline(never)] pub fn f{function}(x: u64) -> String {{ let mut v = vec![x; {module}]; v.sort(); \
                 format!(\"{{v:?}} {function}\") }} "
            )?;
        }
        text.push_str("}\n");
    }
    let calls: Vec<_> = (0..24).map(|module| format!("m{module}::f0(1).len()")).collect();
    let main = |more: u32| {
        format!("{text}fn main() {{ println!(\"says={{}}\", {} + {more}); }}\n", calls.join(" + "))
    };
    let shop = workshop()?;
    let packs = || -> Result<BTreeSet<PathBuf>> {
        Ok(files_named(&shop.store().join("packs"), ".tar.zst")?.into_iter().collect())
    };
    shop.edit(Kept, &[Write("app/src/main.rs", &main(0))])?;
    shop.commit()?;
    shop.clone_anew()?;
    shop.build(Wiped)?;
    shop.save()?;
    let target = shop.path(Wiped, "app/target");
    let objects = || -> Result<BTreeSet<String>> {
        let session = finalized(&target, "app")?.into_iter().max().ok_or("no session")?;
        Ok(objects(&session)?.iter().map(ToString::to_string).collect())
    };
    let (before, old_packs) = (objects()?, packs()?);
    assert!(before.is_subset(&contents(&old_packs)?), "all are in packs, by their digest");

    shop.edit(Kept, &[Write("app/src/main.rs", &main(1))])?;
    shop.commit()?;
    shop.clone_anew()?;
    shop.restore()?;
    shop.build(Wiped)?;
    shop.save()?;
    let new = contents(&packs()?.difference(&old_packs).cloned().collect())?;
    let after = objects()?;
    let same: BTreeSet<_> = before.intersection(&after).cloned().collect();
    assert!(same.len() * 10 >= after.len() * 8, "{} of {}", same.len(), after.len());
    let again: Vec<_> = same.intersection(&new).collect();
    assert!(again.is_empty(), "stored again: {again:?}");
    assert!(after.difference(&before).all(|digest| new.contains(digest)));
    Ok(())
}
