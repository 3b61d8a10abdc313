//! The evidence for a program's answer: everything that the answer depends on, as it is now.
//!
//! Small files count by their contents, programs by inode, size and times; a file that is missing counts too, for it
//! may appear. If not all can be known, there is no evidence: a script may start anything, a launcher another program.
//! `docs/decisions/0035-remembered-answers.md` says what each answer depends on, and why that is all.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::io::{ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::config::Config;
use super::workspace::MANIFEST;
use super::{dirs, rustup, toolchain, workspace};
use crate::fs::regular;
use crate::model::digest::{Digest, Hasher};
use crate::model::environment::Environment;
use crate::model::passed_on::to_toolchain;
use crate::model::timestamp::Timestamp;

/// Variables that differ from job to job and decide no answer: where temporary files go, and the session of a login.
const IRRELEVANT: [&str; 5] = ["TMPDIR", "TMP", "TEMP", "XDG_SESSION_ID", "XDG_RUNTIME_DIR"];

/// Variables that bring further files into play, which nobody here looks at: libraries of the dynamic linker, and
/// rustup's settings from elsewhere.
const UNKNOWN: [&str; 3] =
    ["LD_LIBRARY_PATH", "LD_PRELOAD", "RUSTUP_OVERRIDE_UNIX_FALLBACK_SETTINGS"];

/// Files that a package manager changes when it installs something: a program that it manages may say what one of its
/// libraries says.
const PACKAGE_DATABASES: [&str; 7] = [
    "/var/lib/dpkg/status",
    "/var/lib/rpm/rpmdb.sqlite",
    "/var/lib/rpm/Packages",
    "/usr/lib/sysimage/rpm/rpmdb.sqlite",
    "/usr/lib/sysimage/rpm/Packages.db",
    "/lib/apk/db/installed",
    "/var/lib/pacman/local",
];

/// The files by which the dynamic linker finds the libraries of every program (ld.so(8)).
const DYNAMIC_LINKER: [&str; 2] = ["/etc/ld.so.cache", "/etc/ld.so.preload"];

/// The settings that rustup falls back to, on hosts with one for all users.
const FALLBACK_SETTINGS: &str = "/etc/rustup/settings.toml";

/// How long the times of a filesystem that counts in seconds may stay the same, in seconds.
const COARSE_SECS: i64 = 2;

/// A question and everything that its answer depends on.
#[derive(Debug)]
pub(super) struct Evidence {
    known: Hasher,
    /// Inodes and ctimes, which differ in each checkout. They show that a small file was another one for a moment.
    state: Hasher,
    /// Whether everything is known.
    is_whole: bool,
    /// The newest ctime of a file.
    newest: Timestamp,
}

/// The digests of evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Digests {
    /// Everything that the answer depends on: equal evidence, equal answer.
    pub(super) known: Digest,
    /// The state of all files: if it is the same before and after a question, nothing changed meanwhile. `None` if a
    /// file changed so recently that a further change may leave no trace, within one tick of the kernel's clock.
    pub(super) state: Option<Digest>,
}

impl Evidence {
    /// Returns the evidence for the answer of `program`, run with `args` in `dir`: the program itself and the variables
    /// that it sees.
    pub(super) fn of_program(
        program: &OsStr,
        args: &[&str],
        dir: &Path,
        environment: &Environment,
    ) -> Self {
        let mut evidence = Self::of_question("program");
        evidence.field(program.as_bytes());
        for arg in args {
            evidence.field(arg.as_bytes());
        }
        evidence.field(dir.as_os_str().as_bytes());
        let seen = to_toolchain(environment);
        for (name, value) in seen.iter().filter(|(name, _)| !IRRELEVANT.iter().any(|it| it == name))
        {
            evidence.field(name.as_bytes());
            evidence.field(value.as_bytes());
        }
        evidence.is_whole &= !UNKNOWN.iter().any(|name| environment.get(name).is_some());
        for path in DYNAMIC_LINKER {
            evidence.metadata(Path::new(path));
        }
        evidence.program(program, dir, environment);
        evidence
    }

    /// Returns the evidence for a question that depends on nothing.
    pub(super) fn of_question(question: &str) -> Self {
        let mut known = Hasher::default();
        known.field(question.as_bytes());
        Self { known, state: Hasher::default(), is_whole: true, newest: Timestamp::default() }
    }

    /// Returns its digests, with a state if no file changed after `settled`. `None` if anything is unknown.
    pub(super) fn digests(self, settled: Timestamp) -> Option<Digests> {
        let Self { known, state, is_whole, newest } = self;
        let state = (newest <= settled).then(|| state.finish());
        is_whole.then(|| Digests { known: known.finish(), state })
    }

    /// Adds what decides where cargo builds when it runs in `dir`: its configuration, and the manifests from there up.
    pub(super) fn with_workspace(mut self, dir: &Path, environment: &Environment) -> Self {
        let home = dirs::cargo_home(environment, None, dir).ok();
        self.is_whole &= home.is_some();
        match Config::read(dir, home.as_deref()) {
            Ok(config) if !config.is_cut_off() => {
                for path in config.paths() {
                    self.contents(path);
                }
            }
            Ok(_) | Err(_) => self.is_whole = false,
        }
        for dir in dir.ancestors() {
            self.contents(&dir.join(MANIFEST));
        }
        match workspace::root(dir, home.as_deref()) {
            Ok(Some(root)) => self.contents(&root.join(MANIFEST)),
            Ok(None) => {}
            Err(_) => self.is_whole = false,
        }
        let top = workspace::checkout(dir).unwrap_or(dir);
        for dir in dir.ancestors().take_while(|dir| dir.starts_with(top)) {
            self.state_of(dir);
            self.state_of(&dir.join(".cargo"));
        }
        self
    }

    /// Adds the program that runs as `name` in `dir`, and what it leads to.
    fn program(&mut self, name: &OsStr, dir: &Path, environment: &Environment) {
        let found = rustup::find(name, environment).filter(|found| found.is_absolute());
        let Some(found) = found else { return self.is_whole = false };
        // A launcher may look for the next program of its name.
        let in_path = std::env::split_paths(environment.get("PATH").unwrap_or_default());
        for dir in in_path {
            self.state_of(&dir);
            let path = dir.join(found.file_name().unwrap_or(name));
            if path.exists() {
                self.metadata(&path);
            }
        }
        // Execution passes over a program that this user may not run.
        let is_for_all = fs::metadata(&found).is_ok_and(|found| found.mode() & 0o111 == 0o111);
        let Some(real) = found.canonicalize().ok().filter(|_| is_for_all) else {
            return self.is_whole = false;
        };
        self.metadata(&real);
        if rustup::is_rustup(&found) {
            self.toolchains(name, dir, environment);
        } else if let Some(toolchain) = toolchain_of(&real) {
            self.toolchain(&toolchain, name);
        } else {
            self.managed(&real);
        }
    }

    /// Adds what decides which toolchain rustup starts for `name` in `dir`, and every toolchain that there is: which of
    /// them it starts, rustup alone knows.
    fn toolchains(&mut self, name: &OsStr, dir: &Path, environment: &Environment) {
        let chosen = environment.get("RUSTUP_TOOLCHAIN").map(OsStrExt::as_bytes);
        self.is_whole &= chosen.is_none_or(rustup::is_name);
        let Some(home) = rustup::home(environment) else { return self.is_whole = false };
        self.contents(&home.join("settings.toml"));
        self.contents(Path::new(FALLBACK_SETTINGS));
        match toolchain::find_file(dir) {
            Ok(Some((path, content))) => {
                self.is_whole &= rustup::is_name(&content);
                self.contents(&path);
            }
            Ok(None) => {}
            Err(_) => self.is_whole = false,
        }
        // A file may be there for a moment.
        let top = workspace::checkout(dir).unwrap_or(dir);
        for dir in dir.ancestors().take_while(|dir| dir.starts_with(top)) {
            self.state_of(dir);
        }
        self.state_of(&home.join("toolchains"));
        let Some(toolchains) = names_in(&home.join("toolchains")) else {
            return self.is_whole = false;
        };
        for toolchain in toolchains {
            self.toolchain(&home.join("toolchains").join(toolchain), name);
        }
    }

    /// Adds the program `name` of a toolchain, and the compiler beside it, which is a library for the most part.
    fn toolchain(&mut self, dir: &Path, name: &OsStr) {
        self.metadata(&dir.join("lib/rustlib/multirust-channel-manifest.toml"));
        let program = dir.join("bin").join(Path::new(name).file_name().unwrap_or(name));
        if !self.metadata(&program) {
            return;
        }
        let drivers = drivers_in(dir);
        self.is_whole &= is_binary(&program) && !drivers.is_empty();
        for driver in drivers {
            self.metadata(&driver);
        }
    }

    /// Adds a C compiler or a linker that a package manager installed. Any other program is unknown.
    fn managed(&mut self, real: &Path) {
        let is_managed = real.starts_with("/usr") && !real.starts_with("/usr/local");
        self.is_whole &= is_managed && is_compiler(real) && is_binary(real);
        let mut has_database = false;
        for path in PACKAGE_DATABASES {
            has_database |= self.metadata(Path::new(path));
        }
        self.is_whole &= has_database;
    }

    /// Adds the content of a small file, or that it is missing.
    fn contents(&mut self, path: &Path) {
        self.field(path.as_os_str().as_bytes());
        match regular::read(path) {
            Ok(content) => self.field(Digest::of(&content).to_string().as_bytes()),
            Err(error) if is_missing(error.kind()) => self.field(b"missing"),
            Err(_) => self.is_whole = false,
        }
        self.state_of(path);
    }

    /// Adds a file by inode, size and times, through symlinks, or that it is missing. Tells whether it is there.
    fn metadata(&mut self, path: &Path) -> bool {
        self.field(path.as_os_str().as_bytes());
        let found = fs::metadata(path);
        match &found {
            Ok(found) => self.known.update(&numbers_of(found)),
            Err(error) if is_missing(error.kind()) => self.field(b"missing"),
            Err(_) => self.is_whole = false,
        }
        self.state_of(path);
        found.is_ok()
    }

    /// Adds the state of a file or directory. It changes when a file is replaced, and when a name appears in a directory,
    /// even for a moment.
    fn state_of(&mut self, path: &Path) {
        if let Ok(found) = fs::metadata(path) {
            self.state.update(&numbers_of(&found));
            let nanos = u32::try_from(found.ctime_nsec()).unwrap_or(0);
            // A filesystem without nanoseconds.
            let secs = found.ctime() + if nanos == 0 { COARSE_SECS } else { 0 };
            self.newest = self.newest.max(Timestamp::new(secs, nanos));
        }
    }

    fn field(&mut self, bytes: &[u8]) {
        self.known.field(bytes);
    }
}

/// Returns device, inode, size, mode and times of a file as bytes.
fn numbers_of(found: &Metadata) -> Vec<u8> {
    let times = [found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()];
    let numbers = [found.dev(), found.ino(), found.size(), u64::from(found.mode())];
    let numbers = numbers.into_iter().chain(times.map(i64::cast_unsigned));
    numbers.flat_map(u64::to_le_bytes).collect()
}

fn is_missing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory)
}

/// Returns the toolchain whose program this is: the compiler's library lies in it.
fn toolchain_of(program: &Path) -> Option<PathBuf> {
    let dir = program.parent().filter(|dir| dir.ends_with("bin"))?.parent()?;
    (!drivers_in(dir).is_empty()).then(|| dir.to_owned())
}

/// Returns the libraries of the compiler in a toolchain.
fn drivers_in(toolchain: &Path) -> Vec<PathBuf> {
    let lib = toolchain.join("lib");
    let is_driver = |name: &OsString| name.as_bytes().starts_with(b"librustc_driver-");
    let names = toolchain.join("bin/rustc").exists().then(|| names_in(&lib)).flatten();
    let names = names.unwrap_or_default().into_iter().filter(is_driver);
    names.map(|name| lib.join(name)).collect()
}

/// Tells whether a program is one of ELF: a script may start anything.
fn is_binary(path: &Path) -> bool {
    let mut magic = [0; 4];
    let read = regular::open(path).and_then(|mut file| file.read_exact(&mut magic));
    read.is_ok() && magic == *b"\x7fELF"
}

/// Tells whether the real name of a program is that of a C compiler or a linker, with or without triple and version: a
/// wrapper that is called `cc` by a symlink has another.
fn is_compiler(real: &Path) -> bool {
    const KNOWN: [&str; 10] =
        ["gcc", "g++", "clang", "clang++", "ld", "ld.bfd", "ld.gold", "ld.lld", "lld", "mold"];
    let Some(name) = real.file_name().and_then(OsStr::to_str) else { return false };
    let is_version = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    let last = name.rsplit('-').find(|piece| !is_version(piece));
    last.is_some_and(|last| KNOWN.contains(&last))
}

/// Returns the names in a directory, sorted; `None` if it cannot be listed.
fn names_in(dir: &Path) -> Option<Vec<OsString>> {
    let entries = fs::read_dir(dir).ok()?.collect::<std::io::Result<Vec<_>>>().ok()?;
    let mut names: Vec<_> = entries.into_iter().map(|entry| entry.file_name()).collect();
    names.sort();
    Some(names)
}

#[cfg(test)]
mod tests;
