//! The environment of programs that a step starts: all variables they need to find their files, and no secret.
//!
//! `git ls-files` was started with the whole environment. The configuration of a checkout outlives jobs and may name a
//! program for git to run, and that program had the tokens of the step.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::fake_runner::FakeRunner;
use crate::git_server::{GitServer, Upstream};
use crate::support::{Host, Outcome, Result, paths, toolchain_bin, write};

/// A word that every secret here contains, and nothing else.
const SECRET: &str = "s3cr3t";

/// The variables of a job that hold secrets.
const SECRETS: [&str; 12] = [
    "GITHUB_TOKEN",
    "GH_TOKEN",
    "ACTIONS_RUNTIME_TOKEN",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
    "CARGO_REGISTRY_TOKEN",
    "CARGO_REGISTRIES_MINE_TOKEN",
    "CARGO_REGISTRIES_MINE_SECRET_KEY",
    "CHAIN_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "DEPLOY_KEY",
    "GIT_CONFIG_VALUE_0",
    "SOMETHING",
];

/// Programs that record their environment before they run the real ones.
struct Watched {
    bin: PathBuf,
    seen: PathBuf,
}

impl Watched {
    fn at(base: &Path) -> Result<Self> {
        let watched = Self { bin: base.join("watched"), seen: base.join("seen") };
        fs::create_dir_all(&watched.seen)?;
        for name in ["git", "cargo", "rustc", "rustup", "cc", "ld"] {
            let dirs = [toolchain_bin(), "/usr/bin".into(), "/bin".into()];
            let real = dirs.map(|dir| dir.join(name)).into_iter().find(|path| path.exists());
            let real = real.map_or("false".to_owned(), |real| real.display().to_string());
            watched.program(&watched.bin.join(name), name, &format!("exec {real} \"$@\""))?;
        }
        Ok(watched)
    }

    /// Creates a program that records its environment as `name`, and then runs `script`.
    fn program(&self, path: &Path, name: &str, script: &str) -> Result {
        let seen = self.seen.join(name);
        let text = format!("#!/bin/sh\n(echo \"$0 $*\"; env) >>{}\n{script}\n", seen.display());
        write(path.parent().ok_or("no parent")?, path.file_name().ok_or("no name")?, text)?;
        Ok(fs::set_permissions(path, PermissionsExt::from_mode(0o755))?)
    }

    fn path(&self) -> String {
        format!("{}:{}:/usr/bin:/bin", self.bin.display(), toolchain_bin().display())
    }

    /// Returns the programs that ran since the last call; fails if one of them saw a secret.
    fn ran(&self) -> Result<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for path in paths(&self.seen)?.iter().filter(|path| path.is_file()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let text = fs::read_to_string(path)?;
            let leaked = text.lines().find(|line| line.contains(SECRET));
            assert_eq!(leaked, None, "{name} saw it");
            fs::remove_file(path)?;
            names.insert(name);
        }
        Ok(names)
    }
}

#[test]
fn no_program_that_a_step_starts_sees_a_secret() -> Result {
    let runner = FakeRunner::new()?;
    let workspace = runner.workspace();
    let watched = Watched::at(&runner.path(""))?;
    // Programs that a job left in the repository's own configuration.
    let evil = |name: &str| -> Result<String> {
        let path = runner.path("evil").join(name);
        watched.program(&path, name, "cat")?;
        Ok(path.display().to_string())
    };
    let hooks = runner.path("evil/hooks");
    watched.program(&hooks.join("post-index-change"), "hook", "")?;
    for (name, value) in [
        ("core.fsmonitor", evil("fsmonitor")?),
        ("core.hooksPath", hooks.display().to_string()),
        ("filter.evil.clean", evil("filter")?),
        ("core.pager", evil("pager")?),
        ("core.sshCommand", evil("ssh")?),
        ("credential.helper", evil("credentials")?),
    ] {
        let done = runner.git(&workspace).args(["config", name, &value]).status()?;
        assert!(done.success(), "{name}");
    }
    write(&workspace, ".git/info/attributes", "* filter=evil\n")?;
    // Programs that the repo's own configuration of cargo names.
    watched.program(&workspace.join("compiler"), "compiler", "exec rustc \"$@\"")?;
    watched.program(&workspace.join("wrapper"), "wrapper", "exec \"$@\"")?;
    let config = "[build]\nrustc = './compiler'\nrustc-wrapper = './wrapper'\n";
    write(&workspace, ".cargo/config.toml", config)?;

    let mut job = runner.job(&[("token", &format!("ghs_{SECRET}"))]);
    job.set("PATH", &watched.path());
    for name in SECRETS {
        job.set(name, SECRET);
    }
    job.set("GIT_CONFIG_COUNT", "1");
    job.set("GIT_CONFIG_KEY_0", "http.extraHeader");
    // Make everything look changed to git, so that it runs its filters on the files.
    for path in ["Cargo.toml", "src/main.rs"] {
        let path = workspace.join(path);
        fs::write(&path, fs::read(&path)?)?;
    }
    let expected: BTreeSet<_> = ["cargo", "cc", "compiler", "git", "ld", "rustc"].into();
    let main = job.main()?.ok()?;
    let ran = watched.ran()?;
    assert!(expected.iter().all(|name| ran.contains(*name)), "{ran:?}: {}", main.log);

    runner.build()?;
    fs::remove_dir_all(&watched.seen)?;
    fs::create_dir(&watched.seen)?;
    let post = job.post("success")?.ok()?;
    let ran_after = watched.ran()?;
    assert!(expected.iter().all(|name| ran_after.contains(*name)), "{ran_after:?}: {}", post.log);
    assert!(post.log.contains("published"), "{}", post.log);
    // Of the programs in git's configuration, only filters run.
    for name in ["fsmonitor", "hook", "pager", "ssh", "credentials"] {
        assert!(!ran.contains(name) && !ran_after.contains(name), "{name} ran");
    }
    Ok(())
}

#[test]
fn cargo_sees_the_variables_that_decide_where_it_builds() -> Result {
    for (name, below) in [
        ("CARGO_TARGET_DIR", "target"),
        ("CARGO_BUILD_TARGET_DIR", "target"),
        ("CARGO_BUILD_BUILD_DIR", "build"),
    ] {
        let mut host = Host::new()?;
        let dir = host.path("elsewhere");
        write(&dir, "debug/deps/libapp.rlib", "built")?;
        host.set(name, &dir);
        let saved = host.save()?.done()?;
        assert_eq!(saved.mode(below), "published", "{name}: {saved:?}");
        assert_eq!(saved.area(below)["files"], 1, "{name}");
    }
    Ok(())
}

#[test]
fn a_checkout_shows_git_its_token_for_the_server_and_nothing_else() -> Result {
    let mut host = Host::new()?;
    let dep = Upstream::new(&host.path("server/org/dep"))?;
    dep.commit(&[("file", "of the dependency")])?;
    let token = "ghs_0123456789";
    let encoded = BASE64_STANDARD.encode(format!("x-access-token:{token}"));
    let server = GitServer::private(&host.path("server"), &format!("basic {encoded}"))?;
    let watched = Watched::at(&host.path(""))?;
    host.set("PATH", watched.path());
    for name in SECRETS {
        host.set(name, SECRET);
    }
    host.set("GITHUB_TOKEN", token);
    let mut command = host.store_command("checkout", &["org/dep", "--server", &server.url()]);
    Outcome::of(command.arg("--repo").arg(host.repo()).output()?)?.done()?;

    let seen = fs::read_to_string(watched.seen.join("git"))?;
    let mut asked = "";
    let mut shown_for = BTreeSet::new();
    for line in seen.lines() {
        if line.starts_with(&*watched.bin.to_string_lossy()) {
            asked = line;
        }
        assert!(!line.contains(token), "in the clear: {line}");
        if line.contains(&encoded) {
            let name = line.split('=').next().unwrap_or_default();
            assert_eq!(name, "RUNNER_CACHE_GIT_HEADER", "{asked}");
            let verb = ["ls-remote", "fetch"].into_iter().find(|verb| asked.contains(verb));
            shown_for.insert(verb.ok_or_else(|| format!("shown for {asked}"))?);
        }
    }
    assert_eq!(shown_for, BTreeSet::from(["fetch", "ls-remote"]));
    assert!(seen.contains("rev-parse"), "{seen}");
    watched.ran()?;
    Ok(())
}
