//! A git dependency in a `CARGO_HOME` is the commit that the lock file names, or it is neither saved nor left there.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::*;

/// A repo with a git dependency that cargo has fetched, and the paths of the fetched files.
struct Fetched {
    host: Host,
    /// The path of the checkout below the home.
    checkout: String,
    /// The path of the repository below the home.
    database: String,
}

/// The author of all commits.
const COMMITTER: [&str; 4] = ["-c", "user.name=a", "-c", "user.email=a@example.org"];

impl Fetched {
    fn new() -> Result<Self> {
        Self::with(|_, _| Ok(()))
    }

    /// Fetches from a repository to which `add` adds files.
    fn with(add: impl FnOnce(&Host, &Path) -> Result) -> Result<Self> {
        let host = Host::new()?;
        let lib = host.path("lib");
        write(&lib, "Cargo.toml", "[package]\nname = \"lib\"\nversion = \"0.1.0\"\n")?;
        write(&lib, "src/lib.rs", "//! lib\n")?;
        write(&lib, "src/deep/more.rs", "//! more\n")?;
        write(&lib, ".gitignore", "/src/made.rs\n*.log\n!kept.log\n")?;
        write(&lib, "run.sh", "#!/bin/sh\n")?;
        fs::set_permissions(lib.join("run.sh"), PermissionsExt::from_mode(0o755))?;
        link(&lib, "link.rs", "src/lib.rs")?;
        host.git(&lib, &["init", "-q", "-b", "main"])?;
        for text in ["//! lib\n", "//! another commit\n", "//! lib of the last one\n"] {
            write(&lib, "src/lib.rs", text)?;
            host.git(&lib, &["add", "-A"])?;
            host.git(&lib, &["commit", "-q", "-m", "a commit"])?;
        }
        add(&host, &lib)?;
        let dependency = format!("[dependencies]\nlib.git = \"file://{}\"\n", lib.display());
        let manifest = host.repo().join("Cargo.toml");
        fs::write(&manifest, fs::read_to_string(&manifest)? + &dependency)?;
        fs::remove_file(host.repo().join("Cargo.lock"))?;
        let mut fetched = Self { host, checkout: String::new(), database: String::new() };
        fetched.fetch()?;
        let home = fetched.home();
        let only = |dir: &Path| -> Result<PathBuf> {
            Ok(fs::read_dir(dir)?.next().ok_or("nothing was fetched")??.path())
        };
        let below = |path: &Path| {
            Ok::<_, std::path::StripPrefixError>(path.strip_prefix(&home)?.display().to_string())
        };
        fetched.checkout = below(&only(&only(&home.join("git/checkouts"))?)?)?;
        fetched.database = below(&only(&home.join("git/db"))?)?;
        Ok(fetched)
    }

    fn home(&self) -> PathBuf {
        self.host.cargo_home()
    }

    /// Lets cargo fetch missing files.
    fn fetch(&self) -> Result {
        let mut cargo = isolated("cargo", &self.host.repo(), &self.host.path("home"));
        succeed(cargo.args(["fetch", "-q"]).env("CARGO_HOME", self.home()))
    }

    /// Lists the files of the checkout that cargo sees.
    fn seen(&self) -> Result<Listing> {
        let mut listing = list(&self.home().join(&self.checkout))?;
        listing.retain(|path, node| !path.starts_with(".git") && !node.is_dir());
        for node in listing.values_mut() {
            node.forget_mtime();
        }
        Ok(listing)
    }
}

trait Git {
    fn git(&self, dir: &Path, args: &[&str]) -> Result;
}

impl Git for Host {
    fn git(&self, dir: &Path, args: &[&str]) -> Result {
        let mut git = isolated("git", dir, &self.path("home"));
        succeed(git.args(COMMITTER).args(args))
    }
}

/// The directory that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Checkout,
    Database,
}

/// A fault: why, the wrong directory, the message about it, and the function that makes it.
struct Case(&'static str, Wrong, &'static str, fn(&Fetched, &Path) -> Result);

#[rustfmt::skip]
const CASES: [Case; 19] = [
    Case("edited",            Wrong::Checkout, "`src/lib.rs` differs from its revision",       |_, dir| write(dir, "src/lib.rs", "//! evil\n")),
    Case("lost bytes",        Wrong::Checkout, "`src/deep/more.rs` differs from its revision", |_, dir| write(dir, "src/deep/more.rs", "")),
    Case("edited and hidden", Wrong::Checkout, "`src/lib.rs` differs from its revision",       |fetched, dir| {
        write(dir, "src/lib.rs", "//! evil\n")?;
        fetched.host.git(dir, &["update-index", "--assume-unchanged", "src/lib.rs"])
    }),
    Case("a mode",            Wrong::Checkout, "`run.sh` differs from its revision",           |_, dir| Ok(fs::set_permissions(dir.join("run.sh"), PermissionsExt::from_mode(0o644))?)),
    Case("a link",            Wrong::Checkout, "`link.rs` differs from its revision",          |_, dir| { fs::remove_file(dir.join("link.rs"))?; link(dir, "link.rs", "/etc/passwd") }),
    Case("a further file",    Wrong::Checkout, "`build.rs` is not in its revision",            |_, dir| write(dir, "build.rs", "fn main() {}")),
    Case("not ignored",       Wrong::Checkout, "`kept.log` is not in its revision",            |_, dir| write(dir, "kept.log", "x")),
    Case("a file is missing", Wrong::Checkout, "`run.sh` of its revision is missing",            |_, dir| Ok(fs::remove_file(dir.join("run.sh"))?)),
    Case("another commit",    Wrong::Checkout, "it is at ",                                    |fetched, dir| fetched.host.git(dir, &["checkout", "-q", "HEAD~1"])),
    Case("moved back",        Wrong::Checkout, "`src/lib.rs` differs from its revision",       |fetched, dir| {
        fetched.host.git(dir, &["checkout", "-q", "HEAD~1", "--", "src/lib.rs"])
    }),
    Case("a program",         Wrong::Checkout, "`core.fsmonitor` in its configuration was not written by cargo", |fetched, dir| fetched.host.git(dir, &["config", "core.fsmonitor", "/bin/false"])),
    Case("a hook",            Wrong::Checkout, "`.git/hooks/post-checkout` is a program that git would run", |_, dir| write(dir, ".git/hooks/post-checkout", "#!/bin/sh\n")),
    Case("a commit of its own", Wrong::Checkout, "it is at ",                                  |fetched, dir| {
        write(dir, "src/lib.rs", "//! evil\n")?;
        fetched.host.git(dir, &["commit", "-q", "-a", "-m", "evil"])
    }),
    Case("objects lost bytes", Wrong::Database, "is not ",                                     |_, dir| {
        for path in paths(&dir.join("objects"))?.iter().filter(|path| path.is_file()) {
            fs::set_permissions(path, PermissionsExt::from_mode(0o644))?;
            fs::write(path, vec![0; usize::try_from(fs::metadata(path)?.len())?])?;
        }
        Ok(())
    }),
    Case("a ref lost bytes",  Wrong::Database, "`refs/remotes/origin/HEAD` is not whole",      |_, dir| write(dir, "refs/remotes/origin/HEAD", "")),
    Case("a program of it",   Wrong::Database, "`core.sshcommand` in its configuration was not written by cargo", |fetched, dir| fetched.host.git(dir, &["config", "core.sshCommand", "evil"])),
    Case("a link in its place", Wrong::Checkout, "it is no directory",                         elsewhere),
    Case("a link to it",      Wrong::Database, "it is no directory",                           elsewhere),
    Case("objects elsewhere", Wrong::Database, "`objects/info/alternates` takes objects from elsewhere", |_, dir| write(dir, "objects/info/alternates", "/tmp\n")),
];

/// Moves a directory to another place, and leaves a symlink to it.
fn elsewhere(fetched: &Fetched, dir: &Path) -> Result {
    let elsewhere = fetched.host.path("elsewhere");
    fs::rename(dir, &elsewhere)?;
    Ok(symlink(&elsewhere, dir)?)
}

#[test]
fn a_symlink_where_cargo_has_a_directory_goes_and_what_it_leads_to_stays() -> Result {
    for is_save in [true, false] {
        let ways = |fetched: &Fetched| -> Option<[PathBuf; 3]> {
            let home = fetched.home();
            let repository = home.join(Path::new(&fetched.checkout).parent()?);
            Some([home.join("git/db"), home.join("git/checkouts"), repository])
        };
        for index in 0..3 {
            let fetched = Fetched::new()?;
            let host = &fetched.host;
            let way = ways(&fetched).ok_or("a checkout lies in a directory")?[index].clone();
            let why = format!("{}, save: {is_save}", way.display());
            let good = fetched.seen()?;
            host.save()?.done()?;
            host.restore()?.done()?;
            elsewhere(&fetched, &way)?;
            let there = list(&host.path("elsewhere"))?;
            let done = if is_save { host.save()? } else { host.restore()? }.done()?;
            let fate = if is_save { "is not saved" } else { "is wrong" };
            let line = format!("`{}` {fate}: it is no directory; it is removed", way.display());
            done.says(&[line.as_str()]).map_err(|error| format!("{why}: {error}"))?;
            assert!(!way.is_symlink(), "{why}");
            expect_same(&there, &host.path("elsewhere"), &why)?;
            if !is_save {
                assert_eq!(fetched.seen()?, good, "{why}");
            }
        }
    }
    Ok(())
}

impl Case {
    fn path(&self, fetched: &Fetched) -> PathBuf {
        fetched.home().join(match self.1 {
            Wrong::Checkout => &fetched.checkout,
            Wrong::Database => &fetched.database,
        })
    }

    /// Changes the fetched files. First copies them, to break hard links between checkout and repository.
    fn make(&self, fetched: &Fetched) -> Result {
        let path = self.path(fetched);
        let copy = path.with_extension("copy");
        succeed(Command::new("cp").arg("-a").arg(&path).arg(&copy))?;
        fs::remove_dir_all(&path)?;
        fs::rename(&copy, &path)?;
        (self.3)(fetched, &path)
    }
}

#[test]
fn a_checkout_that_differs_from_its_revision_is_not_saved_but_removed_and_fetched_again() -> Result
{
    for case in CASES {
        let why = case.0;
        let fetched = Fetched::new()?;
        let host = &fetched.host;
        let good = fetched.seen()?;
        assert_eq!(host.save()?.done()?.mode("git"), "published", "{why}");
        assert_eq!(host.save()?.done()?.mode("git"), "unchanged", "{why}");
        case.make(&fetched)?;
        let saved = host.save()?.done()?;
        let path = case.path(&fetched);
        let line = format!("`{}` is not saved: ", path.display());
        let told = saved.stderr.lines().find(|told| told.contains(&line)).unwrap_or_default();
        assert!(
            told.contains(case.2) && told.contains("; it is removed"),
            "{why}: {}",
            saved.stderr
        );
        assert!(!path.exists(), "{why}");
        assert_eq!(host.leftovers()?, [] as [&Path; 0], "{why}");

        fs::remove_dir_all(fetched.home())?;
        host.restore()?.done()?;
        assert!(!path.exists(), "{why}: it was saved");
        fetched.fetch()?;
        assert_eq!(fetched.seen()?, good, "{why}");
        let saved = host.save()?.done()?;
        assert!(!saved.stderr.contains("is not saved"), "{why}: {}", saved.stderr);
        host.verify()?;
    }
    Ok(())
}

const PROTECTED: [&str; 4] = ["--repository", "o/app", "--lane", "protected"];
const PULL_REQUEST: [&str; 4] = ["--repository", "o/app", "--lane", "pr/7"];

#[test]
fn wrong_files_in_git_are_replaced_before_cargo_sees_them() -> Result {
    for case in CASES {
        for is_restart in [true, false] {
            let why = format!("{}, restart: {is_restart}", case.0);
            let fetched = Fetched::new()?;
            let host = &fetched.host;
            let good = fetched.seen()?;
            host.save_with(&PROTECTED)?.done()?;
            if is_restart {
                host.forget_inodes()?;
            } else {
                host.restore_with(&PROTECTED)?.done()?;
                host.restore_with(&PULL_REQUEST)?.done()?;
            }
            case.make(&fetched)?;
            let restored = host.restore_with(&PROTECTED)?.done()?;
            let line = format!("`{}` is wrong: ", case.path(&fetched).display());
            let told = restored.stderr.lines().find(|told| told.contains(&line));
            let told = told.unwrap_or_default();
            assert!(
                told.contains(case.2) && told.contains("; it is replaced"),
                "{why}: {}",
                restored.stderr
            );
            assert_eq!(fetched.seen()?, good, "{why}");
            assert_eq!(host.leftovers()?, [] as [&Path; 0], "{why}");
            let again = host.restore_with(&PROTECTED)?.done()?;
            assert!(!again.stderr.contains("is wrong"), "{why}: {}", again.stderr);
            let saved = host.save_with(&PROTECTED)?.done()?;
            assert!(!saved.stderr.contains("is not saved: "), "{why}: {}", saved.stderr);
        }
    }
    Ok(())
}

#[test]
fn submodules_are_the_commits_that_the_revision_names() -> Result {
    type Change = fn(&Host, &Path) -> Result;
    #[rustfmt::skip]
    let cases: [(&str, Change, Option<&str>); 6] = [
        ("nothing",        |_, _| Ok(()),                                            None),
        ("emptied",        |_, sub| { fs::remove_dir_all(sub)?; Ok(fs::create_dir(sub)?) }, Some("`deep/sub` differs from its revision")),
        ("left empty, as it says", |_, _| Ok(()),                                    None),
        ("edited",         |_, sub| write(sub, "src/lib.rs", "//! evil\n"),          Some("`deep/sub/src/lib.rs` differs from its revision")),
        ("a further file", |_, sub| write(sub, "build.rs", "fn main() {}"),          Some("`deep/sub/build.rs` is not in its revision")),
        ("a link",         |_, sub| { fs::remove_dir_all(sub)?; link(sub.parent().ok_or("no parent")?, "sub", "/etc") }, Some("`deep/sub` differs from its revision")),
    ];
    for (why, change, want) in cases {
        let fetched = Fetched::with(|host, lib| {
            let origin = host.path("sub");
            make_repository(&origin, "//! sub\n")?;
            let url = format!("file://{}", origin.display());
            let add = ["-c", "protocol.file.allow=always", "submodule", "add", "-q", &url];
            host.git(lib, &[&add[..], &["deep/sub"]].concat())?;
            if why.starts_with("left empty") {
                host.git(
                    lib,
                    &["config", "-f", ".gitmodules", "submodule.deep/sub.update", "none"],
                )?;
                host.git(lib, &["add", "-A"])?;
            }
            host.git(lib, &["commit", "-q", "-m", "with a submodule"])
        })?;
        let sub = fetched.home().join(&fetched.checkout).join("deep/sub");
        if why.starts_with("left empty") {
            assert!(!sub.join("src/lib.rs").exists(), "{why}");
        } else {
            assert_eq!(fs::read_to_string(sub.join("src/lib.rs"))?, "//! sub\n", "{why}");
        }
        change(&fetched.host, &sub)?;
        let saved = fetched.host.save()?.done()?;
        match want {
            None => assert!(!saved.stderr.contains("is not saved: "), "{why}: {}", saved.stderr),
            Some(want) => saved.says(&[want]).map_err(|error| format!("{why}: {error}"))?,
        }
    }
    Ok(())
}

/// A build script may have written the file, and cargo does not run it again.
#[test]
fn ignored_files_of_a_checkout_are_kept_in_their_lane_and_in_no_other() -> Result {
    let fetched = Fetched::new()?;
    let host = &fetched.host;
    let made = fetched.home().join(&fetched.checkout).join("src/made.rs");
    fs::write(&made, "// made\n")?;
    for _ in 0..2 {
        let saved = host.save_with(&PROTECTED)?.done()?;
        assert!(!saved.stderr.contains("is not saved"), "{}", saved.stderr);
        fs::remove_dir_all(fetched.home())?;
        host.restore_with(&PROTECTED)?.done()?;
        assert_eq!(fs::read_to_string(&made)?, "// made\n");
    }
    host.restore_with(&PULL_REQUEST)?.done()?;
    fs::write(&made, "// evil\n")?;
    host.restore_with(&PROTECTED)?.done()?.says(&["`src/made.rs` is not in its revision"])?;
    assert_eq!(fs::read_to_string(&made)?, "// made\n");
    Ok(())
}
