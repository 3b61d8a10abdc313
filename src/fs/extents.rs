//! The data and the holes of a file.

use std::fs::File;
use std::io;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

/// Returns the offset and length, in bytes, of each run of data in `file`, in order.
///
/// The rest, up to `size`, reads as zeros. On a filesystem without holes, one run covers the file.
pub fn data_runs(file: &File, size: u64) -> io::Result<Vec<(u64, u64)>> {
    let mut runs = Vec::new();
    let mut at = 0;
    while at < size {
        let start = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(Errno::NXIO) => break,
            Err(Errno::INVAL | Errno::NOTSUP) => at,
            Err(errno) => return Err(errno.into()),
        };
        let end = match rustix::fs::seek(file, SeekFrom::Hole(start)) {
            Ok(end) => end.min(size),
            Err(Errno::INVAL | Errno::NOTSUP) => size,
            Err(errno) => return Err(errno.into()),
        };
        if start >= end {
            break;
        }
        runs.push((start, end - start));
        at = end;
    }
    Ok(runs)
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use super::*;

    #[test]
    fn holes_are_no_part_of_the_runs() -> io::Result<()> {
        let mut file = tempfile::tempfile()?;
        file.write_all(&[1; 4096])?;
        file.seek(io::SeekFrom::Start(1 << 20))?;
        file.write_all(&[2; 4096])?;
        file.set_len(4 << 20)?;
        assert_eq!(data_runs(&file, 4 << 20)?, [(0, 4096), (1 << 20, 4096)]);
        assert_eq!(data_runs(&tempfile::tempfile()?, 0)?, []);
        Ok(())
    }
}
