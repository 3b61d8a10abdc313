//! Limits on the memory that reading a file of the store may take. Each limit is constant or
//! follows from the file's size on disk, so it is known before any memory is taken.
//!
//! Digests do not compress, so the text of an honest manifest or record is at most some ten times
//! its size on disk. A longer text is refused, and so is a list that would need far more memory
//! than its text. The limits are in `docs/FORMAT.md`.

use std::io::{self, BufRead, Read};

/// Returns the longest text, in bytes, that is read from a manifest or record of `stored_bytes` on
/// disk.
pub(super) const fn text_limit(stored_bytes: u64) -> u64 {
    (8 << 20) + 16 * stored_bytes
}

/// The longest line of a manifest in bytes, except the first and the last. The line of a file of a
/// terabyte has 4 MiB.
pub(super) const MAX_LINE: u64 = 8 << 20;

/// The longest first line, the header, in bytes. The header of a target of 4.7 GB has 60 KiB.
pub(super) const MAX_HEADER: u64 = 4 << 20;

/// The most lines of a manifest or record: five times as many as the largest target has files.
pub(super) const MAX_LINES: u64 = 1_000_000;

/// The largest zstd window that is accepted, as a power of two. Frames that we write need at most 2
/// MiB.
pub(super) const WINDOW_LOG: u32 = 23;

/// The most memory that one JSON value may need, by [`weight`]. The graph of 525 units weighs 4 MiB.
pub(super) const MAX_WEIGHT: u64 = 32 << 20;

/// Returns the most memory that the header of a manifest of `stored_bytes` on disk may need, by
/// [`weight`]; a command may hold many headers at once. The header of a target of 4.7 GB weighs 200
/// KiB, and its manifest has megabytes.
pub(super) const fn header_weight_limit(stored_bytes: u64) -> u64 {
    (256 << 10) + 16 * stored_bytes
}

/// The memory for the headers that one command holds at once: a fixed amount, and a multiple of the
/// size of their manifests, which is enough for honest ones.
pub(super) struct HeaderBudget {
    left: u64,
}

impl HeaderBudget {
    /// Returns a full budget.
    pub(super) const fn new() -> Self {
        Self { left: 8 << 20 }
    }

    /// Charges a header of `weight`, from a manifest of `stored_bytes` on disk, or refuses it.
    pub(super) fn take(&mut self, weight: u64, stored_bytes: u64) -> io::Result<()> {
        let left = self.left + 4 * stored_bytes;
        self.left = left.checked_sub(weight).ok_or_else(|| too_long(HEADERS))?;
        Ok(())
    }
}

const HEADERS: &str = "its header, with those read before it, needs too much memory";

/// Returns an estimate, in bytes, of the memory that a value needs once `json` is parsed: at most
/// 256 for an object, at most 96 for an element of a list or map.
pub(super) fn weight(json: &[u8]) -> u64 {
    let mut weight = json.len() as u64;
    let mut is_string = false;
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => is_string = !is_string,
            b'\\' if is_string => drop(bytes.next()),
            b'{' if !is_string => weight += 256,
            b',' | b'[' if !is_string => weight += 96,
            _ => {}
        }
    }
    weight
}

/// Refuses JSON that would need more than `max_weight` bytes of memory.
pub(super) fn check_weight(json: &[u8], max_weight: u64) -> io::Result<()> {
    if weight(json) > max_weight { Err(too_long("a list in it is too long")) } else { Ok(()) }
}

/// A reader of lines of limited length.
pub(super) struct Lines<R> {
    reader: io::Take<R>,
    lines: u64,
}

impl<R: BufRead> Lines<R> {
    /// Returns a reader that reads fewer than `max_len` bytes of `reader`, else fails.
    pub(super) fn new(reader: R, max_len: u64) -> Self {
        Self { reader: reader.take(max_len), lines: 0 }
    }

    /// Reads the next line into `line`, without its newline; returns false at the end. A line of
    /// more than `max_len` bytes, newline included, is an error.
    pub(super) fn next(&mut self, line: &mut Vec<u8>, max_len: u64) -> io::Result<bool> {
        line.clear();
        let read = (&mut self.reader).take(max_len + 1).read_until(b'\n', line)?;
        if line.len() as u64 > max_len {
            return Err(too_long("a line in it is too long"));
        }
        self.lines += u64::from(read > 0);
        if self.lines > MAX_LINES {
            return Err(too_long("it has too many lines"));
        }
        if self.reader.limit() == 0 {
            return Err(too_long("it unpacks to more text than a file of its size can hold"));
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        Ok(read > 0)
    }
}

fn too_long(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weight_of_json_counts_what_is_no_text() {
        let cases = [
            ("a string", r#""{[,,,\"{,""#, 11),
            ("a list", "[1,2]", 5 + 2 * 96),
            ("an object", r#"{"a":{},"b":[]}"#, 15 + 2 * 256 + 2 * 96),
        ];
        for (why, json, want) in cases {
            assert_eq!(weight(json.as_bytes()), want, "{why}");
        }
    }

    #[test]
    fn lines_are_read_up_to_their_limits() -> io::Result<()> {
        let read = |text: &str, max_len, max_line| -> io::Result<Vec<String>> {
            let mut lines = Lines::new(text.as_bytes(), max_len);
            let (mut line, mut found) = (Vec::new(), Vec::new());
            while lines.next(&mut line, max_line)? {
                found.push(String::from_utf8_lossy(&line).into_owned());
            }
            Ok(found)
        };
        assert_eq!(read("ab\n\nc", 100, 3)?, ["ab", "", "c"]);
        assert!(read("abc\n", 100, 3).is_err());
        assert!(read("ab\ncd\n", 5, 3).is_err());
        Ok(())
    }
}
