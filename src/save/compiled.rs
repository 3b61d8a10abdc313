//! Wrong sources in the home that targets may be built from: such targets are not saved.

use std::path::PathBuf;

use super::saving::Saving;
use crate::cargo::home::Shared;
use crate::job::Result;
use crate::job::owners::home_dirs;
use crate::model::leftovers::SavedFrom;
use crate::vouch::{LeftBy, Part};

/// Notes a wrong source in a part of the home that a job left there which this one may not read, and that so stayed
/// while this one built: whoever runs at the same time has the home in hand too. Where the home is in the hand of this
/// job, its first step saw to it, and a save of that part sees the rest.
/// If the save found further lock files (`is_wider`), their crates are judged here for the first time.
pub(super) fn look_for_left_sources(saving: &Saving<'_>, is_wider: bool) -> Result<()> {
    if saving.options.from == SavedFrom::Anyone {
        return Ok(());
    }
    let dirs = home_dirs(saving.job);
    let parts = [Shared::Registry, Shared::Git].into_iter().zip(&dirs);
    for (kind, dir) in parts.filter(|(_, dir)| dir.is_dir()) {
        if is_wider || saving.owners().foreign(dir).is_some() {
            let part = Part { kind, dir };
            let wrong = saving.vouching().look_over(part, LeftBy::Readable)?;
            note_left(saving, saving.vouching().left_source(part, &wrong));
        }
    }
    Ok(())
}

/// Notes that a build may have compiled `source`, which is wrong.
pub(super) fn note_left(saving: &Saving<'_>, source: Option<PathBuf>) {
    if let Some(source) = source.filter(|_| saving.options.from != SavedFrom::Anyone) {
        // The first one is reason enough.
        saving.left_source.get_or_init(|| source);
    }
}
