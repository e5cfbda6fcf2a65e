//! Visitors who were asked for a certificate: which connections carry their requests, what rules see of it, and what an origin is told.

use poterne_model::{CertificateId, RuleId, ShownCertificate, ruleset::Phase, visitor_certificate::DistinguishedName};
use poterne_rules::{Act, Definition, ZoneRules};
use poterne_snapshot::{ClientCertificates, VisitorAuthority, VisitorHost};

use super::*;

const OURS: CertificateId = CertificateId::from_bytes([7; 16]);
const THEIRS: CertificateId = CertificateId::from_bytes([8; 16]);
const SERIAL: [u8; 16] = [0x47; 16];

/// What became of asking on a connection.
fn asked(of: &[CertificateId], verified_by: Option<Option<CertificateId>>) -> Option<Arc<ClientAuth>> {
    let shown = verified_by.map(|verified_by| {
        Box::new(ShownCertificate {
            verified_by,
            der: b"der"[..].into(),
            not_before: 0,
            not_after: i64::MAX,
            validity: ["then".into(), "later".into()],
            serial: SERIAL[..].into(),
            subject: DistinguishedName { rfc2253: "CN=ann".into(), legacy: "/CN=ann".into() },
            issuer: DistinguishedName { rfc2253: "CN=us".into(), legacy: "/CN=us".into() },
            ski: Box::default(),
            issuer_ski: Box::default(),
            issuer_serial: Box::default(),
            sha1: [1; 20],
            sha256: [2; 32],
        })
    });
    Some(Arc::new(ClientAuth { asked: of.into(), shown }))
}

/// An edge whose `www.site.test` asks for certificates that `OURS` vouches for, and tells the origin.
fn asking(revoked: Vec<[u8; 16]>, rules: &[&str]) -> Edge {
    let edge = edge();
    let id = ZoneId::from_bytes([1; 16]);
    let head = edge.snapshot.load().zone(id).unwrap().head().clone();
    let authorities = vec![VisitorAuthority { id: OURS, certificates: Vec::new(), revoked }];
    let visitors = vec![VisitorHost { host: name("www.site.test"), authorities: vec![OURS] }];
    let client = Some(Box::new(ClientCertificates { visitors, authorities, ..ClientCertificates::default() }));
    let settings = EdgeSettings { tells_certificate: true, ..EdgeSettings::default() };
    let head = ZoneHead { client, edge: settings, ..head };
    let rule = |(number, expression): (u8, &&str)| Definition {
        id: RuleId::from_bytes([number; 16]),
        phase: Phase::FirewallCustom,
        expression: (*expression).into(),
        act: Act::Block(None),
    };
    let rules = ZoneRules { rules: (1..).zip(rules).map(rule).collect(), ..ZoneRules::default() };
    let chunks = vec![
        (ChunkKey::Zone(id).encode(), Some(Chunk::Zone(head).encode())),
        (ChunkKey::Rules(id).encode(), Some(Chunk::Rules(rules).encode())),
    ];
    edge.snapshot.apply(&Change { generation: 2, chunks }).unwrap();
    edge
}

fn request(host: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: {host}\r\nClient-Cert: :forged:\r\nCf-Cert-Verified: true\r\n\r\n")
}

async fn status(edge: &Edge, sni: &str, host: &str, client: Option<Arc<ClientAuth>>) -> u16 {
    let answer = edge.ask_as(Some(sni), client, &request(host)).await;
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_connection_carries_no_host_that_asks_otherwise() {
    let edge = asking(Vec::new(), &[]);
    let (www, plain) = ("www.site.test", "site.test");
    assert_eq!(status(&edge, www, www, asked(&[OURS], None)).await, 200, "whether one is needed rules decide");
    assert_eq!(status(&edge, plain, plain, None).await, 200);
    assert_eq!(status(&edge, plain, www, None).await, 421, "nobody was asked there");
    assert_eq!(status(&edge, www, plain, asked(&[OURS], None)).await, 421, "what was shown to one host is not another's");
    assert_eq!(status(&edge, www, www, asked(&[THEIRS], None)).await, 421, "others were asked for");
    assert_eq!(status(&edge, www, www, None).await, 421, "it was made before the host asked");
    assert!(edge.get(www, "/").await.starts_with("HTTP/1.1 200 "), "in clear nobody can be asked");
    let mut visitor = edge.connect_as(Some(plain), None).await;
    visitor.write_all(request(www).as_bytes()).await.unwrap();
    let mut answer = String::new();
    visitor.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("connection: close\r\n"), "whoever keeps connections opens another: {answer}");
}

#[tokio::test]
async fn rules_decide_who_comes_in() {
    let edge = asking(Vec::new(), &["http.host eq \"www.site.test\" and not cf.tls_client_auth.cert_verified"]);
    let come = async |edge: &Edge, shown| status(edge, "www.site.test", "www.site.test", asked(&[OURS], shown)).await;
    assert_eq!(come(&edge, None).await, 403);
    assert_eq!(come(&edge, Some(None)).await, 403);
    assert_eq!(come(&edge, Some(Some(OURS))).await, 200);
    assert_eq!(come(&edge, Some(Some(THEIRS))).await, 403, "an authority that the zone has no more");
    let edge = asking(vec![SERIAL], &["cf.tls_client_auth.cert_revoked"]);
    assert_eq!((come(&edge, Some(Some(OURS))).await, come(&edge, None).await), (403, 200));
}

#[tokio::test]
async fn an_origin_is_told_what_was_shown_and_nothing_that_a_visitor_made_up() {
    let edge = asking(Vec::new(), &[]);
    let told = async |client| {
        assert_eq!(status(&edge, "www.site.test", "www.site.test", client).await, 200);
        edge.pretend.last.lock().unwrap().take().unwrap().1
    };
    let good = told(asked(&[OURS], Some(Some(OURS)))).await;
    let texts = |head: &HeaderMap, names: &[&str]| -> Vec<String> {
        names.iter().map(|name| head[*name].to_str().unwrap().to_owned()).collect()
    };
    assert_eq!(texts(&good, &["cf-cert-verified", "cf-cert-subject-dn", "client-cert"]), ["true", "CN=ann", ":ZGVy:"]);
    assert_eq!(good.get_all("client-cert").iter().count(), 1);
    let none = told(asked(&[OURS], None)).await;
    assert_eq!(texts(&none, &["cf-cert-presented", "cf-cert-verified"]), ["false", "false"]);
    assert!(!none.contains_key("client-cert"));
    let edge = self::edge();
    edge.ask(Some("site.test"), &request("site.test")).await;
    let (_, head, _) = edge.pretend.last.lock().unwrap().take().unwrap();
    assert!(!head.contains_key("client-cert") && !head.contains_key("cf-cert-verified"), "whatever the zone set");
}
