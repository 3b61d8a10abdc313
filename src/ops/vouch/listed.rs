//! Whether somebody vouched for all that is there, without looking into it.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::super::Result;
use super::Part;
use super::Vouching;
use crate::cargo::home::{CrateOf, Shared};
use crate::fs::At;
use crate::model::rel_path::RelPath;
use crate::store::Vouched;

impl Vouching<'_> {
    /// Tells whether all that is in a part of a home and that lock files can be asked about was looked at in this turn.
    pub(in super::super) fn is_all_vouched(
        &self,
        part: Part<'_>,
        vouched: &Vouched,
    ) -> Result<bool> {
        let is_vouched = |path: Option<RelPath>| {
            let known = path.and_then(|path| vouched.parts.get(&path));
            known.is_some_and(|known| known.turn == vouched.turn)
        };
        match part.kind {
            Shared::Registry => self.is_registry_vouched(part.dir, is_vouched),
            Shared::Git => self.is_git_vouched(part.dir, is_vouched),
        }
    }

    fn is_registry_vouched(
        &self,
        dir: &Path,
        is_vouched: impl Fn(Option<RelPath>) -> bool,
    ) -> Result<bool> {
        let checksums = self.job.wanted.checksums();
        for below in ["cache", "src"] {
            for registry in children(&dir.join(below))? {
                for path in children(&registry)? {
                    let registry = name(&registry);
                    let (crate_name, is_file) = match name(&path).strip_suffix(b".crate") {
                        Some(crate_name) => (crate_name, true),
                        None => (name(&path), false),
                    };
                    if checksums.of(crate_name).is_none() || is_file != (below == "cache") {
                        continue;
                    }
                    let of = CrateOf { registry, name: crate_name };
                    if !is_vouched(if is_file { of.file() } else { of.source() }) {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }
}

impl Vouching<'_> {
    fn is_git_vouched(
        &self,
        dir: &Path,
        is_vouched: impl Fn(Option<RelPath>) -> bool,
    ) -> Result<bool> {
        let mut tops = children(&dir.join("db"))?;
        for repository in children(&dir.join("checkouts"))? {
            tops.extend(children(&repository)?);
        }
        let below = |top: PathBuf| {
            let path = RelPath::parse(top.strip_prefix(dir).ok()?.as_os_str().as_bytes()).ok()?;
            self.job.wanted.wants(Shared::Git, &path).then_some(path)
        };
        Ok(tops.into_iter().filter_map(below).all(|path| is_vouched(Some(path))))
    }
}

fn name(path: &Path) -> &[u8] {
    path.file_name().unwrap_or_default().as_bytes()
}

/// Returns what is in a directory; nothing where there is none.
fn children(dir: &Path) -> Result<Vec<PathBuf>> {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    let entries = match std::fs::read_dir(dir) {
        Err(error) if matches!(error.kind(), NotFound | NotADirectory) => return Ok(Vec::new()),
        entries => entries.at("read directory", dir)?,
    };
    let paths: std::io::Result<Vec<_>> = entries.map(|entry| Ok(entry?.path())).collect();
    Ok(paths.at("read directory", dir)?)
}
