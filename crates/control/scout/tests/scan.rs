//! Scans of a zone at its former provider: a real server on loopback that gives it whole, or only answers.
#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use std::{sync::Arc, time::Duration};

use poterne_control_app::{App, Caller, ScanState, Settings as AppSettings, Zone, system_clock};
use poterne_control_scout::{Scout, scan::ANSWER_RECORDS_MAX};
use poterne_control_store::Store;
use poterne_dns_resolver::{
    Resolver, Settings,
    testing::{Manner, TestServer},
};
use poterne_guard::{Guard, Range};
use poterne_keys::NodeKey;
use poterne_model::Name;
use poterne_telemetry::Metrics;

const PROVIDER: &str = "@ NS ns.old\n@ A 9.9.9.9\n@ MX 10 post\n@ TXT \"v=spf1 mx -all\"\nwww CNAME example.test.\npost A 9.9.9.8\n\
    hidden A 9.9.9.7\napi A 9.9.9.6\napi AAAA 2620:fe::6\ngoogle._domainkey TXT \"v=DKIM1; p=AQID\"\nvpn A 9.9.9.5\n\
    *.apps A 9.9.9.4\nsub NS ns.elsewhere.test.\n_acme-challenge TXT once\nold A 9.9.9.3";

const DS: &str = "example DS 42 13 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

struct World {
    app: App,
    scout: Arc<Scout>,
    zone: Zone,
    top: TestServer,
    provider: TestServer,
    _root: TestServer,
    _dir: tempfile::TempDir,
}

impl World {
    async fn new(manner: Manner) -> Self {
        let root = TestServer::start("127.0.0.41", 0, Manner::default()).await;
        let port = root.address().port();
        let root = root.with(".", "test. NS a.nic.test.\na.nic.test. A 127.0.0.42");
        let parent = format!("@ NS a.nic.test.\nexample NS ns.old.example\nns.old.example A 127.0.0.43\n{DS}");
        let top = TestServer::start("127.0.0.42", port, Manner::default()).await.with("test", &parent);
        let provider = TestServer::start("127.0.0.43", port, manner).await.with("example.test", PROVIDER);
        let allowed = vec![Range { network: "127.0.0.0/8".parse().unwrap(), accounts: None }];
        let guard = Guard { allowed, own: Vec::new() };
        let resolver = Resolver::new(Settings {
            port,
            timeout: Duration::from_secs(2),
            tries: 2,
            ..Settings::new(vec![root.address().ip()], Vec::new(), guard)
        });
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store.sqlite")).await.unwrap();
        let nameservers = ["ns1.node.net", "ns2.node.net"].map(|name| Name::parse(name).unwrap()).to_vec();
        let settings = AppSettings { nameservers, ..AppSettings::default() };
        let app = App::open(store, &NodeKey::generate(), settings, system_clock(), None).await.unwrap();
        let scout = Scout::new(app.clone(), resolver, &Metrics::new());
        let zone = app.zone_add(&Caller::Operator, "example.test").await.unwrap();
        Self { app, scout, zone, top, provider, _root: root, _dir: dir }
    }

    async fn scanned(&self) -> (Vec<String>, ScanState) {
        self.app.scan_trigger(&Caller::Operator, self.zone.id).await.unwrap();
        assert_eq!(self.scout.scan_turn().await, 1);
        let found = self.app.scan_review(&Caller::Operator, self.zone.id).await.unwrap();
        let line = |kept: &poterne_control_app::KeptRecord| {
            let entry = &kept.entry;
            let edge = if entry.proxied { " proxied" } else { "" };
            format!("{} {} {}{edge}", entry.name, entry.rdata.rtype(), entry.rdata.presentation())
        };
        let state = self.app.scan_state(&Caller::Operator, self.zone.id).await.unwrap().unwrap();
        (found.iter().map(line).collect(), state)
    }
}

#[tokio::test]
async fn a_zone_that_is_not_given_is_probed_for() {
    let world = World::new(Manner::default()).await;
    let (found, state) = world.scanned().await;
    let expected = [
        "example.test A 9.9.9.9 proxied",
        "example.test MX 10 post.example.test.",
        "example.test TXT \"v=spf1 mx -all\"",
        "api.example.test A 9.9.9.6 proxied",
        "api.example.test AAAA 2620:fe::6 proxied",
        "google._domainkey.example.test TXT \"v=DKIM1; p=AQID\"",
        "vpn.example.test A 9.9.9.5",
        "www.example.test CNAME example.test. proxied",
    ];
    assert_eq!(found, expected, "hidden, old, post and what is below apps have names that nobody guesses");
    assert!(!state.whole && state.warnings.iter().any(|warning| warning.contains("DS record")), "{state:?}");
    assert_eq!(state.name_servers, [Name::parse("ns.old.example.test").unwrap()]);
    let asked = world.provider.asked();
    assert!(asked.len() <= 330, "{}", asked.len());
    assert!(!asked.iter().any(|question| question.starts_with("_acme-challenge")));
}

#[tokio::test]
async fn a_zone_that_is_given_is_found_whole() {
    let world = World::new(Manner { transfers: true, ..Manner::default() }).await;
    let (found, state) = world.scanned().await;
    assert!(state.whole);
    for line in [
        "hidden.example.test A 9.9.9.7 proxied",
        "post.example.test A 9.9.9.8",
        "*.apps.example.test A 9.9.9.4 proxied",
        "sub.example.test NS ns.elsewhere.test.",
    ] {
        assert!(found.iter().any(|one| one == line), "{line}: {found:?}");
    }
    assert!(!found.iter().any(|line| line.contains("SOA") || line.starts_with("example.test NS")), "{found:?}");
    assert_eq!(state.passed_over.len(), 1, "the challenge: {:?}", state.passed_over);
}

#[tokio::test]
async fn a_wildcard_is_proposed_and_what_it_answers_is_not() {
    let world = World::new(Manner::default()).await;
    world.provider.set("example.test", "@ NS ns.old\n@ A 9.9.9.9\n* A 9.9.9.2\napi A 9.9.9.6");
    let (found, _) = world.scanned().await;
    let expected = ["example.test A 9.9.9.9 proxied", "*.example.test A 9.9.9.2 proxied", "api.example.test A 9.9.9.6 proxied"];
    assert_eq!(found, expected);
}

/// Whoever runs the present name server chooses how much it says.
#[tokio::test]
async fn an_answer_of_any_length_is_looked_at_as_far_as_one_needs() {
    let world = World::new(Manner::default()).await;
    let many: String = (0..1000).map(|number| format!("www A 9.9.{}.{}\n", number / 250, number % 250)).collect();
    world.provider.set("example.test", &format!("@ NS ns.old\n@ A 9.9.9.9\n{many}"));
    let (found, state) = world.scanned().await;
    assert_eq!(found.iter().filter(|line| line.starts_with("www.example.test A ")).count(), ANSWER_RECORDS_MAX);
    assert!(state.warnings.iter().any(|warning| warning.contains("more than 100 records")), "{:?}", state.warnings);
}

#[tokio::test]
async fn where_nothing_can_be_found_it_is_said_why() {
    let world = World::new(Manner::default()).await;
    world.top.set("test", "@ NS a.nic.test.\nexample NS ns1.node.net.\nexample NS ns2.node.net.");
    let (found, state) = world.scanned().await;
    assert!(found.is_empty() && state.warnings[0].contains("delegated to this node already"), "{state:?}");
    let world = World::new(Manner::default()).await;
    world.top.set("test", "@ NS a.nic.test.\nexample NS ns.old.example\nns.old.example A 10.0.0.1");
    let (found, state) = world.scanned().await;
    assert!(found.is_empty() && state.warnings[0].contains("10.0.0.1 is a private address"), "{state:?}");
}
