//! Jobs with several targets: `fuzz/target` of a workspace of its own, `--target-dir out2`.
//!
//! One target that was not restored kept all sources from getting their mtimes back: in a job with a second target,
//! everything was built again.

use std::fs;

use serde_json::Value;

use crate::fake_runner::FakeRunner;
use crate::support::{install_crate, lock, write};
use crate::workshop::Edit::{Remove, Write};
use crate::workshop::Ours::Same;
use crate::workshop::Side::{Kept, Wiped};
use crate::workshop::{Result, Step, Workshop, nothing_is};

const APP: &str = "[package]\nname = 'app'\nversion = '0.1.0'\nedition = '2024'\n[workspace]\n\
                   exclude = ['fuzz', 'xtask', 'examples']\n";
const LIB: &str = "pub fn value() -> u32 {\n    1\n}\n";
const MAIN: &str = "fn main() {\n    println!(\"app={}\", app::value());\n}\n";
const TASK: &str = "fn main() {\n    println!(\"task=1\");\n}\n";

/// Returns the manifest of a workspace of its own that uses `app` at this path.
fn own_workspace(name: &str, app: Option<&str>) -> String {
    let app = app.map(|path| format!("app.path = '{path}'\n")).unwrap_or_default();
    let package = "version = '0.1.0'\nedition = '2024'\n";
    format!("[package]\nname = '{name}'\n{package}[workspace]\n[dependencies]\n{app}")
}

/// The workspaces of one repo, each as a workshop that builds there. Our program runs in the first.
struct Shops {
    app: Workshop,
    others: Vec<Workshop>,
}

impl Shops {
    fn new() -> Result<Self> {
        let [fuzz, demo] =
            [("fuzzer", ".."), ("demo", "../..")].map(|(name, app)| own_workspace(name, Some(app)));
        let xtask = own_workspace("xtask", None);
        let app = Workshop::new(&[
            ("app/Cargo.toml", APP),
            ("app/.gitignore", "target\n/out2\n"),
            ("app/src/lib.rs", LIB),
            ("app/src/main.rs", MAIN),
            ("app/fuzz/Cargo.toml", &fuzz),
            ("app/fuzz/src/main.rs", MAIN),
            ("app/xtask/Cargo.toml", &xtask),
            ("app/xtask/src/main.rs", TASK),
            ("app/examples/demo/Cargo.toml", &demo),
            ("app/examples/demo/src/main.rs", MAIN),
        ])?;
        let mut others = Vec::new();
        for dir in ["app/fuzz", "app/xtask", "app/examples/demo"] {
            let mut shop = app.clone();
            dir.clone_into(&mut shop.works_in);
            let mut lock = shop.command("cargo", Kept, dir);
            assert!(lock.args(["generate-lockfile", "--offline", "-q"]).status()?.success());
            others.push(shop);
        }
        let mut out2 = app.clone();
        out2.cargo = vec!["build", "--target-dir", "out2"];
        others.push(out2);
        app.commit()?;
        Ok(Self { app, others })
    }

    /// Builds everywhere, and returns the units and outputs that differ from the steps: each step is for one of the
    /// workspaces.
    fn judge(&mut self, steps: [(&str, &str); 5]) -> Result<Vec<String>> {
        let mut wrong = Vec::new();
        let shops = std::iter::once(&mut self.app).chain(&mut self.others);
        for (shop, (prints, compiles)) in shops.zip(steps) {
            let why = shop.works_in.clone();
            wrong.extend(shop.judge(&Step(&why, &[], prints, compiles, Same))?);
        }
        Ok(wrong)
    }

    /// Builds in one of the workspaces; cargo must compile nothing.
    fn judge_only(&mut self, index: usize) -> Result<Vec<String>> {
        let shop = if index == 0 { &mut self.app } else { &mut self.others[index - 1] };
        let why = shop.works_in.clone();
        shop.judge(&Step(&why, &[], "", "", Same))
    }

    /// Builds everywhere for the first time, and saves.
    fn open() -> Result<Self> {
        let mut shops = Self::new()?;
        shops.app.clone_anew()?;
        nothing_is(&shops.judge(FIRST)?);
        shops.app.save()?;
        Ok(shops)
    }

    fn restore_anew(&self, options: &[&'static str]) -> Result<Value> {
        self.app.clone_anew()?;
        self.with(options).restore()
    }

    fn with(&self, options: &[&'static str]) -> Workshop {
        let mut app = self.app.clone();
        app.options = options.to_vec();
        app
    }
}

const FIRST: [(&str, &str); 5] = [
    ("app=1", "app"),
    ("app=1", "app fuzzer"),
    ("task=1", "xtask"),
    ("app=1", "app demo"),
    ("app=1", "app"),
];
const NOTHING: [(&str, &str); 5] = [("", ""); 5];
const FURTHER: [&str; 4] = ["./examples/demo/target", "./fuzz/target", "./out2", "./xtask/target"];

/// Returns the names of the areas that were restored or saved, without those in `CARGO_HOME`.
fn targets(report: &Value) -> Vec<&str> {
    let areas = report["areas"].as_array().into_iter().flatten();
    let done = areas.filter(|area| area["mode"] != "nothing");
    done.filter_map(|area| area["name"].as_str()).collect()
}

fn warnings(report: &Value) -> Vec<&str> {
    let warnings = report["warnings"].as_array().into_iter().flatten();
    warnings.filter_map(|warning| warning["text"].as_str()).collect()
}

#[test]
fn every_target_of_a_job_is_fresh_in_its_next_checkout() -> Result {
    let mut shops = Shops::open()?;
    let restored = shops.restore_anew(&[])?;
    let all: Vec<_> = std::iter::once("target").chain(FURTHER).collect();
    assert_eq!(targets(&restored), all);
    assert_eq!((restored["hit"].as_str(), warnings(&restored)), (Some("exact"), vec![]));
    nothing_is(&shops.judge(NOTHING)?);
    let saved = shops.app.save()?;
    assert_eq!(targets(&saved), all);

    let lib = LIB.replace('1', "2");
    shops.app.edit(Kept, &[Write("app/src/lib.rs", &lib)])?;
    shops.app.commit()?;
    shops.restore_anew(&[])?;
    let edited = FIRST.map(|(_, compiles)| match compiles {
        "xtask" => ("", ""),
        compiles => ("app=2", compiles),
    });
    nothing_is(&shops.judge(edited)?);
    let saved = shops.app.save()?;
    assert_eq!(targets(&saved), all);
    shops.restore_anew(&[])?;
    nothing_is(&shops.judge(NOTHING)?);

    let mut verify = shops.app.command(env!("CARGO_BIN_EXE_runner-cache"), Wiped, "");
    let verified = verify.arg("verify").arg("--root").arg(shops.app.store()).output()?;
    assert!(verified.status.success(), "{verified:?}");
    let mut command = shops.app.command(env!("CARGO_BIN_EXE_runner-cache"), Wiped, "");
    let shown =
        command.args(["show", "./fuzz/target", "--root"]).arg(shops.app.store()).output()?;
    assert!(shown.stdout.starts_with(b"./fuzz/target\n"), "{shown:?}");
    Ok(())
}

#[test]
fn further_targets_come_back_as_hot_trees_too() -> Result {
    let mut shops = Shops::new()?;
    shops.app.options = vec!["--hot-trees", "2"];
    shops.app.clone_anew()?;
    nothing_is(&shops.judge(FIRST)?);
    let saved = shops.app.save()?;
    assert!(!shops.app.path(Wiped, "app/fuzz/target").exists(), "not parked: {saved}");
    let restored = shops.restore_anew(&["--hot-trees", "2"])?;
    let modes = restored["areas"].as_array().into_iter().flatten();
    let modes = modes.filter(|area| area["files"] != 0).map(|area| area["mode"].as_str());
    assert!(modes.clone().all(|mode| matches!(mode, Some("move" | "clone"))), "{restored}");
    assert_eq!(modes.count(), 5);
    nothing_is(&shops.judge(NOTHING)?);
    Ok(())
}

#[test]
fn another_job_gets_no_further_target_but_those_it_names() -> Result {
    let mut shops = Shops::open()?;
    let restored = shops.restore_anew(&["--job", "other"])?;
    assert_eq!(targets(&restored), ["target"]);
    assert!(!shops.app.path(Wiped, "app/fuzz/target").exists());
    nothing_is(&shops.judge_only(0)?);

    let named = ["--job", "other", "--target", "fuzz/target", "--target", "./xtask/../out2"];
    let restored = shops.restore_anew(&named)?;
    assert_eq!(targets(&restored), ["target", "./fuzz/target", "./out2"]);
    for index in [0, 1, 4] {
        nothing_is(&shops.judge_only(index)?);
    }
    Ok(())
}

#[test]
fn a_further_target_that_was_not_restored_keeps_all_mtimes_as_they_are() -> Result {
    let shops = Shops::open()?;
    shops.app.clone_anew()?;
    shops.others[0].build(Wiped)?;
    let restored = shops.with(&["--job", "other"]).restore()?;
    let warned = warnings(&restored);
    let [warning] = warned[..] else { return Err(format!("{warned:?}").into()) };
    assert!(warning.contains("app/fuzz/target` was not restored"), "{warning}");
    let built = shops.app.build(Wiped)?;
    assert_eq!(built.compiled, ["app".to_owned()].into());

    // The same for a known target without any generation.
    let series = fs::read_dir(shops.app.store().join("series"))?.next().ok_or("no series")??;
    fs::remove_dir_all(series.path().join("_..fuzz..target-target"))?;
    shops.app.clone_anew()?;
    shops.others[0].build(Wiped)?;
    let restored = shops.with(&["--job", "other", "--target", "fuzz/target"]).restore()?;
    assert_eq!(targets(&restored), ["target"]);
    assert_eq!(warnings(&restored), warned);
    assert_eq!(shops.app.build(Wiped)?, built);
    Ok(())
}

#[test]
fn a_further_target_goes_when_its_workspace_or_its_last_save_does() -> Result {
    let shops = Shops::open()?;
    // A job that failed before it built the others.
    shops.app.clone_anew()?;
    shops.app.build(Wiped)?;
    assert_eq!(targets(&shops.with(&["--partial"]).save()?), ["target"]);
    assert_eq!(targets(&shops.restore_anew(&[])?)[1..], FURTHER);

    // The other targets are unchanged, but the list of further targets is not.
    shops.restore_anew(&[])?;
    fs::remove_dir_all(shops.app.path(Wiped, "app/out2"))?;
    shops.app.save()?;
    assert_eq!(targets(&shops.restore_anew(&[])?), ["target", FURTHER[0], FURTHER[1], FURTHER[3]]);

    shops.app.edit(Kept, &[Remove("app/fuzz/Cargo.toml"), Write("app/fuzz/corpus", "")])?;
    shops.app.commit()?;
    let restored = shops.restore_anew(&[])?;
    assert_eq!(targets(&restored), ["target", FURTHER[0], FURTHER[3]]);
    assert_eq!(warnings(&restored), Vec::<&str>::new());

    shops.app.edit(Kept, &[Write("app/src/lib.rs", &LIB.replace('1', "3"))])?;
    shops.app.commit()?;
    shops.app.clone_anew()?;
    shops.app.build(Wiped)?;
    assert_eq!(targets(&shops.app.save()?), ["target"]);
    assert_eq!(targets(&shops.restore_anew(&[])?), ["target"]);
    Ok(())
}

#[test]
fn a_directory_that_holds_more_than_a_target_is_refused() -> Result {
    let shops = Shops::open()?;
    let refused = [
        ("fuzz", "it is a package"),
        (".", "lies inside it"),
        ("examples/..", "lies inside it"),
        ("../..", "lies inside it"),
        ("../../elsewhere", "it lies in no checkout"),
        (".git/target", "inside `.git`"),
        ("src/lib.rs", "it is no directory"),
        ("src", "none of those by which a target directory is known"),
        ("link/target", "a symlink leads there"),
    ];
    shops.app.clone_anew()?;
    std::os::unix::fs::symlink("fuzz", shops.app.path(Wiped, "app/link"))?;
    for verb in ["restore", "save"] {
        for (dir, reason) in refused {
            let output = shops.app.runner_cache_command(verb).args(["--target", dir]).output()?;
            let report: Value = serde_json::from_slice(&output.stdout)?;
            let warned = warnings(&report);
            let [warning] = warned[..] else {
                return Err(format!("{verb} {dir}: {warned:?}").into());
            };
            assert!(warning.contains(reason), "{verb} {dir}: {warning}");
        }
    }
    assert!(shops.app.path(Wiped, "app/fuzz/src/main.rs").exists());
    Ok(())
}

#[test]
fn a_target_is_known_by_what_cargo_leaves_there() -> Result {
    let signature = "Signature: 8a477f597d28d172789f06886806bc55\n";
    let tag = |program| {
        format!("{signature}# This file is a cache directory tag created by {program}.\n")
    };
    let cases = [
        ("rustc-info", ".rustc_info.json", "{}".to_owned(), true),
        ("cargo", "CACHEDIR.TAG", tag("cargo"), true),
        ("another", "CACHEDIR.TAG", tag("sccache"), false),
        ("unsigned", "CACHEDIR.TAG", "created by cargo.".to_owned(), false),
        ("home/registry", "CACHEDIR.TAG", tag("cargo"), false),
        ("home/git", "CACHEDIR.TAG", tag("cargo"), false),
    ];
    let shops = Shops::open()?;
    for (dir, name, text, is_target) in cases {
        shops.app.clone_anew()?;
        let at = |below: &str| shops.app.path(Wiped, "app").join(below);
        fs::create_dir_all(at(dir))?;
        fs::write(at(dir).join(name), text)?;
        fs::create_dir_all(at("home"))?;
        fs::write(at("home/.package-cache"), "")?;
        let restored = shops.with(&["--job", "other"]).restore()?;
        let is_strange = warnings(&restored).iter().any(|warning| warning.contains(dir));
        assert_eq!(is_strange, is_target, "{dir}");
        let saved = shops.app.save()?;
        assert_eq!(targets(&saved).contains(&&*format!("./{dir}")), is_target, "{dir}");
    }
    Ok(())
}

#[test]
fn a_build_directory_that_lies_apart_is_a_further_target_too() -> Result {
    let mut shops = Shops::new()?;
    for shop in std::iter::once(&mut shops.app).chain(&mut shops.others) {
        shop.environment = vec![("CARGO_BUILD_BUILD_DIR", "{workspace-root}/bb".to_owned())];
    }
    shops.app.edit(Kept, &[Write("app/.gitignore", "target\nbb\n/out2\n")])?;
    shops.app.commit()?;
    shops.app.clone_anew()?;
    // `out2` shares the build directory of `target`.
    let mut first = FIRST;
    first[4] = ("app=1", "");
    nothing_is(&shops.judge(first)?);
    shops.app.save()?;
    let restored = shops.restore_anew(&[])?;
    assert!(targets(&restored).contains(&"./fuzz/bb"), "{restored}");
    nothing_is(&shops.judge(NOTHING)?);
    Ok(())
}

#[test]
fn each_further_target_has_the_lock_file_of_its_own_workspace() -> Result {
    let app = own_workspace("app", None) + "[features]\n";
    let shop = Workshop::new(&[
        ("app/Cargo.toml", &app),
        ("app/.gitignore", "target\n/out\n"),
        ("app/src/lib.rs", LIB),
        ("app/fuzz/Cargo.toml", &own_workspace("fuzzer", Some(".."))),
        ("app/fuzz/src/main.rs", MAIN),
        ("app/fuzz/deep/er/.gitkeep", ""),
        ("lib/Cargo.toml", &own_workspace("lib", None)),
        ("lib/src/lib.rs", ""),
        ("lib/.gitignore", "target\n"),
        ("lib/xtask/Cargo.toml", &own_workspace("xtask", None)),
        ("lib/xtask/src/main.rs", TASK),
    ])?;
    shop.clone_anew()?;
    let places = [
        ("app", "target", "target", "app"),
        ("app/fuzz", "target", "./fuzz/target", "app,fuzzer"),
        ("app/fuzz", "deep/er/target", "./fuzz/deep/er/target", "app,fuzzer"),
        ("app", "out", "./out", "app"),
        ("lib", "target", "lib-target", "lib"),
        ("lib/xtask", "target", "lib/xtask/target", "xtask"),
    ];
    for (dir, target, ..) in places {
        let mut cargo = shop.command("cargo", Wiped, dir);
        let cargo = cargo.args(["build", "-q", "--offline", "--target-dir", target]);
        assert!(cargo.status()?.success(), "{dir}");
    }
    shop.save()?;
    for (.., area, packages) in places {
        let mut command = shop.command(env!("CARGO_BIN_EXE_runner-cache"), Wiped, "");
        let command = command.args(["show", area, "--json", "--root"]).arg(shop.store());
        let header: Value = serde_json::from_slice(&command.output()?.stdout)?;
        let lock = header["components"]["lock"].as_str().ok_or("no lock")?;
        let names: Vec<_> = lock.lines().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(names.join(","), packages, "{area}");
    }
    Ok(())
}

#[test]
fn the_action_keeps_what_a_further_target_needs_of_cargos_home() -> Result {
    let runner = FakeRunner::new()?;
    let fuzz = own_workspace("fuzzer", None);
    runner.commit(&[
        ("fuzz/Cargo.toml", &fuzz),
        ("fuzz/src/lib.rs", ""),
        (".gitignore", "target\n"),
    ])?;
    lock(&runner.path("origin/app/fuzz"), "fuzzer", &["arbitrary-1.5.0"])?;
    runner.commit(&[])?;
    install_crate(&runner.path("home/.cargo"), "arbitrary-1.5.0")?;
    let fuzz_target = runner.workspace().join("fuzz/target");
    for is_first in [true, false] {
        runner.check_out()?;
        let mut job = runner.job(&[]);
        let main = job.main()?.ok()?;
        assert_eq!(
            main.output("cache-hit"),
            if is_first { "false" } else { "true" },
            "{}",
            main.log
        );
        assert_eq!(fuzz_target.join("debug/built").exists(), !is_first, "{}", main.log);
        assert_eq!(main.summary.contains("<code>./fuzz/target</code>"), !is_first);
        assert_eq!(runner.build()?, if is_first { 2 } else { 0 });
        if is_first {
            write(&fuzz_target, ".rustc_info.json", "{}")?;
            write(&fuzz_target, "debug/built", "built")?;
        }
        let post = job.post("success")?.ok()?;
        let registry = post.log.lines().filter(|line| line.starts_with("registry ")).count();
        assert_eq!(registry, 1, "{}", post.log);
        assert!(post.summary.contains("<code>./fuzz/target</code>"), "{}", post.summary);
        let areas = ["./fuzz/target", "registry", "target"];
        assert_eq!(runner.list()?, areas.map(|area| format!("owner/app@protected {area}")));
    }
    runner.verify()
}

/// A job that builds in `fuzz` alone has an empty `target`.
#[test]
fn a_job_may_have_further_targets_alone() -> Result {
    let shops = Shops::new()?;
    shops.app.clone_anew()?;
    shops.others[0].build(Wiped)?;
    let saved = shops.app.save()?;
    assert_eq!(targets(&saved), ["./fuzz/target"]);
    let warned = saved["areas"].as_array().into_iter().flatten().map(|area| &area["warnings"]);
    assert!(warned.clone().all(Value::is_null), "{saved}");
    let restored = shops.restore_anew(&[])?;
    assert_eq!(targets(&restored), ["./fuzz/target"]);
    assert_eq!(restored["hit"], "exact");
    assert_eq!(shops.others[0].build(Wiped)?.compiled.len(), 0);
    Ok(())
}

#[test]
fn a_file_in_a_further_target_is_no_source() -> Result {
    let shops = Shops::new()?;
    shops.app.clone_anew()?;
    shops.app.build(Wiped)?;
    let checked = |report: &Value| report["sources"]["checked"].as_u64();
    let before = checked(&shops.app.save()?);
    assert!(before.is_some_and(|count| count > 10), "{before:?}");
    // Git does not ignore this directory.
    let mut out3 = shops.app.clone();
    out3.cargo = vec!["build", "--target-dir", "out3"];
    out3.build(Wiped)?;
    let saved = shops.app.save()?;
    assert_eq!((checked(&saved), targets(&saved)), (before, vec!["target", "./out3"]));
    let restored = shops.restore_anew(&[])?;
    assert_eq!((checked(&restored), targets(&restored)), (before, vec!["target", "./out3"]));
    assert_eq!(restored["sources"]["changed"], 0);
    Ok(())
}
