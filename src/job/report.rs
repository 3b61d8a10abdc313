//! What an operation did: the objects that `--json` prints.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::note::Note;
use super::warning::Warning;
use super::{Error, Job};
use crate::model::area::{Area, as_shown};
use crate::model::cache_mode::CacheMode;
use crate::model::choice::Hit;
use crate::model::manifest::GenerationId;
use crate::model::names::Name;
use crate::model::raw_path::RawPath;
use crate::model::rebuild::Rebuild;
use crate::model::reuse::Reuse;
use crate::store::{self, Reclaimed};

/// Which way an area was restored or saved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AreaMode {
    /// The destination already held the generation, or most of it.
    InPlace,
    /// A hot tree was cloned: its files share their bytes until one is written to.
    Clone,
    /// A hot tree was moved into place.
    Move,
    /// Packs were decompressed.
    Unpack,
    /// The destination holds more of what the job needs than any generation: it was left as it is.
    Left,
    /// A generation was published.
    Published,
    /// The tree was identical to a generation, which got a new stamp.
    Unchanged,
    /// There was nothing to restore or save.
    #[default]
    Nothing,
    /// It went wrong; what was there before is there still.
    Failed,
}

/// Notes and warnings.
#[derive(Debug, Default)]
pub struct Said {
    /// The notes.
    pub notes: Vec<Note>,
    /// The warnings.
    pub warnings: Vec<Warning>,
}

impl Said {
    /// Adds those of another step.
    pub fn add(&mut self, more: Self) {
        self.notes.extend(more.notes);
        self.warnings.extend(more.warnings);
    }
}

impl From<Note> for Said {
    fn from(note: Note) -> Self {
        Self { notes: vec![note], ..Self::default() }
    }
}

impl From<Warning> for Said {
    fn from(warning: Warning) -> Self {
        Self { warnings: vec![warning], ..Self::default() }
    }
}

/// What was done with one area.
#[derive(Debug, Serialize)]
pub struct AreaReport {
    /// The area.
    #[serde(serialize_with = "as_shown")]
    pub name: Area,
    /// How well what was restored matches; for a save, whether the series had the tree already.
    pub hit: Hit,
    /// Which way it went.
    pub mode: AreaMode,
    /// The regular files of the area, hard links included.
    pub files: u64,
    /// Their bytes, each link group once.
    pub bytes: u64,
    /// The bytes on disk in the store: of the packs read, or of those written.
    pub stored_bytes: u64,
    /// How long it took.
    pub seconds: f64,
    /// The generation restored or published: series and number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<String>,
    /// The cache key that generation was saved under.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matched_key: Option<Name>,
    /// Why it was chosen or what was noticed, for people.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
    /// What went wrong, with its causes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
    /// Its units; none in `registry` and `git`.
    #[serde(skip)]
    pub units: UnitsReport,
    /// Whether its absence counts: an area that nobody ever saved is not missed.
    #[serde(skip)]
    pub wanted: bool,
    /// How much of what the job used came from the cache.
    #[serde(skip)]
    pub reuse: Option<Reuse>,
    /// Which generation that is.
    #[serde(skip)]
    pub id: Option<GenerationId>,
    /// Why it went wrong.
    #[serde(skip)]
    pub failure: Option<Error>,
}

impl AreaReport {
    /// Returns the report of an area with which nothing was done yet.
    pub fn new(name: Area) -> Self {
        Self {
            name,
            hit: Hit::Miss,
            mode: AreaMode::Nothing,
            files: 0,
            bytes: 0,
            stored_bytes: 0,
            seconds: 0.0,
            units: UnitsReport::default(),
            generation: None,
            matched_key: None,
            notes: Vec::new(),
            warnings: Vec::new(),
            wanted: true,
            reuse: None,
            id: None,
            failure: None,
        }
    }

    /// Returns how long it took, in milliseconds.
    pub fn millis(&self) -> u64 {
        u64::try_from(Duration::from_secs_f64(self.seconds).as_millis()).unwrap_or(u64::MAX)
    }

    /// Adds the notes and warnings of a step.
    pub fn tell(&mut self, said: Said) {
        self.notes.extend(said.notes);
        self.warnings.extend(said.warnings);
    }

    /// Notes what went wrong, with its causes.
    pub fn fail(&mut self, error: Error) {
        self.mode = AreaMode::Failed;
        self.hit = Hit::Miss;
        self.warnings.push(Warning::of(&error));
        self.failure = Some(error);
    }
}

/// Says what dead processes left that cannot be removed.
pub fn left_behind(reclaimed: store::Result<Reclaimed>) -> Vec<Warning> {
    match reclaimed {
        Ok(reclaimed) => reclaimed.left.into_iter().map(Warning::LeftBehind).collect(),
        Err(error) => vec![error.into()],
    }
}

/// Notes that a job restores nothing because it may not.
pub fn not_restored(cache_mode: CacheMode) -> Option<Note> {
    (!cache_mode.restores()).then_some(Note::NotRestored(cache_mode))
}

/// What was done with the sources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SourcesReport {
    /// Files, directories and symlinks that were looked at.
    pub checked: u64,
    /// How many are as they were recorded and have their recorded mtime.
    pub restored: u64,
    /// How many are changed, new or unknown and look new to cargo.
    pub changed: u64,
}

/// What was done with the units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct UnitsReport {
    /// Units in the generation.
    pub kept: u64,
    /// Units that were left out of it.
    pub pruned: u64,
}

/// A directory that was set aside before cargo saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SetAside {
    /// Where it was.
    pub path: RawPath,
    /// Why, as a clause.
    pub why: String,
}

impl fmt::Display for SetAside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is set aside: {}", self.path, self.why)
    }
}

/// The part that the reports of a restore and of a save share.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The repo's key.
    pub cache_key: Name,
    /// Exact only if every wanted area hit exactly; a miss if none hit at all.
    pub hit: Hit,
    /// The key restored from; none on a miss.
    pub matched_key: Option<Name>,
    /// Each area.
    pub areas: Vec<AreaReport>,
    /// The sources.
    pub sources: SourcesReport,
    /// The units.
    pub units: UnitsReport,
    /// How long it took.
    pub seconds: f64,
    /// Notes on the job as a whole.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
    /// Warnings of the job as a whole.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// The report of a save.
#[derive(Debug, Serialize)]
pub struct SaveReport {
    /// The part that it shares with a restore.
    #[serde(flatten)]
    pub shared: Report,
    /// How much of what the job used came from the cache, where that can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reuse: Option<Reuse>,
}

/// The report of a restore, or of a lookup: what a restore would do.
#[derive(Debug, Serialize)]
pub struct RestoreReport {
    /// The part that it shares with a save.
    #[serde(flatten)]
    pub shared: Report,
    /// The files that a build wrote among the sources and that were put back, as people name them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kept_files: Vec<String>,
    /// Changed files of packages that stay fresh, as far as cargo knows of no unit that reads them.
    #[serde(rename = "blind-inputs", skip_serializing_if = "Vec::is_empty")]
    pub blind_inputs: Vec<String>,
    /// The directories that were set aside, because a job that this one may not read had built there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub set_aside: Vec<SetAside>,
    /// The crates that cargo will build again although their target was restored.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rebuilds: Vec<Rebuild>,
    /// The private home of cargo that was used, which the build must use too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cargo_home: Option<RawPath>,
}

impl Report {
    /// Sums up areas.
    pub fn of(cache_key: Name, areas: Vec<AreaReport>) -> Self {
        let wanted = || areas.iter().filter(|area| area.wanted).map(|area| area.hit);
        let hit = match (wanted().min(), wanted().max()) {
            (Some(Hit::Exact), _) => Hit::Exact,
            (None | Some(_), None | Some(Hit::Miss)) => Hit::Miss,
            _ => Hit::Fallback,
        };
        let units = UnitsReport {
            kept: areas.iter().map(|area| area.units.kept).sum(),
            pruned: areas.iter().map(|area| area.units.pruned).sum(),
        };
        let of_target = areas.iter().find(|area| area.name == Area::Target);
        let matched_key =
            of_target.into_iter().chain(&areas).find_map(|area| area.matched_key.clone());
        Self {
            cache_key,
            hit,
            matched_key,
            areas,
            sources: SourcesReport::default(),
            units,
            seconds: 0.0,
            notes: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Returns the report of a job with which nothing was done, for a reason if there is one to tell.
    pub fn nothing(job: &Job, why: Option<Note>) -> Self {
        let areas = job.places.iter().map(|place| AreaReport::new(place.area.clone())).collect();
        let notes = why.into_iter().collect();
        Self { notes, warnings: job.warnings.clone(), ..Self::of(job.key.clone(), areas) }
    }

    /// Sums this up with the report of further areas of the same job that were saved later.
    fn and(self, later: Self) -> Self {
        let mut warnings = self.warnings;
        let more = later.warnings.into_iter().filter(|it| !warnings.contains(it));
        let more: Vec<_> = more.collect();
        warnings.extend(more);
        let areas = self.areas.into_iter().chain(later.areas).collect();
        let seconds = self.seconds + later.seconds;
        Self { sources: later.sources, seconds, warnings, ..Self::of(self.cache_key, areas) }
    }
}

impl SaveReport {
    /// Returns the report of a save that did nothing, for this reason.
    pub fn nothing(job: &Job, why: Note) -> Self {
        Self { shared: Report::nothing(job, Some(why)), reuse: None }
    }

    /// Sums this up with the save of further areas of the same job afterwards.
    #[must_use]
    pub fn and(self, later: Self) -> Self {
        Self { shared: self.shared.and(later.shared), reuse: None }
    }
}

impl RestoreReport {
    /// Returns the report of a restore that put nothing in place.
    pub fn of(shared: Report) -> Self {
        Self {
            shared,
            kept_files: Vec::new(),
            blind_inputs: Vec::new(),
            set_aside: Vec::new(),
            rebuilds: Vec::new(),
            cargo_home: None,
        }
    }
}
