//! Hot trees with a build directory apart from the target directory: cargo makes hard links between the two, and each
//! tree stays usable whatever happens to the other.
//!
//! A file with a name in both trees got a new ctime with each removed name: when the other tree was dropped, when units
//! left it, or when the runner emptied the directory that held it. The remaining tree was then refused. No test had two
//! areas with a link between them.

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::filesystems::with_filesystem;
use crate::stopping::{pause, resume};
use crate::support::*;
use crate::workshop::Edit::Write;
use crate::workshop::Ours::Same;
use crate::workshop::Side::{Kept, Wiped};
use crate::workshop::{Step, Workshop, manifest, nothing_is};

const PUT_BY: [&str; 2] = ["--hot-trees", "2"];

/// A host whose build directory lies apart, in the checkout, within `parent`.
fn host(parent: &Path) -> Result<Host> {
    let mut host = Host::within(parent)?;
    let apart = built(&host);
    host.set("CARGO_BUILD_BUILD_DIR", apart);
    fs::write(host.repo().join(".gitignore"), "/target\n/bb\n")?;
    Ok(host)
}

fn built(host: &Host) -> PathBuf {
    host.path("repo/bb")
}

/// Writes cargo's files: final artifacts have a name in both directories, some have two names in one.
fn build(host: &Host) -> Result {
    let (built, target) = (built(host), host.target());
    write(&built, "debug/deps/app-0123456789abcdef", noise(1, 3 << 20))?;
    write(&built, "debug/deps/libapp.rlib", "library")?;
    write(&built, "debug/.fingerprint/app-0123456789abcdef/bin-app", "fingerprint")?;
    write(&built, "debug/large", noise(2, 1 << 20))?;
    fs::create_dir_all(target.join("debug/examples"))?;
    let link = |from: &Path, to: &Path| fs::hard_link(from, to);
    link(&built.join("debug/deps/app-0123456789abcdef"), &target.join("debug/app"))?;
    link(&built.join("debug/deps/libapp.rlib"), &built.join("debug/deps/libapp-2.rlib"))?;
    link(&built.join("debug/deps/libapp.rlib"), &target.join("debug/libapp.rlib"))?;
    link(&built.join("debug/deps/libapp.rlib"), &target.join("debug/examples/libapp.rlib"))?;
    let holes = File::create(built.join("debug/deps/holes"))?;
    holes.set_len(1 << 20)?;
    holes.write_all_at(b"in the middle", 1 << 19)?;
    link(&built.join("debug/deps/holes"), &target.join("debug/holes"))?;
    for (dir, path) in [(&built, "debug/deps"), (&target, "debug"), (&target, "debug/examples")] {
        set_mtime(&dir.join(path), 1_000_000_000, 123_456_789)?;
    }
    Ok(())
}

/// Saves with hot trees, and returns the listings of both directories from before.
fn put_by(host: &Host) -> Result<[Listing; 2]> {
    let trees = [list(&built(host))?, list(&host.target())?];
    let saved = host.save_with(&PUT_BY)?.done()?;
    assert!(!host.target().exists() && !built(host).exists(), "{}", saved.stderr);
    assert!(!saved.stderr.contains("hot tree"), "{}", saved.stderr);
    Ok(trees)
}

/// Returns the hot trees, the one of the build directory first.
fn hot_trees(host: &Host) -> Result<[PathBuf; 2]> {
    let mut trees = Vec::new();
    for entry in fs::read_dir(host.root().join("hot"))? {
        trees.extend(Some(entry?.path()).filter(|path| path.is_dir()));
    }
    trees.sort_by_key(|tree| tree.join("debug/app").exists());
    trees.try_into().map_err(|trees| format!("{trees:?}").into())
}

/// Fails unless all names of each file below `dir` lie below it.
fn expect_alone(dir: &Path) -> Result {
    let mut names: HashMap<u64, u64> = HashMap::new();
    let files = paths(dir)?.into_iter().filter(|path| path.is_file() && !path.is_symlink());
    let files = files.collect::<Vec<_>>();
    for file in &files {
        *names.entry(file.metadata()?.ino()).or_default() += 1;
    }
    for file in files {
        let metadata = file.metadata()?;
        assert_eq!(metadata.nlink(), names[&metadata.ino()], "{}", file.display());
    }
    Ok(())
}

fn expect_both(host: &Host, trees: &[Listing; 2], why: &str) -> Result {
    expect_same(&trees[0], &built(host), why)?;
    expect_same(&trees[1], &host.target(), why)
}

#[test]
fn no_tree_has_a_file_that_another_one_or_a_workspace_has() -> Result {
    let host = host(&std::env::temp_dir())?;
    build(&host)?;
    fs::hard_link(built(&host).join("debug/large"), host.path("of somebody"))?;
    let mut trees = put_by(&host)?;
    for round in 0..3 {
        for tree in hot_trees(&host)? {
            expect_alone(&tree)?;
        }
        let restored = host.restore()?.done()?;
        assert_eq!(restored.areas(), ["target move exact", "build move exact"], "{round}");
        expect_both(&host, &trees, "moved")?;
        expect_alone(&host.target())?;
        expect_alone(&built(&host))?;
        // Cargo links final artifacts again if they are no links.
        fs::remove_file(host.target().join("debug/app"))?;
        let artifact = built(&host).join("debug/deps/app-0123456789abcdef");
        fs::hard_link(artifact, host.target().join("debug/app"))?;
        trees = put_by(&host)?;
    }
    assert_eq!(fs::read(host.path("of somebody"))?, noise(2, 1 << 20));
    host.verify()?;
    assert_eq!(host.leftovers()?, [] as [PathBuf; 0]);
    Ok(())
}

/// Drops or damages each of the two in turn.
fn one_of_two(disk: &Path, how: &str) -> Result {
    type Change = fn(&Path) -> Result;
    let changes: [(&str, Change); 2] = [
        ("gone", |tree| Ok(fs::remove_dir_all(tree)?)),
        ("written to", |tree| {
            for path in paths(tree)?.into_iter().filter(|path| path.is_file()) {
                keeping_mtime(&path, |path| {
                    let flipped: Vec<u8> = fs::read(path)?.iter().map(|byte| !byte).collect();
                    Ok(fs::write(path, flipped)?)
                })?;
            }
            Ok(())
        }),
    ];
    for (what, change) in changes {
        for (number, modes) in [[how, "unpack"], ["unpack", how]].into_iter().enumerate() {
            let host = host(disk)?;
            build(&host)?;
            let trees = put_by(&host)?;
            change(&hot_trees(&host)?[number])?;
            let restored = host.restore()?.done()?;
            let want = ["target", "build"].iter().zip(modes);
            let want: Vec<_> = want.map(|(area, mode)| format!("{area} {mode} exact")).collect();
            assert_eq!(restored.areas(), want, "{what}: {}", restored.stderr);
            expect_both(&host, &trees, what)?;
        }
    }
    Ok(())
}

#[test]
fn a_tree_is_moved_whatever_becomes_of_the_other() -> Result {
    one_of_two(&std::env::temp_dir(), "move")
}

#[test]
fn a_tree_is_cloned_whatever_becomes_of_the_other() -> Result {
    with_filesystem(
        "hot_apart::a_tree_is_cloned_whatever_becomes_of_the_other",
        "xfs",
        "400M",
        |disk| one_of_two(disk, "clone"),
    )
}

#[test]
fn a_file_that_loses_a_name_after_it_was_saved_is_read_again() -> Result {
    type Change = fn(&Path, &Path) -> Result;
    #[rustfmt::skip]
    let changes: [(&str, bool, Change); 3] = [
        ("the name is removed",          true,  |_, other| Ok(fs::remove_file(other)?)),
        ("it is written to",             false, |_, other| keeping_mtime(other, |other| Ok(fs::write(other, noise(3, 1 << 20))?))),
        ("it is removed, then written",  false, |large, other| {
            fs::remove_file(other)?;
            keeping_mtime(large, |large| Ok(fs::write(large, noise(3, 1 << 20))?))
        }),
    ];
    for (what, is_put_by, change) in changes {
        let host = Host::new()?;
        let (large, other) = (host.target().join("debug/large"), host.path("other"));
        write(&host.target(), "debug/large", noise(2, 1 << 20))?;
        fs::hard_link(&large, &other)?;
        let tree = list(&host.target())?;
        let saving = pause(host.command("save", &PUT_BY), "save: recorded")?;
        change(&large, &other)?;
        let saved = resume(saving, &[])?.done()?;
        let is_refused = saved.stderr.contains("no hot tree: `debug/large` changed after");
        assert_eq!(!is_refused, is_put_by, "{what}: {}", saved.stderr);
        let restored = host.restore()?.done()?;
        let mode = if is_put_by { "move" } else { "unpack" };
        assert_eq!(restored.areas(), [format!("target {mode} exact")], "{what}");
        expect_same(&tree, &host.target(), what)?;
    }
    Ok(())
}

const MAIN: &str = "fn main() {\n    println!(\"sib={}\", sib::SAY);\n}\n";
const LIB: &str = "pub const SAY: &str = \"1\";\n";

fn shop(build_dir: &str) -> Result<Workshop> {
    let mut shop = Workshop::new(&[
        ("app/Cargo.toml", &manifest("app", &["sib"])),
        ("app/.gitignore", "target\n/bb\n"),
        ("app/src/main.rs", MAIN),
        ("app/src/lib.rs", ""),
        ("app/sib/Cargo.toml", &(manifest("sib", &[]) + "[lib]\ncrate-type = ['lib', 'dylib']\n")),
        ("app/sib/src/lib.rs", LIB),
    ])?;
    shop.environment.push(("CARGO_BUILD_BUILD_DIR", build_dir.to_owned()));
    shop.options = PUT_BY.to_vec();
    Ok(shop)
}

/// Returns how each target directory was restored, as `area mode`.
fn modes(restored: &Value) -> Vec<String> {
    let areas = restored["areas"].as_array().into_iter().flatten();
    let word = |area: &Value, name: &str| area[name].as_str().unwrap_or_default().to_owned();
    let areas = areas.map(|area| [word(area, "name"), word(area, "mode")].join(" "));
    areas.filter(|area| area.starts_with("target ") || area.starts_with("build ")).collect()
}

/// Saves; units that this job did not use leave the stored copy at once.
fn save(shop: &Workshop) -> Result {
    let mut shop = shop.clone();
    shop.options.extend(["--unit-saves", "1"]);
    shop.save().map(drop)
}

/// Restores in a new clone.
fn restore_anew(shop: &Workshop, why: &str, want: [&str; 2]) -> Result {
    shop.clone_anew()?;
    let restored = shop.restore()?;
    assert_eq!(modes(&restored), want, "{why}: {restored}");
    Ok(())
}

#[test]
fn cargo_compiles_nothing_in_trees_that_are_moved_back() -> Result {
    let places = [
        // In the checkout: both trees are parked.
        ("{workspace-root}/bb", ["target move", "build move"]),
        // Beside the checkout, where the next job finds no build directory.
        ("{workspace-root}/../x", ["target move", "build unpack"]),
        // In a place that no job empties.
        ("{cargo-cache-home}/bb/{workspace-path-hash}", ["target move", "build in-place"]),
    ];
    let mut wrong = Vec::new();
    for (build_dir, how) in places {
        let mut shop = shop(build_dir)?;
        let named = |what: &str| format!("{build_dir}: {what}");
        let anew = |shop: &Workshop, what: &str| restore_anew(shop, &named(what), how);
        let first = named("first");
        shop.clone_anew()?;
        wrong.extend(shop.judge(&Step(&first, &[], "sib=1", "sib app", Same))?);
        save(&shop)?;

        anew(&shop, "nothing")?;
        wrong.extend(shop.judge(&Step(&named("nothing"), &[], "", "", Same))?);
        save(&shop)?;

        shop.edit(Kept, &[Write("app/sib/src/lib.rs", &LIB.replace('1', "2"))])?;
        shop.commit()?;
        anew(&shop, "an edit")?;
        wrong.extend(shop.judge(&Step(&named("an edit"), &[], "sib=2", "sib app", Same))?);
        save(&shop)?;

        // The build directory keeps no files that `sib` and `app` were linked to.
        anew(&shop, "another profile")?;
        shop.cargo = vec!["build", "--release"];
        let step = named("another profile");
        wrong.extend(shop.judge(&Step(&step, &[], "", "sib app", Same))?);
        for round in ["once", "twice"] {
            shop.edit(Kept, &[Write("app/src/lib.rs", &format!("// {round}\n"))])?;
            shop.commit()?;
            save(&shop)?;
            anew(&shop, round)?;
            wrong.extend(shop.judge(&Step(&named(round), &[], "", "app", Same))?);
        }
        save(&shop)?;

        shop.edit(Kept, &[Write("app/src/main.rs", "fn main() {\n")])?;
        shop.commit()?;
        anew(&shop, "a build that fails")?;
        assert!(shop.build(Wiped).is_err(), "{build_dir}");
        save(&shop)?;

        shop.edit(Kept, &[Write("app/src/main.rs", MAIN)])?;
        shop.commit()?;
        anew(&shop, "mended")?;
        let built = shop.build(Wiped)?;
        assert_eq!(built.prints["sib"], "2", "{build_dir}");
        save(&shop)?;
        anew(&shop, "nothing since")?;
        let built = shop.build(Wiped)?;
        assert!(built.compiled.is_empty(), "{build_dir}: {built:?}");
        assert_eq!(built.prints["sib"], "2", "{build_dir}");
    }
    nothing_is(&wrong);
    Ok(())
}
