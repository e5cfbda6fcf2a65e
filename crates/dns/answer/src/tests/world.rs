//! Snapshots out of a few lines of text, made as control publishes them.

use std::collections::BTreeMap;

use poterne_dns_wire::{Record, RecordSets};
use poterne_feed::Change;
use poterne_model::{
    AccountId, ChallengeId, Name, Rdata, Rtype, TunnelId, ZoneId, ZoneStatus,
    rdata::Hosts,
    setting::{DnsSettings, EdgeSettings, OriginSettings},
};
use poterne_snapshot::{
    ChallengeChunk, Chunk, ChunkKey, NameChunk, NodeChunk, Shown, Shows, Snapshot, Target, ZoneDns, ZoneHead,
};

pub(super) const TUNNEL: &str = "00000000-0000-4000-8000-000000000007";

/// Everything a test may want otherwise.
#[derive(Clone)]
pub(super) struct World {
    pub(super) node: NodeChunk,
    zones: Vec<(ZoneHead, Vec<Line>)>,
    challenges: Vec<ChallengeChunk>,
}

#[derive(Clone)]
struct Line {
    owner: Name,
    rtype: Rtype,
    content: String,
    ttl_secs: u32,
    proxied: bool,
    flattened: bool,
}

pub(super) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

impl World {
    pub(super) fn new() -> Self {
        let node = NodeChunk {
            edge_addresses: ["203.0.113.10", "203.0.113.11", "2001:db8::10", "2001:db8::11"].map(|a| a.parse().unwrap()).to_vec(),
            edge_protocols: vec!["h3".into(), "h2".into()],
            tunnel_domain: Some(name("tunnels.example.com")),
            ..NodeChunk::default()
        };
        Self { node, zones: Vec::new(), challenges: Vec::new() }
    }

    /// A zone of an account, with lines of `owner [TTL] TYPE content` and the words `proxied` and `flattened` behind.
    pub(super) fn zone(mut self, apex: &str, account: u8, lines: &str) -> Self {
        let id = ZoneId::from_bytes([u8::try_from(self.zones.len()).unwrap() + 1; 16]);
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
        let account = AccountId::from_bytes([account; 16]);
        let head = ZoneHead {
            id,
            account,
            apex: name(apex),
            status: ZoneStatus::Active,
            dns: Some(dns),
            origin: OriginSettings::default(),
            edge: EdgeSettings::default(),
            client: None,
            partial: false,
        };
        let lines = lines.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| Line::of(line, &head.apex)).collect();
        self.zones.push((head, lines));
        self
    }

    /// A challenge of the zone that came last.
    pub(super) fn challenge(mut self, owner: &str, text: &str, expires_at: u32) -> Self {
        let id = ChallengeId::from_bytes([u8::try_from(self.challenges.len()).unwrap() + 1; 16]);
        let data = [&[u8::try_from(text.len()).unwrap()][..], text.as_bytes()].concat().into();
        let (zone, shown) = (self.zones.last().unwrap().0.id, Shown::Txt { owner: name(owner), data });
        self.challenges.push(ChallengeChunk { id, zone, expires_at: expires_at.into(), shown });
        self
    }

    /// Changes the head of the zone that came last.
    pub(super) fn head(mut self, change: impl FnOnce(&mut ZoneHead)) -> Self {
        change(&mut self.zones.last_mut().unwrap().0);
        self
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let mut chunks = vec![(ChunkKey::Node.encode(), Some(Chunk::Node(self.node.clone()).encode()))];
        for challenge in &self.challenges {
            let key = ChunkKey::Challenge(challenge.id).encode();
            chunks.push((key, Some(Chunk::Challenge(challenge.clone()).encode())));
        }
        for (head, lines) in &self.zones {
            chunks.push((ChunkKey::Zone(head.id).encode(), Some(Chunk::Zone(head.clone()).encode())));
            let mut names: BTreeMap<&Name, Vec<&Line>> = BTreeMap::new();
            lines.iter().for_each(|line| names.entry(&line.owner).or_default().push(line));
            for (owner, lines) in names {
                let is_proxied = head.status.serves() && lines.iter().any(|line| line.proxied);
                let shown = lines.iter().filter(|line| !(is_proxied && line.rtype.is_web()));
                let (sets, left_out) = RecordSets::of(shown.map(|line| line.record()).collect());
                assert!(left_out.is_empty());
                let target = is_proxied.then(|| Target::Tunnel(TunnelId::from_bytes([7; 16])));
                let shows = if is_proxied { Shows::Edge } else { Shows::Records };
                let key = ChunkKey::Name(head.id, owner.clone());
                chunks.push((key.encode(), Some(Chunk::Name(NameChunk { target, shows, sets }).encode())));
            }
        }
        Snapshot::default().apply(&Change { generation: 1, chunks }).unwrap().1
    }
}

impl Line {
    fn of(line: &str, apex: &Name) -> Self {
        let (owner, mut rest) = line.split_once(' ').unwrap();
        let owner = Name::in_zone(owner, apex).unwrap();
        let mut ttl_secs = 300;
        if let Some((ttl, after)) = rest.split_once(' ').filter(|(word, _)| word.bytes().all(|byte| byte.is_ascii_digit())) {
            (ttl_secs, rest) = (ttl.parse().unwrap(), after);
        }
        let (rtype, mut content) = rest.split_once(' ').unwrap();
        let (mut proxied, mut flattened) = (false, false);
        while let Some((before, flag)) =
            [" proxied", " flattened"].iter().find_map(|flag| Some((content.strip_suffix(flag)?, flag)))
        {
            proxied |= *flag == " proxied";
            flattened |= *flag == " flattened";
            content = before;
        }
        Self { owner, rtype: Rtype::parse(rtype).unwrap(), content: content.to_owned(), ttl_secs, proxied, flattened }
    }

    fn record(&self) -> Record {
        let data = Rdata::parse(self.rtype, &self.content, None, Hosts::default()).unwrap();
        let (rtype, data) = (self.rtype.number(), poterne_dns_wire::rdata(&data));
        Record { rtype, ttl_secs: self.ttl_secs, flattened: self.flattened, data }
    }
}
