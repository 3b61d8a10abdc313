//! The bare repositories that cargo fetches into: checks that they are whole.

use std::io::{self, BufReader, Read};
use std::path::Path;

use flate2::read::ZlibDecoder;

use super::git_objects::{Hashing, ObjectId};
use super::git_repository::{Files, Looked, flaw_of_git_dir, read_small};
use crate::fs::beneath::open_regular;
use crate::fs::stat::{Kind, Stat};
use crate::model::rel_path::RelPath;

/// The length of the SHA-1 checksum at the end of packs and their indices, in bytes.
const SUM_LEN: u64 = 20;

/// Tells whether the bare repository at `dir`, which holds `found`, lacks nothing and names no program.
///
/// Loose objects are checked one by one, packed objects a pack at a time; cargo compares the objects of a pack with
/// their names when it reads them.
pub fn look_at_database(dir: &Path, found: &Files) -> io::Result<Looked> {
    if let Some(why) = flaw_of_git_dir(dir, found.keys(), None)? {
        return Ok(Looked::Wrong(why));
    }
    for (path, stat) in found.iter().filter(|(_, stat)| stat.kind != Kind::Dir) {
        if stat.kind != Kind::File {
            return Ok(Looked::Wrong(format!("`{path}` is no file")));
        }
        if let Some(why) = flaw(&dir.join(path.as_path()), path, stat)? {
            return Ok(Looked::Wrong(format!("`{path}` {why}")));
        }
    }
    Ok(Looked::Right)
}

fn flaw(full: &Path, path: &RelPath, stat: &Stat) -> io::Result<Option<&'static str>> {
    let names: Vec<&[u8]> = path.components().collect();
    let is_whole = match names[..] {
        [b"objects", b"info", b"alternates"] => return Ok(Some("takes objects from elsewhere")),
        [b"objects", b"pack", name] if has_sum(name) => ends_with_its_sum(full, stat.size)?,
        [b"objects", first, rest] if first.len() == 2 => {
            let id = ObjectId::parse(&[first, rest].concat());
            return match id {
                Some(id) => Ok((!is_object(full, id)?).then_some("does not hash to its name")),
                None => Ok(None),
            };
        }
        [b"HEAD"] | [b"refs", ..] => is_ref(&read_small(full)?),
        [b"packed-refs" | b"shallow"] => {
            read_small(full)?.split(|byte| *byte == b'\n').all(is_line)
        }
        _ => true,
    };
    Ok((!is_whole).then_some("is not whole"))
}

fn has_sum(name: &[u8]) -> bool {
    name.ends_with(b".pack") || name.ends_with(b".idx")
}

fn ends_with_its_sum(path: &Path, len: u64) -> io::Result<bool> {
    let Some(rest) = len.checked_sub(SUM_LEN) else { return Ok(false) };
    let mut file = open_regular(path)?;
    let mut hashing = Hashing::plain();
    hash(&mut (&mut file).take(rest), &mut hashing)?;
    let mut sum = Vec::new();
    file.take(SUM_LEN).read_to_end(&mut sum)?;
    Ok(ObjectId::of_bytes(&sum) == Some(hashing.finish()))
}

fn is_object(path: &Path, id: ObjectId) -> io::Result<bool> {
    let mut hashing = Hashing::plain();
    let file = BufReader::new(open_regular(path)?);
    match hash(&mut ZlibDecoder::new(file), &mut hashing) {
        Ok(()) => Ok(hashing.finish() == id),
        Err(error) if error.raw_os_error().is_some() => Err(error),
        // The content is not valid zlib.
        Err(_) => Ok(false),
    }
}

fn hash(bytes: &mut impl Read, hashing: &mut Hashing) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match bytes.read(&mut buffer)? {
            0 => return Ok(()),
            len => hashing.update(&buffer[..len]),
        }
    }
}

fn is_ref(bytes: &[u8]) -> bool {
    let text = bytes.trim_ascii();
    text.strip_prefix(b"ref: refs/").is_some_and(|name| !name.is_empty())
        || ObjectId::parse(text).is_some()
}

/// Tells whether `line` is a valid line of `packed-refs` or `shallow`.
fn is_line(line: &[u8]) -> bool {
    match line.strip_prefix(b"^").unwrap_or(line) {
        [] | [b'#', ..] => true,
        line => line.get(..40).is_some_and(|id| ObjectId::parse(id).is_some()),
    }
}
