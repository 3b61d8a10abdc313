//! Reading the sources of every root, recording them, and making them as old as their content.
//!
//! A restore does this in two steps, so that it may be killed anywhere: what is not as recorded
//! looks new *before* the trees are in place, what is as recorded gets its old mtime *after*.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::Result;
use super::report::SourcesReport;
use crate::cargo::sources::{Listing, SourceFile, is_of_git, leads_to, list, names_digest};
use crate::fs::At;
use crate::fs::beneath::{Beneath, open_regular};
use crate::fs::cursor::{AT_A_TIME, Cursor};
use crate::fs::stat::{Kind, Stat};
use crate::model::ahead::SourceAt;
use crate::model::digest::{Digest, Hasher};
use crate::model::freshness::{Observed, Refresh, refresh};
use crate::model::manifest::{KeptFile, Manifest, RawPath, Root, Source, SourceKind};
use crate::model::rel_path::RelPath;
use crate::model::sketch::{Content, Contents};
use crate::model::source::{SourceContent, is_executable};
use crate::model::timestamp::Timestamp;

/// The sources of one root as they are.
struct Seen {
    observed: Vec<Observed>,
    by_path: BTreeMap<Option<RelPath>, usize>,
    stats: Vec<Stat>,
    strange_targets: Vec<PathBuf>,
}

/// Records every source of every root, for a manifest.
///
/// What cannot be read, or changes while it is, is left out: it will look new.
pub(super) fn record(roots: &BTreeMap<Root, PathBuf>, excluded: &[PathBuf]) -> Result<Vec<Source>> {
    let of_root = |(root, dir): (&Root, &PathBuf)| {
        let seen = see(dir, excluded, BTreeSet::new())?;
        Ok(seen.observed.iter().filter_map(|now| source_of(root, now)).collect::<Vec<_>>())
    };
    let sources: Vec<_> = roots.par_iter().map(of_root).collect::<Result<_>>()?;
    Ok(sources.into_iter().flatten().collect())
}

fn source_of(root: &Root, now: &Observed) -> Option<Source> {
    let SourceContent { kind, digest, is_executable } = now.content()?;
    let (path, mtime) = (now.path.clone(), now.mtime);
    Some(Source { root: root.clone(), path, kind, digest, mtime, is_executable })
}

/// Tells whether two records have the same sources, whatever their mtimes.
pub(super) fn are_same(a: &[Source], b: &[Source]) -> bool {
    type Contents = BTreeMap<(Root, Option<RelPath>), SourceContent>;
    let contents = |sources: &[Source]| -> Contents {
        let key = |source: &Source| (source.root.clone(), source.path.clone());
        sources.iter().map(|source| (key(source), source.content())).collect()
    };
    contents(a) == contents(b)
}

/// The sources of every root, read before it is known which trees are restored.
#[derive(Default)]
pub(super) struct Glance(BTreeMap<Root, Seen>);

impl Glance {
    /// Reads every source. A root that cannot be read is left out.
    pub(super) fn at(roots: &BTreeMap<Root, PathBuf>, excluded: &[PathBuf]) -> Self {
        let look = |(root, dir): (&Root, &PathBuf)| {
            Some((root.clone(), see(dir, excluded, BTreeSet::new()).ok()?))
        };
        Self(roots.par_iter().filter_map(look).collect())
    }

    /// Returns what is in the roots as a manifest would record it, and the ctimes.
    pub(super) fn sources(&self) -> (Vec<Source>, BTreeMap<SourceAt, Timestamp>) {
        let (mut sources, mut ctimes) = (Vec::new(), BTreeMap::new());
        for (root, seen) in &self.0 {
            for (now, stat) in seen.observed.iter().zip(&seen.stats) {
                sources.extend(source_of(root, now));
                ctimes.insert((root.clone(), now.path.clone()), stat.inode.ctime);
            }
        }
        (sources, ctimes)
    }

    /// Returns what is in the roots.
    pub(super) fn contents(&self) -> Contents {
        let of_root = |(root, seen): (&Root, &Seen)| {
            let content = |now: &Observed| {
                let content = Content { content: now.content()?, mtime: now.mtime };
                Some((root.clone(), now.path.clone(), content))
            };
            seen.observed.iter().filter_map(content).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(of_root).collect()
    }
}

/// The sources of every root, compared with what the trees to restore were built from.
pub(super) struct Refreshing<'a> {
    excluded: &'a [PathBuf],
    roots: Vec<(&'a Path, Seen, Refresh)>,
}

/// Every source as it is when all is done, by the directory of its root and its path there.
pub(super) type Outcome<'a> = BTreeMap<(&'a Path, Option<&'a RelPath>), (&'a Observed, Timestamp)>;

/// Returns what a generation was built from: its sources, and the files kept with it.
fn origins(manifest: &Manifest) -> Vec<Source> {
    manifest.sources.iter().cloned().chain(kept_sources(manifest)).collect()
}

/// Returns the files of git in a root that units of a generation name. They are never as recorded, for
/// nothing is recorded of them: another commit may have been built since git wrote them here. The index is
/// left alone: git relies on its mtime to see edits.
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

impl Seen {
    /// Adds the files of `also` that were not seen: git ignores them, or they are its own.
    fn with(mut self, root: &Path, also: BTreeSet<RelPath>) -> Self {
        for path in also {
            let key = Some(path.clone());
            let stat = Stat::if_exists(&root.join(path.as_path())).ok().flatten();
            // Times are set through no symlink.
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

    fn at(&self, path: Option<&RelPath>) -> Option<&Observed> {
        self.by_path.get(&path.cloned()).map(|index| &self.observed[*index])
    }

    /// Tells whether `source` is as it was recorded.
    fn holds(&self, source: &Source) -> bool {
        let found = self.at(source.path.as_ref());
        found.is_some_and(|now| now.content() == Some(source.content()))
    }

    /// Tells whether something else is where there was a symlink, or one came in place of
    /// something. One that is gone leads nowhere: then it is for rustc to say.
    fn has_other_link(&self, source: &Source) -> bool {
        let Some(now) = self.at(source.path.as_ref()) else { return false };
        let concerns_link = [source.kind, now.kind].contains(&SourceKind::Symlink);
        concerns_link && !self.holds(source)
    }
}

impl<'a> Refreshing<'a> {
    /// Reads every source that is not in the `glance` and compares it with the `origins` of each generation
    /// that is restored. `bound` is later than every mtime of their trees. Since the glance, nothing of ours
    /// has written into a root but kept files.
    ///
    /// Nothing in a root is trusted if a file that was kept with a tree is there with another content:
    /// a build script wrote it, for another tree, and must run again. Nothing at all is trusted if
    /// a symlink is not as recorded: cargo remembers where it led (`translate_dep_info`), not the
    /// link, so it sees neither another target nor a file in its place.
    pub(super) fn compare(
        roots: &'a BTreeMap<Root, PathBuf>,
        excluded: &'a [PathBuf],
        manifests: &[&Manifest],
        bound: Timestamp,
        glance: Glance,
    ) -> Result<Self> {
        let origins: Vec<_> = manifests.iter().map(|manifest| origins(manifest)).collect();
        let kept: Vec<_> = manifests.iter().flat_map(|manifest| kept_sources(manifest)).collect();
        let glance = Mutex::new(glance);
        let see_root = |(root, dir): (&'a Root, &'a PathBuf)| {
            let of_root = origins.iter().flatten().filter(|source| source.root == *root);
            let recorded = of_root.filter_map(|source| source.path.clone());
            let of_git = manifests.iter().flat_map(|manifest| of_git(manifest, root));
            let paths = recorded.chain(of_git).collect();
            // Where kept files were created, directories list other names than at the glance.
            let has_kept = kept.iter().any(|kept| kept.root == *root);
            let glanced = glance.lock().unwrap_or_else(PoisonError::into_inner).0.remove(root);
            match glanced.filter(|_| !has_kept) {
                Some(seen) => Ok((root, seen.with(dir, paths))),
                None => Ok((root, see(dir, excluded, paths)?)),
            }
        };
        let mut seen: BTreeMap<_, _> = roots.par_iter().map(see_root).collect::<Result<_>>()?;
        let is_link_changed = origins
            .iter()
            .flatten()
            .any(|source| seen.get(&source.root).is_some_and(|seen| seen.has_other_link(source)));
        let mut compared = Vec::new();
        for (root, dir) in roots {
            let Some(seen) = seen.remove(root) else { continue };
            // A tree that recorded nothing here may have been built from anything: then nothing
            // is as recorded, and all looks new.
            let of_root = origins.iter().map(|sources| -> Vec<&Source> {
                sources.iter().filter(|source| source.root == *root).collect()
            });
            let mut records: Vec<_> = of_root.collect();
            let is_left_over = kept.iter().any(|kept| kept.root == *root && !seen.holds(kept));
            if is_link_changed || is_left_over {
                records = vec![Vec::new()];
            }
            let refresh = refresh(&records, &seen.observed, bound);
            compared.push((dir.as_path(), seen, refresh));
        }
        Ok(Self { excluded, roots: compared })
    }

    /// Returns target directories inside the roots that nobody restored.
    pub(super) fn strange_targets(&self) -> impl Iterator<Item = &PathBuf> {
        self.roots.iter().flat_map(|(_, seen, _)| &seen.strange_targets)
    }

    /// Returns every source with the mtime it has once all is done.
    pub(super) fn outcome(&self, is_put_back: bool) -> Outcome<'_> {
        let mut outcome = Outcome::new();
        for (dir, seen, refresh) in &self.roots {
            for now in &seen.observed {
                outcome.insert((*dir, now.path.as_ref()), (now, now.mtime));
            }
            let put_back = refresh.put_back.iter().filter(|_| is_put_back);
            for (index, mtime) in refresh.renewed.iter().chain(put_back) {
                let now = &seen.observed[*index];
                outcome.insert((*dir, now.path.as_ref()), (now, *mtime));
            }
        }
        outcome
    }

    /// Makes everything look new that is not as recorded. Always sound, whatever trees are there.
    pub(super) fn renew(&self) -> Result<()> {
        for (dir, seen, refresh) in &self.roots {
            let beneath = Beneath::open(dir)?;
            for (index, mtime) in &refresh.renewed {
                set_mtime(&beneath, seen.observed[*index].path.as_ref(), *mtime)?;
            }
        }
        Ok(())
    }

    /// Makes everything as old as it was that is as recorded, unless it changed since it was
    /// read. Sound only when every tree is in place. One whose mtime cannot be set stays as it is,
    /// which costs a rebuild.
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

    /// Makes a source as old as `mtime`; tells whether it is, which it is not if it changed since it had
    /// that `stat`.
    fn put_one_back(
        &self,
        now: &Observed,
        stat: &Stat,
        mtime: Timestamp,
        cursor: &mut Cursor<'_>,
    ) -> Result<bool> {
        if let Some(path) = now.path.as_ref().filter(|_| now.kind != SourceKind::Dir) {
            let Some((dir, name, found)) = cursor.find(path)? else { return Ok(false) };
            return Ok(found.inode == stat.inode && dir.set_mtime(&name, mtime).is_ok());
        }
        // Our own work changed the times of directories, but not their names.
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

/// Reads every source of `root`, and of `also` what git ignores; `excluded` directories are none.
fn see(root: &Path, excluded: &[PathBuf], also: BTreeSet<RelPath>) -> Result<Seen> {
    let Listing { files, dirs, strange_targets } = list(root, excluded)?;
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
    let paths = observed.iter().map(|now| now.path.clone());
    let by_path = paths.enumerate().map(|(index, path)| (path, index)).collect();
    Ok(Seen { observed, by_path, stats, strange_targets }.with(root, also))
}

fn see_file(root: &Path, file: &SourceFile) -> Observed {
    let full = root.join(file.path.as_path());
    let is_link = file.stat.kind == Kind::Symlink;
    let digest = if is_link { digest_of_link(&full) } else { digest_of_file(&full) };
    // Bytes from after an edit with the mtime from before it would be a stale artifact to come.
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

fn digest_of_link(path: &Path) -> Result<Digest> {
    let target = std::fs::read_link(path).at("read symlink", path)?;
    Ok(Digest::of(target.as_os_str().as_encoded_bytes()))
}

/// Returns the SHA-256 of a regular file.
pub(super) fn digest_of_file(path: &Path) -> Result<Digest> {
    let mut hasher = Hasher::default();
    let read = open_regular(path).and_then(|mut file| io::copy(&mut file, &mut hasher));
    read.at("read", path)?;
    Ok(hasher.finish())
}
