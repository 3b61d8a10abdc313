//! Finds the crate metadata inside a library.
//!
//! rustc writes the metadata of a library twice. The first copy is `lib<name>-<hash>.rmeta`, against which rustc checks
//! the crates that use it. The second lies in `lib<name>-<hash>.rlib`, an `ar` archive, as a section of the object file
//! `lib.rmeta` (`create_wrapper_file` in rustc's `back/metadata.rs`). It is a fifth of the bytes of an `.rlib`.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The first bytes of an archive: ar(5).
const MAGIC: &[u8] = b"!<arch>\n";

/// The length of the header of each member, in bytes: its name, and its size from byte 48 on.
const HEADER_LEN: usize = 60;

/// The number of members to look at: the symbols and the long names come before the metadata.
const MEMBERS: usize = 4;

/// The largest offset of the metadata in its member, in bytes: it follows the header of the object.
const WRAPPER_LEN: usize = 1024;

/// The first bytes of metadata: `METADATA_HEADER` of rustc without its version.
const METADATA: &[u8] = b"rust\0\0\0";

/// Returns the offset of the metadata in an `.rlib`, in bytes, if the file looks like one of rustc's.
///
/// The file may hold anything, so the offset is only a guess; the bytes there may not be metadata.
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
        // Members begin at even offsets. A size has ten digits at most, so the sum cannot overflow.
        at = (start + size).next_multiple_of(2);
    }
    Ok(None)
}

/// Fills `buffer` from `offset` on, as far as the file reaches; returns the filled part.
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

    /// Returns the header of a member with `size` as its digits, then its bytes.
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
