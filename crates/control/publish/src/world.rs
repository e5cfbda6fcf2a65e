//! All that should be in force, in memory: what the store said last, arranged so that one change costs what it reaches.
//!
//! Owner names are paths below their zone's apex ([`crate::path`]); that a name exists because something below it does (RFC 4592 §2.2.2)
//! is asked of the order of the map and kept nowhere. What a zone's records come to depends on whether it proxies, so that they are read
//! anew when that changes. Only zones that do are asked where a name leads.
//!
//! `leads` is the CNAMEs turned round: who leads to that name, who leads to that tunnel.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Bound::{self, Excluded, Included, Unbounded},
    sync::Arc,
};

use poterne_acme::caa::Issuer;
use poterne_model::{
    AccountId, CertificatePackId, ChallengeId, Name, RecordSet, TunnelId, ZoneId,
    chain::{self, ChainError, Destination, tunnel_of},
};
use poterne_rules::ZoneRules;
use poterne_snapshot::{
    AccountChunk, ChallengeChunk, Chunk, ChunkKey, HealthChecksChunk, NameChunk, NodeChunk, Snapshot, Target, ZoneHead,
};

use crate::{
    path::{self, Path},
    rows::{KnownCertificate, KnownTransfer, KnownTunnel, Reading, Records},
};

/// See the module's page.
pub(crate) struct World {
    pub(crate) node: NodeChunk,
    pub(crate) accounts: HashMap<AccountId, AccountChunk>,
    pub(crate) zones: HashMap<ZoneId, ZoneInForce>,
    /// The zones that proxy, by their apex.
    pub(crate) apexes: HashMap<Path, ZoneId>,
    pub(crate) tunnels: HashMap<TunnelId, KnownTunnel>,
    pub(crate) challenges: HashMap<ChallengeId, ChallengeChunk>,
    pub(crate) certificates: BTreeSet<KnownCertificate>,
    /// The same by zone.
    pub(crate) certificates_of: BTreeSet<(ZoneId, CertificatePackId)>,
    /// Whom CAA records are to let issue, beside those that their users name.
    pub(crate) issuers: Vec<Issuer>,
    /// What zones give to other name servers, or take from them.
    pub(crate) transfers: HashMap<ZoneId, KnownTransfer>,
    /// What zones' rules make of requests.
    pub(crate) rules: HashMap<ZoneId, ZoneRules>,
    /// What accounts' rules make of those for all their zones.
    pub(crate) account_rules: HashMap<AccountId, ZoneRules>,
    /// What zones' origins are asked again and again.
    pub(crate) health_checks: HashMap<ZoneId, HealthChecksChunk>,
    pub(crate) leads: BTreeSet<(To, ZoneId, Path)>,
    /// The store's change that was taken in last: what zones' serial numbers are made of.
    pub(crate) change: u64,
    /// The domains right below which names mean tunnels.
    tunnel_parents: Vec<Vec<u8>>,
}

/// A zone.
pub(crate) struct ZoneInForce {
    pub(crate) head: ZoneHead,
    pub(crate) apex: Path,
    /// Whether visitors are led by its records.
    pub(crate) proxies: bool,
    /// Its owner names.
    pub(crate) names: BTreeMap<Path, Records>,
}

/// What a name leads to by a CNAME.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum To {
    /// Straight to a tunnel, by either of its names.
    Tunnel(TunnelId),
    /// To any other name.
    Name(Path),
}

impl World {
    /// With nothing in it but what all nodes know.
    pub(crate) fn new(node: NodeChunk, issuers: Vec<Issuer>) -> Self {
        let parents = [Some(chain::TUNNEL_SUFFIX), node.tunnel_domain.as_ref().map(Name::as_str)];
        Self {
            tunnel_parents: parents.into_iter().flatten().map(path::path).collect(),
            node,
            accounts: HashMap::new(),
            zones: HashMap::new(),
            apexes: HashMap::new(),
            tunnels: HashMap::new(),
            challenges: HashMap::new(),
            certificates: BTreeSet::new(),
            certificates_of: BTreeSet::new(),
            issuers,
            transfers: HashMap::new(),
            rules: HashMap::new(),
            account_rules: HashMap::new(),
            health_checks: HashMap::new(),
            leads: BTreeSet::new(),
            change: 0,
        }
    }

    /// Whether the zone's names are proxied; none where there is no such zone.
    pub(crate) fn proxies(&self, zone: ZoneId) -> Option<bool> {
        self.zones.get(&zone).map(|zone| zone.proxies)
    }

    /// What records are read with.
    pub(crate) fn reading(&self) -> Reading<'_> {
        Reading { tunnel_domain: self.node.tunnel_domain.as_ref(), issuers: &self.issuers }
    }

    /// Puts a pack's certificate, or takes it away.
    pub(crate) fn put_certificate(&mut self, id: CertificatePackId, certificate: Option<KnownCertificate>) {
        if let Some(old) = self.certificates.take(&id) {
            self.certificates_of.remove(&(old.zone, id));
        }
        if let Some(new) = certificate {
            self.certificates_of.insert((new.zone, id));
            self.certificates.insert(new);
        }
    }

    /// The packs of a zone that have a certificate.
    pub(crate) fn packs_of(&self, zone: ZoneId) -> impl Iterator<Item = CertificatePackId> + '_ {
        let from = (zone, CertificatePackId::from_bytes([0; 16]));
        self.certificates_of.range(from..).take_while(move |(of, _)| *of == zone).map(|(_, id)| *id)
    }

    /// A certificate that is to be served: a zone that waits could be anybody's, and so could what is brought for it.
    pub(crate) fn served(&self, id: CertificatePackId) -> Option<&KnownCertificate> {
        let known = self.certificates.get(&id)?;
        let zone = self.zones.get(&known.zone)?;
        zone.head.status.serves().then_some(known)
    }

    /// Puts a zone's head; a zone that was not there begins without names. Whether it proxies does not change while it has names.
    pub(crate) fn put_zone(&mut self, id: ZoneId, head: ZoneHead, proxies: bool) {
        match self.zones.get_mut(&id) {
            Some(zone) => zone.head = head,
            None => {
                let apex: Path = path::path(head.apex.as_str()).into();
                if proxies {
                    self.apexes.insert(apex.clone(), id);
                }
                self.zones.insert(id, ZoneInForce { head, apex, proxies, names: BTreeMap::new() });
            }
        }
    }

    /// Takes a zone away; returns it as it was.
    pub(crate) fn take_zone(&mut self, id: ZoneId) -> Option<ZoneInForce> {
        let zone = self.zones.remove(&id)?;
        if zone.proxies {
            if self.apexes.get(&zone.apex) == Some(&id) {
                self.apexes.remove(&zone.apex);
            }
            for (path, records) in &zone.names {
                for to in self.to(&zone.apex, path, records) {
                    self.leads.remove(&(to, id, path.clone()));
                }
            }
        }
        Some(zone)
    }

    /// Puts the records at a name, or takes them away. Says where that is, unless no answer of the walk changed.
    pub(crate) fn set(&mut self, id: ZoneId, name: &Name, records: Option<Records>) -> Option<Placed> {
        let zone = self.zones.get_mut(&id)?;
        let apex = zone.apex.clone();
        if !name.is_within(&zone.head.apex) {
            return None;
        }
        let absolute = path::path(name.as_str());
        let (path, old) = match zone.names.get_key_value(path::below(&absolute, &apex)) {
            Some((path, old)) => (path.clone(), Some(old.clone())),
            None => (Path::from(path::below(&absolute, &apex)), None),
        };
        if old == records {
            return None;
        }
        if !zone.proxies {
            match records {
                Some(records) => zone.names.insert(path, records),
                None => zone.names.remove(&path),
            };
            return None;
        }
        if let Some(old) = &old {
            for to in self.to(&apex, &path, old) {
                self.leads.remove(&(to, id, path.clone()));
            }
        }
        if let Some(new) = &records {
            for to in self.to(&apex, &path, new) {
                self.leads.insert((to, id, path.clone()));
            }
        }
        let (had, has) = (old.is_some(), records.is_some());
        let names = &mut self.zones.get_mut(&id)?.names;
        // Asked while the name itself is not there: whatever exists then exists without it.
        names.remove(&path);
        let begins = (had != has).then(|| top_without(names, &path)).flatten().map(<[u8]>::to_vec);
        if let Some(records) = records {
            names.insert(path, records);
        }
        Some(Placed { absolute, top: begins.map(|top| path::join(&apex, &top)) })
    }

    /// The zones that proxy and lie over the name, the most specific first, with the name's path below each.
    pub(crate) fn zones_over<'a>(&'a self, absolute: &'a [u8]) -> impl Iterator<Item = (ZoneId, &'a ZoneInForce, &'a [u8])> {
        path::ancestors(absolute).filter_map(move |ancestor| {
            let id = *self.apexes.get(ancestor)?;
            Some((id, self.zones.get(&id)?, path::below(absolute, ancestor)))
        })
    }

    /// What the CNAMEs of the records at a path lead to; a name that itself means a tunnel leads there whatever its records say.
    pub(crate) fn to(&self, apex: &[u8], path: &[u8], records: &Records) -> Vec<To> {
        let domain = self.node.tunnel_domain.as_ref();
        let named = |target: Name| match tunnel_of(&target, domain) {
            Some(tunnel) => To::Tunnel(tunnel),
            None => To::Name(path::path(target.as_str()).into()),
        };
        let mut to: Vec<To> = records.targets().into_iter().map(named).collect();
        if let Records::Tunnel(tunnel) = records {
            to.push(To::Tunnel(*tunnel));
        }
        // Only a name right below a tunnel's domain may mean one, and few zones lie over such a domain.
        if self.tunnel_parents.iter().any(|parent| path::is_within(parent, apex)) {
            let absolute = path::join(apex, path);
            if self.may_mean_a_tunnel(&absolute) {
                to.extend(tunnel_of(&path::name(&absolute), domain).map(To::Tunnel));
            }
        }
        to
    }

    /// Whether a name stands right below a domain of tunnels.
    fn may_mean_a_tunnel(&self, absolute: &[u8]) -> bool {
        path::parent(absolute).is_some_and(|parent| self.tunnel_parents.iter().any(|domain| *domain == *parent))
    }

    /// Whether this chunk should be in force, whatever it says.
    pub(crate) fn wants(&self, key: &ChunkKey) -> bool {
        match key {
            ChunkKey::Node => true,
            ChunkKey::Account(id) => self.accounts.contains_key(id),
            ChunkKey::Zone(id) => self.zones.contains_key(id),
            ChunkKey::Name(id, name) => self.records(*id, name).is_some(),
            ChunkKey::Tunnel(id) => self.tunnels.get(id).is_some_and(|tunnel| tunnel.chunk.is_some()),
            ChunkKey::Certificate(id) => self.served(*id).is_some(),
            ChunkKey::Challenge(id) => self.challenges.contains_key(id),
            ChunkKey::Transfer(id) => self.zones.contains_key(id) && self.transfers.contains_key(id),
            ChunkKey::Rules(id) => self.zones.contains_key(id) && self.rules.contains_key(id),
            ChunkKey::HealthChecks(id) => self.zones.contains_key(id) && self.health_checks.contains_key(id),
            ChunkKey::AccountRules(id) => self.accounts.contains_key(id) && self.account_rules.contains_key(id),
        }
    }

    /// The chunk that should be in force.
    pub(crate) fn wanted(&self, key: &ChunkKey) -> Option<Chunk> {
        Some(match key {
            ChunkKey::Node => Chunk::Node(self.node.clone()),
            ChunkKey::Account(id) => Chunk::Account(self.accounts.get(id)?.clone()),
            ChunkKey::Zone(id) => Chunk::Zone(self.zones.get(id)?.head.clone()),
            ChunkKey::Name(id, name) => {
                let zone = self.zones.get(id).filter(|zone| name.is_within(&zone.head.apex))?;
                let absolute = path::path(name.as_str());
                let records = zone.names.get(path::below(&absolute, &zone.apex))?;
                Chunk::Name(self.name_chunk(zone, &absolute, || name.clone(), records))
            }
            ChunkKey::Tunnel(id) => Chunk::Tunnel((**self.tunnels.get(id)?.chunk.as_ref()?).clone()),
            // All of it is in the store alone ([`crate::difference::Difference`]).
            ChunkKey::Certificate(_) => return None,
            ChunkKey::Challenge(id) => Chunk::Challenge(self.challenges.get(id)?.clone()),
            ChunkKey::Transfer(id) => {
                Chunk::Transfer(self.transfers.get(id).filter(|_| self.zones.contains_key(id))?.chunk.clone())
            }
            ChunkKey::Rules(id) => Chunk::Rules(self.rules.get(id).filter(|_| self.zones.contains_key(id))?.clone()),
            ChunkKey::HealthChecks(id) => {
                Chunk::HealthChecks(self.health_checks.get(id).filter(|_| self.zones.contains_key(id))?.clone())
            }
            ChunkKey::AccountRules(id) => {
                Chunk::AccountRules(self.account_rules.get(id).filter(|_| self.accounts.contains_key(id))?.clone())
            }
        })
    }

    /// Every key that should be in force, but for names: heads and tunnels.
    pub(crate) fn head_keys(&self) -> impl Iterator<Item = ChunkKey> + '_ {
        let accounts = self.accounts.keys().map(|id| ChunkKey::Account(*id));
        let zones = self.zones.keys().map(|id| ChunkKey::Zone(*id));
        let alive = self.tunnels.iter().filter(|(_, tunnel)| tunnel.chunk.is_some());
        let tunnels = alive.map(|(id, _)| ChunkKey::Tunnel(*id));
        let challenges = self.challenges.keys().map(|id| ChunkKey::Challenge(*id));
        let served = self.certificates.iter().map(|known| known.entry.id()).filter(|id| self.served(*id).is_some());
        let certificates = served.map(ChunkKey::Certificate);
        let transfers = self.transfers.keys().map(|id| ChunkKey::Transfer(*id));
        let heads = std::iter::once(ChunkKey::Node).chain(accounts).chain(zones).chain(tunnels);
        let rules = self.rules.keys().map(|id| ChunkKey::Rules(*id));
        let checks = self.health_checks.keys().map(|id| ChunkKey::HealthChecks(*id));
        let of_accounts = self.account_rules.keys().map(|id| ChunkKey::AccountRules(*id));
        heads.chain(challenges).chain(certificates).chain(transfers).chain(rules).chain(checks).chain(of_accounts)
    }

    /// The same of these certificates alone.
    pub(crate) fn share_certificates<'a>(&mut self, snapshot: &Snapshot, keys: impl Iterator<Item = &'a ChunkKey>) {
        for key in keys {
            let ChunkKey::Certificate(id) = key else { continue };
            let Some(theirs) = snapshot.certificate_of(*id) else { continue };
            let zone = self.certificates.get(id).filter(|known| known.entry.is_same(theirs)).map(|known| known.zone);
            if let Some(zone) = zone {
                self.certificates.replace(KnownCertificate { zone, entry: Arc::clone(theirs) });
            }
        }
    }

    /// Arranges certificates, which came one after the other, as if they had come at once ([`World::pack`]).
    pub(crate) fn arrange_certificates(&mut self, each: impl Fn(&mut KnownCertificate)) {
        let known = std::mem::take(&mut self.certificates).into_iter().map(|mut known| {
            each(&mut known);
            known
        });
        self.certificates = known.collect();
        self.certificates_of = std::mem::take(&mut self.certificates_of).into_iter().collect();
    }

    /// Lets go of tunnels and certificates that the snapshot holds word for word, and holds the snapshot's: configurations and names are
    /// then in memory once.
    pub(crate) fn share(&mut self, snapshot: &Snapshot) {
        self.arrange_certificates(|known| {
            if let Some(theirs) = snapshot.certificate_of(known.entry.id()).filter(|theirs| theirs.is_same(&known.entry)) {
                known.entry = Arc::clone(theirs);
            }
        });
        for (id, tunnel) in &mut self.tunnels {
            if let (Some(own), Some(theirs)) = (&mut tunnel.chunk, snapshot.tunnel(*id))
                && !Arc::ptr_eq(own, theirs)
                && *own == *theirs
            {
                *own = theirs.clone();
            }
        }
    }

    /// A zone's owner names after one, up to and with another, in the order of their paths; none: from the first, to the last.
    pub(crate) fn names_between<'a>(
        &'a self,
        zone: ZoneId,
        after: Option<&Name>,
        last: Option<&Name>,
    ) -> impl Iterator<Item = Name> + use<'a> {
        let zone = self.zones.get(&zone);
        let below =
            |name: Option<&Name>| zone.zip(name).map(|(zone, name)| path::below(&path::path(name.as_str()), &zone.apex).to_vec());
        let from = below(after).map_or(Unbounded, Excluded);
        let to = below(last).map_or(Unbounded, Included);
        let names = zone.map(|zone| zone.names.range::<[u8], _>((borrowed(&from), borrowed(&to))).map(|(path, _)| path));
        names.into_iter().flatten().map(move |below| path::name(&path::join(zone.map_or(&[][..], |zone| &*zone.apex), below)))
    }

    /// Arranges the names of a zone, which came one after the other, as if they had come at once: a map that grows at its end is half empty.
    pub(crate) fn pack(&mut self, zone: ZoneId) {
        if let Some(zone) = self.zones.get_mut(&zone) {
            zone.names = std::mem::take(&mut zone.names).into_iter().collect();
        }
    }

    /// What the world has at a name of a zone.
    pub(crate) fn records(&self, zone: ZoneId, name: &Name) -> Option<&Records> {
        let zone = self.zones.get(&zone)?;
        name.is_within(&zone.head.apex).then(|| zone.names.get(path::below(&path::path(name.as_str()), &zone.apex))).flatten()
    }

    /// Where a name that leads straight to a tunnel ends, without the walk. None where only the walk can tell: another zone answers for
    /// the name, or it means a tunnel itself.
    fn straight(&self, zone: &ZoneInForce, absolute: &[u8], tunnel: TunnelId) -> Option<Target> {
        let answers = self.zones_over(absolute).next().is_some_and(|(id, ..)| id == zone.head.id);
        if !answers || self.may_mean_a_tunnel(absolute) {
            return None;
        }
        let is_own = self.tunnels.get(&tunnel).is_some_and(|tunnel| tunnel.account == zone.head.account);
        Some(if is_own { Target::Tunnel(tunnel) } else { Target::UnknownTunnel(tunnel) })
    }

    /// What is in force of a zone's names and should not be, or should be otherwise: with none where it should not be at all.
    pub(crate) fn names_differing(&self, id: ZoneId, zone: &ZoneInForce, snapshot: &Snapshot) -> Vec<(Name, Option<NameChunk>)> {
        let (mut differing, mut known) = (Vec::new(), 0);
        for below in zone.names.iter() {
            let (name, is_known) = self.name_differing(zone, below, snapshot.zone(id));
            known += usize::from(is_known);
            differing.extend(name.map(|(name, wanted)| (name, Some(wanted))));
        }
        if snapshot.zone(id).is_some_and(|in_force| in_force.names_len() != known) {
            differing.extend(self.names_gone(id, snapshot).map(|name| (name, None)));
        }
        differing
    }

    /// Of the names after that path, so many that should be in force or be otherwise, and the path that the next are after; none where there
    /// are no more.
    pub(crate) fn next_differing(
        &self,
        zone: &ZoneInForce,
        in_force: Option<&poterne_snapshot::Zone>,
        after: Option<&Path>,
        most: usize,
    ) -> (Vec<(Name, NameChunk)>, Option<Path>) {
        let mut differing = Vec::new();
        let from = after.map_or(Unbounded, |after| Excluded(&**after));
        for below in zone.names.range::<[u8], _>((from, Unbounded)) {
            differing.extend(self.name_differing(zone, below, in_force).0);
            if differing.len() >= most {
                return (differing, Some(below.0.clone()));
            }
        }
        (differing, None)
    }

    /// The names in force of a zone that should not be.
    pub(crate) fn names_gone<'a>(&'a self, id: ZoneId, snapshot: &'a Snapshot) -> impl Iterator<Item = Name> + 'a {
        let in_force = snapshot.zone(id).into_iter().flat_map(|zone| zone.names().map(|(name, _)| name));
        in_force.filter(move |name| self.records(id, name).is_none())
    }

    /// A name's chunk, if it is not in force as it should be; and whether anything is in force there.
    fn name_differing(
        &self,
        zone: &ZoneInForce,
        (below, records): (&Path, &Records),
        in_force: Option<&poterne_snapshot::Zone>,
    ) -> (Option<(Name, NameChunk)>, bool) {
        let (absolute, mut text) = (path::join(&zone.apex, below), String::new());
        path::write_name(&absolute, &mut text);
        let wanted = self.name_chunk(zone, &absolute, || path::name(&absolute), records);
        let found = in_force.and_then(|zone| zone.name(&text));
        let differs = found.is_none_or(|found| found != wanted);
        (differs.then(|| (path::name(&absolute), wanted)), found.is_some())
    }

    fn name_chunk(&self, zone: &ZoneInForce, absolute: &[u8], name: impl Fn() -> Name, records: &Records) -> NameChunk {
        let target = self.target(zone, absolute, name, records);
        NameChunk { target, shows: records.shows(), sets: records.shown() }
    }

    /// Where a zone's name leads.
    fn target(&self, zone: &ZoneInForce, absolute: &[u8], name: impl Fn() -> Name, records: &Records) -> Option<Target> {
        if !records.is_proxied() {
            return None;
        }
        let straight = match records {
            Records::Tunnel(tunnel) => self.straight(zone, absolute, *tunnel),
            Records::Plain(_) | Records::Proxied(_) => None,
        };
        debug_assert!(straight.is_none() || straight == self.walked(zone.head.account, &name()));
        straight.or_else(|| self.walked(zone.head.account, &name()))
    }

    fn walked(&self, account: AccountId, name: &Name) -> Option<Target> {
        match chain::walk(self, account, name) {
            Ok(Destination::Tunnel(tunnel)) => Some(Target::Tunnel(tunnel)),
            Ok(Destination::Addresses(addresses)) => Some(Target::Origin(addresses)),
            Ok(Destination::External(name)) => Some(Target::OriginName(name)),
            Ok(Destination::Nothing) => None,
            Err(ChainError::UnknownTunnel { tunnel }) => Some(Target::UnknownTunnel(tunnel)),
            Err(ChainError::Loop { .. } | ChainError::TooLong { .. }) => Some(Target::Broken),
        }
    }
}

/// Where records were put or taken away.
pub(crate) struct Placed {
    /// The name's path from the root.
    pub(crate) absolute: Vec<u8>,
    /// The highest name that exists with the records and not without them.
    pub(crate) top: Option<Vec<u8>>,
}

fn borrowed(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    bound.as_ref().map(Vec::as_slice)
}

/// Whether a path below the apex exists: it is the apex, has records, or something below it has (RFC 4592 §2.2.2).
pub(crate) fn exists(names: &BTreeMap<Path, Records>, path: &[u8]) -> bool {
    path.is_empty() || path::within(names, path).next().is_some()
}

/// The highest ancestor of a path that does not exist.
fn top_without<'a>(names: &BTreeMap<Path, Records>, path: &'a [u8]) -> Option<&'a [u8]> {
    path::ancestors(path).take_while(|ancestor| !exists(names, ancestor)).last()
}

impl chain::Records for World {
    fn record_sets(&self, name: &Name) -> Vec<RecordSet> {
        let absolute = path::path(name.as_str());
        let Some((_, zone, below)) = self.zones_over(&absolute).next() else { return Vec::new() };
        let names = &zone.names;
        let found = match names.get(below) {
            Some(records) => Some(records),
            None if exists(names, below) => None,
            None => {
                let encloser = path::ancestors(below).skip(1).find(|ancestor| exists(names, ancestor));
                encloser.and_then(|encloser| names.get(path::join(encloser, b"*").as_slice()))
            }
        };
        found.map(|records| records.sets(name)).unwrap_or_default()
    }

    fn tunnel_account(&self, tunnel: TunnelId) -> Option<AccountId> {
        self.tunnels.get(&tunnel).map(|tunnel| tunnel.account)
    }

    fn tunnel_domain(&self) -> Option<&Name> {
        self.node.tunnel_domain.as_ref()
    }
}
