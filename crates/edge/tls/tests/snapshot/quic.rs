//! Visitors over QUIC, asked for a certificate or not as their host wants it: sessions without a network between.

use std::sync::atomic::{AtomicUsize, Ordering};

use poterne_edge_tls::{Agents, Told};
use quinn_proto::{
    Side, TransportError,
    crypto::{ClientConfig as _, ServerConfig as QuicConfig, Session, rustls::QuicClientConfig},
    transport_parameters::TransportParameters,
};
use rustls::{
    client::ResolvesClientCert,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::{super::*, clients::*};

/// QUIC's version 1 (RFC 9000).
const VERSION: u32 = 1;

/// Carries what one says to the other, in pieces of so many octets; false: it had nothing to say.
fn carry(from: &mut dyn Session, to: &mut dyn Session, piece: usize) -> Result<bool, TransportError> {
    let mut said = false;
    loop {
        let mut bytes = Vec::new();
        let keys = from.write_handshake(&mut bytes);
        if bytes.is_empty() && keys.is_none() {
            return Ok(said);
        }
        for part in bytes.chunks(piece) {
            to.read_handshake(part)?;
        }
        said = true;
    }
}

/// What the edge knows of a visitor after the handshake; none: there was none.
fn shake(
    quic: &Arc<dyn QuicConfig>,
    mut config: ClientConfig,
    alpn: &[u8],
    host: &str,
    piece: usize,
) -> Option<Box<(Told, Option<Arc<ClientAuth>>)>> {
    config.alpn_protocols = vec![alpn.to_vec()];
    let config = Arc::new(QuicClientConfig::try_from(config).unwrap());
    // As of a peer that says nothing of itself.
    let params = TransportParameters::read(Side::Server, &mut &[][..]).unwrap();
    let mut client = config.start_session(VERSION, host, &params).ok()?;
    let mut server = Arc::clone(quic).start_session(VERSION, &params);
    loop {
        let there = carry(&mut *client, &mut *server, piece).ok()?;
        let back = carry(&mut *server, &mut *client, usize::MAX).ok()?;
        if !there && !back {
            break;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    let told = server.handshake_data()?.downcast::<Told>().ok()?;
    let auth = told.client(server.peer_identity());
    Some(Box::new((*told, auth)))
}

#[tokio::test]
async fn visitors_are_asked_as_their_host_wants_whatever_packets_the_hello_came_in() {
    let world = World::new();
    world.certify(1, &["example.com", "*.example.com"]);
    let (ours, theirs, now) = (authority("ours"), authority("theirs"), SystemTime::now());
    world.ask(&[("*.example.com", &[THEIRS]), ("a.example.com", &[OURS])], &[(OURS, &ours), (THEIRS, &theirs)]);
    let (ann, bob) = (visitor(&ours, "ann", now), visitor(&theirs, "bob", now));
    let quic = world.acceptor.quic(Arc::clone(&world.certificates), None).unwrap();
    let come = |shows: Option<&Pair>, host: &str, piece: usize| {
        let (told, auth) = *shake(&quic, client(&[&TLS13], shows), b"h3", host, piece).unwrap();
        assert_eq!((told.protocol.as_deref(), told.server_name.as_deref()), (Some(&b"h3"[..]), Some(host)));
        auth.map(|auth| (auth.asked.to_vec(), auth.shown.as_ref().map(|shown| shown.verified_by)))
    };
    for piece in [1, 7, 1200, usize::MAX] {
        assert_eq!(come(Some(&ann), "example.com", piece), None, "this host asks nobody");
        assert_eq!(come(None, "a.example.com", piece), Some((vec![OURS], None)), "the handshake goes on without");
        assert_eq!(come(Some(&ann), "a.example.com", piece), Some((vec![OURS], Some(Some(OURS)))));
        assert_eq!(come(Some(&bob), "a.example.com", piece), Some((vec![OURS], Some(None))), "nobody here vouches for it");
        assert_eq!(come(Some(&bob), "b.example.com", piece), Some((vec![THEIRS], Some(Some(THEIRS)))));
    }
    let (_, auth) = *shake(&quic, client(&[&TLS13], Some(&ann)), b"h3", "a.example.com", 100).unwrap();
    let shown = auth.unwrap().shown.clone().unwrap();
    assert_eq!((&*shown.subject.rfc2253, &*shown.der), ("CN=ann", ann.0[0].as_ref()));
    // From the next connection on, as over TCP.
    world.ask(&[], &[]);
    assert_eq!(come(Some(&ann), "a.example.com", 100), None);
}

/// Shows what it has, and counts how often it was asked for it.
#[derive(Debug)]
struct Counting(Arc<CertifiedKey>, AtomicUsize);

impl ResolvesClientCert for Counting {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.1.fetch_add(1, Ordering::SeqCst);
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn a_session_is_taken_up_with_what_was_shown_and_under_its_terms_alone() {
    let world = World::new();
    world.certify(1, &["a.example.com"]);
    let (ours, theirs, now) = (authority("ours"), authority("theirs"), SystemTime::now());
    let (chain, key) = visitor(&ours, "ann", now);
    let key = CertifiedKey::from_der(chain, key, &rustls::crypto::aws_lc_rs::default_provider()).unwrap();
    let shows = Arc::new(Counting(Arc::new(key), AtomicUsize::new(0)));
    let mut config = client(&[&TLS13], None);
    config.client_auth_cert_resolver = Arc::<Counting>::clone(&shows);
    let quic = world.acceptor.quic(Arc::clone(&world.certificates), None).unwrap();
    let come = || {
        let (_, auth) = *shake(&quic, config.clone(), b"h3", "a.example.com", 1200).unwrap();
        (auth.map(|auth| auth.shown.as_ref().map(|shown| shown.verified_by)), shows.1.load(Ordering::SeqCst))
    };
    world.ask(&[("a.example.com", &[OURS])], &[(OURS, &ours)]);
    assert_eq!(come(), (Some(Some(Some(OURS))), 1));
    assert_eq!(come(), (Some(Some(Some(OURS))), 1), "the session brings it along");
    world.ask(&[("a.example.com", &[THEIRS])], &[(THEIRS, &theirs)]);
    assert_eq!(come(), (Some(Some(None)), 2), "it was begun for others");
    world.ask(&[], &[]);
    assert_eq!(come(), (None, 2));
    world.ask(&[("a.example.com", &[OURS])], &[(OURS, &ours)]);
    assert_eq!(come(), (Some(Some(Some(OURS))), 3), "what was begun unasked is not taken up");
}

#[derive(Debug)]
struct Gateway(Arc<CertifiedKey>);

impl ResolvesServerCert for Gateway {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

#[tokio::test]
async fn agents_are_asked_for_nothing_by_whatever_name_they_come() {
    let world = World::new();
    let ours = authority("ours");
    world.ask(&[("a.example.com", &[OURS])], &[(OURS, &ours)]);
    let (chunk, _) = certificate(1, &["gateway.test"]);
    let chain = chunk.chain.iter().map(|der| CertificateDer::from(der.to_vec())).collect();
    let key = PrivatePkcs8KeyDer::from(chunk.key.to_vec()).into();
    let key = CertifiedKey::from_der(chain, key, &rustls::crypto::aws_lc_rs::default_provider()).unwrap();
    let agents = Agents { alpn: b"argotunnel".to_vec(), certificates: Arc::new(Gateway(Arc::new(key))) };
    let quic = world.acceptor.quic(Arc::clone(&world.certificates), Some(agents)).unwrap();
    let (told, auth) = *shake(&quic, client(&[&TLS13], None), b"argotunnel", "a.example.com", 100).unwrap();
    assert_eq!((told.protocol.as_deref(), auth), (Some(&b"argotunnel"[..]), None));
    assert!(shake(&quic, client(&[&TLS13], None), b"h3", "a.example.com", 100).is_none(), "there is no certificate for it");
    assert!(shake(&quic, client(&[&TLS13], None), b"h2", "a.example.com", 100).is_none(), "nor is that spoken here");
}
