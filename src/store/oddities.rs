//! Odd entries of the store: a directory in place of a file, a symlink, a fifo, a file of another
//! user, an entry that cannot be read or removed.
//!
//! No odd entry stops a command. Readers skip it. A writer that needs its place moves it to the
//! trash first. gc moves all odd entries to the trash, and `verify` lists them. An entry that
//! cannot be moved stays, and gc reports it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tempfile::NamedTempFile;

use super::error::Result;
use super::file::unfit;
use super::generations::number_of;
use super::leases::random_id;
use super::open::{Store, TAG};
use super::sweep::{GcLock, digest_of};
use crate::fs::At;
use crate::fs::error::is_in_the_way;
use crate::fs::remove::open_dir;
use crate::fs::rename::rename_noreplace;
use crate::fs::stat::{Kind, Stat};
use crate::model::filesystem::as_text;

/// An entry that does not belong where it is, or on which an operation failed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Oddity {
    /// Where it is.
    #[serde(serialize_with = "as_text")]
    pub path: PathBuf,
    /// What is wrong with the entry, as a clause.
    pub what: String,
}

/// An oddity, and whether it is a directory of ours that only lacks permissions.
struct Odd {
    oddity: Oddity,
    is_shut: bool,
}

/// The prefix of names in the trash of entries that were moved there because they were odd: none of
/// their contents is put back.
const ODD: &str = "odd-";

impl Oddity {
    /// Returns the oddity for an entry on which the filesystem refused an operation.
    pub(super) fn refused(error: &crate::fs::Error) -> Self {
        let action = error.action.trim_end_matches(" directory");
        Self { path: error.path.clone(), what: format!("cannot {action} it: {}", error.source) }
    }
}

impl Store {
    /// Returns the odd entries of the store. Changes nothing.
    pub fn oddities(&self) -> Result<Vec<Oddity>> {
        Ok(self.look_at_all()?.into_iter().map(|odd| odd.oddity).collect())
    }

    fn look_at_all(&self) -> Result<Vec<Odd>> {
        let mut odd = Vec::new();
        for top in SCANNED {
            Self::look(top, &self.root.join(top), 1, &mut odd);
        }
        let odd_file = |name: &str| {
            let path = self.root.join(name);
            let what = unfit(&Stat::of(&path).ok()?, Kind::File)?;
            Some(Oddity { path, what })
        };
        let odd_files = ["gc.lock", TAG].into_iter().filter_map(odd_file);
        let unrecorded = self.unrecorded_trees()?.into_iter().chain(odd_files);
        odd.extend(unrecorded.map(|oddity| Odd { oddity, is_shut: false }));
        odd.sort_by(|a, b| a.oddity.cmp(&b.oddity));
        Ok(odd)
    }

    /// Moves odd entries to `trash/`, which the next [`Store::settle`] empties; returns them.
    /// Entries that cannot be moved are noted in `lock`.
    pub fn clear_oddities(&self, lock: &GcLock) -> Result<Vec<Oddity>> {
        let mut cleared = Vec::new();
        let mut left = BTreeSet::new();
        loop {
            let mut odd = self.look_at_all()?;
            odd.retain(|odd| !left.contains(&odd.oddity.path));
            if odd.is_empty() {
                return self.write_missing_tag().map(|()| cleared);
            }
            for Odd { oddity, is_shut } in odd {
                // Try each path once.
                left.insert(oddity.path.clone());
                // Give ourselves access to a directory of ours that lacks it: its contents may be
                // whole.
                let done =
                    if is_shut { open_dir(&oddity.path) } else { self.put_aside(&oddity.path) };
                match done {
                    Ok(()) => cleared.push(oddity),
                    Err(error) => lock.add(Oddity {
                        what: format!("{}; {}", oddity.what, error.source),
                        ..oddity
                    }),
                }
            }
        }
    }

    /// Adds the odd entries of `dir` to `odd`; the entries lie `depth` levels below the root's
    /// `top`.
    fn look(top: &str, dir: &Path, depth: usize, odd: &mut Vec<Odd>) {
        let entries = fs::read_dir(dir).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let entries = match entries {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(source) => {
                let error = crate::fs::Error { action: "read", path: dir.to_owned(), source };
                odd.push(Odd { oddity: Oddity::refused(&error), is_shut: true });
                return;
            }
        };
        for entry in entries {
            let (path, name) = (entry.path(), entry.file_name());
            let Some(wanted) = wanted(top, depth, &name) else { continue };
            // Removed since it was listed: not odd.
            let Ok(stat) = Stat::of(&path) else { continue };
            match unfit(&stat, wanted) {
                Some(what) => {
                    let is_shut = wanted == Kind::Dir && stat.kind == Kind::Dir && is_ours(&stat);
                    odd.push(Odd { oddity: Oddity { path, what }, is_shut });
                }
                None if wanted == Kind::Dir && depth < levels(top) => {
                    Self::look(top, &path, depth + 1, odd);
                }
                None if has_unknown_name(top, depth, &path) => {
                    let what = "this program gives no file such a name".to_owned();
                    odd.push(Odd { oddity: Oddity { path, what }, is_shut: false });
                }
                None => {}
            }
        }
    }

    /// Moves the entry at `path`, of any kind, to `trash/` by one rename.
    pub(super) fn put_aside(&self, path: &Path) -> crate::fs::Result<()> {
        let aside = self.trash_dir().join(format!("{ODD}{}", random_id()));
        match rename_noreplace(path, &aside) {
            Ok(_) => Ok(()),
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(crate::fs::Error {
                action: "move to the trash",
                path: path.to_owned(),
                ..error
            }),
        }
    }

    /// Moves the entry at `path` to `trash/` if it is not a usable `wanted` of ours.
    pub(super) fn make_way(&self, path: &Path, wanted: Kind) -> crate::fs::Result<()> {
        match Stat::if_exists(path) {
            Ok(Some(stat)) if unfit(&stat, wanted).is_some() => self.put_aside(path),
            _ => Ok(()),
        }
    }

    /// Creates `dir`, below the root, and its missing parents. Moves odd entries out of the way,
    /// and tries again while gc removes empty directories.
    pub(super) fn create_dirs(&self, dir: &Path) -> Result<()> {
        // Each attempt takes microseconds; gc removes a directory once, with its last generation.
        const ATTEMPTS: usize = 100;
        let mut created = Ok(());
        for _ in 0..ATTEMPTS {
            created = fs::create_dir_all(dir);
            match &created {
                // gc removed it, or its parent, between two steps of `create_dir_all`.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) if is_in_the_way(error) => self.make_way_to(dir)?,
                _ => break,
            }
        }
        Ok(created.at("create directory", dir)?)
    }

    fn make_way_to(&self, dir: &Path) -> crate::fs::Result<()> {
        let below = dir
            .ancestors()
            .take_while(|above| above.starts_with(&self.root) && *above != self.root);
        below.into_iter().try_for_each(|above| self.make_way(above, Kind::Dir))
    }

    /// Renames `staged` to `path` in one step, replacing a file there. Anything else there goes to
    /// the trash first.
    pub(super) fn persist(&self, mut staged: NamedTempFile, path: &Path) -> Result<()> {
        // An odd entry goes with the first attempt, and gc removes an empty directory once.
        const ATTEMPTS: usize = 100;
        for _ in 0..ATTEMPTS {
            let Err(failed) = staged.persist(path) else { return Ok(()) };
            let was_removed =
                failed.error.kind() == io::ErrorKind::NotFound && failed.file.path().exists();
            if !was_removed && !is_in_the_way(&failed.error) {
                return Ok(Err(failed.error).at("write", path)?);
            }
            self.make_way(path, Kind::File)?;
            self.create_dirs(path.parent().unwrap_or(path))?;
            staged = failed.file;
        }
        staged.persist(path).map_err(|failed| failed.error).at("write", path)?;
        Ok(())
    }

    /// Removes the file at `path`. Anything else there goes to the trash.
    pub(super) fn remove(&self, path: &Path) -> Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) if is_in_the_way(&error) => Ok(self.make_way(path, Kind::File)?),
            removed => Ok(removed.at("remove", path)?),
        }
    }

    /// Returns the directories in `hot/` that no record and no live lease names: they will never be
    /// used.
    fn unrecorded_trees(&self) -> Result<Vec<Oddity>> {
        let hot = self.hot_dir();
        let Ok(entries) = fs::read_dir(&hot) else { return Ok(Vec::new()) };
        let names: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.file_name())).collect();
        // Read leases after the directory: a lease names a staged directory before it is created.
        let leased = self.lease_facts()?.ids;
        let is_staged = |name: &OsStr| {
            let name = name.to_string_lossy();
            leased.iter().any(|id| name.starts_with(&super::outside::staging_name(id)))
        };
        let mut odd = Vec::new();
        for name in names {
            let path = hot.join(&name);
            let is_dir = Stat::of(&path).is_ok_and(|stat| stat.kind == Kind::Dir);
            let is_record = wanted("hot", 1, &name) == Some(Kind::File);
            if !is_dir || is_record || is_staged(&name) || Self::has_hot_record(&path) {
                continue;
            }
            // Another process may have taken the tree, and then removed its record.
            if Stat::of(&path).is_ok() {
                odd.push(Oddity { path, what: "no record says what it is".to_owned() });
            }
        }
        Ok(odd)
    }
}

fn is_ours(stat: &Stat) -> bool {
    stat.uid == crate::fs::user_id()
}

/// Tells whether an entry of the trash was moved there because it was odd.
pub(super) fn is_odd_trash(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(ODD))
}

/// The directories that are searched. `staging/` and `trash/` may hold anything.
const SCANNED: [&str; 9] =
    ["packs", "series", "stamps", "trees", "hot", "mirrors", "homes", "leases", "journal"];

/// Returns the depth of the layout of a directory of the store.
fn levels(top: &str) -> usize {
    match top {
        "series" => 4,
        "stamps" => 3,
        "packs" | "mirrors" => 2,
        _ => 1,
    }
}

/// Tells whether a file has no name that we give to packs or manifests: it will never be read.
fn has_unknown_name(top: &str, depth: usize, path: &Path) -> bool {
    let dir = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    match top {
        "packs" if depth == levels(top) => {
            digest_of(path).is_none_or(|digest| !digest.to_string().starts_with(&*dir))
        }
        "series" if depth == levels(top) => number_of(path).is_none(),
        _ => false,
    }
}

/// Returns the kind of entry that belongs at a name, `depth` levels below `top`; `None` if any kind
/// may be there.
fn wanted(top: &str, depth: usize, name: &OsStr) -> Option<Kind> {
    let extension = Path::new(name).extension().and_then(OsStr::to_str);
    match (top, depth, extension) {
        ("hot", 1, Some("zst" | "aside"))
        | ("homes", 1, Some("lock" | "json"))
        | ("mirrors", 2, Some("lock" | "used")) => Some(Kind::File),
        ("mirrors", 2, extension) if !matches!(extension, Some("git" | "new" | "old")) => None,
        ("mirrors", 2, _) | ("hot" | "homes", 1, _) => Some(Kind::Dir),
        _ if depth < levels(top) => Some(Kind::Dir),
        _ => Some(Kind::File),
    }
}
