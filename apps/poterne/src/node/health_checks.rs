//! Health checks: from the snapshot to whoever makes them, and what came of them to control.

use poterne_edge_upstream::health::{Source, Whose, schedule::Told};
use poterne_feed::Event;
use poterne_model::health_check::Checked;
use poterne_snapshot::SnapshotHandle;
use tokio::sync::{mpsc, watch};

/// The checks of all zones that serve: one that waits could be anybody's, and nobody is asked on its word.
pub(super) struct OfSnapshot {
    pub snapshot: SnapshotHandle,
    pub events: mpsc::Sender<Event>,
}

impl Source for OfSnapshot {
    fn each(&self, show: &mut dyn FnMut(Whose, &Checked)) {
        let snapshot = self.snapshot.load();
        for (zone, chunk) in snapshot.health_checks() {
            let Some(head) = snapshot.zone(zone).map(|zone| zone.head()).filter(|head| head.status.serves()) else { continue };
            let whose = Whose { zone, account: head.account, identifies: head.origin.identifies };
            chunk.checks.iter().for_each(|checked| show(whose, checked));
        }
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.snapshot.subscribe()
    }

    fn tell(&self, told: Told) -> bool {
        let Told { zone, check, revision, why } = told;
        // Connections of agents wait for room; this is said again by itself.
        self.events.try_send(Event::OriginChecked { zone, check, revision, why }).is_ok()
    }
}
