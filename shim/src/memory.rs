//! Memory from the kernel, a few pages at a time.
//!
//! Node's allocator has locks and hooks that must not be touched. A launcher allocates some thirty
//! times, so a system call and a page for each do not matter. An environment of megabytes grows in
//! place, or the kernel moves it without a copy.

#![expect(unsafe_code, reason = "an allocator deals in bare memory")]

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{NonNull, null_mut};

use crate::sys;

/// The alignment of the kernel's pages, in bytes. No type here needs more.
const PAGE_LEN: usize = 4096;

/// An allocator that maps whole pages for each allocation.
pub(crate) struct Pages;

// SAFETY: each allocation is a mapping of its own, at least as long as requested, and stays mapped.
// The kernel refuses with an error, which becomes a null pointer. Nothing panics.
unsafe impl GlobalAlloc for Pages {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() > PAGE_LEN {
            return null_mut();
        }
        sys::map(layout.size()).map_or(null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {
        // Nothing is freed: the exec drops all memory.
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, new_len: usize) -> *mut u8 {
        // SAFETY: `start` comes from this allocator with this layout, and the caller gives it up.
        // Moved pages stay aligned.
        unsafe { sys::remap(start, layout.size(), new_len) }.map_or(null_mut(), NonNull::as_ptr)
    }
}
