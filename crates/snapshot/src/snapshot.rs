//! One generation of everything, and the step to the next.

use std::{
    collections::{BTreeSet, HashMap},
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
};

use bytes::Bytes;
use poterne_feed::{Change, Key};
use poterne_model::{AccountId, CertificatePackId, ChallengeId, Name, TunnelId, ZoneId, name};

use crate::{
    AccountChunk, CertificateChunk, CertificateEntry, ChallengeChunk, Chunk, ChunkError, ChunkKey, HealthChecksChunk, NodeChunk,
    RulesInForce, Shown, Target, TunnelChunk, Zone, ZoneHead,
    certificate::{ByPack, Issuers},
    chunk::CERTIFICATE_STUB_VERSION,
    disk, shelf,
    tree::{IdTree, PageTree},
};

/// What a node obeys: immutable, numbered, complete. Cloning costs a few reference counts.
#[derive(Clone, Default)]
pub struct Snapshot {
    generation: u64,
    node: Arc<NodeChunk>,
    accounts: IdTree<AccountId, Arc<AccountChunk>>,
    zones: IdTree<ZoneId, Zone>,
    /// Those of them that other name servers share: few, and asked for at every change.
    shared: IdTree<ZoneId, ()>,
    /// Those of them that have rules.
    ruled: IdTree<ZoneId, ()>,
    /// What some accounts' rules make of requests for all their zones.
    account_rules: IdTree<AccountId, Arc<RulesInForce>>,
    /// What the origins of some of them are asked again and again.
    checked: IdTree<ZoneId, Arc<HealthChecksChunk>>,
    apexes: PageTree<Name, Apex>,
    tunnels: IdTree<TunnelId, Arc<TunnelChunk>>,
    certificates: PageTree<ByPack, ()>,
    /// The same by the names they are for, wildcards under their parent, of which a keyed hash alone is kept: the names stand in the entries.
    certificate_names: PageTree<u64, Listed>,
    name_hasher: RandomState,
    challenges: PageTree<ChallengeId, Arc<ChallengeChunk>>,
    /// Those shown at each owner name, whichever zone they are for.
    challenge_owners: PageTree<Name, Vec<Arc<ChallengeChunk>>>,
}

/// The zones of one name. Several accounts may hold the same name pending; one serves.
#[derive(Clone, Default)]
struct Apex {
    serving: BTreeSet<ZoneId>,
    waiting: BTreeSet<ZoneId>,
}

/// Certificates for a name or for `*.` and the name, or for others of the same hash.
#[derive(Clone)]
enum Listed {
    /// Nearly always.
    One(Arc<CertificateEntry>),
    Several(Arc<Vec<Arc<CertificateEntry>>>),
}

impl Listed {
    fn entries(&self) -> &[Arc<CertificateEntry>] {
        match self {
            Self::One(entry) => std::slice::from_ref(entry),
            Self::Several(entries) => entries,
        }
    }

    fn of(mut entries: Vec<Arc<CertificateEntry>>) -> Option<Self> {
        if entries.len() < 2 { entries.pop().map(Self::One) } else { Some(Self::Several(Arc::new(entries))) }
    }
}

/// What becomes of certificates that a change brings, and of those that the files on disk name.
pub(crate) trait Keep {
    /// Why it cannot be kept.
    type Error: From<ApplyError>;

    /// Puts a certificate where it is to lie.
    fn put(&mut self, chunk: &CertificateChunk) -> Result<CertificateEntry, Self::Error>;

    /// Finds one that lies somewhere, by what was written of it; none where it is lost.
    fn find(&mut self, id: CertificatePackId, stub: &[u8]) -> Result<Option<CertificateEntry>, ChunkError>;
}

/// Keeps them in memory: for whoever has no disk.
pub(crate) struct InMemory;

impl Keep for InMemory {
    type Error = ApplyError;

    fn put(&mut self, chunk: &CertificateChunk) -> Result<CertificateEntry, ApplyError> {
        Ok(CertificateEntry::in_memory(chunk))
    }

    fn find(&mut self, _: CertificatePackId, _: &[u8]) -> Result<Option<CertificateEntry>, ChunkError> {
        Err(ChunkError::Version { found: CERTIFICATE_STUB_VERSION })
    }
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// Its generation is in force now.
    Applied,
    /// Exactly its generation was in force already.
    AlreadyThere,
    /// A later generation is in force.
    Newer,
}

/// Why a change was refused whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// Changes between are missing.
    #[error("generation {offered} does not follow {current}: send the changes between, or everything")]
    Gap {
        /// In force.
        current: u64,
        /// Offered.
        offered: u64,
    },
    /// A key or body was not understood.
    #[error("generation {generation}: {error}")]
    Chunk {
        /// Of the change.
        generation: u64,
        /// Why.
        error: ChunkError,
    },
    /// A name outside its zone, or of no known zone.
    #[error("generation {generation}: {name} is in no zone with id {zone}")]
    StrayName {
        /// Of the change.
        generation: u64,
        /// The zone it claims.
        zone: ZoneId,
        /// The owner name.
        name: Name,
    },
    /// A zone may not change its name: its owner names would be left behind.
    #[error("generation {generation}: zone {zone} cannot be renamed to {apex}")]
    Renamed {
        /// Of the change.
        generation: u64,
        /// The zone.
        zone: ZoneId,
        /// The name offered.
        apex: Name,
    },
}

/// Where a host leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup<'a> {
    /// To this target.
    Route {
        /// The zone that says so.
        zone: &'a ZoneHead,
        /// Where.
        target: Target,
        /// What the zone's rules make of requests, where it has any.
        rules: Option<&'a Arc<RulesInForce>>,
        /// What its account's rules make of them before.
        account_rules: Option<&'a Arc<RulesInForce>>,
    },
    /// The only zones that cover the host do not serve (pending).
    ZoneNotServing(&'a ZoneHead),
    /// The zone serves, and has no proxied record for the host.
    NoHost(&'a ZoneHead),
    /// No zone here covers the host.
    NoZone,
}

impl Snapshot {
    /// The number of this state; 0 is the empty one before anything was published.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Where a host leads: the most specific serving zone, then its owner names ([`Zone::target`]). A pending zone hides
    /// nothing below or above it, or whoever adds `app.example.com` could silence a stranger's `example.com`.
    ///
    /// `host` is in the form of [`Name::as_str`]. Allocates nothing where a tunnel is at the end, O(labels).
    pub fn route(&self, host: &str) -> Lookup<'_> {
        let mut waiting = None;
        for ancestor in name::ancestors(host) {
            let Some(apex) = self.apexes.get(ancestor) else { continue };
            if let Some(zone) = apex.serving.first().and_then(|id| self.zones.get(id)) {
                return match zone.target(host) {
                    Some(target) => {
                        let account_rules = self.account_rules(zone.head().account);
                        Lookup::Route { zone: zone.head(), target, rules: zone.rules(), account_rules }
                    }
                    None => Lookup::NoHost(zone.head()),
                };
            }
            waiting = waiting.or_else(|| apex.waiting.first().and_then(|id| self.zones.get(id)));
        }
        waiting.map_or(Lookup::NoZone, |zone| Lookup::ZoneNotServing(zone.head()))
    }

    /// The zone that a name server answers a name from: the most specific that serves, or, where none does, the most specific that
    /// waits. A waiting zone hides no serving one, above or below ([`Snapshot::route`] says why), and a partial one hides none: its own name
    /// servers answer. `name` is in canonical form.
    pub fn zone_over(&self, name: &str) -> Option<&Zone> {
        self.zone_over_that(name, |zone| !zone.head().partial)
    }

    /// The partial zone that says what is at a name, found in the same way.
    pub fn partial_zone_over(&self, name: &str) -> Option<&Zone> {
        self.zone_over_that(name, |zone| zone.head().partial)
    }

    fn zone_over_that(&self, name: &str, is_meant: impl Fn(&Zone) -> bool) -> Option<&Zone> {
        let mut waiting = None;
        for ancestor in name::ancestors(name) {
            let Some(apex) = self.apexes.get(ancestor) else { continue };
            let first = |ids: &BTreeSet<ZoneId>| ids.iter().filter_map(|id| self.zones.get(id)).find(|zone| is_meant(zone));
            if let Some(zone) = first(&apex.serving) {
                return Some(zone);
            }
            waiting = waiting.or_else(|| first(&apex.waiting));
        }
        waiting
    }

    /// A tunnel.
    pub fn tunnel(&self, id: TunnelId) -> Option<&Arc<TunnelChunk>> {
        self.tunnels.get(&id)
    }

    /// Every tunnel.
    pub fn tunnels(&self) -> impl Iterator<Item = &Arc<TunnelChunk>> {
        self.tunnels.iter().map(|(_, tunnel)| tunnel)
    }

    /// An account.
    pub fn account(&self, id: AccountId) -> Option<&AccountChunk> {
        self.accounts.get(&id).map(|account| &**account)
    }

    /// What an account's rules make of requests for all its zones, where it has any.
    pub fn account_rules(&self, id: AccountId) -> Option<&Arc<RulesInForce>> {
        self.account_rules.get(&id)
    }

    /// A zone.
    pub fn zone(&self, id: ZoneId) -> Option<&Zone> {
        self.zones.get(&id)
    }

    /// Every zone.
    pub fn zones(&self) -> impl Iterator<Item = &Zone> {
        self.zones.iter().map(|(_, zone)| zone)
    }

    /// Those that other name servers have from here, or give.
    pub fn shared_zones(&self) -> impl Iterator<Item = &Zone> {
        self.shared.iter().filter_map(|(id, ())| self.zones.get(id))
    }

    /// What zones' origins are asked again and again, by zone.
    pub fn health_checks(&self) -> impl Iterator<Item = (ZoneId, &Arc<HealthChecksChunk>)> {
        self.checked.iter().map(|(id, checks)| (*id, checks))
    }

    /// The node's own names and the like.
    pub fn node(&self) -> &NodeChunk {
        &self.node
    }

    /// The certificate for a server name: one for exactly this name, else a wildcard of its parent (RFC 9525 §6.3: a
    /// wildcard stands for one label).
    ///
    /// Of several that of the greatest rank, and of those the one that is good longest.
    pub fn certificate(&self, sni: &str) -> Option<&Arc<CertificateEntry>> {
        let best = |anchor: &str, is_for: &dyn Fn(&str) -> bool| {
            let listed = self.certificate_names.get(&self.name_hasher.hash_one(anchor))?.entries();
            listed.iter().filter(|entry| entry.names().any(is_for)).max_by_key(|entry| (entry.order, entry.id))
        };
        let parent = || sni.split_once('.').map(|(_, parent)| parent);
        best(sni, &|name| name == sni)
            .or_else(|| parent().and_then(|parent| best(parent, &|name| name.strip_prefix("*.") == Some(parent))))
    }

    /// A pack's certificate.
    pub fn certificate_of(&self, id: CertificatePackId) -> Option<&Arc<CertificateEntry>> {
        self.certificates.get_key(&id).map(|ByPack(entry)| entry)
    }

    /// Every certificate.
    pub fn certificates(&self) -> impl Iterator<Item = &Arc<CertificateEntry>> {
        self.certificates.iter().map(|(ByPack(entry), ())| entry)
    }

    /// The challenges that zones of some account show at an owner name or a host, by id, those too whose time is over. `owner` is in
    /// canonical form.
    pub fn challenges(&self, owner: &str) -> &[Arc<ChallengeChunk>] {
        self.challenge_owners.get(owner).map(Vec::as_slice).unwrap_or_default()
    }

    /// What is answered at the path of a token on a host (RFC 8555 §8.3), by the zone that answers for the host and for its time alone.
    pub fn http_challenge(&self, host: &str, token: &str, now_secs: u32) -> Option<&str> {
        self.challenges_of_host(host, now_secs).find_map(|challenge| match &challenge.shown {
            Shown::Http { token: shown, text, .. } if shown == token => Some(text.as_str()),
            _ => None,
        })
    }

    /// What the certificate for `acme-tls/1` says on a host (RFC 8737 §3), as above.
    pub fn tls_challenge(&self, host: &str, now_secs: u32) -> Option<[u8; 32]> {
        self.challenges_of_host(host, now_secs).find_map(|challenge| match challenge.shown {
            Shown::TlsAlpn { digest, .. } => Some(digest),
            _ => None,
        })
    }

    fn challenges_of_host(&self, host: &str, now_secs: u32) -> impl Iterator<Item = &ChallengeChunk> {
        let all = self.challenges(host);
        let zone = if all.is_empty() { None } else { self.zone_over_that(host, |zone| zone.head().status.serves()) };
        let zone = zone.map(|zone| zone.head().id);
        all.iter().map(|challenge| &**challenge).filter(move |one| Some(one.zone) == zone && one.is_live(now_secs))
    }

    /// Whether exactly this chunk is in force.
    pub fn holds(&self, key: &ChunkKey, chunk: &Chunk) -> bool {
        match (key, chunk) {
            (ChunkKey::Node, Chunk::Node(node)) => *self.node == *node,
            (ChunkKey::Account(id), Chunk::Account(account)) => self.account(*id) == Some(account),
            (ChunkKey::Zone(id), Chunk::Zone(head)) => self.zone(*id).is_some_and(|zone| zone.head() == head),
            (ChunkKey::Name(id, name), Chunk::Name(chunk)) => {
                self.zone(*id).and_then(|zone| zone.name(name.as_str())).is_some_and(|found| found == *chunk)
            }
            (ChunkKey::Tunnel(id), Chunk::Tunnel(tunnel)) => self.tunnel(*id).is_some_and(|found| **found == *tunnel),
            (ChunkKey::Certificate(id), Chunk::Certificate(certificate)) => {
                self.certificate_of(*id).is_some_and(|found| found.is_same(&CertificateEntry::of(certificate)))
            }
            (ChunkKey::Challenge(id), Chunk::Challenge(challenge)) => {
                self.challenges.get(id).is_some_and(|found| **found == *challenge)
            }
            (ChunkKey::Transfer(id), Chunk::Transfer(transfer)) => {
                self.zone(*id).and_then(Zone::transfer).is_some_and(|found| **found == *transfer)
            }
            (ChunkKey::Rules(id), Chunk::Rules(rules)) => {
                self.zone(*id).and_then(Zone::rules).is_some_and(|found| found.rules() == rules)
            }
            (ChunkKey::HealthChecks(id), Chunk::HealthChecks(checks)) => {
                self.checked.get(id).is_some_and(|found| **found == *checks)
            }
            (ChunkKey::AccountRules(id), Chunk::AccountRules(rules)) => {
                self.account_rules(*id).is_some_and(|found| found.rules() == rules)
            }
            _ => false,
        }
    }

    /// Whether a chunk of this key is in force, whatever it says. The node's always is.
    pub fn contains(&self, key: &ChunkKey) -> bool {
        match key {
            ChunkKey::Node => true,
            ChunkKey::Account(id) => self.accounts.contains(id),
            ChunkKey::Zone(id) => self.zones.contains(id),
            ChunkKey::Name(id, name) => self.zone(*id).is_some_and(|zone| zone.name(name.as_str()).is_some()),
            ChunkKey::Tunnel(id) => self.tunnels.contains(id),
            ChunkKey::Certificate(id) => self.certificates.contains(id),
            ChunkKey::Challenge(id) => self.challenges.contains(id),
            ChunkKey::Transfer(id) => self.zone(*id).is_some_and(|zone| zone.transfer().is_some()),
            ChunkKey::Rules(id) => self.zone(*id).is_some_and(|zone| zone.rules().is_some()),
            ChunkKey::HealthChecks(id) => self.checked.contains(id),
            ChunkKey::AccountRules(id) => self.account_rules.contains(id),
        }
    }

    /// Every key in force; the node's is not among them, since it is never taken away.
    pub fn keys(&self) -> impl Iterator<Item = ChunkKey> + '_ {
        let names = self.zones.iter().flat_map(|(id, zone)| zone.names().map(|(name, _)| ChunkKey::Name(*id, name)));
        names.chain(self.head_keys())
    }

    /// Every key in force but those of names.
    pub fn head_keys(&self) -> impl Iterator<Item = ChunkKey> + '_ {
        let zones = self.zones.iter().map(|(id, _)| ChunkKey::Zone(*id));
        let accounts = self.accounts.iter().map(|(id, _)| ChunkKey::Account(*id));
        let tunnels = self.tunnels.iter().map(|(id, _)| ChunkKey::Tunnel(*id));
        let certificates = self.certificates().map(|entry| ChunkKey::Certificate(entry.id));
        let challenges = self.challenges.iter().map(|(id, _)| ChunkKey::Challenge(*id));
        let transfers = self.shared.iter().map(|(id, ())| ChunkKey::Transfer(*id));
        let rules = self.ruled.iter().map(|(id, ())| ChunkKey::Rules(*id));
        let checks = self.checked.iter().map(|(id, _)| ChunkKey::HealthChecks(*id));
        let of_accounts = self.account_rules.iter().map(|(id, _)| ChunkKey::AccountRules(*id));
        let heads = zones.chain(accounts).chain(tunnels).chain(certificates).chain(challenges);
        heads.chain(transfers).chain(rules).chain(checks).chain(of_accounts)
    }

    /// Every chunk as the base file holds it: this state as one change from nothing, but for what lies on the shelf. What issuers of certificates have in
    /// common comes first.
    pub(crate) fn kept_chunks(&self) -> impl Iterator<Item = (Key, Bytes)> + '_ {
        let node = (*self.node != NodeChunk::default()).then(|| (ChunkKey::Node, Chunk::Node((*self.node).clone())));
        let accounts = self.accounts.iter().map(|(id, chunk)| (ChunkKey::Account(*id), Chunk::Account((**chunk).clone())));
        let zones = self.zones.iter().map(|(id, zone)| (ChunkKey::Zone(*id), Chunk::Zone(zone.head().clone())));
        let names = self
            .zones
            .iter()
            .flat_map(|(id, zone)| zone.names().map(|(name, view)| (ChunkKey::Name(*id, name), Chunk::Name(view.to_chunk()))));
        let tunnels = self.tunnels.iter().map(|(id, chunk)| (ChunkKey::Tunnel(*id), Chunk::Tunnel((**chunk).clone())));
        let certificates = self.certificates().map(|entry| (ChunkKey::Certificate(entry.id).encode(), shelf::stub(entry)));
        let challenges =
            self.challenges.iter().map(|(id, chunk)| (ChunkKey::Challenge(*id), Chunk::Challenge((**chunk).clone())));
        let transfer = |zone: &Zone| Some((ChunkKey::Transfer(zone.head().id), Chunk::Transfer((**zone.transfer()?).clone())));
        let transfers = self.shared_zones().filter_map(transfer);
        let ruled = self.ruled.iter().filter_map(|(id, ())| Some((id, self.zones.get(id)?.rules()?)));
        let rules = ruled.map(|(id, rules)| (ChunkKey::Rules(*id), Chunk::Rules(rules.rules().clone())));
        let checked = self.checked.iter();
        let checks = checked.map(|(id, chunk)| (ChunkKey::HealthChecks(*id), Chunk::HealthChecks((**chunk).clone())));
        let of_accounts = self.account_rules.iter();
        let of_accounts =
            of_accounts.map(|(id, rules)| (ChunkKey::AccountRules(*id), Chunk::AccountRules(rules.rules().clone())));
        let heads = node.into_iter().chain(accounts).chain(of_accounts).chain(zones).chain(transfers).chain(rules).chain(checks);
        let all = heads.chain(names).chain(tunnels).chain(challenges);
        let mut issuers = HashMap::new();
        for shared in self.certificates().filter_map(|entry| entry.issuers.as_deref()) {
            issuers.entry(shared.digest).or_insert_with(|| (disk::issuers_key(shared), shared.encode()));
        }
        issuers.into_values().chain(all.map(|(key, chunk)| (key.encode(), chunk.encode()))).chain(certificates)
    }

    /// Those of a change's certificates whose chains end alike, each once.
    pub(crate) fn issuers_of(&self, ids: impl Iterator<Item = CertificatePackId>) -> Vec<&Issuers> {
        let mut issuers: Vec<&Issuers> = ids.filter_map(|id| self.certificate_of(id)?.issuers.as_deref()).collect();
        issuers.sort_by_key(|issuers| issuers.digest);
        issuers.dedup_by_key(|issuers| issuers.digest);
        issuers
    }

    /// The state after a change; `self` is not touched, and nothing is shown unless all of the change is understood.
    pub fn apply(&self, change: &Change) -> Result<(Applied, Self), ApplyError> {
        self.apply_keeping(change, &mut InMemory)
    }

    /// The same, with certificates kept wherever that is.
    pub(crate) fn apply_keeping<K: Keep>(&self, change: &Change, keep: &mut K) -> Result<(Applied, Self), K::Error> {
        let generation = change.generation;
        if generation <= self.generation {
            let answer = if generation == self.generation { Applied::AlreadyThere } else { Applied::Newer };
            return Ok((answer, self.clone()));
        }
        if generation != self.generation + 1 {
            return Err(ApplyError::Gap { current: self.generation, offered: generation }.into());
        }
        let chunks = change.chunks.iter().map(|(key, body)| (&**key, body.as_deref()));
        Ok((Applied::Applied, self.with(generation, chunks, keep)?))
    }

    /// The state with these chunks and this number. Heads come before what stands in their zones, whatever their order here; each chunk is
    /// read when its turn comes, so that there is never more than one beside the state.
    pub(crate) fn with<'a, K: Keep>(
        &self,
        generation: u64,
        chunks: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + Clone,
        keep: &mut K,
    ) -> Result<Self, K::Error> {
        let mut next = Self { generation, ..self.clone() };
        let heads = chunks.clone().filter(|(key, _)| !ChunkKey::stands_in_zone(key));
        for (key, body) in heads.chain(chunks.filter(|(key, _)| ChunkKey::stands_in_zone(key))) {
            next.take(key, body, keep)?;
        }
        Ok(next)
    }

    /// A state of this number with nothing in it yet: to be filled by whoever reads a base.
    pub(crate) fn begun(generation: u64) -> Self {
        Self { generation, ..Self::default() }
    }

    /// Takes a chunk in, or away, after what it stands in.
    pub(crate) fn take<K: Keep>(&mut self, key: &[u8], body: Option<&[u8]>, keep: &mut K) -> Result<(), K::Error> {
        let generation = self.generation;
        let wrong = |error| ApplyError::Chunk { generation, error };
        let key = ChunkKey::decode(key).map_err(wrong)?;
        let (ChunkKey::Certificate(id), Some(stub)) = (&key, body.filter(|body| body.first() == Some(&CERTIFICATE_STUB_VERSION)))
        else {
            let chunk = body.map(|body| Chunk::decode(&key, body)).transpose().map_err(wrong)?;
            match (key, chunk) {
                (ChunkKey::Certificate(id), Some(Chunk::Certificate(chunk))) => self.certify(id, Some(keep.put(&chunk)?)),
                (ChunkKey::Certificate(id), _) => self.certify(id, None),
                (key, chunk) => self.set(key, chunk)?,
            }
            return Ok(());
        };
        self.certify(*id, keep.find(*id, stub).map_err(wrong)?);
        Ok(())
    }

    /// The same state with certificates that lie elsewhere now; those that were replaced meanwhile are left.
    pub(crate) fn with_moved(&self, moved: Vec<CertificateEntry>) -> Self {
        let mut next = self.clone();
        for entry in moved {
            if self.certificate_of(entry.id).is_some_and(|known| known.is_same(&entry)) {
                next.certify(entry.id, Some(entry));
            }
        }
        next
    }

    fn certify(&mut self, id: CertificatePackId, entry: Option<CertificateEntry>) {
        if let Some(old) = self.certificate_of(id).cloned() {
            self.unlist(&old);
            self.certificates.remove(&id);
        }
        if let Some(entry) = entry {
            let entry = Arc::new(entry);
            self.list(&entry);
            self.certificates.insert(ByPack(entry), ());
        }
    }

    fn set(&mut self, key: ChunkKey, body: Option<Chunk>) -> Result<(), ApplyError> {
        let generation = self.generation;
        match (key, body) {
            (ChunkKey::Node, body) => {
                self.node = match body {
                    Some(Chunk::Node(node)) => Arc::new(node),
                    _ => Arc::default(),
                }
            }
            (ChunkKey::Account(id), Some(Chunk::Account(account))) => drop(self.accounts.insert(id, Arc::new(account))),
            (ChunkKey::Account(id), _) => drop(self.accounts.remove(&id)),
            (ChunkKey::Tunnel(id), Some(Chunk::Tunnel(tunnel))) => drop(self.tunnels.insert(id, Arc::new(tunnel))),
            (ChunkKey::Tunnel(id), _) => drop(self.tunnels.remove(&id)),
            (ChunkKey::Zone(id), Some(Chunk::Zone(head))) => {
                if let Some(zone) = self.zones.get(&id)
                    && zone.head().apex != head.apex
                {
                    return Err(ApplyError::Renamed { generation, zone: id, apex: head.apex });
                }
                let mut apex = self.apexes.get(head.apex.as_str()).cloned().unwrap_or_default();
                let (to, from) = match head.status.serves() {
                    true => (&mut apex.serving, &mut apex.waiting),
                    false => (&mut apex.waiting, &mut apex.serving),
                };
                from.remove(&id);
                to.insert(id);
                self.apexes.insert(head.apex.clone(), apex);
                match self.zones.get_mut(&id) {
                    Some(zone) => zone.set_head(head),
                    None => drop(self.zones.insert(id, Zone::new(head))),
                }
            }
            (ChunkKey::Zone(id), _) => {
                let Some(zone) = self.zones.remove(&id) else { return Ok(()) };
                self.shared.remove(&id);
                self.ruled.remove(&id);
                self.checked.remove(&id);
                let name = &zone.head().apex;
                let mut apex = self.apexes.remove(name.as_str()).unwrap_or_default();
                apex.serving.remove(&id);
                apex.waiting.remove(&id);
                if !(apex.serving.is_empty() && apex.waiting.is_empty()) {
                    self.apexes.insert(name.clone(), apex);
                }
            }
            (ChunkKey::Name(id, name), body) => {
                let chunk = match body {
                    Some(Chunk::Name(chunk)) => Some(chunk),
                    _ => None,
                };
                match self.zones.get_mut(&id) {
                    Some(zone) if lies_within(&name, &zone.head().apex) => zone.set(&name, chunk),
                    None if chunk.is_none() => {}
                    _ => return Err(ApplyError::StrayName { generation, zone: id, name }),
                }
            }
            (ChunkKey::Transfer(id), body) => {
                // Of a zone that is gone there is nothing to keep.
                if let Some(zone) = self.zones.get_mut(&id) {
                    let transfer = match body {
                        Some(Chunk::Transfer(transfer)) => Some(transfer),
                        _ => None,
                    };
                    match transfer {
                        Some(_) => drop(self.shared.insert(id, ())),
                        None => drop(self.shared.remove(&id)),
                    }
                    zone.set_transfer(transfer);
                }
            }
            (ChunkKey::Rules(id), body) => {
                if let Some(zone) = self.zones.get_mut(&id) {
                    let rules = match body {
                        Some(Chunk::Rules(rules)) => Some(rules),
                        _ => None,
                    };
                    match rules {
                        Some(_) => drop(self.ruled.insert(id, ())),
                        None => drop(self.ruled.remove(&id)),
                    }
                    zone.set_rules(rules);
                }
            }
            (ChunkKey::HealthChecks(id), Some(Chunk::HealthChecks(checks))) => {
                // Of a zone that is gone there is nothing to keep.
                if self.zones.contains(&id) {
                    self.checked.insert(id, Arc::new(checks));
                }
            }
            (ChunkKey::HealthChecks(id), _) => drop(self.checked.remove(&id)),
            (ChunkKey::AccountRules(id), Some(Chunk::AccountRules(rules))) => {
                let before = self.account_rules.remove(&id);
                let rules = RulesInForce::new(id, rules, before.as_deref());
                self.account_rules.insert(id, Arc::new(rules));
            }
            (ChunkKey::AccountRules(id), _) => drop(self.account_rules.remove(&id)),
            // They are kept before they are known.
            (ChunkKey::Certificate(_), _) => {}
            (ChunkKey::Challenge(id), body) => {
                if let Some(old) = self.challenges.remove(&id) {
                    self.hide(&old);
                }
                if let Some(Chunk::Challenge(challenge)) = body {
                    let challenge = Arc::new(challenge);
                    self.show(&challenge);
                    self.challenges.insert(id, challenge);
                }
            }
        }
        Ok(())
    }

    fn show(&mut self, challenge: &Arc<ChallengeChunk>) {
        let owner = challenge.shown.owner();
        let mut shown = self.challenge_owners.get(owner.as_str()).cloned().unwrap_or_default();
        shown.push(Arc::clone(challenge));
        shown.sort_by_key(|challenge| challenge.id);
        self.challenge_owners.insert(owner.clone(), shown);
    }

    fn hide(&mut self, challenge: &ChallengeChunk) {
        let owner = challenge.shown.owner();
        let Some(mut shown) = self.challenge_owners.remove(owner.as_str()) else { return };
        shown.retain(|other| other.id != challenge.id);
        if !shown.is_empty() {
            self.challenge_owners.insert(owner.clone(), shown);
        }
    }

    fn list(&mut self, entry: &Arc<CertificateEntry>) {
        for hash in self.hashes_of(entry) {
            let mut listed = self.certificate_names.get(&hash).map_or_else(Vec::new, |listed| listed.entries().to_vec());
            listed.push(Arc::clone(entry));
            match Listed::of(listed) {
                Some(listed) => drop(self.certificate_names.insert(hash, listed)),
                None => drop(self.certificate_names.remove(&hash)),
            }
        }
    }

    fn unlist(&mut self, entry: &CertificateEntry) {
        for hash in self.hashes_of(entry) {
            let listed = self.certificate_names.get(&hash).map_or(&[][..], Listed::entries);
            let left = listed.iter().filter(|other| other.id != entry.id).cloned().collect();
            match Listed::of(left) {
                Some(listed) => drop(self.certificate_names.insert(hash, listed)),
                None => drop(self.certificate_names.remove(&hash)),
            }
        }
    }

    /// Of the names that it is for, wildcards as their parent; each once.
    fn hashes_of(&self, entry: &CertificateEntry) -> BTreeSet<u64> {
        entry.names().map(|name| self.name_hasher.hash_one(name.strip_prefix("*.").unwrap_or(name))).collect()
    }
}

/// Within the zone, and for a wildcard its parent too.
fn lies_within(name: &Name, apex: &Name) -> bool {
    let (anchor, _) = anchor_of(name);
    anchor.is_within(apex)
}

/// The name a wildcard stands under, or the name itself.
fn anchor_of(name: &Name) -> (Name, bool) {
    match name.parent() {
        Some(parent) if name.is_wildcard() => (parent, true),
        _ => (name.clone(), false),
    }
}
