//! The compiler that builds a repo.

use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Output;

use super::config::Config;
use super::error::{Error, Result};
use super::evidence::Evidence;
use super::memory::Memory;
use super::rustup::{Selection, selection};
use super::{dirs, program};
use crate::fs::At;
use crate::fs::regular::read;
use crate::model::digest::{Digest, Hasher};
use crate::model::environment::Environment;

/// The compiler that builds a repo; at least one of its fields is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchain {
    /// The output of `rustc -vV`: release, commit, host, LLVM.
    pub verbose_version: Option<String>,
    /// The `rust-toolchain` or `rust-toolchain.toml` that applies, and its content.
    pub file: Option<(PathBuf, Vec<u8>)>,
    /// Why `rustc` could not be asked, for people.
    pub unknown: Option<String>,
}

/// A question to the compiler of a repo.
#[derive(Debug)]
pub struct Question {
    repo: PathBuf,
    rustc: OsString,
    file: Option<(PathBuf, Vec<u8>)>,
    selection: Option<Selection>,
}

/// The version that a compiler prints, or else the output with which it refuses; `Err(None)` if there is no compiler.
pub type Answer = std::result::Result<String, Option<Output>>;

impl Question {
    /// Finds out which `rustc` cargo would run in `repo`, an absolute path, and the file that rustup
    /// would read there.
    pub fn of(repo: &Path, environment: &Environment) -> Result<Self> {
        let file = find_file(repo)?;
        let rustc = rustc(repo, environment)?;
        let selection = selection(&rustc, file.as_ref(), environment);
        Ok(Self { repo: repo.to_owned(), rustc, file, selection })
    }

    /// Tells whether both questions certainly have the same answer.
    pub fn is_same(&self, other: &Self) -> bool {
        let is_selected_alike = self.selection.is_some() && self.selection == other.selection;
        self.rustc == other.rustc && (is_selected_alike || self.repo == other.repo)
    }

    /// Asks the compiler, unless the answer is remembered.
    pub fn ask(&self, environment: &Environment, memory: &Memory) -> Result<Answer> {
        let evidence = || Evidence::of_program(&self.rustc, &ARGS, &self.repo, environment);
        memory.answer(
            evidence,
            |_| false,
            || {
                let answer = program::run(&self.rustc, &ARGS, &self.repo, environment)?;
                Ok(match answer {
                    Some(output) if output.status.success() => {
                        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
                    }
                    refusal => Err(refusal),
                })
            },
        )
    }
}

/// The arguments that make `rustc` print its version in full.
const ARGS: [&str; 1] = ["-vV"];

impl Toolchain {
    /// Asks the compiler of a single repo, unless the answer is remembered.
    pub fn of(repo: &Path, environment: &Environment, memory: &Memory) -> Result<Self> {
        let question = Question::of(repo, environment)?;
        let answer = question.ask(environment, memory)?;
        Self::by(question, &answer)
    }

    /// Returns the toolchain by the answer to a question.
    ///
    /// If there is no `rustc`, or if it refuses (its toolchain is not installed yet), the file alone suffices, with a
    /// warning.
    pub fn by(question: Question, answer: &Answer) -> Result<Self> {
        let Question { repo, rustc, file, .. } = question;
        let (verbose_version, unknown) = match answer {
            Ok(version) => (Some(version.clone()), None),
            Err(Some(output)) => {
                let failure = program::failure(&rustc, &ARGS, &repo, output);
                if file.is_none() {
                    return Err(failure);
                }
                (None, Some(failure.to_string()))
            }
            Err(None) if file.is_none() => return Err(Error::NoToolchain(repo)),
            Err(None) => (None, Some(format!("no `{}` in PATH", rustc.display()))),
        };
        Ok(Self { verbose_version, file, unknown })
    }

    /// Returns the digest of the compiler: of its own output, or of the toolchain file if it could not be asked. The
    /// path of the file does not matter.
    ///
    /// Cargo puts no more of the compiler than the output of `rustc -vV` into its fingerprints and into the names of
    /// its files (`fingerprint/mod.rs` and `compilation_files.rs` of cargo). Wrappers are variables, which the key
    /// covers apart from this.
    pub fn digest(&self) -> Digest {
        let mut hasher = Hasher::default();
        if let Some(version) = &self.verbose_version {
            hasher.field(b"rustc");
            hasher.field(version.as_bytes());
        } else if let Some(content) = self.deciding_file() {
            hasher.field(b"file");
            hasher.field(content);
        }
        hasher.finish()
    }

    /// Returns the content of the toolchain file if the compiler's output is unknown. The output is the better input:
    /// many texts may ask for the same compiler.
    pub fn deciding_file(&self) -> Option<&[u8]> {
        let (_, content) = self.file.as_ref().filter(|_| self.verbose_version.is_none())?;
        Some(content)
    }
}

/// Returns the compiler that cargo runs in `repo`: a name to find in PATH, or an absolute path.
fn rustc(repo: &Path, environment: &Environment) -> Result<OsString> {
    let resolve = |program: &OsStr, base: &Path| {
        let is_path = program.as_encoded_bytes().contains(&b'/');
        if is_path { base.join(program).into_os_string() } else { program.to_owned() }
    };
    for name in ["RUSTC", "CARGO_BUILD_RUSTC"] {
        if let Some(program) = environment.get(name) {
            return Ok(resolve(program, repo));
        }
    }
    // Without a cargo home there is no configuration in it.
    let home = dirs::cargo_home(environment, None, repo).ok();
    let config = Config::read(repo, home.as_deref())?;
    let configured = config.build("rustc").map(|(program, base)| resolve(program.as_ref(), base));
    Ok(configured.unwrap_or_else(|| "rustc".into()))
}

/// Finds the toolchain file as rustup does: in `repo`, then in each parent. Of two files in one directory the one
/// without `.toml` wins (rustup book, "Overrides").
pub(super) fn find_file(repo: &Path) -> Result<Option<(PathBuf, Vec<u8>)>> {
    for dir in repo.ancestors() {
        for name in ["rust-toolchain", "rust-toolchain.toml"] {
            let path = dir.join(name);
            match read(&path) {
                Ok(content) => return Ok(Some((path, content))),
                Err(error) if is_no_file(error.kind()) => {}
                Err(error) => return Ok(Err(error).at("read", &path)?),
            }
        }
    }
    Ok(None)
}

fn is_no_file(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::IsADirectory)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::testing::{environment, write};
    use super::*;

    type TestResult = std::result::Result<(), Box<dyn std::error::Error>>;

    const TOML: &str = "[toolchain]\nchannel = \"1.95.0\"\n";

    fn program(path: &Path, script: &str) -> TestResult {
        std::fs::create_dir_all(path.parent().ok_or("no parent")?)?;
        std::fs::write(path, format!("#!/bin/sh\n{script}\n"))?;
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o755))?;
        Ok(())
    }

    #[test]
    fn the_real_compiler_says_what_it_is() -> TestResult {
        let dir = tempfile::tempdir()?;
        let toolchain =
            Toolchain::of(dir.path(), &environment(&dir.path().join("home")), &Memory::default())?;
        let version = toolchain.verbose_version.ok_or("no version")?;
        for line in ["release: ", "commit-hash: ", "host: ", "LLVM version: "] {
            assert!(version.contains(line), "{line} in {version}");
        }
        assert_eq!((toolchain.file, toolchain.unknown), (None, None));
        Ok(())
    }

    #[test]
    fn the_toolchain_file_is_the_one_that_rustup_reads() -> TestResult {
        #[rustfmt::skip]
        let cases = [
            ("in the repo",        &["a/b/rust-toolchain.toml"][..],                         Some("a/b/rust-toolchain.toml")),
            ("without .toml wins", &["a/b/rust-toolchain.toml", "a/b/rust-toolchain"][..],   Some("a/b/rust-toolchain")),
            ("above",              &["a/rust-toolchain"][..],                                Some("a/rust-toolchain")),
            ("nearest",            &["a/rust-toolchain", "a/b/rust-toolchain.toml"][..],     Some("a/b/rust-toolchain.toml")),
            ("below",              &["a/b/c/rust-toolchain"][..],                            None),
        ];
        for (why, files, want) in cases {
            let dir = tempfile::tempdir()?;
            std::fs::create_dir_all(dir.path().join("a/b"))?;
            for path in files {
                write(dir.path(), &[(path, path)])?;
            }
            let want = want.map(|path: &str| (dir.path().join(path), path.into()));
            assert_eq!(find_file(&dir.path().join("a/b"))?, want, "{why}");
        }
        Ok(())
    }

    #[test]
    fn cargos_choice_of_compiler_is_followed() -> TestResult {
        let dir = tempfile::tempdir()?;
        let repo = dir.path().join("repo");
        for name in ["repo/mine", "repo/built", "configured", "bin/rustc"] {
            program(&dir.path().join(name), &format!("echo {name} $1"))?;
        }
        let path = Environment::default().with("PATH", dir.path().join("bin"));
        let built = path.clone().with("CARGO_BUILD_RUSTC", "./built");
        let config = dir.path().join(".cargo/config.toml");
        #[rustfmt::skip]
        let cases = [
            ("PATH",            "",                             path.clone(),                           "bin/rustc -vV"),
            ("config",          "build.rustc = './configured'", path.clone(),                           "configured -vV"),
            ("[build]",         "build.rustc = './configured'", built.clone(),                          "repo/built -vV"),
            ("RUSTC",           "build.rustc = './configured'", built.clone().with("RUSTC", "./mine"),  "repo/mine -vV"),
            ("RUSTC is a name", "",                             built.with("RUSTC", "rustc"),           "bin/rustc -vV"),
        ];
        for (why, text, environment, want) in cases {
            write(dir.path(), &[(".cargo/config.toml", text)])?;
            let toolchain = Toolchain::of(&repo, &environment, &Memory::default())?;
            assert_eq!(toolchain.verbose_version.as_deref(), Some(want), "{why}");
            std::fs::remove_file(&config)?;
        }
        Ok(())
    }

    #[test]
    fn without_a_compiler_the_file_alone_will_do() -> TestResult {
        let dir = tempfile::tempdir()?;
        let failing = dir.path().join("bin");
        program(&failing.join("rustc"), "echo 'toolchain is not installed' >&2; exit 3")?;
        let none = Environment::default().with("PATH", "/nowhere");
        let refusing = Environment::default().with("PATH", &failing);
        let said = |environment: &Environment| -> std::result::Result<String, String> {
            match Toolchain::of(dir.path(), environment, &Memory::default()) {
                Ok(toolchain) => Ok(toolchain.unknown.unwrap_or_default()),
                Err(error) => Err(error.to_string().replace(&*dir.path().to_string_lossy(), "@")),
            }
        };
        let no_file = "no `rustc` in PATH and no `rust-toolchain.toml` in `@` or above it";
        assert_eq!(said(&none), Err(no_file.to_owned()));
        let refused = "`rustc -vV` failed in `@` (exit status: 3): toolchain is not installed";
        assert_eq!(said(&refusing), Err(refused.to_owned()));

        write(dir.path(), &[("rust-toolchain.toml", TOML)])?;
        assert_eq!(said(&none), Ok("no `rustc` in PATH".to_owned()));
        let warning = said(&refusing)?.replace(&*dir.path().to_string_lossy(), "@");
        assert_eq!(warning, refused);
        Ok(())
    }

    #[test]
    fn the_same_compiler_is_the_same_toolchain_however_it_was_asked_for() {
        const STABLE: &str = "[toolchain]\nchannel = \"stable\"\n";
        const COMMENT: &str = "[toolchain]\nchannel = \"stable\" # for CI\n";
        const COMPONENT: &str = "[toolchain]\nchannel = \"stable\"\ncomponents = [\"clippy\"]\n";
        let digest = |version: Option<&str>, file: Option<(&str, &str)>| {
            let file = file.map(|(path, content)| (path.into(), content.into()));
            let verbose_version = version.map(str::to_owned);
            Toolchain { verbose_version, file, unknown: None }.digest()
        };
        let [toml, other, plain] = ["/a/rust-toolchain.toml", "/b/c.toml", "/a/rust-toolchain"];
        #[rustfmt::skip]
        let cases = [
            ("a comment",        (Some("v"), Some((toml, STABLE))), (Some("v"), Some((toml, COMMENT))),     true),
            ("a component",      (Some("v"), Some((toml, STABLE))), (Some("v"), Some((toml, COMPONENT))),   true),
            ("another spelling", (Some("v"), Some((toml, STABLE))), (Some("v"), Some((plain, "1.95.0"))),   true),
            ("no file",          (Some("v"), Some((toml, STABLE))), (Some("v"), None),                      true),
            ("another rustc",    (Some("v"), Some((toml, STABLE))), (Some("w"), Some((toml, STABLE))),      false),
            ("... and no file",  (Some("v"), None),                 (Some("w"), None),                      false),
            ("no rustc",         (None, Some((toml, STABLE))),      (None, Some((other, STABLE))),          true),
            ("... other file",   (None, Some((toml, STABLE))),      (None, Some((toml, COMMENT))),          false),
            ("rustc comes",      (None, Some((toml, STABLE))),      (Some("v"), Some((toml, STABLE))),      false),
            ("... by that name", (None, Some((plain, "v"))),        (Some("v"), None),                      false),
        ];
        for (why, (version, file), (other_version, other_file), is_same) in cases {
            let [one, other] = [digest(version, file), digest(other_version, other_file)];
            assert_eq!(one == other, is_same, "{why}");
        }
    }
}
