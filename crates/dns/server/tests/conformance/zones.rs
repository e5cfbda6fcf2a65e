//! What the server under test serves: snapshots out of a few lines of text, made as control publishes them.

use std::collections::BTreeMap;

use poterne_dns_wire::{Record, RecordSets};
use poterne_model::{
    AccountId, Name, Rdata, Rtype, TunnelId, ZoneId, ZoneStatus,
    rdata::Hosts,
    setting::{DnsSettings, EdgeSettings, OriginSettings},
};
use poterne_snapshot::{Chunk, ChunkKey, NameChunk, NodeChunk, Shows, Target, ZoneDns, ZoneHead};

use crate::dnssec::Keys;

/// Zones, each with its lines of `owner [TTL] TYPE content`, with `proxied` or `flattened` behind.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) node: NodeChunk,
    pub(crate) zones: Vec<ZoneText>,
}

#[derive(Clone)]
pub(crate) struct ZoneText {
    apex: &'static str,
    is_signed: bool,
    account: u8,
    lines: String,
}

struct Line {
    owner: Name,
    record: Record,
    is_web: bool,
    proxied: bool,
}

/// The zone that most tests ask.
const USUAL: &str = r#"
    @ 600 MX 10 mail.example.com
    @ 600 TXT "v=spf1 -all"
    www 120 A 192.0.2.1
    www 120 A 192.0.2.2
    www AAAA 2001:db8::1
    mail A 192.0.2.25
    alias 60 CNAME www.example.com
    chain CNAME alias.example.com
    gone CNAME nowhere.signed.test
    far 60 CNAME hop.signed.test
    away CNAME host.elsewhere.test
    beside CNAME www.signed.test
    abroad CNAME www.foreign.test
    round CNAME about.example.com
    about CNAME round.example.com
    deep.empty A 192.0.2.3
    *.wild A 192.0.2.77
    *.wild TXT "wild"
    host.wild TXT "host"
    to.wild CNAME www.signed.test
    sub 3600 NS ns1.sub.example.com
    sub 3600 NS ns.elsewhere.test
    ns1.sub A 192.0.2.53
    ns1.sub AAAA 2001:db8::53
    hidden.sub TXT "not ours to say"
    p A 198.51.100.111 proxied
    p TXT "shown"
    svc HTTPS 1 . alpn=h2,h3 ipv4hint=192.0.2.1
    name HTTPS 0 www.example.com
    _8443._https.api SVCB 1 svc.example.com port=8443 alpn=h2
    _sip._tcp SRV 10 60 5060 Mail.Example.COM
    odd TYPE65280 \# 6 0a0b0c0d0e0f
    ptr PTR Mail.Example.COM
"#;

/// The zone of RFC 4592 §2.2.1, with the names that its records can have here.
const WILDCARDS: &str = r#"
    * 3600 TXT "this is a wildcard"
    * 3600 MX 10 host1.rfc4592.test
    host1 3600 A 192.0.2.1
    _ssh._tcp.host1 3600 SRV 0 0 22 host1.rfc4592.test
    _ssh._tcp.host2 3600 SRV 0 0 22 host1.rfc4592.test
    subdel 3600 NS ns.example.com
    subdel 3600 NS ns.example.net
"#;

const SIGNED: &str = r#"
    www A 192.0.2.1
    www A 192.0.2.2
    www AAAA 2001:db8::1
    alias CNAME www.other.test
    gone CNAME nowhere.other.test
    hop CNAME mail.example.com
    deep.ent A 192.0.2.3
    *.wild TXT "wild"
    *.wild CAA 0 issue "ca.example.net"
    p A 198.51.100.111 proxied
    sub NS ns.elsewhere.test
    safe NS ns.elsewhere.test
    safe DS 42 13 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
"#;

/// Another signed zone, which CNAMEs lead to: within their own zone they are not shown (edge-behaviour §1.6).
const OTHER: &str = "www A 192.0.2.3\nwww A 192.0.2.4";

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

impl World {
    pub(crate) fn usual() -> Self {
        let node = NodeChunk {
            edge_addresses: ["203.0.113.10", "2001:db8::10"].map(|address| address.parse().unwrap()).to_vec(),
            edge_protocols: vec!["h2".into()],
            nameservers: vec![name("ns1.example.net")],
            ..NodeChunk::default()
        };
        let mut usual = USUAL.to_owned();
        for number in 0..60 {
            usual.push_str(&format!("many AAAA 2001:db8::{number:x}\n"));
        }
        for number in 0..6 {
            usual.push_str(&format!("long TXT \"{number} {}\"\n", "x".repeat(120)));
        }
        let zone = |apex, is_signed, lines: &str| ZoneText { apex, is_signed, account: 1, lines: lines.to_owned() };
        let zones = vec![
            zone("example.com", false, &usual),
            zone("rfc4592.test", false, WILDCARDS),
            zone("signed.test", true, SIGNED),
            zone("other.test", true, OTHER),
            ZoneText { account: 2, ..zone("foreign.test", false, "www A 192.0.2.99") },
        ];
        Self { node, zones }
    }

    pub(crate) fn chunks(&self, keys: &Keys, now_secs: u32) -> Vec<(ChunkKey, Chunk)> {
        let mut chunks = vec![(ChunkKey::Node, Chunk::Node(self.node.clone()))];
        for (number, zone) in (1u8..).zip(&self.zones) {
            let DnsSettings { soa, ns_ttl, .. } = DnsSettings::default();
            let dns = ZoneDns {
                serial: 42,
                name_servers: vec![name("ns1.example.net"), name("ns2.example.net")],
                ns_ttl_secs: ns_ttl,
                multi_provider: false,
                flattens_all: false,
                soa,
                keys: None,
            };
            let (id, account) = (ZoneId::from_bytes([number; 16]), AccountId::from_bytes([zone.account; 16]));
            let mut head = ZoneHead {
                id,
                account,
                apex: name(zone.apex),
                status: ZoneStatus::Active,
                dns: Some(dns),
                origin: OriginSettings::default(),
                edge: EdgeSettings::default(),
                client: None,
                partial: false,
            };
            if zone.is_signed {
                keys.put(&mut head, now_secs);
            }
            let mut names: BTreeMap<Name, Vec<Line>> = BTreeMap::new();
            for line in zone.lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
                let line = Line::of(line, &head.apex);
                names.entry(line.owner.clone()).or_default().push(line);
            }
            chunks.push((ChunkKey::Zone(id), Chunk::Zone(head)));
            for (owner, lines) in names {
                let is_proxied = lines.iter().any(|line| line.proxied);
                let shown = lines.into_iter().filter(|line| !(is_proxied && line.is_web)).map(|line| line.record);
                let (sets, left_out) = RecordSets::of(shown.collect());
                assert!(left_out.is_empty());
                let target = is_proxied.then(|| Target::Tunnel(TunnelId::from_bytes([7; 16])));
                let shows = if is_proxied { Shows::Edge } else { Shows::Records };
                chunks.push((ChunkKey::Name(id, owner), Chunk::Name(NameChunk { target, shows, sets })));
            }
        }
        chunks
    }
}

impl Line {
    fn of(line: &str, apex: &Name) -> Self {
        let (owner, mut rest) = line.split_once(' ').unwrap();
        let mut ttl_secs = 300;
        if let Some((ttl, after)) = rest.split_once(' ').filter(|(word, _)| word.bytes().all(|byte| byte.is_ascii_digit())) {
            (ttl_secs, rest) = (ttl.parse().unwrap(), after);
        }
        let (rtype, content) = rest.split_once(' ').unwrap();
        let (content, proxied) = content.strip_suffix(" proxied").map_or((content, false), |content| (content, true));
        let rtype = Rtype::parse(rtype).unwrap();
        let data = Rdata::parse(rtype, content, None, Hosts::default()).unwrap_or_else(|error| panic!("{line}: {error}"));
        let record = Record { rtype: rtype.number(), ttl_secs, flattened: false, data: poterne_dns_wire::rdata(&data) };
        Self { owner: Name::in_zone(owner, apex).unwrap(), record, is_web: rtype.is_web(), proxied }
    }
}
