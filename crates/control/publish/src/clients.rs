//! Certificates of clients, from rows to what nodes obey of a zone: what the edge shows origins, and whom its visitors are vouched for by.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use poterne_control_store::{
    ClientAuthority, ClientCertificate as Brought, MtlsCertificate, OriginPullHost, Session, StoreError, VisitorHost,
};
use poterne_model::{CertificateId, ZoneId};
use poterne_snapshot::{ClientCertificate, ClientCertificates, HostCertificate, VisitorAuthority, VisitorHost as HostAsked};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

/// The rows, by zone.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    of_zones: BTreeMap<ZoneId, OfZone>,
    brought: BTreeMap<CertificateId, MtlsCertificate>,
}

/// Those of a zone, in the store's order.
#[derive(Debug, Default)]
struct OfZone {
    shown: Vec<Brought>,
    hosts: Vec<OriginPullHost>,
    asked: Vec<VisitorHost>,
    own: Option<ClientAuthority>,
    revoked: Vec<[u8; 16]>,
}

impl Clients {
    /// As the session sees them, of a zone or of all.
    pub(crate) async fn read(session: &mut Session, zone: Option<ZoneId>) -> Result<Self, StoreError> {
        let mut all = Self::default();
        for one in session.client_certificates(zone).await? {
            all.of(one.zone).shown.push(one);
        }
        for one in session.origin_pull_hosts(zone).await? {
            all.of(one.zone).hosts.push(one);
        }
        for one in session.visitor_hosts(zone).await? {
            all.of(one.zone).asked.push(one);
        }
        // Where nobody is asked, nobody vouches for anybody.
        if all.of_zones.values().all(|of| of.asked.is_empty()) {
            return Ok(all);
        }
        for one in session.client_authorities(zone).await? {
            let own = &mut all.of(one.zone).own;
            *own = Some(one);
        }
        for (zone, serial) in session.revoked_visitor_certificates(zone).await? {
            all.of(zone).revoked.push(serial);
        }
        let named: BTreeSet<CertificateId> =
            all.of_zones.values().flat_map(|of| &of.asked).map(|asked| asked.authority).collect();
        for id in named {
            all.brought.extend(session.mtls_certificate(id).await?.map(|one| (id, one)));
        }
        Ok(all)
    }

    fn of(&mut self, zone: ZoneId) -> &mut OfZone {
        self.of_zones.entry(zone).or_default()
    }

    /// What nodes obey of a zone; none where that is what they do of any.
    pub(crate) fn of_zone(&self, zone: ZoneId) -> Option<Box<ClientCertificates>> {
        let of = self.of_zones.get(&zone)?;
        // The newest comes last.
        let whole = of.shown.iter().rfind(|one| !one.for_hosts).and_then(shown);
        let mut brought: Vec<ClientCertificate> = of.shown.iter().filter(|one| one.for_hosts).filter_map(shown).collect();
        brought.sort_by_key(|one| one.id);
        let mut hosts: Vec<HostCertificate> = of
            .hosts
            .iter()
            .filter(|host| host.enabled && brought.iter().any(|one| one.id == host.certificate))
            .map(|host| HostCertificate { host: host.host.clone(), certificate: host.certificate })
            .collect();
        hosts.sort_by(|one, other| one.host.as_str().cmp(other.host.as_str()));
        let (visitors, authorities) = self.visitors(of);
        let all = ClientCertificates { zone: whole, hosts, brought, visitors, authorities };
        let is_of_any = all.zone.is_none() && all.hosts.is_empty() && all.visitors.is_empty();
        (!is_of_any).then(|| Box::new(all))
    }

    /// Which hosts ask, and who vouches. One that cannot be read vouches for nobody, and its hosts ask still.
    fn visitors(&self, of: &OfZone) -> (Vec<HostAsked>, Vec<VisitorAuthority>) {
        let named: BTreeSet<CertificateId> = of.asked.iter().map(|asked| asked.authority).collect();
        let authority = |id: CertificateId| match &of.own {
            Some(own) if own.id == id => {
                VisitorAuthority { id, certificates: certificates(id, &own.certificate), revoked: of.revoked.clone() }
            }
            _ => {
                let pem = self.brought.get(&id).map_or("", |one| one.certificates.as_str());
                VisitorAuthority { id, certificates: certificates(id, pem), revoked: Vec::new() }
            }
        };
        let mut hosts: Vec<HostAsked> = Vec::new();
        // They come by host, and of each host by authority; ids rise as their texts do.
        for asked in &of.asked {
            match hosts.last_mut().filter(|last| last.host == asked.host) {
                Some(last) => last.authorities.push(asked.authority),
                None => hosts.push(HostAsked { host: asked.host.clone(), authorities: vec![asked.authority] }),
            }
        }
        (hosts, named.into_iter().map(authority).collect())
    }
}

/// What the edge shows origins; none where its chain does not parse.
fn shown(certificate: &Brought) -> Option<ClientCertificate> {
    let chain = certificates(certificate.id, &certificate.chain);
    (!chain.is_empty()).then(|| ClientCertificate { id: certificate.id, chain, key: certificate.wrapped.clone().into() })
}

fn certificates(id: CertificateId, pem: &str) -> Vec<Bytes> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let all = all.inspect_err(|error| tracing::error!(%id, %error, "a client certificate's chain does not parse"));
    all.unwrap_or_default().into_iter().map(|der| Bytes::copy_from_slice(&der)).collect()
}
