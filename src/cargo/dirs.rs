//! Where cargo keeps things: its home, and the directories of a workspace.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::config::Config;
use super::environment::Environment;
use super::error::{Error, Result};
use super::{program, workspace};

/// The directories of a workspace, all absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dirs {
    /// Where the workspace's manifest and lock file are.
    pub workspace_root: PathBuf,
    /// Where cargo puts what it builds.
    pub target_dir: PathBuf,
    /// Where cargo puts what it builds on the way, when that is not the target directory.
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
/// `target_dir` stands for its `--target-dir` and is relative to `repo`. Cargo is asked; where
/// there is none, or it refuses to answer, its documented rules apply.
pub fn dirs(repo: &Path, environment: &Environment, target_dir: Option<&Path>) -> Result<Dirs> {
    let repo = workspace::open_repo(repo)?;
    let environment = match target_dir {
        Some(dir) => environment.clone().with("CARGO_TARGET_DIR", repo.join(dir)),
        None => environment.clone(),
    };
    match ask_cargo(&repo, &environment)? {
        Some(dirs) => Ok(dirs),
        None => by_rules(&repo, &environment),
    }
}

#[derive(Deserialize)]
struct Metadata {
    workspace_root: PathBuf,
    target_directory: PathBuf,
    // Cargo says so since 1.91.
    build_directory: Option<PathBuf>,
}

/// Asks cargo, without network and without resolving dependencies.
fn ask_cargo(repo: &Path, environment: &Environment) -> Result<Option<Dirs>> {
    let args = ["metadata", "--no-deps", "--offline", "--format-version=1"];
    let answer = program::run(OsStr::new("cargo"), &args, repo, environment)?;
    let Some(output) = answer.filter(|output| output.status.success()) else {
        return Ok(None);
    };
    let metadata: Metadata =
        serde_json::from_slice(&output.stdout).map_err(|error| Error::Malformed {
            what: format!("what `cargo metadata` says of `{}`", repo.display()),
            source: error.into(),
        })?;
    let Metadata { workspace_root, target_directory, build_directory } = metadata;
    Ok(Some(Dirs::new(&workspace_root, &target_directory, build_directory.as_deref())))
}

/// Finds the directories by the rules of the Cargo Book ("Configuration", "Build cache").
fn by_rules(repo: &Path, environment: &Environment) -> Result<Dirs> {
    // Without a home there are no templates and no file to read there.
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

/// Fills in a `build.build-dir`. How cargo computes `{workspace-path-hash}` is its own business,
/// and any other variable it refuses.
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

/// Removes `.` and doubled or trailing slashes. `..` stays: before it there may be a symlink.
fn tidy(path: &Path) -> PathBuf {
    path.components().collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{environment, write};
    use super::*;

    type TestResult = std::result::Result<(), Box<dyn std::error::Error>>;

    const PACKAGE: &str = "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2024\"\n";
    const MEMBER: &str = "[package]\nname = \"member\"\nversion = \"0.1.0\"\nedition = \"2024\"\n";
    const POINTER: &str = "[package]\nname = \"member\"\nversion = \"0.1.0\"\nedition = \"2024\"\nworkspace = \"../ws\"\n";

    struct Case {
        why: &'static str,
        files: &'static [(&'static str, &'static str)],
        variables: &'static [(&'static str, &'static str)],
        repo: &'static str,
        /// Workspace root, target directory and build directory below the test's directory.
        want: (&'static str, &'static str, Option<&'static str>),
    }

    /// `@` in a value stands for the test's directory.
    #[rustfmt::skip]
    const CASES: &[Case] = &[
        Case { why: "a package alone", files: &[("r/Cargo.toml", PACKAGE)], variables: &[],
            repo: "r", want: ("r", "r/target", None) },
        Case { why: "below the package", files: &[("r/Cargo.toml", PACKAGE), ("r/src/bin/x.rs", "")], variables: &[],
            repo: "r/src/bin", want: ("r", "r/target", None) },
        Case { why: "a member by name", files: &[("r/Cargo.toml", "workspace.members = [\"a/b\"]"), ("r/a/b/Cargo.toml", MEMBER)], variables: &[],
            repo: "r/a/b", want: ("r", "r/target", None) },
        Case { why: "a member by glob", files: &[("r/Cargo.toml", "[workspace]\nmembers = [\"crates/*\"]\nresolver = \"3\""), ("r/crates/m/Cargo.toml", MEMBER)], variables: &[],
            repo: "r/crates/m", want: ("r", "r/target", None) },
        Case { why: "an excluded package", files: &[("r/Cargo.toml", "[workspace]\nexclude = [\"fuzz\"]"), ("r/fuzz/Cargo.toml", MEMBER)], variables: &[],
            repo: "r/fuzz", want: ("r/fuzz", "r/fuzz/target", None) },
        Case { why: "a member in an excluded directory", files: &[("r/Cargo.toml", "[workspace]\nexclude = [\"x\"]\nmembers = [\"x/m\"]"), ("r/x/m/Cargo.toml", MEMBER)], variables: &[],
            repo: "r/x/m", want: ("r", "r/target", None) },
        Case { why: "a package that is its own workspace", files: &[("r/Cargo.toml", "workspace.members = []"), ("r/own/Cargo.toml", "[package]\nname = \"own\"\n[workspace]")], variables: &[],
            repo: "r/own", want: ("r/own", "r/own/target", None) },
        Case { why: "a pointer to the root", files: &[("ws/Cargo.toml", "workspace.members = [\"../m\"]"), ("m/Cargo.toml", POINTER)], variables: &[],
            repo: "m", want: ("ws", "ws/target", None) },
        Case { why: "an umbrella around the checkout", files: &[("Cargo.toml", "workspace.members = [\"r\"]"), ("r/Cargo.toml", PACKAGE), ("r/.git/HEAD", "")], variables: &[],
            repo: "r", want: ("", "target", None) },
        Case { why: "a package above is no workspace", files: &[("Cargo.toml", MEMBER), ("r/Cargo.toml", PACKAGE)], variables: &[],
            repo: "r", want: ("r", "r/target", None) },
        Case { why: "inside cargo's home", files: &[("Cargo.toml", "workspace.members = []"), ("home/r/Cargo.toml", PACKAGE)], variables: &[],
            repo: "home/r", want: ("home/r", "home/r/target", None) },
        Case { why: "a packaged crate", files: &[("Cargo.toml", "workspace.members = []"), ("target/package/r/Cargo.toml", PACKAGE)], variables: &[],
            repo: "target/package/r", want: ("target/package/r", "target/package/r/target", None) },
        Case { why: "CARGO_TARGET_DIR", files: &[("r/Cargo.toml", PACKAGE), ("r/.cargo/config.toml", "build.target-dir = \"c\"")], variables: &[("CARGO_TARGET_DIR", "@/t/./x/"), ("CARGO_BUILD_TARGET_DIR", "b")],
            repo: "r", want: ("r", "t/x", None) },
        Case { why: "CARGO_TARGET_DIR, relative, in a member", files: &[("r/Cargo.toml", "workspace.members = [\"m\"]"), ("r/m/Cargo.toml", MEMBER)], variables: &[("CARGO_TARGET_DIR", "t")],
            repo: "r/m", want: ("r", "r/m/t", None) },
        Case { why: "CARGO_BUILD_TARGET_DIR", files: &[("r/Cargo.toml", PACKAGE), ("r/.cargo/config.toml", "build.target-dir = \"c\"")], variables: &[("CARGO_BUILD_TARGET_DIR", "b")],
            repo: "r", want: ("r", "r/b", None) },
        Case { why: "config of the repo before that above", files: &[("r/Cargo.toml", PACKAGE), ("r/.cargo/config.toml", "build.target-dir = \"c\""), (".cargo/config.toml", "build.target-dir = \"above\"")], variables: &[],
            repo: "r", want: ("r", "r/c", None) },
        Case { why: "config above, relative to where it lies", files: &[("r/Cargo.toml", PACKAGE), ("r/.cargo/config.toml", "build.jobs = 1"), (".cargo/config.toml", "[build]\ntarget-dir = \"above\"")], variables: &[],
            repo: "r", want: ("r", "above", None) },
        Case { why: "config in cargo's home", files: &[("r/Cargo.toml", PACKAGE), ("home/config.toml", "build.target-dir = \"shared\"")], variables: &[],
            repo: "r", want: ("r", "shared", None) },
        Case { why: "config by its old name", files: &[("r/Cargo.toml", PACKAGE), ("r/.cargo/config", "build.target-dir = \"old\""), ("r/.cargo/config.toml", "build.target-dir = \"new\"")], variables: &[],
            repo: "r", want: ("r", "r/old", None) },
        Case { why: "config of the root does not reach up from a member", files: &[("r/Cargo.toml", "workspace.members = [\"m\"]"), ("r/m/Cargo.toml", MEMBER), ("r/m/.cargo/config.toml", "build.target-dir = \"mine\"")], variables: &[],
            repo: "r", want: ("r", "r/target", None) },
        Case { why: "the last included config", files: &[("r/Cargo.toml", PACKAGE), ("r/.cargo/config.toml", "include = [\"a.toml\", \"b/b.toml\", { path = \"c.toml\", optional = true }]"), ("r/.cargo/a.toml", "build.target-dir = \"a\""), ("r/.cargo/b/b.toml", "build.target-dir = \"b\"")], variables: &[],
            repo: "r", want: ("r", "r/.cargo/b", None) },
        Case { why: "the including config", files: &[("r/Cargo.toml", PACKAGE), ("r/.cargo/config.toml", "include = [\"a.toml\"]\nbuild.target-dir = \"own\""), ("r/.cargo/a.toml", "build.target-dir = \"a\"")], variables: &[],
            repo: "r", want: ("r", "r/own", None) },
        Case { why: "CARGO_BUILD_BUILD_DIR", files: &[("r/Cargo.toml", PACKAGE)], variables: &[("CARGO_BUILD_BUILD_DIR", "b")],
            repo: "r", want: ("r", "r/target", Some("r/b")) },
        Case { why: "build-dir of the config above", files: &[("r/Cargo.toml", PACKAGE), (".cargo/config.toml", "build.build-dir = \"b\"")], variables: &[],
            repo: "r", want: ("r", "r/target", Some("b")) },
        Case { why: "build-dir in the workspace root", files: &[("r/Cargo.toml", "workspace.members = [\"m\"]"), ("r/m/Cargo.toml", MEMBER)], variables: &[("CARGO_BUILD_BUILD_DIR", "{workspace-root}/b")],
            repo: "r/m", want: ("r", "r/target", Some("r/b")) },
        Case { why: "build-dir in cargo's home", files: &[("r/Cargo.toml", PACKAGE)], variables: &[("CARGO_BUILD_BUILD_DIR", "{cargo-cache-home}/b")],
            repo: "r", want: ("r", "r/target", Some("home/b")) },
        Case { why: "build-dir that is the target dir", files: &[("r/Cargo.toml", PACKAGE)], variables: &[("CARGO_BUILD_BUILD_DIR", "t"), ("CARGO_TARGET_DIR", "@/r/t/")],
            repo: "r", want: ("r", "r/t", None) },
    ];

    #[test]
    fn cargo_and_our_rules_agree_on_every_directory() -> TestResult {
        for Case { why, files, variables, repo, want } in CASES {
            let dir = tempfile::tempdir()?;
            let root = dir.path().canonicalize()?;
            write(&root, files)?;
            for (path, _) in files.iter().filter(|(path, _)| path.ends_with("Cargo.toml")) {
                let src = root.join(path).with_file_name("src");
                std::fs::create_dir_all(&src)?;
                std::fs::write(src.join("lib.rs"), "")?;
            }
            let mut environment = environment(&root.join("home"));
            for (name, value) in *variables {
                environment = environment.with(name, value.replace('@', &root.to_string_lossy()));
            }
            let below = |path: &str| root.join(path).components().collect();
            let (workspace_root, target_dir, build_dir) = *want;
            let want = Dirs {
                workspace_root: below(workspace_root),
                target_dir: below(target_dir),
                build_dir: build_dir.map(below),
            };
            let repo = root.join(repo);
            assert_eq!(ask_cargo(&repo, &environment)?.as_ref(), Some(&want), "cargo: {why}");
            let without_cargo = environment.with("PATH", "/nowhere");
            assert_eq!(dirs(&repo, &without_cargo, None)?, want, "rules: {why}");
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
            let found = dirs(&root.join("r"), &environment, Some(Path::new("chosen")))?;
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
        let found = dirs(&root, &environment(&root.join("home")), None)?;
        let target_dir = root.join("target");
        assert_eq!(found, Dirs { workspace_root: root, target_dir, build_dir: None });
        Ok(())
    }

    #[test]
    fn what_only_cargo_knows_is_an_error_without_it() -> TestResult {
        let dir = tempfile::tempdir()?;
        write(dir.path(), &[("Cargo.toml", PACKAGE), ("src/lib.rs", "")])?;
        let environment = environment(&dir.path().join("home"))
            .with("CARGO_BUILD_BUILD_DIR", "x/{workspace-path-hash}");
        assert!(dirs(dir.path(), &environment, None)?.build_dir.is_some());
        let without_cargo = environment.with("PATH", "/nowhere");
        let error = dirs(dir.path(), &without_cargo, None).map_err(|error| error.to_string());
        let want = "cannot resolve build directory `x/{workspace-path-hash}` without cargo";
        assert_eq!(error, Err(want.to_owned()));
        Ok(())
    }

    #[test]
    fn a_repo_that_is_not_there_is_named() {
        let missing = Path::new("/nowhere/repo");
        let error = dirs(missing, &Environment::default(), None).map_err(|error| error.to_string());
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
