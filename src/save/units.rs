//! The units of a target: those that a job used, and those that leave the stored copy.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::saving::Saving;
use super::sessions::{Distrusted, leave_sessions};
use crate::cargo::artifacts::{Docs, Survey, survey};
use crate::cargo::home::Shared;
use crate::cargo::units::{Units, is_fingerprint};
use crate::fs::atime::notices_reads;
use crate::fs::stat::Kind;
use crate::fs::walk::{Found, Missed};
use crate::job::AreaPlace;
use crate::job::Result;
use crate::job::note::Note;
use crate::model::manifest::{Binding, Header, Manifest, Unit};
use crate::model::timestamp::Timestamp;
use crate::model::unit_use::{Origin, Shape, Sight, UnitDir, UnitPlan, UnitUse};
use crate::tree::compare::Known;
use crate::tree::missed::{leave_out_of_home, leave_out_of_target};

/// Returns the stored units as the manifest records them.
pub(super) fn units_of(plan: &UnitPlan) -> Vec<Unit> {
    let unit =
        |(dir, used): (&UnitDir, &UnitUse)| Unit { dir: dir.clone(), used: *used, is_bound: false };
    plan.kept.iter().map(unit).collect()
}

/// Records the units that work only while the roots stay at their paths.
pub(super) fn bind(manifest: &mut Manifest, bound: &BTreeSet<UnitDir>) {
    for unit in &mut manifest.units {
        unit.is_bound = bound.contains(&unit.dir);
    }
    let count = manifest.units.iter().filter(|unit| unit.is_bound).count();
    let binding = Binding { units: manifest.units.len() as u64, bound: count as u64 };
    manifest.header.binding = Some(binding);
}

/// A tree without the units that leave.
#[derive(Default)]
pub(super) struct Left {
    pub(super) found: Vec<Found>,
    /// Every unit that was in the tree.
    pub(super) seen: BTreeMap<UnitDir, Sight>,
    pub(super) plan: UnitPlan,
    /// The sessions that rustc broke off over.
    pub(super) distrusted: Distrusted,
}

impl Left {
    /// Returns notes on the units that leave, with the reasons. Adds a note if it is unknown which
    /// units the job used.
    pub(super) fn notes(&self) -> impl Iterator<Item = Note> {
        let is_unknown = self.seen.values().any(|sight| sight.was_used.is_none());
        let groups = self.plan.groups().into_iter().map(Note::Units);
        let crates = &self.distrusted.crates;
        let sessions = (!crates.is_empty()).then(|| Note::SessionsLeft(crates.clone()));
        groups.chain(is_unknown.then_some(Note::UseUnknown)).chain(sessions)
    }
}

/// Leaves out the units that the job no longer uses, and those with a part that could not be read.
pub(super) fn leave_unused(
    saving: &Saving<'_>,
    place: &AreaPlace,
    mut found: Vec<Found>,
    missed: &[Missed],
    known: Option<&Known>,
) -> Result<Left> {
    if let Some(kind) = Shared::of(&place.area) {
        leave_out_of_home(kind, &mut found, missed);
        return Ok(Left { found, ..Left::default() });
    }
    let unread = leave_out_of_target(&mut found, missed);
    let paths = found.iter().map(|found| &found.path);
    let units = Units::among(paths.chain(missed.iter().map(|missed| &missed.path)));
    let mut seen = sights(&units, &found, &place.dir)?;
    let files = found.iter().filter(|found| found.stat.kind != Kind::Dir);
    let files = files.map(|found| (&found.path, Some(found.stat.size)));
    let Survey { hollow, unknown } = survey(&units, files, Docs::of(&place.area));
    let shapes = [(Shape::Hollow, hollow), (Shape::Unknown, unknown), (Shape::Unread, unread)];
    for (shape, units) in shapes {
        for unit in units {
            seen.entry(unit).and_modify(|sight| sight.shape = shape);
        }
    }
    let (remembered, origin) = match known.map(Known::manifest) {
        None => (BTreeMap::new(), Origin::Unknown),
        Some(manifest) => (remembered(manifest), origin(saving, place, manifest)),
    };
    let policy = saving.options.units;
    let plan = policy.plan(&seen, &remembered, origin, saving.options.partial, saving.options.now);
    let began_as = known.map(Known::manifest);
    let (found, distrusted) = leave_sessions(&place.dir, &units, &plan, found, began_as);
    Ok(Left { found: without(&units, &plan, found), seen, plan, distrusted })
}

/// Leaves out the files that could not be read when their contents were packed, and the units that
/// they belong to.
pub(super) fn leave_missed(
    saving: &Saving<'_>,
    place: &AreaPlace,
    left: Left,
    missed: &[Missed],
    known: Option<&Known>,
) -> Result<Left> {
    let Left { found, seen, plan, distrusted } = left;
    let mut left = leave_unused(saving, place, found, missed, known)?;
    left.seen.extend(seen);
    left.plan.pruned.extend(plan.pruned);
    // Its sessions are left out already.
    left.distrusted = distrusted;
    Ok(left)
}

fn origin(saving: &Saving<'_>, place: &AreaPlace, manifest: &Manifest) -> Origin {
    let Header { series, job, .. } = &manifest.header;
    let is_same = series.key == place.series_key && *job == saving.job.label;
    if is_same { Origin::SameJob } else { Origin::OtherJob }
}

fn remembered(manifest: &Manifest) -> BTreeMap<UnitDir, UnitUse> {
    manifest.units.iter().map(|unit| (unit.dir.clone(), unit.used)).collect()
}

/// Looks at the fingerprint of each unit: whether it was read, and when it was written.
fn sights(units: &Units, found: &[Found], dir: &Path) -> Result<BTreeMap<UnitDir, Sight>> {
    let mut seen: BTreeMap<UnitDir, Sight> = BTreeMap::new();
    let notices = units.iter().next().is_none() || notices_reads(dir)?;
    let was_used = notices.then_some(false);
    let unseen = Sight { was_used, built: Timestamp::default(), shape: Shape::Known };
    for unit in units.iter() {
        seen.insert(unit.clone(), unseen);
    }
    for Found { path, stat } in found {
        if stat.kind == Kind::File
            && is_fingerprint(path)
            && let Some(sight) = units.of(path).and_then(|unit| seen.get_mut(unit))
        {
            sight.built = sight.built.max(stat.mtime);
            if stat.was_read() {
                sight.was_used = sight.was_used.map(|_| true);
            }
        }
    }
    Ok(seen)
}

/// Drops the files of units that leave.
fn without(units: &Units, plan: &UnitPlan, mut found: Vec<Found>) -> Vec<Found> {
    if !plan.pruned.is_empty() {
        found.retain(|found| {
            units.of(&found.path).is_none_or(|unit| !plan.pruned.contains_key(unit))
        });
    }
    found
}
