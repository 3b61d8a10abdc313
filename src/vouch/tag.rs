//! The file by which cargo tells programs that copy files to leave a directory out.

use std::io::Read;
use std::path::Path;

use crate::fs::beneath::open_regular;
use crate::fs::walk::Found;
use crate::model::rel_path::RelPath;

/// What it begins with: <https://bford.info/cachedir/>.
const SIGNATURE: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// Returns where it is in `registry/` and in `git/`.
pub(crate) fn path() -> RelPath {
    RelPath::parse(b"CACHEDIR.TAG").expect("a name is a path")
}

/// Tells whether the tag in `dir` is among what was found and is none. What cannot be read is left out by whoever packs it.
pub(super) fn is_wrong(dir: &Path, found: &[Found]) -> bool {
    let path = path();
    if !found.iter().any(|found| found.path == path) {
        return false;
    }
    let mut bytes = Vec::new();
    let file = open_regular(&dir.join(path.as_path()));
    let read = file.and_then(|file| file.take(SIGNATURE.len() as u64).read_to_end(&mut bytes));
    read.is_ok() && bytes != SIGNATURE
}
