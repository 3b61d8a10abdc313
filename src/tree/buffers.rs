//! Buffers that are reused.

use std::sync::Mutex;

/// A pool of buffers, each handed from one piece of work to the next.
///
/// There are never more buffers than threads that work at once.
#[derive(Debug)]
pub(super) struct Buffers<B>(Mutex<Vec<B>>);

impl<B> Default for Buffers<B> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<B: Default> Buffers<B> {
    /// Runs `work` with a buffer whose content is arbitrary.
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
