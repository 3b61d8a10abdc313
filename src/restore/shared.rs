//! Putting `registry` and `git` in place: additively, in a `CARGO_HOME` that others use.

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

/// Adds what `dir` lacks of `manifest`, and replaces what is wrong; never deletes anything.
///
/// `None`, and nothing is done, if something that is there looks wrong and the home was not looked over.
///
/// A crate, database or checkout appears by a rename, with its `.cargo-ok`, so cargo never sees
/// half of one, and a directory that holds many and is not there yet appears with them; a half
/// extraction that is in the way makes room. Cargo's package lock is held for the renames, not while
/// packs are decompressed.
pub(super) fn place_shared(
    unpacker: &Unpacker<'_>,
    lease: &Lease,
    home: &Home<'_>,
    manifest: &Manifest,
) -> Result<Option<Placed>> {
    let Home { root: cargo_home, dir, .. } = *home;
    // What appears as a whole leaves nothing behind that would have to be removed.
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
    // What was renamed itself has another ctime since.
    inodes.retain(|path, _| certain.contains(path) && !grafted.contains(path));
    Ok(Some(Placed { mode, inodes, certain: Some(certain), ..Placed::default() }))
}

/// Moves what was staged to a destination that may hold some of it.
struct Grafting<'a> {
    home: &'a Home<'a>,
    manifest: &'a Manifest,
    staging: &'a Beneath,
    dest: &'a Beneath,
    /// What is in each directory that does not itself appear as one.
    children: HashMap<Option<RelPath>, Vec<&'a RelPath>>,
    /// What was renamed.
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

    /// Moves `path` with all that is below it in one step if nothing is there; else what it holds.
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
            // Cargo may have put it there meanwhile.
            Held::Doubtful => home.wrong.is_some(),
            Held::No => true,
        };
        if is_replaced {
            // Cargo itself extracts again what has no `.cargo-ok`, into what is there. Whoever reads something that is
            // wrong finds something right there at any time.
            dest.exchange_with(path, staging, path)?;
            self.grafted.insert(path.clone());
        }
        Ok(())
    }
}

/// Returns which of the sorted `entries` are one of `tops`, or below it.
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

/// A part of a `CARGO_HOME`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Home<'a> {
    /// Which part.
    pub(super) kind: Shared,
    /// The home, where cargo's package lock is.
    pub(super) root: &'a Path,
    /// The directory of the part.
    pub(super) dir: &'a Path,
    /// The digests that lock files name.
    pub(super) checksums: &'a Checksums,
    /// What is wrong, if it was looked over.
    pub(super) wrong: Option<&'a HashSet<RelPath>>,
}

/// How a destination holds something of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    /// As far as can be seen without looking into it.
    Right,
    /// Something is there that is wrong, or looks so.
    Doubtful,
    /// It is not there, or half of it.
    No,
}

impl Home<'_> {
    /// Tells whether `dest` holds what `manifest` has at `top`: a file, or a directory that cargo takes for whole.
    fn holds(&self, dest: &Beneath, top: &RelPath, manifest: &Manifest) -> Result<Held> {
        let stat = held(self.kind, dest, top)?;
        let Some(stat) = stat else { return Ok(Held::No) };
        let is_looked_over = self.wrong.is_some();
        let saved = match manifest.entry(top).map(|entry| &entry.kind) {
            Some(EntryKind::File(saved)) => saved.size,
            // What is in a directory was looked at, or nobody knows.
            _ => 0,
        };
        let is_right = match (self.kind, registry_part(top)) {
            _ if self.wrong.is_some_and(|wrong| wrong.contains(top)) => false,
            (Shared::Registry, RegistryPart::CrateFile(of)) => {
                let is_known = matches!(self.checksums.of(of), Expected::Digest(_));
                is_looked_over || stat.size == saved || !is_known
            }
            // An index may be newer.
            _ => stat.size > 0 || saved == 0,
        };
        Ok(if is_right { Held::Right } else { Held::Doubtful })
    }

    /// Returns which crate files and sources of a generation the lock files do not mean, though they name the crate.
    fn unfit(&self, manifest: &Manifest) -> HashSet<RelPath> {
        let mut unfit = HashSet::new();
        for Entry { path, kind } in &manifest.entries {
            let (RegistryPart::CrateFile(of), EntryKind::File(facts)) = (registry_part(path), kind)
            else {
                continue;
            };
            let expected = self.checksums.of(of);
            // Cargo may still write the lock file that names this crate.
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

/// What a destination lacks of a generation.
#[derive(Default)]
struct Missing {
    /// Directories that appear as one with what they hold, single files, and the directories that
    /// lead there; sorted.
    entries: Vec<Entry>,
    bytes: u64,
}

/// Returns what a destination lacks; nothing if it holds something doubtful and was not looked over.
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

/// Makes a file of each hard link whose first name is not restored with it.
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

/// Tells whether the destination holds a file, or a directory that cargo takes for whole.
pub(super) fn is_held(kind: Shared, dest: &Beneath, top: &RelPath) -> Result<bool> {
    Ok(held(kind, dest, top)?.is_some())
}

/// Returns the stat of that.
fn held(kind: Shared, dest: &Beneath, top: &RelPath) -> Result<Option<Stat>> {
    let Some(stat) = dest.stat(top)? else { return Ok(None) };
    if stat.kind != crate::fs::stat::Kind::Dir || !needs_mark(top) {
        return Ok(Some(stat));
    }
    let mark = top.join(b".cargo-ok").ok();
    let mark: Option<Stat> = mark.map(|mark| dest.stat(&mark)).transpose()?.flatten();
    // An empty one was written by a cargo that was killed meanwhile: facts of cargo 1.95. A
    // checkout of a git dependency has an empty one by design.
    Ok(mark.filter(|mark| mark.size > 0 || kind == Shared::Git).map(|_| stat))
}
