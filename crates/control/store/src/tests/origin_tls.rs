//! Certificates on the way to origins.

use poterne_model::CertificateId;

use super::{Engine, Fixture, ZONE, begun};
use crate::{ClientCertificate, OriginCertificate, OriginPullHost};

on_both! { what_edge_and_origins_know_each_other_by_is_kept }

async fn what_edge_and_origins_know_each_other_by_is_kept(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let mut session = store.write().await.unwrap();
    let client = |id: u8, at| ClientCertificate {
        id: CertificateId::from_bytes([id; 16]),
        zone: ZONE,
        for_hosts: id == 3,
        issuer: "ours".into(),
        signature: "ECDSAWithSHA256".into(),
        chain: "pem".into(),
        sealed: vec![1, 2],
        wrapped: b"\x01node-key wrapped".to_vec(),
        not_after: 9_000_000,
        created_at: at,
    };
    for one in [client(2, 2), client(1, 1)] {
        session.put_client_certificate(&one).await.unwrap();
    }
    assert_eq!(session.client_certificates(Some(ZONE)).await.unwrap(), [client(1, 1), client(2, 2)], "the newest last");
    assert_eq!(session.client_certificates(None).await.unwrap().len(), 2);
    assert!(!format!("{:?}", client(1, 1)).contains("wrapped"));
    assert!(session.client_certificates_of_other_node(*b"node-key", 9).await.unwrap().is_empty());
    assert_eq!(session.client_certificates_of_other_node(*b"node-two", 9).await.unwrap().len(), 2);
    session.put_client_certificate(&client(3, 3)).await.unwrap();
    let host = |host: &str, enabled| OriginPullHost {
        zone: ZONE,
        host: poterne_model::Name::parse(host).unwrap(),
        certificate: client(3, 3).id,
        enabled,
        created_at: 1,
        modified_at: 1,
    };
    for one in [host("b.example.com", true), host("a.example.com", true), host("a.example.com", false)] {
        session.put_origin_pull_host(&one).await.unwrap();
    }
    let both = [host("a.example.com", false), host("b.example.com", true)];
    assert_eq!(session.origin_pull_hosts(Some(ZONE)).await.unwrap(), both);
    session.delete_origin_pull_host(ZONE, &host("a.example.com", true).host).await.unwrap();
    assert_eq!(session.origin_pull_hosts(None).await.unwrap(), [host("b.example.com", true)]);
    assert!(session.delete_client_certificate(ZONE, client(3, 3).id).await.unwrap());
    assert_eq!(session.origin_pull_hosts(None).await.unwrap(), [], "what is shown nowhere is said of nobody");
    assert!(session.delete_client_certificate(ZONE, client(2, 2).id).await.unwrap());
    assert!(!session.delete_client_certificate(ZONE, client(2, 2).id).await.unwrap());
    let origin = |serial: u8, not_after| OriginCertificate {
        serial: [serial; 16],
        zone: ZONE,
        hostnames: vec![poterne_model::Name::parse("*.example.com").unwrap()],
        request_type: "origin-rsa".into(),
        validity_days: 7,
        request: "csr".into(),
        certificate: "pem".into(),
        not_after,
        created_at: serial.into(),
        revoked_at: None,
    };
    for one in [origin(1, 10), origin(0x7f, 20)] {
        session.insert_origin_certificate(&one).await.unwrap();
    }
    assert_eq!(session.origin_certificates(ZONE).await.unwrap(), [origin(0x7f, 20), origin(1, 10)], "the newest first");
    session.revoke_origin_certificate([1; 16], 5).await.unwrap();
    assert_eq!(session.origin_certificates(ZONE).await.unwrap(), [origin(0x7f, 20)]);
    assert_eq!(session.origin_certificate([1; 16]).await.unwrap().unwrap().revoked_at, Some(5));
    session.revoke_origin_certificates_of(ZONE, 6).await.unwrap();
    session.delete_zone(ZONE).await.unwrap();
    assert_eq!(session.client_certificates(None).await.unwrap(), []);
    assert_eq!(session.revoked_origin_certificates().await.unwrap(), [[1; 16], [0x7f; 16]], "though their zone is gone");
    assert!(!session.has_origin_certificates_over(10).await.unwrap() && session.has_origin_certificates_over(11).await.unwrap());
    assert_eq!(session.forget_origin_certificates(11).await.unwrap(), 1);
    assert_eq!(session.revoked_origin_certificates().await.unwrap(), [[0x7f; 16]]);
    assert_eq!(session.origin_certificate([1; 16]).await.unwrap(), None);
}
