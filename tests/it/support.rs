//! A host with everything private to one test, and comparisons that miss nothing.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use runner_cache::model::digest::Digest;
use rustix::fs::{AtFlags, CWD, SeekFrom, Timespec, Timestamps, UTIME_OMIT};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The program as cargo built it for the tests.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_runner-cache");

/// A registry, as cargo names its directories.
pub(crate) const INDEX: &str = "index.crates.io-1949cf8c6b5b557f";

/// Options under which no disk counts as too full, whatever else is on it.
pub(crate) const ROOMY: [&str; 6] =
    ["--disk-threshold", "100%", "--low-water", "100%", "--min-free", "0"];

/// Returns the directory of the cargo and rustc that tests start: the one that `RUNNER_CACHE_TEST_TOOLCHAIN` names,
/// else that of the toolchain that built the tests.
///
/// It is the toolchain itself, not rustup's proxy, which saves a tenth of a second per call.
pub(crate) fn toolchain_bin() -> PathBuf {
    match std::env::var_os("RUNNER_CACHE_TEST_TOOLCHAIN") {
        Some(dir) => dir.into(),
        None => pinned_bin(),
    }
}

/// Returns the directory of the cargo and rustc that built the tests.
pub(crate) fn pinned_bin() -> PathBuf {
    Path::new(env!("CARGO")).with_file_name("")
}

/// Returns a command that runs in `dir`, with nothing of the user's but the toolchain.
pub(crate) fn isolated(program: impl AsRef<OsStr>, dir: &Path, home: &Path) -> Command {
    let mut path = toolchain_bin().into_os_string();
    path.push(":/usr/bin:/bin");
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", path)
        .env("HOME", home)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .current_dir(dir)
        .stdin(Stdio::null());
    command
}

/// A repo, a `CARGO_HOME` and a store of its own: tests touch nothing of the machine's.
pub(crate) struct Host {
    dir: TempDir,
    base: PathBuf,
    variables: Vec<(OsString, OsString)>,
    uid: Option<u32>,
}

impl Host {
    /// Creates a host below the default directory for temporary files.
    pub(crate) fn new() -> Result<Self> {
        Self::within(&std::env::temp_dir())
    }

    /// Creates a host below `parent`, with a repo that has a lock file and no dependencies.
    pub(crate) fn within(parent: &Path) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("runner-cache-it-").tempdir_in(parent)?;
        let base = dir.path().canonicalize()?;
        let host = Self { dir, base, variables: Vec::new(), uid: None };
        fs::create_dir_all(host.base.join("home"))?;
        host.check_out("repo", "app", &[])?;
        Ok(host)
    }

    /// Runs the program from now on as a user who owns the host and is not root.
    ///
    /// That user may enter neither cargo's nor rustup's home: there is a `rustc` that only prints its version, and no
    /// cargo.
    pub(crate) fn owned_by_a_user(mut self) -> Result<Self> {
        self.fake_rustc("1.0.0")?;
        if rustix::process::geteuid().is_root() {
            const NOBODY: u32 = 65534;
            fs::copy(PROGRAM, self.path("runner-cache"))?;
            self.uid = Some(NOBODY);
            let mut chown = Command::new("chown");
            succeed(chown.arg("-R").arg(NOBODY.to_string()).arg(&self.base))?;
        }
        Ok(self)
    }

    /// Keeps the store at `dir`, a new directory, from now on.
    pub(crate) fn keep_store_at(&self, dir: &Path) -> Result {
        fs::create_dir(dir)?;
        fs::set_permissions(dir, PermissionsExt::from_mode(0o700))?;
        Ok(symlink(dir, self.root())?)
    }

    /// Sets a variable for every program that runs on this host.
    pub(crate) fn set(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.into(), value.as_ref().to_owned()));
    }

    /// Puts a fake `rustc` of this version before the real one.
    pub(crate) fn fake_rustc(&mut self, release: &str) -> Result {
        let bin = self.path("bin");
        write(&bin, "rustc", format!("#!/bin/sh\necho 'rustc {release}'\n"))?;
        fs::set_permissions(bin.join("rustc"), PermissionsExt::from_mode(0o755))?;
        self.set("PATH", format!("{}:/usr/bin:/bin", bin.display()));
        Ok(())
    }

    /// Returns the path of `below` on this host.
    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.base.join(below)
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.path("store")
    }

    pub(crate) fn repo(&self) -> PathBuf {
        self.path("repo")
    }

    pub(crate) fn cargo_home(&self) -> PathBuf {
        self.path("cargo-home")
    }

    pub(crate) fn target(&self) -> PathBuf {
        self.path("repo/target")
    }

    /// Creates a git repository at `below` with a package that names `crates` in its lock file.
    pub(crate) fn check_out(&self, below: &str, name: &str, crates: &[&str]) -> Result {
        let dir = self.path(below);
        let manifest =
            format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n");
        write(&dir, "Cargo.toml", manifest)?;
        write(&dir, "src/lib.rs", "pub fn answer() -> u32 {\n    42\n}\n")?;
        write(&dir, ".gitignore", "/target\n")?;
        lock(&dir, name, crates)?;
        let mut git = Command::new("git");
        git.args(["init", "-q", "-b", "main"]).env("GIT_CONFIG_GLOBAL", "/dev/null");
        succeed(git.current_dir(&dir))?;
        let mut git = Command::new("git");
        git.args(["add", "."]).env("GIT_CONFIG_GLOBAL", "/dev/null");
        succeed(git.current_dir(&dir))
    }

    /// Returns the program with `args`, without our environment.
    pub(crate) fn program(&self, args: &[&str]) -> Command {
        let isolated = |program: &str| isolated(program, &self.base, &self.path("home"));
        let mut command = match self.uid {
            None => isolated(PROGRAM),
            Some(uid) => {
                let mut command = isolated("setpriv");
                command.arg(format!("--reuid={uid}")).arg("--clear-groups").arg("--");
                command.arg(self.path("runner-cache"));
                command
            }
        };
        command
            .args(args)
            .env("CARGO_HOME", self.path("home/.cargo"))
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Returns the command `verb` for this host's repo, store and `CARGO_HOME`, with further `args`.
    pub(crate) fn command(&self, verb: &str, args: &[&str]) -> Command {
        let mut command = self.program(&[verb]);
        command.arg("--root").arg(self.root()).arg("--repo").arg(self.repo());
        command.arg("--cargo-home").arg(self.cargo_home()).arg("--json").args(args);
        command
    }

    /// Returns the command `verb` for this host's store, without a repo, with further `args`.
    pub(crate) fn store_command(&self, verb: &str, args: &[&str]) -> Command {
        let mut command = self.program(&[verb]);
        command.arg("--root").arg(self.root()).arg("--json").args(args);
        command
    }

    /// Runs gc with further `args`, on a disk that is never too full.
    pub(crate) fn gc(&self, args: &[&str]) -> Result<Outcome> {
        let mut command = self.store_command("gc", &ROOMY);
        Outcome::of(command.args(args).output()?)?.done()
    }

    /// Verifies the whole store: damage is an error. Returns the codes of all notes.
    pub(crate) fn verify(&self) -> Result<Vec<String>> {
        let outcome = Outcome::of(self.store_command("verify", &[]).output()?)?.done()?;
        let findings = outcome.report["findings"].as_array().cloned().unwrap_or_default();
        let code = |finding: &Value| finding["code"].as_str().unwrap_or_default().to_owned();
        Ok(findings.iter().map(code).collect())
    }

    pub(crate) fn save(&self) -> Result<Outcome> {
        self.save_with(&[])
    }

    pub(crate) fn save_with(&self, args: &[&str]) -> Result<Outcome> {
        Outcome::of(self.command("save", args).output()?)
    }

    pub(crate) fn restore(&self) -> Result<Outcome> {
        self.restore_with(&[])
    }

    pub(crate) fn restore_with(&self, args: &[&str]) -> Result<Outcome> {
        Outcome::of(self.command("restore", args).output()?)
    }

    /// Removes the target directory, as a fresh checkout has none.
    pub(crate) fn lose_target(&self) -> Result {
        Ok(fs::remove_dir_all(self.target())?)
    }

    /// Returns every path on the host with the name of a staged file, and the paths that the store should hold only
    /// while a process works.
    pub(crate) fn leftovers(&self) -> Result<Vec<PathBuf>> {
        let mut left = Vec::new();
        for path in paths(&self.base)? {
            let name = path.file_name().unwrap_or_default();
            let parent = path.parent().unwrap_or(&path);
            let is_busy = ["staging", "trash", "leases"].map(|dir| self.root().join(dir));
            // An ended lease stays until the next one.
            let is_over = path.extension().is_some_and(|extension| extension == "over");
            // A record that another thread was writing when the process was killed: gc removes it after an hour.
            let is_record = name.as_bytes().starts_with(b".tmp") && parent == is_busy[0];
            if name.as_bytes().starts_with(b".runner-cache-")
                || !is_over && !is_record && is_busy.iter().any(|b| b == parent)
            {
                left.push(path);
            }
        }
        Ok(left)
    }

    /// Returns every pack in the store, sorted.
    pub(crate) fn packs(&self) -> Result<Vec<PathBuf>> {
        files_named(&self.root().join("packs"), ".tar.zst")
    }

    /// Returns every manifest in the store, sorted.
    pub(crate) fn manifests(&self) -> Result<Vec<PathBuf>> {
        files_named(&self.root().join("series"), ".manifest.zst")
    }

    /// Makes the store forget the inodes of its tree records, as after a reboot.
    pub(crate) fn forget_inodes(&self) -> Result {
        let trees = self.root().join("trees");
        fs::remove_dir_all(&trees)?;
        Ok(fs::create_dir(&trees)?)
    }

    /// Returns all bytes that the store holds, decompressed.
    pub(crate) fn everything_stored(&self) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        for path in paths(&self.root())? {
            let file = File::open(&path)?;
            if path.extension() == Some(OsStr::new("zst")) {
                zstd::Decoder::new(file)?.read_to_end(&mut all)?;
            } else if path.is_file() {
                { file }.read_to_end(&mut all)?;
            }
        }
        Ok(all)
    }

    /// Keeps the directory after the test, to look at it.
    #[expect(dead_code, reason = "for whoever writes a test that fails")]
    pub(crate) fn keep(&mut self) {
        self.dir.disable_cleanup(true);
    }
}

/// Returns the last name with a hash in the path of a file of cargo's: `libapp-0123456789abcdef` for
/// `deps/libapp-0123456789abcdef.rlib`, `app-0123456789abcdef` for `build/app-0123456789abcdef/out` and, since cargo
/// 1.100, for `build/app/0123456789abcdef/out`.
pub(crate) fn name_with_hash(path: &str) -> Option<String> {
    let is_hash = |text: &str| text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let mut names = path.rsplit('/').peekable();
    while let Some(name) = names.next() {
        if is_hash(name) {
            return Some(format!("{}-{name}", names.peek()?));
        }
        let stem = name.split('.').next().unwrap_or(name);
        if stem.rsplit_once('-').is_some_and(|(_, hash)| is_hash(hash)) {
            return Some(stem.to_owned());
        }
    }
    None
}

/// Returns the program that a line of cargo's log runs, if it is a build script.
pub(crate) fn build_script(line: &str) -> Option<&str> {
    let program = line.trim_start().strip_prefix("Running `")?;
    let is_script =
        ["/build-script-build", "/build_script_build"].iter().any(|name| program.contains(name));
    (is_script && !program.contains(" --crate-name ")).then_some(program)
}

/// Writes a lock file that names the package `name` and `crates`, each `name-version`.
pub(crate) fn lock(dir: &Path, name: &str, crates: &[&str]) -> Result {
    let mut text = "version = 4\n".to_owned();
    write!(text, "\n[[package]]\nname = \"{name}\"\nversion = \"0.1.0\"\n")?;
    for name in crates {
        let (name, version) = name.rsplit_once('-').ok_or("a crate is name-version")?;
        let source = "registry+https://github.com/rust-lang/crates.io-index";
        let checksum = Digest::of(&crate_file(&format!("{name}-{version}"))?);
        write!(
            text,
            "\n[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = \"{source}\"\n\
             checksum = \"{checksum}\"\n"
        )?;
    }
    write(dir, "Cargo.lock", text)
}

/// Runs a command that takes a fraction of a second; kills it after a minute.
pub(crate) fn run_limited(command: &Command) -> Result<Outcome> {
    let mut limited = Command::new("timeout");
    limited.args(["-s", "KILL", "60"]).arg(command.get_program()).args(command.get_args());
    limited.env_clear().current_dir(command.get_current_dir().unwrap_or(Path::new("/")));
    limited.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    limited.stdin(Stdio::null());
    Outcome::of(limited.output()?)
}

/// Puts a crate into a `CARGO_HOME` as cargo would: index, download, extraction.
pub(crate) fn install_crate(cargo_home: &Path, name: &str) -> Result {
    let registry = cargo_home.join("registry");
    let sources = format!("src/{INDEX}/{name}");
    write(&registry, "CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n")?;
    write(&registry, format!("index/{INDEX}/config.json"), "{}")?;
    write(&registry, format!("cache/{INDEX}/{name}.crate"), crate_file(name)?)?;
    for (path, text) in crate_source(name) {
        write(&registry, format!("{sources}/{path}"), text)?;
    }
    write(&registry, format!("{sources}/.cargo-ok"), "{\"v\":1}")
}

fn crate_source(name: &str) -> [(&'static str, String); 2] {
    [("Cargo.toml", format!("# {name}")), ("src/lib.rs", format!("//! {name}"))]
}

/// Returns the `.crate` file of a crate that [`install_crate`] installs; its bytes contain `the crate <name>`.
pub(crate) fn crate_file(name: &str) -> Result<Vec<u8>> {
    let gz = flate2::GzBuilder::new().comment(format!("the crate {name}"));
    let mut tar = tar::Builder::new(gz.write(Vec::new(), flate2::Compression::fast()));
    for (path, text) in crate_source(name) {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, format!("{name}/{path}"), text.as_bytes())?;
    }
    Ok(tar.into_inner()?.finish()?)
}

/// Creates a git repository at `origin` with one commit of `src/lib.rs`, and returns the commit.
pub(crate) fn make_repository(origin: &Path, text: &str) -> Result<String> {
    write(origin, "src/lib.rs", text)?;
    let git = || isolated("git", origin, origin);
    succeed(git().args(["init", "-q", "-b", "main"]))?;
    succeed(git().args(["add", "-A"]))?;
    let committer = ["-c", "user.name=a", "-c", "user.email=a@example.org"];
    succeed(git().args(committer).args(["commit", "-q", "-m", "a commit"]))?;
    let output = git().args(["rev-parse", "HEAD"]).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Puts the repository at `origin` into a `CARGO_HOME` as cargo would, under the name `lib`, and checks out `commit`.
pub(crate) fn install_repository(cargo_home: &Path, origin: &Path, commit: &str) -> Result {
    let git = cargo_home.join("git");
    let database = git.join("db/lib-0123456789abcdef");
    let checkout = git.join("checkouts/lib-0123456789abcdef").join(&commit[..7]);
    write(&git, "CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n")?;
    for (bare, from, to) in [(Some("--bare"), origin, &database), (None, &database, &checkout)] {
        fs::create_dir_all(to)?;
        let mut clone = isolated("git", &git, origin);
        succeed(clone.args(["clone", "-q"]).args(bare).arg(from).arg(to))?;
    }
    Ok(fs::write(checkout.join(".cargo-ok"), "")?)
}

/// Adds the git dependency `lib` to the lock file in `dir`.
pub(crate) fn lock_repository(dir: &Path, commit: &str) -> Result {
    let path = dir.join("Cargo.lock");
    let source = format!("git+https://example.com/some/lib.git#{commit}");
    let package =
        format!("\n[[package]]\nname = \"lib\"\nversion = \"0.1.0\"\nsource = \"{source}\"\n");
    Ok(fs::write(&path, fs::read_to_string(&path)? + &package)?)
}

/// The result of a run of the program.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Its exit status; `None` if a signal ended it.
    pub(crate) status: Option<i32>,
    /// The output of `--json`; null if there was none.
    pub(crate) report: Value,
    pub(crate) stderr: String,
}

impl Outcome {
    pub(crate) fn of(output: Output) -> Result<Self> {
        let stderr = String::from_utf8(output.stderr)?;
        let report = match &output.stdout[..] {
            [] => Value::Null,
            json => serde_json::from_slice(json)?,
        };
        Ok(Self { status: output.status.code(), report, stderr })
    }

    /// Fails unless the exit status is 0.
    pub(crate) fn done(self) -> Result<Self> {
        if self.status == Some(0) { Ok(self) } else { Err(format!("{self:?}").into()) }
    }

    /// Returns the areas that were there, each as `name mode hit`.
    pub(crate) fn areas(&self) -> Vec<String> {
        let areas = self.report["areas"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let areas = areas.iter().filter(|area| area["mode"] != "nothing");
        areas.map(|area| [&area["name"], &area["mode"], &area["hit"]].map(text).join(" ")).collect()
    }

    pub(crate) fn area(&self, name: &str) -> &Value {
        let areas = self.report["areas"].as_array();
        let mut named = areas.into_iter().flatten().filter(|area| area["name"] == name);
        named.next().unwrap_or(&Value::Null)
    }

    /// Returns the mode of `area` in the report.
    pub(crate) fn mode(&self, area: &str) -> &str {
        self.area(area)["mode"].as_str().unwrap_or_default()
    }

    /// Fails unless stderr contains each of `parts`.
    pub(crate) fn says(&self, parts: &[&str]) -> Result {
        for part in parts {
            if !self.stderr.contains(part) {
                return Err(format!("stderr lacks {part:?}:\n{}", self.stderr).into());
            }
        }
        Ok(())
    }
}

/// A path with all its attributes, for comparisons.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Node {
    kind: char,
    mode: u32,
    mtime: (i64, i64),
    /// A file's bytes, or a symlink's target.
    bytes: Vec<u8>,
    /// The first path, by name, with the same inode.
    first_of_group: PathBuf,
    /// The parts of a file that hold data, as offset and length.
    runs: Vec<(u64, u64)>,
}

impl Node {
    pub(crate) fn is_dir(&self) -> bool {
        self.kind == 'd'
    }

    /// Tells whether cargo sees no difference to `other`.
    pub(crate) fn is_same_to_cargo(&self, other: &Self) -> bool {
        (self.kind, self.mode, &self.bytes) == (other.kind, other.mode, &other.bytes)
    }

    /// Leaves the mtime out of comparisons.
    pub(crate) fn forget_mtime(&mut self) {
        self.mtime = (0, 0);
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kind, mode, mtime: (secs, nanos), bytes, first_of_group, runs } = self;
        let beginning = String::from_utf8_lossy(&bytes[..bytes.len().min(20)]);
        let len = bytes.len();
        write!(f, "{kind}{mode:05o} {secs}.{nanos:09} {len} B {beginning:?} data in {runs:?}")?;
        write!(f, " linked to {first_of_group:?}")
    }
}

pub(crate) type Listing = BTreeMap<PathBuf, Node>;

/// Lists every path below `dir`, with all attributes that a restore has to bring back.
pub(crate) fn list(dir: &Path) -> Result<Listing> {
    let mut listing = BTreeMap::new();
    let mut groups = HashMap::new();
    for path in paths(dir)? {
        let metadata = path.symlink_metadata()?;
        let below = path.strip_prefix(dir)?.to_owned();
        let kind = metadata.file_type();
        let (kind, bytes, runs) = if kind.is_dir() {
            ('d', Vec::new(), Vec::new())
        } else if kind.is_symlink() {
            ('l', fs::read_link(&path)?.into_os_string().into_encoded_bytes(), Vec::new())
        } else if kind.is_file() {
            ('-', fs::read(&path)?, data_runs(&path, metadata.size())?)
        } else {
            (if kind.is_fifo() { 'p' } else { 's' }, Vec::new(), Vec::new())
        };
        let group = groups.entry((metadata.dev(), metadata.ino())).or_insert_with(|| below.clone());
        let node = Node {
            kind,
            mode: metadata.mode() & 0o7777,
            mtime: (metadata.mtime(), metadata.mtime_nsec()),
            bytes,
            first_of_group: group.clone(),
            runs,
        };
        listing.insert(below, node);
    }
    Ok(listing)
}

/// Returns the differences, one line for each path.
pub(crate) fn differences(want: &Listing, got: &Listing) -> Vec<String> {
    let mut paths: Vec<_> = want.keys().chain(got.keys()).collect();
    paths.sort();
    paths.dedup();
    let differing = paths.into_iter().filter(|path| want.get(*path) != got.get(*path));
    differing
        .map(|path| format!("{}: {:?} is {:?}", path.display(), want.get(path), got.get(path)))
        .collect()
}

/// Fails, naming each differing path, unless `dir` equals the listing `want`.
pub(crate) fn expect_same(want: &Listing, dir: &Path, why: &str) -> Result {
    let differing = differences(want, &list(dir)?);
    if differing.is_empty() {
        Ok(())
    } else {
        Err(format!("{why}: {} differ:\n{}", differing.len(), differing.join("\n")).into())
    }
}

/// Returns inode number and ctime of everything below `dir`: every write changes one of them.
pub(crate) fn inodes(dir: &Path) -> Result<BTreeMap<PathBuf, (u64, i64, i64)>> {
    let inode = |path: PathBuf| -> Result<_> {
        let metadata = path.symlink_metadata()?;
        Ok((path, (metadata.ino(), metadata.ctime(), metadata.ctime_nsec())))
    };
    paths(dir)?.into_iter().map(inode).collect()
}

/// Returns every path below `dir`, sorted; none if `dir` does not exist.
pub(crate) fn paths(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        let entries = match fs::read_dir(&dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                dirs.push(entry.path());
            }
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

pub(crate) fn files_named(dir: &Path, suffix: &str) -> Result<Vec<PathBuf>> {
    let mut files = paths(dir)?;
    files.retain(|path| path.as_os_str().as_bytes().ends_with(suffix.as_bytes()));
    Ok(files)
}

fn data_runs(path: &Path, size: u64) -> Result<Vec<(u64, u64)>> {
    let file = File::open(path)?;
    let mut runs = Vec::new();
    let mut at = 0;
    while at < size {
        let Ok(start) = rustix::fs::seek(&file, SeekFrom::Data(at)) else { break };
        let end = rustix::fs::seek(&file, SeekFrom::Hole(start))?;
        runs.push((start, end - start));
        at = end;
    }
    Ok(runs)
}

/// Writes a file below `dir`, and the directories that lead to it.
pub(crate) fn write(dir: &Path, below: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> Result {
    let path = dir.join(below);
    fs::create_dir_all(path.parent().unwrap_or(dir))?;
    Ok(fs::write(&path, bytes).map_err(|error| format!("{}: {error}", path.display()))?)
}

/// Sets the mtime of `path` itself.
pub(crate) fn set_mtime(path: &Path, secs: i64, nanos: i64) -> Result {
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: secs, tv_nsec: nanos },
    };
    Ok(rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Returns the mtime of `path` itself, in seconds and nanoseconds.
pub(crate) fn mtime(path: &Path) -> Result<(i64, i64)> {
    let metadata = path.symlink_metadata()?;
    Ok((metadata.mtime(), metadata.mtime_nsec()))
}

/// Changes the file at `path` and puts its mtime back, so that only its bytes tell.
pub(crate) fn keeping_mtime(path: &Path, change: impl FnOnce(&Path) -> Result) -> Result {
    let (secs, nanos) = mtime(path)?;
    change(path)?;
    set_mtime(path, secs, nanos)
}

/// Makes a symlink below `dir`.
pub(crate) fn link(dir: &Path, below: &str, target: &str) -> Result {
    Ok(symlink(target, dir.join(below))?)
}

/// Returns `len` bytes without repetitions within 64 KiB, different for each `seed`.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len.min(1 << 16) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    // Beyond that the block repeats with its number in front, which zstd makes small.
    let block = bytes.clone();
    for number in 1_u64.. {
        if bytes.len() >= len {
            break;
        }
        bytes.extend(number.to_le_bytes());
        bytes.extend(&block[8..]);
    }
    bytes.truncate(len);
    bytes
}

/// Runs `command`, which must reach the crash point and end there.
pub(crate) fn crash(mut command: Command, point: &str) -> Result {
    const SIGABRT: i32 = 6;
    let output = command.env("RUNNER_CACHE_CRASH_AT", point).output()?;
    if output.status.signal() == Some(SIGABRT) {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?} ended with {} and not at `{point}`:\n{said}", output.status).into())
}

/// Runs a program that must succeed.
pub(crate) fn succeed(command: &mut Command) -> Result {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?}: {}: {said}", output.status).into())
}

/// Returns `program` with the directory and the variables of `command`.
pub(crate) fn in_place_of(command: &Command, program: impl AsRef<OsStr>) -> Command {
    let mut other = Command::new(program);
    other.env_clear().stdin(Stdio::null());
    other.current_dir(command.get_current_dir().unwrap_or(Path::new("/")));
    other.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    other
}

/// Starts a program and captures its output.
pub(crate) fn spawn(command: &mut Command) -> Result<Child> {
    Ok(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
}

/// Waits for a program that [`spawn`] started.
pub(crate) fn join(child: Child) -> Result<Outcome> {
    Outcome::of(child.wait_with_output()?)
}

/// Takes the lock on `path` as cargo does; dropping the result releases it.
pub(crate) fn flock(path: &Path) -> Result<File> {
    let mut options = File::options();
    let file = options.read(true).append(true).create(true).open(path)?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)?;
    Ok(file)
}

/// Rewrites a manifest by hand: `edit` gets its lines as JSON, without the last one, which is made anew.
pub(crate) fn rewrite_manifest(path: &Path, edit: impl FnOnce(&mut Vec<Value>)) -> Result {
    let text = String::from_utf8(zstd::decode_all(File::open(path)?)?)?;
    let mut lines = Vec::new();
    for line in text.lines() {
        lines.push(serde_json::from_str::<Value>(line)?);
    }
    lines.pop();
    edit(&mut lines);
    lines.push(serde_json::json!({ "end": { "lines": lines.len() } }));
    let lines: Vec<_> = lines.iter().map(Value::to_string).collect();
    let text = lines.join("\n") + "\n";
    Ok(fs::write(path, zstd::encode_all(text.as_bytes(), 3)?)?)
}

#[test]
fn tests_start_the_cargo_and_rustc_of_the_toolchain_that_was_asked_for() -> Result {
    let version = |mut command: Command| -> Result<String> {
        let output = command.arg("-V").output()?;
        Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
    };
    let host = Host::new()?;
    let shop = crate::workshop::Workshop::new(&[("app/a.txt", "")])?;
    let runner = crate::fake_runner::FakeRunner::new()?;
    for program in ["cargo", "rustc"] {
        let want = version(Command::new(toolchain_bin().join(program)))?;
        assert!(want.starts_with(program), "{want}");
        std::io::stdout().write_all(format!("{want}\n").as_bytes())?;
        let found = [
            version(in_place_of(&host.program(&[]), program))?,
            version(shop.command(program, crate::workshop::Side::Kept, ""))?,
            version(runner.command(program, &host.repo()))?,
        ];
        assert_eq!(found, [(); 3].map(|()| want.clone()));
    }
    Ok(())
}

#[test]
fn the_name_with_the_hash_is_found_in_every_layout_of_a_target() {
    #[rustfmt::skip]
    let cases = [
        ("library",          "t/debug/deps/libapp-0123456789abcdef.rlib",                 Some("libapp-0123456789abcdef")),
        ("program",          "t/debug/deps/app-0123456789abcdef",                         Some("app-0123456789abcdef")),
        ("link",             "t/debug/app",                                               None),
        ("script",           "t/debug/build/a-b-0123456789abcdef/build-script-build",     Some("a-b-0123456789abcdef")),
        ("its run",          "t/debug/build/a-b-0123456789abcdef/out",                    Some("a-b-0123456789abcdef")),
        ("1.100: library",   "t/debug/build/app/0123456789abcdef/out/libapp-0123456789abcdef.rlib", Some("libapp-0123456789abcdef")),
        ("1.100: program",   "t/debug/build/app/0123456789abcdef/out/app",                Some("app-0123456789abcdef")),
        ("1.100: script",    "t/debug/build/a-b/0123456789abcdef/out/build_script_build", Some("a-b-0123456789abcdef")),
        ("1.100: its run",   "t/debug/build/a-b/0123456789abcdef/out",                    Some("a-b-0123456789abcdef")),
        ("no digits",        "t/debug/build/app/0123456789abcdeg/out/app",                None),
    ];
    for (why, path, want) in cases {
        assert_eq!(name_with_hash(path).as_deref(), want, "{why}");
    }
}
