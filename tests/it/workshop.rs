//! Two workshops with one history: in `kept` nothing is ever wiped, `wiped` is thrown away, cloned
//! anew and restored before every build. Cargo is the judge of both.
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

/// Which of the two workshops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The one that is never wiped.
    Kept,
    /// The one that is wiped and restored.
    Wiped,
}

use Side::{Kept, Wiped};

/// A change of what is in a workshop; paths start in it: `app/src/main.rs`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Edit<'a> {
    /// Writes a file, and the directories that lead to it.
    Write(&'a str, &'a str),
    /// Removes a file, or a directory with all that is in it.
    Remove(&'a str),
    /// Renames, as `git mv` does.
    Rename(&'a str, &'a str),
    /// Exchanges two files.
    Swap(&'a str, &'a str),
    /// Replaces what is there by a symlink.
    Link(&'a str, &'a str),
    /// Sets the mode of a file.
    Chmod(&'a str, u32),
    /// Gives a file the mtime of now.
    Touch(&'a str),
    /// Gives a file an mtime long before anything was built.
    Backdate(&'a str),
    /// Runs git in a repo.
    Git(&'a str, &'a [&'a str]),
}

/// What cargo did, and what the program then said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Built {
    /// Packages that were compiled; `/build` stands for a build script, `/run` for its run,
    /// `/test` for a test and `/doc` for documentation.
    pub(crate) compiled: BTreeSet<String>,
    /// `name=value` as the program prints them.
    pub(crate) prints: BTreeMap<String, String>,
}

/// How the verdicts in the restored workshop compare with those in the one that was never wiped.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ours<'a> {
    /// The same.
    Same,
    /// These are compiled besides.
    More(&'a str),
    /// These are fresh.
    Fewer(&'a str),
    /// Where nothing was wiped cargo is fooled and the program is stale; these are compiled.
    Despite(&'a str),
}

/// One step of a history.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step<'a>(
    /// What it is about.
    pub(crate) &'a str,
    /// What is committed.
    pub(crate) &'a [Edit<'a>],
    /// What the program prints otherwise than before.
    pub(crate) &'a str,
    /// What cargo compiles where nothing was ever wiped.
    pub(crate) &'a str,
    /// How ours differs.
    pub(crate) Ours<'a>,
);

/// Both workshops, and how cargo and we are called in them. Its clones share the history and the store.
#[derive(Clone)]
pub(crate) struct Workshop {
    dir: Arc<tempfile::TempDir>,
    repos: Vec<String>,
    prints: BTreeMap<String, String>,
    wiped: String,
    /// The name of the directory that the store is in.
    pub(crate) store: &'static str,
    /// Where cargo runs, and what `--repo` is, in the workshop.
    pub(crate) works_in: String,
    /// The arguments of cargo.
    pub(crate) cargo: Vec<&'static str>,
    /// Variables for cargo and for us; `@` stands for the workshop.
    pub(crate) environment: Vec<(&'static str, String)>,
    /// Whether checkouts are git repositories.
    pub(crate) with_git: bool,
    /// The dependencies that we are told of.
    pub(crate) dependencies: Vec<String>,
    /// Options of `save` and `restore`.
    pub(crate) options: Vec<&'static str>,
}

impl Workshop {
    /// Makes both workshops with `files`; their first components are the repos. The first repo is
    /// the one that is built, the others are its dependencies.
    pub(crate) fn new(files: &[(&str, &str)]) -> Result<Self> {
        let (repo, _) =
            files.first().and_then(|(path, _)| path.split_once('/')).unwrap_or_default();
        Self::in_dir(tempfile::tempdir()?, repo, files)
    }

    /// As `new`, in `dir`, with a workspace at `works_in`.
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

    /// Moves the wiped workshop: what is cloned from now on lies elsewhere.
    pub(crate) fn move_to(&mut self, name: &str) {
        name.clone_into(&mut self.wiped);
    }

    /// Adds a repo, and tells us of it as a dependency.
    pub(crate) fn add_repo(&mut self, repo: &str, files: &[(&str, &str)]) -> Result {
        for (path, text) in files {
            self.edit(Kept, &[Edit::Write(&format!("{repo}/{path}"), text)])?;
        }
        self.git(Kept, repo, &["init", "-q", "-b", "main"])?;
        self.repos.push(repo.to_owned());
        self.dependencies.push(repo.to_owned());
        self.commit()
    }

    /// Makes a directory of a repo a repository of its own, which the repo has as a submodule.
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

    /// Copies the wiped workshop with its mtimes, in place of what is at `name`.
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

    /// Returns where a workshop is, or what is below it.
    pub(crate) fn path(&self, side: Side, below: &str) -> PathBuf {
        let side = match side {
            Kept => "kept",
            Wiped => &self.wiped,
        };
        self.dir.path().join(side).join(below)
    }

    /// Returns where the store is.
    pub(crate) fn store(&self) -> PathBuf {
        self.dir.path().join(self.store)
    }

    /// Changes what is in a workshop, without committing it.
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

    /// Commits what is in the workshop that is never wiped.
    pub(crate) fn commit(&self) -> Result {
        for repo in &self.repos {
            self.git(Kept, repo, &["add", "-A"])?;
            self.git(Kept, repo, &["commit", "-q", "--allow-empty", "-m", "a-step"])?;
        }
        Ok(())
    }

    /// Runs git in a repo and returns what it prints.
    pub(crate) fn git(&self, side: Side, repo: &str, args: &[&str]) -> Result<String> {
        let mut git = self.command("git", side, repo);
        let output = git.args(["-c", "protocol.file.allow=always"]).args(args).output()?;
        said(&output)
    }

    /// Throws the wiped workshop away and checks out what is committed in the other.
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

    /// Returns the command `runner-cache <verb>` with all that belongs to it.
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

    /// Walks through a history, in both workshops: each step is committed and built in the one,
    /// cloned, restored, built, built again and saved in the other. Returns what went wrong.
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

    /// Builds both workshops as they are and returns what is not as the step says.
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

    /// Builds where nothing was wiped, and fails unless the program is stale; then helps cargo out.
    fn expect_fooled(&self, want: &Built) -> Result {
        let fooled = self.build(Kept)?;
        assert_eq!(fooled.compiled, want.compiled, "cargo is no longer fooled");
        assert_ne!(fooled.prints, want.prints, "cargo is no longer fooled");
        self.edit(Kept, &[Edit::Touch(&format!("{}/src/main.rs", self.works_in))])?;
        assert_eq!(self.build(Kept)?.prints, want.prints);
        Ok(())
    }

    /// Takes everything that is in the wiped workshop but git's own as many seconds later.
    pub(crate) fn shift_mtimes(&self, secs: i64) -> Result {
        let mut shifted = BTreeSet::new();
        // Not `filter_entry`: where the contents of a directory come first, it leaves out what follows.
        for entry in WalkDir::new(self.path(Wiped, "")).contents_first(true) {
            let entry = entry?;
            if entry.path().components().any(|name| name.as_os_str() == ".git") {
                continue;
            }
            // Cargo links what it builds; such a file is shifted once.
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

    /// Returns a command that runs below a workshop with nothing of the user's but the toolchain.
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

/// Fails with everything that went wrong, if anything did.
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

/// Returns what a program printed, or an error with what it complained of.
fn said(output: &Output) -> Result<String> {
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout.clone())?);
    }
    let log = String::from_utf8_lossy(&output.stderr);
    let last: Vec<_> = log.lines().filter(|line| !line.contains("Running `")).collect();
    // What rustc says is among cargo's messages.
    let messages = String::from_utf8_lossy(&output.stdout);
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let rendered = messages.filter_map(|it| it["message"]["rendered"].as_str().map(str::to_owned));
    let rendered = rendered.collect::<String>();
    Err(format!("{}\n{}\n{rendered}", output.status, last.join("\n")).into())
}

/// Returns the name that tests give to what a `compiler-artifact` is about.
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

/// Returns the name of the run of a build script that a line of cargo's log announces.
fn script_run(line: &str) -> Option<String> {
    let script = name_with_hash(build_script(line)?)?;
    Some(format!("{}/run", script.rsplit_once('-')?.0))
}

fn words(text: &str) -> BTreeSet<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Says how what was built differs from what should have been.
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
