//! What a target may be built from that no lock file names: then it is not saved.

use std::path::{Path, PathBuf};

use super::{Result, Saving};
use crate::cargo::home::Shared;
use crate::job::owners::home_dirs;
use crate::model::leftovers::{Foreign, SavedFrom};
use crate::vouch::{LeftBy, Part};

impl Saving<'_> {
    /// Notes a wrong source in a part of the home that a job left there which this one may not read, and that so stayed
    /// while this one built: whoever runs at the same time has the home in hand too. Where the home is in the hand of this
    /// job, its first step saw to it, and a save of that part sees the rest.
    /// Of what lock files name that nobody knew of then (`is_wider`), nobody saw to anything.
    pub(super) fn look_for_left_sources(&self, is_wider: bool) -> Result<()> {
        if self.options.from == SavedFrom::Anyone {
            return Ok(());
        }
        let dirs = home_dirs(self.job);
        let parts = [Shared::Registry, Shared::Git].into_iter().zip(&dirs);
        for (kind, dir) in parts.filter(|(_, dir)| dir.is_dir()) {
            if self.is_unproven(dir) {
                self.note_left(Some(dir.clone()));
            }
            if is_wider || self.owners().foreign(dir).is_some() {
                let part = Part { kind, dir };
                let wrong = self.vouching().look_over(part, LeftBy::Readable)?;
                self.note_left(self.vouching().left_source(part, &wrong));
            }
        }
        Ok(())
    }

    /// Tells whether a part of the home is what another lane left before this job began, and nothing says how it was: no
    /// lock file that git tracks, and no generation. What another lane takes in hand meanwhile was there before.
    pub(super) fn is_unproven(&self, dir: &Path) -> bool {
        let owners = self.owners();
        let is_of_other = matches!(owners.foreign(dir), Some(Foreign::Of(_)));
        let began = self.job.target_dirs.iter().filter_map(|dir| owners.of(dir));
        let began = began.filter(|own| own.scope.as_ref() == Some(&self.job.scope));
        let began = began.map(|own| own.since).min();
        let was_before =
            || owners.of(dir).is_some_and(|it| began.is_none_or(|began| it.since < began));
        self.options.from != SavedFrom::Anyone && !self.job.is_locked && is_of_other && was_before()
    }

    /// Notes that a build may have compiled `source`, which is wrong.
    pub(super) fn note_left(&self, source: Option<PathBuf>) {
        if let Some(source) = source.filter(|_| self.options.from != SavedFrom::Anyone) {
            // The first one is reason enough.
            self.left_source.get_or_init(|| source);
        }
    }
}
