//! Visiting paths of a tree in order, where neighbours mostly share a directory.

use rustix::io::Errno;

use super::beneath::{Beneath, is_absence};
use super::error::Result;
use super::stat::Stat;
use crate::model::rel_path::RelPath;

/// The number of paths that a thread visits in a row: enough that opening their directories costs
/// little.
pub const AT_A_TIME: usize = 256;

/// A cursor that keeps the directory of the last visited path open, so that its neighbours need no
/// lookup from the root.
#[derive(Debug)]
pub struct Cursor<'a> {
    root: &'a Beneath,
    at: Option<(RelPath, Beneath)>,
}

impl<'a> Cursor<'a> {
    /// Returns a cursor that has not visited any path.
    pub fn new(root: &'a Beneath) -> Self {
        Self { root, at: None }
    }

    /// Returns the root of the tree.
    pub fn root(&self) -> &'a Beneath {
        self.root
    }

    /// Returns the parent directory of `path`, and the file name of `path`.
    pub fn visit(&mut self, path: &RelPath) -> Result<(&Beneath, RelPath)> {
        let Some(parent) = path.parent() else { return Ok((self.root, path.clone())) };
        if self.at.as_ref().is_none_or(|(at, _)| *at != parent) {
            let dir = self.root.open_dir(Some(&parent))?;
            self.at = Some((parent, dir));
        }
        let (_, dir) = self.at.as_ref().expect("it was just visited");
        Ok((dir, path.name()))
    }

    /// As [`Self::visit`], and the stat of `path`; `None` if it does not exist.
    pub fn find(&mut self, path: &RelPath) -> Result<Option<(&Beneath, RelPath, Stat)>> {
        match self.visit(path) {
            Err(error) if Errno::from_io_error(&error.source).is_some_and(is_absence) => Ok(None),
            visited => {
                let (dir, name) = visited?;
                Ok(dir.stat(&name)?.map(|stat| (dir, name, stat)))
            }
        }
    }
}
