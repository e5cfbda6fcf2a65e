//! Certificates, from what came of an order to what nodes serve; and whom CAA records let issue.

use poterne_acme::{Culprit, Method, Proof, Trouble};
use poterne_control_app::{AcmeCredentials, AcmeSettings, DuePack, IssuedCertificate};
use poterne_dns_wire::rtype;
use poterne_keys::{CertificateKey, Purpose, Secret};

use super::*;

const DIRECTORY: &str = "https://ca.test/dir";

fn acme() -> AcmeSettings {
    let authority = poterne_acme::Authority { directory: DIRECTORY.into(), profile: None };
    AcmeSettings { authorities: vec![authority], methods: vec![Method::Dns01] }
}

/// What an authority gives for these names and this key, good from now on.
fn certificate(node: &Node, names: &[&str], days: u64) -> IssuedCertificate {
    let key = CertificateKey::generate().unwrap();
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let pair = rcgen::KeyPair::try_from(key.secret().expose()).unwrap();
    let mut params = rcgen::CertificateParams::new(names).unwrap();
    let now = UNIX_EPOCH + Duration::from_secs(node.now.load(Ordering::SeqCst));
    params.not_before = now.into();
    params.not_after = (now + Duration::from_secs(days * 86_400)).into();
    IssuedCertificate {
        directory: DIRECTORY.into(),
        method: Some(Method::Dns01),
        chain: params.self_signed(&pair).unwrap().pem(),
        public_key: key.public_key(),
        key: key.secret(),
        tells_window: false,
    }
}

/// What is due of a zone; the quick tunnels' own has certificates, too.
async fn due_of(node: &Node, apex: &str) -> Vec<DuePack> {
    let mut due = node.app.certificate_packs_due(9).await.unwrap();
    due.retain(|due| due.zone.apex.as_str() == apex);
    due
}

#[tokio::test]
async fn a_certificate_is_served_when_it_was_issued_and_renewed_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start_with(dir.path(), acme()).await;
    let zone = node.app.zone_add(&OPERATOR, "home.test").await.unwrap();
    assert_eq!(node.app.arrange_certificates().await.unwrap(), 2, "the publisher has told of it");
    let due = due_of(&node, "home.test").await.remove(0);
    assert_eq!(due.pack.hosts, ["*.home.test", "home.test"].map(name));
    node.app.pack_issued(due.pack.id, certificate(&node, &["home.test", "*.home.test"], 90)).await.unwrap();
    let in_force = || node.handle.load().certificate("www.home.test").map(|entry| entry.load().unwrap());
    let chunk = in_force().expect("it is in force when that returns");
    let node_key = NodeKey::load_or_create(&dir.path().join("node.key")).unwrap();
    let secret = node_key.open(Purpose::CertificateKey, due.pack.id.as_bytes(), &chunk.key).unwrap();
    assert!(rcgen::KeyPair::try_from(secret.expose()).is_ok());
    assert_eq!((chunk.chain.len(), chunk.rank), (1, 0));
    assert!(node.handle.load().certificate("a.b.home.test").is_none());

    // Two thirds into its life it is due again.
    node.now.fetch_add(55 * 86_400, Ordering::SeqCst);
    assert!(due_of(&node, "home.test").await.is_empty());
    node.now.fetch_add(5 * 86_400, Ordering::SeqCst);
    let again = due_of(&node, "home.test").await.remove(0);
    assert_eq!(again.pack.id, due.pack.id);
    let trouble = Trouble::new(Culprit::Unreachable, "away");
    let authorities = poterne_acme::Authorities::new(acme().authorities);
    node.app.pack_failed(again.pack.id, Some(DIRECTORY), trouble, &authorities).await.unwrap();
    assert!(node.handle.load().certificate("www.home.test").is_some(), "it is served on");
    node.app.pack_issued(again.pack.id, certificate(&node, &["home.test", "*.home.test"], 45)).await.unwrap();
    let next = in_force().unwrap();
    assert!(next.chain != chunk.chain && next.id == chunk.id);

    // What a node of another key is to open is wrapped again.
    assert_eq!(node.app.tend_certificates().await.unwrap(), 0);
    node.app.zone_delete(&OPERATOR, zone.id).await.unwrap();
    assert!(node.handle.load().certificate("www.home.test").is_none(), "nothing of it stays");
    node.stop.cancel();
}

#[tokio::test]
async fn what_is_for_another_key_or_name_is_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start_with(dir.path(), acme()).await;
    node.app.zone_add(&OPERATOR, "home.test").await.unwrap();
    node.app.arrange_certificates().await.unwrap();
    let due = due_of(&node, "home.test").await.remove(0);
    let mut other = certificate(&node, &["home.test"], 90);
    other.public_key = CertificateKey::generate().unwrap().public_key();
    let refused = |outcome: Result<(), AppError>| outcome.unwrap_err().to_string();
    assert!(refused(node.app.pack_issued(due.pack.id, other).await).contains("another key"));
    let foreign = certificate(&node, &["bank.test"], 90);
    assert!(refused(node.app.pack_issued(due.pack.id, foreign).await).contains("no name of home.test"));
    assert!(node.handle.load().certificate("home.test").is_none());
    node.stop.cancel();
}

#[tokio::test]
async fn what_authorities_were_asked_is_known_to_whoever_starts_next() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start_with(dir.path(), acme()).await;
    node.app.zone_add(&OPERATOR, "home.test").await.unwrap();
    node.app.arrange_certificates().await.unwrap();
    let due = due_of(&node, "home.test").await.remove(0);
    let now = i64::try_from(node.now.load(Ordering::SeqCst)).unwrap();
    node.app.pack_ordering(due.pack.id, DIRECTORY).await.unwrap();
    // One that somebody took away meanwhile was asked for all the same.
    node.app.pack_ordering(poterne_model::CertificatePackId::from_bytes([9; 16]), DIRECTORY).await.unwrap();
    node.app.acme_rest_keep("https://away.test/dir", Some((now + 60, "it was not reached"))).await.unwrap();
    node.stop.cancel();
    let again = Node::start_with(dir.path(), acme()).await;
    let standings = again.app.acme_standings().await.unwrap();
    assert_eq!(standings[DIRECTORY], poterne_acme::Remembered { rest: None, orders: vec![now, now] });
    assert_eq!(standings["https://away.test/dir"].rest, Some((now + 60, "it was not reached".to_owned())));
    let choice = |at: i64| {
        let authority = poterne_acme::Authority { directory: "https://away.test/dir".into(), profile: None };
        let mut authorities = poterne_acme::Authorities::new(vec![authority]);
        standings.iter().for_each(|(directory, standing)| authorities.remember(directory, standing.clone(), at));
        matches!(authorities.choose(None, &[], at), poterne_acme::authority::Choice::Ask(_))
    };
    assert!(!choice(now + 59) && choice(now + 60));
    again.app.acme_rest_keep("https://away.test/dir", None).await.unwrap();
    assert_eq!(again.app.acme_standings().await.unwrap().len(), 1);
    // What is older than an authority counts is forgotten with the next.
    again.now.fetch_add(4 * 3600, Ordering::SeqCst);
    again.app.pack_ordering(due.pack.id, DIRECTORY).await.unwrap();
    assert_eq!(again.app.acme_standings().await.unwrap()[DIRECTORY].orders, [now + 4 * 3600]);
    again.stop.cancel();
}

#[tokio::test]
async fn deeper_names_get_packs_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start_with(dir.path(), acme()).await;
    let zone = node.app.zone_add(&OPERATOR, "home.test").await.unwrap();
    node.record("home.test", "a.b.home.test", RecordType::A, "192.0.2.1").await;
    node.record("home.test", "www.home.test", RecordType::A, "192.0.2.1").await;
    node.reaches("www.home.test", Some(Target::Origin(vec!["192.0.2.1".parse().unwrap()]))).await;
    assert_eq!(node.app.arrange_certificates().await.unwrap(), 3, "the publisher has told of both");
    let found = node.app.certificate_packs(&OPERATOR, zone.id, true).await.unwrap();
    let found: Vec<_> = found.into_iter().map(|shown| (shown.pack.kind, shown.pack.hosts)).collect();
    assert!(found.contains(&("total_tls".to_owned(), vec![name("a.b.home.test")])), "{found:?}");
    // Those that may come right after it are waited for.
    assert_eq!(due_of(&node, "home.test").await.len(), 1);
    node.now.fetch_add(15, Ordering::SeqCst);
    assert_eq!(due_of(&node, "home.test").await.len(), 1);
    node.stop.cancel();
}

#[tokio::test]
async fn whoever_is_ordered_of_is_named_beside_whom_the_user_names() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start_with(dir.path(), acme()).await;
    node.app.zone_add(&OPERATOR, "home.test").await.unwrap();
    node.record("home.test", "home.test", RecordType::Other("CAA".into()), "0 issue \"other.test\"").await;
    node.record("home.test", "www.home.test", RecordType::A, "192.0.2.1").await;
    let caa = |owner: &str| {
        let snapshot = node.handle.load();
        let zone = snapshot.zone_over("home.test").unwrap();
        let Some(view) = zone.name(owner) else { return Vec::new() };
        let sets = view.to_chunk().sets;
        let Some(set) = sets.get(rtype::CAA) else { return Vec::new() };
        set.records().map(|data| String::from_utf8_lossy(&data[2..]).into_owned()).collect::<Vec<_>>()
    };
    let reached = async |count: usize| {
        let mut applied = node.handle.subscribe();
        tokio::time::timeout(Duration::from_secs(10), applied.wait_for(|_| caa("home.test").len() == count))
            .await
            .unwrap()
            .unwrap();
    };
    reached(1).await;
    let account = AcmeCredentials {
        uri: "https://ca.test/acct/7".into(),
        issuers: vec!["ca.test".into()],
        secret: Secret::new(b"secret".to_vec()),
    };
    node.app.acme_account_keep(DIRECTORY, &account).await.unwrap();
    reached(3).await;
    let told = caa("home.test");
    for tag in ["issue", "issuewild"] {
        assert!(told.contains(&format!("{tag}ca.test; accounturi=https://ca.test/acct/7")), "{told:?}");
    }
    assert!(caa("www.home.test").is_empty(), "where the user has none, anybody may");
    let kept = node.app.acme_account(DIRECTORY).await.unwrap().unwrap();
    assert_eq!((kept.uri, kept.secret.expose()), (account.uri, &b"secret"[..]));
    node.app.acme_account_forget(DIRECTORY).await.unwrap();
    reached(1).await;
    node.stop.cancel();
}

#[tokio::test]
async fn proofs_are_shown_each_in_its_way_and_taken_away() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start_with(dir.path(), acme()).await;
    let zone = node.app.zone_add(&OPERATOR, "home.test").await.unwrap();
    let proof = |method, text: &str| Proof {
        method,
        name: name("www.home.test"),
        is_wildcard: false,
        token: "token".into(),
        text: text.to_owned(),
    };
    // 32 octets of zeros.
    let digest = "A".repeat(43);
    let proofs = [proof(Method::Dns01, "digest"), proof(Method::Http01, "token.key"), proof(Method::TlsAlpn01, &digest)];
    let shown = node.app.proofs_put(&zone, &proofs).await.unwrap();
    assert!(node.app.is_live_within(shown.change, Duration::from_secs(10)).await);
    let now_secs = u32::try_from(node.now.load(Ordering::SeqCst)).unwrap();
    let snapshot = node.handle.load().clone();
    assert_eq!(snapshot.challenges("_acme-challenge.www.home.test").len(), 1);
    assert_eq!(snapshot.http_challenge("www.home.test", "token", now_secs), Some("token.key"));
    assert_eq!(snapshot.tls_challenge("www.home.test", now_secs), Some([0; 32]));
    node.app.proofs_remove(&shown.ids).await.unwrap();
    let mut applied = node.handle.subscribe();
    let gone = applied.wait_for(|_| node.handle.load().challenges("www.home.test").is_empty());
    tokio::time::timeout(Duration::from_secs(10), gone).await.unwrap().unwrap();
    // What would not be seen is not put.
    node.record("home.test", "_acme-challenge.led.home.test", RecordType::Cname, "led.dcv.example.net").await;
    let blind = |host: &'static str| {
        let (app, zone) = (node.app.clone(), zone.clone());
        async move { app.proof_by_record_is_blind(&zone, &[name(host)]).await.unwrap() }
    };
    assert!(blind("led.home.test").await && !blind("www.home.test").await);
    node.stop.cancel();
}
