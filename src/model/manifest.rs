//! The manifest of a generation, and its entries.
//!
//! Its format on disk is described in `docs/FORMAT.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::area::Area;
use super::digest::Digest;
use super::raw_path::RawPath;
use super::root::Root;

use super::names::{Name, ParseNameError};
use super::rel_path::RelPath;
use super::scope::Scope;
use super::system::System;
use super::timestamp::Timestamp;
use super::unit_graph::UnitGraph;
use super::unit_use::{UnitDir, UnitUse};

/// The number of a generation in its series, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GenerationNumber(u64);

impl GenerationNumber {
    /// The first number of a series.
    pub const FIRST: Self = Self(1);

    /// Returns the next number; `None` after the largest, which only a forged name has.
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl From<GenerationNumber> for u64 {
    fn from(number: GenerationNumber) -> Self {
        number.0
    }
}

impl fmt::Display for GenerationNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:010}", self.0)
    }
}

impl FromStr for GenerationNumber {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = "a generation number (10 digits, from 0000000001)";
        let refuse = || ParseNameError { text: text.to_owned(), expected };
        let is_ours = text.len() >= 10 && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(number) if is_ours && number > 0 => Ok(Self(number)),
            _ => Err(refuse()),
        }
    }
}

/// The generations of one scope, area and key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Series {
    /// The scope, which decides who may restore it.
    pub scope: Scope,
    /// The kind of directory.
    pub area: Area,
    /// The key, which identifies the wanted content.
    pub key: Name,
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.scope, self.area, self.key)
    }
}

/// The identity of a generation: its series and number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GenerationId {
    /// The series it belongs to.
    pub series: Series,
    /// Its number there.
    pub number: GenerationNumber,
}

impl fmt::Display for GenerationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} #{}", self.series, self.number.0)
    }
}

/// A whole generation.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The facts that are known before any entry is read.
    pub header: Header,
    /// Every path of the tree below the area's directory, sorted; a directory comes before its
    /// contents. The area's directory itself is not included.
    pub entries: Vec<Entry>,
    /// The sources it was built from.
    pub sources: Vec<Source>,
    /// Files inside the roots that no checkout brings: its dep-info names them or its build scripts
    /// wrote them.
    pub kept: Vec<KeptFile>,
    /// Its units, sorted, and when they were used; empty if an older version saved it.
    pub units: Vec<Unit>,
    /// Its units that can become stale; empty if an older version saved it.
    pub graph: UnitGraph,
}

/// The header of a generation, the first line of its manifest: the facts that are known before any
/// entry is read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The series it was published in.
    pub series: Series,
    /// The key that the job reported; the key of the `target` series may contain more.
    pub cache_key: Name,
    /// When it was saved, by the clock of the host.
    pub created: Timestamp,
    /// The kind of job that saved it.
    pub job: String,
    /// Whether that job failed or was cancelled, so that some of its build outputs may be missing.
    #[serde(skip_serializing_if = "is_whole", default)]
    pub partial: bool,
    /// Whether all its parts that lock files cover were compared with them; for `registry` and
    /// `git`.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub vouched: bool,
    /// The digest of the toolchain part of the key.
    pub toolchain: Digest,
    /// The digest of the environment part of the key, if there was one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub environment: Option<Digest>,
    /// Each part of the key by name, as text, for `key --explain`.
    #[serde(default)]
    pub components: BTreeMap<String, String>,
    /// The absolute path that each root had when it was built.
    pub roots: BTreeMap<Root, RawPath>,
    /// The absolute path of cargo's home, which cargo records in the fingerprints of crates from
    /// elsewhere. `None` if it does not matter, or was not recorded.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cargo_home: Option<RawPath>,
    /// The system it was built on, with the newest version of each part. `None` if it does not
    /// matter, or was not recorded.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub system: Option<System>,
    /// The absolute path of the directory it was saved from.
    pub directory: RawPath,
    /// The number of its units, and of those bound to a path; `None` if an older version saved it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub binding: Option<Binding>,
    /// The newest mtime of the tree. A source that has changed must not be older.
    pub newest_mtime: Timestamp,
    /// The further targets that its job saved. The next restore of such a job restores these.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub further: Vec<FurtherTarget>,
    /// Sessions of incremental compilation that rustc broke off over, in this tree or the one that the job began with.
    /// They are not among its entries, and a restore of another generation leaves them out.
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    pub distrusted: BTreeSet<RelPath>,
    /// Its origin as far as known: repository, ref, sha, run.
    #[serde(default)]
    pub provenance: BTreeMap<String, String>,
    /// The number of entries.
    pub entries: u64,
    /// The number of regular files, hard links included.
    pub files: u64,
    /// The sum of the sizes of its regular files in bytes, with each link group counted once.
    pub bytes: u64,
    /// The packs that hold its contents.
    pub packs: Vec<PackUse>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_whole(partial: &bool) -> bool {
    !partial
}

/// How many units of a generation work only at the same roots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// The number of units.
    pub units: u64,
    /// The number of bound units: see [`Unit::is_bound`].
    pub bound: u64,
}

/// A pack that a generation takes contents from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackUse {
    /// The name of the pack.
    pub digest: Digest,
    /// The size of the pack on disk in bytes.
    pub stored_bytes: u64,
    /// The bytes of all contents in it, used by this generation or not.
    pub content_bytes: u64,
}

/// One file, directory or symlink of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its path below the area's directory.
    pub path: RelPath,
    /// Its kind.
    #[serde(rename = "is")]
    pub kind: EntryKind,
}

/// The kind of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// A directory.
    Dir {
        /// Permission bits, 0 to 0o777; up to 0o7777 where an older version saved it.
        mode: u32,
        /// Its own mtime.
        mtime: Timestamp,
    },
    /// A regular file; the first by path of its link group.
    File(FileFacts),
    /// Another name of a regular file.
    HardLink {
        /// The first name of its link group.
        of: RelPath,
    },
    /// A symbolic link.
    Symlink {
        /// Its target, as it was. We never follow it.
        target: RawPath,
        /// Its own mtime.
        mtime: Timestamp,
    },
}

/// The permission bits that are kept. They never include those that let a program run as another
/// user.
pub const PERMISSIONS: u32 = 0o777;

/// All permission bits.
const ALL_PERMISSIONS: u32 = 0o7777;

/// A regular file: its metadata and where its contents are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFacts {
    /// Permission bits, 0 to 0o777; up to 0o7777 where an older version saved it.
    pub mode: u32,
    /// Its mtime.
    pub mtime: Timestamp,
    /// Its size in bytes, holes included.
    pub size: u64,
    /// Its contents by offset. Ranges without content are holes.
    pub contents: Vec<Content>,
}

impl FileFacts {
    /// Returns the SHA-256 of the file, if its contents tell it: it is one content, or empty.
    pub fn digest(&self) -> Option<Digest> {
        match &self.contents[..] {
            [] if self.size == 0 => Some(Digest::of(b"")),
            [content] if content.len == self.size => Some(content.digest),
            _ => None,
        }
    }
}

/// A run of bytes of a file and the pack that holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Its offset in the file in bytes.
    pub offset: u64,
    /// Its length in bytes, at most [`Content::MAX_LEN`].
    pub len: u64,
    /// Its SHA-256, also its name in the pack.
    pub digest: Digest,
    /// The index in [`Header::packs`] of the pack that holds it.
    pub pack: u32,
}

impl Content {
    /// The longest content in bytes, 32 MiB by measurement. Larger files are cut, so that every
    /// core has work and memory stays bounded.
    pub const MAX_LEN: u64 = 32 << 20;
}

/// A further target that a job saved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FurtherTarget {
    /// Its area.
    pub area: Area,
    /// The directory of the nearest manifest above it, relative to its root; `None` if that is the
    /// root itself, or if there is no manifest.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub package: Option<RelPath>,
}

/// A source, as it was when the generation was saved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The root it is in.
    pub root: Root,
    /// Its path below the root; `None` for the root itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub path: Option<RelPath>,
    /// Its kind.
    pub kind: SourceKind,
    /// The SHA-256 of a file's bytes, of a directory's list of names, or of a symlink's target.
    pub digest: Digest,
    /// Its mtime.
    pub mtime: Timestamp,
    /// Whether it is a file that its owner may execute; older versions did not record it.
    #[serde(rename = "executable", skip_serializing_if = "std::ops::Not::not", default)]
    pub is_executable: bool,
}

/// The kind of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceKind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink,
}

/// A unit of a target, and its recorded use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// The directory that stands for it.
    pub dir: UnitDir,
    /// Its last use.
    #[serde(flatten)]
    pub used: UnitUse,
    /// Whether cargo identifies it, or a file of the roots that it was built from, by an absolute
    /// path, or such a path was compiled in. At other roots, that path may belong to another
    /// runner's checkout.
    #[serde(rename = "bound", skip_serializing_if = "std::ops::Not::not", default)]
    pub is_bound: bool,
}

/// A file inside a root that dep-info names or a build script wrote, and that no checkout brings.
/// It is put back with the target, because a build script that cargo finds fresh does not write it
/// again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptFile {
    /// The root it is in.
    pub root: Root,
    /// Its path below the root.
    pub path: RelPath,
    /// The SHA-256 of the whole file.
    pub digest: Digest,
    /// Its metadata and contents.
    pub facts: FileFacts,
    /// The runs of build scripts that may have written it.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub writers: Vec<UnitDir>,
}

impl Manifest {
    /// Returns the entry at `path`.
    pub fn entry(&self, path: &RelPath) -> Option<&Entry> {
        let index = self.entries.binary_search_by(|entry| entry.path.cmp(path)).ok()?;
        self.entries.get(index)
    }

    /// Returns every regular file of the manifest, kept ones included.
    pub fn files(&self) -> impl Iterator<Item = &FileFacts> {
        let of_tree = self.entries.iter().filter_map(|entry| match &entry.kind {
            EntryKind::File(facts) => Some(facts),
            _ => None,
        });
        of_tree.chain(self.kept.iter().map(|kept| &kept.facts))
    }

    /// Returns what is wrong with a manifest that was read; `None` if it is sound. Flaws are a path
    /// that is listed twice or out of order or whose parent is not a directory of the manifest, a
    /// hard link to nothing, contents that overlap or end after the file, a pack that is not
    /// listed, an invalid mode.
    pub fn flaw(&self) -> Option<String> {
        let mut dirs = std::collections::HashSet::new();
        let mut files = std::collections::HashSet::new();
        let mut before: Option<&RelPath> = None;
        for Entry { path, kind } in &self.entries {
            if before.is_some_and(|before| before >= path) {
                return Some(format!("`{path}` is out of order"));
            }
            before = Some(path);
            if path.parent().is_some_and(|parent| !dirs.contains(&parent)) {
                return Some(format!("`{path}` is in no directory of the manifest"));
            }
            match kind {
                EntryKind::Dir { mode, .. } if *mode > ALL_PERMISSIONS => {
                    return Some(format!("`{path}` has the invalid mode {mode:o}"));
                }
                EntryKind::Dir { .. } => drop(dirs.insert(path.clone())),
                EntryKind::File(_) => drop(files.insert(path.clone())),
                EntryKind::HardLink { of } if !files.contains(of) => {
                    return Some(format!(
                        "`{path}` is a hard link to `{of}`, but no file of that name comes before it"
                    ));
                }
                EntryKind::HardLink { .. } | EntryKind::Symlink { .. } => {}
            }
        }
        self.files().find_map(|facts| self.flaw_of_file(facts))
    }

    /// Clears the setuid, setgid and sticky bits of all modes, which older programs recorded.
    pub fn drop_special_modes(&mut self) {
        for entry in &mut self.entries {
            match &mut entry.kind {
                EntryKind::Dir { mode, .. } | EntryKind::File(FileFacts { mode, .. }) => {
                    *mode &= PERMISSIONS;
                }
                EntryKind::HardLink { .. } | EntryKind::Symlink { .. } => {}
            }
        }
        for kept in &mut self.kept {
            kept.facts.mode &= PERMISSIONS;
        }
    }

    fn flaw_of_file(&self, facts: &FileFacts) -> Option<String> {
        if facts.mode > ALL_PERMISSIONS {
            return Some(format!("a file has the invalid mode {:o}", facts.mode));
        }
        let mut end = 0;
        for content in &facts.contents {
            if content.offset < end || content.len == 0 || content.len > Content::MAX_LEN {
                return Some(format!("content {} overlaps or has no valid length", content.digest));
            }
            end = content.offset.saturating_add(content.len);
            if end > facts.size {
                return Some(format!(
                    "content {} reaches past the end of its file",
                    content.digest
                ));
            }
            if content.pack as usize >= self.header.packs.len() {
                return Some(format!("content {} is in a pack that is not listed", content.digest));
            }
        }
        None
    }
}
