//! Kept files: units were compiled from them, and no checkout brings them. They are saved with the
//! target and put back with it.
//!
//! A fresh checkout lacks the code that a build script writes into `src/`. Git may ignore such a
//! file, may not know it, or may track an older state of it. And a build script that cargo finds
//! fresh does not write the file again. A tracked file that was edited is kept only if there is a
//! build script, which may have edited it.
//!
//! A file that a build script wrote is kept even if nothing was compiled from it yet: the job may
//! have failed before, or may have built another target. But scratch is not kept for that reason: a
//! script that is instrumented for coverage writes its raw profile into its package.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::cargo::dep_info;
use crate::cargo::sources::below;
use crate::cargo::tracked::Tracked;
use crate::cargo::units::Units;
use crate::fs::At;
use crate::fs::digest::digest_of_file;
use crate::fs::regular::read;
use crate::fs::stat::{Kind, Stat};
use crate::fs::walk::{Found, Missed};
use crate::job::Result;
use crate::model::manifest::{EntryKind, FileFacts, KeptFile, Manifest};
use crate::model::rel_path::RelPath;
use crate::model::root::Root;
use crate::model::source::is_of_git;
use crate::model::timestamp::Timestamp;
use crate::model::unit_graph::UnitGraph;
use crate::model::unit_use::UnitDir;
use crate::tree::entries::Unread;
use crate::tree::graph::Surroundings;
use crate::tree::missed::why;
use crate::tree::walk::walk;

/// A file to keep, not read yet.
#[derive(Clone, Debug)]
pub(super) struct Keep {
    /// The root that contains it.
    pub(super) root: Root,
    /// Its path below the root.
    pub(super) path: RelPath,
    /// The file itself.
    pub(super) file: Unread,
    /// The runs of build scripts that may have written it.
    writers: Vec<UnitDir>,
}

impl Keep {
    /// Returns the file as a manifest records it.
    pub(super) fn with(&self, facts: FileFacts) -> Result<KeptFile> {
        let digest = match facts.digest() {
            Some(digest) => digest,
            None => digest_of_file(&self.file.path)?,
        };
        let Self { root, path, writers, .. } = self.clone();
        Ok(KeptFile { root, path, digest, facts, writers })
    }
}

/// Finds the files to keep: files inside the roots that no checkout brings, and that dep-info of
/// the tree names or a build script wrote. Also returns the dep-info that could not be read.
/// Without git, a checkout brings all sources.
///
/// `before` is the generation that the tree was restored from. `of_git` holds the files that git
/// tracks in each root.
pub(super) fn find(
    found: &[Found],
    around: &Surroundings<'_>,
    graph: &UnitGraph,
    before: Option<&Manifest>,
    of_git: &BTreeMap<Root, Tracked>,
) -> Result<(Vec<Keep>, Vec<Missed>)> {
    let Surroundings { dir, workspace_root, roots, excluded, scratch, .. } = *around;
    let is_dep_info =
        |found: &&Found| found.stat.kind == Kind::File && found.path.as_bytes().ends_with(b".d");
    let dep_infos: Vec<_> = found.iter().filter(is_dep_info).collect();
    let each = dep_infos.par_iter().map(|found| {
        files_in_roots(&dir.join(found.path.as_path()), workspace_root, roots, excluded)
    });
    let each: Vec<Result<_>> = each.collect();
    let (mut read, mut missed) = (Vec::new(), Vec::new());
    let mut crate_roots = BTreeSet::new();
    let units = Units::among(found.iter().map(|found| &found.path));
    for (Found { path, .. }, files) in dep_infos.into_iter().zip(each) {
        match files {
            Ok(Named { files, crate_root }) => {
                // Only rustc's dep-info, that of a unit, begins with the crate root. Cargo's own,
                // beside the artifacts, is sorted.
                crate_roots.extend(crate_root.filter(|_| units.of(path).is_some()));
                let is_of_script = path.file_name().starts_with(b"build_script_");
                read.push((is_of_script && !files.is_empty(), files));
            }
            Err(error) => missed.push(Missed { path: path.clone(), why: why(error)? }),
        }
    }
    // Without a build script, no build writes a tracked file. Whatever changed the file will change
    // it again in the next job, or the checkout's version is right.
    let has_scripts = read.iter().any(|(is_of_script, _)| *is_of_script);
    let is_brought = |(root, path): &(Root, RelPath)| {
        let of_git = &of_git[root];
        of_git.unchanged.contains(path) || (!has_scripts && of_git.changed.contains(path))
    };
    let mut named: BTreeSet<_> = read.into_iter().flat_map(|(_, files)| files).collect();
    let runs = Runs::of(found, graph);
    let mut writers = runs.written(roots, excluded)?;
    for kept in before.iter().flat_map(|before| &before.kept) {
        let file = (kept.root.clone(), kept.path.clone());
        if roots.contains_key(&kept.root) && !writers.contains_key(&file) {
            let same = kept.writers.iter().filter(|unit| runs.ran_before(unit, before)).cloned();
            let same: Vec<_> = same.collect();
            writers.extend((!same.is_empty()).then_some((file, same)));
        }
    }
    // Cargo plans no unit without its crate root, so the file existed before any build script ran.
    named.retain(|file| !crate_roots.contains(file));
    // Only files that scripts wrote are tested for scratch: a unit needs the files that it was
    // compiled from, whatever their names.
    let is_scratch = |file: &(Root, RelPath)| scratch.names_anywhere(&file.1);
    named.extend(writers.keys().filter(|file| !is_scratch(file)).cloned());
    named.retain(|file| !is_brought(file));
    let mut keep = Vec::new();
    for (root, path) in named {
        let full = roots[&root].join(path.as_path());
        let stat = Stat::if_exists(&full).at("read metadata", &full)?;
        // A file that is gone by now was a build script's temporary file.
        if let Some(stat) = stat.filter(|stat| stat.kind == Kind::File) {
            let written = writers.remove(&(root.clone(), path.clone()));
            let writers = written.unwrap_or_else(|| runs.likely_writers(&full));
            keep.push(Keep { root, path, file: Unread { path: full, stat }, writers });
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
) -> Result<Named> {
    let bytes = read(path).at("read", path)?;
    let is_excluded = |file: &PathBuf| excluded.iter().any(|dir| file.starts_with(dir));
    let files = dep_info::files(&bytes).into_iter().map(|file| workspace_root.join(file));
    let inside = |file: PathBuf| {
        let file = Some(file).filter(|file| !is_excluded(file)).and_then(|file| resolve(&file));
        let file = in_root(roots, &file.filter(|file| !is_excluded(file))?)?;
        (!is_of_git(&file.1)).then_some(file)
    };
    let files: Vec<_> = files.map(inside).collect();
    let crate_root = files.first().cloned().flatten();
    Ok(Named { files: files.into_iter().flatten().collect(), crate_root })
}

/// The files inside the roots that a dep-info file names.
struct Named {
    files: Vec<(Root, RelPath)>,
    /// The first file that rustc read, if it is one of them.
    crate_root: Option<(Root, RelPath)>,
}

impl Run<'_> {
    /// Returns the depth of the run's package, if `file` lies in that package.
    fn depth_around(&self, file: &Path) -> Option<usize> {
        let package = self.package.filter(|package| file.starts_with(package));
        package.map(|package| package.components().count())
    }
}

/// The runs of the build scripts of a tree.
struct Runs<'a>(Vec<Run<'a>>);

/// A run of a build script.
struct Run<'a> {
    unit: UnitDir,
    /// The path of the file that cargo stamps before the run.
    stamp: &'a RelPath,
    /// When it began.
    from: Timestamp,
    /// When it had certainly ended.
    to: Timestamp,
    /// The directory of its package, if known.
    package: Option<&'a Path>,
}

impl<'a> Runs<'a> {
    /// Finds the runs in a tree. Cargo stamps `invoked.timestamp` before a run and writes `stderr`
    /// after it. The mtime of `output` tells no end: cargo sets it to the time of the stamp.
    fn of(found: &'a [Found], graph: &'a UnitGraph) -> Self {
        let mtimes: BTreeMap<&RelPath, Timestamp> =
            found.iter().map(|found| (&found.path, found.stat.mtime)).collect();
        let units = Units::among(found.iter().map(|found| &found.path));
        let known: BTreeSet<_> = graph.units.iter().filter_map(|unit| unit.dir.as_ref()).collect();
        let packages = graph.units.iter().filter_map(|unit| {
            let dir = graph.packages.get(unit.package as usize)?.dir.as_ref()?;
            Some((unit.dir.as_ref()?, Path::new(OsStr::from_bytes(dir.as_bytes()))))
        });
        let packages: BTreeMap<&UnitDir, &Path> = packages.collect();
        let runs = found.iter().filter_map(|Found { path, stat }| {
            let dir = path.parent().filter(|_| path.file_name() == b"invoked.timestamp")?;
            let to = *mtimes.get(&dir.join(b"stderr").ok()?)?;
            // A unit that cargo no longer looks for counts as no writer.
            let is_known = |unit: &&UnitDir| known.is_empty() || known.contains(unit);
            let unit = units.of(path).filter(is_known)?.clone();
            let package = packages.get(&unit).copied();
            Some(Run { unit, stamp: path, from: stat.mtime, to, package })
        });
        Self(runs.collect())
    }

    /// Returns the files inside `roots` that were written while a build script ran, each with the
    /// runs that may have written it. If several scripts ran at that time, these are the runs of
    /// the innermost package that contains the file; if no such package does, all of them.
    fn written(
        &self,
        roots: &BTreeMap<Root, PathBuf>,
        excluded: &[PathBuf],
    ) -> Result<BTreeMap<(Root, RelPath), Vec<UnitDir>>> {
        let mut written = BTreeMap::new();
        if self.0.is_empty() {
            return Ok(written);
        }
        for dir in roots.values() {
            let is_wanted = |path: &RelPath, kind| {
                path.file_name() != b".git"
                    && (kind != Kind::Dir || !excluded.contains(&dir.join(path.as_path())))
            };
            for Found { path, stat } in walk(dir, is_wanted)?.found {
                // Cargo writes the lock file itself, and knows what depends on it.
                if stat.kind != Kind::File || path.file_name() == b"Cargo.lock" {
                    continue;
                }
                let full = dir.join(path.as_path());
                let writers = self.writers(&full, stat.mtime);
                if !writers.is_empty() {
                    written.extend(in_root(roots, &full).map(|file| (file, writers)));
                }
            }
        }
        Ok(written)
    }

    fn writers(&self, file: &Path, mtime: Timestamp) -> Vec<UnitDir> {
        let ran = || self.0.iter().filter(|run| (run.from..=run.to).contains(&mtime));
        let innermost = ran().map(|run| run.depth_around(file)).max().flatten();
        let writers = ran().filter(|run| run.depth_around(file) == innermost);
        writers.map(|run| run.unit.clone()).collect()
    }

    /// Returns the runs that may write a file again that an earlier run or another program wrote:
    /// those of the innermost package that contains it.
    fn likely_writers(&self, file: &Path) -> Vec<UnitDir> {
        let innermost = self.0.iter().filter_map(|run| run.depth_around(file)).max();
        let around = self.0.iter().filter(|run| run.depth_around(file) == innermost);
        around.filter(|_| innermost.is_some()).map(|run| run.unit.clone()).collect()
    }

    /// Tells whether the last run of a unit is the run that the generation `before` recorded.
    fn ran_before(&self, unit: &UnitDir, before: Option<&Manifest>) -> bool {
        self.0.iter().filter(|run| run.unit == *unit).any(|run| {
            let entry = before.and_then(|before| before.entry(run.stamp));
            let kind = entry.map(|entry| &entry.kind);
            matches!(kind, Some(EntryKind::File(facts)) if facts.mtime == run.from)
        })
    }
}

/// Returns `file` without `..` and symlinks to directories. Rustc names a file by the path under
/// which it was asked for.
fn resolve(file: &Path) -> Option<PathBuf> {
    Some(file.parent()?.canonicalize().ok()?.join(file.file_name()?))
}

/// Returns the innermost root that contains `file`, and the path of `file` below it.
fn in_root(roots: &BTreeMap<Root, PathBuf>, file: &Path) -> Option<(Root, RelPath)> {
    let inside = roots.iter().filter(|(_, dir)| file.starts_with(dir));
    let (root, dir) = inside.max_by_key(|(_, dir)| dir.components().count())?;
    Some((root.clone(), below(dir, file).ok()??))
}
