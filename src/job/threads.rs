//! The number of threads of a command.

/// Runs `work` on this number of threads; 0 means one for each core.
pub fn with_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    match rayon::ThreadPoolBuilder::new().num_threads(threads).build() {
        Ok(pool) => pool.install(work),
        // No thread can be started, so this thread does all the work.
        Err(_) => on_this_thread(work),
    }
}

/// Runs `work` on this thread alone. It needs a pool of its own: rayon would otherwise use the
/// global pool, which panics if no thread can be started.
fn on_this_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    match rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build() {
        Ok(pool) => pool.install(work),
        // This thread is in a pool already.
        Err(_) => work(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_threads_this_one_does_it_all() {
        // Use a new thread: the pool stays with it.
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
