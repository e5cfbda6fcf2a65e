//! What is kept in memory of strangers, as `/metrics` tells it: how full the tables are, and how many were sent away.

use std::sync::Arc;

use poterne_telemetry::Metrics;

use crate::{App, open::Inner};

/// A word, and its number.
pub(crate) type Numbers = Vec<(&'static str, u64)>;

impl App {
    /// From now on these metrics tell it, for as long as the application is there.
    pub fn tell_in(&self, metrics: &Metrics) {
        let of = |read: fn(&Inner) -> Numbers| {
            let inner = Arc::downgrade(&self.0);
            move || inner.upgrade().map_or_else(Vec::new, |inner| read(&inner))
        };
        metrics.gauges_read(
            "sign_in_entries",
            "Entries kept in memory of those who try to sign in, or have links sent, at most 50000 a table; of steps half done, 10000",
            "table",
            of(|inner| inner.entrance.entries()),
        );
        metrics.counters_read(
            "sign_in_refused",
            "Tries sent away: too early for their source, address or account, or with no room for more work",
            "reason",
            of(|inner| inner.entrance.refused()),
        );
        metrics.gauges_read(
            "credentials_entries",
            "Tokens, keys, sessions and their sources kept in memory, at most 10000 a table",
            "table",
            of(|inner| inner.identities.entries()),
        );
        metrics.counters_read(
            "credentials_refused",
            "Requests refused without a look: their token or key was unknown a moment ago, or their source has no look left",
            "reason",
            of(|inner| inner.identities.refused()),
        );
    }
}

/// A size as a metric has it.
pub(crate) fn number(size: usize) -> u64 {
    u64::try_from(size).unwrap_or(u64::MAX)
}
