//! `Cargo.lock`: its packages, and the difference between two lock files.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use serde::Deserialize;

use super::error::{Error, Result};

/// One package of a lock file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version, build metadata included.
    pub version: String,
    /// Its source (`registry+<url>`, `sparse+<url>`, `git+<url>#<rev>`); `None` for a path package.
    pub source: Option<String>,
    /// The SHA-256 of its `.crate` file, from format version 2 on.
    pub checksum: Option<String>,
}

impl Package {
    /// Returns the package on one line for people: name, version, and the source unless it is a
    /// registry of crates.io. Leaves out credentials in a URL.
    fn line(&self) -> String {
        let Self { name, version, .. } = self;
        match self.source.as_deref() {
            None => format!("{name} {version} path"),
            Some(source) if CRATES_IO.contains(&source) => format!("{name} {version}"),
            Some(source) => format!("{name} {version} {}", short(source)),
        }
    }
}

/// The names of crates.io in lock files.
pub(super) const CRATES_IO: [&str; 2] =
    ["registry+https://github.com/rust-lang/crates.io-index", "sparse+https://index.crates.io/"];

fn short(source: &str) -> String {
    let (url, rev) = source.split_once('#').unwrap_or((source, ""));
    let without_user = match url.split_once("://") {
        Some((scheme, rest)) => {
            let host = rest.split('/').next().unwrap_or(rest);
            let user = host.rfind('@').map_or(0, |at| at + 1);
            format!("{scheme}://{}", &rest[user..])
        }
        None => url.to_owned(),
    };
    match rev.get(..8).unwrap_or(rev) {
        "" => without_user,
        rev => format!("{without_user}#{rev}"),
    }
}

/// The packages of a `Cargo.lock`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockFile {
    /// Every package, sorted by name, then version.
    pub packages: Vec<Package>,
}

impl LockFile {
    /// Reads a lock file of any format version from 1 to 4, or a newer one that still has
    /// `[[package]]`; `path` is only named in the error.
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let file: File = toml::from_str(text).map_err(|error| {
            Error::malformed_toml(format!("`{}`", path.display()), text, &error)
        })?;
        // Format version 1 kept the workspace's own package and the checksums in tables of their
        // own.
        let mut packages: Vec<_> = file.package.into_iter().chain(file.root).collect();
        for package in &mut packages {
            package.checksum = package.checksum.take().or_else(|| {
                let source = package.source.as_deref()?;
                let key = format!("checksum {} {} ({source})", package.name, package.version);
                Some(file.metadata.get(&key)?.as_str()?.to_owned())
            });
        }
        packages.sort();
        Ok(Self { packages })
    }

    /// Returns one line a package, as `key --explain` keeps and compares them.
    pub fn lines(&self) -> String {
        let lines: Vec<_> = self.packages.iter().map(Package::line).collect();
        lines.join("\n")
    }
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    package: Vec<Package>,
    root: Option<Package>,
    #[serde(default)]
    metadata: toml::Table,
}

/// The difference between the packages of two lock files, each as one line of [`LockFile::lines`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diff {
    /// In the new one only.
    pub added: Vec<String>,
    /// In the old one only.
    pub removed: Vec<String>,
}

impl Diff {
    /// Compares the results of [`LockFile::lines`] for two lock files.
    pub fn between(old: &str, new: &str) -> Self {
        let old: BTreeSet<_> = old.lines().collect();
        let new: BTreeSet<_> = new.lines().collect();
        let only = |these: &BTreeSet<&str>, those| -> Vec<_> {
            these.difference(those).map(|line| (*line).to_owned()).collect()
        };
        Self { added: only(&new, &old), removed: only(&old, &new) }
    }

    /// Tells whether both name the same packages.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }
}

impl fmt::Display for Diff {
    /// Shows the counts and the first ten packages by name: a longer list is better read in the
    /// lock file itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 10;
        let Self { added, removed } = self;
        write!(f, "+{} −{} packages", added.len(), removed.len())?;
        let added = added.iter().map(|line| (line, '+'));
        let mut both: Vec<_> = added.chain(removed.iter().map(|line| (line, '−'))).collect();
        both.sort_unstable();
        for (at, (line, sign)) in both.iter().take(SHOWN).enumerate() {
            write!(f, "{}{sign}{line}", if at == 0 { " (" } else { ", " })?;
        }
        match both.len() {
            0 => Ok(()),
            1..=SHOWN => f.write_str(")"),
            more => write!(f, ", and {} more)", more - SHOWN),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = r#"
[root]
name = "app"
version = "0.1.0"
dependencies = ["libc 0.2.1 (registry+https://github.com/rust-lang/crates.io-index)"]

[[package]]
name = "libc"
version = "0.2.1"
source = "registry+https://github.com/rust-lang/crates.io-index"

[metadata]
"checksum libc 0.2.1 (registry+https://github.com/rust-lang/crates.io-index)" = "ab"
"#;

    const V4: &str = r#"
version = 4

[[package]]
name = "wasi"
version = "0.11.0+wasi-snapshot-preview1"
source = "registry+https://github.com/rust-lang/crates.io-index"
checksum = "9c8d"

[[package]]
name = "app"
version = "0.1.0"
dependencies = ["wasi", "mine", "theirs"]

[[package]]
name = "theirs"
version = "1.0.0"
source = "sparse+https://cargo.example.com/index/"
checksum = "00"

[[package]]
name = "mine"
version = "0.2.0"
source = "git+https://ab:hunter2@git.example.com/x/mine.git?branch=main#1c410579f55b816fbf8da3a9a3f6acb4986ec341"

[[patch.unused]]
name = "unused"
version = "9.9.9"
"#;

    fn parse(text: &str) -> Result<LockFile> {
        LockFile::parse(text, Path::new("Cargo.lock"))
    }

    #[test]
    fn every_format_version_names_its_packages() -> Result<()> {
        assert_eq!(parse(V1)?.lines(), "app 0.1.0 path\nlibc 0.2.1");
        let want = "app 0.1.0 path\n\
                    mine 0.2.0 git+https://git.example.com/x/mine.git?branch=main#1c410579\n\
                    theirs 1.0.0 sparse+https://cargo.example.com/index/\n\
                    wasi 0.11.0+wasi-snapshot-preview1";
        assert_eq!(parse(V4)?.lines(), want);
        assert_eq!(parse("version = 4\n")?, LockFile::default());
        Ok(())
    }

    #[test]
    fn the_checksum_of_a_package_is_found_where_the_format_keeps_it() -> Result<()> {
        for (text, name, want) in
            [(V1, "libc", Some("ab")), (V1, "app", None), (V4, "wasi", Some("9c8d"))]
        {
            let packages = parse(text)?.packages;
            let package = packages.iter().find(|package| package.name == name);
            assert_eq!(package.and_then(|it| it.checksum.as_deref()), want, "{name}");
        }
        Ok(())
    }

    #[test]
    fn a_lock_file_with_conflict_markers_is_refused_by_name() {
        let error = parse("<<<<<<< HEAD\nversion = 4\n").map_err(|error| error.to_string());
        assert_eq!(error, Err("cannot parse `Cargo.lock`".to_owned()));
    }

    #[test]
    fn a_difference_is_counted_and_named() {
        let many: Vec<_> = (10..22).map(|number| format!("p{number} 1.0.0")).collect();
        let ten = "+p10 1.0.0, +p11 1.0.0, +p12 1.0.0, +p13 1.0.0, +p14 1.0.0, +p15 1.0.0, \
                   +p16 1.0.0, +p17 1.0.0, +p18 1.0.0, +p19 1.0.0";
        #[rustfmt::skip]
        let cases = [
            ("nothing",  "a 1",        "a 1".to_owned(),        "+0 −0 packages".to_owned()),
            ("update",   "a 1\nb 1",   "a 2\nb 1".to_owned(),   "+1 −1 packages (−a 1, +a 2)".to_owned()),
            ("removal",  "a 1\nb 1",   "b 1".to_owned(),        "+0 −1 packages (−a 1)".to_owned()),
            ("many",     "",           many.join("\n"),         format!("+12 −0 packages ({ten}, and 2 more)")),
        ];
        for (why, old, new, want) in cases {
            assert_eq!(Diff::between(old, &new).to_string(), want, "{why}");
        }
    }
}
