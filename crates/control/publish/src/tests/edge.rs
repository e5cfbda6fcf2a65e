//! What a zone's owner sets of its edge, and of the way to its origins, from the verb to the nodes.

use poterne_control_app::{
    ClientCertificateDraft, HostAssociations, MtlsCertificateDraft, OriginAuthorities, OriginCertificateDraft, OriginPullHosts,
    Rewrite, VisitorCertificateDraft,
};
use poterne_keys::{CaSpec, CertificateKey, LocalCa, Purpose};
use poterne_model::{
    At, ZoneId,
    setting::{EdgeSettings, Hsts, TlsVersions},
};
use poterne_snapshot::ZoneHead;
use serde_json::{Value, json};

use super::*;

impl Node {
    fn head(&self, zone: ZoneId) -> ZoneHead {
        self.handle.load().zone(zone).unwrap().head().clone()
    }

    async fn set(&self, zone: ZoneId, id: &str, value: Value) {
        self.app.zone_settings_set(&OPERATOR, zone, vec![(id, At::new(&value, "/value"))]).await.unwrap();
    }

    fn serial(&self, zone: ZoneId) -> u32 {
        self.head(zone).dns.unwrap().serial
    }
}

fn pem(tag: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::prelude::BASE64_STANDARD.encode(der);
    format!("-----BEGIN {tag}-----\n{text}\n-----END {tag}-----\n")
}

#[tokio::test]
async fn what_a_zone_sets_is_in_force_when_the_call_returns() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let zone = node.app.zone_add(&OPERATOR, "home.test").await.unwrap().id;
    assert_eq!(node.head(zone).edge, EdgeSettings::default());
    let serial = node.serial(zone);
    node.set(zone, "always_use_https", json!("on")).await;
    assert!(node.head(zone).edge.always_use_https);
    node.set(zone, "min_tls_version", json!("1.3")).await;
    assert_eq!(node.head(zone).edge.tls, TlsVersions::Only13);
    let header = json!({ "strict_transport_security": { "enabled": true, "max_age": 600 } });
    node.set(zone, "security_header", header).await;
    let hsts = Hsts { max_age_secs: 600, include_subdomains: false, preload: false, nosniff: false };
    assert_eq!(node.head(zone).edge.hsts, Some(hsts));
    let managed = json!({ "managed_response_headers": [{ "id": "add_security_headers", "enabled": true }] });
    node.app.managed_headers_patch(&OPERATOR, zone, &At::body(&managed)).await.unwrap();
    assert!(node.head(zone).edge.adds_security);
    assert_eq!(node.serial(zone), serial, "the name server says what it said before");
    node.set(zone, "http2", json!("off")).await;
    assert!(!node.head(zone).edge.http2 && node.serial(zone) > serial, "which is told by HTTPS records");
    assert!(!node.head(zone).origin.identifies);
    node.app.origin_pulls_set(&OPERATOR, zone, true).await.unwrap();
    assert!(node.head(zone).origin.identifies);
    // All of it is read again at the next start, into the same.
    let before = node.head(zone);
    node.stop.cancel();
    drop(node);
    std::fs::remove_dir_all(dir.path().join("snapshot")).unwrap();
    let node = Node::start(dir.path()).await;
    let mut applied = node.handle.subscribe();
    let there = applied.wait_for(|_| node.handle.load().zone(zone).is_some_and(|zone| zone.head().edge == before.edge));
    tokio::time::timeout(Duration::from_secs(10), there).await.expect("it is published").unwrap();
    assert_eq!(node.head(zone).origin, before.origin);
    node.stop.cancel();
}

#[tokio::test]
async fn nodes_show_what_was_brought_last_and_know_what_was_revoked() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let authority = |name: &str| Arc::new(LocalCa::generate(&CaSpec { name: name.into(), permitted: Vec::new() }, now).unwrap());
    let pulls = authority("pulls");
    node.app.certify_origins_by(OriginAuthorities { origins: authority("origins"), pulls: Arc::clone(&pulls) });
    let zone = node.app.zone_add(&OPERATOR, "home.test").await.unwrap().id;
    node.app.zone_activate(&OPERATOR, "home.test").await.unwrap();
    let bring = async || {
        let leaf = pulls.issue_client("home.test", now, None).unwrap();
        let body = json!({ "certificate": pem("CERTIFICATE", &leaf.chain[0]), "private_key": pem("PRIVATE KEY", leaf.key.secret_der()) });
        let draft = ClientCertificateDraft::read(&At::body(&body)).unwrap();
        (node.app.client_certificate_add(&OPERATOR, zone, draft, false).await.unwrap().id, leaf)
    };
    let (first, _) = bring().await;
    assert_eq!(node.head(zone).client.unwrap().zone.unwrap().id, first);
    node.now.fetch_add(1, Ordering::SeqCst);
    let (second, leaf) = bring().await;
    let client = node.head(zone).client.unwrap().zone.unwrap();
    assert_eq!((client.id, client.chain[0].as_ref()), (second, leaf.chain[0].as_ref()));
    let node_key = NodeKey::load_or_create(&dir.path().join("node.key")).unwrap();
    let opened = node_key.open(Purpose::CertificateKey, second.as_bytes(), &client.key).unwrap();
    assert_eq!(opened.expose(), leaf.key.secret_der());
    node.app.client_certificate_delete(&OPERATOR, zone, second, false).await.unwrap();
    assert_eq!(node.head(zone).client.unwrap().zone.unwrap().id, first);

    let request = CertificateKey::generate().unwrap().request(&["x.test".into()]).unwrap();
    let issue = async || {
        let body = json!({ "csr": pem("CERTIFICATE REQUEST", &request), "hostnames": ["*.home.test"], "request_type": "origin-ecc",
            "requested_validity": 7 });
        let draft = OriginCertificateDraft::read(&At::body(&body)).unwrap();
        node.app.origin_certificate_issue(&OPERATOR, draft).await.unwrap().serial
    };
    let (one, other) = (issue().await, issue().await);
    let revoked = || node.handle.load().node().revoked_origin_certificates.clone();
    assert!(revoked().is_empty());
    node.app.origin_certificate_revoke(&OPERATOR, one).await.unwrap();
    assert_eq!(revoked(), [one]);
    node.app.zone_delete(&OPERATOR, zone).await.unwrap();
    let mut both = [one, other];
    both.sort_unstable();
    assert_eq!(revoked(), both, "rising, and its zone's are gone with it");
    node.now.fetch_add(8 * 86_400, Ordering::SeqCst);
    node.app.tend_origin_certificates().await.unwrap();
    let mut applied = node.handle.subscribe();
    let forgotten = applied.wait_for(|_| revoked().is_empty());
    tokio::time::timeout(Duration::from_secs(10), forgotten).await.expect("what is over is nobody's").unwrap();
    node.stop.cancel();
}

#[tokio::test]
async fn nodes_know_whom_hosts_ask_and_what_they_show() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let ca = LocalCa::generate(&CaSpec { name: "devices".into(), permitted: Vec::new() }, now).unwrap();
    let zone = node.app.zone_add(&OPERATOR, "home.test").await.unwrap().id;
    let serial = node.serial(zone);
    let account = node.app.account();
    let body = json!({ "ca": true, "certificates": ca.certificate_pem(), "name": "devices" });
    let draft = MtlsCertificateDraft::read(&At::body(&body)).unwrap();
    let brought = node.app.mtls_certificate_add(&OPERATOR, account, draft).await.unwrap().id;
    assert!(node.head(zone).client.is_none(), "nobody is asked yet");
    let ask = async |hosts: &[&str], id: Option<poterne_model::CertificateId>| {
        let body = json!({ "hostnames": hosts, "mtls_certificate_id": id.map(|id| id.to_string()) });
        let wanted = HostAssociations::read(&At::body(&body)).unwrap();
        node.app.host_associations_set(&OPERATOR, zone, wanted).await.unwrap();
    };
    ask(&["b.home.test", "a.home.test"], Some(brought)).await;
    assert_eq!((node.head(zone).asked_of("a.home.test"), node.head(zone).asked_of("home.test")), (&[brought][..], &[][..]));
    ask(&["a.home.test"], None).await;
    assert_eq!(node.serial(zone), serial, "whom a host asks is nothing to a name server");
    let client = node.head(zone).client.unwrap();
    assert_eq!((client.asked_of("a.home.test").len(), client.authorities.len()), (2, 2));
    assert_eq!(client.authority(brought).unwrap().certificates[0].as_ref(), ca.certificate().as_ref());
    let own = client.authorities.iter().find(|known| known.id != brought).unwrap().id;

    let request = CertificateKey::generate().unwrap().request(&["x.test".into()]).unwrap();
    let issue = async || {
        let body = json!({ "csr": pem("CERTIFICATE REQUEST", &request), "validity_days": 7 });
        let draft = VisitorCertificateDraft::read(&At::body(&body)).unwrap();
        node.app.visitor_certificate_issue(&OPERATOR, zone, draft).await.unwrap().certificate
    };
    let (one, other) = (issue().await, issue().await);
    let revoked = || node.head(zone).client.unwrap().authority(own).unwrap().revoked.clone();
    assert!(revoked().is_empty());
    for revoking in [&one, &other] {
        node.app.visitor_certificate_revoke(&OPERATOR, zone, revoking.id, true).await.unwrap();
    }
    let mut both = vec![one.serial, other.serial];
    both.sort_unstable();
    assert_eq!(revoked(), both);
    node.app.visitor_certificate_revoke(&OPERATOR, zone, one.id, false).await.unwrap();
    assert_eq!(revoked(), [other.serial]);

    let leaf = ca.issue_client("the host's", now, None).unwrap();
    let body =
        json!({ "certificate": pem("CERTIFICATE", &leaf.chain[0]), "private_key": pem("PRIVATE KEY", leaf.key.secret_der()) });
    let draft = ClientCertificateDraft::read(&At::body(&body)).unwrap();
    let shown = node.app.client_certificate_add(&OPERATOR, zone, draft, true).await.unwrap().id;
    assert!(node.head(zone).client.unwrap().zone.is_none(), "it is for single hosts");
    let show = async |enabled: bool| {
        let body = json!({ "config": [{ "hostname": "b.home.test", "cert_id": shown.to_string(), "enabled": enabled }] });
        let wanted = OriginPullHosts::read(&At::body(&body)).unwrap();
        node.app.origin_pull_hosts_set(&OPERATOR, zone, wanted).await.unwrap();
        node.head(zone).client.unwrap().of_host("b.home.test").map(|known| known.id)
    };
    assert_eq!(show(true).await, Some(shown));
    assert_eq!(show(false).await, None);
    assert_eq!(show(true).await, Some(shown));
    assert_eq!(node.serial(zone), serial, "the name server says what it said before");
    // All of it is read again at the next start, into the same.
    let before = node.head(zone);
    node.stop.cancel();
    drop(node);
    std::fs::remove_dir_all(dir.path().join("snapshot")).unwrap();
    let node = Node::start(dir.path()).await;
    let mut applied = node.handle.subscribe();
    let there = applied.wait_for(|_| node.handle.load().zone(zone).is_some_and(|zone| zone.head().client == before.client));
    tokio::time::timeout(Duration::from_secs(10), there).await.expect("it is published").unwrap();
    // What is over is forgotten, and not told of any more.
    node.now.fetch_add(8 * 86_400, Ordering::SeqCst);
    node.app.tend_visitor_certificates().await.unwrap();
    let forgotten = applied.wait_for(|_| node.head(zone).client.unwrap().authority(own).unwrap().revoked.is_empty());
    tokio::time::timeout(Duration::from_secs(10), forgotten).await.expect("it is published").unwrap();
    node.stop.cancel();
}

#[tokio::test]
async fn keys_of_tickets_reach_nodes_before_they_are_used() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let keys = || node.handle.load().node().ticket_keys.clone();
    let mut applied = node.handle.subscribe();
    let there = applied.wait_for(|_| !keys().is_empty());
    tokio::time::timeout(Duration::from_secs(10), there).await.expect("it is published").unwrap();
    let first = keys();
    let now = node.now.load(Ordering::SeqCst);
    assert!(first.len() == 3 && first[0].starts_at <= now && first[1].starts_at > now, "one is used, two are known: {first:?}");
    let node_key = NodeKey::load_or_create(&dir.path().join("node.key")).unwrap();
    let opened = node_key.open(Purpose::TicketKey, b"ticket", &first[0].key).unwrap();
    assert_eq!(opened.expose().len(), 32);
    assert!(!node.app.tend_ticket_keys().await.unwrap(), "nothing is due");
    node.now.fetch_add(12 * 3600, Ordering::SeqCst);
    assert!(node.app.tend_ticket_keys().await.unwrap());
    let there = applied.wait_for(|_| keys() != first);
    tokio::time::timeout(Duration::from_secs(10), there).await.expect("it is published").unwrap();
    assert_eq!((keys().len(), &keys()[..3]), (4, &first[..]), "the one before is known still");
    let kept = node.store.read().await.unwrap().ticket_keys().await.unwrap();
    assert!(kept.iter().all(|key| key.sealed != key.wrapped));
    node.stop.cancel();
}

#[tokio::test]
async fn what_origins_are_asked_is_told_to_nodes_while_it_is_to_be_asked() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let zone = node.app.zone_add(&OPERATOR, "home.test").await.unwrap().id;
    let asked = || {
        let snapshot = node.handle.load();
        let mut all = snapshot.health_checks().map(|(zone, chunk)| (zone, chunk.checks.clone()));
        let found = all.next();
        assert!(all.next().is_none());
        found
    };
    assert_eq!(asked(), None);
    let serial = node.serial(zone);
    let body = json!({ "name": "one", "address": "9.9.9.9", "http_config": { "header": { "Host": ["www.home.test"] } } });
    let one = node.app.health_check_create(&OPERATOR, zone, &At::body(&body)).await.unwrap();
    let (of, checks) = asked().unwrap();
    assert_eq!((of, checks.len(), checks[0].id, &checks[0].terms), (zone, 1, one.id, &one.terms));
    assert_eq!(node.serial(zone), serial, "the name server says what it said before");
    let patch = async |body| {
        let changed = node.app.health_check_change(&OPERATOR, zone, one.id, &At::body(&body), Rewrite::Part).await;
        changed.unwrap().modified_on.as_micros()
    };
    let revision = patch(json!({ "interval": 10 })).await;
    let (_, checks) = asked().unwrap();
    assert_eq!((checks[0].revision, checks[0].terms.interval_secs), (revision, 10));
    assert!(checks[0].revision > one.modified_on.as_micros());
    patch(json!({ "suspended": true })).await;
    assert_eq!(asked(), None);
    patch(json!({ "suspended": false })).await;
    let before = asked();
    assert!(before.is_some());

    node.stop.cancel();
    drop(node);
    std::fs::remove_dir_all(dir.path().join("snapshot")).unwrap();
    let node = Node::start(dir.path()).await;
    let asked = || node.handle.load().health_checks().next().map(|(zone, chunk)| (zone, chunk.checks.clone()));
    let mut applied = node.handle.subscribe();
    tokio::time::timeout(Duration::from_secs(10), applied.wait_for(|_| asked().is_some()))
        .await
        .expect("it is published")
        .unwrap();
    assert_eq!(asked(), before);
    node.app.zone_delete(&OPERATOR, zone).await.unwrap();
    assert_eq!(asked(), None);
    node.stop.cancel();
}
