//! Disks that are full, read-only, mounted in odd places, or of another kind.
//!
//! Each test runs itself again in a mount namespace of its own, where it may mount and nobody else sees its mounts.
//! That takes a kernel that lets users have namespaces; loop devices take root.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::*;

/// The variable with the directory of the filesystem, for a test that runs inside.
const DIR: &str = "FILESYSTEM_DIR";

/// The unchanged output of a test that failed inside.
struct Inside(String);

impl std::fmt::Debug for Inside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::fmt::Display for Inside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Inside {}

/// Runs the test `name` again by `wrapper`; `test` is its inner part. A name without a module is one of this module.
fn inside(name: &str, wrapper: &mut Command, test: impl FnOnce(&Path) -> Result) -> Result {
    if let Some(dir) = std::env::var_os(DIR) {
        return test(Path::new(&dir));
    }
    let test = if name.contains("::") { name.to_owned() } else { format!("filesystems::{name}") };
    wrapper.arg(std::env::current_exe()?).args(["--exact", &test, "--nocapture"]);
    let output = wrapper.output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    if output.status.success() && said.contains("1 passed") {
        return Ok(());
    }
    Err(Inside(format!("{said}{error}")).into())
}

/// Runs a test that may mount, with a tmpfs of `size` for it.
fn with_tmpfs(name: &str, size: &str, test: impl FnOnce(&Path) -> Result) -> Result {
    let mount = tempfile::tempdir()?;
    let script = "mount -t tmpfs -o mode=0700,size=\"$0\" tmpfs \"$FILESYSTEM_DIR\" && exec \"$@\"";
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, size]);
    unshare.env_remove(DIR);
    if std::env::var_os(DIR).is_none() {
        let mut probe = Command::new("unshare");
        succeed(probe.args(["--user", "--map-root-user", "--mount", "true"])).map_err(|error| {
            format!("needs user namespaces: sysctl kernel.apparmor_restrict_unprivileged_userns=0 ({error})")
        })?;
        unshare.env(DIR, mount.path());
    }
    inside(name, &mut unshare, test)
}

/// Runs a test with a filesystem of this kind from `scripts/with-filesystem`.
pub(crate) fn with_filesystem(
    name: &str,
    kind: &str,
    size: &str,
    test: fn(&Path) -> Result,
) -> Result {
    if std::env::var_os(DIR).is_none() && !rustix::process::geteuid().is_root() {
        return Err(format!("needs root: sudo env PATH=\"$PATH\" cargo test {name}").into());
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/with-filesystem");
    inside(name, Command::new(script).args([kind, size]), test)
}

/// Writes `count` incompressible files of 64 KiB.
fn fill(dir: &Path, seed: u64, count: u64) -> Result {
    for number in 0..count {
        write(dir, format!("debug/{number}"), noise(seed * 1000 + number, 1 << 16))?;
    }
    Ok(())
}

/// Leaves `free` bytes on the filesystem of `dir`.
fn leave(dir: &Path, free: u64) -> Result<PathBuf> {
    let filler = dir.join("filler");
    fs::write(&filler, "")?;
    let stat = rustix::fs::statvfs(dir)?;
    let bytes = (stat.f_bavail * stat.f_frsize).saturating_sub(free);
    fs::write(&filler, vec![1; usize::try_from(bytes)?])?;
    Ok(filler)
}

/// Bytes to leave free: none, less and more than an operation needs.
const FREE: [u64; 8] = [0, 4 << 10, 8 << 10, 16 << 10, 32 << 10, 128 << 10, 512 << 10, 8 << 20];

#[test]
fn a_save_to_a_full_disk_fails_and_takes_nothing_away() -> Result {
    let name = "a_save_to_a_full_disk_fails_and_takes_nothing_away";
    with_tmpfs(name, "12M", |disk| {
        let mut ends = Vec::new();
        for free in FREE {
            let host = Host::new()?;
            host.keep_store_at(&disk.join("store"))?;
            fill(&host.target(), 1, 4)?;
            let first = list(&host.target())?;
            host.save()?.done()?;
            let (packs, manifests) = (host.packs()?, host.manifests()?);
            fs::rename(host.target(), host.path("aside"))?;

            fill(&host.target(), 2, 32)?;
            let filler = leave(disk, free)?;
            let saved = host.save_with(&ROOMY)?;
            ends.push(saved.status);
            let verdict = host.verify().map_err(|error| format!("{free} free: {error}"));
            fs::remove_file(&filler)?;
            if saved.status == Some(1) {
                let disk = disk.display().to_string();
                let help = "help: free space on that filesystem";
                saved.says(&[&disk, "No space left on device", help])?;
                assert_eq!(host.manifests()?, manifests, "{free} free");
                assert_eq!(host.packs()?, packs, "{free} free");
                // A full disk has no room even for the lease of `verify`.
                assert!(verdict.is_ok_and(|notes| notes.is_empty()) || free == 0, "{free} free");
            }
            assert_eq!(host.leftovers()?, [] as [&Path; 0], "{free} free");
            assert_eq!(host.verify()?, [] as [&str; 0], "{free} free");

            // With free space again, both the old generation and a new one work as usual.
            let second = list(&host.target())?;
            host.save()?.done()?;
            host.lose_target()?;
            host.restore()?.done()?;
            expect_same(&second, &host.target(), &format!("{free} free"))?;
            fs::remove_file(&host.manifests()?[1])?;
            host.lose_target()?;
            host.restore()?.done()?;
            expect_same(&first, &host.target(), &format!("{free} free"))?;
            fs::remove_dir_all(disk.join("store"))?;
        }
        assert_eq!(ends.first(), Some(&Some(1)), "{ends:?}");
        assert_eq!(ends.last(), Some(&Some(0)), "{ends:?}");
        Ok(())
    })
}

#[test]
fn a_restore_to_a_full_disk_is_a_miss_and_leaves_what_was_there() -> Result {
    let name = "a_restore_to_a_full_disk_is_a_miss_and_leaves_what_was_there";
    with_tmpfs(name, "12M", |disk| {
        let mut hits = Vec::new();
        for free in FREE {
            for there in [false, true] {
                let why = format!("{free} free, a target there: {there}");
                let store = tempfile::tempdir()?;
                let host = Host::within(disk)?;
                host.keep_store_at(&store.path().join("store"))?;
                fill(&host.target(), 1, 32)?;
                let saved = list(&host.target())?;
                host.save()?.done()?;
                host.lose_target()?;
                if there {
                    fill(&host.target(), 2, 4)?;
                }
                let before = list(&host.target())?;
                let filler = leave(disk, free)?;
                let restored = host.restore()?.done().map_err(|error| format!("{why}: {error}"))?;
                hits.push(restored.report["hit"].clone());
                if restored.report["hit"] == "miss" {
                    assert_eq!(restored.areas(), ["target failed miss"], "{why}");
                    let repo = host.repo().display().to_string();
                    let help = "  help: free space on that filesystem";
                    restored.says(&[
                        "warning: target: ",
                        &repo,
                        "No space left on device",
                        help,
                    ])?;
                    expect_same(&before, &host.target(), &why)?;
                    assert_eq!(host.target().exists(), there, "{why}");
                } else {
                    expect_same(&saved, &host.target(), &why)?;
                }
                assert_eq!(host.leftovers()?, [] as [&Path; 0], "{why}");
                fs::remove_file(filler)?;
            }
        }
        assert_eq!(hits.first(), Some(&"miss".into()), "{hits:?}");
        assert_eq!(hits.last(), Some(&"exact".into()), "{hits:?}");
        Ok(())
    })
}

/// Mounts `dir` read-only on itself.
fn make_read_only(dir: &Path) -> Result {
    succeed(Command::new("mount").arg("--bind").arg(dir).arg(dir))?;
    succeed(Command::new("mount").args(["-o", "remount,bind,ro"]).arg(dir))
}

#[test]
fn a_restore_to_a_read_only_disk_is_a_miss_and_leaves_what_was_there() -> Result {
    let name = "a_restore_to_a_read_only_disk_is_a_miss_and_leaves_what_was_there";
    with_tmpfs(name, "4M", |disk| {
        for (why, there) in [("no target", false), ("a target", true)] {
            let host = Host::within(disk)?;
            fill(&host.target(), 1, 4)?;
            host.save()?.done()?;
            host.lose_target()?;
            if there {
                fill(&host.target(), 2, 2)?;
            }
            let before = list(&host.repo())?;
            make_read_only(&host.repo())?;
            let restored = host.restore()?.done()?;
            assert_eq!(restored.areas(), ["target failed miss"], "{why}");
            let repo = host.repo().display().to_string();
            let parts = [
                "warning: target: ",
                &repo,
                "Read-only file system",
                "  help: let uid 0 (root) write",
            ];
            restored.says(&parts).map_err(|error| format!("{why}: {error}"))?;
            expect_same(&before, &host.repo(), why)?;
            // A save only reads the workspace.
            if there {
                host.save()?.done()?;
            }
            succeed(Command::new("umount").arg(host.repo()))?;
        }
        Ok(())
    })
}

#[test]
fn a_destination_that_is_not_ours_is_a_miss_and_stays_as_it_was() -> Result {
    for there in [false, true] {
        let host = Host::new()?;
        write(&host.target(), "debug/app", "built")?;
        let host = host.owned_by_a_user()?;
        host.save()?.done()?;
        host.lose_target()?;
        if there {
            write(&host.target(), "debug/app", "of somebody else")?;
        }
        // The user may not write there: the directories belong to root, or (in a run without root) their mode
        // forbids it.
        let mode = if rustix::process::geteuid().is_root() { 0o755 } else { 0o555 };
        let closed: &[PathBuf] =
            if there { &[host.target().join("debug"), host.repo()] } else { &[host.repo()] };
        for dir in closed {
            fs::set_permissions(dir, PermissionsExt::from_mode(mode))?;
            std::os::unix::fs::chown(dir, Some(rustix::process::geteuid().as_raw()), None)?;
        }
        let before = list(&host.repo())?;
        let restored = host.restore()?.done()?;
        assert_eq!(restored.areas(), ["target failed miss"], "{there}: {}", restored.stderr);
        let repo = host.repo().display().to_string();
        restored.says(&["warning: target: ", &repo, "Permission denied", "  help: let uid "])?;
        expect_same(&before, &host.repo(), "what is not ours")?;
        for dir in closed.iter().rev() {
            fs::set_permissions(dir, PermissionsExt::from_mode(0o755))?;
        }
    }
    Ok(())
}

#[test]
fn a_store_that_cannot_be_written_is_said_with_what_to_do() -> Result {
    let name = "a_store_that_cannot_be_written_is_said_with_what_to_do";
    with_tmpfs(name, "4M", |disk| {
        let host = Host::within(disk)?;
        fill(&host.target(), 1, 4)?;
        host.save()?.done()?;
        let before = (list(&host.root())?, list(&host.target())?);
        make_read_only(&host.root())?;
        let saved = host.save()?;
        assert_eq!(saved.status, Some(1));
        let parts = ["Read-only file system", "help: let uid 0 (root) write there"];
        saved.says(&parts)?;
        let restored = host.restore()?;
        restored.says(&parts)?;
        assert_eq!((list(&host.root())?, list(&host.target())?), before);
        // `list` and `show` need no free space.
        for verb in ["list", "show"] {
            Outcome::of(host.store_command(verb, &[]).output()?)?.done()?;
        }
        Ok(())
    })
}

#[test]
fn a_target_that_is_a_mount_point_is_restored_like_any_other() -> Result {
    let name = "a_target_that_is_a_mount_point_is_restored_like_any_other";
    with_tmpfs(name, "12M", |disk| {
        let host = Host::new()?;
        let target = host.target();
        fs::create_dir(&target)?;
        for (why, options) in [("another disk", "tmpfs"), ("another directory", "bind")] {
            let mut mount = Command::new("mount");
            match options {
                "bind" => {
                    fs::create_dir_all(host.path("elsewhere"))?;
                    mount.arg("--bind").arg(host.path("elsewhere"))
                }
                _ => mount.args(["-t", "tmpfs", "tmpfs"]),
            };
            succeed(mount.arg(&target))?;
            fill(&target, 1, 8)?;
            write(&target, "release/app", why)?;
            write(&target, ".rustc_info.json", why)?;
            let saved = list(&target)?;
            host.save()?.done()?;
            for (state, left) in [("empty", 0), ("as saved", 1), ("another tree", 2)] {
                let why = format!("{why}, {state}");
                if left != 1 {
                    for child in fs::read_dir(&target)? {
                        let child = child?.path();
                        if child.is_dir() {
                            fs::remove_dir_all(child)?;
                        } else {
                            fs::remove_file(child)?;
                        }
                    }
                }
                if left == 2 {
                    fill(&target, 2, 2)?;
                    write(&target, "doc/index.html", "")?;
                }
                let restored = host.restore()?.done()?;
                let area = restored.area("target");
                assert_eq!(area["hit"], "exact", "{why}: {}", restored.stderr);
                expect_same(&saved, &target, &why)?;
                assert_eq!(host.leftovers()?, [] as [&Path; 0], "{why}");
            }
            succeed(Command::new("umount").arg(&target))?;
        }
        assert_eq!(paths(disk)?, [] as [&Path; 0]);
        Ok(())
    })
}

#[test]
fn a_mounted_target_in_which_one_directory_cannot_move_stays_as_it_was() -> Result {
    let name = "a_mounted_target_in_which_one_directory_cannot_move_stays_as_it_was";
    with_tmpfs(name, "12M", |_| {
        let host = Host::new()?;
        let target = host.target();
        fs::create_dir(&target)?;
        succeed(Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(&target))?;
        fill(&target, 1, 8)?;
        host.save()?.done()?;

        // Enough directories that some are moved before the mount point and some after it.
        fs::remove_dir_all(target.join("debug"))?;
        for number in 0..20 {
            write(&target, format!("other{number}/file"), number.to_string())?;
        }
        let mounted = target.join("other7");
        succeed(Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(&mounted))?;
        write(&mounted, "file", "mounted")?;
        let before = list(&target)?;

        let restored = host.restore()?.done()?;
        assert_eq!(restored.area("target")["mode"], "failed", "{}", restored.stderr);
        let warning = restored.area("target")["warnings"][0].to_string();
        assert!(warning.contains("other7"), "{warning}");
        expect_same(&before, &target, "after a restore that failed")?;
        assert_eq!(host.leftovers()?, [] as [&Path; 0]);
        Ok(())
    })
}

/// Saves and restores with store and workspace on one filesystem, and then with the store on another.
fn round_trip(disk: &Path) -> Result {
    let elsewhere = tempfile::tempdir()?;
    for store in [None, Some(elsewhere.path())] {
        let host = Host::within(disk)?;
        if let Some(store) = store {
            host.keep_store_at(&store.join("store"))?;
        }
        crate::save_restore::make_nasty(&host.target())?;
        write(&host.target(), "large", noise(9, 40 << 20))?;
        let saved = list(&host.target())?;
        host.save()?.done()?;
        host.lose_target()?;
        let restored = host.restore()?.done()?;
        assert_eq!(restored.areas(), ["target unpack exact"], "{}", restored.stderr);
        expect_same(&saved, &host.target(), &format!("store at {store:?}"))?;

        write(&host.target(), "large", "now small")?;
        host.restore()?.done()?;
        expect_same(&saved, &host.target(), "restored over another tree")?;
        let placed = inodes(&host.target())?;
        assert_eq!(host.restore()?.done()?.areas(), ["target in-place exact"]);
        assert_eq!(inodes(&host.target())?, placed, "a restore over the same tree wrote something");
        assert_eq!(host.save()?.done()?.mode("target"), "unchanged");
        assert_eq!(host.leftovers()?, [] as [&Path; 0]);
        assert_eq!(host.verify()?, [] as [&str; 0]);
    }
    Ok(())
}

#[test]
fn a_tree_comes_back_on_xfs() -> Result {
    with_filesystem("a_tree_comes_back_on_xfs", "xfs", "600M", round_trip)
}

#[test]
fn a_tree_comes_back_on_btrfs() -> Result {
    with_filesystem("a_tree_comes_back_on_btrfs", "btrfs", "600M", round_trip)
}

#[test]
fn a_tree_comes_back_on_ext4() -> Result {
    with_filesystem("a_tree_comes_back_on_ext4", "ext4", "600M", round_trip)
}

#[test]
fn unused_units_leave_on_a_disk_with_relatime() -> Result {
    let name = "unused_units_leave_on_a_disk_with_relatime";
    with_filesystem(name, "ext4:relatime", "400M", crate::units::unused_units_leave_on)
}

#[test]
fn unused_units_leave_on_a_disk_with_strictatime() -> Result {
    let name = "unused_units_leave_on_a_disk_with_strictatime";
    with_filesystem(name, "ext4:strictatime", "400M", crate::units::unused_units_leave_on)
}

#[test]
fn old_units_leave_on_a_disk_with_noatime_and_builds_are_as_fresh_as_elsewhere() -> Result {
    let name = "old_units_leave_on_a_disk_with_noatime_and_builds_are_as_fresh_as_elsewhere";
    with_filesystem(name, "ext4:noatime", "400M", crate::units::old_units_leave_on)
}

#[test]
fn a_full_disk_under_the_store_keeps_nobody_from_restoring() -> Result {
    let name = "a_full_disk_under_the_store_keeps_nobody_from_restoring";
    with_tmpfs(name, "4M", |disk| {
        let host = Host::new()?;
        host.keep_store_at(&disk.join("store"))?;
        fill(&host.target(), 1, 4)?;
        let saved = list(&host.target())?;
        host.save()?.done()?;
        leave(disk, 0)?;
        host.lose_target()?;
        let restored = host.restore()?.done()?;
        if restored.report["hit"] == "miss" {
            restored.says(&["warning: ", "No space left on device", "help: free space"])?;
            assert!(!host.target().exists());
        } else {
            expect_same(&saved, &host.target(), "restored from a full disk")?;
        }
        Ok(())
    })
}

#[test]
fn an_edited_source_on_a_read_only_disk_is_named_with_what_to_do() -> Result {
    let name = "an_edited_source_on_a_read_only_disk_is_named_with_what_to_do";
    with_tmpfs(name, "4M", |disk| {
        let host = Host::within(disk)?;
        fill(&host.target(), 1, 4)?;
        host.save()?.done()?;
        write(&host.repo(), "src/lib.rs", "// edited")?;
        let before = list(&host.repo())?;
        make_read_only(&host.repo())?;
        let restored = host.restore()?.done()?;
        assert_eq!(restored.areas(), ["target failed miss"]);
        let source = host.repo().join("src/lib.rs").display().to_string();
        restored.says(&["warning: target: ", &source, "Read-only file system", "  help: "])?;
        expect_same(&before, &host.repo(), "a read-only checkout")
    })
}

#[test]
fn an_ext4_that_is_mounted_as_target_is_saved_by_a_user_who_is_not_root() -> Result {
    let name = "an_ext4_that_is_mounted_as_target_is_saved_by_a_user_who_is_not_root";
    with_filesystem(name, "ext4", "32M", |disk| {
        let host = Host::new()?;
        fs::create_dir(host.target())?;
        succeed(Command::new("mount").arg("--bind").arg(disk).arg(host.target()))?;
        write(&host.target(), "debug/app", "built")?;
        let host = host.owned_by_a_user()?;
        // mkfs makes this directory for root alone.
        std::os::unix::fs::chown(host.target().join("lost+found"), Some(0), None)?;
        let saved = host.save()?;
        succeed(Command::new("umount").arg(host.target()))?;
        assert_eq!(saved.done()?.areas(), ["target published miss"]);
        Ok(())
    })
}

/// A gc that has no space to move objects to the trash starts again once it has freed some. Its report left out the
/// objects that the first round had removed.
#[test]
fn a_gc_that_begins_again_for_lack_of_room_counts_all_that_it_removed() -> Result {
    let name = "filesystems::a_gc_that_begins_again_for_lack_of_room_counts_all_that_it_removed";
    with_filesystem(name, "tmpfs:nr_inodes=300", "20M", |disk| {
        let host = Host::new()?;
        host.keep_store_at(&disk.join("store"))?;
        write(&host.target(), "debug/app", noise(1, 50_000))?;
        host.save()?.done()?;
        // A pack that no manifest names lies in the trash, so the directories for it exist.
        let [pack] = &host.packs()?[..] else { return Err("one pack expected".into()) };
        let bytes = pack.metadata()?.len();
        fs::remove_file(&host.manifests()?[0])?;
        crash(host.store_command("gc", &ROOMY), "gc: moved")?;
        assert_eq!(host.packs()?.len(), 0);
        write(&host.target(), "debug/app", noise(2, 50_000))?;
        host.save()?.done()?;
        // Moving these objects needs one directory more than it frees.
        let damaged = host.manifests()?[0].with_file_name("0000000009.manifest.zst");
        fs::write(&damaged, "no manifest")?;
        // These stale files free the space for the second round.
        for number in 0..3 {
            write(&host.root().join("trees"), format!("{number}.zst"), "stale")?;
        }
        let mut filler = 0;
        while fs::write(disk.join(format!("filler-{filler}")), "").is_ok() {
            filler += 1;
        }
        assert!(filler > 0, "there are more inodes than are wanted");
        let collected = host.gc(&[])?;
        assert!(!damaged.exists(), "{}", collected.stderr);
        assert_eq!(collected.report["packs"], 1, "{}", collected.stderr);
        let freed = collected.report["bytes"].as_u64();
        assert_eq!(freed, Some(bytes + "no manifest".len() as u64), "{}", collected.stderr);
        let trees = paths(&host.root().join("trees"))?;
        let is_record = |path: &PathBuf| path.extension().is_some_and(|it| it == "zst");
        assert!(!trees.iter().any(is_record), "it did not begin again: {trees:?}");
        Ok(())
    })
}

/// The limit on the size of files (`ulimit -f`) ended the program by a signal, in the Action too.
#[test]
fn a_file_that_may_not_get_so_long_is_an_error_like_any_other() -> Result {
    let host = Host::new()?;
    write(&host.target(), "debug/app", noise(1, 400_000))?;
    let limited = |command: &Command| -> Result<Outcome> {
        let mut limited = in_place_of(command, "sh");
        limited.args(["-c", "ulimit -f 40; exec \"$0\" \"$@\""]);
        limited.arg(command.get_program()).args(command.get_args());
        Outcome::of(limited.output()?)
    };
    let saved = limited(&host.command("save", &[]))?;
    assert_eq!(saved.status, Some(1), "{saved:?}");
    saved.says(&["File too large", "help: raise the limit on the size of files"])?;
    host.save()?.done()?;
    host.lose_target()?;
    let restored = limited(&host.command("restore", &[]))?;
    assert_eq!(restored.status, Some(0), "{restored:?}");
    assert_eq!(restored.areas(), ["target failed miss"]);
    restored.says(&["File too large", "help: raise the limit on the size of files"])?;
    assert!(!host.target().exists());
    assert_eq!(host.leftovers()?, [] as [&Path; 0]);
    assert_eq!(host.verify()?, [""; 0]);
    Ok(())
}
