//! Chunks: what one thing looks like when it travels and when it is kept.
//!
//! Keys and bodies are postcard behind one version byte. A reader that meets a version it does not know refuses the whole
//! change, so an older node keeps obeying what it understood. Within a version fields are only appended to a *new* version:
//! postcard is not self-describing. Bodies have versions of their own; those of before are read still ([`before`]).

use std::net::IpAddr;

use bytes::Bytes;
use poterne_dns_wire::RecordSets;
use poterne_model::{
    AccountId, CertificateId, CertificatePackId, ChallengeId, Name, TunnelId, ZoneId, ZoneStatus,
    health_check::Checked,
    setting::{EdgeSettings, OriginSettings, dns::Soa},
};
use poterne_rules::ZoneRules;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

mod before;
pub mod client;
pub mod transfer;

use client::ClientCertificates;
use transfer::TransferChunk;

/// Version of keys and bodies written by this program, but for those named below.
pub const CHUNK_VERSION: u8 = 1;

/// Version of the node's chunk as it is written.
pub const NODE_CHUNK_VERSION: u8 = 7;

/// Version of rules as they are written.
pub const RULES_CHUNK_VERSION: u8 = 2;

/// Version of a zone's head as it is written.
pub const ZONE_HEAD_VERSION: u8 = 7;

/// Version of a name's chunk as it is written.
pub const NAME_CHUNK_VERSION: u8 = 2;

/// Version of a certificate's chunk as it is written; none was ever written in the one before.
pub const CERTIFICATE_CHUNK_VERSION: u8 = 2;

/// Version of what the files on disk hold of a certificate that lies beside them; it never travels.
pub(crate) const CERTIFICATE_STUB_VERSION: u8 = 129;

/// Version of the chunk of a challenge that is not shown by a record: those of before knew no other, and read the first version on.
pub const CHALLENGE_CHUNK_VERSION: u8 = 2;

/// Version of the chunk of what a zone gives and takes, as it is written.
pub const TRANSFER_CHUNK_VERSION: u8 = 2;

/// Longest body accepted, in bytes. The largest real one is a tunnel's configuration, which the API bounds at 1 MiB.
pub const CHUNK_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What a chunk is about; the order is the order in the base file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ChunkKey {
    /// This node's names and the like; one only.
    Node,
    /// An account's own things.
    Account(AccountId),
    /// A zone's head.
    Zone(ZoneId),
    /// One owner name of a zone, possibly a wildcard.
    Name(ZoneId, Name),
    /// A tunnel.
    Tunnel(TunnelId),
    /// A pack's certificate, however often it is renewed.
    Certificate(CertificatePackId),
    /// What a certificate authority asks to be shown.
    Challenge(ChallengeId),
    /// Who may have a zone whole, or where it comes from.
    Transfer(ZoneId),
    /// What a zone's rules make of requests.
    Rules(ZoneId),
    /// What a zone's origins are asked again and again.
    HealthChecks(ZoneId),
    /// What an account's rules make of requests for all its zones.
    AccountRules(AccountId),
}

/// Any chunk with its key's meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chunk {
    /// See [`NodeChunk`].
    Node(NodeChunk),
    /// See [`AccountChunk`].
    Account(AccountChunk),
    /// See [`ZoneHead`].
    Zone(ZoneHead),
    /// See [`NameChunk`].
    Name(NameChunk),
    /// See [`TunnelChunk`].
    Tunnel(TunnelChunk),
    /// See [`CertificateChunk`].
    Certificate(CertificateChunk),
    /// See [`ChallengeChunk`].
    Challenge(ChallengeChunk),
    /// See [`TransferChunk`].
    Transfer(TransferChunk),
    /// See [`ZoneRules`].
    Rules(ZoneRules),
    /// See [`HealthChecksChunk`].
    HealthChecks(HealthChecksChunk),
    /// See [`ZoneRules`].
    AccountRules(ZoneRules),
}

/// What every node of this instance must know about itself and its siblings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeChunk {
    /// Names under which the node itself answers (API, agents); never routed to a tunnel.
    pub names: Vec<Name>,
    /// The edges agents may dial, `host:port`, told to our agent at registration.
    pub edges: Vec<String>,
    /// SHA-256 of the SubjectPublicKeyInfo of each tunnel CA in force: the present one, and the next while it is announced.
    pub tunnel_pins: Vec<[u8; 32]>,
    /// Parent of quick tunnels' names; none when they are off.
    pub quick_domain: Option<Name>,
    /// The node's own parent of `{tunnel-id}` names, beside `cfargotunnel.com`.
    pub tunnel_domain: Option<Name>,
    /// Hostnames whose requests go to agents' management services (tunnel-protocol §10.3).
    pub management_names: Vec<Name>,
    /// Public keys (P-256, uncompressed points) whose tokens such requests must bear: the present one, and others while one is replaced.
    pub management_keys: Vec<Bytes>,
    /// Addresses of the edges: what proxied names are answered with.
    pub edge_addresses: Vec<IpAddr>,
    /// What the edges speak over TLS beside HTTP/1.1, by ALPN identification: `h2`, `h3`.
    pub edge_protocols: Vec<String>,
    /// Name servers of zones that were given none when they were added.
    pub nameservers: Vec<Name>,
    /// What name servers' cookies are made with (RFC 9018), wrapped for the node: the first makes them, the others are believed.
    pub cookie_secrets: Vec<Bytes>,
    /// Certificates of this instance's authority for origins that are good no more, by serial number, rising.
    pub revoked_origin_certificates: Vec<[u8; 16]>,
    /// What visitors' session tickets are made with, in the order in which they are used.
    pub ticket_keys: Vec<TicketKey>,
    /// The domain below which names of partial zones lead here ([`ZoneHead::partial`]).
    pub cname_suffix: Option<Name>,
}

/// A key of session tickets (RFC 5077 §4). Nodes have it before it is used, and when it is used their own clocks say.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketKey {
    /// From when tickets are made with it, in seconds since the Unix epoch.
    pub starts_at: u64,
    /// Its 32 octets, wrapped for the node.
    pub key: Bytes,
}

impl std::fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TicketKey").field("starts_at", &self.starts_at).finish_non_exhaustive()
    }
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountChunk {
    /// For logs.
    pub name: String,
}

/// A zone without its names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneHead {
    /// The zone.
    pub id: ZoneId,
    /// Its owner; part of every cache key, pool key and log line.
    pub account: AccountId,
    /// The zone's name.
    pub apex: Name,
    /// Whether it serves.
    pub status: ZoneStatus,
    /// What the name server says of the zone itself. None until all of its names are here: it answers then that it is not ready, since
    /// a resolver would keep in mind that a name did not exist.
    pub dns: Option<ZoneDns>,
    /// What the edge obeys on its way to the zone's origins.
    pub origin: OriginSettings,
    /// What it obeys towards visitors.
    pub edge: EdgeSettings,
    /// Whom certificates are asked of and shown to, beside what is so in every zone; none of most.
    pub client: Option<Box<ClientCertificates>>,
    /// Whether its names are answered by its owner's own name servers, which lead here by CNAMEs below [`NodeChunk::cname_suffix`]: under its
    /// own name this name server answers nothing of it.
    pub partial: bool,
}

/// What a zone's origins are asked again and again; at least one check, none of them suspended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthChecksChunk {
    /// The checks, oldest first.
    pub checks: Vec<Checked>,
}

impl ZoneHead {
    /// Whether origins of a host are shown a certificate of its own, whatever the zone's setting says.
    pub fn shows_own(&self, host: &str) -> bool {
        self.client.as_ref().is_some_and(|client| client.of_host(host).is_some())
    }

    /// The ids of those who may vouch for visitors of a host by their certificates, rising; empty: visitors are asked for none.
    pub fn asked_of(&self, host: &str) -> &[CertificateId] {
        self.client.as_ref().map_or(&[], |client| client.asked_of(host))
    }
}

/// What the name server says of a zone itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneDns {
    /// The serial number; greater with every change of the zone (RFC 1982).
    pub serial: u32,
    /// The name servers it was given; none: the node's ([`NodeChunk::nameservers`]).
    pub name_servers: Vec<Name>,
    /// TTL of the apex's NS records, in seconds.
    pub ns_ttl_secs: u32,
    /// Whether NS records of the user's own at the apex are answered too.
    pub multi_provider: bool,
    /// Whether every CNAME is answered with the addresses it leads to.
    pub flattens_all: bool,
    /// The start of authority. MNAME: none is the first name server. RNAME: none is `dns.` and the apex.
    pub soa: Soa,
    /// What the zone is signed with; none: it is not signed.
    pub keys: Option<ZoneKeys>,
}

/// What a zone is signed with: what control has signed, and the key for everything else.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneKeys {
    /// The apex's DNSKEY, CDS and CDNSKEY sets, and their signatures as a set of RRSIG records, each of which begins with the type that
    /// it is over (RFC 4034 §3.1).
    pub signed: RecordSets,
    /// The algorithm of the key that signs (RFC 8624).
    pub algorithm: u8,
    /// Its private part (32 octets), wrapped for the node.
    pub key: Bytes,
}

impl std::fmt::Debug for ZoneKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ZoneKeys").field("signed", &self.signed).field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// One owner name. That the chunk exists means that the name exists, which stops a wildcard (RFC 4592 §2.2).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameChunk {
    /// Where visitors are led; none when no record of this name is proxied.
    pub target: Option<Target>,
    /// Whether the name server answers with the edges' addresses.
    pub shows: Shows,
    /// The records that the name server shows. Addresses and CNAMEs that the edge stands before are not among them: what is not here
    /// cannot be shown.
    pub sets: RecordSets,
}

/// Which addresses a name is answered with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shows {
    /// Its own records'.
    #[default]
    Records,
    /// The edges', IPv4 and IPv6.
    Edge,
    /// The edges', IPv4 alone.
    EdgeIpv4,
    /// The edges', IPv6 alone.
    EdgeIpv6,
}

impl NameChunk {
    /// A name that leads visitors there and has no other records.
    pub fn leading_to(target: Target) -> Self {
        Self { target: Some(target), shows: Shows::Edge, sets: RecordSets::default() }
    }
}

/// Where a proxied name leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// Through this tunnel.
    Tunnel(TunnelId),
    /// To a tunnel that does not exist, or is not of the name's account (error 1033 of edge-behaviour §2.5).
    UnknownTunnel(TunnelId),
    /// Directly to these addresses.
    Origin(Vec<IpAddr>),
    /// Directly to whatever this name resolves to.
    OriginName(Name),
    /// Nowhere: the chain loops or is too long (error 1000 of edge-behaviour §2.5).
    Broken,
}

/// A tunnel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TunnelChunk {
    /// The tunnel.
    pub id: TunnelId,
    /// Its owner.
    pub account: AccountId,
    /// For logs.
    pub name: String,
    /// SHA-256 of each valid secret: one, or two during a rotation.
    pub secret_digests: Vec<[u8; 32]>,
    /// The configuration to push; none when the agent brings its own.
    pub remote: Option<RemoteConfig>,
    /// Whether it was made by `POST /tunnel`: one connection makes it whole.
    pub quick: bool,
}

/// A remotely managed tunnel's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteConfig {
    /// From 0, greater with every change; agents apply greater ones only.
    pub version: i32,
    /// UTF-8 JSON as the agent expects it (tunnel-protocol §7.1).
    pub json: Bytes,
}

/// A certificate for visitors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateChunk {
    /// Its pack, which has one at a time.
    pub id: CertificatePackId,
    /// The names it is for; a wildcard covers one label.
    pub names: Vec<Name>,
    /// DER, leaf first.
    pub chain: Vec<Bytes>,
    /// The private key (PKCS#8 DER), wrapped for the node.
    pub key: Bytes,
    /// Of two certificates for a name, that of the greater rank is used: what somebody brought before what was ordered by itself.
    pub rank: u8,
    /// End of validity, seconds since the Unix epoch; of two certificates of equal rank the later one is used.
    pub not_after: u64,
}

/// What a certificate authority asks to be shown for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChallengeChunk {
    /// The challenge.
    pub id: ChallengeId,
    /// The zone it is for, which alone shows it.
    pub zone: ZoneId,
    /// When nobody shows it any more, seconds since the Unix epoch: control takes it away, but a node that control cannot reach does not
    /// wait for that.
    pub expires_at: u64,
    /// What is shown.
    pub shown: Shown,
}

/// How a certificate authority is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shown {
    /// By a TXT record (RFC 8555 §8.4).
    Txt {
        /// Its owner, `_acme-challenge.` and the name that is to be proven. That it is shown makes no other name exist.
        owner: Name,
        /// Its data, one string behind its length (RFC 1035 §3.3.14).
        data: Bytes,
    },
    /// By a text at a path (RFC 8555 §8.3).
    Http {
        /// The host that is asked.
        host: Name,
        /// The last segment of the path.
        token: String,
        /// What is answered.
        text: String,
    },
    /// In a handshake for `acme-tls/1` (RFC 8737).
    TlsAlpn {
        /// The name that is asked for.
        host: Name,
        /// What the certificate says in its `acmeIdentifier` extension.
        digest: [u8; 32],
    },
}

impl Shown {
    /// The name at which it is looked for: the record's owner, or the host.
    pub fn owner(&self) -> &Name {
        match self {
            Self::Txt { owner, .. } => owner,
            Self::Http { host, .. } | Self::TlsAlpn { host, .. } => host,
        }
    }
}

impl ChallengeChunk {
    /// Whether it is shown at a time, in seconds since the Unix epoch modulo 2^32; a challenge lasts some days.
    pub fn is_live(&self, now_secs: u32) -> bool {
        let expires = u32::try_from(self.expires_at % (1 << 32)).unwrap_or_default();
        (1..1 << 31).contains(&expires.wrapping_sub(now_secs))
    }

    fn is_whole(&self) -> bool {
        match &self.shown {
            Shown::Txt { data, .. } => data.first().is_some_and(|length| usize::from(*length) + 1 == data.len()),
            Shown::Http { token, .. } => !token.is_empty(),
            Shown::TlsAlpn { .. } => true,
        }
    }
}

/// Why a chunk was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// Written by another version.
    #[error("a chunk has format {found}, which this program does not read: run the version that wrote it")]
    Version {
        /// What it says.
        found: u8,
    },
    /// Not even a version byte.
    #[error("a chunk is empty")]
    Empty,
    /// Longer than [`CHUNK_BYTES_MAX`].
    #[error("a chunk of {found} bytes exceeds the bound of {CHUNK_BYTES_MAX}")]
    TooLong {
        /// Its length.
        found: usize,
    },
    /// The bytes are not what the key says.
    #[error("a chunk does not parse: {0}")]
    Malformed(String),
}

impl ChunkKey {
    /// How the keys of certificates begin, and no others.
    pub(crate) const OF_CERTIFICATES: [u8; 2] = [CHUNK_VERSION, 5];

    /// Whether these are the bytes of a key whose chunk is nothing without its zone's head.
    pub(crate) const fn stands_in_zone(bytes: &[u8]) -> bool {
        matches!(bytes, [CHUNK_VERSION, 3 | 7 | 8 | 9, ..])
    }

    /// The bytes that travel.
    pub fn encode(&self) -> poterne_feed::Key {
        encode(self).into_boxed_slice()
    }

    /// Reads what [`ChunkKey::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, ChunkError> {
        decode(bytes)
    }
}

impl Chunk {
    /// The bytes that travel.
    pub fn encode(&self) -> Bytes {
        Bytes::from(match self {
            Self::Node(chunk) => encode_as(NODE_CHUNK_VERSION, chunk),
            Self::Account(chunk) => encode(chunk),
            Self::Zone(chunk) => encode_as(ZONE_HEAD_VERSION, chunk),
            Self::Name(chunk) => encode_as(NAME_CHUNK_VERSION, chunk),
            Self::Tunnel(chunk) => encode(chunk),
            Self::Certificate(chunk) => encode_as(CERTIFICATE_CHUNK_VERSION, chunk),
            Self::Challenge(chunk) if matches!(chunk.shown, Shown::Txt { .. }) => encode(chunk),
            Self::Challenge(chunk) => encode_as(CHALLENGE_CHUNK_VERSION, chunk),
            Self::Transfer(chunk) => encode_as(TRANSFER_CHUNK_VERSION, chunk),
            Self::Rules(chunk) | Self::AccountRules(chunk) => encode_as(RULES_CHUNK_VERSION, chunk),
            Self::HealthChecks(chunk) => encode(chunk),
        })
    }

    /// Reads the body that belongs to `key`, and checks that it says the same of itself as the key does.
    pub fn decode(key: &ChunkKey, bytes: &[u8]) -> Result<Self, ChunkError> {
        if bytes.len() > CHUNK_BYTES_MAX {
            return Err(ChunkError::TooLong { found: bytes.len() });
        }
        let chunk = match key {
            ChunkKey::Node => Self::Node(match bytes.first() {
                Some(&1) => decode_as::<before::NodeChunk1>(1, bytes)?.into(),
                Some(&2) => decode_as::<before::NodeChunk2>(2, bytes)?.into(),
                Some(&3) => decode_as::<before::NodeChunk3>(3, bytes)?.into(),
                Some(&4) => decode_as::<before::NodeChunk4>(4, bytes)?.into(),
                Some(&5) => decode_as::<before::NodeChunk5>(5, bytes)?.into(),
                Some(&6) => decode_as::<before::NodeChunk6>(6, bytes)?.into(),
                _ => decode_as(NODE_CHUNK_VERSION, bytes)?,
            }),
            ChunkKey::Account(_) => Self::Account(decode(bytes)?),
            ChunkKey::Zone(_) => Self::Zone(match bytes.first() {
                Some(&1) => decode_as::<before::ZoneHead1>(1, bytes)?.into(),
                Some(&2) => decode_as::<before::ZoneHead2>(2, bytes)?.into(),
                Some(&3) => decode_as::<before::ZoneHead3>(3, bytes)?.into(),
                Some(&4) => decode_as::<before::ZoneHead4>(4, bytes)?.into(),
                Some(&5) => decode_as::<before::ZoneHead5>(5, bytes)?.into(),
                Some(&6) => decode_as::<before::ZoneHead6>(6, bytes)?.into(),
                _ => decode_as(ZONE_HEAD_VERSION, bytes)?,
            }),
            ChunkKey::Name(..) => Self::Name(match bytes.first() {
                Some(&1) => decode_as::<before::NameChunk1>(1, bytes)?.into(),
                _ => decode_as(NAME_CHUNK_VERSION, bytes)?,
            }),
            ChunkKey::Tunnel(_) => Self::Tunnel(decode(bytes)?),
            ChunkKey::Certificate(_) => Self::Certificate(decode_as(CERTIFICATE_CHUNK_VERSION, bytes)?),
            ChunkKey::Challenge(_) => Self::Challenge(match bytes.first() {
                Some(&CHALLENGE_CHUNK_VERSION) => decode_as(CHALLENGE_CHUNK_VERSION, bytes)?,
                _ => decode(bytes)?,
            }),
            ChunkKey::Transfer(_) => Self::Transfer(match bytes.first() {
                Some(&1) => decode_as::<before::TransferChunk1>(1, bytes)?.into(),
                _ => decode_as(TRANSFER_CHUNK_VERSION, bytes)?,
            }),
            ChunkKey::Rules(_) => Self::Rules(match bytes.first() {
                Some(&1) => decode_as::<before::ZoneRules1>(1, bytes)?.into(),
                _ => decode_as(RULES_CHUNK_VERSION, bytes)?,
            }),
            ChunkKey::HealthChecks(_) => Self::HealthChecks(decode(bytes)?),
            ChunkKey::AccountRules(_) => Self::AccountRules(decode_as(RULES_CHUNK_VERSION, bytes)?),
        };
        let agrees = match (key, &chunk) {
            (ChunkKey::Zone(id), Self::Zone(head)) => {
                head.id == *id && head.client.as_ref().is_none_or(|client| client.is_whole())
            }
            (ChunkKey::Tunnel(id), Self::Tunnel(tunnel)) => tunnel.id == *id && !tunnel.secret_digests.is_empty(),
            (ChunkKey::Certificate(id), Self::Certificate(certificate)) => certificate.id == *id,
            (ChunkKey::Challenge(id), Self::Challenge(challenge)) => challenge.id == *id && challenge.is_whole(),
            _ => true,
        };
        if agrees { Ok(chunk) } else { Err(ChunkError::Malformed(format!("the body is not about {key:?}"))) }
    }
}

fn encode(value: &impl Serialize) -> Vec<u8> {
    encode_as(CHUNK_VERSION, value)
}

fn encode_as(version: u8, value: &impl Serialize) -> Vec<u8> {
    postcard::to_extend(value, vec![version]).expect("plain data always serializes into memory")
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ChunkError> {
    decode_as(CHUNK_VERSION, bytes)
}

fn decode_as<T: DeserializeOwned>(version: u8, bytes: &[u8]) -> Result<T, ChunkError> {
    match bytes {
        [] => Err(ChunkError::Empty),
        [found, body @ ..] if *found == version => match postcard::take_from_bytes(body) {
            Ok((value, [])) => Ok(value),
            Ok((_, rest)) => Err(ChunkError::Malformed(format!("{} bytes too many", rest.len()))),
            Err(error) => Err(ChunkError::Malformed(error.to_string())),
        },
        [found, ..] => Err(ChunkError::Version { found: *found }),
    }
}

#[cfg(test)]
mod tests;
