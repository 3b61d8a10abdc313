//! The directories that cargo uses: its home, and those of a workspace.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::config::Config;
use super::error::{Error, Result};
use super::evidence::Evidence;
use super::memory::Memory;
use super::{program, workspace};
use crate::model::environment::Environment;

/// The directories of a workspace, all absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dirs {
    /// The directory of the workspace's manifest and lock file.
    pub workspace_root: PathBuf,
    /// The directory of cargo's output.
    pub target_dir: PathBuf,
    /// The directory of intermediate files, if it is not the target directory.
    pub build_dir: Option<PathBuf>,
}

/// Returns `CARGO_HOME`: `chosen`, else the variable, both relative to `cwd`, else `.cargo` in the
/// home directory. It need not exist.
pub fn cargo_home(environment: &Environment, chosen: Option<&Path>, cwd: &Path) -> Result<PathBuf> {
    let chosen = chosen.or_else(|| environment.get("CARGO_HOME").map(Path::new));
    let home = || environment.get("HOME").map(|home| Path::new(home).join(".cargo"));
    let dir = chosen.map(Path::to_owned).or_else(home).ok_or(Error::NoCargoHome)?;
    Ok(tidy(&cwd.join(dir)))
}

/// Returns the directories that cargo uses when it runs in `repo`.
///
/// `target_dir` stands for cargo's `--target-dir` and is relative to `repo`. The answer is cargo's own; its documented
/// rules apply if there is no cargo, or if it refuses to answer.
pub fn dirs(
    repo: &Path,
    environment: &Environment,
    target_dir: Option<&Path>,
    memory: &Memory,
) -> Result<Dirs> {
    let repo = workspace::open_repo(repo)?;
    let environment = match target_dir {
        Some(dir) => environment.clone().with("CARGO_TARGET_DIR", repo.join(dir)),
        None => environment.clone(),
    };
    match ask_cargo(&repo, &environment, memory)? {
        Some(dirs) => Ok(dirs),
        None => by_rules(&repo, &environment),
    }
}

#[derive(Serialize, Deserialize)]
struct Metadata {
    workspace_root: PathBuf,
    target_directory: PathBuf,
    // Cargo reports it since 1.91.
    build_directory: Option<PathBuf>,
}

/// Asks cargo, without network access and without resolving dependencies, unless the answer is remembered.
fn ask_cargo(repo: &Path, environment: &Environment, memory: &Memory) -> Result<Option<Dirs>> {
    let (cargo, args) =
        (OsStr::new("cargo"), ["metadata", "--no-deps", "--offline", "--format-version=1"]);
    let evidence =
        || Evidence::of_program(cargo, &args, repo, environment).with_workspace(repo, environment);
    // Only an answer that our own rules give as well is remembered: they read nothing but the evidence.
    let is_refuted =
        |answer: &Metadata| by_rules(repo, environment).ok().as_ref() != Some(&answer.dirs());
    let answer = memory.answer(evidence, is_refuted, || {
        let answer = program::run(cargo, &args, repo, environment)?;
        let Some(output) = answer.filter(|output| output.status.success()) else {
            return Ok(Err(()));
        };
        let metadata: Metadata =
            serde_json::from_slice(&output.stdout).map_err(|error| Error::Malformed {
                what: format!("the output of `cargo metadata` for `{}`", repo.display()),
                source: error.into(),
            })?;
        Ok(Ok(metadata))
    })?;
    let Ok(metadata) = answer else { return Ok(None) };
    Ok(Some(metadata.dirs()))
}

impl Metadata {
    fn dirs(&self) -> Dirs {
        let build_dir = self.build_directory.as_deref();
        Dirs::new(&self.workspace_root, &self.target_directory, build_dir)
    }
}

/// Finds the directories by the rules of the Cargo Book ("Configuration", "Build cache").
fn by_rules(repo: &Path, environment: &Environment) -> Result<Dirs> {
    // Without a cargo home, no template names it and it holds no configuration file.
    let home = cargo_home(environment, None, repo).ok();
    let root = workspace::root(repo, home.as_deref())?.unwrap_or_else(|| repo.to_owned());
    let config = Config::read(repo, home.as_deref())?;

    let from_environment = |name| environment.get(name).map(|dir| repo.join(dir));
    let target_dir = from_environment("CARGO_TARGET_DIR")
        .or_else(|| from_environment("CARGO_BUILD_TARGET_DIR"))
        .or_else(|| config.build("target-dir").map(|(dir, base)| base.join(dir)))
        .unwrap_or_else(|| root.join("target"));

    let template = match environment.get("CARGO_BUILD_BUILD_DIR") {
        Some(template) => Some((template.to_string_lossy().into_owned(), repo)),
        None => config.build("build-dir").map(|(template, base)| (template.to_owned(), base)),
    };
    let build_dir = match template {
        Some((template, base)) => Some(base.join(fill_in(template, &root, home.as_deref())?)),
        None => None,
    };
    Ok(Dirs::new(&root, &target_dir, build_dir.as_deref()))
}

/// Fills in a `build.build-dir`. Fails on `{workspace-path-hash}`, whose computation cargo does not document, and on
/// other variables, which cargo refuses.
fn fill_in(template: String, root: &Path, home: Option<&Path>) -> Result<PathBuf> {
    let mut filled = template.replace("{workspace-root}", &root.to_string_lossy());
    if let Some(home) = home {
        filled = filled.replace("{cargo-cache-home}", &home.to_string_lossy());
    }
    if filled.contains(['{', '}']) {
        return Err(Error::BuildDirUnknown(template));
    }
    Ok(filled.into())
}

impl Dirs {
    fn new(workspace_root: &Path, target_dir: &Path, build_dir: Option<&Path>) -> Self {
        let target_dir = tidy(target_dir);
        let build_dir = build_dir.map(tidy).filter(|dir| *dir != target_dir);
        Self { workspace_root: tidy(workspace_root), target_dir, build_dir }
    }
}

/// Removes `.` and doubled or trailing slashes. `..` stays: the component before it may be a symlink.
fn tidy(path: &Path) -> PathBuf {
    path.components().collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{environment, write};
    use super::*;

    type TestResult = std::result::Result<(), Box<dyn std::error::Error>>;

    const PACKAGE: &str = "[package]\nname = 'app'\nversion = '0.1.0'\nedition = '2024'\n";
    const MEMBER: &str = "[package]\nname = 'm'\nversion = '0.1.0'\nedition = '2024'\n";
    const POINTER: &str = "[package]\nname = 'm'\nedition = '2024'\nworkspace = '../ws'\n";
    const OWN: &str = "[package]\nname = 'm'\nedition = '2024'\n[workspace]\n";

    /// Asserts that cargo and our rules both find `want` for `repo`; `@` in a value stands for
    /// `root`, which holds what `want` names.
    fn assert_both(
        why: &str,
        root: &Path,
        variables: &[(&str, &str)],
        repo: &str,
        want: (&str, &str, Option<&str>),
    ) -> TestResult {
        for entry in ignore::WalkBuilder::new(root).build() {
            let path = entry?.into_path();
            if path.ends_with("Cargo.toml") {
                write(path.parent().unwrap_or(root), &[("src/lib.rs", "")])?;
            }
        }
        let mut environment = environment(&root.join("home"));
        for (name, value) in variables {
            environment = environment.with(name, value.replace('@', &root.to_string_lossy()));
        }
        let below = |path: &str| root.join(path).components().collect();
        let (workspace_root, target_dir, build_dir) = want;
        let want = Dirs {
            workspace_root: below(workspace_root),
            target_dir: below(target_dir),
            build_dir: build_dir.map(below),
        };
        let repo = root.join(repo);
        assert_eq!(
            ask_cargo(&repo, &environment, &Memory::default())?.as_ref(),
            Some(&want),
            "cargo: {why}"
        );
        let without_cargo = environment.with("PATH", "/nowhere");
        assert_eq!(dirs(&repo, &without_cargo, None, &Memory::default())?, want, "rules: {why}");
        Ok(())
    }

    #[test]
    fn cargo_and_our_rules_agree_on_every_workspace() -> TestResult {
        type Files = [(&'static str, &'static str)];
        #[rustfmt::skip]
        let cases: [(&str, &Files, &str, &str); 14] = [
            //why                   files                                                repo         root
            ("a package alone",     &[("r/Cargo.toml", PACKAGE)],                        "r",         "r"),
            ("below the package",   &[("r/Cargo.toml", PACKAGE)],                        "r/src",     "r"),
            ("a member by name",    &[("r/Cargo.toml", "workspace.members = ['a/m']"),
                                      ("r/a/m/Cargo.toml", MEMBER)],                     "r/a/m",     "r"),
            ("a member by glob",    &[("r/Cargo.toml", "workspace.members = ['a/*']"),
                                      ("r/a/m/Cargo.toml", MEMBER)],                     "r/a/m",     "r"),
            ("an excluded package", &[("r/Cargo.toml", "workspace.exclude = ['m']"),
                                      ("r/m/Cargo.toml", MEMBER)],                       "r/m",       "r/m"),
            ("only so alike",       &[("r/Cargo.toml", "workspace = { exclude = ['m'], members = ['m2'] }"),
                                      ("r/m2/Cargo.toml", MEMBER)],                      "r/m2",      "r"),
            ("excluded but listed", &[("r/Cargo.toml", "workspace = { exclude = ['a'], members = ['a/m'] }"),
                                      ("r/a/m/Cargo.toml", MEMBER)],                     "r/a/m",     "r"),
            ("its own workspace",   &[("r/Cargo.toml", "workspace.members = []"),
                                      ("r/m/Cargo.toml", OWN)],                          "r/m",       "r/m"),
            ("a pointer",           &[("ws/Cargo.toml", "workspace.members = ['../m']"),
                                      ("m/Cargo.toml", POINTER)],                        "m",         "ws"),
            ("an umbrella",         &[("Cargo.toml", "workspace.members = ['r']"),
                                      ("r/Cargo.toml", PACKAGE), ("r/.git/HEAD", "")],   "r",         ""),
            ("a package above",     &[("Cargo.toml", MEMBER), ("r/Cargo.toml", PACKAGE)], "r",        "r"),
            ("in cargo's home",     &[("Cargo.toml", "workspace.members = []"),
                                      ("home/r/Cargo.toml", PACKAGE)],                   "home/r",    "home/r"),
            ("beside cargo's home", &[("Cargo.toml", "workspace.members = ['r/m']"),
                                      ("r/m/Cargo.toml", MEMBER)],                       "r/m",       ""),
            ("a packaged crate",    &[("Cargo.toml", "workspace.members = []"),
                                      ("target/package/r/Cargo.toml", PACKAGE)],         "target/package/r", "target/package/r"),
        ];
        for (why, files, repo, want) in cases {
            let dir = tempfile::tempdir()?;
            let root = dir.path().canonicalize()?;
            write(&root, files)?;
            std::fs::create_dir_all(root.join(repo))?;
            let target_dir = Path::new(want).join("target");
            let target_dir = target_dir.to_str().ok_or("not UTF-8")?;
            assert_both(why, &root, &[], repo, (want, target_dir, None))?;
        }
        Ok(())
    }

    #[test]
    fn cargo_and_our_rules_agree_on_every_directory() -> TestResult {
        const R: &str = "r/.cargo/config.toml";
        const OLD: &str = "r/.cargo/config";
        const M: &str = "r/m/.cargo/config.toml";
        const UP: &str = ".cargo/config.toml";
        const HOME: &str = "home/config.toml";
        const A: (&str, &str) = ("r/.cargo/a.toml", "build.target-dir = 'a'");
        const B: (&str, &str) = ("r/.cargo/b/b.toml", "build.target-dir = 'b'");
        const INCLUDE: &str =
            "include = ['a.toml', 'b/b.toml', { path = 'c.toml', optional = true }]\n";
        const STRONGER: &str = "include = ['a.toml']\nbuild.target-dir = 'c'\n";
        const AT_HOME: &str = "build.build-dir = '{cargo-cache-home}/b'";
        const T: &str = "CARGO_TARGET_DIR";
        const BT: &str = "CARGO_BUILD_TARGET_DIR";
        const BB: &str = "CARGO_BUILD_BUILD_DIR";
        type Pairs = &'static [(&'static str, &'static str)];
        struct Case(&'static str, Pairs, Pairs, [&'static str; 2], Option<&'static str>);
        #[rustfmt::skip]
        let cases = [
            //   why                  files                               variables                      repo, target dir       build dir
            Case("absolute",          &[(R, "build.target-dir = 'c'")],   &[(T, "@/t/./x/"), (BT, "b")], ["r", "t/x"],          None),
            Case("relative",          &[],                                &[(T, "t")],                   ["r/m", "r/m/t"],      None),
            Case("[build]",           &[(R, "build.target-dir = 'c'")],   &[(BT, "b")],                  ["r", "r/b"],          None),
            Case("nearest config",    &[(R, "build.target-dir = 'c'"),
                                        (UP, "build.target-dir = 'u'")],  &[],                           ["r", "r/c"],          None),
            Case("config above",      &[(R, "build.jobs = 1"),
                                        (UP, "[build]\ntarget-dir='u'")], &[],                           ["r/m", "u"],          None),
            Case("config at home",    &[(HOME, "build.target-dir = 'h'")], &[],                          ["r", "h"],            None),
            Case("home is weaker",    &[(HOME, "build.target-dir = 'h'"),
                                        (R, "build.target-dir = 'c'")],   &[],                           ["r", "r/c"],          None),
            Case("old name",          &[(R, "build.target-dir = 'new'"),
                                        (OLD, "build.target-dir = 'old'")], &[],                         ["r", "r/old"],        None),
            Case("config below",      &[(M, "build.target-dir = 'm'")],   &[],                           ["r", "r/target"],     None),
            Case("config of member",  &[(M, "build.target-dir = 'x'")],   &[],                           ["r/m", "r/m/x"],      None),
            Case("last included",     &[(R, INCLUDE), A, B],              &[],                           ["r", "r/.cargo/b"],   None),
            Case("one included",      &[(R, "include = ['a.toml']"), A],  &[],                           ["r", "r/a"],          None),
            Case("including is stronger", &[(R, STRONGER), A],            &[],                           ["r", "r/c"],          None),
            Case("build dir",         &[(R, "build.build-dir = 'c'")],    &[(BB, "b")],                  ["r/m", "r/target"],   Some("r/m/b")),
            Case("in the config",     &[(UP, "build.build-dir = 'b'")],   &[],                           ["r", "r/target"],     Some("b")),
            Case("in the root",       &[],                                &[(BB, "{workspace-root}/b")], ["r/m", "r/target"],   Some("r/b")),
            Case("at home",           &[(R, AT_HOME)],                    &[],                           ["r", "r/target"],     Some("home/b")),
            Case("with a target",     &[],                                &[(BB, "b"), (T, "t")],        ["r", "r/t"],          Some("r/b")),
            Case("both the same",     &[],                                &[(BB, "t"), (T, "@/r/t/")],   ["r", "r/t"],          None),
        ];
        for Case(why, files, variables, [repo, target_dir], build_dir) in cases {
            let dir = tempfile::tempdir()?;
            let root = dir.path().canonicalize()?;
            let workspace = format!("{PACKAGE}[workspace]\nmembers = ['m']\n");
            write(&root, &[("r/Cargo.toml", &workspace), ("r/m/Cargo.toml", MEMBER)])?;
            write(&root, files)?;
            assert_both(why, &root, variables, repo, ("r", target_dir, build_dir))?;
        }
        Ok(())
    }

    #[test]
    fn the_chosen_target_dir_wins_and_starts_at_the_repo() -> TestResult {
        let dir = tempfile::tempdir()?;
        let root = dir.path().canonicalize()?;
        write(&root, &[("r/Cargo.toml", PACKAGE), ("r/src/lib.rs", "")])?;
        let environment = environment(&root.join("home")).with("CARGO_TARGET_DIR", "other");
        for environment in [environment.clone(), environment.with("PATH", "/nowhere")] {
            let found =
                dirs(&root.join("r"), &environment, Some(Path::new("chosen")), &Memory::default())?;
            assert_eq!(found.target_dir, root.join("r/chosen"));
            assert_eq!(found.build_dir, None);
        }
        Ok(())
    }

    #[test]
    fn a_repo_that_cargo_refuses_has_the_directories_the_rules_give() -> TestResult {
        let dir = tempfile::tempdir()?;
        let root = dir.path().canonicalize()?;
        write(&root, &[("rust/Cargo.toml", PACKAGE)])?;
        let found = dirs(&root, &environment(&root.join("home")), None, &Memory::default())?;
        let target_dir = root.join("target");
        assert_eq!(found, Dirs { workspace_root: root, target_dir, build_dir: None });
        Ok(())
    }

    #[test]
    fn a_directory_that_only_cargo_knows_is_an_error_without_cargo() -> TestResult {
        let dir = tempfile::tempdir()?;
        write(dir.path(), &[("Cargo.toml", PACKAGE), ("src/lib.rs", "")])?;
        let environment = environment(&dir.path().join("home"))
            .with("CARGO_BUILD_BUILD_DIR", "x/{workspace-path-hash}");
        assert!(dirs(dir.path(), &environment, None, &Memory::default())?.build_dir.is_some());
        let without_cargo = environment.with("PATH", "/nowhere");
        let error = dirs(dir.path(), &without_cargo, None, &Memory::default())
            .map_err(|error| error.to_string());
        let want = "cannot resolve build directory `x/{workspace-path-hash}` without cargo";
        assert_eq!(error, Err(want.to_owned()));
        Ok(())
    }

    #[test]
    fn a_repo_that_is_not_there_is_named() {
        let missing = Path::new("/nowhere/repo");
        let error = dirs(missing, &Environment::default(), None, &Memory::default())
            .map_err(|error| error.to_string());
        assert_eq!(error, Err("`/nowhere/repo` is not a directory".to_owned()));
    }

    #[test]
    fn cargos_home_is_found_as_cargo_finds_it() -> TestResult {
        #[rustfmt::skip]
        let cases = [
            ("home",         &[("HOME", "/h")][..],                           None,      "/h/.cargo"),
            ("variable",     &[("HOME", "/h"), ("CARGO_HOME", "/c/")][..],    None,      "/c"),
            ("relative",     &[("HOME", "/h"), ("CARGO_HOME", "./c")][..],    None,      "/w/c"),
            ("empty",        &[("HOME", "/h"), ("CARGO_HOME", "")][..],       None,      "/h/.cargo"),
            ("chosen",       &[("HOME", "/h"), ("CARGO_HOME", "/c")][..],     Some("o"), "/w/o"),
            ("chosen alone", &[][..],                                         Some("/o"), "/o"),
        ];
        for (why, variables, chosen, want) in cases {
            let environment =
                variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
            let found = cargo_home(&environment, chosen.map(Path::new), Path::new("/w"))?;
            assert_eq!(found, Path::new(want), "{why}");
        }
        let nowhere = cargo_home(&Environment::default(), None, Path::new("/w"));
        assert!(matches!(nowhere, Err(Error::NoCargoHome)));
        Ok(())
    }
}
