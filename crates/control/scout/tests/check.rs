//! What `poterne dns check` says of a zone whose parent, name servers and resolver are real ones on loopback.
#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use std::time::Duration;

use poterne_control_scout::check::{self, Level, Topic, facts::Here};
use poterne_dns_resolver::{
    Resolver, Settings,
    testing::{Manner, TestServer},
};
use poterne_guard::{Guard, Range};
use poterne_model::{AccountId, Name, ZoneStatus};

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

#[tokio::test]
async fn a_good_colleague_tells_what_the_world_sees() {
    let plain = Manner::default();
    let root = TestServer::start("127.0.0.51", 0, plain).await;
    let port = root.address().port();
    let root = root.with(".", "test. NS a.nic.test.\na.nic.test. A 127.0.0.52");
    let ds = "example DS 42 13 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let parent = format!(
        "@ NS a.nic.test.\nexample NS ns1.example\nexample NS lame.other.test.\nns1.example A 127.0.0.53\n{ds}\nother NS ns.other\nns.other A 127.0.0.54"
    );
    let _top = TestServer::start("127.0.0.52", port, plain).await.with("test", &parent);
    let _served = TestServer::start("127.0.0.53", port, plain).await.with("example.test", "@ NS ns1\nns1 A 127.0.0.53");
    let _lame =
        TestServer::start("127.0.0.54", port, plain).await.with("other.test", "@ NS ns\nns A 127.0.0.54\nlame A 127.0.0.54");
    let remembers = TestServer::start("127.0.0.55", port, Manner { recursive: true, ..plain }).await;
    let remembers = remembers.with(".", "example.test. NS ns.former.test.");
    let guard = Guard { allowed: vec![Range { network: "127.0.0.0/8".parse().unwrap(), accounts: None }], own: Vec::new() };
    let resolver = Resolver::new(Settings {
        port,
        timeout: Duration::from_millis(500),
        tries: 2,
        ..Settings::new(vec![root.address().ip()], Vec::new(), guard)
    });
    let here = Here { status: ZoneStatus::Active, assigned: vec![name("ns1.example.test")], records: Vec::new(), proof: None };
    let account = AccountId::from_bytes([1; 16]);
    let facts = check::gather(&resolver, account, name("example.test"), Some(here), &[remembers.address()]).await;
    let report = check::report(&facts);
    let problems: Vec<_> = report.findings.iter().filter(|finding| finding.level == Level::Problem).collect();
    let topics: Vec<Topic> = problems.iter().map(|finding| finding.topic).collect();
    assert_eq!(topics, [Topic::Delegation, Topic::NameServers, Topic::Dnssec], "{report:?}");
    assert!(
        problems[1].text.contains("lame.other.test (127.0.0.54) is lame for example.test: it answers REFUSED"),
        "{problems:?}"
    );
    let said = |text: &str| report.findings.iter().any(|finding| finding.text.contains(text));
    assert!(said("ns1.example.test (127.0.0.53) speaks for example.test, serial 7"), "{report:?}");
    assert!(said("the parent has the address of ns1.example.test") && said("still knows ns.former.test"), "{report:?}");

    let nowhere = check::gather(&resolver, account, name("nowhere.test"), None, &[]).await;
    assert!(check::report(&nowhere).findings[0].text.contains("delegated to nobody"));
}
