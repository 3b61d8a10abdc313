//! Where the store is when nobody says it.

use std::path::{Path, PathBuf};

use super::{Error, Result};
use crate::fs::space::filesystem_of;
use crate::model::environment::Environment;

/// Returns `chosen`, else `$RUNNER_CACHE_ROOT`, else `/tmp/runner-cache` unless `/tmp` is in
/// memory, else `~/.cache/runner-cache`. It need not exist.
pub(super) fn choose(chosen: Option<&Path>, environment: &Environment) -> Result<PathBuf> {
    let given = chosen.or_else(|| environment.get("RUNNER_CACHE_ROOT").map(Path::new));
    if let Some(root) = given {
        return super::args::absolute(root);
    }
    let tmp = Path::new("/tmp");
    if tmp.is_dir() && !filesystem_of(tmp)?.is_memory {
        return Ok(tmp.join("runner-cache"));
    }
    let home = environment.get("HOME").map(|home| Path::new(home).join(".cache/runner-cache"));
    home.ok_or_else(|| {
        Error::Refused("cannot place the store: /tmp is in memory and HOME is not set".to_owned())
    })
}
