//! The units of a target: those that a job used, and those that leave the stored copy.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

use super::saving::Saving;
use crate::cargo::artifacts::{Docs, Survey, survey};
use crate::cargo::home::Shared;
use crate::cargo::units::{Units, crate_of, incremental_of, is_fingerprint};
use crate::fs::atime::notices_reads;
use crate::fs::stat::Kind;
use crate::fs::walk::{Found, Missed};
use crate::job::AreaPlace;
use crate::job::Result;
use crate::job::note::Note;
use crate::model::manifest::{Binding, Header, Manifest, Unit};
use crate::model::rel_path::RelPath;
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
}

impl Left {
    /// Returns notes on the units that leave, with the reasons. Adds a note if it is unknown which
    /// units the job used.
    pub(super) fn notes(&self) -> impl Iterator<Item = Note> {
        let is_unknown = self.seen.values().any(|sight| sight.was_used.is_none());
        let groups = self.plan.groups().into_iter().map(Note::Units);
        groups.chain(is_unknown.then_some(Note::UseUnknown))
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
    Ok(Left { found: without(&units, &plan, found), seen, plan })
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
    let Left { found, seen, plan } = left;
    let mut left = leave_unused(saving, place, found, missed, known)?;
    left.seen.extend(seen);
    left.plan.pruned.extend(plan.pruned);
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

/// Drops the files of units that leave, and their directories of `incremental`.
fn without(units: &Units, plan: &UnitPlan, found: Vec<Found>) -> Vec<Found> {
    if plan.pruned.is_empty() {
        return found;
    }
    let dropped = surplus_incremental(units, plan, &found);
    let stays = |found: &Found| {
        let is_of_pruned = units.of(&found.path).is_some_and(|unit| plan.pruned.contains_key(unit));
        let incremental = incremental_of(&found.path).map(|(dir, _)| dir);
        !is_of_pruned && !incremental.is_some_and(|dir| dropped.contains(&dir))
    };
    found.into_iter().filter(stays).collect()
}

/// Returns the directories of `incremental` that no unit that stays can need.
///
/// Their names carry another hash than the unit's, so only the crate tells which units they belong
/// to. For each unit of a crate that leaves, the oldest directory of the crate goes. But at least
/// as many directories stay as units of the crate stay.
fn surplus_incremental(units: &Units, plan: &UnitPlan, found: &[Found]) -> HashSet<RelPath> {
    let mut staying: HashMap<_, BTreeSet<&UnitDir>> = HashMap::new();
    let mut leaving: HashMap<_, BTreeSet<&UnitDir>> = HashMap::new();
    let mut sessions: HashMap<_, Vec<(Timestamp, RelPath)>> = HashMap::new();
    for Found { path, stat } in found {
        if let Some((dir, of)) = incremental_of(path) {
            if dir == *path {
                sessions.entry(of).or_default().push((stat.mtime, dir));
            }
        } else if let (Some(of), Some(unit)) = (crate_of(path), units.of(path)) {
            let group = if plan.kept.contains_key(unit) { &mut staying } else { &mut leaving };
            group.entry(of).or_default().insert(unit);
        }
    }
    let mut surplus = HashSet::new();
    for (of, mut dirs) in sessions {
        dirs.sort();
        let stay = staying.get(&of).map_or(0, BTreeSet::len);
        let leave = leaving.get(&of).map_or(0, BTreeSet::len);
        let go = dirs.len().saturating_sub(stay).min(leave);
        surplus.extend(dirs.into_iter().take(go).map(|(_, dir)| dir));
    }
    surplus
}
