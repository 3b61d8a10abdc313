//! The evidence for a program's answer: everything that the answer depends on, as it is now.
//!
//! Small files count by their contents, programs by inode, size and times; a file that is missing counts too, for it
//! may appear. If not all can be known, there is no evidence: a script may start anything, a wrapper another compiler.
//! `docs/decisions/0035-remembered-answers.md` says what each answer depends on, and why that is all.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

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

/// Files that every package manager changes when it installs something. A program that it manages may say what one of
/// its libraries says.
const PACKAGE_DATABASES: [&str; 5] = [
    "/var/lib/dpkg/status",
    "/var/lib/rpm/rpmdb.sqlite",
    "/usr/lib/sysimage/rpm/rpmdb.sqlite",
    "/lib/apk/db/installed",
    "/var/lib/pacman/local",
];

/// The settings that rustup falls back to, on hosts with one for all users.
const FALLBACK_SETTINGS: &str = "/etc/rustup/settings.toml";

/// A variable by which rustup takes the fallback settings from elsewhere.
const FALLBACK_VARIABLE: &str = "RUSTUP_OVERRIDE_UNIX_FALLBACK_SETTINGS";

/// A question and everything that its answer depends on.
#[derive(Debug)]
pub(super) struct Evidence {
    hasher: Hasher,
    /// Whether everything is known.
    is_whole: bool,
    /// The newest ctime of a file that counts by its metadata.
    newest: Timestamp,
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
        evidence.program(program, dir, environment);
        evidence
    }

    /// Returns the evidence for a question that depends on nothing.
    pub(super) fn of_question(question: &str) -> Self {
        let mut hasher = Hasher::default();
        hasher.field(question.as_bytes());
        Self { hasher, is_whole: true, newest: Timestamp::default() }
    }

    /// Returns its digest. `None` if anything is unknown, or if a file that counts by its metadata changed after
    /// `settled`: it may change again without a trace, within one tick of the kernel's clock.
    pub(super) fn digest(self, settled: Timestamp) -> Option<Digest> {
        (self.is_whole && self.newest <= settled).then(|| self.hasher.finish())
    }

    /// Adds what decides where cargo builds when it runs in `dir`: its configuration, and the manifests from there up.
    pub(super) fn with_workspace(mut self, dir: &Path, environment: &Environment) -> Self {
        let home = dirs::cargo_home(environment, None, dir).ok();
        match Config::read(dir, home.as_deref()) {
            Ok(config) => {
                for (path, digest) in config.sources() {
                    self.field(path.as_os_str().as_bytes());
                    self.field(digest.to_string().as_bytes());
                }
            }
            Err(_) => self.is_whole = false,
        }
        for dir in dir.ancestors() {
            self.contents(&dir.join(MANIFEST));
        }
        match workspace::root(dir, home.as_deref()) {
            Ok(Some(root)) => self.contents(&root.join(MANIFEST)),
            Ok(None) => {}
            Err(_) => self.is_whole = false,
        }
        self
    }

    /// Adds the program that runs as `name` in `dir`, and what it leads to.
    fn program(&mut self, name: &OsStr, dir: &Path, environment: &Environment) {
        let found = rustup::find(name, environment).filter(|found| found.is_absolute());
        let Some(found) = found else { return self.is_whole = false };
        if rustup::is_rustup(&found) {
            self.metadata(&found);
            self.toolchains(name, dir, environment);
            return;
        }
        self.executable(&found);
        self.libraries_beside(&found);
        for path in PACKAGE_DATABASES {
            self.metadata(Path::new(path));
        }
    }

    /// Adds what decides which toolchain rustup starts for `name` in `dir`, and every toolchain that there is: which of
    /// them it starts, rustup alone knows.
    fn toolchains(&mut self, name: &OsStr, dir: &Path, environment: &Environment) {
        let chosen = environment.get("RUSTUP_TOOLCHAIN").map(OsStrExt::as_bytes);
        let is_path = chosen.is_some_and(|chosen| !rustup::is_name(chosen));
        let home = rustup::home(environment);
        let (Some(home), false, None) = (home, is_path, environment.get(FALLBACK_VARIABLE)) else {
            return self.is_whole = false;
        };
        self.contents(&home.join("settings.toml"));
        self.contents(Path::new(FALLBACK_SETTINGS));
        match toolchain::find_file(dir) {
            Ok(Some((_, content))) if !rustup::is_name(&content) => self.is_whole = false,
            Ok(Some((path, content))) => {
                self.field(path.as_os_str().as_bytes());
                self.field(&content);
            }
            Ok(None) => {}
            Err(_) => self.is_whole = false,
        }
        let Some(toolchains) = names_in(&home.join("toolchains")) else {
            return self.is_whole = false;
        };
        for toolchain in toolchains {
            let toolchain = home.join("toolchains").join(toolchain);
            self.metadata(&toolchain.join("lib/rustlib/multirust-channel-manifest.toml"));
            let program = toolchain.join("bin").join(name);
            if self.metadata(&program) {
                self.executable(&program);
                self.libraries_beside(&program);
            }
        }
    }

    /// Adds a program that must be known by itself: a binary, and no wrapper.
    fn executable(&mut self, path: &Path) {
        let real = path.canonicalize().ok().filter(|real| is_binary(real) && !is_wrapper(real));
        match real {
            Some(real) => drop(self.metadata(&real)),
            None => self.is_whole = false,
        }
    }

    /// Adds the libraries of a `rustc`, which are most of it.
    fn libraries_beside(&mut self, program: &Path) {
        let real = program.canonicalize().unwrap_or_else(|_| program.to_owned());
        let Some(lib) = real.parent().and_then(Path::parent).map(|top| top.join("lib")) else {
            return;
        };
        let is_driver = |name: &OsString| name.as_bytes().starts_with(b"librustc_driver");
        for name in names_in(&lib).unwrap_or_default().into_iter().filter(is_driver) {
            self.metadata(&lib.join(name));
        }
    }

    /// Adds the content of a small file, or that it is missing.
    fn contents(&mut self, path: &Path) {
        self.field(path.as_os_str().as_bytes());
        match regular::read(path) {
            Ok(content) => self.field(Digest::of(&content).to_string().as_bytes()),
            Err(error) if is_missing(error.kind()) => self.field(b"missing"),
            Err(_) => self.is_whole = false,
        }
    }

    /// Adds a file by inode, size and times, through symlinks, or that it is missing. Tells whether it is there.
    fn metadata(&mut self, path: &Path) -> bool {
        self.field(path.as_os_str().as_bytes());
        match fs::metadata(path) {
            Ok(found) => {
                let numbers = [found.dev(), found.ino(), found.size(), u64::from(found.mode())];
                let times = [found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()];
                for number in numbers.into_iter().chain(times.map(i64::cast_unsigned)) {
                    self.hasher.update(&number.to_le_bytes());
                }
                let nanos = u32::try_from(found.ctime_nsec()).unwrap_or(0);
                self.newest = self.newest.max(Timestamp::new(found.ctime(), nanos));
                return true;
            }
            Err(error) if is_missing(error.kind()) => self.field(b"missing"),
            Err(_) => self.is_whole = false,
        }
        false
    }

    fn field(&mut self, bytes: &[u8]) {
        self.hasher.field(bytes);
    }
}

fn is_missing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory)
}

/// Tells whether a program is one of ELF: a script may start anything.
fn is_binary(path: &Path) -> bool {
    let mut magic = [0; 4];
    let read = regular::open(path).and_then(|mut file| file.read_exact(&mut magic));
    read.is_ok() && magic == *b"\x7fELF"
}

/// Tells whether a program starts another compiler, which its own file does not tell.
fn is_wrapper(path: &Path) -> bool {
    super::system::is_wrapper(&path.to_string_lossy())
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
