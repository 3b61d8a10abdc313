//! `runner-cache chain init`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use similar::TextDiff;

use super::super::{Error, Result};
use super::files::FileArgs;
use crate::chain::init::{Change, FileAction, apply, plan, wanted};
use crate::front::Status;
use crate::front::print::{Text, line, print_json, to_stderr};

/// Options of `chain init`.
#[derive(Debug, Args)]
pub(super) struct InitArgs {
    #[command(flatten)]
    file: FileArgs,
    /// The directory with a checkout of every repository, each under its name
    #[arg(value_name = "DIR", default_value = "..")]
    dir: PathBuf,
    /// Write only the files of this repository; may be repeated
    #[arg(long, value_name = "REPOSITORY")]
    only: Vec<String>,
    /// Change nothing: show the differences to the files that would be written, and fail if there are any
    #[arg(long)]
    check: bool,
    /// Print one JSON object to stdout
    #[arg(long)]
    json: bool,
}

impl InitArgs {
    pub(super) fn run(&self) -> Result<Status> {
        let (chain, source) = self.file.read()?;
        let mut files = wanted(&chain, &source);
        for name in &self.only {
            if !files.iter().any(|file| file.repository.as_str() == name) {
                let name: String = name.escape_debug().collect();
                return Err(Error::refused(format!("`{name}` is no repository of this chain")));
            }
        }
        files.retain(|file| {
            self.only.is_empty() || self.only.iter().any(|name| file.repository.as_str() == name)
        });
        let changes = plan(&files, &self.dir, self.file.path())?;
        if !self.check {
            for change in &changes {
                apply(change)?;
            }
        }
        for change in &changes {
            to_stderr(&self.text(change));
        }
        if self.json {
            let words =
                changes.iter().map(|change| (change.path.display().to_string(), self.word(change)));
            let words: serde_json::Map<_, _> =
                words.map(|(path, word)| (path, json!(word))).collect();
            print_json(&json!({ "files": words }))?;
        }
        let is_done = changes.iter().all(|change| match change.action {
            FileAction::Current => true,
            FileAction::Write(_) => !self.check,
            FileAction::Refused(..) | FileAction::Leftover => false,
        });
        Ok(if is_done { Status::Done } else { Status::Failed })
    }

    /// Returns the word for what happened to a file, or would happen.
    fn word(&self, change: &Change) -> &'static str {
        match (&change.action, &change.old) {
            (FileAction::Current, _) => "current",
            (FileAction::Write(_), _) if !self.check => "written",
            (FileAction::Write(_), Some(_)) => "outdated",
            (FileAction::Write(_), None) => "missing",
            (FileAction::Refused(..), _) => "refused",
            (FileAction::Leftover, _) => "leftover",
        }
    }

    fn text(&self, change: &Change) -> Text {
        let mut text = Text::default();
        let path = change.path.display();
        line!(text, "{:<9} {path}", self.word(change));
        let old = change.old.as_deref().unwrap_or_default();
        match &change.action {
            FileAction::Write(new) if self.check && change.old.is_some() => {
                text.lines(&diff(old, new));
            }
            FileAction::Refused(refusal, new) => {
                line!(text, "error: {refusal}: `{path}`");
                line!(
                    text,
                    "  help: move your lines between the marks, or remove the file; then run this again"
                );
                text.lines(&diff(old, new));
            }
            FileAction::Leftover => {
                line!(text, "  help: no workflow of the chain is needed there any more; remove it");
            }
            FileAction::Current | FileAction::Write(_) => {}
        }
        text
    }
}

/// Returns the difference between two texts, a line of `-` or `+` each.
fn diff(old: &str, new: &str) -> String {
    TextDiff::from_lines(old, new).unified_diff().context_radius(1).to_string()
}
