//! The configuration of a `CARGO_HOME` for use in another home, where relative paths resolve differently.
//!
//! Cargo resolves a relative path of a configuration file from the directory above the one that holds the file (The
//! Cargo Book, "Config-relative paths"). Cargo takes the path at which it reads the file, so a symlink does not help.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::error::Result;
use crate::fs::At;
use crate::fs::regular::read_to_string;

/// The file that another `CARGO_HOME` needs so that a configuration has the same effect there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HomeConfig {
    /// None: there is no configuration, or cargo reads it on its way up from the repo.
    Nothing,
    /// The file itself, for example by a symlink: it has no relative path.
    Itself(PathBuf),
    /// A file with this text.
    Text {
        /// The file that the text was made from.
        source: PathBuf,
        /// The text, with absolute paths.
        text: String,
        /// The settings left out because they are secret.
        left_out: Vec<&'static str>,
    },
}

/// Returns the form that the configuration of `home` needs in another home, for a cargo that runs in `repo`.
pub fn home_config(home: &Path, repo: &Path) -> Result<HomeConfig> {
    // If cargo read it twice, its arrays (`rustflags`) would hold every value twice.
    let canonical = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let real_home = canonical(home);
    if canonical(repo).ancestors().any(|dir| canonical(&dir.join(".cargo")) == real_home) {
        return Ok(HomeConfig::Nothing);
    }
    // If both exist, cargo reads the one with the old name.
    let source = ["config", "config.toml"].map(|name| home.join(name));
    let Some(source) = source.into_iter().find(|path| path.is_file()) else {
        return Ok(HomeConfig::Nothing);
    };
    let text = read_to_string(&source).at("read", &source)?;
    Ok(match moved(&text, home) {
        None => HomeConfig::Itself(source),
        Some((text, left_out)) => HomeConfig::Text { source, text, left_out },
    })
}

/// Settings that are directories and files. `*` stands for every key; a list stands for each of its values.
const FILES: [&[&str]; 11] = [
    &["paths"],
    &["build", "target-dir"],
    &["build", "build-dir"],
    &["build", "dep-info-basedir"],
    &["install", "root"],
    &["http", "cainfo"],
    &["http", "proxy-cainfo"],
    &["source", "*", "directory"],
    &["source", "*", "local-registry"],
    &["patch", "*", "*", "path"],
    &["env", "*"],
];

/// Settings that are programs, which cargo looks up in `PATH` unless they have a slash. Arguments may follow.
const PROGRAMS: [&[&str]; 11] = [
    &["build", "rustc"],
    &["build", "rustc-wrapper"],
    &["build", "rustc-workspace-wrapper"],
    &["build", "rustdoc"],
    &["target", "*", "linker"],
    &["target", "*", "runner"],
    &["host", "linker"],
    &["doc", "browser"],
    &["registry", "credential-provider"],
    &["registries", "*", "credential-provider"],
    &["credential-alias", "*"],
];

const SECRETS: [(&[&str], &str, &str); 4] = [
    (&["registry"], "token", "registry.token"),
    (&["registry"], "secret-key", "registry.secret-key"),
    (&["registries", "*"], "token", "registries.<name>.token"),
    (&["registries", "*"], "secret-key", "registries.<name>.secret-key"),
];

/// Returns the text of the configuration of `home` with absolute paths, and the secrets left out of it. `None` if all
/// paths are absolute, or if the text is not valid TOML: cargo itself will say so.
fn moved(text: &str, home: &Path) -> Option<(String, Vec<&'static str>)> {
    let mut config = Value::Table(text.parse::<Table>().ok()?);
    let mut is_changed = false;
    let base = home.parent().unwrap_or(home);
    let mut put_at = |base: &Path, path: &mut String| {
        let is_relative = !path.is_empty() && !path.starts_with(['/', '{']);
        if let Some(absolute) = base.join(&*path).to_str().filter(|_| is_relative) {
            absolute.clone_into(path);
            is_changed = true;
        }
    };
    for pattern in FILES {
        each(&mut config, pattern, &mut |value| match value {
            Value::String(_) if pattern[0] == "env" => {}
            Value::Table(variable) => {
                if variable.remove("relative") == Some(Value::Boolean(true))
                    && let Some(Value::String(path)) = variable.get_mut("value")
                {
                    put_at(base, path);
                }
            }
            value => texts(value).into_iter().for_each(|path| put_at(base, path)),
        });
    }
    for pattern in PROGRAMS {
        each(&mut config, pattern, &mut |value| {
            let Some(program) = texts(value).into_iter().next() else { return };
            let is_named_by_path = program.split_whitespace().next().is_some_and(has_slash);
            if is_named_by_path {
                put_at(base, program);
            }
        });
    }
    each(&mut config, &["include"], &mut |value| match value {
        Value::Array(values) => {
            for value in values {
                let path = if let Value::Table(table) = value {
                    table.get_mut("path")
                } else {
                    Some(value)
                };
                path.into_iter().flat_map(texts).for_each(|path| put_at(home, path));
            }
        }
        value => texts(value).into_iter().for_each(|path| put_at(home, path)),
    });
    if !is_changed {
        return None;
    }
    let mut left_out = Vec::new();
    for (pattern, key, name) in SECRETS {
        each(&mut config, pattern, &mut |value| {
            if value.as_table_mut().is_some_and(|table| table.remove(key).is_some()) {
                left_out.push(name);
            }
        });
    }
    left_out.dedup();
    Some((toml::to_string(&config).ok()?, left_out))
}

fn has_slash(word: &str) -> bool {
    word.contains('/')
}

/// Calls `change` with every value that `pattern` leads to.
fn each(value: &mut Value, pattern: &[&str], change: &mut impl FnMut(&mut Value)) {
    match (pattern, value) {
        ([], value) => change(value),
        (["*", rest @ ..], Value::Table(table)) => {
            table.iter_mut().for_each(|(_, value)| each(value, rest, change));
        }
        ([name, rest @ ..], Value::Table(table)) => {
            table.get_mut(*name).into_iter().for_each(|value| each(value, rest, change));
        }
        _ => {}
    }
}

/// Returns a string, or each string of a list.
fn texts(value: &mut Value) -> Vec<&mut String> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(values) => values.iter_mut().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type TestResult = std::result::Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn paths_stay_where_they_were() {
        #[rustfmt::skip]
        let cases = [
            //why                 before                                        after, or nothing if the file will do
            ("nothing relative",  "build.jobs = 2\npaths = ['/p']",             None),
            ("a program in PATH", "build.rustc-wrapper = 'sccache'",            None),
            ("no TOML",           "build = = 2",                                None),
            ("a template",        "build.build-dir = '{workspace-root}/b'",     None),
            ("an empty path",     "build.target-dir = ''",                      None),
            ("a variable",        "env.A = 'x/y'",                              None),
            ("target",            "build.target-dir = 't'",                     Some("build.target-dir = '/u/t'")),
            ("up",                "build.target-dir = '../t'",                  Some("build.target-dir = '/u/../t'")),
            ("a program",         "build.rustc-wrapper = 'bin/x'",              Some("build.rustc-wrapper = '/u/bin/x'")),
            ("with arguments",    "target.t.runner = 'bin/x -a b/c'",           Some("target.t.runner = '/u/bin/x -a b/c'")),
            ("as a list",         "target.t.runner = ['./x', 'b/c']",           Some("target.t.runner = ['/u/./x', 'b/c']")),
            ("a list",            "paths = ['a', '/b']",                        Some("paths = ['/u/a', '/b']")),
            ("a source",          "source.s.local-registry = 'r'",              Some("source.s.local-registry = '/u/r'")),
            ("a patch",           "patch.crates-io.a.path = 'a'",               Some("patch.crates-io.a.path = '/u/a'")),
            ("a path variable",   "env.A = { value = 'x', relative = true }",   Some("env.A = { value = '/u/x' }")),
            ("included",          "include = ['a.toml', { path = 'b.toml', optional = true }]",
             Some("include = ['/u/.cargo/a.toml', { path = '/u/.cargo/b.toml', optional = true }]")),
        ];
        for (why, before, after) in cases {
            let parse = |text: &str| text.parse::<Table>().ok();
            let got = moved(before, Path::new("/u/.cargo")).map(|(text, _)| parse(&text));
            assert_eq!(got, after.map(parse), "{why}");
        }
    }

    #[test]
    fn no_secret_is_copied() -> TestResult {
        let text = "build.target-dir = 't'\n[registry]\ntoken = 'hunter2'\n\
            [registries.a]\ntoken = 'hunter2'\nindex = 'i'\n[registries.b]\ntoken = 'hunter2'\n";
        let (text, left_out) = moved(text, Path::new("/u/.cargo")).ok_or("nothing moved")?;
        assert!(!text.contains("hunter2"), "{text}");
        assert!(text.contains("index = \"i\""), "{text}");
        assert_eq!(left_out, ["registry.token", "registries.<name>.token"]);
        Ok(())
    }

    #[test]
    fn a_configuration_that_cargo_reads_on_its_way_up_is_not_read_twice() -> TestResult {
        let dir = tempfile::tempdir()?;
        let user = dir.path().canonicalize()?;
        let home = user.join(".cargo");
        std::fs::create_dir_all(user.join("work/repo"))?;
        std::fs::create_dir_all(&home)?;
        let config = |repo: &str| home_config(&home, Path::new(repo));
        let inside = user.join("work/repo");
        let inside = inside.to_str().ok_or("not UTF-8")?;
        assert_eq!(config("/")?, HomeConfig::Nothing);
        std::fs::write(home.join("config.toml"), "build.jobs = 1")?;
        assert_eq!(config(inside)?, HomeConfig::Nothing);
        assert_eq!(config("/")?, HomeConfig::Itself(home.join("config.toml")));
        std::fs::write(home.join("config"), "build.jobs = 2")?;
        assert_eq!(config("/")?, HomeConfig::Itself(home.join("config")));
        Ok(())
    }
}
