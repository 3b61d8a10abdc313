//! The launcher: what a runner's node loads, and is replaced by.
//!
//! A runner starts an action by `node <action>/dist/main.node`, and that of the chain by
//! `node <action>/chain/../dist/chain.node`. Node opens a `.node` file with
//! `dlopen`, and the loader runs its constructors before node asks what else is in it. Ours
//! replaces the process by the program, so that no JavaScript runs. The process keeps its number:
//! what the runner signals is the program.
//!
//! # What the program must not notice
//!
//! Node closes its streams on exec, ignores two signals and may have made its streams
//! non-blocking: `launch` puts that back. Everything else that node has (threads, handlers, open
//! files) ends with the exec.
//!
//! # What there is to stand on
//!
//! Neither libc nor node's interface: musl hands a constructor no arguments, and no symbol is sure
//! to be in every node. So the environment and our own path are read from `/proc/self`, memory
//! comes from `memory`, what else the kernel has to do is in `sys`, and what the compiler takes
//! for granted in `builtins`.
//!
//! # What never happens
//!
//! The constructor does not return: node would say only that a module did not register itself. If
//! the program cannot be started, one line says why, as an error of the main step and as a warning
//! of the post step, which must not fail a job.
//!
//! `unsafe` code is in `sys`, `memory` and `builtins`, and in one attribute below: each says so,
//! and elsewhere the compiler refuses it.

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

    /// Where the loader finds what to run.
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
