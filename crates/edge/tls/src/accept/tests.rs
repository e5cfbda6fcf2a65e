//! Real handshakes over an in-memory pipe.

use std::time::SystemTime;

use poterne_snapshot::SnapshotHandle;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;

use super::*;
use crate::{CertificatesSettings, FileError, Issued, Issuer};

fn key_and_certificate(names: &[&str]) -> (rcgen::KeyPair, rcgen::Certificate) {
    let key = rcgen::KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let certificate = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    (key, certificate)
}

struct SelfSigned;

impl Issuer for SelfSigned {
    fn issue(&self, name: &str) -> Result<Issued, String> {
        let (key, certificate) = key_and_certificate(&[name]);
        Ok(Issued {
            chain: vec![certificate.der().clone()],
            key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            renew_after: SystemTime::now() + Duration::from_secs(3600),
        })
    }
}

use rustls_pki_types::PrivateKeyDer;

fn acceptor(settings: CertificatesSettings) -> Acceptor {
    let certificates = Certificates::new(SnapshotHandle::empty(), settings).unwrap();
    let classify = |sni: Option<&str>| if sni == Some("node.test") { Class::Node } else { Class::Visitor };
    Acceptor::new(Arc::new(certificates), None, classify, Duration::from_secs(10))
}

async fn connect(
    acceptor: &Acceptor,
    root: &rcgen::Certificate,
    name: &str,
    alpn: &[&[u8]],
) -> (bool, Result<(Class, Protocol, Option<Box<str>>), AcceptError>) {
    let mut roots = RootCertStore::empty();
    roots.add(root.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    let (client, server) = tokio::io::duplex(16 * 1024);
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let (connected, accepted) = tokio::join!(connector.connect(name, client), acceptor.accept(server));
    let accepted = accepted.map(|accepted| match accepted {
        Accepted::Visitor(a) => (Class::Visitor, a.protocol, a.sni),
        Accepted::Agent(a) => (Class::Agent, a.protocol, a.sni),
        Accepted::Node(a) => (Class::Node, a.protocol, a.sni),
        Accepted::Authority => panic!("nobody asks for a challenge"),
    });
    (connected.is_ok(), accepted)
}

fn files(dir: &tempfile::TempDir, names: &[&str]) -> (rcgen::Certificate, Vec<(std::path::PathBuf, std::path::PathBuf)>) {
    let (key, certificate) = key_and_certificate(names);
    let (cert_path, key_path) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&cert_path, certificate.pem()).unwrap();
    std::fs::write(&key_path, key.serialize_pem()).unwrap();
    (certificate, vec![(cert_path, key_path)])
}

#[tokio::test]
async fn a_name_gets_its_certificate_and_alpn_its_protocol() {
    let dir = tempfile::tempdir().unwrap();
    let (root, files) = files(&dir, &["a.test", "*.b.test", "node.test"]);
    let acceptor = acceptor(CertificatesSettings { files, ..CertificatesSettings::default() });
    let (ok, accepted) = connect(&acceptor, &root, "A.test", &[b"h2", b"http/1.1"]).await;
    assert!(ok);
    assert_eq!(accepted.unwrap(), (Class::Visitor, Protocol::Http2, Some("a.test".into())));
    // The stock agent's access client offers no ALPN at all.
    let (ok, accepted) = connect(&acceptor, &root, "x.b.test", &[]).await;
    assert!(ok);
    assert_eq!(accepted.unwrap().1, Protocol::Http1);
    let (_, accepted) = connect(&acceptor, &root, "node.test", &[b"http/1.1"]).await;
    assert_eq!(accepted.unwrap().0, Class::Node);
    for unknown in ["b.test", "x.y.b.test", "other.test"] {
        let (ok, accepted) = connect(&acceptor, &root, unknown, &[]).await;
        assert!(!ok && accepted.is_err(), "{unknown} gets an alert");
    }
}

#[tokio::test]
async fn the_local_authority_issues_for_our_names_only() {
    let settings = CertificatesSettings {
        node_names: vec!["node.test".parse().unwrap()],
        issuer: Some(Arc::new(SelfSigned)),
        ..CertificatesSettings::default()
    };
    let acceptor = acceptor(settings);
    let (_, root) = key_and_certificate(&["node.test"]);
    // The client does not know the certificate made on the spot, but there is one.
    let (_, accepted) = connect(&acceptor, &root, "node.test", &[]).await;
    let error = accepted.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("UnknownCA") || error.contains("BadCertificate") || error.contains("alert"), "{error}");
    let (_, accepted) = connect(&acceptor, &root, "stranger.test", &[]).await;
    assert!(accepted.is_err());
}

#[test]
fn files_that_do_not_fit_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let (_, mut pairs) = files(&dir, &["a.test"]);
    let other = rcgen::KeyPair::generate().unwrap();
    std::fs::write(&pairs[0].1, other.serialize_pem()).unwrap();
    let refused =
        |files| Certificates::new(SnapshotHandle::empty(), CertificatesSettings { files, ..Default::default() }).unwrap_err();
    assert!(matches!(refused(pairs.clone()), FileError::Pair { .. }));
    std::fs::write(&pairs[0].1, "nothing").unwrap();
    assert!(matches!(refused(pairs.clone()), FileError::Pem { expected: "a private key", .. }));
    pairs[0].0 = dir.path().join("absent.pem");
    assert!(refused(pairs).to_string().contains("absent.pem"));
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_left_in_time() {
    let acceptor = acceptor(CertificatesSettings::default());
    let (_client, server) = tokio::io::duplex(1024);
    assert!(matches!(acceptor.accept(server).await, Err(AcceptError::Timeout(_))));
}
