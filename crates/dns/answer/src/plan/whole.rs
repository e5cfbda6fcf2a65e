//! What a zone's names hand over when the zone is given whole to another name server (edge-behaviour §1.6, §1.12).
//!
//! A name that the edge stands before has the edge's addresses, two of each family: its origin is not here to be told. A CNAME that
//! resolvers never see (at the apex, flattened by itself or by the zone, or beside other records) has the addresses that it leads to here;
//! where it leads to others' names, an apex has nothing to hand over, and another name its CNAME. CAA records and challenges are
//! not handed over: they are this node's word to the authorities that it asks for certificates; those of a copy are its primary's, and are. Keys and signatures are put to it elsewhere
//! ([`crate::transfer::signed`]).

use std::{net::IpAddr, sync::Arc};

use poterne_dns_wire::{RecordSet, rtype};
use poterne_model::Name;
use poterne_snapshot::{NameView, Shows, Snapshot, Zone, ZoneDns};

use super::{Data, EDGE_TTL_SECS, Owner, Place, Sources, Walk, flatten::Flattened, ns_ttl_secs, types::is_of_keys};
use crate::write::{edge_addresses, labels, soa};

/// Addresses of a family that a proxied name has elsewhere.
const EDGE_ADDRESSES: usize = 2;

/// RFC 8659.
const CAA: u16 = 257;

/// One record, as it is handed over.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Line {
    /// Its owner's labels.
    pub owner: Arc<[u8]>,
    /// Its type.
    pub rtype: u16,
    /// Seconds.
    pub ttl_secs: u32,
    /// Its data, no name in it compressed.
    pub data: Box<[u8]>,
}

/// The start of authority.
pub(crate) fn start(snapshot: &Snapshot, zone: &Zone, dns: &ZoneDns) -> Line {
    let (mname, rname, numbers) = soa(&zone.head().apex, dns, &snapshot.node().nameservers);
    let mut data = [&mname[..], &rname[..]].concat();
    numbers.iter().for_each(|number| data.extend(number.to_be_bytes()));
    let owner = Arc::from(&labels(&zone.head().apex)[..]);
    Line { owner, rtype: rtype::SOA, ttl_secs: dns.soa.ttl, data: data.into() }
}

/// Every record of the zone but the start of authority.
pub(crate) fn lines<'a>(snapshot: &'a Snapshot, zone: &'a Zone, dns: &'a ZoneDns) -> impl Iterator<Item = Line> + 'a {
    let apex = &zone.head().apex;
    let below = zone.names().filter(move |(name, _)| name != apex);
    let of_apex = lines_at(snapshot, zone, dns, apex, zone.name(apex.as_str()));
    of_apex.into_iter().chain(below.flat_map(move |(name, chunk)| lines_at(snapshot, zone, dns, &name, Some(chunk))))
}

/// The records at one name but the start of authority.
pub(crate) fn lines_at<'a>(
    snapshot: &'a Snapshot,
    zone: &'a Zone,
    dns: &'a ZoneDns,
    name: &Name,
    chunk: Option<NameView<'a>>,
) -> Vec<Line> {
    let mut lines = Lines { owner: Arc::from(&labels(name)[..]), out: Vec::new() };
    let mut walk = Walk::new(Sources::alone(snapshot), rtype::A);
    let place = Place { zone, dns, name: name.as_str(), owner: Owner::Question };
    if place.is_apex()
        && let Some(Data::NameServers(given, own)) = walk.name_servers(place, chunk)
    {
        let given: Vec<_> = given.iter().map(labels).collect();
        let own = own.iter().flat_map(RecordSet::records);
        let others: Vec<&[u8]> = own.filter(|data| !given.iter().any(|name| **name == **data)).collect();
        let ttl_secs = ns_ttl_secs(place, chunk);
        given.iter().for_each(|name| lines.put(rtype::NS, ttl_secs, name));
        others.iter().for_each(|name| lines.put(rtype::NS, ttl_secs, name));
    }
    let Some(chunk) = chunk.filter(|_| !walk.is_of_tunnel(name.as_str())) else { return lines.out };
    let is_signed = dns.keys.is_some();
    // What its primary says to authorities is the word of whoever made it.
    let is_copy = zone.transfer().is_some_and(|transfer| transfer.incoming.is_some());
    let is_kept = |set: &RecordSet<'_>| {
        let is_made = place.is_apex() && (set.rtype == rtype::NS || (is_signed && is_of_keys(set.rtype)));
        (set.rtype != CAA || is_copy) && !is_made
    };
    if chunk.shows != Shows::Records {
        walk.edge_lines(chunk.shows, &mut lines);
        chunk.sets.iter().filter(is_kept).for_each(|set| lines.set(&set));
        return lines.out;
    }
    let cname = chunk.sets.get(rtype::CNAME).and_then(|cname| Some((cname, cname.records().next()?)));
    let Some((cname, target)) = cname else {
        chunk.sets.iter().filter(is_kept).for_each(|set| lines.set(&set));
        return lines.out;
    };
    let web = [rtype::CNAME, rtype::A, rtype::AAAA];
    let others: Vec<_> = chunk.sets.iter().filter(is_kept).filter(|set| !web.contains(&set.rtype)).collect();
    if !(place.is_apex() || cname.flattened || dns.flattens_all || !others.is_empty()) {
        lines.set(&cname);
        return lines.out;
    }
    for rtype in [rtype::A, rtype::AAAA] {
        walk.rtype = rtype;
        match walk.flattened(place, &cname, target) {
            // Beside it nothing may stand.
            Flattened::Shown if others.is_empty() => {
                lines.set(&cname);
                return lines.out;
            }
            Flattened::Set(set, ttl_secs) => set.records().for_each(|data| lines.put(rtype, ttl_secs, data)),
            Flattened::Edge(shows) => walk.edge_lines_of(rtype, shows, &mut lines),
            // The last three are of looking elsewhere, which nobody does here.
            Flattened::Shown
            | Flattened::Nothing
            | Flattened::Loop
            | Flattened::Away
            | Flattened::Elsewhere(_)
            | Flattened::Unknown
            | Flattened::Failed => {}
        }
    }
    others.iter().for_each(|set| lines.set(set));
    lines.out
}

struct Lines {
    owner: Arc<[u8]>,
    out: Vec<Line>,
}

impl Lines {
    fn put(&mut self, rtype: u16, ttl_secs: u32, data: &[u8]) {
        self.out.push(Line { owner: Arc::clone(&self.owner), rtype, ttl_secs, data: data.into() });
    }

    fn set(&mut self, set: &RecordSet<'_>) {
        set.records().for_each(|data| self.put(set.rtype, set.ttl_secs, data));
    }
}

impl Walk<'_> {
    fn edge_lines(&self, shows: Shows, lines: &mut Lines) {
        [rtype::A, rtype::AAAA].into_iter().for_each(|rtype| self.edge_lines_of(rtype, shows, lines));
    }

    fn edge_lines_of(&self, rtype: u16, shows: Shows, lines: &mut Lines) {
        if !self.edge_has(shows, rtype) {
            return;
        }
        for address in edge_addresses(self.snapshot.node(), rtype, 0).take(EDGE_ADDRESSES) {
            match address {
                IpAddr::V4(address) => lines.put(rtype, EDGE_TTL_SECS, &address.octets()),
                IpAddr::V6(address) => lines.put(rtype, EDGE_TTL_SECS, &address.octets()),
            }
        }
    }
}
