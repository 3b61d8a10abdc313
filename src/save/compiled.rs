//! Wrong sources in the home that targets may be built from: such targets are not saved.

use std::path::PathBuf;

use super::{Result, Saving};
use crate::cargo::home::Shared;
use crate::job::owners::home_dirs;
use crate::model::leftovers::SavedFrom;
use crate::vouch::{LeftBy, Part};

impl Saving<'_> {
    /// Notes a wrong source in a part of the home that a job left there which this one may not read, and that so stayed
    /// while this one built: whoever runs at the same time has the home in hand too. Where the home is in the hand of this
    /// job, its first step saw to it, and a save of that part sees the rest.
    /// If the save found further lock files (`is_wider`), their crates are judged here for the first time.
    pub(super) fn look_for_left_sources(&self, is_wider: bool) -> Result<()> {
        if self.options.from == SavedFrom::Anyone {
            return Ok(());
        }
        let dirs = home_dirs(self.job);
        let parts = [Shared::Registry, Shared::Git].into_iter().zip(&dirs);
        for (kind, dir) in parts.filter(|(_, dir)| dir.is_dir()) {
            if is_wider || self.owners().foreign(dir).is_some() {
                let part = Part { kind, dir };
                let wrong = self.vouching().look_over(part, LeftBy::Readable)?;
                self.note_left(self.vouching().left_source(part, &wrong));
            }
        }
        Ok(())
    }

    /// Notes that a build may have compiled `source`, which is wrong.
    pub(super) fn note_left(&self, source: Option<PathBuf>) {
        if let Some(source) = source.filter(|_| self.options.from != SavedFrom::Anyone) {
            // The first one is reason enough.
            self.left_source.get_or_init(|| source);
        }
    }
}
