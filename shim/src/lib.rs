//! The launcher: a module that a runner's node loads, and that replaces node by the program.
//!
//! A runner starts an action by `node <action>/dist/main.node`, and the chain's action by `node
//! <action>/chain/../dist/chain.node`. Node opens a `.node` file with `dlopen`, and the loader runs
//! the file's constructors before node looks at anything else in it. Our constructor replaces the
//! process by the program, so no JavaScript runs. The process id stays the same, so the runner's
//! signals reach the program.
//!
//! # Undoing node's changes
//!
//! Node closes its streams on exec, ignores two signals and may have made its streams non-blocking;
//! `launch` undoes that. Everything else that belongs to node (threads, handlers, open files) ends
//! with the exec.
//!
//! # No libc
//!
//! The launcher uses neither libc nor node's interface: musl passes no arguments to a constructor,
//! and no symbol is certain to be in every node. So the environment and the launcher's own path are
//! read from `/proc/self`, memory comes from `memory`, other system calls are in `sys`, and the
//! functions that the compiler assumes are in `builtins`.
//!
//! # Failure
//!
//! The constructor never returns: node would only report that a module did not register itself. If
//! the program cannot be started, one line says why: as an error in the main step, and as a warning
//! in the post step, which must not fail a job.
//!
//! `unsafe` code is in `sys`, `memory` and `builtins`, and in one attribute below. Each place is
//! marked, and the compiler refuses it elsewhere.

#![cfg_attr(not(test), no_std)]
#![cfg_attr(
    test,
    expect(dead_code, reason = "what uses it, the constructor, must not run in a test")
)]

extern crate alloc;

#[cfg(not(test))]
mod builtins;
mod environment;
mod errno;
mod failure;
mod install;
mod launch;
mod memory;
mod place;
mod stage;
mod sys;

#[cfg(not(test))]
mod entry {
    use core::panic::PanicInfo;

    use crate::launch::{give_up, launch};
    use crate::memory::Pages;

    /// The constructor, where the loader looks for it.
    #[used]
    #[expect(unsafe_code, reason = "the name of the section is what makes it run")]
    // SAFETY: the loader calls every pointer in this section as a function without arguments, in
    // musl, or with three that a callee may leave unread, in glibc. `launch` is one.
    #[unsafe(link_section = ".init_array")]
    static CONSTRUCTOR: extern "C" fn() -> ! = launch;

    #[global_allocator]
    static ALLOCATOR: Pages = Pages;

    #[panic_handler]
    fn panic(_: &PanicInfo<'_>) -> ! {
        give_up()
    }
}
