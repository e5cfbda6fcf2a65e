//! Health checks: from the snapshot to whoever makes them, and what came of them to control.

use poterne_edge_upstream::{
    Shown,
    health::{Source, Whose, hop, schedule::Told},
};
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
            for checked in &chunk.checks {
                let host = hop::host_asked(&checked.terms);
                let own = host.filter(|host| head.shows_own(host.as_str())).map(|host| Shown::OfHost(host.as_str().into()));
                let identifies = own.or(head.origin.identifies.then_some(Shown::OfZone));
                show(Whose { zone, account: head.account, identifies }, checked);
            }
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use poterne_feed::Change;
    use poterne_model::{
        AccountId, At, CertificateId, HealthCheckId, Name, ZoneId, ZoneStatus,
        health_check::HealthCheckTerms,
        setting::{EdgeSettings, OriginSettings},
    };
    use poterne_snapshot::{
        Chunk, ChunkKey, ClientCertificate, ClientCertificates, HealthChecksChunk, HostCertificate, ZoneHead,
    };
    use serde_json::json;

    use super::*;

    /// What origins of checks of these hosts are shown, where `app.site.test` has a certificate of its own.
    fn shown(identifies: bool, hosts: &[(&str, &str)]) -> Vec<Option<Shown>> {
        let (zone, certificate) = (ZoneId::from_bytes([1; 16]), CertificateId::from_bytes([2; 16]));
        let name = |text: &str| Name::parse(text).unwrap();
        let own =
            ClientCertificate { id: certificate, chain: vec![Bytes::from_static(b"der")], key: Bytes::from_static(b"sealed") };
        let hosts_of_zone = vec![HostCertificate { host: name("app.site.test"), certificate }];
        let head = ZoneHead {
            id: zone,
            account: AccountId::from_bytes([3; 16]),
            apex: name("site.test"),
            status: ZoneStatus::Active,
            dns: None,
            origin: OriginSettings { identifies, ..OriginSettings::default() },
            edge: EdgeSettings::default(),
            client: Some(Box::new(ClientCertificates {
                hosts: hosts_of_zone,
                brought: vec![own],
                ..ClientCertificates::default()
            })),
            partial: false,
        };
        let checked = |(kind, host): &(&str, &str)| {
            let http = json!({ "header": { "Host": [host] } });
            let body = json!({ "name": "a", "address": "192.0.2.7", "type": kind, "http_config": http });
            let terms = HealthCheckTerms::read(&At::body(&body), None).unwrap();
            Checked { id: HealthCheckId::from_bytes([4; 16]), revision: 1, terms }
        };
        let checks = HealthChecksChunk { checks: hosts.iter().map(checked).collect() };
        let chunks = [(ChunkKey::Zone(zone), Chunk::Zone(head)), (ChunkKey::HealthChecks(zone), Chunk::HealthChecks(checks))];
        let snapshot = SnapshotHandle::empty();
        let chunks = chunks.into_iter().map(|(key, chunk)| (key.encode(), Some(chunk.encode()))).collect();
        snapshot.apply(&Change { generation: 1, chunks }).unwrap();
        let (events, _events) = mpsc::channel(1);
        let mut shown = Vec::new();
        OfSnapshot { snapshot, events }.each(&mut |whose, _| shown.push(whose.identifies));
        shown
    }

    #[test]
    fn a_hosts_own_certificate_is_shown_to_whom_its_checks_ask_whatever_the_zone_says() {
        let hosts =
            [("HTTPS", "app.site.test"), ("HTTPS", "APP.site.test:8443"), ("HTTPS", "www.site.test"), ("HTTP", "app.site.test")];
        let own = Some(Shown::OfHost("app.site.test".into()));
        assert_eq!(shown(false, &hosts), [own.clone(), own.clone(), None, own.clone()]);
        assert_eq!(shown(true, &hosts), [own.clone(), own.clone(), Some(Shown::OfZone), own]);
    }
}
