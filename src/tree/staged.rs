//! Staging directories outside the store.

use std::fs::{DirBuilder, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::fs::At;
use crate::fs::beneath::umask;
use crate::fs::crash::crash_point;
use crate::fs::remove::{open_dir, remove_empty_dir, remove_tree};
use crate::fs::rename::{exchange, rename_noreplace};
use crate::fs::spread::spread_subdirs;
use crate::job::{Error, Result};
use crate::model::raw_path::RawPath;
use crate::store::{Lease, MARK, MarkedDir, Use, unmark};

/// A marked staging directory outside the store, removed when it is dropped.
///
/// A finished tree is renamed out of it before that. After a crash the next `reclaim` removes it, because the lease
/// names it.
#[derive(Debug)]
pub(crate) struct Staged {
    dir: MarkedDir,
    /// The directory of the tree: a subdirectory of `dir`, so that the tree that it replaces ends up in `dir` too; or
    /// `dir` itself.
    tree: PathBuf,
}

impl Staged {
    /// Creates a staging directory beside `dir`, on its filesystem; the lease names it first.
    pub(crate) fn beside(lease: &Lease, dir: &Path) -> Result<Self> {
        Self::within(lease, dir.parent().unwrap_or(Path::new("/")), dir)
    }

    /// Creates a staging directory in `parent`, named after `dir`; the lease names it first.
    pub(crate) fn within(lease: &Lease, parent: &Path, dir: &Path) -> Result<Self> {
        let dir = create(lease, parent, dir)?;
        let staged = Self { tree: dir.tree(), dir };
        let created = DirBuilder::new().mode(0o700).create(&staged.tree);
        created.at("create directory", &staged.tree)?;
        Ok(staged)
    }

    /// Creates a staging directory for a tree at `dir`, where nothing exists yet. The marked directory itself is
    /// renamed to `dir`, so that nothing is left to be removed after the tree is written
    /// (`docs/decisions/0021-nothing-removed-after-the-writing.md`).
    pub(crate) fn for_free_place(lease: &Lease, dir: &Path) -> Result<Self> {
        let dir = create(lease, dir.parent().unwrap_or(Path::new("/")), dir)?;
        Ok(Self { tree: dir.path(), dir })
    }

    /// Removes everything in the staging directory.
    pub(crate) fn clear(&self) -> Result<()> {
        for child in children(&self.tree)? {
            remove_tree(&child)?;
        }
        Ok(())
    }

    /// Takes the directory `from`, on the same filesystem, as the tree, in place of the empty one.
    pub(crate) fn adopt(&mut self, from: &Path) -> Result<()> {
        self.tree = self.dir.tree();
        rename_dir(from, &self.tree)
    }

    /// Returns the directory of the tree.
    pub(crate) fn path(&self) -> &Path {
        &self.tree
    }

    /// Returns the marked directory that holds the tree, or is the tree.
    pub(crate) fn marked(&self) -> &MarkedDir {
        &self.dir
    }

    /// Sets the mode of the tree to what umask allows, as for a directory that cargo or a checkout makes.
    pub(crate) fn open_to_others(&self) -> Result<()> {
        let permissions = Permissions::from_mode(0o777 & !umask() | 0o700);
        Ok(std::fs::set_permissions(&self.tree, permissions).at("set the mode of", &self.tree)?)
    }

    /// Puts the staged tree in the place of `dir`, and keeps the old `dir` until this is dropped. This is one step,
    /// unless `dir` is a mount point and the staging directory is inside it.
    pub(crate) fn take_place_of(&self, dir: &Path) -> Result<()> {
        if self.dir.path().parent() == Some(dir) {
            return self.exchange_children(dir);
        }
        let is_taken = if self.is_tree_itself() {
            // `rename(2)` replaces an empty directory, and nothing else.
            match std::fs::rename(&self.tree, dir) {
                Err(error) if is_taken(error.kind()) => true,
                renamed => {
                    renamed.at("rename to", dir)?;
                    unmark(dir)?;
                    false
                }
            }
        } else if dir.exists() {
            exchange_dirs(&self.tree, dir)?;
            false
        } else {
            !self.take_free_place(dir)?
        };
        if is_taken {
            let reason = "something appeared there while it was restored";
            return Err(Error::Unfit { path: dir.to_owned(), reason });
        }
        Ok(())
    }

    /// Moves the staged tree to `dir` if nothing exists there; tells whether it did.
    pub(crate) fn take_free_place(&self, dir: &Path) -> Result<bool> {
        let is_there = rename_noreplace(&self.tree, dir)?;
        if is_there && self.is_tree_itself() {
            unmark(dir)?;
        }
        Ok(is_there)
    }

    fn is_tree_itself(&self) -> bool {
        self.tree == self.dir.path()
    }

    /// Replaces only those `parts` of `dir`, and whatever has the same name as a staged child; everything else in `dir`
    /// stays. The staging directory is inside `dir`.
    pub(crate) fn take_place_of_parts(&self, dir: &Path, parts: &[PathBuf]) -> Result<()> {
        self.exchange_some(dir, |child| parts.contains(child))
    }

    fn exchange_children(&self, dir: &Path) -> Result<()> {
        self.exchange_some(dir, |_| true)
    }

    /// Moves the children of `dir` that `wanted` picks aside, and those with the name of a staged child; then moves the
    /// staged children into `dir`. Moves everything back if a step fails.
    fn exchange_some(&self, dir: &Path, wanted: impl Fn(&PathBuf) -> bool) -> Result<()> {
        let staged = children(&self.tree)?;
        let is_in_the_way =
            |child: &PathBuf| staged.iter().any(|staged| staged.file_name() == child.file_name());
        let old = self.dir.path().join("old");
        DirBuilder::new().create(&old).at("create directory", &old)?;
        // The filesystem's `lost+found` and the staging directories of any process are not part of the tree.
        let is_of_tree = |child: &PathBuf| {
            let name = child.file_name().unwrap_or_default().as_encoded_bytes();
            name != b"lost+found" && !name.starts_with(b".runner-cache-")
        };
        let out = children(dir)?.into_iter().filter(is_of_tree);
        let out = out.filter(|child| wanted(child) || is_in_the_way(child));
        let out: Vec<_> = out.map(|child| (child, old.clone())).collect();
        let into = staged.into_iter().map(|child| (child, dir.to_owned()));
        let mut done = Vec::new();
        for (child, dest) in out.into_iter().chain(into) {
            match rename_into(&child, &dest) {
                Ok(now) => done.push((now, child)),
                Err(error) => {
                    for (now, before) in done.into_iter().rev() {
                        std::fs::rename(&now, &before).at("rename back to", &before)?;
                    }
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

/// Returns the paths in `dir`, except a mark.
fn children(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(dir).at("read directory", dir)?;
    let paths: std::io::Result<Vec<_>> =
        entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths.at("read directory", dir)?;
    paths.retain(|path| path.file_name().is_none_or(|name| name != MARK));
    Ok(paths)
}

/// Renames a directory. Works also if its owner may not write to it, which a rename to another parent requires.
pub(crate) fn rename_dir(from: &Path, to: &Path) -> Result<()> {
    let rename = || std::fs::rename(from, to).at("rename to", to);
    match rename() {
        Err(error) if error.is_denied() => {
            open_dir(from)?;
            Ok(rename()?)
        }
        renamed => Ok(renamed?),
    }
}

/// Exchanges the tree `staged` with `dir`. Works also if the owner of `dir` may not write to it.
pub(crate) fn exchange_dirs(staged: &Path, dir: &Path) -> Result<()> {
    match exchange(staged, dir) {
        Err(error) if error.is_denied() => {
            open_dir(dir)?;
            Ok(exchange(staged, dir)?)
        }
        exchanged => Ok(exchanged?),
    }
}

fn is_taken(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::AlreadyExists | ErrorKind::DirectoryNotEmpty | ErrorKind::NotADirectory
    )
}

/// Creates a marked directory in `parent`, named after `dir`, in a free region of the disk.
fn create(lease: &Lease, parent: &Path, dir: &Path) -> Result<MarkedDir> {
    let of = dir.file_name().unwrap_or_default().to_string_lossy();
    // The path of a marked directory contains no symlink.
    let parent = parent.canonicalize().at("resolve", parent)?;
    let dir = parent.join(format!("{}-{}-{of}", lease.staging_name(), lease.next_staged()));
    let room = dir.with_added_extension("room");
    for path in [&dir, &room] {
        lease.name(&Use::Staging(RawPath::of(path.as_os_str().as_encoded_bytes())))?;
    }
    lease.flush()?;
    create_with_room(&dir, &room)?;
    Ok(lease.mark(&dir)?)
}

/// Creates `dir` in a free region of the disk: creates it in another directory, `room`, and moves it out. `room` is
/// removed before anything is written, because removing it later would wait for all the writes.
fn create_with_room(dir: &Path, room: &Path) -> Result<()> {
    // The name is unique, so that ext4 picks another region each time.
    let inner = room.join(dir.file_name().unwrap_or_default());
    let mut builder = DirBuilder::new();
    builder.mode(0o700).create(room).at("create directory", room)?;
    spread_subdirs(room);
    let created = builder.create(&inner).at("create directory", &inner);
    crash_point("restore: room");
    let moved = created.and_then(|()| std::fs::rename(&inner, dir).at("rename to", dir));
    for left in [&inner, room] {
        // If this fails, the next `reclaim` removes them.
        remove_empty_dir(left);
    }
    Ok(moved?)
}

fn rename_into(child: &Path, dir: &Path) -> Result<PathBuf> {
    let dest = dir.join(child.file_name().unwrap_or_default());
    std::fs::rename(child, &dest).at("rename to", &dest)?;
    Ok(dest)
}

impl Drop for Staged {
    fn drop(&mut self) {
        // If this fails, the next `reclaim` removes the rest.
        drop(self.dir.remove());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Purpose, Store};

    #[test]
    fn two_trees_staged_beside_one_place_do_not_collide() -> Result<()> {
        let dir = tempfile::tempdir().at("create a directory", Path::new("temporary"))?;
        let store = Store::open_or_init(&dir.path().join("store"))?;
        let lease = store.lease(Purpose::Restore)?;
        let place = dir.path().join("target");
        let first = Staged::beside(&lease, &place)?;
        std::fs::write(first.path().join("a"), "a").at("write", first.path())?;
        let second = Staged::beside(&lease, &place)?;
        assert_ne!(first.path(), second.path());
        Ok(())
    }
}
