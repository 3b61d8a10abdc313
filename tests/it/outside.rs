//! Paths outside of the root that a store's records name: only files that this program made there and marked are
//! removed.
//!
//! The program trusted the record of a hot tree, and a lease: gc removed any directory that one named. No test noticed,
//! because every test let the program write its records itself.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::filesystems::with_filesystem;
use crate::support::*;

const PUT_BY: [&str; 2] = ["--hot-trees", "2"];

/// An id in the store's format.
const ID: &str = "bbbbbbbbbbbbbbbbbbbbbbbb";

fn boot() -> Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// Writes a forged record of a hot tree.
fn forge_record(host: &Host, extension: &str, first: &Value) -> Result<PathBuf> {
    let path = host.root().join(format!("hot/{ID}.{extension}"));
    fs::write(&path, zstd::encode_all(first.to_string().as_bytes(), 1)?)?;
    Ok(path)
}

fn record_of(tree: &Path, marked: &Value) -> Result<Value> {
    let scope = json!({ "repository": "local/app", "lane": "protected" });
    let series = json!({ "scope": scope, "area": "target", "key": "k" });
    Ok(json!({
        "hot": 1, "tree": tree, "marked": marked, "boot": boot()?, "scope": scope, "job": "default", "bytes": 1,
        "generation": { "series": series, "number": 1 }, "manifest": { "dev": 1, "ino": 1, "ctime": [1, 1] },
    }))
}

/// Returns an honest record's entry for a directory.
fn marked(path: &Path) -> Result<Value> {
    let metadata = fs::symlink_metadata(path)?;
    let (dev, ino) = (metadata.dev(), metadata.ino());
    Ok(json!({ "path": path, "dev": dev, "ino": ino, "boot": boot()? }))
}

#[test]
fn a_forged_record_of_a_hot_tree_goes_and_what_it_names_stays() -> Result {
    // Below the host's directory; each of them holds "precious".
    #[rustfmt::skip]
    let victims = [
        "victim",
        "victim/.git",
        "home",
        &format!("victim/{ID}"),
        &format!("_runner-cache/{ID}"),
        &format!("_runner-cache/{ID}/tree"),
        &format!("store/hot/../../victim/{ID}"),
        "store/packs",
        ".",
    ];
    for victim in victims {
        for extension in ["zst", "aside"] {
            for is_marked in [false, true] {
                let why = format!("{victim}, {extension}, {is_marked}");
                let host = Host::new()?;
                write(&host.target(), "app", "built")?;
                host.save()?.done()?;
                fs::create_dir_all(host.path(&format!("victim/{ID}")))?;
                if !victim.starts_with("store/p") {
                    write(&host.path(victim), "precious", "years of work")?;
                }
                let named = host.path(victim);
                let dir = if victim.ends_with("tree") {
                    named.parent().unwrap_or(&named)
                } else {
                    &named
                };
                let marked = if is_marked { marked(dir)? } else { Value::Null };
                let record = forge_record(&host, extension, &record_of(&named, &marked)?)?;
                let foreseen = host.gc(&["--dry-run"])?;
                foreseen.says(&["which is not a hot tree of this store"])?;
                assert!(record.exists(), "{why}");
                let gone = host.gc(&[])?;
                gone.says(&["which is not a hot tree of this store"])?;
                assert_eq!(gone.report["dirs"], json!([]), "{why}");
                assert!(!record.exists(), "{why}");
                let is_there = host.path(victim).join("precious").exists();
                assert!(is_there || victim == "store/packs", "{why}: {}", gone.stderr);
                assert_eq!(host.verify()?, [""; 0], "{why}");
            }
        }
    }
    Ok(())
}

#[test]
fn a_record_of_a_hot_tree_that_cannot_be_read_goes() -> Result {
    let host = Host::new()?;
    write(&host.target(), "app", "built")?;
    host.save()?.done()?;
    let record = host.root().join(format!("hot/{ID}.zst"));
    fs::write(&record, "no zstd")?;
    host.gc(&[])?.says(&["is not a readable record of a hot tree"])?;
    assert!(!record.exists());
    Ok(())
}

/// A tree in the store has become a symlink: the link is removed, and its end stays.
#[test]
fn a_hot_tree_that_became_a_symlink_is_neither_used_nor_followed() -> Result {
    let host = Host::new()?;
    write(&host.target(), "debug/app", "built")?;
    let tree = list(&host.target())?;
    host.save_with(&PUT_BY)?.done()?;
    let entries = fs::read_dir(host.root().join("hot"))?;
    let entries = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let [put_by] = &entries.filter(|path| path.is_dir()).collect::<Vec<_>>()[..] else {
        return Err("not one hot tree".into());
    };
    let elsewhere = host.path("elsewhere");
    fs::rename(put_by, &elsewhere)?;
    symlink(&elsewhere, put_by)?;
    assert_eq!(host.restore()?.done()?.areas(), ["target unpack exact"]);
    expect_same(&tree, &host.target(), "unpacked")?;
    host.gc(&[])?;
    assert_eq!(paths(&host.root().join("hot"))?, [] as [PathBuf; 0]);
    expect_same(&tree, &elsewhere, "what the link led to")
}

/// A host on which a restore was killed while its tree was staged, and the path of the staged tree.
fn killed(store: &str) -> Result<(Host, PathBuf)> {
    let host = Host::new()?;
    if store == "beside an old tree" {
        write(&host.target(), "debug/app", "built")?;
        host.save()?.done()?;
        write(&host.target(), "debug/app", "built later")?;
    } else {
        write(&host.target(), "debug/app", "built")?;
        host.save()?.done()?;
        host.lose_target()?;
    }
    crash(host.command("restore", &[]), "restore: staged")?;
    let staged = fs::read_dir(host.repo())?.filter_map(|entry| Some(entry.ok()?.path()));
    let is_staged = |path: &PathBuf| path.to_string_lossy().contains("/.runner-cache-");
    let [staged] = &staged.filter(is_staged).collect::<Vec<_>>()[..] else {
        return Err("not one directory is staged".into());
    };
    Ok((host, staged.clone()))
}

fn copy(from: &Path, to: &Path) -> Result {
    succeed(Command::new("cp").arg("-a").arg(from).arg(to))
}

#[test]
fn staging_of_a_killed_restore_goes_unless_it_is_no_longer_the_marked_directory() -> Result {
    type Change = fn(&Host, &Path) -> Result;
    #[rustfmt::skip]
    let changes: [(&str, bool, Change); 7] = [
        ("as it was",                     true,  |_, _| Ok(())),
        ("a copy of it, mark and all",    false, |host, staged| { fs::rename(staged, host.path("first"))?; copy(&host.path("first"), staged) }),
        ("without its mark",              false, |_, staged| Ok(fs::remove_file(staged.join(".runner-cache-mark"))?)),
        ("the mark of another directory", false, |_, staged| { fs::remove_file(staged.join(".runner-cache-mark"))?; link(staged, ".runner-cache-mark", &"0".repeat(48)) }),
        ("a mark that is a file",         false, |_, staged| { let mark = staged.join(".runner-cache-mark"); let text = fs::read_link(&mark)?; fs::remove_file(&mark)?; Ok(fs::write(&mark, text.as_os_str().as_encoded_bytes())?) }),
        ("a symlink to it",               false, |host, staged| { fs::rename(staged, host.path("first"))?; Ok(symlink(host.path("first"), staged)?) }),
        ("a symlink on the way",          false, |host, _| { fs::rename(host.repo(), host.path("moved"))?; Ok(symlink(host.path("moved"), host.repo())?) }),
    ];
    for store in ["beside an old tree", "where nothing is"] {
        for (why, goes, change) in changes {
            let (host, staged) = killed(store)?;
            change(&host, &staged)?;
            let before = list(&staged)?;
            host.gc(&[])?;
            assert_eq!(fs::symlink_metadata(&staged).is_err(), goes, "{store}: {why}");
            if !goes {
                assert_eq!(differences(&before, &list(&staged)?), [""; 0], "{store}: {why}");
            }
            assert_eq!(paths(&host.root().join("leases"))?, [] as [PathBuf; 0], "{store}: {why}");
        }
    }
    Ok(())
}

#[test]
fn a_lease_of_another_store_or_of_another_id_removes_nothing() -> Result {
    for rename in [None, Some("a"), Some("cccccccccccccccccccccccc")] {
        let (host, staged) = killed("where nothing is")?;
        let [lease] = &paths(&host.root().join("leases"))?[..] else {
            return Err("no lease".into());
        };
        if let Some(name) = rename {
            fs::rename(lease, lease.with_file_name(name))?;
            host.gc(&[])?;
        } else {
            let made = Host::new()?;
            made.save()?.done()?;
            let name = lease.file_name().ok_or("no name")?;
            fs::rename(lease, made.root().join("leases").join(name))?;
            made.gc(&[])?;
        }
        assert!(staged.join(".runner-cache-mark").is_symlink(), "{rename:?}");
        assert!(staged.join("debug/app").exists(), "{rename:?}");
    }
    Ok(())
}

#[test]
fn a_mark_that_a_killed_restore_left_in_a_target_goes_with_the_next_restore_or_save() -> Result {
    let host = Host::new()?;
    write(&host.target(), "debug/app", "built")?;
    let tree = list(&host.target())?;
    host.save()?.done()?;
    let leave_mark = || link(&host.target(), ".runner-cache-mark", &"0".repeat(48));
    leave_mark()?;
    assert_eq!(host.restore()?.done()?.areas(), ["target in-place exact"]);
    expect_same(&tree, &host.target(), "restored in place")?;
    leave_mark()?;
    assert_eq!(host.save()?.done()?.mode("target"), "unchanged");
    expect_same(&tree, &host.target(), "saved")?;
    host.lose_target()?;
    host.restore()?.done()?;
    expect_same(&tree, &host.target(), "restored")
}

/// A filesystem mounted in a directory that is to be removed belongs to somebody else.
#[test]
fn nothing_is_removed_that_is_mounted_in_what_was_staged() -> Result {
    let name = "outside::nothing_is_removed_that_is_mounted_in_what_was_staged";
    with_filesystem(name, "tmpfs", "10M", |disk| {
        write(disk, "precious", "years of work")?;
        for at in ["inside", "over it"] {
            let (host, staged) = killed("where nothing is")?;
            let place = if at == "inside" { staged.join("debug/mounted") } else { staged.clone() };
            fs::create_dir_all(&place)?;
            succeed(Command::new("mount").arg("--bind").arg(disk).arg(&place))?;
            let said = host.store_command("gc", &ROOMY).output()?;
            assert!(disk.join("precious").exists(), "{at}: {said:?}");
            succeed(Command::new("umount").arg(&place))?;
        }
        Ok(())
    })
}

#[test]
fn a_hot_tree_beside_the_workspaces_goes_unless_it_is_not_that_any_more() -> Result {
    let name = "outside::a_hot_tree_beside_the_workspaces_goes_unless_it_is_not_that_any_more";
    with_filesystem(name, "ext4", "100M", |disk| {
        for (number, change) in ["none", "a copy", "no mark"].into_iter().enumerate() {
            let host = Host::new()?;
            host.keep_store_at(&disk.join(format!("store-{number}")))?;
            write(&host.target(), "debug/app", "built")?;
            host.save_with(&PUT_BY)?.done()?;
            let beside = host.path("_runner-cache");
            let dirs = fs::read_dir(&beside)?.filter_map(|entry| Some(entry.ok()?.path()));
            let [dir] = &dirs.collect::<Vec<_>>()[..] else { return Err("not one tree".into()) };
            match change {
                "a copy" => {
                    fs::rename(dir, host.path("first"))?;
                    copy(&host.path("first"), dir)?;
                }
                "no mark" => fs::remove_file(dir.join(".runner-cache-mark"))?,
                _ => {}
            }
            // Its generation is gone, so the tree is useless.
            fs::remove_file(&host.manifests()?[0])?;
            host.gc(&[])?;
            assert_eq!(dir.join("tree/debug/app").exists(), change != "none", "{change}");
            assert_eq!(paths(&host.root().join("hot"))?, [] as [PathBuf; 0], "{change}");
        }
        Ok(())
    })
}
