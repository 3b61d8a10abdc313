//! The file with which cargo tells backup programs to leave a directory out.

use std::io::Read;
use std::path::Path;

use crate::fs::beneath::open_regular;
use crate::fs::walk::Found;
use crate::model::rel_path::RelPath;

/// The bytes that it begins with: <https://bford.info/cachedir/>.
const SIGNATURE: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// Returns its path in `registry/` and in `git/`.
pub(crate) fn path() -> RelPath {
    RelPath::parse(b"CACHEDIR.TAG").expect("a name is a path")
}

/// Tells whether the tag in `dir` was found and has other content. A save leaves out a tag that cannot be read.
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
