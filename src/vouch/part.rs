//! Digests of a part's files, by which an unchanged part is recognized.

use crate::fs::stat::{Inode, Kind};
use crate::fs::walk::Found;
use crate::model::digest::{Digest, Hasher};
use crate::model::rel_path::RelPath;

/// Returns a digest of these files, sorted by path, and of their inodes: any change of a file changes its ctime.
pub(super) fn files_digest<'a>(files: impl Iterator<Item = (&'a RelPath, Inode, u64)>) -> Digest {
    let mut hasher = Hasher::default();
    for (path, Inode { dev, ino, ctime }, size) in files {
        hasher.field(path.as_bytes());
        for number in [dev, ino, ctime.secs().cast_unsigned(), ctime.nanos().into(), size] {
            hasher.update(&number.to_le_bytes());
        }
    }
    hasher.finish()
}

/// Returns the same for paths that were found.
pub(super) fn found_digest<'a>(found: impl IntoIterator<Item = &'a Found>) -> Digest {
    let files = found.into_iter().filter(|found| found.stat.kind != Kind::Dir);
    files_digest(files.map(|found| (&found.path, found.stat.inode, found.stat.size)))
}
