//! Lines of JSON that say which inode each file of a tree was: the body of tree and hot tree records.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::fs::stat::Inode;
use crate::model::rel_path::RelPath;

/// Writes a record that begins with `first`.
pub(super) fn write_record(
    file: &File,
    first: &impl Serialize,
    inodes: &HashMap<RelPath, Inode>,
) -> io::Result<()> {
    let mut out = BufWriter::new(zstd::Encoder::new(file, 1)?);
    serde_json::to_writer(&mut out, first)?;
    for line in inodes {
        out.write_all(b"\n")?;
        serde_json::to_writer(&mut out, &line)?;
    }
    out.into_inner().map_err(io::IntoInnerError::into_error)?.finish()?;
    Ok(())
}

/// Opens a record: what it is about, and the lines that follow. One that cannot be read is none.
pub(super) fn open_record<T: DeserializeOwned>(
    path: &Path,
) -> Option<(T, impl Iterator<Item = io::Result<Vec<u8>>> + use<T>)> {
    let file = File::open(path).ok()?;
    let mut lines = BufReader::new(zstd::Decoder::new(file).ok()?).split(b'\n');
    let first = serde_json::from_slice(&lines.next()?.ok()?).ok()?;
    Some((first, lines))
}

/// Reads the lines that follow the first; `None` if one of them is none of ours.
pub(super) fn inodes_of(
    lines: impl Iterator<Item = io::Result<Vec<u8>>>,
) -> Option<HashMap<RelPath, Inode>> {
    lines.map(|line| serde_json::from_slice(&line.ok()?).ok()).collect()
}
