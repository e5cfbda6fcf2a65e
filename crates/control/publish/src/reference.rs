//! What should be in force, from everything the store says: the plain way, which the steps are held to.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use poterne_control_store::{
    Account, CertificateInForce, Challenge, ConfigSource, Configuration, Record, StoreError, Tunnel, Zone,
};
use poterne_dns_wire::RecordSets;
use poterne_model::{
    AccountId, Name, RecordSet, RecordType, TunnelId,
    chain::{self, ChainError, Destination, Records},
    name::ancestors,
};
use poterne_snapshot::{AccountChunk, Chunk, ChunkKey, NameChunk, NodeChunk, RemoteConfig, Shows, Target, TunnelChunk};

use crate::rows;

/// What an agent is told of a tunnel nobody has configured yet: the answer it would give by itself (tunnel-protocol §7.1).
const UNCONFIGURED: &[u8] = br#"{"ingress":[{"service":"http_status:503"}]}"#;

/// Everything the store says that nodes must know, read in one transaction.
#[derive(Debug, Default)]
pub(crate) struct Intent {
    /// All accounts.
    pub(crate) accounts: Vec<Account>,
    /// All zones.
    pub(crate) zones: Vec<Zone>,
    /// All records.
    pub(crate) records: Vec<Record>,
    /// Live tunnels.
    pub(crate) tunnels: Vec<Tunnel>,
    /// Digests of their secrets.
    pub(crate) digests: Vec<(TunnelId, [u8; 32])>,
    /// Their newest configurations.
    pub(crate) configurations: Vec<(TunnelId, Configuration)>,
    /// Challenges.
    pub(crate) challenges: Vec<Challenge>,
    /// Certificates.
    pub(crate) certificates: Vec<CertificateInForce>,
    /// What all nodes know.
    pub(crate) node: NodeChunk,
}

/// The chunks that should be in force.
pub(crate) fn compile(intent: &Intent) -> Result<BTreeMap<ChunkKey, Chunk>, StoreError> {
    let mut chunks = BTreeMap::from([(ChunkKey::Node, Chunk::Node(intent.node.clone()))]);
    for account in &intent.accounts {
        chunks.insert(ChunkKey::Account(account.id), Chunk::Account(AccountChunk { name: account.name.clone() }));
    }
    for zone in &intent.zones {
        chunks.insert(ChunkKey::Zone(zone.id), Chunk::Zone(rows::zone(zone.clone(), rows::Set::default(), None).head));
    }
    for challenge in intent.challenges.iter().cloned().filter_map(rows::challenge) {
        chunks.insert(ChunkKey::Challenge(challenge.id), Chunk::Challenge(challenge));
    }
    for one in &intent.certificates {
        let serves = intent.zones.iter().any(|zone| zone.id == one.zone && zone.status.serves());
        if let (true, Some(chunk)) = (serves, rows::certificate(one.clone())) {
            chunks.insert(ChunkKey::Certificate(one.certificate.pack), Chunk::Certificate(chunk));
        }
    }
    tunnels(intent, &mut chunks);
    let world = World::new(intent)?;
    for records in intent.records.chunk_by(|one, other| one.zone == other.zone && one.name == other.name) {
        let name = records[0].name.clone();
        let proxying = world.serving.iter().find(|zone| zone.id == records[0].zone);
        let chunk = match proxying {
            Some(zone) => {
                let target = target(&world, zone.account, &name, &zone.sets[&name]);
                let is_web = |record: &&Record| !matches!(record.kind, RecordType::Other(_));
                let is_proxied = records.iter().any(|record| record.proxied && is_web(&record));
                let shown = records.iter().filter(|record| !(is_proxied && is_web(record)));
                let shows = if is_proxied { Shows::Edge } else { Shows::Records };
                NameChunk { target, shows, sets: sets(shown) }
            }
            None => NameChunk { sets: sets(records.iter()), ..NameChunk::default() },
        };
        chunks.insert(ChunkKey::Name(records[0].zone, name), Chunk::Name(chunk));
    }
    Ok(chunks)
}

fn sets<'a>(records: impl Iterator<Item = &'a Record>) -> RecordSets {
    RecordSets::of(records.filter_map(|record| rows::wire(&record.clone().into())).collect()).0
}

fn tunnels(intent: &Intent, chunks: &mut BTreeMap<ChunkKey, Chunk>) {
    let mut digests: HashMap<TunnelId, Vec<[u8; 32]>> = HashMap::new();
    for (tunnel, digest) in &intent.digests {
        digests.entry(*tunnel).or_default().push(*digest);
    }
    let configurations: HashMap<TunnelId, &Configuration> =
        intent.configurations.iter().map(|(id, config)| (*id, config)).collect();
    for tunnel in &intent.tunnels {
        // A tunnel without a secret admits nobody; it is none.
        let Some(secret_digests) = digests.remove(&tunnel.id) else { continue };
        let remote = (tunnel.config_source == ConfigSource::Remote).then(|| match configurations.get(&tunnel.id) {
            Some(config) => RemoteConfig { version: config.version, json: Bytes::copy_from_slice(config.json.as_bytes()) },
            None => RemoteConfig { version: 0, json: Bytes::from_static(UNCONFIGURED) },
        });
        let Tunnel { id, account, name, quick, .. } = tunnel.clone();
        let chunk = TunnelChunk { id, account, name, secret_digests, remote, quick };
        chunks.insert(ChunkKey::Tunnel(id), Chunk::Tunnel(chunk));
    }
}

fn target(world: &World<'_>, account: AccountId, name: &Name, sets: &[RecordSet]) -> Option<Target> {
    let proxied = sets.iter().any(|set| set.proxied && !matches!(set.kind, RecordType::Other(_)));
    if !proxied {
        return None;
    }
    match chain::walk(world, account, name) {
        Ok(Destination::Tunnel(tunnel)) => Some(Target::Tunnel(tunnel)),
        Ok(Destination::Addresses(addresses)) => Some(Target::Origin(addresses)),
        Ok(Destination::External(name)) => Some(Target::OriginName(name)),
        Ok(Destination::Nothing) => None,
        Err(ChainError::UnknownTunnel { tunnel }) => Some(Target::UnknownTunnel(tunnel)),
        Err(ChainError::Loop { .. } | ChainError::TooLong { .. }) => Some(Target::Broken),
    }
}

/// The zones that serve, arranged for walking chains.
struct World<'a> {
    serving: Vec<ServingZone>,
    by_apex: HashMap<Name, usize>,
    tunnels: HashMap<TunnelId, AccountId>,
    tunnel_domain: Option<&'a Name>,
}

struct ServingZone {
    id: poterne_model::ZoneId,
    account: AccountId,
    apex: Name,
    sets: BTreeMap<Name, Vec<RecordSet>>,
    /// Owner names, and what lies between them and the apex (RFC 4592 §2.2.2).
    existing: HashSet<Name>,
}

impl<'a> World<'a> {
    fn new(intent: &'a Intent) -> Result<Self, StoreError> {
        let mut serving: Vec<ServingZone> = Vec::new();
        let mut by_apex = HashMap::new();
        let mut by_id = HashMap::new();
        for zone in intent.zones.iter().filter(|zone| zone.status.serves() && !zone.paused) {
            by_apex.insert(zone.apex.clone(), serving.len());
            by_id.insert(zone.id, serving.len());
            let existing = HashSet::from([zone.apex.clone()]);
            let Zone { id, account, apex, .. } = zone.clone();
            serving.push(ServingZone { id, account, apex, sets: BTreeMap::new(), existing });
        }
        for records in intent.records.chunk_by(|one, other| one.zone == other.zone && one.name == other.name) {
            let Some(zone) = records.first().and_then(|first| by_id.get(&first.zone)).map(|at| &mut serving[*at]) else {
                continue;
            };
            let name = records[0].name.clone();
            let mut above = name.parent();
            zone.existing.insert(name.clone());
            while let Some(name) = above.filter(|name| name.is_within(&zone.apex)) {
                above = name.parent();
                zone.existing.insert(name);
            }
            zone.sets.insert(name, Record::sets(records)?);
        }
        let tunnels = intent.tunnels.iter().map(|tunnel| (tunnel.id, tunnel.account)).collect();
        Ok(Self { serving, by_apex, tunnels, tunnel_domain: intent.node.tunnel_domain.as_ref() })
    }
}

impl Records for World<'_> {
    fn record_sets(&self, name: &Name) -> Vec<RecordSet> {
        let zone = ancestors(name.as_str()).find_map(|ancestor| self.by_apex.get(ancestor));
        let Some(zone) = zone.map(|at| &self.serving[*at]) else { return Vec::new() };
        if zone.existing.contains(name) {
            return zone.sets.get(name).cloned().unwrap_or_default();
        }
        let encloser = ancestors(name.as_str()).skip(1).find(|ancestor| zone.existing.contains(*ancestor));
        let wildcard = encloser.and_then(|encloser| zone.sets.get(format!("*.{encloser}").as_str()));
        wildcard.cloned().unwrap_or_default()
    }

    fn tunnel_account(&self, tunnel: TunnelId) -> Option<AccountId> {
        self.tunnels.get(&tunnel).copied()
    }

    fn tunnel_domain(&self) -> Option<&Name> {
        self.tunnel_domain
    }
}
