//! Steps against the reference: whatever happens, in whatever order, one step at a time gives what reading everything gives.

use std::collections::{BTreeMap, BTreeSet};

use poterne_control_store::{
    Account, AccountKind, Certificate, CertificateInForce, Challenge, ConfigSource, Configuration, Record, RecordBrief, Touched,
    Tunnel, TunnelDetails, Zone,
};
use poterne_feed::Change;
use poterne_model::{
    AccountId, CertificateId, CertificatePackId, ChallengeId, Name, RecordId, RecordType, TunnelId, ZoneId, ZoneStatus,
};
use poterne_snapshot::{Chunk, ChunkKey, NodeChunk, Snapshot};
use proptest::prelude::*;

use crate::{
    difference,
    load::Load,
    path, read,
    reference::{Intent, compile},
    rows::{self, News, Reading, Records},
    world::World,
};

const TUNNELS: u8 = 3;
const APEXES: [&str; 5] = ["one.test", "sub.one.test", "two.test", "one.test", "tunnel.test"];

#[derive(Debug, Clone)]
enum Step {
    /// A record comes, or goes if it is there.
    Record {
        zone: usize,
        labels: String,
        data: Data,
        proxied: bool,
    },
    /// All records at a name go.
    Clear {
        zone: usize,
        labels: String,
    },
    Status {
        zone: usize,
        status: ZoneStatus,
    },
    Pause {
        zone: usize,
    },
    /// A zone goes, or comes if it is not there.
    Zone {
        zone: usize,
    },
    /// A tunnel goes, or comes if it is not there.
    Tunnel {
        tunnel: u8,
    },
    /// It loses its secret, or gets one.
    Secret {
        tunnel: u8,
    },
    Configure {
        tunnel: u8,
    },
    /// A challenge goes, or comes if it is not there and its zone is.
    Challenge {
        zone: usize,
        number: u8,
    },
    /// A certificate goes, or comes if it is not there and its zone is.
    Certificate {
        zone: usize,
        number: u8,
    },
    Rename,
}

#[derive(Debug, Clone)]
enum Data {
    A(u8),
    Aaaa(u8),
    Text,
    /// To a name of that zone.
    Cname(usize, String),
    /// To a tunnel, by one of its names.
    Tunnel(u8, u8),
    Away,
}

fn labels() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => Just(String::new()),
        6 => "[ab]",
        4 => "\\*",
        6 => "[ab]\\.[ab]",
        3 => "\\*\\.[ab]",
        2 => "[ab]\\.sub",
        1 => "\\*\\.sub",
        1 => "sub",
        2 => "[ab]\\.[ab]\\.[ab]",
    ]
}

/// What a CNAME may ask for: names that are there, and names that only a wildcard answers for.
fn asked() -> impl Strategy<Value = String> {
    prop_oneof![4 => labels(), 1 => "[xy]", 1 => "[xy]\\.[ab]", 1 => "x\\.y\\.[ab]", 1 => "x\\.sub"]
}

fn data() -> impl Strategy<Value = Data> {
    prop_oneof![
        1 => (0u8..3).prop_map(Data::A),
        1 => (0u8..2).prop_map(Data::Aaaa),
        1 => Just(Data::Text),
        8 => (0..APEXES.len(), asked()).prop_map(|(zone, labels)| Data::Cname(zone, labels)),
        4 => (0..TUNNELS, 0u8..3).prop_map(|(tunnel, way)| Data::Tunnel(tunnel, way)),
        1 => Just(Data::Away),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let zone = 0..APEXES.len();
    let status = prop_oneof![Just(ZoneStatus::Pending), Just(ZoneStatus::Active), Just(ZoneStatus::Moved)];
    prop_oneof![
        24 => (zone.clone(), labels(), data(), prop::bool::weighted(0.85))
            .prop_map(|(zone, labels, data, proxied)| Step::Record { zone, labels, data, proxied }),
        3 => (zone.clone(), labels()).prop_map(|(zone, labels)| Step::Clear { zone, labels }),
        2 => (zone.clone(), status).prop_map(|(zone, status)| Step::Status { zone, status }),
        1 => zone.clone().prop_map(|zone| Step::Pause { zone }),
        1 => zone.clone().prop_map(|zone| Step::Zone { zone }),
        3 => (zone, 0u8..3).prop_map(|(zone, number)| Step::Challenge { zone, number }),
        3 => (0..APEXES.len(), 0u8..2).prop_map(|(zone, number)| Step::Certificate { zone, number }),
        3 => (0..TUNNELS).prop_map(|tunnel| Step::Tunnel { tunnel }),
        1 => (0..TUNNELS).prop_map(|tunnel| Step::Secret { tunnel }),
        1 => (0..TUNNELS).prop_map(|tunnel| Step::Configure { tunnel }),
        1 => Just(Step::Rename),
    ]
}

fn account(number: usize) -> AccountId {
    AccountId::from_bytes([u8::try_from(number).unwrap() + 1; 16])
}

fn zone_id(number: usize) -> ZoneId {
    ZoneId::from_bytes([u8::try_from(number).unwrap() + 10; 16])
}

fn tunnel_id(number: u8) -> TunnelId {
    TunnelId::from_bytes([number + 20; 16])
}

fn owner(zone: usize, labels: &str) -> Name {
    let dot = if labels.is_empty() { "" } else { "." };
    Name::parse(&format!("{labels}{dot}{}", APEXES[zone])).unwrap()
}

/// The store's rows, in the store's order, and what was touched.
#[derive(Default)]
struct Rows {
    intent: Intent,
    touched: BTreeSet<(u8, [u8; 16], String)>,
    next_id: u32,
    /// Zones that went in this step: one that comes has another id in the store, and here only after the step.
    gone: BTreeSet<usize>,
}

impl Rows {
    fn begun() -> Self {
        let mut rows = Self::default();
        rows.intent.node = NodeChunk { tunnel_domain: Some(Name::parse("tunnel.test").unwrap()), ..NodeChunk::default() };
        for number in 0..2 {
            let (id, kind) = (account(number), AccountKind::Standard);
            rows.intent.accounts.push(Account { id, name: "one".into(), kind, enforces_second_factor: false, created_at: 0 });
            rows.touch(&Touched::Account(id));
        }
        for zone in [0, 1, 2, 4] {
            rows.toggle_zone(zone);
            rows.set_status(zone, ZoneStatus::Active);
        }
        rows.toggle_tunnel(0);
        rows.toggle_tunnel(1);
        rows
    }

    fn touch(&mut self, what: &Touched) {
        self.touched.insert(match what {
            Touched::Node => unreachable!("no step of these touches it"),
            Touched::Account(id) => (0, *id.as_bytes(), String::new()),
            Touched::Zone(id) => (1, *id.as_bytes(), String::new()),
            Touched::Name(id, name) => (2, *id.as_bytes(), name.to_string()),
            Touched::Tunnel(id) => (3, *id.as_bytes(), String::new()),
            Touched::Challenge(id) => (4, *id.as_bytes(), String::new()),
            Touched::Certificate(id) => (5, *id.as_bytes(), String::new()),
            Touched::Names(_) => unreachable!("whether a zone is read as a whole is drawn with the step"),
        });
    }

    fn zone(&mut self, zone: usize) -> Option<&mut Zone> {
        self.intent.zones.iter_mut().find(|other| other.id == zone_id(zone))
    }

    fn toggle_zone(&mut self, number: usize) {
        let id = zone_id(number);
        if self.gone.contains(&number) {
            return;
        }
        self.touch(&Touched::Zone(id));
        if self.zone(number).is_some() {
            self.gone.insert(number);
            self.intent.zones.retain(|zone| zone.id != id);
            self.intent.records.retain(|record| record.zone != id);
            // Of which the store tells nobody.
            self.intent.challenges.retain(|challenge| challenge.zone != id);
            self.intent.certificates.retain(|certificate| certificate.zone != id);
            return;
        }
        // The fourth is the first one's name in another account.
        let (account, apex) = (account(number / 3), Name::parse(APEXES[number]).unwrap());
        self.intent.zones.push(Zone {
            id,
            account,
            apex,
            status: ZoneStatus::Pending,
            name_servers: Vec::new(),
            paused: false,
            partial: false,
            created_at: 0,
            modified_at: 0,
            activated_at: None,
        });
    }

    fn set_status(&mut self, number: usize, status: ZoneStatus) {
        let taken = |zone: &Zone| zone.id != zone_id(number) && zone.status.serves() && zone.apex.as_str() == APEXES[number];
        if status.serves() && self.intent.zones.iter().any(taken) {
            return;
        }
        if let Some(zone) = self.zone(number) {
            zone.status = status;
            self.touch(&Touched::Zone(zone_id(number)));
        }
    }

    fn toggle_tunnel(&mut self, number: u8) {
        let id = tunnel_id(number);
        self.touch(&Touched::Tunnel(id));
        let before = self.intent.tunnels.len();
        self.intent.tunnels.retain(|tunnel| tunnel.id != id);
        self.intent.digests.retain(|(tunnel, _)| *tunnel != id);
        if self.intent.tunnels.len() < before {
            self.intent.configurations.retain(|(tunnel, _)| *tunnel != id);
            return;
        }
        self.intent.tunnels.push(Tunnel {
            id,
            account: account(usize::from(number / 2)),
            name: format!("tunnel-{number}"),
            config_source: ConfigSource::Remote,
            created_at: 0,
            deleted_at: None,
            conns_active_at: None,
            conns_inactive_at: None,
            first_connected_at: None,
            last_loss_at: None,
            quick: false,
            expires_at: None,
        });
        self.intent.digests.push((id, [number; 32]));
    }

    fn toggle_challenge(&mut self, zone: usize, number: u8) {
        // Each zone has its own; a zone that comes again has others.
        let id = ChallengeId::from_bytes([u8::try_from(zone).unwrap() * 10 + number; 16]);
        let before = self.intent.challenges.len();
        self.intent.challenges.retain(|challenge| challenge.id != id);
        if self.intent.challenges.len() == before && self.zone(zone).is_some() {
            let owner = owner(zone, "_acme-challenge");
            let (zone, kind, text) = (zone_id(zone), "dns-01".to_owned(), format!("token-{number}"));
            self.intent.challenges.push(Challenge {
                id,
                zone,
                kind,
                owner,
                token: String::new(),
                text,
                created_at: 0,
                expires_at: 9_000_000,
            });
        }
        self.touch(&Touched::Challenge(id));
    }

    fn toggle_certificate(&mut self, zone: usize, number: u8) {
        let pack = CertificatePackId::from_bytes([u8::try_from(zone).unwrap() * 10 + number; 16]);
        let before = self.intent.certificates.len();
        self.intent.certificates.retain(|one| one.certificate.pack != pack);
        if self.intent.certificates.len() == before && self.zone(zone).is_some() {
            let certificate = Certificate {
                id: CertificateId::from_bytes([number; 16]),
                pack,
                hosts: vec![owner(zone, "*")],
                issuer: String::new(),
                signature: String::new(),
                chain: "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n".into(),
                sealed: Vec::new(),
                wrapped: vec![number],
                not_before: 0,
                not_after: 9_000_000,
                created_at: 0,
            };
            let (zone, kind) = (zone_id(zone), "sni_custom".to_owned());
            self.intent.certificates.push(CertificateInForce { certificate, zone, kind, priority: 1 });
        }
        self.touch(&Touched::Certificate(pack));
    }

    fn put_record(&mut self, zone: usize, name: Name, data: &Data, proxied: bool) {
        if self.zone(zone).is_none() {
            return;
        }
        let (kind, content) = match data {
            Data::A(number) => (RecordType::A, format!("192.0.2.{number}")),
            Data::Aaaa(number) => (RecordType::Aaaa, format!("2001:db8::{number:x}")),
            Data::Text => (RecordType::Other("TXT".into()), "\"x\"".to_owned()),
            Data::Cname(zone, labels) => (RecordType::Cname, owner(*zone, labels).to_string()),
            Data::Tunnel(tunnel, 0) => (RecordType::Cname, format!("{}.cfargotunnel.com", tunnel_id(*tunnel))),
            Data::Tunnel(tunnel, 1) => (RecordType::Cname, format!("{}.tunnel.test", tunnel_id(*tunnel))),
            Data::Tunnel(tunnel, _) => {
                (RecordType::Cname, format!("{}.cfargotunnel.com", tunnel_id(*tunnel).to_string().replace('-', "")))
            }
            Data::Away => (RecordType::Cname, "origin.example.org".to_owned()),
        };
        let zone = zone_id(zone);
        self.touch(&Touched::Name(zone, name.clone()));
        let records = &mut self.intent.records;
        let same = records.iter().position(|r| r.zone == zone && r.name == name && r.kind == kind && r.content == content);
        if let Some(at) = same {
            records.remove(at);
            return;
        }
        self.next_id += 1;
        let mut id = [0; 16];
        id[..4].copy_from_slice(&self.next_id.to_be_bytes());
        records.push(Record {
            id: RecordId::from_bytes(id),
            zone,
            name,
            kind,
            content,
            ttl_secs: 1,
            proxied,
            comment: None,
            tags: Vec::new(),
            managed_by: None,
            created_at: 0,
            modified_at: 0,
            priority: None,
            settings: "{}".into(),
            comment_modified_at: None,
            tags_modified_at: None,
        });
        let key = |record: &Record| {
            (record.zone, record.name.clone(), record.kind.as_str().to_owned(), record.content.clone(), record.id)
        };
        records.sort_by_key(key);
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Record { zone, labels, data, proxied } => {
                // Besides zones' own names there are names that mean a tunnel.
                let name = match (APEXES[*zone], data) {
                    ("tunnel.test", Data::A(tunnel)) => owner(*zone, &tunnel_id(*tunnel).to_string()),
                    _ => owner(*zone, labels),
                };
                self.put_record(*zone, name, data, *proxied);
            }
            Step::Clear { zone, labels } => {
                let (zone, name) = (zone_id(*zone), owner(*zone, labels));
                self.intent.records.retain(|record| record.zone != zone || record.name != name);
                self.touch(&Touched::Name(zone, name));
            }
            Step::Status { zone, status } => self.set_status(*zone, *status),
            Step::Pause { zone } => {
                if let Some(found) = self.zone(*zone) {
                    found.paused = !found.paused;
                    self.touch(&Touched::Zone(zone_id(*zone)));
                }
            }
            Step::Zone { zone } => self.toggle_zone(*zone),
            Step::Tunnel { tunnel } => self.toggle_tunnel(*tunnel),
            Step::Secret { tunnel } => {
                let id = tunnel_id(*tunnel);
                let before = self.intent.digests.len();
                self.intent.digests.retain(|(other, _)| *other != id);
                if self.intent.digests.len() == before && self.intent.tunnels.iter().any(|tunnel| tunnel.id == id) {
                    self.intent.digests.push((id, [*tunnel; 32]));
                }
                self.touch(&Touched::Tunnel(id));
            }
            Step::Configure { tunnel } => {
                let id = tunnel_id(*tunnel);
                let version = self.intent.configurations.iter().find(|(other, _)| *other == id).map_or(0, |(_, c)| c.version) + 1;
                self.intent.configurations.retain(|(other, _)| *other != id);
                self.intent.configurations.push((id, Configuration { version, json: "{}".into(), created_at: 0 }));
                self.touch(&Touched::Tunnel(id));
            }
            Step::Challenge { zone, number } => self.toggle_challenge(*zone, *number),
            Step::Certificate { zone, number } => self.toggle_certificate(*zone, *number),
            Step::Rename => {
                self.intent.accounts[0].name.push('x');
                self.touch(&Touched::Account(account(0)));
            }
        }
    }

    fn proxies(&self, zone: ZoneId) -> bool {
        self.intent.zones.iter().any(|found| found.id == zone && found.status.serves() && !found.paused)
    }

    fn records(&self, zone: ZoneId, name: Option<&Name>) -> Vec<(ZoneId, Name, Option<Records>)> {
        let of = |record: &&Record| record.zone == zone && name.is_none_or(|name| record.name == *name);
        let records: Vec<RecordBrief> = self.intent.records.iter().filter(of).cloned().map(Into::into).collect();
        let domain = self.intent.node.tunnel_domain.as_ref();
        let proxies = self.proxies(zone);
        let names = records.chunk_by(|one, other| one.name == other.name);
        names
            .map(|records| {
                (
                    zone,
                    records[0].name.clone(),
                    Records::of(records, Reading { tunnel_domain: domain, issuers: &[] }, proxies).unwrap(),
                )
            })
            .collect()
    }

    fn details(&self, id: TunnelId) -> Option<rows::KnownTunnel> {
        let Tunnel { account, name, config_source, quick, .. } =
            self.intent.tunnels.iter().find(|tunnel| tunnel.id == id)?.clone();
        let digests = self.intent.digests.iter().filter(|(of, _)| *of == id).map(|(_, digest)| *digest).collect();
        let configuration = self.intent.configurations.iter().find(|(of, _)| *of == id).map(|(_, config)| config.clone());
        Some(rows::tunnel(TunnelDetails { id, account, name, config_source, quick, digests, configuration }))
    }

    /// As `read::news` makes them of the store; `whole`: zones of which anything was touched are to be read as such.
    fn news(&mut self, world: &World, whole: bool) -> News {
        let mut news = News::default();
        let touched = std::mem::take(&mut self.touched);
        if whole {
            let of_zones = touched.iter().filter(|(kind, ..)| matches!(kind, 1 | 2)).map(|(_, id, _)| ZoneId::from_bytes(*id));
            news.whole = of_zones.filter(|id| self.intent.zones.iter().any(|zone| zone.id == *id)).collect();
        }
        for (kind, id, name) in &touched {
            match kind {
                0 => {
                    let found = self.intent.accounts.iter().find(|account| account.id.as_bytes() == id);
                    news.accounts.push((AccountId::from_bytes(*id), found.cloned().map(rows::account)));
                }
                1 => {
                    let id = ZoneId::from_bytes(*id);
                    let found = self.intent.zones.iter().find(|zone| zone.id == id).cloned().map(known);
                    let begins = found.as_ref().is_some_and(|zone| world.proxies(id) != Some(zone.proxies));
                    if begins && !news.whole.contains(&id) {
                        news.names.extend(self.records(id, None));
                    }
                    news.zones.push((id, found));
                }
                2 if news.whole.contains(&ZoneId::from_bytes(*id)) => {}
                2 => {
                    let (zone, name) = (ZoneId::from_bytes(*id), Name::parse(name).unwrap());
                    let read = self.records(zone, Some(&name)).pop();
                    news.names.push(read.unwrap_or((zone, name, None)));
                }
                4 => {
                    let found = self.intent.challenges.iter().find(|challenge| challenge.id.as_bytes() == id);
                    news.challenges.push((ChallengeId::from_bytes(*id), found.cloned().and_then(rows::challenge)));
                }
                5 => {
                    let found = self.intent.certificates.iter().find(|one| one.certificate.pack.as_bytes() == id);
                    news.certificates
                        .push((CertificatePackId::from_bytes(*id), found.cloned().and_then(rows::known_certificate)));
                }
                _ => news.tunnels.push((TunnelId::from_bytes(*id), self.details(TunnelId::from_bytes(*id)))),
            }
        }
        news
    }

    /// As the publisher does with zones that are to be read as a whole: page by page, then what they reach, then what nodes lack, in pieces.
    fn take_whole(&mut self, world: &mut World, mut snapshot: Snapshot, page: usize) -> Snapshot {
        let mut news = self.news(world, true);
        let whole = std::mem::take(&mut news.whole);
        let mut keys = world.update(news);
        for zone in &whole {
            let mut names = self.records(*zone, None);
            names.sort_by_key(|(_, name, _)| path::path(name.as_str()));
            let mut after = None;
            loop {
                let rest = names.split_off(names.len().min(page));
                let last = (!rest.is_empty()).then(|| names[names.len() - 1].1.clone());
                let differing = read::differing(world, *zone, names, after.as_ref(), last.as_ref());
                world.take_names(*zone, differing);
                (names, after) = (rest, last);
                if after.is_none() {
                    break;
                }
            }
            world.pack(*zone);
            keys.extend(world.reached_from(*zone));
        }
        keys.retain(|key| !matches!(key, ChunkKey::Name(id, _) | ChunkKey::Zone(id) if whole.contains(id)));
        let applied = |snapshot: &Snapshot, chunks: difference::Chunks| {
            snapshot.apply(&Change { generation: snapshot.generation() + 1, chunks }).unwrap().1
        };
        snapshot = applied(&snapshot, self.chunks(difference::of_keys(world, &snapshot, keys.iter())));
        for zone in whole {
            let mut pieces = difference::OfZone::new(zone);
            while let Some(chunks) = pieces.next(world, &snapshot, page) {
                snapshot = applied(&snapshot, chunks);
            }
        }
        snapshot
    }

    /// What is sent of a difference: certificates as the store has them.
    fn chunks(&self, difference: difference::Difference) -> difference::Chunks {
        let mut chunks = difference.chunks;
        for id in difference.certificates {
            let found = self.intent.certificates.iter().find(|one| one.certificate.pack == id).unwrap();
            let chunk = Chunk::Certificate(rows::certificate(found.clone()).unwrap());
            chunks.push((ChunkKey::Certificate(id).encode(), Some(chunk.encode())));
        }
        chunks
    }

    fn read_anew(&self) -> World {
        let mut load = Load::new(self.intent.node.clone(), Vec::new());
        let intent = &self.intent;
        load.heads(News {
            accounts: intent.accounts.iter().cloned().map(|account| (account.id, Some(rows::account(account)))).collect(),
            zones: intent.zones.iter().cloned().map(|zone| (zone.id, Some(known(zone)))).collect(),
            tunnels: intent.tunnels.iter().map(|tunnel| (tunnel.id, self.details(tunnel.id))).collect(),
            challenges: intent.challenges.iter().cloned().map(|one| (one.id, rows::challenge(one))).collect(),
            certificates: intent
                .certificates
                .iter()
                .cloned()
                .map(|one| (one.certificate.pack, rows::known_certificate(one)))
                .collect(),
            ..News::default()
        });
        for (zone, name, records) in intent.zones.iter().flat_map(|zone| self.records(zone.id, None)) {
            load.name(zone, &name, records.unwrap());
        }
        load.finish()
    }
}

fn known(zone: Zone) -> rows::KnownZone {
    rows::zone(zone, rows::Set::default(), None)
}

/// The serial numbers of zones that have one.
fn serials(snapshot: &Snapshot) -> BTreeMap<ZoneId, u32> {
    snapshot.zones().filter_map(|zone| Some((zone.head().id, zone.head().dns.as_ref()?.serial))).collect()
}

/// Every zone that is not as it was has a greater serial number.
fn goes_forward(before: &Snapshot, after: &Snapshot) -> Result<(), TestCaseError> {
    let old = serials(before);
    for (id, serial) in serials(after) {
        let (Some(was), Some(then), Some(now)) = (old.get(&id), before.zone(id), after.zone(id)) else { continue };
        let names = |zone: &poterne_snapshot::Zone| {
            let mut names: Vec<_> = zone.names().map(|(name, view)| (name, view.to_chunk())).collect();
            names.sort_by(|one, other| one.0.cmp(&other.0));
            names
        };
        let same = names(then) == names(now) && then.head().status == now.head().status;
        prop_assert!(if same { serial == *was } else { serial > *was }, "{} after {}, same: {}", serial, was, same);
    }
    Ok(())
}

fn obeys(snapshot: &Snapshot, rows: &Rows) -> Result<(), TestCaseError> {
    let mut wanted = compile(&rows.intent).unwrap();
    let serials = serials(snapshot);
    for (key, chunk) in &mut wanted {
        // Which serial number a zone has is asked elsewhere.
        if let (ChunkKey::Zone(id), Chunk::Zone(head)) = (key, &mut *chunk)
            && let (Some(dns), Some(serial)) = (&mut head.dns, serials.get(id))
        {
            dns.serial = *serial;
        }
    }
    for (key, chunk) in &wanted {
        prop_assert!(snapshot.holds(key, chunk), "{:?} should be {:?}", key, chunk);
    }
    let extra: Vec<ChunkKey> = snapshot.keys().filter(|key| !wanted.contains_key(key)).collect();
    prop_assert!(extra.is_empty(), "{:?} should not be there", extra);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_iters: 20_000, ..ProptestConfig::default() })]
    #[test]
    fn a_step_gives_what_reading_everything_gives(
        steps in prop::collection::vec((prop::collection::vec(step(), 1..4), prop::option::weighted(0.2, 1usize..5)), 1..50),
    ) {
        let mut rows = Rows::begun();
        let mut world = rows.read_anew();
        rows.touched.clear();
        let mut snapshot = Snapshot::default();
        let chunks = rows.chunks(difference::of_everything(&world, &snapshot));
        snapshot = snapshot.apply(&Change { generation: 1, chunks }).unwrap().1;
        obeys(&snapshot, &rows)?;
        for (group, page) in steps {
            group.iter().for_each(|step| rows.take(step));
            rows.gone.clear();
            let before = snapshot.clone();
            world.change += 1;
            snapshot = match page {
                Some(page) => rows.take_whole(&mut world, snapshot, page),
                None => {
                    let keys = world.update(rows.news(&world, false));
                    let chunks = rows.chunks(difference::of_keys(&world, &snapshot, keys.iter()));
                    snapshot.apply(&Change { generation: snapshot.generation() + 1, chunks }).unwrap().1
                }
            };
            obeys(&snapshot, &rows)?;
            goes_forward(&before, &snapshot)?;
        }
        prop_assert!(difference::of_everything(&world, &snapshot).is_empty());
        let anew = rows.read_anew();
        prop_assert!(difference::of_everything(&anew, &snapshot).is_empty());
        prop_assert!(anew.leads == world.leads, "what is turned round has kept to what is there");
        prop_assert!(anew.apexes == world.apexes);
    }
}
