//! Layouts of a build directory that no rule knows, such as those of a future cargo.
//!
//! The first version took every unit with a build script that cargo 1.100 had run for hollow, because that cargo calls
//! a file `run/stdout` that others called `output`. So it stored none of these units. The test of that day named the
//! file as we did, not as cargo does.

use std::fs;
use std::path::Path;

use walkdir::WalkDir;

use crate::support::{Host, Result, differences, list, set_mtime, write};

/// The files that cargo really wrote, in each of its layouts.
const SEEN: [&str; 2] = [
    include_str!("../fixtures/layouts/cargo-1.95.0.txt"),
    include_str!("../fixtures/layouts/cargo-1.100.0-beta.7.txt"),
];

/// A host with a fake compiler, which answers at no cost.
fn host() -> Result<Host> {
    let mut host = Host::new()?;
    host.fake_rustc("1.0.0")?;
    Ok(host)
}

/// Makes a target directory with files of the sizes and names in a list, renamed by `renamed`.
fn make_target(dir: &Path, listing: &str, renamed: impl Fn(&str) -> String) -> Result {
    for line in listing.lines().filter(|line| !line.starts_with('#')) {
        let (size, path) = line.split_once(' ').ok_or("a size and a path")?;
        // Incremental sessions would only make the test longer.
        if !path.contains("/incremental/") {
            let bytes =
                path.bytes().cycle().take(size.parse::<usize>()?.min(64)).collect::<Vec<_>>();
            write(dir, renamed(path), bytes)?;
        }
    }
    Ok(())
}

/// Reads the fingerprints of one package, as cargo does for the units that a job uses.
fn use_one(target: &Path) -> Result {
    for entry in WalkDir::new(target) {
        let entry = entry?;
        if entry.file_name() == "lib-libc.json" {
            fs::read(entry.path())?;
        }
    }
    Ok(())
}

/// Runs three jobs that restore, use at most one unit and save. Returns the paths that the last restore lacks, and the
/// reports of the saves.
fn losses_in_three_jobs(host: &Host) -> Result<(Vec<String>, String)> {
    write(&host.target(), "debug/round", "0")?;
    let whole = list(&host.target())?;
    let mut said = host.save()?.done()?.report.to_string();
    for round in 1..=3 {
        host.lose_target()?;
        host.restore()?.done()?;
        use_one(&host.target())?;
        // Only a changed tree becomes a new generation, which counts as a save without a use.
        write(&host.target(), "debug/round", round.to_string())?;
        set_mtime(&host.target().join("debug/round"), 1_000_000_000 + round, 0)?;
        said += &host.save()?.done()?.report.to_string();
    }
    host.lose_target()?;
    host.restore()?.done()?;
    let mut lost = differences(&whole, &list(&host.target())?);
    lost.retain(|line| !line.starts_with("debug/round"));
    Ok((lost, said))
}

#[test]
fn a_layout_that_nobody_knows_comes_back_as_it_was() -> Result {
    let hash = "0123456789abcdef";
    #[rustfmt::skip]
    let layouts = [
        ("other directories",       ["debug/units/a/#/state/lib-a", "debug/units/a/#/products/liba.rlib"]),
        ("fingerprints elsewhere",  ["debug/build/a/#/print/lib-a", "debug/build/a/#/out/liba-#.rlib"]),
        ("other fingerprints",      ["debug/.fingerprint/a-#/state.db", "debug/deps/liba-#.rlib"]),
        ("no fingerprints",         ["debug/build.db", "debug/deps/liba-#.rlib"]),
        ("longer hashes",           ["debug/.fingerprint/a-#0000/lib-a", "debug/deps/liba-#0000.rlib"]),
        ("nothing but a database",  ["build.sqlite", "blobs/#"]),
    ];
    for (why, files) in layouts {
        let host = host()?;
        for file in files {
            write(&host.target(), file.replace('#', hash), "0123456789abcdef")?;
        }
        let (lost, said) = losses_in_three_jobs(&host)?;
        assert_eq!(lost, [""; 0], "{why}");
        assert!(!said.contains("not stored"), "{why}: {said}");
        let is_unknown = files[0].contains("state.db");
        assert_eq!(
            said.contains("1 unit with an unknown fingerprint format"),
            is_unknown,
            "{why}: {said}"
        );
        assert_eq!(host.verify()?.contains(&"fingerprint-unknown".to_owned()), is_unknown, "{why}");
    }
    Ok(())
}

#[test]
fn whichever_name_of_a_real_layout_changes_nothing_is_said_to_be_gone() -> Result {
    let renames = [
        ("/output", "/printed"),
        ("/run/stdout", "/run/printed"),
        ("/run/", "/script/"),
        ("/fingerprint/", "/state/"),
        ("/.fingerprint/", "/.state/"),
        ("/fingerprint/lib-", "/fingerprint/library-"),
        ("/fingerprint/run-build-script-", "/fingerprint/script-"),
        ("/deps/lib", "/deps/library-"),
        ("/deps/", "/products/"),
        ("/out/", "/products/"),
        (".rlib", ".library"),
        ("doc/", "documentation/"),
    ];
    for seen in SEEN {
        for (old, new) in renames.into_iter().filter(|(old, _)| seen.contains(old)) {
            let host = host()?;
            make_target(&host.target(), seen, |path| path.replace(old, new))?;
            let said = host.save()?.done()?.report.to_string();
            assert!(!said.contains("gone"), "{old} is {new}: {said}");
            let whole = list(&host.target())?;
            host.lose_target()?;
            host.restore()?.done()?;
            assert_eq!(differences(&whole, &list(&host.target())?), [""; 0], "{old} is {new}");
        }
    }
    Ok(())
}

/// Recognised units still leave when unused: otherwise the test above would show nothing.
#[test]
fn unused_files_of_a_known_cargo_leave() -> Result {
    for seen in SEEN {
        let host = host()?;
        make_target(&host.target(), seen, str::to_owned)?;
        let (lost, said) = losses_in_three_jobs(&host)?;
        assert!(lost.iter().any(|line| line.contains("my_app")), "{said}");
        let is_libc = |line: &&String| line.contains("/lib-libc.json");
        assert_eq!(lost.iter().filter(is_libc).collect::<Vec<_>>(), [""; 0], "{said}");
        assert!(said.contains("not used in the last 3 saves of this job"), "{said}");
    }
    Ok(())
}
