//! How many threads a command works with.

/// Runs `work` with that many threads; 0 for as many as there are cores.
pub fn with_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    match rayon::ThreadPoolBuilder::new().num_threads(threads).build() {
        Ok(pool) => pool.install(work),
        // No threads to be had: the one we are on does it all.
        Err(_) => on_this_thread(work),
    }
}

/// Runs `work` on this thread alone. Without a pool of its own it would ask for the global one, which panics where it
/// gets no threads.
fn on_this_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    match rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build() {
        Ok(pool) => pool.install(work),
        // Then this thread is in a pool already.
        Err(_) => work(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_threads_this_one_does_it_all() {
        // A thread of its own, since the pool stays with it.
        let done = std::thread::spawn(|| {
            let here = std::thread::current().id();
            let both = on_this_thread(|| {
                rayon::join(|| std::thread::current().id(), || std::thread::current().id())
            });
            both == (here, here) && rayon::current_num_threads() == 1
        });
        assert!(done.join().expect("no panic"));
    }
}
