//! Reads the current sources of every root, and records them for a manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::Job;
use super::Result;
use super::checkout_files::CheckoutFiles;
use crate::cargo::git_files::git_files;
use crate::cargo::sources::{Listing, SourceFile, leads_to, list};
use crate::fs::At;
use crate::fs::digest::digest_of_file;
use crate::fs::stat::{Kind, Stat};
use crate::model::ahead::SourceAt;
use crate::model::digest::Digest;
use crate::model::freshness::Observed;
use crate::model::manifest::{Source, SourceKind};
use crate::model::rel_path::RelPath;
use crate::model::root::Root;
use crate::model::sketch::{Content, Contents};
use crate::model::source::{SourceContent, is_executable, is_of_git};
use crate::model::timestamp::Timestamp;

/// The current sources of one root.
pub(crate) struct Seen {
    pub(crate) observed: Vec<Observed>,
    pub(crate) stats: Vec<Stat>,
    pub(crate) strange_targets: Vec<PathBuf>,
    /// The number of sources, which come first in `observed`. Files added by [`Self::with`] come
    /// after them.
    sources: usize,
    by_path: BTreeMap<Option<RelPath>, usize>,
    /// For each of git's own files, the newest mtime among the files that its digest covers.
    newest_of_git: BTreeMap<RelPath, Timestamp>,
}

/// Records every source of every root, for a manifest. Also returns the target directories in the
/// roots that the job does not know.
///
/// Leaves out a source that cannot be read, or that changes while it is read: it will look new to
/// cargo.
pub(crate) fn record(job: &Job) -> Result<(Vec<Source>, Vec<PathBuf>)> {
    let of_root = |(root, dir): (&Root, &PathBuf)| {
        let seen = see(job, dir, BTreeSet::new())?;
        Ok((seen.recorded(root).collect::<Vec<_>>(), seen.strange_targets))
    };
    let recorded = job.roots.par_iter().map(of_root).collect::<Result<Vec<(Vec<_>, _)>>>()?;
    let (sources, targets): (Vec<_>, Vec<_>) = recorded.into_iter().unzip();
    Ok((sources.into_iter().flatten().collect(), targets.into_iter().flatten().collect()))
}

/// Tells whether two records have the same sources, apart from mtimes. Git's own files do not
/// count: if a unit watches them and they change, the tree changes too.
pub(crate) fn are_same(a: &[Source], b: &[Source]) -> bool {
    type Contents = BTreeMap<(Root, Option<RelPath>), SourceContent>;
    let contents = |sources: &[Source]| -> Contents {
        let key = |source: &Source| (source.root.clone(), source.path.clone());
        let is_own = |source: &&Source| !source.path.as_ref().is_some_and(is_of_git);
        sources.iter().filter(is_own).map(|source| (key(source), source.content())).collect()
    };
    contents(a) == contents(b)
}

/// The sources of every root, read before it is decided which trees to restore.
#[derive(Default)]
pub(crate) struct Glance(pub(crate) BTreeMap<Root, Seen>);

impl Glance {
    /// Reads every source. A root that cannot be read is left out.
    pub(crate) fn at(job: &Job) -> Self {
        let look = |(root, dir): (&Root, &PathBuf)| {
            Some((root.clone(), see(job, dir, BTreeSet::new()).ok()?))
        };
        Self(job.roots.par_iter().filter_map(look).collect())
    }

    /// Returns the sources of the roots as a manifest would record them, and their ctimes.
    pub(crate) fn sources(&self) -> (Vec<Source>, BTreeMap<SourceAt, Timestamp>) {
        let (mut sources, mut ctimes) = (Vec::new(), BTreeMap::new());
        for (root, seen) in &self.0 {
            sources.extend(seen.recorded(root));
            for (now, stat) in seen.observed.iter().zip(&seen.stats) {
                ctimes.insert((root.clone(), now.path.clone()), stat.inode.ctime);
            }
        }
        (sources, ctimes)
    }

    /// Returns the target directories in a root that the job does not know; `None` if the root was
    /// not read.
    pub(crate) fn strange_targets(&self, root: &Root) -> Option<&[PathBuf]> {
        self.0.get(root).map(|seen| seen.strange_targets.as_slice())
    }

    /// Returns the files in a target directory that are no part of the area.
    pub(crate) fn checkout_files<'s>(
        &'s self,
        dir: &Path,
        roots: &'s BTreeMap<Root, PathBuf>,
    ) -> CheckoutFiles {
        let of_root = |(root, seen): (&Root, &'s Seen)| {
            let dir = roots.get(root)?;
            Some((dir.as_path(), seen.files()))
        };
        CheckoutFiles::within(dir, self.0.iter().filter_map(of_root))
    }

    /// Returns the contents of the sources of the roots.
    pub(crate) fn contents(&self) -> Contents {
        self.0.iter().flat_map(|(root, seen)| seen.contents(root)).collect()
    }
}

impl Seen {
    /// Adds the files of `also` that were not seen yet: git ignores them, or they are git's own.
    pub(crate) fn with(mut self, root: &Path, also: BTreeSet<RelPath>) -> Self {
        for path in also {
            let key = Some(path.clone());
            let stat = Stat::if_exists(&root.join(path.as_path())).ok().flatten();
            // A file of git behind a symlink does not count, since times are never set through a
            // symlink.
            let is_here = |_: &Stat| {
                let full = root.join(path.as_path());
                let parent = full.parent().and_then(|parent| parent.canonicalize().ok());
                !is_of_git(&path) || parent.as_deref() == full.parent()
            };
            let stat = stat.filter(|stat| stat.kind == Kind::File).filter(is_here);
            if let Some(stat) = stat.filter(|_| !self.by_path.contains_key(&key)) {
                self.by_path.insert(key, self.observed.len());
                self.observed.push(see_file(root, &SourceFile { path, stat }));
                self.stats.push(stat);
            }
        }
        self
    }

    /// Returns the sources, without the files that [`Self::with`] added.
    pub(crate) fn sources(&self) -> &[Observed] {
        &self.observed[..self.sources]
    }

    /// Returns the sources as a manifest records them.
    fn recorded<'s>(&'s self, root: &'s Root) -> impl Iterator<Item = Source> + 's {
        self.sources().iter().filter_map(|now| {
            let SourceContent { kind, digest, is_executable } = now.content()?;
            // Git's answers on a commit come from several files, and are as new as the newest of
            // them.
            let newest = now.path.as_ref().and_then(|path| self.newest_of_git.get(path));
            let mtime = newest.map_or(now.mtime, |newest| now.mtime.max(*newest));
            let path = now.path.clone();
            Some(Source { root: root.clone(), path, kind, digest, mtime, is_executable })
        })
    }

    /// Returns the contents of the sources.
    pub(crate) fn contents<'s>(
        &'s self,
        root: &'s Root,
    ) -> impl Iterator<Item = (Root, Option<RelPath>, Content)> + 's {
        self.sources().iter().filter_map(|now| {
            let content = Content { content: now.content()?, mtime: now.mtime };
            Some((root.clone(), now.path.clone(), content))
        })
    }

    /// Returns the paths of files and symlinks.
    pub(crate) fn files(&self) -> impl Iterator<Item = &RelPath> {
        let files = self.sources().iter().filter(|now| now.kind != SourceKind::Dir);
        files.filter_map(|now| now.path.as_ref())
    }

    fn at(&self, path: Option<&RelPath>) -> Option<&Observed> {
        self.by_path.get(&path.cloned()).map(|index| &self.observed[*index])
    }

    /// Tells whether `source` is as it was recorded.
    pub(crate) fn holds(&self, source: &Source) -> bool {
        let found = self.at(source.path.as_ref());
        found.is_some_and(|now| now.content() == Some(source.content()))
    }

    /// Tells whether nothing was seen at the path of `source`.
    pub(crate) fn lacks(&self, source: &Source) -> bool {
        self.at(source.path.as_ref()).is_none()
    }

    /// Tells whether a symlink was changed or replaced, or took the place of something else. A
    /// symlink that is gone leads nowhere and does not count: rustc reports the missing file.
    pub(crate) fn has_other_link(&self, source: &Source) -> bool {
        let Some(now) = self.at(source.path.as_ref()) else { return false };
        let concerns_link = [source.kind, now.kind].contains(&SourceKind::Symlink);
        concerns_link && !self.holds(source)
    }
}

/// Reads every source of `root`, a root of the job, and the files of `also` that are no sources.
pub(crate) fn see(job: &Job, root: &Path, also: BTreeSet<RelPath>) -> Result<Seen> {
    let Listing { files, dirs, strange_targets } = list(root, &job.excluded, &job.environment)?;
    let of_files = files.par_iter().map(|file| see_file(root, file));
    let mut observed: Vec<_> = of_files.collect();
    let mut stats: Vec<_> = files.iter().map(|file| file.stat).collect();
    for dir in dirs {
        stats.push(dir.stat);
        observed.push(Observed {
            path: dir.path,
            kind: SourceKind::Dir,
            digest: dir.names,
            is_executable: false,
            mtime: dir.stat.mtime,
            leads_to: None,
        });
    }
    let mut newest_of_git = BTreeMap::new();
    for file in git_files(root) {
        stats.push(file.stat);
        observed.push(Observed {
            path: Some(file.path.clone()),
            kind: if file.stat.kind == Kind::Dir { SourceKind::Dir } else { SourceKind::File },
            digest: Some(file.digest),
            is_executable: false,
            mtime: file.stat.mtime,
            leads_to: None,
        });
        newest_of_git.insert(file.path, file.newest);
    }
    let paths = observed.iter().map(|now| now.path.clone());
    let by_path = paths.enumerate().map(|(index, path)| (path, index)).collect();
    let sources = observed.len();
    let seen = Seen { observed, stats, strange_targets, sources, by_path, newest_of_git };
    Ok(seen.with(root, also))
}

fn see_file(root: &Path, file: &SourceFile) -> Observed {
    let full = root.join(file.path.as_path());
    let is_link = file.stat.kind == Kind::Symlink;
    let digest = if is_link { digest_of_link(&full) } else { digest_of_file(&full) };
    // The bytes from after an edit, recorded with the mtime from before it, would later make a
    // stale artifact look fresh.
    let is_unchanged = Stat::of(&full).is_ok_and(|stat| stat.inode == file.stat.inode);
    Observed {
        path: Some(file.path.clone()),
        kind: if is_link { SourceKind::Symlink } else { SourceKind::File },
        digest: digest.ok().filter(|_| is_unchanged),
        is_executable: !is_link && is_executable(file.stat.mode),
        mtime: file.stat.mtime,
        leads_to: if is_link { leads_to(root, &file.path) } else { None },
    }
}

fn digest_of_link(path: &Path) -> crate::fs::Result<Digest> {
    let target = std::fs::read_link(path).at("read symlink", path)?;
    Ok(Digest::of(target.as_os_str().as_encoded_bytes()))
}
