//! A second job compiles nothing, and an edit costs no more than without a wipe, even with rare settings: templates of
//! the build directory, targets, profiles, toolchains, unstable flags.
//!
//! Cargo takes unstable flags if `RUSTC_BOOTSTRAP` is set. So each toolchain that knows a flag tests it, and for the
//! others the tests assert cargo's message.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use walkdir::WalkDir;

use crate::support::{pinned_bin, toolchain_bin, write};
use crate::workshop::Edit::{Backdate, Touch, Write};
use crate::workshop::Ours::Same;
use crate::workshop::Side::{Kept, Wiped};
use crate::workshop::{Edit, Result, Step, Workshop, manifest, nothing_is};

/// Writes the text of `in.txt` into `OUT_DIR`. It names no file, so cargo looks at the whole package.
const SILENT: &str = "fn main() {\n\
    let text = std::fs::read_to_string(\"in.txt\").unwrap();\n\
    let code = format!(\"pub const SAY: &str = {:?};\\n\", text.trim());\n\
    std::fs::write(std::env::var(\"OUT_DIR\").unwrap() + \"/more.rs\", code).unwrap();\n}\n";

/// Includes the code that a build script wrote.
const MADE: &str = "include!(concat!(env!(\"OUT_DIR\"), \"/more.rs\"));\n";

const MAIN: &str = "mod more { include!(concat!(env!(\"OUT_DIR\"), \"/more.rs\")); }\n\
    fn main() {\n\
    println!(\"made={}\\nquiet={}\\nmac={}\", more::SAY, quiet::SAY, mac::say!());\n\
    println!(\"dy={}\\nffi={}\\nsib={}\", dy::SAY, ffi::SAY, sib::SAY);\n\
    println!(\"text={}\", include_str!(\"../text.txt\").trim());\n}\n";

const ALL: &str = "sib quiet/build quiet/run quiet mac dy ffi app/build app/run app";

const PRINTS: &str = "made=m quiet=q mac=c dy=d ffi=f sib=s text=t";

/// A program with a build script, and its dependencies: a package with a silent build script, a macro, a dylib and a
/// cdylib in its workspace, and a sibling.
fn shop() -> Result<Workshop> {
    let app = format!(
        "{}[workspace]\n[profile.fast]\ninherits = 'dev'\nopt-level = 1\n",
        manifest("app", &["quiet", "mac", "dy", "ffi", "../sib"])
    );
    let script = SILENT.replacen(
        "fn main() {",
        "fn main() { println!(\"cargo::rerun-if-changed=in.txt\");",
        1,
    );
    let lib = |name: &str, what: &str| format!("{}[lib]\n{what}\n", manifest(name, &[]));
    Workshop::new(&[
        ("app/Cargo.toml", &app),
        ("app/.gitignore", "/target\n/built\n"),
        ("app/build.rs", &script),
        ("app/in.txt", "m"),
        ("app/text.txt", "t"),
        ("app/src/main.rs", MAIN),
        ("app/quiet/Cargo.toml", &manifest("quiet", &[])),
        ("app/quiet/build.rs", SILENT),
        ("app/quiet/in.txt", "q"),
        ("app/quiet/src/lib.rs", MADE),
        ("app/mac/Cargo.toml", &lib("mac", "proc-macro = true")),
        ("app/mac/src/lib.rs", &says_in_macro("c")),
        ("app/dy/Cargo.toml", &lib("dy", "crate-type = ['lib', 'dylib']")),
        ("app/dy/src/lib.rs", &says("d")),
        ("app/ffi/Cargo.toml", &lib("ffi", "crate-type = ['lib', 'cdylib']")),
        ("app/ffi/src/lib.rs", &says("f")),
        ("sib/Cargo.toml", &manifest("sib", &[])),
        ("sib/.gitignore", "/target\nCargo.lock\n"),
        ("sib/src/lib.rs", "pub const SAY: &str = include_str!(\"../text.txt\").trim_ascii();\n"),
        ("sib/text.txt", "s"),
    ])
}

fn says(what: &str) -> String {
    format!("pub const SAY: &str = \"{what}\";\n")
}

fn says_in_macro(what: &str) -> String {
    format!(
        "#[proc_macro]\npub fn say(_: proc_macro::TokenStream) -> proc_macro::TokenStream {{\n\
         \"\\\"{what}\\\"\".parse().unwrap()\n}}\n"
    )
}

/// One of the builds of a job.
struct Build {
    name: &'static str,
    /// The arguments of cargo.
    cargo: Vec<&'static str>,
    /// Variables for this build alone.
    environment: Vec<(&'static str, String)>,
    /// The units that an earlier build of the job has compiled for this one too.
    shared: &'static str,
}

fn build(name: &'static str, cargo: &[&'static str]) -> Build {
    Build { name, cargo: cargo.to_vec(), environment: Vec::new(), shared: "" }
}

/// The changes between two jobs.
#[derive(Default)]
struct Change<'a> {
    /// The committed edits.
    edits: &'a [Edit<'a>],
    /// The edits in the job's workspace, after the restore.
    touches: &'a [Edit<'a>],
    /// The changed part of the program's output.
    prints: &'a str,
    /// The units that cargo compiles, in each of the builds.
    compiles: &'a str,
}

/// Runs jobs with the same builds in the same order: cold, unchanged, and after edits of each kind of file. Returns the
/// faults.
fn story(why: &str, shop: &mut Workshop, builds: &[Build]) -> Result<Vec<String>> {
    let (mac, dy, ffi) = (says_in_macro("C"), says("D"), says("F"));
    #[rustfmt::skip]
    let steps: [(&str, &[Edit<'_>], &str, &str); 5] = [
        ("cold",      &[],                                                        PRINTS,            ALL),
        ("nothing",   &[],                                                        "",                ""),
        ("sources",   &[Write("app/text.txt", "T"), Write("sib/text.txt", "S")],  "text=T sib=S",    "sib app"),
        ("inputs",    &[Write("app/in.txt", "M"), Write("app/quiet/in.txt", "Q")], "made=M quiet=Q", "quiet/run quiet app/run app"),
        ("libraries", &[Write("app/mac/src/lib.rs", &mac), Write("app/dy/src/lib.rs", &dy),
                        Write("app/ffi/src/lib.rs", &ffi)],                       "mac=C dy=D ffi=F", "mac dy ffi app"),
    ];
    let mut wrong = Vec::new();
    for (what, edits, prints, compiles) in steps {
        let why = format!("{why}: {what}");
        let change = Change { edits, touches: &[], prints, compiles };
        let done = job(&why, shop, builds, &change);
        wrong.extend(done.map_err(|error| format!("{why}: {error}"))?);
    }
    Ok(wrong)
}

/// Runs one job on both sides, after the committed `edits`; `touches` come after the restore.
fn job(
    why: &str,
    shop: &mut Workshop,
    builds: &[Build],
    change: &Change<'_>,
) -> Result<Vec<String>> {
    let Change { edits, touches, prints, compiles } = change;
    shop.edit(Kept, edits)?;
    shop.commit()?;
    lose_build_dir(shop)?;
    shop.clone_anew()?;
    let is_first = !shop.store().exists();
    let restored = shop.restore()?;
    let mut wrong = Vec::new();
    if !is_first && touches.is_empty() {
        wrong.extend(misforetold(why, &restored, compiles));
    }
    for side in [Kept, Wiped] {
        shop.edit(side, touches)?;
    }
    let (cargo, environment) = (shop.cargo.clone(), shop.environment.clone());
    for build in builds {
        let shared: Vec<_> = build.shared.split_whitespace().collect();
        let mut own: Vec<_> = compiles.split_whitespace().collect();
        own.retain(|unit| !shared.contains(unit));
        shop.cargo.extend(&build.cargo);
        shop.environment.extend(build.environment.iter().cloned());
        let why = format!("{why}, {}", build.name);
        wrong.extend(shop.judge(&Step(&why, &[], prints, &own.join(" "), Same))?);
        shop.cargo.clone_from(&cargo);
        shop.environment.clone_from(&environment);
    }
    shop.save()?;
    Ok(wrong)
}

/// Returns a message if a restore forecast other crates than those of the compiled units.
fn misforetold(why: &str, restored: &Value, compiles: &str) -> Option<String> {
    let rebuilds = restored["rebuilds"].as_array().into_iter().flatten();
    let foretold: BTreeSet<_> = rebuilds.filter_map(|rebuild| rebuild["crate"].as_str()).collect();
    let crates: BTreeSet<_> =
        compiles.split_whitespace().filter_map(|unit| unit.split('/').next()).collect();
    (foretold != crates).then(|| {
        format!("{why}: foretold {foretold:?} instead of {crates:?}: {}", restored["rebuilds"])
    })
}

/// Removes the build directory of the wiped checkout, if it lies outside of the checkout.
fn lose_build_dir(shop: &Workshop) -> Result {
    if !shop.path(Wiped, &shop.works_in).exists() {
        return Ok(());
    }
    let dir = build_dir(shop)?;
    if !dir.starts_with(shop.path(Wiped, "")) {
        fs::remove_dir_all(dir)?;
    }
    Ok(())
}

/// Returns cargo's build directory of the wiped checkout.
fn build_dir(shop: &Workshop) -> Result<PathBuf> {
    let mut cargo = shop.command("cargo", Wiped, &shop.works_in);
    cargo.args(["metadata", "--no-deps", "--offline", "--format-version=1"]);
    let metadata: Value = serde_json::from_str(&printed(&mut cargo)?)?;
    Ok(metadata["build_directory"].as_str().ok_or("no build directory")?.into())
}

fn printed(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout)?);
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into())
}

#[test]
fn a_build_directory_by_template_comes_back() -> Result {
    let mut wrong = Vec::new();
    for (template, want) in [
        ("{workspace-root}/built/x", Some("app/built/x")),
        ("{cargo-cache-home}/builds/{workspace-path-hash}", None),
    ] {
        let mut shop = shop()?;
        shop.environment.push(("CARGO_BUILD_BUILD_DIR", template.to_owned()));
        wrong.extend(story(template, &mut shop, &[build("dev", &[])])?);
        let dir = build_dir(&shop)?;
        match want {
            Some(want) => assert_eq!(dir, shop.path(Wiped, want)),
            None => assert!(!dir.starts_with(shop.path(Wiped, "")), "{}", dir.display()),
        }
        assert!(dir.join("debug/build").is_dir(), "{}", dir.display());
        assert!(!shop.path(Wiped, "app/target/debug/build").exists());
    }
    nothing_is(&wrong);
    Ok(())
}

#[test]
fn builds_for_a_target_and_without_one_come_back_together() -> Result {
    const HOSTS: &str = "mac quiet/build app/build";
    let for_target = Build { shared: HOSTS, ..build("target", &["--target", "host-tuple"]) };
    let alone = build("target", &["--target", "host-tuple"]);
    let mut wrong = story("a target alone", &mut shop()?, &[alone])?;
    wrong.extend(story("a target too", &mut shop()?, &[build("dev", &[]), for_target])?);
    nothing_is(&wrong);
    Ok(())
}

#[test]
fn a_custom_profile_comes_back_beside_the_others() -> Result {
    let builds = [
        build("fast", &["--profile", "fast"]),
        build("release", &["--release"]),
        build("dev", &[]),
    ];
    nothing_is(&story("profiles", &mut shop()?, &builds)?);
    Ok(())
}

#[test]
fn two_toolchains_in_one_target_come_back_together() -> Result {
    let mut shop = shop()?;
    // Dynamic libraries carry no hash in the layout by kind: each toolchain overwrites those of the other.
    for name in ["dy", "ffi"] {
        shop.edit(Kept, &[Write(&format!("app/{name}/Cargo.toml"), &manifest(name, &[]))])?;
    }
    let other = other_toolchain(&shop)?;
    let other = Build { environment: vec![("PATH", other)], ..build("the other toolchain", &[]) };
    nothing_is(&story("two toolchains", &mut shop, &[build("the wanted", &[]), other])?);
    Ok(())
}

/// Returns a `PATH` with another toolchain: the one that built the tests, if they run with another. Otherwise the same
/// compiler reports another version, and cargo asks it nothing else.
fn other_toolchain(shop: &Workshop) -> Result<String> {
    let version = |path: &str| {
        let mut rustc = shop.command("rustc", Kept, "");
        printed(rustc.arg("-vV").env("PATH", path))
    };
    let (bin, pinned) = (toolchain_bin(), pinned_bin());
    let wanted = format!("{}:/usr/bin:/bin", bin.display());
    let mut other = format!("{}:/usr/bin:/bin", pinned.display());
    if version(&wanted)? == version(&other)? {
        let dir = shop.store().with_file_name("other");
        let script = format!(
            "#!/bin/sh\ncase \"$*\" in\n*-vV*) {0} \"$@\" | sed 's/^commit-hash: .*/commit-hash: 0/' ;;\n\
             *) exec {0} \"$@\" ;;\nesac\n",
            bin.join("rustc").display()
        );
        write(&dir, "rustc", script)?;
        fs::set_permissions(dir.join("rustc"), PermissionsExt::from_mode(0o755))?;
        other = format!("{}:{wanted}", dir.display());
    }
    assert_ne!(version(&wanted)?, version(&other)?);
    Ok(other)
}

/// A workshop whose cargo takes unstable flags.
fn nightly_shop() -> Result<Workshop> {
    let mut shop = shop()?;
    shop.environment.push(("RUSTC_BOOTSTRAP", "1".to_owned()));
    Ok(shop)
}

/// Tells whether each library is in two files: the metadata for the compiler, and the code without metadata.
fn has_metadata_apart(shop: &Workshop) -> Result<bool> {
    let is_library = |path: &PathBuf| {
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        name.starts_with("libsib-") && path.extension() == Some(OsStr::new("rlib"))
    };
    let paths = WalkDir::new(shop.path(Wiped, "app/target/debug")).into_iter();
    let library = paths.filter_map(|entry| Some(entry.ok()?.into_path())).find(is_library);
    let library = library.ok_or("no library")?;
    let metadata = library.with_extension("rmeta");
    Ok(fs::metadata(library)?.len() < fs::metadata(metadata)?.len())
}

/// Returns cargo's complaint about a flag; the empty string if cargo knows the flag.
fn complaint(shop: &Workshop, flag: &str) -> Result<String> {
    let mut cargo = shop.command("cargo", Kept, "app");
    let output = cargo.args([flag, "metadata", "--no-deps", "--offline"]).output()?;
    let said = String::from_utf8(output.stderr)?;
    let lines = said.lines().filter(|line| line.contains("-Z") || line.contains("now always"));
    Ok(lines.take(1).collect())
}

#[test]
fn units_that_are_fresh_by_content_come_back() -> Result {
    let mut shop = nightly_shop()?;
    // Up to cargo 1.99 the flag takes effect, and the key is unknown.
    let config = "[unstable]\nchecksum-freshness = true\n[build]\nfingerprint = 'content'\n";
    shop.edit(Kept, &[Write("app/.cargo/config.toml", config)])?;
    assert_eq!(complaint(&shop, "-Zchecksum-freshness")?, "");
    let builds = [build("by content", &[])];
    let mut wrong = story("by content", &mut shop, &builds)?;
    let sources =
        ["app/src/main.rs", "app/build.rs", "app/text.txt", "app/mac/src/lib.rs", "sib/text.txt"];
    let sources = sources.map(Touch);
    let inputs = ["app/in.txt", "app/mac/src/lib.rs", "sib/text.txt"].map(Touch);
    let old = [Write("app/text.txt", "older"), Backdate("app/text.txt")];
    // Without a new text, a generation from before the touches would serve as well.
    let new = [Write("app/text.txt", "newer")];
    #[rustfmt::skip]
    let changes = [
        ("an old mtime",        Change { edits: &old, touches: &[],                   prints: "text=older", compiles: "app" }),
        ("newer sources",       Change { edits: &[],  touches: &sources,              prints: "",           compiles: "" }),
        ("newer inputs",        Change { edits: &new, touches: &inputs,               prints: "text=newer", compiles: "app/run app" }),
        ("nothing after that",  Change::default()),
    ];
    for (why, change) in changes {
        wrong.extend(job(why, &mut shop, &builds, &change)?);
    }
    nothing_is(&wrong);
    Ok(())
}

#[test]
fn metadata_apart_from_the_code_comes_back() -> Result {
    let shop = nightly_shop()?;
    let old = complaint(&shop, "-Zno-embed-metadata")?;
    let new = complaint(&shop, "-Zembed-metadata=no")?;
    let unknown = |flag: &str| format!("error: unknown `-Z` flag specified: {flag}");
    // Cargo renamed the flag between 1.95 and 1.99.
    let flags: &[&'static str] = if new.is_empty() {
        assert_eq!(old, unknown("no-embed-metadata"));
        &["-Zembed-metadata=no", "-Zembed-metadata=yes"]
    } else {
        assert_eq!((old, new), (String::new(), unknown("embed-metadata")));
        &["-Zno-embed-metadata"]
    };
    let mut wrong = Vec::new();
    for flag in flags {
        let mut shop = nightly_shop()?;
        wrong.extend(story(flag, &mut shop, &[build("dev", &[flag])])?);
        let apart = !flag.ends_with("=yes");
        assert_eq!(has_metadata_apart(&shop)?, apart, "{flag}");
    }
    nothing_is(&wrong);
    Ok(())
}

#[test]
fn the_layout_by_unit_comes_back() -> Result {
    const FLAG: &str = "-Zbuild-dir-new-layout";
    let mut shop = nightly_shop()?;
    let said = complaint(&shop, FLAG)?;
    let is_stable = said.starts_with("warning: flag `-Z build-dir-new-layout` has been stabilized");
    assert!(said.is_empty() || is_stable, "{said}");
    nothing_is(&story(FLAG, &mut shop, &[build("dev", &[FLAG])])?);
    let debug = shop.path(Wiped, "app/target/debug");
    assert!(!debug.join(".fingerprint").exists());
    let units = fs::read_dir(debug.join("build/quiet"))?;
    assert_eq!(units.count(), 3, "the library, its build script and the run of that");
    Ok(())
}
