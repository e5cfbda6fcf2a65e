//! What clients submit.

use std::net::IpAddr;

use super::TlsDraft;
use crate::{At, Name, Network, PeerId, Schema, ShapeError, TsigId};

/// Longest name of anything here, in characters.
const NAME_CHARS_MAX: usize = 255;

/// Most peers of a zone.
pub const PEERS_OF_ZONE_MAX: usize = 10;

/// How messages are signed, as the API writes it.
pub const TSIG_ALGORITHMS: &[&str] = &["hmac-sha256.", "hmac-sha384.", "hmac-sha512."];

/// Shortest and longest secret, in octets: below half of a code's length it is the weakest part (RFC 8945 §8).
pub const SECRET_OCTETS_MIN: usize = 16;
/// See [`SECRET_OCTETS_MIN`].
pub const SECRET_OCTETS_MAX: usize = 256;

/// Shortest and longest time between two looks at a primary that a client may ask for, in seconds.
const EVERY_SECS_MIN: i64 = 60;
const EVERY_SECS_MAX: i64 = 604_800;

/// A network that other name servers ask from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AclDraft {
    /// What it is called.
    pub name: String,
    /// Which.
    pub network: Network,
}

/// A secret that is shared.
#[derive(Clone, PartialEq, Eq)]
pub struct TsigDraft {
    /// What both servers call it.
    pub name: Name,
    /// One of [`TSIG_ALGORITHMS`].
    pub algorithm: String,
    /// The secret, in base64.
    pub secret: String,
}

/// Another name server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerDraft {
    /// What it is called.
    pub name: String,
    /// Where it is; none: wherever its key is.
    pub ip: Option<IpAddr>,
    /// Its port.
    pub port: u16,
    /// Whether what changed is sent, or asked for, alone.
    pub ixfr: bool,
    /// What messages are signed with.
    pub tsig: Option<TsigId>,
    /// Whether zones come and go over TLS.
    pub tls: TlsDraft,
}

/// Who may have a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingDraft {
    /// What it is called.
    pub name: String,
    /// The peers, each once.
    pub peers: Vec<PeerId>,
    /// Whether peers without a key are known by their address alone.
    pub allows_unsigned: bool,
}

/// Where a zone comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncomingDraft {
    /// What it is called.
    pub name: String,
    /// The primaries, each once, in the order they are asked.
    pub peers: Vec<PeerId>,
    /// How often they are asked, in seconds; none: as the zone says.
    pub every_secs: Option<u32>,
}

impl std::fmt::Debug for TsigDraft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TsigDraft").field("name", &self.name).field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

fn name(body: &At<'_>) -> Result<String, ShapeError> {
    let at = body.required("name")?;
    let text = at.text(NAME_CHARS_MAX)?.trim();
    if text.is_empty() { Err(at.wrong("write a name")) } else { Ok(text.to_owned()) }
}

fn name_schema() -> Schema {
    Schema::text(NAME_CHARS_MAX).required().about("what it is called")
}

impl AclDraft {
    /// Of a body.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn read(body: &At<'_>) -> Result<Self, ShapeError> {
        let at = body.required("ip_range")?;
        let network = at.text(64)?.parse::<Network>().map_err(|error| at.wrong(error))?;
        Ok(Self { name: name(body)?, network })
    }

    /// What [`Self::read`] reads.
    pub fn schema() -> Schema {
        Schema::object([("name", name_schema()), ("ip_range", Schema::network().required().about("a network"))])
            .named("NewTransferAcl")
    }
}

impl TsigDraft {
    /// Of a body. The secret's base64 is not read here.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn read(body: &At<'_>) -> Result<Self, ShapeError> {
        let (named, algo, secret) = (body.required("name")?, body.required("algo")?, body.required("secret")?);
        let text = algo.text(64)?.to_ascii_lowercase();
        let text = if text.ends_with('.') { text } else { format!("{text}.") };
        let algorithm = TSIG_ALGORITHMS.iter().find(|algorithm| **algorithm == text);
        let algorithm = algorithm.ok_or_else(|| algo.wrong(format_args!("write one of {}", TSIG_ALGORITHMS.join(", "))))?;
        let name = Name::parse(named.text(NAME_CHARS_MAX)?).map_err(|error| named.wrong(error))?;
        Ok(Self { name, algorithm: (*algorithm).to_owned(), secret: secret.text(1024)?.to_owned() })
    }

    /// What [`Self::read`] reads.
    pub fn schema() -> Schema {
        Schema::object([
            ("name", Schema::text(NAME_CHARS_MAX).required().about("a domain name: what both servers call it")),
            ("algo", Schema::one_of(TSIG_ALGORITHMS).required()),
            ("secret", Schema::text(1024).required().about("16 to 256 octets in base64")),
        ])
        .named("NewTransferTsig")
    }
}

impl PeerDraft {
    /// Of a body; what it leaves out has its default.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn read(body: &At<'_>) -> Result<Self, ShapeError> {
        // Clients write an empty text where they mean none.
        let given = |key: &str| body.member(key).filter(|at| at.value.as_str() != Some(""));
        let ip = given("ip").map(|at| {
            let address = at.text(64)?.parse::<IpAddr>();
            address.map(|address| address.to_canonical()).map_err(|_| at.wrong("write an address, as in 192.0.2.53"))
        });
        let port = body.member("port").map(|at| at.integer(1..=65_535)).transpose()?;
        let tls = TlsDraft::read(body)?;
        if let (TlsDraft::Tls(_), None, Some(_)) = (&tls, port, given("ip")) {
            let why = "/port is missing: write where a primary speaks TLS (853, most often), or where a secondary is told of changes (53)";
            return Err(ShapeError::new("/port", why));
        }
        let tsig = given("tsig_id").map(|at| at.text(64)?.parse::<TsigId>().map_err(|error| at.wrong(error))).transpose()?;
        Ok(Self {
            name: name(body)?,
            ip: ip.transpose()?,
            port: port.and_then(|port| u16::try_from(port).ok()).unwrap_or(53),
            ixfr: body.member("ixfr_enable").map(|at| at.boolean()).transpose()?.unwrap_or(true),
            tsig,
            tls,
        })
    }

    /// What [`Self::read`] reads.
    pub fn schema() -> Schema {
        Schema::object([
            ("name", name_schema()),
            ("ip", Schema::text(64).about("its address; absent: it asks from wherever its key is, and is not told of changes")),
            ("port", Schema::integer(1..=65_535).about("its port; absent: 53")),
            ("ixfr_enable", Schema::boolean().about("send, or ask for, what changed alone; absent: true")),
            ("tsig_id", Schema::text(64).about("the key that messages are signed with")),
            ("poterne_tls", TlsDraft::schema()),
        ])
        .named("NewTransferPeer")
    }
}

fn peers(body: &At<'_>) -> Result<Vec<PeerId>, ShapeError> {
    let mut peers = Vec::new();
    for at in body.required("peers")?.items(PEERS_OF_ZONE_MAX)? {
        let id = at.text(64)?.parse::<PeerId>().map_err(|error| at.wrong(error))?;
        if !peers.contains(&id) {
            peers.push(id);
        }
    }
    Ok(peers)
}

fn peers_schema() -> Schema {
    Schema::items(Schema::hex("a peer"), PEERS_OF_ZONE_MAX).required().about("peers of the account")
}

impl OutgoingDraft {
    /// Of a body.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn read(body: &At<'_>) -> Result<Self, ShapeError> {
        let allows = body.member("poterne_allow_unsigned").map(|at| at.boolean()).transpose()?;
        Ok(Self { name: name(body)?, peers: peers(body)?, allows_unsigned: allows.unwrap_or(false) })
    }

    /// What [`Self::read`] reads.
    pub fn schema() -> Schema {
        let unsigned = "let peers without a key have the zone by their address alone; absent: false";
        Schema::object([
            ("name", name_schema()),
            ("peers", peers_schema()),
            ("poterne_allow_unsigned", Schema::boolean().about(unsigned)),
        ])
        .named("NewOutgoingTransfer")
    }
}

impl IncomingDraft {
    /// Of a body.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn read(body: &At<'_>) -> Result<Self, ShapeError> {
        let every = body.member("auto_refresh_seconds").map(|at| match at.integer(0..=EVERY_SECS_MAX)? {
            0 => Ok(None),
            _ => at.integer(EVERY_SECS_MIN..=EVERY_SECS_MAX).map(Some),
        });
        let every_secs = every.transpose()?.flatten().and_then(|secs| u32::try_from(secs).ok());
        Ok(Self { name: name(body)?, peers: peers(body)?, every_secs })
    }

    /// What [`Self::read`] reads.
    pub fn schema() -> Schema {
        let every = "how often the primaries are asked; 0 or absent: as the zone's SOA says";
        Schema::object([
            ("name", name_schema()),
            ("peers", peers_schema()),
            ("auto_refresh_seconds", Schema::integer(0..=EVERY_SECS_MAX).about(every)),
        ])
        .named("NewIncomingTransfer")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_sdk_sends_is_read() {
        let id = "23ff594956f20c2a721606e94745a8aa";
        let read = PeerDraft::read(&At::body(&json!({
            "name": "my-peer-1", "ip": "192.0.2.53", "ixfr_enable": false, "port": 5353, "tsig_id": id
        })));
        let peer = read.unwrap();
        assert_eq!((peer.ip, peer.port, peer.ixfr), (Some("192.0.2.53".parse().unwrap()), 5353, false));
        assert_eq!(peer.tsig.unwrap().to_string(), id);
        let bare = PeerDraft::read(&At::body(&json!({ "name": "my-peer-1", "ip": "", "tsig_id": "" }))).unwrap();
        assert_eq!((bare.ip, bare.port, bare.ixfr, bare.tsig, bare.tls), (None, 53, true, None, TlsDraft::AsBefore));
        let tls = json!({ "name": "my-peer-1", "ip": "192.0.2.53", "poterne_tls": { "name": "ns1.example.net" } });
        assert!(PeerDraft::read(&At::body(&tls)).unwrap_err().why.contains("853"));

        let tsig = json!({ "algo": "hmac-sha512.", "name": "tsig.customer.cf.", "secret": "caf79a7804b04337c9c66ccd7bef9190" });
        let read = TsigDraft::read(&At::body(&tsig)).unwrap();
        assert_eq!((read.name.as_str(), &*read.algorithm), ("tsig.customer.cf", "hmac-sha512."));
        assert!(!format!("{read:?}").contains("caf79a"));
        let wrong = json!({ "algo": "hmac-md5.", "name": "k", "secret": "AA==" });
        assert!(TsigDraft::read(&At::body(&wrong)).unwrap_err().why.contains("hmac-sha256."));

        let acl = AclDraft::read(&At::body(&json!({ "name": "my-acl-1", "ip_range": "192.0.2.53/28" }))).unwrap();
        assert_eq!(acl.network.to_string(), "192.0.2.48/28");

        let incoming = json!({ "auto_refresh_seconds": 86400, "name": "www.example.com.", "peers": [id, id] });
        let read = IncomingDraft::read(&At::body(&incoming)).unwrap();
        assert_eq!((read.every_secs, read.peers.len()), (Some(86_400), 1));
        let short = json!({ "auto_refresh_seconds": 5, "name": "a", "peers": [] });
        assert!(IncomingDraft::read(&At::body(&short)).is_err());
        let outgoing = OutgoingDraft::read(&At::body(&json!({ "name": "www.example.com.", "peers": [id] }))).unwrap();
        assert!(!outgoing.allows_unsigned);
    }
}
