//! Finds wrong parts of a `CARGO_HOME` that cargo may have compiled.

use std::path::{Path, PathBuf};

use super::{Part, Vouching, Wrong};
use crate::fs::stat::born;
use crate::job::owners::Owners;
use crate::model::rel_path::RelPath;

impl Vouching<'_> {
    /// Returns the first of the `wrong` parts that this job's build may have compiled in the state in which another job
    /// left it. That is so if the part existed before this job took over the home, or if a job that this one may not
    /// read has taken it over since. A part fetched later may be wrong because its own build script wrote there: that
    /// is this job's work.
    pub(crate) fn left_source(&self, part: Part<'_>, wrong: &[Wrong]) -> Option<PathBuf> {
        let owners = Owners { store: self.store, job: self.job, boot: self.boot };
        let is_ours = owners.foreign(part.dir).is_none();
        let since = owners.of(part.dir).map(|owner| owner.since).filter(|_| is_ours);
        let is_new =
            |path: &Path| since.is_some_and(|since| born(path).is_some_and(|born| since <= born));
        let compiled = wrong.iter().filter(|wrong| is_compiled(&wrong.path));
        compiled.map(|wrong| part.dir.join(wrong.path.as_path())).find(|path| !is_new(path))
    }
}

/// Tells whether cargo compiles the files at or below `path` in a part of a home.
fn is_compiled(path: &RelPath) -> bool {
    matches!(path.components().next(), Some(b"src" | b"checkouts"))
}
