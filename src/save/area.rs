//! Saves one area: walks its directory, selects its units, packs its contents, and publishes a
//! generation.

use std::collections::HashSet;
use std::time::Instant;

use super::assemble::{Contents, assemble, read};
use super::build_guard::BuildGuard;
use super::compiled::note_left;
use super::hot::park;
use super::identical::identical;
use super::kept::{self, Keep};
use super::look::look;
use super::refusal::refusal;
use super::reuse::reuse;
use super::saving::Saving;
use super::units::{Left, bind, leave_missed, leave_unused};
use crate::cargo::home::Shared;
use crate::fs::crash::crash_point;
use crate::fs::space::now_at;
use crate::fs::walk::{Found, Missed, Walked};
use crate::job::report::{AreaMode, AreaReport, Said, UnitsReport};
use crate::job::warning::Warning;
use crate::job::{AreaPlace, Error, Result};
use crate::model::choice::Hit;
use crate::model::leftovers::{LeftAs, SavedFrom};
use crate::model::timestamp::Timestamp;
use crate::model::unit_use::UnitDir;
use crate::store::{Event, TreeRecord, unmark};
use crate::tree::compare::Known;
use crate::tree::entries::Tree;
use crate::tree::graph::{self, Recorded, Surroundings};
use crate::tree::left::left_as;
use crate::tree::{links, missed};
use crate::vouch::Part;

/// Saves the area at `place`, while `guard` keeps builds out of it, and records the save in the
/// journal.
///
/// After an error the store is as it was for this area.
pub(super) fn save(
    saving: &Saving<'_>,
    place: &AreaPlace,
    guard: Result<BuildGuard>,
) -> AreaReport {
    let started = Instant::now();
    let mut report = AreaReport::new(place.area.clone());
    if let Err(error) = guard.and_then(|guard| save_area(saving, place, &guard, &mut report)) {
        report.fail(error);
    }
    report.seconds = started.elapsed().as_secs_f64();
    if let Err(error) = log(saving, &report) {
        report.warnings.push(error.into());
    }
    report
}

fn save_area(
    saving: &Saving<'_>,
    place: &AreaPlace,
    guard: &BuildGuard,
    report: &mut AreaReport,
) -> Result<()> {
    saving.progress.check_stopped()?;
    place.check(saving.store.root(), &saving.job.cargo_home)?;
    if let Some(why) = refusal(saving, place) {
        report.warnings.push(why);
        return Ok(());
    }
    let scanned = match scan(saving, place)? {
        Ok(scanned) => scanned,
        Err(said) => {
            report.tell(said);
            return Ok(());
        }
    };
    let scanned_at = scanned.at;
    let left_as = scanned.left_as;
    let known = saving.known(place);
    let packed = pack(saving, place, scanned, known.as_ref())?;
    report.tell(packed.said);
    report.stored_bytes = packed.contents.stored_bytes;
    let Left { seen, plan, distrusted, .. } = packed.left;
    if !place.area.is_shared() {
        report.reuse = reuse(known.as_ref().map(Known::manifest), &seen);
    }
    report.units = UnitsReport { kept: plan.kept.len() as u64, pruned: plan.pruned.len() as u64 };
    let (mut tree, keep) = (packed.tree, packed.keep);
    let mut manifest =
        assemble(saving, place, &mut tree, packed.contents, &keep, &plan, known.as_ref())?;
    manifest.header.vouched = packed.is_vouched;
    manifest.header.distrusted = distrusted.sessions;
    if let Some(recorded) = packed.recorded {
        manifest.graph = recorded.graph;
        bind(&mut manifest, &recorded.bound);
    }
    guard.check()?;
    (report.files, report.bytes) = (manifest.header.files, manifest.header.bytes);

    let id = if let Some(id) = identical(saving, place, known.as_ref(), &manifest)? {
        (report.mode, report.hit) = (AreaMode::Unchanged, Hit::Exact);
        id
    } else {
        crash_point("save: packs visible");
        report.mode = AreaMode::Published;
        saving.store.publish(saving.lease, &manifest)?
    };
    report.generation = Some(id.to_string());
    report.matched_key = Some(saving.job.key.clone());
    // A failure is only a warning: without a stamp, a new generation counts as used now all the
    // same.
    let stamped = saving.store.stamp(&id.series, saving.options.now);
    report.warnings.extend(stamped.err().map(Warning::from));
    let inodes = tree.inodes(&manifest.entries).collect();
    let owner = Some(saving.job.as_owner());
    let mut record = TreeRecord { generation: id.clone(), owner, inodes };
    record.settle(scanned_at);
    // The record only saves time later, so a failure is only a warning.
    let recorded = saving.store.record_tree(&place.dir, &saving.boot, &record);
    report.warnings.extend(recorded.err().map(Warning::from));
    if !place.area.is_shared() {
        let taken = saving.owners().saved(&place.dir, left_as);
        report.warnings.extend(taken.err().map(Warning::from));
    }
    crash_point("save: recorded");
    report.tell(park(saving, place, (&tree, &record.inodes), &id, &manifest));
    report.id = Some(id);
    Ok(())
}

/// The directory of an area, as it was walked.
struct Scanned {
    found: Vec<Found>,
    missed: Vec<Missed>,
    /// The time after the walk, by the clock that stamps files.
    at: Timestamp,
    /// The state in which the last save of a job leaves the directory.
    left_as: Option<LeftAs>,
    /// Whether lock files vouch for every part that they can judge.
    is_vouched: bool,
    said: Said,
}

/// Walks the directory, without the wrong parts of `CARGO_HOME`. Returns the reason as an inner
/// `Err` if there is nothing to save.
fn scan(saving: &Saving<'_>, place: &AreaPlace) -> Result<std::result::Result<Scanned, Said>> {
    // A killed restore may have left its mark. If the mark cannot be removed, that does no harm: it
    // is no part of any tree.
    drop(unmark(&place.dir));
    // After any save but its last one, the job goes on building.
    let is_last = saving.options.from == SavedFrom::Recorded;
    let walked = look(saving.job, place, &saving.checkout_files(place), saving.progress)?;
    let Walked { mut found, missed } = match walked {
        Ok(walked) => walked,
        Err(said) => {
            if is_last && !place.area.is_shared() {
                saving.owners().saved(&place.dir, Some(LeftAs::NOTHING))?;
            }
            return Ok(Err(said));
        }
    };
    let at = now_at(saving.store.root())?;
    let (mut is_vouched, mut said) = (false, Said::default());
    if let Some(kind) = Shared::of(&place.area) {
        let part = Part { kind, dir: &place.dir };
        let left_out = saving.vouching().leave_out_wrong(part, &mut found, at)?;
        is_vouched = left_out.is_complete;
        said = left_out.said;
        note_left(saving, left_out.left_source);
    }
    let left_as = is_last.then(|| left_as(&place.dir, &found)).flatten();
    Ok(Ok(Scanned { found, missed, at, left_as, is_vouched, said }))
}

/// The tree of an area without the units that leave, and its packed contents.
struct Packed {
    left: Left,
    tree: Tree,
    recorded: Option<Recorded>,
    keep: Vec<Keep>,
    contents: Contents,
    is_vouched: bool,
    said: Said,
}

/// Selects the units to store, and packs the contents that the store lacks.
fn pack(
    saving: &Saving<'_>,
    place: &AreaPlace,
    scanned: Scanned,
    known: Option<&Known>,
) -> Result<Packed> {
    let Scanned { found, mut missed, is_vouched, mut said, .. } = scanned;
    let mut left = leave_unused(saving, place, found, &missed, known)?;
    let mut tree = Tree::of(&place.dir, &left.found)?;
    if let Some(link) = links::of_target(place, &tree.entries) {
        return Err(Error::BuiltThrough { dir: place.dir.clone(), link: link.clone() });
    }
    let special = tree.special.first().cloned();
    let count = tree.special.len();
    said.warnings.extend(special.map(|path| Warning::SpecialFiles { path, count }));
    let mut recorded = record_graph(saving, place, &left);
    let (keep, unread) = find_kept(saving, place, &left.found, recorded.as_ref(), known)?;
    let mut contents = read(saving, &tree, &keep, known)?;
    let mut late = std::mem::take(&mut tree.missed);
    late.extend(unread.into_iter().chain(std::mem::take(&mut contents.missed)));
    if !late.is_empty() {
        left = leave_missed(saving, place, left, &late, known)?;
        recorded = record_graph(saving, place, &left);
        let stays: HashSet<_> = left.found.iter().map(|found| &found.path).collect();
        contents.facts = tree.retain(contents.facts, |path| stays.contains(path));
        contents.drop_unused_packs();
        missed.extend(late);
    }
    said.warnings.extend(missed::warning(&place.dir, &missed));
    said.notes.extend(left.notes());
    Ok(Packed { left, tree, recorded, keep, contents, is_vouched, said })
}

fn record_graph(saving: &Saving<'_>, place: &AreaPlace, left: &Left) -> Option<Recorded> {
    let is_used = |unit: &UnitDir| left.seen.get(unit).is_none_or(|it| it.was_used != Some(false));
    let around = Surroundings::of(saving.job, place, saving.sources);
    (!place.area.is_shared()).then(|| graph::record(&left.found, &around, is_used))
}

fn find_kept(
    saving: &Saving<'_>,
    place: &AreaPlace,
    found: &[Found],
    recorded: Option<&Recorded>,
    known: Option<&Known>,
) -> Result<(Vec<Keep>, Vec<Missed>)> {
    let Some(recorded) = recorded else { return Ok((Vec::new(), Vec::new())) };
    let around = Surroundings::of(saving.job, place, saving.sources);
    kept::find(found, &around, &recorded.graph, known.map(Known::manifest), saving.tracked())
}

fn log(saving: &Saving<'_>, report: &AreaReport) -> Result<()> {
    let event = match report.mode {
        AreaMode::Published => "save",
        AreaMode::Unchanged => "stamp",
        _ => return Ok(()),
    };
    Ok(saving.store.log(&Event {
        time: saving.options.now,
        event: event.to_owned(),
        generation: report.id.clone(),
        detail: format!("{} {}", report.name, saving.job.label),
        bytes: report.stored_bytes,
        millis: report.millis(),
    })?)
}
