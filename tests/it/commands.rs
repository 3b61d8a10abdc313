//! Each command's output for programs, its exit status, and the files that it must not change.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::support::*;

/// Returns the names of the fields of an object, sorted.
fn fields(object: &Value) -> Vec<&str> {
    object.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

fn run(host: &Host, args: &[&str]) -> Result<Outcome> {
    let command = match args {
        [verb @ ("save" | "restore" | "guard"), rest @ ..] => host.command(verb, rest),
        [verb @ "key", rest @ ..] => {
            let mut command = host.store_command(verb, rest);
            command.arg("--repo").arg(host.repo());
            command
        }
        [verb, rest @ ..] => host.store_command(verb, rest),
        [] => return Err("no command".into()),
    };
    Outcome::of({ command }.output()?)
}

/// The page that says what the program prints for programs.
const REFERENCE: &str = include_str!("../../docs/reference.md");

/// Every command, as a script would call it.
const COMMANDS: [&[&str]; 10] = [
    &["key", "--explain"],
    &["restore"],
    &["save"],
    &["gc"],
    &["gc", "--dry-run"],
    &["checkout", "org/dep"],
    &["guard"],
    &["list"],
    &["show"],
    &["verify"],
];

#[test]
fn the_fields_of_each_object_are_those_that_the_reference_names() -> Result {
    const REPORT: &[&str] =
        &["areas", "cache_key", "hit", "matched_key", "seconds", "sources", "units"];
    const AREA: &[&str] = &["bytes", "files", "hit", "mode", "name", "seconds", "stored_bytes"];
    const DONE: &[&str] = &["generation", "matched_key"];
    const GC: &[&str] = &[
        "bytes",
        "damaged",
        "dead_leases",
        "dirs",
        "expired",
        "missing_bytes",
        "missing_inodes",
        "other_gc_runs",
        "packs",
        "stale_trees",
        "warnings",
    ];
    let host = Host::new()?;
    write(&host.target(), "debug/app", "built")?;
    let sorted = |names: &[&[&'static str]]| {
        let mut names = names.concat();
        names.sort_unstable();
        names
    };
    let area = sorted(&[AREA, DONE]);
    #[rustfmt::skip]
    let cases: [(&[&str], &str, Vec<&str>); 22] = [
        // command                         where                fields
        (&["save"],                        "",                  sorted(&[REPORT, &["reuse"]])),
        (&["save"],                        "/areas/2",          area.clone()),
        (&["save"],                        "/areas/0",          sorted(&[AREA, &["notes"]])),
        (&["save"],                        "/areas/0/notes/0",  vec!["code", "text"]),
        (&["save"],                        "/sources",          vec!["changed", "checked", "restored"]),
        (&["save"],                        "/units",            vec!["kept", "pruned"]),
        (&["save"],                        "/reuse",            vec!["built", "built_crates", "fresh", "used"]),
        (&["restore"],                     "",                  REPORT.to_vec()),
        (&["restore"],                     "/areas/2",          area),
        (&["restore"],                     "/areas/0",          AREA.to_vec()),
        (&["restore"],                     "/sources",          vec!["changed", "checked", "restored"]),
        (&["key"],                         "",                  vec!["basis", "cache_key", "dependency_keys"]),
        (&["key", "--explain"],            "",                  vec!["basis", "cache_key", "dependency_keys", "explanation"]),
        (&["key", "--explain"],            "/explanation",      vec!["changes", "components", "since", "system"]),
        (&["gc"],                          "",                  GC.to_vec()),
        (&["guard"],                       "",                  vec!["filesystems", "gc", "warnings"]),
        (&["guard"],                       "/gc",               GC.to_vec()),
        (&["guard"],                       "/filesystems/0",    vec!["after", "before", "places"]),
        (&["list"],                        "",                  vec!["generations", "pack_bytes", "packs"]),
        (&["verify"],                      "",                  vec!["bytes", "contents", "findings", "generations", "packs"]),
        (&["gc", "--dry-run"],             "",                  GC.to_vec()),
        (&["list"],                        "/generations/0",    vec!["area", "bytes", "created", "files", "job", "key", "last_used", "number", "partial", "scope", "stored_bytes"]),
    ];
    for (args, at, want) in cases {
        let outcome = run(&host, args)?.done()?;
        let object = outcome.report.pointer(at).ok_or(format!("{args:?} has no {at}"))?;
        assert_eq!(fields(object), want, "{args:?} {at}");
        let is_named = |name: &&&str| {
            [format!("`{name}`"), format!("\"{name}\"")].iter().any(|n| REFERENCE.contains(n))
        };
        let unnamed: Vec<_> = want.iter().filter(|name| !is_named(name)).collect();
        assert!(unnamed.is_empty(), "{args:?}: {unnamed:?}");
    }
    Ok(())
}

#[test]
fn the_reference_lists_the_modes_of_an_area_and_no_others() -> Result {
    let source = include_str!("../../src/job/report.rs");
    let (_, modes) = source.split_once("pub enum AreaMode {").ok_or("no modes in the source")?;
    let (modes, _) = modes.split_once("\n}").ok_or("the modes have no end")?;
    let modes: Vec<_> = modes
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with(['/', '#']) && !line.is_empty())
        .map(|line| kebab_case(line.trim_end_matches(',')))
        .collect();
    let rows = rows_below("| `mode` | of | meaning |")?;
    let listed: Vec<_> = rows.iter().map(|row| row[0].trim_matches('`')).collect();
    assert_eq!(listed, modes);
    Ok(())
}

#[test]
fn each_option_in_the_reference_is_one_of_the_commands_beside_it() -> Result {
    let host = Host::new()?;
    let names = ["key", "restore", "save", "checkout", "gc", "guard", "list", "show", "verify"];
    let mut help = BTreeMap::new();
    for name in names {
        let output = host.store_command(name, &["--help"]).output()?;
        help.insert(name, String::from_utf8(output.stdout)?);
    }
    for row in rows_below("| option | default | of | meaning |")? {
        let commands = if row[2] == "all" { names.to_vec() } else { row[2].split(", ").collect() };
        for option in row[0].split('`').filter(|text| text.starts_with("--")) {
            let option = option.split(' ').next().unwrap_or(option);
            for command in &commands {
                let help = help.get(command).ok_or(format!("there is no `{command}`"))?;
                let words = help.split(|c: char| c != '-' && !c.is_ascii_alphanumeric());
                assert!(words.into_iter().any(|word| word == option), "{command} {option}");
            }
        }
    }
    Ok(())
}

/// Returns the cells of each row of the reference's table with this head.
fn rows_below(head: &str) -> Result<Vec<Vec<&'static str>>> {
    let (_, table) = REFERENCE.split_once(head).ok_or(format!("no table `{head}`"))?;
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    Ok(rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect())
}

/// Returns the name of a variant as it stands in JSON: `InPlace` is `in-place`.
fn kebab_case(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

#[test]
fn the_header_that_show_prints_is_that_of_the_manifest() -> Result {
    let host = Host::new()?;
    write(&host.target(), "debug/app", "built")?;
    host.save()?.done()?;
    let shown = run(&host, &["show"])?.done()?.report;
    let manifest = zstd::decode_all(fs::File::open(&host.manifests()?[0])?)?;
    let first = manifest.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let first: Value = serde_json::from_slice(first)?;
    assert_eq!(shown, first["header"]);
    let format = include_str!("../../docs/FORMAT.md");
    for name in fields(&shown) {
        assert!(format.contains(&format!("`{name}`")), "{name}");
    }
    Ok(())
}

/// Damages one pack so that only reading it shows the damage.
fn damage(host: &Host) -> Result {
    let pack = host.packs()?.remove(0);
    let mut bytes = fs::read(&pack)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    Ok(fs::write(pack, bytes)?)
}

#[test]
fn the_exit_status_says_how_it_went() -> Result {
    type Plant = fn(&Host) -> Result;
    let nothing: Plant = |_| Ok(());
    let saved: Plant = |host| {
        write(&host.target(), "debug/app", "built")?;
        host.save()?.done().map(drop)
    };
    let damaged: Plant = |host| {
        write(&host.target(), "debug/app", "built")?;
        host.save()?.done()?;
        host.lose_target()?;
        damage(host)
    };
    #[rustfmt::skip]
    let cases: [(&str, Plant, &[&str], i32); 18] = [
        ("a miss",                 nothing, &["restore"],                         0),
        ("nothing to save",        nothing, &["save"],                            0),
        ("a hit",                  saved,   &["restore", "--fail-on-cache-miss"], 0),
        ("a damaged area",         damaged, &["restore"],                         0),
        ("a store that is whole",  saved,   &["verify"],                          0),
        ("nothing to drop",        saved,   &["gc"],                              0),
        ("no such generation",     saved,   &["show", "registry"],                1),
        ("no store to list",       nothing, &["list"],                            1),
        ("no repo",                nothing, &["restore", "--repo", "/nowhere"],   2),
        ("no such command",        nothing, &["restroe"],                         2),
        ("no such option",         nothing, &["gc", "--dry"],                     2),
        ("no such area",           nothing, &["save", "--areas", "home"],         2),
        ("no number",              saved,   &["gc", "--generations", "0"],        2),
        ("no lane",                nothing, &["save", "--lane", "main"],          2),
        ("no level",               nothing, &["save", "--compression-level", "20"], 2),
        ("a miss that counts",     nothing, &["restore", "--fail-on-cache-miss"], 3),
        ("damage that counts",     damaged, &["restore", "--fail-on-cache-miss"], 3),
        ("damage that is found",   damaged, &["verify"],                          4),
    ];
    for (why, plant, args, status) in cases {
        let host = Host::new()?;
        plant(&host)?;
        let outcome = run(&host, args)?;
        assert_eq!(outcome.status, Some(status), "{why}: {}", outcome.stderr);
    }
    Ok(())
}

#[test]
fn a_store_that_is_not_there_is_named_and_not_made() -> Result {
    let host = Host::new()?;
    for verb in ["list", "show", "verify", "gc"] {
        let outcome = run(&host, &[verb])?;
        assert_eq!(outcome.status, Some(1), "{verb}");
        let error = format!("error: there is no store at `{}`", host.root().display());
        outcome.says(&[&error, "  help: give the store's directory with --root"])?;
        assert!(!host.root().exists(), "{verb}");
    }
    Ok(())
}

#[test]
fn a_store_of_a_newer_program_is_left_alone_by_every_command() -> Result {
    let host = Host::new()?;
    write(&host.target(), "debug/app", "built")?;
    host.save()?.done()?;
    let path = host.root().join("store.json");
    fs::write(&path, "{\"format\": 2, \"id\": \"0123456789abcdef01234567\"}")?;
    let before = list(&host.root())?;
    for args in COMMANDS {
        let outcome = run(&host, args)?;
        assert_eq!(outcome.status, Some(1), "{args:?}");
        let error = format!("error: `{}` has format 2, this program knows 1", path.display());
        outcome.says(&[&error, "  help: use the newer runner-cache", "--root"])?;
        expect_same(&before, &host.root(), &format!("{args:?}"))?;
    }
    Ok(())
}

/// A host with one object of each kind that gc handles.
fn with_garbage() -> Result<Host> {
    let host = Host::new()?;
    for name in ["first", "second", "third"] {
        fs::create_dir_all(host.path(name))?;
        write(&host.target(), "debug/app", name)?;
        host.save()?.done()?;
    }
    // A deleted directory, a killed save, a truncated manifest.
    write(&host.path("gone"), "debug/app", "gone")?;
    host.save_with(&["--target-dir", "gone", "--key", "gone"])?.done()?;
    fs::remove_dir_all(host.path("gone"))?;
    write(&host.target(), "debug/app", "killed")?;
    crash(host.command("save", &[]), "save: packs visible")?;
    let damaged = host.manifests()?.remove(0);
    fs::write(&damaged, &fs::read(&damaged)?[..40])?;
    Ok(host)
}

#[test]
fn a_dry_run_says_what_would_go_and_changes_nothing() -> Result {
    let host = with_garbage()?;
    let before = list(&host.root())?;
    let args = ["--generations", "1"];
    for verb in ["gc", "guard"] {
        let args = [&[verb, "--dry-run"], &args[..], &ROOMY[..]].concat();
        run(&host, &args)?.done()?;
        expect_same(&before, &host.root(), verb)?;
    }
    let foreseen = host.gc(&[&args[..], &["--dry-run"]].concat())?.report;
    let done = host.gc(&args)?.report;
    for field in fields(&done) {
        assert_eq!(foreseen[field], done[field], "{field}");
    }
    let count = |field: &str| done[field].as_array().map_or(0, Vec::len);
    assert_eq!((count("expired"), count("damaged")), (1, 1), "{done}");
    assert_eq!((&done["packs"], &done["dead_leases"]), (&3.into(), &1.into()), "{done}");
    assert_ne!(list(&host.root())?, before);
    assert_eq!(host.verify()?, [] as [&str; 0]);
    Ok(())
}

#[test]
fn a_command_that_looks_changes_no_file() -> Result {
    let host = with_garbage()?;
    let files = |host: &Host| -> Result<Listing> {
        let mut files = list(&host.root())?;
        // Leases come and go.
        files.retain(|_, node| !node.is_dir());
        Ok(files)
    };
    let before = files(&host)?;
    for args in [&["key", "--explain"][..], &["list"], &["show"], &["verify"]] {
        run(&host, args)?;
        assert_eq!(differences(&before, &files(&host)?), [] as [&str; 0], "{args:?}");
    }
    Ok(())
}

/// Returns the numbers of all generations by key and job.
fn numbers(host: &Host) -> Result<BTreeMap<(String, String), Vec<u64>>> {
    let listed = run(host, &["list"])?.done()?.report;
    let mut numbers = BTreeMap::<_, Vec<_>>::new();
    for row in listed["generations"].as_array().into_iter().flatten() {
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        numbers.entry((text("key"), text("job"))).or_default().extend(row["number"].as_u64());
    }
    Ok(numbers)
}

#[test]
fn the_newest_generations_of_each_job_stay() -> Result {
    let host = Host::new()?;
    for round in 0..4 {
        for job in ["test", "clippy"] {
            write(&host.target(), "debug/app", format!("{job} {round}"))?;
            host.save_with(&["--job", job, "--key", "k"])?.done()?;
        }
    }
    write(&host.target(), "debug/app", "of another key")?;
    host.save_with(&["--job", "test", "--key", "other"])?.done()?;
    let newest = list(&host.target())?;
    for (limit, test, clippy) in [
        ("4", vec![1, 3, 5, 7], vec![2, 4, 6, 8]),
        ("2", vec![5, 7], vec![6, 8]),
        ("1", vec![7], vec![8]),
    ] {
        host.gc(&["--generations", limit])?;
        let of = |key: &str, job: &str| (key.to_owned(), job.to_owned());
        let want =
            [(of("k", "test"), test), (of("k", "clippy"), clippy), (of("other", "test"), vec![1])];
        assert_eq!(numbers(&host)?, BTreeMap::from(want), "{limit}");
        assert_eq!(host.verify()?, [] as [&str; 0], "{limit}");
    }
    host.lose_target()?;
    host.restore_with(&["--key", "other"])?.done()?;
    expect_same(&newest, &host.target(), "what no retention drops")
}

#[test]
fn series_that_nobody_used_lately_go_when_there_are_enough_others() -> Result {
    let host = Host::new()?;
    for key in ["a", "b", "c"] {
        write(&host.target(), "debug/app", key)?;
        host.save_with(&["--key", key])?.done()?;
    }
    // A minimum age of 0s still covers a whole second: wait for longer.
    std::thread::sleep(Duration::from_millis(2100));
    host.restore_with(&["--key", "a"])?.done()?;
    for (retention, want) in [
        ("target=1", vec!["a", "b", "c"]),
        ("target=3,min-age=0s", vec!["a", "b", "c"]),
        ("target=2,min-age=0s", vec!["a", "c"]),
        ("target=1,min-age=0s", vec!["a"]),
    ] {
        host.gc(&["--retention", retention])?;
        let keys: Vec<_> = numbers(&host)?.into_keys().map(|(key, _)| key).collect();
        assert_eq!(keys, want, "{retention}");
        assert_eq!(host.verify()?, [] as [&str; 0], "{retention}");
    }
    Ok(())
}

#[test]
fn the_journal_has_a_line_for_each_thing_that_happened() -> Result {
    let host = Host::new()?;
    let target = ["--areas", "target", "--job", "test"];
    host.restore_with(&target)?.done()?;
    write(&host.target(), "debug/app", "built")?;
    host.save_with(&target)?.done()?;
    host.save_with(&target)?.done()?;
    host.restore_with(&target)?.done()?;
    write(&host.target(), "debug/app", "built since")?;
    host.save_with(&target)?.done()?;
    host.gc(&["--generations", "1"])?;

    let [journal] = &paths(&host.root().join("journal"))?[..] else {
        return Err("one month was expected, or two at its turn".into());
    };
    let text = fs::read_to_string(journal)?;
    assert!(text.ends_with('\n'));
    let mut events = Vec::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line)?;
        let [seconds, nanos] = line["time"].as_array().map_or(&[][..], Vec::as_slice) else {
            return Err(format!("no time: {line}").into());
        };
        assert!(seconds.is_i64() && nanos.as_u64() < Some(1_000_000_000), "{line}");
        assert!(line["bytes"].is_u64() && line["millis"].is_u64(), "{line}");
        let names = fields(&line);
        let without = |name: &&str| *name != "generation";
        let rest: Vec<_> = names.iter().copied().filter(without).collect();
        assert_eq!(rest, ["bytes", "detail", "event", "millis", "time"], "{line}");
        let number = line["generation"]["number"].as_u64();
        events.push((
            line["event"].as_str().unwrap_or_default().to_owned(),
            number,
            line["detail"].as_str().unwrap_or_default().to_owned(),
        ));
    }
    let event = |event: &str, number, detail: &str| (event.to_owned(), number, detail.to_owned());
    let want = [
        event("miss", None, "target test"),
        event("save", Some(1), "target test"),
        event("stamp", Some(1), "target test"),
        event("restore", Some(1), "target test"),
        event("save", Some(2), "target test"),
        event("expire", Some(1), "more than 1 generation of job `test`"),
    ];
    assert_eq!(events, want);
    assert_eq!(host.leftovers()?, [] as [&Path; 0]);
    Ok(())
}
