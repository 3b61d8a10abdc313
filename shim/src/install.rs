//! Running the installer, and passing on the runner's signals meanwhile.

use core::ffi::CStr;
use core::sync::atomic::{AtomicI32, Ordering};

use crate::errno::Errno;
use crate::failure::Ended;
use crate::sys;

/// The installer's process id, for [`pass_on`]; 0 before it is started.
static INSTALLER: AtomicI32 = AtomicI32::new(0);

/// The exit status of the installer if the release cannot be downloaded, and [`Need::Optional`].
pub(crate) const UNREACHED: u8 = 75;

/// Whether the job can do without the program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Need {
    /// The step has something to do that later steps rely on.
    Required,
    /// The step only restores, saves or makes room.
    Optional,
}

/// Runs the script at `path` with `environment`; returns how it ended.
///
/// A runner that cancels the step signals only this process. The signal is passed on, and this
/// process ends once the script has cleaned up.
pub(crate) fn install(path: &CStr, need: Need, environment: &[&CStr]) -> Result<Ended, Errno> {
    // The two signals that node handles. Any other ends this process at once, and so the installer.
    for signal in [sys::SIGINT, sys::SIGTERM] {
        sys::on_signal(signal, pass_on)?;
    }
    let launcher = sys::process();
    match sys::fork(&INSTALLER)? {
        0 => become_installer(launcher, path, need, environment),
        installer => sys::wait(installer),
    }
}

/// Runs the installer in the child.
fn become_installer(launcher: i32, path: &CStr, need: Need, environment: &[&CStr]) -> ! {
    const NOT_EXECUTED: i32 = 126;
    // If the launcher is killed outright, it passes nothing on, and the installer must end, too.
    let _ = sys::die_with_parent(sys::SIGTERM);
    // If the launcher ended before that call, there is nobody to install for.
    if sys::parent_process() == launcher {
        let arguments = [c"sh", path, c"optional"];
        let arguments = if need == Need::Optional { &arguments[..] } else { &arguments[..2] };
        sys::execute(c"/bin/sh", arguments, environment);
    }
    sys::exit(NOT_EXECUTED);
}

/// Passes `signal` on to the installer, waits for it, and ends as a shell would.
///
/// A second signal meanwhile calls this function again, on top of the first call.
extern "C" fn pass_on(signal: i32) -> ! {
    let installer = INSTALLER.load(Ordering::Relaxed);
    if installer != 0 {
        // Both calls fail if the installer has ended already.
        let _ = sys::send_signal(installer, signal);
        let _ = sys::wait(installer);
    }
    sys::exit(128 + signal);
}
