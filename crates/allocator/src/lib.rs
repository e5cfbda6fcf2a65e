//! The allocator of both programs, and when it gives memory back.
//!
//! mimalloc keeps what a thread freed for that thread's next allocations, and looks for whole pages to give back to the kernel only
//! while it allocates. After a burst an idle program would hold its peak for ever. So each worker, about to sleep, collects its own heap
//! now and then: [`give_back`].
//!
//! The one `unsafe` block of our crates is here: `mi_collect` is a C function. It takes no pointer, touches only the calling thread's
//! heap and what no thread owns, and may be called at any time outside the allocator itself.
#![deny(unsafe_code)]

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

/// For `#[global_allocator]`.
pub use mimalloc::MiMalloc as Allocator;

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
    unsafe { libmimalloc_sys::mi_collect(true) }
}
