//! A file in a `CARGO_HOME` is as the lock file says, or it is neither saved nor left there.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use runner_cache::model::digest::Digest;

use crate::support::*;

const FOO: &str = "foo-1.0.0";

/// A host with two crates that its lock file names.
fn host() -> Result<Host> {
    let host = Host::new()?;
    lock(&host.repo(), "app", &[FOO, "bar-1.0.0"])?;
    install(&host)?;
    Ok(host)
}

/// Installs missing files as cargo does.
fn install(host: &Host) -> Result {
    for name in [FOO, "bar-1.0.0"] {
        install_crate(&host.cargo_home(), name)?;
    }
    write(&host.cargo_home(), index_file(), SUMMARIES)
}

fn index_file() -> String {
    format!("registry/index/{INDEX}/.cache/3/f/foo")
}

const SUMMARIES: &[u8] = b"\x03\x02\0\0\0etag: x\x001.0.0\0{\"name\":\"foo\",\"vers\":\"1.0.0\"}\0";

/// A fault: why, the wrong path below the home, the message about it, and the function that makes it.
struct Case(&'static str, &'static str, &'static str, fn(&Path) -> Result);

const CRATE: &str = "registry/cache/index.crates.io-1949cf8c6b5b557f/foo-1.0.0.crate";
const SOURCE: &str = "registry/src/index.crates.io-1949cf8c6b5b557f/foo-1.0.0";

#[rustfmt::skip]
const CASES: [Case; 16] = [
    Case("a tag is empty",         "registry/CACHEDIR.TAG", "cargo did not write its content", |home| write(home, "registry/CACHEDIR.TAG", "")),
    Case("a source is edited",     SOURCE, "`src/lib.rs` differs from its `.crate` file",
        |home| write(home, format!("{SOURCE}/src/lib.rs"), "//! evil-1.0.0")),
    Case("edited, of equal size",  SOURCE, "`src/lib.rs` differs from its `.crate` file",
        |home| keeping_mtime(&home.join(SOURCE).join("src/lib.rs"), |path| Ok(fs::write(path, "//! fox-1.0.0")?))),
    Case("a source lost bytes",    SOURCE, "`src/lib.rs` differs from its `.crate` file",
        |home| write(home, format!("{SOURCE}/src/lib.rs"), "")),
    Case("a mode",                 SOURCE, "`Cargo.toml` differs from its `.crate` file",
        |home| Ok(fs::set_permissions(home.join(SOURCE).join("Cargo.toml"), PermissionsExt::from_mode(0o755))?)),
    Case("a further file",         SOURCE, "`build.rs` is not in its `.crate` file",
        |home| write(home, format!("{SOURCE}/build.rs"), "fn main() {}")),
    Case("a file is missing",      SOURCE, "`Cargo.toml` of its `.crate` file is missing",
        |home| Ok(fs::remove_file(home.join(SOURCE).join("Cargo.toml"))?)),
    Case("a link",                 SOURCE, "`src/lib.rs` differs from its `.crate` file",
        |home| { fs::remove_file(home.join(SOURCE).join("src/lib.rs"))?; link(&home.join(SOURCE), "src/lib.rs", "/etc/passwd") }),
    Case("a link in its place",    SOURCE, "it is no directory", |home| {
        let elsewhere = home.with_extension("elsewhere");
        fs::rename(home.join(SOURCE), &elsewhere)?;
        write(&elsewhere, "src/lib.rs", "//! evil-1.0.0")?;
        Ok(symlink(&elsewhere, home.join(SOURCE))?)
    }),
    Case("a file in its place",    SOURCE, "it is no directory",
        |home| { fs::remove_dir_all(home.join(SOURCE))?; write(home, SOURCE, "evil") }),
    Case("all else is gone",       SOURCE, "its `.crate` file is missing or wrong", |home| {
        write(home, format!("{SOURCE}/src/lib.rs"), "//! evil-1.0.0")?;
        fs::remove_dir_all(home.join("registry/cache"))?;
        Ok(fs::remove_dir_all(home.join("registry/index"))?)
    }),
    Case("a download is cut",      CRATE,  "its SHA-256 is not the one in Cargo.lock",
        |home| Ok(fs::File::options().write(true).open(home.join(CRATE))?.set_len(20)?)),
    Case("a download lost bytes",  CRATE,  "its SHA-256 is not the one in Cargo.lock",
        |home| { let len = fs::metadata(home.join(CRATE))?.len(); write(home, CRATE, vec![0; usize::try_from(len)?]) }),
    Case("a download is empty",    CRATE,  "its SHA-256 is not the one in Cargo.lock",
        |home| write(home, CRATE, "")),
    Case("an index file is empty", "registry/index/index.crates.io-1949cf8c6b5b557f/.cache/3/f/foo", "it is empty",
        |home| write(home, index_file(), "")),
    Case("an index file is cut",   "registry/index/index.crates.io-1949cf8c6b5b557f/.cache/3/f/foo", "it is not whole",
        |home| write(home, index_file(), &SUMMARIES[..30])),
];

/// Returns the paths of the home that differ from `want`, without missing ones.
fn wrong_in(home: &Path, want: &Listing) -> Result<Vec<PathBuf>> {
    let now = list(home)?.into_iter().filter(|(path, node)| {
        // A directory changes with each new entry.
        !node.is_dir() && !want.get(path).is_some_and(|it| it.is_same_to_cargo(node))
    });
    let is_lock = |path: &PathBuf| path.to_string_lossy().starts_with(".package-cache");
    Ok(now.map(|(path, _)| path).filter(|path| !is_lock(path)).collect())
}

#[test]
fn a_part_that_the_lock_file_contradicts_is_not_saved_but_removed_and_fetched_again() -> Result {
    for Case(why, wrong, said, change) in CASES {
        for is_first in [true, false] {
            let why = format!("{why}, first: {is_first}");
            let host = host()?;
            let home = host.cargo_home();
            let good = list(&home)?;
            if !is_first {
                host.save()?.done()?;
            }
            change(&home)?;
            let saved = host.save()?.done()?;
            assert_eq!(saved.mode("registry"), "published", "{why}");
            let path = home.join(wrong);
            let line = format!("`{}` is not saved: {said}; it is removed", path.display());
            saved.says(&[line.as_str()]).map_err(|error| format!("{why}: {error}"))?;
            assert!(path.symlink_metadata().is_err(), "{why}: it is there still");
            assert_eq!(host.leftovers()?, [] as [&Path; 0], "{why}");

            fs::remove_dir_all(&home)?;
            host.restore()?.done()?;
            assert_eq!(wrong_in(&home, &good)?, [] as [PathBuf; 0], "{why}: restored");

            install(&host)?;
            host.save()?.done()?;
            fs::remove_dir_all(&home)?;
            host.restore()?.done()?;
            let restored = list(&home)?;
            let missing = good.keys().filter(|path| !restored.contains_key(*path));
            assert_eq!(missing.collect::<Vec<_>>(), [] as [&PathBuf; 0], "{why}: fetched again");
            assert_eq!(wrong_in(&home, &good)?, [] as [PathBuf; 0], "{why}: fetched again");
            assert_eq!(host.save()?.done()?.areas(), ["registry unchanged exact"], "{why}");
            host.verify()?;
        }
    }
    Ok(())
}

/// Fails unless the home holds all that `good` lists, and nothing else.
fn expect_good(home: &Path, good: &Listing, why: &str) -> Result {
    let now = list(home)?;
    let missing: Vec<_> = good.keys().filter(|path| !now.contains_key(*path)).collect();
    assert_eq!(missing, [] as [&PathBuf; 0], "{why}: missing");
    assert_eq!(wrong_in(home, good)?, [] as [PathBuf; 0], "{why}: wrong");
    Ok(())
}

const PROTECTED: [&str; 4] = ["--repository", "o/app", "--lane", "protected"];
const PULL_REQUEST: [&str; 4] = ["--repository", "o/app", "--lane", "pr/7"];

/// Why a restore checks a home.
#[derive(Clone, Copy, Debug)]
enum Before {
    /// Nobody knows who used it last.
    Restart,
    /// A job of another lane used it, and saved nothing.
    PullRequest,
    /// The restore before put it there a moment ago.
    Restored,
}

#[test]
fn wrong_files_in_a_home_are_replaced_before_cargo_sees_them() -> Result {
    for Case(why, wrong, said, change) in CASES {
        for before in [Before::Restart, Before::PullRequest, Before::Restored] {
            let why = format!("{why}, {before:?}");
            let host = host()?;
            let home = host.cargo_home();
            let good = list(&home)?;
            host.save_with(&PROTECTED)?.done()?;
            match before {
                Before::Restart => host.forget_inodes()?,
                Before::PullRequest => {
                    host.restore_with(&PROTECTED)?.done()?;
                    host.restore_with(&PULL_REQUEST)?.done()?;
                }
                Before::Restored => {
                    fs::remove_dir_all(&home)?;
                    host.restore_with(&PROTECTED)?.done()?;
                }
            }
            change(&home)?;
            let restored = host.restore_with(&PROTECTED)?.done()?;
            let path = home.join(wrong);
            let line = format!("`{}` is wrong: {said}; it is replaced", path.display());
            restored.says(&[line.as_str()]).map_err(|error| format!("{why}: {error}"))?;
            expect_good(&home, &good, &why)?;
            assert_eq!(host.leftovers()?, [] as [&Path; 0], "{why}");
            // Now it has been checked, and no file is written.
            let placed = inodes(&home)?;
            let again = host.restore_with(&PROTECTED)?.done()?;
            assert_eq!(again.areas(), ["registry in-place exact"], "{why}");
            assert!(!again.stderr.contains("is wrong"), "{why}: {}", again.stderr);
            assert_eq!(inodes(&home)?, placed, "{why}");
            let saved = host.save_with(&PROTECTED)?.done()?;
            assert_eq!(saved.areas(), ["registry unchanged exact"], "{why}");
        }
    }
    Ok(())
}

/// A crash left a file's name without its bytes, in this boot or an earlier one.
#[test]
fn bytes_that_a_power_loss_took_come_back() -> Result {
    for is_other_boot in [false, true] {
        for is_zeros in [false, true] {
            let host = host()?;
            let home = host.cargo_home();
            let good = list(&home)?;
            host.save()?.done()?;
            fs::remove_dir_all(&home)?;
            host.restore()?.done()?;
            if is_other_boot {
                host.forget_inodes()?;
            }
            for path in paths(&home)?.iter().filter(|path| path.is_file()) {
                if path.file_name().is_some_and(|name| name == ".cargo-ok") {
                    continue;
                }
                let len = if is_zeros { usize::try_from(fs::metadata(path)?.len())? } else { 0 };
                keeping_mtime(path, |path| Ok(fs::write(path, vec![0; len])?))?;
            }
            let why = format!("other boot: {is_other_boot}, zeros: {is_zeros}");
            host.restore()?.done()?;
            let mut got = list(&home)?;
            let is_lock = |path: &PathBuf| path.to_string_lossy().starts_with(".package-cache");
            got.retain(|path, _| !is_lock(path));
            let wrong: Vec<_> = differences(&good, &got)
                .into_iter()
                .filter(|line| !line.contains(": Some(d"))
                .collect();
            assert_eq!(wrong, [] as [&str; 0], "{why}");
        }
    }
    Ok(())
}

/// The store holds nothing of the crate, so nothing can replace it.
#[test]
fn a_wrong_crate_that_was_never_saved_is_removed_before_cargo_sees_it() -> Result {
    let host = Host::new()?;
    let home = host.cargo_home();
    lock(&host.repo(), "app", &["bar-1.0.0"])?;
    install_crate(&home, "bar-1.0.0")?;
    host.save_with(&PROTECTED)?.done()?;
    host.restore_with(&PROTECTED)?.done()?;
    // A pull request brings another crate, and leaves it edited.
    lock(&host.repo(), "app", &["bar-1.0.0", FOO])?;
    host.restore_with(&PULL_REQUEST)?.done()?;
    install_crate(&home, FOO)?;
    write(&home, format!("{SOURCE}/src/lib.rs"), "//! evil-1.0.0")?;
    let restored = host.restore_with(&PROTECTED)?.done()?;
    restored.says(&["is wrong: `src/lib.rs` differs from its `.crate` file; it is removed"])?;
    assert!(!home.join(SOURCE).exists() && home.join(CRATE).exists());
    assert!(home.join(format!("registry/src/{INDEX}/bar-1.0.0/.cargo-ok")).exists());
    Ok(())
}

/// The first job after a pull request needs fewer crates than the next job of its lane.
#[test]
fn parts_that_one_job_did_not_check_are_checked_by_the_next() -> Result {
    let host = host()?;
    let home = host.cargo_home();
    host.restore_with(&PROTECTED)?.done()?;
    host.save_with(&PROTECTED)?.done()?;
    host.restore_with(&PULL_REQUEST)?.done()?;
    write(&home, format!("{SOURCE}/src/lib.rs"), "//! evil-1.0.0")?;
    lock(&host.repo(), "app", &["bar-1.0.0"])?;
    let first = host.restore_with(&PROTECTED)?.done()?;
    assert!(!first.stderr.contains("is wrong"), "{}", first.stderr);
    lock(&host.repo(), "app", &[FOO, "bar-1.0.0"])?;
    let second = host.restore_with(&PROTECTED)?.done()?;
    second.says(&["is wrong: `src/lib.rs` differs from its `.crate` file; it is replaced"])?;
    Ok(())
}

#[test]
fn nothing_is_removed_that_a_build_reads() -> Result {
    let host = host()?;
    let home = host.cargo_home();
    write(&home, format!("{SOURCE}/build.rs"), "fn main() {}")?;
    let build =
        fs::File::options().append(true).create(true).open(home.join(".package-cache-mutate"))?;
    rustix::fs::flock(&build, rustix::fs::FlockOperation::NonBlockingLockShared)?;
    let saved = host.save()?.done()?;
    let lock_file = home.join(".package-cache-mutate");
    let busy = format!("it cannot be removed: cannot lock `{}`", lock_file.display());
    saved.says(&["`build.rs` is not in its `.crate` file; ", &busy])?;
    assert!(home.join(SOURCE).join("build.rs").exists());
    drop(build);
    host.save()?.done()?.says(&["`build.rs` is not in its `.crate` file; it is removed"])?;
    assert!(!home.join(SOURCE).exists());
    Ok(())
}

/// Removes the digests from the lock file.
fn forget_checksums(host: &Host) -> Result {
    let path = host.repo().join("Cargo.lock");
    let text = fs::read_to_string(&path)?;
    let lines = text.lines().filter(|line| !line.starts_with("checksum"));
    Ok(fs::write(&path, lines.collect::<Vec<_>>().join("\n"))?)
}

#[test]
fn where_nothing_can_be_asked_everything_is_kept() -> Result {
    type Make = fn(&Host) -> Result;
    #[rustfmt::skip]
    let cases: [(&str, Make); 3] = [
        ("no digest",        forget_checksums),
        ("a local registry", |host| {
            let registry = host.cargo_home().join("registry");
            fs::remove_dir_all(registry.join("cache"))?;
            fs::remove_dir_all(registry.join("index"))?;
            fs::rename(registry.join("src").join(INDEX), registry.join("src/-1949cf8c6b5b557f"))?;
            write(&registry, format!("src/-1949cf8c6b5b557f/{FOO}/src/lib.rs"), "//! mine")?;
            replace_crates_io(host, "local-registry = '/srv/crates'")
        }),
        ("another form",     |host| write(&host.cargo_home(), index_file(), "\x09 of a later cargo")),
    ];
    for (why, make) in cases {
        let host = host()?;
        make(&host)?;
        if why == "no digest" {
            write(&host.cargo_home(), format!("{SOURCE}/src/lib.rs"), "//! mine")?;
        }
        let good = list(&host.cargo_home())?;
        let saved = host.save()?.done()?;
        assert!(!saved.stderr.contains("is not saved: "), "{why}: {}", saved.stderr);
        assert_eq!(wrong_in(&host.cargo_home(), &good)?, [] as [PathBuf; 0], "{why}");
        fs::remove_dir_all(host.cargo_home())?;
        host.restore()?.done()?;
        expect_good(&host.cargo_home(), &good, why)?;
        host.restore()?.done()?;
        expect_good(&host.cargo_home(), &good, why)?;
    }
    Ok(())
}

/// Replaces crates.io by another source in the configuration of the repo.
fn replace_crates_io(host: &Host, with: &str) -> Result {
    let config = format!("[source.crates-io]\nreplace-with = 'other'\n[source.other]\n{with}\n");
    write(&host.repo(), ".cargo/config.toml", config)
}

/// The name of another registry's directories.
const OTHER: &str = "my.corp-0123456789abcdef";

#[test]
fn a_crate_of_another_registry_is_left_to_whoever_it_is_of() -> Result {
    let host = host()?;
    let home = host.cargo_home();
    let registry = home.join("registry");
    write(&registry, format!("cache/{OTHER}/{FOO}.crate"), "of corp")?;
    write(&registry, format!("src/{OTHER}/{FOO}/src/lib.rs"), "//! of corp")?;
    write(&registry, format!("src/{OTHER}/{FOO}/.cargo-ok"), "{\"v\":1}")?;
    // A mirror has the same bytes.
    write(&registry, format!("cache/{OTHER}/bar-1.0.0.crate"), crate_file("bar-1.0.0")?)?;
    let theirs = list(&registry)?;
    let expect_theirs = |why: &str| -> Result {
        let now = list(&registry)?;
        let changed = differences(&theirs, &now);
        let changed =
            changed.iter().filter(|line| line.contains(OTHER) && !line.contains(": Some(d"));
        assert_eq!(changed.collect::<Vec<_>>(), [""; 0], "{why}");
        Ok(())
    };
    let saved = host.save_with(&PROTECTED)?.done()?;
    assert!(!saved.stderr.contains("is not saved: "), "{}", saved.stderr);
    let notes = saved.area("registry")["notes"].to_string();
    assert!(notes.contains("no lock file names that registry"), "{notes}");
    expect_theirs("saved")?;
    host.restore_with(&PROTECTED)?.done()?;
    host.restore_with(&PULL_REQUEST)?.done()?;
    let restored = host.restore_with(&PROTECTED)?.done()?;
    assert!(!restored.stderr.contains("is wrong"), "{}", restored.stderr);
    expect_theirs("restored")?;
    fs::remove_dir_all(&home)?;
    host.restore_with(&PROTECTED)?.done()?;
    assert!(registry.join("cache").join(OTHER).join("bar-1.0.0.crate").exists());
    assert!(!registry.join("cache").join(OTHER).join("foo-1.0.0.crate").exists());
    assert!(!registry.join("src").join(OTHER).exists());
    assert!(home.join(CRATE).exists() && home.join(SOURCE).exists());
    Ok(())
}

#[test]
fn a_registry_in_the_place_of_another_is_judged_like_it() -> Result {
    for is_named in [true, false] {
        let host = host()?;
        let registry = host.cargo_home().join("registry");
        for below in ["index", "cache", "src"] {
            fs::rename(registry.join(below).join(INDEX), registry.join(below).join(OTHER))?;
        }
        if is_named {
            replace_crates_io(&host, "registry = 'sparse+https://my.corp/index/'")?;
        }
        let source = registry.join("src").join(OTHER).join(FOO);
        write(&source, "src/lib.rs", "//! evil-1.0.0")?;
        let restored = host.restore()?.done()?;
        assert_eq!(
            restored.stderr.contains("is wrong: `src/lib.rs`"),
            is_named,
            "{}",
            restored.stderr
        );
        assert_eq!(source.exists(), !is_named);
    }
    Ok(())
}

/// Why; the bytes whose digest a lock file names; and whether the repo's own lock file names the crate too.
type Leftover = (&'static str, Option<&'static [u8]>, bool);

#[test]
fn a_lock_file_that_lies_in_a_dependency_makes_nothing_right_that_another_does_not() -> Result {
    const EVIL: &[u8] = b"another crate";
    #[rustfmt::skip]
    let cases: [Leftover; 3] = [
        ("no digest",                   None,        true),
        ("another digest",              Some(EVIL),  true),
        ("before one that is tracked",  Some(EVIL),  false),
    ];
    for (why, leftover, is_own) in cases {
        let host = host()?;
        // A dependency with an untracked lock file, and one with a lock file of its own.
        host.check_out("a-lib", "a-lib", &[])?;
        host.check_out("lib", "lib", &[FOO])?;
        if !is_own {
            lock(&host.repo(), "app", &["bar-1.0.0"])?;
        }
        let checksum = leftover.map(|bytes| format!("checksum = \"{}\"\n", Digest::of(bytes)));
        let text = format!(
            "version = 4\n\n[[package]]\nname = \"foo\"\nversion = \"1.0.0\"\n\
             source = \"registry+https://github.com/rust-lang/crates.io-index\"\n{}",
            checksum.unwrap_or_default()
        );
        write(&host.path("a-lib"), "Cargo.lock", text)?;
        let mut git = isolated("git", &host.path("a-lib"), &host.path("home"));
        succeed(git.args(["rm", "-q", "-f", "--cached", "Cargo.lock"]))?;
        write(&host.cargo_home(), CRATE, EVIL)?;
        let dependencies = ["--dependency", "a-lib", "--dependency", "lib"];
        let dependencies = if is_own { &dependencies[..2] } else { &dependencies[..] };
        let saved = host.save_with(dependencies)?.done()?;
        let line = format!(
            "`{}` is not saved: its SHA-256 is not",
            host.cargo_home().join(CRATE).display()
        );
        saved.says(&[line.as_str()]).map_err(|error| format!("{why}: {error}"))?;
    }
    Ok(())
}

#[test]
fn a_symlink_where_cargo_has_a_directory_goes_and_what_it_leads_to_stays() -> Result {
    for below in ["index", "cache", "src"] {
        for way in [format!("registry/{below}"), format!("registry/{below}/{INDEX}")] {
            for is_save in [true, false] {
                let why = format!("{way}, save: {is_save}");
                let host = host()?;
                let (home, elsewhere) = (host.cargo_home(), host.path("elsewhere"));
                let good = list(&home)?;
                host.save()?.done()?;
                host.restore()?.done()?;
                fs::rename(home.join(&way), &elsewhere)?;
                symlink(&elsewhere, home.join(&way))?;
                let there = list(&elsewhere)?;
                let done = if is_save { host.save()? } else { host.restore()? }.done()?;
                let fate = if is_save { "is not saved" } else { "is wrong" };
                let path = home.join(&way);
                let line =
                    format!("`{}` {fate}: it is no directory; it is removed", path.display());
                done.says(&[line.as_str()]).map_err(|error| format!("{why}: {error}"))?;
                assert!(!path.is_symlink(), "{why}");
                expect_same(&there, &elsewhere, &why)?;
                if !is_save {
                    expect_good(&home, &good, &why)?;
                }
                assert_eq!(host.leftovers()?, [] as [&Path; 0], "{why}");
            }
        }
    }
    Ok(())
}

/// It was saved when no lock file named a digest, or by an older version: its manifest tells that nobody vouched for
/// it.
#[test]
fn a_generation_that_nobody_vouched_for_is_looked_over_when_it_is_restored() -> Result {
    for is_left_out in [false, true] {
        let host = host()?;
        let home = host.cargo_home();
        let key = ["--key", "same"];
        let text = fs::read(host.repo().join("Cargo.lock"))?;
        if is_left_out {
            write(&home, CRATE, "another crate")?;
        } else {
            write(&home, format!("{SOURCE}/src/lib.rs"), "//! evil-1.0.0")?;
        }
        forget_checksums(&host)?;
        host.save_with(&key)?.done()?;
        fs::write(host.repo().join("Cargo.lock"), text)?;
        fs::remove_dir_all(&home)?;
        let restored = host.restore_with(&key)?.done()?;
        if !is_left_out {
            restored
                .says(&["is wrong: `src/lib.rs` differs from its `.crate` file; it is removed"])?;
        }
        assert!(!home.join(SOURCE).exists(), "{}", restored.stderr);
        assert_eq!(home.join(CRATE).exists(), !is_left_out, "{}", restored.stderr);
        // Unvouched files do not keep vouched ones from being published.
        install(&host)?;
        host.restore_with(&key)?.done()?;
        assert_eq!(host.save_with(&key)?.done()?.mode("registry"), "published");
        assert_eq!(host.save_with(&key)?.done()?.mode("registry"), "unchanged");
    }
    Ok(())
}
