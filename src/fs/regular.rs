//! Opening regular files at paths where any user may have put something; never blocks.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

use super::error::{At, Result};

/// Opens the file at `path` for appending, creating it if it is missing. Follows no symlink.
pub fn append_to(path: &Path) -> Result<File> {
    options().append(true).create(true).open(path).at("open", path)
}

/// The longest file that is read whole, in bytes: a lock file of 10,000 packages has 3 MB.
const MAX_BYTES: u64 = 256 << 20;

/// Reads the file at `path`, following symlinks. A fifo, a device, a directory and a file of more
/// than 256 MiB are errors.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::other("it has more than 256 MiB"));
    }
    Ok(bytes)
}

/// Reads a text file, as [`read`] does; bytes that are not UTF-8 are an error.
pub fn read_to_string(path: &Path) -> io::Result<String> {
    let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    String::from_utf8(read(path)?).map_err(invalid)
}

/// Opens the file at `path`, following symlinks. A fifo, a device and a directory are errors.
pub fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    match file.metadata()?.file_type() {
        kind if kind.is_file() => Ok(file),
        kind if kind.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        _ => Err(io::Error::other("it is no file")),
    }
}

/// Returns options that follow no symlink and do not wait for a fifo.
pub(super) fn options() -> OpenOptions {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let mut options = OpenOptions::new();
    options.custom_flags(flags);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_are_read_and_nobody_is_waited_for() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("file"), "text")?;
        std::os::unix::fs::symlink("file", at("link"))?;
        rustix::fs::mkfifoat(rustix::fs::CWD, at("fifo"), rustix::fs::Mode::RWXU)?;
        assert_eq!(read_to_string(&at("file"))?, "text");
        assert_eq!(read(&at("link"))?, b"text");
        assert!(read(&at("fifo")).is_err_and(|error| error.to_string() == "it is no file"));
        let directory = read(dir.path());
        assert!(directory.is_err_and(|error| error.kind() == io::ErrorKind::IsADirectory));
        let missing = read(&at("missing"));
        assert!(missing.is_err_and(|error| error.kind() == io::ErrorKind::NotFound));
        Ok(())
    }
}
