//! Puts `registry` and `git` in place. Deletes nothing, because others use the `CARGO_HOME` too.

use std::collections::{HashMap, HashSet};
use std::io::ErrorKind;
use std::path::Path;

use super::placed::Placed;
use crate::cargo::checksums::{Checksums, Expected};
use crate::cargo::home::needs_mark;
use crate::cargo::home::{self, RegistryPart, Shared, registry_part};
use crate::fs::At;
use crate::fs::beneath::Beneath;
use crate::fs::crash::crash_point;
use crate::fs::stat::Stat;
use crate::job::Result;
use crate::job::locks::keep_packages_still;
use crate::job::report::AreaMode;
use crate::model::manifest::{Entry, EntryKind, Manifest};
use crate::model::rel_path::RelPath;
use crate::store::Lease;
use crate::tree::staged::Staged;
use crate::tree::unpack::Unpacker;

/// Adds the entries of `manifest` that `dir` lacks, and replaces wrong ones; never deletes
/// anything.
///
/// Returns `None`, and does nothing, if something there looks wrong and the home was not checked.
///
/// A crate, database or checkout appears by a rename, with its `.cargo-ok`, so cargo never sees
/// half of one. If the directory above several of them is missing, it appears together with them. A
/// half extraction in the way is replaced. Cargo's package lock is held for the renames, not while
/// packs are decompressed.
pub(super) fn place_shared(
    unpacker: &Unpacker<'_>,
    lease: &Lease,
    home: &Home<'_>,
    manifest: &Manifest,
) -> Result<Option<Placed>> {
    let Home { root: cargo_home, dir, .. } = *home;
    // A directory that appears as a whole leaves no staging directory that must be removed
    // (`docs/decisions/0021-nothing-removed-after-the-writing.md`).
    let is_free = dir.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound);
    let parent = if is_free { dir.parent().unwrap_or(dir) } else { dir };
    std::fs::create_dir_all(parent).at("create directory", parent)?;
    let wanted = if is_free {
        missing(home, manifest, |_| Ok(Held::No))?
    } else {
        let dest = Beneath::open(dir)?;
        missing(home, manifest, |top| home.holds(&dest, top, manifest))?
    };
    let Some(wanted) = wanted else { return Ok(None) };
    unpacker.progress.expect(wanted.bytes);
    if wanted.entries.is_empty() {
        let certain = Some(HashSet::new());
        return Ok(Some(Placed { mode: AreaMode::InPlace, certain, ..Placed::default() }));
    }
    let staged = if is_free {
        Staged::for_free_place(lease, dir)?
    } else {
        Staged::within(lease, dir, dir)?
    };
    let staging = Beneath::open(staged.path())?;
    let packs = &manifest.header.packs;
    let mut inodes = unpacker.unpack(packs, &wanted.entries, &staging, None)?;
    staged.open_to_others()?;
    crash_point("restore: staged");

    let _lock = keep_packages_still(cargo_home, unpacker.progress)?;
    if is_free && staged.take_free_place(dir)? {
        crash_point("restore: placed");
        return Ok(Some(Placed { mode: AreaMode::Unpack, inodes, ..Placed::default() }));
    }
    let dest = Beneath::open(dir)?;
    let mut grafting = Grafting::new(home, manifest, &wanted, (&staging, &dest));
    grafting.graft_children(None)?;
    let grafted = grafting.grafted;
    crash_point("restore: placed");
    let most = wanted.entries.len() * 2 <= manifest.entries.len();
    let mode = if most { AreaMode::InPlace } else { AreaMode::Unpack };
    let certain = within(&grafted, &wanted.entries);
    // The rename itself changed the ctime of the renamed paths.
    inodes.retain(|path, _| certain.contains(path) && !grafted.contains(path));
    Ok(Some(Placed { mode, inodes, certain: Some(certain), ..Placed::default() }))
}

/// Moves the staged entries to a destination that may hold some of them already.
struct Grafting<'a> {
    home: &'a Home<'a>,
    manifest: &'a Manifest,
    staging: &'a Beneath,
    dest: &'a Beneath,
    /// The entries of each directory, except directories that appear as a whole.
    children: HashMap<Option<RelPath>, Vec<&'a RelPath>>,
    /// The paths that were renamed.
    grafted: HashSet<RelPath>,
}

impl<'a> Grafting<'a> {
    fn new(
        home: &'a Home<'a>,
        manifest: &'a Manifest,
        wanted: &'a Missing,
        (staging, dest): (&'a Beneath, &'a Beneath),
    ) -> Self {
        let mut children: HashMap<_, Vec<_>> = HashMap::new();
        for Entry { path, .. } in &wanted.entries {
            if home::unit(home.kind, path).is_none_or(|top| top == *path) {
                children.entry(path.parent()).or_default().push(path);
            }
        }
        Self { home, manifest, staging, dest, children, grafted: HashSet::new() }
    }

    fn graft_children(&mut self, dir: Option<&RelPath>) -> Result<()> {
        for path in self.children.remove(&dir.cloned()).unwrap_or_default() {
            self.graft(path)?;
        }
        Ok(())
    }

    /// Moves `path` with everything below it in one step, if nothing is there. Otherwise moves the
    /// entries of a directory one by one, or replaces a wrong crate, database, checkout or file.
    fn graft(&mut self, path: &RelPath) -> Result<()> {
        let Self { home, manifest, staging, dest, .. } = *self;
        if dest.rename_noreplace_from(path, staging, path)? {
            self.grafted.insert(path.clone());
            return Ok(());
        }
        let is_dir = |entry: &Entry| matches!(entry.kind, EntryKind::Dir { .. });
        if home::unit(home.kind, path).is_none() && manifest.entry(path).is_none_or(is_dir) {
            return self.graft_children(Some(path));
        }
        let is_replaced = match home.holds(dest, path, manifest)? {
            Held::Right => false,
            // If the home was not checked, this appeared meanwhile: cargo may have put it there.
            Held::Doubtful => home.wrong.is_some(),
            Held::No => true,
        };
        if is_replaced {
            // Cargo itself extracts a crate without `.cargo-ok` again, over the files that are
            // there. By an exchange, a reader of the wrong version finds the right one there at any
            // time.
            dest.exchange_with(path, staging, path)?;
            self.grafted.insert(path.clone());
        }
        Ok(())
    }
}

/// Returns the paths of the sorted `entries` that are one of `tops` or below one.
fn within(tops: &HashSet<RelPath>, entries: &[Entry]) -> HashSet<RelPath> {
    let mut top: Option<&RelPath> = None;
    let paths = entries.iter().map(|entry| &entry.path).filter(|path| {
        if tops.contains(*path) {
            top = Some(path);
        }
        top.is_some_and(|top| path.is_within(top))
    });
    paths.cloned().collect()
}

/// A directory of a `CARGO_HOME`: `registry` or `git`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Home<'a> {
    /// Which of the two it is.
    pub(super) kind: Shared,
    /// The home, where cargo's package lock is.
    pub(super) root: &'a Path,
    /// Its path.
    pub(super) dir: &'a Path,
    /// The digests that lock files name.
    pub(super) checksums: &'a Checksums,
    /// The wrong paths in it; `None` if it was not checked.
    pub(super) wrong: Option<&'a HashSet<RelPath>>,
}

/// Whether a destination holds a path of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    /// It does, as far as can be seen without reading it.
    Right,
    /// Something is there that is wrong, or looks so.
    Doubtful,
    /// It is missing, or only half of it is there.
    No,
}

impl Home<'_> {
    /// Tells whether `dest` holds the entry of `manifest` at `top`: a file, or a directory that
    /// cargo takes for whole.
    fn holds(&self, dest: &Beneath, top: &RelPath, manifest: &Manifest) -> Result<Held> {
        let stat = held(self.kind, dest, top)?;
        let Some(stat) = stat else { return Ok(Held::No) };
        let is_looked_over = self.wrong.is_some();
        let saved = match manifest.entry(top).map(|entry| &entry.kind) {
            Some(EntryKind::File(saved)) => saved.size,
            // The content of a directory was checked with the home, or is unknown.
            _ => 0,
        };
        let is_right = match (self.kind, registry_part(top)) {
            _ if self.wrong.is_some_and(|wrong| wrong.contains(top)) => false,
            (Shared::Registry, RegistryPart::CrateFile(of)) => {
                let is_known = matches!(self.checksums.of(of), Expected::Digest(_));
                is_looked_over || stat.size == saved || !is_known
            }
            // An index file may be newer, with another size.
            _ => stat.size > 0 || saved == 0,
        };
        Ok(if is_right { Held::Right } else { Held::Doubtful })
    }

    /// Returns the crate files of a generation, and their sources, that have another digest than
    /// the lock files name for the crate.
    fn unfit(&self, manifest: &Manifest) -> HashSet<RelPath> {
        let mut unfit = HashSet::new();
        for Entry { path, kind } in &manifest.entries {
            let (RegistryPart::CrateFile(of), EntryKind::File(facts)) = (registry_part(path), kind)
            else {
                continue;
            };
            let expected = self.checksums.of(of);
            // A crate that no lock file names is restored: cargo may still write one that names it.
            let is_other = self.checksums.names(of.name)
                && expected != Expected::Anything
                && facts.digest().is_some_and(|digest| !expected.is(&digest));
            if self.kind == Shared::Registry && is_other {
                unfit.insert(path.clone());
                unfit.extend(of.source());
            }
        }
        unfit
    }
}

/// The entries of a generation that a destination lacks.
#[derive(Default)]
struct Missing {
    /// Directories that appear as a whole, with their entries; single files; and the directories
    /// that lead to both. Sorted by path.
    entries: Vec<Entry>,
    bytes: u64,
}

/// Returns the entries that a destination lacks. Returns `None` if it holds something doubtful and
/// the home was not checked.
fn missing(
    home: &Home<'_>,
    manifest: &Manifest,
    holds: impl Fn(&RelPath) -> Result<Held>,
) -> Result<Option<Missing>> {
    let kind = home.kind;
    let unfit = home.unfit(manifest);
    let mut missing = Missing::default();
    let mut verdicts: HashMap<RelPath, bool> = HashMap::new();
    let mut parents = HashSet::new();
    for entry in &manifest.entries {
        let is_dir = matches!(entry.kind, EntryKind::Dir { .. });
        let top = home::unit(kind, &entry.path);
        if top.is_none() && is_dir {
            continue;
        }
        let top = top.unwrap_or_else(|| entry.path.clone());
        if unfit.contains(&top) {
            continue;
        }
        let is_missing = if let Some(verdict) = verdicts.get(&top) {
            *verdict
        } else {
            let held = holds(&top)?;
            if held == Held::Doubtful && home.wrong.is_none() {
                return Ok(None);
            }
            let verdict = held != Held::Right;
            verdicts.insert(top.clone(), verdict);
            if verdict {
                parents.extend(std::iter::successors(top.parent(), RelPath::parent));
            }
            verdict
        };
        if is_missing {
            missing.entries.push(entry.clone());
        }
    }
    let leads_there = |entry: &&Entry| parents.contains(&entry.path);
    missing.entries.extend(manifest.entries.iter().filter(leads_there).cloned());
    missing.entries.sort_by(|a, b| a.path.cmp(&b.path));
    missing.entries.dedup_by(|a, b| a.path == b.path);
    untie_links(&mut missing.entries, manifest);
    let files = missing.entries.iter().filter_map(|entry| match &entry.kind {
        EntryKind::File(facts) => Some(facts.size),
        _ => None,
    });
    missing.bytes = files.sum();
    Ok(Some(missing))
}

/// Turns each hard link whose first name is not restored with it into a file.
fn untie_links(entries: &mut [Entry], manifest: &Manifest) {
    let there: HashSet<_> = entries.iter().map(|entry| entry.path.clone()).collect();
    let files: HashMap<_, _> = manifest
        .entries
        .iter()
        .filter_map(|entry| match &entry.kind {
            EntryKind::File(facts) => Some((&entry.path, facts)),
            _ => None,
        })
        .collect();
    for entry in entries {
        if let EntryKind::HardLink { of } = &entry.kind
            && !there.contains(of)
            && let Some(facts) = files.get(of)
        {
            entry.kind = EntryKind::File((*facts).clone());
        }
    }
}

/// Tells whether the destination holds `top`: a file, or a directory that cargo takes for whole.
pub(super) fn is_held(kind: Shared, dest: &Beneath, top: &RelPath) -> Result<bool> {
    Ok(held(kind, dest, top)?.is_some())
}

/// Returns the stat of `top`, if the destination holds it as in [`is_held`].
fn held(kind: Shared, dest: &Beneath, top: &RelPath) -> Result<Option<Stat>> {
    let Some(stat) = dest.stat(top)? else { return Ok(None) };
    if stat.kind != crate::fs::stat::Kind::Dir || !needs_mark(top) {
        return Ok(Some(stat));
    }
    let mark = top.join(b".cargo-ok").ok();
    let mark: Option<Stat> = mark.map(|mark| dest.stat(&mark)).transpose()?.flatten();
    // A cargo that was killed while it extracted a crate leaves an empty mark (cargo 1.95). The
    // mark of a git checkout is empty by design.
    Ok(mark.filter(|mark| mark.size > 0 || kind == Shared::Git).map(|_| stat))
}
