//! Parks a saved tree as a hot tree, so that the next job need not unpack it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::saving::Saving;
use crate::fs::At;
use crate::fs::beneath::Beneath;
use crate::fs::crash::crash_point;
use crate::fs::rename::rename_noreplace;
use crate::fs::space::{is_mount_point, is_same_mount, now_at};
use crate::fs::stat::{Kind, Stat};
use crate::job::AreaPlace;
use crate::job::checkout_files::CheckoutFiles;
use crate::job::note::Note;
use crate::job::report::Said;
use crate::job::warning::Warning;
use crate::job::{Error, Result};
use crate::model::manifest::{FileFacts, GenerationId, Manifest};
use crate::model::rel_path::RelPath;
use crate::store::{HotTree, NewHotTree, SETTLED_NANOS};
use crate::tree::compare::holds;
use crate::tree::entries::Tree;
use crate::tree::hot::{Inodes, first_difference, names_of_files, remove_surplus};
use crate::tree::own_files::with_own_files;
use crate::tree::staged::{Staged, exchange_dirs, rename_dir};

/// The number of hot trees that a save leaves, and their directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HotPolicy {
    /// The maximum for each repository, area and kind of job; 0 parks none.
    pub count: usize,
    /// The directory for hot trees if the store is on another filesystem. It lies beside the
    /// workspace, nobody else writes to it, and it is created if it is missing.
    pub outside: Option<PathBuf>,
}

/// Moves the tree that was just saved as `id` to the hot trees, without the files that the
/// generation leaves out. `inodes` are those of the files that certainly hold the saved bytes. The
/// job is over, so nobody misses the tree. A failure only costs time later, and is a warning.
///
/// The caller holds cargo's locks. If the process is killed on the way, the tree is in place or
/// gone; the packs have everything.
pub(super) fn park(
    saving: &Saving<'_>,
    place: &AreaPlace,
    (tree, inodes): (&Tree, &Inodes),
    id: &GenerationId,
    manifest: &Manifest,
) -> Said {
    if saving.options.hot.count == 0 || place.area.is_shared() || saving.progress.is_stopped() {
        return Said::default();
    }
    match try_park(saving, place, (tree, inodes), id, manifest) {
        Ok(Ok(())) => Said::default(),
        Ok(Err(why_not)) => Note::NoHotTree(why_not).into(),
        Err(error) => Warning::HotTreeNotKept(error.into()).into(),
    }
}

fn try_park(
    saving: &Saving<'_>,
    place: &AreaPlace,
    saved: (&Tree, &Inodes),
    id: &GenerationId,
    manifest: &Manifest,
) -> Result<std::result::Result<(), String>> {
    let dir = place.dir.canonicalize().at("resolve", &place.dir)?;
    if !saving.job.roots.values().any(|root| dir.starts_with(root) && dir != *root) {
        // Another job may build in the directory at any time.
        return Ok(Err(format!("`{}` is in none of the job's checkouts", dir.display())));
    }
    if is_mount_point(&dir)? {
        return Ok(Err(format!("`{}` is a mount point", dir.display())));
    }
    let trees = saving.store.hot_trees(&saving.boot)?;
    let is_there =
        |hot: &HotTree| hot.is_current && hot.generation == *id && hot.scope == saving.job.scope;
    if !trees.iter().any(is_there) {
        let Some(base) = base_for(saving, &dir)? else {
            return Ok(Err(format!(
                "the store has no directory on the filesystem of `{}`",
                dir.display()
            )));
        };
        let own = saving.checkout_files(place);
        if let Err(why_not) = move_there(saving, (&dir, &own), &base, saved, id, manifest)? {
            return Ok(Err(why_not));
        }
    }
    drop_surplus(saving, place)?;
    Ok(Ok(()))
}

/// Returns the directory for hot trees that `dir` can be renamed to.
fn base_for(saving: &Saving<'_>, dir: &Path) -> Result<Option<PathBuf>> {
    let own = saving.store.hot_dir();
    // The rename moves an entry of the parent, so the parent must be on the same mount.
    let parent = dir.parent().unwrap_or(dir);
    if is_same_mount(&own, parent)? {
        return Ok(Some(own));
    }
    let Some(outside) = &saving.options.hot.outside else { return Ok(None) };
    let outside = saving.store.open_outside(outside)?;
    Ok(outside.filter(|outside| is_same_mount(outside, parent).unwrap_or(false)))
}

fn move_there(
    saving: &Saving<'_>,
    (dir, own): (&Path, &CheckoutFiles),
    base: &Path,
    (tree, saved): (&Tree, &Inodes),
    id: &GenerationId,
    manifest: &Manifest,
) -> Result<std::result::Result<(), String>> {
    if !has_settled(tree.files.iter().map(|(_, unread)| &unread.stat), base)? {
        return Ok(Err(IN_THE_FUTURE.to_owned()));
    }
    // Several areas of a save are parked at once, so each has its own name.
    let name = id.series.area.dir_name();
    let staged = Staged::within(saving.lease, base, Path::new(&name))?;
    if own.is_empty() {
        rename_dir(dir, staged.path())?;
    } else {
        // The files of the checkout stay in the directory.
        own.link(dir, staged.path())?;
        staged.open_to_others()?;
        exchange_dirs(staged.path(), dir)?;
    }
    crash_point("hot: staged");
    if let Err(error) = remove_surplus(staged.path(), &manifest.entries) {
        // A file of another owner would stay here for ever, where nobody expects it.
        give_back(&staged, dir, own)?;
        return Err(error);
    }
    let entries = &manifest.entries;
    let walked = with_own_files(staged.path(), entries, saving.progress)?;
    if !has_settled(walked.found.iter().map(|found| &found.stat), base)? {
        return Ok(Err(IN_THE_FUTURE.to_owned()));
    }
    // Files that were written after the save's walk are in no generation. A ctime also changes when
    // a file loses a name, and a copy has a ctime of its own: read such files again.
    let moved = Beneath::open(staged.path())?;
    let has_its_bytes = |path: &RelPath, facts: &FileFacts, inode| {
        saving.progress.check_stopped()?;
        Ok(saved.get(path) == Some(&inode) || holds(&moved, path, facts)?)
    };
    if let Some(path) = first_difference(staged.path(), entries, &walked, has_its_bytes)? {
        return Ok(Err(format!("`{path}` changed after it was saved")));
    }
    let files = names_of_files(entries);
    let files = walked.found.into_iter().filter(|found| files.contains_key(&found.path));
    let inodes = files.map(|found| (found.path, found.stat.inode)).collect();
    let Saving { store, lease, job, .. } = saving;
    let new = NewHotTree {
        generation: id,
        scope: &job.scope,
        job: &job.label,
        bytes: manifest.header.bytes,
        inodes: &inodes,
    };
    match store.keep_hot_tree(lease, staged.marked(), base, &saving.boot, &new)? {
        Ok(()) => Ok(Ok(())),
        Err(why_not) => {
            give_back(&staged, dir, own)?;
            Ok(Err(why_not.to_string()))
        }
    }
}

/// Removes hot trees of this repository, area and kind of job: the least recently used ones above
/// the maximum, and those that may no longer be used.
fn drop_surplus(saving: &Saving<'_>, place: &AreaPlace) -> Result<()> {
    let is_kin = |hot: &HotTree| {
        let (scope, area) = (&hot.generation.series.scope, &hot.generation.series.area);
        scope.repository == saving.job.scope.repository
            && *area == place.area
            && hot.job == saving.job.label
    };
    let trees = saving.store.hot_trees(&saving.boot)?;
    let (of_kin, _): (Vec<_>, Vec<_>) = trees.into_iter().partition(is_kin);
    let (current, stale): (Vec<_>, Vec<_>) = of_kin.into_iter().partition(|hot| hot.is_current);
    let surplus = current.into_iter().skip(saving.options.hot.count);
    let (_, failures) = saving.store.drop_hot_trees(&surplus.chain(stale).collect::<Vec<_>>());
    failures.into_iter().next().map_or(Ok(()), |error| Err(error.into()))
}

/// Moves a tree that is not parked back to `dir`.
fn give_back(staged: &Staged, dir: &Path, own: &CheckoutFiles) -> Result<()> {
    if !own.is_empty() {
        exchange_dirs(staged.path(), dir)
    } else if rename_noreplace(staged.path(), dir)? {
        Ok(())
    } else {
        let reason = "another entry took its place, so the parked tree is removed";
        Err(Error::Unfit { path: dir.to_owned(), reason })
    }
}

/// The reason not to park a tree with files that could change once more and keep their ctime.
const IN_THE_FUTURE: &str = "its files have times in the future";

/// Waits until no file could change once more and keep its ctime; see
/// [`TreeRecord::settle`](crate::store::TreeRecord::settle). Returns false if a file still could
/// after 50 ms.
fn has_settled<'a>(stats: impl Iterator<Item = &'a Stat>, base: &Path) -> Result<bool> {
    const PAUSE: Duration = Duration::from_millis(5);
    let files = stats.filter(|stat| stat.kind == Kind::File);
    let newest = files.map(|stat| stat.inode.ctime).max().unwrap_or_default();
    for _ in 0..10 {
        if newest < now_at(base)?.minus(0, SETTLED_NANOS) {
            return Ok(true);
        }
        std::thread::sleep(PAUSE);
    }
    Ok(false)
}
