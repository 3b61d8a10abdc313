//! Looking at everything in a store, also at what should not be there.

use std::path::{Path, PathBuf};

use super::error::Result;
use super::generations::{number_of, read_dir};
use super::leases::is_over;
use super::manifest_file;
use super::oddities::Oddity;
use super::open::Store;
use crate::fs::At;
use crate::fs::stat::{Kind, Stat};
use crate::fs::walk;
use crate::model::manifest::{GenerationId, Manifest};

/// What is in a store beside packs.
#[derive(Clone, Debug, Default)]
pub struct Holdings {
    /// Where each manifest is.
    pub manifests: Vec<PathBuf>,
    /// What else is under `series/`: nothing of ours puts it there.
    pub strangers: Vec<PathBuf>,
    /// Stamps that cannot be understood.
    pub unreadable_stamps: Vec<PathBuf>,
    /// What is not what belongs there, whatever its name.
    pub oddities: Vec<Oddity>,
    /// Leases of processes that ended.
    pub dead_leases: Vec<PathBuf>,
    /// What is in `staging/` and belongs to no live lease.
    pub unowned_staging: Vec<PathBuf>,
    /// What is in `trash/`.
    pub trash: Vec<PathBuf>,
    /// The permission bits of the root.
    pub root_mode: u32,
}

/// A manifest as it stands, also one that contradicts itself or its place.
#[derive(Clone, Debug)]
pub struct Examined {
    /// Which generation it says it is.
    pub id: GenerationId,
    /// What it says.
    pub manifest: Manifest,
    /// Whether it is where that generation belongs.
    pub is_in_place: bool,
}

impl Store {
    /// Returns what is in the store beside packs. Changes nothing.
    pub fn holdings(&self) -> Result<Holdings> {
        let unowned_staging = self.unowned_staging()?;
        let is_file = |path: &Path| Stat::of(path).is_ok_and(|stat| stat.kind == Kind::File);
        let mut dead_leases = read_dir(&self.leases_dir())?;
        let live = self.lease_facts()?.ids;
        dead_leases.retain(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            // One that its process removed a moment ago is no leftover.
            is_file(path) && !is_over(path) && name.is_none_or(|name| !live.contains(name))
        });
        let mut holdings = Holdings {
            unreadable_stamps: self.unreadable_stamps()?,
            dead_leases,
            oddities: self.oddities()?,
            unowned_staging: unowned_staging.into_iter().map(|(path, _)| path).collect(),
            trash: read_dir(&self.trash_dir())?,
            root_mode: Stat::of(self.root()).at("read metadata", self.root())?.mode,
            ..Holdings::default()
        };
        let dir = self.all_series_dir();
        let paths = walk::list(&dir, |_, _| true)?.paths;
        for found in walk::stat_each(&dir, paths)?.found {
            let path = dir.join(found.path.as_path());
            match (found.stat.kind, found.path.components().count()) {
                (Kind::Dir, 1..=3) => {}
                (Kind::File, 4) if number_of(&path).is_some() => holdings.manifests.push(path),
                _ => holdings.strangers.push(path),
            }
        }
        Ok(holdings)
    }

    /// Reads the manifest at `path`, one of [`Holdings::manifests`].
    pub fn examine(&self, path: &Path) -> Result<Examined> {
        let manifest = manifest_file::read_flawed(path)?;
        // The frames of the lines do not show whether that between them is whole.
        manifest_file::read_sketch(path)?;
        let number = number_of(path).expect("the name of a manifest is its number");
        let id = GenerationId { series: manifest.header.series.clone(), number };
        let is_in_place = self.generation_path(&id) == path;
        Ok(Examined { id, manifest, is_in_place })
    }
}
