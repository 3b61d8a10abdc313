//! Listing the files of an area that a save may store.

use crate::cargo::home::Shared;
use crate::fs::stat::Kind;
use crate::fs::walk::Walked;
use crate::job::Result;
use crate::job::checkout_files::CheckoutFiles;
use crate::job::note::Note;
use crate::job::progress::Progress;
use crate::job::report::AreaReport;
use crate::job::warning::Warning;
use crate::job::{Job, Place};
use crate::model::area::Area;
use crate::tree::missed::{self};
use crate::tree::walk::walk_tree;
use crate::vouch::look_at_home;

/// Walks the area's directory; `None`, with the reason in the report, if there is nothing.
pub(crate) fn look(
    job: &Job,
    place: &Place,
    report: &mut AreaReport,
    checkout_files: &CheckoutFiles,
    progress: &Progress,
) -> Result<Option<Walked>> {
    let dir = &place.dir;
    let walked = match Shared::of(&place.area) {
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
    let dir = dir.clone();
    match place.area {
        Area::Target if !job.has_further() => report.warnings.push(Warning::EmptyTarget(dir)),
        Area::Registry if !job.has_lock => report.warnings.push(Warning::NoLockFile(dir)),
        _ => report.notes.push(Note::NothingThere(dir)),
    }
    Ok(None)
}
