//! Checkouts of dependencies from a mirror in the store.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::git_server::{GitServer, Upstream, git};
use crate::support::*;

/// A host, and a repository of `org` to check out.
struct Organisation {
    host: Host,
    dep: Upstream,
}

impl Organisation {
    fn new() -> Result<Self> {
        let host = Host::new()?;
        let dep = Upstream::new(&host.path("server/org/dep"))?;
        Ok(Self { host, dep })
    }

    /// Returns the directory of the server's repositories.
    fn server(&self) -> PathBuf {
        self.host.path("server")
    }

    /// Returns the URL of the server as a directory.
    fn url(&self) -> String {
        format!("file://{}", self.server().display())
    }

    /// Returns `checkout` of `wanted` from the server at `url`.
    fn command(&self, url: &str, wanted: &str) -> Command {
        let mut command = self.host.store_command("checkout", &[wanted, "--server", url]);
        command.arg("--repo").arg(self.host.repo());
        command
    }

    fn check_out(&self, wanted: &str) -> Result<Outcome> {
        Outcome::of(self.command(&self.url(), wanted).output()?)
    }

    fn check_out_from(&self, server: &GitServer, wanted: &str) -> Result<Outcome> {
        Outcome::of(self.command(&server.url(), wanted).output()?)
    }

    /// Puts a `git` before the real one that first runs `script`. `$real` is the real git, and `$n`
    /// the number of the call.
    fn wrap_git(&mut self, script: &str) -> Result {
        let real = succeed_with(Command::new("sh").args(["-c", "command -v git"]))?;
        let counter = self.host.path("calls");
        write(&self.host.path(""), "calls", "")?;
        let script = format!(
            "#!/bin/sh\nreal={real}\necho >>'{counter}'\nn=$(wc -l <'{counter}')\n{script}\nexec \"$real\" \"$@\"\n",
            counter = counter.display(),
        );
        let bin = self.host.path("bin");
        write(&bin, "git", script)?;
        fs::set_permissions(bin.join("git"), PermissionsExt::from_mode(0o755))?;
        self.host.set("PATH", format!("{}:/usr/bin:/bin", bin.display()));
        Ok(())
    }
}

fn succeed_with(command: &mut Command) -> Result<String> {
    Ok(String::from_utf8(command.output()?.stdout)?.trim().to_owned())
}

/// Fails unless `dir` is a checkout of exactly this commit, without other files.
fn expect_commit(dir: &Path, commit: &str) -> Result {
    assert_eq!(git(dir, &["rev-parse", "HEAD"])?, commit, "{}", dir.display());
    assert_eq!(git(dir, &["status", "--porcelain"])?, "", "{}", dir.display());
    Ok(())
}

#[test]
fn a_dependency_is_checked_out_at_what_the_ref_names() -> Result {
    let org = Organisation::new()?;
    let on_main = org.dep.commit(&[("src/lib.rs", "// main\n"), ("run.sh", "#!/bin/sh\n")])?;
    org.dep.git(&["tag", "light"])?;
    org.dep.git(&["switch", "-q", "-c", "both"])?;
    let on_branch = org.dep.commit(&[("src/lib.rs", "// branch\n")])?;
    org.dep.git(&["switch", "-q", "-c", "feature/x", "main"])?;
    let on_feature = org.dep.commit(&[("src/lib.rs", "// feature\n")])?;
    org.dep.git(&["tag", "-a", "-m", "a release", "v1"])?;
    org.dep.git(&["tag", "both"])?;
    org.dep.git(&["switch", "-q", "--detach", "main"])?;
    let merged = org.dep.commit(&[("src/lib.rs", "// merged\n")])?;
    org.dep.git(&["update-ref", "refs/pull/7/merge", &merged])?;
    org.dep.git(&["switch", "-q", "main"])?;
    let upper = on_branch.to_uppercase();
    #[rustfmt::skip]
    let cases = [
        ("the default branch",     "",                     &on_main),
        ("a branch",               "@main",                &on_main),
        ("a branch with a slash",  "@feature/x",           &on_feature),
        ("a branch before a tag",  "@both",                &on_branch),
        ("a tag",                  "@light",               &on_main),
        ("an annotated tag",       "@v1",                  &on_feature),
        ("the full name of a tag", "@refs/tags/both",      &on_feature),
        ("an annotated one",       "@refs/tags/v1",        &on_feature),
        ("a pull request",         "@refs/pull/7/merge",   &merged),
        ("a commit",               &format!("@{upper}"),   &on_branch),
    ];
    for (why, git_ref, commit) in cases {
        let dest = org.host.path("dep");
        let done = org.check_out(&format!("org/dep{git_ref}"))?.done()?.report;
        expect_commit(&dest, commit)?;
        let told = |field: &str| done[field].as_str().unwrap_or_default().to_owned();
        let told = ["name", "repository", "sha", "path"].map(told);
        let want = ["dep", "org/dep", commit, &dest.display().to_string()];
        assert_eq!(told, want, "{why}");
        assert_eq!(done["warnings"], Value::Array(Vec::new()), "{why}");
    }
    let origin = git(&org.host.path("dep"), &["remote", "get-url", "origin"])?;
    assert_eq!(origin, format!("{}/org/dep", org.url()));
    assert_eq!(org.host.leftovers()?, [] as [PathBuf; 0]);
    assert_eq!(org.host.verify()?, [] as [&str; 0]);
    Ok(())
}

#[test]
fn six_jobs_at_once_fetch_a_commit_once() -> Result {
    const JOBS: usize = 6;
    let org = Organisation::new()?;
    let commit = org.dep.commit(&[("file", "new")])?;
    org.check_out(&format!("org/dep@{commit}"))?.done()?;
    let server = GitServer::open(&org.server())?;
    // Hold the lock until all jobs have found that the mirror lacks the commit.
    let mirror = mirror_on(&org, &server.url(), "org%2Fdep.git");
    fs::create_dir_all(mirror.parent().unwrap_or(&mirror))?;
    let lock = fs::File::create(mirror.with_extension("lock"))?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockShared)?;
    let job =
        |number| spawn(&mut org.command(&server.url(), &format!("org/dep@main=job-{number}")));
    let jobs = (0..JOBS).map(job).collect::<Result<Vec<_>>>()?;
    let asked = || server.requests().iter().filter(|request| request.is_listing).count();
    while asked() < JOBS {
        std::thread::yield_now();
    }
    drop(lock);
    let outcomes = jobs.into_iter().map(|job| join(job)?.done()).collect::<Result<Vec<_>>>()?;
    for number in 0..JOBS {
        expect_commit(&org.host.path(&format!("job-{number}")), &commit)?;
    }
    let fetched = outcomes.iter().filter(|outcome| outcome.report["fetched"] == true);
    assert_eq!((fetched.count(), server.fetches()), (1, 1));
    assert_eq!(org.host.leftovers()?, [] as [PathBuf; 0]);
    Ok(())
}

#[test]
fn a_branch_is_asked_for_each_time_and_a_commit_needs_no_server() -> Result {
    let org = Organisation::new()?;
    let old = org.dep.commit(&[("file", "old\n")])?;
    let server = GitServer::open(&org.server())?;
    let first = org.check_out_from(&server, "org/dep@main")?.done()?.report;
    assert_eq!((&first["sha"], &first["fetched"]), (&old.as_str().into(), &true.into()));

    // A force-push replaces the branch's history, and another restores it.
    org.dep.git(&["reset", "-q", "--hard", "HEAD~1"])?;
    let new = org.dep.commit(&[("file", "new\n")])?;
    let second = org.check_out_from(&server, "org/dep@main")?.done()?.report;
    assert_eq!((&second["sha"], &second["fetched"]), (&new.as_str().into(), &true.into()));
    expect_commit(&org.host.path("dep"), &new)?;
    org.dep.git(&["reset", "-q", "--hard", &old])?;
    let third = org.check_out_from(&server, "org/dep@main")?.done()?.report;
    assert_eq!((&third["sha"], &third["fetched"]), (&old.as_str().into(), &false.into()));

    let asked = server.requests().len();
    for commit in [&new, &old] {
        let pinned = org.check_out_from(&server, &format!("org/dep@{commit}"))?.done()?.report;
        assert_eq!(pinned["fetched"], false);
        expect_commit(&org.host.path("dep"), commit)?;
    }
    assert_eq!(server.requests().len(), asked);

    let url = server.url();
    drop(server);
    let wanted = format!("org/dep@{new}");
    Outcome::of(org.command(&url, &wanted).output()?)?.done()?;
    expect_commit(&org.host.path("dep"), &new)?;
    let gone = Outcome::of(org.command(&url, "org/dep@main").output()?)?;
    assert_eq!(gone.status, Some(1));
    gone.says(&[
        &format!("error: cannot reach `{url}/org/dep`"),
        "cause: ",
        "help: check the network",
    ])?;
    expect_commit(&org.host.path("dep"), &new)
}

/// A change that a job makes to a checkout it finds.
type Change = fn(&Path) -> Result;

#[test]
fn an_earlier_checkout_is_kept_only_if_it_is_the_wanted_one() -> Result {
    let org = Organisation::new()?;
    let files =
        [(".gitignore", "target/\n"), ("src/lib.rs", "// one\n"), ("link.sh", "#!/bin/sh\n")];
    let commit = org.dep.commit(&files)?;
    let edited: Change =
        |dir| keeping_mtime(&dir.join("src/lib.rs"), |path| Ok(fs::write(path, "// two\n")?));
    let hidden: Change = |dir| {
        git(dir, &["update-index", "--assume-unchanged", "src/lib.rs"])?;
        Ok(fs::write(dir.join("src/lib.rs"), "// two\n")?)
    };
    let committed: Change = |dir| {
        fs::write(dir.join("src/lib.rs"), "// two\n")?;
        git(dir, &["-c", "user.name=x", "-c", "user.email=x", "commit", "-qam", "x"]).map(drop)
    };
    let hooked: Change = |dir| {
        write(dir, ".git/hooks/post-checkout", "#!/bin/sh\ntouch ../hooked\n")?;
        fs::set_permissions(
            dir.join(".git/hooks/post-checkout"),
            PermissionsExt::from_mode(0o755),
        )?;
        let evil = "!touch ../hooked";
        let settings = [
            ("core.fsmonitor", "touch ../hooked;"),
            ("filter.x.clean", "touch ../hooked"),
            ("alias.status", evil),
        ];
        write(dir, ".git/info/attributes", "* filter=x\n")?;
        settings.iter().try_for_each(|(name, value)| git(dir, &["config", name, value]).map(drop))
    };
    #[rustfmt::skip]
    let cases: [(&str, Change, bool); 11] = [
        ("as it was",                 |_| Ok(()),                                                     true),
        ("with newer files",          |dir| set_mtime(&dir.join("src/lib.rs"), 1_900_000_000, 0),      true),
        ("at another commit of the same files", |dir| git(dir, &["commit", "-q", "--allow-empty", "-m", "x"]).map(drop), true),
        ("with programs planted",     hooked,                                                         true),
        ("without its index",         |dir| Ok(fs::remove_file(dir.join(".git/index"))?),             true),
        ("edited",                    edited,                                                         false),
        ("edited and hidden",         hidden,                                                         false),
        ("edited and committed",      committed,                                                      false),
        ("with a file more",          |dir| write(dir, "src/more.rs", ""),                            false),
        ("with a file less",          |dir| Ok(fs::remove_file(dir.join("src/lib.rs"))?),             false),
        ("with another mode",         |dir| Ok(fs::set_permissions(dir.join("link.sh"), PermissionsExt::from_mode(0o755))?), false),
    ];
    for (why, change, is_kept) in cases {
        let dest = org.host.path("dep");
        org.check_out("org/dep@main")?.done()?;
        write(&dest, "target/debug/built", "built")?;
        change(&dest).map_err(|error| format!("{why}: {error}"))?;
        let again = org.check_out("org/dep@main")?.done()?.report;
        assert_eq!(again["kept"], is_kept, "{why}");
        assert_eq!(dest.join("target/debug/built").exists(), is_kept, "{why}");
        expect_commit(&dest, &commit).map_err(|error| format!("{why}: {error}"))?;
        assert!(!org.host.path("hooked").exists() && !dest.join(".git/hooks").exists(), "{why}");
    }
    let new = org.dep.commit(&[("src/lib.rs", "// three\n")])?;
    org.check_out("org/dep@main")?.done()?;
    assert!(!org.host.path("dep/target").exists());
    expect_commit(&org.host.path("dep"), &new)?;
    assert_eq!(org.host.leftovers()?, [] as [PathBuf; 0]);
    Ok(())
}

#[test]
fn a_directory_that_is_not_ours_is_refused_by_name_and_left_alone() -> Result {
    let org = Organisation::new()?;
    let other = Upstream::new(&org.host.path("server/other/dep"))?;
    other.commit(&[("file", "of another")])?;
    let host = &org.host;
    write(&host.path("foreign"), "file", "foreign")?;
    Upstream::new(&host.path("clone"))?;
    write(&host.path("files"), "file", "")?;
    write(&host.path("elsewhere"), "file", "")?;
    link(&host.path(""), "symlink", "elsewhere")?;
    link(&host.path(""), "dangling", "nowhere")?;
    org.check_out("other/dep=others")?.done()?;
    fs::create_dir(host.path("empty"))?;
    let before = list(&host.path(""))?;
    let cases = [
        ("foreign", "a directory that this program did not make is there"),
        ("clone", "a directory that this program did not make is there"),
        ("files/file", "a file is there"),
        ("symlink", "a symlink is there"),
        ("dangling", "a symlink is there"),
        ("others", "a checkout of `other/dep` is there"),
        ("repo", "the repo is in it"),
        (".", "the store is in it"),
        ("store/packs/dep", "it is in the store"),
        ("repo/.git/dep", "it is in a `.git`"),
        ("new/../../dep", "it does not end in the name of a directory"),
        ("..", "it does not end in the name of a directory"),
    ];
    for (path, reason) in cases {
        let dest = host.path(path);
        let outcome = org.check_out(&format!("org/dep@main={}", dest.display()))?;
        assert_eq!(outcome.status, Some(1), "{path}");
        outcome.says(&[
            "error: cannot check out to `",
            &format!("`: {reason}\n"),
            "help: remove what is there",
        ])?;
        let mut after = list(&host.path(""))?;
        // Leases come and go in the store.
        after.retain(|below, node| !(below.starts_with("store") && node.is_dir()));
        let before =
            before.iter().filter(|(below, node)| !(below.starts_with("store") && node.is_dir()));
        let before = before.map(|(path, node)| (path.clone(), node.clone())).collect();
        assert_eq!(differences(&before, &after), [] as [&str; 0], "{path}");
    }
    org.check_out("org/dep@main=empty")?.done()?;
    assert!(host.path("empty/README").exists());
    Ok(())
}

/// A token, and the header with `x-access-token:` and the token.
const TOKEN: &str = "ghs_0123456789secret";
const AUTHORIZATION: &str = "basic eC1hY2Nlc3MtdG9rZW46Z2hzXzAxMjM0NTY3ODlzZWNyZXQ=";

#[test]
fn a_token_opens_its_server_and_is_seen_nowhere_else() -> Result {
    let mut org = Organisation::new()?;
    let commit = org.dep.commit(&[("file", "secret")])?;
    let part = Upstream::new(&org.host.path("server/org/part"))?;
    part.commit(&[("file", "a part")])?;
    let strange = Upstream::new(&org.host.path("strangers/org/strange"))?;
    strange.commit(&[("file", "strange")])?;
    let server = GitServer::private(&org.server(), AUTHORIZATION)?;
    let strangers = GitServer::open(&org.host.path("strangers"))?;

    let denied = org.check_out_from(&server, "org/dep@main")?;
    assert_eq!(denied.status, Some(1));
    let error = format!(
        "error: cannot read `{}/org/dep`: there is no such repository, or no access to it",
        server.url()
    );
    denied.says(&[
        &error,
        "help: if the name is right, give a token that may read it (`contents: read`)",
    ])?;
    org.host.set("GITHUB_TOKEN", "ghs_of_another");
    let denied = org.check_out_from(&server, "org/dep@main")?;
    assert_eq!(denied.status, Some(1));
    denied.says(&[&error])?;
    assert!(!denied.stderr.contains("ghs_of_another"), "{}", denied.stderr);

    // A header from the user's configuration must not be sent along with ours.
    let config = format!(
        "[http \"{}/\"]\n\textraheader = AUTHORIZATION: basic b2xkOm9sZA==\n",
        server.url()
    );
    write(&org.host.path(""), "gitconfig", config)?;
    org.host.set("GIT_CONFIG_GLOBAL", org.host.path("gitconfig"));
    org.host.set("GITHUB_TOKEN", TOKEN);
    org.host.set("GIT_TRACE_CURL", org.host.path("trace"));
    org.wrap_git("printf '%s\\n' \"$*\" >>\"$0.arguments\"")?;
    org.check_out_from(&server, "org/dep@main")?.done()?;
    expect_commit(&org.host.path("dep"), &commit)?;

    // A submodule on the same server, and one on another.
    let modules = format!(
        "[submodule \"part\"]\n\tpath = part\n\turl = ../part\n[submodule \"strange\"]\n\tpath = strange\n\turl = {}/org/strange\n",
        strangers.url()
    );
    write(&org.host.path("server/org/dep"), ".gitmodules", modules)?;
    for (path, upstream) in [("part", &part), ("strange", &strange)] {
        let commit = upstream.git(&["rev-parse", "HEAD"])?;
        org.dep.git(&[
            "update-index",
            "--add",
            "--cacheinfo",
            &format!("160000,{commit},{path}"),
        ])?;
    }
    org.dep.git(&["add", ".gitmodules"])?;
    org.dep.git(&["commit", "-q", "-m", "submodules"])?;
    let mut command = org.command(&server.url(), "org/dep@main");
    Outcome::of(command.arg("--submodules").output()?)?.done()?;
    assert_eq!(fs::read_to_string(org.host.path("dep/part/file"))?, "a part");
    assert_eq!(fs::read_to_string(org.host.path("dep/strange/file"))?, "strange");
    org.check_out_from(&server, "org/dep@v0")?;

    assert!(server.requests().iter().any(|request| request.path == "/org/part/info/refs"));
    assert!(strangers.requests().iter().all(|request| request.authorization.is_none()));
    let encoded = AUTHORIZATION.trim_start_matches("basic ");
    for path in paths(&org.host.path(""))?.iter().filter(|path| path.is_file()) {
        let bytes = fs::read(path)?;
        for secret in [TOKEN, encoded] {
            let is_there = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
            assert!(!is_there, "{} holds the token", path.display());
        }
    }
    assert!(fs::read_to_string(org.host.path("bin/git.arguments"))?.contains("--config-env"));
    Ok(())
}

#[test]
fn submodules_come_when_they_are_asked_for() -> Result {
    let org = Organisation::new()?;
    let inner = Upstream::new(&org.host.path("server/org/inner"))?;
    inner.commit(&[("file", "inner")])?;
    let part = Upstream::new(&org.host.path("server/org/part"))?;
    part.git(&["submodule", "add", "-q", &format!("{}/org/inner", org.url()), "inner"])?;
    part.commit(&[("file", "part")])?;
    org.dep.git(&["submodule", "add", "-q", &format!("{}/org/part", org.url()), "part"])?;
    let commit = org.dep.commit(&[])?;
    let dest = org.host.path("dep");
    org.check_out("org/dep")?.done()?;
    assert!(!dest.join("part/file").exists());
    for _ in 0..2 {
        let mut command = org.command(&org.url(), "org/dep");
        let report = Outcome::of(command.arg("--submodules").output()?)?.done()?.report;
        assert_eq!(report["kept"], false);
        assert_eq!(fs::read_to_string(dest.join("part/inner/file"))?, "inner");
        expect_commit(&dest, &commit)?;
    }
    Ok(())
}

#[test]
fn a_checkout_that_is_killed_anywhere_is_whole_or_absent_and_the_next_one_works() -> Result {
    let mut org = Organisation::new()?;
    let old = org.dep.git(&["rev-parse", "HEAD"])?;
    let new = org.dep.commit(&[("file", "new")])?;
    let dest = org.host.path("dep");
    // Kills the job before the call of git with this number, or after it.
    let kill = |when: &str, number: usize| match when {
        "before" => format!("[ \"$n\" != {number} ] || kill -9 \"$PPID\""),
        _ => format!(
            "[ \"$n\" != {number} ] || {{ \"$real\" \"$@\"; status=$?; kill -9 \"$PPID\"; exit $status; }}"
        ),
    };
    // When; whether there is no mirror and no older checkout yet; the number of calls of git.
    for (when, is_first, calls) in
        [("before", true, 8), ("after", true, 8), ("before", false, 12), ("after", false, 12)]
    {
        for number in 1..=calls + 1 {
            let why = format!("{when} {number} of {calls}");
            let _absent = [fs::remove_dir_all(org.host.root()), fs::remove_dir_all(&dest)];
            if !is_first {
                org.wrap_git("")?;
                org.check_out(&format!("org/dep@{old}"))?.done()?;
            }
            org.wrap_git(&kill(when, number))?;
            let killed = org.check_out("org/dep@main")?;
            let status = if number > calls { Some(0) } else { None };
            assert_eq!(killed.status, status, "{why}: {}", killed.stderr);
            if dest.exists() {
                let is_new = dest.join("file").exists();
                expect_commit(&dest, if is_new { &new } else { &old })?;
            }
            org.wrap_git("")?;
            let next = org.check_out("org/dep@main")?.done()?;
            expect_commit(&dest, &new).map_err(|error| format!("{why}: {error}"))?;
            assert_eq!(next.report["warnings"], Value::Array(Vec::new()), "{why}");
            expect_no_leftovers(&org.host).map_err(|error| format!("{why}: {error}"))?;
            assert_eq!(org.host.verify()?, [] as [&str; 0], "{why}");
        }
    }
    Ok(())
}

#[test]
fn a_mirror_stays_locked_while_a_git_works_on_it_whose_job_was_killed() -> Result {
    let mut org = Organisation::new()?;
    let commit = org.dep.commit(&[("file", "new")])?;
    let outlive = "kill -9 \"$PPID\"; until [ -e \"$0.go\" ]; do sleep 0.01; done";
    org.wrap_git(&format!("case $* in *refs/commits*) {outlive};; esac"))?;
    assert_eq!(org.check_out("org/dep")?.status, None);
    let lock = mirror_of(&org, "org%2Fdep.git").with_extension("lock");
    assert!(flock(&lock).is_err());
    write(&org.host.path("bin"), "git.go", "")?;
    org.wrap_git("")?;
    org.check_out("org/dep")?.done()?;
    expect_commit(&org.host.path("dep"), &commit)?;
    drop(flock(&lock)?);
    Ok(())
}

/// Waits until a git that outlived its job has ended; fails if leftovers remain then.
fn expect_no_leftovers(host: &Host) -> Result {
    const ATTEMPTS: usize = 500;
    for _ in 0..ATTEMPTS {
        host.gc(&[])?;
        if host.leftovers()?.is_empty() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(format!("left: {:?}", host.leftovers()?).into())
}

#[test]
fn a_damaged_mirror_is_cloned_anew() -> Result {
    let org = Organisation::new()?;
    let noise: String = noise(7, 1 << 16).iter().map(|byte| char::from(byte % 64 + 48)).collect();
    let old = org.dep.commit(&[("file", &noise)])?;
    let packs = |mirror: &Path| files_in(&mirror.join("objects/pack"), ".pack");
    let flipped: Change = |mirror| {
        for pack in files_in(&mirror.join("objects/pack"), ".pack")? {
            let mut bytes = fs::read(&pack)?;
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0xff;
            fs::remove_file(&pack)?;
            fs::write(&pack, bytes)?;
        }
        Ok(())
    };
    let emptied: Change = |mirror| {
        let packs = files_in(&mirror.join("objects/pack"), "")?;
        packs.iter().try_for_each(|file| Ok(fs::remove_file(file)?))
    };
    let stuck: Change = |mirror| {
        // The lock files of a git that is killed while it writes.
        write(mirror, "packed-refs.lock", "")?;
        write(mirror, "shallow.lock", "")
    };
    #[rustfmt::skip]
    let cases: [(&str, Change); 5] = [
        ("a pack with a flipped byte", flipped),
        ("no packs",                   emptied),
        ("no HEAD",                    |mirror| Ok(fs::remove_file(mirror.join("HEAD"))?)),
        ("no repository",              |mirror| { fs::remove_dir_all(mirror)?; Ok(fs::create_dir(mirror)?) }),
        ("locks of a killed git",      stuck),
    ];
    for (why, damage) in cases {
        let mirror = mirror_of(&org, "org%2Fdep.git");
        let again = |wanted: &str| -> Result<Outcome> {
            let _absent = fs::remove_dir_all(org.host.path("dep"));
            org.check_out(wanted)?.done()
        };
        again(&format!("org/dep@{old}"))?;
        assert!(!packs(&mirror)?.is_empty());
        damage(&mirror)?;
        again(&format!("org/dep@{old}")).map_err(|error| format!("{why}: {error}"))?;
        expect_commit(&org.host.path("dep"), &old)?;
        damage(&mirror)?;
        let new = org.dep.commit(&[("more", why)])?;
        again("org/dep@main").map_err(|error| format!("{why}: {error}"))?;
        expect_commit(&org.host.path("dep"), &new)?;
        let left = git(&mirror, &["fsck", "--full", "--strict"])?;
        assert_eq!(left, "", "{why}");
    }
    assert_eq!(org.host.leftovers()?, [] as [PathBuf; 0]);
    Ok(())
}

/// Returns the path of the mirror `name`, which need not exist.
fn mirror_of(org: &Organisation, name: &str) -> PathBuf {
    mirror_on(org, &org.url(), name)
}

fn mirror_on(org: &Organisation, server: &str, name: &str) -> PathBuf {
    let server = server.replace(':', "%3A").replace('/', "%2F");
    org.host.root().join("mirrors").join(server).join(name)
}

fn files_in(dir: &Path, suffix: &str) -> Result<Vec<PathBuf>> {
    let mut files = paths(dir)?;
    files.retain(|path| path.to_string_lossy().ends_with(suffix));
    Ok(files)
}

#[test]
fn an_invalid_repository_or_ref_never_reaches_git() -> Result {
    let mut org = Organisation::new()?;
    org.wrap_git("touch \"$0.called\"")?;
    let hostile = [
        "org/dep@--upload-pack=touch x",
        "org/dep@-x",
        "org/dep@a..b",
        "org/dep@../../etc",
        "org/dep@a\nb",
        "org/dep@\u{1b}[2J",
        "org/dep@main:refs/heads/x",
        "org/dep@refs/heads/*",
        "org/../dep@main",
        "--upload-pack=x/dep",
        "org/dep/../../x@main",
        "https://evil.example/org/dep@main",
    ];
    for wanted in hostile {
        let outcome = org.check_out(wanted)?;
        assert_eq!(outcome.status, Some(2), "{wanted:?}: {}", outcome.stderr);
    }
    for server in ["ext::sh -c 'touch x'", "ssh://host", "https://user:secret@host", "--x"] {
        let outcome = Outcome::of(org.command(server, "org/dep@main").output()?)?;
        assert_eq!(outcome.status, Some(2), "{server:?}: {}", outcome.stderr);
    }
    assert!(!org.host.path("bin/git.called").exists() && !org.host.root().exists());
    Ok(())
}

#[test]
fn repositories_of_one_name_have_a_mirror_each() -> Result {
    let org = Organisation::new()?;
    let ours = org.dep.commit(&[("file", "ours")])?;
    let others =
        Upstream::new(&org.host.path("server/other/dep"))?.commit(&[("file", "others")])?;
    org.check_out("org/dep@main=with a space/dep")?.done()?;
    org.check_out("other/dep@main=with a space/other")?.done()?;
    expect_commit(&org.host.path("with a space/dep"), &ours)?;
    expect_commit(&org.host.path("with a space/other"), &others)?;
    for mirror in ["org%2Fdep.git", "other%2Fdep.git"] {
        assert!(mirror_of(&org, mirror).join("HEAD").exists(), "{mirror}");
    }
    Ok(())
}

#[test]
fn a_checkout_that_fails_says_the_remedy() -> Result {
    let mut org = Organisation::new()?;
    org.dep.commit(&[])?;
    for tag in ["v1.2.0", "v1.2.1", "other"] {
        org.dep.git(&["tag", tag])?;
    }
    Upstream::new(&org.host.path("server/org/empty"))?.git(&["update-ref", "-d", "HEAD"])?;
    let missing = "0".repeat(40);
    let url = format!("{}/org", org.url());
    #[rustfmt::skip]
    let cases = [
        ("org/nothing@main",             format!("cannot read `{url}/nothing`: there is no such repository, or no access to it"), "give a token that may read it"),
        ("org/dep@v1.2.3",               format!("`{url}/dep` has no branch or tag `v1.2.3`"), "the repository has `v1.2.0`, `v1.2.1`"),
        ("org/dep@0123abc",              format!("`{url}/dep` has no branch or tag `0123abc`"), "a full commit hash"),
        ("org/dep@refs/pull/9/merge",    format!("`{url}/dep` has no ref `refs/pull/9/merge`"), "check that it was pushed"),
        (&format!("org/dep@{missing}"),  format!("`{url}/dep` has no commit `{missing}`"), "check that it was pushed"),
        ("org/empty",                    format!("`{url}/empty` has no default branch"), "check that it was pushed"),
    ];
    for (wanted, error, help) in cases {
        let outcome = org.check_out(wanted)?;
        assert_eq!(outcome.status, Some(1), "{wanted}");
        outcome.says(&[&format!("error: {error}\n"), "help: ", help])?;
    }
    // Git's behavior on other hosts.
    #[rustfmt::skip]
    let cases = [
        ("case $* in *version) echo git version 2.25.1; exit;; esac", "error: `git` 2.25.1 is too old, 2.31 is needed", "install git 2.31 or newer"),
        ("case $* in *' fetch '*) echo 'fatal: write error: No space left on device' >&2; exit 128;; esac", "error: cannot write to `", "free space on that filesystem"),
        ("case $* in *' fetch '*) echo 'error: RPC failed; curl 28 Operation too slow' >&2; exit 128;; esac", "error: cannot reach `", "check the network"),
        ("case $* in *' fetch '*) echo 'fatal: all is lost' >&2; exit 128;; esac", "error: cannot use the mirror `", "remove `"),
    ];
    for (script, error, help) in cases {
        org.wrap_git(script)?;
        let outcome = org.check_out("org/dep@main")?;
        assert_eq!(outcome.status, Some(1), "{script}");
        outcome.says(&[error, "help: ", help])?;
        assert!(!org.host.path("dep").exists() && !mirror_of(&org, "org%2Fdep.git").exists());
    }
    org.host.set("PATH", org.host.path("nothing"));
    org.check_out("org/dep@main")?
        .says(&["error: there is no `git` on PATH", "help: install git"])?;
    assert_eq!(org.host.leftovers()?, [] as [PathBuf; 0]);
    Ok(())
}

#[test]
fn mirrors_go_when_the_store_must_shrink_unless_they_are_in_use() -> Result {
    let org = Organisation::new()?;
    Upstream::new(&org.host.path("server/org/second"))?;
    org.check_out("org/dep")?.done()?;
    org.check_out("org/second")?.done()?;
    let (first, second) = (mirror_of(&org, "org%2Fdep.git"), mirror_of(&org, "org%2Fsecond.git"));
    let shrink = ["--max-size", "1", "--retention"];
    let gone = |outcome: &Outcome| -> Vec<String> {
        let mirrors = outcome.report["dirs"].as_array().cloned().unwrap_or_default();
        mirrors.iter().map(|gone| gone["path"].as_str().unwrap_or_default().to_owned()).collect()
    };
    org.host.gc(&[&shrink[..], &["min-age=1d"]].concat())?;
    assert!(first.exists() && second.exists());
    for mirror in [&first, &second] {
        // Used two days ago.
        fs::write(mirror.with_extension("used"), "1000000000.000000000\n")?;
    }
    let held = flock(&second.with_extension("lock"))?;
    let foreseen = org.host.gc(&[&shrink[..], &["min-age=1d", "--dry-run"]].concat())?;
    assert_eq!(gone(&foreseen), [first.display().to_string(), second.display().to_string()]);
    assert!(first.exists() && second.exists());
    let done = org.host.gc(&[&shrink[..], &["min-age=1d"]].concat())?;
    assert_eq!(gone(&done), [first.display().to_string()]);
    done.says(&["dropped mirror `", "): store at ", ", above its max-size of 1 B"])?;
    assert!(!first.exists() && second.exists());
    drop(held);
    org.host.gc(&[&shrink[..], &["min-age=1d"]].concat())?;
    assert!(!second.exists());
    assert_eq!((org.host.leftovers()?, org.host.verify()?), (Vec::new(), Vec::new()));
    org.check_out("org/dep")?.done()?;
    assert!(first.exists());
    Ok(())
}

#[test]
fn a_repo_builds_with_the_dependency_and_is_fresh_after_both_were_checked_out_anew() -> Result {
    let org = Organisation::new()?;
    let manifest = "[package]\nname = \"dep\"\nversion = \"0.1.0\"\nedition = \"2024\"\n";
    let files = [
        ("Cargo.toml", manifest),
        (".gitignore", "/target\n"),
        ("src/lib.rs", "pub fn answer() -> u32 { 42 }\n"),
    ];
    org.dep.commit(&files)?;
    let host = &org.host;
    let manifest = manifest.replace("dep", "app") + "[dependencies]\ndep = { path = \"../dep\" }\n";
    write(&host.repo(), "Cargo.toml", &manifest)?;
    write(&host.repo(), "src/main.rs", "fn main() { println!(\"{}\", dep::answer()) }\n")?;
    let build = || -> Result<Vec<String>> {
        let mut cargo = in_place_of(&host.program(&[]), "cargo");
        let output = cargo.current_dir(host.repo()).args(["build", "--offline"]).output()?;
        let said = String::from_utf8(output.stderr)?;
        assert!(output.status.success(), "{said}");
        let compiled = said.lines().filter_map(|line| line.trim().strip_prefix("Compiling "));
        Ok(compiled.filter_map(|rest| rest.split(' ').next()).map(str::to_owned).collect())
    };
    org.check_out("org/dep@main")?.done()?;
    assert_eq!(build()?, ["dep", "app"]);
    let kept = ["--dependency", "dep", "--areas", "target,dependencies"];
    let saved = host.save_with(&kept)?.done()?;
    assert_eq!(saved.mode("target"), "published");

    // The next job finds only the checkout of the repo.
    fs::remove_dir_all(host.path("dep"))?;
    host.lose_target()?;
    let (secs, nanos) = (1_900_000_000, 0);
    set_mtime(&host.repo().join("src/main.rs"), secs, nanos)?;
    org.check_out("org/dep@main")?.done()?;
    let restored = host.restore_with(&kept)?.done()?;
    assert_eq!(restored.report["sources"]["changed"], 0, "{}", restored.report);
    assert_eq!(build()?, [] as [&str; 0]);

    org.dep.commit(&[("src/lib.rs", "pub fn answer() -> u32 { 43 }\n")])?;
    org.check_out("org/dep@main")?.done()?;
    host.restore_with(&kept)?.done()?;
    assert_eq!(build()?, ["dep", "app"]);
    let ran = Command::new(host.target().join("debug/app")).output()?;
    assert_eq!(String::from_utf8(ran.stdout)?, "43\n");
    Ok(())
}

/// Something else stands in the place of a mirror, its lock or its stamp, or beside it.
#[test]
fn an_odd_entry_among_the_mirrors_stops_no_checkout() -> Result {
    for suffix in ["", ".git", ".lock", ".used", ".new", ".old"] {
        for odd in ["a directory", "a file", "a symlink loop", "a fifo"] {
            let why = format!("`{suffix}` is {odd}");
            let org = Organisation::new()?;
            let commit = org.dep.commit(&[("src/lib.rs", "// main\n")])?;
            org.check_out("org/dep@main")?.done()?;
            let mirrors = org.host.root().join("mirrors");
            let server = fs::read_dir(&mirrors)?.next().ok_or("no server")??.path();
            let mut path = server.join("org%2Fdep").into_os_string();
            path.push(suffix);
            let path = if suffix.is_empty() { server } else { PathBuf::from(path) };
            match fs::symlink_metadata(&path) {
                Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(&path)?,
                Ok(_) => fs::remove_file(&path)?,
                Err(_) => {}
            }
            let name = path.file_name().and_then(|name| name.to_str()).ok_or("no name")?;
            match odd {
                "a directory" => write(&path, "in it", "x")?,
                "a file" => fs::write(&path, "x")?,
                "a symlink loop" => std::os::unix::fs::symlink(name, &path)?,
                _ => succeed(Command::new("mkfifo").arg(&path))?,
            }
            let dest = org.host.path("dep");
            fs::remove_dir_all(&dest)?;
            org.check_out("org/dep@main")?.done().map_err(|error| format!("{why}: {error}"))?;
            expect_commit(&dest, &commit)?;
            org.host.gc(&[])?;
            assert_eq!(org.host.verify()?, [""; 0], "{why}");
        }
    }
    Ok(())
}
