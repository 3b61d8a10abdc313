//! Files that units were compiled from and no checkout brings: kept with the target, put back
//! with it.
//!
//! Code that a build script writes into `src/` is lacking in a fresh checkout, whether git ignores
//! it, does not know it, or tracks an older state of it; and a build script that cargo finds fresh
//! does not write it again. (A tracked file that was edited is kept only where there is a build script,
//! which may have done that.) What such a script wrote is kept although nothing was compiled from it
//! yet: the job may have failed first, or have built another target.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::missed::why;
use super::sources::digest_of_file;
use super::staged::Staged;
use super::tree::Unread;
use super::unpack::Unpacker;
use super::walk::walk;
use super::{Error, Result};
use crate::cargo::dep_info;
use crate::cargo::sources::{Tracked, below, is_of_git, tracked};
use crate::fs::At;
use crate::fs::beneath::Beneath;
use crate::fs::stat::{Kind, Stat};
use crate::fs::walk::{Found, Missed};
use crate::model::manifest::{Entry, EntryKind, FileFacts, KeptFile, Manifest, Root, Source};
use crate::model::rel_path::RelPath;
use crate::model::timestamp::Timestamp;
use crate::store::Lease;

/// A file to keep, not read yet.
#[derive(Clone, Debug)]
pub(super) struct Keep {
    /// The root it is in.
    pub(super) root: Root,
    /// Where it is below the root.
    pub(super) path: RelPath,
    /// The file itself.
    pub(super) file: Unread,
}

impl Keep {
    /// Returns the file as a manifest has it.
    pub(super) fn with(&self, facts: FileFacts) -> Result<KeptFile> {
        let digest = match facts.digest() {
            Some(digest) => digest,
            None => digest_of_file(&self.file.path)?,
        };
        Ok(KeptFile { root: self.root.clone(), path: self.path.clone(), digest, facts })
    }
}

/// Returns the files inside `roots` that no checkout brings and that the dep-info in a tree names,
/// a build script wrote, or a generation kept before (`remembered`); and the dep-info that could not be read.
/// Without git, a checkout brings all `sources`.
///
/// `workspace_root` is what relative paths of dep-info start from; `excluded` directories hold no
/// sources, the tree among them.
pub(super) fn find(
    dir: &Path,
    found: &[Found],
    workspace_root: &Path,
    roots: &BTreeMap<Root, PathBuf>,
    sources: &[Source],
    excluded: &[PathBuf],
    remembered: &[KeptFile],
) -> Result<(Vec<Keep>, Vec<Missed>)> {
    let of_git: BTreeMap<&Root, Tracked> = roots
        .iter()
        .map(|(root, dir)| {
            let of_root = || sources.iter().filter(|source| source.root == *root);
            let recorded = || Tracked {
                unchanged: of_root().filter_map(|source| source.path.clone()).collect(),
                ..Tracked::default()
            };
            (root, tracked(dir).unwrap_or_else(recorded))
        })
        .collect();
    let is_dep_info =
        |found: &&Found| found.stat.kind == Kind::File && found.path.as_bytes().ends_with(b".d");
    let dep_infos: Vec<_> = found.iter().filter(is_dep_info).collect();
    let each = dep_infos.par_iter().map(|found| {
        files_in_roots(&dir.join(found.path.as_path()), workspace_root, roots, excluded)
    });
    let each: Vec<Result<_>> = each.collect();
    let (mut read, mut missed) = (Vec::new(), Vec::new());
    for (Found { path, .. }, files) in dep_infos.into_iter().zip(each) {
        match files {
            Ok(files) => {
                let is_of_script = path.file_name().starts_with(b"build_script_");
                read.push((is_of_script && !files.is_empty(), files));
            }
            Err(error) => missed.push(Missed { path: path.clone(), why: why(error)? }),
        }
    }
    // Without a build script, nobody writes a tracked file when cargo builds: who changed it does that
    // in the next job again, or the checkout is right.
    let has_scripts = read.iter().any(|(is_of_script, _)| *is_of_script);
    let is_brought = |(root, path): &(Root, RelPath)| {
        let of_git = &of_git[root];
        of_git.unchanged.contains(path) || (!has_scripts && of_git.changed.contains(path))
    };
    let mut named: BTreeSet<_> = read.into_iter().flat_map(|(_, files)| files).collect();
    let before = remembered.iter().map(|kept| (kept.root.clone(), kept.path.clone()));
    named.extend(before.filter(|(root, _)| roots.contains_key(root)));
    named.extend(written_by_scripts(&script_runs(found), roots, excluded)?);
    named.retain(|file| !is_brought(file));
    let mut keep = Vec::new();
    for (root, path) in named {
        let full = roots[&root].join(path.as_path());
        let stat = Stat::if_exists(&full).at("read metadata", &full)?;
        // One that is gone by now was a build script's passing thought.
        if let Some(stat) = stat.filter(|stat| stat.kind == Kind::File) {
            keep.push(Keep { root, path, file: Unread { path: full, stat } });
        }
    }
    Ok((keep, missed))
}

/// Returns the files inside `roots` that the dep-info at `path` names.
fn files_in_roots(
    path: &Path,
    workspace_root: &Path,
    roots: &BTreeMap<Root, PathBuf>,
    excluded: &[PathBuf],
) -> Result<Vec<(Root, RelPath)>> {
    let bytes = std::fs::read(path).at("read", path)?;
    let is_excluded = |file: &PathBuf| excluded.iter().any(|dir| file.starts_with(dir));
    let files = dep_info::files(&bytes).into_iter().map(|file| workspace_root.join(file));
    let inside = files
        .filter(|file| !is_excluded(file))
        .filter_map(|file| resolve(&file))
        .filter(|file| !is_excluded(file))
        .filter_map(|file| in_root(roots, &file));
    Ok(inside.filter(|(_, path)| !is_of_git(path)).collect())
}

/// Returns from when to when each build script of a tree ran: cargo stamps `invoked.timestamp` before
/// it and writes `stderr` after it. It gives `output` the time of the stamp.
fn script_runs(found: &[Found]) -> Vec<(Timestamp, Timestamp)> {
    let mtimes: BTreeMap<&RelPath, Timestamp> =
        found.iter().map(|found| (&found.path, found.stat.mtime)).collect();
    let runs = found.iter().filter_map(|Found { path, stat }| {
        let dir = path.parent().filter(|_| path.file_name() == b"invoked.timestamp")?;
        let ended = mtimes.get(&dir.join(b"stderr").ok()?).copied();
        Some((stat.mtime, ended?))
    });
    runs.collect()
}

/// Returns the files inside `roots` that were written while a build script ran.
fn written_by_scripts(
    runs: &[(Timestamp, Timestamp)],
    roots: &BTreeMap<Root, PathBuf>,
    excluded: &[PathBuf],
) -> Result<Vec<(Root, RelPath)>> {
    let mut written = Vec::new();
    if runs.is_empty() {
        return Ok(written);
    }
    for dir in roots.values() {
        let is_wanted = |path: &RelPath, kind| {
            path.file_name() != b".git"
                && (kind != Kind::Dir || !excluded.contains(&dir.join(path.as_path())))
        };
        let is_written = |found: &Found| {
            let mtime = found.stat.mtime;
            // Cargo writes the lock file itself, and what depends on it knows.
            found.stat.kind == Kind::File
                && found.path.file_name() != b"Cargo.lock"
                && runs.iter().any(|(from, to)| (*from..=*to).contains(&mtime))
        };
        let found = walk(dir, is_wanted)?.found.into_iter().filter(is_written);
        written.extend(found.filter_map(|found| in_root(roots, &dir.join(found.path.as_path()))));
    }
    Ok(written)
}

/// Returns `file` without `..` and links to directories: rustc names files as they were asked for.
fn resolve(file: &Path) -> Option<PathBuf> {
    Some(file.parent()?.canonicalize().ok()?.join(file.file_name()?))
}

/// Returns the innermost root that `file` lies in, and where.
fn in_root(roots: &BTreeMap<Root, PathBuf>, file: &Path) -> Option<(Root, RelPath)> {
    let inside = roots.iter().filter(|(_, dir)| file.starts_with(dir));
    let (root, dir) = inside.max_by_key(|(_, dir)| dir.components().count())?;
    Some((root.clone(), below(dir, file).ok()??))
}

/// Creates the kept files that a checkout lacks, before its sources are looked at.
///
/// Each appears by a rename, with the mtime `bound`, which is later than anything restored: only
/// when the trees are in place may it look old. Returns why some could not be created: their
/// roots will look new.
pub(super) fn create_missing(
    unpacker: &Unpacker<'_>,
    lease: &Lease,
    roots: &BTreeMap<Root, PathBuf>,
    manifests: &[&Manifest],
    bound: Timestamp,
) -> Vec<Error> {
    let mut failed = Vec::new();
    let mut seen = BTreeSet::new();
    for manifest in manifests {
        for (root, dir) in roots {
            let mut lacking = Vec::new();
            for kept in manifest.kept.iter().filter(|kept| kept.root == *root) {
                let is_missing = dir.join(kept.path.as_path()).symlink_metadata().is_err();
                if seen.insert((root, &kept.path)) && is_missing {
                    lacking.push(kept);
                }
            }
            if !lacking.is_empty() {
                failed.extend(create(unpacker, lease, dir, manifest, &lacking, bound).err());
            }
        }
    }
    failed
}

fn create(
    unpacker: &Unpacker<'_>,
    lease: &Lease,
    root: &Path,
    manifest: &Manifest,
    lacking: &[&KeptFile],
    bound: Timestamp,
) -> Result<()> {
    let name = |index: usize| {
        RelPath::parse(index.to_string().as_bytes()).expect("digits are a path below a root")
    };
    let entry = |(index, kept): (usize, &&KeptFile)| Entry {
        path: name(index),
        kind: EntryKind::File(FileFacts { mtime: bound, ..kept.facts.clone() }),
    };
    let mut entries: Vec<_> = lacking.iter().enumerate().map(entry).collect();
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    let dest = Beneath::open(root)?;
    let staged = Staged::within(lease, root, Path::new("kept"))?;
    let staging = Beneath::open(staged.path())?;
    unpacker.unpack(&manifest.header.packs, &entries, &staging, None)?;
    let mut done = Ok(());
    for (index, kept) in lacking.iter().enumerate() {
        let put = dest.create_parents(&kept.path);
        let put = put.and_then(|()| dest.rename_from(&kept.path, &staging, &name(index)));
        // One that cannot be put there keeps no other from its place.
        done = done.and(put);
    }
    Ok(done?)
}
