//! What cargo compiles of what is wrong in a `CARGO_HOME`.

use std::path::{Path, PathBuf};

use super::{Part, Vouching, Wrong};
use crate::fs::stat::born;
use crate::job::owners::Owners;
use crate::model::rel_path::RelPath;

impl Vouching<'_> {
    /// Returns the first of what is `wrong` that the build of this job may have compiled as somebody else left it: it was
    /// there before the job had the home in hand, or a job that may not be read has it in hand now. What was fetched since
    /// may be wrong because its own build script wrote there: that is the work of this job.
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

/// Tells whether cargo compiles what is at `path` in a part of a home, or below it.
fn is_compiled(path: &RelPath) -> bool {
    matches!(path.components().next(), Some(b"src" | b"checkouts"))
}
