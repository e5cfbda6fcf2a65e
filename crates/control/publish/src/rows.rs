//! What of a row nodes obey. Pure.

use std::{borrow::Borrow, cmp::Ordering, collections::BTreeSet, fmt::Display, sync::Arc};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use poterne_acme::{Kind, Method, caa::Issuer};
use poterne_control_store::{
    Account, AcmeAccount, CertificateInForce, Challenge, ConfigSource, RecordBrief, Sharing, SignedHead, StoreError,
    TransferPeer, TunnelDetails, Zone,
};
use poterne_dns_wire::{KeyName, Record, RecordSets, rtype};
use poterne_model::{
    AccountId, CertificatePackId, ChallengeId, Name, PeerId, Rdata, RecordData, RecordSet, RecordType, Rtype, TunnelId, ZoneId,
    chain::{TUNNEL_SUFFIX, tunnel_of},
    entry::TTL_AUTOMATIC,
    health_check::{Checked, HealthCheck},
    rdata::{Caa, Hosts},
    ruleset::Ruleset,
    setting::{DnsSettings, EdgeSettings, OriginSettings, dns::Soa},
};
use poterne_rules::{NamedList, ZoneRules};
use poterne_snapshot::{
    AccountChunk, CertificateChunk, CertificateEntry, ChallengeChunk, HealthChecksChunk, RemoteConfig, Shown, Shows, TicketKey,
    TransferChunk, TunnelChunk, ZoneDns, ZoneHead, ZoneKeys,
    transfer::{Incoming, Outgoing, Peer, PeerKey, Standing},
};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use serde::Deserialize;
use serde_json::Value;

/// The name under which a zone's DNS settings are kept.
pub(crate) const DNS_SETTINGS: &str = "dns_settings";

/// The name under which a zone's URL normalization is kept.
pub(crate) const NORMALIZATION: &str = "url_normalization";

/// What a zone set, as far as nodes obey it.
#[derive(Debug, Default)]
pub(crate) struct Set {
    dns: DnsSettings,
    origin: OriginSettings,
    edge: EdgeSettings,
}

impl Set {
    /// The names of the settings that are read.
    pub(crate) fn ids() -> impl Iterator<Item = &'static str> {
        [DNS_SETTINGS].into_iter().chain(OriginSettings::IDS).chain(EdgeSettings::IDS)
    }

    /// Of the values that a zone set.
    pub(crate) fn of<'a>(set: impl Fn(&'static str) -> Option<&'a Value>) -> Self {
        Self { dns: dns_settings(set(DNS_SETTINGS)), origin: OriginSettings::of(&set), edge: EdgeSettings::of(&set) }
    }
}

/// What an automatic TTL is answered as, in seconds (edge-behaviour §1.4).
const TTL_AUTOMATIC_SECS: u32 = 300;

/// What an agent is told of a tunnel nobody has configured yet: the answer it would give by itself (tunnel-protocol §7.1).
const UNCONFIGURED: &[u8] = br#"{"ingress":[{"service":"http_status:503"}]}"#;

/// The records at one name: what the walk asks of them, and what the name server shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Records {
    /// One proxied CNAME straight to a tunnel, and nothing else: nearly every name there is, and so without an allocation.
    Tunnel(TunnelId),
    /// None that the edge stands before. What the walk asks is read off the sets.
    Plain(RecordSets),
    /// Anything else.
    Proxied(Box<Proxied>),
}

/// See [`Records`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proxied {
    shows: Shows,
    /// Addresses and CNAMEs, in the order of type and content: what the edge hides.
    data: Vec<RecordData>,
    /// The others.
    sets: RecordSets,
}

/// A tunnel that lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KnownTunnel {
    pub(crate) account: AccountId,
    /// None while it has no secret: it admits nobody, and nodes need not know it.
    pub(crate) chunk: Option<Arc<TunnelChunk>>,
}

/// A certificate, and whose zone it is of: it is in force while that serves. Chain and key stay in the store until they are sent.
#[derive(Debug, Clone)]
pub(crate) struct KnownCertificate {
    pub(crate) zone: ZoneId,
    pub(crate) entry: Arc<CertificateEntry>,
}

/// They are found by their pack: a set of them keeps no key beside it.
impl Borrow<CertificatePackId> for KnownCertificate {
    fn borrow(&self) -> &CertificatePackId {
        (*self.entry).as_ref()
    }
}

impl PartialEq for KnownCertificate {
    fn eq(&self, other: &Self) -> bool {
        self.entry.id() == other.entry.id()
    }
}

impl Eq for KnownCertificate {}

impl PartialOrd for KnownCertificate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for KnownCertificate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.entry.id().cmp(&other.entry.id())
    }
}

/// What the reading of records needs to know beside them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading<'a> {
    pub(crate) tunnel_domain: Option<&'a Name>,
    /// The authorities that certificates are ordered of.
    pub(crate) issuers: &'a [Issuer],
}

/// A zone's head, and whether its names are proxied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KnownZone {
    pub(crate) head: ZoneHead,
    pub(crate) proxies: bool,
}

/// What of [`poterne_snapshot::NodeChunk`] the store knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OfStore {
    pub(crate) cookie_secrets: Vec<Bytes>,
    pub(crate) revoked_origin_certificates: Vec<[u8; 16]>,
    pub(crate) ticket_keys: Vec<TicketKey>,
}

/// What a zone gives to other name servers or takes from them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KnownTransfer {
    pub(crate) chunk: TransferChunk,
    /// The serial number with which it was last given.
    pub(crate) given: Option<u32>,
}

/// What was read anew, each with none where it is gone.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// What the store knows of all nodes; none: not read.
    pub(crate) node: Option<OfStore>,
    pub(crate) accounts: Vec<(AccountId, Option<AccountChunk>)>,
    /// Of accounts that came, too.
    pub(crate) account_rules: Vec<(AccountId, Option<ZoneRules>)>,
    pub(crate) zones: Vec<(ZoneId, Option<KnownZone>)>,
    pub(crate) names: Vec<(ZoneId, Name, Option<Records>)>,
    pub(crate) tunnels: Vec<(TunnelId, Option<KnownTunnel>)>,
    pub(crate) challenges: Vec<(ChallengeId, Option<ChallengeChunk>)>,
    pub(crate) certificates: Vec<(CertificatePackId, Option<KnownCertificate>)>,
    /// Of zones that came, too.
    pub(crate) transfers: Vec<(ZoneId, Option<KnownTransfer>)>,
    /// Of zones that came, too.
    pub(crate) rules: Vec<(ZoneId, Option<ZoneRules>)>,
    /// Of zones that came, too.
    pub(crate) health_checks: Vec<(ZoneId, Option<HealthChecksChunk>)>,
    /// Zones whose names come after the rest, page by page: so many that they are never held at once.
    pub(crate) whole: BTreeSet<ZoneId>,
    /// All of it is to be read: others are named in CAA records now, wherever they stand.
    pub(crate) begins_anew: bool,
}

impl Records {
    /// Of the records at one name, in the store's order; none of none. `proxies`: whether their zone does.
    pub(crate) fn of(records: &[RecordBrief], reading: Reading<'_>, proxies: bool) -> Result<Option<Self>, StoreError> {
        if records.is_empty() {
            return Ok(None);
        }
        let is_web = |record: &RecordBrief| !matches!(record.kind, RecordType::Other(_));
        // One proxied address makes all of the name proxied (edge-behaviour §1.5).
        let is_proxied = proxies && records.iter().any(|record| record.proxied && is_web(record));
        let (mut data, mut shown, mut shows) = (Vec::new(), Vec::new(), Shows::Edge);
        for record in records {
            if is_proxied && is_web(record) {
                data.push(record.data()?);
                shows = Flags::of(&record.settings).shows().unwrap_or(shows);
            } else {
                shown.extend(wire(record));
            }
        }
        if proxies {
            let_issue(&mut shown, reading.issuers);
        }
        let (sets, left_out) = RecordSets::of(shown);
        if let (Some(first), false) = (records.first(), left_out.is_empty()) {
            tracing::error!(zone = %first.zone, name = %first.name, types = ?left_out, "records are too many or too long to be answered and are left out");
        }
        Ok(Some(match data.as_slice() {
            [] => Self::Plain(sets),
            [RecordData::Cname(target)] if sets.is_empty() && shows == Shows::Edge => {
                match tunnel_of(target, reading.tunnel_domain) {
                    Some(tunnel) => Self::Tunnel(tunnel),
                    None => Self::Proxied(Box::new(Proxied { shows, data, sets })),
                }
            }
            _ => Self::Proxied(Box::new(Proxied { shows, data, sets })),
        }))
    }

    /// Whether visitors are led anywhere.
    pub(crate) fn is_proxied(&self) -> bool {
        self.shows() != Shows::Records
    }

    /// Which addresses the name server answers with.
    pub(crate) fn shows(&self) -> Shows {
        match self {
            Self::Tunnel(_) => Shows::Edge,
            Self::Plain(_) => Shows::Records,
            Self::Proxied(proxied) => proxied.shows,
        }
    }

    /// The records that resolvers may see.
    pub(crate) fn shown(&self) -> RecordSets {
        match self {
            Self::Tunnel(_) => RecordSets::default(),
            Self::Plain(sets) => sets.clone(),
            Self::Proxied(proxied) => proxied.sets.clone(),
        }
    }

    /// The names that its CNAMEs lead to; of a tunnel's name none.
    pub(crate) fn targets(&self) -> Vec<Name> {
        let data = match self {
            Self::Tunnel(_) => Vec::new(),
            Self::Plain(sets) => web_data(sets, &[rtype::CNAME]),
            Self::Proxied(proxied) => proxied.data.clone(),
        };
        let target = |data| match data {
            RecordData::Cname(target) => Some(target),
            _ => None,
        };
        data.into_iter().filter_map(target).collect()
    }

    /// As the walk reads them: it looks at data and at whether there is any set, not at how sets are cut.
    pub(crate) fn sets(&self, name: &Name) -> Vec<RecordSet> {
        let set = |proxied, records: Vec<RecordData>| {
            let kind = match records.first() {
                Some(RecordData::A(_)) => RecordType::A,
                Some(RecordData::Aaaa(_)) => RecordType::Aaaa,
                Some(RecordData::Cname(_)) => RecordType::Cname,
                Some(RecordData::Other(_)) | None => RecordType::Other(String::new()),
            };
            RecordSet { name: name.clone(), kind, ttl_secs: 1, proxied, records }
        };
        // That the name has something is told even where it leads nowhere.
        let something = || set(false, vec![RecordData::Other(String::new())]);
        match self {
            Self::Tunnel(tunnel) => {
                let target = Name::parse(&format!("{tunnel}.{TUNNEL_SUFFIX}")).expect("a UUID and a domain make a name");
                vec![set(true, vec![RecordData::Cname(target)])]
            }
            Self::Plain(sets) => {
                vec![something(), set(false, web_data(sets, &[rtype::A, rtype::CNAME, rtype::AAAA]))]
            }
            Self::Proxied(proxied) => vec![something(), set(true, proxied.data.clone())],
        }
    }
}

/// Where sets of these types lead.
fn web_data(sets: &RecordSets, types: &[u16]) -> Vec<RecordData> {
    let sets = sets.iter().filter(|set| types.contains(&set.rtype));
    let data = |rtype, data: &[u8]| match rtype {
        rtype::A => <[u8; 4]>::try_from(data).ok().map(|octets| RecordData::A(octets.into())),
        rtype::AAAA => <[u8; 16]>::try_from(data).ok().map(|octets| RecordData::Aaaa(octets.into())),
        _ => Name::parse(KeyName::of_wire(data)?.as_str()).ok().map(RecordData::Cname),
    };
    sets.flat_map(|set| set.records().filter_map(move |octets| data(set.rtype, octets))).collect()
}

/// A record as the name server shows it; one that does not parse is told and left out, since nobody could be answered with it.
pub(crate) fn wire(record: &RecordBrief) -> Option<Record> {
    let left_out = |error: &dyn Display| {
        let RecordBrief { zone, name, kind, .. } = record;
        tracing::error!(%zone, %name, kind = kind.as_str(), %error, "a record cannot be answered and is left out");
    };
    let (rtype, data) = match record.data().inspect_err(|error| left_out(error)).ok()? {
        RecordData::A(address) => (rtype::A, address.octets().to_vec()),
        RecordData::Aaaa(address) => (rtype::AAAA, address.octets().to_vec()),
        RecordData::Cname(target) => {
            let mut data = Vec::with_capacity(target.as_str().len() + 2);
            poterne_dns_wire::name::push(target.as_str(), &mut data);
            (rtype::CNAME, data)
        }
        RecordData::Other(content) => {
            let rtype = Rtype::parse(record.kind.as_str()).inspect_err(|error| left_out(error)).ok()?;
            let read = Rdata::parse(rtype, &content, record.priority, Hosts::default());
            (rtype.number(), poterne_dns_wire::rdata(&read.inspect_err(|error| left_out(error)).ok()?))
        }
    };
    let ttl_secs = if record.ttl_secs == TTL_AUTOMATIC { TTL_AUTOMATIC_SECS } else { record.ttl_secs };
    let flattened = rtype == rtype::CNAME && Flags::of(&record.settings).flatten_cname;
    Some(Record { rtype, ttl_secs, flattened, data })
}

/// Lets the authorities that certificates are ordered of issue where the user's own CAA records say who may (edge-behaviour §1.13). Where
/// there are none, anybody may, and none are added.
fn let_issue(shown: &mut Vec<Record>, issuers: &[Issuer]) {
    let Some(ttl_secs) = shown.iter().find(|record| record.rtype == rtype::CAA).map(|record| record.ttl_secs) else { return };
    for issuer in issuers {
        for tag in ["issue", "issuewild"] {
            let caa = Rdata::Caa(Caa { flags: 0, tag: tag.to_owned(), value: issuer.value() });
            let data = poterne_dns_wire::rdata(&caa);
            if !shown.iter().any(|record| record.rtype == rtype::CAA && record.data == data) {
                shown.push(Record { rtype: rtype::CAA, ttl_secs, flattened: false, data });
            }
        }
    }
}

/// The settings of a record that the name server heeds.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Flags {
    ipv4_only: bool,
    ipv6_only: bool,
    flatten_cname: bool,
}

impl Flags {
    /// Of a record's JSON; what is not understood is not heeded.
    fn of(json: &str) -> Self {
        if json == "{}" { Self::default() } else { serde_json::from_str(json).unwrap_or_default() }
    }

    fn shows(self) -> Option<Shows> {
        match (self.ipv4_only, self.ipv6_only) {
            (true, false) => Some(Shows::EdgeIpv4),
            (false, true) => Some(Shows::EdgeIpv6),
            _ => None,
        }
    }
}

/// An account, as nodes know it.
pub(crate) fn account(account: Account) -> AccountChunk {
    AccountChunk { name: account.name }
}

/// What a zone's origins are asked, as nodes know it; none where that is nothing.
pub(crate) fn health_checks(checks: Vec<HealthCheck>) -> Option<HealthChecksChunk> {
    let asked = checks.into_iter().filter(|check| !check.terms.suspended);
    let checks: Vec<Checked> =
        asked.map(|check| Checked { id: check.id, revision: check.modified_on.as_micros(), terms: check.terms }).collect();
    (!checks.is_empty()).then_some(HealthChecksChunk { checks })
}

/// A challenge, as nodes know it; none where its text is longer than a string of a TXT record can be, which no verb writes.
pub(crate) fn challenge(challenge: Challenge) -> Option<ChallengeChunk> {
    let Challenge { id, zone, kind, owner, token, text, expires_at, .. } = challenge;
    let shown = match Method::parse(&kind)? {
        Method::Dns01 => {
            let data = [&[u8::try_from(text.len()).ok()?][..], text.as_bytes()].concat().into();
            Shown::Txt { owner, data }
        }
        Method::Http01 => Shown::Http { host: owner, token, text },
        Method::TlsAlpn01 => {
            let digest = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
            Shown::TlsAlpn { host: owner, digest: digest.try_into().ok()? }
        }
    };
    let expires_at = u64::try_from(expires_at / 1_000_000).unwrap_or_default();
    Some(ChallengeChunk { id, zone, expires_at, shown })
}

/// A certificate, as nodes know it; none where its chain does not parse, which is told.
pub(crate) fn certificate(in_force: CertificateInForce) -> Option<CertificateChunk> {
    let CertificateInForce { certificate, kind, priority, .. } = in_force;
    let chain: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(certificate.chain.as_bytes()).collect();
    let told =
        |error: &dyn Display| tracing::error!(pack = %certificate.pack, %error, "a certificate does not parse: it is not served");
    let chain = chain.inspect_err(|error| told(error)).ok()?;
    // Among those that somebody brought, the order is theirs.
    let place = u8::try_from(priority.clamp(0, 200)).unwrap_or_default();
    let rank = Kind::parse(&kind)?.rank().saturating_add(place);
    Some(CertificateChunk {
        id: certificate.pack,
        names: certificate.hosts,
        chain: chain.into_iter().map(|der| Bytes::copy_from_slice(&der)).collect(),
        key: certificate.wrapped.into(),
        rank,
        not_after: u64::try_from(certificate.not_after.div_euclid(1_000_000)).unwrap_or_default(),
    })
}

/// What the world keeps of a certificate.
pub(crate) fn known_certificate(in_force: CertificateInForce) -> Option<KnownCertificate> {
    let zone = in_force.zone;
    Some(KnownCertificate { zone, entry: Arc::new(CertificateEntry::of(&certificate(in_force)?)) })
}

/// Whom the name servers name in CAA records.
pub(crate) fn issuers(accounts: Vec<AcmeAccount>) -> Vec<Issuer> {
    let of = |account: AcmeAccount| {
        let uri = account.uri;
        account.issuers.into_iter().map(move |domain| Issuer { domain, account: Some(uri.clone()) })
    };
    accounts.into_iter().flat_map(of).collect()
}

/// A zone, as nodes know it. Its serial number is given when it is published.
pub(crate) fn zone(zone: Zone, set: Set, signed: Option<SignedHead>) -> KnownZone {
    let Set { dns, origin, edge } = set;
    let Zone { id, account, apex, status, paused, partial, name_servers, .. } = zone;
    let dns = ZoneDns {
        serial: 0,
        name_servers,
        ns_ttl_secs: dns.ns_ttl,
        multi_provider: dns.multi_provider,
        flattens_all: dns.flatten_all_cnames,
        soa: dns.soa,
        keys: signed.and_then(|signed| keys(id, signed)),
    };
    KnownZone {
        head: ZoneHead { id, account, apex, status, dns: Some(dns), origin, edge, client: None, partial },
        proxies: status.serves() && !paused,
    }
}

/// What a zone gives to other name servers or takes from them; none of most. Of one that is another server's, the start of authority is
/// that server's, with its serial number, or one later where it is given on ([`crate::difference`]).
pub(crate) fn transfer(known: &mut KnownZone, sharing: Option<Sharing>) -> Option<KnownTransfer> {
    let Sharing { outgoing, incoming, peers, keys, networks } = sharing?;
    let key = |id| {
        let key = keys.iter().find(|key| Some(key.id) == id)?;
        let (name, algorithm) = (key.name.clone(), key.algorithm.clone());
        Some(PeerKey { id: *key.id.as_bytes(), name, algorithm, sealed: Bytes::from(key.wrapped.clone()) })
    };
    let peer = |peer: &TransferPeer| {
        let TransferPeer { id, ip, port, ixfr, tsig, tls, .. } = peer;
        let (takes_differences, over_tls) = (*ixfr, tls.is_some());
        Peer { id: *id.as_bytes(), address: *ip, port: *port, takes_differences, key: key(*tsig), over_tls }
    };
    let named = |ids: &[PeerId]| ids.iter().filter_map(|id| peers.iter().find(|peer| peer.id == *id)).map(&peer).collect();
    let given = outgoing.as_ref().and_then(|outgoing| outgoing.serial);
    let outgoing = outgoing.filter(|outgoing| outgoing.enabled).map(|outgoing| Outgoing {
        peers: named(&outgoing.peers),
        networks: networks.clone(),
        allows_unsigned: outgoing.allows_unsigned,
        asked: outgoing.asked.into(),
    });
    let incoming = incoming.map(|incoming| {
        let refresh = &incoming.refresh;
        if let (Some(held), Some(dns)) = (&refresh.held, &mut known.head.dns) {
            // 0 stands for "not given yet" here.
            dns.serial = held.serial;
            dns.ns_ttl_secs = held.ttl;
            dns.soa = Soa {
                // A mailbox with a dot in it has no name here; the default stands in its place.
                mname: Name::parse(&held.mname).ok(),
                rname: Name::parse(&held.rname).ok(),
                refresh: held.refresh,
                retry: held.retry,
                expire: held.expire,
                min_ttl: held.minimum,
                ttl: held.ttl,
            };
        }
        let standing = match (&refresh.held, refresh.is_expired) {
            (None, _) => Standing::Waiting,
            (Some(_), true) => Standing::Expired,
            (Some(_), false) => Standing::Whole,
        };
        Incoming { primaries: named(&incoming.peers), networks: networks.clone(), standing }
    });
    let chunk = TransferChunk { outgoing, incoming };
    (chunk != TransferChunk::default()).then_some(KnownTransfer { chunk, given })
}

/// What a zone's rules make of requests; none where that is what they make of those of any zone.
pub(crate) fn rules(
    normalization: Option<Value>,
    entry_points: &[Ruleset],
    customs: &[Ruleset],
    lists: Vec<NamedList>,
) -> Option<ZoneRules> {
    let normalization = normalization.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default();
    let rules = ZoneRules::of(normalization, entry_points, customs, lists);
    (rules != ZoneRules::default()).then_some(rules)
}

/// What a zone is signed with; none where it does not parse, which is told: the zone is then answered unsigned, and validators find it
/// false.
fn keys(zone: ZoneId, head: SignedHead) -> Option<ZoneKeys> {
    let SignedHead { signed, algorithm, wrapped } = head;
    let signed = postcard::from_bytes(&signed);
    let signed =
        signed.inspect_err(|error| tracing::error!(%zone, %error, "the zone's signed keys do not parse: it is not signed"));
    Some(ZoneKeys { signed: signed.ok()?, algorithm, key: Bytes::from(wrapped) })
}

/// What a zone set of its DNS; the default where it never did, or what an older version wrote is not understood any more.
fn dns_settings(value: Option<&Value>) -> DnsSettings {
    value.and_then(|value| serde_json::from_value(value.clone()).ok()).unwrap_or_default()
}

/// A live tunnel, as nodes know it.
pub(crate) fn tunnel(details: TunnelDetails) -> KnownTunnel {
    let TunnelDetails { id, account, name, config_source, quick, digests, configuration } = details;
    let remote = (config_source == ConfigSource::Remote).then(|| match configuration {
        Some(config) => RemoteConfig { version: config.version, json: Bytes::from(config.json) },
        None => RemoteConfig { version: 0, json: Bytes::from_static(UNCONFIGURED) },
    });
    let chunk = TunnelChunk { id, account, name, secret_digests: digests, remote, quick };
    KnownTunnel { account, chunk: (!chunk.secret_digests.is_empty()).then(|| Arc::new(chunk)) }
}
