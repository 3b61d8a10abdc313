//! Shows progress bars on a terminal, and ends work early after a signal.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Result;
use crate::front::Status;
use crate::front::print::is_watched;
use crate::front::signals::Signals;
use crate::job::progress::Progress;

/// Runs `work`, which SIGINT and SIGTERM stop. Draws its progress if stderr is a terminal and this is no CI job.
/// Returns the result of `work`, and the exit status if a signal came.
pub(super) fn watch<T: Send>(
    what: &'static str,
    work: impl FnOnce(&Progress) -> T + Send,
) -> Result<(T, Option<Status>)> {
    let progress = Progress::default();
    let signals = Signals::stop(&progress, |status| status as i32)?;
    let done = draw_while(what, &progress, work);
    Ok((done, signals.status()))
}

fn draw_while<T: Send>(
    what: &'static str,
    progress: &Progress,
    work: impl FnOnce(&Progress) -> T + Send,
) -> T {
    // CI runners may provide a terminal (act does); they set `CI`.
    let is_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
    if is_ci || !is_watched() {
        return work(progress);
    }
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| draw(what, progress, &is_done));
        let result = work(progress);
        is_done.store(true, Ordering::Release);
        result
    })
}

fn draw(what: &'static str, progress: &Progress, is_done: &AtomicBool) {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let template = "{prefix} {wide_bar} {binary_bytes}/{binary_total_bytes} {msg} files";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_prefix(what);
    while !is_done.load(Ordering::Acquire) {
        let look = progress.look();
        bar.set_length(look.total_bytes.max(look.done_bytes));
        bar.set_position(look.done_bytes);
        bar.set_message(look.done_files.to_string());
        std::thread::sleep(Duration::from_millis(60));
    }
    bar.finish_and_clear();
}
