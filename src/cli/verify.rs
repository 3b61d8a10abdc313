//! `runner-cache verify`.

use clap::Args;

use super::args::RootArgs;
use super::report::{print_json, to_stderr};
use super::text::{bytes, line};
use super::{Result, Status};
use crate::ops;
use crate::ops::verify::{Severity, VerifyReport, verify};

/// Options of `verify`.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    root: RootArgs,
    /// Threads [default: one a core]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    threads: usize,
    /// Print one JSON object to stdout
    #[arg(long)]
    json: bool,
}

impl VerifyArgs {
    pub(super) fn run(&self) -> Result<Status> {
        let store = self.root.open()?;
        let report = ops::with_threads(self.threads, || verify(&store))?;
        to_stderr(&text(&report));
        if self.json {
            print_json(&report)?;
        }
        Ok(if report.has_damage() { Status::Damage } else { Status::Done })
    }
}

fn text(report: &VerifyReport) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        let severity = match finding.severity {
            Severity::Damage => "damage",
            Severity::Note => "note",
        };
        let (code, path, what) = (finding.code, finding.path.display(), &finding.what);
        line!(text, "{severity}: {code}: `{path}`: {what}");
    }
    let verdict = if report.has_damage() { "damage found" } else { "all is well" };
    text + &format!(
        "read {} generations, {} packs ({}), {} contents: {verdict}\n",
        report.generations,
        report.packs,
        bytes(report.bytes),
        report.contents
    )
}
