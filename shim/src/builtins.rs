//! What the compiler calls for copies, fills and comparisons, and others have from libc.
//!
//! In assembly, for two reasons. Of a loop in Rust that copies, the compiler makes a call of
//! `memcpy`. And only so the names can be hidden: the loader is not to find node's, or node ours.
//! The convention of x86-64 has the direction flag clear, so that these go upwards.

#![expect(unsafe_code, reason = "assembly is what this is about")]

use core::arch::global_asm;

global_asm!(
    // (dest: *mut u8, source: *const u8, len: usize) -> dest
    ".globl memcpy",
    ".hidden memcpy",
    "memcpy:",
    "mov rax, rdi",
    "mov rcx, rdx",
    "rep movsb",
    "ret",
    // (dest: *mut u8, byte: i32, len: usize) -> dest
    ".globl memset",
    ".hidden memset",
    "memset:",
    "mov r8, rdi",
    "mov eax, esi",
    "mov rcx, rdx",
    "rep stosb",
    "mov rax, r8",
    "ret",
    // (left: *const u8, right: *const u8, len: usize) -> 0 if they are equal
    ".globl bcmp",
    ".hidden bcmp",
    "bcmp:",
    "mov rcx, rdx",
    // Nothing is equal to nothing.
    "cmp eax, eax",
    "repe cmpsb",
    "setne al",
    "movzx eax, al",
    "ret",
);
