//! Zones whole, what changed of them, queries that are signed, and primaries' notices.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use domain::{
    base::{Message, ParsedName},
    rdata::AllRecordData,
};
use poterne_dns_tsig::{Algorithm, Asking, Key, find};
use poterne_dns_wire::{Record, RecordSets, rtype};
use poterne_feed::Change;
use poterne_keys::{NodeKey, Purpose};
use poterne_model::ZoneId;
use poterne_snapshot::{
    Chunk, ChunkKey, NameChunk, Snapshot, TransferChunk,
    transfer::{Incoming, Outgoing, Peer, PeerKey, Standing},
};

use super::{
    Ask, client, wire,
    world::{World, name},
};
use crate::{
    Client, Kind, Reply, Service, Signer, SignerLimits, Transport, answer,
    transfer::{self, Line, Transfer, is_asked},
};

const NOW: u64 = 1_559_731_985;
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
pub(super) const PEER: &str = "198.51.100.100";

pub(super) fn zone_id() -> ZoneId {
    ZoneId::from_bytes([1; 16])
}

fn key() -> Key {
    Key::new("xfr.example.net", Algorithm::HmacSha256, SECRET)
}

/// A node that knows the secret, and a peer that signs with it.
fn known() -> (Service, Peer) {
    let node_key = NodeKey::generate();
    let sealed = Bytes::from(node_key.seal(Purpose::TsigKey, &[5; 16], SECRET));
    let key = PeerKey { id: [5; 16], name: name("xfr.example.net"), algorithm: "hmac-sha256.".into(), sealed };
    let peer = Peer {
        id: [6; 16],
        address: Some(PEER.parse().unwrap()),
        port: 53,
        takes_differences: true,
        key: Some(key),
        over_tls: false,
    };
    let service = Service { signer: Some(Arc::new(Signer::new(node_key, SignerLimits::default()))), ..Service::default() };
    (service, peer)
}

pub(super) fn with(snapshot: &Snapshot, more: Vec<(ChunkKey, Chunk)>) -> Snapshot {
    let chunks = more.into_iter().map(|(key, chunk)| (key.encode(), Some(chunk.encode()))).collect();
    snapshot.apply(&Change { generation: snapshot.generation() + 1, chunks }).unwrap().1
}

fn given(snapshot: &Snapshot, peer: &Peer) -> Snapshot {
    let outgoing = Some(Outgoing { peers: vec![peer.clone()], ..Outgoing::default() });
    with(snapshot, vec![(ChunkKey::Transfer(zone_id()), Chunk::Transfer(TransferChunk { outgoing, incoming: None }))])
}

fn world() -> World {
    World::new().zone(
        "example.com",
        1,
        "@ MX 10 mail.example.com\n@ CAA 0 issue \"ca.example\"\nwww A 203.0.113.200 proxied\nwww TXT beside\nmail A 192.0.2.25\n\
         to CNAME www.example.com\nbeside CNAME mail.example.com flattened\nbeside TXT x\naway CNAME host.example.org\n\
         *.wild TXT star\nsub NS ns.sub.example.com\nns.sub A 192.0.2.53\ndeep.ent A 192.0.2.9",
    )
}

fn tcp() -> Client {
    client(Transport::Tcp)
}

/// A query for a transfer; of what changed since a version, with that version.
fn query(qtype: u16, since: Option<u32>) -> Vec<u8> {
    let mut octets = Ask::new("Example.com", qtype).octets();
    if let Some(since) = since {
        octets[9] = 1;
        octets.extend([0xc0, 0x0c, 0, 6, 0, 1, 0, 0, 0, 0, 0, 22, 0, 0]);
        octets.extend(since.to_be_bytes());
        octets.extend([0; 16]);
    }
    octets
}

fn signed(mut query: Vec<u8>) -> (Vec<u8>, Asking) {
    let asking = Asking::begin(key(), &mut query, NOW);
    (query, asking)
}

pub(super) fn packed(transfer: Transfer, lines: impl Iterator<Item = Line>) -> Vec<Vec<u8>> {
    let mut packer = transfer.into_packer();
    let mut messages: Vec<Vec<u8>> = lines.filter_map(|line| packer.push(&line, NOW)).collect();
    messages.extend(packer.finish(NOW));
    messages
}

/// `owner ttl TYPE data` of each record, as the `domain` crate reads it.
fn records(messages: &[Vec<u8>]) -> Vec<String> {
    let mut all = Vec::new();
    for octets in messages {
        let message = Message::from_octets(octets.as_slice()).unwrap();
        for record in message.answer().unwrap() {
            let record = record.unwrap().to_any_record::<AllRecordData<_, ParsedName<_>>>().unwrap();
            // An owner has the letters that the question had.
            let owner = record.owner().to_string().to_lowercase();
            all.push(format!("{owner} {} {} {}", record.ttl().as_secs(), record.rtype(), record.data()));
        }
    }
    all
}

#[test]
fn who_is_to_have_it_over_tls_has_it_no_other_way() {
    let (service, peer) = known();
    let snapshot = given(&world().snapshot(), &Peer { over_tls: true, ..peer });
    let (query, _) = signed(query(rtype::AXFR, None));
    let begun = |transport| Transfer::begin(&snapshot, &service, &client(transport), &query).is_some();
    assert_eq!([Transport::Tls, Transport::Tcp, Transport::Https].map(begun), [true, false, false]);
}

#[test]
fn a_zone_is_given_whole_without_its_origins() {
    let (service, peer) = known();
    let snapshot = given(&world().snapshot(), &peer);
    let (query, mut asking) = signed(query(rtype::AXFR, None));
    assert!(is_asked(&query));
    let transfer = Transfer::begin(&snapshot, &service, &tcp(), &query).unwrap();
    assert_eq!((transfer.zone, transfer.serial, transfer.since, transfer.peer), (zone_id(), 42, None, [6; 16]));
    let messages = packed(transfer, transfer::whole(&snapshot, zone_id()).unwrap());
    for message in &messages {
        asking.verify(message, NOW).unwrap();
    }
    asking.finish().unwrap();
    assert!(!messages.concat().windows(4).any(|octets| octets == [203, 0, 113, 200]), "the origin shows");
    let told = records(&messages);
    let soa = &told[0];
    assert!(soa.starts_with("example.com 3600 SOA ns1.example.net") && told.last() == Some(soa), "{told:?}");
    let told: BTreeSet<&str> = told[1..told.len() - 1].iter().map(String::as_str).collect();
    let expected = BTreeSet::from([
        "example.com 86400 NS ns1.example.net",
        "example.com 86400 NS ns2.example.net",
        "example.com 300 MX 10 mail.example.com",
        "www.example.com 300 A 203.0.113.10",
        "www.example.com 300 A 203.0.113.11",
        "www.example.com 300 AAAA 2001:db8::10",
        "www.example.com 300 AAAA 2001:db8::11",
        "www.example.com 300 TXT \"beside\"",
        "mail.example.com 300 A 192.0.2.25",
        "to.example.com 300 CNAME www.example.com",
        "beside.example.com 300 A 192.0.2.25",
        "beside.example.com 300 TXT \"x\"",
        "away.example.com 300 CNAME host.example.org",
        "*.wild.example.com 300 TXT \"star\"",
        "sub.example.com 300 NS ns.sub.example.com",
        "ns.sub.example.com 300 A 192.0.2.53",
        "deep.ent.example.com 300 A 192.0.2.9",
    ]);
    let dots = |lines: &BTreeSet<&str>| {
        lines.iter().map(|line| line.replace(". ", " ").trim_end_matches('.').to_owned()).collect::<BTreeSet<_>>()
    };
    assert_eq!(dots(&told), dots(&expected), "without CAA");
}

#[test]
fn an_apex_that_is_a_cname_is_given_as_addresses() {
    let (_, peer) = known();
    let inside = given(&World::new().zone("example.com", 1, "@ CNAME www.example.com\nwww A 192.0.2.7").snapshot(), &peer);
    let of_apex = |snapshot: &Snapshot| {
        let lines = transfer::whole(snapshot, zone_id()).unwrap();
        let apex = lines.filter(|line| *line.owner == *wire("example.com") && !matches!(line.rtype, rtype::SOA | rtype::NS));
        apex.map(|line| (line.rtype, line.data.to_vec())).collect::<Vec<_>>()
    };
    assert_eq!(of_apex(&inside), [(rtype::A, vec![192, 0, 2, 7])]);
    let away = given(&World::new().zone("example.com", 1, "@ CNAME host.example.org\nwww A 192.0.2.7").snapshot(), &peer);
    assert_eq!(of_apex(&away), [], "nobody may have a CNAME there");
}

#[test]
fn a_large_zone_takes_many_messages() {
    let (service, peer) = known();
    let lines: String = (0..3000).map(|number| format!("host-{number} A 192.0.2.1\n")).collect();
    let snapshot = given(&World::new().zone("example.com", 1, &lines).snapshot(), &peer);
    let (query, mut asking) = signed(query(rtype::AXFR, None));
    let transfer = Transfer::begin(&snapshot, &service, &tcp(), &query).unwrap();
    let messages = packed(transfer, transfer::whole(&snapshot, zone_id()).unwrap());
    assert!(messages.len() > 3 && messages.iter().all(|message| message.len() <= 16 * 1024 + 400), "{}", messages.len());
    for message in &messages {
        asking.verify(message, NOW).unwrap();
    }
    let told = records(&messages);
    let names: BTreeSet<_> = told.iter().filter(|line| line.contains(" A ")).collect();
    assert_eq!((told.len(), names.len()), (3000 + 4, 3000));
    // Owners share their ends: a record takes some thirty octets.
    assert!(messages.concat().len() < 3000 * 34, "{}", messages.concat().len());
}

#[test]
fn only_who_is_known_has_it() {
    let (service, peer) = known();
    let snapshot = given(&world().snapshot(), &peer);
    let begins = |client: Client, query: &[u8]| Transfer::begin(&snapshot, &service, &client, query).is_some();
    let (good, _) = signed(query(rtype::AXFR, None));
    assert!(begins(tcp(), &good) && begins(client(Transport::Tls), &good));
    assert!(!begins(client(Transport::Udp), &good));
    assert!(!begins(tcp(), &query(rtype::AXFR, None)), "the peer has a key and did not sign");
    assert!(!begins(Client { address: "192.0.2.200".parse().unwrap(), ..tcp() }, &good), "from elsewhere");
    assert!(!begins(Client { now_secs: tcp().now_secs + 400, ..tcp() }, &good), "from another time");
    let mut forged = query(rtype::AXFR, None);
    Asking::begin(Key::new("xfr.example.net", Algorithm::HmacSha256, b"guess"), &mut forged, NOW);
    assert!(!begins(tcp(), &forged));
    let (other, _) = signed(Ask::new("www.example.com", rtype::AXFR).octets());
    assert!(!begins(tcp(), &other), "a name is no zone");

    let open = Peer { key: None, ..peer };
    let outgoing = Outgoing { peers: vec![open], allows_unsigned: true, ..Outgoing::default() };
    let chunk = TransferChunk { outgoing: Some(outgoing), incoming: None };
    let snapshot = with(&snapshot, vec![(ChunkKey::Transfer(zone_id()), Chunk::Transfer(chunk))]);
    assert!(Transfer::begin(&snapshot, &service, &tcp(), &query(rtype::AXFR, None)).is_some());
    let elsewhere = Client { address: "192.0.2.200".parse().unwrap(), ..tcp() };
    assert!(Transfer::begin(&snapshot, &service, &elsewhere, &query(rtype::AXFR, None)).is_none());
}

fn changed(snapshot: &Snapshot) -> Snapshot {
    let set = |rtype, data: &[u8]| {
        let records = vec![Record { rtype, ttl_secs: 300, flattened: false, data: data.to_vec() }];
        Chunk::Name(NameChunk { sets: RecordSets::of(records).0, ..NameChunk::default() })
    };
    let mut head = snapshot.zone(zone_id()).unwrap().head().clone();
    head.dns.as_mut().unwrap().serial = 43;
    let name_key = |text: &str| ChunkKey::Name(zone_id(), name(text));
    let next = with(
        snapshot,
        vec![
            (name_key("mail.example.com"), set(rtype::A, &[192, 0, 2, 26])),
            (name_key("new.example.com"), set(rtype::TXT, b"\x03new")),
            (ChunkKey::Zone(zone_id()), Chunk::Zone(head)),
        ],
    );
    let gone = vec![(name_key("deep.ent.example.com").encode(), None)];
    next.apply(&Change { generation: next.generation() + 1, chunks: gone }).unwrap().1
}

#[test]
fn what_changed_is_given_alone() {
    let (service, peer) = known();
    let old = given(&world().snapshot(), &peer);
    let new = changed(&old);
    let (asked, _) = signed(query(rtype::IXFR, Some(42)));
    let transfer = Transfer::begin(&new, &service, &tcp(), &asked).unwrap();
    assert_eq!((transfer.since, transfer.serial, transfer.is_current()), (Some(42), 43, false));
    let lines = transfer::difference(&old, &new, zone_id()).unwrap();
    let told = records(&packed(transfer, lines.into_iter()));
    let short: Vec<String> = told
        .iter()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .map(|words| if words[2] == "SOA" { format!("SOA {}", words[5]) } else { words.join(" ").replace(". ", " ") })
        .collect();
    let at = |line: &str| short.iter().position(|other| other == line).unwrap_or_else(|| panic!("{line}: {short:?}"));
    assert_eq!((&*short[0], &*short[1], &**short.last().unwrap()), ("SOA 43", "SOA 42", "SOA 43"));
    let middle = 1 + short[1..].iter().position(|line| line == "SOA 43").unwrap();
    for gone in
        ["deep.ent.example.com 300 A 192.0.2.9", "mail.example.com 300 A 192.0.2.25", "beside.example.com 300 A 192.0.2.25"]
    {
        assert!(at(gone) < middle, "{short:?}");
    }
    for come in ["mail.example.com 300 A 192.0.2.26", "new.example.com 300 TXT \"new\"", "beside.example.com 300 A 192.0.2.26"] {
        assert!(at(come) > middle, "{short:?}");
    }
    assert_eq!(short.len(), 4 + 6, "what a CNAME comes to changes with what it leads to: {short:?}");

    let (asked, _) = signed(query(rtype::IXFR, Some(43)));
    let transfer = Transfer::begin(&new, &service, &tcp(), &asked).unwrap();
    assert!(transfer.is_current());
    assert_eq!(records(&packed(transfer, transfer::current(&new, zone_id()).into_iter())).len(), 1);
    let (later, _) = signed(query(rtype::IXFR, Some(50)));
    assert!(Transfer::begin(&new, &service, &tcp(), &later).unwrap().is_current(), "whoever is ahead has nothing to get");
    let whole = Peer { takes_differences: false, ..peer.clone() };
    let (asked, _) = signed(query(rtype::IXFR, Some(42)));
    assert_eq!(Transfer::begin(&given(&new, &whole), &service, &tcp(), &asked).unwrap().since, None);
}

fn answered(snapshot: &Snapshot, service: &Service, client: &Client, query: &[u8]) -> (Reply, Vec<u8>) {
    let mut out = vec![0; crate::MESSAGE_OCTETS_MAX];
    let length = if client.transport == Transport::Udp { crate::UDP_OCTETS_MAX } else { crate::MESSAGE_OCTETS_MAX };
    let reply = answer(snapshot, service, client, query, &mut out[..length]);
    out.truncate(reply.length);
    (reply, out)
}

#[test]
fn a_signed_query_has_a_signed_answer() {
    let (service, peer) = known();
    let snapshot = given(&world().snapshot(), &peer);
    for transport in [Transport::Udp, Transport::Tcp] {
        for (asked, count) in [(rtype::SOA, 1), (rtype::MX, 1), (rtype::TXT, 0)] {
            let (query, mut asking) = signed(Ask::new("example.com", asked).octets());
            let (reply, octets) = answered(&snapshot, &service, &client(transport), &query);
            assert_eq!(reply.rcode, crate::Rcode::NoError);
            assert!(transport != Transport::Udp || octets.len() <= 512);
            let unsigned = asking.verify(&octets, NOW).unwrap();
            assert_eq!(unsigned[7], count);
            asking.finish().unwrap();
        }
    }
    // Whose key another zone's peer has is nobody to this one.
    let other = World::new().zone("example.com", 1, "www A 192.0.2.1").snapshot();
    let (query, mut asking) = signed(Ask::new("example.com", rtype::SOA).octets());
    let (reply, octets) = answered(&other, &service, &tcp(), &query);
    assert_eq!(reply.rcode, crate::Rcode::NotAuth);
    assert_eq!(find(&octets).unwrap().unwrap().tsig.error, 17);
    assert!(asking.verify(&octets, NOW).is_err());
    let late = Client { now_secs: tcp().now_secs + 301, ..tcp() };
    let (query, mut asking) = signed(Ask::new("example.com", rtype::SOA).octets());
    let (reply, octets) = answered(&snapshot, &service, &late, &query);
    assert_eq!((reply.rcode, asking.verify(&octets, NOW)), (crate::Rcode::NotAuth, Err(poterne_dns_tsig::Untrue::Told(18))));
}

#[test]
fn over_udp_only_the_version_is_told() {
    let (service, peer) = known();
    let snapshot = given(&world().snapshot(), &peer);
    let udp = client(Transport::Udp);
    let (_, octets) = answered(&snapshot, &service, &udp, &query(rtype::IXFR, Some(1)));
    let told = records(&[octets]);
    assert!(told.len() == 1 && told[0].contains(" SOA "), "{told:?}");
    let (reply, octets) = answered(&snapshot, &service, &udp, &query(rtype::AXFR, None));
    assert_eq!((reply.rcode, records(&[octets]).len()), (crate::Rcode::Refused, 0));
    let nobody = World::new().zone("example.com", 1, "www A 192.0.2.1").snapshot();
    let (reply, _) = answered(&nobody, &service, &udp, &query(rtype::IXFR, Some(1)));
    assert_eq!(reply.rcode, crate::Rcode::Refused);
}

fn copy(snapshot: &Snapshot, primary: Peer, standing: Standing) -> Snapshot {
    let incoming = Some(Incoming { primaries: vec![primary], standing, ..Incoming::default() });
    with(snapshot, vec![(ChunkKey::Transfer(zone_id()), Chunk::Transfer(TransferChunk { outgoing: None, incoming }))])
}

/// A copy is given on as it came, with what its owner said to authorities; while it is not whole, to nobody.
#[test]
fn a_copy_is_given_on_while_it_is_whole() {
    let (service, peer) = known();
    let (query, _) = signed(query(rtype::AXFR, None));
    let given_on = |standing| {
        let incoming = Some(Incoming { primaries: Vec::new(), standing, ..Incoming::default() });
        let outgoing = Some(Outgoing { peers: vec![peer.clone()], ..Outgoing::default() });
        with(&world().snapshot(), vec![(ChunkKey::Transfer(zone_id()), Chunk::Transfer(TransferChunk { outgoing, incoming }))])
    };
    for standing in [Standing::Waiting, Standing::Expired] {
        assert!(Transfer::begin(&given_on(standing), &service, &tcp(), &query).is_none());
    }
    let whole = given_on(Standing::Whole);
    let transfer = Transfer::begin(&whole, &service, &tcp(), &query).unwrap();
    let told = records(&packed(transfer, transfer::whole(&whole, zone_id()).unwrap()));
    assert!(told.iter().any(|line| line.starts_with("example.com 300 CAA")), "{told:?}");
    assert!(!told.iter().any(|line| line.contains(" NS ns1.example.net")), "name servers are the primary's to name: {told:?}");
    assert!(told.contains(&"www.example.com 300 A 203.0.113.10".to_owned()), "what is put on top is: {told:?}");
}

#[test]
fn a_notice_is_taken_from_a_primary_alone() {
    let (service, peer) = known();
    let snapshot = copy(&world().snapshot(), peer.clone(), Standing::Whole);
    let notice = |apex: &str| {
        let mut octets = Ask::new(apex, rtype::SOA).octets();
        (octets[2], octets[3]) = (0x24, 0);
        octets
    };
    let udp = client(Transport::Udp);
    let (signed_notice, mut asking) = signed(notice("example.com"));
    let (reply, octets) = answered(&snapshot, &service, &udp, &signed_notice);
    assert_eq!((reply.kind, reply.zone.map(|(_, zone)| zone)), (Kind::Notified, Some(zone_id())));
    let unsigned = asking.verify(&octets, NOW).unwrap();
    assert_eq!((unsigned[2], unsigned[3] & 0x0f), (0xa4, 0), "an answer to a notice, from whom the zone is");
    let is_taken =
        |snapshot: &Snapshot, client: &Client, query: &[u8]| answered(snapshot, &service, client, query).0.kind == Kind::Notified;
    assert!(!is_taken(&snapshot, &udp, &notice("example.com")), "not signed");
    let elsewhere = Client { address: "192.0.2.200".parse().unwrap(), ..udp };
    assert!(!is_taken(&snapshot, &elsewhere, &signed_notice));
    assert!(!is_taken(&given(&world().snapshot(), &peer), &udp, &signed_notice), "the zone is made here");
    let open = copy(&world().snapshot(), Peer { key: None, ..peer }, Standing::Whole);
    assert!(is_taken(&open, &udp, &notice("example.com")) && !is_taken(&open, &elsewhere, &notice("example.com")));
    assert!(!is_taken(&open, &udp, &notice("www.example.com")));
}

#[test]
fn a_copy_is_answered_while_it_is_believed() {
    let (service, peer) = known();
    let plain = World::new().zone("example.com", 1, "@ 600 NS ns.elsewhere.example\nwww A 192.0.2.1").snapshot();
    let told = |standing| {
        let snapshot = copy(&plain, peer.clone(), standing);
        let opt = super::Opt::of(1232);
        let asked = Ask::new("www.example.com", rtype::A).with(opt.clone()).octets();
        let (reply, octets) = answered(&snapshot, &service, &client(Transport::Udp), &asked);
        let (_, servers) = answered(&snapshot, &service, &client(Transport::Udp), &Ask::new("example.com", rtype::NS).octets());
        (reply.rcode, octets, records(&[servers]))
    };
    let (rcode, _, servers) = told(Standing::Whole);
    assert_eq!(rcode, crate::Rcode::NoError);
    assert!(servers.len() == 1 && servers[0].contains(" 600 NS ns.elsewhere.example"), "its own name servers alone: {servers:?}");
    for (standing, code) in [(Standing::Waiting, 14), (Standing::Expired, 24)] {
        let (rcode, octets, servers) = told(standing);
        assert_eq!((rcode, servers.len()), (crate::Rcode::ServFail, 0));
        assert!(octets.windows(6).any(|window| window[..2] == [0, 15] && window[4..] == [0, code]), "{octets:02x?}");
    }
}
