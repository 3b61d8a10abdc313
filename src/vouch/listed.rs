//! Tells, without reading the files, whether every part of a home was vouched for.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::Part;
use super::Vouching;
use crate::cargo::checksums::Expected;
use crate::cargo::home::{CrateOf, Shared};
use crate::fs::At;
use crate::job::Result;
use crate::model::rel_path::RelPath;
use crate::store::Vouched;

impl Vouching<'_> {
    /// Tells whether every part of this directory that lock files can be asked about was checked in this turn.
    pub(crate) fn is_all_vouched(&self, part: Part<'_>, vouched: &Vouched) -> Result<bool> {
        let is_vouched = |path: Option<RelPath>| {
            let known = path.and_then(|path| vouched.parts.get(&path));
            known.is_some_and(|known| known.turn == vouched.turn)
        };
        match part.kind {
            Shared::Registry if !self.job.locked_parts.has_crates() => Ok(true),
            Shared::Git if !self.job.locked_parts.has_repositories() => Ok(true),
            Shared::Registry => self.is_registry_vouched(part.dir, is_vouched),
            Shared::Git => self.is_git_vouched(part.dir, is_vouched),
        }
    }

    fn is_registry_vouched(
        &self,
        dir: &Path,
        is_vouched: impl Fn(Option<RelPath>) -> bool,
    ) -> Result<bool> {
        let checksums = self.job.locked_parts.checksums();
        for below in ["index", "cache", "src"] {
            let Some(registries) = children(&dir.join(below))? else { return Ok(false) };
            for registry in registries.iter().filter(|it| checksums.have_registry(it.name())) {
                if !registry.is_dir {
                    return Ok(false);
                }
                if below == "index" {
                    continue;
                }
                for child in children(&registry.path)?.unwrap_or_default() {
                    let (crate_name, is_file) = match child.name().strip_suffix(b".crate") {
                        Some(crate_name) => (crate_name, true),
                        None => (child.name(), false),
                    };
                    let of = CrateOf { registry: registry.name(), name: crate_name };
                    let is_known = matches!(checksums.of(of), Expected::Digest(_));
                    if !is_known || is_file != (below == "cache") {
                        continue;
                    }
                    if child.is_dir == is_file
                        || !is_vouched(if is_file { of.file() } else { of.source() })
                    {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }

    fn is_git_vouched(
        &self,
        dir: &Path,
        is_vouched: impl Fn(Option<RelPath>) -> bool,
    ) -> Result<bool> {
        let wanted = &self.job.locked_parts;
        let below =
            |top: &Path| RelPath::parse(top.strip_prefix(dir).ok()?.as_os_str().as_bytes()).ok();
        let (Some(mut tops), Some(repositories)) =
            (children(&dir.join("db"))?, children(&dir.join("checkouts"))?)
        else {
            return Ok(false);
        };
        for repository in repositories {
            if repository.is_dir {
                tops.extend(children(&repository.path)?.unwrap_or_default());
            } else if below(&repository.path).is_some_and(|it| wanted.is_way(Shared::Git, &it)) {
                return Ok(false);
            }
        }
        let is_right =
            |top: &Child| match below(&top.path).filter(|it| wanted.wants(Shared::Git, it)) {
                Some(path) => top.is_dir && is_vouched(Some(path)),
                None => true,
            };
        Ok(tops.iter().all(is_right))
    }
}

/// A file, directory or symlink in a directory.
struct Child {
    path: PathBuf,
    /// Whether it is a directory itself, not a symlink to one.
    is_dir: bool,
}

impl Child {
    fn name(&self) -> &[u8] {
        self.path.file_name().unwrap_or_default().as_bytes()
    }
}

/// Returns the entries of a directory. A missing directory has none; `None` means that the path is not a directory.
fn children(dir: &Path) -> Result<Option<Vec<Child>>> {
    match dir.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Some(Vec::new())),
        Ok(found) if !found.is_dir() => return Ok(None),
        found => found.at("read directory", dir)?,
    };
    let child = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry?;
        Ok(Child { path: entry.path(), is_dir: entry.file_type()?.is_dir() })
    };
    let entries = std::fs::read_dir(dir).at("read directory", dir)?;
    let children: std::io::Result<Vec<_>> = entries.map(child).collect();
    Ok(Some(children.at("read directory", dir)?))
}
