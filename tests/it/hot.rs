//! Hot trees: a restore moves or clones a tree that a save parked, unchanged, but only for jobs that may read it. If
//! the tree is lost or damaged, packs restore the same.

use std::fs::{self, FileTimes};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use runner_cache::fs::crash::CRASH_POINTS;

use crate::filesystems::with_filesystem;
use crate::support::*;

const PUT_BY: [&str; 2] = ["--hot-trees", "2"];

/// A tree whose restore takes more than one step.
fn build(target: &Path, what: &str) -> Result {
    write(target, "debug/deps/app", what)?;
    fs::hard_link(target.join("debug/deps/app"), target.join("debug/app"))?;
    write(target, "debug/large", noise(1, 3 << 20))?;
    write(target, "debug/.fingerprint/app-0123456789abcdef/bin-app", "fingerprint")?;
    write(target, "debug/deps/empty", "")?;
    fs::create_dir(target.join("debug/nothing in it"))?;
    link(target, "debug/link", "deps/app")?;
    fs::set_permissions(target.join("debug/deps/app"), PermissionsExt::from_mode(0o755))?;
    set_mtime(&target.join("debug/deps"), 1_000_000_000, 123_456_789)
}

/// Returns the hot trees in the store.
fn hot_trees(host: &Host) -> Result<Vec<PathBuf>> {
    let mut trees = Vec::new();
    for entry in fs::read_dir(host.root().join("hot"))? {
        let path = entry?.path();
        trees.extend(path.is_dir().then_some(path));
    }
    Ok(trees)
}

fn put_by(host: &Host, args: &[&str]) -> Result<Listing> {
    let tree = list(&host.target())?;
    let saved = host.save_with(&[&PUT_BY, args].concat())?.done()?;
    assert!(!host.target().exists(), "{}", saved.stderr);
    Ok(tree)
}

#[test]
fn a_tree_that_was_put_by_is_moved_back_as_it_was_and_is_put_by_again() -> Result {
    let host = Host::new()?;
    build(&host.target(), "app")?;
    let inode = |path: &Path| inodes(path).map(|inodes| inodes.into_values().next());
    let before = inode(&host.target().join("debug/deps"))?;
    let tree = put_by(&host, &[])?;
    for round in 0..3 {
        assert_eq!(hot_trees(&host)?.len(), 1, "{round}");
        let restored = host.restore()?.done()?;
        assert_eq!(restored.areas(), ["target move exact"], "{round}: {}", restored.stderr);
        expect_same(&tree, &host.target(), "moved")?;
        assert_eq!(inode(&host.target().join("debug/deps"))?.map(|it| it.0), before.map(|it| it.0));
        assert_eq!(hot_trees(&host)?, [] as [PathBuf; 0], "{round}");
        // A second restore over it leaves it in place.
        assert_eq!(host.restore()?.done()?.areas(), ["target in-place exact"], "{round}");
        let saved = host.save_with(&PUT_BY)?.done()?;
        assert_eq!(saved.mode("target"), "unchanged", "{round}");
    }
    assert_eq!(host.verify()?, [] as [&str; 0]);
    assert_eq!(host.leftovers()?, [] as [PathBuf; 0]);
    Ok(())
}

#[test]
fn a_save_leaves_the_tree_where_it_is_unless_it_is_asked_to_put_it_by() -> Result {
    let host = Host::new()?;
    build(&host.target(), "app")?;
    let tree = list(&host.target())?;
    host.save()?.done()?;
    host.save_with(&["--hot-trees", "0"])?.done()?;
    expect_same(&tree, &host.target(), "not parked")?;
    put_by(&host, &[])?;
    // Nor does a restore use a hot tree if told not to.
    let restored = host.restore_with(&["--hot-trees", "0"])?.done()?;
    assert_eq!(restored.areas(), ["target unpack exact"]);
    assert_eq!(hot_trees(&host)?.len(), 1);
    Ok(())
}

#[test]
fn one_job_has_the_tree_and_the_other_unpacks_and_both_are_right() -> Result {
    let host = Host::new()?;
    build(&host.target(), "app")?;
    let tree = put_by(&host, &[])?;
    assert_eq!(host.restore()?.done()?.areas(), ["target move exact"]);
    fs::rename(host.target(), host.path("of the first job"))?;
    assert_eq!(host.restore()?.done()?.areas(), ["target unpack exact"]);
    expect_same(&tree, &host.target(), "unpacked")?;
    expect_same(&tree, &host.path("of the first job"), "moved")?;
    Ok(())
}

/// Changes the bytes of a file, without a change that `ls` shows.
fn tamper(path: &Path) -> Result {
    let times = FileTimes::new().set_modified(path.metadata()?.modified()?);
    let mut bytes = fs::read(path)?;
    bytes[0] ^= 1;
    fs::write(path, bytes)?;
    Ok(fs::File::options().write(true).open(path)?.set_times(times)?)
}

#[test]
fn a_hot_tree_that_is_not_as_it_was_put_by_is_set_aside_and_never_used() -> Result {
    type Change = fn(&Path) -> Result;
    let changes: [(&str, Change); 9] = [
        ("other bytes, same mtime", |tree| tamper(&tree.join("debug/large"))),
        ("other bytes of a link group", |tree| tamper(&tree.join("debug/app"))),
        ("a file less", |tree| Ok(fs::remove_file(tree.join("debug/deps/empty"))?)),
        ("a file more", |tree| {
            keeping_mtime(&tree.join("debug/deps"), |dir| write(dir, "new", "more"))
        }),
        ("a directory more", |tree| {
            keeping_mtime(&tree.join("debug"), |dir| Ok(fs::create_dir(dir.join("new"))?))
        }),
        ("another mode", |tree| {
            let path = tree.join("debug/large");
            Ok(fs::set_permissions(path, PermissionsExt::from_mode(0o600))?)
        }),
        ("another mtime of a directory", |tree| set_mtime(&tree.join("debug"), 5, 0)),
        ("a link that leads elsewhere", |tree| {
            keeping_mtime(&tree.join("debug"), |dir| {
                let (secs, nanos) = mtime(&dir.join("link"))?;
                fs::remove_file(dir.join("link"))?;
                link(dir, "link", "deps/empty")?;
                set_mtime(&dir.join("link"), secs, nanos)
            })
        }),
        ("nothing there", |tree| Ok(fs::remove_dir_all(tree)?)),
    ];
    for (what, change) in changes {
        let host = Host::new()?;
        build(&host.target(), "app")?;
        let tree = put_by(&host, &[])?;
        let [put_by] = &hot_trees(&host)?[..] else { return Err("not one hot tree".into()) };
        change(put_by)?;
        let restored = host.restore()?.done()?;
        assert_eq!(restored.areas(), ["target unpack exact"], "{what}");
        expect_same(&tree, &host.target(), what)?;
        if what != "nothing there" {
            restored.says(&["hot tree not used", "changed after the tree was parked"])?;
            // The first check suffices: no restore looks at the tree again, and gc removes it.
            host.lose_target()?;
            assert!(!host.restore()?.done()?.stderr.contains("hot tree"), "{what}");
        }
        let gone = host.gc(&[])?;
        assert_eq!(gone.report["dirs"][0]["kind"], "hot-tree", "{what}");
        assert_eq!(paths(&host.root().join("hot"))?, [] as [PathBuf; 0], "{what}");
    }
    Ok(())
}

#[test]
fn a_tree_that_a_pull_request_had_in_hand_serves_no_other_lane() -> Result {
    let host = Host::new()?;
    let as_pr: [&str; 2] = ["--lane", "pr/7"];
    build(&host.target(), "app")?;
    let tree = put_by(&host, &[])?;
    // It may use the protected tree, and leaves it unchanged: no generation of its own.
    assert_eq!(host.restore_with(&as_pr)?.done()?.areas(), ["target move exact"]);
    let saved = host.save_with(&[&PUT_BY[..], &as_pr].concat())?.done()?;
    assert_eq!(saved.mode("target"), "unchanged");
    for (lane, want) in [
        ("protected", "target unpack exact"),
        ("pr/8", "target unpack exact"),
        ("pr/7", "target move exact"),
    ] {
        let restored = host.restore_with(&["--lane", lane])?.done()?;
        assert_eq!(restored.areas(), [want], "{lane}");
        expect_same(&tree, &host.target(), lane)?;
        host.lose_target()?;
    }
    Ok(())
}

#[test]
fn so_many_trees_stay_for_each_kind_of_job_and_the_newest() -> Result {
    let host = Host::new()?;
    for (number, job) in ["test", "clippy", "test", "test", "test"].into_iter().enumerate() {
        build(&host.target(), &format!("{job} {number}"))?;
        put_by(&host, &["--job", job])?;
    }
    let mut built = Vec::new();
    for tree in hot_trees(&host)? {
        built.push(fs::read_to_string(tree.join("debug/app"))?);
    }
    built.sort();
    assert_eq!(built, ["clippy 1", "test 3", "test 4"]);
    Ok(())
}

#[test]
fn a_tree_of_a_generation_that_is_gone_goes_even_if_another_has_its_number() -> Result {
    let host = Host::new()?;
    build(&host.target(), "first")?;
    put_by(&host, &[])?;
    fs::remove_file(&host.manifests()?[0])?;
    build(&host.target(), "second")?;
    let second = list(&host.target())?;
    host.save()?.done()?;
    host.lose_target()?;
    assert_eq!(host.restore()?.done()?.areas(), ["target unpack exact"]);
    expect_same(&second, &host.target(), "the generation that is there")?;
    let gone = host.gc(&[])?;
    assert_eq!(gone.report["dirs"][0]["kind"], "hot-tree");
    assert_eq!(paths(&host.root().join("hot"))?, [] as [PathBuf; 0]);
    Ok(())
}

#[test]
fn hot_trees_are_the_first_to_go_when_room_is_short() -> Result {
    let host = Host::new()?;
    build(&host.target(), "app")?;
    put_by(&host, &[])?;
    let foreseen = host.gc(&["--max-size", "2MiB", "--dry-run"])?;
    assert_eq!(foreseen.report["expired"].as_array().map(Vec::len), Some(0));
    assert_eq!(foreseen.report["dirs"][0]["kind"], "hot-tree");
    foreseen.says(&["would drop hot tree"])?;
    assert_eq!(hot_trees(&host)?.len(), 1);
    let gone = host.gc(&["--max-size", "2MiB"])?;
    assert_eq!(gone.report["dirs"], foreseen.report["dirs"]);
    assert_eq!(paths(&host.root().join("hot"))?, [] as [PathBuf; 0]);
    assert_eq!(host.manifests()?.len(), 1);
    Ok(())
}

#[test]
fn a_target_outside_of_the_checkouts_is_shared_and_stays() -> Result {
    let mut host = Host::new()?;
    let shared = host.path("shared");
    host.set("CARGO_TARGET_DIR", &shared);
    build(&shared, "app")?;
    let saved = host.save_with(&PUT_BY)?.done()?;
    saved.says(&["no hot tree", "is in none of the job's checkouts"])?;
    assert!(shared.join("debug/app").exists());
    assert_eq!(hot_trees(&host)?, [] as [PathBuf; 0]);
    Ok(())
}

#[test]
fn a_tree_that_a_build_works_in_stays() -> Result {
    let host = Host::new()?;
    build(&host.target(), "app")?;
    let _building = flock(&host.target().join("debug/.cargo-lock"))?;
    let saved = host.save_with(&PUT_BY)?;
    saved.says(&["a cargo build is at work there"])?;
    assert!(host.target().join("debug/app").exists());
    Ok(())
}

/// A job killed at `point` loses no tree: it comes back, from packs if need be.
#[test]
fn killed_at_any_point_no_tree_is_lost_and_none_is_half() -> Result {
    let points = CRASH_POINTS.iter().copied().filter(|point| point.starts_with("hot: "));
    for point in points {
        let host = Host::new()?;
        build(&host.target(), "app")?;
        let tree = list(&host.target())?;
        if point == "hot: taken" {
            put_by(&host, &[])?;
            crash(host.command("restore", &[]), point)?;
        } else {
            crash(host.command("save", &PUT_BY), point)?;
        }
        host.verify().map_err(|error| format!("{point}: {error}"))?;
        assert!(!host.target().exists(), "{point}");
        let restored = host.restore()?.done()?;
        assert_eq!(restored.areas(), ["target unpack exact"], "{point}");
        expect_same(&tree, &host.target(), point)?;
        host.gc(&[])?;
        assert_eq!(paths(&host.root().join("hot"))?, [] as [PathBuf; 0], "{point}");
        assert_eq!(host.leftovers()?, [] as [PathBuf; 0], "{point}");
        assert_eq!(host.verify()?, [] as [&str; 0], "{point}");
    }
    Ok(())
}

/// On a filesystem that can clone, any number of jobs may use the tree at once.
fn clones(disk: &Path) -> Result {
    let host = Host::within(disk)?;
    build(&host.target(), "app")?;
    let tree = put_by(&host, &[])?;
    let record = |host: &Host| -> Result<SystemTime> {
        let of = paths(&host.root().join("hot"))?;
        let record = of.iter().find(|path| path.extension().is_some_and(|it| it == "zst"));
        Ok(record.ok_or("no record")?.metadata()?.modified()?)
    };
    let before = record(&host)?;
    std::thread::sleep(Duration::from_millis(20));
    for round in 0..2 {
        let restored = host.restore()?.done()?;
        assert_eq!(restored.areas(), ["target clone exact"], "{round}: {}", restored.stderr);
        expect_same(&tree, &host.target(), "cloned")?;
        // Changes of the job to its clone do not affect the tree.
        write(&host.target(), "debug/large", "built")?;
        host.lose_target()?;
        assert_eq!(hot_trees(&host)?.len(), 1, "{round}");
    }
    assert!(record(&host)? > before, "a clone is a use");
    let restored = host.restore()?.done()?;
    expect_same(&tree, &host.target(), "cloned again")?;
    assert_eq!(restored.areas(), ["target clone exact"]);
    // The store has a hot tree of it already: the job's tree stays in the workspace.
    assert_eq!(host.save_with(&PUT_BY)?.done()?.mode("target"), "unchanged");
    assert!(host.target().exists());
    assert_eq!(hot_trees(&host)?.len(), 1);

    let [put_by] = &hot_trees(&host)?[..] else { return Err("not one hot tree".into()) };
    tamper(&put_by.join("debug/large"))?;
    host.lose_target()?;
    assert_eq!(host.restore()?.done()?.areas(), ["target unpack exact"]);
    expect_same(&tree, &host.target(), "unpacked")
}

#[test]
fn a_tree_is_cloned_on_xfs() -> Result {
    with_filesystem("hot::a_tree_is_cloned_on_xfs", "xfs", "400M", clones)
}

#[test]
fn a_tree_is_cloned_on_btrfs() -> Result {
    with_filesystem("hot::a_tree_is_cloned_on_btrfs", "btrfs", "400M", clones)
}

#[test]
fn a_tree_on_another_filesystem_than_the_store_waits_beside_the_checkout() -> Result {
    let name = "hot::a_tree_on_another_filesystem_than_the_store_waits_beside_the_checkout";
    with_filesystem(name, "ext4", "100M", |disk| {
        let host = Host::new()?;
        host.keep_store_at(&disk.join("store"))?;
        build(&host.target(), "app")?;
        let tree = put_by(&host, &[])?;
        assert_eq!(hot_trees(&host)?, [] as [PathBuf; 0]);
        let beside = host.path("_runner-cache");
        assert_eq!(fs::read_dir(&beside)?.count(), 1);
        assert_eq!(beside.metadata()?.permissions().mode() & 0o777, 0o700);
        assert_eq!(host.restore()?.done()?.areas(), ["target move exact"]);
        expect_same(&tree, &host.target(), "moved")?;
        assert_eq!(fs::read_dir(&beside)?.count(), 0);

        // A directory that others may write to is no place for a tree.
        fs::set_permissions(&beside, PermissionsExt::from_mode(0o777))?;
        let saved = host.save_with(&PUT_BY)?.done()?;
        saved.says(&["no hot tree", "the store has no directory on the filesystem"])?;
        expect_same(&tree, &host.target(), "not parked")
    })
}
