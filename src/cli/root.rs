//! Where the store is when nobody says it.

use std::path::{Path, PathBuf};

use super::{Error, Result};
use crate::job::store_root::on_host;
use crate::model::environment::Environment;

/// Returns `chosen`, or the default, absolute. It need not exist.
pub(super) fn choose(chosen: Option<&Path>, environment: &Environment) -> Result<PathBuf> {
    let root = on_host(chosen, environment)?.ok_or_else(|| {
        Error::Refused("cannot place the store: /tmp is in memory and HOME is not set".to_owned())
    })?;
    super::args::absolute(&root)
}
