//! Directories that we stage in outside the store.

use std::fs::{DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{Error, Result};
use crate::fs::At;
use crate::fs::beneath::umask;
use crate::fs::crash::crash_point;
use crate::fs::remove::remove_tree;
use crate::fs::rename::{exchange, rename_noreplace};
use crate::fs::spread::spread_subdirs;
use crate::model::manifest::RawPath;
use crate::store::{Lease, Use};

/// A directory that we stage in outside the store, removed when this is dropped.
///
/// What is completed in it is renamed away before. What a crash leaves is removed by the next
/// `reclaim`, for the lease names it.
#[derive(Debug)]
pub(super) struct Staged {
    dir: PathBuf,
}

impl Staged {
    /// Creates one beside `dir`, on its filesystem; the lease names it first.
    pub(super) fn beside(lease: &Lease, dir: &Path) -> Result<Self> {
        Self::within(lease, dir.parent().unwrap_or(Path::new("/")), dir)
    }

    /// Creates one in `parent`, named after `dir`; the lease names it first.
    pub(super) fn within(lease: &Lease, parent: &Path, dir: &Path) -> Result<Self> {
        let of = dir.file_name().unwrap_or_default().to_string_lossy();
        let staged = Self { dir: parent.join(format!("{}-{of}", lease.staging_name())) };
        for path in [&staged.dir, &staged.room()] {
            lease.name(&Use::Staging(RawPath::of(path.as_os_str().as_encoded_bytes())))?;
        }
        staged.create()?;
        Ok(staged)
    }

    /// Creates the directory where the disk has room: in another one, which is gone again before
    /// anything is written. Removing it later would wait for all that.
    fn create(&self) -> Result<()> {
        let room = self.room();
        // Its name is like no other, so that ext4 looks for room in another place each time.
        let inner = room.join(self.dir.file_name().unwrap_or_default());
        let mut builder = DirBuilder::new();
        builder.mode(0o700).create(&room).at("create directory", &room)?;
        spread_subdirs(&room);
        let created = builder.create(&inner).at("create directory", &inner);
        crash_point("restore: room");
        let moved =
            created.and_then(|()| std::fs::rename(&inner, &self.dir).at("rename to", &self.dir));
        remove_tree(&room)?;
        Ok(moved?)
    }

    fn room(&self) -> PathBuf {
        self.dir.with_added_extension("room")
    }

    /// Empties it.
    pub(super) fn clear(&self) -> Result<()> {
        remove_tree(&self.dir)?;
        self.create()
    }

    /// Returns where to stage.
    pub(super) fn path(&self) -> &Path {
        &self.dir
    }

    /// Lets others in as far as umask allows, as into a directory that cargo or a checkout makes.
    pub(super) fn open_to_others(&self) -> Result<()> {
        let permissions = Permissions::from_mode(0o777 & !umask() | 0o700);
        Ok(std::fs::set_permissions(&self.dir, permissions).at("set the mode of", &self.dir)?)
    }

    /// Lets what was staged take the place of `dir`, and keeps what was there until this is
    /// dropped. One step, unless `dir` is a mount point and this is inside.
    pub(super) fn take_place_of(&self, dir: &Path) -> Result<()> {
        if self.dir.parent() == Some(dir) {
            return self.exchange_children(dir);
        }
        if dir.exists() {
            exchange(&self.dir, dir)?;
        } else if !self.take_free_place(dir)? {
            let reason = "something appeared there while it was restored";
            return Err(Error::Unfit { path: dir.to_owned(), reason });
        }
        Ok(())
    }

    /// Lets what was staged appear at `dir` if nothing is there; tells whether it does.
    pub(super) fn take_free_place(&self, dir: &Path) -> Result<bool> {
        Ok(rename_noreplace(&self.dir, dir)?)
    }

    /// Moves what is in `dir` aside and what was staged into it; all back if one step fails.
    fn exchange_children(&self, dir: &Path) -> Result<()> {
        let staged = children(&self.dir)?;
        // No tree has anything of that name.
        let old = self.dir.join(".runner-cache-old");
        DirBuilder::new().create(&old).at("create directory", &old)?;
        // Neither the filesystem's own directory nor what somebody stages is part of the tree.
        let is_of_tree = |child: &PathBuf| {
            let name = child.file_name().unwrap_or_default().as_encoded_bytes();
            name != b"lost+found" && !name.starts_with(b".runner-cache-")
        };
        let out = children(dir)?.into_iter().filter(is_of_tree).map(|child| (child, old.clone()));
        let into = staged.into_iter().map(|child| (child, dir.to_owned()));
        let mut done = Vec::new();
        for (child, dest) in out.chain(into) {
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

fn children(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(dir).at("read directory", dir)?;
    let paths: std::io::Result<Vec<_>> =
        entries.map(|entry| entry.map(|entry| entry.path())).collect();
    Ok(paths.at("read directory", dir)?)
}

fn rename_into(child: &Path, dir: &Path) -> Result<PathBuf> {
    let dest = dir.join(child.file_name().unwrap_or_default());
    std::fs::rename(child, &dest).at("rename to", &dest)?;
    Ok(dest)
}

impl Drop for Staged {
    fn drop(&mut self) {
        // What stays behind after an error here is removed by the next `reclaim`.
        drop(remove_tree(&self.dir));
    }
}
