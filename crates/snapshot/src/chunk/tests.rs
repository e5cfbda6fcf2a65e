//! What is written is read again, whatever version wrote it.

use super::{
    client::{ClientCertificate, VisitorHost},
    *,
};

#[test]
fn every_kind_of_key_survives_the_journey() {
    let id = TunnelId::from_bytes([7; 16]);
    let zone = ZoneId::from_bytes([1; 16]);
    for key in [
        ChunkKey::Node,
        ChunkKey::Account(AccountId::from_bytes([2; 16])),
        ChunkKey::Zone(zone),
        ChunkKey::Name(zone, Name::parse("*.example.com").unwrap()),
        ChunkKey::Tunnel(id),
        ChunkKey::Certificate(CertificatePackId::from_bytes([3; 16])),
        ChunkKey::Challenge(ChallengeId::from_bytes([4; 16])),
        ChunkKey::Transfer(zone),
        ChunkKey::Rules(zone),
        ChunkKey::HealthChecks(zone),
        ChunkKey::AccountRules(AccountId::from_bytes([2; 16])),
    ] {
        assert_eq!(ChunkKey::decode(&key.encode()).unwrap(), key);
    }
}

#[test]
fn rules_of_an_earlier_version_are_read() {
    let key = ChunkKey::Rules(ZoneId::from_bytes([1; 16]));
    let rule = poterne_rules::Definition {
        id: poterne_model::RuleId::from_bytes([1; 16]),
        phase: poterne_model::ruleset::Phase::FirewallCustom,
        expression: "ip.src in $office".into(),
        act: poterne_rules::Act::Skip,
    };
    let networks: Vec<poterne_model::Network> = vec!["192.0.2.0/24".parse().unwrap()];
    let old = before::ZoneRules1 {
        normalization: poterne_model::setting::UrlNormalization::default(),
        rules: vec![rule.clone()],
        lists: vec![("office".into(), networks.clone())],
    };
    let list = poterne_rules::NamedList { name: "office".into(), items: poterne_rules::Items::Networks(networks) };
    let new = Chunk::Rules(ZoneRules { rules: vec![rule], lists: vec![list], ..ZoneRules::default() });
    assert_eq!(Chunk::decode(&key, &encode(&old)).unwrap(), new);
    assert_eq!(Chunk::decode(&key, &new.encode()).unwrap(), new);
}

#[test]
fn a_nodes_chunk_of_an_earlier_version_is_read() {
    let chunk = NodeChunk {
        names: vec![Name::parse("node.test").unwrap()],
        edges: vec!["node.test:7844".into()],
        tunnel_pins: vec![[1; 32]],
        ..NodeChunk::default()
    };
    let NodeChunk { names, edges, tunnel_pins, .. } = chunk.clone();
    let old = before::NodeChunk1 { names, edges, tunnel_pins, quick_domain: None, tunnel_domain: None };
    assert_eq!(Chunk::decode(&ChunkKey::Node, &encode(&old)).unwrap(), Chunk::Node(chunk.clone()));
    let (management_names, management_keys) =
        (vec![Name::parse("management.node.test").unwrap()], vec![Bytes::from_static(b"k")]);
    let old = before::NodeChunk2 { first: old, management_names, management_keys };
    let NodeChunk { management_names, management_keys, .. } = old.clone().into();
    let chunk = NodeChunk { management_names, management_keys, ..chunk };
    assert_eq!(Chunk::decode(&ChunkKey::Node, &encode_as(2, &old)).unwrap(), Chunk::Node(chunk.clone()));
    let (edge_addresses, edge_protocols) = (vec![IpAddr::from([192, 0, 2, 1])], vec!["h2".to_owned()]);
    let old = before::NodeChunk3 { first: old, edge_addresses, edge_protocols, nameservers: Vec::new() };
    let before::NodeChunk3 { edge_addresses, edge_protocols, .. } = old.clone();
    let chunk = NodeChunk { edge_addresses, edge_protocols, ..chunk };
    assert_eq!(Chunk::decode(&ChunkKey::Node, &encode_as(3, &old)).unwrap(), Chunk::Node(chunk.clone()));
    let cookie_secrets = vec![Bytes::from_static(b"sealed")];
    let chunk = NodeChunk { cookie_secrets: cookie_secrets.clone(), ..chunk };
    let old = before::NodeChunk4 { first: old, cookie_secrets };
    assert_eq!(Chunk::decode(&ChunkKey::Node, &encode_as(4, &old)).unwrap(), Chunk::Node(chunk.clone()));
    let revoked_origin_certificates = vec![[7; 16]];
    let chunk = NodeChunk { revoked_origin_certificates: revoked_origin_certificates.clone(), ..chunk };
    let old = before::NodeChunk5 { first: old, revoked_origin_certificates };
    assert_eq!(Chunk::decode(&ChunkKey::Node, &encode_as(5, &old)).unwrap(), Chunk::Node(chunk.clone()));
    let ticket_keys = vec![TicketKey { starts_at: 1, key: Bytes::from_static(b"sealed") }];
    let chunk = NodeChunk { ticket_keys: ticket_keys.clone(), ..chunk };
    let old = before::NodeChunk6 { first: old, ticket_keys };
    assert_eq!(Chunk::decode(&ChunkKey::Node, &encode_as(6, &old)).unwrap(), Chunk::Node(chunk.clone()));
    let new = Chunk::Node(NodeChunk { cname_suffix: Some(Name::parse("cdn.node.test").unwrap()), ..chunk });
    assert_eq!(Chunk::decode(&ChunkKey::Node, &new.encode()).unwrap(), new);
    assert_eq!(Chunk::decode(&ChunkKey::Node, &[8]), Err(ChunkError::Version { found: 8 }));
    assert_eq!(Chunk::decode(&ChunkKey::Node, &[]), Err(ChunkError::Empty));
}

#[test]
fn what_a_zone_gave_and_took_before_is_read() {
    let key = ChunkKey::Transfer(ZoneId::from_bytes([1; 16]));
    let (id, address, networks) = ([9; 16], Some(IpAddr::from([192, 0, 2, 1])), vec!["192.0.2.0/24".parse().unwrap()]);
    let peer = || before::Peer1 { id, address, port: 53, takes_differences: true, key: None };
    let old = before::TransferChunk1 {
        outgoing: Some(before::Outgoing1 { peers: vec![peer()], networks, allows_unsigned: true, asked: 7 }),
        incoming: Some(before::Incoming1 { primaries: vec![peer()], networks: Vec::new(), standing: transfer::Standing::Whole }),
    };
    let read = Chunk::decode(&key, &encode(&old)).unwrap();
    let Chunk::Transfer(new) = read.clone() else { panic!("{read:?}") };
    let outgoing = new.outgoing.unwrap();
    assert_eq!((outgoing.asked, outgoing.networks.len(), outgoing.peers[0].over_tls), (7, 1, false));
    assert_eq!(new.incoming.unwrap().primaries, outgoing.peers);
    assert_eq!(Chunk::decode(&key, &read.encode()).unwrap(), read);
}

#[test]
fn zones_and_names_of_before_are_read_and_not_ready_to_be_answered() {
    let (id, account, apex) = (ZoneId::from_bytes([1; 16]), AccountId::from_bytes([2; 16]), Name::parse("example.com").unwrap());
    let old = before::ZoneHead1 { id, account, apex: apex.clone(), status: ZoneStatus::Active };
    let origin = OriginSettings::default();
    let head = ZoneHead {
        id,
        account,
        apex: apex.clone(),
        status: ZoneStatus::Active,
        dns: None,
        origin,
        edge: EdgeSettings::default(),
        client: None,
        partial: false,
    };
    assert_eq!(Chunk::decode(&ChunkKey::Zone(id), &encode(&old)).unwrap(), Chunk::Zone(head.clone()));
    let soa = poterne_model::setting::DnsSettings::default().soa;
    let dns = before::ZoneDns2 {
        serial: 7,
        name_servers: vec![apex.clone()],
        ns_ttl_secs: 60,
        multi_provider: true,
        flattens_all: false,
        soa: soa.clone(),
    };
    let old = before::ZoneHead2 { first: old, dns: Some(dns) };
    let mut dns = ZoneDns {
        serial: 7,
        name_servers: vec![apex.clone()],
        ns_ttl_secs: 60,
        multi_provider: true,
        flattens_all: false,
        soa,
        keys: None,
    };
    let read = Chunk::Zone(ZoneHead { dns: Some(dns.clone()), ..head.clone() });
    assert_eq!(Chunk::decode(&ChunkKey::Zone(id), &encode_as(2, &old)).unwrap(), read);
    dns.keys = Some(ZoneKeys { signed: RecordSets::default(), algorithm: 13, key: Bytes::from_static(b"sealed") });
    let ZoneHead { status, .. } = head;
    let old = before::ZoneHead3 { id, account, apex: apex.clone(), status, dns: Some(dns.clone()) };
    let read = Chunk::Zone(ZoneHead { dns: Some(dns.clone()), ..head.clone() });
    assert_eq!(Chunk::decode(&ChunkKey::Zone(id), &encode_as(3, &old)).unwrap(), read);
    let (ssl, read_timeout_secs, http2) = (poterne_model::setting::SslMode::Strict, 6000, false);
    let origin = OriginSettings { ssl, read_timeout_secs, http2, identifies: false };
    let signed = ZoneHead { dns: Some(dns.clone()), origin, ..head };
    let old = before::ZoneHead3 { id, account, apex: apex.clone(), status, dns: Some(dns) };
    let of_before = before::OriginSettings4 { ssl, read_timeout_secs, http2 };
    let old = before::ZoneHead4 { first: old, origin: of_before, http3: false };
    let edge = EdgeSettings { http3: false, ..EdgeSettings::default() };
    let read = Chunk::Zone(ZoneHead { edge, ..signed.clone() });
    assert_eq!(Chunk::decode(&ChunkKey::Zone(id), &encode_as(4, &old)).unwrap(), read);
    let edge = EdgeSettings { always_use_https: true, brotli: false, ..EdgeSettings::default() };
    let origin = OriginSettings { identifies: true, ..origin };
    let brought = ClientCertificate {
        id: CertificateId::from_bytes([8; 16]),
        chain: vec![Bytes::from_static(b"der")],
        key: Bytes::from_static(b"sealed"),
    };
    let EdgeSettings { hsts, tls, http2, http3, websockets, ip_geolocation, pseudo_ipv4, true_client_ip, .. } = edge;
    let EdgeSettings { hides_visitor, adds_security, hides_powered_by, .. } = edge;
    let (always_use_https, brotli) = (edge.always_use_https, edge.brotli);
    let old = before::ZoneHead5 {
        first: before::ZoneHead3 { id, account, apex: apex.clone(), status, dns: signed.dns.clone() },
        origin,
        edge: before::EdgeSettings5 {
            always_use_https,
            hsts,
            tls,
            http2,
            http3,
            websockets,
            brotli,
            ip_geolocation,
            pseudo_ipv4,
            true_client_ip,
            hides_visitor,
            adds_security,
            hides_powered_by,
        },
        client: Some(Box::new(brought.clone())),
    };
    let client = ClientCertificates { zone: Some(brought), ..ClientCertificates::default() };
    let signed = ZoneHead { edge, origin, client: Some(Box::new(client.clone())), ..signed };
    assert_eq!(Chunk::decode(&ChunkKey::Zone(id), &encode_as(5, &old)).unwrap(), Chunk::Zone(signed.clone()));
    let visitors = vec![VisitorHost { host: apex.clone(), authorities: vec![CertificateId::from_bytes([8; 16])] }];
    let strayed = ZoneHead { client: Some(Box::new(ClientCertificates { visitors, ..client })), ..signed.clone() };
    let strayed = Chunk::decode(&ChunkKey::Zone(id), &Chunk::Zone(strayed).encode());
    assert!(matches!(strayed, Err(ChunkError::Malformed(_))), "an authority that is nowhere");
    let edge = EdgeSettings { tells_certificate: true, ..edge };
    let first = before::ZoneHead3 { id, account, apex: apex.clone(), status, dns: signed.dns.clone() };
    let old = before::ZoneHead6 { first, origin, edge, client: signed.client.clone() };
    let signed = ZoneHead { edge, ..signed };
    assert_eq!(Chunk::decode(&ChunkKey::Zone(id), &encode_as(6, &old)).unwrap(), Chunk::Zone(signed.clone()));
    let signed = Chunk::Zone(ZoneHead { partial: true, ..signed });
    assert_eq!(Chunk::decode(&ChunkKey::Zone(id), &signed.encode()).unwrap(), signed);
    assert!(!format!("{signed:?}").contains("sealed"));
    let target = Some(Target::Tunnel(TunnelId::from_bytes([7; 16])));
    let old = before::NameChunk1 { target: target.clone() };
    let chunk = NameChunk { target, shows: Shows::Edge, sets: RecordSets::default() };
    assert_eq!(Chunk::decode(&ChunkKey::Name(id, apex), &encode(&old)).unwrap(), Chunk::Name(chunk));
}

#[test]
fn a_challenge_is_one_string_and_is_over_at_its_time() {
    let id = ChallengeId::from_bytes([4; 16]);
    let of = |data: &'static [u8]| {
        let shown = Shown::Txt { owner: Name::parse("_acme-challenge.example.com").unwrap(), data: Bytes::from_static(data) };
        ChallengeChunk { id, zone: ZoneId::from_bytes([1; 16]), expires_at: (1 << 32) + 100, shown }
    };
    let chunk = Chunk::Challenge(of(b"\x04text"));
    assert_eq!(Chunk::decode(&ChunkKey::Challenge(id), &chunk.encode()).unwrap(), chunk);
    assert!(Chunk::decode(&ChunkKey::Challenge(ChallengeId::from_bytes([5; 16])), &chunk.encode()).is_err());
    for wrong in [&b""[..], b"\x05text", b"\x03text"] {
        assert!(Chunk::decode(&ChunkKey::Challenge(id), &Chunk::Challenge(of(wrong)).encode()).is_err());
    }
    let host = Name::parse("www.example.com").unwrap();
    for shown in [
        Shown::Http { host: host.clone(), token: "t".into(), text: "t.key".into() },
        Shown::TlsAlpn { host: host.clone(), digest: [7; 32] },
    ] {
        let chunk = Chunk::Challenge(ChallengeChunk { shown, ..of(b"\0") });
        let octets = chunk.encode();
        assert_eq!(octets[0], CHALLENGE_CHUNK_VERSION, "whoever knows records alone says so");
        assert_eq!(Chunk::decode(&ChunkKey::Challenge(id), &octets).unwrap(), chunk);
    }
    let nameless = Shown::Http { host, token: String::new(), text: String::new() };
    let nameless = Chunk::Challenge(ChallengeChunk { shown: nameless, ..of(b"\0") });
    assert!(Chunk::decode(&ChunkKey::Challenge(id), &nameless.encode()).is_err());
    let live = |now_secs| of(b"\0").is_live(now_secs);
    assert!(live(99) && live(u32::MAX) && !live(100) && !live(1000));
}

#[test]
fn other_versions_trailing_bytes_and_contradictions_are_refused() {
    assert_eq!(ChunkKey::decode(&[]), Err(ChunkError::Empty));
    assert_eq!(ChunkKey::decode(&[9, 0]), Err(ChunkError::Version { found: 9 }));
    assert!(matches!(ChunkKey::decode(&[CHUNK_VERSION, 0, 0]), Err(ChunkError::Malformed(_))));
    let tunnel = TunnelChunk {
        id: TunnelId::from_bytes([7; 16]),
        account: AccountId::from_bytes([2; 16]),
        name: "web".into(),
        secret_digests: vec![[1; 32]],
        remote: Some(RemoteConfig { version: 3, json: Bytes::from_static(b"{}") }),
        quick: false,
    };
    let body = Chunk::Tunnel(tunnel.clone()).encode();
    assert_eq!(Chunk::decode(&ChunkKey::Tunnel(tunnel.id), &body).unwrap(), Chunk::Tunnel(tunnel));
    let other = ChunkKey::Tunnel(TunnelId::from_bytes([8; 16]));
    assert!(Chunk::decode(&other, &body).is_err());
    assert!(Chunk::decode(&ChunkKey::Node, &vec![CHUNK_VERSION; CHUNK_BYTES_MAX + 1]).is_err());
}
