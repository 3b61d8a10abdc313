//! Buffers that are used again.

use std::sync::Mutex;

/// Buffers, handed from piece of work to piece of work.
///
/// There are never more than threads that work at once.
#[derive(Debug)]
pub(super) struct Buffers<B>(Mutex<Vec<B>>);

impl<B> Default for Buffers<B> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<B: Default> Buffers<B> {
    /// Runs `work` with a buffer that holds anything.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut B) -> T) -> T {
        let mut buffer = self.free(Vec::pop).unwrap_or_default();
        let result = work(&mut buffer);
        self.free(|free| free.push(buffer));
        result
    }

    fn free<T>(&self, change: impl FnOnce(&mut Vec<B>) -> T) -> T {
        change(&mut self.0.lock().expect("nobody panics while pushing"))
    }
}
