//! Refreshes the indexes of git after a restore, which changed the times of files.
//!
//! Git works on a copy of its index, in a directory that the lease names. So if we or git are
//! killed, no `index.lock` stays, which would make later commands of git fail
//! (`docs/decisions/0027-files-of-git.md`).

use std::io;
use std::path::Path;

use rayon::prelude::*;

use super::Restoring;
use super::refreshing::Refreshing;
use crate::cargo::git_index::{GitIndex, indexes};
use crate::cargo::sources::{below, names_digest};
use crate::fs::At;
use crate::fs::beneath::{Beneath, open_regular};
use crate::fs::stat::Stat;
use crate::job::Result;
use crate::model::rel_path::RelPath;
use crate::tree::staged::Staged;

impl Restoring<'_> {
    /// Makes git compare the files of every checkout in which the mtime of a file changed.
    ///
    /// A failure or a stop leaves the index as it was. Then git takes files for changed until a
    /// command makes it compare them.
    pub(super) fn refresh_indexes(&self, refreshing: &Refreshing<'_>, is_put_back: bool) {
        let touched: Vec<_> = refreshing.touched(is_put_back).collect();
        // The restore is right even if this fails.
        touched.par_iter().for_each(|root| drop(self.refresh_indexes_in(root)));
    }

    fn refresh_indexes_in(&self, root: &Path) -> Result<()> {
        let indexes = indexes(root);
        if indexes.is_empty() {
            return Ok(());
        }
        let excluded = &self.job.excluded;
        let names = names_digest(root, excluded)?;
        let mtime = Stat::of(root).at("read metadata", root)?.mtime;
        let dest = Beneath::open(root)?;
        let staged = Staged::within(self.lease, root, Path::new("index"))?;
        let mut done = Ok(());
        for index in &indexes {
            done = done.and(self.refresh_index(index, &dest, &staged));
        }
        drop(staged);
        // If the names are the same, only our own writes changed the mtime of the root. A kill
        // before this costs a rebuild.
        if names_digest(root, excluded)? == names {
            dest.set_own_mtime(mtime)?;
        }
        done
    }

    fn refresh_index(&self, index: &GitIndex, dest: &Beneath, staged: &Staged) -> Result<()> {
        let progress = self.unpacker.progress;
        progress.check_stopped()?;
        let Some(place) = below(dest.path(), &index.path)? else { return Ok(()) };
        let before = Stat::of(&index.path).at("read metadata", &index.path)?;
        staged.clear()?;
        let staging = Beneath::open(staged.path())?;
        let name = RelPath::parse(b"index").expect("it is a path below a root");
        let mut copy = staging.create_file(&name, 0o600)?;
        let copied = open_regular(&index.path).and_then(|mut file| io::copy(&mut file, &mut copy));
        copied.at("copy", &index.path)?;
        drop(copy);
        let path = staging.full(&name);
        let copied = Stat::of(&path).at("read metadata", &path)?;
        let refreshed = index.refresh(&path, &self.job.environment, || progress.is_stopped());
        refreshed.at("refresh", &index.path)?;
        let is_written = staging.stat(&name)?.is_some_and(|now| now.inode.ino != copied.inode.ino);
        let is_locked = index.path.with_added_extension("lock").symlink_metadata().is_ok();
        if !is_written || is_locked {
            return Ok(());
        }
        // Git compares the content of files that are not older than the index. With a younger index
        // it would trust times that it does not trust now.
        staging.set_mtime(&name, before.mtime)?;
        let now = Stat::of(&index.path).at("read metadata", &index.path)?;
        if now.inode == before.inode {
            dest.rename_from(&place, &staging, &name)?;
        }
        Ok(())
    }
}
