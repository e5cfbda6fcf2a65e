//! Certificates of visitors, and who vouches for them.

use poterne_model::{CertificateId, Name, ZoneStatus};

use super::{ACCOUNT, Engine, Fixture, OTHER, ZONE, begun, zone};
use crate::{ClientAuthority, MtlsCertificate, Touched, VisitorCertificate, VisitorHost};

on_both! {
    who_vouches_for_visitors_is_kept_and_goes_with_its_zone,
    what_was_issued_to_visitors_is_revoked_and_forgotten,
}

fn id(byte: u8) -> CertificateId {
    CertificateId::from_bytes([byte; 16])
}

fn names(texts: &[&str]) -> Vec<Name> {
    texts.iter().map(|text| Name::parse(text).unwrap()).collect()
}

async fn who_vouches_for_visitors_is_kept_and_goes_with_its_zone(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let brought = |byte, account| MtlsCertificate {
        id: id(byte),
        account,
        name: "ours".into(),
        certificates: "pem".into(),
        issuer: "CN=us".into(),
        signature: "ECDSAWithSHA256".into(),
        serial: "17".into(),
        not_after: 9_000_000,
        created_at: byte.into(),
    };
    let own = ClientAuthority { zone: ZONE, id: id(9), certificate: "pem".into(), sealed: vec![1, 2], created_at: 5 };
    let mut session = store.write().await.unwrap();
    for one in [brought(2, ACCOUNT), brought(1, ACCOUNT), brought(3, OTHER)] {
        session.insert_mtls_certificate(&one).await.unwrap();
    }
    assert_eq!(session.mtls_certificate(id(3)).await.unwrap(), Some(brought(3, OTHER)));
    session.insert_client_authority(&own).await.unwrap();
    assert_eq!(session.mtls_certificates(Some(ACCOUNT)).await.unwrap(), [brought(1, ACCOUNT), brought(2, ACCOUNT)]);
    assert_eq!(session.client_authorities(Some(ZONE)).await.unwrap(), session.client_authorities(None).await.unwrap());
    session.commit().await.unwrap();
    let mut session = store.write().await.unwrap();
    session.put_visitor_hosts(ZONE, id(1), &names(&["b.example.com", "a.example.com"])).await.unwrap();
    session.put_visitor_hosts(ZONE, id(9), &names(&["a.example.com"])).await.unwrap();
    session.put_visitor_hosts(ZONE, id(1), &names(&["a.example.com"])).await.unwrap();
    let change = session.commit().await.unwrap();
    let mut session = store.write().await.unwrap();
    assert_eq!(session.touched_since(change - 1, 10).await.unwrap().unwrap(), [Touched::Zone(ZONE)]);
    let host = |byte| VisitorHost { zone: ZONE, host: names(&["a.example.com"]).remove(0), authority: id(byte) };
    assert_eq!(session.visitor_hosts(Some(ZONE)).await.unwrap(), [host(1), host(9)]);
    assert_eq!(session.hosts_of_authority(id(9)).await.unwrap(), [host(9)]);
    assert!(!session.delete_mtls_certificate(OTHER, id(1)).await.unwrap(), "it is another account's");
    assert!(session.delete_mtls_certificate(ACCOUNT, id(2)).await.unwrap());
    session.delete_zone(ZONE).await.unwrap();
    assert_eq!((session.visitor_hosts(None).await.unwrap(), session.client_authorities(None).await.unwrap()), (vec![], vec![]));
    assert_eq!(session.mtls_certificates(None).await.unwrap(), [brought(1, ACCOUNT), brought(3, OTHER)]);
    assert!(!format!("{own:?}").contains("sealed"));
}

async fn what_was_issued_to_visitors_is_revoked_and_forgotten(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let issued = |byte: u8, revoked_at| VisitorCertificate {
        id: id(byte),
        zone: ZONE,
        serial: [byte; 16],
        subject: "{}".into(),
        request: "csr".into(),
        certificate: "pem".into(),
        ski: "ab".into(),
        fingerprint: "cd".into(),
        validity_days: 365,
        not_after: i64::from(byte) * 10,
        created_at: byte.into(),
        revoked_at,
    };
    let mut session = store.write().await.unwrap();
    for byte in [0x41, 0x7f] {
        session.insert_visitor_certificate(&issued(byte, None)).await.unwrap();
    }
    assert_eq!(session.visitor_certificates(ZONE).await.unwrap(), [issued(0x7f, None), issued(0x41, None)], "the newest first");
    assert_eq!(session.visitor_certificates_count(ZONE).await.unwrap(), 2);
    session.set_visitor_certificate_revoked(ZONE, id(0x7f), Some(7)).await.unwrap();
    session.set_visitor_certificate_revoked(ZONE, id(0x41), Some(8)).await.unwrap();
    assert_eq!(session.visitor_certificate(ZONE, id(0x7f)).await.unwrap(), Some(issued(0x7f, Some(7))));
    let both = [(ZONE, [0x41; 16]), (ZONE, [0x7f; 16])];
    assert_eq!(session.revoked_visitor_certificates(Some(ZONE)).await.unwrap(), both, "rising");
    session.set_visitor_certificate_revoked(ZONE, id(0x7f), None).await.unwrap();
    assert_eq!(session.revoked_visitor_certificates(None).await.unwrap(), both[..1]);
    let over = session.visitor_certificates_over(651, 9).await.unwrap();
    assert_eq!(over, [issued(0x41, Some(8))]);
    session.delete_visitor_certificate(&over[0]).await.unwrap();
    assert_eq!(session.revoked_visitor_certificates(None).await.unwrap(), []);
    let other = zone(8, ACCOUNT, "other.test", ZoneStatus::Active);
    assert_eq!(session.visitor_certificate(other.id, id(0x7f)).await.unwrap(), None, "it is another zone's");
    session.delete_zone(ZONE).await.unwrap();
    assert_eq!(session.visitor_certificate(ZONE, id(0x7f)).await.unwrap(), None);
}
