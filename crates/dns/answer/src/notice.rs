//! A primary's word that a zone copied from it changed (RFC 1996). Nothing of it is believed but that it is time to look.

use poterne_dns_wire::rtype;
use poterne_snapshot::{Snapshot, transfer::PeerKey};

use crate::{
    Client, Kind, Rcode,
    plan::{ExtendedError, Plan},
    query::Question,
};

/// Taken from the zone's primaries, where they have a key with its signature; refused from everybody else.
pub(crate) fn judge<'a>(
    snapshot: &'a Snapshot,
    client: &Client,
    question: &Question<'_>,
    signed_by: Option<&PeerKey>,
) -> Plan<'a> {
    let name = question.key.as_str();
    let zone = snapshot.zone_over(name).filter(|zone| zone.head().apex.as_str() == name);
    let incoming = zone.and_then(|zone| zone.transfer()?.incoming.as_ref());
    let is_primary = incoming.is_some_and(|incoming| incoming.is_primary(client.address, signed_by));
    if !is_primary || question.rtype != rtype::SOA || question.class != rtype::CLASS_IN {
        return Plan::error(Rcode::Refused, Some(ExtendedError::PROHIBITED));
    }
    Plan { is_authoritative: true, kind: Kind::Notified, zone: zone.map(|zone| zone.head()), ..Plan::empty() }
}
