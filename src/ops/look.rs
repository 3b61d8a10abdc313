//! What of an area there is to save.

use std::collections::HashSet;
use std::path::Path;

use super::Result;
use super::checkout_files::CheckoutFiles;
use super::job::{Job, Place};
use super::locks::keep_packages_still;
use super::missed::{self, leave_out_of_home};
use super::progress::Progress;
use super::report::AreaReport;
use super::shared::needs_mark;
use super::walk::{walk, walk_tree};
use crate::cargo::home::{self, Shared};
use crate::fs::stat::Kind;
use crate::fs::walk::Walked;
use crate::model::area::Area;

/// Walks the area's directory; `None`, with the reason in the report, if there is nothing.
pub(super) fn look(
    job: &Job,
    place: &Place,
    report: &mut AreaReport,
    checkout_files: &CheckoutFiles,
    progress: &Progress,
) -> Result<Option<Walked>> {
    let dir = &place.dir;
    let walked = match shared(&place.area) {
        _ if !dir.is_dir() => Walked::default(),
        None => {
            let Walked { found, missed } = walk_tree(dir, &job.scratch)?;
            Walked { found: checkout_files.leave_out(found), missed }
        }
        Some(shared) => look_at_home(job, shared, dir, progress)?,
    };
    if walked.found.iter().any(|found| found.stat.kind != Kind::Dir) {
        return Ok(Some(walked));
    }
    report.warnings.extend(missed::warning(dir, &walked.missed));
    let dir = dir.display();
    match place.area {
        Area::Target if !job.has_further() => report.warnings.push(format!(
            "`{dir}` is empty: nothing is saved. Is it where cargo builds? See CARGO_TARGET_DIR \
             and `build.target-dir`"
        )),
        Area::Registry if !job.has_lock => report.warnings.push(format!(
            "no Cargo.lock says what of `{dir}` belongs to this repo: nothing is saved"
        )),
        _ => report.notes.push(format!("nothing in `{dir}`")),
    }
    Ok(None)
}

/// Walks what the lock files name of `dir`, a part of `CARGO_HOME`, leaving out half extractions.
pub(super) fn look_at_home(
    job: &Job,
    kind: Shared,
    dir: &Path,
    progress: &Progress,
) -> Result<Walked> {
    // What cargo is about to write is not whole: while the lock is held, it writes nothing. What
    // changes after the walk is noticed when it is read.
    let _lock = keep_packages_still(&job.cargo_home, progress)?;
    let wanted = &job.wanted;
    let Walked { mut found, missed } = walk(dir, |path, what| match what {
        Kind::Dir => wanted.may_hold(kind, path),
        _ => wanted.wants(kind, path) || wanted.is_way(kind, path),
    })?;
    let whole: HashSet<_> = found
        .iter()
        .filter_map(|found| {
            let unit = home::unit(kind, &found.path)?;
            let mark = found.path.file_name() == b".cargo-ok"
                && found.path.parent().as_ref() == Some(&unit);
            (mark && (found.stat.size > 0 || kind == Shared::Git)).then_some(unit)
        })
        .collect();
    found.retain(|found| match home::unit(kind, &found.path) {
        // What stands for a crate and is no directory is no half extraction either: it is wrong.
        Some(unit) if unit == found.path && found.stat.kind != Kind::Dir => true,
        Some(unit) if needs_mark(&unit) => whole.contains(&unit),
        _ => true,
    });
    leave_out_of_home(kind, &mut found, &missed);
    Ok(Walked { found, missed })
}

/// Returns which part of `CARGO_HOME` an area is, if it is one.
pub(super) fn shared(area: &Area) -> Option<Shared> {
    match area {
        Area::Registry => Some(Shared::Registry),
        Area::Git => Some(Shared::Git),
        _ => None,
    }
}
