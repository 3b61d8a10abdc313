//! The reports of operations: the objects that `--json` prints.

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

/// The way in which an area was restored or saved.
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
    /// The tree was identical to a generation, whose series got a new stamp.
    Unchanged,
    /// There was nothing to restore or save.
    #[default]
    Nothing,
    /// It failed; everything stays as it was before.
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
    /// Adds the notes and warnings of another step.
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

/// The report of one area.
#[derive(Debug, Serialize)]
pub struct AreaReport {
    /// The area.
    #[serde(serialize_with = "as_shown")]
    pub name: Area,
    /// How well the restored generation matches; for a save, whether a generation had the tree
    /// already.
    pub hit: Hit,
    /// The way in which it was restored or saved.
    pub mode: AreaMode,
    /// The regular files of the area, hard links included.
    pub files: u64,
    /// The bytes of these files; a file with several hard links counts once.
    pub bytes: u64,
    /// The bytes on disk of the packs that were read or written.
    pub stored_bytes: u64,
    /// How long it took.
    pub seconds: f64,
    /// The generation that was restored or published, or that had the tree already: series and
    /// number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<String>,
    /// The cache key of that generation; for a save, of the job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matched_key: Option<Name>,
    /// The notes for people, such as the reason for the choice of the generation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
    /// The warnings, each with its causes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
    /// The numbers of its units; 0 for `registry` and `git`.
    #[serde(skip)]
    pub units: UnitsReport,
    /// Whether a miss counts. An area that no job ever saved is not missed, unless the job needs
    /// it: see [`Job::counts_on`].
    #[serde(skip)]
    pub wanted: bool,
    /// The share of the units used by the job that came from the cache.
    #[serde(skip)]
    pub reuse: Option<Reuse>,
    /// The id of the generation.
    #[serde(skip)]
    pub id: Option<GenerationId>,
    /// The error, if it failed.
    #[serde(skip)]
    pub failure: Option<Error>,
}

impl AreaReport {
    /// Returns the report of an area before anything is done with it.
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

    /// Records that the area failed, and the error with its causes.
    pub fn fail(&mut self, error: Error) {
        self.mode = AreaMode::Failed;
        self.hit = Hit::Miss;
        self.warnings.push(Warning::of(&error));
        self.failure = Some(error);
    }
}

/// Returns a warning for each path that a dead process left and that cannot be removed.
pub fn left_behind(reclaimed: store::Result<Reclaimed>) -> Vec<Warning> {
    match reclaimed {
        Ok(reclaimed) => reclaimed.left.into_iter().map(Warning::LeftBehind).collect(),
        Err(error) => vec![error.into()],
    }
}

/// Returns the note that a job may not restore; `None` if it may.
pub fn not_restored(cache_mode: CacheMode) -> Option<Note> {
    (!cache_mode.restores()).then_some(Note::NotRestored(cache_mode))
}

/// The numbers of sources that were examined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SourcesReport {
    /// The number of files, directories and symlinks that were examined.
    pub checked: u64,
    /// The number of sources that are as recorded and have their recorded mtime.
    pub restored: u64,
    /// The number of sources that are changed, new or unknown, and look new to cargo.
    pub changed: u64,
}

/// The numbers of units that were kept and left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct UnitsReport {
    /// The number of units in the generation.
    pub kept: u64,
    /// The number of units that were left out of it.
    pub pruned: u64,
}

/// A directory that was set aside before cargo saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SetAside {
    /// The path where it was.
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
    /// Exact only if every wanted area hit exactly; a miss if no wanted area hit.
    pub hit: Hit,
    /// The key of the restored generation; `None` on a miss.
    pub matched_key: Option<Name>,
    /// The reports of the areas.
    pub areas: Vec<AreaReport>,
    /// The numbers of sources.
    pub sources: SourcesReport,
    /// The numbers of units of all areas.
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
    /// The share of the units used by the job that came from the cache, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reuse: Option<Reuse>,
}

/// The report of a restore, or of a lookup: what a restore would do.
#[derive(Debug, Serialize)]
pub struct RestoreReport {
    /// The part that it shares with a save.
    #[serde(flatten)]
    pub shared: Report,
    /// The kept files that were put back, as shown to people.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kept_files: Vec<String>,
    /// Changed files in packages that stay fresh, because cargo knows of no unit that reads the
    /// files.
    #[serde(rename = "blind-inputs", skip_serializing_if = "Vec::is_empty")]
    pub blind_inputs: Vec<String>,
    /// The directories that were set aside, because a job that this one may not read, or an unknown
    /// one, had built there.
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
    /// Returns the report that sums up these areas.
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

    /// Returns the report of a job that did nothing, with the reason `why` if there is one.
    pub fn nothing(job: &Job, why: Option<Note>) -> Self {
        let areas = job.places.iter().map(|place| AreaReport::new(place.area.clone())).collect();
        let notes = why.into_iter().collect();
        Self { notes, warnings: job.warnings.clone(), ..Self::of(job.key.clone(), areas) }
    }

    /// Adds the report of further areas that the same job saved later.
    fn and(self, later: Self) -> Self {
        let areas = self.areas.into_iter().chain(later.areas).collect();
        Self {
            sources: later.sources,
            seconds: self.seconds + later.seconds,
            notes: united(self.notes, later.notes),
            warnings: united(self.warnings, later.warnings),
            ..Self::of(self.cache_key, areas)
        }
    }

    /// Adds the report of a later save of the same areas, which counts; what the earlier one stored
    /// and had to say stays.
    fn again(self, mut later: Self) -> Self {
        for area in &mut later.areas {
            let earlier = self.areas.iter().find(|earlier| earlier.name == area.name);
            let Some(earlier) = earlier else { continue };
            area.stored_bytes += earlier.stored_bytes;
            area.seconds += earlier.seconds;
            area.notes = united(earlier.notes.clone(), std::mem::take(&mut area.notes));
            area.warnings = united(earlier.warnings.clone(), std::mem::take(&mut area.warnings));
        }
        later.seconds += self.seconds;
        later.notes = united(self.notes, later.notes);
        later.warnings = united(self.warnings, later.warnings);
        later
    }
}

impl SaveReport {
    /// Returns the report of a save that did nothing, with the reason `why`.
    pub fn nothing(job: &Job, why: Note) -> Self {
        Self { shared: Report::nothing(job, Some(why)), reuse: None }
    }

    /// Adds the report of a later save of further areas of the same job.
    #[must_use]
    pub fn and(self, later: Self) -> Self {
        let reuse = [self.reuse, later.reuse].into_iter().flatten().reduce(Reuse::with);
        Self { shared: self.shared.and(later.shared), reuse }
    }

    /// Adds the report of a later save of the same areas.
    #[must_use]
    pub fn again(self, later: Self) -> Self {
        Self { shared: self.shared.again(later.shared), reuse: later.reuse.or(self.reuse) }
    }
}

/// Returns the messages of both steps, each once.
fn united<T: PartialEq>(mut earlier: Vec<T>, later: Vec<T>) -> Vec<T> {
    for message in later {
        if !earlier.contains(&message) {
            earlier.push(message);
        }
    }
    earlier
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the report of a save that stored `stored_bytes` of an area, and warned of `dirs`.
    fn save(area: Area, stored_bytes: u64, dirs: &[&str], used: Option<u64>) -> SaveReport {
        let warning = |dir: &&str| Warning::StoreInMemory(dir.into());
        let mut area = AreaReport::new(area);
        area.stored_bytes = stored_bytes;
        area.warnings = dirs.iter().map(warning).collect();
        let key = "key".parse().expect("a name");
        let reuse = used.map(|used| Reuse { used, fresh: 0, built: 0, built_crates: [].into() });
        SaveReport { shared: Report::of(key, vec![area]), reuse }
    }

    #[test]
    fn the_units_of_all_areas_are_counted() {
        let used = |first, second| {
            let first = save(Area::Registry, 0, &[], first);
            let both = first.and(save(Area::Target, 0, &[], second));
            both.reuse.map(|reuse| reuse.used)
        };
        let (none, one) = (None, Some(1));
        let found = [used(none, none), used(one, none), used(none, one), used(one, Some(2))];
        assert_eq!(found, [None, Some(1), Some(1), Some(3)]);
    }

    #[test]
    fn nothing_of_an_earlier_save_of_an_area_is_lost() {
        let first = save(Area::Registry, 10, &["a", "b"], None);
        let both = first.again(save(Area::Registry, 5, &["b", "c"], None)).shared;
        assert_eq!(both.areas.len(), 1);
        assert_eq!(both.areas[0].stored_bytes, 15);
        let want = ["a", "b", "c"].map(|dir| Warning::StoreInMemory(dir.into()));
        assert_eq!(both.areas[0].warnings, want);
    }
}
