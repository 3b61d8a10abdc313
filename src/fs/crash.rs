//! Named points at which a test may end the process, or pause it and do something to it.
//!
//! A program that must be killable at any instruction is tested by killing it. The points are
//! enumerated here, and the test walks the list: a new point that no test reaches fails it.
//! Release builds have none.

/// Every crash point, in the order in which a save, a restore and a gc reach them; those that only
/// hot trees have at the end.
pub const CRASH_POINTS: &[&str] = &[
    "save: leased",
    "save: pack staged",
    "save: pack visible",
    "save: packs visible",
    "publish: staged",
    "publish: visible",
    "save: recorded",
    "restore: leased",
    "restore: sources",
    "restore: room",
    "restore: staged",
    "restore: placed",
    "gc: moved",
    "gc: deleted",
    "hot: staged",
    "hot: recorded",
    "hot: taken",
];

/// What happens to the process at the armed point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It ends, as SIGKILL would end it.
    End,
    /// It stops as SIGSTOP stops it, once, until it gets SIGCONT.
    Pause,
}

#[cfg(debug_assertions)]
static ARMED: std::sync::Mutex<Option<(String, Fate)>> = std::sync::Mutex::new(None);

/// Makes `fate` wait for the process at `point`. Only the last call counts.
pub fn arm(point: &str, fate: Fate) {
    #[cfg(debug_assertions)]
    if let Ok(mut armed) = ARMED.lock() {
        *armed = Some((point.to_owned(), fate));
    }
    #[cfg(not(debug_assertions))]
    let _ = (point, fate);
}

/// Does to the process what it is armed with at `point`.
pub fn crash_point(point: &'static str) {
    debug_assert!(CRASH_POINTS.contains(&point), "`{point}` is missing from CRASH_POINTS");
    #[cfg(debug_assertions)]
    {
        let fate = ARMED
            .lock()
            .ok()
            .and_then(|mut armed| armed.take_if(|(armed, _)| armed == point).map(|(_, fate)| fate));
        match fate {
            Some(Fate::End) => std::process::abort(),
            Some(Fate::Pause) => {
                let stopped = rustix::process::kill_process(
                    rustix::process::getpid(),
                    rustix::process::Signal::STOP,
                );
                debug_assert!(stopped.is_ok(), "cannot stop: {stopped:?}");
            }
            None => {}
        }
    }
}
