//! Opening or creating a store that nobody else can change.

use std::fs::{self, DirBuilder};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::{Error, Result, damaged};
use super::file::{read_short, unfit};
use super::{FORMAT, leases};
use crate::fs::At;
use crate::fs::remove::{open_dir, remove_file};
use crate::fs::stat::{Kind, Stat};
use crate::fs::{shown_user, user_id};
use crate::model::digest::Digest;

/// An open store. Its directories exist and belong to this user alone.
#[derive(Clone, Debug)]
pub struct Store {
    pub(super) root: PathBuf,
    /// The random id that tells it from other stores.
    pub(super) id: String,
}

/// The contents of `store.json`.
#[derive(Debug, Serialize, Deserialize)]
struct StoreHeader {
    format: u32,
    id: String,
    #[serde(default)]
    features: Features,
}

/// Features, by what a program that lacks them may still do: everything, only read, nothing.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Features {
    compatible: Vec<String>,
    read_only: Vec<String>,
    incompatible: Vec<String>,
}

/// The longest `store.json` that is read, in bytes: it has 200 bytes; the rest is for the names of
/// features.
const MAX_LEN: u64 = 64 << 10;

#[rustfmt::skip]
const DIRS: [&str; 11] = [
    "packs", "series", "stamps", "trees", "hot", "mirrors", "homes", "leases", "journal", "staging",
    "trash",
];

/// The file that marks a cache for backup and other programs.
pub(super) const TAG: &str = "CACHEDIR.TAG";

/// The tag's text; the specification requires its first line.
const CACHEDIR_TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
    # This directory is the store of runner-cache. See https://bford.info/cachedir/\n";

impl Store {
    /// Opens the store at `root`; fails if there is none.
    ///
    /// Refuses a root that another user owns or may write to, and a root that is a symlink in a
    /// directory that others may write to: whoever can change the store can put binaries into
    /// builds.
    pub fn open(root: &Path) -> Result<Self> {
        if !root.exists() {
            return Err(Error::Missing(root.to_owned()));
        }
        check_owner(root)?;
        let path = root.join("store.json");
        let Some(text) = read_short(&path, MAX_LEN)? else {
            return Err(Error::Missing(root.to_owned()));
        };
        let facts: StoreHeader =
            serde_json::from_slice(&text).map_err(|error| damaged(&path, &error))?;
        facts.check(&path)?;
        make_dirs(root)?;
        let root = root.canonicalize().at("resolve", root)?;
        Ok(Self { root, id: facts.id })
    }

    /// Opens the store at `root`, creating it if nothing is there.
    ///
    /// Several processes may do this at once; they end up with one store. Refuses a directory that
    /// holds other things.
    pub fn open_or_init(root: &Path) -> Result<Self> {
        match Self::open(root) {
            Err(Error::Missing(_)) => {}
            opened => return opened,
        }
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(root).at("create directory", root)?;
        check_owner(root)?;
        check_free(root)?;
        make_dirs(root)?;
        let path = root.join("store.json");
        let facts =
            StoreHeader { format: FORMAT, id: leases::random_id(), features: Features::default() };
        Self { root: root.to_owned(), id: facts.id.clone() }.write_missing_tag()?;
        let mut staged =
            tempfile::NamedTempFile::new_in(root.join("staging")).at("create", &path)?;
        let json = serde_json::to_string_pretty(&facts).expect("facts of a store are plain JSON");
        writeln!(staged, "{json}").at("write", &path)?;
        staged.as_file().sync_all().at("flush", &path)?;
        match staged.persist_noclobber(&path) {
            Ok(_) => {}
            Err(taken) if taken.error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(failed) => return Err(failed.error).at("write", &path)?,
        }
        Self::open(root)
    }

    /// Writes the tag of a cache directory unless it exists. An odd entry in its place, such as a
    /// symlink or a fifo, goes to the trash.
    pub(super) fn write_missing_tag(&self) -> Result<()> {
        let tag = self.root.join(TAG);
        self.make_way(&tag, Kind::File)?;
        if Stat::if_exists(&tag).at("read metadata", &tag)?.is_some() {
            return Ok(());
        }
        let staging = self.root.join("staging");
        let mut staged =
            tempfile::NamedTempFile::new_in(&staging).at("create a file in", &staging)?;
        staged.write_all(CACHEDIR_TAG.as_bytes()).at("write", &tag)?;
        self.persist(staged, &tag)
    }

    /// Returns a file name for `path`: its digest, which fits in one directory entry.
    pub(super) fn name_of(path: &Path) -> String {
        Digest::of(path.as_os_str().as_encoded_bytes()).to_string()
    }
}

impl StoreHeader {
    fn check(&self, path: &Path) -> Result<()> {
        let newer =
            |found: String| Error::NewerFormat { path: path.to_owned(), found, known: FORMAT };
        if self.format > FORMAT {
            return Err(newer(self.format.to_string()));
        }
        let unknown = self.features.incompatible.iter().chain(&self.features.read_only).next();
        unknown.map_or(Ok(()), |feature| Err(newer(format!("{} with `{feature}`", self.format))))
    }
}

/// Creates the missing directories of a store: a copy of a store may lack empty ones.
///
/// Removes a file or dangling symlink in the place of one. Refuses a symlink that leads to a
/// directory, and a directory of another user: removals in the store would happen there.
fn make_dirs(root: &Path) -> Result<()> {
    for dir in DIRS.map(|name| root.join(name)) {
        let stat = Stat::if_exists(&dir).at("read metadata", &dir)?;
        match stat.map(|stat| (stat.kind, unfit(&stat, Kind::Dir))) {
            Some((_, None)) => continue,
            Some((Kind::Dir, Some(_))) if open_dir(&dir).is_ok() => continue,
            Some((kind, Some(what))) if kind == Kind::Dir || dir.is_dir() => {
                let reason = format!("of `{}` in it, {what}", dir.display());
                return Err(Error::Untrusted { root: root.to_owned(), reason });
            }
            Some(_) => {
                remove_file(&dir)?;
            }
            None => {}
        }
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&dir).at("create directory", &dir)?;
    }
    Ok(())
}

/// Refuses a directory that holds anything but the beginnings of a store: it has another purpose.
fn check_free(root: &Path) -> Result<()> {
    for entry in fs::read_dir(root).at("read directory", root)? {
        let name = entry.at("read directory", root)?.file_name();
        let ours = name
            .to_str()
            .is_some_and(|name| DIRS.contains(&name) || [TAG, "store.json"].contains(&name));
        if !ours {
            let reason = format!("it is not empty and not a store (it holds `{}`)", name.display());
            return Err(Error::Untrusted { root: root.to_owned(), reason });
        }
    }
    Ok(())
}

fn check_owner(root: &Path) -> Result<()> {
    let untrusted = |reason: String| Err(Error::Untrusted { root: root.to_owned(), reason });
    let own = root.symlink_metadata().at("read metadata", root)?;
    let parent = root.parent().filter(|parent| !parent.as_os_str().is_empty());
    if own.is_symlink() {
        let parent = parent.unwrap_or(Path::new("."));
        if parent.metadata().at("read metadata", parent)?.mode() & 0o022 != 0 {
            let parent = parent.display();
            return untrusted(format!("it is a symlink in `{parent}`, where others may write"));
        }
    }
    let metadata = root.metadata().at("read metadata", root)?;
    let us = user_id();
    if !metadata.is_dir() {
        return untrusted("it is not a directory".to_owned());
    }
    if metadata.uid() != us {
        return untrusted(format!(
            "{} owns it, we are {}",
            shown_user(metadata.uid()),
            shown_user(us)
        ));
    }
    if metadata.mode() & 0o022 != 0 {
        return untrusted(format!(
            "others may write to it (mode {:04o})",
            metadata.mode() & 0o7777
        ));
    }
    Ok(())
}
