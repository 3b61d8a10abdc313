//! Opening files that anybody may have put there: nobody is waited for.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

use super::error::{At, Result};

/// Opens the file at `path` for appending, creating it if it is missing.
pub fn append_to(path: &Path) -> Result<File> {
    options().append(true).create(true).open(path).at("open", path)
}

/// The longest file that is read whole: a lock file of 10,000 packages has 3 MB.
const MAX_BYTES: u64 = 256 << 20;

/// Reads the file at `path`, or the one that a symlink leads to. A fifo, a device and a directory are errors, and so is
/// what has more than 256 MiB.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::other("it has more than 256 MiB"));
    }
    Ok(bytes)
}

/// Reads a file that holds text. Errors: those of [`read`], and bytes that are no UTF-8.
pub fn read_to_string(path: &Path) -> io::Result<String> {
    let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    String::from_utf8(read(path)?).map_err(invalid)
}

/// Opens the file at `path`, or the one that a symlink leads to. A fifo, a device and a directory are errors.
pub fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    match file.metadata()?.file_type() {
        kind if kind.is_file() => Ok(file),
        kind if kind.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        _ => Err(io::Error::other("it is no file")),
    }
}

/// Returns options by which nothing but the file of that name is opened.
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
