//! external-dns (`EXTERNAL_DNS_BIN`): what a cluster wants to be known becomes records, and a second run changes nothing.
//!
//! The cluster is a few answers of a Kubernetes API: external-dns lists `DNSEndpoint` objects there, which say names, types, targets and
//! what the provider alone understands, as annotations of an ingress would. Its own `fake` source makes names up anew each time.

use std::{
    env, fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    process::Output,
    sync::{Arc, Mutex},
};

use poterne_e2e::{Api, Node, Raw, process::program};
use serde_json::{Value, json};

const ZONE: &str = "cluster.test";
const GROUP: &str = "externaldns.k8s.io";

/// A node with an empty zone, and a cluster.
struct Cluster {
    node: Node,
    api: Api,
    zone: String,
    endpoints: Arc<Mutex<Value>>,
}

impl Cluster {
    fn new() -> Self {
        let node = Node::demo();
        let api = Api::of(&node);
        let zone = api.zone(&node, ZONE);
        let endpoints = Arc::new(Mutex::new(json!([])));
        let wanted = Arc::clone(&endpoints);
        let server = Raw::start(move |path, stream| answer(path, &wanted.lock().unwrap(), stream));
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{ "name": "test", "cluster": { "server": server.url() } }],
            "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
            "users": [{ "name": "test", "user": {} }],
        });
        fs::write(node.file("kubeconfig"), config.to_string()).unwrap();
        Self { node, api, zone, endpoints }
    }

    /// What is to be known from now on.
    fn wants(&self, endpoints: Value) {
        *self.endpoints.lock().unwrap() = endpoints;
    }

    /// `external-dns --once WORDS`, with nothing of the user's own to be found.
    fn output(&self, token: &str, words: &[&str]) -> Output {
        let mut command = program("EXTERNAL_DNS_BIN");
        for (name, _) in env::vars_os() {
            if ["CF_", "CLOUDFLARE_", "EXTERNAL_DNS_", "KUBE"].iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
                command.env_remove(name);
            }
        }
        command.env("HOME", self.node.file("")).env("CF_API_TOKEN", token).env("CLOUDFLARE_BASE_URL", self.node.text("api"));
        command.args(["--once", "--provider=cloudflare", "--log-level=debug", "--metrics-address=127.0.0.1:0"]);
        command.arg(format!("--kubeconfig={}", self.node.file("kubeconfig").display()));
        command.args(words).output().unwrap()
    }

    /// It ends well, and never had to do one by one what it could not do in one batch: what it said.
    fn run(&self, words: &[&str]) -> String {
        let output = self.output(self.node.text("api_token"), words);
        let told = said(&output);
        assert!(output.status.success(), "{words:?}: {told}");
        assert!(!told.contains("falling back to individual") && !told.contains("level=error"), "{told}");
        told
    }

    /// The records become what is wanted, and a second run touches none.
    fn sync(&self, words: &[&str]) {
        let domain = format!("--domain-filter={ZONE}");
        let types = ["A", "AAAA", "CNAME", "NS", "TXT"].map(|name| format!("--managed-record-types={name}"));
        let mut all = vec!["--source=crd", &domain];
        all.extend(types.iter().map(String::as_str));
        all.extend(words);
        self.run(&all);
        let records = self.records("");
        let told = self.run(&all);
        assert!(told.contains("All records are already up to date"), "{told}");
        assert_eq!(self.records(""), records, "not one was written again");
    }

    fn records(&self, query: &str) -> Value {
        let path = format!("{}/dns_records?per_page=100&order=name&{query}", self.zone);
        self.api.get(&path).unwrap().result().clone()
    }

    /// Type, content, TTL and whether it is proxied, of each record of this name, in order.
    fn at(&self, name: &str) -> Vec<(String, String, i64, bool)> {
        let text = |record: &Value, key: &str| record[key].as_str().unwrap().to_owned();
        let one = |record: &Value| {
            (text(record, "type"), text(record, "content"), record["ttl"].as_i64().unwrap(), record["proxied"] == json!(true))
        };
        let found = self.records(&format!("name={name}.{ZONE}"));
        let mut all: Vec<_> = found.as_array().unwrap().iter().map(one).collect();
        all.sort();
        all
    }
}

/// One answer of a Kubernetes API that has nothing but `DNSEndpoint` objects.
fn answer(path: &str, endpoints: &Value, stream: &mut TcpStream) {
    let version = format!("{GROUP}/v1alpha1");
    let (place, query) = path.split_once('?').unwrap_or((path, ""));
    let kind = json!({
        "name": "dnsendpoints", "singularName": "dnsendpoint", "namespaced": true, "kind": "DNSEndpoint", "verbs": ["get", "list", "watch"],
    });
    let versions = json!({ "groupVersion": version, "version": "v1alpha1" });
    let group = json!({ "name": GROUP, "versions": [versions], "preferredVersion": versions });
    let object = json!({
        "apiVersion": version, "kind": "DNSEndpoint", "spec": { "endpoints": endpoints }, "status": { "observedGeneration": 1 },
        "metadata": { "name": "wanted", "namespace": "default", "generation": 1, "resourceVersion": "1", "uid": "1" },
    });
    let (status, body) = match place.trim_end_matches('/') {
        "/api" => ("200 OK", json!({ "kind": "APIVersions", "versions": [] })),
        "/apis" => ("200 OK", json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": [group] })),
        place if place == format!("/apis/{GROUP}") => ("200 OK", group),
        place if place == format!("/apis/{version}") => {
            ("200 OK", json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": [kind] }))
        }
        // As servers do that do not stream the first list.
        place if place.ends_with("/dnsendpoints") && query.contains("sendInitialEvents=true") => (
            "422 Unprocessable Entity",
            json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Invalid", "code": 422 }),
        ),
        // Nothing changes while it runs: the connection stays until the other end goes.
        place if place.ends_with("/dnsendpoints") && query.contains("watch=") => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n");
            let _ = stream.read(&mut [0]);
            return;
        }
        place if place.ends_with("/dnsendpoints") => (
            "200 OK",
            json!({ "kind": "DNSEndpointList", "apiVersion": version, "metadata": { "resourceVersion": "1" }, "items": [object] }),
        ),
        _ => (
            "404 Not Found",
            json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404 }),
        ),
    };
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all((head + &body).as_bytes());
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

fn endpoint(name: &str, kind: &str, ttl: i64, targets: &[&str]) -> Value {
    json!({ "dnsName": format!("{name}.{ZONE}"), "recordType": kind, "recordTTL": ttl, "targets": targets })
}

/// The same with what this provider alone understands, as annotations say it.
fn with(mut endpoint: Value, words: &[(&str, &str)]) -> Value {
    let one =
        |(name, value): &(&str, &str)| json!({ "name": format!("external-dns.alpha.kubernetes.io/{name}"), "value": value });
    endpoint["providerSpecific"] = words.iter().map(one).collect();
    endpoint
}

fn row(kind: &str, content: &str, ttl: i64, proxied: bool) -> (String, String, i64, bool) {
    (kind.into(), content.into(), ttl, proxied)
}

#[test]
fn records_follow_what_is_wanted() {
    let cluster = Cluster::new();
    let proxied = ("cloudflare-proxied", "true");
    cluster.wants(json!([
        endpoint("app", "A", 300, &["192.0.2.1", "192.0.2.2"]),
        endpoint("app", "AAAA", 300, &["2001:db8::1"]),
        with(endpoint("www", "CNAME", 300, &["app.cluster.test"]), &[proxied]),
        with(
            endpoint("noted", "A", 300, &["192.0.2.4"]),
            &[("cloudflare-record-comment", "by a cluster"), ("cloudflare-tags", "team:net,owner:web")]
        ),
        endpoint("text", "TXT", 600, &["\"v=spf1 -all\""]),
        endpoint("sub", "NS", 3600, &["ns1.example.org"]),
        endpoint("*.wild", "A", 300, &["192.0.2.5"]),
    ]));
    cluster.sync(&["--registry=noop", "--policy=sync"]);
    assert_eq!(
        cluster.at("app"),
        [row("A", "192.0.2.1", 300, false), row("A", "192.0.2.2", 300, false), row("AAAA", "2001:db8::1", 300, false)]
    );
    assert_eq!(cluster.at("www"), [row("CNAME", "app.cluster.test", 1, true)]);
    assert_eq!(cluster.at("text"), [row("TXT", "\"v=spf1 -all\"", 600, false)]);
    assert_eq!(cluster.at("*.wild"), [row("A", "192.0.2.5", 300, false)]);
    let noted = cluster.records(&format!("name=noted.{ZONE}"))[0].clone();
    assert_eq!((&noted["comment"], &noted["tags"]), (&json!("by a cluster"), &json!(["owner:web", "team:net"])));

    cluster.wants(json!([
        with(endpoint("app", "A", 300, &["192.0.2.1", "192.0.2.3"]), &[proxied]),
        endpoint("www", "CNAME", 120, &["app.cluster.test"]),
        endpoint("noted", "A", 300, &["192.0.2.4"]),
    ]));
    cluster.sync(&["--registry=noop", "--policy=sync"]);
    assert_eq!(cluster.at("app"), [row("A", "192.0.2.1", 1, true), row("A", "192.0.2.3", 1, true)]);
    assert_eq!(cluster.at("www"), [row("CNAME", "app.cluster.test", 120, false)]);
    let now = cluster.records(&format!("name=noted.{ZONE}"))[0].clone();
    assert_eq!((&now["comment"], &now["tags"], &now["id"]), (&Value::Null, &json!([]), &noted["id"]), "the same record, changed");
    assert_eq!(cluster.records("").as_array().unwrap().len(), 4, "the others are gone");
}

/// Its SDK reads every priority back as 0 (external-dns issue 6655), wherever the record is, and so it makes them anew in each run.
#[test]
fn mail_exchangers_keep_their_priorities() {
    let cluster = Cluster::new();
    cluster.wants(json!([endpoint("mail", "MX", 600, &["10 mx1.example.org", "20 mx2.example.org"])]));
    for _ in 0..2 {
        let domain = format!("--domain-filter={ZONE}");
        cluster.run(&["--source=crd", "--registry=noop", "--policy=sync", "--managed-record-types=MX", &domain]);
        let mail = cluster.records("type=MX");
        let mut told: Vec<_> =
            mail.as_array().unwrap().iter().map(|one| (one["priority"].as_i64().unwrap(), one["content"].to_string())).collect();
        told.sort();
        assert_eq!(told, [(10, "\"mx1.example.org\"".into()), (20, "\"mx2.example.org\"".into())]);
    }
}

#[test]
fn what_it_owns_is_written_beside_it_and_nothing_else_is_touched() {
    let cluster = Cluster::new();
    let foreign = json!({ "type": "A", "name": "foreign", "content": "192.0.2.9", "comment": "ours" });
    cluster.api.done("POST", &format!("{}/dns_records", cluster.zone), &foreign);
    let words = ["--registry=txt", "--txt-owner-id=one", "--txt-prefix=owner-", "--policy=sync"];
    cluster.wants(json!([
        endpoint("app", "A", 300, &["192.0.2.1"]),
        endpoint("www", "CNAME", 300, &["app.cluster.test"]),
        // Somebody else's name.
        endpoint("foreign", "A", 300, &["192.0.2.10"]),
    ]));
    cluster.sync(&words);
    assert_eq!(cluster.at("app"), [row("A", "192.0.2.1", 300, false)]);
    assert_eq!(cluster.at("foreign"), [row("A", "192.0.2.9", 1, false)]);
    let owned = cluster.records("type=TXT");
    assert_eq!(owned.as_array().unwrap().len(), 2, "{owned}");
    assert!(owned[0]["content"].as_str().unwrap().starts_with("\"heritage=external-dns,external-dns/owner=one"), "{owned}");

    cluster.wants(json!([with(endpoint("app", "A", 300, &["192.0.2.1"]), &[("cloudflare-proxied", "true")])]));
    cluster.sync(&words);
    assert_eq!(cluster.at("app"), [row("A", "192.0.2.1", 1, true)]);
    assert_eq!(cluster.at("www"), []);
    // What another one is called cannot take it.
    cluster.wants(json!([]));
    cluster.sync(&["--registry=txt", "--txt-owner-id=two", "--txt-prefix=owner-", "--policy=sync"]);
    assert_eq!(cluster.at("app"), [row("A", "192.0.2.1", 1, true)]);
    cluster.sync(&words);
    assert_eq!(cluster.records("").as_array().unwrap().len(), 1, "all but what somebody else made");
}

#[test]
fn its_own_made_up_names_come_and_go() {
    let cluster = Cluster::new();
    let zone = cluster.api.zone(&cluster.node, "example.com");
    let all = || {
        let found = cluster.api.get(&format!("{zone}/dns_records?type=A&per_page=100")).unwrap().result().clone();
        found.as_array().unwrap().iter().map(|record| record["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let words = ["--source=fake", "--registry=noop", "--managed-record-types=A", "--domain-filter=example.com"];
    let told = |policy: &str| cluster.run(&[&words[..], &[&format!("--policy={policy}"), "--cloudflare-proxied"]].concat());
    told("upsert-only");
    let first = all();
    assert!(first.len() > 5 && first.iter().all(|name| name.ends_with(".example.com")), "{first:?}");
    told("sync");
    let second = all();
    assert!(second.len() > 5 && !second.iter().any(|name| first.contains(name)), "{first:?} {second:?}");
}

#[test]
fn a_thousand_records_go_in_batches() {
    let cluster = Cluster::new();
    let one = |number: u32| {
        endpoint(&format!("n{number}"), "A", 300, &[&std::net::Ipv4Addr::from_bits(0x0a00_0000 + number).to_string()])
    };
    cluster.wants((0..1_000).map(one).collect());
    cluster.sync(&["--registry=noop", "--policy=sync", "--batch-change-interval=1ms"]);
    let info = cluster.api.get(&format!("{}/dns_records?type=A", cluster.zone)).unwrap().body["result_info"].clone();
    assert_eq!(info["total_count"], 1_000, "{info}");
}

#[test]
fn a_wrong_token_and_a_refused_record_are_told() {
    let cluster = Cluster::new();
    cluster.wants(json!([endpoint("app", "A", 300, &["192.0.2.1"])]));
    let domain = format!("--domain-filter={ZONE}");
    let words = ["--source=crd", "--registry=noop", "--policy=sync", &domain];
    let refused = cluster.output("0123456789012345678901234567890123456789", &words);
    assert!(!refused.status.success() && said(&refused).contains("9109"), "{}", said(&refused));
    assert_eq!(cluster.records("type=A"), json!([]));

    // What can be done is done, one by one, after the batch was refused as a whole.
    cluster.wants(json!([endpoint("good", "A", 300, &["192.0.2.1"]), endpoint("bad", "A", 7, &["192.0.2.2"]),]));
    let told = said(&cluster.output(cluster.node.text("api_token"), &words));
    assert!(told.contains("falling back to individual") && told.contains("9021"), "{told}");
    assert_eq!(cluster.records("").as_array().unwrap().len(), 1);
    assert_eq!(cluster.at("good"), [row("A", "192.0.2.1", 300, false)]);
}
