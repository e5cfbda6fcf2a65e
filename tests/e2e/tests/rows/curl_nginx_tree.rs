//! Straight to a server at an address of its own, at the ports that the world knows: an nginx, without an agent.

use poterne_e2e::{
    Api, Curl, Nginx, Node,
    certificate::{self, Authority, Files},
    eventually,
    tree::OLD,
};
use serde_json::json;

alone!(
    a_record_leads_straight_to_its_origin,
    what_is_wrong_with_an_origin_is_told,
    an_origin_that_asks_is_shown_who_the_edge_is,
    connections_to_an_origin_carry_a_hundred_requests_and_more
);

const HOST: &str = "www.site.test";
const ORIGIN: &str = "127.0.0.2";

/// A node whose accounts may reach loopback, a zone, and a way to its verbs.
struct Site {
    node: Node,
    api: Api,
    zone: String,
}

impl Site {
    fn new() -> Self {
        let node = Node::bare(&["edge.origins_allowed=[{ cidr = \"127.0.0.0/8\" }]".to_owned()]);
        let api = Api::of(&node);
        let zone = api.zone(&node, "site.test");
        Self { node, api, zone }
    }

    fn record(&self, kind: &str, name: &str, content: &str) {
        let record = json!({ "type": kind, "name": name, "content": content, "proxied": true });
        self.api.done("POST", &format!("{}/dns_records", self.zone), &record);
    }

    fn set(&self, id: &str, value: &str) {
        self.api.done("PATCH", &format!("{}/settings/{id}", self.zone), &json!({ "value": value }));
    }

    fn http(&self, host: &str, path: &str) -> Curl {
        Curl::http(&self.node, host, path)
    }

    fn https(&self, host: &str, path: &str) -> Curl {
        Curl::https(&self.node, host, path)
    }
}

fn a_record_leads_straight_to_its_origin() {
    let dir = tempfile::tempdir().unwrap();
    let Files { chain, key, .. } = certificate::write(dir.path(), HOST);
    let _nginx = Nginx::straight(dir.path(), ORIGIN, &chain, &key);
    let site = Site::new();
    site.record("A", "www", ORIGIN);
    eventually("the record is in force", || site.http(HOST, "/hello").run().status == 200);

    // As the visitor comes, so the origin is spoken to; and it sees who comes.
    assert_eq!(site.http(HOST, "/hello").run().text(), "Hello, world\n");
    let seen = |curl: Curl| curl.with(&["-H", "CF-Connecting-IP: 192.0.2.1", "-H", "X-Forwarded-Proto: gopher"]).run().text();
    assert_eq!(seen(site.http(HOST, "/host")), format!("{HOST}|http|127.0.0.1"));
    assert_eq!(seen(site.https(HOST, "/host")), format!("{HOST}|https|127.0.0.1"));
    assert!(site.http(HOST, "/way").run().text().starts_with("http||"));
    for version in ["--http1.1", "--http2"] {
        assert!(site.https(HOST, "/way").with(&[version]).run().text().starts_with(&format!("https|{HOST}|")), "{version}");
    }

    // Connections are used again: by visitors who have nothing else in common.
    let requests = |curl: Curl| curl.run().text().rsplit('|').next().unwrap().parse::<u32>().unwrap();
    let before = requests(site.https(HOST, "/way"));
    assert_eq!(requests(site.https(HOST, "/way")), before + 1);
    assert_eq!(site.https(HOST, "/hello").with(&["--head"]).run().status, 200);
    assert_eq!(site.https(HOST, "/absent").run().status, 404);
    assert_eq!(requests(site.https(HOST, "/way")), before + 4);

    for curl in [site.http(HOST, "/big"), site.https(HOST, "/big").with(&["--http2"])] {
        let big = curl.run();
        assert_eq!((big.status, big.body.len()), (200, 16 << 20));
        assert!(big.body.iter().all(|byte| *byte == 7));
    }
    let upload = dir.path().join("www/big");
    assert_eq!(site.https(HOST, "/hello").with(&["-T", upload.to_str().unwrap()]).run().status, 405);

    // The zone's mode.
    site.set("ssl", "strict");
    eventually("nobody vouches for the certificate", || site.https(HOST, "/hello").run().is_error(526, 526));
    assert_eq!(site.http(HOST, "/hello").run().status, 200, "as the visitor comes");
    site.set("ssl", "origin_pull");
    eventually("TLS whatever the visitor does", || site.http(HOST, "/hello").run().is_error(526, 526));
    site.set("ssl", "flexible");
    eventually("in clear whatever the visitor does", || site.https(HOST, "/way").run().text().starts_with("http||"));
    site.set("ssl", "off");
    eventually("visitors are sent to HTTP", || {
        let answer = site.https(HOST, "/hello?x").with(&["--verbose"]).run();
        // To the port in clear of this node's own, since it was its own port for TLS that was named.
        let port = site.node.text("http").rsplit(':').next().unwrap();
        answer.status == 302 && answer.told.contains(&format!("location: http://{HOST}:{port}/hello?x"))
    });
    assert_eq!(site.http(HOST, "/hello").run().status, 200);
}

fn what_is_wrong_with_an_origin_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let Files { chain, key, .. } = certificate::write(dir.path(), HOST);
    let mut nginx = Nginx::straight(dir.path(), ORIGIN, &chain, &key);
    let site = Site::new();
    site.record("A", "www", ORIGIN);
    site.record("A", "nobody", "127.0.0.3");
    // An address of this machine that nobody allowed, and a name that no resolver here knows.
    site.record("A", "own", OLD[0].v4);
    site.record("CNAME", "named", "origin.example.org");
    eventually("the records are in force", || site.http("named.site.test", "/").run().status == 530);
    assert_eq!(site.http(HOST, "/hello").run().status, 200);
    for (host, status, code) in [("nobody.site.test", 521, 521), ("own.site.test", 403, 1000), ("named.site.test", 530, 1016)] {
        for curl in [site.http(host, "/"), site.https(host, "/").with(&["--http2"])] {
            let answer = curl.run();
            assert!(answer.is_error(status, code), "{host}: {answer:?}");
            assert!(!answer.text().contains("127.0.0.3") && !answer.text().contains(OLD[0].v4), "{answer:?}");
        }
    }
    // The page's Ray id finds the one line that explains it.
    let page = site.http("nobody.site.test", "/").with(&["-H", "Accept-Language: fr"]).run().text();
    assert!(page.starts_with("Erreur 521: Le serveur du site refuse les connexions\n"), "{page}");
    let ray = page.lines().find_map(|line| line.strip_prefix("Ray: ")).unwrap().to_owned();
    let log = site.node.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(&ray)).collect();
    assert!(matches!(lines[..], [line] if line.contains("127.0.0.3:80") && line.contains("nobody.site.test")), "{lines:?}");

    // An origin that was restarted, and one that is gone.
    nginx.process.kill();
    drop(nginx);
    assert!(site.http(HOST, "/hello").run().is_error(521, 521));
    let _nginx = Nginx::straight(dir.path(), ORIGIN, &chain, &key);
    assert_eq!(site.http(HOST, "/hello").run().status, 200);
}

/// Eight at a time, as a page is loaded.
fn connections_to_an_origin_carry_a_hundred_requests_and_more() {
    let dir = tempfile::tempdir().unwrap();
    let Files { chain, key, .. } = certificate::write(dir.path(), HOST);
    let _nginx = Nginx::multiplexing(dir.path(), ORIGIN, &chain, &key);
    let site = Site::new();
    site.record("A", "www", ORIGIN);
    eventually("the record is in force", || site.http(HOST, "/hello").run().status == 200);
    let counted = || {
        let metrics = site.node.metrics();
        ["requests", "connections_opened", "connections_reused"].map(|what| {
            let name = format!("poterne_origin_{what}_total ");
            let value =
                metrics.lines().find_map(|line| line.strip_prefix(&name)).unwrap_or_else(|| panic!("no {name}: {metrics}"));
            value.parse::<u64>().unwrap()
        })
    };
    let load = ["--parallel", "--parallel-immediate", "--parallel-max", "8", "--output", "/dev/null"];
    for (over_tls, most) in [(false, "1"), (true, "1"), (true, "2")] {
        site.set("origin_max_http_version", most);
        let path = "/hello?[1-2000]";
        let curl = if over_tls { site.https(HOST, path).with(&["--http1.1"]) } else { site.http(HOST, path) };
        let before = counted();
        let answers = curl.with(&load).run();
        assert!(answers.exit == 0 && format!("{}200", answers.text()) == "200".repeat(2_000), "{answers:?}");
        let after = counted();
        let [requests, opened, reused] = std::array::from_fn(|at| after[at] - before[at]);
        assert_eq!(requests, 2_000);
        assert!(reused * 100 >= requests * 99 && opened * 100 <= requests, "HTTP/{most}: {opened} made, {reused} used again");
    }
}

fn an_origin_that_asks_is_shown_who_the_edge_is() {
    let dir = tempfile::tempdir().unwrap();
    let Files { chain, key, .. } = certificate::write(dir.path(), HOST);
    let site = Site::new();
    let auth = format!("{}/origin_tls_client_auth", site.zone);
    // Whom this origin lets in: the node's own authority for that, and the one that certificates are brought of.
    let theirs = Authority::new("theirs");
    let ours = site.api.get(&format!("{}/poterne/origin_pull_authority", site.zone)).unwrap().result()["certificate"].clone();
    let authorities = dir.path().join("authorities.pem");
    std::fs::write(&authorities, format!("{}{}", ours.as_str().unwrap(), theirs.pem())).unwrap();
    let _nginx = Nginx::asking(dir.path(), ORIGIN, &chain, &key, &authorities);
    const OTHER: &str = "app.site.test";
    for name in ["www", "app"] {
        site.record("A", name, ORIGIN);
    }
    eventually("the records are in force", || site.https(OTHER, "/who").run().status == 400);
    assert_eq!(site.https(HOST, "/who").run().status, 400, "nginx's own: nothing was shown");

    let who = |host: &str| {
        let answer = site.https(host, "/who").run();
        if answer.status == 200 { answer.text() } else { answer.status.to_string() }
    };
    let put = |path: &str, body| site.api.done("PUT", &format!("{auth}{path}"), &body);
    let bring = |path: &str, name: &str| {
        let (certificate, key) = theirs.client(name);
        let made = site.api.done("POST", &format!("{auth}{path}"), &json!({ "certificate": certificate, "private_key": key }));
        made["id"].as_str().unwrap().to_owned()
    };
    put("/settings", json!({ "enabled": true }));
    assert_eq!(who(HOST), "SUCCESS|CN=site.test", "what this node issues, by the next request");
    let zones = bring("", "the zone's");
    assert_eq!((who(HOST).as_str(), who(OTHER).as_str()), ("SUCCESS|CN=the zone's", "SUCCESS|CN=the zone's"));
    let of_host = |id: &str, enabled: bool| json!({ "config": [{ "hostname": OTHER, "cert_id": id, "enabled": enabled }] });
    let hosts = bring("/hostnames/certificates", "the host's");
    assert_eq!(who(OTHER), "SUCCESS|CN=the zone's", "it was brought, and is shown nowhere yet");
    put("/hostnames", of_host(&hosts, true));
    assert_eq!((who(HOST).as_str(), who(OTHER).as_str()), ("SUCCESS|CN=the zone's", "SUCCESS|CN=the host's"));
    put("/settings", json!({ "enabled": false }));
    assert_eq!((who(HOST).as_str(), who(OTHER).as_str()), ("400", "SUCCESS|CN=the host's"), "whatever the zone says");
    put("/hostnames", of_host(&hosts, false));
    assert_eq!(who(OTHER), "400");
    put("/settings", json!({ "enabled": true }));
    assert_eq!(who(OTHER), "SUCCESS|CN=the zone's");
    site.api.done("DELETE", &format!("{auth}/{zones}"), &serde_json::Value::Null);
    assert_eq!(who(HOST), "SUCCESS|CN=site.test");
}
