//! Hostile manifests and stores: nothing outside the destination changes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::*;

fn dir(path: &str) -> Value {
    json!({ "entry": { "path": path, "is": { "dir": { "mode": 0o755, "mtime": at() } } } })
}

fn symlink(path: &str, target: &str) -> Value {
    json!({ "entry": { "path": path, "is": { "symlink": { "target": target, "mtime": at() } } } })
}

fn hard_link(path: &str, of: &str) -> Value {
    json!({ "entry": { "path": path, "is": { "hard-link": { "of": of } } } })
}

/// A time as in manifests: the time of the header.
fn at() -> Value {
    Value::Null
}

/// Returns the file entry of the saved manifest under another path.
fn file(like: &Value, path: &str) -> Value {
    let mut file = like.clone();
    file["entry"]["path"] = json!(path);
    file
}

#[test]
fn a_hostile_manifest_is_named_and_changes_nothing() -> Result {
    type Edit = fn(&mut Vec<Value>, &Value);
    #[rustfmt::skip]
    let cases: [(&str, Edit); 22] = [
        ("up and out",                  |lines, like| lines.push(file(like, "../outside/x"))),
        ("up inside",                   |lines, like| lines.push(file(like, "a/../../outside/x"))),
        ("absolute",                    |lines, like| lines.push(file(like, "/tmp/runner-cache-it-hostile"))),
        ("nothing",                     |lines, like| lines.push(file(like, ""))),
        ("a dot",                       |lines, like| lines.push(file(like, "."))),
        ("a NUL",                       |lines, like| lines.push(file(like, "z\0z"))),
        ("hex for up and out",          |lines, like| { let mut file = like.clone(); file["entry"]["path"] = json!({ "hex": "2e2e2f78" }); lines.push(file); }),
        ("a file through a symlink",    |lines, like| lines.extend([symlink("z", "../../outside"), file(like, "z/x")])),
        ("a directory through one",     |lines, _|    lines.extend([symlink("z", "../../outside"), dir("z/x")])),
        ("a link that is also a dir",   |lines, like| lines.extend([symlink("z", "../../outside"), dir("z"), file(like, "z/x")])),
        ("a dir that is also a link",   |lines, like| lines.extend([dir("z"), symlink("z", "../../outside"), file(like, "z/x")])),
        ("a file over a file",          |lines, like| lines.extend([file(like, "z"), file(like, "z")])),
        ("a dir over a file",           |lines, like| lines.extend([file(like, "z"), dir("z")])),
        ("a file without its dir",      |lines, like| lines.push(file(like, "zz/x"))),
        ("a hard link up and out",      |lines, _|    lines.push(hard_link("z", "../../outside/secret"))),
        ("a hard link to a symlink",    |lines, _|    lines.extend([symlink("y", "../../outside/secret"), hard_link("z", "y")])),
        ("a hard link through one",     |lines, _|    lines.extend([symlink("y", "../../outside"), hard_link("z", "y/secret")])),
        ("a hard link to nothing",      |lines, _|    lines.push(hard_link("z", "no-such"))),
        ("contents past the end",       |lines, like| { let mut file = file(like, "z"); file["entry"]["is"]["file"]["size"] = json!(1); lines.push(file); }),
        ("a pack that is not listed",   |lines, like| { let mut file = file(like, "z"); file["entry"]["is"]["file"]["contents"][0]["pack"] = json!(7); lines.push(file); }),
        ("an offset that overflows",    |lines, like| {
            let mut file = file(like, "z");
            let contents = &mut file["entry"]["is"]["file"]["contents"];
            let mut second = contents[0].clone();
            second["pack"] = json!(7);
            contents[0]["offset"] = json!(u64::MAX - 1);
            *contents = json!([contents[0], second]);
            lines.push(file);
        }),
        ("a kept file up and out",      |lines, like| lines.push(json!({ "kept": { "root": ".", "path": "../outside/x", "facts": like["entry"]["is"]["file"] } }))),
    ];
    let mut wrong = Vec::new();
    for (why, edit) in cases {
        let host = Host::new()?;
        write(&host.path("outside"), "secret", "untouched")?;
        write(&host.target(), "app", "built")?;
        host.save()?.done()?;
        let [manifest] = &host.manifests()?[..] else { return Err("one manifest expected".into()) };
        rewrite_manifest(manifest, |lines| {
            let is_file = |line: &&Value| line["entry"]["path"] == "app";
            let like = lines.iter().find(is_file).cloned().unwrap_or_default();
            let mtime = like["entry"]["is"]["file"]["mtime"].clone();
            let first_source = lines.iter().position(|line| line["source"].is_object());
            let rest = lines.split_off(first_source.unwrap_or(lines.len()));
            edit(lines, &like);
            for line in lines.iter_mut() {
                for kind in ["dir", "symlink"] {
                    if line["entry"]["is"][kind].is_object() {
                        line["entry"]["is"][kind]["mtime"] = mtime.clone();
                    }
                }
            }
            lines.extend(rest);
        })?;
        write(&host.target(), "app", "built later")?;
        let before = (list(&host.repo())?, list(&host.path("outside"))?);
        let restored = host.restore()?;
        let named = format!("warning: target: `{}` is damaged: ", manifest.display());
        if restored.status != Some(0) || !restored.stderr.contains(&named) {
            wrong.push(format!("{why}: {:?}\n{}", restored.status, restored.stderr));
        }
        let after = (list(&host.repo())?, list(&host.path("outside"))?);
        assert_eq!(differences(&before.1, &after.1), [] as [&str; 0], "{why}");
        assert_eq!(differences(&before.0, &after.0), [] as [&str; 0], "{why}");
        assert!(!Path::new("/tmp/runner-cache-it-hostile").exists(), "{why}");
    }
    assert_eq!(wrong.len(), 0, "{}", wrong.join("\n"));
    Ok(())
}

/// Forged kept files: files that git, cargo or rustup obey, or that belong to somebody else.
#[test]
fn no_kept_file_is_obeyed_or_put_into_another_repository() -> Result {
    #[rustfmt::skip]
    let cases = [
        ("a hook",                     ".git/hooks/post-checkout",      0o755, false),
        ("a setting of git",           ".git/info/attributes",          0o644, false),
        ("the same in upper case",     ".GIT/hooks/post-checkout",      0o755, false),
        ("further down",               "sub/.git/hooks/post-checkout",  0o755, false),
        ("cargo's configuration",      ".cargo/config.toml",            0o644, false),
        ("that of a directory",        "crates/a/.cargo/config.toml",   0o644, false),
        ("in another spelling",        "crates/a/.Cargo/config",        0o644, false),
        ("submodules",                 ".gitmodules",                   0o644, false),
        ("filters",                    "src/.gitattributes",            0o644, false),
        ("a toolchain",                "rust-toolchain.toml",           0o644, false),
        ("that of a directory, old",   "crates/rust-toolchain",         0o644, false),
        ("another repository",         "inner/made.rs",                 0o644, false),
        ("further down in it",         "inner/src/made.rs",             0o644, false),
        ("a bare one",                 "bare/hooks/update",             0o644, false),
        ("a work tree of another",     "tree/made.rs",                  0o644, false),
        ("through a link to .git",     "link/hooks/post-checkout",      0o644, false),
        ("through a link elsewhere",   "away/made.rs",                  0o644, false),
        ("a program",                  "src/made.sh",                   0o755, false),
        ("a program of a group",       "src/made.sh",                   0o654, false),
        ("a submodule",                "sub/made.rs",                   0o644, true),
        ("a source",                   "src/made.rs",                   0o644, true),
        ("with a bit too many",        "src/made.rs",                   0o4644, true),
    ];
    for (why, path, mode, comes) in cases {
        let host = Host::new()?;
        let repo = host.repo();
        write(&host.path("outside"), "secret", "untouched")?;
        write(&repo, "sub/.git", "gitdir: ../.git/modules/sub\n")?;
        write(&repo, "tree/.git", "gitdir: /elsewhere/.git/worktrees/tree\n")?;
        for (dir, bare) in [("inner", false), ("bare", true)] {
            let mut git = Command::new("git");
            git.args(["init", "-q"]).args(bare.then_some("--bare")).arg(dir).current_dir(&repo);
            succeed(git.env("GIT_CONFIG_GLOBAL", "/dev/null"))?;
        }
        link(&repo, "link", ".git")?;
        link(&repo, "away", "../outside")?;
        write(&host.target(), "app", "built")?;
        host.save()?.done()?;
        let [manifest] = &host.manifests()?[..] else { return Err("one manifest expected".into()) };
        rewrite_manifest(manifest, |lines| {
            let is_file = |line: &&Value| line["entry"]["path"] == "app";
            let like = lines.iter().find(is_file).cloned().unwrap_or_default();
            let mut facts = like["entry"]["is"]["file"].clone();
            facts["mode"] = json!(mode);
            let digest = facts["contents"][0]["digest"].clone();
            let kept = json!({ "root": ".", "path": path, "digest": digest, "facts": facts });
            lines.push(json!({ "kept": kept }));
        })?;
        host.lose_target()?;
        let before = (list(&repo.join(".git"))?, list(&host.path("outside"))?);
        let restored = host.restore()?.done()?;
        let now = fs::symlink_metadata(repo.join(path)).ok();
        assert_eq!(now.is_some(), comes, "{why}: {restored:?}");
        let mode = now.filter(|_| comes).map(|now| now.permissions().mode() & 0o7777);
        assert_eq!(mode, comes.then_some(0o644), "{why}");
        expect_same(&before.0, &repo.join(".git"), why)?;
        expect_same(&before.1, &host.path("outside"), why)?;
    }
    Ok(())
}

#[test]
fn a_symlink_planted_in_a_home_leads_nowhere() -> Result {
    for below in ["registry/src", "registry/cache", "registry/index"] {
        let nested = format!("{below}/{INDEX}");
        // The end of the link is empty, or holds the contents of a home.
        for (planted, there) in [(below, ""), (below, INDEX), (&nested, "")] {
            let host = Host::new()?;
            let home = host.cargo_home();
            lock(&host.repo(), "app", &["foo-1.0.0"])?;
            install_crate(&home, "foo-1.0.0")?;
            host.save()?.done()?;
            fs::remove_dir_all(&home)?;
            let outside = host.path("outside");
            fs::create_dir_all(outside.join(there))?;
            fs::create_dir_all(home.join(planted).parent().unwrap_or(&home))?;
            link(&home, planted, &outside.display().to_string())?;
            let before = list(&outside)?;
            let restored = host.restore()?;
            expect_same(&before, &outside, &format!("{planted}: {}", restored.stderr))?;
            assert_eq!(restored.done()?.areas(), ["registry unpack exact"], "{planted}");
            assert!(!home.join(planted).is_symlink(), "{planted}");
        }
    }
    Ok(())
}

#[test]
fn a_root_that_others_could_change_is_refused() -> Result {
    type Plant = fn(&Host) -> Result;
    #[rustfmt::skip]
    let cases: [(&str, Plant, &str); 6] = [
        ("a symlink in a shared directory", |host| {
            fs::create_dir(host.path("shared"))?;
            fs::set_permissions(host.path("shared"), PermissionsExt::from_mode(0o1777))?;
            fs::create_dir(host.path("elsewhere"))?;
            link(&host.path("shared"), "store", "../elsewhere")
        }, "it is a symlink in"),
        ("another owner",   |host| { fs::create_dir_all(host.path("shared/store"))?; succeed(Command::new("chown").arg("65534").arg(host.path("shared/store"))) }, "uid 65534 (nobody) owns it, we are uid 0 (root)"),
        ("group writable",  |host| { fs::create_dir_all(host.path("shared/store"))?; Ok(fs::set_permissions(host.path("shared/store"), PermissionsExt::from_mode(0o770))?) }, "others may write to it (mode 0770)"),
        ("world writable",  |host| { fs::create_dir_all(host.path("shared/store"))?; Ok(fs::set_permissions(host.path("shared/store"), PermissionsExt::from_mode(0o1777))?) }, "others may write to it (mode 1777)"),
        ("somebody's files", |host| write(&host.path("shared/store"), "thesis.txt", "years of work"), "it is not empty and not a store (it holds `thesis.txt`)"),
        ("a file",          |host| write(&host.path("shared"), "store", "no directory"), "it is not a directory"),
    ];
    for (why, plant, reason) in cases {
        let host = Host::new()?;
        write(&host.target(), "app", "built")?;
        plant(&host)?;
        let root = host.path("shared/store");
        let before = (list(&host.path("shared"))?, list(&host.repo())?);
        for verb in ["save", "restore"] {
            let mut command = host.program(&[verb, "--repo", "repo", "--cargo-home", "home"]);
            let outcome = Outcome::of(command.arg("--root").arg(&root).output()?)?;
            assert_eq!(outcome.status, Some(1), "{verb}, {why}");
            let error = format!("error: cannot trust the store `{}`: {reason}", root.display());
            outcome.says(&[&error, "  help: ", "--root"])?;
        }
        assert!((list(&host.path("shared"))?, list(&host.repo())?) == before, "{why}");
        assert!(!host.path("elsewhere").exists() || paths(&host.path("elsewhere"))?.is_empty());
    }
    Ok(())
}

#[test]
fn a_new_store_is_its_owners_alone_whatever_the_umask() -> Result {
    let host = Host::new()?;
    write(&host.target(), "app", "built")?;
    let save = host.command("save", &[]);
    let mut shell = isolated("sh", &host.path(""), &host.path("home"));
    shell.args(["-c", "umask 000 && exec \"$@\"", "sh"]).arg(save.get_program());
    Outcome::of(shell.args(save.get_args()).output()?)?.done()?;
    for path in [host.root(), host.root().join("packs"), host.root().join("series")] {
        let mode = fs::metadata(&path)?.permissions().mode() & 0o7777;
        assert_eq!(format!("{mode:o}"), "700", "{}", path.display());
    }
    Ok(())
}

/// A job may leave a fifo in the place of a file of the checkout: opening it waits until somebody writes.
#[test]
fn nobody_waits_for_a_fifo_in_a_checkout() -> Result {
    for name in ["Cargo.lock", "rust-toolchain", "rust-toolchain.toml"] {
        let host = Host::new()?;
        write(&host.target(), "debug/app", "built")?;
        let path = host.repo().join(name);
        fs::create_dir_all(path.parent().ok_or("no parent")?)?;
        if path.exists() {
            fs::remove_file(&path)?;
        }
        succeed(Command::new("mkfifo").arg(&path))?;
        for verb in ["restore", "save"] {
            let outcome = run_limited(&host.command(verb, &[]))?;
            assert_eq!(outcome.status, Some(1), "{name}, {verb}: {outcome:?}");
            let says = format!("{}`", path.display());
            assert!(outcome.stderr.contains(&says), "{name}, {verb}: {}", outcome.stderr);
        }
    }
    Ok(())
}
