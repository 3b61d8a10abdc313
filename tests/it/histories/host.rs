//! A host with two workspaces, the repositories that are cloned there, a store, and the twins.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::chance::REVISIONS;
use super::render::{File, GitDependency, render};
use super::story::{Build, Goal, Job, Story};
use super::world::Home;
use crate::support::{PROGRAM, Result, build_script, in_place_of, isolated, name_with_hash, paths};

/// The prefix of units of the second workspace.
pub(super) const SECOND: &str = "second: ";

/// The area of its target.
pub(super) const SECOND_AREA: &str = "./fz/target";

/// Returns the key of a unit in a generation: its hash, and whether it is of the second workspace.
pub(super) fn key_of(unit: &str) -> String {
    let hash = unit.rsplit('-').next().unwrap_or_default();
    let second = if unit.starts_with(SECOND) { SECOND } else { "" };
    format!("{second}{hash}")
}

/// All files of one history.
pub(super) struct Host {
    _dir: tempfile::TempDir,
    base: PathBuf,
    repos: Vec<String>,
    submodules: Vec<String>,
    /// Whether there is a second workspace in the repo.
    has_second: bool,
    twins: usize,
}

/// The units that cargo built, and the output of the program.
#[derive(Clone, Debug)]
pub(super) struct Built {
    /// The units that were not fresh: package, kind, hash.
    pub(super) rebuilt: BTreeSet<String>,
    /// The units that were fresh.
    pub(super) fresh: BTreeSet<String>,
    /// The lines that the program printed, if there is a program to run, or why the build failed.
    pub(super) prints: std::result::Result<BTreeSet<String>, String>,
    /// Cargo's reasons why units were not fresh.
    pub(super) reasons: Vec<String>,
}

impl Built {
    /// Returns all units of the build.
    pub(super) fn units(&self) -> BTreeSet<String> {
        self.fresh.union(&self.rebuilt).cloned().collect()
    }

    /// Returns cargo's reasons for building units, each on a line of its own.
    pub(super) fn why(&self) -> String {
        self.reasons.iter().flat_map(|reason| ["\n    ", reason]).collect()
    }
}

impl Host {
    /// Commits all files of a history.
    pub(super) fn new(story: &Story) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("runner-cache-history-").tempdir()?;
        let base = dir.path().canonicalize()?;
        let first = &story.commits[0].world;
        let (repos, submodules) = (first.repos(), first.submodules());
        let has_second = first.packages.iter().any(|package| package.home == Home::Second);
        let host = Self { _dir: dir, base, repos, submodules, has_second, twins: 0 };
        for below in ["hub", "home", "twins"] {
            fs::create_dir(host.base.join(below))?;
        }
        let revisions: Vec<_> = (0..REVISIONS).map(git_dependency).collect();
        let git = GitDependency {
            url: format!("file://{}", host.hub("gitdep").display()),
            revisions: host.commit_all("gitdep", "gitdep", &revisions, &BTreeMap::new())?,
        };
        let worlds: Vec<_> =
            story.commits.iter().map(|commit| render(&commit.world, &git)).collect();
        let mut links = BTreeMap::new();
        for submodule in &host.submodules {
            let dir = format!("app/{submodule}");
            let hashes = host.commit_all(submodule, &dir, &worlds, &BTreeMap::new())?;
            links.insert(submodule.clone(), hashes);
        }
        for repo in &host.repos {
            let links = if repo == "app" { &links } else { &BTreeMap::new() };
            host.commit_all(repo, repo, &worlds, links)?;
        }
        Ok(host)
    }

    fn hub(&self, repo: &str) -> PathBuf {
        self.base.join("hub").join(format!("{repo}.git"))
    }

    /// Returns the path of a workspace.
    pub(super) fn place(&self, place: usize) -> PathBuf {
        self.base.join(format!("w{place}"))
    }

    /// Returns the checkouts in a workspace.
    pub(super) fn checkouts(&self, place: usize) -> Vec<PathBuf> {
        self.checkouts_in(&self.place(place))
    }

    /// Returns the checkouts in a workspace, or in a copy of one.
    pub(super) fn checkouts_in(&self, dir: &Path) -> Vec<PathBuf> {
        self.repos.iter().map(|repo| dir.join(repo)).collect()
    }

    /// Creates a repository from the files in `dir`, with a branch `c<index>` for each of `worlds`, and returns the
    /// hashes. Its submodules are at the commits `links`.
    fn commit_all(
        &self,
        repo: &str,
        dir: &str,
        worlds: &[BTreeMap<String, File>],
        links: &BTreeMap<String, Vec<String>>,
    ) -> Result<Vec<String>> {
        let hub = self.hub(repo);
        let mut init = self.command("git", &self.base);
        // Cargo fetches HEAD, too, and git refuses a HEAD that leads nowhere.
        said(init.args(["init", "-q", "--bare", "--template=", "-b", "c0"]).arg(&hub))?;
        let mut stream = String::new();
        for (index, files) in worlds.iter().enumerate() {
            write!(
                stream,
                "commit refs/heads/c{index}\ncommitter a <a@b> {} +0000\ndata {}\n{index}\ndeleteall\n",
                1_000_000_000 + index,
                index.to_string().len(),
            )?;
            let mut modules = String::new();
            for (name, hashes) in links {
                let url = self.hub(name).display().to_string();
                writeln!(modules, "[submodule \"{name}\"]\npath = {name}\nurl = {url}")?;
                writeln!(stream, "M 160000 {} {name}", hashes[index])?;
            }
            if !modules.is_empty() {
                write!(stream, "M 100644 inline .gitmodules\ndata {}\n{modules}\n", modules.len())?;
            }
            for (path, (text, is_executable)) in files {
                let Some(path) = path.strip_prefix(&format!("{dir}/")) else { continue };
                if links.keys().any(|name| path.starts_with(&format!("{name}/"))) {
                    continue;
                }
                let mode = if *is_executable { "100755" } else { "100644" };
                write!(stream, "M {mode} inline {path}\ndata {}\n{text}\n", text.len())?;
            }
        }
        let mut import = self.command("git", &hub);
        let import = import.args(["fast-import", "--quiet"]).stdin(Stdio::piped());
        let mut import = import.stderr(Stdio::inherit()).spawn()?;
        import.stdin.take().ok_or("no pipe")?.write_all(stream.as_bytes())?;
        if !import.wait()?.success() {
            return Err(format!("cannot make the repository {repo}").into());
        }
        let heads = (0..worlds.len()).map(|index| format!("refs/heads/c{index}"));
        let hashes = said(self.command("git", &hub).arg("rev-parse").args(heads))?;
        Ok(hashes.lines().map(str::to_owned).collect())
    }

    /// Clones a commit into an empty workspace.
    pub(super) fn clone_all(&self, place: usize, commit: usize) -> Result {
        let place = self.place(place);
        fs::create_dir_all(&place)?;
        for repo in &self.repos {
            let mut git = self.command("git", &place);
            git.args(["clone", "-q", "--shared", "--template=", "-b", &format!("c{commit}")]);
            said(git.arg(self.hub(repo)).arg(repo))?;
            said(self.command("git", &place.join(repo)).args(["checkout", "-q", "-B", "main"]))?;
        }
        self.update_submodules(&place)
    }

    fn update_submodules(&self, place: &Path) -> Result {
        if self.submodules.is_empty() {
            return Ok(());
        }
        let mut git = self.command("git", &place.join("app"));
        git.args(["-c", "protocol.file.allow=always", "submodule", "--quiet", "update", "--init"]);
        said(&mut git)?;
        Ok(())
    }

    /// Checks out a commit over another one: git writes only the files that differ.
    pub(super) fn check_out(&self, place: usize, commit: usize) -> Result {
        let app = self.place(place).join("app");
        let submodules = self.submodules.iter().map(|name| app.join(name));
        // In a copy the inodes differ from git's index, and git would rewrite all files.
        for checkout in self.checkouts(place).into_iter().chain(submodules) {
            said(self.command("git", &checkout).args(["status", "--porcelain"]))?;
        }
        for checkout in self.checkouts(place) {
            let branch = format!("origin/c{commit}");
            let mut git = self.command("git", &checkout);
            said(git.args(["checkout", "-q", "-f", "-B", "main", &branch]))?;
        }
        self.update_submodules(&self.place(place))
    }

    /// Copies a workspace unchanged, and returns the copy.
    pub(super) fn copy(&mut self, from: &Path) -> Result<PathBuf> {
        let to = self.base.join("twins").join(self.twins.to_string());
        self.twins += 1;
        said(self.command("cp", &self.base).args(["-a", "--reflink=auto"]).arg(from).arg(&to))?;
        Ok(to)
    }

    /// Runs `act` with a twin at the path of the workspace, because the path is part of cargo's builds.
    pub(super) fn in_place_of<T>(
        &self,
        place: usize,
        twin: &Path,
        act: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let (place, aside) = (self.place(place), self.base.join("aside"));
        fs::rename(&place, &aside)?;
        fs::rename(twin, &place)?;
        let done = act();
        fs::rename(&place, twin)?;
        fs::rename(&aside, &place)?;
        done
    }

    /// Builds in a workspace, and in the second one in the repo, and runs the program.
    pub(super) fn build(&self, place: usize, build: &Build, has_lock: bool) -> Result<Built> {
        let mut all = self.build_in(place, ".", build, has_lock)?;
        if self.has_second {
            let second = self.build_in(place, "fz", build, has_lock)?;
            let mark =
                |units: BTreeSet<String>| units.into_iter().map(|unit| format!("{SECOND}{unit}"));
            all.rebuilt.extend(mark(second.rebuilt));
            all.fresh.extend(mark(second.fresh));
            all.reasons.extend(second.reasons);
            all.prints = match (all.prints, second.prints) {
                (Ok(prints), Ok(more)) => Ok(prints.into_iter().chain(more).collect()),
                (Err(log), _) | (_, Err(log)) => Err(log),
            };
        }
        Ok(all)
    }

    fn build_in(
        &self,
        place: usize,
        workspace: &str,
        build: &Build,
        has_lock: bool,
    ) -> Result<Built> {
        let mut cargo = self.cargo(place, build);
        cargo.current_dir(self.place(place).join("app").join(workspace));
        cargo.args(match build.goal {
            Goal::Build => &["build"][..],
            Goal::Release => &["build", "--release"],
            Goal::Check => &["check"],
            Goal::Test => &["build", "--tests"],
        });
        // Without `--keep-going` chance would decide which units are built besides the broken ones.
        cargo.args(["-v", "--keep-going", "--message-format=json-render-diagnostics"]);
        cargo.args(build.is_extra.then_some("--features=extra"));
        cargo.args(has_lock.then_some("--locked"));
        let output = cargo.output()?;
        let log = String::from_utf8_lossy(&output.stderr);
        if output.status.code().is_none() {
            return Err(format!("cargo was killed: {}", output.status).into());
        }
        let ran: BTreeSet<_> = log.lines().filter_map(package_of_run).collect();
        let mut rebuilt = BTreeSet::new();
        let mut fresh = BTreeSet::new();
        let mut program = None;
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let message: Value = serde_json::from_str(line)?;
            if let Some(executable) = message["executable"].as_str() {
                program = Some(PathBuf::from(executable));
            }
            let Some(unit) = unit(&message)? else { continue };
            // The message does not tell whether the script ran.
            let has_run = package_of(&unit).is_some_and(|package| ran.contains(package));
            let units =
                if message["fresh"] == false || has_run { &mut rebuilt } else { &mut fresh };
            units.insert(unit);
        }
        let dirty = |line: &&str| line.trim_start().starts_with("Dirty ");
        let reasons = log.lines().filter(dirty).map(|line| line.trim().to_owned()).collect();
        let prints = match program {
            _ if !output.status.success() => Err(complaint(&log)),
            Some(program) if build.goal.runs() => {
                let printed = said(&mut self.command(&program, &self.base))?;
                Ok(printed.lines().map(str::to_owned).collect())
            }
            _ => Ok(BTreeSet::new()),
        };
        Ok(Built { rebuilt, fresh, prints, reasons })
    }

    /// Runs `restore` or `save` of a job and returns its report; `None` if it was killed at `point`.
    pub(super) fn runner_cache(
        &self,
        verb: &str,
        job: &Job,
        point: &str,
        further: &[&str],
    ) -> Result<Option<Value>> {
        let place = self.place(job.place);
        let mut command = in_place_of(&self.cargo(job.place, &job.build), PROGRAM);
        let repo = place.join("app");
        command.arg(verb).arg("--json").arg("--root").arg(self.base.join("store"));
        command.arg("--repo").arg(repo).args(["--repository", "a/app", "--job", job.label]);
        for repo in &self.repos[1..] {
            command.arg("--dependency").arg(format!("{repo}={}", place.join(repo).display()));
        }
        if let Some(key) = job.key {
            command.args(["--key", key]);
        }
        if job.puts_by() {
            command.args(["--hot-trees", "2"]);
        }
        command.args(further);
        let output = command.env("RUNNER_CACHE_CRASH_AT", point).output()?;
        if output.status.code().is_none() {
            return Ok(None);
        }
        Ok(Some(serde_json::from_str(&checked(&output)?)?))
    }

    /// Tells whether a workspace has a target.
    pub(super) fn has_target(&self, place: usize) -> bool {
        // Git tracks files in it, which stay, so look for cargo's tag.
        self.place(place).join("app/target/CACHEDIR.TAG").exists()
    }

    /// Returns the keys of the units in a generation of a target, and whether each of them is bound to its path.
    pub(super) fn stored(&self, generation: &str) -> Result<BTreeMap<String, bool>> {
        let words: Vec<_> = generation.split(' ').collect();
        let [_, area, key, number] = words[..] else { return Err(generation.into()) };
        let mut show = self.command(PROGRAM, &self.base);
        show.args(["show", area, "--units", "--key", key, "--number", number.trim_matches('#')]);
        let shown = said(show.arg("--root").arg(self.base.join("store")))?;
        let lines = shown.lines().filter_map(|line| line.split_once("  used "));
        let unit = |(dir, rest): (&str, &str)| {
            let name = name_with_hash(dir)?;
            let name = if area == SECOND_AREA { format!("{SECOND}{name}") } else { name };
            Some((key_of(&name), rest.ends_with("at these roots alone")))
        };
        Ok(lines.filter_map(unit).collect())
    }

    fn cargo(&self, place: usize, build: &Build) -> Command {
        let place = self.place(place);
        let mut cargo = self.command("cargo", &place.join("app"));
        cargo
            .env("CARGO_HOME", place.join("cargo-home"))
            .env("CARGO_INCREMENTAL", if build.is_incremental { "1" } else { "0" })
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("CARGO_PROFILE_DEV_STRIP", "symbols")
            .env("CARGO_BUILD_JOBS", "2")
            .env("CARGO_TERM_COLOR", "never")
            .envs(build.shop.as_ref().map(|shop| ("SHOP", shop)))
            .envs(build.opt_level.map(|level| ("CARGO_PROFILE_DEV_OPT_LEVEL", level.to_string())));
        cargo
    }

    /// Returns a command whose environment has nothing of the user's but the toolchain.
    fn command(&self, program: impl AsRef<OsStr>, dir: &Path) -> Command {
        isolated(program, dir, &self.base.join("home"))
    }
}

/// Returns the files of one revision of the git dependency.
fn git_dependency(revision: usize) -> BTreeMap<String, File> {
    let manifest = "[package]\nname = 'gitdep'\nversion = '0.1.0'\nedition = '2024'\n";
    let code = "#![no_std]\npub fn say(to: &mut dyn FnMut(&str, &str)) {\n\
        to(\"gitdep.revision\", include_str!(\"../revision.txt\"));\n}\n";
    let files = [
        ("Cargo.toml", manifest.to_owned()),
        ("src/lib.rs", code.to_owned()),
        ("revision.txt", format!("r{revision}")),
    ];
    files.into_iter().map(|(path, text)| (format!("gitdep/{path}"), (text, false))).collect()
}

/// Returns the name of the unit that a message of cargo is about, if any.
fn unit(message: &Value) -> Result<Option<String>> {
    if message["reason"] == "build-script-executed" {
        let out_dir = message["out_dir"].as_str().unwrap_or_default();
        return Ok(name_with_hash(out_dir).map(|run| format!("run of {run}")));
    }
    let Some(files) = message["filenames"].as_array() else { return Ok(None) };
    let mut files = files.iter().filter_map(Value::as_str);
    let Some(first) = files.next() else { return Ok(None) };
    let target = &message["target"];
    let kind = target["kind"][0].as_str().ok_or("a unit of no kind")?;
    let hashed = match kind {
        "bin" => name_with_hash(&program_with_hash(first)?),
        _ => name_with_hash(first).or_else(|| files.find_map(name_with_hash)),
    };
    let hashed = hashed.ok_or("a unit without a hash")?;
    Ok(Some(format!("{} {kind} {hashed}", target["name"].as_str().ok_or("a unit of no name")?)))
}

/// Returns the file in `deps`, or since cargo 1.100 in `build`, that a program is a hard link of. The link itself has
/// the same name under all features and flags.
fn program_with_hash(program: &str) -> Result<String> {
    if name_with_hash(program).is_some() {
        return Ok(program.to_owned());
    }
    let inode = fs::metadata(program)?.ino();
    for dir in ["deps", "build"].map(|name| Path::new(program).with_file_name(name)) {
        for path in paths(&dir)? {
            if path.symlink_metadata()?.ino() == inode {
                return Ok(path.into_os_string().into_string().map_err(|_| "not UTF-8")?);
            }
        }
    }
    Err(format!("`{program}` is no link to a file in `deps` or `build`").into())
}

/// Returns the package whose build script a line of cargo's log runs.
fn package_of_run(line: &str) -> Option<String> {
    let script = name_with_hash(build_script(line)?)?;
    Some(script.rsplit_once('-')?.0.to_owned())
}

/// Returns the package of a unit that is a run of a build script.
fn package_of(unit: &str) -> Option<&str> {
    Some(unit.strip_prefix("run of ")?.rsplit_once('-')?.0)
}

/// Returns cargo's errors and warnings, without its progress.
fn complaint(log: &str) -> String {
    let noise = ["Running `", "Fresh ", "Compiling ", "Checking ", "Dirty "];
    let lines = log.lines().filter(|line| !noise.iter().any(|n| line.trim_start().starts_with(n)));
    lines.collect::<Vec<_>>().join("\n")
}

fn said(command: &mut Command) -> Result<String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    checked(&output).map_err(|error| format!("{command:?}: {error}").into())
}

fn checked(output: &Output) -> Result<String> {
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout.clone())?);
    }
    Err(format!("{}\n{}", output.status, String::from_utf8_lossy(&output.stderr)).into())
}
