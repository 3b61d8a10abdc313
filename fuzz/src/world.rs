//! A store for the targets, and the files in it.

use std::fs;
use std::path::{Path, PathBuf};

use runner_cache::model::digest::Digest;
use runner_cache::model::manifest::{GenerationId, GenerationNumber, Series};
use runner_cache::model::scope::Scope;
use runner_cache::store::Store;

/// An empty store in a temporary directory, which is removed with it.
pub(crate) struct World {
    dir: tempfile::TempDir,
    /// The store.
    pub(crate) store: Store,
}

thread_local! {
    // Creating a store costs more than running an input in it.
    static WORLD: World = World::new();
}

impl World {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("runner-cache-fuzz-").tempdir();
        let dir = dir.expect("there is room for a directory");
        let store = Store::open_or_init(&dir.path().join("store")).expect("a store can be made");
        Self { dir, store }
    }

    /// Runs `what` in the store of this thread, which is empty except for leftovers of earlier
    /// inputs.
    pub(crate) fn with<T>(what: impl FnOnce(&Self) -> T) -> T {
        WORLD.with(what)
    }

    /// Returns a path beside the store.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Returns a path in the store.
    pub(crate) fn inside(&self, name: &str) -> PathBuf {
        self.store.root().join(name)
    }

    /// Writes `bytes` to the file at `path`; creates its parent directories.
    pub(crate) fn write(&self, path: &Path, bytes: &[u8]) {
        assert!(path.starts_with(self.dir.path()), "`{}` is outside", path.display());
        fs::create_dir_all(path.parent().unwrap_or(path)).expect("directories can be made");
        fs::write(path, bytes).expect("a file can be written");
    }

    /// Removes the file or directory at `path`, if it exists.
    pub(crate) fn remove(&self, path: &Path) {
        assert!(path.starts_with(self.dir.path()), "`{}` is outside", path.display());
        if path.is_dir() {
            fs::remove_dir_all(path).expect("what was made here can be removed");
        } else if path.symlink_metadata().is_ok() {
            fs::remove_file(path).expect("what was made here can be removed");
        }
    }
}

/// Returns the series that inputs are generations of.
pub(crate) fn series() -> Series {
    let parsed = "every word is one that fits";
    let repository = "owner/app".parse().expect(parsed);
    let lane = "protected".parse().expect(parsed);
    let (area, key) = ("target".parse().expect(parsed), "key".parse().expect(parsed));
    Series { scope: Scope { repository, lane }, area, key }
}

/// Returns the first generation of [`series`].
pub(crate) fn generation() -> GenerationId {
    GenerationId { series: series(), number: GenerationNumber::FIRST }
}

/// Returns the file name, without extension, of the record of the directory at `dir`.
pub(crate) fn name_of(dir: &Path) -> String {
    Digest::of(dir.as_os_str().as_encoded_bytes()).to_string()
}

/// Tells whether `bytes` begin like a zstd frame, and so are used as they are.
pub(crate) fn is_frame(bytes: &[u8]) -> bool {
    bytes.starts_with(&0xFD2F_B528_u32.to_le_bytes())
}

/// Returns `bytes` as one zstd frame with a checksum, as the store writes it.
pub(crate) fn frame(bytes: &[u8]) -> Vec<u8> {
    let compress = || {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1)?;
        encoder.include_checksum(true)?;
        std::io::Write::write_all(&mut encoder, bytes)?;
        encoder.finish()
    };
    compress().expect("memory takes what is written to it")
}
