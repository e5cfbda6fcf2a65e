//! Sessions that are taken up again, here and at other nodes; and visitors who are asked for a certificate.

use poterne_keys::{CaSpec, LocalCa, NodeKey, Purpose};
use poterne_model::CertificateId;
pub(super) use poterne_model::ClientAuth;
use poterne_snapshot::{ClientCertificates, NodeChunk, TicketKey, VisitorAuthority, VisitorHost};
use rustls::client::Resumption;

use super::super::*;

pub(super) const OURS: CertificateId = CertificateId::from_bytes([3; 16]);
pub(super) const THEIRS: CertificateId = CertificateId::from_bytes([4; 16]);

/// What a visitor shows.
pub(super) type Pair = (Vec<CertificateDer<'static>>, rustls_pki_types::PrivateKeyDer<'static>);

pub(super) fn authority(name: &str) -> LocalCa {
    LocalCa::generate(&CaSpec { name: name.into(), permitted: Vec::new() }, SystemTime::now()).unwrap()
}

/// A certificate of a visitor's.
pub(super) fn visitor(ca: &LocalCa, name: &str, now: SystemTime) -> Pair {
    let leaf = ca.issue_client(name, now, None).unwrap();
    (leaf.chain, leaf.key)
}

/// A client that remembers sessions.
pub(super) fn client(versions: &[&'static SupportedProtocolVersion], shows: Option<&Pair>) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting));
    match shows {
        Some((chain, key)) => builder.with_client_auth_cert(chain.clone(), key.clone_key()).unwrap(),
        None => builder.with_no_client_auth(),
    }
}

/// How a handshake went, and what became of asking.
async fn shake(acceptor: &Acceptor, config: &Arc<ClientConfig>, host: &str) -> (HandshakeKind, Option<Arc<ClientAuth>>) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (client, server) = tokio::io::duplex(64 * 1024);
    let connector = tokio_rustls::TlsConnector::from(Arc::clone(config));
    let to = ServerName::try_from(host.to_owned()).unwrap();
    let connect = async {
        let mut stream = connector.connect(to, client).await.unwrap();
        // Tickets of TLS 1.3 come after the handshake.
        let mut octet = [0];
        stream.read_exact(&mut octet).await.unwrap();
        stream.get_ref().1.handshake_kind().unwrap()
    };
    let accept = async {
        let Accepted::Visitor(mut arrived) = acceptor.accept(server).await.unwrap() else { panic!("a visitor") };
        arrived.stream.write_all(b"x").await.unwrap();
        arrived.stream.flush().await.unwrap();
        arrived
    };
    let (kind, arrived) = tokio::join!(connect, accept);
    (kind, arrived.client)
}

impl World {
    /// Another node of the same snapshot.
    fn acceptor_of(&self, node_key: Option<NodeKey>) -> Acceptor {
        let unwrap: Arc<poterne_edge_tls::certificates::Unwrap> =
            Arc::new(|chunk: &CertificateChunk| Some(PrivatePkcs8KeyDer::from(chunk.key.to_vec()).into()));
        let settings = CertificatesSettings { unwrap: Some(unwrap), node_key, ..CertificatesSettings::default() };
        let certificates = Arc::new(Certificates::new(self.handle.clone(), settings).unwrap());
        Acceptor::new(certificates, None, |_| Class::Visitor, Duration::from_secs(10))
    }

    /// The keys of tickets from now on: those that begin so many hours from now.
    fn tickets(&self, node_key: &NodeKey, keys: &[(i64, u8)]) {
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
        let key = |(hours, octet): &(i64, u8)| TicketKey {
            starts_at: u64::try_from(now + hours * 3600).unwrap(),
            key: node_key.seal(Purpose::TicketKey, b"ticket", &[*octet; 32]).into(),
        };
        let node = NodeChunk { ticket_keys: keys.iter().map(key).collect(), ..NodeChunk::default() };
        self.apply(ChunkKey::Node, Some(Chunk::Node(node)));
    }

    /// Who is asked for whose certificates, from now on.
    pub(super) fn ask(&self, hosts: &[(&str, &[CertificateId])], vouching: &[(CertificateId, &LocalCa)]) {
        let host = |(host, ids): &(&str, &[CertificateId])| VisitorHost { host: name(host), authorities: ids.to_vec() };
        let authority = |(id, ca): &(CertificateId, &LocalCa)| VisitorAuthority {
            id: *id,
            certificates: vec![Bytes::copy_from_slice(ca.certificate())],
            revoked: Vec::new(),
        };
        let client = ClientCertificates {
            visitors: hosts.iter().map(host).collect(),
            authorities: vouching.iter().map(authority).collect(),
            ..ClientCertificates::default()
        };
        let head = self.handle.load().zone(ZONE).unwrap().head().clone();
        self.apply(ChunkKey::Zone(ZONE), Some(Chunk::Zone(ZoneHead { client: Some(Box::new(client)), ..head })));
    }
}

#[tokio::test]
async fn a_session_is_taken_up_at_another_node_while_its_key_is_there() {
    let world = World::new();
    world.certify(1, &["example.com"]);
    let node_key = NodeKey::generate();
    world.tickets(&node_key, &[(-1, 1), (11, 2)]);
    let (one, other) = (world.acceptor_of(Some(node_key.clone())), world.acceptor_of(Some(node_key.clone())));
    for versions in [&[&TLS12][..], &[&TLS13]] {
        let config = Arc::new(client(versions, None));
        assert_eq!(shake(&one, &config, "example.com").await.0, HandshakeKind::Full);
        assert_eq!(shake(&other, &config, "example.com").await.0, HandshakeKind::Resumed, "{versions:?}");
        // The next key makes tickets now, and this one's are good still.
        world.tickets(&node_key, &[(-13, 1), (-1, 2), (11, 3)]);
        assert_eq!(shake(&one, &config, "example.com").await.0, HandshakeKind::Resumed, "{versions:?}");
        world.tickets(&node_key, &[(-1, 2), (11, 3)]);
        assert_eq!(shake(&other, &config, "example.com").await.0, HandshakeKind::Resumed, "its ticket was renewed since");
        world.tickets(&node_key, &[(-1, 5), (11, 6)]);
        assert_eq!(shake(&one, &config, "example.com").await.0, HandshakeKind::Full, "its key is gone");
        world.tickets(&node_key, &[(-1, 1), (11, 2)]);
    }
    let stranger = world.acceptor_of(Some(NodeKey::generate()));
    let config = Arc::new(client(&[&TLS13], None));
    assert_eq!(shake(&one, &config, "example.com").await.0, HandshakeKind::Full);
    assert_eq!(shake(&stranger, &config, "example.com").await.0, HandshakeKind::Full, "the keys do not open for it");
    assert_eq!(shake(&stranger, &config, "example.com").await.0, HandshakeKind::Resumed, "it has one of its own");
}

#[tokio::test]
async fn visitors_of_hosts_that_ask_are_judged_by_whom_the_host_names() {
    let world = World::new();
    world.certify(1, &["example.com", "*.example.com"]);
    let (ours, theirs, now) = (authority("ours"), authority("theirs"), SystemTime::now());
    world.ask(&[("a.example.com", &[OURS]), ("b.example.com", &[OURS, THEIRS])], &[(OURS, &ours), (THEIRS, &theirs)]);
    let (ann, bob) = (visitor(&ours, "ann", now), visitor(&theirs, "bob", now));
    let long_ago = visitor(&ours, "eve", now - Duration::from_secs(400 * 86_400));
    let judged = async |versions: &[&'static SupportedProtocolVersion], shows: Option<&Pair>, host: &str| {
        let mut config = client(versions, shows);
        config.resumption = Resumption::disabled();
        let (_, client) = shake(&world.acceptor, &Arc::new(config), host).await;
        client.map(|client| (client.asked.to_vec(), client.shown.as_ref().map(|shown| shown.verified_by)))
    };
    for versions in [&[&TLS12][..], &[&TLS13]] {
        let of_a = async |shows| judged(versions, shows, "a.example.com").await.unwrap();
        assert_eq!(of_a(None).await, (vec![OURS], None), "the handshake goes on without");
        assert_eq!(of_a(Some(&ann)).await, (vec![OURS], Some(Some(OURS))));
        assert_eq!(of_a(Some(&bob)).await, (vec![OURS], Some(None)), "nobody here vouches for it");
        assert_eq!(of_a(Some(&long_ago)).await, (vec![OURS], Some(None)), "it has ended");
        let of_b = judged(versions, Some(&bob), "b.example.com").await;
        assert_eq!(of_b, Some((vec![OURS, THEIRS], Some(Some(THEIRS)))));
        assert_eq!(judged(versions, Some(&ann), "example.com").await, None, "this host asks nobody");
    }
    let (_, client) = shake(&world.acceptor, &Arc::new(client(&[&TLS13], Some(&ann))), "A.Example.com").await;
    let shown = client.unwrap().shown.clone().unwrap();
    assert_eq!((&*shown.subject.rfc2253, &*shown.issuer.rfc2253), ("CN=ann", "CN=ours"));
    assert_eq!(*shown.der, *ann.0[0]);
    // By a wildcard, where nothing is said of the host itself.
    world.ask(&[("*.example.com", &[OURS]), ("b.example.com", &[THEIRS])], &[(OURS, &ours), (THEIRS, &theirs)]);
    let asked = async |host: &str| judged(&[&TLS13], Some(&ann), host).await.map(|(asked, _)| asked);
    assert_eq!((asked("c.example.com").await, asked("b.example.com").await), (Some(vec![OURS]), Some(vec![THEIRS])));
    assert_eq!(asked("example.com").await, None);
}

#[tokio::test]
async fn a_session_brings_along_what_was_shown_and_is_bound_to_who_was_asked_for() {
    let world = World::new();
    world.certify(1, &["a.example.com"]);
    let (ours, theirs, now) = (authority("ours"), authority("theirs"), SystemTime::now());
    let ann = visitor(&ours, "ann", now);
    for versions in [&[&TLS12][..], &[&TLS13]] {
        world.ask(&[], &[]);
        let config = Arc::new(client(versions, Some(&ann)));
        let shaken = async || {
            let (kind, client) = shake(&world.acceptor, &config, "a.example.com").await;
            (kind, client.map(|client| client.shown.as_ref().and_then(|shown| shown.verified_by)))
        };
        assert_eq!(shaken().await, (HandshakeKind::Full, None));
        assert_eq!(shaken().await, (HandshakeKind::Resumed, None));
        world.ask(&[("a.example.com", &[OURS])], &[(OURS, &ours)]);
        assert_eq!(shaken().await, (HandshakeKind::Full, Some(Some(OURS))), "what was begun unasked is not taken up");
        assert_eq!(shaken().await, (HandshakeKind::Resumed, Some(Some(OURS))), "{versions:?}");
        world.ask(&[("a.example.com", &[THEIRS])], &[(THEIRS, &theirs)]);
        assert_eq!(shaken().await, (HandshakeKind::Full, Some(None)), "nor what was begun for others");
        world.ask(&[], &[]);
        assert_eq!(shaken().await, (HandshakeKind::Full, None));
    }
}
