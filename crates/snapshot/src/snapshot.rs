//! One generation of everything, and the step to the next.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use poterne_feed::{Change, Key};
use poterne_model::{AccountId, CertificatePackId, ChallengeId, Name, TunnelId, ZoneId, name};

use crate::{
    AccountChunk, CertificateChunk, ChallengeChunk, Chunk, ChunkError, ChunkKey, HealthChecksChunk, NodeChunk, RulesInForce,
    Shown, Target, TunnelChunk, Zone, ZoneHead, tree::PageTree,
};

/// What a node obeys: immutable, numbered, complete. Cloning costs a few reference counts.
#[derive(Clone, Default)]
pub struct Snapshot {
    generation: u64,
    node: Arc<NodeChunk>,
    accounts: PageTree<AccountId, Arc<AccountChunk>>,
    zones: PageTree<ZoneId, Zone>,
    /// Those of them that other name servers share: few, and asked for at every change.
    shared: PageTree<ZoneId, ()>,
    /// Those of them that have rules.
    ruled: PageTree<ZoneId, ()>,
    /// What some accounts' rules make of requests for all their zones.
    account_rules: PageTree<AccountId, Arc<RulesInForce>>,
    /// What the origins of some of them are asked again and again.
    checked: PageTree<ZoneId, Arc<HealthChecksChunk>>,
    apexes: PageTree<Name, Apex>,
    tunnels: PageTree<TunnelId, Arc<TunnelChunk>>,
    certificates: PageTree<CertificatePackId, Arc<CertificateChunk>>,
    certificate_names: PageTree<Name, CertificatesOfName>,
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

/// Certificates for a name and for `*.` and the name: by rank, and of equal rank the one valid longest last.
#[derive(Clone, Default)]
struct CertificatesOfName {
    exact: Vec<Arc<CertificateChunk>>,
    wildcard: Vec<Arc<CertificateChunk>>,
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
    /// waits. A waiting zone hides no serving one, above or below ([`Snapshot::route`] says why). `name` is in canonical form.
    pub fn zone_over(&self, name: &str) -> Option<&Zone> {
        let mut waiting = None;
        for ancestor in name::ancestors(name) {
            let Some(apex) = self.apexes.get(ancestor) else { continue };
            if let Some(zone) = apex.serving.first().and_then(|id| self.zones.get(id)) {
                return Some(zone);
            }
            waiting = waiting.or_else(|| apex.waiting.first().and_then(|id| self.zones.get(id)));
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
    pub fn certificate(&self, sni: &str) -> Option<&Arc<CertificateChunk>> {
        let exact = self.certificate_names.get(sni).and_then(|of| of.exact.last());
        exact.or_else(|| self.certificate_names.get(sni.split_once('.')?.1)?.wildcard.last())
    }

    /// A pack's certificate.
    pub fn certificate_of(&self, id: CertificatePackId) -> Option<&Arc<CertificateChunk>> {
        self.certificates.get(&id)
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
        let zone = if all.is_empty() { None } else { self.zone_over(host) }.map(|zone| zone.head());
        let zone = zone.filter(|zone| zone.status.serves()).map(|zone| zone.id);
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
                self.certificates.get(id).is_some_and(|found| **found == *certificate)
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
        let certificates = self.certificates.iter().map(|(id, _)| ChunkKey::Certificate(*id));
        let challenges = self.challenges.iter().map(|(id, _)| ChunkKey::Challenge(*id));
        let transfers = self.shared.iter().map(|(id, ())| ChunkKey::Transfer(*id));
        let rules = self.ruled.iter().map(|(id, ())| ChunkKey::Rules(*id));
        let checks = self.checked.iter().map(|(id, _)| ChunkKey::HealthChecks(*id));
        let of_accounts = self.account_rules.iter().map(|(id, _)| ChunkKey::AccountRules(*id));
        let heads = zones.chain(accounts).chain(tunnels).chain(certificates).chain(challenges);
        heads.chain(transfers).chain(rules).chain(checks).chain(of_accounts)
    }

    /// Every chunk, encoded: this state as one change from nothing.
    pub fn chunks(&self) -> impl Iterator<Item = (Key, Bytes)> + '_ {
        let node = (*self.node != NodeChunk::default()).then(|| (ChunkKey::Node, Chunk::Node((*self.node).clone())));
        let accounts = self.accounts.iter().map(|(id, chunk)| (ChunkKey::Account(*id), Chunk::Account((**chunk).clone())));
        let zones = self.zones.iter().map(|(id, zone)| (ChunkKey::Zone(*id), Chunk::Zone(zone.head().clone())));
        let names = self
            .zones
            .iter()
            .flat_map(|(id, zone)| zone.names().map(|(name, view)| (ChunkKey::Name(*id, name), Chunk::Name(view.to_chunk()))));
        let tunnels = self.tunnels.iter().map(|(id, chunk)| (ChunkKey::Tunnel(*id), Chunk::Tunnel((**chunk).clone())));
        let certificates =
            self.certificates.iter().map(|(id, chunk)| (ChunkKey::Certificate(*id), Chunk::Certificate((**chunk).clone())));
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
        let all = heads.chain(names).chain(tunnels).chain(certificates).chain(challenges);
        all.map(|(key, chunk)| (key.encode(), chunk.encode()))
    }

    /// The state after a change; `self` is not touched, and nothing is shown unless all of the change is understood.
    pub fn apply(&self, change: &Change) -> Result<(Applied, Self), ApplyError> {
        let generation = change.generation;
        if generation <= self.generation {
            let answer = if generation == self.generation { Applied::AlreadyThere } else { Applied::Newer };
            return Ok((answer, self.clone()));
        }
        if generation != self.generation + 1 {
            return Err(ApplyError::Gap { current: self.generation, offered: generation });
        }
        let chunks = change.chunks.iter().map(|(key, body)| (&**key, body.as_deref()));
        Ok((Applied::Applied, self.with(generation, chunks)?))
    }

    /// The state with these chunks and this number. Heads come before the names of their zones, whatever their order here.
    pub(crate) fn with<'a>(
        &self,
        generation: u64,
        chunks: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    ) -> Result<Self, ApplyError> {
        let wrong = |error| ApplyError::Chunk { generation, error };
        let mut read = Vec::new();
        for (key, body) in chunks {
            let key = ChunkKey::decode(key).map_err(wrong)?;
            let body = body.map(|body| Chunk::decode(&key, body)).transpose().map_err(wrong)?;
            read.push((key, body));
        }
        let mut next = Self { generation, ..self.clone() };
        let stands_in_zone = |key: &ChunkKey| {
            matches!(key, ChunkKey::Name(..) | ChunkKey::Transfer(_) | ChunkKey::Rules(_) | ChunkKey::HealthChecks(_))
        };
        let (names, others): (Vec<_>, Vec<_>) = read.into_iter().partition(|(key, _)| stands_in_zone(key));
        for (key, body) in others {
            next.set(key, body)?;
        }
        for (key, body) in names {
            next.set(key, body)?;
        }
        Ok(next)
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
            (ChunkKey::Certificate(id), body) => {
                if let Some(old) = self.certificates.remove(&id) {
                    self.unlist(&old);
                }
                if let Some(Chunk::Certificate(certificate)) = body {
                    let certificate = Arc::new(certificate);
                    self.list(&certificate);
                    self.certificates.insert(id, certificate);
                }
            }
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

    fn list(&mut self, certificate: &Arc<CertificateChunk>) {
        for name in &certificate.names {
            let (anchor, wildcard) = anchor_of(name);
            let mut of = self.certificate_names.get(anchor.as_str()).cloned().unwrap_or_default();
            let certificates = if wildcard { &mut of.wildcard } else { &mut of.exact };
            certificates.push(certificate.clone());
            certificates.sort_by_key(|certificate| (certificate.rank, certificate.not_after, certificate.id));
            self.certificate_names.insert(anchor, of);
        }
    }

    fn unlist(&mut self, certificate: &CertificateChunk) {
        for name in &certificate.names {
            let (anchor, _) = anchor_of(name);
            let Some(mut of) = self.certificate_names.remove(anchor.as_str()) else { continue };
            of.exact.retain(|other| other.id != certificate.id);
            of.wildcard.retain(|other| other.id != certificate.id);
            if !(of.exact.is_empty() && of.wildcard.is_empty()) {
                self.certificate_names.insert(anchor, of);
            }
        }
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
