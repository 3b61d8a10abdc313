//! What a restore does to the sources, and says of them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use super::kept_back::{PutBack, create_missing, judge, take_away};
use super::rebuild::{explain, shown_in};
use super::refreshing::{Outcome, Refreshing, look};
use super::standing::fates_in;
use super::{Pending, Restoring};
use crate::cargo::scratch::Scratch;
use crate::job::Job;
use crate::job::Result;
use crate::job::checkout_files::CheckoutFiles;
use crate::job::dirs::holds_anything;
use crate::job::sources::Glance;
use crate::job::warning::Warning;
use crate::model::blind::{blind_inputs, may_be_input};
use crate::model::kept::StaysAway;
use crate::model::manifest::Manifest;
use crate::model::rebuild::{Rebuild, with_lacking};
use crate::tree::walk::walk_tree;

impl Restoring<'_> {
    /// Puts kept files back, compares the sources with what the chosen trees were built from, and makes new
    /// what differs. `None` if no tree is to be restored.
    pub(super) fn renew_sources(
        &self,
        targets: &mut [Pending<'_>],
        glance: Glance,
        warnings: &mut Vec<Warning>,
    ) -> Result<Option<(Refreshing<'_>, PutBack)>> {
        let Job { roots, excluded, .. } = self.job;
        let choices = targets.iter().filter_map(|area| area.choice.as_ref());
        let manifests: Vec<_> = choices.map(|choice| Arc::clone(&choice.manifest)).collect();
        let manifests: Vec<&Manifest> = manifests.iter().map(Arc::as_ref).collect();
        let newest = manifests.iter().map(|manifest| manifest.header.newest_mtime.next()).max();
        let Some(newest) = newest else { return Ok(None) };
        let bound = newest.max(crate::fs::space::now_at(self.store.root())?);
        let mut failed = Vec::new();
        let mut kept =
            create_missing(&self.unpacker, self.lease, roots, &manifests, bound, &mut failed);
        for error in failed {
            self.remove_damaged(&error, &manifests, warnings);
            warnings.push(error.into());
        }
        let mut seen = look(self.job, &manifests, glance)?;
        let away = loop {
            let away = self.stays_away(targets, &seen);
            if !take_away(roots, &mut kept, &away)? {
                break away;
            }
            seen = look(self.job, &manifests, Glance::default())?;
        };
        let refreshing = Refreshing::compare(roots, excluded, &manifests, bound, seen, &away);
        refreshing.renew()?;
        Ok(Some((refreshing, kept)))
    }

    /// Returns the kept files that stay away, and notes for each target what must be built again.
    pub(super) fn stays_away(&self, targets: &mut [Pending<'_>], seen: &Glance) -> PutBack {
        let mut away = PutBack::new();
        let has_kept = |area: &Pending<'_>| {
            area.choice.as_ref().is_some_and(|choice| !choice.manifest.kept.is_empty())
        };
        if !targets.iter().any(has_kept) {
            return away;
        }
        let contents = seen.contents();
        // What stays away for one target is lacking in the others too.
        loop {
            let before = away.len();
            for area in &mut *targets {
                let Some(choice) = &area.choice else { continue };
                let judged = judge(self.job, area.place, choice, &contents, &away);
                let StaysAway { files, units } = judged;
                away.extend(files);
                area.forgotten = units;
            }
            if away.len() == before {
                return away;
            }
        }
    }

    /// Returns the trees built from our sources that are there without having been restored.
    pub(super) fn strangers(
        &self,
        areas: &[Pending<'_>],
        refreshing: &Refreshing<'_>,
    ) -> Vec<PathBuf> {
        // A build directory inside a target directory comes back with that.
        let is_restored = |dir: &PathBuf| {
            areas.iter().any(|area| area.choice.is_some() && dir.starts_with(&area.place.dir))
        };
        let known = self.job.target_dirs.iter().filter(|dir| !is_restored(dir));
        let is_live = |dir: &&PathBuf| {
            dir.exists() && holds_more_than(&refreshing.checkout_files(dir), dir).unwrap_or(true)
        };
        let live = known.filter(is_live);
        live.chain(refreshing.strange_targets()).cloned().collect()
    }

    /// Returns what changed in packages that stay fresh and that nothing is known to read, as people name it.
    pub(super) fn blind_inputs(
        &self,
        areas: &[Pending<'_>],
        refreshing: &Refreshing<'_>,
    ) -> Vec<String> {
        let Job { roots, .. } = self.job;
        let mut blind = BTreeSet::new();
        for area in areas.iter().filter(|area| area.is_target()) {
            let Some(choice) = &area.choice else { continue };
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

    /// Returns the crates that cargo will build again, of each target that was restored.
    pub(super) fn rebuilds(&self, areas: &[Pending<'_>], outcome: &Outcome<'_>) -> Vec<Rebuild> {
        let of_targets = areas.par_iter().filter(|area| area.is_target());
        let of_areas = of_targets.filter_map(|area| Some((area.place, area.choice.as_ref()?)));
        let explained = of_areas.flat_map(|(place, choice)| {
            let always_build = &self.options.always_build;
            let rebuilds = explain(self.job, place, &choice.manifest, outcome, always_build);
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
