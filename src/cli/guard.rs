//! `runner-cache guard`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::args::{CheckoutArgs, PlaceArgs, RetentionArgs, RootArgs, environment, now};
use super::report::{print_json, to_stderr};
use super::text::{bytes, line};
use super::{Result, Status, gc};
use crate::cargo::dirs::{cargo_home, dirs};
use crate::ops::gc::Mode;
use crate::ops::guard::{GuardReport, Place, guard};

/// Options of `guard`.
#[derive(Debug, Args)]
pub(super) struct GuardArgs {
    #[command(flatten)]
    root: RootArgs,
    #[command(flatten)]
    checkouts: CheckoutArgs,
    #[command(flatten)]
    places: PlaceArgs,
    #[command(flatten)]
    retention: RetentionArgs,
    /// Show what would go and why; change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object to stdout
    #[arg(long)]
    json: bool,
}

impl GuardArgs {
    pub(super) fn run(&self) -> Result<Status> {
        let store = self.root.open_or_init()?;
        let mode = if self.dry_run { Mode::DryRun } else { Mode::Execute };
        let (policy, pressure) = (self.retention.policy(), self.retention.pressure());
        let report = guard(&store, &self.paths()?, &pressure, &policy, now(), mode)?;
        to_stderr(&text(&report, mode));
        if self.json {
            print_json(&report)?;
        }
        Ok(Status::Done)
    }

    /// Returns every path whose filesystem matters to the job. A directory that is no repo has no
    /// target: the rest is guarded all the same.
    fn paths(&self) -> Result<Vec<(Place, PathBuf)>> {
        let environment = environment();
        let repo = self.checkouts.repo()?;
        let mut paths = Vec::new();
        if let Ok(home) = cargo_home(&environment, self.places.cargo_home(), &repo) {
            paths.push((Place::CargoHome, home));
        }
        let temp_dir = environment.get("TMPDIR").map_or(Path::new("/tmp"), Path::new);
        paths.push((Place::TempDir, temp_dir.to_owned()));
        let own = std::iter::once((repo, self.places.target_dir()));
        let dependencies = self.checkouts.dependencies()?.into_values().map(|path| (path, None));
        for (checkout, target_dir) in own.chain(dependencies) {
            if let Ok(dirs) = dirs(&checkout, &environment, target_dir) {
                paths.push((Place::Target, dirs.target_dir));
                paths.extend(dirs.build_dir.map(|dir| (Place::Target, dir)));
            }
            paths.push((Place::Workspace, checkout));
        }
        Ok(paths)
    }
}

fn text(report: &GuardReport, mode: Mode) -> String {
    let mut text = String::new();
    for watched in &report.filesystems {
        let places: Vec<_> = watched.places.iter().map(ToString::to_string).collect();
        let (before, after) = (&watched.before, &watched.after);
        line!(
            text,
            "`{}` ({}): {} used, {} free of {}",
            before.path.display(),
            places.join(", "),
            after.used(),
            bytes(after.free_bytes),
            bytes(after.total_bytes)
        );
    }
    text += &gc::text(&report.gc, mode);
    for warning in &report.warnings {
        line!(text, "warning: {warning}");
    }
    text
}
