//! How many requests a token may make (api-v4 §1.7). Pure: the instant is handed in.
//!
//! A fixed window a caller: what is left and when it begins anew is told with every answer, so that clients can slow down by
//! themselves. The memory is bounded; when it is full, the windows that are over go, and if none is, all do: being forgotten gives a
//! caller a fresh window, never less than it had.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
};

/// Seconds of a window.
pub(crate) const WINDOW_SECS: u64 = 60;

/// Callers remembered.
const CALLERS_MAX: usize = 100_000;

pub(crate) struct Limiter<K> {
    /// Requests a window; 0: without limit.
    quota: u32,
    windows: Mutex<HashMap<K, Window>>,
}

#[derive(Clone, Copy)]
struct Window {
    begun: u64,
    used: u32,
}

/// Where a caller stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) quota: u32,
    pub(crate) left: u32,
    pub(crate) reset_secs: u64,
    pub(crate) admitted: bool,
}

impl<K: Eq + Hash> Limiter<K> {
    pub(crate) fn new(quota: u32) -> Self {
        Self { quota, windows: Mutex::default() }
    }

    /// Counts one request; none where nothing is limited.
    pub(crate) fn count(&self, caller: K, now_secs: u64) -> Option<Standing> {
        if self.quota == 0 {
            return None;
        }
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() >= CALLERS_MAX && !windows.contains_key(&caller) {
            windows.retain(|_, window| now_secs.saturating_sub(window.begun) < WINDOW_SECS);
            if windows.len() >= CALLERS_MAX {
                windows.clear();
            }
        }
        let window = windows.entry(caller).or_insert(Window { begun: now_secs, used: 0 });
        // A clock that was set back begins a new window too.
        if now_secs < window.begun || now_secs - window.begun >= WINDOW_SECS {
            *window = Window { begun: now_secs, used: 0 };
        }
        let admitted = window.used < self.quota;
        window.used = window.used.saturating_add(1);
        let reset_secs = (window.begun + WINDOW_SECS).saturating_sub(now_secs);
        Some(Standing { quota: self.quota, left: self.quota.saturating_sub(window.used), reset_secs, admitted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_used_up_and_begins_anew() {
        let limiter = Limiter::new(2);
        let standing = |left, reset_secs, admitted| Some(Standing { quota: 2, left, reset_secs, admitted });
        assert_eq!(limiter.count("a", 100), standing(1, 60, true));
        assert_eq!(limiter.count("a", 130), standing(0, 30, true));
        assert_eq!(limiter.count("a", 159), standing(0, 1, false));
        assert_eq!(limiter.count("b", 159), standing(1, 60, true), "each has its own");
        assert_eq!(limiter.count("a", 160), standing(1, 60, true));
        assert_eq!(limiter.count("a", 10), standing(1, 60, true), "whatever the clock does");
    }

    #[test]
    fn zero_is_no_limit() {
        assert_eq!(Limiter::new(0).count("a", 1), None);
    }

    #[test]
    fn memory_is_bounded() {
        let limiter = Limiter::new(1);
        for caller in 0..CALLERS_MAX + 10 {
            limiter.count(caller, 5);
        }
        assert!(limiter.windows.lock().unwrap().len() <= CALLERS_MAX);
    }
}
