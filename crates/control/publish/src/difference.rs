//! What must be sent so that a snapshot becomes what the world says. Pure.
//!
//! A zone's serial number is given here: whatever changes of a zone, its head is sent with a greater one. It is made of the number of
//! the store's change, so that it goes forward though a node lost what it had, and all nodes say the same.

use std::collections::BTreeMap;

use bytes::Bytes;
use poterne_feed::Key;
use poterne_model::{
    CertificatePackId, ZoneId,
    setting::{EdgeSettings, OriginSettings},
};
use poterne_snapshot::{Chunk, ChunkKey, Snapshot, ZoneHead};

use crate::{path::Path, world::World};

/// As a [`poterne_feed::Change`] carries them.
pub(crate) type Chunks = Vec<(Key, Option<Bytes>)>;

/// What must be sent.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) chunks: Chunks,
    /// The packs whose certificates must be. All of a certificate is in the store alone, and is read when it is sent.
    pub(crate) certificates: Vec<CertificatePackId>,
}

impl Difference {
    fn take(&mut self, world: &World, snapshot: &Snapshot, key: &ChunkKey) {
        let ChunkKey::Certificate(id) = key else {
            self.chunks.extend(of_key(world, snapshot, key));
            return;
        };
        match (world.served(*id), snapshot.certificate_of(*id)) {
            (Some(known), Some(theirs)) if theirs.is_same(&known.entry) => {}
            (Some(_), _) => self.certificates.push(*id),
            (None, Some(_)) => self.chunks.push((key.encode(), None)),
            (None, None) => {}
        }
    }

    /// What one more says, too.
    pub(crate) fn extend(&mut self, other: Self) {
        self.chunks.extend(other.chunks.into_iter().filter(|chunk| !self.chunks.contains(chunk)).collect::<Vec<_>>());
        self.certificates.extend(other.certificates.into_iter().filter(|id| !self.certificates.contains(id)).collect::<Vec<_>>());
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.certificates.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.chunks.len() + self.certificates.len()
    }
}

/// Of these keys alone: what is not in force as it should be. Names come after what they lead to, and the heads of their zones last.
pub(crate) fn of_keys<'a>(world: &World, snapshot: &Snapshot, keys: impl Iterator<Item = &'a ChunkKey>) -> Difference {
    let (mut found, mut names, mut in_zones) = (Difference::default(), Chunks::new(), Chunks::new());
    let mut zones = BTreeMap::new();
    for key in keys {
        match key {
            ChunkKey::Zone(id) => {
                zones.entry(*id).or_insert(false);
            }
            ChunkKey::Name(id, _) => {
                if let Some(chunk) = of_key(world, snapshot, key) {
                    zones.insert(*id, true);
                    names.push(chunk);
                }
            }
            key if stands_in_zone(key) => in_zones.extend(of_key(world, snapshot, key)),
            _ => found.take(world, snapshot, key),
        }
    }
    let mut chunks = heads(world, snapshot, zones.into_iter(), found.chunks, names);
    // They stand in their zones.
    chunks.extend(in_zones);
    Difference { chunks, ..found }
}

/// Of everything; empty when the snapshot is what it should be.
pub(crate) fn of_everything(world: &World, snapshot: &Snapshot) -> Difference {
    let (mut names, mut zones) = (Chunks::new(), Vec::new());
    for (id, zone) in &world.zones {
        let differing = world.names_differing(*id, zone, snapshot);
        zones.push((*id, !differing.is_empty()));
        let encoded = differing
            .into_iter()
            .map(|(name, chunk)| (ChunkKey::Name(*id, name).encode(), chunk.map(|chunk| Chunk::Name(chunk).encode())));
        names.extend(encoded);
    }
    let others = world.head_keys().filter(|key| !matches!(key, ChunkKey::Zone(_)) && !stands_in_zone(key));
    let mut found = Difference::default();
    others.for_each(|key| found.take(world, snapshot, &key));
    // A zone takes its names with it.
    found.chunks.extend(snapshot.head_keys().filter(|key| !world.wants(key)).map(|key| (key.encode(), None)));
    let mut chunks = heads(world, snapshot, zones.into_iter(), found.chunks, names);
    let in_zones = world.head_keys().filter(stands_in_zone);
    chunks.extend(in_zones.filter_map(|key| of_key(world, snapshot, &key)));
    Difference { chunks, ..found }
}

/// Whether a chunk is kept with its zone: it comes after the zone's head, and goes with it.
fn stands_in_zone(key: &ChunkKey) -> bool {
    matches!(key, ChunkKey::Transfer(_) | ChunkKey::Rules(_) | ChunkKey::HealthChecks(_))
}

/// Of one zone with all of its names, piece by piece, each compared with the snapshot as the pieces before have made it: what is held does
/// not grow with the zone. As of everything, the head comes last, and first without its DNS where nodes do not answer for the zone yet.
pub(crate) struct OfZone {
    id: ZoneId,
    at: Place,
    names_changed: bool,
}

enum Place {
    Names(Option<Path>),
    Gone,
    Head,
    Over,
}

impl OfZone {
    pub(crate) fn new(id: ZoneId) -> Self {
        Self { id, at: Place::Names(None), names_changed: false }
    }

    /// Whether the next piece is of names: it may be made before the last one is in force.
    pub(crate) fn is_of_names(&self) -> bool {
        matches!(self.at, Place::Names(_))
    }

    /// The next piece, of about `most` chunks; none after the last. A piece may be empty.
    pub(crate) fn next(&mut self, world: &World, snapshot: &Snapshot, most: usize) -> Option<Chunks> {
        let (id, key) = (self.id, ChunkKey::Zone(self.id));
        // One that is gone is told of by its key.
        let zone = world.zones.get(&id)?;
        let in_force = snapshot.zone(id).map(|zone| zone.head());
        let mut chunks = Chunks::new();
        match std::mem::replace(&mut self.at, Place::Over) {
            Place::Names(after) => {
                let is_first = after.is_none();
                let (differing, after) = world.next_differing(zone, snapshot.zone(id), after.as_ref(), most);
                if is_first && !differing.is_empty() && in_force.is_none() {
                    chunks.push((key.encode(), Some(Chunk::Zone(ZoneHead { dns: None, ..zone.head.clone() }).encode())));
                }
                let names = differing.into_iter();
                chunks.extend(names.map(|(name, chunk)| (ChunkKey::Name(id, name).encode(), Some(Chunk::Name(chunk).encode()))));
                self.at = if after.is_some() { Place::Names(after) } else { Place::Gone };
            }
            Place::Gone => {
                if snapshot.zone(id).is_some_and(|in_force| in_force.names_len() != zone.names.len()) {
                    chunks.extend(world.names_gone(id, snapshot).map(|name| (ChunkKey::Name(id, name).encode(), None)));
                }
                self.at = Place::Head;
            }
            Place::Head => {
                let head = head(&zone.head, in_force, self.names_changed, world.change, given_on(world, id));
                chunks.extend(head.map(|head| (key.encode(), Some(Chunk::Zone(head).encode()))));
                return Some(chunks);
            }
            Place::Over => return None,
        }
        self.names_changed |= !chunks.is_empty();
        Some(chunks)
    }
}

/// All of it in the order it is sent: a zone that nodes do not answer for yet is told of first, without its DNS, and whole when its names
/// are there.
fn heads(
    world: &World,
    snapshot: &Snapshot,
    zones: impl Iterator<Item = (ZoneId, bool)>,
    mut chunks: Chunks,
    names: Chunks,
) -> Chunks {
    let mut last = Chunks::new();
    // Other name servers hold copies in which the edges' addresses stand: they are told by the serial number.
    let edges_changed = world.node.edge_addresses != snapshot.node().edge_addresses;
    for (id, names_changed) in zones {
        let is_given = || world.transfers.get(&id).is_some_and(|transfer| transfer.chunk.outgoing.is_some());
        let names_changed = names_changed || (edges_changed && is_given());
        let key = ChunkKey::Zone(id);
        let Some(zone) = world.zones.get(&id) else {
            chunks.extend(snapshot.contains(&key).then(|| (key.encode(), None)));
            continue;
        };
        let in_force = snapshot.zone(id).map(|zone| zone.head());
        let Some(head) = head(&zone.head, in_force, names_changed, world.change, given_on(world, id)) else { continue };
        if names_changed && in_force.is_none_or(|head| head.dns.is_none()) {
            chunks.push((key.encode(), Some(Chunk::Zone(ZoneHead { dns: None, ..head.clone() }).encode())));
        }
        last.push((key.encode(), Some(Chunk::Zone(head).encode())));
    }
    chunks.extend(names);
    chunks.extend(last);
    chunks
}

/// Of a copy that is given on: what it was last given with.
fn given_on(world: &World, zone: ZoneId) -> Option<Given> {
    let transfer = world.transfers.get(&zone)?;
    (transfer.chunk.incoming.is_some() && transfer.chunk.outgoing.is_some()).then_some(Given(transfer.given))
}

/// The serial number with which a copy was last given on.
#[derive(Debug, Clone, Copy)]
struct Given(Option<u32>);

/// The head to send; none where the one in force says the same and no name changed.
fn head(
    wanted: &ZoneHead,
    in_force: Option<&ZoneHead>,
    names_changed: bool,
    change: u64,
    given_on: Option<Given>,
) -> Option<ZoneHead> {
    let before = in_force.and_then(|head| head.dns.as_ref()).map(|dns| dns.serial);
    let with = |serial| {
        let mut head = wanted.clone();
        if let Some(dns) = &mut head.dns {
            dns.serial = serial;
        }
        head
    };
    // What the edge alone obeys is nothing to a name server.
    let in_dns = |head: &ZoneHead| {
        // Which protocols the edges speak is told by HTTPS records (RFC 9460).
        let edge = EdgeSettings { http2: head.edge.http2, http3: head.edge.http3, ..EdgeSettings::default() };
        ZoneHead { origin: OriginSettings::default(), edge, client: None, ..head.clone() }
    };
    // Of a copy it is the other server's.
    let given = wanted.dns.as_ref().map(|dns| dns.serial).filter(|serial| *serial != 0);
    let is_in_dns_as = |serial| !names_changed && in_force.map(in_dns) == Some(in_dns(&with(serial)));
    if let (Some(given), Some(Given(last))) = (given, given_on) {
        // Who has it from here must see what is changed here, too: what is put on top, and the keys. A later one of the primary's takes its place.
        let serial = match (before, last) {
            (Some(before), _) if is_later(given, before) => given,
            (Some(before), _) if is_in_dns_as(before) => before,
            // This node knows nothing of it any more, and cannot tell whether it is as it was.
            (Some(before), _) | (None, Some(before)) if !is_later(given, before) => after(before),
            _ => given,
        };
        return (names_changed || in_force.is_none_or(|head| *head != with(serial))).then(|| with(serial));
    }
    if !names_changed && in_force.is_some_and(|head| *head == with(given.or(before).unwrap_or_default())) {
        return None;
    }
    let kept = before.filter(|before| is_in_dns_as(*before));
    Some(with(given.or(kept).unwrap_or_else(|| next_serial(before, change))))
}

/// Of the change where that is greater (RFC 1982 §3.2), else the next one; 0 is passed over, since some readers take it for none.
fn next_serial(before: Option<u32>, change: u64) -> u32 {
    let change = u32::try_from(change % (1 << 32)).unwrap_or_default().max(1);
    match before {
        Some(before) if !is_later(change, before) => after(before),
        _ => change,
    }
}

fn of_key(world: &World, snapshot: &Snapshot, key: &ChunkKey) -> Option<(Key, Option<Bytes>)> {
    match world.wanted(key) {
        Some(chunk) => (!snapshot.holds(key, &chunk)).then(|| (key.encode(), Some(chunk.encode()))),
        None => snapshot.contains(key).then(|| taken(world, key)).flatten(),
    }
}

fn taken(world: &World, key: &ChunkKey) -> Option<(Key, Option<Bytes>)> {
    match key {
        // A zone takes its names with it.
        ChunkKey::Name(zone, _) | ChunkKey::Transfer(zone) | ChunkKey::Rules(zone) | ChunkKey::HealthChecks(zone)
            if !world.wants(&ChunkKey::Zone(*zone)) =>
        {
            None
        }
        key => Some((key.encode(), None)),
    }
}

/// RFC 1982 §3.2.
fn is_later(serial: u32, than: u32) -> bool {
    serial != than && serial.wrapping_sub(than) < 1 << 31
}

fn after(serial: u32) -> u32 {
    serial.wrapping_add(1).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_edge_alone_obeys_leaves_the_serial_number_as_it_is() {
        let (id, account) = (ZoneId::from_bytes([1; 16]), poterne_model::AccountId::from_bytes([2; 16]));
        let dns = poterne_snapshot::ZoneDns {
            serial: 41,
            name_servers: Vec::new(),
            ns_ttl_secs: 60,
            multi_provider: false,
            flattens_all: false,
            soa: poterne_model::setting::DnsSettings::default().soa,
            keys: None,
        };
        let (apex, status) = (poterne_model::Name::parse("example.com").unwrap(), poterne_model::ZoneStatus::Active);
        let in_force = ZoneHead {
            id,
            account,
            apex,
            status,
            dns: Some(dns),
            origin: OriginSettings::default(),
            edge: EdgeSettings::default(),
            client: None,
            partial: false,
        };
        let mut wanted = in_force.clone();
        if let Some(dns) = &mut wanted.dns {
            dns.serial = 0;
        }
        assert_eq!(head(&wanted, Some(&in_force), false, 50, None), None);
        wanted.origin.read_timeout_secs = 6000;
        let serial = |names_changed| head(&wanted, Some(&in_force), names_changed, 50, None).unwrap().dns.unwrap().serial;
        assert_eq!((serial(false), serial(true)), (41, 50));
        wanted.edge = EdgeSettings { always_use_https: true, ..EdgeSettings::default() };
        let serial = |wanted: &ZoneHead| head(wanted, Some(&in_force), false, 50, None).unwrap().dns.unwrap().serial;
        assert_eq!(serial(&wanted), 41);
        wanted.edge.http2 = false;
        assert_eq!(serial(&wanted), 50, "the name server answers otherwise");
    }

    /// A copy that is given on: the primary's numbers, and one more for each change that is made here, never back.
    #[test]
    fn a_copy_that_is_given_on_counts_on_from_its_primarys_number() {
        let wanted = |serial: u32| {
            let dns = poterne_snapshot::ZoneDns {
                serial,
                name_servers: Vec::new(),
                ns_ttl_secs: 60,
                multi_provider: false,
                flattens_all: false,
                soa: poterne_model::setting::DnsSettings::default().soa,
                keys: None,
            };
            ZoneHead {
                id: ZoneId::from_bytes([1; 16]),
                account: poterne_model::AccountId::from_bytes([2; 16]),
                apex: poterne_model::Name::parse("example.com").unwrap(),
                status: poterne_model::ZoneStatus::Active,
                dns: Some(dns),
                origin: OriginSettings::default(),
                edge: EdgeSettings::default(),
                client: None,
                partial: false,
            }
        };
        let on = |primarys: u32, in_force: Option<u32>, names_changed, last| {
            let in_force = in_force.map(wanted);
            let head = head(&wanted(primarys), in_force.as_ref(), names_changed, 999, Some(Given(last)));
            head.map(|head| head.dns.unwrap().serial)
        };
        assert_eq!(on(7, Some(7), false, None), None);
        assert_eq!(on(7, Some(7), true, None), Some(8), "something is put on top");
        assert_eq!(on(7, Some(8), false, None), None);
        assert_eq!(on(8, Some(8), true, None), Some(9), "the primary's next one is what was given already");
        assert_eq!(on(20, Some(9), true, None), Some(20), "it catches up");
        assert_eq!(on(20, Some(9), false, None), Some(20));
        assert_eq!(on(5, Some(u32::MAX), false, None), Some(5), "numbers go round");
        assert_eq!(on(u32::MAX, Some(u32::MAX), true, None), Some(1));
        // A node that begins with nothing.
        assert_eq!(on(7, None, true, None), Some(7));
        assert_eq!(on(7, None, true, Some(12)), Some(13));
        assert_eq!(on(20, None, true, Some(12)), Some(20));
        let mut signed = wanted(7);
        signed.dns.as_mut().unwrap().ns_ttl_secs = 90;
        let told = head(&signed, Some(&wanted(7)), false, 999, Some(Given(None))).unwrap();
        assert_eq!(told.dns.unwrap().serial, 8, "the head alone changed");
        // One that is not given on keeps its primary's.
        let told = head(&wanted(7), Some(&wanted(9)), true, 999, None).unwrap();
        assert_eq!(told.dns.unwrap().serial, 7);
    }

    #[test]
    fn serial_numbers_only_go_forward() {
        assert_eq!(next_serial(None, 0), 1);
        assert_eq!(next_serial(None, 42), 42);
        assert_eq!(next_serial(Some(41), 42), 42);
        assert_eq!(next_serial(Some(42), 42), 43);
        assert_eq!(next_serial(Some(50), 42), 51);
        assert_eq!(next_serial(Some(u32::MAX), (1 << 32) + 5), 5);
        assert_eq!(next_serial(Some(u32::MAX), 7 + (1 << 31)), 1);
    }
}
