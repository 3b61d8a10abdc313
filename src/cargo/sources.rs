//! The sources of a checkout, which cargo may compare with its builds.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ignore::WalkBuilder;

use super::manifests::is_shut;
use super::tracked::tracked_files;
use crate::fs::beneath::open_regular;
use crate::fs::stat::{Kind, Stat};
use crate::fs::{At, Error, Result};
use crate::model::digest::{Digest, Hasher};
use crate::model::environment::Environment;
use crate::model::rel_path::RelPath;

/// A source file or symlink, not read yet.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// Its path below its root.
    pub path: RelPath,
    /// Its metadata.
    pub stat: Stat,
}

/// A directory of sources with the digest of its list of names.
#[derive(Clone, Debug)]
pub struct SourceDir {
    /// Its path below its root; `None` for the root itself.
    pub path: Option<RelPath>,
    /// Its metadata.
    pub stat: Stat,
    /// The digest of its sorted names; `None` if they changed while they were read.
    pub names: Option<Digest>,
}

/// The sources of one checkout.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Files and symlinks: tracked ones, and untracked ones that git does not ignore.
    pub files: Vec<SourceFile>,
    /// The directories that hold them, with all parents up to the root.
    pub dirs: Vec<SourceDir>,
    /// Target directories other than the excluded ones, such as `fuzz/target`.
    pub strange_targets: Vec<PathBuf>,
}

/// Lists the sources below `root`, without `excluded` directories (absolute paths: target directories, the store) and
/// without files that git ignores.
///
/// A file that git tracks is always a source if git can be asked, also in a target directory or where a pattern ignores
/// it. An unreadable directory is no source, for cargo cannot read it either. A missed source costs a rebuild, never a
/// stale artifact: only recorded sources get an old mtime back.
pub fn list(root: &Path, excluded: &[PathBuf], environment: &Environment) -> Result<Listing> {
    let mut listing = Listing::default();
    let mut seen = BTreeSet::new();
    let skipped: BTreeSet<_> = excluded.iter().cloned().collect();
    let keeps = skipped.clone();
    let mut walk = WalkBuilder::new(root);
    // Ignore files of directories above do not count: a dependency checked out inside another repo, which ignores it,
    // has sources all the same.
    walk.hidden(false)
        .require_git(false)
        .ignore(false)
        .parents(false)
        .git_global(false)
        .follow_links(false);
    walk.filter_entry(move |entry| is_source_dir_entry(entry.path(), &keeps));
    for entry in walk.build().filter(|entry| !is_shut(entry)) {
        let entry = entry.map_err(|error| refused(error, root))?;
        if entry.depth() == 0 {
            listing.add_dir(root, None, &skipped)?;
            continue;
        }
        let Some(path) = below(root, entry.path())? else { continue };
        let stat = match Stat::if_exists(entry.path()).at("read metadata", entry.path()) {
            Ok(Some(stat)) => stat,
            Ok(None) => continue,
            Err(error) if error.is_denied() => continue,
            Err(error) => return Err(error),
        };
        match stat.kind {
            Kind::Dir => match listing.add_dir(entry.path(), Some(path), &skipped) {
                Err(error) if error.is_denied() || is_gone(&error) => {}
                added => added?,
            },
            Kind::File | Kind::Symlink => {
                seen.insert(path.clone());
                listing.files.push(SourceFile { path, stat });
            }
            Kind::Special => {}
        }
    }
    let mut dirs: BTreeSet<_> = listing.dirs.iter().filter_map(|dir| dir.path.clone()).collect();
    for path in tracked_files(root, environment) {
        if seen.contains(&path) {
            continue;
        }
        let Some(stat) = Stat::if_exists(&root.join(path.as_path())).ok().flatten() else {
            continue;
        };
        if !matches!(stat.kind, Kind::File | Kind::Symlink) {
            continue;
        }
        let mut parent = path.parent();
        while let Some(dir) = parent.filter(|dir| dirs.insert(dir.clone())) {
            listing.add_dir(&root.join(dir.as_path()), Some(dir.clone()), &skipped)?;
            parent = dir.parent();
        }
        listing.files.push(SourceFile { path, stat });
    }
    listing.files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(listing)
}

fn is_gone(error: &Error) -> bool {
    error.source.kind() == std::io::ErrorKind::NotFound
}

/// Returns the path of `full` below `root`; `None` if it is elsewhere, or `root` itself.
pub fn below(root: &Path, full: &Path) -> Result<Option<RelPath>> {
    let Ok(path) = full.strip_prefix(root) else { return Ok(None) };
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    let parsed = RelPath::parse(path.as_os_str().as_bytes());
    parsed.map(Some).map_err(std::io::Error::other).at("record", full)
}

/// Returns the path in `root` that the symlink at `path` leads to, if it leads to one.
pub fn leads_to(root: &Path, path: &RelPath) -> Option<RelPath> {
    let target = root.join(path.as_path()).canonicalize().ok()?;
    below(&root.canonicalize().ok()?, &target).ok().flatten()
}

/// Tells whether a walk enters or reports `path`: not git's own files, no excluded directory, and no directory that we
/// stage in.
fn is_source_dir_entry(path: &Path, excluded: &BTreeSet<PathBuf>) -> bool {
    let name = path.file_name().unwrap_or_default();
    !is_never_source(name) && !excluded.contains(path)
}

fn is_never_source(name: &OsStr) -> bool {
    name == ".git" || name.as_bytes().starts_with(b".runner-cache-")
}

impl Listing {
    fn add_dir(
        &mut self,
        dir: &Path,
        path: Option<RelPath>,
        excluded: &BTreeSet<PathBuf>,
    ) -> Result<()> {
        let stat = Stat::from(&dir.metadata().at("read metadata", dir)?);
        let entries = read_entries(dir, excluded)?;
        let after = Stat::from(&dir.metadata().at("read metadata", dir)?);
        let may_be_dirs = entries.iter().filter(|entry| entry.may_be_dir);
        let below = may_be_dirs.map(|entry| dir.join(&entry.name));
        self.strange_targets.extend(below.filter(|below| is_target(below)));
        let names: Vec<_> = entries.into_iter().map(|entry| entry.name).collect();
        let names = (after.inode == stat.inode).then(|| digest_of(&names));
        self.dirs.push(SourceDir { path, stat, names });
        Ok(())
    }
}

/// Returns the digest of the names in a directory of sources.
pub fn names_digest(dir: &Path, excluded: &[PathBuf]) -> Result<Digest> {
    let excluded = excluded.iter().cloned().collect();
    let names = read_entries(dir, &excluded)?.into_iter().map(|entry| entry.name);
    Ok(digest_of(&names.collect::<Vec<_>>()))
}

/// An entry of a directory of sources.
struct DirEntry {
    name: OsString,
    /// Whether it is a directory, or a symlink that may lead to one.
    may_be_dir: bool,
}

/// Reads a directory's entries, sorted by name. Includes ignored files, for a build script may list them; leaves out
/// files that come and go with our own work.
fn read_entries(dir: &Path, excluded: &BTreeSet<PathBuf>) -> Result<Vec<DirEntry>> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(dir).at("read directory", dir)? {
        let entry = entry.at("read directory", dir)?;
        if is_source_dir_entry(&entry.path(), excluded) {
            let may_be_dir = entry.file_type().is_ok_and(|kind| !kind.is_file());
            entries.push(DirEntry { name: entry.file_name(), may_be_dir });
        }
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// Tells whether cargo builds in `dir`: it keeps its record of rustc there, or made and tagged the directory. Cargo
/// also tags `registry/` and `git/` of its home; these do not count.
pub fn is_target(dir: &Path) -> bool {
    let is_of_home = || dir.parent().is_some_and(|home| home.join(".package-cache").exists());
    dir.join(".rustc_info.json").is_file() || (is_tagged_by_cargo(dir) && !is_of_home())
}

/// Tells whether `dir` has the tag of a cache directory (<https://bford.info/cachedir/>) as
/// `cargo_util::paths::exclude_from_backups_and_indexing` writes it.
pub fn is_tagged_by_cargo(dir: &Path) -> bool {
    let tag = dir.join("CACHEDIR.TAG");
    // The first 1024 bytes suffice. A symlink is no tag.
    let Ok(file) = open_regular(&tag) else { return false };
    let mut text = String::new();
    file.take(1024).read_to_string(&mut text).is_ok()
        && text.starts_with("Signature: 8a477f597d28d172789f06886806bc55")
        && text.contains("created by cargo.")
}

fn digest_of(names: &[OsString]) -> Digest {
    let mut hasher = Hasher::default();
    for name in names {
        hasher.field(name.as_bytes());
    }
    hasher.finish()
}

fn refused(error: ignore::Error, root: &Path) -> Error {
    let source = match error.into_io_error() {
        Some(error) => error,
        None => std::io::Error::other("its ignore files cannot be parsed"),
    };
    Error { action: "list the sources of", path: root.to_owned(), source }
}
