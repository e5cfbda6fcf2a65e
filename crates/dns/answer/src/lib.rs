//! From a snapshot and a query to an answer: `(snapshot, service, client, query) → octets`. No socket, no clock, no randomness that is
//! not handed in, and on the common path no allocation.
//!
//! ```text
//! octets ─query─→ Query ─plan─→ Plan: which sets, under which names, in which sections ─sign─→ with signatures ─write─→ octets
//!                    └── edns: what the query says of itself ────────────────────────────┘
//! ```
//!
//! * `query` reads. Whatever does not parse is FORMERR, and nothing in a query is followed further than its end;
//! * `plan` decides, over borrowed parts of the snapshot: RFC 1034 §4.3.2 with the wildcards of RFC 4592, and what edge-behaviour §1 adds.
//! * `sign` goes over the plan's items, each one record set with its owner and section, where the client takes signatures and the zone has
//!   keys ([`Signer`], decision 0015);
//! * `write` copies record sets out of the snapshot, which holds them as octets of the wire (`dns/wire`), and compresses names;
//! * `cookie` makes and checks server cookies (RFC 9018);
//! * `signed` answers whoever signs queries with a secret that is shared (TSIG, RFC 8945), `notice` takes a primary's word that its zone
//!   changed (RFC 1996), and [`transfer`] makes a zone whole, or what changed of it, into messages.
//!
//! **The origin does not leak**, because it is not here: a name that the edge stands before has no address and no CNAME among its sets
//! (`control/publish` leaves them out), only a mark that the edges' addresses are shown. What a proxied name answers is made of
//! [`poterne_snapshot::NodeChunk`] alone.
//!
//! The parser of queries and the writer of responses are our own rather than the `domain` crate's. A query is a header, one question and
//! perhaps an OPT record: reading it takes a hundred lines that allocate nothing and borrow from the packet, and the writer's only task
//! is to copy sets that are octets already. `domain` is the other reader in the tests here.
//!
//! **Nothing is waited for.** A flattened CNAME that leads away from the zones here is answered out of a table ([`Elsewhere`]); where that
//! lacks something the answer is SERVFAIL, and says beside it what is sought, so that who serves it can look it up and answer again.
//!
//! What is not here: sockets, rate limits, transport and looking up (`dns/server`).
#![forbid(unsafe_code)]

mod client;
mod cookie;
mod edns;
pub mod elsewhere;
mod notice;
mod plan;
mod query;
mod sign;
mod signed;
mod siphash;
#[cfg(test)]
mod tests;
pub mod transfer;
mod write;

use poterne_dns_wire::rtype;
use poterne_snapshot::{Snapshot, transfer::PeerKey};

pub use client::{Client, Cookie, Kind, Reply, Service, Signed, Transport};
pub use cookie::CookieOpener;
use edns::{Edns, OptReply};
pub use elsewhere::{Elsewhere, Outcome, Sought};
pub use plan::is_own;
use plan::{Plan, Sources};
pub use poterne_dns_wire::Rcode;
use query::{Parsed, Query};
use sign::{Asked, More, Unsigned};
pub use sign::{Signer, SignerLimits};
use write::Writer;

/// Longest answer over UDP, in octets (RFC 9715: what nearly every path carries whole).
pub const UDP_OCTETS_MAX: usize = 1232;

/// Longest answer over UDP to a query that does not say what it takes (RFC 1035 §4.2.1).
pub const UDP_OCTETS_PLAIN: usize = 512;

/// Longest message of all.
pub const MESSAGE_OCTETS_MAX: usize = 65_535;

/// Answers `query` into `out`, which holds at least [`UDP_OCTETS_MAX`] octets, or [`MESSAGE_OCTETS_MAX`] for streams: what does not fit
/// is cut off as RFC 2181 §9 says. A reply of length 0 is none: what came was no query.
pub fn answer(snapshot: &Snapshot, service: &Service, client: &Client, query: &[u8], out: &mut [u8]) -> Reply {
    let octets = query;
    let query = match query::parse(octets) {
        Parsed::Query(query) if query.is_signed => return signed::answer(snapshot, service, client, octets, &query, out),
        Parsed::Query(query) => query,
        Parsed::Refused { header, rcode } => {
            let length = write::header_only(&header, rcode, out);
            return Reply { length, rcode, ..Reply::none() };
        }
        Parsed::Nothing => return Reply::none(),
    };
    answer_query(snapshot, service, client, &query, None, out)
}

/// Answers a query that parses, of whom signed it with this key.
fn answer_query(
    snapshot: &Snapshot,
    service: &Service,
    client: &Client,
    query: &Query<'_>,
    signed_by: Option<&PeerKey>,
    out: &mut [u8],
) -> Reply {
    let cookie = cookie::judge(service, snapshot.node(), client, query.edns.as_ref().and_then(|edns| edns.cookie));
    let sources = Sources { snapshot, elsewhere: service.elsewhere.as_deref(), now_secs: client.now_secs };
    let mut plan = decide(sources, client, query, cookie.state, signed_by);
    let (sought, lacks) = (plan.sought.take(), plan.lacks);
    let (mut more, mut is_cut) = (None, false);
    let mut signed = Signed::default();
    if plan.zone.is_some() && query.edns.as_ref().is_some_and(|edns| edns.dnssec_ok) {
        let made = more.insert(More::default());
        let done = sign(sources, service, client, query, cookie.state, &mut plan, made);
        signed = made.signed;
        match done {
            Ok(()) => {}
            // Whose address is not proven comes back over TCP, at the price of a question.
            Err(Unsigned::Limited) if client.transport == Transport::Udp && cookie.state != Cookie::Valid => {
                plan.items.clear();
                is_cut = true;
            }
            Err(unsigned) => plan = Plan { zone: plan.zone, ..Plan::error(Rcode::ServFail, Some(unsigned.why())) },
        }
    }
    let opt = query.edns.as_ref().map(|edns| OptReply {
        rcode: plan.rcode,
        dnssec_ok: edns.dnssec_ok,
        compact_ok: edns.dnssec_ok && edns.compact_ok,
        nsid: edns.asks_nsid.then_some(&*service.nsid).filter(|nsid| !nsid.is_empty()),
        cookie: cookie.reply,
        why: plan.why,
        pads: edns.is_padded && matches!(client.transport, Transport::Tls | Transport::Https),
    });
    let limit = match (client.transport, &query.edns) {
        (Transport::Udp, None) => UDP_OCTETS_PLAIN,
        (Transport::Udp, Some(edns)) => usize::from(edns.udp_octets).clamp(UDP_OCTETS_PLAIN, UDP_OCTETS_MAX),
        (Transport::Tcp | Transport::Tls | Transport::Https, _) => MESSAGE_OCTETS_MAX,
    };
    let length = Writer::new(out, limit, query, more.as_ref()).respond(&plan, snapshot.node(), client.turn, opt.as_ref());
    if is_cut {
        write::mark_cut(out);
    }
    let zone = plan.zone.map(|head| (head.account, head.id));
    match length {
        Some(length) => Reply { length, rcode: plan.rcode, kind: plan.kind, cookie: cookie.state, zone, signed, sought, lacks },
        None => {
            // Too long for any message: nobody can be told.
            let length = write::header_only(&query.header, Rcode::ServFail, out);
            Reply { length, rcode: Rcode::ServFail, cookie: cookie.state, zone, signed, ..Reply::none() }
        }
    }
}

/// Makes of a response one that says "come back over TCP": its header and question, its OPT record with nothing but a cookie, and TC set.
/// Returns its length; nothing is done to what is no response of ours.
pub fn truncate(response: &mut [u8]) -> usize {
    write::truncate(response)
}

/// Signs a plan where there is a signer.
fn sign<'a>(
    sources: Sources<'a>,
    service: &Service,
    client: &Client,
    query: &Query<'_>,
    cookie: Cookie,
    plan: &mut Plan<'a>,
    more: &mut More,
) -> Result<(), Unsigned> {
    let (Some(signer), Some(question)) = (&service.signer, &query.question) else { return Ok(()) };
    let asked = Asked {
        sources,
        question,
        turn: client.turn,
        is_proven: client.transport != Transport::Udp || cookie == Cookie::Valid,
        compact_ok: query.edns.as_ref().is_some_and(|edns| edns.compact_ok),
    };
    signer.sign(&asked, plan, more)
}

fn decide<'a>(sources: Sources<'a>, client: &Client, query: &Query<'_>, cookie: Cookie, signed_by: Option<&PeerKey>) -> Plan<'a> {
    let snapshot = sources.snapshot;
    if query.edns.as_ref().is_some_and(Edns::is_of_another_version) {
        return Plan::error(Rcode::BadVers, None);
    }
    let Some(question) = &query.question else {
        // RFC 7873 §5.4: only whoever wants a cookie asks nothing.
        return match cookie {
            Cookie::Absent => Plan::error(Rcode::FormErr, None),
            Cookie::Wrong => Plan::error(Rcode::BadCookie, None),
            Cookie::Asked | Cookie::Valid => Plan::empty(),
        };
    };
    if query.is_signed {
        // RFC 8945 §5.2: by nobody who is known here.
        return Plan::error(Rcode::NotAuth, None);
    }
    if query.header.opcode == query::NOTIFY {
        return notice::judge(snapshot, client, question, signed_by);
    }
    if question.rtype == rtype::IXFR
        && client.transport == Transport::Udp
        && let Some(plan) = plan::of_difference(snapshot, question)
    {
        return plan;
    }
    match question.verdict() {
        Ok(()) => plan::of(sources, question),
        Err((rcode, why)) => Plan::error(rcode, why),
    }
}
