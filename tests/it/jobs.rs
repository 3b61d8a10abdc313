//! The jobs of one run: they share a key, and each finds its own builds, on whichever runner it is.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::thread;

use serde_json::Value;
use walkdir::WalkDir;

use crate::support::{PROGRAM, ROOMY, noise};
use crate::workshop::Edit::Write;
use crate::workshop::Side::{Kept, Wiped};
use crate::workshop::{Result, Workshop, manifest};

/// The number of commits, and the number of jobs.
const ROUNDS: usize = 10;
const JOBS: usize = 4;

/// A kind of job: its name, its cargo command, and the units it compiles after a change of `part` or of `app`.
struct Kind(&'static str, &'static [&'static str], &'static str, &'static str);

#[rustfmt::skip]
const KINDS: [Kind; JOBS] = [
    Kind("test",   &["test", "--workspace", "--no-run"],               "part part/test app/test",     "app/test"),
    Kind("clippy", &["clippy", "--workspace", "--all-targets"],        "part part/test app app/test", "app app/test"),
    Kind("doc",    &["doc", "--workspace", "--no-deps"],               "part part/doc app/doc",       "app/doc"),
    Kind("build",  &["build", "--workspace"],                          "part app",                    "app"),
];

/// The number of crates that no commit touches, and the number of types in each. Each also has an incompressible table,
/// like crates that embed data.
const BASES: usize = 3;
const TYPES: usize = 40;
const TABLE_BYTES: usize = 5 << 20;

/// A workspace of a program and a library, and libraries beside it that make up most of the build.
fn workshop() -> Result<Workshop> {
    let bases: Vec<_> = (0..BASES).map(|index| format!("base{index}")).collect();
    let paths: Vec<_> = bases.iter().map(|name| format!("../{name}")).collect();
    let paths: Vec<_> = paths.iter().map(String::as_str).collect();
    let excluded = bases.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    let root = manifest("app", &["part"]);
    let root = format!("{root}[workspace]\nmembers = ['part']\nexclude = [{excluded}]\n");
    let mut files = vec![
        ("app/Cargo.toml".to_owned(), root),
        ("app/.gitignore".to_owned(), "/target\n".to_owned()),
        ("app/src/main.rs".to_owned(), app(0)),
        ("app/part/Cargo.toml".to_owned(), manifest("part", &paths)),
        ("app/part/src/lib.rs".to_owned(), part(0)),
    ];
    for (seed, name) in (0..).zip(&bases) {
        files.push((format!("app/{name}/Cargo.toml"), manifest(name, &[])));
        files.push((format!("app/{name}/src/lib.rs"), base()));
        files.push((format!("app/{name}/table"), table(seed)));
    }
    let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let mut shop = Workshop::new(&files)?;
    shop.environment.push(("CARGO_PROFILE_DEV_STRIP", "symbols".to_owned()));
    Ok(shop)
}

fn base() -> String {
    let mut text = "//! A library.\n\n/// What it looks things up in.\n\
        pub fn table() -> &'static [u8] {\n    include_bytes!(\"../table\")\n}\n"
        .to_owned();
    for index in 0..TYPES {
        write!(
            text,
            "/// A type.\n#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]\n\
             pub struct Type{index} {{\n/// Its name.\npub name: String,\n/// Its parts.\n\
             pub parts: Vec<Option<u64>>,\n/// Its kin.\npub kin: Option<Box<Type{index}>>,\n}}\n"
        )
        .expect("a String takes all");
    }
    text
}

fn table(seed: u64) -> String {
    const DIGITS: &[u8; 64] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
    // The maximum length of one piece of noise.
    const PIECE: usize = 1 << 16;
    let pieces = (0..).take(TABLE_BYTES / PIECE).map(|piece| noise(seed * 1000 + piece, PIECE));
    pieces.flatten().map(|byte| char::from(DIGITS[usize::from(byte % 64)])).collect()
}

fn part(round: usize) -> String {
    let uses = (0..BASES).map(|index| format!("base{index}::Type0::default().parts.len()"));
    let uses = uses.collect::<Vec<_>>().join(" + ");
    format!(
        "//! A library.\n\n/// Tells the round.\npub fn round() -> usize {{\n    {round} + {uses}\n}}\n"
    )
}

fn app(round: usize) -> String {
    format!(
        "//! A program.\n\nfn main() {{\n    println!(\"part={{}}\\napp={round}\", part::round());\n}}\n"
    )
}

/// The result of one job: the restore's report, the compiled units, and the program's output.
struct Done {
    restored: Value,
    compiled: String,
    prints: Vec<String>,
}

/// Clones, restores, builds and saves, as a job on a runner with its own directory.
fn job(shop: &Workshop) -> Result<Done> {
    shop.clone_anew()?;
    let restored = shop.restore()?;
    let built = shop.build(Wiped)?;
    shop.save()?;
    let compiled: Vec<_> = built.compiled.into_iter().collect();
    let prints = built.prints.iter().map(|(name, value)| format!("{name}={value}")).collect();
    Ok(Done { restored, compiled: compiled.join(" "), prints })
}

/// Returns the runner of a job: another one in each round, except for clippy, which knows the manifest of the workspace
/// by its absolute path.
fn runner(number: usize, round: usize) -> String {
    let others: Vec<_> = (0..JOBS).filter(|number| KINDS[*number].0 != "clippy").collect();
    let place = others.iter().position(|other| *other == number);
    let place = place.map_or(number, |place| others[(place + round) % others.len()]);
    format!("runner-{place}")
}

/// Runs a job of each kind for the first time, one after another: each restores the save of the one before, and the
/// tests restore that of the build. If all built at once at four paths, the libraries would differ in bytes, for rustc
/// writes its working directory into them, and nothing could be shared.
fn start(shop: &Workshop) -> Result {
    for number in [3, 0, 1, 2] {
        let kind = &KINDS[number];
        let mut shop = shop.clone();
        shop.move_to(&runner(number, 0));
        shop.options = vec!["--job", kind.0];
        shop.cargo = kind.1.to_vec();
        job(&shop)?;
    }
    Ok(())
}

/// Runs a job of each kind, all at once.
fn run(shop: &Workshop, round: usize) -> Result<Vec<Done>> {
    let mut done = Vec::new();
    thread::scope(|scope| {
        let run = |(number, kind): (usize, &Kind)| {
            let mut shop = shop.clone();
            shop.move_to(&runner(number, round));
            shop.options = vec!["--job", kind.0];
            shop.cargo = kind.1.to_vec();
            scope.spawn(move || job(&shop).map_err(|error| error.to_string()))
        };
        let running: Vec<_> = KINDS.iter().enumerate().map(run).collect();
        for job in running {
            done.push(job.join().map_err(|_| "a job panicked".to_owned()).flatten());
        }
    });
    done.into_iter().map(|done| done.map_err(Into::into)).collect()
}

fn sorted(words: &str) -> String {
    let mut words: Vec<_> = words.split_whitespace().collect();
    words.sort_unstable();
    words.join(" ")
}

fn gc(shop: &Workshop) -> Result {
    let mut gc = shop.command(PROGRAM, Wiped, "..");
    gc.args(["gc", "--root"]).arg(shop.store()).args(ROOMY);
    if gc.output()?.status.success() { Ok(()) } else { Err("gc failed".into()) }
}

fn bytes(dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in WalkDir::new(dir) {
        let entry = entry?;
        if entry.file_type().is_file() {
            bytes += entry.metadata()?.len();
        }
    }
    Ok(bytes)
}

/// Returns the size of a store that holds only the target of one job on its runner.
fn bytes_alone(shop: &Workshop, number: usize) -> Result<u64> {
    let mut shop = shop.clone();
    shop.move_to(&runner(number, ROUNDS));
    shop.store = KINDS[number].0;
    shop.save()?;
    bytes(&shop.store())
}

#[test]
fn four_kinds_of_job_at_once_each_compile_only_what_a_commit_changed() -> Result {
    let shop = workshop()?;
    fs::create_dir_all(shop.path(Wiped, ""))?;
    start(&shop)?;
    let mut wrong = Vec::new();
    for round in 1..=ROUNDS {
        let is_deep = round % 2 == 1;
        let (path, text) = if is_deep {
            ("app/part/src/lib.rs", part(round))
        } else {
            ("app/src/main.rs", app(round))
        };
        shop.edit(Kept, &[Write(path, &text)])?;
        shop.commit()?;
        for (kind, done) in KINDS.iter().zip(run(&shop, round)?) {
            let Kind(name, _, after_part, after_app) = kind;
            let want = sorted(if is_deep { after_part } else { after_app });
            if done.compiled != want {
                wrong.push(format!(
                    "round {round}, {name}: {} instead of {want}: {}",
                    done.compiled, done.restored
                ));
            }
            let rounds = if is_deep { (round, round - 1) } else { (round - 1, round) };
            if *name == "build"
                && done.prints != [format!("app={}", rounds.1), format!("part={}", rounds.0)]
            {
                wrong.push(format!("round {round}, {name}: stale: {:?}", done.prints));
            }
        }
        gc(&shop)?;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let all = bytes(&shop.store())?;
    let alone: Result<Vec<_>> = (0..JOBS).map(|number| bytes_alone(&shop, number)).collect();
    let alone = alone?;
    let largest = alone.iter().max().copied().unwrap_or_default();
    assert!(all * 10 <= largest * 17, "{all} bytes in all, {alone:?} alone");
    Ok(())
}
