//! Requests' bodies that services do not take ([`poterne_stalls`]).
//!
//! An upload that its service is slow with lies here, a stream's window of it, while visitors of everything else behind the tunnel go on. A
//! service may take its time, longer than an edge lets visitors: disks fall asleep, and nothing is gained by breaking off what goes on
//! a moment later. Only where many do nothing at all for a while are those let go that have done so for longest.

use std::time::Duration;

use poterne_stalls::{Seen, Settings, Stalls};

/// What bounds them: some thirty at once.
pub(crate) const SETTINGS: Settings = Settings { bytes_max: 128 * 1024 * 1024, patience: Duration::from_secs(10) };

/// Lets go of those that are too many, for ever.
pub(crate) async fn watch(uploads: &Stalls) {
    let told = |Seen { stalled, let_go, .. }: Seen| {
        if let_go > 0 {
            tracing::warn!(
                stalled,
                let_go,
                "services take nothing of so many uploads that they were too many: those of which nothing was taken for longest were \
                 broken off; look at what the services wait for"
            );
        }
    };
    uploads.run(told).await;
}
