//! TLS to origins: modes, names, sessions.

use std::time::Instant;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{HandshakeKind, ServerConfig, pki_types::PrivateKeyDer};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use super::{
    super::{Certificate, Identities, Identity, Shown, tls},
    look::look_at,
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
        zone.sweep(&|_, _| true, Instant::now());
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
            identity: None,
        };
        let stream = TcpStream::connect(at).await.unwrap();
        let verdict = tls::handshake(&clients, &tls::ZoneTls::default(), &named, stream).await;
        assert_eq!(verdict.is_ok(), accepted, "{target:?}");
    }
}

/// Shows one certificate for each zone, and for hosts of it, which is another from one moment to the next.
struct Wallet(std::sync::Mutex<std::collections::HashMap<(ZoneId, Shown), Identity>>);

impl Identities for Wallet {
    fn of(&self, zone: ZoneId, shown: &Shown) -> Result<Identity, String> {
        self.0.lock().unwrap().get(&(zone, shown.clone())).cloned().ok_or_else(|| "it has none".to_owned())
    }
}

/// A client's certificate of this common name.
fn identity(name: &str, issuer: &CertifiedIssuer<'static, KeyPair>) -> Identity {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let leaf = params.signed_by(&key, issuer).unwrap();
    Identity::new(vec![leaf.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap()).unwrap()
}

/// An origin that serves nobody whose certificate this authority did not issue, and answers with the certificate's digits.
async fn asking(issuer: &CertifiedIssuer<'static, KeyPair>, clients: RootCertStore) -> SocketAddr {
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["www.site.test".to_owned()]).unwrap().signed_by(&key, issuer).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let asks =
        rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(clients), Arc::clone(&provider)).build().unwrap();
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = Arc::new(builder.with_client_cert_verifier(asks).with_single_cert(vec![leaf.der().clone()], key).unwrap());
    origin(move |number, stream| {
        let acceptor = TlsAcceptor::from(Arc::clone(&config));
        async move {
            let mut stream = acceptor.accept(stream).await?;
            let shown =
                stream.get_ref().1.peer_certificates().map_or(0, |chain| chain[0].iter().map(|octet| usize::from(*octet)).sum());
            loop {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await?);
                }
                let text = format!("{number} {shown}");
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
                stream.write_all(answer.as_bytes()).await?;
                stream.flush().await?;
            }
        }
    })
    .await
}

#[tokio::test]
async fn an_origin_that_asks_is_shown_the_zones_certificate_and_no_other() {
    let (issuer, roots) = authority("pulls");
    let (stranger, _) = authority("a stranger's");
    let at = asking(&issuer, roots).await;
    let shown = Arc::new(Wallet(std::sync::Mutex::default()));
    let wallet = Arc::clone(&shown);
    let show_of = move |zone, shown, identity: &Identity| drop(wallet.0.lock().unwrap().insert((zone, shown), identity.clone()));
    let show = |zone, identity: &Identity| show_of(zone, Shown::OfZone, identity);
    let loopback = Range { network: "127.0.0.0/8".parse().unwrap(), accounts: None };
    let guard = Guard { allowed: vec![loopback], own: Vec::new() };
    let origins = Origins::new(Settings::for_files(4096), RootCertStore::empty(), guard, None, &Metrics::new()).unwrap();
    let origins = Untraced::from(origins.identified_by(Arc::<Wallet>::clone(&shown)));
    let of = |zone, identifies| OriginRoute { zone, identifies, ..to(at, Certificate::Any) };
    let number_of = async |zone, whose| {
        let answered = text(origins.send(of(zone, Some(whose)), get()).await).await;
        let (number, shown) = answered.split_once(' ').unwrap();
        (number.parse::<usize>().unwrap(), shown.to_owned())
    };
    let number = async |zone| number_of(zone, Shown::OfZone).await;
    let told = fault(origins.send(of(ZONE, Some(Shown::OfZone)), get()).await);
    assert!(matches!(&told, OriginError::Handshake(_, why) if why.contains("it has none")), "{told:?}");
    let (one, other) = (identity("one", &issuer), identity("other", &issuer));
    show(ZONE, &one);
    show(OTHER_ZONE, &other);
    let first = number(ZONE).await;
    assert_eq!(number(ZONE).await, first, "one connection carries both");
    assert_ne!(number(OTHER_ZONE).await.1, first.1);
    let of_host = |host: &str| Shown::OfHost(host.into());
    show_of(ZONE, of_host("www.site.test"), &identity("a host's", &issuer));
    let hosts = number_of(ZONE, of_host("www.site.test")).await;
    assert!(hosts.0 != first.0 && hosts.1 != first.1, "and not over the zone's connection");
    assert_eq!(number_of(ZONE, of_host("www.site.test")).await, hosts);
    assert_eq!(number(ZONE).await, first);
    // Health checks say who asks by the same certificate, and find the origin as visitors do.
    let look = async |identifies: Option<Shown>, expected: &str| {
        let config = json!({ "allow_insecure": true, "expected_body": expected, "header": { "Host": ["www.site.test"] } });
        let mut look = look_at(at, &json!({ "type": "HTTPS", "http_config": config }));
        look.whose.identifies = identifies;
        origins.look(&look).await
    };
    assert!(look(Some(of_host("www.site.test")), &hosts.1).await.is_ok());
    assert!(look(Some(Shown::OfZone), &first.1).await.is_ok());
    assert!(look(Some(Shown::OfZone), &hosts.1).await.is_err() && look(None, "").await.is_err());
    assert!(origins.send(of(ZONE, None), get()).await.is_err(), "a connection of before is not used by who shows nothing");
    // Renewed: what was opened with the last one is not used again.
    show(ZONE, &identity("one", &issuer));
    let renewed = number(ZONE).await;
    assert!(renewed.0 > first.0 && renewed.1 != first.1, "{renewed:?} {first:?}");
    assert_eq!(origins.zone(ZONE).open(), 3);
    origins.sweep_at(Instant::now());
    assert_eq!(origins.zone(ZONE).open(), 2, "nor is it kept, unlike the host's");
    show(ZONE, &identity("one", &stranger));
    assert!(origins.send(of(ZONE, Some(Shown::OfZone)), get()).await.is_err());
    assert!(Identity::new(Vec::new(), PrivateKeyDer::try_from(KeyPair::generate().unwrap().serialize_der()).unwrap()).is_err());
}

#[tokio::test]
async fn a_revoked_certificate_is_not_believed_nor_a_session_that_it_began() {
    let (issuer, roots) = authority("ours");
    let serial = [0x41; 16];
    let numbered = |params: &mut CertificateParams| params.serial_number = Some(rcgen::SerialNumber::from_slice(&serial));
    let (at, mut seen) = secure(server(&["www.site.test"], &issuer, numbered)).await;
    let is_revoked = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let loopback = Range { network: "127.0.0.0/8".parse().unwrap(), accounts: None };
    let guard = Guard { allowed: vec![loopback], own: Vec::new() };
    let origins = Origins::new(Settings::for_files(4096), roots, guard, None, &Metrics::new()).unwrap();
    let asked = Arc::clone(&is_revoked);
    let revoked = move |number: &[u8]| asked.load(std::sync::atomic::Ordering::SeqCst) && number == serial;
    let origins = Untraced::from(origins.revoking(Arc::new(revoked)));
    assert_eq!(text(origins.send(to(at, Certificate::Verified), get()).await).await, "www.site.test");
    assert_eq!(seen.recv().await, Some(HandshakeKind::Full));
    let close = || while origins.zone(ZONE).pool.close_one() {};
    close();
    assert_eq!(text(origins.send(to(at, Certificate::Verified), get()).await).await, "www.site.test");
    assert_eq!(seen.recv().await, Some(HandshakeKind::Resumed));
    assert!(!origins.zone(ZONE).pool.sweep(&|_, _| true, Instant::now()), "there is an idle one");
    is_revoked.store(true, std::sync::atomic::Ordering::SeqCst);
    for zone in [ZONE, OTHER_ZONE] {
        let error = fault(origins.send(OriginRoute { zone, ..to(at, Certificate::Verified) }, get()).await);
        assert!(matches!(&error, OriginError::Certificate(_, why) if why.contains("revoked")), "{error:?}");
    }
    assert_eq!(text(origins.send(to(at, Certificate::Any), get()).await).await, "www.site.test", "where none is looked at");

    // What nobody asks for is closed too, though it was good when it was put there.
    is_revoked.store(false, std::sync::atomic::Ordering::SeqCst);
    let third = ZoneId::from_bytes([3; 16]);
    text(origins.send(OriginRoute { zone: third, ..to(at, Certificate::Verified) }, get()).await).await;
    origins.sweep_at(Instant::now());
    assert_eq!(origins.zone(third).open(), 1);
    is_revoked.store(true, std::sync::atomic::Ordering::SeqCst);
    origins.sweep_at(Instant::now());
    assert_eq!(origins.zone(third).open(), 0);
}
