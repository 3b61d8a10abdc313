//! How rustup selects the toolchain of a checkout: two checkouts with the same selection share one
//! answer of `rustc`.
//!
//! See "Overrides" in the rustup book. An uncertain selection counts as none.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use toml::Table;

use crate::fs::regular::read_to_string;
use crate::model::environment::Environment;

/// The setting by which rustup selects a toolchain. Equal selections mean the same toolchain, in
/// any directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Selection {
    /// `RUSTUP_TOOLCHAIN`.
    Variable,
    /// A toolchain file with this name and content.
    File(OsString, Vec<u8>),
    /// The default toolchain.
    Default,
}

/// Returns the selection that rustup makes in a checkout with this toolchain `file`.
///
/// `None` if `rustc`, a name to find in PATH or an absolute path, is not rustup's, and if the
/// answer depends on the directory: a directory has an override, or a file names a path.
pub(super) fn selection(
    rustc: &OsStr,
    file: Option<&(PathBuf, Vec<u8>)>,
    environment: &Environment,
) -> Option<Selection> {
    is_rustup(&find(rustc, environment)?).then_some(())?;
    if let Some(toolchain) = environment.get("RUSTUP_TOOLCHAIN") {
        return is_name(toolchain.as_encoded_bytes()).then_some(Selection::Variable);
    }
    has_no_overrides(environment).then_some(())?;
    let Some((path, content)) = file else { return Some(Selection::Default) };
    is_name(content)
        .then(|| Selection::File(path.file_name().unwrap_or_default().to_owned(), content.clone()))
}

/// Tells whether `text` selects a toolchain by its name, not by its path.
pub(super) fn is_name(text: &[u8]) -> bool {
    // A backslash may stand for any other character.
    !text.iter().any(|byte| b"/\\".contains(byte)) && !text.windows(4).any(|word| word == b"path")
}

/// Returns the program that runs as `name`, if it is the same in every directory.
pub(super) fn find(name: &OsStr, environment: &Environment) -> Option<PathBuf> {
    if name.as_encoded_bytes().contains(&b'/') {
        return Some(name.into());
    }
    let dirs = std::env::split_paths(environment.get("PATH")?).collect::<Vec<_>>();
    let can_run = |path: &PathBuf| {
        let found = path.metadata();
        found.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    let found = dirs.iter().map(|dir| dir.join(name)).find(can_run)?;
    let is_relative = |dir: &PathBuf| !dir.is_absolute();
    (!dirs.iter().any(is_relative)).then_some(found)
}

/// Tells whether a program is one of rustup's: a link to `rustup`, as its installer makes them. Other
/// launchers bring a `rustup` of their own, which is a link to something else.
pub(super) fn is_rustup(program: &Path) -> bool {
    let file = |path: &Path| path.metadata().ok().map(|found| (found.dev(), found.ino()));
    let Ok(real) = program.canonicalize() else { return false };
    let rustup = real.with_file_name("rustup").canonicalize().ok();
    let rustup = rustup.filter(|rustup| rustup.ends_with("rustup"));
    rustup.is_some_and(|rustup| file(&rustup).is_some() && file(&rustup) == file(&real))
}

/// Returns rustup's home, if it is the same in every directory.
pub(super) fn home(environment: &Environment) -> Option<PathBuf> {
    let home = environment.get("RUSTUP_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(Path::new(environment.get("HOME")?).join(".rustup")));
    home.filter(|home| home.is_absolute())
}

/// Tells whether rustup's settings certainly override the toolchain of no directory.
fn has_no_overrides(environment: &Environment) -> bool {
    let Some(home) = home(environment) else { return false };
    let settings = read_to_string(&home.join("settings.toml")).ok();
    let Some(settings) = settings.and_then(|text| text.parse::<Table>().ok()) else { return false };
    settings
        .get("overrides")
        .is_none_or(|overrides| overrides.as_table().is_some_and(Table::is_empty))
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::os::unix::fs::symlink;

    use super::super::testing::write;
    use super::*;

    type TestResult = std::result::Result<(), Box<dyn std::error::Error>>;

    const NO_OVERRIDES: &str = "version = '12'\ndefault_toolchain = 'stable'\n[overrides]\n";
    const AN_OVERRIDE: &str = "[overrides]\n'/elsewhere' = 'nightly'\n";
    const CHANNEL: &str = "[toolchain]\nchannel = '1.95.0'\n";

    /// Makes `dir/bin/rustc` a link to the program `dir/bin/rustup`, and returns an environment
    /// that finds them.
    fn installed(dir: &Path) -> io::Result<Environment> {
        write(dir, &[("bin/rustup", "#!/bin/sh\n"), ("home/settings.toml", NO_OVERRIDES)])?;
        let bin = dir.join("bin");
        std::fs::set_permissions(bin.join("rustup"), PermissionsExt::from_mode(0o755))?;
        symlink("rustup", bin.join("rustc"))?;
        let home = dir.join("home");
        Ok(Environment::default().with("PATH", bin).with("RUSTUP_HOME", home))
    }

    fn select(file: Option<(&str, &str)>, environment: &Environment) -> Option<Selection> {
        let file = file.map(|(path, content)| (PathBuf::from(path), content.into()));
        selection("rustc".as_ref(), file.as_ref(), environment)
    }

    #[test]
    fn two_checkouts_that_rustup_treats_alike_have_one_selection() -> TestResult {
        let dir = tempfile::tempdir()?;
        let base = installed(dir.path())?;
        let with = |toolchain: &str| base.clone().with("RUSTUP_TOOLCHAIN", toolchain);
        let file = Some(("/a/rust-toolchain.toml", CHANNEL));
        let path = Some(("/a/rust-toolchain.toml", "toolchain.path = 'own'"));
        let absolute = Some(("/a/rust-toolchain", "/opt/rust"));
        let by_file = Selection::File("rust-toolchain.toml".into(), CHANNEL.into());
        #[rustfmt::skip]
        let cases = [
            ("nothing",               None,     base.clone(),          Some(Selection::Default)),
            ("a file",                file,     base.clone(),          Some(by_file)),
            ("a file with a path",    path,     base.clone(),          None),
            ("a path alone",          absolute, base.clone(),          None),
            ("the variable wins",     path,     with("1.95.0"),        Some(Selection::Variable)),
            ("a path as variable",    file,     with("/opt/rust"),     None),
            ("set to nothing",        None,     with(""),              Some(Selection::Default)),
        ];
        for (why, file, environment, want) in cases {
            assert_eq!(select(file, &environment), want, "{why}");
        }
        let elsewhere = Some(("/b/rust-toolchain.toml", CHANNEL));
        assert_eq!(select(file, &base), select(elsewhere, &base));
        // rustup reads a file without `.toml` by other rules.
        assert_ne!(select(file, &base), select(Some(("/b/rust-toolchain", CHANNEL)), &base));
        Ok(())
    }

    #[test]
    fn a_toolchain_that_checkouts_may_not_share_is_no_selection() -> TestResult {
        type Break = fn(&Path, Environment) -> io::Result<Environment>;
        #[rustfmt::skip]
        let cases: [(&str, Break); 8] = [
            ("an override",         |dir, it| write(dir, &[("home/settings.toml", AN_OVERRIDE)]).map(|()| it)),
            ("unreadable settings", |dir, it| write(dir, &[("home/settings.toml", "[")]).map(|()| it)),
            ("no settings",         |dir, it| std::fs::remove_file(dir.join("home/settings.toml")).map(|()| it)),
            ("a relative home",     |_, it| Ok(it.with("RUSTUP_HOME", "home"))),
            ("no home",             |_, it| Ok(it.without("RUSTUP_HOME"))),
            ("a relative PATH",     |_, it| { let path = it.get("PATH").unwrap_or_default().to_owned();
                                              let path = std::env::join_paths([path, "bin".into()]);
                                              Ok(it.with("PATH", path.map_err(io::Error::other)?)) }),
            ("another rustc first", |dir, it| { write(dir, &[("first/rustc", "#!/bin/sh\n")])?;
                                                std::fs::set_permissions(dir.join("first/rustc"), PermissionsExt::from_mode(0o755))?;
                                                let path = std::env::join_paths([dir.join("first"), dir.join("bin")]);
                                                Ok(it.with("PATH", path.map_err(io::Error::other)?)) }),
            ("no rustup",           |dir, it| { std::fs::remove_file(dir.join("bin/rustc"))?;
                                                std::fs::rename(dir.join("bin/rustup"), dir.join("bin/rustc"))?; Ok(it) }),
        ];
        for (why, change) in cases {
            let dir = tempfile::tempdir()?;
            let environment = installed(dir.path())?;
            assert_eq!(select(None, &environment), Some(Selection::Default), "{why}: before");
            let environment = change(dir.path(), environment)?;
            assert_eq!(select(None, &environment), None, "{why}");
        }
        Ok(())
    }

    #[test]
    fn the_home_directory_holds_the_settings_if_no_variable_says_where() -> TestResult {
        let dir = tempfile::tempdir()?;
        let environment = installed(dir.path())?.without("RUSTUP_HOME").with("HOME", dir.path());
        assert_eq!(select(None, &environment), None);
        write(dir.path(), &[(".rustup/settings.toml", NO_OVERRIDES)])?;
        assert_eq!(select(None, &environment), Some(Selection::Default));
        Ok(())
    }
}
