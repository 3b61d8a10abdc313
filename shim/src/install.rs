//! Running the installer, and passing on what the runner signals meanwhile.

use core::ffi::CStr;
use core::sync::atomic::{AtomicI32, Ordering};

use crate::errno::Errno;
use crate::failure::Ended;
use crate::sys;

/// The installer's process, for [`pass_on`]; 0 before there is one.
static INSTALLER: AtomicI32 = AtomicI32::new(0);

/// Runs the script at `path` with `environment`; returns how it ended.
///
/// A runner that cancels the step meanwhile signals one process, us: that is passed on, and we end
/// when the script has cleaned up.
pub(crate) fn install(path: &CStr, environment: &[&CStr]) -> Result<Ended, Errno> {
    // The two that node has handlers for. Every other ends us at once, and so the installer.
    for signal in [sys::SIGINT, sys::SIGTERM] {
        sys::on_signal(signal, pass_on)?;
    }
    let launcher = sys::process();
    match sys::fork(&INSTALLER)? {
        0 => become_installer(launcher, path, environment),
        installer => sys::wait(installer),
    }
}

/// What the child does.
fn become_installer(launcher: i32, path: &CStr, environment: &[&CStr]) -> ! {
    const NOT_EXECUTED: i32 = 126;
    // A launcher that is killed outright passes nothing on, and still leaves no installer behind.
    let _ = sys::die_with_parent(sys::SIGTERM);
    // If that came too late, there is nobody to install for.
    if sys::parent_process() == launcher {
        sys::execute(c"/bin/sh", &[c"sh", path], environment);
    }
    sys::exit(NOT_EXECUTED);
}

/// Passes `signal` on to the installer, waits for it, and ends as a shell would.
///
/// A second signal meanwhile comes here again, above the first.
extern "C" fn pass_on(signal: i32) -> ! {
    let installer = INSTALLER.load(Ordering::Relaxed);
    if installer != 0 {
        // Both fail when it has ended already.
        let _ = sys::send_signal(installer, signal);
        let _ = sys::wait(installer);
    }
    sys::exit(128 + signal);
}
