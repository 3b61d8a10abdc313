//! Build scripts that watch git's own files, such as scripts that compile a commit into a program; and git's own view
//! of a checkout after a restore.
//!
//! A restore gave the sources their mtimes and left the index as it was. No test asked git afterwards, and commands for
//! people, such as `git status`, compare contents by themselves.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::mtime;
use crate::workshop::Edit::{Backdate, Git, Remove, Touch, Write};
use crate::workshop::Ours::Same;
use crate::workshop::Side::{Kept, Wiped};
use crate::workshop::{Edit, Result, Step, Workshop, manifest, nothing_is};

/// A build script that watches `watched` and compiles in git's answer to `asked`.
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

/// The arguments by which git, without an editor, gives the last commit another subject: it becomes another commit.
fn reword(subject: &str) -> [&str; 6] {
    ["commit", "-q", "--amend", "--allow-empty", "-m", subject]
}

/// In a workspace that is never wiped each commit moves the branch.
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
    // The script of a submodule has to compute the path of its git directory.
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

/// Like a release job: it builds, then commits the next version and pushes it.
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

/// Fails unless git finds the files of a repo as committed, without comparing their contents.
fn expect_clean(shop: &Workshop, repo: &str, why: &str) -> Result {
    for asked in [&["diff-index", "--quiet", "HEAD"][..], &["diff-files", "--quiet"]] {
        shop.git(Wiped, repo, asked)
            .map_err(|error| format!("{why}: {repo}: {asked:?}: {error}"))?;
    }
    Ok(())
}

/// Returns the files in the app and its git directory that belong neither to git nor to the repo.
fn left_behind(shop: &Workshop) -> Result<Vec<String>> {
    let mut left = Vec::new();
    for dir in ["app", "app/.git"] {
        for entry in fs::read_dir(shop.path(Wiped, dir))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.contains("runner-cache") || name == "index.lock" {
                left.push(name);
            }
        }
    }
    Ok(left)
}

#[test]
fn git_finds_a_checkout_clean_after_a_restore_and_writes_no_file_anew() -> Result {
    let mut shop = Workshop::new(&[
        ("app/Cargo.toml", &(manifest("app", &["sub"]) + "[workspace]\n")),
        ("app/.gitignore", "/target\n"),
        ("app/src/main.rs", "fn main() {\nprintln!(\"sub={}\", sub::SUB);\n}\n"),
        ("app/docs/page.md", "a page\n"),
        ("app/sub/Cargo.toml", &manifest("sub", &[])),
        ("app/sub/src/lib.rs", "pub const SUB: u8 = 1;\n"),
    ])?;
    shop.as_submodule("app", "sub")?;
    nothing_is(&shop.open("cold", "sub=1", "sub app")?);
    let of_root = mtime(&shop.path(Wiped, "app"))?;
    let url = format!("file://{}", shop.path(Kept, "app").display());
    let shallow = ["clone", "-q", "--depth", "1", "--recurse-submodules", &url, "app"];
    let cases: [(&str, &[Edit<'_>]); 4] = [
        ("a clone", &[]),
        ("a checkout of one commit", &[Remove("app"), Git("", &shallow)]),
        ("times of inodes do not count", &[Git("app", &["config", "core.trustctime", "false"])]),
        ("a sparse index", &[Git("app", &["sparse-checkout", "set", "--sparse-index", "src"])]),
    ];
    for (why, edits) in cases {
        shop.clone_anew()?;
        shop.edit(Wiped, edits)?;
        let index = shop.path(Wiped, "app/.git/index");
        let before = mtime(&index)?;
        shop.restore()?;
        assert_eq!(mtime(&index)?, before, "{why}: the index looks younger");
        if why == "a clone" {
            assert_eq!(mtime(&shop.path(Wiped, "app"))?, of_root, "the root looks younger");
        }
        assert_eq!(left_behind(&shop)?, [] as [&str; 0], "{why}");
        for repo in ["app", "app/sub"] {
            expect_clean(&shop, repo, why)?;
            for written in [&["checkout", "-q", "."][..], &["reset", "-q", "--hard"]] {
                shop.git(Wiped, repo, written)?;
            }
        }
        assert_eq!(shop.build(Wiped)?.compiled.len(), 0, "{why}");
    }
    shop.clone_anew()?;
    let index = shop.path(Wiped, "app/.git/index");
    fs::remove_file(&index)?;
    shop.restore()?;
    assert!(!index.exists(), "an index that was not there is there");
    Ok(())
}

#[test]
fn a_file_that_was_edited_stays_changed_for_git() -> Result {
    let mut shop = workshop(&["in.txt"], SUBJECT)?;
    shop.edit(Kept, &[Write("app/in.txt", "one"), Write("app/racy.txt", "one")])?;
    shop.commit()?;
    nothing_is(&shop.open("cold", "said=a-step", ALL)?);
    shop.clone_anew()?;
    shop.edit(Wiped, &[Write("app/in.txt", "two")])?;
    shop.restore()?;
    assert_eq!(shop.git(Wiped, "app", &["diff-files", "--name-only"])?.trim(), "in.txt");

    // Git can tell this edit only by its content: size, inode and mtime are those in the index.
    shop.clone_anew()?;
    shop.edit(
        Wiped,
        &[
            Git("app", &["config", "core.trustctime", "false"]),
            Backdate("app/racy.txt"),
            Git("app", &["update-index", "-q", "--refresh"]),
            Write("app/racy.txt", "two"),
            Backdate("app/racy.txt"),
            Backdate("app/.git/index"),
        ],
    )?;
    shop.build(Wiped)?;
    shop.save()?;
    shop.edit(Wiped, &[Touch("app/in.txt")])?;
    shop.restore()?;
    assert_eq!(shop.git(Wiped, "app", &["diff-files", "--name-only"])?.trim(), "racy.txt");
    Ok(())
}

/// A git that logs its arguments, and does `instead` when it should refresh an index.
fn another_git(shop: &mut Workshop, instead: &str) -> Result {
    let path = shop.command("env", Wiped, "").output()?.stdout;
    let path = String::from_utf8(path)?;
    let path = path.lines().find_map(|line| line.strip_prefix("PATH=")).ok_or("no PATH")?;
    let bin = shop.store().with_file_name("bin");
    fs::create_dir_all(&bin)?;
    let log = bin.join("log");
    let script = format!(
        "#!/bin/sh\nPATH='{path}'\n\
         case \"$*\" in *update-index*) echo \"$*\" >>'{}'; {instead} ;; esac\n\
         exec git \"$@\"\n",
        log.display()
    );
    fs::write(bin.join("git"), script)?;
    fs::set_permissions(bin.join("git"), fs::Permissions::from_mode(0o755))?;
    shop.environment = vec![("PATH", format!("{}:{path}", bin.display()))];
    Ok(())
}

#[test]
fn git_is_asked_only_where_a_time_changed() -> Result {
    let mut shop = workshop(&["in.txt"], SUBJECT)?;
    shop.edit(Kept, &[Write("app/in.txt", "one")])?;
    shop.commit()?;
    nothing_is(&shop.open("cold", "said=a-step", ALL)?);
    shop.clone_anew()?;
    another_git(&mut shop, "")?;
    let log = shop.store().with_file_name("bin").join("log");
    for (why, edits, want) in [
        ("a new checkout", &[][..], 1),
        ("nothing to do", &[], 1),
        ("one file looks new", &[Touch("app/src/main.rs")], 2),
    ] {
        shop.edit(Wiped, edits)?;
        shop.restore()?;
        let asked = fs::read_to_string(&log)?.lines().count();
        assert_eq!(asked, want, "{why}");
        if why == "a new checkout" {
            shop.build(Wiped)?;
            shop.save()?;
        }
    }
    Ok(())
}

#[test]
fn a_restore_that_is_killed_while_git_works_leaves_no_lock() -> Result {
    let mut shop = workshop(&["in.txt"], SUBJECT)?;
    shop.edit(Kept, &[Write("app/in.txt", "one")])?;
    shop.commit()?;
    nothing_is(&shop.open("cold", "said=a-step", ALL)?);
    for (why, instead) in [
        ("we are", "kill -9 $PPID"),
        ("both are", ": >\"${GIT_INDEX_FILE:-.git/index}.lock\"; kill -9 $PPID; exit 1"),
    ] {
        shop.clone_anew()?;
        another_git(&mut shop, instead)?;
        let killed = shop.runner_cache_command("restore").output()?;
        assert!(!killed.status.success(), "{why}");
        shop.environment.clear();
        shop.git(Wiped, "app", &["checkout", "-q", "-f", "."])
            .map_err(|error| format!("{why}: {error}"))?;
        shop.restore()?;
        expect_clean(&shop, "app", why)?;
        assert_eq!(left_behind(&shop)?, [] as [&str; 0], "{why}");
    }
    Ok(())
}

#[test]
fn an_index_that_somebody_has_in_hand_stays_as_it_is() -> Result {
    let mut shop = workshop(&["in.txt"], SUBJECT)?;
    shop.edit(Kept, &[Write("app/in.txt", "one")])?;
    shop.commit()?;
    nothing_is(&shop.open("cold", "said=a-step", ALL)?);
    for instead in [": >.git/index.lock", "git rm -q --cached in.txt"] {
        let instead = format!("( unset GIT_INDEX_FILE; {instead} )");
        shop.clone_anew()?;
        another_git(&mut shop, &instead)?;
        shop.restore()?;
        shop.environment.clear();
        if instead.contains("lock") {
            fs::remove_file(shop.path(Wiped, "app/.git/index.lock"))?;
            assert!(expect_clean(&shop, "app", "").is_err(), "it was replaced");
        } else {
            let staged = shop.git(Wiped, "app", &["diff", "--cached", "--name-only"])?;
            assert_eq!(staged.trim(), "in.txt", "what was done to it is lost");
        }
    }
    Ok(())
}
