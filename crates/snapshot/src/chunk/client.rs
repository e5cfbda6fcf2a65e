//! Certificates of clients: those that the edge, a client of origins, shows them; and those that visitors, clients of the edge, are asked
//! for (edge-behaviour §7.9). Part of a zone's head; of most zones there is nothing of it.

use bytes::Bytes;
use poterne_model::{CertificateId, Name};
use serde::{Deserialize, Serialize};

/// Of a zone. Hosts rise by name, certificates and authorities by id: they are looked up by halves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientCertificates {
    /// What origins that ask are shown, where the zone's setting says so and somebody brought it; none: what the node issues.
    pub zone: Option<ClientCertificate>,
    /// Hosts whose origins are shown one of [`Self::brought`], whatever the zone's setting says.
    pub hosts: Vec<HostCertificate>,
    /// What was brought for hosts.
    pub brought: Vec<ClientCertificate>,
    /// Hosts whose visitors are asked for a certificate.
    pub visitors: Vec<VisitorHost>,
    /// Who may vouch for one.
    pub authorities: Vec<VisitorAuthority>,
}

/// A certificate by which the edge shows a zone's origins who it is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientCertificate {
    /// Its id.
    pub id: CertificateId,
    /// DER, leaf first.
    pub chain: Vec<Bytes>,
    /// The private key (PKCS#8 DER), wrapped for the node.
    pub key: Bytes,
}

/// A host whose origins are shown a certificate of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostCertificate {
    /// The host.
    pub host: Name,
    /// Which.
    pub certificate: CertificateId,
}

/// A host whose visitors are asked for a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VisitorHost {
    /// The host, or a wildcard.
    pub host: Name,
    /// The authorities that may vouch for it, rising.
    pub authorities: Vec<CertificateId>,
}

/// Somebody who vouches for visitors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VisitorAuthority {
    /// Its id.
    pub id: CertificateId,
    /// Its certificates, DER.
    pub certificates: Vec<Bytes>,
    /// Serial numbers of what it issued that is good no more, rising; known of the zone's own authority alone.
    pub revoked: Vec<[u8; 16]>,
}

impl ClientCertificates {
    /// What the origins of a host are shown of its own.
    pub fn of_host(&self, host: &str) -> Option<&ClientCertificate> {
        let at = self.hosts.binary_search_by(|known| known.host.as_str().cmp(host)).ok()?;
        let id = self.hosts[at].certificate;
        Some(&self.brought[self.brought.binary_search_by_key(&id, |known| known.id).ok()?])
    }

    /// The ids of those who may vouch for visitors of a host; empty: they are asked for nothing. What is said of the host itself, else of `*.` and its
    /// parent: a wildcard stands for one label, as in certificates (RFC 9525 §6.3), and for no host that is named.
    pub fn asked_of(&self, host: &str) -> &[CertificateId] {
        let named = || self.visitors.binary_search_by(|known| known.host.as_str().cmp(host)).ok();
        let covered = || {
            let (_, parent) = host.split_once('.')?;
            let wildcard = || b"*.".iter().copied().chain(parent.bytes());
            self.visitors.binary_search_by(|known| known.host.as_str().bytes().cmp(wildcard())).ok()
        };
        named().or_else(covered).map_or(&[], |at| &self.visitors[at].authorities)
    }

    /// One who vouches for visitors.
    pub fn authority(&self, id: CertificateId) -> Option<&VisitorAuthority> {
        Some(&self.authorities[self.authorities.binary_search_by_key(&id, |known| known.id).ok()?])
    }

    /// Whether everything rises that is looked up by halves, and every id is of something that is here.
    pub(super) fn is_whole(&self) -> bool {
        let rises = self.hosts.is_sorted_by(|one, other| one.host.as_str() < other.host.as_str())
            && self.brought.is_sorted_by(|one, other| one.id < other.id)
            && self.visitors.is_sorted_by(|one, other| one.host.as_str() < other.host.as_str())
            && self.authorities.is_sorted_by(|one, other| one.id < other.id)
            && self.visitors.iter().all(|known| known.authorities.is_sorted_by(|one, other| one < other))
            && self.authorities.iter().all(|known| known.revoked.is_sorted_by(|one, other| one < other));
        rises
            && self.hosts.iter().all(|known| self.brought.binary_search_by_key(&known.certificate, |one| one.id).is_ok())
            && self.visitors.iter().flat_map(|known| &known.authorities).all(|id| self.authority(*id).is_some())
    }
}

impl VisitorAuthority {
    /// Whether what it issued under this serial number is good no more.
    pub fn has_revoked(&self, serial: &[u8]) -> bool {
        self.revoked.binary_search_by(|known| known.as_slice().cmp(serial)).is_ok()
    }
}

impl std::fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientCertificate").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> CertificateId {
        CertificateId::from_bytes([byte; 16])
    }

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn certificate(byte: u8) -> ClientCertificate {
        ClientCertificate { id: id(byte), chain: vec![Bytes::from_static(b"der")], key: Bytes::from_static(b"sealed") }
    }

    fn whole() -> ClientCertificates {
        let authority = |byte, revoked| VisitorAuthority { id: id(byte), certificates: Vec::new(), revoked };
        ClientCertificates {
            zone: Some(certificate(9)),
            hosts: vec![
                HostCertificate { host: name("a.test"), certificate: id(2) },
                HostCertificate { host: name("b.test"), certificate: id(1) },
            ],
            brought: vec![certificate(1), certificate(2)],
            visitors: vec![VisitorHost { host: name("a.test"), authorities: vec![id(3), id(4)] }],
            authorities: vec![authority(3, vec![[1; 16], [7; 16]]), authority(4, Vec::new())],
        }
    }

    #[test]
    fn what_is_of_a_host_is_of_no_other() {
        let all = whole();
        assert!(all.is_whole());
        assert_eq!((all.of_host("a.test").unwrap().id, all.of_host("b.test").unwrap().id), (id(2), id(1)));
        assert!(all.of_host("c.test").is_none() && all.of_host("x.a.test").is_none());
        assert_eq!((all.asked_of("a.test"), all.asked_of("b.test")), (&[id(3), id(4)][..], &[][..]));
        let authority = all.authority(id(3)).unwrap();
        assert!(authority.has_revoked(&[7; 16]) && !authority.has_revoked(&[6; 16]) && !authority.has_revoked(&[7]));
        assert!(all.authority(id(5)).is_none() && !format!("{all:?}").contains("sealed"));
    }

    #[test]
    fn a_wildcard_asks_for_one_label_where_no_host_is_named() {
        let mut all = whole();
        let host = |host: &str, byte| VisitorHost { host: name(host), authorities: vec![id(byte)] };
        all.visitors = vec![host("*.a.test", 3), host("*.b.a.test", 4), host("a.test", 4), host("x.a.test", 4)];
        assert!(all.is_whole());
        for (asked, byte) in [("y.a.test", 3), ("b.a.test", 3), ("x.a.test", 4), ("y.b.a.test", 4), ("a.test", 4)] {
            assert_eq!(all.asked_of(asked), [id(byte)], "{asked}");
        }
        for silent in ["y.x.a.test", "z.y.b.a.test", "test", "b.test", "ya.test", "*", ""] {
            assert_eq!(all.asked_of(silent), [], "{silent}");
        }
    }

    #[test]
    fn what_could_not_be_looked_up_is_not_whole() {
        let with = |change: fn(&mut ClientCertificates)| {
            let mut all = whole();
            change(&mut all);
            all.is_whole()
        };
        assert!(!with(|all| all.hosts.reverse()));
        assert!(!with(|all| all.brought.reverse()));
        assert!(!with(|all| all.authorities.reverse()));
        assert!(!with(|all| all.visitors[0].authorities.reverse()));
        assert!(!with(|all| all.authorities[0].revoked.reverse()));
        assert!(!with(|all| drop(all.brought.pop())), "a certificate that is not here");
        assert!(!with(|all| drop(all.authorities.pop())), "an authority that is not here");
        assert!(!with(|all| all.visitors.push(all.visitors[0].clone())), "a host twice");
    }
}
