//! Replacing node by the program.

use alloc::vec::Vec;
use core::convert::Infallible;
use core::ffi::CStr;

use crate::environment::Environment;
use crate::failure::{Ended, Failure};
use crate::install::{Need, UNREACHED, install};
use crate::place::{Action, Program};
use crate::stage::Stage;
use crate::sys;

/// Replaces node by the program; if that fails, prints why and exits.
pub(crate) extern "C" fn launch() -> ! {
    let Err(failure) = start(Stage::BUILT);
    if let Some(line) = failure.annotation(Stage::BUILT) {
        // Stdout itself failed; there is nowhere left to report it.
        let _ = sys::print(&line);
    }
    sys::exit(failure.status(Stage::BUILT))
}

/// Exits when nothing works any more, not even memory allocation.
pub(crate) fn give_up() -> ! {
    for part in [Stage::BUILT.command(), b"the launcher ran out of memory\n"] {
        // As in `launch`.
        let _ = sys::print(part);
    }
    sys::exit(Stage::BUILT.status())
}

fn start(stage: Stage) -> Result<Infallible, Failure> {
    undo_what_node_did();
    let variables = read(c"/proc/self/environ")?;
    let maps = read(c"/proc/self/maps")?;
    let action = Action::of(&maps, launch as *const () as usize).ok_or(Failure::Homeless)?;
    let action_variable = action.variable();
    let mut environment = Environment::parse(&variables);
    environment.set(Action::VARIABLE, &action_variable);

    let programs = action.programs(&environment);
    let program = match find(&programs) {
        Some(program) => program,
        None if stage == Stage::Post => return Err(Failure::Missing),
        None => {
            let installer = action.installer();
            let need = stage.need(&environment);
            let ended =
                install(&installer, need, environment.entries()).map_err(Failure::NoInstaller)?;
            if need == Need::Optional && ended == Ended::Exited(UNREACHED) {
                return Err(Failure::Unreached);
            }
            let program = (ended == Ended::Exited(0)).then(|| find(&programs)).flatten();
            program.ok_or(Failure::NotInstalled { installer, ended })?
        }
    };
    let arguments = [c"runner-cache", c"action", stage.argument()];
    let errno = sys::execute(program, &arguments, environment.entries());
    Err(Failure::NotStarted { program: program.into(), errno })
}

/// Undoes the changes of node that survive an exec and that the program does not expect.
///
/// Each call can fail only for a closed stream, for which there is nothing to undo.
fn undo_what_node_did() {
    for stream in 0..=2 {
        // Node marks its streams close-on-exec: the program would run without output.
        let _ = sys::keep_on_exec(stream);
        // A script of `node --require` that prints leaves them non-blocking: writes would fail.
        let _ = sys::make_blocking(stream);
    }
    // Node ignores these two signals, and an exec keeps them ignored: a closed pipe would not end
    // the program.
    for signal in [sys::SIGPIPE, sys::SIGXFSZ] {
        let _ = sys::reset_signal(signal);
    }
    // A runner cancels by signals, so none may be blocked.
    let _ = sys::unblock_signals();
}

fn read(path: &'static CStr) -> Result<Vec<u8>, Failure> {
    sys::read_file(path).map_err(|errno| Failure::Unreadable { path, errno })
}

fn find(programs: &[Option<Program>]) -> Option<&CStr> {
    programs.iter().flatten().find_map(|program| program.if_there(sys::exists))
}
