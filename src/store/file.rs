//! Opening files of the store: only regular files that belong to this user or to root.
//!
//! Every read of a file of the store goes through this module. Opening a fifo would block, reading
//! a device might never end, and a symlink leads out of the store; all of these are refused.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;

use super::error::{Error, Result, damaged};
use crate::fs::At;
use crate::fs::beneath::open_regular;
use crate::fs::extents::data_runs;
use crate::fs::stat::{Kind, Stat};

/// The length in bytes up to which a file is not searched for holes: the limits leave room for that
/// much.
const SHORT: u64 = 1 << 20;

/// Opens the file at `path`. Anything but a regular file of this user or root is damage.
pub(super) fn open(path: &Path) -> Result<File> {
    let file = match open_regular(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(error).at("open", path)?;
        }
        // Find out by `stat` why it cannot be opened: a symlink, a socket, the mode.
        Err(error) => {
            let stat = Stat::if_exists(path).at("read metadata", path)?;
            let what = stat.as_ref().and_then(|stat| unfit(stat, Kind::File));
            return Err(what.map_or_else(|| io_error(path, error), |what| damaged(path, &what)));
        }
    };
    let metadata = file.metadata().at("read metadata", path)?;
    match unfit(&Stat::from(&metadata), Kind::File) {
        Some(what) => Err(damaged(path, &what)),
        None => Ok(file),
    }
}

/// Opens the file at `path`; `None` if it does not exist.
pub(super) fn open_if_there(path: &Path) -> Result<Option<File>> {
    match open(path) {
        Err(Error::Io(error)) if error.source.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some),
    }
}

/// Reads the whole file at `path`; `None` if it does not exist. A file longer than `max_len` bytes
/// is damage and is not read into memory.
pub(super) fn read_short(path: &Path, max_len: u64) -> Result<Option<Vec<u8>>> {
    let Some(file) = open_if_there(path)? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.take(max_len + 1).read_to_end(&mut bytes).at("read", path)?;
    if bytes.len() as u64 > max_len {
        return Err(damaged(path, &format!("it has more than {max_len} bytes")));
    }
    Ok(Some(bytes))
}

/// Returns the length of `file` in bytes without its holes, since a hole can be of any length. The
/// file has just been opened: its cursor is at the start, before and after.
pub(super) fn stored_bytes(file: &File) -> io::Result<u64> {
    let len = file.metadata()?.len();
    if len <= SHORT {
        return Ok(len);
    }
    let runs = data_runs(file, len)?;
    let mut file = file;
    file.rewind()?;
    Ok(runs.iter().map(|(_, len)| len).sum())
}

/// Returns why an entry is not a usable `wanted` of ours; `None` if it is. It must be of that kind,
/// belong to this user or to root, and not have a mode that shuts us out.
pub(super) fn unfit(stat: &Stat, wanted: Kind) -> Option<String> {
    let us = crate::fs::user_id();
    if stat.kind != wanted {
        return Some(format!("it is {}, where {} belongs", name_of(stat.kind), name_of(wanted)));
    }
    if stat.uid != us && stat.uid != 0 {
        return Some(format!("it belongs to {}", crate::fs::shown_user(stat.uid)));
    }
    // Modes do not restrict root.
    let needed = if wanted == Kind::Dir { 0o700 } else { 0o400 };
    let is_shut = us != 0 && stat.uid == us && stat.mode & needed != needed;
    is_shut.then(|| format!("its mode is {:04o}, and we may not read it", stat.mode))
}

fn name_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Dir => "a directory",
        Kind::File => "a file",
        Kind::Symlink => "a symlink",
        Kind::Special => "a fifo, a socket or a device",
    }
}

fn io_error(path: &Path, source: io::Error) -> Error {
    crate::fs::Error { action: "open", path: path.to_owned(), source }.into()
}
