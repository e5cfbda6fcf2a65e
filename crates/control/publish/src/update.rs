//! One step of the world, and which chunks it may have changed.
//!
//! A chunk of a name says where its chain ends, so it changes with any answer that the chain passes. The step notes whose answers
//! changed: a name itself; everything below a name that came to exist or ceased to; everything a wildcard covers; everything in a zone
//! that begins or ends to proxy; a tunnel. Then it goes back along `leads`, from each answer to the names whose CNAME asks it, as far
//! as that goes. Too many are named rather than too few: what did not change is not sent.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use poterne_model::{CertificatePackId, Name, TunnelId, ZoneId};
use poterne_snapshot::ChunkKey;

use crate::{
    ahead::NewNames,
    path::{self, Path},
    rows::{News, OfStore, Records},
    world::{To, World, exists},
};

/// Whose answers changed; paths are from the root.
#[derive(Default)]
struct Changed {
    names: Vec<Vec<u8>>,
    below: Vec<Vec<u8>>,
    /// Under these, what does not exist.
    covered: Vec<(ZoneId, Vec<u8>)>,
    tunnels: Vec<TunnelId>,
    /// Of these any name may be another.
    zones: Vec<ZoneId>,
}

impl World {
    /// Takes in what was read anew; returns the keys whose chunks may be others than before, among them all that were named.
    pub(crate) fn update(&mut self, news: News) -> BTreeSet<ChunkKey> {
        let mut keys = BTreeSet::new();
        let mut changed = Changed::default();
        if let Some(OfStore { cookie_secrets, revoked_origin_certificates, ticket_keys }) = news.node {
            self.node.cookie_secrets = cookie_secrets;
            self.node.revoked_origin_certificates = revoked_origin_certificates;
            self.node.ticket_keys = ticket_keys;
            keys.insert(ChunkKey::Node);
        }
        keys.extend(news.accounts.iter().flat_map(|(id, _)| [ChunkKey::Account(*id), ChunkKey::AccountRules(*id)]));
        for (id, account) in news.accounts {
            match account {
                Some(account) => drop(self.accounts.insert(id, account)),
                None => drop(self.accounts.remove(&id)),
            }
        }
        for (id, rules) in news.account_rules {
            match rules {
                Some(rules) => drop(self.account_rules.insert(id, rules)),
                None => drop(self.account_rules.remove(&id)),
            }
        }
        // What ends goes first: another zone of the same name may begin in the same step.
        for (id, zone) in &news.zones {
            keys.insert(ChunkKey::Zone(*id));
            let is_over = zone.as_ref().is_none_or(|zone| self.proxies(*id) != Some(zone.proxies));
            if is_over && let Some(zone) = self.take_zone(*id) {
                for below in zone.names.keys() {
                    keys.insert(ChunkKey::Name(*id, path::name(&path::join(&zone.apex, below))));
                }
                changed.below.extend(zone.proxies.then(|| zone.apex.to_vec()));
            }
        }
        for (id, challenge) in news.challenges {
            keys.insert(ChunkKey::Challenge(id));
            match challenge {
                Some(challenge) => drop(self.challenges.insert(id, challenge)),
                None => drop(self.challenges.remove(&id)),
            }
        }
        for (id, certificate) in news.certificates {
            keys.insert(ChunkKey::Certificate(id));
            self.put_certificate(id, certificate);
        }
        let touched: Vec<ZoneId> = news.zones.iter().map(|(id, _)| *id).collect();
        for (id, zone) in news.zones {
            let Some(zone) = zone else {
                self.transfers.remove(&id);
                self.rules.remove(&id);
                self.health_checks.remove(&id);
                // The store let them go with their zone, and touched them not.
                let gone = self.challenges.extract_if(|_, challenge| challenge.zone == id);
                keys.extend(gone.map(|(id, _)| ChunkKey::Challenge(id)));
                let packs: Vec<CertificatePackId> = self.packs_of(id).collect();
                for pack in packs {
                    keys.insert(ChunkKey::Certificate(pack));
                    self.put_certificate(pack, None);
                }
                continue;
            };
            if self.proxies(id).is_none() && zone.proxies {
                changed.below.push(path::path(zone.head.apex.as_str()));
            }
            self.put_zone(id, zone.head, zone.proxies);
            // They are served while it serves.
            keys.extend(self.packs_of(id).map(ChunkKey::Certificate));
        }
        keys.extend(touched.into_iter().flat_map(|id| [ChunkKey::Transfer(id), ChunkKey::Rules(id), ChunkKey::HealthChecks(id)]));
        for (id, transfer) in news.transfers {
            match transfer {
                Some(transfer) => drop(self.transfers.insert(id, transfer)),
                None => drop(self.transfers.remove(&id)),
            }
        }
        for (id, rules) in news.rules {
            match rules {
                Some(rules) => drop(self.rules.insert(id, rules)),
                None => drop(self.rules.remove(&id)),
            }
        }
        for (id, checks) in news.health_checks {
            match checks {
                Some(checks) => drop(self.health_checks.insert(id, checks)),
                None => drop(self.health_checks.remove(&id)),
            }
        }
        for (zone, name, records) in news.names {
            if let Some(placed) = self.set(zone, &name, records) {
                if let Some(parent) = path::wildcard_parent(&placed.absolute) {
                    changed.covered.push((zone, parent.to_vec()));
                }
                changed.below.extend(placed.top);
                changed.names.push(placed.absolute);
            }
            keys.insert(ChunkKey::Name(zone, name));
        }
        for (id, tunnel) in news.tunnels {
            keys.insert(ChunkKey::Tunnel(id));
            let account = tunnel.as_ref().map(|tunnel| tunnel.account);
            let before = match tunnel {
                Some(tunnel) => self.tunnels.insert(id, tunnel),
                None => self.tunnels.remove(&id),
            };
            if before.map(|tunnel| tunnel.account) != account {
                changed.tunnels.push(id);
            }
        }
        Ripple { world: self, reached: HashSet::new(), waiting: Vec::new() }.run(changed, &mut keys);
        keys
    }

    /// Takes in names of a zone that is read as a whole, without asking what each of them changes for others: [`World::reached_from`] says
    /// that of all of them at once.
    pub(crate) fn take_names(&mut self, id: ZoneId, names: Vec<(Name, Option<Records>)>) {
        let Some(zone) = self.zones.get(&id) else { return };
        let (apex, proxies) = (zone.apex.clone(), zone.proxies);
        for (name, records) in names {
            let absolute = path::path(name.as_str());
            if path::is_within(&absolute, &apex) {
                self.put_name(id, (&apex, proxies), Path::from(path::below(&absolute, &apex)), records);
            }
        }
    }

    /// Takes in names of a zone that were handed over ([`crate::ahead`]), in the same way, and arranges them as [`World::pack`] does.
    pub(crate) fn take_new_names(&mut self, NewNames { zone: id, names }: NewNames) {
        let Some(zone) = self.zones.get(&id) else { return };
        let (apex, proxies) = (zone.apex.clone(), zone.proxies);
        if !zone.names.is_empty() {
            // Any of them may have been there when the world last looked.
            for (path, records) in names {
                self.put_name(id, (&apex, proxies), path, Some(records));
            }
            return self.pack(id);
        }
        if proxies {
            let leads = |(path, records): &(Path, Records)| {
                let path = path.clone();
                self.to(&apex, &path, records).into_iter().map(move |to| (to, id, path.clone())).collect::<Vec<_>>()
            };
            let leads: Vec<_> = names.iter().flat_map(leads).collect();
            self.leads.extend(leads);
        }
        if let Some(zone) = self.zones.get_mut(&id) {
            zone.names = BTreeMap::from_iter(names);
        }
    }

    fn put_name(&mut self, id: ZoneId, (apex, proxies): (&Path, bool), path: Path, records: Option<Records>) {
        let leads = |records: Option<&Records>| match records {
            Some(records) if proxies => self.to(apex, &path, records),
            _ => Vec::new(),
        };
        let old = self.zones.get(&id).and_then(|zone| zone.names.get(&path));
        let (before, after) = (leads(old), leads(records.as_ref()));
        for to in before {
            self.leads.remove(&(to, id, path.clone()));
        }
        for to in after {
            self.leads.insert((to, id, path.clone()));
        }
        let Some(zone) = self.zones.get_mut(&id) else { return };
        match records {
            Some(records) => zone.names.insert(path, records),
            None => zone.names.remove(&path),
        };
    }

    /// The keys whose chunks may be others than before because any name of this zone may be, but for those of the zone itself.
    pub(crate) fn reached_from(&self, id: ZoneId) -> BTreeSet<ChunkKey> {
        let mut keys = BTreeSet::new();
        let changed = Changed { zones: vec![id], ..Changed::default() };
        Ripple { world: self, reached: HashSet::new(), waiting: Vec::new() }.run(changed, &mut keys);
        keys.retain(|key| !matches!(key, ChunkKey::Name(zone, _) if *zone == id));
        keys
    }

    /// The names that lead to exactly this.
    fn leads_to(&self, to: To) -> impl Iterator<Item = (ZoneId, Path)> + '_ {
        let from = (to.clone(), ZoneId::from_bytes([0; 16]), Path::default());
        self.leads.range(from..).take_while(move |lead| lead.0 == to).map(|(_, zone, path)| (*zone, path.clone()))
    }

    /// The names that lead to names within this one, each with the path it leads to.
    fn leads_within<'a>(&'a self, root: &'a [u8]) -> impl Iterator<Item = (&'a [u8], ZoneId, Path)> + 'a {
        let from = (To::Name(root.into()), ZoneId::from_bytes([0; 16]), Path::default());
        self.leads.range(from..).map_while(move |(to, zone, path)| match to {
            To::Name(target) if path::is_within(target, root) => Some((&**target, *zone, path.clone())),
            _ => None,
        })
    }

    /// Whether the zone answers for this name by the wildcard right below `parent` (paths from the root).
    fn is_covered(&self, id: ZoneId, parent: &[u8], absolute: &[u8]) -> bool {
        let Some((over, zone, below)) = self.zones_over(absolute).next() else { return false };
        if over != id {
            return false;
        }
        let encloser = path::ancestors(below).find(|ancestor| exists(&zone.names, ancestor));
        encloser.is_some_and(|encloser| encloser != below && path::join(&zone.apex, encloser) == parent)
    }
}

/// The way back from answers to whoever asks them.
struct Ripple<'a> {
    world: &'a World,
    reached: HashSet<(ZoneId, Path)>,
    waiting: Vec<(ZoneId, Path)>,
}

impl Ripple<'_> {
    fn run(mut self, changed: Changed, keys: &mut BTreeSet<ChunkKey>) {
        for absolute in &changed.names {
            self.name(absolute);
        }
        for absolute in &changed.below {
            self.below(absolute);
        }
        for (zone, parent) in &changed.covered {
            self.covered(*zone, parent);
        }
        for zone in changed.zones {
            self.zone(zone);
        }
        for tunnel in changed.tunnels {
            self.reach_all(self.world.leads_to(To::Tunnel(tunnel)).collect());
        }
        while let Some((id, below)) = self.waiting.pop() {
            let Some(zone) = self.world.zones.get(&id) else { continue };
            let absolute = path::join(&zone.apex, &below);
            keys.insert(ChunkKey::Name(id, path::name(&absolute)));
            self.name(&absolute);
            if let Some(parent) = path::wildcard_parent(&absolute) {
                self.covered(id, parent);
            }
        }
    }

    fn reach_all(&mut self, names: Vec<(ZoneId, Path)>) {
        for name in names {
            if self.reached.insert(name.clone()) {
                self.waiting.push(name);
            }
        }
    }

    /// Who asks for this name: who leads to it, and its owners, in whichever of the zones over it they stand.
    fn name(&mut self, absolute: &[u8]) {
        self.reach_all(self.world.leads_to(To::Name(absolute.into())).collect());
        let owners = self.world.zones_over(absolute).filter_map(|(id, zone, below)| {
            let (path, _) = zone.names.get_key_value(below)?;
            Some((id, path.clone()))
        });
        self.reach_all(owners.collect());
    }

    /// Who asks for anything within this name.
    fn below(&mut self, absolute: &[u8]) {
        self.reach_all(self.world.leads_within(absolute).map(|(_, zone, path)| (zone, path)).collect());
        for (id, zone, below) in self.world.zones_over(absolute) {
            let names = path::within(&zone.names, below).map(|(path, _)| (id, path.clone())).collect();
            self.reach_all(names);
        }
    }

    /// Who asks for anything that a zone answers: its own names aside, which lead to what is asked for here all the same.
    fn zone(&mut self, id: ZoneId) {
        let Some(zone) = self.world.zones.get(&id).filter(|zone| zone.proxies) else { return };
        self.reach_all(self.world.leads_within(&zone.apex).map(|(_, zone, path)| (zone, path)).collect());
        for (_, above, below) in self.world.zones_over(&zone.apex).filter(|(other, ..)| *other != id) {
            let hidden = path::within(&above.names, below).map(|(path, _)| (above.head.id, path.clone())).collect();
            self.reach_all(hidden);
        }
    }

    /// Who asks for what the wildcard right below `parent` answers.
    fn covered(&mut self, zone: ZoneId, parent: &[u8]) {
        let world = self.world;
        let leads = world.leads_within(parent).filter(|(target, ..)| world.is_covered(zone, parent, target));
        self.reach_all(leads.map(|(_, zone, path)| (zone, path)).collect());
        // Owners in zones above this one, which it hides; its own names exist, and no wildcard answers for them.
        for (id, above, below) in world.zones_over(parent).filter(|(id, ..)| *id != zone) {
            let hidden = path::within(&above.names, below)
                .filter(|(path, _)| world.is_covered(zone, parent, &path::join(&above.apex, path)));
            self.reach_all(hidden.map(|(path, _)| (id, path.clone())).collect());
        }
    }
}
