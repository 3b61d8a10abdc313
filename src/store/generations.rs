//! Publishing, listing and reading generations.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::error::{Error, Result, damaged};
use super::leases::{Lease, Use};
use super::limits::HeaderBudget;
use super::manifest_file;
use super::open::Store;
use crate::fs::At;
use crate::fs::crash::crash_point;
use crate::fs::rename::rename_noreplace;
use crate::fs::stat::{Kind, Stat};
use crate::model::area::Area;
use crate::model::manifest::{GenerationId, GenerationNumber, Header, Manifest};
use crate::model::scope::Scope;
use crate::model::sketch::Sketch;

/// A published generation, with its header.
#[derive(Clone, Debug)]
pub struct Generation {
    /// The series and number.
    pub id: GenerationId,
    /// The header of its manifest.
    pub header: Header,
    /// The size of its manifest on disk, in bytes.
    pub manifest_bytes: u64,
    path: PathBuf,
}

const SUFFIX: &str = ".manifest.zst";

impl Store {
    /// Publishes `manifest` as the next generation of its series; returns its id.
    ///
    /// The generation appears whole or not at all: its manifest is written and flushed under
    /// `staging/`, then renamed to its final name in one step that fails if the name is taken. If
    /// two savers publish at once, one gets the next number and the other the number after it.
    ///
    /// The packs of the manifest must be whole and flushed. This function names each of them in the
    /// lease before it checks that they exist: a lease on a generation keeps that generation's
    /// packs only until another generation takes its number. A missing pack is an error, and
    /// nothing is published.
    pub fn publish(&self, lease: &Lease, manifest: &Manifest) -> Result<GenerationId> {
        lease.name_packs(manifest.header.packs.iter().map(|pack| pack.digest))?;
        for pack in &manifest.header.packs {
            self.open_named_pack(pack.digest)?;
        }
        let staged = lease.staged_path("manifest")?;
        let file = File::create(&staged).at("create", &staged)?;
        manifest_file::write(manifest, &file).at("write", &staged)?;
        file.sync_all().at("flush", &staged)?;
        crash_point("publish: staged");

        let series = &manifest.header.series;
        let dir = self.series_dir(series);
        self.create_dirs(&dir)?;
        let newest = numbers(&dir)?.into_iter().max();
        let after = |number: GenerationNumber| {
            number.next().ok_or_else(|| Error::LastNumber(dir.join(file_name(number))))
        };
        let mut number = newest.map_or(Ok(GenerationNumber::FIRST), after)?;
        loop {
            match rename_noreplace(&staged, &dir.join(file_name(number))) {
                Ok(true) => break,
                Ok(false) => number = after(number)?,
                // gc removed the empty directory.
                Err(error) if error.source.kind() == io::ErrorKind::NotFound && staged.exists() => {
                    self.create_dirs(&dir)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        crash_point("publish: visible");

        flush_dirs(&dir, self.root())?;
        Ok(GenerationId { series: series.clone(), number })
    }

    /// Returns all generations, in no order, and an error for each that could not be read.
    pub fn generations(&self) -> Result<(Vec<Generation>, Vec<Error>)> {
        let (mut generations, mut failures) = (Vec::new(), Vec::new());
        let mut budget = HeaderBudget::new();
        for scope in subdirs(&self.all_series_dir(), &mut failures) {
            for area in subdirs(&scope, &mut failures) {
                for key in subdirs(&area, &mut failures) {
                    self.headers_in(&key, &mut budget, &mut generations, &mut failures);
                }
            }
        }
        Ok((generations, failures))
    }

    /// Returns the generations of `area` in `scope` itself, of all keys, and an error for each that
    /// could not be read.
    pub fn generations_of(
        &self,
        scope: &Scope,
        area: &Area,
    ) -> Result<(Vec<Generation>, Vec<Error>)> {
        let (mut generations, mut failures) = (Vec::new(), Vec::new());
        let mut budget = HeaderBudget::new();
        let dir = self.all_series_dir().join(scope.dir_name()).join(area.dir_name());
        for key in subdirs(&dir, &mut failures) {
            self.headers_in(&key, &mut budget, &mut generations, &mut failures);
        }
        Ok((generations, failures))
    }

    /// Returns the areas in which `scope` itself has generations.
    pub fn areas_of(&self, scope: &Scope) -> Result<Vec<Area>> {
        // The functions that list generations report unreadable directories.
        let dirs = subdirs(&self.all_series_dir().join(scope.dir_name()), &mut Vec::new());
        let area = |dir: PathBuf| dir.file_name()?.to_str()?.parse().ok();
        Ok(dirs.into_iter().filter_map(area).collect())
    }

    /// Returns the generations in `scope` itself, of all areas, and an error for each that could
    /// not be read.
    pub fn generations_in(&self, scope: &Scope) -> Result<(Vec<Generation>, Vec<Error>)> {
        let (mut generations, mut failures) = (Vec::new(), Vec::new());
        let mut budget = HeaderBudget::new();
        for area in subdirs(&self.all_series_dir().join(scope.dir_name()), &mut failures) {
            for key in subdirs(&area, &mut failures) {
                self.headers_in(&key, &mut budget, &mut generations, &mut failures);
            }
        }
        Ok((generations, failures))
    }

    /// Reads the sketch of a generation. Returns `None` if an older version saved the generation,
    /// or if gc removed it.
    pub fn sketch(&self, generation: &Generation) -> Result<Option<Sketch>> {
        match manifest_file::read_sketch(generation.path()) {
            Err(Error::Io(error)) if error.source.kind() == io::ErrorKind::NotFound => Ok(None),
            sketch => sketch,
        }
    }

    /// Reads the manifest of a generation, and names the generation in `lease` first.
    pub fn read(&self, lease: &Lease, id: &GenerationId) -> Result<Manifest> {
        lease.name(&Use::Generation(id.clone()))?;
        self.read_unleased(id)
    }

    /// Reads the manifest of a generation without a lease: gc may remove it at any time.
    pub fn read_unleased(&self, id: &GenerationId) -> Result<Manifest> {
        let path = self.generation_path(id);
        match manifest_file::read(&path) {
            Err(Error::Io(error)) if error.source.kind() == io::ErrorKind::NotFound => {
                Err(Error::Gone(Box::new(id.clone())))
            }
            manifest => manifest,
        }
    }

    /// Returns the path of the manifest of a generation, which need not exist.
    pub fn generation_path(&self, id: &GenerationId) -> PathBuf {
        self.series_dir(&id.series).join(file_name(id.number))
    }

    fn headers_in(
        &self,
        dir: &Path,
        budget: &mut HeaderBudget,
        generations: &mut Vec<Generation>,
        failures: &mut Vec<Error>,
    ) {
        let numbers = match numbers(dir) {
            Ok(numbers) => numbers,
            Err(error) => {
                failures.push(error);
                return;
            }
        };
        for number in numbers {
            let path = dir.join(file_name(number));
            match self.header_at(&path, number, budget) {
                Ok(generation) => generations.push(generation),
                // gc removed it after it was listed.
                Err(Error::Io(error)) if error.source.kind() == io::ErrorKind::NotFound => {}
                // A directory or symlink with the name of a manifest refers to no pack: see
                // `oddities`.
                Err(_) if Stat::of(&path).is_ok_and(|stat| stat.kind != Kind::File) => {}
                Err(error) => failures.push(error),
            }
        }
    }

    fn header_at(
        &self,
        path: &Path,
        number: GenerationNumber,
        budget: &mut HeaderBudget,
    ) -> Result<Generation> {
        let header = manifest_file::read_header(path, budget)?;
        let manifest_bytes = path.metadata().at("read metadata", path)?.len();
        let id = GenerationId { series: header.series.clone(), number };
        if self.generation_path(&id) != path {
            return Err(damaged(path, &format!("it says that it belongs to {}", id.series)));
        }
        Ok(Generation { id, header, manifest_bytes, path: path.to_owned() })
    }
}

impl Generation {
    /// Returns the path of the manifest.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn file_name(number: GenerationNumber) -> String {
    format!("{number}{SUFFIX}")
}

fn numbers(dir: &Path) -> Result<Vec<GenerationNumber>> {
    let mut numbers = Vec::new();
    for entry in read_dir(dir)? {
        numbers.extend(number_of(&entry));
    }
    Ok(numbers)
}

/// Returns the number in the file name of a manifest.
pub(super) fn number_of(path: &Path) -> Option<GenerationNumber> {
    path.file_name()?.to_str()?.strip_suffix(SUFFIX)?.parse().ok()
}

/// Returns the subdirectories of `dir` and skips everything else. Adds an error to `failures` if
/// `dir` cannot be read.
fn subdirs(dir: &Path, failures: &mut Vec<Error>) -> Vec<PathBuf> {
    let mut dirs = read_dir(dir).unwrap_or_else(|error| {
        failures.push(error);
        Vec::new()
    });
    dirs.retain(|path| Stat::of(path).is_ok_and(|stat| stat.kind == Kind::Dir));
    dirs
}

/// Returns the paths in `dir`, sorted; none if `dir` does not exist.
pub(super) fn read_dir(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.at("read directory", dir)?,
    };
    let paths: io::Result<Vec<_>> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths.at("read directory", dir)?;
    paths.sort();
    Ok(paths)
}

/// Flushes `dir` and its parents up to `root`: a new file name is durable only once every directory
/// on its path is.
pub(super) fn flush_dirs(dir: &Path, root: &Path) -> Result<()> {
    for dir in dir.ancestors().take_while(|dir| dir.starts_with(root)) {
        match File::open(dir).and_then(|dir| dir.sync_all()) {
            // gc removed this empty directory, so the entry to flush is gone, too.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            flushed => flushed.at("flush", dir)?,
        }
    }
    Ok(())
}
