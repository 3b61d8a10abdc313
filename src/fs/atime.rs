//! Atimes, which tell the files that were read.
//!
//! Linux mounts filesystems with `relatime` by default: a read updates an atime that is not newer
//! than the mtime, or that is a day old. So an atime far in the past is updated by the first read,
//! and only by a read. See mount(8).

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Timespec, Timestamps, UTIME_OMIT};

use super::error::{At, Result};
use super::stat::Stat;

/// The atime that marks a file as unread, in seconds since 1970: the 9th of September 2001.
const UNREAD_SECS: i64 = 1_000_000_000;

impl Stat {
    /// Tells whether the file was read or created since its reads were forgotten
    /// ([`super::beneath::Beneath::forget_reads`]).
    pub fn was_read(&self) -> bool {
        self.atime.secs() != UNREAD_SECS
    }
}

/// Returns the atime that marks a file as unread.
pub(super) fn unread() -> Timespec {
    Timespec { tv_sec: UNREAD_SECS, tv_nsec: 0 }
}

/// Tells, by trying, whether a read in `dir` updates the atime. It does not on a mount with
/// `noatime`, nor on some network filesystems.
pub fn notices_reads(dir: &Path) -> Result<bool> {
    let try_it = || {
        let mut file = tempfile::tempfile_in(dir)?;
        file.write_all(b"?")?;
        set_unread(&file)?;
        file.rewind()?;
        file.read_exact(&mut [0])?;
        Ok::<_, io::Error>(file.metadata()?.atime() != UNREAD_SECS)
    };
    try_it().at("create a file in", dir)
}

fn set_unread(file: &File) -> io::Result<()> {
    let mtime = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    let times = Timestamps { last_access: unread(), last_modification: mtime };
    Ok(rustix::fs::futimens(file, &times)?)
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;
    use crate::model::timestamp::Timestamp;

    #[test]
    fn a_read_is_noticed_and_a_stat_or_a_write_is_none() -> std::result::Result<(), Box<dyn Error>>
    {
        let dir = tempfile::tempdir()?;
        assert!(notices_reads(dir.path())?, "needs a TMPDIR that is not mounted with noatime");
        let path = dir.path().join("file");
        std::fs::write(&path, "text")?;
        assert!(Stat::of(&path)?.was_read(), "new");
        set_unread(&std::fs::File::open(&path)?)?;
        std::fs::OpenOptions::new().append(true).open(&path)?.write_all(b"more")?;
        assert!(!Stat::of(&path)?.was_read(), "only written and looked at");
        std::fs::read(&path)?;
        assert!(Stat::of(&path)?.was_read(), "read");
        Ok(())
    }

    #[test]
    fn the_mtime_stays_when_reads_are_forgotten() -> std::result::Result<(), Box<dyn Error>> {
        let file = tempfile::NamedTempFile::new()?;
        let before = Stat::of(file.path())?.mtime;
        set_unread(file.as_file())?;
        assert_eq!(Stat::of(file.path())?.mtime, before);
        assert_eq!(Timestamp::new(UNREAD_SECS, 0), Stat::of(file.path())?.atime);
        Ok(())
    }
}
