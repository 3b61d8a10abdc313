//! The functions that the compiler calls for copies, fills and comparisons, which usually come from
//! libc.
//!
//! They are in assembly for two reasons. The compiler would turn a copy loop in Rust into a call of
//! `memcpy`. And only in assembly can the names be hidden, so that the loader does not bind them to
//! node's, or node's to ours. By the x86-64 calling convention the direction flag is clear, so
//! these run upwards.

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
    // Two empty ranges are equal.
    "cmp eax, eax",
    "repe cmpsb",
    "setne al",
    "movzx eax, al",
    "ret",
);
