//! Putting `registry` and `git` in place: additively, in a `CARGO_HOME` that others use.

use std::collections::{HashMap, HashSet};
use std::io::ErrorKind;
use std::path::Path;

use super::Result;
use super::locks::keep_packages_still;
use super::placed::Placed;
use super::report::Mode;
use super::staged::Staged;
use super::unpack::Unpacker;
use crate::cargo::home::{self, Shared};
use crate::fs::At;
use crate::fs::beneath::Beneath;
use crate::fs::crash::crash_point;
use crate::fs::stat::Stat;
use crate::model::manifest::{Entry, EntryKind, Manifest};
use crate::model::rel_path::RelPath;
use crate::store::Lease;

/// Adds what `dir` lacks of `manifest`; never deletes or replaces what is whole.
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
) -> Result<Placed> {
    let Home { kind, root: cargo_home, dir } = *home;
    // What appears as a whole leaves nothing behind that would have to be removed.
    let is_free = dir.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound);
    let parent = if is_free { dir.parent().unwrap_or(dir) } else { dir };
    std::fs::create_dir_all(parent).at("create directory", parent)?;
    let wanted = if is_free {
        missing(kind, manifest, |_| Ok(false))?
    } else {
        let dest = Beneath::open(dir)?;
        missing(kind, manifest, |top| is_held(kind, &dest, top))?
    };
    unpacker.progress.expect(wanted.bytes);
    if wanted.entries.is_empty() {
        let certain = Some(HashSet::new());
        return Ok(Placed { mode: Mode::InPlace, inodes: HashMap::new(), certain });
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
        return Ok(Placed { mode: Mode::Unpack, inodes, certain: None });
    }
    let dest = Beneath::open(dir)?;
    let mut grafting = Grafting::new(kind, &wanted, &staging, &dest);
    grafting.graft_children(None)?;
    let grafted = grafting.grafted;
    crash_point("restore: placed");
    let most = wanted.entries.len() * 2 <= manifest.entries.len();
    let mode = if most { Mode::InPlace } else { Mode::Unpack };
    let certain = within(&grafted, &wanted.entries);
    // What was renamed itself has another ctime since.
    inodes.retain(|path, _| certain.contains(path) && !grafted.contains(path));
    Ok(Placed { mode, inodes, certain: Some(certain) })
}

/// Moves what was staged to a destination that may hold some of it.
struct Grafting<'a> {
    kind: Shared,
    staging: &'a Beneath,
    dest: &'a Beneath,
    /// What is in each directory that does not itself appear as one.
    children: HashMap<Option<RelPath>, Vec<&'a RelPath>>,
    /// What was renamed.
    grafted: HashSet<RelPath>,
}

impl<'a> Grafting<'a> {
    fn new(kind: Shared, wanted: &'a Missing, staging: &'a Beneath, dest: &'a Beneath) -> Self {
        let mut children: HashMap<_, Vec<_>> = HashMap::new();
        for Entry { path, .. } in &wanted.entries {
            if home::unit(kind, path).is_none_or(|top| top == *path) {
                children.entry(path.parent()).or_default().push(path);
            }
        }
        Self { kind, staging, dest, children, grafted: HashSet::new() }
    }

    fn graft_children(&mut self, dir: Option<&RelPath>) -> Result<()> {
        for path in self.children.remove(&dir.cloned()).unwrap_or_default() {
            self.graft(path)?;
        }
        Ok(())
    }

    /// Moves `path` with all that is below it in one step if nothing is there; else what it holds.
    fn graft(&mut self, path: &RelPath) -> Result<()> {
        let Self { kind, staging, dest, .. } = *self;
        if dest.rename_noreplace_from(path, staging, path)? {
            self.grafted.insert(path.clone());
            return Ok(());
        }
        if home::unit(kind, path).is_none() {
            return self.graft_children(Some(path));
        }
        if !is_held(kind, dest, path)? {
            // Cargo itself extracts again what has no `.cargo-ok`, into what is there.
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
}

/// What a destination lacks of a generation.
#[derive(Default)]
struct Missing {
    /// Directories that appear as one with what they hold, single files, and the directories that
    /// lead there; sorted.
    entries: Vec<Entry>,
    bytes: u64,
}

fn missing(
    kind: Shared,
    manifest: &Manifest,
    is_held: impl Fn(&RelPath) -> Result<bool>,
) -> Result<Missing> {
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
        let is_missing = if let Some(verdict) = verdicts.get(&top) {
            *verdict
        } else {
            let verdict = !is_held(&top)?;
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
    Ok(missing)
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
    let Some(stat) = dest.stat(top)? else { return Ok(false) };
    if stat.kind != crate::fs::stat::Kind::Dir {
        return Ok(true);
    }
    if !needs_mark(top) {
        return Ok(true);
    }
    let mark = top.join(b".cargo-ok").ok();
    let mark: Option<Stat> = mark.map(|mark| dest.stat(&mark)).transpose()?.flatten();
    // An empty one was written by a cargo that was killed meanwhile: facts of cargo 1.95. A
    // checkout of a git dependency has an empty one by design.
    Ok(mark.is_some_and(|mark| mark.size > 0 || kind == Shared::Git))
}

/// Tells whether cargo marks a directory of this kind with `.cargo-ok` when it is whole: crates
/// and checkouts, not databases.
pub(super) fn needs_mark(top: &RelPath) -> bool {
    matches!(top.components().next(), Some(b"src" | b"checkouts"))
}
