//! Deciding whether cargo may use a live tree as it is, without a restore.
//!
//! Cargo compares mtimes. In a workspace that was never wiped, an old mtime means old content. But
//! a restore sets old mtimes, and it does so for one target directory while another may have been
//! built from other content. So the decision uses the ctimes of the sources, which no program can
//! set, and the record of the generation from which the tree began.

use std::collections::{BTreeMap, HashSet};

use super::manifest::{KeptFile, Manifest};
use super::mark::Mark;
use super::raw_path::RawPath;
use super::rel_path::RelPath;
use super::root::Root;
use super::sketch::{Content, Contents, spots};
use super::timestamp::Timestamp;
use super::unit_graph::GraphUnit;
use super::unit_use::UnitDir;

/// The times at which a path changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// The mtime, which any program can set.
    pub mtime: Timestamp,
    /// The ctime, which only the kernel sets.
    pub ctime: Timestamp,
}

/// The state of a path that a unit names and that is no source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Other {
    /// It is outside the checkouts: no restore sets times there.
    Elsewhere,
    /// It is in a checkout, with these times.
    At(Times),
    /// It was a source and is gone: cargo rebuilds the units that name it.
    Removed,
    /// It is gone, and only a build script that cargo would not run may be able to write it again.
    Lost,
}

/// A path in a checkout; `None` is the root itself.
pub type SourceAt = (Root, Option<RelPath>);

/// Tells whether every unit of the `live` tree that looks fresh to cargo was built from the current
/// sources.
///
/// That holds for a unit if none of its paths has changed in any way since it was built. It also
/// holds if the unit was in the tree when the tree was the generation `before`, and each path that
/// has changed since has the content recorded there. `ctimes` are those of the sources of `live`;
/// `other` returns the state of other paths that units name. If one of them is lost, the answer is
/// no: a restore brings it back.
pub fn is_true_to_sources(
    live: &Manifest,
    before: &Manifest,
    ctimes: &BTreeMap<SourceAt, Timestamp>,
    other: impl Fn(&RawPath) -> Other,
) -> bool {
    let contents = Contents::of(live);
    let kept = before.kept.iter().map(KeptFile::as_source);
    let sources = before.sources.iter().cloned().chain(kept);
    let recorded: BTreeMap<SourceAt, _> = sources
        .map(|source| ((source.root.clone(), source.path.clone()), source.content()))
        .collect();
    let had: HashSet<(&UnitDir, Mark, Timestamp)> =
        before.graph.units.iter().filter_map(id).collect();
    let is_true = |unit: &GraphUnit| {
        let is_old = id(unit).is_some_and(|id| had.contains(&id));
        let is_recorded =
            |at: &SourceAt, now: &Content| is_old && recorded.get(at) == Some(&now.content);
        let mut is_true = true;
        for spot in spots(live, unit) {
            for (path, now) in contents.within(&spot) {
                if now.mtime > unit.fresh_until() {
                    // Cargo rebuilds the unit.
                    return true;
                }
                let at = (spot.root.clone(), path.cloned());
                let is_untouched = ctimes.get(&at).is_some_and(|ctime| *ctime <= unit.built);
                is_true &= is_untouched || is_recorded(&at, now);
            }
        }
        for path in others(live, unit) {
            match other(path) {
                Other::Elsewhere => {}
                Other::Removed => return true,
                Other::At(times) if times.mtime > unit.fresh_until() => return true,
                Other::At(times) => is_true &= times.ctime <= unit.built,
                Other::Lost => is_true = false,
            }
        }
        is_true
    };
    live.graph.units.iter().all(|unit| unit.by_content || unit.is_unfinished || is_true(unit))
}

/// Returns the identity of one build of a unit.
fn id(unit: &GraphUnit) -> Option<(&UnitDir, Mark, Timestamp)> {
    Some((unit.dir.as_ref()?, unit.role?, unit.built))
}

fn others<'a>(live: &'a Manifest, unit: &'a GraphUnit) -> impl Iterator<Item = &'a RawPath> {
    let count = live.sources.len();
    let named = unit.files.iter().chain(&unit.fixed);
    named.filter_map(move |number| live.graph.others.get((*number as usize).checked_sub(count)?))
}

#[cfg(test)]
mod tests;
