//! Two workshops with one history: `kept` is never wiped, and `wiped` is wiped, cloned anew and restored before every
//! build. Cargo is the judge of both.
//!
//! Real git, real cargo, the real binary; no network, and nothing of the user's but the toolchain.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use walkdir::WalkDir;

use crate::support::{build_script, isolated, name_with_hash};

pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// One of the two workshops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The one that is never wiped.
    Kept,
    /// The one that is wiped and restored.
    Wiped,
}

use Side::{Kept, Wiped};

/// A change to the files of a workshop; paths are relative to it: `app/src/main.rs`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Edit<'a> {
    /// Writes a file, and the directories that lead to it.
    Write(&'a str, &'a str),
    /// Removes a file, or a directory with all its contents.
    Remove(&'a str),
    /// Renames, as `git mv` does.
    Rename(&'a str, &'a str),
    /// Exchanges two files.
    Swap(&'a str, &'a str),
    /// Replaces a path by a symlink.
    Link(&'a str, &'a str),
    /// Sets the mode of a file.
    Chmod(&'a str, u32),
    /// Gives a file the current time as mtime.
    Touch(&'a str),
    /// Gives a file an mtime from long before all builds.
    Backdate(&'a str),
    /// Runs git in a repo.
    Git(&'a str, &'a [&'a str]),
}

/// The units that cargo compiled, and the program's output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Built {
    /// Packages that were compiled; `/build` stands for a build script, `/run` for its run,
    /// `/test` for a test and `/doc` for documentation.
    pub(crate) compiled: BTreeSet<String>,
    /// The lines `name=value` that the program printed.
    pub(crate) prints: BTreeMap<String, String>,
}

/// The difference between cargo's verdicts in the restored workshop and in the one never wiped.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ours<'a> {
    /// No difference.
    Same,
    /// These units are compiled, too.
    More(&'a str),
    /// These units are fresh.
    Fewer(&'a str),
    /// In the workshop never wiped cargo is fooled and the program is stale; ours compiles these units.
    Despite(&'a str),
}

/// One step of a history.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step<'a>(
    /// The name of the step.
    pub(crate) &'a str,
    /// The committed edits.
    pub(crate) &'a [Edit<'a>],
    /// The changed part of the program's output.
    pub(crate) &'a str,
    /// The units that cargo compiles in the workshop never wiped.
    pub(crate) &'a str,
    /// The difference of ours.
    pub(crate) Ours<'a>,
);

/// Both workshops, and the calls of cargo and our program in them. Clones share the history and the store.
#[derive(Clone)]
pub(crate) struct Workshop {
    dir: Arc<tempfile::TempDir>,
    repos: Vec<String>,
    prints: BTreeMap<String, String>,
    wiped: String,
    /// The name of the store's directory.
    pub(crate) store: &'static str,
    /// The directory in the workshop where cargo runs, which is also `--repo`.
    pub(crate) works_in: String,
    /// The arguments of cargo.
    pub(crate) cargo: Vec<&'static str>,
    /// Variables for cargo and our program; `@` stands for the workshop.
    pub(crate) environment: Vec<(&'static str, String)>,
    /// Whether checkouts are git repositories.
    pub(crate) with_git: bool,
    /// The dependencies to name to our program.
    pub(crate) dependencies: Vec<String>,
    /// Options of `save` and `restore`.
    pub(crate) options: Vec<&'static str>,
}

impl Workshop {
    /// Creates both workshops with `files`; their first components are the repos. The first repo is built, the others
    /// are its dependencies.
    pub(crate) fn new(files: &[(&str, &str)]) -> Result<Self> {
        let (repo, _) =
            files.first().and_then(|(path, _)| path.split_once('/')).unwrap_or_default();
        Self::in_dir(tempfile::tempdir()?, repo, files)
    }

    /// Like `new`, in `dir`, with a workspace at `works_in`.
    pub(crate) fn in_dir(
        dir: tempfile::TempDir,
        works_in: &str,
        files: &[(&str, &str)],
    ) -> Result<Self> {
        let mut repos: Vec<String> = Vec::new();
        for (path, _) in files {
            let (repo, _) = path.split_once('/').ok_or("a file in no repo")?;
            if !repos.iter().any(|known| known == repo) {
                repos.push(repo.to_owned());
            }
        }
        let workshop = Self {
            dir: Arc::new(dir),
            wiped: "wiped".to_owned(),
            store: "store",
            works_in: works_in.to_owned(),
            dependencies: repos[1..].to_vec(),
            repos,
            prints: BTreeMap::new(),
            cargo: vec!["build"],
            environment: Vec::new(),
            with_git: true,
            options: Vec::new(),
        };
        let edits: Vec<_> = files.iter().map(|(path, text)| Edit::Write(path, text)).collect();
        workshop.edit(Kept, &edits)?;
        for repo in &workshop.repos {
            workshop.git(Kept, repo, &["init", "-q", "-b", "main"])?;
        }
        if workshop.path(Kept, &workshop.works_in).join("Cargo.toml").exists() {
            let mut cargo = workshop.command("cargo", Kept, &workshop.works_in);
            said(&cargo.args(["generate-lockfile", "--offline"]).output()?)?;
        }
        workshop.commit()?;
        Ok(workshop)
    }

    /// Moves the wiped workshop: later clones lie in another place.
    pub(crate) fn move_to(&mut self, name: &str) {
        name.clone_into(&mut self.wiped);
    }

    /// Adds a repo, and names it to our program as a dependency.
    pub(crate) fn add_repo(&mut self, repo: &str, files: &[(&str, &str)]) -> Result {
        for (path, text) in files {
            self.edit(Kept, &[Edit::Write(&format!("{repo}/{path}"), text)])?;
        }
        self.git(Kept, repo, &["init", "-q", "-b", "main"])?;
        self.repos.push(repo.to_owned());
        self.dependencies.push(repo.to_owned());
        self.commit()
    }

    /// Turns a directory of a repo into a repository of its own, a submodule of the repo.
    pub(crate) fn as_submodule(&self, repo: &str, name: &str) -> Result {
        let (dir, origin) = (format!("{repo}/{name}"), format!("{name}-origin"));
        self.edit(Kept, &[Edit::Rename(&dir, &origin)])?;
        self.git(Kept, &origin, &["init", "-q", "-b", "main"])?;
        self.git(Kept, &origin, &["add", "-A"])?;
        self.git(Kept, &origin, &["commit", "-q", "-m", "a-step"])?;
        self.git(Kept, &origin, &["config", "receive.denyCurrentBranch", "ignore"])?;
        self.git(Kept, repo, &["rm", "-r", "-q", "--cached", name])?;
        let from = self.path(Kept, &origin);
        let from = from.to_str().ok_or("not UTF-8")?;
        self.git(Kept, repo, &["submodule", "add", "-q", "-b", "main", from, name])?;
        self.git(Kept, repo, &["commit", "-q", "-m", "a-step"]).map(drop)
    }

    /// Copies the wiped workshop with its mtimes, replacing `name`.
    pub(crate) fn copy_wiped(&self, name: &str) -> Result {
        let dest = self.dir.path().join(name);
        remove(&dest)?;
        let mut cp = self.command("cp", Wiped, "");
        said(&cp.arg("-a").arg(self.path(Wiped, "")).arg(dest).output()?).map(drop)
    }

    /// Clones, builds and saves for the first time.
    pub(crate) fn open(&mut self, why: &str, prints: &str, compiles: &str) -> Result<Vec<String>> {
        self.clone_anew()?;
        let wrong = self.judge(&Step(why, &[], prints, compiles, Ours::Same))?;
        self.save()?;
        Ok(wrong)
    }

    /// Returns the path of a workshop, or of a path below it.
    pub(crate) fn path(&self, side: Side, below: &str) -> PathBuf {
        let side = match side {
            Kept => "kept",
            Wiped => &self.wiped,
        };
        self.dir.path().join(side).join(below)
    }

    /// Returns the path of the store.
    pub(crate) fn store(&self) -> PathBuf {
        self.dir.path().join(self.store)
    }

    /// Changes the files of a workshop, without a commit.
    pub(crate) fn edit(&self, side: Side, edits: &[Edit<'_>]) -> Result {
        for edit in edits {
            let at = |below: &str| self.path(side, below);
            match edit {
                Edit::Write(path, text) => {
                    fs::create_dir_all(at(path).parent().ok_or("no parent")?)?;
                    fs::write(at(path), text)?;
                }
                Edit::Remove(path) => remove(&at(path))?,
                Edit::Rename(from, to) => fs::rename(at(from), at(to))?,
                Edit::Swap(one, other) => {
                    let (a, b) = (fs::read(at(one))?, fs::read(at(other))?);
                    fs::write(at(one), b)?;
                    fs::write(at(other), a)?;
                }
                Edit::Link(path, target) => {
                    remove(&at(path))?;
                    std::os::unix::fs::symlink(target, at(path))?;
                }
                Edit::Chmod(path, mode) => {
                    let mode = std::os::unix::fs::PermissionsExt::from_mode(*mode);
                    fs::set_permissions(at(path), mode)?;
                }
                Edit::Touch(path) => File::open(at(path))?.set_modified(SystemTime::now())?,
                Edit::Backdate(path) => {
                    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
                    File::open(at(path))?.set_modified(long_ago)?;
                }
                Edit::Git(repo, args) => {
                    self.git(side, repo, args)?;
                }
            }
        }
        Ok(())
    }

    /// Commits the files of the workshop that is never wiped.
    pub(crate) fn commit(&self) -> Result {
        for repo in &self.repos {
            self.git(Kept, repo, &["add", "-A"])?;
            self.git(Kept, repo, &["commit", "-q", "--allow-empty", "-m", "a-step"])?;
        }
        Ok(())
    }

    /// Runs git in a repo and returns its output.
    pub(crate) fn git(&self, side: Side, repo: &str, args: &[&str]) -> Result<String> {
        let mut git = self.command("git", side, repo);
        let output = git.args(["-c", "protocol.file.allow=always"]).args(args).output()?;
        said(&output)
    }

    /// Removes the wiped workshop and clones the commits of the other.
    pub(crate) fn clone_anew(&self) -> Result {
        remove(&self.path(Wiped, ""))?;
        fs::create_dir_all(self.path(Wiped, ""))?;
        for repo in &self.repos {
            let from = self.path(Kept, repo);
            let from = from.to_str().ok_or("not UTF-8")?;
            self.git(Wiped, "", &["clone", "-q", "--recurse-submodules", from, repo])?;
            if !self.with_git {
                remove(&self.path(Wiped, repo).join(".git"))?;
            }
        }
        Ok(())
    }

    /// Runs `runner-cache save` in the wiped workshop.
    pub(crate) fn save(&self) -> Result<Value> {
        self.runner_cache("save")
    }

    /// Runs `runner-cache restore` in the wiped workshop.
    pub(crate) fn restore(&self) -> Result<Value> {
        self.runner_cache("restore")
    }

    /// Returns the command `runner-cache <verb>` with the arguments of this workshop.
    pub(crate) fn runner_cache_command(&self, verb: &str) -> Command {
        let program = env!("CARGO_BIN_EXE_runner-cache");
        let mut command = self.command(program, Wiped, &self.works_in);
        command.arg(verb).arg("--json").arg("--root").arg(self.store());
        for dependency in &self.dependencies {
            let dir = self.path(Wiped, dependency);
            command.arg("--dependency").arg(format!("{dependency}={}", dir.display()));
        }
        command.args(&self.options);
        command
    }

    fn runner_cache(&self, verb: &str) -> Result<Value> {
        let output = self.runner_cache_command(verb).output()?;
        let report: Value = serde_json::from_str(&said(&output)?)?;
        let areas = report["areas"].as_array().ok_or("no areas")?;
        match areas.iter().find(|area| area["mode"] == "failed") {
            Some(failed) => Err(format!("{verb}: {failed}").into()),
            None => Ok(report),
        }
    }

    /// Builds in a workshop and runs the program.
    pub(crate) fn build(&self, side: Side) -> Result<Built> {
        let mut cargo = self.command("cargo", side, &self.works_in);
        cargo.args(&self.cargo).args(["-v", "--offline", "--message-format=json"]);
        let output = cargo.output()?;
        let mut built = Built::default();
        let mut program = None;
        for line in said(&output)?.lines() {
            let message: Value = serde_json::from_str(line)?;
            if message["reason"] != "compiler-artifact" {
                continue;
            }
            if let Some(executable) = message["executable"].as_str() {
                program = Some(PathBuf::from(executable));
            }
            if message["fresh"] == false {
                built.compiled.insert(unit(&message)?);
            }
        }
        let log = String::from_utf8(output.stderr)?;
        built.compiled.extend(log.lines().filter_map(script_run));
        if let Some(program) = program.filter(|_| self.cargo[0] == "build") {
            let said = said(&self.command(&program, side, "").output()?)?;
            let pairs = said.lines().filter_map(|line| line.split_once('='));
            built.prints = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        }
        Ok(built)
    }

    /// Runs a history in both workshops: each step is committed and built in one; cloned, restored, built, built again
    /// and saved in the other. Returns the faults.
    pub(crate) fn walk(&mut self, steps: &[Step<'_>]) -> Result<Vec<String>> {
        let mut wrong = Vec::new();
        for step in steps {
            let Step(why, edits, ..) = step;
            self.edit(Kept, edits).map_err(|error| format!("{why}: {error}"))?;
            self.commit()?;
            self.clone_anew()?;
            let restored = self.restore();
            if let Err(error) = &restored {
                wrong.push(format!("{why}: {error}"));
            }
            wrong.extend(self.judge(step)?);
            self.save().map_err(|error| format!("{why}: {error}"))?;
        }
        Ok(wrong)
    }

    /// Builds both workshops as they are, and returns the differences from the step.
    pub(crate) fn judge(&mut self, step: &Step<'_>) -> Result<Vec<String>> {
        let Step(why, _, prints, compiles, ours) = step;
        let mut wrong = Vec::new();
        for word in prints.split_whitespace() {
            let (name, value) = word.split_once('=').ok_or("no value")?;
            self.prints.insert(name.to_owned(), value.to_owned());
        }
        let runs = self.cargo[0] == "build";
        let prints = if runs { self.prints.clone() } else { BTreeMap::new() };
        let want = |compiled| Built { compiled, prints: prints.clone() };
        let never_wiped = words(compiles);
        let restored = match ours {
            Ours::Same => never_wiped.clone(),
            Ours::More(more) | Ours::Despite(more) => {
                never_wiped.union(&words(more)).cloned().collect()
            }
            Ours::Fewer(fewer) => never_wiped.difference(&words(fewer)).cloned().collect(),
        };
        let runs = [
            ("never wiped", Kept, want(never_wiped)),
            ("restored", Wiped, want(restored)),
            ("built again", Wiped, want(BTreeSet::new())),
        ];
        for (which, side, want) in runs {
            if side == Kept && matches!(ours, Ours::Despite(_)) {
                self.expect_fooled(&want)?;
                continue;
            }
            match self.build(side) {
                Ok(got) if got == want => {}
                Ok(got) => wrong.push(format!("{why}: {which}: {}", difference(&got, &want))),
                Err(error) => wrong.push(format!("{why}: {which}: {error}")),
            }
        }
        Ok(wrong)
    }

    /// Builds in the workshop never wiped, and fails unless the program is stale; then makes cargo build it.
    fn expect_fooled(&self, want: &Built) -> Result {
        let fooled = self.build(Kept)?;
        assert_eq!(fooled.compiled, want.compiled, "cargo is no longer fooled");
        assert_ne!(fooled.prints, want.prints, "cargo is no longer fooled");
        self.edit(Kept, &[Edit::Touch(&format!("{}/src/main.rs", self.works_in))])?;
        assert_eq!(self.build(Kept)?.prints, want.prints);
        Ok(())
    }

    /// Moves the mtimes of everything in the wiped workshop, except git's own files, by `secs`.
    pub(crate) fn shift_mtimes(&self, secs: i64) -> Result {
        let mut shifted = BTreeSet::new();
        // Not `filter_entry`: with contents first, it leaves out the entries after a filtered one.
        for entry in WalkDir::new(self.path(Wiped, "")).contents_first(true) {
            let entry = entry?;
            if entry.path().components().any(|name| name.as_os_str() == ".git") {
                continue;
            }
            // Cargo makes hard links of its output: shift such a file only once.
            if entry.path_is_symlink() || !shifted.insert(entry.metadata()?.ino()) {
                continue;
            }
            let by = Duration::from_secs(secs.unsigned_abs());
            let then = entry.metadata()?.modified()?;
            let then = if secs < 0 { then - by } else { then + by };
            File::open(entry.path())?.set_modified(then)?;
        }
        Ok(())
    }

    /// Returns a command that runs below a workshop, with nothing of the user's but the toolchain.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>, side: Side, below: &str) -> Command {
        let mut command = isolated(program, &self.path(side, below), &self.dir.path().join("home"));
        command
            .env("CARGO_HOME", self.dir.path().join("cargo-home"))
            .env("CARGO_INCREMENTAL", "0")
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("CARGO_TERM_COLOR", "never");
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_NAME"), "a").env(format!("GIT_{role}_EMAIL"), "a@b");
        }
        let workshop = self.path(side, "");
        for (name, value) in &self.environment {
            let value = value.replace('@', &workshop.to_string_lossy());
            command.env(name, OsString::from(value));
        }
        command
    }
}

/// Fails with all faults, if there are any.
pub(crate) fn nothing_is(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// Returns the manifest of a package that depends on others by path.
pub(crate) fn manifest(name: &str, dependencies: &[&str]) -> String {
    let mut text = format!(
        "[package]\nname = '{name}'\nversion = '0.1.0'\nedition = '2024'\n[dependencies]\n"
    );
    for path in dependencies {
        let dependency = path.rsplit('/').next().unwrap_or(path);
        writeln!(text, "{dependency} = {{ path = '{path}' }}").expect("a String takes all");
    }
    text
}

/// Returns the output of a program, or an error with its messages.
fn said(output: &Output) -> Result<String> {
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout.clone())?);
    }
    let log = String::from_utf8_lossy(&output.stderr);
    let last: Vec<_> = log.lines().filter(|line| !line.contains("Running `")).collect();
    // Cargo's messages contain those of rustc.
    let messages = String::from_utf8_lossy(&output.stdout);
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let rendered = messages.filter_map(|it| it["message"]["rendered"].as_str().map(str::to_owned));
    let rendered = rendered.collect::<String>();
    Err(format!("{}\n{}\n{rendered}", output.status, last.join("\n")).into())
}

/// Returns the tests' name for the unit of a `compiler-artifact`.
fn unit(message: &Value) -> Result<String> {
    // `path+file:///w/app#0.1.0`, or `path+file:///w/deep#app@0.1.0`.
    let id = message["package_id"].as_str().ok_or("no package")?;
    let (path, version) = id.rsplit_once('#').ok_or("no version")?;
    let last = path.rsplit('/').next();
    let name = version.split_once('@').map(|(name, _)| name).or(last).ok_or("no name")?;
    let mut name = name.to_owned();
    let is_page = |file: &Value| file.as_str().is_some_and(|file| file.ends_with("/index.html"));
    if is_page(&message["filenames"][0]) {
        name.push_str("/doc");
    } else if message["target"]["kind"] == serde_json::json!(["custom-build"]) {
        name.push_str("/build");
    } else if message["profile"]["test"] == true {
        name.push_str("/test");
    }
    Ok(name)
}

/// Returns the name of a build script's run that a line of cargo's log announces.
fn script_run(line: &str) -> Option<String> {
    let script = name_with_hash(build_script(line)?)?;
    Some(format!("{}/run", script.rsplit_once('-')?.0))
}

fn words(text: &str) -> BTreeSet<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Describes the difference between a build and the expected one.
fn difference(got: &Built, want: &Built) -> String {
    let mut text = String::new();
    if got.compiled != want.compiled {
        let list = |built: &Built| built.compiled.iter().cloned().collect::<Vec<_>>().join(" ");
        text = format!("compiled [{}] instead of [{}] ", list(got), list(want));
    }
    let names: BTreeSet<_> = got.prints.keys().chain(want.prints.keys()).collect();
    for name in names {
        let (got, want) = (got.prints.get(name), want.prints.get(name));
        if got != want {
            write!(text, "printed {name}={got:?} instead of {want:?} ")
                .expect("a String takes all");
        }
    }
    text
}

fn remove(path: &Path) -> Result {
    match path.symlink_metadata() {
        Ok(found) if found.is_dir() => Ok(fs::remove_dir_all(path)?),
        Ok(_) => Ok(fs::remove_file(path)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
    }
}
