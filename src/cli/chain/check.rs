//! `runner-cache chain check`.

use clap::Args;
use serde_json::json;

use super::super::{Error, Result};
use super::files::FileArgs;
use crate::front::Status;
use crate::front::print::{Text, line, print_json, to_stderr};

/// Options of `chain check`.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    file: FileArgs,
    /// Print one JSON object to stdout
    #[arg(long)]
    json: bool,
}

impl CheckArgs {
    pub(super) fn run(&self) -> Result<Status> {
        let mut text = Text::default();
        let (status, findings) = match self.file.chain() {
            Ok(chain) => {
                line!(text, "{} repos, {} levels: all is well", chain.repos().len(), chain.depth());
                (Status::Done, Vec::new())
            }
            Err(Error::Findings(findings)) => {
                for finding in findings.lines() {
                    line!(text, "error: {finding}");
                }
                (Status::Failed, findings.findings)
            }
            Err(error) => return Err(error),
        };
        to_stderr(&text);
        if self.json {
            print_json(&json!({ "findings": findings }))?;
        }
        Ok(status)
    }
}
