//! Removing what nobody names: look, move, look again, delete.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::error::Result;
use super::leases::random_id;
use super::open::Store;
use crate::fs::At;
use crate::fs::crash::crash_point;
use crate::fs::lock::Lock;
use crate::fs::rename::rename_noreplace;
use crate::model::digest::Digest;
use crate::model::manifest::{GenerationId, Series};

/// Proof that no other gc runs, for as long as this lives.
#[derive(Debug)]
pub struct GcLock {
    // Held, never read: closing the file releases the lock.
    _lock: Lock,
}

/// What a sweep removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// The generations that are gone.
    pub generations: Vec<GenerationId>,
    /// The packs that are gone.
    pub packs: Vec<Digest>,
    /// The bytes freed on disk.
    pub bytes: u64,
}

impl Store {
    /// Takes the lock of gc; `None` if another gc runs, which then does the work.
    pub fn gc_lock(&self) -> Result<Option<GcLock>> {
        let lock = Lock::try_exclusive(&self.root().join("gc.lock"))?;
        Ok(lock.map(|lock| GcLock { _lock: lock }))
    }

    /// Removes `generations` and the manifests at `unreadable`, then every pack that no
    /// generation and no live lease names.
    ///
    /// What somebody began to rely on in the meantime is put back. After a crash the next call
    /// puts back what is named and deletes the rest.
    pub fn sweep(
        &self,
        lock: &GcLock,
        generations: &[GenerationId],
        unreadable: &[PathBuf],
    ) -> Result<Swept> {
        self.settle(lock)?;
        let trash = self.trash_dir().join(random_id());
        let leased = self.lease_facts()?;
        for id in generations.iter().filter(|id| !leased.generations.contains(id)) {
            self.move_to(&trash, &self.generation_path(id))?;
        }
        for path in unreadable.iter().filter(|path| path.starts_with(self.all_series_dir())) {
            self.move_to(&trash, path)?;
        }
        let named = self.named_packs()?;
        for (digest, _) in self.packs()?.packs {
            if !named.contains(&digest) {
                self.move_to(&trash, &self.pack_path(digest))?;
            }
        }
        crash_point("gc: moved");
        let swept = self.settle(lock)?;
        let series: BTreeSet<&Series> = swept.generations.iter().map(|id| &id.series).collect();
        series.into_iter().try_for_each(|series| self.forget(series))?;
        Ok(swept)
    }

    /// Puts back what is in `trash/` and named by a generation or a live lease; deletes the rest.
    pub fn settle(&self, _lock: &GcLock) -> Result<Swept> {
        let mut swept = Swept::default();
        let trash = self.trash_dir();
        for entry in fs::read_dir(&trash).at("read directory", &trash)? {
            let dir = entry.at("read directory", &trash)?.path();
            self.settle_dir(&dir, &mut swept)?;
            fs::remove_dir_all(&dir).at("remove", &dir)?;
        }
        crash_point("gc: deleted");
        Ok(swept)
    }

    fn settle_dir(&self, dir: &Path, swept: &mut Swept) -> Result<()> {
        // Leases before generations: a saver drops its lease only after it has published, so
        // what it names is seen in one place or the other.
        let leased = self.lease_facts()?;
        let mut manifests = Vec::new();
        let mut packs = Vec::new();
        for found in crate::fs::walk::walk(dir, |_, _| true)? {
            let path = found.path.as_path();
            match found.path.components().next() {
                _ if found.stat.kind != crate::fs::stat::Kind::File => {}
                Some(b"series") => manifests.push((path.to_owned(), found.stat.size)),
                Some(b"packs") => packs.push((path.to_owned(), found.stat.size)),
                _ => {}
            }
        }
        for (path, bytes) in manifests {
            let home = self.root().join(&path);
            let id = leased.generations.iter().find(|id| self.generation_path(id) == home);
            if id.is_some() {
                put_back(&dir.join(&path), &home)?;
                continue;
            }
            let number = file_number(&path);
            // One whose header cannot be read is deleted too, but cannot be told by its name.
            if let (Ok(header), Some(number)) =
                (super::manifest_file::read_header(&dir.join(&path)), number)
            {
                swept.generations.push(GenerationId { series: header.series, number });
            }
            swept.bytes += bytes;
        }
        let named = self.named_packs()?;
        for (path, bytes) in packs {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let digest = name.strip_suffix(".tar.zst").and_then(|name| name.parse().ok());
            match digest {
                Some(digest) if named.contains(&digest) => {
                    put_back(&dir.join(&path), &self.root().join(&path))?;
                }
                digest => {
                    swept.packs.extend(digest);
                    swept.bytes += bytes;
                }
            }
        }
        Ok(())
    }

    /// Returns the packs that live leases or generations name; leases are read first.
    fn named_packs(&self) -> Result<BTreeSet<Digest>> {
        let mut named = self.lease_facts()?.packs;
        let (generations, failures) = self.generations()?;
        if let Some(failure) = failures.into_iter().next() {
            // A manifest that cannot be read, of a newer program say, may name any pack:
            // nothing is swept blindly.
            return Err(failure);
        }
        for generation in generations {
            named.extend(generation.header.packs.iter().map(|pack| pack.digest));
        }
        Ok(named)
    }

    fn move_to(&self, trash: &Path, path: &Path) -> Result<()> {
        let below = path.strip_prefix(self.root()).expect("paths of the store lie below its root");
        let dest = trash.join(below);
        let dir = dest.parent().unwrap_or(trash);
        fs::create_dir_all(dir).at("create directory", dir)?;
        match fs::rename(path, &dest) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            moved => Ok(moved.at("move to the trash", path)?),
        }
    }
}

fn file_number(path: &Path) -> Option<crate::model::manifest::GenerationNumber> {
    path.file_name()?.to_str()?.strip_suffix(".manifest.zst")?.parse().ok()
}

fn put_back(trashed: &Path, home: &Path) -> Result<()> {
    let dir = home.parent().unwrap_or(home);
    fs::create_dir_all(dir).at("create directory", dir)?;
    // Taken only if a saver wrote the same pack again: then this copy is the garbage.
    rename_noreplace(trashed, home)?;
    Ok(())
}
