//! Build scripts that watch git's own files, as those do that compile a commit into a program.

use crate::workshop::Edit::{Git, Remove, Write};
use crate::workshop::Ours::Same;
use crate::workshop::Side::{Kept, Wiped};
use crate::workshop::{Result, Step, Workshop, manifest, nothing_is};

/// A build script that watches `watched` and compiles in what git answers to `asked`.
fn script(watched: &[&str], asked: &str) -> String {
    let lines = watched.iter().map(|path| format!("println!(\"cargo::rerun-if-changed={path}\");"));
    let lines = lines.collect::<Vec<_>>().join("\n");
    format!(
        "fn main() {{\n{lines}\n\
         let git = std::process::Command::new(\"git\").args({asked:?}.split(' ')).output().unwrap();\n\
         let said = String::from_utf8(git.stdout).unwrap();\n\
         println!(\"cargo::rustc-env=SAID={{}}\", said.trim());\n}}\n"
    )
}

const SUBJECT: &str = "log -1 --format=%s";
const MAIN: &str = "fn main() {\nprintln!(\"said={}\", env!(\"SAID\"));\n}\n";
const ALL: &str = "app/build app/run app";
const RUN: &str = "app/run app";

fn workshop(watched: &[&str], asked: &str) -> Result<Workshop> {
    Workshop::new(&[
        ("app/Cargo.toml", &manifest("app", &[])),
        ("app/.gitignore", "/target\n"),
        ("app/build.rs", &script(watched, asked)),
        ("app/src/main.rs", MAIN),
    ])
}

/// Git without an editor: gives the last commit another subject, so that it is another commit.
fn reword(subject: &str) -> [&str; 6] {
    ["commit", "-q", "--amend", "--allow-empty", "-m", subject]
}

/// In a workshop that is never wiped each commit moves the branch.
#[test]
fn at_the_same_commit_nothing_runs_again_and_at_another_all_does() -> Result {
    let mut wrong = Vec::new();
    for watched in
        [&[".git/HEAD", ".git/refs/heads/main"][..], &[".git/logs/HEAD"], &[".git/refs/heads"]]
    {
        let mut shop = workshop(watched, SUBJECT)?;
        wrong.extend(shop.open("cold", "said=a-step", ALL)?);
        for round in ["the same commit", "and again"] {
            shop.clone_anew()?;
            shop.restore()?;
            wrong.extend(shop.judge(&Step(round, &[], "", "", Same))?);
            shop.save()?;
        }
        shop.edit(Kept, &[Git("app", &reword("two"))])?;
        shop.clone_anew()?;
        shop.restore()?;
        wrong.extend(shop.judge(&Step("another commit", &[], "said=two", RUN, Same))?);
    }
    nothing_is(&wrong);
    Ok(())
}

#[test]
fn dependencies_and_submodules_are_at_commits_of_their_own() -> Result {
    let of_sub =
        script(&["@/.git/modules/sub/HEAD", "@/.git/modules/sub/refs/heads/main"], SUBJECT);
    // A submodule is told where its git directory is.
    let of_sub = of_sub
        .replace("println!(\"cargo::rerun-if-changed=@", "println!(\"cargo::rerun-if-changed={}")
        .replace("HEAD\");", "HEAD\", env!(\"CARGO_MANIFEST_DIR\").trim_end_matches(\"/sub\"));")
        .replace("main\");", "main\", env!(\"CARGO_MANIFEST_DIR\").trim_end_matches(\"/sub\"));");
    let lib = "pub const SAID: &str = env!(\"SAID\");\n";
    let mut shop = Workshop::new(&[
        ("app/Cargo.toml", &(manifest("app", &["sub", "../sib"]) + "[workspace]\n")),
        ("app/.gitignore", "/target\n"),
        (
            "app/src/main.rs",
            "fn main() {\nprintln!(\"sub={}\\nsib={}\", sub::SAID, sib::SAID);\n}\n",
        ),
        ("app/sub/Cargo.toml", &manifest("sub", &[])),
        ("app/sub/build.rs", &of_sub),
        ("app/sub/src/lib.rs", lib),
        ("sib/Cargo.toml", &manifest("sib", &[])),
        ("sib/.gitignore", "/target\nCargo.lock\n"),
        ("sib/build.rs", &script(&[".git/HEAD", ".git/refs/heads/main"], SUBJECT)),
        ("sib/src/lib.rs", lib),
    ])?;
    shop.as_submodule("app", "sub")?;
    let all = "sub sub/build sub/run sib sib/build sib/run app";
    let mut wrong = shop.open("cold", "sub=a-step sib=a-step", all)?;
    let committed = |repo| [Git(repo, &["commit", "-q", "--allow-empty", "-m", "two"])];
    for (why, repo, prints, compiles) in [
        ("nothing", "", "", ""),
        ("the dependency", "sib", "sib=two", "sib/run sib app"),
        ("the submodule", "app/sub", "sub=two", "sub/run sub app"),
        ("the repo around them", "app", "", ""),
    ] {
        if !repo.is_empty() {
            shop.edit(Kept, &committed(repo))?;
            shop.git(Kept, "app/sub", &["push", "-q", "origin", "main"])?;
            shop.git(Kept, "app", &["commit", "-q", "-a", "--allow-empty", "-m", "at it"])?;
        }
        shop.clone_anew()?;
        shop.restore()?;
        wrong.extend(shop.judge(&Step(why, &[], prints, compiles, Same))?);
        shop.save()?;
    }
    nothing_is(&wrong);
    Ok(())
}

#[test]
fn a_tag_that_is_new_is_seen() -> Result {
    let mut shop = workshop(&[".git/refs/tags"], "tag -l")?;
    shop.edit(Kept, &[Git("app", &["tag", "v1"])])?;
    let mut wrong = shop.open("cold", "said=v1", ALL)?;
    shop.edit(Kept, &[Git("app", &["tag", "-d", "v1"]), Git("app", &["tag", "v2"])])?;
    shop.clone_anew()?;
    // A clone packs its tags, and the script watches the directory.
    shop.restore()?;
    wrong.extend(shop.judge(&Step("another tag", &[], "said=v2", RUN, Same))?);
    nothing_is(&wrong);
    Ok(())
}

/// As a release does: it builds, then commits the next version and pushes it.
#[test]
fn a_commit_that_the_job_made_after_its_build_was_not_built() -> Result {
    let shop = workshop(&[".git/HEAD"], SUBJECT)?;
    shop.clone_anew()?;
    shop.build(Wiped)?;
    shop.edit(Wiped, &[Write("app/note", ""), Git("app", &["add", "-A"])])?;
    shop.git(Wiped, "app", &["commit", "-q", "-m", "two"])?;
    shop.edit(Wiped, &[Git("app", &["push", "-q", "origin", "HEAD:pushed"])])?;
    shop.save()?;
    shop.edit(Kept, &[Git("app", &["merge", "-q", "--ff-only", "pushed"]), Remove("app/target")])?;
    shop.clone_anew()?;
    shop.restore()?;
    assert_eq!(shop.build(Wiped)?.prints["said"], "two");
    Ok(())
}
