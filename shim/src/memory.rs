//! Memory from the kernel, a few pages at a time.
//!
//! Node's allocator has locks and hooks that are none of ours. A launcher allocates some thirty
//! times, so that a system call and a page for each is no matter; and an environment of megabytes
//! grows in place, or is moved by the kernel without a copy.

#![expect(unsafe_code, reason = "an allocator deals in bare memory")]

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{NonNull, null_mut};

use crate::sys;

/// What the kernel aligns to. No type here asks for more.
const PAGE_LEN: usize = 4096;

/// Whole pages for each allocation.
pub(crate) struct Pages;

// SAFETY: each allocation is a mapping of its own, at least as long as asked for, that stays; the
// kernel says no by an error, which becomes a null pointer. Nothing panics.
unsafe impl GlobalAlloc for Pages {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() > PAGE_LEN {
            return null_mut();
        }
        sys::map(layout.size()).map_or(null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {
        // Nothing is given back: the exec takes all.
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, new_len: usize) -> *mut u8 {
        // SAFETY: it comes from here, with this layout, and is given up; pages stay aligned wherever
        // they are moved to.
        unsafe { sys::remap(start, layout.size(), new_len) }.map_or(null_mut(), NonNull::as_ptr)
    }
}
