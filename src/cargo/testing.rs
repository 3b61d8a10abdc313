//! Shared by the tests of this module: real directories, and an environment for real programs.

use std::io;
use std::path::Path;

use crate::model::environment::Environment;

/// Returns an environment in which cargo, rustc and git run, with `cargo_home` as its own
/// `CARGO_HOME`.
pub(super) fn environment(cargo_home: &Path) -> Environment {
    const PASSED_ON: [&str; 4] = ["PATH", "HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"];
    let passed_on = |name| Some((name, std::env::var_os(name)?));
    let passed_on = PASSED_ON.into_iter().filter_map(passed_on);
    passed_on
        .fold(Environment::default(), |environment, (name, value)| environment.with(name, value))
        .with("CARGO_HOME", cargo_home)
}

/// Writes files, each a path below `root` and its content, and the directories they need.
pub(super) fn write(root: &Path, files: &[(&str, &str)]) -> io::Result<()> {
    for (path, content) in files {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap_or(root))?;
        std::fs::write(path, content)?;
    }
    Ok(())
}

/// Runs git in `dir`, without the configuration of the user or the machine.
pub(super) fn git(dir: &Path, args: &[&str]) -> io::Result<()> {
    let mut git = std::process::Command::new("git");
    git.args(["-c", "user.name=t", "-c", "user.email=t@example.com"]).args(args);
    git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1").current_dir(dir);
    let output = git.output()?;
    let said = || String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(io::Error::other(said())) }
}
