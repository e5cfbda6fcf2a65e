//! What is kept of certificates.

use poterne_model::{CertificateId, CertificatePackId, Name, RecordType, ZoneId, ZoneStatus};

use super::{ACCOUNT, Engine, Fixture, ZONE, begun, record, zone};
use crate::{AcmeAccount, Certificate, CertificatePack, StoreError, Touched};

on_both! {
    a_pack_is_due_until_it_is_taken_up,
    a_certificate_takes_the_place_of_the_last_and_goes_with_its_zone,
    accounts_are_kept_by_their_authority,
    what_authorities_were_asked_lately_is_remembered,
    deeper_names_are_those_that_are_proxied,
}

const PACK: CertificatePackId = CertificatePackId::from_bytes([7; 16]);

fn names(texts: &[&str]) -> Vec<Name> {
    texts.iter().map(|text| Name::parse(text).unwrap()).collect()
}

fn pack(id: CertificatePackId, due_at: Option<i64>) -> CertificatePack {
    CertificatePack {
        id,
        zone: ZONE,
        kind: "universal".into(),
        hosts: names(&["*.example.com", "example.com"]),
        authority: Some("google".into()),
        method: Some("http-01".into()),
        validity_days: Some(90),
        priority: -1,
        bundle_method: "ubiquitous".into(),
        course: "{}".into(),
        due_at,
        created_at: 1,
        modified_at: 2,
    }
}

fn certificate(id: u8, wrapped: &[u8]) -> Certificate {
    Certificate {
        id: CertificateId::from_bytes([id; 16]),
        pack: PACK,
        hosts: names(&["example.com"]),
        issuer: "CA".into(),
        signature: "ECDSAWithSHA256".into(),
        chain: "pem".into(),
        sealed: vec![1, 2],
        wrapped: wrapped.to_vec(),
        not_before: 3,
        not_after: 4,
        created_at: 5,
    }
}

async fn a_pack_is_due_until_it_is_taken_up(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let mut session = store.write().await.unwrap();
    assert_eq!(session.next_certificate_pack_due().await.unwrap(), None);
    let other = CertificatePackId::from_bytes([8; 16]);
    session.insert_certificate_pack(&pack(PACK, Some(50))).await.unwrap();
    session.insert_certificate_pack(&pack(other, None)).await.unwrap();
    session.commit().await.unwrap();
    let mut session = store.write().await.unwrap();
    assert_eq!(session.certificate_pack(PACK).await.unwrap(), Some(pack(PACK, Some(50))));
    assert_eq!(session.certificate_packs(ZONE).await.unwrap().len(), 2);
    assert_eq!(session.next_certificate_pack_due().await.unwrap(), Some(50));
    assert!(session.take_certificate_packs_due(49, 90, 9).await.unwrap().is_empty());
    assert_eq!(session.take_certificate_packs_due(50, 90, 9).await.unwrap().len(), 1);
    assert!(session.take_certificate_packs_due(89, 99, 9).await.unwrap().is_empty());
    let mut changed = pack(PACK, Some(70));
    (changed.hosts, changed.course, changed.priority) = (names(&["example.com"]), "{\"failures\":1}".into(), 4);
    session.put_certificate_pack(&changed).await.unwrap();
    assert_eq!(session.certificate_pack(PACK).await.unwrap(), Some(changed.clone()));
    let absent = CertificatePack { id: CertificatePackId::from_bytes([9; 16]), ..changed };
    assert!(matches!(session.put_certificate_pack(&absent).await, Err(StoreError::NotFound(_))));
}

async fn a_certificate_takes_the_place_of_the_last_and_goes_with_its_zone(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let mut session = store.write().await.unwrap();
    let change = session.change().await.unwrap();
    session.insert_certificate_pack(&pack(PACK, None)).await.unwrap();
    session.put_certificate(&certificate(1, b"\x01node-key")).await.unwrap();
    session.put_certificate(&certificate(2, b"\x01node-key")).await.unwrap();
    session.commit().await.unwrap();
    let mut session = store.write().await.unwrap();
    assert_eq!(session.certificate_of(PACK).await.unwrap(), Some(certificate(2, b"\x01node-key")));
    assert_eq!(session.certificates_of_zone(ZONE).await.unwrap().len(), 1);
    let in_force = session.certificate_in_force(PACK).await.unwrap().unwrap();
    assert_eq!((in_force.zone, in_force.kind.as_str(), in_force.priority), (ZONE, "universal", -1));
    assert_eq!(session.certificate_page(None, 9).await.unwrap(), [in_force]);
    assert!(session.certificate_page(Some(PACK), 9).await.unwrap().is_empty());
    assert_eq!(session.touched_since(change, 9).await.unwrap().unwrap(), [Touched::Certificate(PACK)]);
    assert!(session.certificates_of_other_node(*b"node-key", 9).await.unwrap().is_empty());
    assert_eq!(session.certificates_of_other_node(*b"node-two", 9).await.unwrap().len(), 1);
    assert!(session.delete_certificate_of(PACK).await.unwrap() && !session.delete_certificate_of(PACK).await.unwrap());
    session.put_certificate(&certificate(3, b"")).await.unwrap();
    session.delete_zone(ZONE).await.unwrap();
    assert_eq!((session.certificate_pack(PACK).await.unwrap(), session.certificate_of(PACK).await.unwrap()), (None, None));
    assert!(!format!("{:?}", certificate(1, b"")).contains("sealed"));
}

async fn accounts_are_kept_by_their_authority(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let account = |uri: &str| AcmeAccount {
        directory: "https://ca.test/dir".into(),
        uri: uri.into(),
        issuers: vec!["ca.test".into(), "ca.example".into()],
        sealed: vec![9],
        created_at: 1,
    };
    let mut session = store.write().await.unwrap();
    session.put_acme_account(&account("https://ca.test/acct/1")).await.unwrap();
    session.put_acme_account(&account("https://ca.test/acct/2")).await.unwrap();
    assert_eq!(session.acme_accounts().await.unwrap(), [account("https://ca.test/acct/2")]);
    assert_eq!(session.acme_account("https://other.test/dir").await.unwrap(), None);
    session.delete_acme_account("https://ca.test/dir").await.unwrap();
    assert_eq!(session.acme_account("https://ca.test/dir").await.unwrap(), None);
}

async fn what_authorities_were_asked_lately_is_remembered(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let (one, other) = ("https://ca.test/dir", "https://other.test/dir");
    let mut session = store.write().await.unwrap();
    for (directory, given_at) in [(one, 10), (other, 11), (one, 12), (one, 12)] {
        session.insert_acme_order(directory, given_at, given_at - 2).await.unwrap();
    }
    let orders = session.acme_orders().await.unwrap();
    assert_eq!(orders, [(other.to_owned(), 11), (one.to_owned(), 12), (one.to_owned(), 12)]);
    session.put_acme_rest(one, Some((100, "full"))).await.unwrap();
    session.put_acme_rest(one, Some((200, "away"))).await.unwrap();
    session.put_acme_rest(other, Some((300, "away"))).await.unwrap();
    session.put_acme_rest(other, None).await.unwrap();
    assert_eq!(session.acme_rests().await.unwrap(), [(one.to_owned(), 200, "away".to_owned())]);
}

async fn deeper_names_are_those_that_are_proxied(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let mut session = store.write().await.unwrap();
    let mut plain = record(1, "c.d.example.com", RecordType::A, "192.0.2.1");
    plain.proxied = false;
    session.insert_record(&plain).await.unwrap();
    for (id, owner) in [(2, "a.b.example.com"), (3, "www.example.com"), (4, "example.com"), (5, "*.x.example.com")] {
        session.insert_record(&record(id, owner, RecordType::A, "192.0.2.1")).await.unwrap();
    }
    let apex = Name::parse("example.com").unwrap();
    let found = session.deeper_proxied_names(ZONE, &apex, 9).await.unwrap();
    assert_eq!(found, names(&["*.x.example.com", "a.b.example.com"]));
    assert_eq!(session.deeper_proxied_names(ZONE, &apex, 1).await.unwrap().len(), 1);
    let all = session.proxied_names(ZONE, 9).await.unwrap();
    assert_eq!(all, names(&["*.x.example.com", "a.b.example.com", "example.com", "www.example.com"]));
    session.insert_zone(&zone(4, ACCOUNT, "example.org", ZoneStatus::Pending)).await.unwrap();
    assert_eq!(session.zones_proxying_after(None, 9).await.unwrap(), [ZONE]);
    assert_eq!(session.zones_proxying_after(Some(ZONE), 9).await.unwrap(), Vec::<ZoneId>::new());
    session.set_zone_paused(ZONE, true, 9).await.unwrap();
    assert!(session.zones_proxying_after(None, 9).await.unwrap().is_empty());
}
