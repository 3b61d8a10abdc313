//! Prepares the sources for a restore, and reports on them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::kept_back::{create_missing, judge, take_away};
use super::put_back::PutBack;
use super::rebuild::{explain, shown_in};
use super::refreshing::{FinalSources, Refreshing, look};
use super::standing::fates_in;
use super::{Planned, Restored, Restoring};
use crate::cargo::scratch::Scratch;
use crate::job::Job;
use crate::job::Result;
use crate::job::checkout_files::CheckoutFiles;
use crate::job::dirs::holds_anything;
use crate::job::sources::Glance;
use crate::job::warning::Warning;
use crate::model::area::Area;
use crate::model::blind::{blind_inputs, may_be_input};
use crate::model::kept::StaysAway;
use crate::model::manifest::Manifest;
use crate::model::rebuild::{Rebuild, with_lacking};
use crate::model::unit_use::UnitDir;
use crate::tree::walk::walk_tree;

/// The sources, compared with the chosen generations before any of these is in place.
pub(super) struct Renewed<'r> {
    pub(super) refreshing: Refreshing<'r>,
    /// The kept files that were put back.
    pub(super) kept: PutBack,
    /// The units of each target that must be built again, because a file that they wrote or read is
    /// missing.
    pub(super) forgotten: BTreeMap<Area, BTreeSet<UnitDir>>,
    pub(super) warnings: Vec<Warning>,
}

impl Restoring<'_> {
    /// Puts kept files back, compares the sources with the inputs of the chosen trees, and makes
    /// the sources that differ look new. Returns `None` if no tree is to be restored.
    pub(super) fn renew_sources(
        &self,
        plan: &[Planned<'_>],
        glance: Glance,
    ) -> Result<Option<Renewed<'_>>> {
        let Job { roots, excluded, .. } = self.job;
        let choices = plan.iter().filter_map(|area| area.choice.as_ref());
        let manifests: Vec<&Manifest> = choices.map(|choice| &*choice.manifest).collect();
        let newest = manifests.iter().map(|manifest| manifest.header.newest_mtime.next()).max();
        let Some(newest) = newest else { return Ok(None) };
        let bound = newest.max(crate::fs::space::now_at(self.store.root())?);
        let (mut kept, failed) =
            create_missing(&self.unpacker, self.lease, roots, &manifests, bound);
        let mut warnings = Vec::new();
        for error in failed {
            warnings.extend(self.remove_damaged(&error, &manifests));
            warnings.push(error.into());
        }
        let mut seen = look(self.job, &manifests, glance)?;
        let (away, forgotten) = loop {
            let (away, forgotten) = self.stays_away(plan, &seen);
            if !take_away(roots, &mut kept, &away)? {
                break (away, forgotten);
            }
            seen = look(self.job, &manifests, Glance::default())?;
        };
        let refreshing = Refreshing::compare(roots, excluded, &manifests, bound, seen, &away);
        refreshing.renew()?;
        Ok(Some(Renewed { refreshing, kept, forgotten, warnings }))
    }

    /// Returns the kept files that stay away, and the units of each target that must be built again
    /// because of that.
    fn stays_away(
        &self,
        plan: &[Planned<'_>],
        seen: &Glance,
    ) -> (PutBack, BTreeMap<Area, BTreeSet<UnitDir>>) {
        let (mut away, mut forgotten) = (PutBack::new(), BTreeMap::new());
        let choices = || plan.iter().filter_map(|area| Some((area.place, area.choice.as_ref()?)));
        if choices().all(|(_, choice)| choice.manifest.kept.is_empty()) {
            return (away, forgotten);
        }
        let contents = seen.contents();
        // A file that stays away for one target is missing for the others too.
        loop {
            let before = away.len();
            for (place, choice) in choices() {
                let StaysAway { files, units } = judge(self.job, place, choice, &contents, &away);
                away.extend(files);
                forgotten.insert(place.area.clone(), units);
            }
            if away.len() == before {
                return (away, forgotten);
            }
        }
    }

    /// Returns the target directories that were not restored, and that may hold trees built from
    /// our sources.
    pub(super) fn unknown_targets(
        &self,
        areas: &[Restored<'_>],
        refreshing: &Refreshing<'_>,
    ) -> Vec<PathBuf> {
        // A build directory inside a target directory is restored with it.
        let is_restored = |dir: &PathBuf| {
            areas.iter().any(|area| area.placed.is_some() && dir.starts_with(&area.place.dir))
        };
        let known = self.job.target_dirs.iter().filter(|dir| !is_restored(dir));
        let is_live = |dir: &&PathBuf| {
            dir.exists() && holds_more_than(&refreshing.checkout_files(dir), dir).unwrap_or(true)
        };
        let live = known.filter(is_live);
        live.chain(refreshing.strange_targets()).cloned().collect()
    }

    /// Returns the changed files that lie in packages that stay fresh, and that no unit is known to
    /// read, by their names for people.
    pub(super) fn blind_inputs(
        &self,
        areas: &[Restored<'_>],
        refreshing: &Refreshing<'_>,
    ) -> Vec<String> {
        let Job { roots, .. } = self.job;
        let mut blind = BTreeSet::new();
        for area in areas {
            let Some(choice) = &area.placed else { continue };
            let changed = refreshing.changed(&choice.manifest, roots);
            if !changed.iter().any(|(_, path)| may_be_input(path)) {
                continue;
            }
            let contents = refreshing.contents(roots);
            let fates = fates_in(self.job, area.place, &choice.manifest, &contents);
            blind.extend(fates.map(|fates| blind_inputs(&choice.manifest, &fates, &changed)));
        }
        let files: BTreeSet<_> = blind.into_iter().flatten().collect();
        files.iter().map(|(root, path)| shown_in(root, Some(path))).collect()
    }

    /// Returns the crates in the restored targets that cargo will build again.
    pub(super) fn rebuilds(
        &self,
        areas: &[Restored<'_>],
        final_sources: &FinalSources<'_>,
    ) -> Vec<Rebuild> {
        let of_areas = areas.par_iter();
        let of_areas = of_areas.filter_map(|area| Some((area.place, area.placed.as_ref()?)));
        let explained = of_areas.flat_map(|(place, choice)| {
            let always_build = &self.options.always_build;
            let rebuilds = explain(self.job, place, &choice.manifest, final_sources, always_build);
            with_lacking(rebuilds, &choice.lacking)
        });
        explained.collect()
    }
}

/// Tells whether a directory holds anything but `own`, the files of the checkout in it.
pub(super) fn holds_more_than(own: &CheckoutFiles, dir: &Path) -> Result<bool> {
    if own.is_empty() {
        return holds_anything(dir);
    }
    Ok(!own.leave_out(walk_tree(dir, &Scratch::none())?.found).is_empty())
}
