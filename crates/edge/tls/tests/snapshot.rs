//! Certificates and challenges of the snapshot, in real handshakes over an in-memory pipe.
#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

mod snapshot {
    mod clients;
    mod quic;
}

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use poterne_edge_tls::{Accepted, Acceptor, Certificates, CertificatesSettings, Class};
use poterne_feed::Change;
use poterne_model::{
    AccountId, CertificatePackId, ChallengeId, Name, ZoneId, ZoneStatus,
    setting::{EdgeSettings, OriginSettings, TlsVersions},
};
use poterne_snapshot::{CertificateChunk, ChallengeChunk, Chunk, ChunkKey, Keeper, Shown, SnapshotHandle, ZoneHead};
use rustls::{
    AlertDescription, ClientConfig, DigitallySignedStruct, HandshakeKind, ProtocolVersion, SignatureScheme,
    SupportedProtocolVersion,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    version::{TLS12, TLS13},
};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};

const ZONE: ZoneId = ZoneId::from_bytes([1; 16]);

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// Takes whatever it is shown: what it was is looked at afterwards.
#[derive(Debug)]
struct Trusting;

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

/// A pack's certificate, and what it is.
fn certificate(pack: u8, hosts: &[&str]) -> (CertificateChunk, Vec<u8>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let names: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    let certificate = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    let id = CertificatePackId::from_bytes([pack; 16]);
    let chunk = CertificateChunk {
        id,
        names: hosts.iter().map(|host| name(host)).collect(),
        chain: vec![Bytes::copy_from_slice(certificate.der())],
        key: key.serialize_der().into(),
        rank: 0,
        not_after: u64::from(u32::MAX),
    };
    (chunk, certificate.der().to_vec())
}

struct World {
    handle: SnapshotHandle,
    certificates: Arc<Certificates>,
    acceptor: Acceptor,
}

impl World {
    fn new() -> Self {
        let world = Self::over(SnapshotHandle::empty());
        world.set(EdgeSettings::default());
        world
    }

    fn over(handle: SnapshotHandle) -> Self {
        let unwrap: Arc<poterne_edge_tls::certificates::Unwrap> =
            Arc::new(|chunk: &CertificateChunk| Some(PrivatePkcs8KeyDer::from(chunk.key.to_vec()).into()));
        let settings = CertificatesSettings { unwrap: Some(unwrap), ..CertificatesSettings::default() };
        let certificates = Arc::new(Certificates::new(handle.clone(), settings).unwrap());
        let acceptor = Acceptor::new(Arc::clone(&certificates), None, |_| Class::Visitor, Duration::from_secs(10));
        Self { handle, certificates, acceptor }
    }

    /// The zone's settings from now on.
    fn set(&self, edge: EdgeSettings) {
        let (account, apex) = (AccountId::from_bytes([2; 16]), name("example.com"));
        let (status, origin) = (ZoneStatus::Active, OriginSettings::default());
        let head = ZoneHead { id: ZONE, account, apex, status, dns: None, origin, edge, client: None, partial: false };
        self.apply(ChunkKey::Zone(ZONE), Some(Chunk::Zone(head)));
    }

    fn apply(&self, key: ChunkKey, chunk: Option<Chunk>) {
        let generation = self.handle.load().generation() + 1;
        let chunks = vec![(key.encode(), chunk.map(|chunk| chunk.encode()))];
        self.handle.apply(&Change { generation, chunks }).unwrap();
    }

    /// A pack's certificate from now on; what it is.
    fn certify(&self, pack: u8, hosts: &[&str]) -> Vec<u8> {
        let (chunk, der) = certificate(pack, hosts);
        self.apply(ChunkKey::Certificate(chunk.id), Some(Chunk::Certificate(chunk)));
        der
    }

    /// What a client is shown, and whether it was taken for an authority; none: an alert.
    async fn shown(&self, host: &str, alpn: &[&[u8]]) -> Option<(Vec<u8>, bool)> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Trusting))
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        let (client, server) = tokio::io::duplex(64 * 1024);
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let to = ServerName::try_from(host.to_owned()).unwrap();
        let (connected, accepted) = tokio::join!(connector.connect(to, client), self.acceptor.accept(server));
        let (connected, accepted) = (connected.ok()?, accepted.ok()?);
        let (_, session) = connected.get_ref();
        let leaf = session.peer_certificates()?.first()?.to_vec();
        Some((leaf, matches!(accepted, Accepted::Authority)))
    }
}

#[tokio::test]
async fn a_certificate_is_another_as_soon_as_the_snapshot_has_it() {
    let world = World::new();
    assert_eq!(world.shown("www.example.com", &[]).await, None, "there is nothing, and nobody issues");
    let first = world.certify(1, &["example.com", "*.example.com"]);
    for host in ["www.example.com", "example.com", "WWW.example.com"] {
        assert_eq!(world.shown(host, &[b"h2"]).await, Some((first.clone(), false)), "{host}");
    }
    assert_eq!(world.shown("a.b.example.com", &[]).await, None);
    let second = world.certify(1, &["example.com", "*.example.com"]);
    assert_ne!(first, second);
    assert_eq!(world.shown("www.example.com", &[]).await, Some((second.clone(), false)), "the next visitor has the next one");
    let deep = world.certify(2, &["a.b.example.com"]);
    assert_eq!(world.shown("a.b.example.com", &[]).await, Some((deep, false)));
    world.apply(ChunkKey::Certificate(CertificatePackId::from_bytes([1; 16])), None);
    assert_eq!(world.shown("www.example.com", &[]).await, None, "what is taken away is not served on");
}

#[tokio::test]
async fn certificates_that_lie_on_disk_are_read_when_somebody_asks() {
    const HOSTS: u8 = 40;
    let dir = tempfile::tempdir().unwrap();
    let host = |number: u8| format!("host-{number}.example.com");
    let made: Vec<_> = (0..HOSTS).map(|number| certificate(number, &[&host(number)])).collect();
    let put = |made: &[(CertificateChunk, Vec<u8>)], generation| {
        let chunk = |(chunk, _): &(CertificateChunk, Vec<u8>)| {
            (ChunkKey::Certificate(chunk.id).encode(), Some(Chunk::Certificate(chunk.clone()).encode()))
        };
        Change { generation, chunks: made.iter().map(chunk).collect() }
    };
    Keeper::open(dir.path()).unwrap().accept(&put(&made, 1)).unwrap();
    let keeper = Keeper::open(dir.path()).unwrap();
    let world = Arc::new(World::over(keeper.handle()));
    // More at a time than are read at a time; the handshakes of a host that come together wait for one read.
    let visits: Vec<_> = (0..3 * HOSTS).map(|visit| visit % HOSTS).collect();
    let visits = visits.into_iter().map(|number| {
        let (world, host) = (Arc::clone(&world), host(number));
        (number, tokio::spawn(async move { world.shown(&host, &[]).await }))
    });
    for (number, visit) in visits.collect::<Vec<_>>() {
        let shown = visit.await.unwrap().map(|(leaf, _)| leaf);
        assert_eq!(shown.as_ref(), Some(&made[usize::from(number)].1), "{number}");
    }
    // One that is renewed is another at once.
    let next = certificate(7, &[&host(7)]);
    keeper.accept(&put(std::slice::from_ref(&next), 2)).unwrap();
    assert_eq!(world.shown(&host(7), &[]).await, Some((next.1, false)));

    // What is damaged is not shown, and takes nothing else along.
    let files = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
    let file = files.into_iter().find(|path| path.file_name().unwrap().to_str().unwrap().starts_with("certificates.")).unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[8..108].fill(0);
    std::fs::write(&file, bytes).unwrap();
    let anew = World::over(Keeper::open(dir.path()).unwrap().handle());
    assert_eq!(anew.shown(&host(0), &[]).await, None);
    assert_eq!(anew.shown(&host(1), &[]).await, Some((made[1].1.clone(), false)));
}

/// What a client of these versions that offers these protocols agrees on with a zone of these settings, or why not.
async fn agreed(
    world: &World,
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[&[u8]],
) -> Result<(ProtocolVersion, Option<Vec<u8>>), rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    let (client, server) = tokio::io::duplex(64 * 1024);
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let to = ServerName::try_from("example.com").unwrap();
    let (connected, accepted) = tokio::join!(connector.connect(to, client), world.acceptor.accept(server));
    match connected {
        Ok(stream) => {
            assert!(accepted.is_ok());
            let session = stream.get_ref().1;
            Ok((session.protocol_version().unwrap(), session.alpn_protocol().map(<[u8]>::to_vec)))
        }
        Err(error) => {
            assert!(accepted.is_err());
            Err(error.get_ref().unwrap().downcast_ref::<rustls::Error>().unwrap().clone())
        }
    }
}

#[tokio::test]
async fn versions_and_protocols_are_the_zones() {
    let world = World::new();
    world.certify(1, &["example.com"]);
    let (one, other) = (&[&TLS12][..], &[&TLS13][..]);
    let refused = |alert| Err(rustls::Error::AlertReceived(alert));
    let default = EdgeSettings::default();
    for (tls, with_12, with_13) in [
        (TlsVersions::Both, Ok(ProtocolVersion::TLSv1_2), Ok(ProtocolVersion::TLSv1_3)),
        (TlsVersions::Only13, refused(AlertDescription::ProtocolVersion), Ok(ProtocolVersion::TLSv1_3)),
        (TlsVersions::Only12, Ok(ProtocolVersion::TLSv1_2), refused(AlertDescription::ProtocolVersion)),
    ] {
        world.set(EdgeSettings { tls, ..default });
        for (versions, expected) in [(one, with_12), (other, with_13)] {
            let told = agreed(&world, versions, &[]).await.map(|(version, _)| version);
            assert_eq!(told, expected, "{tls:?} and {versions:?}");
        }
        assert!(agreed(&world, &[&TLS13, &TLS12], &[]).await.is_ok(), "{tls:?}");
    }
    for (http2, offered, expected) in [
        (true, &[&b"h2"[..], b"http/1.1"][..], Ok(b"h2".to_vec())),
        (false, &[b"h2", b"http/1.1"], Ok(b"http/1.1".to_vec())),
        (false, &[b"h2"], Err(rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol))),
    ] {
        world.set(EdgeSettings { http2, ..default });
        let told = agreed(&world, &[&TLS13, &TLS12], offered).await.map(|(_, protocol)| protocol.unwrap());
        assert_eq!(told, expected, "{http2}");
    }
}

#[tokio::test]
async fn a_session_is_not_taken_up_with_a_version_that_is_off_now() {
    let world = World::new();
    world.certify(1, &["example.com"]);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS12])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting))
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let connect = async || {
        let (client, server) = tokio::io::duplex(64 * 1024);
        let to = ServerName::try_from("example.com").unwrap();
        let (connected, _accepted) = tokio::join!(connector.connect(to, client), world.acceptor.accept(server));
        connected.map(|stream| stream.get_ref().1.handshake_kind().unwrap())
    };
    assert_eq!(connect().await.unwrap(), HandshakeKind::Full);
    assert_eq!(connect().await.unwrap(), HandshakeKind::Resumed);
    world.set(EdgeSettings { tls: TlsVersions::Only13, ..EdgeSettings::default() });
    assert!(connect().await.is_err());
    world.set(EdgeSettings { tls: TlsVersions::Only12, ..EdgeSettings::default() });
    assert_eq!(connect().await.unwrap(), HandshakeKind::Full, "it was begun while others were let in");
    assert_eq!(connect().await.unwrap(), HandshakeKind::Resumed);
}

#[tokio::test]
async fn an_authority_is_shown_the_challenge_and_nothing_else() {
    let world = World::new();
    let certificate = world.certify(1, &["example.com"]);
    let (id, digest) = (ChallengeId::from_bytes([5; 16]), [7; 32]);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let challenge = |expires_at| {
        let shown = Shown::TlsAlpn { host: name("example.com"), digest };
        Chunk::Challenge(ChallengeChunk { id, zone: ZONE, expires_at, shown })
    };
    assert_eq!(world.shown("example.com", &[b"acme-tls/1"]).await, None, "nothing is asked");
    world.apply(ChunkKey::Challenge(id), Some(challenge(now + 600)));
    let (shown, is_authority) = world.shown("example.com", &[b"acme-tls/1"]).await.unwrap();
    assert!(is_authority);
    let (_, parsed) = x509_parser::parse_x509_certificate(&shown).unwrap();
    // RFC 8737 §3: critical, and the digest as an octet string.
    let extension = parsed.iter_extensions().find(|extension| extension.oid.to_id_string() == "1.3.6.1.5.5.7.1.31").unwrap();
    assert!(extension.critical);
    assert_eq!(extension.value, [&[4, 32][..], &digest].concat());
    let names = parsed.subject_alternative_name().unwrap().unwrap();
    assert_eq!(names.value.general_names.len(), 1);
    assert_eq!(world.shown("example.com", &[b"h2"]).await, Some((certificate, false)), "visitors see nothing of it");
    assert_eq!(world.shown("www.example.com", &[b"acme-tls/1"]).await, None);
    world.apply(ChunkKey::Challenge(id), Some(challenge(now - 1)));
    assert_eq!(world.shown("example.com", &[b"acme-tls/1"]).await, None, "its time is over");
}
