//! The files beyond cargo's own that a user adds to the key.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ignore::WalkBuilder;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::error::{Error, Result};
use super::manifests::{self, Digests};

use crate::fs::At;

/// Returns the digests of the files below `repo` that `globs` name.
///
/// A glob is relative to `repo` and written as in a `.gitignore`; a directory stands for all files
/// below it, and `!` takes files out again. Git-ignored files count, since the user asks for them;
/// files in caches and in `.git` do not. A glob that matches no file is an error.
pub(super) fn collect(repo: &Path, globs: &[String]) -> Result<Digests> {
    let mut digests = Digests::new();
    if globs.is_empty() {
        return Ok(digests);
    }
    let (excluding, including): (Vec<_>, Vec<_>) =
        globs.iter().partition(|glob| glob.starts_with('!'));
    let excluded = matcher(repo, &excluding)?;
    let mut including: Vec<_> = including
        .into_iter()
        .map(|glob| Ok((glob, matcher(repo, &[glob])?, false)))
        .collect::<Result<_>>()?;

    let mut walk = WalkBuilder::new(repo);
    walk.standard_filters(false);
    walk.filter_entry(|entry| {
        let is_dir = entry.file_type().is_some_and(|kind| kind.is_dir());
        let is_cache = is_dir && manifests::is_cache(entry.path());
        entry.depth() == 0 || !(is_cache || entry.file_name() == ".git")
    });
    for entry in walk.build().filter(|entry| !manifests::is_shut(entry)) {
        let entry = entry.map_err(std::io::Error::other).at("list", repo)?;
        let path = entry.path();
        let Ok(below) = path.strip_prefix(repo) else { continue };
        if !path.is_file() || names(&excluded, below) {
            continue;
        }
        let mut wanted = false;
        for (_, glob, has_matched) in &mut including {
            if names(glob, below) {
                *has_matched = true;
                wanted = true;
            }
        }
        if wanted {
            let digest = manifests::digest_of(path)?;
            digests.insert(below.as_os_str().as_bytes().to_vec(), digest);
        }
    }
    match including.into_iter().find(|(.., has_matched)| !has_matched) {
        Some((glob, ..)) => Err(Error::NoExtraInput { glob: glob.clone(), repo: repo.to_owned() }),
        None => Ok(digests),
    }
}

/// Compiles globs without their `!`, each anchored at the top of `repo` unless it begins with `**`.
fn matcher(repo: &Path, globs: &[&String]) -> Result<Gitignore> {
    let mut builder = GitignoreBuilder::new(repo);
    for glob in globs {
        let malformed = |error: ignore::Error| Error::Malformed {
            what: format!("extra input `{glob}`"),
            source: error.into(),
        };
        let plain = glob.trim_start_matches('!').trim_start_matches("./").trim_start_matches('/');
        builder.add_line(None, &format!("/{plain}")).map_err(malformed)?;
    }
    builder
        .build()
        .map_err(|error| Error::Malformed { what: "extra inputs".to_owned(), source: error.into() })
}

fn names(globs: &Gitignore, below: &Path) -> bool {
    globs.matched_path_or_any_parents(below, false).is_ignore()
}

#[cfg(test)]
mod tests {
    use super::super::testing::write;
    use super::*;

    type TestResult = std::result::Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn globs_name_files_from_the_top_of_the_repo() -> TestResult {
        let dir = tempfile::tempdir()?;
        #[rustfmt::skip]
        let files = [
            ("version.txt", ""), ("sub/version.txt", ""), ("proto/a.proto", ""), ("proto/v1/b.proto", ""),
            ("proto/v1/c.md", ""), (".gitignore", "/generated"), ("generated/g.rs", ""), (".hidden/h", ""),
            (".git/HEAD", ""), ("target/CACHEDIR.TAG", ""), ("target/x.proto", ""),
        ];
        write(dir.path(), &files)?;
        #[rustfmt::skip]
        let cases: [(&str, &[&str], &[&str]); 11] = [
            ("none",          &[],                                   &[]),
            ("a file",        &["version.txt"],                      &["version.txt"]),
            ("with a dot",    &["./version.txt"],                    &["version.txt"]),
            ("at any depth",  &["**/version.txt"],                   &["sub/version.txt", "version.txt"]),
            ("a directory",   &["proto"],                            &["proto/a.proto", "proto/v1/b.proto", "proto/v1/c.md"]),
            ("with a slash",  &["proto/v1/"],                        &["proto/v1/b.proto", "proto/v1/c.md"]),
            ("one level",     &["proto/*.proto"],                    &["proto/a.proto"]),
            ("but for some",  &["proto/**", "!proto/**/*.md"],       &["proto/a.proto", "proto/v1/b.proto"]),
            ("git-ignored",   &["generated/*"],                      &["generated/g.rs"]),
            ("hidden",        &[".hidden/h"],                        &[".hidden/h"]),
            ("not in caches", &["**/*.proto"],                       &["proto/a.proto", "proto/v1/b.proto"]),
        ];
        for (why, globs, want) in cases {
            let globs: Vec<_> = globs.iter().map(ToString::to_string).collect();
            let found = collect(dir.path(), &globs)?;
            let found: Vec<_> = found.keys().map(|path| String::from_utf8_lossy(path)).collect();
            assert_eq!(found, want, "{why}");
        }
        Ok(())
    }

    #[test]
    fn a_glob_that_means_nothing_is_an_error() -> TestResult {
        let dir = tempfile::tempdir()?;
        write(dir.path(), &[("a.txt", ""), ("b.txt", "")])?;
        #[rustfmt::skip]
        let cases: [(&str, &[&str], &str); 4] = [
            ("no match",       &["a.txt", "c.txt"],   "extra input `c.txt` matches no file in `@`"),
            ("all taken out",  &["a.txt", "!*.txt"],  "extra input `a.txt` matches no file in `@`"),
            ("above the repo", &["../a.txt"],         "extra input `../a.txt` matches no file in `@`"),
            ("no glob",        &["a[z-a]"],           "cannot parse extra input `a[z-a]`"),
        ];
        for (why, globs, want) in cases {
            let globs: Vec<_> = globs.iter().map(ToString::to_string).collect();
            let error = collect(dir.path(), &globs).map_err(|error| error.to_string());
            let want = want.replace('@', &dir.path().to_string_lossy());
            assert_eq!(error, Err(want), "{why}");
        }
        Ok(())
    }
}
