//! Leaves out paths of an area that could not be read, along with whatever is useless without them, and warns of them.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use crate::cargo::artifacts::is_documentation;
use crate::cargo::home::{Shared, unit};
use crate::cargo::incremental::incremental_of;
use crate::cargo::units::{Units, is_fingerprint};
use crate::fs::stat::Kind;
use crate::fs::walk::{Found, Missed, Why};
use crate::job::Error;
use crate::job::warning::{Unread, Warning};
use crate::model::rel_path::RelPath;
use crate::model::unit_use::UnitDir;

/// Returns the reason if `error` concerns a single file; returns any other error unchanged.
pub(crate) fn why(error: Error) -> Result<Why, Error> {
    match error {
        Error::Changed(_) => Ok(Why::Changed),
        Error::Io(error) => Ok(Why::of(error)?),
        other => Err(other),
    }
}

/// Returns the warning that files of `dir` are left out; it names one of them.
pub(crate) fn warning(dir: &Path, missed: &[Missed]) -> Option<Warning> {
    let rank = |missed: &&Missed| match missed.why {
        Why::Refused(_) => 0,
        Why::Changed => 1,
        Why::Gone => 2,
    };
    let Missed { path, why } = missed.iter().min_by_key(rank)?;
    let why = match why {
        Why::Refused(error) => Unread::Refused(error.to_string()),
        Why::Changed => Unread::Changed,
        Why::Gone => Unread::Gone,
    };
    Some(Warning::LeftOut { path: dir.join(path.as_path()), count: missed.len(), why })
}

/// Leaves out of `CARGO_HOME` the missed paths, and the crate, database or checkout that each was part of.
pub(crate) fn leave_out_of_home(kind: Shared, found: &mut Vec<Found>, missed: &[Missed]) {
    let whole = |missed: &Missed| unit(kind, &missed.path).unwrap_or_else(|| missed.path.clone());
    leave_out(found, &missed.iter().map(whole).collect());
}

/// Leaves out of a target the missed paths, their other names, and the session of incremental compilation that each was
/// part of. Returns the units that a missed path belonged to.
pub(crate) fn leave_out_of_target(found: &mut Vec<Found>, missed: &[Missed]) -> BTreeSet<UnitDir> {
    let mut paths: HashSet<RelPath> = missed.iter().map(|missed| missed.path.clone()).collect();
    let inode = |found: &Found| (found.stat.inode.dev, found.stat.inode.ino);
    let is_linked = |found: &&Found| found.stat.kind == Kind::File && found.stat.links > 1;
    let linked = || found.iter().filter(is_linked);
    let inodes: HashSet<_> =
        linked().filter(|found| paths.contains(&found.path)).map(inode).collect();
    let names = linked().filter(|found| inodes.contains(&inode(found)));
    paths.extend(names.map(|found| found.path.clone()).collect::<Vec<_>>());

    let units = Units::among(found.iter().map(|found| &found.path).chain(&paths));
    let mut touched: BTreeSet<UnitDir> =
        paths.iter().filter_map(|path| units.of(path)).cloned().collect();
    if paths.iter().any(is_documentation) {
        let documented = found.iter().filter(|found| is_documented(&found.path));
        touched.extend(documented.filter_map(|found| units.of(&found.path)).cloned());
    }
    let sessions = paths.iter().filter_map(|path| Some(incremental_of(path)?.0));
    let gone = paths.iter().cloned().chain(sessions).collect();
    leave_out(found, &gone);
    touched
}

/// Tells whether a path is a fingerprint of a unit that wrote documentation.
fn is_documented(path: &RelPath) -> bool {
    is_fingerprint(path) && path.file_name().starts_with(b"doc-")
}

fn leave_out(found: &mut Vec<Found>, gone: &HashSet<RelPath>) {
    let is_gone = |path: &RelPath| {
        std::iter::successors(Some(path.clone()), RelPath::parent).any(|path| gone.contains(&path))
    };
    if !gone.is_empty() {
        found.retain(|found| !is_gone(&found.path));
    }
}
