//! Queries signed with a secret that is shared with another name server (TSIG, RFC 8945): answered as others are, and signed with it.
//!
//! Which secrets may sign is the zone's to say ([`poterne_snapshot::TransferChunk`]): two accounts may call theirs alike.

use poterne_dns_tsig::{self as tsig, Algorithm, Answering, Found, Refused};
use poterne_dns_wire::name;
use poterne_snapshot::{Snapshot, transfer::PeerKey};

use crate::{
    Client, MESSAGE_OCTETS_MAX, Rcode, Reply, Service, Transport, UDP_OCTETS_PLAIN, answer_query,
    query::{self, Parsed, Query},
    write,
};

/// Who signed a query, and what answers it.
pub(crate) struct Known<'s> {
    pub(crate) key: &'s PeerKey,
    pub(crate) answering: Answering,
    /// The query as it was before it was signed.
    pub(crate) message: Vec<u8>,
}

/// Who signed a query.
pub(crate) fn known<'s>(
    snapshot: &'s Snapshot,
    service: &Service,
    client: &Client,
    octets: &[u8],
    query: &Query<'_>,
    found: &Found,
) -> Result<Known<'s>, Refused> {
    let zone = query.question.as_ref().and_then(|question| snapshot.zone_over(question.key.as_str()));
    let mut signed_by = None;
    let open = |named: &[u8], algorithm: Algorithm| {
        let mut keys = zone?.transfer()?.keys();
        let key = keys.find(|key| is_named(key, named) && Algorithm::parse(&key.algorithm) == Some(algorithm))?;
        signed_by = Some(key);
        service.signer.as_ref()?.peer_key(key)
    };
    let answering = Answering::verify(octets, found, u64::from(client.now_secs), open)?;
    let mut message = found.unsigned(octets);
    message[..2].copy_from_slice(&octets[..2]);
    let key = signed_by.ok_or(Refused::Malformed)?;
    Ok(Known { key, answering, message })
}

fn is_named(key: &PeerKey, labels: &[u8]) -> bool {
    let mut own = Vec::new();
    name::push(key.name.as_str(), &mut own);
    own == labels
}

/// Answers a query that ends with a signature.
pub(crate) fn answer(
    snapshot: &Snapshot,
    service: &Service,
    client: &Client,
    octets: &[u8],
    query: &Query<'_>,
    out: &mut [u8],
) -> Reply {
    let found = match tsig::find(octets) {
        Ok(Some(found)) => found,
        // In another way than with a shared secret (RFC 2931), which nobody here knows.
        Ok(None) => return answer_query(snapshot, service, client, query, None, out),
        Err(_) => return malformed(query, out),
    };
    let mut made = vec![0; room(client, query, out.len()).saturating_sub(found.tsig.octets_at_most())];
    let reply = match known(snapshot, service, client, octets, query, &found) {
        Ok(Known { key, mut answering, message }) => {
            let Parsed::Query(query) = query::parse(&message) else { return malformed(query, out) };
            let reply = answer_query(snapshot, service, client, &query, Some(key), &mut made);
            made.truncate(reply.length);
            answering.sign(&mut made, u64::from(client.now_secs));
            reply
        }
        Err(Refused::Malformed) => return malformed(query, out),
        Err(Refused::NotAuth(told)) => {
            let reply = answer_query(snapshot, service, client, query, None, &mut made);
            made.truncate(reply.length);
            told.append(&mut made);
            reply
        }
    };
    let Some(place) = out.get_mut(..made.len()) else { return malformed(query, out) };
    place.copy_from_slice(&made);
    Reply { length: made.len(), ..reply }
}

/// How long the answer may be with its signature.
fn room(client: &Client, query: &Query<'_>, longest: usize) -> usize {
    match (client.transport, &query.edns) {
        (Transport::Udp, None) => UDP_OCTETS_PLAIN.min(longest),
        (Transport::Udp, Some(edns)) => usize::from(edns.udp_octets).clamp(UDP_OCTETS_PLAIN, longest.max(UDP_OCTETS_PLAIN)),
        (Transport::Tcp | Transport::Tls | Transport::Https, _) => MESSAGE_OCTETS_MAX.min(longest),
    }
}

fn malformed(query: &Query<'_>, out: &mut [u8]) -> Reply {
    let length = write::header_only(&query.header, Rcode::FormErr, out);
    Reply { length, rcode: Rcode::FormErr, ..Reply::none() }
}
