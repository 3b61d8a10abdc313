//! The values of one save that all its areas share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;

use super::SaveOptions;
use crate::cargo::tracked::{Tracked, tracked};
use crate::job::checkout_files::CheckoutFiles;
use crate::job::owners::Owners;
use crate::job::progress::Progress;
use crate::job::{AreaPlace, Job};
use crate::model::manifest::{FurtherTarget, Source, SourceKind};
use crate::model::root::Root;
use crate::store::{Lease, Store};
use crate::tree::compare::Known;
use crate::tree::index::Index;
use crate::vouch::Vouching;

/// The values that the areas of one save share.
pub(super) struct Saving<'a> {
    pub(super) store: &'a Store,
    pub(super) lease: &'a Lease,
    pub(super) job: &'a Job,
    pub(super) options: SaveOptions,
    pub(super) sources: &'a [Source],
    pub(super) further: Vec<FurtherTarget>,
    pub(super) boot: String,
    pub(super) index: OnceLock<Index>,
    /// The files that git tracks; set when an area first asks.
    pub(super) tracked: OnceLock<BTreeMap<Root, Tracked>>,
    /// A wrong source in the home that targets may be built from.
    pub(super) left_source: OnceLock<PathBuf>,
    pub(super) progress: &'a Progress,
}

impl Saving<'_> {
    pub(super) fn owners(&self) -> Owners<'_> {
        Owners { store: self.store, job: self.job, boot: &self.boot }
    }

    pub(super) fn vouching(&self) -> Vouching<'_> {
        let Self { store, lease, job, progress, .. } = *self;
        Vouching { store, lease, job, boot: &self.boot, progress }
    }

    /// Returns the files that git tracks in each root. Asks git once. Without git, a checkout
    /// brings all sources.
    pub(super) fn tracked(&self) -> &BTreeMap<Root, Tracked> {
        let of_root = |(root, dir): (&Root, &PathBuf)| {
            let own = || self.sources.iter().filter(|source| source.root == *root);
            let recorded = || Tracked {
                unchanged: own().filter_map(|source| source.path.clone()).collect(),
                ..Tracked::default()
            };
            (root.clone(), tracked(dir, &self.job.environment).unwrap_or_else(recorded))
        };
        self.tracked.get_or_init(|| self.job.roots.iter().map(of_root).collect())
    }

    /// Returns the files in the directory of a target that are no part of the area.
    pub(super) fn checkout_files<'s>(&'s self, place: &AreaPlace) -> CheckoutFiles {
        let of_root = |(root, dir): (&'s Root, &'s PathBuf)| {
            let files =
                move |source: &&Source| source.root == *root && source.kind != SourceKind::Dir;
            let paths = self.sources.iter().filter(files).filter_map(|source| source.path.as_ref());
            (dir.as_path(), paths)
        };
        CheckoutFiles::within(&place.dir, self.job.roots.iter().map(of_root))
    }

    pub(super) fn known(&self, place: &AreaPlace) -> Option<Known> {
        Known::of(self.store, self.lease, &self.job.readable, &place.dir, &self.boot, None)
    }
}
