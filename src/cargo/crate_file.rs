//! `.crate` files: compares an extracted source with the files that cargo unpacks from its `.crate` file.
//!
//! The rules are cargo's (`unpack` in its `sources/registry`): all entries lie in `<name>-<version>/`, entries are
//! regular files and directories, a `.cargo-ok` in the `.crate` file is skipped, and cargo refuses to unpack more than
//! a limit that depends on the size of the `.crate` file. Cargo adds a `.cargo-ok` of its own and changes a few mtimes;
//! both are ignored.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, BufReader, Read};
use std::path::{Component, Path};

use flate2::read::GzDecoder;
use tar::{Archive, Entry, EntryType};

use crate::fs::beneath::open_regular;
use crate::fs::stat::{Kind, Stat};
use crate::fs::{At, Result};
use crate::model::rel_path::RelPath;
use crate::model::source::is_executable;

/// The file by which cargo marks an extracted source as whole.
const MARK: &[u8] = b".cargo-ok";

/// The most that cargo unpacks, in bytes, from a file of up to a twentieth of this size.
const MAX_UNPACKED: u64 = 512 << 20;

/// How many times its own size a larger file may unpack to.
const MAX_RATIO: u64 = 20;

/// The permission bits other than read, write and execute: cargo takes none of them from a `.crate` file.
const SPECIAL_BITS: u32 = 0o7000;

/// How an extracted source differs from the contents of its `.crate` file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The source has this path, and the `.crate` file does not.
    More(RelPath),
    /// The source lacks this path.
    Less(RelPath),
    /// This path is of another kind, is executable in only one of the two, or has other bytes.
    Other(RelPath),
    /// Cargo would not unpack the `.crate` file; the reason, as a clause.
    Refused(String),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::More(path) => write!(f, "`{path}` is not in its `.crate` file"),
            Self::Less(path) => write!(f, "`{path}` of its `.crate` file is missing"),
            Self::Other(path) => write!(f, "`{path}` differs from its `.crate` file"),
            Self::Refused(why) => write!(f, "its `.crate` file cannot be unpacked: {why}"),
        }
    }
}

/// Tells whether a path in a source is a raw profile that an instrumented build script wrote as it ran there. Such a
/// file is no source: it is neither compared nor saved, unless the crate brings a file of that name.
pub fn is_raw_profile(path: &RelPath) -> bool {
    path.as_bytes().ends_with(b".profraw")
}

/// Tells whether the `.crate` file at `path`, of the crate `<name>-<version>`, brings a file at `below`. Returns `true`
/// for a `.crate` file that cannot be read.
pub fn brings(path: &Path, name: &[u8], below: &RelPath) -> bool {
    let looked = || -> io::Result<bool> {
        let file = open_regular(path)?;
        let limit = MAX_UNPACKED.max(file.metadata()?.len().saturating_mul(MAX_RATIO));
        let unpacked = Limited { bytes: GzDecoder::new(BufReader::new(file)), left: limit };
        let want = [name, b"/", below.as_bytes()].concat();
        for entry in Archive::new(unpacked).entries()? {
            if *entry?.path_bytes() == *want {
                return Ok(true);
            }
        }
        Ok(false)
    };
    looked().unwrap_or(true)
}

/// Returns how the source `found` in `dir` differs from the contents of the `.crate` file at `path`, if it does.
///
/// `name` is `<name>-<version>`; paths of `found` are below `dir`. A source that changed since `found` was taken
/// differs. The size of `found` bounds the memory, whatever the `.crate` file holds.
pub fn difference(
    path: &Path,
    name: &[u8],
    dir: &Path,
    found: &BTreeMap<RelPath, Stat>,
) -> Result<Option<Difference>> {
    let file = open_regular(path).at("open", path)?;
    let len = file.metadata().at("read metadata", path)?.len();
    let limit = MAX_UNPACKED.max(len.saturating_mul(MAX_RATIO));
    let unpacked = Limited { bytes: GzDecoder::new(BufReader::new(file)), left: limit };
    let mut comparing = Comparing { name, dir, found, expected: BTreeMap::new() };
    match comparing.compare(unpacked) {
        Ok(None) => Ok(comparing.rest()),
        Ok(different) => Ok(different),
        Err(Trouble::Crate(error)) => Ok(Some(Difference::Refused(error.to_string()))),
        Err(Trouble::Source(error)) => Err(error),
    }
}

/// An error while comparing a `.crate` file with its source.
enum Trouble {
    /// In reading the `.crate` file.
    Crate(io::Error),
    /// In reading the source.
    Source(crate::fs::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Crate(error)
    }
}

struct Comparing<'a> {
    name: &'a [u8],
    dir: &'a Path,
    found: &'a BTreeMap<RelPath, Stat>,
    /// Whether each path matches the last entry that the `.crate` file has for it.
    expected: BTreeMap<RelPath, bool>,
}

impl Comparing<'_> {
    fn compare(&mut self, tar: impl Read) -> std::result::Result<Option<Difference>, Trouble> {
        for entry in Archive::new(tar).entries()? {
            let mut entry = entry?;
            let kind = entry.header().entry_type();
            if !matches!(kind, EntryType::Regular | EntryType::Directory) {
                return Err(io::Error::other(
                    "it holds an entry that is neither a file nor a directory",
                )
                .into());
            }
            let Some(path) = self.path_of(&entry)? else { continue };
            let Some(stat) = self.found.get(&path) else {
                return Ok(Some(Difference::Less(path)));
            };
            let is_old_dir =
                entry.header().as_ustar().is_none() && entry.path_bytes().last() == Some(&b'/');
            let is_same = if kind == EntryType::Directory || is_old_dir {
                stat.kind == Kind::Dir
            } else {
                let mode = entry.header().mode()?;
                let looks_same = stat.kind == Kind::File
                    && stat.size == entry.size()
                    && is_executable(stat.mode) == is_executable(mode)
                    && stat.mode & SPECIAL_BITS == 0;
                looks_same && self.has_bytes(&path, stat, &mut entry)?
            };
            self.expected.insert(path, is_same);
        }
        Ok(None)
    }

    /// Returns the path of an entry below the source; `None` for entries that cargo does not unpack there.
    fn path_of(&self, entry: &Entry<'_, impl Read>) -> io::Result<Option<RelPath>> {
        let full = entry.path()?;
        let mut components = full.components();
        let is_inside = components
            .next()
            .is_some_and(|first| first.as_os_str().as_encoded_bytes() == self.name);
        if !is_inside {
            return Err(io::Error::other("it holds a path outside of the crate"));
        }
        let mut below = Vec::new();
        for component in components {
            match component {
                Component::Normal(name) => below.push(name.as_encoded_bytes().to_vec()),
                // The tar crate that cargo unpacks with skips such an entry.
                Component::ParentDir => return Ok(None),
                Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
            }
        }
        if below.is_empty() || below.last().is_some_and(|name| name == MARK) {
            return Ok(None);
        }
        RelPath::parse(&below.join(&b'/')).map(Some).map_err(io::Error::other)
    }

    fn has_bytes(
        &self,
        path: &RelPath,
        stat: &Stat,
        entry: &mut impl Read,
    ) -> std::result::Result<bool, Trouble> {
        let full = self.dir.join(path.as_path());
        let of_source = |error: io::Error| {
            let path = full.clone();
            Trouble::Source(crate::fs::Error { action: "read", path, source: error })
        };
        let mut file = open_regular(&full).map_err(of_source)?;
        let now = Stat::from(&file.metadata().map_err(of_source)?);
        if now.inode != stat.inode || now.kind != Kind::File {
            return Ok(false);
        }
        let (mut want, mut have) = ([0; CHUNK], [0; CHUNK]);
        loop {
            let len = entry.read(&mut want)?;
            if len == 0 {
                return Ok(true);
            }
            match file.read_exact(&mut have[..len]) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
                read => read.map_err(of_source)?,
            }
            if want[..len] != have[..len] {
                return Ok(false);
            }
        }
    }

    /// Returns the first path that differs. Requires that the whole `.crate` file was read.
    fn rest(&self) -> Option<Difference> {
        if let Some((path, _)) = self.expected.iter().find(|(_, is_same)| !**is_same) {
            return Some(Difference::Other(path.clone()));
        }
        let above = |path: &RelPath| std::iter::successors(path.parent(), RelPath::parent);
        let dirs: BTreeSet<_> = self.expected.keys().flat_map(above).collect();
        let is_expected = |path: &RelPath, stat: &Stat| match stat.kind {
            _ if self.expected.contains_key(path) => true,
            Kind::Dir => dirs.contains(path),
            Kind::File => path.as_bytes() == MARK || is_raw_profile(path),
            Kind::Symlink | Kind::Special => false,
        };
        let more = self.found.iter().find(|(path, stat)| !is_expected(path, stat));
        more.map(|(path, _)| Difference::More(path.clone()))
    }
}

/// How many bytes are compared at a time.
const CHUNK: usize = 16 << 10;

/// A reader that fails after a given number of bytes.
struct Limited<R> {
    bytes: R,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.bytes.read(buffer)?;
        self.left = self
            .left
            .checked_sub(len as u64)
            .ok_or_else(|| io::Error::other("it unpacks to more than cargo allows a crate"))?;
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;
    use crate::fs::walk::walk;

    type TestResult<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

    const NAME: &str = "foo-1.0.0";

    /// Writes a `.crate` file with the given entries: path, mode, bytes.
    fn pack(path: &Path, entries: &[(&str, u32, &[u8])]) -> TestResult {
        let gz = GzEncoder::new(fs::File::create(path)?, Compression::fast());
        let mut tar = tar::Builder::new(gz);
        for (path, mode, bytes) in entries {
            let mut header = tar::Header::new_gnu();
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_size(bytes.len() as u64);
            header.set_mode(*mode);
            header.set_entry_type(match path.as_bytes().last() {
                Some(b'/') => EntryType::Directory,
                Some(b'@') => EntryType::Symlink,
                _ => EntryType::Regular,
            });
            header.set_cksum();
            tar.append(&header, *bytes)?;
        }
        tar.into_inner()?.finish()?.flush()?;
        Ok(())
    }

    const USUAL: [(&str, u32, &[u8]); 5] = [
        ("foo-1.0.0/Cargo.toml", 0o644, b"[package]"),
        ("foo-1.0.0/.cargo-ok", 0o644, b"of the crate itself"),
        ("foo-1.0.0/src/lib.rs", 0o644, b"pub fn f() {}"),
        ("foo-1.0.0/run.sh", 0o755, b"#!/bin/sh"),
        ("foo-1.0.0/empty/", 0o755, b""),
    ];

    /// Writes the files that [`USUAL`] unpacks to.
    fn unpack(dir: &Path) -> TestResult {
        fs::create_dir_all(dir.join("src"))?;
        fs::create_dir(dir.join("empty"))?;
        fs::write(dir.join("Cargo.toml"), "[package]")?;
        fs::write(dir.join("src/lib.rs"), "pub fn f() {}")?;
        fs::write(dir.join("run.sh"), "#!/bin/sh")?;
        fs::set_permissions(dir.join("run.sh"), PermissionsExt::from_mode(0o755))?;
        Ok(fs::write(dir.join(".cargo-ok"), "{\"v\":1}")?)
    }

    fn compared(entries: &[(&str, u32, &[u8])], dir: &Path) -> TestResult<Option<String>> {
        let file = dir.with_extension("crate");
        pack(&file, entries)?;
        let found = walk(dir, |_, _| true)?.into_iter();
        let found = found.map(|found| (found.path, found.stat)).collect();
        let found = difference(&file, NAME.as_bytes(), dir, &found)?;
        Ok(found.map(|difference| difference.to_string()))
    }

    #[test]
    fn a_crate_brings_a_file_if_its_crate_file_has_it_or_cannot_be_read() -> TestResult {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("foo-1.0.0.crate");
        pack(&path, &[("foo-1.0.0/tests/a.profraw", 0o644, b"raw")])?;
        let brings = |below: &[u8]| {
            Ok::<_, Box<dyn std::error::Error>>(super::brings(
                &path,
                NAME.as_bytes(),
                &RelPath::parse(below)?,
            ))
        };
        assert!(brings(b"tests/a.profraw")?);
        assert!(!brings(b"tests/b.profraw")?);
        fs::write(&path, "no archive")?;
        assert!(brings(b"tests/b.profraw")?);
        Ok(())
    }

    #[test]
    fn a_source_is_what_its_crate_file_unpacks_to_or_the_path_that_differs_is_named() -> TestResult
    {
        type Change = fn(&Path) -> io::Result<()>;
        #[rustfmt::skip]
        let cases: [(&str, Change, Option<&str>); 11] = [
            ("nothing",              |_| Ok(()),                                                   None),
            ("an mtime",             |dir| fs::File::open(dir.join("Cargo.toml"))?.set_modified(std::time::UNIX_EPOCH), None),
            ("bytes",                |dir| fs::write(dir.join("src/lib.rs"), "pub fn g() {}"),     Some("`src/lib.rs` differs from its `.crate` file")),
            ("lost bytes",           |dir| fs::write(dir.join("src/lib.rs"), ""),                  Some("`src/lib.rs` differs from its `.crate` file")),
            ("more bytes",           |dir| fs::write(dir.join("run.sh"), "#!/bin/sh\n"),           Some("`run.sh` differs from its `.crate` file")),
            ("may be executed",      |dir| fs::set_permissions(dir.join("src/lib.rs"), PermissionsExt::from_mode(0o755)), Some("`src/lib.rs` differs from its `.crate` file")),
            ("may not be executed",  |dir| fs::set_permissions(dir.join("run.sh"), PermissionsExt::from_mode(0o644)), Some("`run.sh` differs from its `.crate` file")),
            ("runs as its owner",    |dir| fs::set_permissions(dir.join("run.sh"), PermissionsExt::from_mode(0o4755)), Some("`run.sh` differs from its `.crate` file")),
            ("more files",           |dir| fs::write(dir.join("build.rs"), "fn main() {}"),        Some("`build.rs` is not in its `.crate` file")),
            ("less files",           |dir| fs::remove_file(dir.join("Cargo.toml")),                Some("`Cargo.toml` of its `.crate` file is missing")),
            ("a link",               |dir| symlink("lib.rs", dir.join("src/more.rs")),             Some("`src/more.rs` is not in its `.crate` file")),
        ];
        for (why, change, want) in cases {
            let temp = tempfile::tempdir()?;
            let dir = temp.path().join(NAME);
            unpack(&dir)?;
            change(&dir)?;
            assert_eq!(compared(&USUAL, &dir)?.as_deref(), want, "{why}");
        }
        Ok(())
    }

    #[test]
    fn a_crate_file_that_cargo_would_not_unpack_is_refused() -> TestResult {
        type Case<'a> = (&'a str, &'a [(&'a str, u32, &'a [u8])], Option<&'a str>);
        #[rustfmt::skip]
        let cases: [Case<'_>; 4] = [
            ("outside",      &[("bar-1.0.0/src/lib.rs", 0o644, b"")],  Some("its `.crate` file cannot be unpacked: it holds a path outside of the crate")),
            ("a link",       &[("foo-1.0.0/link@", 0o644, b"")],       Some("its `.crate` file cannot be unpacked: it holds an entry that is neither a file nor a directory")),
            ("upwards",      &[("foo-1.0.0/../evil", 0o644, b"evil")], None),
            ("given twice",  &[("foo-1.0.0/run.sh", 0o755, b"before"), ("foo-1.0.0/run.sh", 0o755, b"#!/bin/sh")], None),
        ];
        for (why, more, want) in cases {
            let temp = tempfile::tempdir()?;
            let dir = temp.path().join(NAME);
            unpack(&dir)?;
            let entries = [&USUAL[..3], &USUAL[4..], more, &USUAL[3..4]].concat();
            assert_eq!(compared(&entries, &dir)?.as_deref(), want, "{why}");
        }
        let temp = tempfile::tempdir()?;
        let (dir, file) = (temp.path().join(NAME), temp.path().join("cut.crate"));
        unpack(&dir)?;
        pack(&file, &USUAL)?;
        let bytes = fs::read(&file)?;
        fs::write(&file, &bytes[..bytes.len() / 2])?;
        let found = difference(&file, NAME.as_bytes(), &dir, &BTreeMap::new())?;
        assert!(matches!(found, Some(Difference::Refused(_) | Difference::Less(_))), "{found:?}");
        Ok(())
    }

    #[test]
    fn more_than_cargo_unpacks_is_not_read() {
        let mut limited = Limited { bytes: io::repeat(0), left: 10 };
        let mut buffer = [0; 8];
        assert_eq!(limited.read(&mut buffer).ok(), Some(8));
        assert!(limited.read(&mut buffer).is_err());
    }
}
