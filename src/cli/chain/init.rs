//! `runner-cache chain init`.

use std::path::PathBuf;

use clap::Args;

use super::super::{Error, Result, Status};
use super::files::FileArgs;

/// Options of `chain init`.
#[derive(Debug, Args)]
pub(super) struct InitArgs {
    #[command(flatten)]
    file: FileArgs,
    /// The directory that holds a checkout of every repo
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Only say what differs
    #[arg(long)]
    check: bool,
}

impl InitArgs {
    pub(super) fn run(&self) -> Result<Status> {
        let chain = self.file.chain()?;
        let what = if self.check { "check" } else { "write" };
        let (count, dir) = (chain.repos().len(), self.dir.display());
        Err(Error::Refused(format!("cannot {what} the workflows of {count} repos in `{dir}` yet")))
    }
}
