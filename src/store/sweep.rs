//! Removing objects that nothing names: look, move, look again, delete.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::{Error, Result};
use super::file::open;
use super::generations::{number_of, read_dir};
use super::leases::{LeaseFacts, random_id};
use super::limits::HeaderBudget;
use super::manifest_file::read_header;
use super::oddities::{Oddity, is_odd_trash};
use super::open::Store;
use crate::fs::At;
use crate::fs::crash::crash_point;
use crate::fs::lock::Lock;
use crate::fs::remove::remove_tree;
use crate::fs::rename::rename_noreplace;
use crate::fs::stat::{Kind, Stat};
use crate::model::digest::Digest;
use crate::model::manifest::GenerationId;

/// Proof that no other gc runs, for as long as this value lives. Also collects what a gc reports.
#[derive(Debug)]
pub struct GcLock {
    // Held, never read: closing the file releases the lock.
    _lock: Lock,
    /// Entries on which an operation failed while the lock was held.
    left: RefCell<Vec<Oddity>>,
    /// What was removed so far by a sweep that has not finished.
    swept: RefCell<Swept>,
}

impl GcLock {
    /// Returns the entries on which an operation failed since the last call, without duplicates.
    pub fn take_left(&self) -> Vec<Oddity> {
        let mut left = self.left.take();
        left.sort();
        left.dedup();
        left
    }

    pub(super) fn add(&self, left: Oddity) {
        self.left.borrow_mut().push(left);
    }

    /// Notes a filesystem error, so that the rest goes on; returns whether the operation succeeded.
    /// A full filesystem is returned as an error: gc then makes room and begins again.
    pub(super) fn or_note(&self, done: crate::fs::Result<()>) -> Result<bool> {
        match done {
            Ok(()) => Ok(true),
            Err(error) if error.is_full() => Err(error.into()),
            Err(error) => {
                self.add(Oddity::refused(&error));
                Ok(false)
            }
        }
    }

    /// As [`Self::or_note`], for an operation with a result; `None` if it failed.
    pub(super) fn noted<T>(&self, found: crate::fs::Result<Option<T>>) -> Result<Option<T>> {
        match found {
            Ok(found) => Ok(found),
            Err(error) => self.or_note(Err(error)).map(|_| None),
        }
    }

    /// As [`Self::or_note`], for an error of the store. An error that concerns no single entry is
    /// returned.
    pub(super) fn or_note_error(&self, error: Error) -> Result<bool> {
        match error {
            Error::Io(error) => self.or_note(Err(error)),
            Error::Damaged { path, what } => {
                self.add(Oddity { path, what });
                Ok(false)
            }
            other => Err(other),
        }
    }
}

/// How long a process waits for a gc: gc moves objects by renames, which take seconds.
const SWEEP_PATIENCE: Duration = Duration::from_mins(1);

/// The objects that a sweep removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// The removed generations.
    pub generations: Vec<GenerationId>,
    /// The removed packs.
    pub packs: Vec<Digest>,
    /// The bytes freed on disk.
    pub bytes: u64,
}

/// The packs that something names, which must stay.
enum Named {
    These(BTreeSet<Digest>),
    /// A manifest cannot be read, for example one of a newer program: it may name any pack.
    All,
}

impl Store {
    /// Takes gc's lock; `None` if another gc runs, which then does the work.
    pub fn gc_lock(&self) -> Result<Option<GcLock>> {
        // A process that only waits for a gc to end also holds the lock for a moment.
        const PATIENCE: Duration = Duration::from_millis(100);
        self.gc_lock_within(PATIENCE)
    }

    fn gc_lock_within(&self, patience: Duration) -> Result<Option<GcLock>> {
        let lock = self.lock_gc(patience)?;
        Ok(lock.map(|lock| GcLock {
            _lock: lock,
            left: RefCell::default(),
            swept: RefCell::default(),
        }))
    }

    /// Waits for a running gc to end, for at most a minute.
    ///
    /// Such a gc may have read the leases before ours named the object that we now miss. It puts
    /// the object back before it ends.
    pub(super) fn wait_for_gc(&self) -> Result<()> {
        drop(self.lock_gc(SWEEP_PATIENCE)?);
        Ok(())
    }

    /// As [`Self::wait_for_gc`]. If a gc was killed, the objects that it moved are still in its
    /// trash; this puts back those that are named, as the next gc would.
    pub(super) fn wait_and_settle(&self) -> Result<()> {
        match self.gc_lock_within(SWEEP_PATIENCE)? {
            Some(lock) => self.settle_all(&lock),
            None => Ok(()),
        }
    }

    fn lock_gc(&self, patience: Duration) -> Result<Option<Lock>> {
        let path = self.root().join("gc.lock");
        self.make_way(&path, Kind::File)?;
        match Lock::exclusive_within(&path, patience) {
            // An immutable file can be locked, but not opened for writing.
            Err(error) if error.is_denied() => Ok(Lock::of(open(&path)?, &path)?),
            lock => Ok(lock?),
        }
    }

    /// Removes `generations` and the manifests at `unreadable`, then every pack that no generation
    /// and no live lease names. No pack is removed while there is another unreadable manifest.
    ///
    /// Objects that a process named in the meantime are put back. After a crash, the next call puts
    /// back the named objects and deletes the rest. After an error, the next call with the same
    /// lock also returns what this one removed.
    pub fn sweep(
        &self,
        lock: &GcLock,
        generations: &[GenerationId],
        unreadable: &[PathBuf],
    ) -> Result<Swept> {
        self.settle_all(lock)?;
        let trash = self.trash_dir().join(random_id());
        let leased = self.lease_facts()?;
        for id in generations.iter().filter(|id| !leased.generations.contains(id)) {
            lock.or_note(self.move_to(&trash, &self.generation_path(id)))?;
        }
        for path in unreadable.iter().filter(|path| path.starts_with(self.all_series_dir())) {
            lock.or_note(self.move_to(&trash, path))?;
        }
        let named = self.named_packs()?;
        for (digest, _) in self.packs()?.packs {
            if !named.contains(digest) {
                lock.or_note(self.move_to(&trash, &self.pack_path(digest)))?;
            }
        }
        crash_point("gc: moved");
        self.settle_all(lock)?;
        crash_point("gc: deleted");
        self.forget_empty_series(lock)?;
        Ok(lock.swept.take())
    }

    /// Puts back the objects in `trash/` that a generation or a live lease names; deletes the rest.
    pub fn settle(&self, lock: &GcLock) -> Result<Swept> {
        self.settle_all(lock)?;
        Ok(lock.swept.take())
    }

    fn settle_all(&self, lock: &GcLock) -> Result<()> {
        for path in read_dir(&self.trash_dir())? {
            let is_dir = Stat::of(&path).is_ok_and(|stat| stat.kind == Kind::Dir);
            let mut left = Swept::default();
            if is_dir && !is_odd_trash(&path) {
                match self.settle_dir(&path) {
                    Ok(found) => left = found,
                    // Its contents may be named: it stays until it can be read.
                    Err(error) => {
                        lock.or_note_error(error)?;
                        continue;
                    }
                }
            }
            if !lock.or_note(remove_tree(&path))? {
                // It has left the store, but is still on the disk.
                left.bytes = 0;
            }
            lock.swept.borrow_mut().add(left);
        }
        Ok(())
    }

    /// Puts back the named objects of one directory in `trash/`; returns the others.
    fn settle_dir(&self, dir: &Path) -> Result<Swept> {
        // Read leases before generations: a saver drops its lease only after it has published, so
        // what it names is seen in one place or the other.
        let leased = self.lease_facts()?;
        let mut named = self.named_packs()?;
        let mut swept = Swept::default();
        let mut relied_on = Vec::new();
        for (path, bytes) in files_below(dir, "series")? {
            let header = read_header(&dir.join(&path), &mut HeaderBudget::new());
            if self.is_leased(&leased, &self.root().join(&path)) {
                // Its packs stay even if it cannot come back because its number is taken: a process
                // that read it may have named them in a manifest of its own.
                match header {
                    Ok(header) => named.extend(header.packs.iter().map(|pack| pack.digest)),
                    Err(_) => named = Named::All,
                }
                relied_on.push(path);
            } else {
                let number = number_of(&path);
                // A manifest with an unreadable header is deleted, too, but its series is unknown.
                let id = header.ok().zip(number);
                swept.generations.extend(
                    id.map(|(header, number)| GenerationId { series: header.series, number }),
                );
                swept.bytes += bytes;
            }
        }
        for (path, bytes) in files_below(dir, "packs")? {
            match digest_of(&path) {
                Some(digest) if named.contains(digest) => self.put_back(dir, &path)?,
                digest => {
                    swept.packs.extend(digest);
                    swept.bytes += bytes;
                }
            }
        }
        // Put manifests back after their packs: a visible manifest names only packs that exist.
        relied_on.iter().try_for_each(|path| self.put_back(dir, path))?;
        Ok(swept)
    }

    fn is_leased(&self, leased: &LeaseFacts, path: &Path) -> bool {
        leased.generations.iter().any(|id| self.generation_path(id) == path)
    }

    /// Returns the packs that live leases or generations name. Reads leases first.
    fn named_packs(&self) -> Result<Named> {
        let leased = self.lease_facts()?.packs;
        let (generations, failures) = self.generations()?;
        if !failures.is_empty() {
            return Ok(Named::All);
        }
        let mut named = Named::These(leased);
        for generation in generations {
            named.extend(generation.header.packs.iter().map(|pack| pack.digest));
        }
        Ok(named)
    }

    /// Moves `path`, which lies below the root, to the same place below `trash`.
    pub(super) fn move_to(&self, trash: &Path, path: &Path) -> crate::fs::Result<()> {
        let below = path.strip_prefix(self.root()).expect("paths of the store lie below its root");
        let dest = trash.join(below);
        let dir = dest.parent().unwrap_or(trash);
        fs::create_dir_all(dir).at("create directory", dir)?;
        match fs::rename(path, &dest) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            moved => moved.at("move to the trash", path),
        }
    }

    fn put_back(&self, trash: &Path, path: &Path) -> Result<()> {
        let home = self.root().join(path);
        self.create_dirs(home.parent().unwrap_or(&home))?;
        // If the name is taken, a saver wrote the same pack again or took the number: then this
        // copy is garbage.
        rename_noreplace(&trash.join(path), &home)?;
        Ok(())
    }
}

impl Named {
    fn contains(&self, digest: Digest) -> bool {
        match self {
            Self::These(digests) => digests.contains(&digest),
            Self::All => true,
        }
    }

    fn extend(&mut self, more: impl Iterator<Item = Digest>) {
        if let Self::These(digests) = self {
            digests.extend(more);
        }
    }
}

impl Swept {
    fn add(&mut self, more: Self) {
        self.generations.extend(more.generations);
        self.packs.extend(more.packs);
        self.bytes += more.bytes;
    }
}

/// Returns the files below `dir/name`, relative to `dir`, with their sizes in bytes.
fn files_below(dir: &Path, name: &str) -> Result<Vec<(PathBuf, u64)>> {
    let found =
        crate::fs::walk::walk(dir, |path, _| path.components().next() == Some(name.as_bytes()))?;
    let files = found.into_iter().filter(|found| found.stat.kind == Kind::File);
    Ok(files.map(|found| (found.path.as_path().to_owned(), found.stat.size)).collect())
}

/// Returns the digest in the file name of a pack.
pub(super) fn digest_of(path: &Path) -> Option<Digest> {
    path.file_name()?.to_str()?.strip_suffix(".tar.zst")?.parse().ok()
}

#[cfg(test)]
mod tests;
