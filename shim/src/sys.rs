//! System calls, as Linux on x86-64 numbers them.
//!
//! Every safe function here is safe for any arguments: it changes our memory only as its signature
//! says. Functions that take addresses are `unsafe`.

#![expect(unsafe_code, reason = "without libc, a system call is an instruction")]

use alloc::vec::Vec;
use core::arch::asm;
use core::ffi::CStr;
use core::iter::once;
use core::ptr::{self, NonNull};
use core::sync::atomic::AtomicI32;

use crate::errno::Errno;
use crate::failure::Ended;

type Result<T = ()> = core::result::Result<T, Errno>;

/// The numbers of system calls, from `asm/unistd_64.h`.
mod number {
    pub(super) const READ: usize = 0;
    pub(super) const WRITE: usize = 1;
    pub(super) const OPEN: usize = 2;
    pub(super) const MMAP: usize = 9;
    pub(super) const RT_SIGACTION: usize = 13;
    pub(super) const RT_SIGPROCMASK: usize = 14;
    pub(super) const ACCESS: usize = 21;
    pub(super) const MREMAP: usize = 25;
    pub(super) const GETPID: usize = 39;
    pub(super) const CLONE: usize = 56;
    pub(super) const EXECVE: usize = 59;
    pub(super) const WAIT4: usize = 61;
    pub(super) const KILL: usize = 62;
    pub(super) const FCNTL: usize = 72;
    pub(super) const GETPPID: usize = 110;
    pub(super) const PRCTL: usize = 157;
    pub(super) const EXIT_GROUP: usize = 231;
}

pub(crate) const SIGINT: i32 = 2;
pub(crate) const SIGPIPE: i32 = 13;
pub(crate) const SIGTERM: i32 = 15;
pub(crate) const SIGXFSZ: i32 = 25;

/// Makes a system call and returns its result, an address or a number.
///
/// # Safety
///
/// As the call's manual page says: each argument that it takes as an address must be valid for what
/// the call does with it.
unsafe fn call(number: usize, arguments: [usize; 6]) -> Result<usize> {
    let [first, second, third, fourth, fifth, sixth] = arguments;
    let result: isize;
    // SAFETY: by the x86-64 convention, the number is in rax, the arguments are in these six
    // registers, and the result is in rax; only rcx and r11 are clobbered. The caller answers for
    // the call itself.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") first,
            in("rsi") second,
            in("rdx") third,
            in("r10") fourth,
            in("r8") fifth,
            in("r9") sixth,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    // Values in the last page are errors; no memory is ever mapped there.
    match u16::try_from(-result) {
        Ok(errno @ 1..4096) => Err(Errno(errno)),
        _ => Ok(result.cast_unsigned()),
    }
}

/// Makes a system call in which no argument is an address.
fn plain(number: usize, arguments: [i32; 3]) -> Result<usize> {
    let [first, second, third] = arguments.map(|argument| (argument as isize).cast_unsigned());
    // SAFETY: no argument can be read or written through.
    unsafe { call(number, [first, second, third, 0, 0, 0]) }
}

fn address<T>(pointer: *const T) -> usize {
    // Expose the provenance: the kernel reads and writes through the address, unseen by the
    // compiler.
    pointer.expose_provenance()
}

/// Maps at least `len` bytes of zeroed memory, aligned to a page.
pub(crate) fn map(len: usize) -> Result<NonNull<u8>> {
    const READ_WRITE: usize = 1 | 2;
    const PRIVATE_ANONYMOUS: usize = 0x02 | 0x20;
    const NO_FILE: usize = usize::MAX;
    // SAFETY: the kernel chooses an unused address.
    let start = unsafe { call(number::MMAP, [0, len, READ_WRITE, PRIVATE_ANONYMOUS, NO_FILE, 0])? };
    NonNull::new(ptr::with_exposed_provenance_mut(start)).ok_or(Errno::NO_MEMORY)
}

/// Resizes memory from [`map`], and returns its new address.
///
/// # Safety
///
/// `start` must be memory of `len` bytes from [`map`] or from this function, and must not be used
/// afterwards.
pub(crate) unsafe fn remap(start: *mut u8, len: usize, new_len: usize) -> Result<NonNull<u8>> {
    const MAY_MOVE: usize = 1;
    // SAFETY: the caller gives the memory up, so nothing else is moved or cut off.
    let start = unsafe { call(number::MREMAP, [address(start), len, new_len, MAY_MOVE, 0, 0])? };
    NonNull::new(ptr::with_exposed_provenance_mut(start)).ok_or(Errno::NO_MEMORY)
}

/// Returns the contents of the file at `path`. The exec closes its descriptor.
pub(crate) fn read_file(path: &CStr) -> Result<Vec<u8>> {
    const READ_ONLY_CLOSE_ON_EXEC: usize = 0o2_000_000;
    let arguments = [address(path.as_ptr()), READ_ONLY_CLOSE_ON_EXEC, 0, 0, 0, 0];
    // SAFETY: the kernel reads `path` up to its zero.
    let file = unsafe { call(number::OPEN, arguments)? };
    let mut bytes = Vec::new();
    let mut chunk = [0; 16 << 10];
    loop {
        let arguments = [file, address(chunk.as_mut_ptr()), chunk.len(), 0, 0, 0];
        // SAFETY: `chunk` is ours, and the kernel writes no more than fits.
        match unsafe { call(number::READ, arguments) } {
            Ok(0) => return Ok(bytes),
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
            Err(Errno::INTERRUPTED) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Writes all of `bytes` to stdout.
pub(crate) fn print(mut bytes: &[u8]) -> Result {
    const STDOUT: usize = 1;
    while !bytes.is_empty() {
        let arguments = [STDOUT, address(bytes.as_ptr()), bytes.len(), 0, 0, 0];
        // SAFETY: the kernel reads `bytes` and nothing beyond.
        match unsafe { call(number::WRITE, arguments) } {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTERRUPTED) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Tells whether anything visible to us exists at `path`.
pub(crate) fn exists(path: &CStr) -> bool {
    const IS_THERE: usize = 0;
    // SAFETY: the kernel reads `path` up to its zero.
    unsafe { call(number::ACCESS, [address(path.as_ptr()), IS_THERE, 0, 0, 0, 0]) }.is_ok()
}

/// Keeps `file` open across exec.
pub(crate) fn keep_on_exec(file: i32) -> Result {
    const SET_DESCRIPTOR_FLAGS: i32 = 2;
    plain(number::FCNTL, [file, SET_DESCRIPTOR_FLAGS, 0]).map(drop)
}

/// Makes `file` blocking.
pub(crate) fn make_blocking(file: i32) -> Result {
    const GET_STATUS_FLAGS: i32 = 3;
    const SET_STATUS_FLAGS: i32 = 4;
    const NON_BLOCKING: usize = 0o4000;
    let flags = plain(number::FCNTL, [file, GET_STATUS_FLAGS, 0])?;
    let flags = i32::try_from(flags & !NON_BLOCKING).unwrap_or_default();
    plain(number::FCNTL, [file, SET_STATUS_FLAGS, flags]).map(drop)
}

/// The action for a signal in the kernel's layout, which differs from libc's.
#[repr(C)]
struct Action {
    handler: usize,
    flags: usize,
    restorer: usize,
    mask: usize,
}

/// The size of a set of signals in bytes, as the kernel wants it.
const SIGNAL_SET_LEN: usize = size_of::<u64>();

fn set_action(signal: i32, action: &Action) -> Result {
    let signal = signal.cast_unsigned() as usize;
    let arguments = [signal, address(action), 0, SIGNAL_SET_LEN, 0, 0];
    // SAFETY: the kernel reads `action`. A handler in it comes from `on_signal`, which takes only
    // functions.
    unsafe { call(number::RT_SIGACTION, arguments) }.map(drop)
}

/// Resets `signal` to its default action.
pub(crate) fn reset_signal(signal: i32) -> Result {
    const DEFAULT: usize = 0;
    set_action(signal, &Action { handler: DEFAULT, flags: 0, restorer: 0, mask: 0 })
}

/// Installs `handler` for `signal`. The handler does not return, so no code is needed to return to.
pub(crate) fn on_signal(signal: i32, handler: extern "C" fn(i32) -> !) -> Result {
    // On x86-64 the kernel requires a function to return to; any address will do.
    const HAS_RESTORER: usize = 0x0400_0000;
    let handler = handler as *const () as usize;
    set_action(signal, &Action { handler, flags: HAS_RESTORER, restorer: handler, mask: 0 })
}

/// Unblocks all signals.
pub(crate) fn unblock_signals() -> Result {
    const SET_MASK: usize = 2;
    let none = 0_u64;
    // SAFETY: the kernel reads `none`.
    unsafe {
        call(number::RT_SIGPROCMASK, [SET_MASK, address(&raw const none), 0, SIGNAL_SET_LEN, 0, 0])
    }
    .map(drop)
}

/// Forks the process; returns the child's process id, and 0 in the child.
///
/// The process id is in `child` before the child runs, and before any signal handler of ours runs.
///
/// The child has only this thread. That is harmless here, since no code takes a lock that another
/// thread may hold.
pub(crate) fn fork(child: &AtomicI32) -> Result<i32> {
    const SIGNAL_AT_END: usize = 17;
    const STORE_NUMBER: usize = 0x0010_0000;
    const SAME_STACK: usize = 0;
    let flags = STORE_NUMBER | SIGNAL_AT_END;
    // SAFETY: `child` may be written to at any time. The child continues on a copy of the stack.
    unsafe { call(number::CLONE, [flags, SAME_STACK, address(child.as_ptr()), 0, 0, 0]) }
        .map(process_number)
}

/// Returns the id of this process.
pub(crate) fn process() -> i32 {
    plain(number::GETPID, [0; 3]).map_or(0, process_number)
}

/// Returns the id of the parent process.
pub(crate) fn parent_process() -> i32 {
    plain(number::GETPPID, [0; 3]).map_or(0, process_number)
}

fn process_number(number: usize) -> i32 {
    i32::try_from(number).unwrap_or_default()
}

/// Asks the kernel to send `signal` to this process when the thread that started it ends.
pub(crate) fn die_with_parent(signal: i32) -> Result {
    const SET_PARENT_DEATH_SIGNAL: i32 = 1;
    plain(number::PRCTL, [SET_PARENT_DEATH_SIGNAL, signal, 0]).map(drop)
}

/// Sends `signal` to `process`.
pub(crate) fn send_signal(process: i32, signal: i32) -> Result {
    plain(number::KILL, [process, signal, 0]).map(drop)
}

/// Waits until the child `process` has ended.
pub(crate) fn wait(process: i32) -> Result<Ended> {
    let mut status = 0_i32;
    let process = process.cast_unsigned() as usize;
    loop {
        let arguments = [process, address(&raw mut status), 0, 0, 0, 0];
        // SAFETY: `status` is ours, and the kernel writes to it.
        match unsafe { call(number::WAIT4, arguments) } {
            Ok(_) => return Ok(Ended::of(status)),
            Err(Errno::INTERRUPTED) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Replaces this process by `program`; returns only if that fails, with the reason.
pub(crate) fn execute(program: &CStr, arguments: &[&CStr], environment: &[&CStr]) -> Errno {
    let pointers = |strings: &[&CStr]| -> Vec<*const u8> {
        strings.iter().map(|string| string.as_ptr().cast()).chain(once(ptr::null())).collect()
    };
    let (arguments, environment) = (pointers(arguments), pointers(environment));
    let lists = [address(arguments.as_ptr()), address(environment.as_ptr())];
    // SAFETY: the kernel reads `program` up to its zero, both lists up to their null pointer, and
    // each string up to its zero.
    match unsafe { call(number::EXECVE, [address(program.as_ptr()), lists[0], lists[1], 0, 0, 0]) }
    {
        Ok(_) => Errno(0),
        Err(errno) => errno,
    }
}

/// Ends this process and all its threads without running any code of node's.
pub(crate) fn exit(status: i32) -> ! {
    loop {
        // This cannot fail; the loop is there for the type.
        let _ = plain(number::EXIT_GROUP, [status, 0, 0]);
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::process::Command;

    use super::*;

    #[test]
    fn a_file_is_read_whole() -> core::result::Result<(), Box<dyn Error>> {
        let path = "/proc/self/environ";
        assert_eq!(read_file(c"/proc/self/environ"), Ok(std::fs::read(path)?));
        assert_eq!(read_file(c"/nowhere/at/all"), Err(Errno::NO_ENTRY));
        Ok(())
    }

    /// The allowed calls: files, memory, processes and signals. Think before adding any other.
    const CALLS: &str = "READ WRITE OPEN MMAP RT_SIGACTION RT_SIGPROCMASK ACCESS MREMAP GETPID CLONE EXECVE WAIT4 KILL \
                         FCNTL GETPPID PRCTL EXIT_GROUP";

    #[test]
    fn no_call_opens_a_connection() {
        let numbers = include_str!("sys.rs").split("mod number {").nth(1).unwrap_or_default();
        let numbers = numbers.split('}').next().unwrap_or_default();
        let names = numbers.split("const ").skip(1).filter_map(|it| it.split(':').next());
        assert!(names.eq(CALLS.split_whitespace()), "{numbers}");
    }

    #[test]
    fn memory_is_zero_and_keeps_its_bytes_when_it_grows() -> core::result::Result<(), Errno> {
        let (short, long) = (3 << 12, 1 << 22);
        let memory = map(short)?;
        // SAFETY: the memory was just mapped with this length and is ours alone.
        let bytes = unsafe { core::slice::from_raw_parts_mut(memory.as_ptr(), short) };
        assert!(bytes.iter().all(|byte| *byte == 0));
        bytes.fill(7);
        // SAFETY: `bytes` is not used any more.
        let memory = unsafe { remap(memory.as_ptr(), short, long)? };
        // SAFETY: as above.
        let bytes = unsafe { core::slice::from_raw_parts(memory.as_ptr(), long) };
        assert!(bytes[..short].iter().all(|byte| *byte == 7));
        assert!(bytes[short..].iter().all(|byte| *byte == 0));
        Ok(())
    }

    #[test]
    fn a_child_is_waited_for() -> core::result::Result<(), Box<dyn Error>> {
        let child = Command::new("/bin/sh").args(["-c", "exit 3"]).spawn()?;
        let process = i32::try_from(child.id())?;
        assert_eq!(wait(process), Ok(Ended::Exited(3)));
        assert_eq!(wait(process), Err(Errno(10)), "a second time there is no such child");
        Ok(())
    }

    #[test]
    fn a_program_that_cannot_be_executed_says_why() {
        assert_eq!(execute(c"/nowhere", &[c"a"], &[]), Errno::NO_ENTRY);
        assert_eq!(execute(c"/etc/passwd", &[c"a"], &[]), Errno::ACCESS);
    }

    #[test]
    fn only_what_is_there_exists() {
        assert!(exists(c"/bin/sh"));
        assert!(!exists(c"/bin/sh/file"));
        assert!(!exists(c""));
    }
}
