//! TLS to origins: modes, names, sessions.

use std::time::Instant;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{HandshakeKind, ServerConfig, pki_types::PrivateKeyDer};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use super::{
    super::{Certificate, tls},
    *,
};

/// An authority, and who trusts it.
fn authority(name: &str) -> (CertifiedIssuer<'static, KeyPair>, RootCertStore) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(issuer.der().clone()).unwrap();
    (issuer, roots)
}

fn server(
    names: &[&str],
    issuer: &CertifiedIssuer<'static, KeyPair>,
    shape: impl Fn(&mut CertificateParams),
) -> Arc<ServerConfig> {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    shape(&mut params);
    let leaf = params.signed_by(&key, issuer).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_no_client_auth().with_single_cert(vec![leaf.der().clone()], key).unwrap())
}

/// An origin over TLS that answers with the name it was asked for, and tells how each handshake went.
async fn secure(config: Arc<ServerConfig>) -> (SocketAddr, mpsc::UnboundedReceiver<HandshakeKind>) {
    let (kinds, seen) = mpsc::unbounded_channel();
    let at = origin(move |_, stream| {
        let (acceptor, kinds) = (TlsAcceptor::from(Arc::clone(&config)), kinds.clone());
        async move {
            let mut stream = acceptor.accept(stream).await?;
            let name = stream.get_ref().1.server_name().unwrap_or("nobody").to_owned();
            let _ = kinds.send(stream.get_ref().1.handshake_kind().unwrap());
            loop {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await?);
                }
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len());
                stream.write_all(answer.as_bytes()).await?;
                stream.flush().await?;
            }
        }
    })
    .await;
    (at, seen)
}

fn to(at: SocketAddr, certificate: Certificate) -> OriginRoute {
    OriginRoute { leg: Leg { port: at.port(), tls: Some(certificate) }, ..route(at) }
}

#[tokio::test]
async fn any_certificate_will_do_where_none_is_verified() {
    let (issuer, _) = authority("ours");
    let (at, _) = secure(server(&["elsewhere.test"], &issuer, |_| {})).await;
    let origins = origins();
    assert_eq!(text(origins.send(to(at, Certificate::Any), get()).await).await, "www.site.test");
    let error = fault(origins.send(to(at, Certificate::Verified), get()).await);
    assert!(matches!(&error, OriginError::Certificate(_, why) if why.contains("no certificate authority")), "{error:?}");
}

#[tokio::test]
async fn a_verified_certificate_is_in_force_for_the_name_and_vouched_for() {
    let (issuer, roots) = authority("ours");
    let (stranger, _) = authority("a stranger's");
    let origins = origins_with(Settings::for_files(4096), roots);
    let good = ["www.site.test"];
    let (at, _) = secure(server(&good, &issuer, |_| {})).await;
    assert_eq!(text(origins.send(to(at, Certificate::Verified), get()).await).await, "www.site.test");
    let long_ago = |params: &mut CertificateParams| params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let not_yet = |params: &mut CertificateParams| params.not_before = rcgen::date_time_ymd(2090, 1, 1);
    let wrong: [(Arc<ServerConfig>, &str); 4] = [
        (server(&good, &stranger, |_| {}), "UnknownIssuer"),
        (server(&["elsewhere.test"], &issuer, |_| {}), "name"),
        (server(&good, &issuer, long_ago), "xpired"),
        (server(&good, &issuer, not_yet), "valid"),
    ];
    for (config, told) in wrong {
        let (at, _) = secure(config).await;
        let error = fault(origins.send(to(at, Certificate::Verified), get()).await);
        assert!(matches!(&error, OriginError::Certificate(_, why) if why.contains(told)), "{told}: {error}");
        assert_eq!(text(origins.send(to(at, Certificate::Any), get()).await).await, "www.site.test", "{told}");
    }
}

#[tokio::test]
async fn what_is_no_tls_fails_in_the_handshake() {
    let at = origin(|_, mut stream| async move {
        stream.read_u8().await?;
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await?;
        heard(&mut stream, "never").await.map(drop)
    })
    .await;
    let error = fault(origins().send(to(at, Certificate::Any), get()).await);
    assert!(matches!(&error, OriginError::Handshake(who, _) if *who == at.to_string()), "{error:?}");
    let silent = origin(|_, mut stream| async move { heard(&mut stream, "never").await.map(drop) }).await;
    let settings = Settings { handshake_timeout: Duration::from_millis(200), ..Settings::for_files(4096) };
    let error = fault(origins_with(settings, RootCertStore::empty()).send(to(silent, Certificate::Any), get()).await);
    assert!(matches!(&error, OriginError::Handshake(_, why) if why.contains("longer than")), "{error:?}");
}

#[tokio::test]
async fn hosts_and_ways_of_looking_at_certificates_have_connections_of_their_own() {
    let (issuer, roots) = authority("ours");
    let (at, mut seen) = secure(server(&["*.site.test"], &issuer, |_| {})).await;
    let origins = origins_with(Settings::for_files(4096), roots);
    let other = |certificate| OriginRoute { host: "other.site.test".into(), ..to(at, certificate) };
    for _ in 0..2 {
        for certificate in [Certificate::Any, Certificate::Verified] {
            assert_eq!(text(origins.send(to(at, certificate), get()).await).await, "www.site.test");
            assert_eq!(text(origins.send(other(certificate), get()).await).await, "other.site.test");
        }
    }
    for _ in 0..4 {
        assert_eq!(seen.recv().await, Some(HandshakeKind::Full), "nothing verified is taken up from what was not");
    }
    assert!(seen.try_recv().is_err());
}

#[tokio::test]
async fn a_session_is_taken_up_again_by_its_own_zone_alone() {
    let (issuer, _) = authority("ours");
    let (at, mut seen) = secure(server(&["www.site.test"], &issuer, |_| {})).await;
    let origins = origins();
    let of = |zone| OriginRoute { zone, ..to(at, Certificate::Any) };
    for (zone, kind) in [(ZONE, HandshakeKind::Full), (ZONE, HandshakeKind::Resumed), (OTHER_ZONE, HandshakeKind::Full)] {
        text(origins.send(of(zone), get()).await).await;
        assert_eq!(seen.recv().await, Some(kind));
        // The next request finds no idle connection.
        let zone = origins.zone(zone);
        while zone.pool.close_one() {}
        zone.sweep(Instant::now());
    }
}

#[tokio::test]
async fn a_certificate_may_be_for_the_name_that_the_record_leads_to() {
    let (issuer, roots) = authority("ours");
    let (at, _) = secure(server(&["target.example"], &issuer, |_| {})).await;
    let clients = tls::Clients::new(roots).unwrap();
    for (target, accepted) in [(Some("target.example"), true), (Some("third.example"), false), (None, false)] {
        let named = tls::Named {
            host: "www.site.test".into(),
            target: target.map(Into::into),
            certificate: Certificate::Verified,
            http2: false,
        };
        let stream = TcpStream::connect(at).await.unwrap();
        let verdict = tls::handshake(&clients, &tls::ZoneTls::default(), &named, stream).await;
        assert_eq!(verdict.is_ok(), accepted, "{target:?}");
    }
}
