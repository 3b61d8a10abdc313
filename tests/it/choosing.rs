//! The generation that a restore takes: the one of which cargo reuses most. Cargo is the judge.
//!
//! The first version preferred the exact key, whichever job had saved it. After each bump of a dependency the job that
//! came second got the tree of the first and compiled nearly everything, and no restore said so.

use serde_json::Value;

use crate::workshop::Edit::{Git, Write};
use crate::workshop::Side::{Kept, Wiped};
use crate::workshop::{Result, Workshop, manifest};

const LIBRARIES: [&str; 4] = ["one", "two", "three", "four"];

/// A program that uses four libraries, each in its own package of the workspace.
fn workshop() -> Result<Workshop> {
    let mut files = vec![
        ("app/Cargo.toml".to_owned(), app_manifest()),
        ("app/.gitignore".to_owned(), "/target\n".to_owned()),
        (
            "app/src/main.rs".to_owned(),
            "fn main() { println!(\"one={}\", one::SAY); }\n".to_owned(),
        ),
    ];
    for name in LIBRARIES {
        files.push((format!("app/{name}/Cargo.toml"), manifest(name, &[])));
        files.push((format!("app/{name}/src/lib.rs"), "pub const SAY: u32 = 1;\n".to_owned()));
    }
    let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    Workshop::new(&files)
}

fn app_manifest() -> String {
    let members = LIBRARIES.map(|name| format!("'{name}'")).join(", ");
    format!("{}[workspace]\nmembers = [{members}]\n", manifest("app", &LIBRARIES))
}

/// The result of one job.
struct Done {
    compiled: Vec<String>,
    /// The crates that the restore forecast.
    foretold: Vec<String>,
    hit: String,
    notes: String,
}

/// Clones, restores, runs cargo and saves, as the job `name` does; saves with `--partial` after a red one.
fn job(shop: &mut Workshop, name: &'static str, cargo: &'static str, is_red: bool) -> Result<Done> {
    run_job(shop, name, &[cargo], is_red)
}

fn run_job(
    shop: &mut Workshop,
    name: &'static str,
    cargo: &[&'static str],
    is_red: bool,
) -> Result<Done> {
    shop.options = vec!["--job", name];
    shop.cargo = cargo.to_vec();
    shop.clone_anew()?;
    let restored = shop.restore()?;
    let built = shop.build(Wiped)?;
    shop.options.extend(is_red.then_some("--partial"));
    shop.runner_cache_command("save").output()?;
    let rebuilds = restored["rebuilds"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut foretold: Vec<_> = rebuilds.iter().map(|rebuild| text(&rebuild["crate"])).collect();
    foretold.sort();
    let areas = restored["areas"].as_array().into_iter().flatten();
    let target: Vec<_> = areas.filter(|area| area["name"] == "target").collect();
    Ok(Done {
        compiled: built.compiled.into_iter().collect(),
        foretold,
        hit: target.iter().map(|area| text(&area["hit"])).collect(),
        notes: target.iter().map(|area| area["notes"].to_string()).collect(),
    })
}

/// Gives a library another version, and updates the lock file.
fn bump(shop: &Workshop, name: &str, version: &str) -> Result {
    let text = manifest(name, &[]).replace("0.1.0", version);
    shop.edit(Kept, &[Write(&format!("app/{name}/Cargo.toml"), &text)])?;
    let mut cargo = shop.command("cargo", Kept, "app");
    let updated = cargo.args(["update", "--offline", "--workspace", "-q"]).output()?;
    assert!(updated.status.success(), "{}", String::from_utf8_lossy(&updated.stderr));
    shop.commit()
}

#[test]
fn after_a_bump_a_job_gets_its_own_tree_and_not_that_of_another_with_the_new_key() -> Result {
    let mut shop = workshop()?;
    for (name, cargo) in [("build", "build"), ("check", "check")] {
        job(&mut shop, name, cargo, false)?;
    }
    bump(&shop, "one", "0.1.1")?;
    let build = job(&mut shop, "build", "build", false)?;
    assert_eq!((build.compiled, build.hit.as_str()), (words("app one"), "fallback"));
    let check = job(&mut shop, "check", "check", false)?;
    assert_eq!((&check.compiled, check.hit.as_str()), (&words("app one"), "fallback"));
    assert_eq!(check.foretold, check.compiled, "{}", check.notes);
    assert!(check.notes.contains("cargo can reuse 3 of the 5 units"), "{}", check.notes);
    // Now the job has a tree of its own for this key.
    let again = job(&mut shop, "check", "check", false)?;
    assert_eq!((again.compiled, again.hit.as_str()), (Vec::new(), "exact"));
    Ok(())
}

#[test]
fn a_bump_that_another_job_has_compiled_is_not_compiled_again() -> Result {
    let mut shop = workshop()?;
    for name in ["test", "deploy"] {
        job(&mut shop, name, "build", false)?;
    }
    bump(&shop, "one", "0.1.1")?;
    assert_eq!(job(&mut shop, "test", "build", false)?.compiled, words("app one"));
    let deploy = job(&mut shop, "deploy", "build", false)?;
    assert_eq!((deploy.compiled, deploy.foretold), (Vec::new(), Vec::new()), "{}", deploy.notes);
    assert_eq!(deploy.hit, "exact", "the same units, saved by job `test`");
    Ok(())
}

#[test]
fn units_of_a_red_build_serve_the_next_one() -> Result {
    let mut shop = workshop()?;
    job(&mut shop, "test", "build", false)?;
    shop.edit(Kept, &[Write("app/two/src/lib.rs", "pub const SAY: u32 = 2;\n")])?;
    shop.commit()?;
    assert_eq!(job(&mut shop, "test", "build", true)?.compiled, words("app two"));
    for round in 0..2 {
        let program = format!("// {round}\nfn main() {{ println!(\"one={{}}\", one::SAY); }}\n");
        shop.edit(Kept, &[Write("app/src/main.rs", &program)])?;
        shop.commit()?;
        let done = job(&mut shop, "test", "build", true)?;
        assert_eq!((&done.compiled, &done.foretold), (&words("app"), &words("app")), "{round}");
    }
    Ok(())
}

#[test]
fn the_one_source_that_is_compiled_counts_more_than_fifty_that_are_not() -> Result {
    let mut shop = workshop()?;
    job(&mut shop, "build", "build", false)?;
    shop.edit(Kept, &[Git("app", &["checkout", "-q", "-b", "docs"])])?;
    let pages: Vec<_> = (0..50).map(|page| format!("app/doc/{page}.md")).collect();
    shop.edit(Kept, &pages.iter().map(|page| Write(page, "new")).collect::<Vec<_>>())?;
    shop.commit()?;
    assert_eq!(job(&mut shop, "build", "build", false)?.compiled, words(""));
    shop.edit(Kept, &[Git("app", &["checkout", "-q", "-b", "core", "main"])])?;
    shop.edit(Kept, &[Write("app/one/src/lib.rs", "pub const SAY: u32 = 2;\n")])?;
    shop.commit()?;
    assert_eq!(job(&mut shop, "build", "build", false)?.compiled, words("app one"));
    shop.edit(Kept, &[Git("app", &["merge", "-q", "--no-edit", "docs"])])?;
    let merged = job(&mut shop, "build", "build", false)?;
    assert_eq!((merged.compiled, merged.foretold), (words(""), words("")), "{}", merged.notes);
    Ok(())
}

#[test]
fn a_changed_profile_is_foretold_for_all_that_the_job_used() -> Result {
    let mut shop = workshop()?;
    job(&mut shop, "build", "build", false)?;
    job(&mut shop, "check", "check", false)?;
    let profile = format!("{}[profile.dev]\nopt-level = 1\n", app_manifest());
    shop.edit(Kept, &[Write("app/Cargo.toml", &profile)])?;
    shop.commit()?;
    let check = job(&mut shop, "check", "check", false)?;
    assert_eq!(check.compiled, words("app four one three two"));
    assert_eq!(check.foretold, check.compiled, "{}", check.notes);
    Ok(())
}

#[test]
fn a_changed_profile_that_the_job_does_not_build_with_changes_no_choice() -> Result {
    const RELEASE: &[&str] = &["build", "--release"];
    let mut shop = workshop()?;
    let after = |shop: &mut Workshop, name, source: &str| -> Result<Done> {
        shop.edit(Kept, &[Write("app/two/src/lib.rs", source)])?;
        shop.commit()?;
        run_job(shop, name, RELEASE, false)
    };
    after(&mut shop, "build", "pub const SAY: u32 = 1;\n")?;
    after(&mut shop, "other", "pub const SAY: u32 = 2;\n")?;
    let profile = format!("{}[profile.dev]\nopt-level = 1\n", app_manifest());
    shop.edit(Kept, &[Write("app/Cargo.toml", &profile)])?;
    let build = after(&mut shop, "build", "pub const SAY: u32 = 2;\n")?;
    assert_eq!(build.compiled, words(""), "{}", build.notes);
    Ok(())
}

/// Cargo builds vendored packages like those of a registry: never incrementally.
#[test]
fn incremental_compilation_makes_no_other_units_of_vendored_packages() -> Result {
    const CONFIG: &str =
        "[source.crates-io]\nreplace-with = 'vendored'\n[source.vendored]\ndirectory = 'vendor'\n";
    let checksum = format!("{{\"files\":{{}},\"package\":\"{}\"}}", "0".repeat(64));
    let app = format!("{}low = '0.1'\n[workspace]\nexclude = ['vendor']\n", manifest("app", &[]));
    let low = manifest("low", &[]);
    let mut shop = Workshop::new(&[
        ("app/Cargo.toml", &app),
        ("app/.cargo/config.toml", CONFIG),
        ("app/.gitignore", "/target\n"),
        ("app/src/main.rs", "fn main() { println!(\"low={}\", low::SAY); }\n"),
        ("app/vendor/low/Cargo.toml", &low),
        ("app/vendor/low/.cargo-checksum.json", &checksum),
        ("app/vendor/low/src/lib.rs", "pub const SAY: u32 = 1;\n"),
    ])?;
    let mut job_with = |incremental: &str, name, bumped: bool| -> Result<Done> {
        shop.environment = vec![("CARGO_INCREMENTAL", incremental.to_owned())];
        if bumped {
            let low = low.replace("0.1.0", "0.1.1");
            shop.edit(Kept, &[Write("app/vendor/low/Cargo.toml", &low)])?;
            let mut cargo = shop.command("cargo", Kept, "app");
            let updated = cargo.args(["update", "--offline", "-q"]).output()?;
            assert!(updated.status.success(), "{}", String::from_utf8_lossy(&updated.stderr));
            shop.commit()?;
        }
        job(&mut shop, name, "build", false)
    };
    assert_eq!(job_with("1", "build", false)?.compiled, words("app low"));
    let other = job_with("0", "other", false)?;
    assert_eq!((other.compiled, other.foretold), (words("app"), words("app")), "{}", other.notes);
    let bumped = job_with("0", "other", true)?;
    assert_eq!(bumped.compiled, words("app low"));
    let build = job_with("1", "build", false)?;
    assert_eq!((build.compiled, build.foretold), (words("app"), words("app")), "{}", build.notes);
    Ok(())
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}
