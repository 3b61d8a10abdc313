//! Examining everything in a store, including entries that should not be there.

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

/// The contents of a store, apart from packs.
#[derive(Clone, Debug, Default)]
pub struct Holdings {
    /// The paths of all manifests.
    pub manifests: Vec<PathBuf>,
    /// Other paths under `series/`, which this program never creates.
    pub unknown_paths: Vec<PathBuf>,
    /// Stamps that cannot be parsed.
    pub unreadable_stamps: Vec<PathBuf>,
    /// Entries of the wrong kind, owner or mode for their place, whatever their name.
    pub oddities: Vec<Oddity>,
    /// Leases of processes that have ended.
    pub dead_leases: Vec<PathBuf>,
    /// Entries of `staging/` that belong to no live lease.
    pub unowned_staging: Vec<PathBuf>,
    /// Entries of `trash/`.
    pub trash: Vec<PathBuf>,
    /// The permission bits of the root.
    pub root_mode: u32,
}

/// A manifest as stored, even if it contradicts itself or is in the wrong place.
#[derive(Clone, Debug)]
pub struct Examined {
    /// The generation that the manifest claims to be.
    pub id: GenerationId,
    /// The parsed manifest.
    pub manifest: Manifest,
    /// Whether the manifest is at the path of that generation.
    pub is_in_place: bool,
}

impl Store {
    /// Lists the contents of the store, apart from packs. Changes nothing.
    pub fn holdings(&self) -> Result<Holdings> {
        let unowned_staging = self.unowned_staging()?;
        let is_file = |path: &Path| Stat::of(path).is_ok_and(|stat| stat.kind == Kind::File);
        let mut dead_leases = read_dir(&self.leases_dir())?;
        let live = self.lease_facts()?.ids;
        dead_leases.retain(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            // A lease that its process has just removed is no leftover.
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
                _ => holdings.unknown_paths.push(path),
            }
        }
        Ok(holdings)
    }

    /// Reads the manifest at `path`, which comes from [`Holdings::manifests`].
    pub fn examine(&self, path: &Path) -> Result<Examined> {
        let manifest = manifest_file::read_flawed(path)?;
        // The checksums of the frames of lines do not cover the sketch between them.
        manifest_file::read_sketch(path)?;
        let number = number_of(path).expect("the name of a manifest is its number");
        let id = GenerationId { series: manifest.header.series.clone(), number };
        let is_in_place = self.generation_path(&id) == path;
        Ok(Examined { id, manifest, is_in_place })
    }
}
