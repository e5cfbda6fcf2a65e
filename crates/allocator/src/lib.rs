//! The allocator of both programs, and when it gives memory back.
//!
//! mimalloc keeps what a thread freed for that thread's next allocations, and looks for whole pages to give back to the kernel only
//! while it allocates. After a burst an idle program would hold its peak for ever. So each worker, about to sleep, collects its own heap
//! now and then: [`give_back`].
//!
//! All `unsafe` of our crates is here. [`Allocator`] passes a layout on to mimalloc's C functions, and `mi_collect` takes no pointer, touches
//! only the calling thread's heap and what no thread owns, and may be called at any time outside the allocator itself.
#![deny(unsafe_code)]

use std::{
    alloc::{GlobalAlloc, Layout},
    cell::Cell,
    time::{Duration, Instant},
};

use libmimalloc_sys::{
    mi_collect, mi_free, mi_malloc, mi_malloc_aligned, mi_realloc, mi_realloc_aligned, mi_zalloc, mi_zalloc_aligned,
};

/// For `#[global_allocator]`: mimalloc, asked for an alignment only where its blocks do not have it by themselves.
///
/// The binding that is published asks always, and mimalloc then takes a longer way, which for sizes that are no power of two (most bytes
/// of heads and bodies) also takes more memory: seven of the 25 allocations of a small request.
#[derive(Debug, Clone, Copy, Default)]
pub struct Allocator;

/// Every block of at least this many bytes is aligned to as many (`MI_MAX_ALIGN_SIZE`), and a smaller one to its size.
const ALIGNED: usize = 16;

const fn is_natural(layout: &Layout) -> bool {
    layout.align() <= ALIGNED && layout.align() <= layout.size()
}

#[allow(unsafe_code, reason = "an allocator is unsafe by its trait; each call passes on what its caller vouches for")]
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_natural(&layout) {
            return unsafe { mi_malloc(layout.size()) }.cast();
        }
        unsafe { mi_malloc_aligned(layout.size(), layout.align()) }.cast()
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if is_natural(&layout) {
            return unsafe { mi_zalloc(layout.size()) }.cast();
        }
        unsafe { mi_zalloc_aligned(layout.size(), layout.align()) }.cast()
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        unsafe { mi_free(block.cast()) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if layout.align() <= ALIGNED && layout.align() <= size {
            return unsafe { mi_realloc(block.cast(), size) }.cast();
        }
        unsafe { mi_realloc_aligned(block.cast(), size, layout.align()) }.cast()
    }
}

/// Shortest time between two collections by one thread.
const COLLECT_EVERY: Duration = Duration::from_secs(5);

thread_local! {
    static COLLECTED: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// For `on_thread_park`: gives the kernel back what this thread freed and does not use, if it has not done so for a while.
pub fn give_back() {
    let now = Instant::now();
    COLLECTED.with(|collected| {
        let at = collected.get().unwrap_or(now);
        let is_due = now.saturating_duration_since(at) >= COLLECT_EVERY;
        collected.set(Some(if is_due { now } else { at }));
        if is_due {
            collect();
        }
    });
}

#[allow(unsafe_code, reason = "a C function without arguments that matter; see the module's page")]
fn collect() {
    unsafe { mi_collect(true) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The alignment that is not asked for is there, and what was written survives a move.
    #[test]
    #[allow(unsafe_code, reason = "the trait's own functions are tried")]
    fn blocks_are_aligned_and_keep_what_they_hold() {
        for size in (1..600).chain([1_000, 1_500, 4_097, 70_000, 3_000_000]) {
            for align in [1, 2, 4, 8, 16, 32, 64, 4096] {
                let layout = Layout::from_size_align(size, align).unwrap();
                unsafe {
                    let (a, b) = (Allocator.alloc(layout), Allocator.alloc_zeroed(layout));
                    assert!(!a.is_null() && a.addr() % align == 0 && b.addr() % align == 0, "{size} {align}");
                    assert_eq!((b.read(), b.add(size - 1).read()), (0, 0));
                    a.write(7);
                    let (larger, smaller) = (size * 2 + 1, size.div_ceil(2));
                    let a = Allocator.realloc(a, layout, larger);
                    assert!(a.addr() % align == 0 && a.read() == 7, "{size} {align}");
                    let a = Allocator.realloc(a, Layout::from_size_align(larger, align).unwrap(), smaller);
                    assert!(a.addr() % align == 0 && a.read() == 7, "{size} {align}");
                    Allocator.dealloc(a, Layout::from_size_align(smaller, align).unwrap());
                    Allocator.dealloc(b, layout);
                }
            }
        }
    }
}
