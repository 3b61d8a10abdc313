//! The remembered answers of cargo, rustc and C compilers, in the store.

use std::path::Path;

use crate::cargo::memory::Memory;
use crate::model::timestamp::Timestamp;
use crate::store::{SETTLED_NANOS, Store, boot_id};

/// Returns the answers that the store remembers for the checkout at `repo`, a canonical path.
pub fn recall(store: &Store, repo: &Path) -> Memory {
    let now = Timestamp::from(std::time::SystemTime::now());
    Memory::new(store.answers(repo, &boot_id()), now.minus(0, SETTLED_NANOS))
}

/// Records the answers that were learned. If this fails, the next command asks again.
pub fn remember(store: &Store, repo: &Path, memory: &Memory) {
    if let Some(answers) = memory.learned() {
        drop(store.set_answers(repo, &boot_id(), answers));
    }
}
