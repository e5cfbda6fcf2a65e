//! What the edge shows zones' origins (authenticated origin pulls): what somebody brought, or a certificate of this node's own authority.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use poterne_edge_upstream::{Identities, Identity, Shown};
use poterne_keys::{LocalCa, NodeKey, Purpose};
use poterne_model::{CertificateId, ZoneId};
use poterne_snapshot::{ClientCertificate, SnapshotHandle};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};

/// Identities kept ready; a few KiB apiece.
const READY_MAX: usize = 10_000;
/// How long a certificate that is issued here is good; it is renewed after two thirds of that.
const LIFE: Duration = Duration::from_secs(30 * 86_400);

/// See the module's page.
pub(super) struct OriginPulls {
    snapshot: SnapshotHandle,
    ca: Arc<LocalCa>,
    node_key: NodeKey,
    ready: quick_cache::sync::Cache<(ZoneId, Shown), Ready>,
}

#[derive(Clone)]
struct Ready {
    identity: Identity,
    /// Which was brought; none: it was issued here.
    brought: Option<CertificateId>,
    /// From then on a new one is issued.
    renew_at: Option<SystemTime>,
}

impl OriginPulls {
    pub(super) fn new(snapshot: SnapshotHandle, ca: Arc<LocalCa>, node_key: NodeKey) -> Self {
        Self { snapshot, ca, node_key, ready: quick_cache::sync::Cache::new(READY_MAX) }
    }

    fn open(&self, brought: &ClientCertificate) -> Result<Ready, String> {
        let opened = self.node_key.open(Purpose::CertificateKey, brought.id.as_bytes(), &brought.key);
        let key = opened.map_err(|error| format!("its key does not open: {error}"))?;
        let chain = brought.chain.iter().map(|der| CertificateDer::from(der.to_vec())).collect();
        let identity = Identity::new(chain, PrivatePkcs8KeyDer::from(key.expose().to_vec()).into())?;
        Ok(Ready { identity, brought: Some(brought.id), renew_at: None })
    }

    fn issue(&self, apex: &str, now: SystemTime) -> Result<Ready, String> {
        let leaf = self.ca.issue_client(apex, now, Some(LIFE)).map_err(|error| error.to_string())?;
        Ok(Ready { identity: Identity::new(leaf.chain, leaf.key)?, brought: None, renew_at: Some(leaf.renew_at) })
    }

    fn at(&self, zone: ZoneId, shown: &Shown, now: SystemTime) -> Result<Identity, String> {
        let snapshot = self.snapshot.load();
        let head = snapshot.zone(zone).ok_or("the zone is gone")?.head();
        let brought = match (&head.client, shown) {
            (Some(client), Shown::OfHost(host)) => client.of_host(host).or(client.zone.as_ref()),
            (Some(client), Shown::OfZone) => client.zone.as_ref(),
            (None, _) => None,
        };
        let is_good = |ready: &Ready| {
            ready.brought == brought.map(|brought| brought.id) && ready.renew_at.is_none_or(|renew_at| now < renew_at)
        };
        let key = (zone, shown.clone());
        if let Some(ready) = self.ready.get(&key).filter(is_good) {
            return Ok(ready.identity);
        }
        let ready = match brought {
            Some(brought) => self.open(brought)?,
            None => self.issue(head.apex.as_str(), now)?,
        };
        self.ready.insert(key, ready.clone());
        Ok(ready.identity)
    }
}

impl Identities for OriginPulls {
    fn of(&self, zone: ZoneId, shown: &Shown) -> Result<Identity, String> {
        self.at(zone, shown, SystemTime::now())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use poterne_feed::Change;
    use poterne_keys::{CaSpec, CertificateKey};
    use poterne_model::{
        AccountId, Name, ZoneStatus,
        setting::{EdgeSettings, OriginSettings},
    };
    use poterne_snapshot::{Chunk, ChunkKey, ClientCertificates, HostCertificate, ZoneHead};

    use super::*;

    #[test]
    fn what_was_brought_is_shown_and_else_what_is_issued_until_it_is_old() {
        let now = SystemTime::now();
        let ca = LocalCa::generate(&CaSpec { name: "pulls".into(), permitted: Vec::new() }, now).unwrap();
        let (snapshot, node_key) = (SnapshotHandle::empty(), NodeKey::generate());
        let ca = Arc::new(ca);
        let pulls = OriginPulls::new(snapshot.clone(), Arc::clone(&ca), node_key.clone());
        let id = ZoneId::from_bytes([1; 16]);
        assert!(pulls.at(id, &Shown::OfZone, now).is_err(), "there is no such zone");
        let set = |generation, client: Option<ClientCertificates>| {
            let client = client.map(Box::new);
            let (account, apex) = (AccountId::from_bytes([2; 16]), Name::parse("site.test").unwrap());
            let (status, origin, edge) = (ZoneStatus::Active, OriginSettings::default(), EdgeSettings::default());
            let head = ZoneHead { id, account, apex, status, dns: None, origin, edge, client, partial: false };
            let chunks = vec![(ChunkKey::Zone(id).encode(), Some(Chunk::Zone(head).encode()))];
            snapshot.apply(&Change { generation, chunks }).unwrap();
        };
        set(1, None);
        let first = pulls.at(id, &Shown::OfZone, now).unwrap();
        assert!(pulls.at(id, &Shown::OfZone, now + LIFE / 2).unwrap() == first);
        let renewed = pulls.at(id, &Shown::OfZone, now + LIFE * 3 / 4).unwrap();
        assert!(renewed != first);
        let leaf = ca.issue_client("brought", now, None).unwrap();
        let certificate = CertificateId::from_bytes([3; 16]);
        let sealed = |key: &[u8]| Bytes::from(node_key.seal(Purpose::CertificateKey, certificate.as_bytes(), key));
        let chain = vec![Bytes::copy_from_slice(&leaf.chain[0])];
        let key = sealed(leaf.key.secret_der());
        let of_zone = |client| Some(ClientCertificates { zone: Some(client), ..ClientCertificates::default() });
        set(2, of_zone(ClientCertificate { id: certificate, chain: chain.clone(), key: key.clone() }));
        let brought = pulls.at(id, &Shown::OfZone, now).unwrap();
        assert!(
            brought != renewed && pulls.at(id, &Shown::OfZone, now + LIFE * 100).unwrap() == brought,
            "it is its owner's to replace"
        );
        set(3, None);
        assert!(pulls.at(id, &Shown::OfZone, now).unwrap() != brought);
        let other = sealed(CertificateKey::generate().unwrap().secret().expose());
        let hosts = vec![HostCertificate { host: Name::parse("www.site.test").unwrap(), certificate }];
        let of_host = vec![ClientCertificate { id: certificate, chain: chain.clone(), key }];
        set(4, Some(ClientCertificates { hosts, brought: of_host, ..ClientCertificates::default() }));
        let of = |host: &str| pulls.at(id, &Shown::OfHost(host.into()), now).unwrap();
        assert!(of("www.site.test") == brought && of("site.test") != brought, "a host's own before what is issued");
        set(5, of_zone(ClientCertificate { id: certificate, chain, key: other }));
        assert!(pulls.at(id, &Shown::OfZone, now).is_err(), "a key of another certificate");
    }
}
