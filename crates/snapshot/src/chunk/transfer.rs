//! Who may have a zone whole, and where one that is another server's comes from.

use std::{fmt, net::IpAddr};

use bytes::Bytes;
use poterne_model::{Name, Network};
use serde::{Deserialize, Serialize};

/// What a zone gives to other name servers, or takes from them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferChunk {
    /// Who may have it; none: nobody.
    pub outgoing: Option<Outgoing>,
    /// Where it comes from; none: it is made here.
    pub incoming: Option<Incoming>,
}

/// Who may have a zone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outgoing {
    /// The servers it is for, which are told of changes.
    pub peers: Vec<Peer>,
    /// Where else they may ask from.
    pub networks: Vec<Network>,
    /// Whether a peer that has no key is known by its address alone.
    pub allows_unsigned: bool,
    /// How often somebody asked that they be told again.
    pub asked: u64,
}

/// Where a zone comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incoming {
    /// The servers that have it, and may say that it changed.
    pub primaries: Vec<Peer>,
    /// Where else they may say so from.
    pub networks: Vec<Network>,
    /// How the copy stands.
    pub standing: Standing,
}

/// How a copy of another server's zone stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// Nothing came yet.
    #[default]
    Waiting,
    /// It is answered.
    Whole,
    /// Its primaries have not been heard of for longer than it may be believed (RFC 1035 §3.3.13).
    Expired,
}

/// Another name server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Its id in control.
    pub id: [u8; 16],
    /// Where it is; none: wherever its key is.
    pub address: Option<IpAddr>,
    /// The port it is told at, and asked at.
    pub port: u16,
    /// Whether it takes what changed alone.
    pub takes_differences: bool,
    /// What it signs with, and is signed to with.
    pub key: Option<PeerKey>,
    /// Whether it has zones over TLS alone (RFC 9103).
    pub over_tls: bool,
}

/// A secret that is shared with another name server.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerKey {
    /// Its id in control, which it is sealed under.
    pub id: [u8; 16],
    /// What both call it.
    pub name: Name,
    /// The algorithm's name.
    pub algorithm: String,
    /// The secret, wrapped for the node.
    pub sealed: Bytes,
}

impl fmt::Debug for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerKey").field("name", &self.name).field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

impl TransferChunk {
    /// Every key that somebody may sign with who asks for this zone.
    pub fn keys(&self) -> impl Iterator<Item = &PeerKey> {
        let outgoing = self.outgoing.iter().flat_map(|outgoing| &outgoing.peers);
        let incoming = self.incoming.iter().flat_map(|incoming| &incoming.primaries);
        outgoing.chain(incoming).filter_map(|peer| peer.key.as_ref())
    }
}

impl Outgoing {
    /// The peer that asks from this address, having signed with this key. A peer that has a key has signed; where it has an address, or
    /// networks are named, it asks from there.
    pub fn peer(&self, address: IpAddr, signed: Option<&PeerKey>) -> Option<&Peer> {
        self.peers.iter().find(|peer| match (&peer.key, signed) {
            (Some(key), Some(signed)) => {
                let anywhere = peer.address.is_none() && self.networks.is_empty();
                key.id == signed.id && (anywhere || self.is_from(peer, address))
            }
            (None, None) => self.allows_unsigned && self.is_from(peer, address),
            _ => false,
        })
    }

    fn is_from(&self, peer: &Peer, address: IpAddr) -> bool {
        is_at(peer, address) || self.networks.iter().any(|network| network.contains(address))
    }
}

impl Incoming {
    /// Whether one of the primaries says something from this address, having signed with this key.
    pub fn is_primary(&self, address: IpAddr, signed: Option<&PeerKey>) -> bool {
        let known = |peer: &Peer| is_at(peer, address) || self.networks.iter().any(|network| network.contains(address));
        let proven = |peer: &Peer| match (&peer.key, signed) {
            (Some(key), Some(signed)) => key.id == signed.id,
            (None, None) => true,
            _ => false,
        };
        self.primaries.iter().any(|peer| known(peer) && proven(peer))
    }
}

fn is_at(peer: &Peer, address: IpAddr) -> bool {
    peer.address.is_some_and(|at| at.to_canonical() == address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: u8) -> PeerKey {
        let name = Name::parse("xfr.example.net").unwrap();
        PeerKey { id: [id; 16], name, algorithm: "hmac-sha256".into(), sealed: Bytes::from_static(b"sealed") }
    }

    fn peer(address: Option<&str>, key: Option<PeerKey>) -> Peer {
        let address = address.map(|text| text.parse().unwrap());
        Peer { id: [9; 16], address, port: 53, takes_differences: true, key, over_tls: false }
    }

    fn has(outgoing: &Outgoing, address: &str, signed: Option<u8>) -> bool {
        outgoing.peer(address.parse().unwrap(), signed.map(key).as_ref()).is_some()
    }

    #[test]
    fn who_has_a_key_has_signed_and_asks_from_where_it_is() {
        let mut outgoing = Outgoing { peers: vec![peer(Some("192.0.2.1"), Some(key(1)))], ..Outgoing::default() };
        assert!(has(&outgoing, "192.0.2.1", Some(1)) && has(&outgoing, "::ffff:192.0.2.1", Some(1)));
        assert!(
            !has(&outgoing, "192.0.2.1", None) && !has(&outgoing, "192.0.2.1", Some(2)) && !has(&outgoing, "192.0.2.2", Some(1))
        );
        outgoing.networks = vec!["192.0.2.0/24".parse().unwrap()];
        assert!(
            has(&outgoing, "192.0.2.2", Some(1))
                && !has(&outgoing, "192.0.2.2", None)
                && !has(&outgoing, "198.51.100.1", Some(1))
        );
        outgoing = Outgoing { peers: vec![peer(None, Some(key(1)))], ..Outgoing::default() };
        assert!(has(&outgoing, "198.51.100.1", Some(1)), "the key alone says who it is");
    }

    #[test]
    fn an_address_alone_is_enough_only_where_that_is_asked_for() {
        let mut outgoing = Outgoing { peers: vec![peer(Some("192.0.2.1"), None)], ..Outgoing::default() };
        assert!(!has(&outgoing, "192.0.2.1", None));
        outgoing.allows_unsigned = true;
        assert!(has(&outgoing, "192.0.2.1", None) && !has(&outgoing, "192.0.2.2", None));
        outgoing.peers = vec![peer(None, None)];
        assert!(!has(&outgoing, "192.0.2.1", None), "a peer that is nowhere asks from nowhere");
    }

    #[test]
    fn only_primaries_say_that_a_zone_changed() {
        let incoming = Incoming { primaries: vec![peer(Some("192.0.2.1"), Some(key(1)))], ..Incoming::default() };
        let says = |address: &str, signed: Option<u8>| incoming.is_primary(address.parse().unwrap(), signed.map(key).as_ref());
        assert!(says("192.0.2.1", Some(1)));
        assert!(!says("192.0.2.1", None) && !says("192.0.2.1", Some(2)) && !says("192.0.2.2", Some(1)));
        let debug = format!("{incoming:?}");
        assert!(!debug.contains("sealed"), "{debug}");
    }
}
