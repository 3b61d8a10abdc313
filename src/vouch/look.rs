//! Walks a part of `CARGO_HOME`.

use std::collections::HashSet;
use std::path::Path;

use crate::cargo::home::needs_mark;
use crate::cargo::home::{self, Shared};
use crate::fs::stat::Kind;
use crate::fs::walk::Walked;
use crate::job::Job;
use crate::job::Result;
use crate::job::locks::keep_packages_still;
use crate::job::progress::Progress;
use crate::tree::missed::leave_out_of_home;
use crate::tree::walk::walk;

/// Walks the paths in `dir`, a part of `CARGO_HOME`, that the lock files name; leaves out
/// half-extracted sources.
pub(crate) fn look_at_home(
    job: &Job,
    kind: Shared,
    dir: &Path,
    progress: &Progress,
) -> Result<Walked> {
    // While the lock is held, cargo writes nothing, so no path is half written. A later change is
    // noticed when the file is read.
    let _lock = keep_packages_still(&job.cargo_home, progress)?;
    let wanted = &job.locked_parts;
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
        // A file or symlink in place of a crate's directory is not half extracted: it is wrong.
        Some(unit) if unit == found.path && found.stat.kind != Kind::Dir => true,
        Some(unit) if needs_mark(&unit) => whole.contains(&unit),
        _ => true,
    });
    leave_out_of_home(kind, &mut found, &missed);
    Ok(Walked { found, missed })
}
