//! A world of our own on loopback: a root, a top-level domain, a provider, and resolvers, all on one port that the kernel chose.
#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use poterne_dns_resolver::{
    Resolver, Settings, TransferError,
    testing::{Manner, TestServer},
};
use poterne_guard::{Guard, Range};
use poterne_model::{Name, Rtype};

const PLAIN: Manner = Manner { recursive: false, transfers: false, silent: false, refuses: false, old: false };

struct World {
    root: TestServer,
    top: TestServer,
    provider: TestServer,
    port: u16,
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

impl World {
    async fn new() -> Self {
        let root = TestServer::start("127.0.0.21", 0, PLAIN).await;
        let port = root.address().port();
        let root = root
            .with(".", "test. NS a.nic.test.\na.nic.test. A 127.0.0.22\nnet-test. NS ns.net-test.\nns.net-test. A 127.0.0.23");
        let top = TestServer::start("127.0.0.22", port, PLAIN).await.with(
            "test",
            "@ NS a.nic.test.\na.nic A 127.0.0.22\n\
             example NS ns1.example\nexample NS ns.net-test.\nns1.example A 127.0.0.23\n\
             example DS 42 13 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n\
             inside NS ns.inside\nns.inside A 10.0.0.1",
        );
        let provider = TestServer::start("127.0.0.23", port, PLAIN).await;
        let provider = provider.with("net-test", "@ NS ns\nns A 127.0.0.23\nhost A 9.9.9.9\nloop CNAME loop2\nloop2 CNAME loop").with(
            "example.test",
            "@ NS ns1\n@ NS ns.net-test.\n@ MX 10 mail\n@ TXT \"v=spf1 -all\" \"two; \\\"three\\\"\"\n@ CAA 0 issue \"ca.test; a=b\"\n\
             @ HTTPS 1 . alpn=h2,h3 ipv4hint=9.9.9.9\nns1 A 127.0.0.23\n\
             www CNAME host.net-test.\nmail A 9.9.9.8\nmail AAAA 2620:fe::9\nprivate A 192.168.1.1\nprivate A 9.9.9.7\n\
             _sip._tcp SRV 1 2 5060 mail\n*.wild A 9.9.9.6\n",
        );
        Self { root, top, provider, port }
    }

    /// Where loopback may be asked, and nothing else that is private.
    fn settings(&self, resolvers: Vec<SocketAddr>) -> Settings {
        let allowed = vec![Range { network: "127.0.0.0/8".parse().unwrap(), accounts: None }];
        let roots = if resolvers.is_empty() { vec![self.root.address().ip()] } else { Vec::new() };
        Settings {
            port: self.port,
            timeout: Duration::from_millis(300),
            tries: 2,
            ..Settings::new(roots, resolvers, Guard { allowed, own: Vec::new() })
        }
    }

    fn resolver(&self) -> Resolver {
        Resolver::new(self.settings(Vec::new()))
    }
}

fn contents(found: &poterne_dns_resolver::Found) -> Vec<String> {
    let mut contents: Vec<String> =
        found.records.iter().map(|record| record.held().expect("it is read").presentation()).collect();
    contents.sort();
    contents
}

#[tokio::test]
async fn names_are_found_from_the_root_and_through_cnames() {
    let world = World::new().await;
    let resolver = world.resolver();
    let found = resolver.lookup(&name("www.example.test"), Rtype::A).await.unwrap();
    assert_eq!((found.canonical.as_str(), contents(&found)), ("host.net-test", vec!["9.9.9.9".to_owned()]));
    let asked = world.root.asked().len();
    resolver.lookup(&name("WWW.example.test"), Rtype::A).await.unwrap();
    assert_eq!(world.root.asked().len(), asked, "it is remembered");
    let nothing = resolver.lookup(&name("none.example.test"), Rtype::A).await.unwrap();
    assert!(!nothing.exists && nothing.records.is_empty() && nothing.ttl_secs == 60, "{nothing:?}");
    let other = resolver.lookup(&name("mail.example.test"), Rtype::Mx).await.unwrap();
    assert!(other.exists && other.records.is_empty());
    let error = resolver.lookup(&name("loop.net-test"), Rtype::A).await.unwrap_err();
    assert!(error.to_string().contains("CNAMEs"), "{error}");
}

#[tokio::test]
async fn data_of_every_kind_is_read() {
    let world = World::new().await;
    let resolver = world.resolver();
    for (at, rtype, expected) in [
        ("example.test", Rtype::Mx, "10 mail.example.test."),
        // A text is its strings one after the other, however they are cut.
        ("example.test", Rtype::Txt, "\"v=spf1 -alltwo; \\\"three\\\"\""),
        ("example.test", Rtype::Caa, "0 issue \"ca.test; a=b\""),
        ("example.test", Rtype::Https, "1 . alpn=\"h2,h3\" ipv4hint=\"9.9.9.9\""),
        ("_sip._tcp.example.test", Rtype::Srv, "1 2 5060 mail.example.test."),
        ("x.wild.example.test", Rtype::A, "9.9.9.6"),
    ] {
        let found = resolver.lookup(&name(at), rtype).await.unwrap();
        // Parameters of HTTPS are kept as they came, with or without quotes.
        let plain = |text: &str| if rtype == Rtype::Https { text.replace('"', "") } else { text.to_owned() };
        let read: Vec<String> = contents(&found).iter().map(|text| plain(text)).collect();
        assert_eq!(read, [plain(expected)], "{at} {rtype}");
    }
}

#[tokio::test]
async fn what_is_private_is_neither_asked_nor_handed_out() {
    let world = World::new().await;
    let resolver = world.resolver();
    let addresses = resolver.addresses(None, &name("private.example.test")).await.unwrap();
    assert_eq!(addresses.reached, [ip("9.9.9.7")]);
    assert!(addresses.refused[0].to_string().contains("192.168.1.1 is a private address"), "{:?}", addresses.refused);
    // Delegated to 10.0.0.1: it is not asked.
    let error = resolver.lookup(&name("www.inside.test"), Rtype::A).await.unwrap_err();
    assert!(error.to_string().contains("none of its name servers has an address"), "{error}");
    let question = poterne_dns_resolver::Question::new(name("x.test"), Rtype::A);
    let error = resolver.at(None, ip("10.0.0.1"), &question).await.unwrap_err();
    assert!(error.to_string().contains("private"), "{error}");
}

#[tokio::test]
async fn the_parents_servers_say_what_they_delegate() {
    let world = World::new().await;
    let delegation = world.resolver().delegation(None, &name("example.test")).await.unwrap();
    assert_eq!(delegation.parent, Some(name("test")));
    assert_eq!(delegation.name_servers(), [name("ns.net-test"), name("ns1.example.test")]);
    assert_eq!(delegation.ds().len(), 1);
    let seen = delegation.views[0].seen.as_ref().unwrap();
    assert_eq!(seen.glue, [(name("ns1.example.test"), ip("127.0.0.23"))]);
    // Nothing is remembered of it.
    world.top.set("test", "@ NS a.nic.test.\nexample NS ns1.ours.test.");
    let delegation = world.resolver().delegation(None, &name("example.test")).await.unwrap();
    assert_eq!((delegation.name_servers(), delegation.ds().len()), (vec![name("ns1.ours.test")], 0));
    let gone = world.resolver().delegation(None, &name("nowhere.test")).await.unwrap();
    assert!(gone.name_servers().is_empty() && gone.views[0].seen.is_ok());
    world.top.behave(Manner { refuses: true, ..PLAIN });
    assert!(world.resolver().delegation(None, &name("example.test")).await.is_err());
}

#[tokio::test]
async fn with_resolvers_alone_the_parents_servers_are_found_by_them() {
    let world = World::new().await;
    let resolver = TestServer::start("127.0.0.24", world.port, Manner { recursive: true, ..PLAIN }).await;
    let resolver = resolver.with(
        ".",
        "test. NS a.nic.test.\na.nic.test. A 127.0.0.22\nwww.example.test. CNAME host.net-test.\nhost.net-test. A 9.9.9.9",
    );
    let silent = TestServer::start("127.0.0.25", world.port, Manner { silent: true, ..PLAIN }).await;
    let by = Resolver::new(world.settings(vec![silent.address(), resolver.address()]));
    let found = by.lookup(&name("www.example.test"), Rtype::A).await.unwrap();
    assert_eq!((found.canonical.as_str(), contents(&found)), ("host.net-test", vec!["9.9.9.9".to_owned()]));
    let delegation = by.delegation(None, &name("example.test")).await.unwrap();
    assert_eq!(delegation.parent, Some(name("test")));
    assert_eq!(delegation.name_servers(), [name("ns.net-test"), name("ns1.example.test")]);
    let said = by.at_resolvers(&poterne_dns_resolver::Question::new(name("host.net-test"), Rtype::A)).await;
    assert!(said[0].1.is_err() && said[1].1.is_ok());
}

#[tokio::test]
async fn a_zone_is_taken_whole_where_it_is_given() {
    let world = World::new().await;
    let resolver = world.resolver();
    let error = resolver.transfer(None, ip("127.0.0.23"), &name("example.test")).await.unwrap_err();
    assert!(matches!(error, TransferError::Refused(_)), "{error}");
    world.provider.behave(Manner { transfers: true, ..PLAIN });
    let records = resolver.transfer(None, ip("127.0.0.23"), &name("example.test")).await.unwrap();
    assert_eq!(records.len(), 14);
    assert!(records.iter().all(|record| record.held().is_some()), "{records:?}");
}

#[tokio::test]
async fn what_does_not_fit_is_asked_for_over_tcp() {
    let world = World::new().await;
    let long: String = (0..100).map(|n| format!("big A 9.9.{n}.1\n")).collect();
    world.provider.set("example.test", &format!("@ NS ns1\n{long}"));
    let found = world.resolver().lookup(&name("big.example.test"), Rtype::A).await.unwrap();
    assert_eq!(found.records.len(), 100);
}

#[tokio::test]
async fn a_server_from_before_edns_is_asked_without() {
    let world = World::new().await;
    world.provider.behave(Manner { old: true, ..PLAIN });
    let found = world.resolver().lookup(&name("mail.example.test"), Rtype::A).await.unwrap();
    assert_eq!(contents(&found), ["9.9.9.8"]);
}

#[tokio::test]
async fn a_name_whose_servers_are_silent_is_not_asked_for_at_once_again() {
    let world = World::new().await;
    world.provider.behave(Manner { silent: true, ..PLAIN });
    let resolver = world.resolver();
    let error = resolver.lookup(&name("mail.example.test"), Rtype::A).await.unwrap_err();
    assert!(error.to_string().contains("no reply from 127.0.0.23"), "{error}");
    let asked = world.root.asked().len();
    let error = resolver.lookup(&name("mail.example.test"), Rtype::A).await.unwrap_err();
    assert!(error.to_string().contains("a moment ago"), "{error}");
    assert_eq!(world.root.asked().len(), asked);
}

#[tokio::test]
async fn a_chain_is_left_where_the_caller_knows_the_rest_and_asked_for_anew() {
    let world = World::new().await;
    let recursive = TestServer::start("127.0.0.26", world.port, Manner { recursive: true, ..PLAIN }).await;
    let recursive = recursive.with(".", "www.example.test. 60 CNAME host.net-test.\nhost.net-test. A 9.9.9.9");
    for resolver in [world.resolver(), Resolver::new(world.settings(vec![recursive.address()]))] {
        let www = name("www.example.test");
        for ends_there in [true, false] {
            let ends = |target: &Name| ends_there && target.as_str() == "host.net-test";
            let found = resolver.lookup_until(&www, Rtype::A, &ends).await.unwrap();
            assert_eq!((found.canonical.as_str(), found.records.is_empty()), ("host.net-test", ends_there));
        }
    }
    let before = recursive.asked().len();
    let by = Resolver::new(world.settings(vec![recursive.address()]));
    for _ in 0..2 {
        by.lookup_until(&name("host.net-test"), Rtype::A, &|_| false).await.unwrap();
    }
    assert_eq!(recursive.asked().len(), before + 2, "nothing is remembered");
}
