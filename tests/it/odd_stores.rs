//! Stores with an entry of the wrong kind: whatever it is, no command fails and none hangs.
//!
//! A directory in `leases/`, a stamp that is a directory, a pack that is a symlink or a fifo: each of them ended gc,
//! guard, every save of a series or `list`, or made them hang. No test noticed, because tests damaged the bytes of
//! files and never the kind of an entry.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::*;

/// An id in the store's format.
const ID: &str = "cccccccccccccccccccccccc";

/// The kind of entry put in the place of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Odd {
    Directory,
    File,
    SymlinkLoop,
    Fifo,
    Mode000,
    ForeignOwner,
    Immutable,
}

use Odd::{Directory, Fifo, File, ForeignOwner, Immutable, Mode000, SymlinkLoop};

/// The kind of entry that belongs at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Dir,
    File,
    /// Any entry there is garbage.
    Anything,
}

/// The places below the root, with the kind that belongs there. `*` is the only entry of its directory.
#[rustfmt::skip]
const PLACES: [(&str, Wanted); 27] = [
    ("packs/zz",                                Wanted::Dir),
    ("packs/*",                                 Wanted::Dir),
    ("packs/*/*",                               Wanted::File),
    ("series/x",                                Wanted::Dir),
    ("series/*",                                Wanted::Dir),
    ("series/*/target/x",                       Wanted::Dir),
    ("series/*/target/*/0000000009.manifest.zst", Wanted::File),
    ("series/*/target/*/*",                     Wanted::File),
    ("stamps/*",                                Wanted::Dir),
    ("stamps/*/target",                         Wanted::Dir),
    ("stamps/*/target/*",                       Wanted::File),
    ("trees/x.zst",                             Wanted::File),
    ("trees/x.owner",                           Wanted::File),
    ("hot/cccccccccccccccccccccccc.zst",        Wanted::File),
    ("hot/cccccccccccccccccccccccc",            Wanted::Dir),
    ("mirrors/x",                               Wanted::Dir),
    ("mirrors/local/x.git",                     Wanted::Dir),
    ("mirrors/local/x.lock",                    Wanted::File),
    ("homes/x-0123456789abcdef",                Wanted::Dir),
    ("homes/x-0123456789abcdef.json",           Wanted::File),
    ("leases/cccccccccccccccccccccccc",         Wanted::File),
    ("leases/cccccccccccccccccccccccc.over",    Wanted::File),
    ("journal/*",                               Wanted::File),
    ("staging/cccccccccccccccccccccccc",        Wanted::Anything),
    ("trash/cccccccccccccccccccccccc",          Wanted::Anything),
    ("gc.lock",                                 Wanted::File),
    ("CACHEDIR.TAG",                            Wanted::File),
];

impl Odd {
    /// Tells whether this kind does not belong at a place.
    fn is_odd(self, wanted: Wanted) -> bool {
        match (self, wanted) {
            (_, Wanted::Anything) => false,
            (SymlinkLoop | Fifo | ForeignOwner | Mode000, _) => true,
            (Directory, wanted) => wanted != Wanted::Dir,
            (File | Immutable, wanted) => wanted == Wanted::Dir,
        }
    }

    fn put(self, path: &Path) -> Result {
        fs::create_dir_all(path.parent().ok_or("no parent")?)?;
        let name = path.file_name().and_then(|name| name.to_str()).ok_or("no name")?;
        let dir = path.parent().unwrap_or(path);
        match self {
            Directory => write(path, "in it", "x")?,
            SymlinkLoop => symlink(name, path)?,
            Fifo => succeed(Command::new("mkfifo").arg(path))?,
            File | Mode000 | ForeignOwner | Immutable => write(dir, name, "neither JSON nor zstd")?,
        }
        match self {
            Mode000 => fs::set_permissions(path, PermissionsExt::from_mode(0o000))?,
            ForeignOwner => fs::set_permissions(path, PermissionsExt::from_mode(0o600))?,
            _ => {}
        }
        Ok(())
    }
}

/// A host of a user who is not root, with a saved target.
fn saved() -> Result<Host> {
    if !rustix::process::geteuid().is_root() {
        return Err("needs root, for foreign owners and immutable files".into());
    }
    let host = Host::new()?.owned_by_a_user()?;
    write(&host.target(), "debug/app", noise(1, 20_000))?;
    own(&host.path(""))?;
    host.save()?.done()?;
    Ok(host)
}

/// Gives everything at a path to the user of the host.
fn own(path: &Path) -> Result {
    succeed(Command::new("chown").args(["-R", "-h", "65534"]).arg(path))
}

/// Replaces each `*` by the only entry there.
fn place(root: &Path, below: &str) -> Result<PathBuf> {
    let mut path = root.to_owned();
    for name in below.split('/') {
        if name != "*" {
            path.push(name);
            continue;
        }
        let mut entries = fs::read_dir(&path)?;
        path = entries.next().ok_or_else(|| format!("{below}: nothing is there"))??.path();
    }
    Ok(path)
}

fn remove(path: &Path) -> Result {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(fs::remove_dir_all(path)?),
        Ok(_) => Ok(fs::remove_file(path)?),
        Err(_) => Ok(()),
    }
}

/// Puts the odd entry at a place, runs every command, and returns the faults.
fn wrong_of(odd: Odd, below: &str, wanted: Wanted) -> Result<Vec<String>> {
    let host = saved()?;
    let path = place(&host.root(), below)?;
    remove(&path)?;
    odd.put(&path)?;
    own(&host.path(""))?;
    if odd == ForeignOwner {
        lchown(&path, Some(12_345), Some(12_345))?;
    }
    if odd == Immutable {
        succeed(Command::new("chattr").arg("+i").arg(&path))?;
    }
    let wrong = RefCell::new(Vec::new());
    let say = |text: String| wrong.borrow_mut().push(text);
    let check = |what: &str, command: Command, want: &[i32]| -> Result<Outcome> {
        let outcome = run_limited(&command)?;
        if !outcome.status.is_some_and(|status| want.contains(&status)) {
            say(format!("{below} as {odd:?}: {what}: {outcome:?}"));
        }
        Ok(outcome)
    };
    let verified = check("verify", host.store_command("verify", &[]), &[0, 4])?;
    let is_named = verified.stderr.contains(&path.display().to_string());
    check("list", host.store_command("list", &[]), &[0])?;
    check("dry run", host.store_command("gc", &[&ROOMY[..], &["--dry-run"]].concat()), &[0])?;
    fs::remove_dir_all(host.target())?;
    check("restore", host.command("restore", &[]), &[0])?;
    remove(&host.target())?;
    write(&host.target(), "debug/app", noise(1, 20_000))?;
    own(&host.target())?;
    // A save cannot store anything in the place of an immutable entry.
    let may_fail: &[i32] = if odd == Immutable { &[0, 1] } else { &[0] };
    check("save", host.command("save", &[]), may_fail)?;
    check("guard", host.command("guard", &ROOMY), &[0])?;
    let collected = check("gc", host.store_command("gc", &ROOMY), &[0])?;
    if odd == Immutable {
        let is_left = fs::symlink_metadata(&path).is_ok();
        if is_left && odd.is_odd(wanted) && !collected.stderr.contains("chattr") {
            say(format!("{below}: gc says nothing of what is immutable: {collected:?}"));
        }
        for left in [path.clone(), host.root().join("trash")] {
            // Wherever it went, the test can now remove it.
            drop(Command::new("chattr").args(["-R", "-i"]).arg(left).output()?);
        }
        // The obstacle to the save is gone.
        check("gc", host.store_command("gc", &ROOMY), &[0])?;
        check("second save", host.command("save", &[]), &[0])?;
    }
    if odd.is_odd(wanted) && !is_named {
        say(format!("{below} as {odd:?}: verify does not name it: {}", verified.stderr));
    }
    check("gc", host.store_command("gc", &ROOMY), &[0])?;
    fs::remove_dir_all(host.target())?;
    let restored = check("last restore", host.command("restore", &[]), &[0])?;
    if restored.areas() != ["target unpack exact"] {
        say(format!("{below} as {odd:?}: the save after it is not restored: {restored:?}"));
    } else if fs::read(host.target().join("debug/app"))? != noise(1, 20_000) {
        say(format!("{below} as {odd:?}: something else is restored"));
    }
    // An entry of the right kind under a name of its own is left to people.
    let want: &[i32] = if odd.is_odd(wanted) { &[0] } else { &[0, 4] };
    let last = check("last verify", host.store_command("verify", &[]), want)?;
    if last.status == Some(4) && !last.stderr.contains("remove what is left by hand") {
        say(format!("{below} as {odd:?}: verify does not say what to do: {}", last.stderr));
    }
    if last.stderr.contains(&path.display().to_string()) && odd.is_odd(wanted) {
        say(format!("{below} as {odd:?}: it is still named: {}", last.stderr));
    }
    Ok(wrong.into_inner())
}

fn each_place(odd: Odd) -> Result {
    let mut wrong = Vec::new();
    for (below, wanted) in PLACES {
        wrong.extend(
            wrong_of(odd, below, wanted).map_err(|error| format!("{below} as {odd:?}: {error}"))?,
        );
    }
    assert_eq!(wrong.len(), 0, "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn a_directory_stops_nothing() -> Result {
    each_place(Directory)
}

#[test]
fn a_file_stops_nothing() -> Result {
    each_place(File)
}

#[test]
fn a_symlink_loop_stops_nothing() -> Result {
    each_place(SymlinkLoop)
}

#[test]
fn a_fifo_stops_nothing() -> Result {
    each_place(Fifo)
}

#[test]
fn unreadable_files_stop_nothing() -> Result {
    each_place(Mode000)
}

#[test]
fn files_of_another_user_stop_nothing() -> Result {
    each_place(ForeignOwner)
}

#[test]
fn files_that_cannot_be_removed_stop_nothing() -> Result {
    each_place(Immutable)
}

/// A closed directory of ours is opened again, and its contents are whole.
#[test]
fn a_directory_that_was_shut_is_opened_and_nothing_is_lost() -> Result {
    for below in ["packs", "packs/*", "series", "series/*", "series/*/target/*", "stamps/*"] {
        let host = saved()?;
        let path = place(&host.root(), below)?;
        fs::set_permissions(&path, PermissionsExt::from_mode(0o000))?;
        run_limited(&host.command("restore", &[]))?.done()?;
        run_limited(&host.store_command("gc", &ROOMY))?.done()?;
        fs::remove_dir_all(host.target())?;
        let restored = run_limited(&host.command("restore", &[]))?.done()?;
        assert_eq!(restored.areas(), ["target unpack exact"], "{below}: {}", restored.stderr);
        assert_eq!(host.verify()?, [""; 0], "{below}");
    }
    Ok(())
}

/// No command follows a link out of the store, even in the place of a whole directory.
#[test]
fn a_directory_of_the_store_that_is_a_symlink_is_refused() -> Result {
    for name in ["packs", "trash", "staging", "hot", "leases", "homes"] {
        let host = saved()?;
        write(&host.path("outside"), "precious", "years of work")?;
        fs::remove_dir_all(host.root().join(name))?;
        symlink(host.path("outside"), host.root().join(name))?;
        own(&host.path(""))?;
        let refused = run_limited(&host.store_command("gc", &ROOMY))?;
        assert_eq!(refused.status, Some(1), "{name}");
        refused.says(&["cannot trust the store", "it is a symlink, where a directory belongs"])?;
        assert!(host.path("outside/precious").exists(), "{name}");
    }
    let host = saved()?;
    fs::remove_dir_all(host.root().join("journal"))?;
    fs::write(host.root().join("journal"), ID)?;
    own(&host.path(""))?;
    run_limited(&host.store_command("gc", &ROOMY))?.done()?;
    assert!(host.root().join("journal").is_dir());
    Ok(())
}

/// No command reads a file under a foreign name: gc removes it.
#[test]
fn a_file_with_another_name_goes() -> Result {
    let digest = "0".repeat(64);
    let strangers = [
        "packs/*/zz".to_owned(),
        format!("packs/*/{digest}.tar.zst.tmp"),
        format!("packs/zz/{digest}.tar.zst"),
        "series/*/target/*/zz".to_owned(),
        "series/*/target/*/0000000001.manifest.zst.bak".to_owned(),
        "series/*/zz-target/sub/f".to_owned(),
    ];
    for below in strangers {
        let host = saved()?;
        let path = place(&host.root(), &below)?;
        write(path.parent().ok_or("no parent")?, path.file_name().unwrap_or_default(), "x")?;
        own(&host.root())?;
        assert_eq!(run_limited(&host.store_command("verify", &[]))?.status, Some(4), "{below}");
        run_limited(&host.store_command("gc", &ROOMY))?.done()?;
        assert!(!path.exists(), "{below}");
        assert_eq!(run_limited(&host.store_command("verify", &[]))?.status, Some(0), "{below}");
        fs::remove_dir_all(host.target())?;
        let restored = run_limited(&host.command("restore", &[]))?.done()?;
        assert_eq!(restored.areas(), ["target unpack exact"], "{below}");
    }
    Ok(())
}

/// An interrupted creation of a store leaves a tag and no `store.json`; anything may be in the tag's place.
#[test]
fn with_any_tag_a_store_can_be_made_and_nothing_outside_is_written() -> Result {
    for odd in [Directory, File, SymlinkLoop, Fifo, Mode000, ForeignOwner] {
        let host = Host::new()?.owned_by_a_user()?;
        write(&host.target(), "debug/app", "built")?;
        fs::create_dir(host.root())?;
        fs::set_permissions(host.root(), PermissionsExt::from_mode(0o700))?;
        let tag = host.root().join("CACHEDIR.TAG");
        odd.put(&tag)?;
        own(&host.path(""))?;
        if odd == ForeignOwner {
            lchown(&tag, Some(12_345), Some(12_345))?;
        }
        run_limited(&host.command("save", &[]))?
            .done()
            .map_err(|error| format!("{odd:?}: {error}"))?;
        if odd != File {
            assert!(fs::read_to_string(&tag)?.starts_with("Signature: "), "{odd:?}");
        }
    }
    let host = Host::new()?;
    fs::create_dir(host.root())?;
    fs::set_permissions(host.root(), PermissionsExt::from_mode(0o700))?;
    write(&host.path("outside"), "precious", "years of work")?;
    symlink(host.path("outside/precious"), host.root().join("CACHEDIR.TAG"))?;
    write(&host.target(), "debug/app", "built")?;
    host.save()?.done()?;
    assert_eq!(fs::read_to_string(host.path("outside/precious"))?, "years of work");
    Ok(())
}
