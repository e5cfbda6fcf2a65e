//! The official Python SDK, its validation strict: `peers/with_cloudflare.py`, `with_cloudflare_dns.py` and `with_cloudflare_alerting.py`.

use poterne_e2e::{Agent, Client, Kind, Node};

columns!(what_the_api_answered_is_live);

#[test]
fn who_a_token_is() {
    Client::run("with_cloudflare.py", &["who"], &Node::demo());
}

#[test]
fn tokens_are_made_limited_rolled_and_deleted() {
    Client::run("with_cloudflare.py", &["tokens"], &Node::demo());
}

#[test]
fn zones() {
    Client::run("with_cloudflare.py", &["zones"], &Node::demo());
}

#[test]
fn tunnels() {
    Client::run("with_cloudflare.py", &["tunnels"], &Node::demo());
}

#[test]
fn rules_are_obeyed_when_they_are_saved() {
    Client::run("with_cloudflare.py", &["rules"], &Node::demo());
}

#[test]
fn records() {
    Client::run("with_cloudflare_dns.py", &["records"], &Node::demo());
}

#[test]
fn records_that_conflict() {
    Client::run("with_cloudflare_dns.py", &["conflicts"], &Node::demo());
}

#[test]
fn a_batch_is_done_whole_or_not_at_all() {
    Client::run("with_cloudflare_dns.py", &["batches"], &Node::demo());
}

#[test]
fn zone_files() {
    Client::run("with_cloudflare_dns.py", &["files"], &Node::demo());
}

/// A node that lets webhooks be called on loopback.
fn calling_loopback() -> Node {
    Node::bare(&["edge.origins_allowed=[{ cidr = \"127.0.0.0/8\" }]".to_owned()])
}

#[test]
fn webhooks_and_policies() {
    Client::run("with_cloudflare_alerting.py", &["objects"], &Node::bare(&[]));
}

#[test]
fn a_webhook_is_called_with_its_signature() {
    let node = calling_loopback();
    Client::run("with_cloudflare_alerting.py", &["signed"], &node);
    let log = node.log();
    assert!(log.contains("answers 503") && log.contains("notice sent"), "{log}");
    assert!(!log.contains("whsec_") && !log.contains("in?a=b"), "neither secret nor path: {log}");
}

#[test]
fn nothing_inside_is_called() {
    let node = Node::bare(&[]);
    Client::run("with_cloudflare_alerting.py", &["refused_inside"], &node);
    assert!(node.log().contains("is a loopback address"), "{}", node.log());
}

#[test]
fn a_redirect_is_not_followed() {
    Client::run("with_cloudflare_alerting.py", &["redirected"], &calling_loopback());
}

/// The SDK makes a tunnel, an agent runs with its token, and visitors come as soon as the record is made.
fn what_the_api_answered_is_live(kind: Kind) {
    let node = Node::demo();
    let mut client = Client::start("with_cloudflare.py", &["live"], &node);
    let made = client.hear();
    let _agent = Agent::run(&node, kind, made["token"].as_str().unwrap());
    node.wait_for_agents_of(made["tunnel"].as_str().unwrap(), 1);
    client.go_on();
    client.end();
}
