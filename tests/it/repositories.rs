//! Files that a build uses from a git repository, wherever they lie: beside the workspace, in submodules, and in the
//! target directory.

use std::path::Path;

use crate::workshop::Edit::{Git, Link, Remove, Write};
use crate::workshop::Ours::{More, Same};
use crate::workshop::Side::{Kept, Wiped};
use crate::workshop::{Result, Step, Workshop, manifest, nothing_is};

const LIB: &str = "pub const SAY: &str = include_str!(\"said\");\n";

/// The repo that is built is a directory of a repository, and uses other directories of it.
#[test]
fn a_workspace_in_a_repository_uses_what_lies_beside_it() -> Result {
    let watches = "fn main() {\nprintln!(\"cargo::rerun-if-changed=../proto\");\n\
        let text = std::fs::read_to_string(\"../proto/a.proto\").unwrap();\n\
        println!(\"cargo::rustc-env=PROTO={}\", text.trim());\n}\n";
    let main =
        "fn main() {\nprintln!(\"proto={}\\ncommon={}\", env!(\"PROTO\"), common::SAY);\n}\n";
    let dir = tempfile::tempdir()?;
    let mut shop = Workshop::in_dir(
        dir,
        "mono/backend",
        &[
            ("mono/.gitignore", "target\n"),
            ("mono/README", ""),
            ("mono/backend/Cargo.toml", &(manifest("backend", &["../common"]) + "[workspace]\n")),
            ("mono/backend/build.rs", watches),
            ("mono/backend/src/main.rs", main),
            ("mono/common/Cargo.toml", &manifest("common", &[])),
            ("mono/common/src/lib.rs", LIB),
            ("mono/common/src/said", "one"),
            ("mono/proto/a.proto", "a"),
        ],
    )?;
    let all = "backend/build backend/run backend common";
    let mut wrong = shop.open("cold", "proto=a common=one", all)?;
    #[rustfmt::skip]
    let steps = [
        Step("nothing", &[], "", "", Same),
        Step("another file of the repository", &[Write("mono/README", "r")], "", "", Same),
        Step("the package beside it", &[Write("mono/common/src/said", "two")], "common=two", "common backend", Same),
        Step("the directory beside it", &[Write("mono/proto/a.proto", "b")], "proto=b", "backend/run backend", Same),
        Step("a new file in that", &[Write("mono/proto/b.proto", "")], "", "backend/run backend", Same),
    ];
    wrong.extend(shop.walk(&steps)?);
    // A dependency named on the command line lies in the same repository.
    let named = format!("--dependency=common={}", shop.path(Wiped, "mono/common").display());
    shop.clone_anew()?;
    for _ in 0..2 {
        let restored = shop.runner_cache_command("restore").arg(&named).output()?;
        assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
        wrong.extend(shop.judge(&Step("named", &[], "", "", Same))?);
        assert!(shop.runner_cache_command("save").arg(&named).output()?.status.success());
        shop.clone_anew()?;
    }
    nothing_is(&wrong);
    Ok(())
}

/// A directory unknown to git is no part of the repository around it.
#[test]
fn a_directory_that_a_repository_around_it_ignores_is_a_root_by_itself() -> Result {
    let mut shop = Workshop::new(&[
        ("app/Cargo.toml", &manifest("app", &[])),
        ("app/.gitignore", "/target\n"),
        ("app/src/main.rs", "fn main() {}\n"),
    ])?;
    shop.with_git = false;
    shop.clone_anew()?;
    shop.git(Wiped, "", &["init", "-q"])?;
    shop.edit(Wiped, &[Write(".gitignore", "*\n"), Write("beside/huge", "")])?;
    shop.build(Wiped)?;
    let saved = shop.save()?;
    // The manifest, the lock file, the program, the file of git, and their directories.
    assert_eq!(saved["sources"]["checked"], 6, "{saved}");
    Ok(())
}

#[test]
fn files_that_a_submodule_tracks_are_sources_even_if_the_repository_around_it_ignores_them()
-> Result {
    let script = "#[path = \"build/probe.rs\"] mod probe;\nfn main() {\n\
        println!(\"cargo::rerun-if-changed=build\");\n\
        println!(\"cargo::rustc-env=PROBE={}\", probe::SAY);\n}\n";
    let shop = &mut Workshop::new(&[
        ("app/Cargo.toml", &(manifest("app", &["sub"]) + "[workspace]\n")),
        ("app/.gitignore", "/target\n"),
        ("app/src/main.rs", "fn main() {\nprintln!(\"probe={}\", sub::SAY);\n}\n"),
        ("app/sub/Cargo.toml", &manifest("sub", &[])),
        ("app/sub/build.rs", script),
        ("app/sub/build/probe.rs", "pub const SAY: u8 = 1;\n"),
        ("app/sub/src/lib.rs", "pub const SAY: &str = env!(\"PROBE\");\n"),
    ])?;
    shop.as_submodule("app", "sub")?;
    shop.edit(Kept, &[Write("app/.gitignore", "/target\nbuild/\n")])?;
    shop.commit()?;
    let mut wrong = shop.open("cold", "probe=1", "sub/build sub/run sub app")?;
    wrong.extend(shop.walk(&[Step("nothing", &[], "", "", Same)])?);
    shop.edit(Kept, &[Write("app/sub/build/probe.rs", "pub const SAY: u8 = 2;\n")])?;
    shop.git(Kept, "app/sub", &["commit", "-q", "-a", "-m", "two"])?;
    shop.git(Kept, "app/sub", &["push", "-q", "origin", "main"])?;
    wrong.extend(shop.walk(&[Step(
        "a file",
        &[],
        "probe=2",
        "sub/build sub/run sub app",
        Same,
    )])?);
    nothing_is(&wrong);
    Ok(())
}

/// A workspace that keeps files in its target directory, as Anchor does with `target/idl`.
fn with_files_in_target() -> Result<Workshop> {
    let script = "fn main() {\nprintln!(\"cargo::rerun-if-changed=target/idl\");\n\
        let count = std::fs::read_dir(\"target/idl\").unwrap().count();\n\
        println!(\"cargo::rustc-env=COUNT={count}\");\n}\n";
    let main = "fn main() {\nprintln!(\"said={}\\ncount={}\", include_str!(\"../target/said\"), env!(\"COUNT\"));\n}\n";
    Workshop::new(&[
        ("app/Cargo.toml", &manifest("app", &[])),
        ("app/.gitignore", "/target/*\n!/target/said\n!/target/idl\n!/target/link\n"),
        ("app/build.rs", script),
        ("app/src/main.rs", main),
        ("app/target/said", "one"),
        ("app/target/idl/a.json", "a"),
    ])
}

const ALL: &str = "app/build app/run app";

#[test]
fn tracked_files_in_a_target_directory_are_the_checkouts() -> Result {
    #[rustfmt::skip]
    let steps = [
        Step("nothing", &[], "", "", Same),
        Step("another content", &[Write("app/target/said", "two")], "said=two", "app", Same),
        Step("a new file", &[Write("app/target/idl/b.json", "b")], "count=2", "app/run app", Same),
        Step("one content again", &[Write("app/target/said", "one")], "said=one", "app", Same),
        // The end of a new link counts as changed.
        Step("a link", &[Link("app/target/link", "said")], "", "", More("app")),
        Step("a file less", &[Remove("app/target/idl/a.json")], "count=1", "app/run app", Same),
        Step("nothing any more", &[], "", "", Same),
    ];
    for hot in [&[][..], &["--hot-trees", "2"]] {
        let mut shop = with_files_in_target()?;
        let mut wrong = shop.open("cold", "said=one count=1", ALL)?;
        for step in &steps {
            let Step(why, edits, ..) = step;
            shop.edit(Kept, edits)?;
            shop.commit()?;
            shop.clone_anew()?;
            shop.restore()?;
            assert_eq!(shop.git(Wiped, "app", &["status", "--porcelain"])?, "", "{why}: restored");
            wrong.extend(shop.judge(step)?);
            assert!(shop.runner_cache_command("save").args(hot).output()?.status.success());
            assert_eq!(shop.git(Wiped, "app", &["status", "--porcelain"])?, "", "{why}: saved");
        }
        nothing_is(&wrong);
    }
    Ok(())
}

#[test]
fn a_file_that_was_built_before_git_tracked_it_does_not_come_back() -> Result {
    let shop = with_files_in_target()?;
    shop.clone_anew()?;
    shop.build(Wiped)?;
    // A directory in the place of a future file, a file in the place of a future directory, and a second name of a
    // file.
    shop.edit(Wiped, &[Write("app/target/spot/old", "old"), Write("app/target/place", "old")])?;
    std::fs::hard_link(
        shop.path(Wiped, "app/target/place"),
        shop.path(Wiped, "app/target/second"),
    )?;
    shop.save()?;
    let git_adds = Git("app", &["add", "-f", "target/spot", "target/place"]);
    shop.edit(
        Kept,
        &[Write("app/target/spot", "new"), Write("app/target/place/new", "new"), git_adds],
    )?;
    shop.commit()?;
    shop.clone_anew()?;
    let restored = shop.restore()?;
    assert_eq!(shop.git(Wiped, "app", &["status", "--porcelain"])?, "", "{restored}");
    let read = |path: &str| std::fs::read_to_string(shop.path(Wiped, path));
    assert_eq!(
        (read("app/target/spot")?, read("app/target/place/new")?),
        ("new".into(), "new".into())
    );
    let built = shop.build(Wiped)?;
    assert_eq!(built.compiled.len(), 0, "{built:?}");
    shop.save()?;
    shop.clone_anew()?;
    shop.restore()?;
    assert!(!Path::new(&shop.path(Wiped, "app/target/second")).exists());
    Ok(())
}
