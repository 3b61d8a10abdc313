//! Named points at which a test may end the process.
//!
//! A program that must be killable at any instruction is tested by killing it. The points are
//! enumerated here, and the test walks the list: a new point that no test reaches fails it.
//! Release builds have none.

/// Every crash point, in the order in which a save, a restore and a gc reach them.
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
    "restore: staged",
    "restore: placed",
    "gc: moved",
    "gc: deleted",
];

#[cfg(debug_assertions)]
static ARMED: std::sync::OnceLock<String> = std::sync::OnceLock::new();

/// Makes the process end at `point`, as SIGKILL would end it. Only the first call counts.
pub fn arm(point: &str) {
    #[cfg(debug_assertions)]
    ARMED.get_or_init(|| point.to_owned());
    #[cfg(not(debug_assertions))]
    let _: &str = point;
}

/// Ends the process if `point` is the armed one.
pub fn crash_point(point: &'static str) {
    debug_assert!(CRASH_POINTS.contains(&point), "`{point}` is missing from CRASH_POINTS");
    #[cfg(debug_assertions)]
    if ARMED.get().is_some_and(|armed| armed == point) {
        std::process::abort();
    }
}
