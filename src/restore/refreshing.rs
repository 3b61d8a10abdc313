//! Sets the mtimes of the sources of every root, so that each source is as old as its content.
//!
//! A restore does this in two steps, so that it may be killed at any point. Changed sources look
//! new *before* the trees are in place. Unchanged sources get their recorded mtimes *after*.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::put_back::PutBack;
use crate::cargo::sources::names_digest;
use crate::fs::beneath::Beneath;
use crate::fs::cursor::{AT_A_TIME, Cursor};
use crate::fs::stat::Stat;
use crate::job::Job;
use crate::job::Result;
use crate::job::checkout_files::CheckoutFiles;
use crate::job::report::SourcesReport;
use crate::job::sources::{Glance, Seen, see};
use crate::model::freshness::{Observed, Refresh, refresh};
use crate::model::manifest::{KeptFile, Manifest, Source, SourceKind};
use crate::model::raw_path::RawPath;
use crate::model::rel_path::RelPath;
use crate::model::root::Root;
use crate::model::sketch::Contents;
use crate::model::source::is_of_git;
use crate::model::timestamp::Timestamp;

/// The sources of every root, compared with the inputs of the trees to restore.
pub(super) struct Refreshing<'a> {
    excluded: &'a [PathBuf],
    roots: Vec<(&'a Path, Seen, Refresh)>,
}

/// Every source with its mtime after the restore, by the directory of its root and its path there.
pub(super) type FinalSources<'a> =
    BTreeMap<(&'a Path, Option<&'a RelPath>), (&'a Observed, Timestamp)>;

/// Returns the inputs of a generation: its sources and its kept files.
fn origins(manifest: &Manifest) -> Vec<Source> {
    manifest.sources.iter().cloned().chain(kept_sources(manifest)).collect()
}

/// Returns the files of git in a root that units of a generation name, although the generation does
/// not record them. They look new: another commit may have been built since git wrote them here.
/// The index is left out: git relies on its mtime to see edits.
fn of_git<'a>(manifest: &'a Manifest, root: &Root) -> impl Iterator<Item = RelPath> + use<'a> {
    let old = manifest.header.roots.get(root);
    let below = |path: &RawPath| {
        let below = path.as_bytes().strip_prefix(old?.as_bytes())?.strip_prefix(b"/")?;
        RelPath::parse(below).ok()
    };
    let paths: Vec<_> = manifest.graph.others.iter().filter_map(below).collect();
    paths.into_iter().filter(|path| is_of_git(path) && path.file_name() != b"index")
}

fn kept_sources(manifest: &Manifest) -> impl Iterator<Item = Source> {
    manifest.kept.iter().map(KeptFile::as_source)
}

/// Reads every source that is not in the `glance`, the recorded files that git ignores, and the
/// files of git that units name. Reads a root of the glance again if it has kept files: since the
/// glance we may have written such files, and directories list their names. We have written nothing
/// else into a root.
pub(super) fn look(job: &Job, manifests: &[&Manifest], glance: Glance) -> Result<Glance> {
    let origins: Vec<_> = manifests.iter().flat_map(|manifest| origins(manifest)).collect();
    let glance = Mutex::new(glance);
    let see_root = |(root, dir): (&Root, &PathBuf)| {
        let of_root = origins.iter().filter(|source| source.root == *root);
        let recorded = of_root.filter_map(|source| source.path.clone());
        let of_git = manifests.iter().flat_map(|manifest| of_git(manifest, root));
        let paths = recorded.chain(of_git).collect();
        let has_kept =
            manifests.iter().flat_map(|manifest| &manifest.kept).any(|kept| kept.root == *root);
        let glanced = glance.lock().unwrap_or_else(PoisonError::into_inner).0.remove(root);
        match glanced.filter(|_| !has_kept) {
            Some(seen) => Ok((root.clone(), seen.with(dir, paths))),
            None => Ok((root.clone(), see(job, dir, paths)?)),
        }
    };
    Ok(Glance(job.roots.par_iter().map(see_root).collect::<Result<_>>()?))
}

impl<'a> Refreshing<'a> {
    /// Compares the sources that were `seen` with the inputs of each generation to restore. `bound`
    /// is later than every mtime of their trees. The kept files in `away` were not put back.
    ///
    /// All sources of a root look new if a kept file is there with another content: a build script
    /// wrote it for another tree, and must run again. They also look new if a kept file is missing
    /// that is not in `away`. The sources of all roots look new if a symlink differs from the
    /// record: cargo remembers the path that the link led to (`translate_dep_info`), not the link.
    /// So it notices neither that the link leads elsewhere, nor that a file took its place.
    pub(super) fn compare(
        roots: &'a BTreeMap<Root, PathBuf>,
        excluded: &'a [PathBuf],
        manifests: &[&Manifest],
        bound: Timestamp,
        seen: Glance,
        away: &PutBack,
    ) -> Self {
        let Glance(mut seen) = seen;
        let origins: Vec<_> = manifests.iter().map(|manifest| origins(manifest)).collect();
        let kept: Vec<_> = manifests.iter().flat_map(|manifest| kept_sources(manifest)).collect();
        let is_link_changed = origins
            .iter()
            .flatten()
            .any(|source| seen.get(&source.root).is_some_and(|seen| seen.has_other_link(source)));
        let mut compared = Vec::new();
        for (root, dir) in roots {
            let Some(seen) = seen.remove(root) else { continue };
            // A tree without a record of this root may have been built from any content. Then no
            // source counts as unchanged, and all look new.
            let of_root = origins.iter().map(|sources| -> Vec<&Source> {
                sources.iter().filter(|source| source.root == *root).collect()
            });
            let mut records: Vec<_> = of_root.collect();
            let is_left_over = |kept: &Source| {
                let key = (kept.root.clone(), kept.path.clone());
                let stays_away = key.1.is_some_and(|path| away.contains(&(key.0, path)));
                !(seen.holds(kept) || stays_away && seen.lacks(kept))
            };
            let of_root = || kept.iter().filter(|kept| kept.root == *root);
            let is_left_over = of_root().any(is_left_over);
            if is_link_changed || is_left_over {
                records = vec![Vec::new()];
            }
            let kept = of_root().filter_map(|kept| kept.path.clone()).collect();
            let refresh = refresh(&records, &kept, &seen.observed, bound);
            compared.push((dir.as_path(), seen, refresh));
        }
        Self { excluded, roots: compared }
    }

    /// Returns the files of the roots that differ from the record of a generation, are new or are
    /// gone.
    pub(super) fn changed(
        &self,
        manifest: &Manifest,
        roots: &BTreeMap<Root, PathBuf>,
    ) -> BTreeSet<(Root, RelPath)> {
        let is_file = |source: &&Source| source.kind != SourceKind::Dir;
        let of_files = manifest.sources.iter().filter(is_file);
        let before = of_files
            .filter_map(|source| Some(((&source.root, source.path.as_ref()?), source.content())));
        let mut before: BTreeMap<_, _> = before.collect();
        let mut changed = BTreeSet::new();
        for (root, dir) in roots {
            let Some((_, seen, _)) = self.roots.iter().find(|(seen, ..)| *seen == dir) else {
                continue;
            };
            for now in seen.sources().iter().filter(|now| now.kind != SourceKind::Dir) {
                let Some(path) = &now.path else { continue };
                let was = before.remove(&(root, path));
                if was.is_none() || was != now.content() {
                    changed.insert((root.clone(), path.clone()));
                }
            }
        }
        changed.extend(before.into_keys().map(|(root, path)| (root.clone(), path.clone())));
        changed
    }

    /// Returns the contents of the roots.
    pub(super) fn contents(&self, roots: &BTreeMap<Root, PathBuf>) -> Contents {
        let of_root = |(root, dir): (&Root, &PathBuf)| {
            let (_, seen, _) = self.roots.iter().find(|(seen, ..)| *seen == dir)?;
            Some(seen.contents(root).collect::<Vec<_>>())
        };
        roots.iter().filter_map(of_root).flatten().collect()
    }

    /// Returns the files in a target directory that are not part of the area.
    pub(super) fn checkout_files<'s>(&'s self, dir: &Path) -> CheckoutFiles {
        let of_root = |(root, seen, _): &'s (&'a Path, Seen, Refresh)| (*root, seen.files());
        CheckoutFiles::within(dir, self.roots.iter().map(of_root))
    }

    /// Returns the target directories inside the roots that the job does not know of.
    pub(super) fn strange_targets(&self) -> impl Iterator<Item = &PathBuf> {
        self.roots.iter().flat_map(|(_, seen, _)| &seen.strange_targets)
    }

    /// Returns the roots in which the restore changes the mtime of a file that git may track.
    pub(super) fn touched(&self, is_put_back: bool) -> impl Iterator<Item = &'a Path> {
        let touched = self.roots.iter().filter(move |(_, seen, refresh)| {
            let put_back = refresh.put_back.iter().filter(|_| is_put_back);
            refresh.renewed.iter().chain(put_back).any(|(index, _)| {
                let now = &seen.observed[*index];
                now.kind != SourceKind::Dir && !now.path.as_ref().is_some_and(is_of_git)
            })
        });
        touched.map(|(dir, ..)| *dir)
    }

    /// Returns every source with its mtime after the restore. `is_put_back` tells whether unchanged
    /// sources get their recorded mtimes.
    pub(super) fn final_sources(&self, is_put_back: bool) -> FinalSources<'_> {
        let mut final_sources = FinalSources::new();
        for (dir, seen, refresh) in &self.roots {
            for now in &seen.observed {
                final_sources.insert((*dir, now.path.as_ref()), (now, now.mtime));
            }
            let put_back = refresh.put_back.iter().filter(|_| is_put_back);
            for (index, mtime) in refresh.renewed.iter().chain(put_back) {
                let now = &seen.observed[*index];
                final_sources.insert((*dir, now.path.as_ref()), (now, *mtime));
            }
        }
        final_sources
    }

    /// Makes every changed source look new. This is always sound, whatever trees are in place.
    pub(super) fn renew(&self) -> Result<()> {
        for (dir, seen, refresh) in &self.roots {
            let beneath = Beneath::open(dir)?;
            for (index, mtime) in &refresh.renewed {
                set_mtime(&beneath, seen.observed[*index].path.as_ref(), *mtime)?;
            }
        }
        Ok(())
    }

    /// Gives every unchanged source its recorded mtime, unless it changed since it was read. This
    /// is sound only when every tree is in place. A source whose mtime cannot be set stays as it
    /// is, which costs a rebuild.
    pub(super) fn put_back(&self) -> Result<SourcesReport> {
        let mut report = SourcesReport::default();
        for (dir, seen, refresh) in &self.roots {
            let beneath = Beneath::open(dir)?;
            let put_back = refresh.put_back.par_chunks(AT_A_TIME).map(|sources| {
                let mut cursor = Cursor::new(&beneath);
                let mut is_set = 0;
                for (index, mtime) in sources {
                    let (now, stat) = (&seen.observed[*index], &seen.stats[*index]);
                    is_set += u64::from(self.put_one_back(now, stat, *mtime, &mut cursor)?);
                }
                Ok(is_set)
            });
            let is_set: u64 = put_back.collect::<Result<Vec<_>>>()?.into_iter().sum();
            let lost = refresh.put_back.len() as u64 - is_set;
            report.checked += refresh.checked;
            report.restored += refresh.unchanged - lost;
            report.changed += refresh.checked - refresh.unchanged + lost;
        }
        Ok(report)
    }

    /// Sets the mtime of a source, unless the source changed since it had this `stat`. Tells
    /// whether its mtime is right now.
    fn put_one_back(
        &self,
        now: &Observed,
        stat: &Stat,
        mtime: Timestamp,
        cursor: &mut Cursor<'_>,
    ) -> Result<bool> {
        // The recorded mtime of a file of git is the newest of several. An older file stays older,
        // as in a workspace that is never wiped.
        if now.path.as_ref().is_some_and(is_of_git) && now.mtime <= mtime {
            return Ok(true);
        }
        // Our own writes changed the times of directories, except git's, but changed no names. So a
        // directory is unchanged if its names are.
        let is_own = |path: &&RelPath| now.kind != SourceKind::Dir || is_of_git(path);
        if let Some(path) = now.path.as_ref().filter(is_own) {
            let full = cursor.root().full(path);
            let Some((dir, name, found)) = cursor.find(path)? else { return Ok(false) };
            // A file in a target directory had a second name for a while, which changed its ctime.
            let is_ours = self.excluded.iter().any(|dir| full.starts_with(dir));
            let is_same = if is_ours {
                let which = |stat: &Stat| (stat.inode.dev, stat.inode.ino, stat.size, stat.mtime);
                which(&found) == which(stat)
            } else {
                found.inode == stat.inode
            };
            return Ok(is_same && dir.set_mtime(&name, mtime).is_ok());
        }
        let (root, path) = (cursor.root(), now.path.as_ref());
        let full = path.map_or(root.path().to_owned(), |path| root.full(path));
        let is_same = names_digest(&full, self.excluded).ok() == now.digest;
        Ok(is_same && set_mtime(root, path, mtime).is_ok())
    }
}

fn set_mtime(root: &Beneath, path: Option<&RelPath>, mtime: Timestamp) -> crate::fs::Result<()> {
    match path {
        Some(path) => root.set_mtime(path, mtime),
        None => root.set_own_mtime(mtime),
    }
}
