//! Crash points: named points at which a test may end or pause the process.
//!
//! Killing the program at a point tests that it may be killed there. All points are listed here,
//! and a test reaches each of them: it fails for a new point that it does not reach. Release builds
//! have no crash points.

/// Every crash point, in the order in which a save, a restore and a gc reach them. Points that only
/// hot trees have are at the end.
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

/// The fate of the process at the armed point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It aborts, without cleaning up, as after SIGKILL.
    End,
    /// It stops once, by SIGSTOP, until SIGCONT.
    Pause,
}

#[cfg(debug_assertions)]
static ARMED: std::sync::Mutex<Option<(String, Fate)>> = std::sync::Mutex::new(None);

/// Arms `point` with `fate`. Only the last call counts.
pub fn arm(point: &str, fate: Fate) {
    #[cfg(debug_assertions)]
    if let Ok(mut armed) = ARMED.lock() {
        *armed = Some((point.to_owned(), fate));
    }
    #[cfg(not(debug_assertions))]
    let _ = (point, fate);
}

/// Carries out the fate of the process if `point` is armed.
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
