//! Buffers that are used again.

use std::sync::Mutex;

use crate::fs::bulk::Aligned;

/// Buffers of up to one content each, handed from piece of work to piece of work.
///
/// There are never more than threads that work at once.
#[derive(Debug, Default)]
pub(super) struct Buffers(Mutex<Vec<Aligned>>);

impl Buffers {
    /// Runs `work` with a buffer that holds anything.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Aligned) -> T) -> T {
        let mut buffer = self.free(Vec::pop).unwrap_or_default();
        let result = work(&mut buffer);
        self.free(|free| free.push(buffer));
        result
    }

    fn free<T>(&self, change: impl FnOnce(&mut Vec<Aligned>) -> T) -> T {
        change(&mut self.0.lock().expect("nobody panics while pushing"))
    }
}
