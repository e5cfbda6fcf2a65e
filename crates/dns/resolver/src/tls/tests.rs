//! Against a primary on a real socket, whose certificates are made here.

use poterne_dns_wire::{name as labels, rtype};
use poterne_model::Name;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{ServerConfig, SupportedProtocolVersion, pki_types::PrivateKeyDer};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::{
    incoming::{Bounds, Came},
    primary::{self, Primary, PrimaryError},
};

const BOUNDS: Bounds = Bounds { records: 100, octets: 10_000 };

/// A certificate and its key.
struct Made {
    pem: String,
    der: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

fn made(params: &CertificateParams, issuer: Option<&Issuer<'_, KeyPair>>) -> Made {
    let key = KeyPair::generate().unwrap();
    let certificate = match issuer {
        Some(issuer) => params.signed_by(&key, issuer).unwrap(),
        None => params.self_signed(&key).unwrap(),
    };
    let der = certificate.der().clone();
    Made { pem: certificate.pem(), der, key: PrivateKeyDer::try_from(key.serialize_der()).unwrap() }
}

/// An authority, and its certificate.
fn authority() -> (Issuer<'static, KeyPair>, String) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    (Issuer::new(params, key), pem)
}

fn of(name: &str) -> CertificateParams {
    CertificateParams::new(vec![name.to_owned()]).unwrap()
}

fn record(owner: &str, number: u16, data: &[u8]) -> Vec<u8> {
    let mut octets = Vec::new();
    labels::push(owner, &mut octets);
    octets.extend(number.to_be_bytes());
    octets.extend([0, 1, 0, 0, 1, 44]);
    octets.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    octets.extend(data);
    octets
}

/// What it says: its version, or the zone.
fn reply(query: &[u8]) -> Vec<u8> {
    let mut soa = Vec::new();
    labels::push("ns1.example.net", &mut soa);
    labels::push("dns.example.net", &mut soa);
    [7u32, 7200, 900, 86_400, 60].iter().for_each(|number| soa.extend(number.to_be_bytes()));
    let mut server = Vec::new();
    labels::push("ns1.example.net", &mut server);
    let soa = record("example.com", rtype::SOA, &soa);
    let is_whole = query[query.len() - 4..][..2] == rtype::AXFR.to_be_bytes();
    let records = if is_whole { vec![soa.clone(), record("example.com", rtype::NS, &server), soa] } else { vec![soa] };
    let mut reply = vec![query[0], query[1], 0x84, 0, 0, 0, 0, u8::try_from(records.len()).unwrap(), 0, 0, 0, 0];
    reply.extend(records.concat());
    reply
}

/// A primary that speaks these versions of TLS, and says which protocol was named.
async fn serve(made: Made, versions: &[&'static SupportedProtocolVersion]) -> (SocketAddr, tokio::task::JoinHandle<Vec<u8>>) {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    let mut config = builder.with_no_client_auth().with_single_cert(vec![made.der], made.key).unwrap();
    config.alpn_protocols = vec![b"other".to_vec(), ALPN.to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let named = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let named = stream.get_ref().1.alpn_protocol().unwrap_or_default().to_vec();
            let Ok(length) = stream.read_u16().await else { continue };
            let mut query = vec![0; length.into()];
            stream.read_exact(&mut query).await.unwrap();
            let reply = reply(&query);
            stream.write_u16(u16::try_from(reply.len()).unwrap()).await.unwrap();
            stream.write_all(&reply).await.unwrap();
            stream.shutdown().await.unwrap();
            return named;
        }
    });
    (address, named)
}

async fn asked(at: SocketAddr, tls: PeerTls) -> Result<usize, String> {
    let primary = Primary { at, key: None, gives_differences: true, tls: Some(tls) };
    let apex = Name::parse("example.com").unwrap();
    match primary::ask(&primary, &apex, None, false, BOUNDS, &|| 0).await {
        Ok(Came::Whole(held, records)) => {
            assert_eq!(held.serial, 7);
            Ok(records.len())
        }
        Ok(other) => panic!("{other:?}"),
        Err(PrimaryError::Io(error)) => Err(error.to_string()),
        Err(error) => panic!("{error}"),
    }
}

const BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

#[tokio::test]
async fn a_zone_comes_from_whom_the_authority_vouches_for() {
    let (issuer, ca) = authority();
    let (at, named) = serve(made(&of("ns1.example.net"), Some(&issuer)), BOTH).await;
    assert_eq!(asked(at, PeerTls::new(Some("ns1.example.net"), Some(&ca), true).unwrap()).await, Ok(1));
    assert_eq!(named.await.unwrap(), ALPN);
}

#[tokio::test]
async fn nobody_else_gives_it() {
    let (issuer, ca) = authority();
    let (_, other) = authority();
    let (at, named) = serve(made(&of("ns1.example.net"), Some(&issuer)), BOTH).await;
    for (name, ca, why) in [
        (Some("ns2.example.net"), Some(&ca), "not valid for name"),
        // Another authority that calls itself the same.
        (Some("ns1.example.net"), Some(&other), "BadSignature"),
        // The authority is not the server, and without a name whatever it vouches for is nobody in particular.
        (None, Some(&ca), "UnknownIssuer"),
    ] {
        let told = asked(at, PeerTls::new(name, ca.map(String::as_str), true).unwrap()).await.unwrap_err();
        assert!(told.contains("TLS with it fails") && told.contains(why), "{told}");
    }
    assert!(!named.is_finished(), "nothing was asked");
    named.abort();
}

/// As `openssl req -x509` makes them: an authority of its own, for no name, which no rule of the web lets be a server.
#[tokio::test]
async fn a_certificate_that_was_given_is_believed_as_it_is() {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let own = made(&params, None);
    let pem = own.pem.clone();
    let (at, _) = serve(own, BOTH).await;
    assert_eq!(asked(at, PeerTls::new(None, Some(&pem), true).unwrap()).await, Ok(1));
}

#[tokio::test]
async fn any_certificate_will_do_where_that_is_asked_for() {
    let (at, _) = serve(made(&of("whoever.test"), None), BOTH).await;
    assert_eq!(asked(at, PeerTls::new(None, None, false).unwrap()).await, Ok(1));
}

#[tokio::test]
async fn an_older_tls_is_not_spoken() {
    let (at, named) = serve(made(&of("whoever.test"), None), &[&rustls::version::TLS12]).await;
    let told = asked(at, PeerTls::new(None, None, false).unwrap()).await.unwrap_err();
    assert!(told.contains("TLS with it fails"), "{told}");
    named.abort();
}

#[tokio::test]
async fn a_server_without_tls_is_asked_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let received = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut first = [0; 3];
        stream.read_exact(&mut first).await.unwrap();
        // As a server in clear takes it: a message of 5,633 octets that does not come. It answers something, and closes.
        stream.write_all(&[0, 1, 2, 3, 4, 5, 6, 7]).await.unwrap();
        first
    });
    assert!(asked(at, PeerTls::new(None, None, false).unwrap()).await.is_err());
    assert_eq!(received.await.unwrap(), [22, 3, 1], "a handshake, and nothing else");
}

#[test]
fn what_cannot_be_is_said_before_anybody_is_asked() {
    assert!(matches!(PeerTls::new(Some("no name"), None, false), Err(TlsError::Name(_))));
    assert!(matches!(PeerTls::new(None, Some("no pem"), true), Err(TlsError::Certificates)));
    assert!(matches!(PeerTls::new(None, None, true), Err(TlsError::Nobody)));
}
