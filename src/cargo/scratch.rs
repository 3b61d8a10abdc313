//! Scratch: files that tests, coverage tools and servers leave in a target directory for the time of a run.
//!
//! Cargo makes `tmp/` in a build directory, and in that of a target triple, for integration tests
//! (`CARGO_TARGET_TMPDIR`), but only when it compiles one. So the directory itself is not scratch: a test that cargo
//! finds fresh relies on it. A tool that builds in a directory inside the target directory, such as `cargo llvm-cov`
//! and `cargo miri`, has a `tmp/` below a triple there too. A triple has at least two hyphens. No directory of cargo's
//! has as many, so packages called `tmp` in `debug/build` are not taken for scratch.
//!
//! Rustc works in `s-<time>-<random>-working` of `incremental/<crate>` and renames it when it is done
//! (`rustc_incremental::persist::fs`). If a directory still has such a name when no build runs, a killed rustc left it:
//! the next rustc removes it unread.

use std::collections::HashSet;
use std::sync::Arc;

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::fs::stat::Kind;
use crate::model::kept::is_read;
use crate::model::manifest::{Entry, EntryKind, KeptFile, Manifest};
use crate::model::rel_path::RelPath;

/// The default patterns of scratch.
pub const DEFAULT: [&str; 6] = [
    "/tmp/*",
    "/*/tmp/*",
    "/*/*-*-*/tmp/*",
    "!/doc/tmp/*",
    "*.profraw",
    "**/incremental/*/s-*-working/",
];

/// The patterns of a target directory's scratch, which is neither saved nor restored.
#[derive(Clone, Debug)]
pub struct Scratch {
    /// All patterns.
    all: Arc<Gitignore>,
    /// The patterns without a slash, which match a file in any directory.
    of_names: Arc<Gitignore>,
}

/// An invalid pattern.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not a gitignore pattern: {reason}")]
pub struct ParseScratchError {
    /// The pattern.
    pub text: String,
    /// The reason.
    pub reason: String,
}

impl Scratch {
    /// Returns a value without patterns, under which nothing is scratch.
    pub fn none() -> Self {
        let none = Arc::new(Gitignore::empty());
        Self { all: Arc::clone(&none), of_names: none }
    }

    /// Returns the scratch that `patterns` name, or the default if nobody chose any.
    pub fn chosen(patterns: Option<&[String]>) -> Result<Self, ParseScratchError> {
        let chosen = patterns.map(|patterns| Self::parse(patterns.iter().map(String::as_str)));
        chosen.unwrap_or_else(|| Ok(Self::default()))
    }

    /// Parses lines in gitignore's syntax, relative to the target directory; a later pattern overrides an earlier one.
    pub fn parse<'a>(
        patterns: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, ParseScratchError> {
        let (mut all, mut of_names) = (GitignoreBuilder::new(""), GitignoreBuilder::new(""));
        for text in patterns.into_iter().flat_map(str::lines) {
            let refused = |error: ignore::Error| ParseScratchError {
                text: text.to_owned(),
                reason: error.to_string(),
            };
            all.add_line(None, text).map_err(refused)?;
            if !text.contains('/') {
                of_names.add_line(None, text).map_err(refused)?;
            }
        }
        let built = |patterns: GitignoreBuilder| {
            let refused = |error: ignore::Error| ParseScratchError {
                text: "these together".to_owned(),
                reason: error.to_string(),
            };
            patterns.build().map(Arc::new).map_err(refused)
        };
        Ok(Self { all: built(all)?, of_names: built(of_names)? })
    }

    /// Tells whether a path itself is scratch. The caller skips everything below a scratch directory and does not ask
    /// about it.
    pub fn names(&self, path: &RelPath, kind: Kind) -> bool {
        !self.all.is_empty() && self.all.matched(path.as_path(), kind == Kind::Dir).is_ignore()
    }

    /// Tells whether a file is scratch wherever it lies, because a pattern without a slash matches it.
    pub fn names_anywhere(&self, path: &RelPath) -> bool {
        !self.of_names.is_empty() && self.of_names.matched(path.as_path(), false).is_ignore()
    }

    /// Removes scratch from a manifest that an older version saved, or a job with other patterns. Also removes kept
    /// files that are scratch wherever they lie, unless a unit was built from them.
    pub fn leave_out_of(&self, manifest: &mut Manifest) {
        if self.all.is_empty() {
            return;
        }
        let is_scratch =
            |kept: &KeptFile| self.names_anywhere(&kept.path) && !is_read(manifest, kept);
        let kept = manifest.kept.iter().filter(|kept| !is_scratch(kept)).cloned().collect();
        manifest.kept = kept;
        let mut dir: Option<RelPath> = None;
        let mut left: HashSet<RelPath> = HashSet::new();
        manifest.entries.retain(|Entry { path, kind }| {
            let is_below = dir.as_ref().is_some_and(|dir| path.is_within(dir));
            let (kind, is_link) = match kind {
                EntryKind::Dir { .. } => (Kind::Dir, false),
                EntryKind::Symlink { .. } => (Kind::Symlink, false),
                EntryKind::File(_) => (Kind::File, false),
                EntryKind::HardLink { of } => (Kind::File, left.contains(of)),
            };
            let is_left = is_below || is_link || self.names(path, kind);
            if is_left && !is_below && kind == Kind::Dir {
                dir = Some(path.clone());
            }
            if is_left && kind == Kind::File {
                left.insert(path.clone());
            }
            !is_left
        });
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::parse(DEFAULT).expect("the tests parse these very patterns")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_default_it_is_what_is_in_tmp_and_raw_profiles() {
        let scratch = Scratch::default();
        #[rustfmt::skip]
        let cases = [
            ("tmp",                             Kind::Dir,  false),
            ("tmp/a",                           Kind::Dir,  true),
            ("tmp/a",                           Kind::File, true),
            ("wasm32-wasip1/tmp",               Kind::Dir,  false),
            ("wasm32-wasip1/tmp/a",             Kind::File, true),
            ("miri/x86_64-unknown-linux-gnu/tmp", Kind::Dir, false),
            ("miri/x86_64-unknown-linux-gnu/tmp/a", Kind::Dir, true),
            ("llvm-cov-target/aarch64-apple-darwin/tmp/a", Kind::File, true),
            ("doc/tmp/index.html",              Kind::File, false),
            ("debug/build/tmp/0123456789abcdef", Kind::Dir, false),
            ("x86_64-unknown-linux-gnu/debug/build/tmp/0123456789abcdef", Kind::Dir, false),
            ("debug/build/a-b-0123456789abcdef/out/tmp/a", Kind::File, false),
            ("debug/build/a-b-c/0123456789abcdef/tmp/a", Kind::File, false),
            ("debug/tmp.rs",                    Kind::File, false),
            ("debug/incremental/a-1/s-h-0-working", Kind::Dir, true),
            ("miri/x86_64-unknown-linux-gnu/debug/incremental/a-1/s-h-0-working", Kind::Dir, true),
            ("debug/incremental/a-1/s-h-0-1x",  Kind::Dir,  false),
            ("debug/incremental/a-1/s-h-0.lock", Kind::File, false),
            ("debug/build/a-1/out/s-h-0-working", Kind::Dir, false),
            ("a.profraw",                       Kind::File, true),
            ("debug/deps/a-1.profraw",          Kind::File, true),
            ("debug/a.profdata",                Kind::File, false),
        ];
        for (text, kind, want) in cases {
            let path = RelPath::parse(text.as_bytes()).expect("a path below a root");
            assert_eq!(scratch.names(&path, kind), want, "{text} {kind:?}");
            assert!(!Scratch::none().names(&path, kind), "{text} {kind:?}");
        }
    }

    #[test]
    fn outside_of_target_directories_only_names_count() -> Result<(), ParseScratchError> {
        let scratch = Scratch::parse(["/tmp/*", "a/*.log", "*.profraw", "!kept.profraw", "made/"])?;
        for (text, want) in [
            ("tmp/a", false),
            ("a/x.log", false),
            ("app/src/x.profraw", true),
            ("kept.profraw", false),
            ("made", false),
            ("made/x.rs", false),
        ] {
            let path = RelPath::parse(text.as_bytes()).expect("a path below a root");
            assert_eq!(scratch.names_anywhere(&path), want, "{text}");
            assert!(!Scratch::none().names_anywhere(&path), "{text}");
        }
        Ok(())
    }

    #[test]
    fn a_pattern_that_means_nothing_is_refused() {
        let error = Scratch::parse(["*.log", "a{"]).map(drop).expect_err("it was taken");
        assert_eq!(error.text, "a{");
        assert!(Scratch::parse(["", "# a note\n*.log"]).is_ok());
    }
}
