//! Where a library holds the metadata of its crate.
//!
//! rustc writes the metadata of a library twice: as `lib<name>-<hash>.rmeta`, which crates that use it
//! are checked against, and inside `lib<name>-<hash>.rlib`, a common archive (`ar`), as the section of an
//! object that is the member `lib.rmeta` (`create_wrapper_file` in rustc's `back/metadata.rs`). A fifth of
//! the bytes of an `.rlib` are those.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// What an archive begins with: ar(5).
const MAGIC: &[u8] = b"!<arch>\n";

/// The length of the header of each member, in bytes: its name, and its size from byte 48 on.
const HEADER_LEN: usize = 60;

/// How many members are looked at: before the metadata come the symbols and the long names.
const MEMBERS: usize = 4;

/// How far into its member the metadata may begin, in bytes: behind the header of the object.
const WRAPPER_LEN: usize = 1024;

/// What metadata begin with: `METADATA_HEADER` of rustc without its version.
const METADATA: &[u8] = b"rust\0\0\0";

/// Returns the offset in bytes at which the metadata begin in an `.rlib`, if it looks like one of rustc's.
///
/// Anything may be in the file: an answer is a guess of where bytes lie that may be elsewhere, too.
pub fn metadata_offset(rlib: &File) -> io::Result<Option<u64>> {
    let mut magic = [0; MAGIC.len()];
    if read_at_most(rlib, &mut magic, 0)? != MAGIC {
        return Ok(None);
    }
    let mut at = MAGIC.len() as u64;
    for _ in 0..MEMBERS {
        let mut header = [0; HEADER_LEN];
        let header = read_at_most(rlib, &mut header, at)?;
        let size = header.get(48..58).and_then(|digits| std::str::from_utf8(digits).ok());
        let Some(size) = size.and_then(|digits| digits.trim_end().parse::<u64>().ok()) else {
            return Ok(None);
        };
        let start = at + HEADER_LEN as u64;
        if header.starts_with(b"lib.rmeta/") {
            let mut wrapper = [0; WRAPPER_LEN];
            let wrapper = read_at_most(rlib, &mut wrapper, start)?;
            let found = wrapper.windows(METADATA.len()).position(|bytes| bytes == METADATA);
            return Ok(found.map(|found| start + found as u64));
        }
        // Members begin at even offsets. A size has ten digits at most: the sum cannot overflow.
        at = (start + size).next_multiple_of(2);
    }
    Ok(None)
}

/// Reads from `offset` on as much of `buffer` as there is.
fn read_at_most<'a>(file: &File, buffer: &'a mut [u8], offset: u64) -> io::Result<&'a [u8]> {
    let mut len = 0;
    while len < buffer.len() {
        match file.read_at(&mut buffer[len..], offset + len as u64) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(&buffer[..len])
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// Returns the header of a member with `size` in digits, then its bytes.
    fn member(name: &str, size: &str, bytes: &[u8]) -> Vec<u8> {
        let header = format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 0, 0, 0, 644);
        let mut member = header.into_bytes();
        member.extend_from_slice(bytes);
        member.resize(member.len().next_multiple_of(2), b'\n');
        member
    }

    fn wrapped(before: usize) -> Vec<u8> {
        [vec![7; before], b"rust\0\0\0\x0a and so on".to_vec()].concat()
    }

    fn offset_in(bytes: &[u8]) -> io::Result<Option<u64>> {
        let mut file = tempfile::tempfile()?;
        file.write_all(bytes)?;
        metadata_offset(&file)
    }

    #[test]
    fn the_metadata_are_found_behind_symbols_and_long_names() -> io::Result<()> {
        let archive = |members: &[Vec<u8>]| [MAGIC.to_vec(), members.concat()].concat();
        let (symbols, names) = (member("/", "3", b"abc"), member("//", "4", b"long"));
        let metadata = member("lib.rmeta/", "112", &wrapped(96));
        let late = member("lib.rmeta/", "2000", &wrapped(2000));
        let cases: [(&str, Vec<u8>, Option<u64>); 9] = [
            ("first", archive(std::slice::from_ref(&metadata)), Some(8 + 60 + 96)),
            (
                "third",
                archive(&[symbols.clone(), names.clone(), metadata.clone()]),
                Some(8 + 60 + 4 + 60 + 4 + 60 + 96),
            ),
            ("too far into its member", archive(&[late]), None),
            ("behind too many", archive(&[vec![names; 4].concat(), metadata]), None),
            ("not there", archive(&[symbols]), None),
            ("no size", archive(&[member("lib.rmeta/", "much", &wrapped(0))]), None),
            ("a size beyond the end", archive(&[member("/", "9999999999", b"")]), None),
            ("no archive", wrapped(0), None),
            ("nothing", Vec::new(), None),
        ];
        for (why, bytes, expected) in cases {
            assert_eq!(offset_in(&bytes)?, expected, "{why}");
        }
        Ok(())
    }
}
