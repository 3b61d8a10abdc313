//! Buffers that are used again.

use std::sync::Mutex;

/// Buffers of up to one content each, handed from piece of work to piece of work.
///
/// A fresh 32 MiB buffer costs 8,192 page faults, about as much as copying the content through it.
/// There are never more than threads that work at once.
#[derive(Debug, Default)]
pub(super) struct Buffers(Mutex<Vec<Vec<u8>>>);

impl Buffers {
    /// Runs `work` with a buffer that holds anything.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let mut buffer = self.free(Vec::pop).unwrap_or_default();
        let result = work(&mut buffer);
        self.free(|free| free.push(buffer));
        result
    }

    fn free<T>(&self, change: impl FnOnce(&mut Vec<Vec<u8>>) -> T) -> T {
        change(&mut self.0.lock().expect("nobody panics while pushing"))
    }
}
