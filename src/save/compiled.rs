//! Wrong sources in the home that targets may be built from: such targets are not saved.

use std::path::PathBuf;

use super::saving::Saving;
use crate::cargo::home::Shared;
use crate::job::Result;
use crate::job::owners::home_dirs;
use crate::model::leftovers::SavedFrom;
use crate::vouch::{LeftBy, Part};

/// Notes a wrong source that another job left in the home and that this job's build may have
/// compiled.
///
/// Checks a part of the home if the owner of the part is unknown, or is a job that this one may not
/// read. Jobs that run at the same time may share a home, so such a source may have stayed while
/// this job built. If this job owns the part, its first step has checked the part, and the save of
/// the part finds the rest. But if the save found further lock files (`is_wider`), this is the
/// first check of their crates.
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
        // One such source is enough.
        saving.left_source.get_or_init(|| source);
    }
}
