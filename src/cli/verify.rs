//! `runner-cache verify`.

use std::collections::BTreeSet;

use clap::Args;

use super::Result;
use super::args::RootArgs;
use crate::front::Status;
use crate::front::print::{Text, line, print_json, to_stderr};
use crate::front::text::bytes;
use crate::job::threads::with_threads;
use crate::upkeep::verify::{Severity, VerifyReport, verify};

/// Options of `verify`.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    root: RootArgs,
    /// Number of threads [default: one per core]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    threads: usize,
    /// Print one JSON object to stdout
    #[arg(long)]
    json: bool,
}

impl VerifyArgs {
    pub(super) fn run(&self) -> Result<Status> {
        let store = self.root.open()?;
        let report = with_threads(self.threads, || verify(&store))?;
        to_stderr(&text(&report));
        if self.json {
            print_json(&report)?;
        }
        Ok(if report.has_damage() { Status::Damage } else { Status::Done })
    }
}

/// Returns the advice for findings with that code, if there is any.
fn advice(code: &str) -> Option<&'static str> {
    Some(match code {
        "manifest-unreadable" | "manifest-misplaced" => {
            "`runner-cache gc` removes it, and the next save of its job publishes another"
        }
        "manifest-newer" => "use the newer runner-cache that wrote it, or remove the file",
        "manifest-flawed" | "unit-hollow" => {
            "remove the file; the next save of its job publishes another"
        }
        "pack-missing" | "content-missing" => {
            "the next save of the same contents stores them again; else remove the manifest that names them"
        }
        "pack-damaged" | "pack-unreadable" | "content-damaged" => {
            "remove the file; the next save stores again what it held"
        }
        "pack-stranger" | "series-stranger" => {
            "`runner-cache gc` removes what is no file of ours; remove what is left by hand"
        }
        "entry-odd" => {
            "`runner-cache gc` removes it, and names what it cannot remove: do that by hand, after `chattr -R -i` or \
             as root"
        }
        "pack-unreferenced" | "lease-dead" | "staging-left" | "trash-left" => {
            "`runner-cache gc` removes it"
        }
        "public-mode" => "chmod 700 the directory",
        // Nothing to do: the next save writes another stamp, and an unknown fingerprint is kept as it is.
        _ => return None,
    })
}

fn text(report: &VerifyReport) -> Text {
    let mut text = Text::default();
    for finding in &report.findings {
        let severity = match finding.severity {
            Severity::Damage => "damage",
            Severity::Note => "note",
        };
        let (code, path, what) = (finding.code, finding.path.display(), &finding.what);
        line!(text, "{severity}: {code}: `{path}`: {what}");
    }
    let codes: BTreeSet<_> = report.findings.iter().map(|finding| finding.code).collect();
    for (code, advice) in codes.into_iter().filter_map(|code| Some((code, advice(code)?))) {
        line!(text, "  help: {code}: {advice}");
    }
    let verdict = if report.has_damage() { "damage found" } else { "all is well" };
    line!(
        text,
        "read {} generations, {} packs ({}), {} contents: {verdict}",
        report.generations,
        report.packs,
        bytes(report.bytes),
        report.contents
    );
    text
}
