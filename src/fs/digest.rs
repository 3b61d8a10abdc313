//! Digests of files.

use std::io;
use std::path::Path;

use super::beneath::open_regular;
use super::error::{At, Result};
use crate::model::digest::{Digest, Hasher};

/// Returns the SHA-256 of a regular file.
pub fn digest_of_file(path: &Path) -> Result<Digest> {
    let mut hasher = Hasher::default();
    let read = open_regular(path).and_then(|mut file| io::copy(&mut file, &mut hasher));
    read.at("read", path)?;
    Ok(hasher.finish())
}
