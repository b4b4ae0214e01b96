//! Where buffers lie in memory.
//!
//! Some processors copy thirty times slower when the destination lies up to 63
//! bytes behind the source, counted within their pages (measured: 10 us in place
//! of 0.3 for 16 KiB by `rep movsb`, which glibc's memmove uses from 4 KiB on).
//! Where malloc puts buffers of nearly the same length that is no rare case:
//! each record of TLS is copied once from such a one to another. So buffers of
//! that size begin where a page does.
#![allow(unsafe_code, reason = "an allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};

/// From here on a copy is made by `rep movsb`.
const ALIGNED_MIN: usize = 4 * 1024;
/// What is longer is rarely copied as a whole, and the system grows it in
/// place.
const ALIGNED_MAX: usize = 64 * 1024;
const PAGE: usize = 4 * 1024;

#[global_allocator]
static ALLOCATOR: AlignedAllocator = AlignedAllocator;

/// The system's allocator, but for where such buffers begin.
struct AlignedAllocator;

/// What is asked of the system for a layout: always the same for the same.
fn aligned(layout: Layout) -> Layout {
    if (ALIGNED_MIN..=ALIGNED_MAX).contains(&layout.size()) {
        layout.align_to(PAGE).unwrap_or(layout)
    } else {
        layout
    }
}

// SAFETY: every call is the system allocator's with a layout of the same size
// and at least the same alignment, and memory is given back by the layout it
// was had by, since `aligned` looks at nothing but the layout.
unsafe impl GlobalAlloc for AlignedAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the size is the caller's, who promises that it is not 0.
        unsafe { System.alloc(aligned(layout)) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(aligned(layout)) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller had this memory by this layout, and so have we.
        unsafe { System.dealloc(memory, aligned(layout)) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let new = Layout::from_size_align(size, layout.align()).map(aligned);
        let Ok(new) = new else {
            return std::ptr::null_mut();
        };
        let old = aligned(layout);
        if old.align() == new.align() {
            // SAFETY: the caller had this memory by this layout, and so have
            // we; the new size is one that a layout can have.
            return unsafe { System.realloc(memory, old, size) };
        }
        // SAFETY: both are of the length said, so the shorter one can be
        // copied; they do not overlap, and the old one is not used again.
        unsafe {
            let moved = System.alloc(new);
            if !moved.is_null() {
                std::ptr::copy_nonoverlapping(memory, moved, layout.size().min(size));
                System.dealloc(memory, old);
            }
            moved
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_begin_with_a_page_and_keep_what_is_in_them() {
        let mut buffer: Vec<u8> = (0..100).collect();
        // Over both bounds and back again.
        for length in [5_000, 60_000, 200_000, 30_000, 4_000] {
            buffer.resize(length, 7);
            buffer.shrink_to_fit();
            assert!(buffer[..100].iter().copied().eq(0..100), "{length}");
            if (ALIGNED_MIN..=ALIGNED_MAX).contains(&buffer.capacity()) {
                assert_eq!(buffer.as_ptr().addr() % PAGE, 0, "{length}");
            }
        }
        assert!(vec![0_u8; 16_384].iter().all(|&byte| byte == 0));
    }
}
