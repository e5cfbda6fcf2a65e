//! Bodies as earlier versions of this program wrote them: what lies on disk when a newer one starts. Control publishes what they lack.

use std::net::IpAddr;

use bytes::Bytes;
use poterne_model::{
    AccountId, Name, Network, ZoneId, ZoneStatus,
    setting::{EdgeSettings, Hsts, OriginSettings, PseudoIpv4, SslMode, TlsVersions, UrlNormalization, dns::Soa},
};
use poterne_rules::{Definition, Items, NamedList, ZoneRules};
use serde::Deserialize;

use super::{
    NameChunk, NodeChunk, Shows, Target, TicketKey, ZoneDns, ZoneHead,
    client::{ClientCertificate, ClientCertificates},
    transfer::{Incoming, Outgoing, Peer, PeerKey, Standing, TransferChunk},
};

/// [`NodeChunk`] without management requests.
#[derive(Clone, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) struct NodeChunk1 {
    pub(super) names: Vec<Name>,
    pub(super) edges: Vec<String>,
    pub(super) tunnel_pins: Vec<[u8; 32]>,
    pub(super) quick_domain: Option<Name>,
    pub(super) tunnel_domain: Option<Name>,
}

/// [`NodeChunk`] without what the name server says of it. A struct in a struct takes no octets of its own.
#[derive(Clone, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) struct NodeChunk2 {
    pub(super) first: NodeChunk1,
    pub(super) management_names: Vec<Name>,
    pub(super) management_keys: Vec<Bytes>,
}

/// [`NodeChunk`] without what cookies are made with.
#[derive(Clone, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) struct NodeChunk3 {
    pub(super) first: NodeChunk2,
    pub(super) edge_addresses: Vec<IpAddr>,
    pub(super) edge_protocols: Vec<String>,
    pub(super) nameservers: Vec<Name>,
}

/// [`NodeChunk`] without what was revoked.
#[derive(Clone, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) struct NodeChunk4 {
    pub(super) first: NodeChunk3,
    pub(super) cookie_secrets: Vec<Bytes>,
}

/// [`NodeChunk`] without keys of session tickets.
#[derive(Clone, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) struct NodeChunk5 {
    pub(super) first: NodeChunk4,
    pub(super) revoked_origin_certificates: Vec<[u8; 16]>,
}

/// [`NodeChunk`] without partial zones.
#[derive(Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) struct NodeChunk6 {
    pub(super) first: NodeChunk5,
    pub(super) ticket_keys: Vec<TicketKey>,
}

/// [`ZoneRules`] without rulesets that are executed, and with lists of addresses alone. What rules did then they do now by the same numbers.
#[derive(Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) struct ZoneRules1 {
    pub(super) normalization: UrlNormalization,
    pub(super) rules: Vec<Definition>,
    pub(super) lists: Vec<(String, Vec<Network>)>,
}

impl From<ZoneRules1> for ZoneRules {
    fn from(old: ZoneRules1) -> Self {
        let ZoneRules1 { normalization, rules, lists } = old;
        let lists = lists.into_iter().map(|(name, networks)| NamedList { name, items: Items::Networks(networks) });
        Self { normalization, rules, lists: lists.collect(), executed: Vec::new() }
    }
}

/// [`ZoneHead`] without a name server.
#[derive(Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) struct ZoneHead1 {
    pub(super) id: ZoneId,
    pub(super) account: AccountId,
    pub(super) apex: Name,
    pub(super) status: ZoneStatus,
}

/// [`ZoneHead`] whose zone is not signed.
#[derive(Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) struct ZoneHead2 {
    pub(super) first: ZoneHead1,
    pub(super) dns: Option<ZoneDns2>,
}

/// [`ZoneHead`] without what the edge obeys.
#[derive(Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) struct ZoneHead3 {
    pub(super) id: ZoneId,
    pub(super) account: AccountId,
    pub(super) apex: Name,
    pub(super) status: ZoneStatus,
    pub(super) dns: Option<ZoneDns>,
}

/// [`ZoneHead`] with HTTP/3 alone of what the edge obeys towards visitors.
#[derive(Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) struct ZoneHead4 {
    pub(super) first: ZoneHead3,
    pub(super) origin: OriginSettings4,
    pub(super) http3: bool,
}

/// [`ZoneHead`] with one certificate of clients, that of all its origins.
#[derive(Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) struct ZoneHead5 {
    pub(super) first: ZoneHead3,
    pub(super) origin: OriginSettings,
    pub(super) edge: EdgeSettings5,
    pub(super) client: Option<Box<ClientCertificate>>,
}

/// [`ZoneHead`] of zones that are all delegated here.
#[derive(Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) struct ZoneHead6 {
    pub(super) first: ZoneHead3,
    pub(super) origin: OriginSettings,
    pub(super) edge: EdgeSettings,
    pub(super) client: Option<Box<ClientCertificates>>,
}

/// [`EdgeSettings`] that tells origins of no visitor's certificate.
#[derive(Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) struct EdgeSettings5 {
    pub(super) always_use_https: bool,
    pub(super) hsts: Option<Hsts>,
    pub(super) tls: TlsVersions,
    pub(super) http2: bool,
    pub(super) http3: bool,
    pub(super) websockets: bool,
    pub(super) brotli: bool,
    pub(super) ip_geolocation: bool,
    pub(super) pseudo_ipv4: PseudoIpv4,
    pub(super) true_client_ip: bool,
    pub(super) hides_visitor: bool,
    pub(super) adds_security: bool,
    pub(super) hides_powered_by: bool,
}

/// [`OriginSettings`] without a certificate of the edge's own.
#[derive(Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) struct OriginSettings4 {
    pub(super) ssl: SslMode,
    pub(super) read_timeout_secs: u16,
    pub(super) http2: bool,
}

/// [`ZoneDns`] without keys.
#[derive(Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) struct ZoneDns2 {
    pub(super) serial: u32,
    pub(super) name_servers: Vec<Name>,
    pub(super) ns_ttl_secs: u32,
    pub(super) multi_provider: bool,
    pub(super) flattens_all: bool,
    pub(super) soa: Soa,
}

/// [`NameChunk`] without records.
#[derive(Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) struct NameChunk1 {
    pub(super) target: Option<Target>,
}

/// [`TransferChunk`] of peers that are all spoken to in clear.
#[derive(Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) struct TransferChunk1 {
    pub(super) outgoing: Option<Outgoing1>,
    pub(super) incoming: Option<Incoming1>,
}

/// See [`TransferChunk1`].
#[derive(Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) struct Outgoing1 {
    pub(super) peers: Vec<Peer1>,
    pub(super) networks: Vec<Network>,
    pub(super) allows_unsigned: bool,
    pub(super) asked: u64,
}

/// See [`TransferChunk1`].
#[derive(Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) struct Incoming1 {
    pub(super) primaries: Vec<Peer1>,
    pub(super) networks: Vec<Network>,
    pub(super) standing: Standing,
}

/// See [`TransferChunk1`].
#[derive(Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) struct Peer1 {
    pub(super) id: [u8; 16],
    pub(super) address: Option<IpAddr>,
    pub(super) port: u16,
    pub(super) takes_differences: bool,
    pub(super) key: Option<PeerKey>,
}

impl From<TransferChunk1> for TransferChunk {
    fn from(old: TransferChunk1) -> Self {
        let peers = |old: Vec<Peer1>| old.into_iter().map(Peer::from).collect();
        let outgoing = old.outgoing.map(|old| {
            let Outgoing1 { peers: of, networks, allows_unsigned, asked } = old;
            Outgoing { peers: peers(of), networks, allows_unsigned, asked }
        });
        let incoming = old.incoming.map(|old| {
            let Incoming1 { primaries, networks, standing } = old;
            Incoming { primaries: peers(primaries), networks, standing }
        });
        Self { outgoing, incoming }
    }
}

impl From<Peer1> for Peer {
    fn from(old: Peer1) -> Self {
        let Peer1 { id, address, port, takes_differences, key } = old;
        Self { id, address, port, takes_differences, key, over_tls: false }
    }
}

impl From<NodeChunk1> for NodeChunk {
    fn from(old: NodeChunk1) -> Self {
        let NodeChunk1 { names, edges, tunnel_pins, quick_domain, tunnel_domain } = old;
        Self { names, edges, tunnel_pins, quick_domain, tunnel_domain, ..Self::default() }
    }
}

impl From<NodeChunk2> for NodeChunk {
    fn from(old: NodeChunk2) -> Self {
        let NodeChunk2 { first, management_names, management_keys } = old;
        Self { management_names, management_keys, ..first.into() }
    }
}

impl From<NodeChunk3> for NodeChunk {
    fn from(old: NodeChunk3) -> Self {
        let NodeChunk3 { first, edge_addresses, edge_protocols, nameservers } = old;
        Self { edge_addresses, edge_protocols, nameservers, ..first.into() }
    }
}

impl From<NodeChunk4> for NodeChunk {
    fn from(old: NodeChunk4) -> Self {
        let NodeChunk4 { first, cookie_secrets } = old;
        Self { cookie_secrets, ..first.into() }
    }
}

impl From<NodeChunk5> for NodeChunk {
    fn from(old: NodeChunk5) -> Self {
        let NodeChunk5 { first, revoked_origin_certificates } = old;
        Self { revoked_origin_certificates, ..first.into() }
    }
}

impl From<NodeChunk6> for NodeChunk {
    fn from(old: NodeChunk6) -> Self {
        let NodeChunk6 { first, ticket_keys } = old;
        Self { ticket_keys, ..first.into() }
    }
}

impl From<ZoneHead1> for ZoneHead {
    fn from(old: ZoneHead1) -> Self {
        let ZoneHead1 { id, account, apex, status } = old;
        Self {
            id,
            account,
            apex,
            status,
            dns: None,
            origin: OriginSettings::default(),
            edge: EdgeSettings::default(),
            client: None,
            partial: false,
        }
    }
}

impl From<ZoneHead2> for ZoneHead {
    fn from(old: ZoneHead2) -> Self {
        let dns = old.dns.map(|dns| {
            let ZoneDns2 { serial, name_servers, ns_ttl_secs, multi_provider, flattens_all, soa } = dns;
            ZoneDns { serial, name_servers, ns_ttl_secs, multi_provider, flattens_all, soa, keys: None }
        });
        Self { dns, ..old.first.into() }
    }
}

impl From<ZoneHead3> for ZoneHead {
    fn from(old: ZoneHead3) -> Self {
        let ZoneHead3 { id, account, apex, status, dns } = old;
        let (origin, edge) = (OriginSettings::default(), EdgeSettings::default());
        Self { id, account, apex, status, dns, origin, edge, client: None, partial: false }
    }
}

impl From<ZoneHead4> for ZoneHead {
    fn from(old: ZoneHead4) -> Self {
        let ZoneHead4 { first, origin, http3 } = old;
        let OriginSettings4 { ssl, read_timeout_secs, http2 } = origin;
        let origin = OriginSettings { ssl, read_timeout_secs, http2, identifies: false };
        Self { origin, edge: EdgeSettings { http3, ..EdgeSettings::default() }, ..first.into() }
    }
}

impl From<ZoneHead5> for ZoneHead {
    fn from(old: ZoneHead5) -> Self {
        let ZoneHead5 { first, origin, edge, client } = old;
        let client = client.map(|client| Box::new(ClientCertificates { zone: Some(*client), ..ClientCertificates::default() }));
        Self { origin, edge: edge.into(), client, ..first.into() }
    }
}

impl From<ZoneHead6> for ZoneHead {
    fn from(old: ZoneHead6) -> Self {
        let ZoneHead6 { first, origin, edge, client } = old;
        Self { origin, edge, client, ..first.into() }
    }
}

impl From<EdgeSettings5> for EdgeSettings {
    fn from(old: EdgeSettings5) -> Self {
        let EdgeSettings5 { always_use_https, hsts, tls, http2, http3, websockets, brotli, .. } = old;
        let EdgeSettings5 { ip_geolocation, pseudo_ipv4, true_client_ip, hides_visitor, adds_security, hides_powered_by, .. } =
            old;
        Self {
            always_use_https,
            hsts,
            tls,
            http2,
            http3,
            websockets,
            brotli,
            ip_geolocation,
            pseudo_ipv4,
            true_client_ip,
            hides_visitor,
            adds_security,
            hides_powered_by,
            tells_certificate: false,
        }
    }
}

impl From<NameChunk1> for NameChunk {
    fn from(old: NameChunk1) -> Self {
        let shows = if old.target.is_some() { Shows::Edge } else { Shows::Records };
        Self { target: old.target, shows, ..Self::default() }
    }
}
