//! A save comes back exactly; unchanged files cost nothing; foreign files stay.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::fs::inotify;
use serde_json::Value;

use crate::support::*;

const MIB: usize = 1 << 20;

/// Longer than the time for which a file counts as just changed.
const SETTLED: Duration = Duration::from_millis(60);

fn mode(path: &Path, mode: u32) -> Result {
    Ok(fs::set_permissions(path, PermissionsExt::from_mode(mode))?)
}

/// A tree with every kind of path that a filesystem allows.
pub(crate) fn make_nasty(target: &Path) -> Result {
    write(target, "debug/deps/libapp.rlib", "linked")?;
    write(target, "debug/deps/empty", "")?;
    write(target, "debug/deps/one", "1")?;
    write(target, "debug/build/app/out/generated.rs", noise(1, 70_000))?;
    fs::create_dir_all(target.join("debug/incremental/empty/nested/empty"))?;
    fs::create_dir_all(target.join("doc"))?;

    // Links within a directory, across directories, and with a name that sorts first elsewhere.
    fs::hard_link(target.join("debug/deps/libapp.rlib"), target.join("debug/libapp.rlib"))?;
    fs::hard_link(target.join("debug/deps/libapp.rlib"), target.join("debug/deps/a-first"))?;
    write(target, "zz/original", "other link")?;
    fs::hard_link(target.join("zz/original"), target.join("aa-link"))?;
    // Alike in all but the inode: no hard link.
    write(target, "twins/a", "twin")?;
    write(target, "twins/b", "twin")?;

    link(target, "dangling", "no/such/file")?;
    link(target, "absolute", "/etc/hostname")?;
    link(target, "debug/up", "../zz/original")?;
    link(target, "out", "../../../..")?;
    link(target, "to-dir", "debug")?;
    link(target, "newline", "a\nb")?;

    for (name, bits) in
        [("read-only", 0o400), ("executable", 0o755), ("nothing", 0o000), ("all", 0o777)]
    {
        write(target, format!("modes/{name}"), name)?;
        mode(&target.join("modes").join(name), bits)?;
        write(target, format!("modes/dir-{name}/file"), name)?;
        mode(&target.join(format!("modes/dir-{name}")), bits)?;
    }

    let longest = "x".repeat(255);
    let names: [&[u8]; 9] = [
        b"not utf8 \xff\xfe",
        b"new\nline",
        b" blank before and after ",
        b"\ttab",
        b"quote\"back\\slash",
        b"-dash",
        "ünïcödé".as_bytes(),
        b"...",
        longest.as_bytes(),
    ];
    for name in names {
        write(&target.join("names"), OsStr::from_bytes(name), name)?;
        write(&target.join("names in").join(OsStr::from_bytes(name)), "file", name)?;
    }

    write(target, "times/deep/er/file", "")?;
    for (name, secs, nanos) in [
        ("nanosecond", 1_700_000_000, 1),
        ("last-nanosecond", 1_700_000_000, 999_999_999),
        ("epoch", 0, 0),
        ("before-1970", -1_000_000_000, 123_456_789),
        ("year-2300", 10_413_792_000, 987_654_321),
        ("tomorrow", 4_000_000_000, 5),
    ] {
        write(target, format!("times/{name}"), name)?;
        set_mtime(&target.join("times").join(name), secs, nanos)?;
        link(target, &format!("times/{name}-link"), name)?;
        set_mtime(&target.join(format!("times/{name}-link")), secs + 1, nanos)?;
        fs::create_dir(target.join(format!("times/{name}-dir")))?;
        set_mtime(&target.join(format!("times/{name}-dir")), secs + 2, nanos)?;
    }
    set_mtime(&target.join("times/deep/er"), 1_600_000_001, 1)?;
    set_mtime(&target.join("times/deep"), 1_600_000_002, 2)?;
    set_mtime(&target.join("times"), 1_600_000_003, 3)?;
    for twin in ["twins/a", "twins/b"] {
        set_mtime(&target.join(twin), 1_600_000_004, 4)?;
    }
    Ok(())
}

/// Files of about the size at which contents are cut, and files with holes.
fn make_large(target: &Path) -> Result {
    type Data<'a> = &'a [(u64, usize)];
    let cut = 32 * MIB;
    for (name, len) in
        [("less", cut - 1), ("same", cut), ("more", cut + 1), ("much-more", 70 * MIB)]
    {
        write(target, name, noise(len as u64, len))?;
    }
    #[rustfmt::skip]
    let sparse: [(&str, u64, Data<'_>); 6] = [
        // name            size          data at, for
        ("hole-at-start",  3 << 20,      &[(2 << 20, MIB)]),
        ("hole-between",   3 << 20,      &[(0, MIB), (2 << 20, MIB)]),
        ("hole-at-end",    3 << 20,      &[(0, MIB)]),
        ("all-hole",       3 << 20,      &[]),
        ("huge-hole",      1 << 36,      &[(1 << 35, 65_536)]),
        ("cut-and-hole",   64 << 20,     &[(1 << 20, 40 * MIB)]),
    ];
    for (name, size, data) in sparse {
        let file = File::create(target.join(name))?;
        file.set_len(size)?;
        for (offset, len) in data {
            file.write_all_at(&noise(*offset, *len), *offset)?;
        }
    }
    Ok(())
}

/// Saves, restores into an empty place, then over the restored tree, and once more as after a reboot.
fn round_trip(host: &Host) -> Result {
    let target = host.target();
    let saved = list(&target)?;
    assert_eq!(host.save()?.done()?.areas(), ["target published miss"]);
    expect_same(&saved, &target, "the tree that was saved")?;

    host.lose_target()?;
    assert_eq!(host.restore()?.done()?.areas(), ["target unpack exact"]);
    expect_same(&saved, &target, "the tree that was restored")?;

    let placed = inodes(&target)?;
    assert_eq!(host.restore()?.done()?.areas(), ["target in-place exact"]);
    assert_eq!(inodes(&target)?, placed, "a restore over the same tree wrote something");

    host.forget_inodes()?;
    assert_eq!(host.restore()?.done()?.areas(), ["target in-place exact"]);
    assert_eq!(inodes(&target)?, placed, "a restore after a reboot wrote something");
    assert_eq!(host.leftovers()?, [] as [&Path; 0]);
    Ok(())
}

#[test]
fn every_kind_of_path_comes_back_as_it_was() -> Result {
    let host = Host::new()?;
    make_nasty(&host.target())?;
    round_trip(&host)
}

#[test]
fn large_and_sparse_files_come_back_as_they_were() -> Result {
    let host = Host::new()?;
    fs::create_dir(host.target())?;
    make_large(&host.target())?;
    // Read only in part: 64 GiB of zeros would take a while.
    let huge = host.target().join("huge-hole");
    let facts = |path: &Path| -> Result<_> {
        let metadata = path.metadata()?;
        let mut data = vec![0; 65_536];
        File::open(path)?.read_exact_at(&mut data, 1 << 35)?;
        Ok((metadata.size(), metadata.blocks() * 512 <= 131_072, mtime(path)?, data))
    };
    let huge_saved = facts(&huge)?;
    let aside = host.path("aside");
    fs::rename(&huge, &aside)?;
    let saved = list(&host.target())?;
    fs::rename(&aside, &huge)?;
    let listed = || -> Result {
        assert_eq!(facts(&huge)?, huge_saved);
        fs::rename(&huge, &aside)?;
        let mut now = list(&host.target())?;
        // Renaming the huge file changed the mtime of its directory, which is not listed.
        now.retain(|path, _| path != Path::new("huge-hole"));
        fs::rename(&aside, &huge)?;
        let differing = differences(&saved, &now);
        if differing.is_empty() { Ok(()) } else { Err(differing.join("\n").into()) }
    };

    assert_eq!(host.save()?.done()?.areas(), ["target published miss"]);
    host.lose_target()?;
    assert_eq!(host.restore()?.done()?.areas(), ["target unpack exact"]);
    listed()?;
    let placed = inodes(&host.target())?;
    host.forget_inodes()?;
    assert_eq!(host.restore()?.done()?.areas(), ["target in-place exact"]);
    let changed: Vec<_> = inodes(&host.target())?
        .into_iter()
        .filter(|(path, inode)| placed.get(path) != Some(inode))
        .collect();
    assert_eq!(changed, [], "a restore over the same files wrote them");
    listed()
}

#[test]
fn a_restore_over_a_changed_tree_leaves_exactly_the_generation() -> Result {
    type Change = fn(&Path) -> Result;
    #[rustfmt::skip]
    let changes: [(&str, Change); 17] = [
        ("an edit of equal size and mtime", |t| keeping_mtime(&t.join("twins/a"), |p| Ok(fs::write(p, "nixt")?))),
        ("an edit",                         |t| write(t, "twins/a", "longer than it was")),
        ("another mtime",                   |t| set_mtime(&t.join("twins/a"), 1, 1)),
        ("a file gone",                     |t| Ok(fs::remove_file(t.join("debug/deps/one"))?)),
        ("a directory gone",                |t| Ok(fs::remove_dir_all(t.join("debug/build"))?)),
        ("a file more",                     |t| write(t, "debug/deps/new", "new")),
        ("a directory more",                |t| write(t, "debug/new/dir/file", "new")),
        ("another mode",                    |t| mode(&t.join("modes/executable"), 0o644)),
        ("another mode of a directory",     |t| mode(&t.join("modes/dir-executable"), 0o700)),
        ("another mtime of a directory",    |t| set_mtime(&t.join("times/deep/er"), 1, 1)),
        ("a file where a directory was",    |t| { fs::remove_dir_all(t.join("doc"))?; write(t, "doc", "no dir") }),
        ("a directory where a file was",    |t| { fs::remove_file(t.join("twins/b"))?; write(t, "twins/b/file", "") }),
        ("a symlink where a directory was", |t| { fs::remove_dir_all(t.join("twins"))?; link(t, "twins", "debug") }),
        ("a symlink to elsewhere",          |t| keeping_mtime(&t.join("dangling"), |p| { fs::remove_file(p)?; link(t, "dangling", "somewhere/el") })),
        ("a link that became a copy",       |t| keeping_mtime(&t.join("aa-link"), |p| { fs::remove_file(p)?; write(t, "aa-link", "other link") })),
        ("twins that became one file",      |t| { fs::remove_file(t.join("twins/b"))?; Ok(fs::hard_link(t.join("twins/a"), t.join("twins/b"))?) }),
        ("everything gone",                 |t| { fs::remove_dir_all(t)?; Ok(fs::create_dir(t)?) }),
    ];
    let host = Host::new()?;
    let target = host.target();
    make_nasty(&target)?;
    let saved = list(&target)?;
    host.save()?.done()?;
    let mut wrong = Vec::new();
    for (why, change) in changes {
        for (when, reboot) in [("", false), (", after a reboot", true)] {
            let why = format!("{why}{when}");
            change(&target).map_err(|error| format!("{why}: {error}"))?;
            assert_ne!(differences(&saved, &list(&target)?), [] as [&str; 0], "{why}");
            if reboot {
                host.forget_inodes()?;
            }
            let restored = host.restore()?.done()?;
            assert_eq!(restored.area("target")["hit"], "exact", "{why}: {}", restored.stderr);
            if let Err(error) = expect_same(&saved, &target, &why) {
                wrong.push(error.to_string());
                host.lose_target()?;
                host.restore()?.done()?;
            }
        }
    }
    assert_eq!(wrong, [] as [&str; 0], "{}", wrong.join("\n"));
    assert_eq!(host.leftovers()?, [] as [&Path; 0]);
    Ok(())
}

/// Returns the names of files in and below `dir` that `work` opens.
fn opened(dir: &Path, work: impl FnOnce() -> Result) -> Result<Vec<String>> {
    let watcher = inotify::init(inotify::CreateFlags::NONBLOCK)?;
    let mut dirs: Vec<_> = paths(dir)?.into_iter().filter(|path| path.is_dir()).collect();
    dirs.push(dir.to_owned());
    for dir in dirs.iter().filter(|dir| !dir.is_symlink()) {
        inotify::add_watch(&watcher, dir, inotify::WatchFlags::OPEN)?;
    }
    work()?;
    let mut names = Vec::new();
    let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
    let mut events = inotify::Reader::new(&watcher, &mut buffer);
    while let Ok(event) = events.next() {
        if !event.events().contains(inotify::ReadFlags::ISDIR) {
            names.extend(event.file_name().map(|name| name.to_string_lossy().into_owned()));
        }
    }
    Ok(names)
}

#[test]
fn a_save_with_nothing_changed_reads_no_file_and_writes_nothing() -> Result {
    let host = Host::new()?;
    make_nasty(&host.target())?;
    std::thread::sleep(SETTLED);
    host.save()?.done()?;
    let stored = (host.packs()?, host.manifests()?);
    let save_again = |why: &str| -> Result {
        let reads = opened(&host.target(), || {
            let saved = host.save()?.done()?;
            assert_eq!(saved.mode("target"), "unchanged", "{why}");
            assert_eq!(saved.area("target")["stored_bytes"], 0, "{why}");
            Ok(())
        })?;
        assert_eq!(reads, [] as [&str; 0], "{why}");
        assert_eq!((host.packs()?, host.manifests()?), stored, "{why}");
        Ok(())
    };
    save_again("after a save")?;

    host.lose_target()?;
    host.restore()?.done()?;
    let unread = host.save()?.done()?;
    assert_eq!(unread.mode("target"), "unchanged");
    assert_eq!((host.packs()?, host.manifests()?), stored);

    host.lose_target()?;
    host.restore()?.done()?;
    // A file written a moment ago may be written again at the same time by the clock of files. So only settled files
    // are known without reading them.
    std::thread::sleep(SETTLED);
    host.restore()?.done()?;
    save_again("after a restore")
}

#[test]
fn the_files_that_opened_sees_are_those_that_are_read() -> Result {
    let dir = tempfile::tempdir()?;
    write(dir.path(), "a/read", "")?;
    write(dir.path(), "a/unread", "")?;
    let read = opened(dir.path(), || {
        fs::read(dir.path().join("a/read"))?;
        fs::metadata(dir.path().join("a/unread"))?;
        Ok(())
    })?;
    assert_eq!(read, ["read"]);
    Ok(())
}

/// Lists the members of a pack, as any machine with tar and zstd can.
fn members(pack: &Path) -> Result<Vec<String>> {
    let output = Command::new("tar").args(["--zstd", "-tf"]).arg(pack).output()?;
    assert!(output.status.success(), "{output:?}");
    Ok(String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect())
}

fn sha256(path: &Path) -> Result<String> {
    let output = Command::new("sha256sum").arg("--").arg(path).output()?;
    let text = String::from_utf8(output.stdout)?;
    Ok(text
        .split_whitespace()
        .next()
        .ok_or("sha256sum says nothing")?
        .trim_matches('\\')
        .to_owned())
}

#[test]
fn a_save_stores_what_changed_and_nothing_else() -> Result {
    let host = Host::new()?;
    let target = host.target();
    for number in 0..20 {
        write(&target, format!("debug/deps/{number}"), noise(number, 100_000))?;
    }
    host.save()?.done()?;
    let before = host.packs()?;
    write(&target, "debug/deps/7", noise(777, 1000))?;
    let saved = host.save()?.done()?;
    assert_eq!(saved.areas(), ["target published miss"]);
    let new: Vec<_> = host.packs()?.into_iter().filter(|pack| !before.contains(pack)).collect();
    let [pack] = &new[..] else { return Err(format!("{} new packs", new.len()).into()) };
    assert_eq!(members(pack)?, [sha256(&target.join("debug/deps/7"))?]);
    assert_eq!(saved.area("target")["stored_bytes"], pack.metadata()?.len());

    // Moved, copied, or under another key: the manifest refers to the stored contents.
    let packs = host.packs()?;
    fs::rename(target.join("debug"), target.join("release"))?;
    fs::copy(target.join("release/deps/3"), target.join("copy"))?;
    let moved = host.save()?.done()?;
    assert_eq!(moved.areas(), ["target published miss"]);
    assert_eq!(moved.area("target")["stored_bytes"], 0);
    lock(&host.repo(), "app", &["foo-1.0.0"])?;
    assert_eq!(host.save()?.done()?.areas(), ["target published miss"]);
    assert_eq!(host.packs()?, packs);
    let saved = list(&target)?;
    host.lose_target()?;
    host.restore()?.done()?;
    expect_same(&saved, &target, "the tree of several packs")
}

/// Compiles a library whose metadata hold `len` bytes that are hard to compress.
fn compile_library(deps: &Path, len: usize) -> Result {
    let digits = noise(len as u64, len).into_iter().map(|byte| char::from(b'a' + byte % 16));
    let text: String = digits.collect();
    write(deps, "big.rs", format!("pub const TEXT: &str = \"{text}\";"))?;
    let mut rustc = Command::new(toolchain_bin().join("rustc"));
    rustc.args(["--crate-type=lib", "--emit=metadata,link", "-Cextra-filename=-1", "big.rs"]);
    succeed(rustc.current_dir(deps))
}

#[test]
fn metadata_that_rustc_writes_twice_are_stored_once() -> Result {
    let host = Host::new()?;
    let deps = host.target().join("debug/deps");
    compile_library(&deps, 300_000)?;
    // A file that only looks like a library is kept as it is.
    write(&deps, "libother.rmeta", noise(1, 200_000))?;
    write(&deps, "libother.rlib", fs::read(deps.join("libbig-1.rlib"))?)?;
    round_trip(&host)?;

    let [manifest] = &host.manifests()?[..] else { return Err("not one manifest".into()) };
    let text = String::from_utf8(zstd::decode_all(File::open(manifest)?)?)?;
    let mut contents = BTreeMap::new();
    for line in text.lines() {
        let entry: Value = serde_json::from_str(line)?;
        let Some(path) = entry["entry"]["path"].as_str() else { continue };
        let of_file = entry["entry"]["is"]["file"]["contents"].as_array().cloned();
        contents.insert(path.to_owned(), of_file.unwrap_or_default());
    }
    let digests = |name: &str| -> Vec<_> {
        contents[name].iter().map(|content| content["digest"].to_string()).collect()
    };
    let rmeta = digests("debug/deps/libbig-1.rmeta");
    let rlib = digests("debug/deps/libbig-1.rlib");
    assert_eq!((rmeta.len(), rlib.len()), (1, 3));
    assert_eq!(rlib[1], rmeta[0]);
    assert_eq!(host.verify()?, [] as [String; 0]);
    Ok(())
}

#[test]
fn tar_and_zstd_alone_bring_contents_back() -> Result {
    let host = Host::new()?;
    make_nasty(&host.target())?;
    write(&host.target(), "cut", noise(5, 33 * MIB))?;
    host.save()?.done()?;
    let out = host.path("by-hand");
    fs::create_dir(&out)?;
    let mut count = 0;
    for pack in host.packs()? {
        assert_eq!(pack.file_name(), Some(OsStr::new(&format!("{}.tar.zst", sha256(&pack)?))));
        let mut tar = Command::new("tar");
        succeed(tar.args(["--zstd", "-xf"]).arg(&pack).current_dir(&out))?;
        for member in members(&pack)? {
            assert_eq!(sha256(&out.join(&member))?, member);
            count += 1;
        }
    }
    assert_eq!(count, paths(&out)?.len(), "a content was stored twice");
    let first = sha256(&host.target().join("debug/build/app/out/generated.rs"))?;
    assert!(out.join(&first).is_file(), "{first}");
    Ok(())
}

#[test]
fn living_contents_of_a_half_dead_pack_are_carried_over() -> Result {
    let host = Host::new()?;
    let target = host.target();
    write(&target, "living", noise(1, MIB))?;
    write(&target, "dying", noise(2, 3 * MIB))?;
    host.save()?.done()?;
    let [old] = &host.packs()?[..] else { return Err("one pack was expected".into()) };
    let first = host.manifests()?;
    fs::remove_file(target.join("dying"))?;
    assert_eq!(host.save()?.done()?.areas(), ["target published miss"]);
    assert_eq!(&host.packs()?[..], std::slice::from_ref(old), "what is there was stored again");

    // As gc does when it expires a generation.
    fs::remove_file(&first[0])?;
    write(&target, "new", "a change")?;
    assert_eq!(host.save()?.done()?.areas(), ["target published miss"]);
    let living = sha256(&target.join("living"))?;
    let carried: Vec<_> = host.packs()?.into_iter().filter(|pack| pack != old).collect();
    let all: Vec<String> =
        carried.iter().map(|pack| members(pack)).collect::<Result<Vec<_>>>()?.concat();
    assert!(all.contains(&living), "{all:?}");
    fs::remove_file(old)?;
    let saved = list(&target)?;
    host.lose_target()?;
    assert_eq!(host.restore()?.done()?.areas(), ["target unpack exact"]);
    expect_same(&saved, &target, "the tree without its first pack")
}

#[test]
fn the_nearest_generation_serves_where_there_is_no_exact_one() -> Result {
    let mut host = Host::new()?;
    lock(&host.repo(), "app", &["foo-1.0.0"])?;
    install_crate(&host.cargo_home(), "foo-1.0.0")?;
    write(&host.target(), "debug/app", "built")?;
    host.fake_rustc("1.0.0")?;
    let saved = host.save()?.done()?;
    let key = saved.report["cache_key"].clone();
    let lose_all = |host: &Host| -> Result {
        host.lose_target()?;
        Ok(fs::remove_dir_all(host.cargo_home())?)
    };
    lose_all(&host)?;
    let same = host.restore()?.done()?;
    assert_eq!(same.areas(), ["registry unpack exact", "target unpack exact"]);
    assert_eq!((&same.report["hit"], &same.report["matched_key"]), (&"exact".into(), &key));

    lose_all(&host)?;
    lock(&host.repo(), "app", &["foo-1.0.0", "bar-1.0.0"])?;
    let fallback = host.restore()?.done()?;
    assert_eq!(fallback.areas(), ["registry unpack fallback", "target unpack fallback"]);
    assert_eq!(
        (&fallback.report["hit"], &fallback.report["matched_key"]),
        (&"fallback".into(), &key)
    );
    assert_ne!(fallback.report["cache_key"], key);

    // Cargo can use no unit of another compiler, but every crate that it downloaded.
    lose_all(&host)?;
    host.fake_rustc("1.0.1")?;
    let other = host.restore()?.done()?;
    assert_eq!(other.areas(), ["registry unpack fallback"]);
    assert!(!host.target().exists());
    assert_eq!(other.report["hit"], "fallback");
    Ok(())
}

#[test]
fn a_job_reads_its_own_lane_and_the_protected_one_and_nothing_else() -> Result {
    let host = Host::new()?;
    write(&host.target(), "debug/app", "built")?;
    let at =
        |repository: &'static str, lane: &'static str| ["--repository", repository, "--lane", lane];
    #[rustfmt::skip]
    let cases = [
        // saved as                    restored as                   found
        (at("a/b", "protected"),       at("a/b", "protected"),       true),
        (at("a/b", "protected"),       at("a/b", "pr/7"),            true),
        (at("a/b", "protected"),       at("a/b", "branch/x"),        true),
        (at("a/b", "protected"),       at("c/b", "protected"),       false),
        (at("a/b", "protected"),       at("a/c", "pr/7"),            false),
        (at("a/b", "pr/7"),            at("a/b", "pr/7"),            true),
        (at("a/b", "pr/7"),            at("a/b", "protected"),       false),
        (at("a/b", "pr/7"),            at("a/b", "pr/8"),            false),
        (at("a/b", "pr/7"),            at("a/b", "branch/x"),        false),
        (at("a/b", "branch/x"),        at("a/b", "branch/x"),        true),
        (at("a/b", "branch/x"),        at("a/b", "branch/x/y"),      false),
        (at("a/b", "branch/x"),        at("a/b", "protected"),       false),
    ];
    for (saved, restored, found) in cases {
        let why = format!("{saved:?} read by {restored:?}");
        if host.root().exists() {
            fs::remove_dir_all(host.root())?;
        }
        write(&host.target(), "debug/app", "built")?;
        host.save_with(&saved)?.done()?;
        host.lose_target()?;
        let outcome = host.restore_with(&restored)?.done()?;
        let want: &[&str] = if found { &["target unpack exact"] } else { &[] };
        assert_eq!(outcome.areas(), want, "{why}");
        assert_eq!(host.target().exists(), found, "{why}");
    }
    Ok(())
}

#[test]
fn a_pull_request_refers_to_no_content_that_it_may_not_read() -> Result {
    let host = Host::new()?;
    write(&host.target(), "debug/app", noise(1, 5000))?;
    host.save_with(&["--lane", "pr/7"])?.done()?;
    let packs = host.packs()?;
    write(&host.target(), "debug/app2", "so that the pack is another")?;
    let protected = host.save_with(&["--lane", "protected"])?.done()?;
    assert_eq!(protected.areas(), ["target published miss"]);
    for pack in packs {
        fs::remove_file(pack)?;
    }
    host.lose_target()?;
    assert_eq!(host.restore()?.done()?.areas(), ["target unpack exact"]);
    Ok(())
}

#[test]
fn a_git_dependency_comes_back() -> Result {
    let host = Host::new()?;
    let origin = host.path("origin");
    let commit = make_repository(&origin, "//! lib\n")?;
    lock(&host.repo(), "app", &[])?;
    lock_repository(&host.repo(), &commit)?;
    let git = host.cargo_home().join("git");
    install_repository(&host.cargo_home(), &origin, &commit)?;
    let wanted = list(&git)?;
    write(&git, "db/foreign-0123456789abcdef/HEAD", "of another repo")?;
    write(&git, "checkouts/lib-0123456789abcdef/2222222/.cargo-ok", "")?;
    write(&git, "checkouts/lib-0123456789abcdef/2222222/src/lib.rs", "another revision")?;
    assert_eq!(host.save()?.done()?.areas(), ["git published miss"]);
    fs::remove_dir_all(host.cargo_home())?;
    assert_eq!(host.restore()?.done()?.areas(), ["git unpack exact"]);
    let names = |listing: &Listing| listing.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&list(&git)?), names(&wanted));
    let checkout = git.join("checkouts/lib-0123456789abcdef").join(&commit[..7]);
    assert_eq!(fs::read(checkout.join("src/lib.rs"))?, b"//! lib\n");
    Ok(())
}

#[test]
fn the_target_of_a_dependency_is_kept_beside_the_repos_own() -> Result {
    let host = Host::new()?;
    host.check_out("sibling", "sibling", &[])?;
    host.check_out("elsewhere/other", "other", &[])?;
    let other = format!("other={}", host.path("elsewhere/other").display());
    let args = [
        "--dependency",
        "other-name=elsewhere/other",
        "--dependency",
        &other,
        "--dependency",
        "sibling",
    ];
    write(&host.target(), "debug/app", "app")?;
    write(&host.path("sibling/target"), "debug/sibling", "sibling")?;
    write(&host.path("elsewhere/other/target"), "debug/other", "other")?;
    let args = &args[2..];
    assert_eq!(
        host.save_with(args)?.done()?.areas(),
        ["target published miss", "other-target published miss", "sibling-target published miss"]
    );
    for repo in ["repo", "sibling", "elsewhere/other"] {
        fs::remove_dir_all(host.path(repo).join("target"))?;
    }
    let restored = host.restore_with(args)?.done()?;
    assert_eq!(
        restored.areas(),
        ["target unpack exact", "other-target unpack exact", "sibling-target unpack exact"]
    );
    assert_eq!(fs::read(host.path("sibling/target/debug/sibling"))?, b"sibling");
    assert_eq!(fs::read(host.path("elsewhere/other/target/debug/other"))?, b"other");

    // The repo's build depends on the manifests of its dependencies.
    fs::write(
        host.path("sibling/Cargo.toml"),
        "[package]\nname = \"sibling\"\nversion = \"0.2.0\"\nedition = \"2024\"\n",
    )?;
    host.lose_target()?;
    let changed = host.restore_with(args)?.done()?;
    assert_eq!(changed.area("target")["hit"], "fallback");
    Ok(())
}

#[test]
fn the_directories_are_those_that_cargo_uses() -> Result {
    type Pairs<'a> = &'a [(&'a str, &'a str)];
    #[rustfmt::skip]
    let cases: [(&str, Pairs<'_>, &[&str], &str, Pairs<'_>); 7] = [
        // why                     variables                                 arguments                     config                               area and directory
        ("by default",             &[],                                      &[],                          "",                                  &[("target", "repo/target")]),
        ("CARGO_TARGET_DIR",       &[("CARGO_TARGET_DIR", "@/elsewhere")],   &[],                          "",                                  &[("target", "elsewhere")]),
        ("relative",               &[("CARGO_TARGET_DIR", "built/here")],    &[],                          "",                                  &[("target", "repo/built/here")]),
        ("config",                 &[],                                      &[],                          "build.target-dir = \"configured\"", &[("target", "repo/configured")]),
        ("--target-dir",           &[("CARGO_TARGET_DIR", "@/elsewhere")],   &["--target-dir", "given"],   "",                                  &[("target", "given")]),
        ("build directory apart",  &[("CARGO_BUILD_BUILD_DIR", "@/builds")], &[],                          "",                                  &[("target", "repo/target"), ("build", "builds")]),
        ("build-dir of config",    &[],                                      &[],                          "build.build-dir = \"b\"",           &[("target", "repo/target"), ("build", "repo/b")]),
    ];
    for (why, variables, args, config, dirs) in cases {
        let mut host = Host::new()?;
        for (name, value) in variables {
            let value = value.replace('@', &host.path("").display().to_string());
            host.set(name, value.replace("//", "/"));
        }
        if !config.is_empty() {
            write(&host.repo(), ".cargo/config.toml", config)?;
        }
        for (area, dir) in dirs {
            write(&host.path(dir), "debug/file", format!("{area} of {why}"))?;
        }
        let saved: Vec<_> = dirs.iter().map(|(area, _)| format!("{area} published miss")).collect();
        assert_eq!(host.save_with(args)?.done()?.areas(), saved, "{why}");
        for (_, dir) in dirs {
            fs::remove_dir_all(host.path(dir))?;
        }
        let restored: Vec<_> =
            dirs.iter().map(|(area, _)| format!("{area} unpack exact")).collect();
        assert_eq!(host.restore_with(args)?.done()?.areas(), restored, "{why}");
        for (area, dir) in dirs {
            let file = host.path(dir).join("debug/file");
            assert_eq!(fs::read_to_string(file)?, format!("{area} of {why}"), "{why}");
        }
    }
    Ok(())
}

#[test]
fn an_empty_target_is_said_loudly() -> Result {
    let host = Host::new()?;
    for why in ["missing", "empty"] {
        let saved = host.save()?.done()?;
        assert_eq!(saved.areas(), [] as [&str; 0], "{why}");
        let target = format!("warning: target: `{}` is empty", host.target().display());
        saved.says(&[&target, "CARGO_TARGET_DIR"])?;
        assert_eq!(host.manifests()?, [] as [&Path; 0], "{why}");
        fs::create_dir_all(host.target().join("debug"))?;
    }
    Ok(())
}

#[test]
fn only_what_the_lock_file_names_of_a_shared_home_is_kept() -> Result {
    let host = Host::new()?;
    lock(&host.repo(), "app", &["foo-1.0.0"])?;
    let home = host.cargo_home();
    for name in ["foo-1.0.0", "foo-1.0.1", "foreign-2.0.0"] {
        install_crate(&home, name)?;
    }
    write(&home, "credentials.toml", "token = \"SECRET\"")?;
    write(&home, "credentials", "token = \"SECRET\"")?;
    write(&home, ".crates.toml", "SECRET")?;
    write(&home, "bin/tool", "SECRET")?;
    write(&home, "config.toml", "# SECRET")?;
    assert_eq!(host.save()?.done()?.areas(), ["registry published miss"]);
    let stored = host.everything_stored()?;
    let contains = |text: &str| stored.windows(text.len()).any(|found| found == text.as_bytes());
    for (text, want) in [
        ("the crate foo-1.0.0", true),
        ("//! foo-1.0.0", true),
        ("foo-1.0.1", false),
        ("foreign", false),
        ("SECRET", false),
    ] {
        assert_eq!(contains(text), want, "{text}");
    }
    fs::remove_dir_all(&home)?;
    host.restore()?.done()?;
    let sources = home.join(format!("registry/src/{INDEX}"));
    assert_eq!(paths(&sources)?.first(), Some(&sources.join("foo-1.0.0")));
    assert_eq!(fs::read(sources.join("foo-1.0.0/.cargo-ok"))?, b"{\"v\":1}");
    assert!(!sources.join("foreign-2.0.0").exists());
    Ok(())
}

#[test]
fn secrets_stay_out_of_the_store_wherever_the_home_is() -> Result {
    for below in ["repo/.cargo", "repo/target/cargo-home", "repo/target"] {
        let host = Host::new()?;
        let home = host.path(below);
        write(&home, "credentials.toml", "token = \"SECRET\"")?;
        for name in ["credentials", "bin/tool", ".crates.toml", ".crates2.json"] {
            write(&home, name, "SECRET")?;
        }
        write(&host.target(), "debug/app", "built")?;
        let args = ["--cargo-home", below];
        let mut command = host.program(&["save"]);
        command
            .arg("--root")
            .arg(host.root())
            .arg("--repo")
            .arg(host.repo())
            .args(args)
            .arg("--json");
        let saved = Outcome::of(command.output()?)?;
        let stored = host.everything_stored()?;
        assert!(!stored.windows(6).any(|found| found == b"SECRET"), "{below}: {saved:?}");
    }
    Ok(())
}

#[test]
fn a_restore_into_a_home_adds_and_never_takes_away() -> Result {
    let host = Host::new()?;
    let home = host.cargo_home();
    lock(
        &host.repo(),
        "app",
        &["foo-1.0.0", "half-1.0.0", "empty-1.0.0", "gone-1.0.0", "wrong-1.0.0"],
    )?;
    for name in ["foo-1.0.0", "half-1.0.0", "empty-1.0.0", "gone-1.0.0", "wrong-1.0.0"] {
        install_crate(&home, name)?;
    }
    host.save()?.done()?;
    let saved = list(&home)?;

    let src = home.join(format!("registry/src/{INDEX}"));
    let cache = home.join(format!("registry/cache/{INDEX}"));
    // A killed extraction, an empty mark, a missing crate, and one that another job changed.
    fs::remove_file(src.join("half-1.0.0/.cargo-ok"))?;
    fs::remove_dir_all(src.join("half-1.0.0/src"))?;
    fs::write(src.join("empty-1.0.0/.cargo-ok"), "")?;
    fs::write(src.join("empty-1.0.0/src/lib.rs"), "half of")?;
    fs::remove_dir_all(src.join("gone-1.0.0"))?;
    fs::remove_file(cache.join("gone-1.0.0.crate"))?;
    fs::write(src.join("wrong-1.0.0/src/lib.rs"), "as somebody else left it")?;
    fs::write(cache.join("wrong-1.0.0.crate"), "as somebody else left it")?;
    write(&home, format!("registry/index/{INDEX}/config.json"), "{\"newer\":1}")?;
    install_crate(&home, "foreign-1.0.0")?;
    write(&home, "bin/tool", "mine")?;
    let left = list(&home)?;

    let restored = host.restore()?.done()?;
    assert_eq!(restored.area("registry")["hit"], "exact");
    let now = list(&home)?;
    for name in ["half-1.0.0", "empty-1.0.0", "gone-1.0.0", "wrong-1.0.0"] {
        for path in saved.keys().filter(|path| path.to_string_lossy().contains(name)) {
            assert_eq!(now.get(path), saved.get(path), "{}", path.display());
        }
    }
    for (path, node) in &left {
        let healed = ["half-1.0.0", "empty-1.0.0", "wrong-1.0.0"];
        let is_healed = healed.iter().any(|name| path.to_string_lossy().contains(name));
        let is_shared_dir = node.is_dir();
        if !is_healed && !is_shared_dir {
            assert_eq!(now.get(path), Some(node), "{}", path.display());
        }
    }
    let is_expected = |path: &str| {
        ["gone-1.0.0", "half-1.0.0", ".package-cache"].iter().any(|name| path.contains(name))
    };
    let more = now.keys().filter(|path| !left.contains_key(*path));
    let more: Vec<_> = more.map(|path| path.to_string_lossy().into_owned()).collect();
    assert!(more.iter().all(|path| is_expected(path)), "{more:?}");
    assert_eq!(host.leftovers()?, [] as [&Path; 0]);

    let placed = inodes(&home)?;
    assert_eq!(host.restore()?.done()?.areas(), ["registry in-place exact"]);
    assert_eq!(inodes(&home)?, placed);
    Ok(())
}

#[test]
fn a_restore_waits_for_a_cargo_that_extracts() -> Result {
    let host = Host::new()?;
    let home = host.cargo_home();
    lock(&host.repo(), "app", &["foo-1.0.0"])?;
    install_crate(&home, "foo-1.0.0")?;
    host.save()?.done()?;
    let extracted = home.join(format!("registry/src/{INDEX}/foo-1.0.0"));
    fs::remove_dir_all(&extracted)?;
    let cargo = flock(&home.join(".package-cache"))?;
    let started = Instant::now();
    let mut restore = spawn(&mut host.command("restore", &[]))?;
    std::thread::sleep(Duration::from_secs(2));
    assert!(restore.try_wait()?.is_none(), "it did not wait");
    assert!(!extracted.exists());
    drop(cargo);
    assert_eq!(join(restore)?.done()?.areas(), ["registry in-place exact"]);
    assert!(extracted.join(".cargo-ok").exists());
    assert!(started.elapsed() < Duration::from_secs(20));
    Ok(())
}

#[test]
fn a_target_that_a_build_works_in_is_left_alone() -> Result {
    let host = Host::new()?;
    let target = host.target();
    write(&target, "debug/app", "built")?;
    write(&target, "debug/.cargo-lock", "")?;
    host.save()?.done()?;
    write(&target, "debug/app", "built since")?;
    let before = (list(&target)?, host.packs()?, host.manifests()?);
    let build = flock(&target.join("debug/.cargo-lock"))?;
    let restore = spawn(&mut host.command("restore", &[]))?;
    let save = spawn(&mut host.command("save", &[]))?;
    let held = target.join("debug/.cargo-lock");
    for (verb, outcome, status) in [("restore", join(restore)?, 0), ("save", join(save)?, 1)] {
        assert_eq!(outcome.areas(), ["target failed miss"], "{verb}");
        assert_eq!(outcome.status, Some(status), "{verb}");
        let warning = format!("warning: target: cannot lock `{}`: a cargo build", held.display());
        outcome.says(&[&warning])?;
    }
    assert_eq!((list(&target)?, host.packs()?, host.manifests()?), before);
    assert_eq!(host.leftovers()?, [] as [&Path; 0]);
    drop(build);
    host.save()?.done()?;
    Ok(())
}

#[test]
fn a_save_that_waited_for_a_build_saves_what_the_build_left() -> Result {
    let host = Host::new()?;
    let target = host.target();
    write(&target, "debug/.cargo-lock", "")?;
    for name in ["kept", "edited", "deleted"] {
        write(&target, format!("debug/{name}"), name)?;
    }
    std::thread::sleep(SETTLED);
    host.save()?.done()?;
    let build = flock(&target.join("debug/.cargo-lock"))?;
    write(&target, "debug/begun", "the build has begun")?;
    let mut save = spawn(&mut host.command("save", &[]))?;
    std::thread::sleep(Duration::from_secs(1));
    assert!(save.try_wait()?.is_none(), "it did not wait");
    fs::remove_file(target.join("debug/deleted"))?;
    write(&target, "debug/edited", "by the build")?;
    write(&target, "debug/new", "by the build")?;
    drop(build);
    let left = list(&target)?;
    assert_eq!(join(save)?.done()?.areas(), ["target published miss"]);
    host.lose_target()?;
    host.restore()?.done()?;
    expect_same(&left, &target, "the tree after the build")
}

#[test]
fn a_special_file_is_left_out_with_a_warning() -> Result {
    let host = Host::new()?;
    let target = host.target();
    write(&target, "debug/app", "built")?;
    let fifo = target.join("debug/fifo");
    succeed(Command::new("mkfifo").arg(&fifo))?;
    let socket = target.join("debug/socket");
    let _listener = UnixListener::bind(&socket)?;
    let saved = host.save()?.done()?;
    assert_eq!(saved.areas(), ["target published miss"]);
    saved.says(&[&format!(
        "warning: target: `{}` and 1 other are left out: sockets, fifos and devices are not stored",
        fifo.display()
    )])?;
    let mut want = list(&target)?;
    want.retain(|path, _| !path.ends_with("fifo") && !path.ends_with("socket"));
    host.lose_target()?;
    host.restore()?.done()?;
    expect_same(&want, &target, "the tree without them")
}

#[test]
fn a_key_that_is_no_name_is_a_usage_error() -> Result {
    let host = Host::new()?;
    let long = "x".repeat(201);
    for key in ["../x", "a/b", "", ".hidden", "a b", "ä", &long] {
        for verb in ["save", "restore", "key"] {
            let args = if verb == "key" { vec!["key"] } else { vec![verb, "--root", "store"] };
            let mut command = host.program(&args);
            let outcome = Outcome::of(command.args(["--repo", "repo", "--key", key]).output()?)?;
            assert_eq!(outcome.status, Some(2), "{verb} {key:?}");
            outcome.says(&["--key", "A-Z a-z 0-9 . _ -"])?;
        }
    }
    assert!(!host.root().exists());
    let longest = "x".repeat(200);
    for key in ["ci", "-v1.0_2", &longest] {
        let key = format!("--key={key}");
        write(&host.target(), "debug/app", "built")?;
        host.save_with(&[&key])?.done()?;
        host.lose_target()?;
        assert_eq!(host.restore_with(&[&key])?.done()?.areas(), ["target unpack exact"], "{key}");
    }
    Ok(())
}

#[test]
fn a_checkout_that_is_not_there_is_named_with_what_to_do() -> Result {
    let host = Host::new()?;
    fs::create_dir(host.path("no-package"))?;
    let missing = host.path("missing").display().to_string();
    let beside = host.repo().join("../absent").display().to_string();
    let empty = host.path("no-package").display().to_string();
    #[rustfmt::skip]
    let cases: [(&str, &[&str], &[&str]); 4] = [
        ("no repo",                &["--repo", "missing"],                             &[&missing, "is not a directory", "help: ", "--repo DIR"]),
        ("no package",             &["--repo", "no-package"],                          &[&empty, "Cargo.toml", "help: "]),
        ("no dependency",          &["--repo", "repo", "--dependency", "absent"],      &[&beside, "is not a directory", "help: ", "--dependency NAME=DIR"]),
        ("no dependency there",    &["--repo", "repo", "--dependency", "x=missing"],   &[&missing, "is not a directory", "help: "]),
    ];
    for (why, args, parts) in cases {
        for verb in ["save", "restore"] {
            let mut command = host.program(&[verb, "--root", "store", "--cargo-home", "home"]);
            let outcome = Outcome::of(command.args(args).output()?)?;
            assert_eq!(outcome.status, Some(1), "{verb}, {why}");
            outcome.says(parts).map_err(|error| format!("{verb}, {why}: {error}"))?;
        }
    }
    Ok(())
}

#[test]
fn a_miss_is_no_error_unless_it_is_asked_to_be() -> Result {
    let host = Host::new()?;
    let miss = host.restore()?;
    assert_eq!((miss.status, miss.areas().len()), (Some(0), 0));
    assert_eq!(miss.report["hit"], "miss");
    assert_eq!(host.restore_with(&["--fail-on-cache-miss"])?.status, Some(3));
    write(&host.target(), "debug/app", "built")?;
    host.save()?.done()?;
    assert_eq!(host.restore_with(&["--fail-on-cache-miss"])?.status, Some(0));
    Ok(())
}

#[test]
fn a_repo_without_dependencies_is_an_exact_hit() -> Result {
    let host = Host::new()?;
    write(&host.target(), "debug/app", "built")?;
    host.save()?.done()?;
    host.lose_target()?;
    assert_eq!(host.restore()?.done()?.report["hit"], "exact");
    Ok(())
}

#[test]
fn a_store_in_the_workspace_is_warned_about_and_never_saved() -> Result {
    for below in ["repo/store", "repo/target/store", "repo/target"] {
        let host = Host::new()?;
        let root = host.path(below);
        write(&host.target(), "debug/app", "built")?;
        let run = |verb: &str| -> Result<Outcome> {
            let mut command =
                host.program(&[verb, "--json", "--repo", "repo", "--cargo-home", "home"]);
            Outcome::of(command.arg("--root").arg(&root).output()?)
        };
        let saved = run("save")?;
        let named = root.display().to_string();
        assert!(saved.stderr.contains(&named), "{below}: {}", saved.stderr);
        if below == "repo/store" {
            assert_eq!(saved.done()?.areas(), ["target published miss"], "{below}");
            host.lose_target()?;
            assert_eq!(run("restore")?.done()?.areas(), ["target unpack exact"], "{below}");
        } else {
            // A restore would put the target in the place of the store itself.
            assert_ne!(saved.status, Some(0), "{below}: {saved:?}");
            run("restore")?;
        }
        assert_eq!(fs::read(host.target().join("debug/app"))?, b"built", "{below}");
    }
    Ok(())
}

#[test]
fn a_restore_that_cannot_note_its_use_is_one_all_the_same() -> Result {
    let host = Host::new()?;
    write(&host.target(), "debug/app", "built")?;
    host.save()?.done()?;
    let source = host.repo().join("src/lib.rs");
    let built = mtime(&source)?;
    host.lose_target()?;
    set_mtime(&source, 2_000_000_000, 0)?;
    // As on a full disk, nothing can be written there.
    for scope in fs::read_dir(host.root().join("stamps"))? {
        let scope = scope?.path();
        fs::remove_dir_all(&scope)?;
        fs::write(&scope, "")?;
    }
    let restored = host.restore()?;
    assert_eq!(fs::read(host.target().join("debug/app"))?, b"built");
    assert_eq!(restored.done()?.areas(), ["target unpack exact"]);
    assert_eq!(mtime(&source)?, built, "the target is in place, its sources are not");
    Ok(())
}

#[test]
fn a_target_that_is_a_symlink_stays_one() -> Result {
    for (why, there) in [("its directory is there", true), ("its directory is gone", false)] {
        let host = Host::new()?;
        let disk = host.path("other-disk/target");
        fs::create_dir_all(&disk)?;
        link(&host.repo(), "target", &disk.display().to_string())?;
        write(&disk, "debug/app", "built")?;
        let saved = list(&disk)?;
        host.save()?.done()?;
        fs::remove_dir_all(&disk)?;
        if there {
            fs::create_dir(&disk)?;
        }
        assert_eq!(host.restore()?.done()?.areas(), ["target unpack exact"], "{why}");
        assert!(host.target().is_symlink(), "{why}");
        expect_same(&saved, &disk, why)?;
    }
    Ok(())
}

#[test]
fn a_tree_of_read_only_directories_is_replaced_by_a_user_who_is_not_root() -> Result {
    let host = Host::new()?;
    let target = host.target();
    write(&target, "debug/build/vendored/file", "read-only")?;
    let host = host.owned_by_a_user()?;
    mode(&target.join("debug/build/vendored/file"), 0o444)?;
    mode(&target.join("debug/build/vendored"), 0o555)?;
    let saved = list(&target)?;
    host.save()?.done()?;
    for round in ["first", "second"] {
        let extra = target.join("debug/extra");
        fs::write(&extra, "so that the tree is another")?;
        let restored = host.restore()?.done()?;
        assert_eq!(restored.area("target")["hit"], "exact", "{round}: {}", restored.stderr);
        expect_same(&saved, &target, round)?;
    }
    assert_eq!(host.leftovers()?, [] as [&Path; 0]);
    host.save()?.done()?;
    Ok(())
}

/// A kept file of several contents had no digest of its own, and so was never compared.
#[test]
fn a_large_kept_file_with_other_bytes_looks_new() -> Result {
    const LEN: usize = 33 << 20;
    let host = Host::new()?;
    let big = host.repo().join("src/big.bin");
    write(&host.repo(), ".gitignore", "/target\n/src/big.bin\n")?;
    write(&host.repo(), "src/big.bin", vec![b'1'; LEN])?;
    write(&host.target(), "debug/app.d", "target/debug/app: src/big.bin\n")?;
    let before = mtime(&big)?;
    host.save()?.done()?;

    host.lose_target()?;
    fs::remove_file(&big)?;
    host.restore()?.done()?;
    assert_eq!(mtime(&big)?, before, "it comes back with its mtime");

    host.lose_target()?;
    write(&host.repo(), "src/big.bin", vec![b'2'; LEN])?;
    set_mtime(&big, 1_577_836_800, 0)?;
    host.restore()?.done()?;
    assert!(mtime(&big)? > mtime(&host.target().join("debug/app.d"))?, "{:?}", mtime(&big)?);
    Ok(())
}

/// A mode with setuid or setgid was stored and restored like any other. A job could thus plant a program that runs as
/// its user for whoever starts it.
#[test]
fn a_file_that_runs_as_somebody_else_comes_back_as_one_that_does_not() -> Result {
    let modes = [("setuid", 0o4755), ("setgid", 0o2755), ("sticky", 0o1644), ("plain", 0o640)];
    let found = |host: &Host| -> Result<Vec<u32>> {
        let of = |name: &str| -> Result<u32> {
            Ok(fs::metadata(host.target().join(name))?.permissions().mode() & 0o7777)
        };
        modes.iter().map(|(name, _)| of(name)).collect()
    };
    let plain: Vec<u32> = modes.iter().map(|(_, bits)| bits & 0o777).collect();
    let host = Host::new()?;
    for (name, bits) in modes {
        write(&host.target(), name, name)?;
        mode(&host.target().join(name), bits)?;
    }
    fs::create_dir(host.target().join("dir"))?;
    mode(&host.target().join("dir"), 0o1777)?;
    host.save()?.done()?;
    assert_eq!(host.save()?.done()?.mode("target"), "unchanged");
    // Over the existing tree.
    host.restore()?.done()?;
    assert_eq!(found(&host)?, plain);
    // An older version recorded these bits.
    rewrite_manifest(&host.manifests()?[0], |lines| {
        for line in lines {
            let Some(name) = line["entry"]["path"].as_str().map(str::to_owned) else { continue };
            if let Some((_, bits)) = modes.iter().find(|(of, _)| *of == name) {
                line["entry"]["is"]["file"]["mode"] = (*bits).into();
            }
            if name == "dir" {
                line["entry"]["is"]["dir"]["mode"] = 0o1777.into();
            }
        }
    })?;
    host.lose_target()?;
    assert_eq!(host.restore()?.done()?.areas(), ["target unpack exact"]);
    assert_eq!(found(&host)?, plain);
    let dir = fs::metadata(host.target().join("dir"))?.permissions().mode();
    assert_eq!(dir & 0o7777, 0o777);
    assert_eq!(host.verify()?, [""; 0]);
    Ok(())
}

#[test]
fn an_invalid_mode_is_damage() -> Result {
    for kind in ["file", "dir"] {
        let host = Host::new()?;
        write(&host.target(), "debug/app", "built")?;
        host.save()?.done()?;
        rewrite_manifest(&host.manifests()?[0], |lines| {
            for line in lines.iter_mut().filter(|line| line["entry"]["is"][kind].is_object()) {
                line["entry"]["is"][kind]["mode"] = 0o10_755.into();
            }
        })?;
        host.lose_target()?;
        let restored = host.restore()?.done()?;
        assert_eq!(restored.report["hit"], "miss", "{kind}");
        restored.says(&["is damaged", "the invalid mode 10755"])?;
        assert!(!host.target().exists(), "{kind}");
    }
    Ok(())
}
