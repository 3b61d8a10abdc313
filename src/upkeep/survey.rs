//! Finds the units of a generation that cargo cannot find fresh.

use crate::cargo::artifacts::{Docs, Survey, survey};
use crate::cargo::units::Units;
use crate::model::manifest::{Entry, EntryKind, Manifest};

/// Surveys the tree of a generation of a target.
pub(super) fn survey_of(manifest: &Manifest) -> Survey {
    let files = manifest.entries.iter().filter_map(|Entry { path, kind }| match kind {
        EntryKind::File(facts) => Some((path, Some(facts.size))),
        EntryKind::HardLink { .. } | EntryKind::Symlink { .. } => Some((path, None)),
        EntryKind::Dir { .. } => None,
    });
    let units = Units::among(manifest.entries.iter().map(|entry| &entry.path));
    survey(&units, files, Docs::of(&manifest.header.series.area))
}
