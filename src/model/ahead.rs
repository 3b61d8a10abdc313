//! Whether a live tree may be left to cargo as it is.
//!
//! Cargo compares mtimes. In a workspace that was never wiped an old mtime means old content, but a restore puts
//! old mtimes back, and it does so for one target directory while another may have been built from something else.
//! So the ctimes of the sources decide, which no program can set, and the record of the generation that the tree
//! began as.

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

/// When something changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// By its own word.
    pub mtime: Timestamp,
    /// By the kernel's.
    pub ctime: Timestamp,
}

/// A path that a unit names and that is no source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Other {
    /// Nothing of ours sets times there.
    Elsewhere,
    /// It is in a checkout.
    At(Times),
    /// It was a source, and is gone: cargo builds again what names it.
    Removed,
    /// It is gone, and a build script may have to write it again, which cargo would not run.
    Lost,
}

/// A path in a checkout.
pub type SourceAt = (Root, Option<RelPath>);

/// Tells whether every unit of the `live` tree that looks fresh to cargo was built from what is there now.
///
/// A unit was if none of its paths changed in any way since it was built, and if it is one that the tree had when it
/// was the generation `before`, and each path that changed since has the content recorded there.
/// `ctimes` are those of the sources of `live`; `other` tells of the other paths that units name. Where one of those is
/// lost the answer is no: a restore brings it back.
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
                    // Cargo builds it again.
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

/// Returns what tells one build of a unit from another.
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
