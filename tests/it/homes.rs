//! Private homes of cargo: runners of one user that do not disturb each other.
//!
//! Crates come from a registry in a directory, which the configuration of the user's own home names by a relative path.
//! So every build here shows that it found that configuration too.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use runner_cache::model::digest::Digest;
use serde_json::{Value, json};

use crate::fake_runner::FakeRunner;
use crate::support::{
    Host, INDEX, Outcome, Result, flock, install_crate, isolated, lock, paths, spawn, succeed,
    write,
};

/// A user with a registry, a configured home, and a repo that needs the crate `foo`.
struct User {
    host: Host,
}

const FOO: &str = "foo-1.0.0";

impl User {
    fn new() -> Result<Self> {
        let user = Self { host: Host::new()? };
        let host = &user.host;
        user.publish(
            FOO,
            &[
                ("src/lib.rs", "mod more;\npub use more::SAY;\n"),
                ("src/more.rs", "pub const SAY: &str = \"foo\";\n"),
            ],
        )?;
        let config = "[source.crates-io]\nreplace-with = \"here\"\n\
             [source.here]\nlocal-registry = \"registry\"\n[build]\nrustflags = [\"--cfg\", \"configured\"]\n";
        write(&user.usual_home(), "config.toml", config)?;
        let manifest = "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
             [dependencies]\nfoo = \"1\"\n";
        write(&host.repo(), "Cargo.toml", manifest)?;
        fs::remove_file(host.repo().join("src/lib.rs"))?;
        let main =
            "fn main() {\n    assert!(cfg!(configured));\n    println!(\"{}\", foo::SAY);\n}\n";
        write(&host.repo(), "src/main.rs", main)?;
        fs::remove_file(host.repo().join("Cargo.lock"))?;
        succeed(user.cargo(&user.usual_home(), &["generate-lockfile"]).stdout(Stdio::null()))?;
        fs::remove_dir_all(user.usual_home().join("registry")).ok();
        Ok(user)
    }

    /// Puts a crate into the registry, as `cargo local-registry` would.
    fn publish(&self, name: &str, files: &[(&str, &str)]) -> Result {
        let (package, version) = name.rsplit_once('-').ok_or("a crate is name-version")?;
        let sources = self.host.path("sources");
        let manifest = format!(
            "[package]\nname = \"{package}\"\nversion = \"{version}\"\nedition = \"2024\"\n"
        );
        write(&sources.join(name), "Cargo.toml", manifest)?;
        for (path, text) in files {
            write(&sources.join(name), path, text)?;
        }
        let registry = self.host.path("home/registry");
        fs::create_dir_all(&registry)?;
        let file = registry.join(format!("{name}.crate"));
        let mut tar = Command::new("tar");
        succeed(tar.arg("-czf").arg(&file).arg("-C").arg(&sources).arg(name))?;
        let line = json!({
            "name": package, "vers": version, "deps": [], "features": {}, "yanked": false,
            "cksum": Digest::of(&fs::read(&file)?).to_string(),
        });
        write(&registry, format!("index/3/{}/{package}", &package[..1]), format!("{line}\n"))
    }

    fn usual_home(&self) -> PathBuf {
        self.host.path("home/.cargo")
    }

    fn command(&self, verb: &str, runner: &str, args: &[&str]) -> Command {
        let mut command = self.host.program(&[verb, "--cargo-home", "private"]);
        command.args(["--runner", runner, "--json"]).args(args);
        command.arg("--root").arg(self.host.root()).arg("--repo").arg(self.host.repo());
        command
    }

    /// Restores as a job of `runner` does; returns the outcome and the home.
    fn restore(&self, runner: &str) -> Result<(Outcome, PathBuf)> {
        let outcome = Outcome::of(self.command("restore", runner, &[]).output()?)?.done()?;
        let home = outcome.report["cargo_home"].as_str().ok_or("no home")?;
        let home = PathBuf::from(home);
        assert_eq!(home.parent(), Some(self.host.root().canonicalize()?.join("homes").as_path()));
        Ok((outcome, home))
    }

    fn save(&self, runner: &str) -> Result<Outcome> {
        Outcome::of(self.command("save", runner, &[]).output()?)?.done()
    }

    fn cargo(&self, home: &Path, args: &[&str]) -> Command {
        let mut cargo = isolated("cargo", &self.host.repo(), &self.host.path("home"));
        cargo.args(args).arg("--offline").env("CARGO_HOME", home);
        cargo
    }

    /// Builds and runs the program; returns the compiled crates.
    fn build(&self, home: &Path) -> Result<Vec<String>> {
        let output = self.cargo(home, &["build", "--message-format=json"]).output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            return Err(said.into());
        }
        let mut compiled = Vec::new();
        for line in String::from_utf8(output.stdout)?.lines() {
            let message: Value = serde_json::from_str(line)?;
            if message["fresh"] == false {
                compiled.extend(message["target"]["name"].as_str().map(str::to_owned));
            }
        }
        let run = Command::new(self.host.target().join("debug/app")).output()?;
        assert_eq!(String::from_utf8(run.stdout)?, "foo\n", "{said}");
        Ok(compiled)
    }

    /// Returns the directory of a crate's sources in `home`.
    fn extracted(home: &Path, name: &str) -> Result<PathBuf> {
        let registries = fs::read_dir(home.join("registry/src"))?;
        let mut found = registries.filter_map(|entry| Some(entry.ok()?.path().join(name)));
        Ok(found.find(|path| path.is_dir()).ok_or_else(|| format!("no {name}"))?)
    }
}

#[test]
fn a_crate_that_one_runner_half_extracts_another_never_sees() -> Result {
    let user = User::new()?;
    let (_, first) = user.restore("runner-1")?;
    let (_, second) = user.restore("runner-2")?;
    assert_ne!(first, second);
    assert_eq!(user.build(&first)?, ["foo", "app"]);

    // A cargo of the first runner was killed while it extracted a crate, and another cargo extracts it again.
    let half = User::extracted(&first, FOO)?;
    fs::remove_file(half.join(".cargo-ok"))?;
    write(&half, "src/more.rs", "pub const SAY: &st")?;
    let extracting = flock(&first.join(".package-cache"))?;
    let mut waiting = spawn(&mut user.cargo(&first, &["fetch"]))?;

    user.host.lose_target()?;
    assert_eq!(user.build(&second)?, ["foo", "app"]);
    assert!(waiting.try_wait()?.is_none(), "the home of the first is not locked");
    drop(extracting);
    assert!(waiting.wait()?.success());
    Ok(())
}

#[test]
fn two_runners_restore_and_build_at_once() -> Result {
    let user = User::new()?;
    let (_, first) = user.restore("runner-1")?;
    user.build(&first)?;
    user.save("runner-1")?;

    let runners = ["a", "b"];
    let mut children = Vec::new();
    for _ in 0..2 {
        for runner in runners {
            children.push(spawn(&mut user.command("restore", runner, &["--areas", "registry"]))?);
        }
    }
    let mut homes = Vec::new();
    for child in children {
        let outcome = Outcome::of(child.wait_with_output()?)?.done()?;
        assert_eq!(outcome.report["hit"], json!("exact"), "{}", outcome.stderr);
        homes.extend(outcome.report["cargo_home"].as_str().map(PathBuf::from));
    }
    assert_eq!((&homes[0], &homes[1]), (&homes[2], &homes[3]));
    let mut builds = Vec::new();
    for home in &homes[..2] {
        let target = user.host.path("target-of").join(home.file_name().unwrap_or_default());
        let mut cargo = user.cargo(home, &["build"]);
        builds.push(spawn(cargo.env("CARGO_TARGET_DIR", target))?);
    }
    for build in builds {
        let output = build.wait_with_output()?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(user.host.leftovers()?, [] as [PathBuf; 0]);
    Ok(())
}

#[test]
fn a_new_home_holds_all_that_a_build_needs() -> Result {
    let user = User::new()?;
    let (_, first) = user.restore("runner-1")?;
    user.build(&first)?;
    user.save("runner-1")?;

    // Only the extracted source of the crate is left.
    let downloaded = user.host.path(&format!("home/registry/{FOO}.crate"));
    fs::write(&downloaded, "")?;
    user.host.lose_target()?;
    let (outcome, second) = user.restore("runner-2")?;
    assert_eq!(outcome.mode("registry"), "unpack");
    user.build(&second)?;
    assert_eq!(user.host.verify()?, [""; 0]);
    Ok(())
}

/// Cargo's fingerprint of a crate contains the path of its sources, and so that of the home.
#[test]
fn a_target_is_fresh_in_the_home_it_was_built_with() -> Result {
    let user = User::new()?;
    let mut compiled = Vec::new();
    for (runner, seconds) in [("a", 1), ("b", 2), ("a", 3), ("b", 4)] {
        if seconds > 1 {
            user.host.lose_target()?;
        }
        let (outcome, home) = user.restore(runner)?;
        let says_so = outcome.stderr.contains("cargo builds every crate of a registry");
        compiled.push((says_so, user.build(&home)?.len()));
        user.save(runner)?;
    }
    assert_eq!(compiled, [(false, 2), (true, 2), (false, 0), (false, 0)]);
    Ok(())
}

#[test]
fn half_extractions_are_gone_before_cargo_sees_them() -> Result {
    let user = User::new()?;
    let (_, home) = user.restore("runner")?;
    user.build(&home)?;
    let sources = User::extracted(&home, FOO)?;
    let strange = sources.with_file_name("strange-1.0.0");
    for is_saved in [false, true] {
        if is_saved {
            user.save("runner")?;
        }
        for mark in [None, Some("")] {
            let why = format!("saved: {is_saved}, mark: {mark:?}");
            for half in [&sources, &strange] {
                write(half, "src/stray.rs", "left by another version")?;
                write(half, "src/more.rs", "pub const SAY: &st")?;
                fs::remove_file(half.join(".cargo-ok")).ok();
                if let Some(mark) = mark {
                    write(half, ".cargo-ok", mark)?;
                }
            }
            let (outcome, _) = user.restore("runner")?;
            let is_said = outcome.stderr.contains("half extracted");
            assert_eq!(is_said, !is_saved, "{why}: {}", outcome.stderr);
            assert_eq!(sources.exists(), is_saved, "{why}");
            assert!(strange.join("src/stray.rs").exists(), "{why}: what no lock file names stays");
            user.host.lose_target()?;
            user.build(&home)?;
            assert!(!sources.join("src/stray.rs").exists(), "{why}");
        }
    }
    Ok(())
}

#[test]
fn all_that_is_no_cache_is_that_of_the_usual_home() -> Result {
    const SECRET: &str = "hunter2-of-the-registry";
    let user = User::new()?;
    let usual = user.usual_home();
    let token = format!("[registry]\ntoken = \"{SECRET}\"\n");
    write(&usual, "credentials.toml", &token)?;
    write(&usual, "bin/tool", "#!/bin/sh\necho tool\n")?;
    fs::set_permissions(usual.join("bin/tool"), PermissionsExt::from_mode(0o755))?;
    write(&usual, "registry/cache/x/own.crate", "own")?;
    write(&usual, "git/db/x/HEAD", "own")?;
    let config = fs::read_to_string(usual.join("config.toml"))?;
    write(&usual, "config.toml", format!("{config}{token}"))?;

    let (outcome, home) = user.restore("runner")?;
    assert_eq!(fs::read_to_string(home.join("credentials.toml"))?, token);
    assert_eq!(fs::read_link(home.join("bin"))?, usual.join("bin"));
    assert!(!home.join("registry/cache/x").exists() && !home.join("git/db/x").exists());
    outcome.says(&["`registry.token`", "`credentials.toml`"])?;
    user.build(&home)?;

    // A job installs programs where its PATH expects them.
    succeed(&mut user.cargo(&home, &["install", "--path", "."]))?;
    assert!(usual.join("bin/app").exists());
    assert!(fs::read_to_string(usual.join(".crates.toml"))?.contains("app 0.1.0"));
    assert!(home.join(".crates.toml").is_symlink());

    user.save("runner")?;
    for path in paths(&user.host.root())? {
        if path.symlink_metadata()?.is_file() {
            let bytes = fs::read(&path)?;
            let has_secret = bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
            assert!(!has_secret, "{} has it", path.display());
        }
    }
    Ok(())
}

#[test]
fn a_home_follows_the_usual_one() -> Result {
    let user = User::new()?;
    let usual = user.usual_home();
    let (_, home) = user.restore("runner")?;
    let text = fs::read_to_string(home.join("config.toml"))?;
    let registry = user.host.path("home/registry");
    assert!(text.contains(&format!("\"{}\"", registry.display())), "{text}");
    write(&usual, "audit.toml", "")?;
    // If the path is absolute, a symlink to the file suffices.
    let absolute = fs::read_to_string(usual.join("config.toml"))?
        .replace("\"registry\"", &format!("\"{}\"", registry.display()));
    write(&usual, "config.toml", &absolute)?;
    user.restore("runner")?;
    assert_eq!(fs::read_link(home.join("config.toml"))?, usual.join("config.toml"));
    assert_eq!(fs::read_link(home.join("audit.toml"))?, usual.join("audit.toml"));
    user.build(&home)?;

    // A later step of the same job finds the private home exported.
    let mut later = user.command("restore", "runner", &[]);
    Outcome::of(later.env("CARGO_HOME", &home).output()?)?.done()?;
    assert!(home.join("audit.toml").exists());

    fs::remove_file(usual.join("audit.toml"))?;
    fs::remove_file(usual.join("config.toml"))?;
    user.restore("runner")?;
    for gone in ["audit.toml", "config.toml"] {
        assert!(home.join(gone).symlink_metadata().is_err(), "{gone}");
    }
    // Files that cargo or a job made are left alone.
    write(&home, "config.toml", "# of a job\n")?;
    write(&usual, "config.toml", &absolute)?;
    user.restore("runner")?;
    assert_eq!(fs::read_to_string(home.join("config.toml"))?, "# of a job\n");
    Ok(())
}

#[test]
fn only_what_the_lock_files_name_is_saved_from_a_private_home() -> Result {
    let user = User::new()?;
    lock(&user.host.repo(), "app", &[FOO])?;
    let (_, first) = user.restore("a")?;
    for name in [FOO, "bar-2.0.0"] {
        install_crate(&first, name)?;
    }
    write(&first, "registry/credentials", "secret")?;
    user.save("a")?;
    let (_, second) = user.restore("b")?;
    let there = |below: &str| second.join("registry").join(below).exists();
    assert!(there(&format!("cache/{INDEX}/{FOO}.crate")) && there(&format!("src/{INDEX}/{FOO}")));
    assert!(!there(&format!("cache/{INDEX}/bar-2.0.0.crate")) && !there("credentials"));
    assert!(!there(&format!("src/{INDEX}/bar-2.0.0")));
    Ok(())
}

#[test]
fn the_home_of_a_runner_of_any_name_is_one_directory_of_its_own() -> Result {
    let user = User::new()?;
    let long = "x".repeat(300);
    let names = ["../x", "/etc", "a\nb", "", ".", "private", &long, &format!("{long}y"), "läufer"];
    let mut homes = Vec::new();
    for name in names {
        let (outcome, home) = user.restore(name)?;
        assert_eq!(outcome.stderr.lines().count(), outcome.stderr.trim_end().lines().count());
        assert!(!homes.contains(&home), "{name:?}");
        homes.push(home);
    }
    let entries = fs::read_dir(user.host.root().join("homes"))?;
    let dirs = entries.filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().is_dir()));
    assert_eq!(dirs.count(), homes.len());
    assert_eq!(user.host.verify()?, [""; 0]);

    // One name in two organisations: the work directory tells them apart.
    let of = |work: &str| -> Result<String> {
        let mut command = user.command("restore", "", &[]);
        command.env("GITHUB_WORKSPACE", format!("{work}/app/app")).env("RUNNER_NAME", "same");
        let outcome = Outcome::of(command.output()?)?.done()?;
        Ok(outcome.report["cargo_home"].as_str().unwrap_or_default().to_owned())
    };
    assert_ne!(of("/srv/one/_work")?, of("/srv/two/_work")?);
    assert_eq!(of("/srv/one/_work")?, of("/srv/one/_work")?);
    Ok(())
}

#[test]
fn a_directory_called_private_is_a_directory() -> Result {
    let user = User::new()?;
    let mut command = user.host.program(&["restore", "--cargo-home", "./private", "--json"]);
    command.arg("--root").arg(user.host.root()).arg("--repo").arg(user.host.repo());
    let outcome = Outcome::of(command.output()?)?.done()?;
    assert_eq!(outcome.report["cargo_home"], Value::Null);
    assert_eq!(fs::read_dir(user.host.root().join("homes"))?.count(), 0);
    Ok(())
}

/// Edits the record of a home's use.
fn edit_record(home: &Path, edit: impl FnOnce(&mut Value)) -> Result {
    let mut path = home.as_os_str().to_owned();
    path.push(".json");
    let mut record: Value = serde_json::from_slice(&fs::read(&path)?)?;
    edit(&mut record);
    Ok(fs::write(&path, record.to_string())?)
}

#[test]
fn a_home_goes_under_pressure_when_nobody_can_be_using_it() -> Result {
    let user = User::new()?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    let days_ago = |days: u64| json!([now - days * 24 * 3600, 0]);
    let shrink = ["--max-size", "1", "--retention", "min-age=1d"];
    let (_, home) = user.restore("runner")?;
    install_crate(&home, FOO)?;
    let other = user.restore("other")?.1;

    // This process, which started the restore, is alive.
    edit_record(&home, |record| record["last_used"] = days_ago(2))?;
    user.host.gc(&shrink)?;
    assert!(home.exists(), "in use by its runner");

    // A process in another container's namespace may be alive.
    edit_record(&home, |record| record["user"]["namespace"] = json!("pid:[1]"))?;
    user.host.gc(&shrink)?;
    assert!(home.exists(), "perhaps in use");

    // The process has ended, and another has its number.
    edit_record(&home, |record| {
        record["user"]["namespace"] = Value::Null;
        record["user"] = Value::Null;
    })?;
    user.host.gc(&shrink)?;
    assert!(home.exists(), "no job is so short that it is over, for all we know");
    edit_record(&home, |record| record["last_used"] = days_ago(6))?;

    let cargo = flock(&home.join(".package-cache"))?;
    user.host.gc(&shrink)?;
    assert!(home.exists(), "cargo is at work");
    drop(cargo);
    user.host.gc(&[])?;
    assert!(home.exists(), "no pressure");
    // A crate may have unwritable directories.
    let sources = User::extracted(&home, FOO)?;
    fs::set_permissions(sources.join("src"), PermissionsExt::from_mode(0o555))?;

    let foreseen = user.host.gc(&[&shrink[..], &["--dry-run"]].concat())?;
    let dirs = foreseen.report["dirs"].as_array().cloned().unwrap_or_default();
    let gone: Vec<_> = dirs.iter().map(|dir| (&dir["kind"], &dir["path"])).collect();
    assert_eq!(gone, [(&json!("home"), &json!(home.display().to_string()))]);
    assert!(home.exists());
    let done = user.host.gc(&shrink)?;
    assert_eq!(done.report["dirs"], foreseen.report["dirs"]);
    assert!(!home.exists() && other.exists());
    let left = fs::read_dir(user.host.root().join("homes"))?.count();
    assert_eq!(left, 3, "a home, its lock and its record");
    assert_eq!(user.host.leftovers()?, [] as [PathBuf; 0]);
    assert!(user.usual_home().join("config.toml").exists(), "links are not followed");
    Ok(())
}

#[test]
fn a_home_whose_runner_ended_goes_after_the_min_age() -> Result {
    let user = User::new()?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    let (_, home) = user.restore("runner")?;
    install_crate(&home, FOO)?;
    edit_record(&home, |record| {
        let started = record["user"]["started"].as_u64().unwrap_or_default();
        record["user"]["started"] = json!(started + 1);
        record["last_used"] = json!([now - 3600, 0]);
    })?;
    user.host.gc(&["--max-size", "1", "--retention", "min-age=1d"])?;
    assert!(home.exists(), "used within a day");
    user.host.gc(&["--max-size", "1", "--retention", "min-age=30m"])?;
    assert!(!home.exists());
    // A restore creates it again, with all its contents.
    assert_eq!(user.restore("runner")?.1, home);
    Ok(())
}

#[test]
fn a_restore_waits_for_a_gc_and_a_gc_for_no_restore() -> Result {
    let user = User::new()?;
    let (_, home) = user.restore("runner")?;
    let mut lock_path = home.as_os_str().to_owned();
    lock_path.push(".lock");
    let held = flock(Path::new(&lock_path))?;
    let mut restore = spawn(&mut user.command("restore", "runner", &[]))?;
    let started = Instant::now();
    user.host.gc(&["--max-size", "1", "--retention", "min-age=0s"])?;
    assert!(started.elapsed() < Duration::from_secs(10));
    assert!(home.exists());
    assert!(restore.try_wait()?.is_none());
    // As gc does: a removed file is no lock any more.
    fs::remove_file(&lock_path)?;
    drop(held);
    assert!(restore.wait()?.success());
    assert!(File::open(&lock_path).is_ok());
    Ok(())
}

#[test]
fn a_planted_link_gets_nothing_of_a_home() -> Result {
    let user = User::new()?;
    let (_, home) = user.restore("runner")?;
    fs::remove_dir_all(&home)?;
    let elsewhere = user.host.path("elsewhere");
    fs::create_dir(&elsewhere)?;
    symlink(&elsewhere, &home)?;
    Outcome::of(user.command("restore", "runner", &[]).output()?)?.done()?;
    assert!(fs::symlink_metadata(&home)?.is_dir(), "the link made way");
    assert_eq!(fs::read_dir(&elsewhere)?.count(), 0);
    user.host.gc(&[])?;
    assert!(elsewhere.exists());
    Ok(())
}

#[test]
fn the_action_exports_the_home_and_saves_from_it() -> Result {
    let runner = FakeRunner::new()?;
    lock(&runner.path("origin/app"), "app", &[FOO])?;
    runner.commit(&[])?;
    runner.check_out()?;
    let mut job = runner.job(&[("cargo-home", "private"), ("areas", "registry")]);
    job.main()?.ok()?;
    let env = fs::read_to_string(runner.path("_work/_temp/_runner_file_commands/GITHUB_ENV"))?;
    let lines: Vec<_> = env.lines().collect();
    let [first, home, end] = lines[..] else { return Err(env.into()) };
    assert_eq!(first, format!("CARGO_HOME<<{end}"));
    let name = Path::new(home).file_name().unwrap_or_default().to_string_lossy().into_owned();
    assert!(name.starts_with("fake-"), "{name}");

    install_crate(Path::new(home), FOO)?;
    job.set("CARGO_HOME", home);
    job.post("success")?.ok()?;
    assert_eq!(runner.list()?, ["owner/app@protected registry"]);
    runner.verify()?;

    // A post step whose main step could not export the home saves the home that the job built with.
    let mut job = runner.job(&[("cargo-home", "private"), ("areas", "registry")]);
    job.main()?.ok()?;
    let post = job.post("success")?.ok()?;
    assert!(post.log.contains("registry  nothing"), "{}", post.log);
    Ok(())
}
