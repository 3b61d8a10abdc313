//! The file of the chain, and the outputs of the step.

use std::path::{Path, PathBuf};

use clap::Args;

use super::super::args::environment;
use super::super::{Error, Result};
use crate::chain::Chain;
use crate::github::files::Files;

/// The option for the chain's file.
#[derive(Debug, Args)]
pub(super) struct FileArgs {
    /// The chain's file: its repos, and the dependencies of each
    ///
    /// The default is `chain.toml`, else `.github/chain.toml`.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl FileArgs {
    /// Returns the path of the file.
    pub(super) fn path(&self) -> &Path {
        const USUAL: &str = "chain.toml";
        const ELSE: &str = ".github/chain.toml";
        match &self.file {
            Some(path) => path,
            None if !Path::new(USUAL).exists() && Path::new(ELSE).exists() => Path::new(ELSE),
            None => Path::new(USUAL),
        }
    }

    /// Reads the chain.
    pub(super) fn chain(&self) -> Result<Chain> {
        self.read().map(|(chain, _)| chain)
    }

    /// Reads the chain; returns also the text of the file.
    pub(super) fn read(&self) -> Result<(Chain, String)> {
        let path = self.path();
        let text = std::fs::read_to_string(path).map_err(|source| Error::File {
            action: "read",
            path: path.to_owned(),
            source,
        })?;
        Ok((Chain::parse(&path.display().to_string(), &text)?, text))
    }
}

/// Sets outputs of the step, if the program runs in one.
pub(super) fn set_outputs(pairs: &[(String, String)]) -> Result<()> {
    let environment = environment();
    if environment.get("GITHUB_OUTPUT").is_none() {
        return Ok(());
    }
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    Ok(Files::of(&environment).output(&pairs)?)
}
