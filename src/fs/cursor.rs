//! Visiting paths of one tree in their order, where neighbours mostly share a directory.

use rustix::io::Errno;

use super::beneath::{Beneath, is_absence};
use super::error::Result;
use super::stat::Stat;
use crate::model::rel_path::RelPath;

/// How many paths one thread visits in a row: enough that opening their directories costs little.
pub const AT_A_TIME: usize = 256;

/// Holds the directory of the path that was last visited open, so that its neighbours need not be looked
/// up from the root.
#[derive(Debug)]
pub struct Cursor<'a> {
    root: &'a Beneath,
    at: Option<(RelPath, Beneath)>,
}

impl<'a> Cursor<'a> {
    /// Returns one that has not visited anything yet.
    pub fn new(root: &'a Beneath) -> Self {
        Self { root, at: None }
    }

    /// Returns the tree that is visited.
    pub fn root(&self) -> &'a Beneath {
        self.root
    }

    /// Returns the directory that holds `path`, and the name of `path` there.
    pub fn visit(&mut self, path: &RelPath) -> Result<(&Beneath, RelPath)> {
        let Some(parent) = path.parent() else { return Ok((self.root, path.clone())) };
        if self.at.as_ref().is_none_or(|(at, _)| *at != parent) {
            let dir = self.root.open_dir(Some(&parent))?;
            self.at = Some((parent, dir));
        }
        let (_, dir) = self.at.as_ref().expect("it was just visited");
        Ok((dir, path.name()))
    }

    /// Returns the same of a path that is there, with its stat.
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
