//! What Debian's `pebble` lacks, by a proxy of the tests in front of it (`peers/acme_proxy.py`): renewal information, profiles, limits, and
//! nonces refused at a known moment.

use poterne_e2e::{
    Api, Node, eventually,
    pebble::{Pebble, Proxy, Terms},
};
use serde_json::{Value, json};

fn universal(api: &Api, zone: &str) -> Value {
    api.done("GET", &format!("{zone}/ssl/certificate_packs?status=all"), &Value::Null)[0].clone()
}

fn active(api: &Api, zone: &str) -> Value {
    eventually("the certificate is there", || universal(api, zone)["status"] == "active");
    universal(api, zone)
}

fn with_proxy(modes: &[&str], more: &[&str]) -> (Pebble, Proxy, Node, Api) {
    let mut pebble = Pebble::new();
    let proxy = Proxy::start(&pebble, modes);
    let mut settings = vec![format!("acme.directory={}", proxy.directory), format!("acme.ca_file={}", pebble.ca_file.display())];
    settings.extend(more.iter().map(ToString::to_string));
    let node = Node::bare(&settings);
    pebble.serve(&node, Terms::default());
    let api = Api::of(&node);
    (pebble, proxy, node, api)
}

#[test]
fn a_certificate_is_renewed_when_its_authority_says() {
    let (_pebble, proxy, node, api) = with_proxy(&["ari"], &["acme.profile=shortlived"]);
    let zone = api.zone(&node, "example.com");
    eventually("the second certificate is there, and was asked about", || proxy.noted("asked").len() >= 2);
    let orders = proxy.noted("ordered");
    assert_eq!(orders.len(), 2, "{orders:?}");
    assert!(orders.iter().all(|order| order["profile"] == "shortlived"), "{orders:?}");
    let first = proxy.noted("asked")[0].clone();
    assert_eq!((orders[0].get("replaces"), &orders[1]["replaces"]), (None, &first));
    // The next one lies in the window that was suggested, a week from now.
    eventually("the window is kept", || {
        let pack = universal(&api, &zone);
        pack["certificates"].as_array().is_some_and(|all| all.len() == 1) && pack["failures"] == 0
    });
    assert_eq!(active(&api, &zone)["validation_errors"], json!([]));
}

#[test]
fn a_profile_that_an_authority_has_not_is_told() {
    let (_pebble, _proxy, node, api) = with_proxy(&["ari"], &["acme.profile=longlived"]);
    let zone = api.zone(&node, "example.com");
    let why = || universal(&api, &zone)["validation_errors"][0]["message"].as_str().unwrap_or_default().to_owned();
    eventually("the refusal is told", || why().contains("no profile \"longlived\"; it has shortlived"));
}

#[test]
fn the_next_authority_is_asked_where_the_first_gives_no_more() {
    let mut pebble = Pebble::new();
    let proxy = Proxy::start(&pebble, &["limited"]);
    let ca_file = pebble.ca_file.display();
    let others = format!("acme.others=[{{ directory = {:?}, ca_file = \"{ca_file}\" }}]", pebble.directory);
    let settings = [format!("acme.directory={}", proxy.directory), format!("acme.ca_file={ca_file}"), others];
    let node = Node::bare(&settings);
    pebble.serve(&node, Terms::default());
    let api = Api::of(&node);
    let zone = api.zone(&node, "example.com");
    active(&api, &zone);
    assert_eq!(proxy.noted("limited").len(), 1);
    // It rests for everybody: the next zone does not ask it again.
    let other = api.zone(&node, "example.org");
    active(&api, &other);
    assert_eq!(proxy.noted("limited").len(), 1);
}

#[test]
fn where_nobody_else_gives_it_is_told_when_it_is_tried_again() {
    let (_pebble, proxy, node, api) = with_proxy(&["limited"], &[]);
    let zone = api.zone(&node, "example.com");
    eventually("the limit is told", || {
        let pack = universal(&api, &zone);
        pack["validation_errors"][0]["message"].as_str().is_some_and(|why| why.contains("too many certificates were issued"))
    });
    let pack = universal(&api, &zone);
    assert_eq!((&pack["status"], &pack["failures"]), (&json!("pending_validation"), &json!(1)));
    assert!(pack["next_attempt_on"].is_string() && proxy.noted("limited").len() == 1, "{pack}");
}

#[test]
fn a_nonce_that_is_refused_is_replaced() {
    let (_pebble, proxy, node, api) = with_proxy(&["nonces"], &[]);
    let zone = api.zone(&node, "example.com");
    active(&api, &zone);
    // The account, the order, its authorizations and challenges, and what came of it.
    assert!(proxy.noted("refused").len() >= 6, "{:?}", proxy.noted("refused"));
    assert_eq!(universal(&api, &zone)["failures"], 0);
}
