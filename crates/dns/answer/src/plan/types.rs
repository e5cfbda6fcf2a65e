//! Which types are at a name: what a signed denial says, and it says exactly that (edge-behaviour §1.10).

use poterne_dns_wire::rtype;
use poterne_snapshot::{Found, NameView, Shows, Zone, ZoneDns};
use smallvec::SmallVec;

use super::{Owner, Place, Plan, Sources, Walk, flatten::Flattened, is_of_a_zone_below};

/// Types in their order, each once.
pub(crate) type Types = SmallVec<[u16; 16]>;

/// The types that are answered for at a name of the zone, and those that every signed name has. Of a name that does not exist NXNAME is
/// among them (RFC 9824 §3.1). Addresses that another provider knows, and this node does not yet, may be there: to say that they are not
/// would be kept in mind.
pub(crate) fn types<'a>(sources: Sources<'a>, zone: &'a Zone, dns: &'a ZoneDns, name: &str) -> Types {
    let mut walk = Walk::new(sources, rtype::A);
    let place = Place { zone, dns, name, owner: Owner::Question };
    let mut types = Types::from_slice(&[rtype::RRSIG, rtype::NSEC]);
    if let Some((_, chunk)) = zone.cut(name) {
        // What else stands there is the child's to tell.
        types.extend([rtype::NS, rtype::DS].into_iter().filter(|rtype| chunk.sets.get(*rtype).is_some()));
    } else if is_of_a_zone_below(sources.snapshot, zone, name) {
        types.push(rtype::NS);
        types.extend(zone.name(name).and_then(|chunk| chunk.sets.get(rtype::DS)).map(|_| rtype::DS));
    } else if !walk.is_of_tunnel(name) {
        let found = zone.find(name);
        let chunk = match found {
            Found::Name(chunk) | Found::Wildcard(chunk) => Some(chunk),
            Found::Empty | Found::Nothing => None,
        };
        if let Some(chunk) = chunk {
            walk.types_of(place, chunk, &mut types);
        }
        let texts = walk.texts(place, found).map(|_| rtype::TXT);
        types.extend(texts);
        if place.is_apex() {
            walk.types_of_zone(place, chunk, &mut types);
        } else if found == Found::Nothing && texts.is_none() {
            types.push(rtype::NXNAME);
        }
    }
    types.sort_unstable();
    types.dedup();
    types
}

impl<'a> Walk<'a> {
    pub(super) fn new(sources: Sources<'a>, rtype: u16) -> Self {
        Self {
            sources,
            snapshot: sources.snapshot,
            rtype,
            plan: Plan::empty(),
            zone: None,
            standing: None,
            suffix: None,
            passed: SmallVec::new(),
        }
    }

    fn types_of(&mut self, place: Place<'a, '_>, chunk: NameView<'a>, types: &mut Types) {
        let kept = chunk.sets.iter().map(|set| set.rtype);
        if chunk.shows != Shows::Records {
            types.extend(kept);
            let edge: Types = [rtype::A, rtype::AAAA].into_iter().filter(|rtype| self.edge_has(chunk.shows, *rtype)).collect();
            if !edge.is_empty() && !self.snapshot.node().edge_protocols.is_empty() {
                types.push(rtype::HTTPS);
            }
            types.extend(edge);
            return;
        }
        let cname = chunk.sets.get(rtype::CNAME).and_then(|cname| Some((cname, cname.records().next()?)));
        let Some((cname, target)) = cname else { return types.extend(kept) };
        for rtype in [rtype::A, rtype::AAAA] {
            self.rtype = rtype;
            match self.flattened(place, &cname, target) {
                Flattened::Shown => return types.push(rtype::CNAME),
                Flattened::Set(..) | Flattened::Elsewhere(_) | Flattened::Unknown | Flattened::Failed => types.push(rtype),
                Flattened::Edge(shows) => types.extend(self.edge_has(shows, rtype).then_some(rtype)),
                Flattened::Nothing | Flattened::Loop | Flattened::Away => {}
            }
        }
        types.extend(kept.filter(|rtype| !matches!(*rtype, rtype::CNAME | rtype::A | rtype::AAAA)));
    }

    /// At an apex some types are answered with what is said of the zone, whatever the user's records are.
    fn types_of_zone(&self, place: Place<'a, '_>, chunk: Option<NameView<'a>>, types: &mut Types) {
        let keys = place.dns.keys.as_ref();
        types.retain(|rtype| !matches!(*rtype, rtype::SOA | rtype::NS) && (keys.is_none() || !is_of_keys(*rtype)));
        types.push(rtype::SOA);
        types.extend(self.name_servers(place, chunk).map(|_| rtype::NS));
        types.extend(keys.into_iter().flat_map(|keys| keys.signed.iter()).map(|set| set.rtype));
    }
}

/// Whether a signed zone's apex is answered with what control has made.
pub(super) fn is_of_keys(rtype: u16) -> bool {
    matches!(rtype, rtype::DNSKEY | rtype::CDS | rtype::CDNSKEY)
}
