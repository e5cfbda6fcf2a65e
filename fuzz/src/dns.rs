//! Checks of `poterne-dns-answer`.

use std::sync::{Arc, OnceLock};

use poterne_dns_answer::{
    Client, Elsewhere, MESSAGE_OCTETS_MAX, Outcome, Service, Signer, SignerLimits, Sought, Transport, UDP_OCTETS_MAX, answer,
    transfer::{self, Transfer},
    truncate,
};
use poterne_dns_sign::{
    Algorithm, KeyPair, KeySets, Validity, ZoneKey,
    key::{ENTRY_FLAGS, dnskey},
};
use poterne_dns_wire::{Record, RecordSets, name, rtype};
use poterne_feed::Change;
use poterne_keys::{NodeKey, Purpose};
use poterne_model::{
    AccountId, Name, TunnelId, ZoneId, ZoneStatus,
    setting::{DnsSettings, EdgeSettings, OriginSettings},
};
use poterne_snapshot::{
    Chunk, ChunkKey, NameChunk, NodeChunk, Snapshot, Target, TransferChunk, ZoneDns, ZoneHead, ZoneKeys,
    transfer::{Outgoing, Peer},
};

/// A query, or anything else. What is said is a response to it, of a length that its transport takes, and says nothing of the origin.
pub fn query(data: &[u8]) {
    let (snapshot, signer) = world();
    let (signer, elsewhere) = (Some(Arc::clone(signer)), Some(Arc::new(elsewhere())));
    let service = Service { nsid: b"node".to_vec(), cookie_secrets: vec![[7; 16]], signer, elsewhere, ..Service::default() };
    let mut out = vec![0xee; MESSAGE_OCTETS_MAX];
    for (transport, longest) in
        [(Transport::Udp, UDP_OCTETS_MAX), (Transport::Tcp, MESSAGE_OCTETS_MAX), (Transport::Https, MESSAGE_OCTETS_MAX)]
    {
        let client = Client { address: [192, 0, 2, 9].into(), transport, now_secs: 1_559_731_985, turn: 3 };
        let reply = answer(snapshot, &service, &client, data, &mut out);
        assert!(reply.length <= longest);
        if reply.length == 0 {
            continue;
        }
        let response = &mut out[..reply.length];
        assert!(response.len() >= 12 && response[..2] == data[..2] && response[2] & 0x80 != 0);
        // Whoever asks for it by name knows it, and has his question back, or its name as zones write it.
        assert!(shows(&data.to_ascii_lowercase()) || !shows(response), "the origin shows");
        let length = truncate(response);
        assert!((12..=response.len()).contains(&length));
        transferred(snapshot, &service, &client, data);
    }
}

fn shows(octets: &[u8]) -> bool {
    octets.windows(4).any(|octets| octets == ORIGIN)
}

/// What is known of other providers: one name's IPv4 addresses.
fn elsewhere() -> Elsewhere {
    let elsewhere = Elsewhere::new();
    let name = Name::parse("host.example.org").expect("a name");
    let sought = Sought { account: AccountId::from_bytes([2; 16]), name, rtype: rtype::A };
    elsewhere.put(&sought, Outcome::addresses(rtype::A, [[192, 0, 2, 77].into()]), 300, false, 1_559_731_985);
    elsewhere
}

/// Whoever may have the zone has it without the origin, whatever he asks.
fn transferred(snapshot: &Snapshot, service: &Service, client: &Client, data: &[u8]) {
    let Some(transfer) = Transfer::begin(snapshot, service, client, data) else { return };
    assert!(transfer::is_asked(data) && client.transport != Transport::Udp);
    let (zone, mut packer) = (transfer.zone, transfer.into_packer());
    let lines = transfer::whole(snapshot, zone).expect("what was begun is there");
    let mut messages: Vec<Vec<u8>> = lines.filter_map(|line| packer.push(&line, 0)).collect();
    messages.extend(packer.finish(0));
    assert!(messages.iter().all(|message| message.len() <= MESSAGE_OCTETS_MAX && message[..2] == data[..2]));
    assert!(!shows(&messages.concat()), "the origin shows");
}

const ORIGIN: [u8; 4] = [198, 51, 100, 0x6f];

/// What a zone is signed with, by the quicker algorithm.
fn keys(node: &NodeKey) -> ZoneKeys {
    let apex = b"\x07example\x03com\0";
    let make = || KeyPair::generate(Algorithm::Ed25519).expect("there are random numbers");
    let ((ksk, _), (_, secret)) = (make(), make());
    let sets = KeySets { dnskey: vec![dnskey(ENTRY_FLAGS, ksk.algorithm(), ksk.public())], ..KeySets::default() };
    let signed = sets.signed(&[ZoneKey::new(ksk, ENTRY_FLAGS, apex)], 3600, Validity::from_now(1_559_731_985, 86_400, apex));
    let key = node.seal(Purpose::ZoneKey, &[1; 16], &secret).into();
    ZoneKeys { signed: signed.expect("keys sign"), algorithm: Algorithm::Ed25519.number(), key }
}

fn world() -> &'static (Snapshot, Arc<Signer>) {
    static WORLD: OnceLock<(Snapshot, Arc<Signer>)> = OnceLock::new();
    WORLD.get_or_init(|| {
        let node_key = NodeKey::generate();
        let apex = Name::parse("example.com").expect("a name");
        let id = ZoneId::from_bytes([1; 16]);
        let dns = ZoneDns {
            serial: 1,
            name_servers: vec![Name::parse("ns1.example.net").expect("a name")],
            ns_ttl_secs: 86_400,
            multi_provider: false,
            flattens_all: false,
            soa: DnsSettings::default().soa,
            keys: Some(keys(&node_key)),
        };
        let head = ZoneHead {
            id,
            account: AccountId::from_bytes([2; 16]),
            apex,
            status: ZoneStatus::Active,
            dns: Some(dns),
            origin: OriginSettings::default(),
            edge: EdgeSettings::default(),
            client: None,
            partial: false,
        };
        let edge_addresses = vec!["203.0.113.10".parse().expect("an address"), "2001:db8::10".parse().expect("an address")];
        let node = NodeChunk { edge_addresses, edge_protocols: vec!["h2".into()], ..NodeChunk::default() };
        let mut chunks = vec![(ChunkKey::Node, Chunk::Node(node)), (ChunkKey::Zone(id), Chunk::Zone(head))];
        let mut put = |owner: &str, chunk: NameChunk| {
            let owner = Name::parse(owner).expect("a name");
            chunks.push((ChunkKey::Name(id, owner), Chunk::Name(chunk)));
        };
        let target = |text: &str| {
            let mut octets = Vec::new();
            name::push(text, &mut octets);
            octets
        };
        let sets = |records: &[(u16, Vec<u8>)]| {
            let record =
                |(rtype, data): &(u16, Vec<u8>)| Record { rtype: *rtype, ttl_secs: 300, flattened: false, data: data.clone() };
            NameChunk { sets: RecordSets::of(records.iter().map(record).collect()).0, ..NameChunk::default() }
        };
        put("www.example.com", sets(&[(rtype::A, vec![192, 0, 2, 1]), (rtype::A, vec![192, 0, 2, 2])]));
        put("*.wild.example.com", sets(&[(rtype::TXT, b"\x04text".to_vec())]));
        put("deep.ent.example.com", sets(&[(731, vec![1, 2, 3])]));
        put("to.example.com", sets(&[(rtype::CNAME, target("www.example.com"))]));
        put("loop.example.com", sets(&[(rtype::CNAME, target("pool.example.com"))]));
        put("pool.example.com", sets(&[(rtype::CNAME, target("loop.example.com"))]));
        put("away.example.com", sets(&[(rtype::CNAME, target("host.example.org"))]));
        let leaves = |target| Record { rtype: rtype::CNAME, ttl_secs: 300, flattened: true, data: target };
        let flat = RecordSets::of(vec![leaves(target("host.example.org"))]).0;
        put("flat.example.com", NameChunk { sets: flat, ..NameChunk::default() });
        put("sub.example.com", sets(&[(rtype::NS, target("ns.sub.example.com")), (rtype::DS, vec![0, 1, 13, 2, 9])]));
        put("ns.sub.example.com", sets(&[(rtype::A, vec![192, 0, 2, 53])]));
        let many = (0..=255u8).map(|number| (rtype::AAAA, vec![number; 16])).collect::<Vec<_>>();
        put("many.example.com", sets(&many));
        // Control leaves the origin's address out; it is the edge's target here.
        let mut proxied = NameChunk::leading_to(Target::Origin(vec![ORIGIN.into()]));
        proxied.sets = sets(&[(rtype::MX, [&[0, 1][..], &target("mail.example.com")].concat())]).sets;
        put("proxied.example.com", proxied);
        put("tunnel.example.com", NameChunk::leading_to(Target::Tunnel(TunnelId::from_bytes([7; 16]))));
        let peer = Peer {
            id: [3; 16],
            address: Some([192, 0, 2, 9].into()),
            port: 53,
            takes_differences: true,
            key: None,
            over_tls: false,
        };
        let outgoing = Some(Outgoing { peers: vec![peer], allows_unsigned: true, ..Outgoing::default() });
        chunks.push((ChunkKey::Transfer(id), Chunk::Transfer(TransferChunk { outgoing, incoming: None })));
        let chunks = chunks.into_iter().map(|(key, chunk)| (key.encode(), Some(chunk.encode()))).collect();
        let snapshot = Snapshot::default().apply(&Change { generation: 1, chunks }).expect("it is a first generation").1;
        let limits = SignerLimits { made_per_sec_max: u32::MAX, ..SignerLimits::default() };
        (snapshot, Arc::new(Signer::new(node_key, limits)))
    })
}
