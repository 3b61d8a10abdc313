//! Lists the files of an area that a save may store.

use crate::cargo::home::Shared;
use crate::fs::stat::Kind;
use crate::fs::walk::Walked;
use crate::job::Result;
use crate::job::checkout_files::CheckoutFiles;
use crate::job::note::Note;
use crate::job::progress::Progress;
use crate::job::report::Said;
use crate::job::warning::Warning;
use crate::job::{AreaPlace, Job};
use crate::model::area::Area;
use crate::tree::missed::{self};
use crate::tree::walk::walk_tree;
use crate::vouch::look_at_home;

/// Walks the directory of an area. Returns notes and warnings as an inner `Err` if there is nothing
/// to save.
pub(super) fn look(
    job: &Job,
    place: &AreaPlace,
    checkout_files: &CheckoutFiles,
    progress: &Progress,
) -> Result<std::result::Result<Walked, Said>> {
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
        return Ok(Ok(walked));
    }
    let missed = missed::warning(dir, &walked.missed);
    let mut said = Said { warnings: missed.into_iter().collect(), ..Said::default() };
    let dir = dir.clone();
    said.add(match place.area {
        Area::Target if !job.has_further() => Warning::EmptyTarget(dir).into(),
        Area::Registry if !job.has_lock => Warning::NoLockFile(dir).into(),
        _ => Note::NothingThere(dir).into(),
    });
    Ok(Err(said))
}
