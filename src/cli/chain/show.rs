//! `runner-cache chain show`.

use clap::{Args, ValueEnum};

use super::super::Result;
use super::files::FileArgs;
use crate::chain::{Format, show};
use crate::front::Status;
use crate::front::print::{Text, to_stdout};

/// Options of `chain show`.
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    file: FileArgs,
    /// The format of the output
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Shape,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shape {
    /// One line per repo
    Text,
    /// A flow chart that GitHub draws in Markdown
    Mermaid,
    /// One JSON object
    Json,
}

impl ShowArgs {
    pub(super) fn run(&self) -> Result<Status> {
        let format = match self.format {
            Shape::Text => Format::Text,
            Shape::Mermaid => Format::Mermaid,
            Shape::Json => Format::Json,
        };
        let shown = show(&self.file.chain()?, format);
        let mut text = Text::default();
        match format {
            Format::Json => text.json(shown.trim_end()),
            Format::Text | Format::Mermaid => text.lines(&shown),
        }
        to_stdout(&text)?;
        Ok(Status::Done)
    }
}
