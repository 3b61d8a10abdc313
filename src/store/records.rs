//! Records with a line of JSON for each path: tree records, records of hot trees, and records of
//! vouched parts.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::file::{open, stored_bytes};
use super::limits::{Lines, WINDOW_LOG, text_limit};
use crate::model::rel_path::RelPath;

/// Writes a record: `first`, then `lines`.
pub(super) fn write_record(
    file: &File,
    first: &impl Serialize,
    lines: &HashMap<RelPath, impl Serialize>,
) -> io::Result<()> {
    let mut out = BufWriter::new(zstd::Encoder::new(file, 1)?);
    serde_json::to_writer(&mut out, first)?;
    for line in lines {
        out.write_all(b"\n")?;
        serde_json::to_writer(&mut out, &line)?;
    }
    out.into_inner().map_err(io::IntoInnerError::into_error)?.finish()?;
    Ok(())
}

/// A record that is being read.
pub(super) struct RecordLines<R> {
    lines: Lines<R>,
    line: Vec<u8>,
}

/// The longest line of a record, in bytes: a path of 4,096 bytes in hex, and numbers.
const MAX_RECORD_LINE: u64 = 64 << 10;

/// Opens a record; returns its first line and a reader for the rest. `None` if it cannot be read.
pub(super) fn open_record<T: DeserializeOwned>(
    path: &Path,
) -> Option<(T, RecordLines<impl BufRead + use<T>>)> {
    let file = open(path).ok()?;
    let stored_bytes = stored_bytes(&file).ok()?;
    let mut decoder = zstd::Decoder::new(file).ok()?;
    decoder.window_log_max(WINDOW_LOG).ok()?;
    let lines = Lines::new(BufReader::new(decoder), text_limit(stored_bytes));
    let mut record = RecordLines { lines, line: Vec::new() };
    let first = serde_json::from_slice(record.next()?).ok()?;
    Some((first, record))
}

impl<R: BufRead> RecordLines<R> {
    fn next(&mut self) -> Option<&[u8]> {
        let is_there = self.lines.next(&mut self.line, MAX_RECORD_LINE).ok()?;
        is_there.then_some(&self.line)
    }

    /// Reads the remaining lines; `None` if one of them cannot be parsed.
    pub(super) fn values<T: DeserializeOwned>(mut self) -> Option<HashMap<RelPath, T>> {
        let mut values = HashMap::new();
        while self.lines.next(&mut self.line, MAX_RECORD_LINE).ok()? {
            let (path, value) = serde_json::from_slice(&self.line).ok()?;
            values.insert(path, value);
        }
        Some(values)
    }
}
