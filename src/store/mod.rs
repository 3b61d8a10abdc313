//! The store: every pack and generation on this host, in one directory.
//!
//! # Layout
//!
//! ```text
//! <root>/                        mode 0700
//! ├── store.json                 format version, features, id; written once
//! ├── CACHEDIR.TAG               tells backup programs to leave it out
//! ├── packs/ab/<digest>.tar.zst  contents; never changed once there
//! ├── series/<scope>/<area>/<key>/<number>.manifest.zst
//! │                              one generation; its name is its publication
//! ├── stamps/<scope>/<area>/<key>  when the series was last used
//! ├── trees/<digest>.zst         the record of a directory's tree; disposable
//! ├── trees/<digest>.owner       the scope that last used it; disposable
//! ├── trees/<digest>.vouched     its parts that were vouched for; disposable
//! ├── trees/<digest>.answers     the remembered answers for a checkout; disposable
//! ├── hot/<id>, hot/<id>.zst     an expanded tree and its record; disposable
//! ├── mirrors/<server>/<repository>.git  a bare git repository; disposable
//! ├── homes/<name>/             the private home of a runner; disposable
//! ├── leases/<id>                one per live process, held with flock
//! ├── journal/<yyyy-mm>.jsonl    one line per restore, save, expiry
//! ├── staging/<lease id>/        garbage unless that lease is alive
//! ├── trash/<gc id>/             garbage once gc has settled
//! └── gc.lock                    held by the running gc
//! ```
//!
//! `docs/FORMAT.md` is the authority; this is the map. No other module builds a path under the
//! store.
//!
//! # Invariants
//!
//! 1. A published manifest names only packs that are in `packs/`, whole.
//! 2. Nothing under `packs/` or `series/` changes after it has its name; it is only removed.
//! 3. A crash at any instruction leaves 1 and 2 true.
//! 4. Outside the root, only marked directories of this store are removed: see `outside`.
//!
//! # Locking
//!
//! There is no store-wide lock. A process that reads or writes the store holds a lease, and names
//! in it each generation and pack that it relies on *before* it checks that they exist. gc reads
//! leases and manifests, moves packs and generations that nothing names to `trash/`, reads leases
//! and manifests again, puts back the ones named in the meantime, and deletes the rest. So either
//! the process finds its object missing, or gc finds it named. Why that is enough:
//! `docs/decisions/0002-leases.md`.
//!
//! Each mirror has a lock: a reader shares it; a process that fetches into the mirror or moves it
//! to `trash/` holds it alone. Each private home has such a lock, too, held while one of our
//! commands works in the home; the `homes` module says how a home is kept while a job builds.

mod answers;
mod error;
mod examine;
mod file;
mod generations;
mod homes;
mod hot;
mod journal;
mod leases;
mod leftovers;
mod limits;
mod manifest_file;
mod mirrors;
mod oddities;
mod open;
mod outside;
mod owners;
mod pack_writer;
mod packs;
mod records;
#[cfg(test)]
pub(crate) mod sample;
mod stamps;
mod sweep;
mod trees;
mod vouched;

use std::path::{Path, PathBuf};

pub use error::{Error, Result};
pub use examine::{Examined, Holdings};
pub use generations::Generation;
pub use homes::PrivateHome;
pub use hot::{HeldTree, Hold, HotTree, NewHotTree, NotKept, OUTSIDE, StrayRecord};
pub use journal::Event;
pub use leases::{Lease, LeaseFacts, Purpose, Reclaimed, Use};
pub use mirrors::{Mirror, MirrorLock, OwnedMirror};
pub use oddities::Oddity;
pub use open::Store;
pub use outside::{MARK, Marked, MarkedDir, unmark};
pub use pack_writer::{PackDraft, PackWriter, StagedPack, tar_len};
pub use packs::{Member, Members, PackFile, PackList, PackRoom};
pub use sweep::{GcLock, Swept};
pub use trees::{SETTLED_NANOS, TreeOwner, TreeRecord, boot_id};
pub use vouched::{Vouched, VouchedPart};

use crate::model::digest::Digest;
use crate::model::manifest::Series;

/// The version of the format this program writes, and the newest it reads.
pub const FORMAT: u32 = 1;

impl Store {
    /// Returns the store's root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn packs_dir(&self) -> PathBuf {
        self.root.join("packs")
    }

    /// Returns where the pack named `digest` is, or would be.
    pub fn pack_path(&self, digest: Digest) -> PathBuf {
        let name = digest.to_string();
        self.packs_dir().join(&name[..2]).join(format!("{name}.tar.zst"))
    }

    fn all_series_dir(&self) -> PathBuf {
        self.root.join("series")
    }

    fn series_dir(&self, series: &Series) -> PathBuf {
        self.all_series_dir().join(series_path(series))
    }

    fn stamps_dir(&self) -> PathBuf {
        self.root.join("stamps")
    }

    fn stamp_path(&self, series: &Series) -> PathBuf {
        self.stamps_dir().join(series_path(series))
    }

    fn trees_dir(&self) -> PathBuf {
        self.root.join("trees")
    }

    fn mirrors_dir(&self) -> PathBuf {
        self.root.join("mirrors")
    }

    fn homes_dir(&self) -> PathBuf {
        self.root.join("homes")
    }

    fn leases_dir(&self) -> PathBuf {
        self.root.join("leases")
    }

    fn journal_dir(&self) -> PathBuf {
        self.root.join("journal")
    }

    fn staging_dir(&self) -> PathBuf {
        self.root.join("staging")
    }

    fn trash_dir(&self) -> PathBuf {
        self.root.join("trash")
    }
}

fn series_path(series: &Series) -> PathBuf {
    let area = series.area.dir_name();
    [series.scope.dir_name().as_str(), &area, series.key.as_str()].iter().collect()
}
